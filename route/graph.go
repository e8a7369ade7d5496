package route

import (
	"kula/ident"
	"kula/money"
	"kula/wire"
)

const (
	// MaxFriends is how many friends a node may announce: what a person keeps up
	// with is a few hundred, a shop's node a thousand.
	MaxFriends = 1000
	// DefaultMax is how many entries a graph keeps unless told otherwise: 1M nodes with ten friends each in one currency, at 60
	// bytes an edge 600 MiB. An entry takes 44 bytes, and 200 at the very most: where each is about two nodes of which nothing else is
	// known. So whatever strangers announce, it takes 2 GiB.
	DefaultMax = 10 << 20
	// maxExpires is the latest expiry that the four bytes kept of it can hold, in the year 2106.
	maxExpires = 1<<32 - 1
)

// Graph is what the announcements say, newest numbers only. Make one with NewGraph.
type Graph struct {
	nodes      nodes
	currencies table
	blocks     []block        // by node
	bases      []money.Amount // base fees too large for a block
	freeBases  []uint32
	count      int // announcements
	kept, max  int // entries, one for an announcement that has none: records of blocks
	edges      int // directed, one per currency
}

// NewGraph makes an empty graph that keeps at most max entries, DefaultMax
// if max is 0. An announcement without entries counts as one.
func NewGraph(max int) *Graph {
	if max <= 0 {
		max = DefaultMax
	}
	return &Graph{nodes: newNodes(), currencies: newTable(), max: max}
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
	node, friend, i, j := g.locate(a.Node, a.Friend)
	until := a.Expires
	if i < j {
		b := g.blocks[node]
		switch known := b.number(i); {
		case a.Number < known:
			return false, refuse(wire.BadSequence, "announcement %d of %s about %s, known is %d", a.Number, a.Node.Short(), a.Friend.Short(), known)
		case a.Number == known && g.says(b, i, j, &a):
			return false, nil
		case a.Number == known:
			return false, refuse(wire.Conflict, "another announcement %d of %s about %s is known; use a higher number", a.Number, a.Node.Short(), a.Friend.Short())
		}
		until = max(until, b.until(i))
	} else if err := g.roomForFriend(a.Node); err != nil {
		return false, err
	}
	if more := records(&a) - (j - i); more > 0 && g.kept+more > g.max {
		return false, refuse(wire.NotAllowed, "this index holds %d entries and these are %d more, at most %d; use another one", g.kept, more, g.max)
	}
	if err := g.currencies.room(a.Entries); err != nil {
		return false, err
	}
	if i == j {
		node, friend = g.admit(a.Node, a.Friend)
		i, j = g.blocks[node].of(friend)
	}
	g.write(node, friend, i, j, &a, until)
	return true, nil
}

// Newest is the number of the announcement that the graph holds of node about friend, and
// whether it holds one.
func (g *Graph) Newest(node, friend ident.ID) (number uint64, ok bool) {
	n, _, i, j := g.locate(node, friend)
	if i == j {
		return 0, false
	}
	return g.blocks[n].number(i), true
}

// locate finds what node announced about friend, as block.of does; nothing if either is not known.
func (g *Graph) locate(node, friend ident.ID) (n, f int32, i, j int) {
	n, ok := g.nodes.find(node)
	f, ok2 := g.nodes.find(friend)
	if ok && ok2 {
		i, j = g.blocks[n].of(f)
	}
	return n, f, i, j
}

// records is how many entries an announcement counts as.
func records(a *Announcement) int { return max(1, len(a.Entries)) }

// roomForFriend says whether node may announce one more friend.
func (g *Graph) roomForFriend(node ident.ID) error {
	if n, ok := g.nodes.find(node); ok {
		friends := 0
		b := g.blocks[n]
		for i := range b.len() {
			if i == 0 || b.friend(i) != b.friend(i-1) {
				friends++
			}
		}
		if friends >= MaxFriends {
			return refuse(wire.NotAllowed, "%s announces %d friends, at most %d; withdrawn ones count until they expire", node.Short(), friends, MaxFriends)
		}
	}
	return nil
}

// admit holds both nodes of a new announcement.
func (g *Graph) admit(node, friend ident.ID) (n, f int32) {
	n, f = g.nodes.hold(node), g.nodes.hold(friend)
	for len(g.blocks) < len(g.nodes.items) {
		g.blocks = extend(g.blocks, nil)
	}
	g.count++
	return n, f
}

// says tells whether the records from i to before j are what a says.
func (g *Graph) says(b block, i, j int, a *Announcement) bool {
	if b.expires(i) != a.Expires {
		return false
	}
	if b.currency(i) == noCurrency {
		return len(a.Entries) == 0
	}
	if j-i != len(a.Entries) {
		return false
	}
	for _, e := range a.Entries {
		c, ok := g.currencies.find(e.Currency)
		if !ok {
			return false
		}
		k := b.find(b.friend(i), c)
		if k < 0 || amountOf(b.canIn(k)) != e.CanReceive || g.feeIn(b, k) != e.Fee() || b.maxHold(k) != e.MaxHold {
			return false
		}
	}
	return true
}

// write puts an announcement in place of the records from i to before j, and tells the
// friend's block of it. Where the currencies stay, nothing is allocated or moved.
func (g *Graph) write(node, friend int32, i, j int, a *Announcement, until int64) {
	numbers := make([]int32, len(a.Entries), MaxEntries)
	for k, e := range a.Entries {
		numbers[k] = g.currencies.hold(e.Currency) // before the old ones are dropped, so that those which stay keep their number
	}
	b := g.blocks[node]
	for k := i; k < j; k++ {
		g.clear(b, k)
	}
	if n := records(a); n != j-i {
		b = b.splice(i, j, n)
		g.blocks[node] = b
		g.kept += n - (j - i)
	}
	if len(a.Entries) == 0 {
		b.setIn(i, friend, noCurrency, 0, 0, 0)
		b.setMark(i, a.Number, a.Expires, until, 0)
	}
	order := make([]int, len(a.Entries), MaxEntries) // entries by the numbers of their currencies
	for k := range order {
		at := k
		for ; at > 0 && numbers[order[at-1]] > numbers[k]; at-- {
			order[at] = order[at-1]
		}
		order[at] = k
	}
	for k, o := range order {
		e := &a.Entries[o]
		b.setIn(i+k, friend, numbers[o], g.packBase(e.FeeBase), e.FeePpm, codeOf(e.CanReceive))
		b.setMark(i+k, a.Number, a.Expires, until, e.MaxHold)
	}
	g.mirror(node, friend)
}

// clear gives back what record k holds elsewhere.
func (g *Graph) clear(b block, k int) {
	if c := b.currency(k); c != noCurrency {
		g.currencies.drop(c)
	}
	if b.mutual(k) {
		g.edges--
		b.setOut(k, nil)
	}
	g.dropBase(b.link(k)[1])
}

// mirror makes the records of two nodes about each other agree.
func (g *Graph) mirror(x, y int32) {
	bx, by := g.blocks[x], g.blocks[y]
	g.match(bx, by, x, y)
	g.match(by, bx, y, x)
}

// match sets what the records of x about y say of y's figures.
func (g *Graph) match(bx, by block, x, y int32) {
	i, j := bx.of(y)
	for ; i < j; i++ {
		if bx.mutual(i) {
			g.edges--
		}
		k := -1
		if c := bx.currency(i); c != noCurrency {
			k = by.find(x, c)
		}
		if k < 0 {
			bx.setOut(i, nil)
			continue
		}
		bx.setOut(i, by.link(k))
		g.edges++
	}
}

// packBase gives the word for a base fee.
func (g *Graph) packBase(a money.Amount) uint32 {
	if a < bigBase {
		return uint32(a)
	}
	if last := len(g.freeBases) - 1; last >= 0 {
		at := g.freeBases[last]
		g.freeBases, g.bases[at] = g.freeBases[:last], a
		return bigBase | at
	}
	g.bases = append(g.bases, a)
	return bigBase | uint32(len(g.bases)-1)
}

func (g *Graph) dropBase(word uint32) {
	if word&bigBase != 0 {
		g.freeBases = append(g.freeBases, word&^bigBase)
	}
}

func (g *Graph) fee(base, ppm uint32) money.Fee {
	if base&bigBase != 0 {
		return money.Fee{Base: g.bases[base&^bigBase], Ppm: ppm & ppmMask}
	}
	return money.Fee{Base: money.Amount(base), Ppm: ppm & ppmMask}
}

// feeIn and feeOut are the fees of both edges of record i.
func (g *Graph) feeIn(b block, i int) money.Fee {
	return g.fee(b[i*linkWords+1], b[i*linkWords+3])
}

func (g *Graph) feeOut(b block, i int) money.Fee {
	return g.fee(b[i*linkWords+2], b[i*linkWords+4])
}

// Expire drops what is not valid at now, in unix seconds, and says how many
// announcements that were. A search sees whatever was not dropped, so call it at
// least as often as routes must be fresh.
func (g *Graph) Expire(now int64) int {
	ended := 0
	for n := range g.blocks {
		ended += g.expireNode(int32(n), now)
	}
	return ended
}

// ExpireSome is Expire from the node with a number on, until so many records (one per friend and currency) were
// looked at and the node that they belong to is done: a large graph need not be looked through at once. next is the
// number to go on with, Nodes when all are done.
func (g *Graph) ExpireSome(first, records int, now int64) (ended, next int) {
	for next = first; next < len(g.blocks) && records > 0; next++ {
		records -= 1 + g.blocks[next].len()
		ended += g.expireNode(int32(next), now)
	}
	return ended, next
}

// expireNode drops what expired of one node: its block is written anew once, however much that is.
func (g *Graph) expireNode(n int32, now int64) (ended int) {
	b := g.blocks[n]
	keep, gone := 0, false // records that stay
	for i, j := 0, 0; i < b.len(); i = j {
		j = b.group(i)
		keep += b.remains(i, j, now)
		gone = gone || b.expires(i) <= now && (b.currency(i) != noCurrency || b.until(i) <= now)
	}
	if !gone {
		return 0
	}
	after := newBlock(keep)
	g.kept -= b.len() - keep
	var forgotten []int32
	at := 0
	for i, j := 0, 0; i < b.len(); i = j {
		j = b.group(i)
		kept := b.remains(i, j, now)
		if b.expires(i) > now {
			for k := i; k < j; k++ {
				copy(after.link(at+k-i), b.link(k))
				copy(after.mark(at+k-i), b.mark(k))
			}
			at += kept
			continue
		}
		friend := b.friend(i)
		if b.currency(i) != noCurrency {
			ended++
			g.part(b, i, j, n)
		}
		if kept > 0 {
			after.setIn(at, friend, noCurrency, 0, 0, 0)
			after.setMark(at, b.number(i), b.expires(i), b.until(i), 0)
		} else {
			forgotten = append(forgotten, friend)
		}
		at += kept
	}
	if keep == 0 {
		after = nil
	}
	g.blocks[n] = after
	for _, friend := range forgotten {
		g.release(n, friend)
	}
	return ended
}

// part ends the edges of the records from i to before j of node n about a friend, at both.
func (g *Graph) part(b block, i, j int, n int32) {
	theirs := g.blocks[b.friend(i)]
	for k := i; k < j; k++ {
		if b.mutual(k) {
			theirs.setOut(theirs.find(n, b.currency(k)), nil)
			g.edges--
		}
		g.clear(b, k)
	}
}

// Nodes is one more than the highest number that a node has had.
func (g *Graph) Nodes() int { return len(g.blocks) }

// release ends what one announcement, of node about friend, held.
func (g *Graph) release(node, friend int32) {
	g.count--
	for _, x := range []int32{friend, node} {
		g.nodes.drop(x)
	}
}

// Size counts the nodes and the announcements held, expired and withdrawn ones
// that are still remembered included, and the directed edges, one per currency.
func (g *Graph) Size() (nodes, announcements, edges int) {
	return g.nodes.count(), g.count, g.edges
}
