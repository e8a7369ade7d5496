package p2p

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	mss "github.com/multiformats/go-multistream"

	"kula/ident"
)

const (
	// SeenProtocol tells who asks where its connection comes from: one frame, a multiaddr.
	SeenProtocol = "/kula/seen/1"

	// relayPause is the longest pause between attempts to reach a relay: one that was
	// started again serves its clients ten seconds later.
	relayPause = 10 * time.Second

	// relayRenew is how often a reservation is made anew at least: the address that the relay
	// sees is asked with it, and a router may change it without a word.
	relayRenew = 5 * time.Minute

	// watchEvery is how often the addresses of this machine are compared. It costs one
	// system call.
	watchEvery = 3 * time.Second
)

var circuitAddr = ma.StringCast("/p2p-circuit")

// relayed says whether a leads through a relay.
func relayed(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// overQUIC says whether a is an address of QUIC that is dialled directly.
func overQUIC(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_QUIC_V1)
	return err == nil && !relayed(a)
}

// relaying is a relay that this host asks to be reached through. addrs and ended never
// change; the rest is guarded by Host.mu.
type relaying struct {
	addrs  []ma.Multiaddr // without /p2p/…
	cancel context.CancelFunc
	served bool         // it has given a reservation once: its addresses are told
	seen   ma.Multiaddr // where it sees this host's QUIC socket
	err    error        // why there is no reservation now
}

// Relay status of a host, for people.
type RelayStatus struct {
	Relay ident.ID
	Err   error // why there is no reservation, ErrNotAsked at first; nil: this host can be reached through it
}

// reach starts what makes this host reachable beyond its listen addresses.
func (h *Host) reach() error {
	if h.relay == nil && slices.ContainsFunc(h.net.swarm.ListenAddresses(), overQUIC) {
		var err error
		if h.punch, err = newPuncher(h); err != nil {
			return err
		}
	}
	if h.cfg.LAN {
		h.lan = &lan{host: h, seen: map[peer.ID][]ma.Multiaddr{}}
		if err := h.lan.announce(); err != nil {
			return err
		}
	}
	h.wg.Go(h.watch)
	return h.UseRelays(h.cfg.Relays)
}

// UseRelays has the host reached through these relays and no others: multiaddrs that end in
// /p2p/<peer id>; several may name one relay. What cannot be used is named in the error; the
// others count all the same.
func (h *Host) UseRelays(addrs []string) error {
	found, err := parseRelays(addrs)
	if h.closing() {
		return ErrClosed
	}
	if len(found) > 0 {
		if e := h.listenThrough(); e != nil {
			return errors.Join(err, e)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for p, r := range h.relays {
		if list, ok := found[p]; !ok || !slices.EqualFunc(list, r.addrs, ma.Multiaddr.Equal) {
			r.cancel()
			delete(h.relays, p)
		}
	}
	for p, list := range found {
		if h.relays[p] != nil || p == h.net.peer || h.closed {
			continue
		}
		ctx, cancel := context.WithCancel(h.ctx)
		r := &relaying{addrs: list, cancel: cancel, err: ErrNotAsked}
		h.relays[p] = r
		h.wg.Go(func() {
			defer cancel()
			h.keepRelay(ctx, p, r)
		})
	}
	h.door.setRelays(h.relays)
	h.changed()
	return err
}

func (h *Host) closing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// listenThrough accepts connections that relays bring, from now on.
func (h *Host) listenThrough() error {
	for _, a := range h.net.swarm.ListenAddresses() {
		if relayed(a) {
			return nil
		}
	}
	h.client.Start()
	return h.net.swarm.Listen(circuitAddr)
}

// CheckRelay says why addr cannot be that of a relay.
func CheckRelay(addr string) error {
	_, err := parseRelays([]string{addr})
	return err
}

// parseRelays gives the addresses of each relay, QUIC first: its socket is the one that
// friends can punch through to.
func parseRelays(addrs []string) (map[peer.ID][]ma.Multiaddr, error) {
	found := map[peer.ID][]ma.Multiaddr{}
	var bad []error
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			bad = append(bad, fmt.Errorf("relay %q: %w", s, err))
			continue
		}
		at, p := peer.SplitAddr(a)
		if p == "" || len(at) == 0 || relayed(a) {
			bad = append(bad, fmt.Errorf("relay %q: must say where and who, e.g. /ip4/192.0.2.1/udp/4283/quic-v1/p2p/12D3…", s))
			continue
		}
		if _, err := identity(p); err != nil {
			bad = append(bad, fmt.Errorf("relay %q: %w", s, err))
			continue
		}
		if !slices.ContainsFunc(found[p], at.Equal) {
			found[p] = append(found[p], at)
		}
	}
	for _, list := range found {
		slices.SortStableFunc(list, func(a, b ma.Multiaddr) int {
			switch {
			case overQUIC(a) == overQUIC(b):
				return 0
			case overQUIC(a):
				return -1
			}
			return 1
		})
	}
	return found, errors.Join(bad...)
}

// keepRelay keeps a reservation until ctx ends.
func (h *Host) keepRelay(ctx context.Context, p peer.ID, r *relaying) {
	pause := BackoffMin
	for {
		began := time.Now()
		err := h.reserve(ctx, p, r)
		if ctx.Err() != nil {
			return
		}
		h.mu.Lock()
		r.err = err
		h.mu.Unlock()
		h.changed()
		if time.Since(began) > BackoffReset {
			pause = BackoffMin
		}
		t := time.NewTimer(pause*3/4 + rand.N(pause/2))
		pause = min(2*pause, relayPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// reserve has a reservation until it fails, and says why.
func (h *Host) reserve(ctx context.Context, p peer.ID, r *relaying) error {
	c, err := h.connectRelay(ctx, p, r)
	if err != nil {
		return err
	}
	g := guestOf(c)
	if !g.hold() {
		return ErrGone
	}
	defer g.letGo(linger)
	for {
		seen, err := h.askSeen(ctx, c)
		if err != nil {
			return fmt.Errorf("it does not say where it sees this node: %w", err)
		}
		got, err := circuit.Reserve(ctx, thin{h: h}, peer.AddrInfo{ID: p})
		if err != nil {
			return relayError(err)
		}
		h.mu.Lock()
		if r.err != nil { // friends may use the same relay
			for _, w := range h.wants {
				w.start()
			}
		}
		r.served, r.seen, r.err = true, seen, nil
		h.mu.Unlock()
		h.changed()
		t := time.NewTimer(max(time.Second, min(relayRenew, time.Until(got.Expiration)/2)))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-g.ended:
			t.Stop()
			return ErrGone
		case <-t.C:
		}
	}
}

func relayError(err error) error {
	var re circuit.ReservationError
	if errors.As(err, &re) && re.Unwrap() == nil {
		return fmt.Errorf("it refuses: %s", re.Status)
	}
	var no mss.ErrNotSupported[protocol.ID]
	if errors.As(err, &no) {
		return fmt.Errorf("it is no relay: %w", err)
	}
	return err
}

// connectRelay dials over QUIC if that works.
func (h *Host) connectRelay(ctx context.Context, p peer.ID, r *relaying) (network.Conn, error) {
	if n := slices.IndexFunc(r.addrs, func(a ma.Multiaddr) bool { return !overQUIC(a) }); n > 0 {
		if c, err := h.connect(ctx, p, r.addrs[:n]); err == nil {
			return c, nil
		}
	}
	return h.connect(ctx, p, r.addrs)
}

// askSeen asks the other end of c where it sees this host; nil unless c is over QUIC: TCP
// is dialled from another port each time.
func (h *Host) askSeen(ctx context.Context, c network.Conn) (ma.Multiaddr, error) {
	if !overQUIC(c.RemoteMultiaddr()) {
		return nil, nil
	}
	f, err := h.openOn(ctx, c, SeenProtocol, Limits{Frames: 1, Idle: OpenTimeout})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := f.ReadFrame()
	if err != nil {
		return nil, err
	}
	a, err := ma.NewMultiaddr(string(b))
	if err != nil || !overQUIC(a) {
		return nil, fmt.Errorf("it says %.80q, which is no address of QUIC", b)
	}
	return a, nil
}

// Relays tells how the host stands with each relay, ascending by identity.
func (h *Host) Relays() []RelayStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []RelayStatus{}
	for p, r := range h.relays {
		if id, err := identity(p); err == nil {
			out = append(out, RelayStatus{id, r.err})
		}
	}
	slices.SortFunc(out, func(a, b RelayStatus) int { return slices.Compare(a.Relay[:], b.Relay[:]) })
	return out
}

// News gets a token when Addrs may have changed.
func (h *Host) News() <-chan struct{} { return h.news }

func (h *Host) changed() {
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// Addrs returns the addresses where the host can be reached, each ending in /p2p/<peer id>:
// those through relays, then those it listens on, wildcards resolved to those of the
// interfaces; each kind in byte order.
func (h *Host) Addrs() []string {
	self := "/p2p/" + h.net.peer.String()
	var through, out []string
	h.mu.Lock()
	for p, r := range h.relays {
		for _, a := range r.addrs {
			if r.served {
				through = append(through, a.String()+"/p2p/"+p.String()+"/p2p-circuit"+self)
			}
		}
	}
	h.mu.Unlock()
	for _, a := range h.listening() {
		out = append(out, a.String()+self)
	}
	slices.Sort(through) // of a map
	slices.Sort(out)     // the swarm's order is that of a map
	return append(through, out...)
}

// listening are the addresses of the machine that the host listens on.
func (h *Host) listening() []ma.Multiaddr {
	own := slices.DeleteFunc(h.net.swarm.ListenAddresses(), relayed)
	local, err := manet.InterfaceMultiaddrs() // libp2p's own list is up to a minute old
	if err != nil {
		return nil
	}
	list, err := manet.ResolveUnspecifiedAddresses(own, local)
	if err != nil {
		return nil // it listens on nothing
	}
	return list
}

// watch notices when this machine has got other addresses: connections from one that is
// gone would only be missed when nothing answers for a while.
func (h *Host) watch() {
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	before := machine()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-look.C:
		}
		now := machine()
		if slices.Equal(now, before) {
			continue
		}
		gone := slices.DeleteFunc(slices.Clone(before), func(a string) bool { return slices.Contains(now, a) })
		before = now
		h.moved(gone)
		if h.lan != nil {
			_ = h.lan.announce() // without an address there is nobody to tell
		}
	}
}

// machine lists the addresses of this machine's interfaces, except those that only it uses.
func machine() []string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() {
			out = append(out, ip.IP.String())
		}
	}
	slices.Sort(out)
	return out
}

// moved closes what hangs on addresses that are gone and dials anew at once. A QUIC socket
// does not say which address it uses, so with any that is gone all over QUIC are closed.
func (h *Host) moved(gone []string) {
	if len(gone) > 0 {
		for _, c := range h.net.swarm.Conns() {
			ip, err := manet.ToIP(c.LocalMultiaddr())
			if err == nil && (slices.Contains(gone, ip.String()) || ip.IsUnspecified()) {
				c.Close()
			}
		}
	}
	h.mu.Lock()
	for _, w := range h.wants {
		w.start()
	}
	h.mu.Unlock()
	h.changed()
}
