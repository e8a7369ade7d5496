package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"kula/ident"
	"kula/internal/p2p"
	"kula/route"
	"kula/wire"
)

const (
	// askTimeout is how long one server may take for a route: a search is done in
	// milliseconds, so this is the network's share on a bad link.
	askTimeout = 3 * time.Second

	// publishTimeout is how long one may take to confirm announcements: a hundred
	// signatures to verify, behind those of others.
	publishTimeout = 15 * time.Second

	// openTimeout bounds one attempt to connect.
	openTimeout = 10 * time.Second

	// pause and longestPause bound the wait between attempts, which doubles; ± half of it, by chance.
	pause        = 500 * time.Millisecond
	longestPause = time.Minute

	// pingEvery keeps an idle connection from being taken for a dead one.
	pingEvery = 30 * time.Second

	// fullFor is how long it counts that a server said it is full: it says so every pingEvery.
	fullFor = 2 * pingEvery

	// leastRest and mostRest bound how long a node stays away from a full server without anything to do there: what it
	// announced lives for half an hour, so mostly it comes back sooner, to renew it.
	leastRest = 30 * time.Minute
	mostRest  = time.Hour
)

// Opener opens framed streams; *p2p.Host is one.
type Opener interface {
	Open(ctx context.Context, id ident.ID, addrs []string, proto string, limits p2p.Limits) (*p2p.Framed, error)
}

// ParseURIs reads kula:index links, each naming a server once.
func ParseURIs(uris []string) ([]Link, error) {
	var list []Link
	for _, u := range uris {
		l, err := ParseURI(u)
		if err != nil {
			return nil, err
		}
		for _, other := range list {
			if other.Key == l.Key {
				return nil, fmt.Errorf("index link: server %s is named twice", l.Key.Short())
			}
		}
		list = append(list, l)
	}
	return list, nil
}

// Client is a node's side of the protocol. It keeps one connection to each of its
// servers, hands announcements to all of them and asks them for routes. What a server has not confirmed waits for it; one that is
// reached and may have forgotten what it confirmed gets everything again (rule I15).
// Methods may be called from any goroutine, and only Ask and Flush wait.
type Client struct {
	open      Opener
	log       *slog.Logger
	republish func(done func())
	life      context.Context
	end       context.CancelFunc
	tasks     sync.WaitGroup

	mu      sync.Mutex
	servers []*server
	known   map[ident.ID]uint64 // newest number published about each friend
	changed chan struct{}       // closed and replaced when a server's standing changes
}

// NewClient makes a client without servers. republish is called, from any goroutine, when one of
// those that Use names was reached: it must have all announcements published again, and all withdrawals that have not expired, then call done.
func NewClient(open Opener, log *slog.Logger, republish func(done func())) *Client {
	c := &Client{open: open, log: log, republish: republish, known: map[ident.ID]uint64{}, changed: make(chan struct{})}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// Choice is a server to use.
type Choice struct {
	Link
	Trusted bool // by the user (rule I14)
}

// Use has the client keep to these servers and no others, in this order. Connections to those that it
// used before stay; with others it ends. After Close it does nothing.
func (c *Client) Use(list []Choice) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return
	}
	old := c.servers
	c.servers = nil
	for _, choice := range list {
		i := slices.IndexFunc(old, func(s *server) bool {
			return s.link.Key == choice.Key && slices.Equal(s.link.Addrs, choice.Addrs)
		})
		if i >= 0 {
			old[i].trusted = choice.Trusted
			c.servers = append(c.servers, old[i])
			old = slices.Delete(old, i, i+1)
			continue
		}
		s := &server{client: c, link: choice.Link, trusted: choice.Trusted, wake: make(chan struct{}, 1), asked: make(chan struct{}, 1)}
		s.life, s.end = context.WithCancel(c.life)
		c.servers = append(c.servers, s)
		c.tasks.Go(s.keep)
	}
	for _, s := range old {
		s.end()
	}
	c.change()
}

// Standing is how far the client is with one server.
type Standing struct {
	Key       ident.ID
	Connected bool
	Resting   bool  // not connected because it is full and there is nothing to do there
	Waiting   int   // announcements that it has not confirmed yet
	Complete  bool  // it has confirmed everything that was published, and refused nothing
	Wrong     int   // answers that turned out wrong lately
	Err       error // why the last attempt or connection ended; nil while it is connected and before the first
}

// Standings tells how far the client is with each server, in the order of Use,
// and gives a channel that is closed when that changes.
func (c *Client) Standings() ([]Standing, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var list []Standing
	for _, s := range c.servers {
		list = append(list, Standing{s.link.Key, s.line != nil, s.resting, len(s.queue) + len(s.flying), s.complete(), s.wrong.count(now), s.away})
	}
	return list, c.changed
}

// Publish hands announcements and withdrawals to every server: those that were published before to those only that may not know them. For
// a server that is not reached the newest about each friend waits until it expires. It never waits itself.
func (c *Client) Publish(list []wire.Batched) {
	if len(list) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all, news := c.sort(list)
	for _, s := range c.servers {
		if s.whole {
			s.add(news)
		} else {
			s.add(all)
		}
	}
	c.change()
}

// sort reads announcements, and says which of them were not published before. c.mu is held.
func (c *Client) sort(list []wire.Batched) (all, news []queued) {
	for _, b := range list {
		a, err := route.Decode(b.Body)
		if err != nil {
			c.log.Error("what is no announcement is not published", "reason", err)
			continue
		}
		q := queued{a.Friend, a.Number, a.Expires, len(a.Entries) == 0, b}
		all = append(all, q)
		if a.Number > c.known[a.Friend] {
			c.known[a.Friend] = a.Number
			news = append(news, q)
		}
	}
	return all, news
}

// Flush waits until every server that is connected or rested from has confirmed what was published, or ctx ends.
func (c *Client) Flush(ctx context.Context) {
	for {
		list, changed := c.Standings()
		waiting := false
		for _, s := range list {
			waiting = waiting || (s.Connected || s.Resting) && s.Waiting > 0
		}
		if !waiting {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// Close ends all connections and waits until nothing is left of them.
func (c *Client) Close() {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.tasks.Wait()
}

// change tells all who watch Standings. c.mu is held.
func (c *Client) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// ErrNone is the answer of a client without servers.
var ErrNone = errors.New("no index server is configured, or all are blocked (kula up --index; kula index list)")

// Ask puts a query to the servers, one after the other (rule I14), until one has routes that add up; it says
// whose they are. If none is connected it waits for the first that will be, up to the time for one answer. If
// none has a route, that is the answer, as the first said it. The error says why there is no answer at all.
func (c *Client) Ask(ctx context.Context, q *route.Query) (*route.Answer, ident.ID, error) {
	var best *route.Answer
	var from ident.ID
	var problems []error
	for waited := false; ; {
		servers, count, changed := c.ready()
		if count == 0 {
			return nil, from, ErrNone
		}
		for i, s := range servers {
			key := s.link.Key
			a, err := s.ask(ctx, q, best == nil && i == len(servers)-1)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", key.Short(), err))
				continue
			}
			if err := checkAnswer(key, q, a); err != nil {
				c.Wrong(key)
				problems = append(problems, err)
				continue
			}
			if best == nil || betterAnswer(a, best) {
				best, from = a, key
			}
			if a.Code == wire.CodeNone && len(a.Unknown) == 0 {
				return a, key, nil
			}
		}
		if best != nil {
			return best, from, nil
		}
		if waited || len(problems) > 0 {
			return nil, from, noAnswer(count, problems)
		}
		waited = c.await(ctx, changed)
	}
}

// betterAnswer says whether a is of more use than b: routes more than none, and the more of their fees are known.
func betterAnswer(a, b *route.Answer) bool {
	if ok := a.Code == wire.CodeNone; ok != (b.Code == wire.CodeNone) {
		return ok
	}
	return len(a.Unknown) < len(b.Unknown)
}

func noAnswer(servers int, problems []error) error {
	if len(problems) == 0 {
		return fmt.Errorf("none of %d index servers could be reached", servers)
	}
	return fmt.Errorf("none of %d index servers answers: %w", servers, errors.Join(problems...))
}

// ready are the servers that are connected or rested from, in the order in which they are to be asked, and of how many. If
// there are none, all are tried again at once.
func (c *Client) ready() (list []*server, of int, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range inOrder(c.servers, time.Now()) {
		if s.line != nil || s.resting {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		for _, s := range c.servers {
			s.need()
		}
	}
	return list, len(c.servers), c.changed
}

// await waits until some server is connected; true if that was in vain or it is time to give up.
func (c *Client) await(ctx context.Context, changed <-chan struct{}) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for {
		select {
		case <-changed:
			var list []*server
			if list, _, changed = c.ready(); len(list) > 0 {
				return true
			}
		case <-ctx.Done():
			return true
		case <-c.life.Done():
			return true
		}
	}
}
