package route

import (
	"bytes"
	"slices"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

const (
	// MaxFriends is how many friends a node may announce: what a person keeps up
	// with is a few hundred, a shop's node a thousand.
	MaxFriends = 1000
	// DefaultMax is how many announcements a graph keeps unless told otherwise:
	// at about 250 bytes each, 256 MiB.
	DefaultMax = 1 << 20
)

// Graph is what the announcements say, newest numbers only. Make one with NewGraph.
type Graph struct {
	nodes      table[ident.ID]
	currencies table[money.Currency]
	peers      [][]peer // by node: what it announced, by friend's index, ascending
	onions     []onion  // by node
	count      int      // of all peers
	max        int
}

// peer is what a node last announced about a friend. It stays, without entries,
// after expiry until nothing older could still be played back (rule R5).
type peer struct {
	friend  int32
	number  uint64
	expires int64
	until   int64 // the latest expiry ever accepted
	entries []entry
}

// onion is the key of a node, by the announcement of it with the highest number (rule R18).
type onion struct {
	number uint64
	key    []byte
}

// entry is Entry as the search reads it: an edge from the friend to the node.
type entry struct {
	currency int32
	both     bool // the friend announces the node in this currency too (rule R7)
	maxHold  uint32
	ppm      uint32
	base     money.Amount
	can      money.Amount
}

func (e *entry) fee() money.Fee { return money.Fee{Base: e.base, Ppm: e.ppm} }

func (p *peer) find(currency int32) *entry {
	for i := range p.entries {
		if p.entries[i].currency == currency {
			return &p.entries[i]
		}
	}
	return nil
}

// NewGraph makes an empty graph that keeps at most max announcements, DefaultMax
// if max is 0.
func NewGraph(max int) *Graph {
	if max <= 0 {
		max = DefaultMax
	}
	return &Graph{nodes: newTable[ident.ID](), currencies: newTable[money.Currency](), max: max}
}

// Apply takes an announcement whose signature the caller has verified (Open does);
// now is in unix seconds. changed is false if the graph held it already. On an
// error, which is a *Refusal, the graph is as it was.
func (g *Graph) Apply(a Announcement, now int64) (changed bool, err error) {
	if err := a.Check(); err != nil {
		return false, err
	}
	if a.Expires <= now {
		return false, refuse(wire.BadRequest, "announcement %d of %s expired at %d, now is %d", a.Number, a.Node.Short(), a.Expires, now)
	}
	if a.Expires-now > MaxLife {
		return false, refuse(wire.BadRequest, "announcement %d of %s is for %d s, at most %d", a.Number, a.Node.Short(), a.Expires-now, MaxLife)
	}
	p := g.peer(a.Node, a.Friend)
	switch {
	case p == nil:
		if err := g.room(a.Node); err != nil {
			return false, err
		}
		p = g.insert(a.Node, a.Friend)
	case a.Number < p.number:
		return false, refuse(wire.BadSequence, "announcement %d of %s about %s, known is %d", a.Number, a.Node.Short(), a.Friend.Short(), p.number)
	case a.Number == p.number && g.holds(p, a):
		return false, nil
	case a.Number == p.number:
		return false, refuse(wire.Conflict, "another announcement %d of %s about %s is known; use a higher number", a.Number, a.Node.Short(), a.Friend.Short())
	}
	p.number, p.expires, p.until = a.Number, a.Expires, max(p.until, a.Expires)
	n, _ := g.nodes.find(a.Node)
	if o := &g.onions[n]; a.Number > o.number || a.Number == o.number && bytes.Compare(a.Onion, o.key) > 0 {
		*o = onion{a.Number, slices.Clone(a.Onion)}
	}
	g.replace(p, a.Node, a.Entries)
	return true, nil
}

// room says whether node may announce one more friend.
func (g *Graph) room(node ident.ID) error {
	if n, ok := g.nodes.find(node); ok && len(g.peers[n]) >= MaxFriends {
		return refuse(wire.NotAllowed, "%s announces %d friends, at most %d; withdrawn ones count until they expire", node.Short(), len(g.peers[n]), MaxFriends)
	}
	if g.count >= g.max {
		return refuse(wire.NotAllowed, "this index holds %d announcements, at most %d; use another one", g.count, g.max)
	}
	return nil
}

// holds says whether p is what a said.
func (g *Graph) holds(p *peer, a Announcement) bool {
	if p.expires != a.Expires || len(p.entries) != len(a.Entries) {
		return false
	}
	for i, e := range a.Entries {
		h := &p.entries[i]
		if g.currencies.items[h.currency] != e.Currency || h.can != e.CanReceive || h.fee() != e.Fee() || h.maxHold != e.MaxHold {
			return false
		}
	}
	return true
}

// peer finds what node announced about friend, nil if nothing. The pointer is good
// until the next insert or Expire.
func (g *Graph) peer(node, friend ident.ID) *peer {
	n, ok := g.nodes.find(node)
	if !ok {
		return nil
	}
	f, ok := g.nodes.find(friend)
	if !ok {
		return nil
	}
	return g.peerAt(n, f)
}

func (g *Graph) peerAt(node, friend int32) *peer {
	i, ok := slices.BinarySearchFunc(g.peers[node], friend, byFriend)
	if !ok {
		return nil
	}
	return &g.peers[node][i]
}

func byFriend(p peer, friend int32) int { return int(p.friend) - int(friend) }

// insert makes an empty peer. Both nodes are held once for it.
func (g *Graph) insert(node, friend ident.ID) *peer {
	n, f := g.nodes.hold(node), g.nodes.hold(friend)
	for len(g.peers) < len(g.nodes.items) {
		g.peers, g.onions = append(g.peers, nil), append(g.onions, onion{})
	}
	i, _ := slices.BinarySearchFunc(g.peers[n], f, byFriend)
	g.peers[n] = slices.Insert(g.peers[n], i, peer{friend: f})
	g.count++
	return &g.peers[n][i]
}

// replace gives p, a peer of node, new entries, and marks on both sides of the
// channel which currencies both announce.
func (g *Graph) replace(p *peer, node ident.ID, entries []Entry) {
	old := p.entries
	p.entries = nil
	if len(entries) > 0 {
		p.entries = make([]entry, len(entries))
	}
	for i, e := range entries {
		p.entries[i] = entry{currency: g.currencies.hold(e.Currency), maxHold: e.MaxHold, base: e.FeeBase, ppm: e.FeePpm, can: e.CanReceive}
	}
	for i := range old { // after the new ones are held, so that those which stay keep their index
		g.currencies.drop(old[i].currency)
	}
	n, _ := g.nodes.find(node)
	twin := g.peerAt(p.friend, n)
	if twin == nil {
		return
	}
	for i := range p.entries {
		p.entries[i].both = twin.find(p.entries[i].currency) != nil
	}
	for i := range twin.entries {
		twin.entries[i].both = p.find(twin.entries[i].currency) != nil
	}
}

// Expire drops what is not valid at now, in unix seconds, and says how many
// announcements that were. A search sees whatever was not dropped, so call it at
// least as often as routes must be fresh.
func (g *Graph) Expire(now int64) int {
	ended := 0
	for n := range g.peers {
		for i := range g.peers[n] {
			p := &g.peers[n][i]
			if p.expires <= now && len(p.entries) > 0 {
				g.replace(p, g.nodes.items[n], nil)
				ended++
			}
		}
	}
	for n := range g.peers { // apart from the first loop, which looks up both ends
		g.peers[n] = slices.DeleteFunc(g.peers[n], func(p peer) bool {
			if p.until > now {
				return false
			}
			g.count--
			for _, x := range []int32{p.friend, int32(n)} {
				if g.nodes.drop(x); g.nodes.holds[x] == 0 {
					g.onions[x] = onion{}
				}
			}
			return true
		})
		if len(g.peers[n]) == 0 {
			g.peers[n] = nil
		}
	}
	return ended
}

// Size counts the nodes and the announcements held, expired and withdrawn ones
// that are still remembered included, and the directed edges, one per currency.
func (g *Graph) Size() (nodes, announcements, edges int) {
	for _, peers := range g.peers {
		for _, p := range peers {
			for _, e := range p.entries {
				if e.both {
					edges++
				}
			}
		}
	}
	return len(g.nodes.index), g.count, edges
}

// table gives values small numbers for as long as somebody holds them.
type table[K comparable] struct {
	index map[K]int32
	items []K
	holds []int32
	free  []int32 // numbers of no value, to be used again
}

func newTable[K comparable]() table[K] { return table[K]{index: map[K]int32{}} }

func (t *table[K]) find(k K) (int32, bool) {
	i, ok := t.index[k]
	return i, ok
}

// hold gives k's number, a new one if it has none, and counts the holder.
func (t *table[K]) hold(k K) int32 {
	i, ok := t.index[k]
	if !ok {
		if last := len(t.free) - 1; last >= 0 {
			i, t.free = t.free[last], t.free[:last]
			t.items[i] = k
		} else {
			i = int32(len(t.items))
			t.items, t.holds = append(t.items, k), append(t.holds, 0)
		}
		t.index[k] = i
	}
	t.holds[i]++
	return i
}

// drop ends one hold; the number of a value that nobody holds is free.
func (t *table[K]) drop(i int32) {
	if t.holds[i]--; t.holds[i] > 0 {
		return
	}
	var none K
	delete(t.index, t.items[i])
	t.items[i] = none
	t.free = append(t.free, i)
}
