package p2p

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"

	"kula/ident"
)

// want is an identity to stay connected to. Guarded by Host.mu.
type want struct {
	id     ident.ID
	peer   peer.ID
	addrs  []ma.Multiaddr
	hints  []ma.Multiaddr // Hint
	pause  time.Duration  // before the next round, without the jitter
	fresh  bool           // dial now, whatever the pause
	failed int            // rounds since the last success
	err    error          // of the last round
	next   time.Time      // when the next round starts
	wake   chan struct{}  // 1 place: look again
	cancel context.CancelFunc
}

// Status is how far a Host is with an identity.
type Status struct {
	Wanted  bool
	Session uint64    // the live session, 0 if none
	Class   Class     // of the live session
	Addr    string    // the other end of it
	Err     error     // why the last round of dialling failed, nil if it did not
	Failed  int       // rounds that failed since the last success
	Next    time.Time // when the next round starts; zero if none is planned
}

// Want keeps id connected from now on, dialling addrs (multiaddrs, with or without
// /p2p/<its peer id>). Called again, it replaces the addresses. Addresses that
// cannot be used are named in the error; the others count all the same.
func (h *Host) Want(id ident.ID, addrs []string) error {
	p, err := peerOf(id)
	if err != nil {
		return err
	}
	if id == h.self {
		return errors.New("p2p: this node cannot dial itself")
	}
	list, bad := parseAddrs(p, addrs)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	w := h.wants[id]
	if w == nil {
		ctx, cancel := context.WithCancel(h.ctx)
		w = &want{id: id, peer: p, addrs: list, pause: BackoffMin, fresh: true, wake: make(chan struct{}, 1), cancel: cancel}
		h.wants[id] = w
		h.wg.Add(1)
		go func() {
			defer h.wg.Done()
			defer cancel()
			h.keep(ctx, w)
		}()
		return bad
	}
	if slices.ContainsFunc(list, func(a ma.Multiaddr) bool { return !slices.ContainsFunc(w.addrs, a.Equal) }) {
		w.start()
	}
	w.addrs = list
	return bad
}

// Hint has the host dial id, if it is wanted, at these addresses too, instead of those of the hint
// before; at once if there is one that is new. Those that cannot be used are left out.
func (h *Host) Hint(id ident.ID, addrs []string) {
	p, err := peerOf(id)
	if err != nil {
		return
	}
	list, _ := parseAddrs(p, addrs)
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.wants[id]
	if w == nil {
		return
	}
	known := slices.Concat(w.addrs, w.hints)
	w.hints = list[:min(len(list), maxHints)]
	if slices.ContainsFunc(w.hints, func(a ma.Multiaddr) bool { return !slices.ContainsFunc(known, a.Equal) }) {
		w.start()
	}
}

// Unwant stops dialling id. A live session stays.
func (h *Host) Unwant(id ident.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.wants[id]; w != nil {
		w.cancel()
		delete(h.wants, id)
	}
}

// Kick dials id at once, if it is wanted and has no session, and starts the pauses
// anew.
func (h *Host) Kick(id ident.ID) { h.kick(id, true) }

// kick makes the loop that keeps id look again, with fresh pauses if asked.
func (h *Host) kick(id ident.ID, fresh bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.wants[id]
	switch {
	case w == nil:
	case fresh:
		w.start()
	default:
		w.look()
	}
}

func (w *want) start() {
	w.fresh, w.pause = true, BackoffMin
	w.look()
}

func (w *want) look() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Status tells how far the host is with id.
func (h *Host) Status(id ident.ID) Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	var s Status
	if w := h.wants[id]; w != nil {
		s.Wanted, s.Err, s.Failed, s.Next = true, w.err, w.failed, w.next
	}
	if p := h.parties[id]; p != nil && p.live != nil {
		s.Session, s.Class = p.live.num, p.live.class()
		s.Addr = p.live.pipe.Conn().RemoteMultiaddr().String()
		s.Err, s.Next = nil, time.Time{}
	}
	return s
}

// keep dials w whenever it has no session.
func (h *Host) keep(ctx context.Context, w *want) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, idle := h.plan(w)
		var tick <-chan time.Time
		if !idle {
			if wait <= 0 {
				h.round(ctx, w)
				if ctx.Err() != nil {
					return
				}
				continue
			}
			timer.Reset(wait)
			tick = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-tick:
		}
	}
}

// plan says how long to wait before the next round; idle if there is nothing to
// do until somebody wakes the loop.
func (h *Host) plan(w *want) (wait time.Duration, idle bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.parties[w.id]; p != nil && p.live != nil {
		w.next, w.fresh = time.Time{}, false
		return 0, true
	}
	if len(w.addrs)+len(w.hints)+len(h.lan.at(w.peer)) == 0 {
		w.next = time.Time{}
		return 0, true
	}
	now := time.Now()
	if w.fresh {
		w.fresh, w.next = false, now
		return 0, false
	}
	if w.next.IsZero() { // a session has ended
		w.next = now.Add(w.rest())
	}
	return w.next.Sub(now), false
}

// rest returns the next pause and doubles the one after it.
func (w *want) rest() time.Duration {
	d := w.pause
	w.pause = min(2*w.pause, BackoffMax)
	return d*3/4 + rand.N(d/2)
}

// round dials once and opens a session.
func (h *Host) round(ctx context.Context, w *want) {
	select {
	case h.dials.places <- struct{}{}:
		defer func() { <-h.dials.places }()
	case <-ctx.Done():
		return
	}
	h.mu.Lock()
	addrs := slices.Concat(w.addrs, w.hints, h.lan.at(w.peer))
	h.mu.Unlock()
	c, err := h.connect(ctx, w.peer, addrs)
	if err == nil {
		err = h.openSession(ctx, c, false)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil, errors.Is(err, ErrDuplicate), errors.Is(err, ErrStale):
		w.err, w.failed = nil, 0
	default:
		w.err = err
		w.failed++
	}
	w.next = time.Now().Add(w.rest())
}

// succeeded starts the pauses to id anew after a session that was of use.
func (h *Host) succeeded(id ident.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.wants[id]; w != nil {
		w.pause = BackoffMin
	}
}

// connect returns a connection to p: one that exists, or a new one.
func (h *Host) connect(ctx context.Context, p peer.ID, addrs []ma.Multiaddr) (network.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	defer h.dials.begin(p)()
	h.net.swarm.Backoff().Clear(p) // our own pauses rule
	if len(addrs) > 0 {
		h.net.store.ClearAddrs(p)
		h.net.store.AddAddrs(p, addrs, peerstore.TempAddrTTL)
	}
	c, err := h.net.swarm.DialPeer(network.WithAllowLimitedConn(ctx, "a relay will do"), p)
	if err != nil {
		return nil, dialError(err)
	}
	return c, nil
}

// CheckAddress says why id cannot be dialled at addr, a multiaddr with or without /p2p/<its peer id>.
func CheckAddress(id ident.ID, addr string) error {
	p, err := peerOf(id)
	if err != nil {
		return err
	}
	_, err = parseAddrs(p, []string{addr})
	return err
}

// CheckListen says why nobody can listen on addr.
func CheckListen(addr string) error {
	if _, err := ma.NewMultiaddr(addr); err != nil {
		return fmt.Errorf("address %q: %w", addr, err)
	}
	return nil
}

// parseAddrs reads multiaddrs, cuts a final /p2p/<p> off, and joins the errors of
// those that cannot be used.
func parseAddrs(p peer.ID, addrs []string) ([]ma.Multiaddr, error) {
	var list []ma.Multiaddr
	var bad []error
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			bad = append(bad, fmt.Errorf("address %q: %w", s, err))
			continue
		}
		at, named := peer.SplitAddr(a)
		if named != "" && named != p {
			bad = append(bad, fmt.Errorf("address %q belongs to %s, not to %s", s, named, p))
			continue
		}
		if len(at) == 0 {
			bad = append(bad, fmt.Errorf("address %q says who, but not where", s))
			continue
		}
		list = append(list, at)
	}
	return list, errors.Join(bad...)
}
