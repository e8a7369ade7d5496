package p2p

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
)

// thin is as much of a libp2p host as relaying and hole punching use: what they open and
// accept passes the door and counts like everything else. A method that they do not use is
// that of a nil interface.
type thin struct {
	host.Host
	h *Host
}

func (t thin) ID() peer.ID                      { return t.h.net.peer }
func (t thin) Network() network.Network         { return t.h.net.swarm }
func (t thin) Peerstore() peerstore.Peerstore   { return t.h.net.store }
func (t thin) ConnManager() connmgr.ConnManager { return &connmgr.NullConnMgr{} }
func (t thin) Addrs() []ma.Multiaddr            { return t.h.listening() }

// Connect dials pi, in the way that ctx asks for.
func (t thin) Connect(ctx context.Context, pi peer.AddrInfo) error {
	defer t.h.dials.begin(pi.ID)()
	if len(pi.Addrs) > 0 {
		t.h.net.store.AddAddrs(pi.ID, pi.Addrs, peerstore.TempAddrTTL)
	}
	t.h.net.swarm.Backoff().Clear(pi.ID)
	_, err := t.h.net.swarm.DialPeer(ctx, pi.ID)
	return err
}

// NewStream opens a stream to p of one protocol.
func (t thin) NewStream(ctx context.Context, p peer.ID, protos ...protocol.ID) (network.Stream, error) {
	defer t.h.dials.begin(p)()
	t.h.net.swarm.Backoff().Clear(p)
	st, err := t.h.net.swarm.NewStream(ctx, p)
	if err != nil {
		return nil, err
	}
	g := guestOf(st.Conn())
	if g == nil || !g.hold() {
		st.Reset()
		return nil, ErrGone
	}
	if err := negotiate(ctx, st, protos[0]); err != nil {
		g.letGo(linger)
		return nil, err
	}
	st.SetDeadline(time.Time{})
	return t.h.keepStream(st, g, func() {}), nil
}

// SetStreamHandler has inbound streams of proto go to serve, which may keep them.
func (t thin) SetStreamHandler(proto protocol.ID, serve network.StreamHandler) {
	t.h.mu.Lock()
	t.h.raw[proto] = serve
	t.h.mu.Unlock()
	t.h.net.protos.AddHandler(proto, nil)
}

func (t thin) RemoveStreamHandler(proto protocol.ID) {
	t.h.net.protos.RemoveHandler(proto)
	t.h.mu.Lock()
	delete(t.h.raw, proto)
	t.h.mu.Unlock()
}

// ending is a stream that calls after when it is closed or reset, each time.
type ending struct {
	network.Stream
	after func()
}

func (e *ending) Close() error {
	defer e.after()
	return e.Stream.Close()
}

func (e *ending) Reset() error {
	defer e.after()
	return e.Stream.Reset()
}

func (e *ending) ResetWithError(code network.StreamErrorCode) error {
	defer e.after()
	return e.Stream.ResetWithError(code)
}

// kept is a stream whose connection lives until it is closed or reset.
type kept struct {
	ending
	pace *pace
}

// keepStream wraps a stream on g, which is held for it; after is called once when it ends.
func (h *Host) keepStream(st network.Stream, g *guest, after func()) network.Stream {
	k := &kept{ending: ending{st, sync.OnceFunc(func() { g.letGo(linger); after() })}}
	if h.relay != nil {
		k.pace = h.relay.pace(g)
	}
	return k
}

func (k *kept) Read(b []byte) (int, error) {
	n, err := k.Stream.Read(b)
	if k.pace != nil && n > 0 {
		k.pace.wait(n)
	}
	return n, err
}
