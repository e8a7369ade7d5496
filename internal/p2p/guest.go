package p2p

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"kula/ident"
)

// guest is one connection as the door sees it, from accept or dial to its end. To
// libp2p it is the connection's resource scope. Fields without a note are under
// door.mu.
type guest struct {
	network.NullScope
	origin  // set before the guest is shared
	person  // set by authenticated
	door    *door
	conn    network.Conn // once streams can exist
	in      *queue       // the queue it takes a place in
	gone    bool         // evicted or ended
	settled bool         // held until it ends: a client of this relay
	grown   int          // bytes of door.grown it holds by itself (QUIC)
	uses    uses
	frames  atomic.Int32  // whole session frames received as a stranger
	used    atomic.Int64  // when it was of use at last, at first when it came; unix nanoseconds
	ended   chan struct{} // closed when the connection is over
}

// origin is where a connection comes from.
type origin struct {
	inbound  bool
	halfQUIC bool // counted in door.halfQUIC; under door.mu
	prefix   netip.Prefix
	raw      io.Closer // inbound TCP: the socket
	since    time.Time
	release  func() // inbound TCP: gives its share of the processors back
}

// person is who is at the other end. peer and id never change once a stream
// exists and may be read freely then; class changes, under door.mu.
type person struct {
	peer  peer.ID
	id    ident.ID
	class Class
}

// uses counts what keeps a connection alive.
type uses struct {
	held   int // sessions and framed streams
	coming int // inbound streams that exist
	ever   int // inbound streams that ever existed
	idle   *time.Timer
}

var _ network.ConnManagementScope = (*guest)(nil)
var _ network.PeerScope = (*guest)(nil)

// newGuest is a connection that comes or goes now.
func (d *door) newGuest(from origin) *guest {
	from.since = time.Now()
	g := &guest{door: d, ended: make(chan struct{}), origin: from}
	g.used.Store(from.since.UnixNano())
	return g
}

// shut ends the connection of an evicted guest. Nil is nobody.
func (g *guest) shut() {
	switch {
	case g == nil:
	case g.raw != nil:
		g.raw.Close() // the multiplexer notices and cleans up
	case g.conn != nil:
		g.conn.Close()
	}
}

// PeerScope is asked by the upgrader: nil makes it call SetPeer.
func (g *guest) PeerScope() network.PeerScope {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	if g.peer == "" {
		return nil
	}
	return g
}

// Peer returns the peer id, empty before authentication.
func (g *guest) Peer() peer.ID {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	return g.peer
}

// SetPeer is called when the other side is authenticated or, for a dial, known.
func (g *guest) SetPeer(p peer.ID) error {
	if g.release != nil {
		g.release()
	}
	return g.door.authenticated(g, p)
}

// Done is called when the connection has ended, however far it had come.
func (g *guest) Done() {
	if g.release != nil {
		g.release()
	}
	d := g.door
	d.mu.Lock()
	defer d.mu.Unlock()
	g.gone = true
	select {
	case <-g.ended:
	default:
		close(g.ended)
	}
	d.leaveHandshake(g)
	if g.in != nil {
		g.in.remove(g)
	}
	d.grown -= g.grown
	g.grown = 0
	if g.uses.idle != nil {
		g.uses.idle.Stop()
	}
	list := slices.DeleteFunc(d.conns[g.peer], func(o *guest) bool { return o == g })
	if len(list) == 0 {
		delete(d.conns, g.peer)
	} else {
		d.conns[g.peer] = list
	}
}

// kind returns the class and whether the connection came in.
func (g *guest) kind() (Class, bool) {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	return g.class, g.inbound
}

// startIdle begins the time that the connection may live without a stream. With
// door.mu held.
func (g *guest) startIdle() {
	g.uses.idle = time.AfterFunc(g.door.cfg.StrangerIdle, g.closeIdle)
}

func (g *guest) closeIdle() {
	g.door.mu.Lock()
	idle := g.uses.held == 0
	if idle {
		g.gone = true
	}
	g.door.mu.Unlock()
	if idle {
		g.conn.Close()
	}
}

// hold keeps the connection alive; false if it is ending.
func (g *guest) hold() bool {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	if g.gone {
		return false
	}
	g.uses.held++
	return true
}

// letGo ends one hold; without another the connection is closed after a while.
func (g *guest) letGo(after time.Duration) {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	if g.uses.held--; g.uses.held == 0 && !g.gone {
		g.uses.idle.Reset(after)
	}
}

// comeIn counts an inbound stream; false if there are too many.
func (g *guest) comeIn() bool {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	u := &g.uses
	most, ever := g.door.cfg.Streams, strangerStreamsEver
	switch {
	case g.door.relays[g.peer]:
		most = relayStreams
	case g.class == Friend:
		most = friendStreams
	}
	if g.door.cfg.Streams > strangerStreams { // a relay: its clients stay for days
		ever += int(time.Since(g.since) / streamEvery)
	}
	if g.gone || u.coming >= most || g.class != Friend && g.inbound && u.ever >= ever {
		return false
	}
	u.coming++
	u.ever++
	return true
}

func (g *guest) goOut() {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	g.uses.coming--
}

// grow accounts n bytes of a larger receive window; a stranger that came to us
// gets none.
func (g *guest) grow(n int) error {
	d := g.door
	d.mu.Lock()
	defer d.mu.Unlock()
	if g.inbound && g.class != Friend {
		return network.ErrResourceLimitExceeded
	}
	if d.grown+n > windowBudget {
		return fmt.Errorf("receive windows grew by %d bytes already, at most %d: %w", d.grown, windowBudget, network.ErrResourceLimitExceeded)
	}
	d.grown += n
	return nil
}

// ReserveMemory is QUIC asking to enlarge the connection's window.
func (g *guest) ReserveMemory(size int, _ uint8) error {
	if err := g.grow(size); err != nil {
		return err
	}
	g.door.mu.Lock()
	g.grown += size
	g.door.mu.Unlock()
	return nil
}

// BeginSpan is yamux opening the account of a stream.
func (g *guest) BeginSpan() (network.ResourceScopeSpan, error) { return &span{guest: g}, nil }

// span accounts the window of one yamux stream. yamux uses it from one goroutine
// at a time, except that Done may come beside a reservation.
type span struct {
	network.NullScope
	guest *guest
	grown int // under door.mu
}

// ReserveMemory grants every stream its first window: how many streams there are
// is bounded elsewhere. Growth has a lower priority and is accounted.
func (s *span) ReserveMemory(size int, prio uint8) error {
	if prio == network.ReservationPriorityAlways {
		return nil
	}
	if err := s.guest.grow(size); err != nil {
		return err
	}
	s.guest.door.mu.Lock()
	s.grown += size
	s.guest.door.mu.Unlock()
	return nil
}

func (s *span) Done() {
	d := s.guest.door
	d.mu.Lock()
	defer d.mu.Unlock()
	d.grown -= s.grown
	s.grown = 0
}
