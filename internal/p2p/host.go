package p2p

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	lyamux "github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	lupgrader "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	lquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	mss "github.com/multiformats/go-multistream"
	"github.com/quic-go/quic-go"

	"kula/ident"
)

// Host is one identity on the network. All methods may be called from any
// goroutine.
type Host struct {
	cfg  Config
	ev   Events
	self ident.ID
	net  wires
	door *door
	run  runID

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	dials  dials
	relay  *Relay          // this host is one
	punch  *puncher        // hole punching
	lan    *lan            // nil: not on the local network
	news   chan struct{}   // 1 place: Addrs may have changed
	client *circuit.Client // relaying, as a transport

	visitors visitors

	mu     sync.Mutex
	closed bool
	state
}

// state is what Host.mu guards.
type state struct {
	last     uint64 // newest session number
	sessions map[uint64]*session
	parties  map[ident.ID]*party
	wants    map[ident.ID]*want
	handlers map[protocol.ID]*handler
	raw      map[protocol.ID]network.StreamHandler // of libp2p's own services
	relays   map[peer.ID]*relaying
}

// dials counts what is being dialled.
type dials struct {
	places chan struct{} // for rounds of dialling
	mu     sync.Mutex
	count  map[peer.ID]int
}

// begin counts a dial to p until the function it returns is called.
func (d *dials) begin(p peer.ID) func() {
	d.mu.Lock()
	d.count[p]++
	d.mu.Unlock()
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.count[p]--; d.count[p] == 0 {
			delete(d.count, p)
		}
	}
}

func (d *dials) underWay(p peer.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count[p] > 0
}

// wires is the libp2p below.
type wires struct {
	peer   peer.ID
	swarm  *swarm.Swarm
	store  peerstore.Peerstore
	quic   *quicreuse.ConnManager
	protos *mss.MultistreamMuxer[protocol.ID]
}

// New starts a host: it listens when New returns. Any listen address that cannot be
// used is an error. libp2p's own logging is switched off for the whole process,
// since it would write into the program's stderr.
func New(cfg Config, ev Events) (*Host, error) { return newHost(cfg, ev, nil) }

func newHost(cfg Config, ev Events, relay *Relay) (*Host, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	gologshim.SetDefaultHandler(slog.DiscardHandler)
	key, p, id, err := privateKey(cfg.Seed)
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, ev: ev, self: id, door: newDoor(cfg, p), relay: relay, news: make(chan struct{}, 1)}
	h.dials = dials{places: make(chan struct{}, dialsAtOnce), count: map[peer.ID]int{}}
	rand.Read(h.run[:])
	h.state = state{
		sessions: map[uint64]*session{},
		parties:  map[ident.ID]*party{},
		wants:    map[ident.ID]*want{},
		handlers: map[protocol.ID]*handler{},
		raw:      map[protocol.ID]network.StreamHandler{},
		relays:   map[peer.ID]*relaying{},
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if err := h.wire(key, p); err != nil {
		h.Close()
		return nil, fmt.Errorf("p2p: %w", err)
	}
	h.net.protos.AddHandler(SessionProtocol, nil)
	h.net.swarm.SetStreamHandler(h.inbound)
	for _, a := range cfg.Listen {
		if err := h.listen(a); err != nil {
			h.Close()
			return nil, fmt.Errorf("p2p: listen on %s: %w", a, err)
		}
	}
	if err := h.reach(); err != nil {
		h.Close()
		return nil, fmt.Errorf("p2p: %w", err)
	}
	return h, nil
}

// wire builds the swarm: peerstore, upgrader with Noise and yamux only, the TCP
// and QUIC transports, and the door before all of them.
func (h *Host) wire(key crypto.PrivKey, p peer.ID) error {
	w := &h.net
	w.peer = p
	w.protos = mss.NewMultistreamMuxer[protocol.ID]()
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return err
	}
	w.store = store
	if err = errors.Join(w.store.AddPrivKey(p, key), w.store.AddPubKey(p, key.GetPublic())); err != nil {
		return err
	}
	w.swarm, err = swarm.NewSwarm(p, w.store, eventbus.NewBus(),
		swarm.WithResourceManager(h.door),
		swarm.WithConnectionGater(h.door),
		swarm.WithDialTimeout(DialTimeout),
		swarm.WithDialRanker(rank),
		// Black hole detection refuses to dial after a run of failures; friends
		// that are away for a week look just like that.
		swarm.WithUDPBlackHoleSuccessCounter(nil),
		swarm.WithIPv6BlackHoleSuccessCounter(nil))
	if err != nil {
		return err
	}
	w.swarm.Notify(&network.NotifyBundle{DisconnectedF: h.forget})
	muxers := []lupgrader.StreamMuxer{{ID: lyamux.ID, Muxer: newMuxer(h.cfg.Streams)}}
	secure, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return err
	}
	up, err := lupgrader.New([]sec.SecureTransport{secure}, muxers, nil, h.door, nil,
		lupgrader.WithAcceptTimeout(HandshakeTimeout))
	if err != nil {
		return err
	}
	// Without reuseport a dial has a port of its own: two nodes that dial each
	// other from their listen ports would meet in a TCP simultaneous open, where
	// both are the Noise initiator and both fail.
	t, err := tcp.NewTCPTransport(upgrader{up, h.door}, h.door, nil, tcp.DisableReuseport())
	if err != nil {
		return err
	}
	q, err := h.wireQUIC(key)
	if err != nil {
		return err
	}
	if h.client, err = circuit.New(thin{h: h}, upgrader{up, h.door}); err != nil {
		return err
	}
	return errors.Join(w.swarm.AddTransport(t), w.swarm.AddTransport(q), w.swarm.AddTransport(h.client))
}

// wireQUIC builds the QUIC transport. Its reset key comes from the identity, so
// that a restarted node can end its former connections at once.
func (h *Host) wireQUIC(key crypto.PrivKey) (transport.Transport, error) {
	var err error
	h.net.quic, err = quicreuse.NewConnManager(
		quic.StatelessResetKey(derive(h.cfg.Seed, "kula quic reset 1")),
		quic.TokenGeneratorKey(derive(h.cfg.Seed, "kula quic token 1")),
		quicreuse.ConnContext(func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			addr, err := quicreuse.ToQuicMultiaddr(info.RemoteAddr, quic.Version1)
			if err != nil {
				return nil, err
			}
			g, err := h.door.OpenConnection(network.DirInbound, false, addr)
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, g.Done)
			return network.WithConnManagementScope(ctx, g), nil
		}),
		quicreuse.VerifySourceAddress(h.door.VerifySourceAddress))
	if err != nil {
		return nil, err
	}
	return lquic.NewTransport(key, h.net.quic, nil, h.door, h.door)
}

func derive(seed [32]byte, purpose string) [32]byte {
	m := hmac.New(sha256.New, seed[:])
	m.Write([]byte(purpose))
	return [32]byte(m.Sum(nil))
}

func (h *Host) listen(addr string) error {
	a, err := ma.NewMultiaddr(addr)
	if err != nil {
		return err
	}
	return h.net.swarm.Listen(a)
}

// rank dials TCP at once, QUIC a little later: on equal terms TCP costs a fraction of QUIC's
// processor time per frame. What goes through a relay comes last, over QUIC first.
func rank(addrs []ma.Multiaddr) []network.AddrDelay {
	const headStart = 250 * time.Millisecond // RFC 8305's connection attempt delay
	step := func(a ma.Multiaddr) int {
		_, err := a.ValueForProtocol(ma.P_TCP)
		switch tcp := err == nil; {
		case relayed(a) && tcp:
			return 3
		case relayed(a):
			return 2
		case tcp:
			return 0
		}
		return 1
	}
	first := 3
	for _, a := range addrs {
		first = min(first, step(a))
	}
	out := make([]network.AddrDelay, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, network.AddrDelay{Addr: a, Delay: time.Duration(step(a)-first) * headStart})
	}
	return out
}

// ID returns the host's identity.
func (h *Host) ID() ident.ID { return h.self }

// forget drops what the peerstore keeps about a peer that left and that nobody
// wants, so that passing strangers leave no trace.
func (h *Host) forget(_ network.Network, c network.Conn) {
	p := c.RemotePeer()
	h.mu.Lock()
	_, wanted := h.wants[guestOf(c).id]
	wanted = wanted || h.relays[p] != nil
	h.mu.Unlock()
	wanted = wanted || h.dials.underWay(p)
	if len(h.net.swarm.ConnsToPeer(p)) > 0 {
		return
	}
	if h.relay != nil {
		h.relay.forget(p)
	}
	if !wanted {
		h.net.store.ClearAddrs(p)
		h.net.store.RemovePeer(p)
	}
}

// begin counts work that Close waits for; false once the host is closing.
func (h *Host) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.wg.Add(1)
	return true
}

// Reclassify asks Classify again for id: a stranger who became a friend keeps
// its session with a friend's limits, one who is blocked or a friend no more loses
// its connections.
func (h *Host) Reclassify(id ident.ID) {
	p, err := peerOf(id)
	if err != nil {
		return
	}
	class := h.cfg.Classify(id)
	shut := h.door.reclassify(p, class)
	h.mu.Lock()
	var live *session
	if party := h.parties[id]; party != nil {
		live = party.live
	}
	h.mu.Unlock()
	switch {
	case live == nil:
	case class == Friend:
		live.promote()
	case class == Blocked:
		live.close(ErrBlocked)
	case live.class() == Friend:
		live.close(ErrDemoted)
	}
	for _, g := range shut {
		time.AfterFunc(linger, g.shut) // so that the reason gets through
	}
	h.kick(id, true)
}

// Close ends all sessions and connections and waits until nothing of the host is
// left. SessionDown is called for every live session before it returns.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		h.wg.Wait()
		return nil
	}
	h.closed = true
	var live []*session
	for _, s := range h.sessions {
		live = append(live, s)
	}
	h.mu.Unlock()
	h.cancel()
	for _, s := range live {
		s.close(ErrClosed)
	}
	var err error
	if h.punch != nil {
		err = h.punch.close()
	}
	if h.lan != nil {
		h.lan.close()
	}
	if h.net.swarm != nil {
		err = h.net.swarm.Close()
	}
	h.wg.Wait()
	if h.net.quic != nil {
		err = errors.Join(err, h.net.quic.Close())
	}
	if h.net.store != nil {
		err = errors.Join(err, h.net.store.Close())
	}
	return err
}
