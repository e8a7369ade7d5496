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

	// pause and longestPause bound the wait between attempts, which doubles.
	pause        = 500 * time.Millisecond
	longestPause = time.Minute

	// pingEvery keeps an idle connection from being taken for a dead one.
	pingEvery = 30 * time.Second

	// maxQueue bounds announcements that wait for one server. A node with 1,000
	// channels in 32 currencies has 32,000; beyond it the server is connected anew
	// and gets everything once.
	maxQueue = 50_000
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
// servers, hands announcements to all of them and asks them for routes. When a server
// is reached (again) it wants all announcements: what waited for it before is dropped.
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
	changed chan struct{} // closed and replaced when a server's standing changes
}

// NewClient makes a client without servers. republish is called, from any goroutine, when one of
// those that Use names was reached: it must have all announcements published again, then call done.
func NewClient(open Opener, log *slog.Logger, republish func(done func())) *Client {
	c := &Client{open: open, log: log, republish: republish, changed: make(chan struct{})}
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
		s := &server{client: c, link: choice.Link, trusted: choice.Trusted, wake: make(chan struct{}, 1)}
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
	Waiting   int   // announcements that it has not confirmed yet
	Complete  bool  // it has confirmed everything that was published
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
		list = append(list, Standing{s.link.Key, s.line != nil, len(s.queue) + s.sent, s.complete(), s.wrong.count(now), s.away})
	}
	return list, c.changed
}

// Publish hands announcements to every server that is connected. It never waits.
func (c *Client) Publish(list []wire.Batched) {
	if len(list) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.servers {
		if s.line == nil {
			continue // it gets everything once it is reached
		}
		if len(s.queue)+len(list) > maxQueue {
			s.line.shut()
			continue
		}
		s.queue = append(s.queue, list...)
		s.poke()
	}
	c.change()
}

// Flush waits until every connected server has confirmed what was published, or ctx ends.
func (c *Client) Flush(ctx context.Context) {
	for {
		list, changed := c.Standings()
		waiting := false
		for _, s := range list {
			waiting = waiting || s.Connected && s.Waiting > 0
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
var ErrNone = errors.New("no index server is configured (kula up --index)")

// Ask puts a query to the servers, one after the other (rule I14), until one has routes that add up; it says
// whose they are. If none is connected it waits for the first that will be, up to the time for one answer. If
// none has a route, that is the answer, as the first said it. The error says why there is no answer at all.
func (c *Client) Ask(ctx context.Context, q *route.Query) (*route.Answer, ident.ID, error) {
	var best *route.Answer
	var from ident.ID
	var problems []error
	for waited := false; ; {
		lines, count, changed := c.lines()
		if count == 0 {
			return nil, from, ErrNone
		}
		for _, l := range lines {
			a, err := askOne(ctx, l, q)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", l.server.Short(), err))
				continue
			}
			if err := checkAnswer(l.server, q, a); err != nil {
				c.Wrong(l.server)
				problems = append(problems, err)
				continue
			}
			if best == nil || betterAnswer(a, best) {
				best, from = a, l.server
			}
			if a.Code == wire.CodeNone && len(a.Unknown) == 0 {
				return a, l.server, nil
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

// lines are the live connections, in the order in which they are to be asked, of how many servers.
func (c *Client) lines() (list []*line, servers int, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range inOrder(c.servers, time.Now()) {
		if s.line != nil {
			list = append(list, s.line)
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
			var lines []*line
			if lines, _, changed = c.lines(); len(lines) > 0 {
				return true
			}
		case <-ctx.Done():
			return true
		case <-c.life.Done():
			return true
		}
	}
}

func askOne(ctx context.Context, l *line, q *route.Query) (*route.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	m, err := l.call(ctx, q)
	if err != nil {
		return nil, err
	}
	a, ok := m.(*route.Answer)
	if !ok {
		l.shut()
		return nil, fmt.Errorf("it answered a query with a message of kind %d", m.Kind())
	}
	return a, nil
}

// server is one index server as the client keeps it. Its own goroutine runs keep; what
// changes is guarded by Client.mu.
type server struct {
	client *Client
	link   Link
	wake   chan struct{} // 1 place: the queue has grown
	life   context.Context
	end    context.CancelFunc // the user wants it no more

	trusted bool
	wrong   misses

	line  *line // nil: not connected
	queue []wire.Batched
	sent  int   // under way to it
	fed   bool  // all announcements were queued since it was reached
	away  error // why it is not connected; nil if it is, or was not tried yet
}

func (s *server) complete() bool { return s.line != nil && s.fed && len(s.queue)+s.sent == 0 }

func (s *server) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// keep connects, serves the connection until it breaks, and begins again.
func (s *server) keep() {
	rest := pause
	for {
		began := time.Now()
		err := s.visit()
		if s.life.Err() != nil {
			return
		}
		if time.Since(began) > longestPause {
			rest = pause
		}
		s.leftFor(err)
		s.client.log.Info("index server away", "server", s.link.Key.Short(), "retry", rest, "reason", err)
		t := time.NewTimer(rest)
		select {
		case <-t.C:
		case <-s.life.Done():
			t.Stop()
			return
		}
		rest = min(2*rest, longestPause)
	}
}

// visit is one connection from its opening to its end, and why it ended.
func (s *server) visit() error {
	c := s.client
	ctx, cancel := context.WithTimeout(s.life, openTimeout)
	defer cancel()
	conn, err := c.open.Open(ctx, s.link.Key, s.link.Addrs, Protocol, p2p.Limits{MaxFrame: route.MaxMessage})
	if err != nil {
		return err
	}
	l := newLine(s.link.Key, conn)
	defer context.AfterFunc(s.life, l.shut)()
	c.tasks.Go(l.read)
	defer l.shut()
	if err := l.greet(ctx); err != nil {
		return err
	}
	s.attach(l)
	defer s.attach(nil)
	c.log.Info("index server connected", "server", s.link.Key.Short())
	c.tasks.Go(func() { c.republish(func() { s.feed(l) }) })
	return s.serve(l)
}

// attach notes that the server is connected by l, or with nil that it is not.
func (s *server) attach(l *line) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.line, s.queue, s.sent, s.fed, s.away = l, nil, 0, false, nil
	s.client.change()
}

// leftFor notes why the server is not connected.
func (s *server) leftFor(err error) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.away = err
	s.client.change()
}

// feed notes that everything was queued for l.
func (s *server) feed(l *line) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.line == l {
		s.fed = true
		s.client.change()
	}
}

// serve publishes what is queued until the connection ends.
func (s *server) serve(l *line) error {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		select {
		case <-s.wake:
			for {
				list := s.take()
				if len(list) == 0 {
					break
				}
				if err := s.publish(l, list); err != nil {
					return err
				}
			}
		case <-ping.C:
			ctx, cancel := context.WithTimeout(s.life, publishTimeout)
			err := l.greet(ctx)
			cancel()
			if err != nil {
				return err
			}
		case <-l.dead:
			return l.reason()
		}
	}
}

// take moves the next announcements from the queue to those under way; none is left if it is empty.
func (s *server) take() []wire.Batched {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	n := min(len(s.queue), route.MaxPublish)
	list := s.queue[:n:n]
	s.queue, s.sent = s.queue[n:], n
	s.client.change()
	return list
}

// publish hands announcements in and logs which of them were refused.
func (s *server) publish(l *line, list []wire.Batched) error {
	ctx, cancel := context.WithTimeout(s.life, publishTimeout)
	defer cancel()
	m, err := l.call(ctx, &route.Publish{Announcements: list})
	if err != nil {
		return err
	}
	result, ok := m.(*route.PublishResult)
	if !ok {
		return fmt.Errorf("it answered announcements with a message of kind %d", m.Kind())
	}
	for _, p := range result.Problems {
		s.client.log.Warn("announcement refused", "server", s.link.Key.Short(), "code", p.Code.String(), "text", p.Text)
	}
	return nil
}
