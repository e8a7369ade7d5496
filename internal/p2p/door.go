package p2p

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// quicHandshakes bounds half-open QUIC connections, which cannot be evicted;
	// quicPerPrefix those of one prefix, so that eight prefixes are needed to
	// keep QUIC busy for a handshake timeout.
	quicHandshakes = 64
	quicPerPrefix  = 8

	// quicTrusting is how many half-open QUIC connections there may be before
	// newcomers must prove their address (one more round trip).
	quicTrusting = 4
)

// door decides which connections may exist. It is libp2p's resource manager and
// connection gater in one: every connection, before authentication and after, is a
// guest.
type door struct {
	network.NullResourceManager
	cfg  Config
	self peer.ID
	gate gate

	mu         sync.Mutex
	handshakes queue // inbound TCP, not authenticated
	strangers  queue // inbound, authenticated as strangers
	halfQUIC   int
	halfBy     map[netip.Prefix]int
	conns      map[peer.ID][]*guest // upgraded connections, oldest first
	grown      int                  // bytes of receive windows beyond the first 256 KiB
	relays     map[peer.ID]bool     // those that this host asks to be reached through
}

var (
	_ network.ResourceManager = (*door)(nil)
	_ connmgr.ConnectionGater = (*door)(nil)
)

func newDoor(cfg Config, self peer.ID) *door {
	return &door{
		cfg: cfg, self: self, gate: newGate(),
		handshakes: queue{max: cfg.Handshakes, by: map[netip.Prefix]int{}},
		strangers:  queue{max: cfg.Strangers, perPrefix: cfg.StrangersPerPrefix, byUse: cfg.EvictIdle, by: map[netip.Prefix]int{}},
		halfBy:     map[netip.Prefix]int{},
		conns:      map[peer.ID][]*guest{},
		relays:     map[peer.ID]bool{},
	}
}

// queue holds guests in order of arrival, bounded in all and per prefix.
type queue struct {
	max, perPrefix int // perPrefix 0: no bound
	byUse          bool
	order          []*guest
	by             map[netip.Prefix]int
}

// add appends g and returns the guest that has to go for it, if any: of its own prefix
// if that is full, else of the fullest prefixes.
func (q *queue) add(g *guest) *guest {
	var out *guest
	if q.perPrefix > 0 && q.by[g.prefix] >= q.perPrefix {
		out = q.victim(func(p netip.Prefix) bool { return p == g.prefix })
	} else if len(q.order) >= q.max {
		most := 0
		for _, n := range q.by {
			most = max(most, n)
		}
		out = q.victim(func(p netip.Prefix) bool { return q.by[p] == most })
	}
	if out != nil {
		q.remove(out)
		out.gone = true
	}
	q.order = append(q.order, g)
	q.by[g.prefix]++
	g.in = q
	return out
}

// victim returns who goes of the guests of some prefixes: with byUse the one that was of no use for longest. Otherwise it is one
// of the prefix whose first guest is oldest, its oldest; and those that have delivered a frame go after those that have not.
func (q *queue) victim(some func(netip.Prefix) bool) *guest {
	var first *guest
	for _, g := range q.order {
		switch {
		case !some(g.prefix):
		case first == nil:
			first = g
		case q.byUse:
			if g.used.Load() < first.used.Load() {
				first = g
			}
		case g.prefix == first.prefix && first.frames.Load() > 0 && g.frames.Load() == 0:
			first = g
		}
	}
	return first
}

// crowded says whether more than three quarters of the places are taken, or of those that the prefix of g has.
func (q *queue) crowded(g *guest) bool {
	return 4*len(q.order) > 3*q.max || q.perPrefix > 0 && 4*q.by[g.prefix] > 3*q.perPrefix
}

func (q *queue) remove(g *guest) {
	if i := slices.Index(q.order, g); i >= 0 {
		q.order = slices.Delete(q.order, i, i+1)
		if q.by[g.prefix]--; q.by[g.prefix] == 0 {
			delete(q.by, g.prefix)
		}
	}
	g.in = nil
}

// knock admits a freshly accepted TCP connection to the handshake.
func (d *door) knock(c manet.Conn) *guest {
	g := d.newGuest(origin{inbound: true, raw: c, prefix: prefixOf(c.RemoteMultiaddr())})
	d.mu.Lock()
	out := d.handshakes.add(g)
	d.mu.Unlock()
	out.shut()
	return g
}

// OpenConnection makes the guest of an outbound connection or of an inbound QUIC
// one; inbound TCP comes through knock.
func (d *door) OpenConnection(dir network.Direction, _ bool, addr ma.Multiaddr) (network.ConnManagementScope, error) {
	g := d.newGuest(origin{inbound: dir == network.DirInbound, prefix: prefixOf(addr)})
	if !g.inbound {
		return g, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.halfQUIC >= quicHandshakes || d.halfBy[g.prefix] >= quicPerPrefix {
		return nil, fmt.Errorf("%d half-open QUIC connections, %d from %s: %w", d.halfQUIC, d.halfBy[g.prefix], g.prefix, ErrRefused)
	}
	d.halfQUIC++
	d.halfBy[g.prefix]++
	g.halfQUIC = true
	return g, nil
}

// VerifySourceAddress asks QUIC newcomers to prove their address under load.
func (d *door) VerifySourceAddress(net.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.halfQUIC >= quicTrusting
}

// leaveHandshake takes g out of what counts unauthenticated connections.
func (d *door) leaveHandshake(g *guest) {
	if g.in == &d.handshakes {
		d.handshakes.remove(g)
	}
	if g.halfQUIC {
		g.halfQUIC = false
		d.halfQUIC--
		if d.halfBy[g.prefix]--; d.halfBy[g.prefix] == 0 {
			delete(d.halfBy, g.prefix)
		}
	}
}

// authenticated decides about g now that it is known to be p. It is called for
// every connection, in both directions, before a stream can exist.
func (d *door) authenticated(g *guest, p peer.ID) error {
	id, err := identity(p)
	if err != nil {
		return err
	}
	if p == d.self {
		return fmt.Errorf("p2p: connection to this node itself")
	}
	class := d.cfg.Classify(id)
	if class == Blocked {
		return fmt.Errorf("p2p: %s: %w", id.Short(), ErrBlocked)
	}
	var out *guest
	d.mu.Lock()
	d.leaveHandshake(g)
	gone := g.gone
	if !gone {
		g.person = person{p, id, class}
		if g.inbound && class == Stranger {
			out = d.strangers.add(g)
		}
	}
	d.mu.Unlock()
	out.shut()
	if gone {
		return ErrRefused
	}
	return nil
}

// bind ties g to its connection once that can carry streams, and tells whether it
// may live. An identity with too many connections loses its oldest.
func (d *door) bind(g *guest, c network.Conn) bool {
	d.mu.Lock()
	if g.gone {
		d.mu.Unlock()
		return false
	}
	g.conn = c
	var out *guest
	list := d.conns[g.peer]
	if len(list) >= ConnsPerPeer {
		out = list[0]
		out.gone = true
		list = slices.Delete(list, 0, 1)
	}
	d.conns[g.peer] = append(list, g)
	g.startIdle()
	d.mu.Unlock()
	out.shut()
	return true
}

// reclassify gives all connections of id the class that it has now. It returns
// the connections to close because they are not welcome any more.
func (d *door) reclassify(p peer.ID, class Class) []*guest {
	d.mu.Lock()
	defer d.mu.Unlock()
	var shut []*guest
	for _, g := range d.conns[p] {
		if class == Blocked || class == Stranger && g.class == Friend {
			g.gone = true
			shut = append(shut, g)
			continue
		}
		if class == Friend && g.in != nil {
			g.in.remove(g)
		}
		g.class = class
	}
	return shut
}

// The gater's questions. Everything is decided in authenticated; the one left is
// whether the guest was evicted meanwhile.

func (d *door) InterceptPeerDial(peer.ID) bool               { return true }
func (d *door) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (d *door) InterceptAccept(network.ConnMultiaddrs) bool  { return true }
func (d *door) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

func (d *door) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	g := guestOf(c)
	return g != nil && d.bind(g, c), 0
}

// prefixOf returns the /24 or /48 that addr belongs to; the zero prefix if it
// holds no IP address.
func prefixOf(addr ma.Multiaddr) netip.Prefix {
	if addr == nil {
		return netip.Prefix{}
	}
	ip, err := manet.ToIP(addr)
	if err != nil {
		return netip.Prefix{}
	}
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return netip.Prefix{}
	}
	a = a.Unmap()
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// guestOf returns the guest behind c.
func guestOf(c network.Conn) *guest {
	g, _ := c.Scope().(*guest)
	return g
}

// has says whether there is a connection with p.
func (d *door) has(p peer.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns[p]) > 0
}

// isRelay says whether this host asks p to be reached through it.
func (d *door) isRelay(p peer.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.relays[p]
}

func (d *door) setRelays(list map[peer.ID]*relaying) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.relays)
	for p := range list {
		d.relays[p] = true
	}
}

// settle keeps the connections of p although they may be idle, and has them go after those
// that nobody settled.
func (d *door) settle(p peer.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range d.conns[p] {
		if !g.settled && !g.gone {
			g.settled = true
			g.uses.held++
			g.frames.Add(1)
		}
	}
}
