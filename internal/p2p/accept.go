package p2p

import (
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/transport"
	manet "github.com/multiformats/go-multiaddr/net"
)

// upgrader is libp2p's, except that connections come in through the door.
type upgrader struct {
	transport.Upgrader
	door *door
}

func (u upgrader) GateMaListener(l manet.Listener) transport.GatedMaListener {
	return &listener{Listener: l, door: u.door}
}

// listener hands out every accepted connection with its guest.
type listener struct {
	manet.Listener
	door *door
}

func (l *listener) Accept() (manet.Conn, network.ConnManagementScope, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, nil, err
	}
	in := &inbound{Conn: c, gate: l.door.gate}
	g := l.door.knock(c)
	g.release = in.established
	return in, g, nil
}

// inbound is an accepted TCP connection. Until it is authenticated, whoever works
// for it holds a place in the gate, except while it waits for bytes: so all
// handshakes together compute on a part of the processors only, and a thousand
// silent connections cost none of it.
type inbound struct {
	manet.Conn
	gate gate
	open atomic.Bool // authenticated
	held atomic.Bool // has a place in the gate
}

func (c *inbound) Read(b []byte) (int, error) {
	if c.open.Load() {
		return c.Conn.Read(b)
	}
	c.leave()
	n, err := c.Conn.Read(b)
	c.enter()
	return n, err
}

func (c *inbound) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}

// established ends the handshake, well or badly.
func (c *inbound) established() {
	c.open.Store(true)
	c.leave()
}

func (c *inbound) enter() {
	c.held.Store(c.gate.enter())
	if c.open.Load() {
		c.leave()
	}
}

func (c *inbound) leave() {
	if c.held.CompareAndSwap(true, false) {
		c.gate.leave()
	}
}

// The transport sets these on every connection it accepts.

func (c *inbound) SetKeepAlive(on bool) error {
	if k, ok := c.Conn.(interface{ SetKeepAlive(bool) error }); ok {
		return k.SetKeepAlive(on)
	}
	return nil
}

func (c *inbound) SetKeepAlivePeriod(d time.Duration) error {
	if k, ok := c.Conn.(interface{ SetKeepAlivePeriod(time.Duration) error }); ok {
		return k.SetKeepAlivePeriod(d)
	}
	return nil
}

func (c *inbound) SetLinger(sec int) error {
	if k, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return k.SetLinger(sec)
	}
	return nil
}

// Stat passes on what a relay said about a connection through it.
func (c *inbound) Stat() network.ConnStats {
	if s, ok := c.Conn.(network.ConnStat); ok {
		return s.Stat()
	}
	return network.ConnStats{}
}

var _ net.Conn = (*inbound)(nil)

// gate bounds how many handshakes compute at once.
type gate chan struct{}

// gatePatience is how long a handshake waits for a place before it computes
// without one: the gate is a courtesy to live sessions, never a reason to fail.
const gatePatience = 100 * time.Millisecond

// newGate leaves half of the processors to live sessions.
func newGate() gate { return make(gate, max(1, runtime.GOMAXPROCS(0)/2)) }

// enter waits for a place and tells whether it got one.
func (g gate) enter() bool {
	select {
	case g <- struct{}{}:
		return true
	default:
	}
	t := time.NewTimer(gatePatience)
	defer t.Stop()
	select {
	case g <- struct{}{}:
		return true
	case <-t.C:
		return false
	}
}

func (g gate) leave() { <-g }
