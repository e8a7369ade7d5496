package find

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"kula/ident"
)

// Republish is how often what is published has to be published again: nodes of the DHT
// forget after two hours, and peers after half an hour (BEP 5 leaves it open).
const Republish = 25 * time.Minute

// recheck is how often Renew is called. A relay that keeps its records in memory has lost them when it was restarted:
// so whoever published there is missed for a minute, for one request of a kilobyte in each. A relay whose answers are old, or which
// wants to be left alone, is asked more seldom: see Renew.
const recheck = time.Minute

// place is where records are published and looked up.
type place interface {
	fmt.Stringer
	publish(ctx context.Context, r *Record) error
	resolve(ctx context.Context, key ident.ID) (*Record, error)
}

// Finder publishes and resolves. Its methods may be called from any goroutine.
type Finder struct {
	// Recheck is how often whoever publishes calls Renew: a minute, unless set otherwise before.
	Recheck time.Duration

	places []place
	dht    *mainline // nil: none

	mu   sync.Mutex
	last *Record // that was to be published; nil: none
}

// CheckPlace says why text names no place: "dht", "dht:HOST:PORT", or the URL of a Pkarr relay.
func CheckPlace(text string) error {
	if _, ok, err := dhtPlace(text); ok || err != nil {
		return err
	}
	_, err := newWeb(text)
	return err
}

// dhtPlace reads the places of the DHT: the public one, or a node of another.
func dhtPlace(text string) (start string, ok bool, err error) {
	if text == "dht" {
		return "", true, nil
	}
	start, ok = strings.CutPrefix(text, "dht:")
	if !ok {
		return "", false, nil
	}
	if _, _, err := net.SplitHostPort(start); err != nil {
		return "", false, fmt.Errorf("%q: write dht, or dht:HOST:PORT", text)
	}
	return start, true, nil
}

// Open makes a Finder for places as CheckPlace knows them; several dht:HOST:PORT are nodes of
// one DHT. Nothing is sent before it is used.
func Open(places []string) (*Finder, error) {
	f := &Finder{Recheck: recheck}
	var start []string
	public, private := false, false
	for _, text := range places {
		at, ok, err := dhtPlace(text)
		switch {
		case err != nil:
			return nil, err
		case ok && at == "":
			public = true
		case ok:
			private, start = true, append(start, at)
		default:
			w, err := newWeb(text)
			if err != nil {
				return nil, err
			}
			f.places = append(f.places, w)
		}
	}
	if public && private {
		return nil, errors.New("dht and dht:HOST:PORT: choose one")
	}
	if public || private {
		var err error
		if f.dht, err = newMainline(start); err != nil {
			return nil, err
		}
		f.places = append(f.places, f.dht)
	}
	return f, nil
}

// Close ends the socket of the DHT.
func (f *Finder) Close() {
	if f.dht != nil {
		f.dht.close()
	}
}

// each does something at all places at once and joins the errors, with the places' names.
func (f *Finder) each(do func(place) error) []error {
	out := make(chan error, len(f.places))
	for _, p := range f.places {
		go func() {
			err := do(p)
			if err != nil {
				err = fmt.Errorf("%s: %w", p, err)
			}
			out <- err
		}()
	}
	var errs []error
	for range f.places {
		if err := <-out; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Publish says at all places where the identity of seed can be reached. It fails if no place
// took it.
func (f *Finder) Publish(ctx context.Context, seed [32]byte, addrs []string) error {
	r, err := New(seed, addrs, now())
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.last = r
	f.mu.Unlock()
	errs := f.each(func(p place) error { return p.publish(ctx, r) })
	if len(errs) == len(f.places) {
		return errors.Join(errs...)
	}
	return nil
}

// Renew publishes the record of the last Publish again at those relays that have none of its key, or an older one: they were
// restarted, or were not there. One that did not have it, or failed, is let be at the next call, then at the next three, seven
// and so on, up to Republish, or for as long as it asks for; one that has it is asked at each call. The DHT is not asked: it does
// not forget at once, and a walk through it is 50 questions. The error joins those of the relays that were asked and do not answer
// or do not take it.
func (f *Finder) Renew(ctx context.Context) error {
	f.mu.Lock()
	r := f.last
	f.mu.Unlock()
	if r == nil {
		return nil
	}
	return errors.Join(f.each(func(p place) error {
		if w, ok := p.(*web); ok {
			return w.renew(ctx, r, f.Recheck)
		}
		return nil
	})...)
}

// Resolve looks where key can be reached, by its newest record at any place.
func (f *Finder) Resolve(ctx context.Context, key ident.ID) ([]string, error) {
	found := make(chan *Record, len(f.places))
	errs := f.each(func(p place) error {
		r, err := p.resolve(ctx, key)
		if err == nil {
			found <- r
		}
		return err
	})
	close(found)
	var best *Record
	for r := range found {
		if r.newer(best) {
			best = r
		}
	}
	if best == nil {
		return nil, errors.Join(errs...)
	}
	return best.Addresses(), nil
}

// errNoDHT is the error of what only the DHT can do.
var errNoDHT = errors.New("servers are announced on the DHT: choose dht")

// Announce says on the DHT that a server of a kind listens on port of this machine.
func (f *Finder) Announce(ctx context.Context, k Kind, port uint16) error {
	if f.dht == nil {
		return errNoDHT
	}
	return f.dht.announce(ctx, k, port)
}

// Servers looks on the DHT for servers of a kind.
func (f *Finder) Servers(ctx context.Context, k Kind) ([]netip.AddrPort, error) {
	if f.dht == nil {
		return nil, errNoDHT
	}
	list, _, err := f.dht.servers(ctx, k)
	return list, err
}
