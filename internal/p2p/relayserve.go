package p2p

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/time/rate"

	"kula/ident"
)

const stopProtocol = proto.ProtoIDv2Stop

const (
	// relayPlaces is how many connections a relay keeps: at some 100 KiB each 200 MiB. Then the
	// oldest one of the fullest prefix goes, those without a reservation first.
	relayPlaces = 2048

	// relayPerPrefix leaves room for the customers of a provider that puts many behind one
	// address.
	relayPerPrefix = relayPlaces / 8

	// relayReservations is how many nodes can be reached through it at a time, and
	// relayPerAddress how many of those from one IP address.
	relayReservations = relayPlaces / 2
	relayPerAddress   = 64

	// relayCircuits is how many connections through the relay one client may have, and
	// relayCircuitsAll all together: two windows of 256 KiB each, 512 MiB at the very most.
	relayCircuits    = 16
	relayCircuitsAll = 1024

	// circuitTime and circuitBytes (each way) end a connection through the relay; its two nodes
	// make a new one within a second. libp2p's 2 minutes and 128 KiB are for hole punching
	// alone: a thousand payments are 1 MiB, and two friends whose routers let nobody through
	// stay with the relay for good.
	circuitTime  = 6 * time.Hour
	circuitBytes = 64 << 20

	// clientRate and clientBurst bound what the relay reads from one client, in bytes a
	// second and at once: 200 payments a second, and the largest snapshot of a channel.
	clientRate  = 256 << 10
	clientBurst = 16 << 20

	// relayPaces is how many clients' rates a relay remembers, those that have left with them: more would have to come
	// within the minute in which a burst refills than it has places.
	relayPaces = 2 * relayPlaces

	// relayBuffer is read at once: a frame of Noise, 64 KiB, in sixteen.
	relayBuffer = 4 << 10
)

// RelayConfig is what a relay needs.
type RelayConfig struct {
	Seed   [32]byte
	Listen []string
	// Idle is how long a connection may stay that asks for nothing; 0: StrangerIdle.
	Idle time.Duration
}

// RelayStats counts what a relay did since its start.
type RelayStats struct {
	Reservations int64  `json:"reservations"` // nodes that can be reached through it now
	Circuits     int64  `json:"circuits"`     // connections through it now
	Opened       uint64 `json:"circuitsTotal"`
	Refused      uint64 `json:"refusedTotal"` // reservations and connections
	Bytes        uint64 `json:"bytesTotal"`   // relayed, both ways
}

// Relay forwards encrypted connections to nodes that asked for it (libp2p's circuit relay
// v2). It sees who talks with whom and how much, never what, and keeps nothing.
type Relay struct {
	host     *Host
	service  *relay.Relay
	circuits *circuits
	count    struct {
		reservations, circuits atomic.Int64
		opened, refused, bytes atomic.Uint64
	}

	mu    sync.Mutex
	paces map[peer.ID]*pace
}

// NewRelay starts a relay.
func NewRelay(cfg RelayConfig) (*Relay, error) {
	r := &Relay{circuits: newCircuits(), paces: map[peer.ID]*pace{}}
	var err error
	r.host, err = newHost(Config{
		Seed: cfg.Seed, Listen: cfg.Listen,
		Strangers: relayPlaces, StrangersPerPrefix: relayPerPrefix, Handshakes: relayPlaces / 4, Streams: relayCircuits + strangerStreams, StrangerIdle: cfg.Idle,
	}, silent{}, r)
	if err != nil {
		return nil, err
	}
	r.host.Handle(SeenProtocol, Limits{Frames: 1, Streams: relayPlaces}, func(_ context.Context, _ ident.ID, f *Framed) {
		if f.WriteFrame([]byte(f.pipe.Conn().RemoteMultiaddr().String())) == nil {
			f.ReadFrame() // until the other side has it
		}
	})
	r.service, err = relay.New(hops{thin{h: r.host}, r},
		relay.WithResources(relay.Resources{
			Limit:           &relay.RelayLimit{Duration: circuitTime, Data: circuitBytes},
			ReservationTTL:  time.Hour,
			MaxReservations: relayReservations, MaxReservationsPerIP: relayPerAddress,
			MaxReservationsPerASN: relayReservations, MaxCircuits: relayCircuits, BufferSize: relayBuffer,
		}),
		relay.WithACL(r), relay.WithMetricsTracer(r))
	if err != nil {
		r.host.Close()
		return nil, fmt.Errorf("p2p: relay: %w", err)
	}
	return r, nil
}

// silent is nobody to talk to: a relay has no sessions of its own.
type silent struct{}

func (silent) SessionUp(ident.ID, uint64, Class) {}
func (silent) Frame(uint64, []byte)              {}
func (silent) SessionDown(uint64, error)         {}

// ID returns the relay's identity.
func (r *Relay) ID() ident.ID { return r.host.ID() }

// Addrs returns the relay's addresses, each ending in /p2p/<peer id>.
func (r *Relay) Addrs() []string { return r.host.Addrs() }

// Close ends all connections.
func (r *Relay) Close() error {
	r.service.Close()
	return r.host.Close()
}

// Stats reads the counters.
func (r *Relay) Stats() RelayStats {
	c := &r.count
	return RelayStats{c.reservations.Load(), c.circuits.Load(), c.opened.Load(), c.refused.Load(), c.bytes.Load()}
}

// AllowReserve keeps the connections of a client that asks to be reached: they are idle
// until somebody comes. It is part of the service's interface, as are the methods below.
func (r *Relay) AllowReserve(p peer.ID, _ ma.Multiaddr) bool {
	r.host.door.settle(p)
	return true
}

// AllowConnect bounds the connections through the relay.
func (r *Relay) AllowConnect(peer.ID, ma.Multiaddr, peer.ID) bool {
	return r.count.circuits.Load() < relayCircuitsAll
}

func (r *Relay) RelayStatus(bool) {}
func (r *Relay) ConnectionOpened() {
	r.count.circuits.Add(1)
	r.count.opened.Add(1)
}
func (r *Relay) ConnectionClosed(time.Duration) { r.count.circuits.Add(-1) }
func (r *Relay) ConnectionRequestHandled(s pb.Status) {
	if s != pb.Status_OK {
		r.count.refused.Add(1)
	}
}
func (r *Relay) ReservationAllowed(renewal bool) {
	if !renewal {
		r.count.reservations.Add(1)
	}
}
func (r *Relay) ReservationClosed(n int) { r.count.reservations.Add(-int64(n)) }
func (r *Relay) ReservationRequestHandled(s pb.Status) {
	if s != pb.Status_OK {
		r.count.refused.Add(1)
	}
}
func (r *Relay) BytesTransferred(n int) { r.count.bytes.Add(uint64(n)) }

// pace bounds how fast the relay reads from one client, over all its connections.
type pace struct {
	limit *rate.Limiter
	ctx   context.Context
	left  bool // the client has no connection; under Relay.mu
}

// spent is what the client's burst lacks, in bytes.
func (p *pace) spent() float64 { return clientBurst - p.limit.Tokens() }

// pace returns the client's. It is kept until its burst is full again, so that nobody gets a new one by coming anew.
func (r *Relay) pace(g *guest) *pace {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.paces[g.peer]
	if p == nil {
		p = &pace{limit: rate.NewLimiter(clientRate, clientBurst), ctx: r.host.ctx}
		r.paces[g.peer] = p
	}
	p.left = false
	return p
}

// forget drops what need not be remembered of clients now that p has left: bursts that are full and, beyond relayPaces,
// the one that lacks the least.
func (r *Relay) forget(p peer.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if own := r.paces[p]; own != nil {
		if own.left = true; own.spent() <= 0 {
			delete(r.paces, p)
		}
	}
	if len(r.paces) <= relayPaces {
		return
	}
	var least peer.ID
	for q, o := range r.paces {
		switch {
		case !o.left:
		case o.spent() <= 0:
			delete(r.paces, q)
		case least == "" || o.spent() < r.paces[least].spent():
			least = q
		}
	}
	if least != "" && len(r.paces) > relayPaces {
		delete(r.paces, least)
	}
}

// wait waits until n bytes, at most relayBuffer, were within the limit.
func (p *pace) wait(n int) { _ = p.limit.WaitN(p.ctx, n) } // it fails only when the relay closes
