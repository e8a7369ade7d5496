package p2p

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	dials  chan struct{} // places for rounds of dialling

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
	dialing  map[peer.ID]int // rounds under way
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
func New(cfg Config, ev Events) (*Host, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	gologshim.SetDefaultHandler(slog.DiscardHandler)
	key, p, id, err := privateKey(cfg.Seed)
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, ev: ev, self: id, door: newDoor(cfg, p), dials: make(chan struct{}, dialsAtOnce)}
	rand.Read(h.run[:])
	h.state = state{
		sessions: map[uint64]*session{},
		parties:  map[ident.ID]*party{},
		wants:    map[ident.ID]*want{},
		handlers: map[protocol.ID]*handler{},
		dialing:  map[peer.ID]int{},
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
	muxers := []lupgrader.StreamMuxer{{ID: lyamux.ID, Muxer: newMuxer()}}
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
	return errors.Join(w.swarm.AddTransport(t), w.swarm.AddTransport(q))
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

// rank dials TCP at once and the rest a little later: on equal terms TCP costs a
// fraction of QUIC's processor time per frame.
func rank(addrs []ma.Multiaddr) []network.AddrDelay {
	const headStart = 250 * time.Millisecond // RFC 8305's connection attempt delay
	tcpToo := false
	for _, a := range addrs {
		if _, err := a.ValueForProtocol(ma.P_TCP); err == nil {
			tcpToo = true
		}
	}
	out := make([]network.AddrDelay, 0, len(addrs))
	for _, a := range addrs {
		d := network.AddrDelay{Addr: a}
		if _, err := a.ValueForProtocol(ma.P_TCP); err != nil && tcpToo {
			d.Delay = headStart
		}
		out = append(out, d)
	}
	return out
}

// ID returns the host's identity.
func (h *Host) ID() ident.ID { return h.self }

// Addrs returns the addresses the host listens on, wildcards resolved to those of
// the interfaces, each ending in /p2p/<peer id>, in byte order.
func (h *Host) Addrs() []string {
	list, err := h.net.swarm.InterfaceListenAddresses()
	if err != nil {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, a := range list {
		out = append(out, a.String()+"/p2p/"+h.net.peer.String())
	}
	slices.Sort(out) // the swarm's order is that of a map
	return out
}

// forget drops what the peerstore keeps about a peer that left and that nobody
// wants, so that passing strangers leave no trace.
func (h *Host) forget(_ network.Network, c network.Conn) {
	p := c.RemotePeer()
	h.mu.Lock()
	_, wanted := h.wants[guestOf(c).id]
	wanted = wanted || h.dialing[p] > 0
	h.mu.Unlock()
	if !wanted && len(h.net.swarm.ConnsToPeer(p)) == 0 {
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
