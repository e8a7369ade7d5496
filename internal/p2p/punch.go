package p2p

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	ma "github.com/multiformats/go-multiaddr"

	"kula/ident"
)

const (
	// punchFirst is when the first attempt at a direct connection with a friend begins that was
	// reached through a relay: soon, since both have just met. Each is three attempts in one.
	punchFirst = time.Second

	// punchAgain and punchMost bound the pause before the next: longer than the 30 s for which a
	// Linux router remembers a datagram that came too early and gives the answer another port;
	// and a router that lets nobody through will not learn it.
	punchAgain = 40 * time.Second
	punchMost  = 10 * time.Minute

	// punchAddrs is how many addresses of a friend are tried: its routers', and those of its
	// machine for friends in one house. Each gets some 50 datagrams of 64 bytes.
	punchAddrs = 8
)

// puncher gets direct connections to friends that were met through a relay (DCUtR).
type puncher struct {
	host *Host
	svc  *holepunch.Service
}

func newPuncher(h *Host) (*puncher, error) {
	p := &puncher{host: h}
	var err error
	p.svc, err = holepunch.NewService(thin{h: h}, known{}, p.addrs, holepunch.WithAddrFilter(p))
	return p, err
}

func (p *puncher) close() error { return p.svc.Close() }

// connect gets a direct connection to remote. The service has no context and waits for an
// address of this host first, so that nobody waits for it when the host closes.
func (p *puncher) connect(ctx context.Context, remote peer.ID) error {
	done := make(chan error, 1)
	go func() { done <- p.svc.DirectConnect(remote) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// addrs are where friends may find this host's QUIC socket: as relays see it, and as its
// machine does.
func (p *puncher) addrs() []ma.Multiaddr {
	var list []ma.Multiaddr
	p.host.mu.Lock()
	for _, r := range p.host.relays {
		if r.seen != nil && !slices.ContainsFunc(list, r.seen.Equal) {
			list = append(list, r.seen)
		}
	}
	p.host.mu.Unlock()
	for _, a := range p.host.listening() {
		if overQUIC(a) && !slices.ContainsFunc(list, a.Equal) {
			list = append(list, a)
		}
	}
	return list[:min(len(list), punchAddrs)]
}

// FilterLocal tells nobody but friends where this host is.
func (p *puncher) FilterLocal(remote peer.ID, addrs []ma.Multiaddr) []ma.Multiaddr {
	return p.FilterRemote(remote, addrs)
}

// FilterRemote sends nothing to where strangers say they are: it could be somebody else.
func (p *puncher) FilterRemote(remote peer.ID, addrs []ma.Multiaddr) []ma.Multiaddr {
	id, err := identity(remote)
	if err != nil || p.host.cfg.Classify(id) != Friend {
		return nil
	}
	addrs = slices.DeleteFunc(addrs, func(a ma.Multiaddr) bool { return !overQUIC(a) })
	return addrs[:min(len(addrs), punchAddrs)]
}

// known is the identify service for one who needs none: who is at the other end of a
// connection is known from its handshake.
type known struct{}

var _ identify.IDService = known{}

func (known) IdentifyConn(network.Conn) {}
func (known) IdentifyWait(network.Conn) <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}
func (known) Start()       {}
func (known) Close() error { return nil }

// direct gets session s, which came through a relay, a direct connection, and a session on
// that in its place. It tries until s ends. The side that was dialled does it (DCUtR), for
// friends only.
func (h *Host) direct(s *session) {
	_, in := s.guest.kind()
	if h.punch == nil || !in || !relayed(s.pipe.Conn().RemoteMultiaddr()) || !h.begin() {
		return
	}
	go func() {
		defer h.wg.Done()
		pause := punchFirst
		timer := time.NewTimer(pause)
		defer timer.Stop()
		for {
			select {
			case <-s.pipe.stop:
				return
			case <-h.ctx.Done():
				return
			case <-timer.C:
			}
			var err error
			if s.class() == Friend {
				err = h.punch.connect(h.ctx, s.guest.peer)
				h.useDirect(s.id, s.guest.peer)
			}
			if errors.Is(err, holepunch.ErrHolePunchActive) {
				pause = punchFirst // the service began one of its own: what comes of it is seen then
			} else {
				pause = max(punchAgain, min(2*pause, punchMost))
			}
			timer.Reset(pause)
		}
	}()
}

// useDirect opens a session on a direct connection to id, if there is one.
func (h *Host) useDirect(id ident.ID, p peer.ID) {
	for _, c := range h.net.swarm.ConnsToPeer(p) {
		if relayed(c.RemoteMultiaddr()) {
			continue
		}
		ctx, cancel := context.WithTimeout(h.ctx, OpenTimeout)
		err := h.openSession(ctx, c, true)
		cancel()
		if err == nil {
			return
		}
	}
}
