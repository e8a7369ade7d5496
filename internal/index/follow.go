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

// pollEvery is how often a follower that has everything asks again: what a friend's phone
// learns of a changed capacity a fifth of a second late fails no more payments than the second
// that nodes wait between two announcements.
const pollEvery = 200 * time.Millisecond

// follow reads a server's feed from a place on until the stream or ctx ends, hands all
// it reads to take, and moves the place on. It asks for what comes next while take has its time.
func follow(ctx context.Context, open Opener, link Link, at *route.Follow, take func(f *route.Feed) error) error {
	dial, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := open.Open(dial, link.Key, link.Addrs, Protocol, p2p.Limits{MaxFrame: route.MaxMessage})
	if err != nil {
		return err
	}
	l := newLine(link.Key, conn)
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(l.read)
	defer l.shut()
	defer context.AfterFunc(ctx, l.shut)()
	if _, err := l.greet(dial); err != nil {
		return err
	}
	for {
		feed, err := askFeed(ctx, l, *at)
		for more := true; more && err == nil; {
			more = feed.More && len(feed.Announcements) > 0
			place := route.Follow{Epoch: feed.Epoch, After: feed.Next, Sum: feed.Sum, Peer: at.Peer}
			var next *route.Feed
			var asking sync.WaitGroup
			if more { // while this is taken
				asking.Go(func() { next, err = askFeed(ctx, l, place) })
			}
			taken := take(feed)
			asking.Wait()
			if taken != nil {
				return taken
			}
			*at, feed = place, next
		}
		if err != nil {
			if _, refused := errors.AsType[*route.Refusal](err); refused {
				at.Epoch, at.After, at.Sum = 0, 0, 0 // a place where it cannot read is no place to come back to
			}
			return err
		}
		t := time.NewTimer(pollEvery)
		select {
		case <-t.C:
		case <-l.dead:
			t.Stop()
			return l.reason()
		}
	}
}

func askFeed(ctx context.Context, l *line, q route.Follow) (*route.Feed, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	m, err := l.call(ctx, &q)
	if err != nil {
		return nil, err
	}
	feed, ok := m.(*route.Feed)
	if !ok {
		return nil, fmt.Errorf("it answered a follower with a message of kind %d", m.Kind())
	}
	if feed.Code != wire.CodeNone {
		return nil, &route.Refusal{Code: feed.Code, Text: feed.Text}
	}
	return feed, nil
}

// keepFollowing follows until ctx ends, again and again from where it was; failed is called after each time.
func keepFollowing(ctx context.Context, log *slog.Logger, open Opener, link Link, peer bool, take func(f *route.Feed) error, failed func()) {
	at := &route.Follow{Peer: peer}
	for rest := pause; ctx.Err() == nil; rest = min(2*rest, longestPause) {
		began := time.Now()
		err := follow(ctx, open, link, at, take)
		failed()
		if time.Since(began) > longestPause {
			rest = pause
		}
		log.Info("index server no longer followed", "server", link.Key.Short(), "retry", rest, "reason", err)
		t := time.NewTimer(rest)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// Mirror is a copy of an index server's graph that answers on this machine, so that no
// server learns who pays whom. It believes nothing but what nodes signed. Its methods may be called
// from any goroutine.
type Mirror struct {
	open  Opener
	log   *slog.Logger
	life  context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu        sync.Mutex
	following []followed

	lock    sync.RWMutex
	graph   *route.Graph
	whole   chan struct{} // closed once everything that one server had was read
	finders chan *route.Finder
}

// followed is a server that a mirror follows, until end is called.
type followed struct {
	link    Link
	end     context.CancelFunc
	settled chan struct{} // closed once it was read to its end, or failed
}

// NewMirror makes an empty copy; max bounds the entries kept, as in Options.
func NewMirror(open Opener, log *slog.Logger, max int) *Mirror {
	m := &Mirror{open: open, log: log, graph: route.NewGraph(max), whole: make(chan struct{}), finders: make(chan *route.Finder, 1)}
	m.finders <- m.graph.Finder()
	m.life, m.end = context.WithCancel(context.Background())
	m.tasks.Go(func() { m.keep(m.life) })
	return m
}

// Use has the mirror follow these servers and no others. What others said stays: nodes signed it.
func (m *Mirror) Use(links []Link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life.Err() != nil {
		return
	}
	same := func(a Link) func(followed) bool {
		return func(f followed) bool { return f.link.Key == a.Key && slices.Equal(f.link.Addrs, a.Addrs) }
	}
	var now []followed
	for _, l := range links {
		if i := slices.IndexFunc(m.following, same(l)); i >= 0 {
			now = append(now, m.following[i])
			m.following = slices.Delete(m.following, i, i+1)
			continue
		}
		now = append(now, m.follow(l))
	}
	for _, f := range m.following {
		f.end()
	}
	m.following = now
}

// follow begins to read a server's feed.
func (m *Mirror) follow(l Link) followed {
	ctx, end := context.WithCancel(m.life)
	suite, settled := verifier(), make(chan struct{})
	settle := sync.OnceFunc(func() { close(settled) })
	m.tasks.Go(func() {
		keepFollowing(ctx, m.log, m.open, l, false, func(f *route.Feed) error {
			m.take(suite, f.Announcements)
			if !f.More {
				m.read()
				settle()
			}
			return nil
		}, settle)
	})
	return followed{l, end, settled}
}

// read notes that everything a server had was read.
func (m *Mirror) read() {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.whole:
	default:
		close(m.whole)
	}
}

// take verifies and applies what a server says.
func (m *Mirror) take(suite ident.Suite, list []wire.Batched) {
	opened, errs := route.OpenAll(suite, list, nil)
	now := time.Now().Unix()
	m.lock.Lock()
	defer m.lock.Unlock()
	for i, a := range opened {
		if errs[i] == nil {
			_, errs[i] = m.graph.Apply(a, now)
		}
		if errs[i] != nil {
			m.log.Debug("announcement refused", "text", errs[i])
		}
	}
}

func (m *Mirror) keep(ctx context.Context) {
	t := time.NewTicker(expireEvery)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			for first, more := 0, true; more; {
				m.lock.Lock()
				_, first = m.graph.ExpireSome(first, expireAtOnce, now.Unix())
				more = first < m.graph.Nodes()
				m.lock.Unlock()
			}
		case <-ctx.Done():
			return
		}
	}
}

// Ask answers a query from the copy. It waits until a server was read, and as long as no way is known until all
// were, at most for the time that a server may take, or ctx ends. Before all were read (or failed) nothing is proved.
func (m *Mirror) Ask(ctx context.Context, q *route.Query) (*route.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	select {
	case <-m.whole:
	case <-ctx.Done():
		return nil, errors.New("the mirror has read no index server since the node started: it keeps its copy in memory (kula index list says what is reached)")
	}
	for {
		wait := m.unsettled()
		a, err := m.search(ctx, q)
		if err != nil || wait == nil {
			return a, err
		}
		a.Proved = false
		if out := a.Outcome(); out == route.OutcomeRoutes || out == route.OutcomeRefused {
			return a, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return a, nil
		}
	}
}

// unsettled is closed when the first server that is still to be read was; nil if there is none.
func (m *Mirror) unsettled() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.following {
		select {
		case <-f.settled:
		default:
			return f.settled
		}
	}
	return nil
}

// search answers a query from the copy as it is.
func (m *Mirror) search(ctx context.Context, q *route.Query) (*route.Answer, error) {
	select {
	case f := <-m.finders:
		m.lock.RLock()
		a := f.Answer(q)
		m.lock.RUnlock()
		m.finders <- f
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Size counts the nodes, announcements and edges of the copy.
func (m *Mirror) Size() (nodes, announcements, edges int) {
	m.lock.RLock()
	defer m.lock.RUnlock()
	return m.graph.Size()
}

// Close ends all connections and waits until nothing is left of them.
func (m *Mirror) Close() {
	m.mu.Lock()
	m.end()
	m.mu.Unlock()
	m.tasks.Wait()
}
