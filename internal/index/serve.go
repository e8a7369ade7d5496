package index

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"kula/ident"
	"kula/internal/p2p"
	"kula/route"
	"kula/wire"
)

const (
	// answersAhead is how many answers may wait to be written to one stream, and how many
	// go out with one system call.
	answersAhead = 8

	// bytesAhead is how much may wait before no question is read any more: an Answer has at most 75 KiB, a Feed 384 KiB. So
	// with the one that goes beyond it less than a megabyte waits.
	bytesAhead = answersAhead * 75 << 10
)

// bytesForOne is how much of a Feed counts as one question. To read, encode and encrypt them takes some microseconds, and a short search 25:
// a follower costs no more than one that asks. At questionRate it reads 40 MB/s; on one processor it verifies 36, signed ten at a time.
const bytesForOne = 2 << 10

// guest is one stream at the server.
type guest struct {
	server *Server
	id     ident.ID
	conn   *p2p.Framed
	last   time.Time   // when it asked for something, pings aside
	out    chan []byte // answers in order
	behind backlog
}

// backlog counts the bytes of answers that were not written yet.
type backlog struct {
	mu    sync.Mutex
	fewer sync.Cond // of mu
	bytes int
}

func (b *backlog) add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += n
	b.fewer.Signal()
}

// wait waits until no more than bytesAhead are left.
func (b *backlog) wait() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.bytes > bytesAhead {
		b.fewer.Wait()
	}
}

// serve answers the questions of one stream until it ends.
func (s *Server) serve(ctx context.Context, from ident.ID, conn *p2p.Framed) {
	s.enter(from, conn)
	defer s.leave(from, conn)
	g := &guest{server: s, id: from, conn: conn, out: make(chan []byte, answersAhead)}
	g.behind.fewer.L = &g.behind.mu
	var writing sync.WaitGroup
	writing.Go(g.write)
	err := g.read(ctx)
	close(g.out)
	writing.Wait()
	var fe *p2p.FrameError
	if errors.Is(err, errNoQuestion) || errors.As(err, &fe) {
		s.tally.broken.Add(1)
		s.log.Debug("stream broken off", "client", from.Short(), "reason", err)
	}
}

// enter counts a stream in; the oldest of an identity with too many ends.
func (s *Server) enter(from ident.ID, conn *p2p.Framed) {
	s.tally.opened.Add(1)
	s.tally.streams.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(from)
	if len(a.streams) >= streamsPerKey {
		old := a.streams[0]
		a.streams = a.streams[1:]
		s.tasks.Go(func() { old.Close() }) // which may wait for the network
	}
	a.streams = append(a.streams, conn)
}

func (s *Server) leave(from ident.ID, conn *p2p.Framed) {
	s.tally.streams.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(from)
	a.streams = slices.DeleteFunc(a.streams, func(c *p2p.Framed) bool { return c == conn })
}

// account of an identity, a new one if it is not known. s.mu is held.
func (s *Server) account(id ident.ID) *account {
	a := s.accounts[id]
	if a == nil {
		a = &account{}
		s.accounts[id] = a
	}
	return a
}

// errNoQuestion is wrapped by what a client sent against rule I3.
var errNoQuestion = errors.New("not a question")

// read takes questions in and queues their answers, until the stream ends; why it did.
func (g *guest) read(ctx context.Context) error {
	for {
		g.behind.wait()
		frame, err := g.conn.ReadFrame()
		if err != nil {
			return err
		}
		if !g.server.work.begin() {
			return p2p.ErrClosed
		}
		answer, err := g.handle(ctx, frame)
		if err != nil {
			g.server.work.done(1)
			return err
		}
		g.behind.add(len(answer))
		g.out <- answer // write always takes it
	}
}

// write sends answers, those that wait together.
func (g *guest) write() {
	var batch [][]byte
	for first := range g.out {
		batch = append(batch[:0], first)
		for more := true; more && len(batch) < answersAhead; {
			select {
			case b, ok := <-g.out:
				if more = ok; ok {
					batch = append(batch, b)
				}
			default:
				more = false
			}
		}
		g.conn.WriteFrames(batch) // on an error the stream is closed, and read notices
		for _, b := range batch {
			g.behind.add(-len(b))
		}
		g.server.work.done(len(batch))
	}
}

// handle answers one question with an encoded message.
func (g *guest) handle(ctx context.Context, frame []byte) ([]byte, error) {
	m, err := route.DecodeMessage(frame)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoQuestion, err)
	}
	if _, ping := m.(*route.Ping); !ping {
		g.conn.Used()
		g.last = time.Now()
	}
	announcements := 0
	if p, ok := m.(*route.Publish); ok {
		announcements = len(p.Announcements)
	}
	if err := g.wait(ctx, announcements, 1); err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *route.Ping:
		full := g.conn.Crowded() && time.Since(g.last) >= lull
		return route.EncodeMessage(&route.Pong{Version: route.Version, Instance: g.server.instance, Full: full}), nil
	case *route.Publish:
		return encoded(g.publish(ctx, m))
	case *route.Query:
		return encoded(g.server.search(ctx, m))
	case *route.Follow:
		return g.follow(ctx, m)
	default:
		return nil, fmt.Errorf("%w: message of kind %d", errNoQuestion, m.Kind())
	}
}

// encoded is what an answer is sent as.
func encoded[M route.Message](answer M, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return route.EncodeMessage(answer), nil
}

// follow answers a follower when it is its turn (rule I8), and holds the answer back if it has read too much (rule I6).
func (g *guest) follow(ctx context.Context, q *route.Follow) ([]byte, error) {
	s := g.server
	select {
	case suite := <-s.suites:
		answer := route.EncodeMessage(s.feedTo(g.id, q))
		s.suites <- suite
		return answer, g.wait(ctx, 0, len(answer)/bytesForOne)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// wait uses up the client's rates for one message and keeps to them (rule I6).
func (g *guest) wait(ctx context.Context, announcements, questions int) error {
	s, now := g.server, time.Now()
	s.mu.Lock()
	a := s.account(g.id)
	rest := max(a.questions.take(questions, s.rates.Questions, s.rates.Questions, now),
		a.announcements.take(announcements, s.rates.Announcements, s.rates.AnnouncementBurst, now))
	s.mu.Unlock()
	if rest == 0 {
		return nil
	}
	s.tally.paced.Add(1)
	t := time.NewTimer(rest)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publish verifies announcements outside the lock and applies them under it.
func (g *guest) publish(ctx context.Context, p *route.Publish) (*route.PublishResult, error) {
	s, result := g.server, &route.PublishResult{}
	var opened []route.Announcement
	var errs []error
	select {
	case suite := <-s.suites:
		opened, errs = g.open(suite, p.Announcements)
		s.suites <- suite
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if more := furtherEntries(opened, errs); more > 0 {
		if err := g.wait(ctx, more, 0); err != nil {
			return nil, err
		}
	}
	s.apply(p.Announcements, opened, errs)
	for i, err := range errs {
		if err == nil {
			result.Accepted++
			continue
		}
		r := route.RefusalOf(err)
		result.Problems = append(result.Problems, route.Problem{Place: uint32(i), Code: r.Code, Text: clean(r.Text)})
	}
	s.tally.accepted.Add(uint64(result.Accepted))
	s.tally.refused.Add(uint64(len(result.Problems)))
	return result, nil
}

// furtherEntries counts the currencies of announcements that will be applied, the first of each aside.
func furtherEntries(opened []route.Announcement, errs []error) (n int) {
	for i, a := range opened {
		if errs[i] == nil {
			n += max(0, len(a.Entries)-1)
		}
	}
	return n
}

// verifier is a Suite to verify with, for one goroutine at a time.
func verifier() ident.Suite {
	var unused [32]byte // nothing is signed with it
	rand.Read(unused[:])
	return ident.NewKey(unused)
}

// appliedAtOnce is after how many entries the graph is let go: a message of announcements in two currencies, which takes
// well below a millisecond. A node with a thousand friends in 32 currencies has its block of 1.4 MB written anew for each
// announcement that names more or fewer of them, a fifth of a millisecond; six or seven of those are as many entries.
const appliedAtOnce = 2 * route.MaxPublish

// apply applies what was opened without an error, and logs what changed the graph: so each
// announcement is passed on once, however often and by whomever it comes.
func (s *Server) apply(list []wire.Batched, opened []route.Announcement, errs []error) {
	var news []wire.Batched
	now := time.Now().Unix()
	entries := 0
	s.lock.Lock()
	for i, a := range opened {
		if errs[i] != nil {
			continue
		}
		if entries += max(1, len(a.Entries)); entries > appliedAtOnce {
			s.lock.Unlock() // those who wait for it are let in
			entries = 0
			s.lock.Lock()
		}
		var changed bool
		if changed, errs[i] = s.graph.Apply(a, now); changed {
			news = append(news, list[i])
		}
	}
	s.lock.Unlock()
	if s.feed == nil || len(news) == 0 {
		return
	}
	if err := s.feed.add(news); err != nil {
		s.log.Error("announcements will not be passed on", "reason", err)
	}
	s.tally.passed.Add(uint64(len(news)))
}

// feedTo answers a follower (rules I11 and I12).
func (s *Server) feedTo(from ident.ID, q *route.Follow) *route.Feed {
	if s.feed == nil {
		return &route.Feed{Code: wire.NotAllowed, Text: "this index server keeps no log to follow"}
	}
	if q.Peer && !slices.ContainsFunc(s.peers, func(l Link) bool { return l.Key == from }) {
		return &route.Feed{Code: wire.NotAllowed, Text: fmt.Sprintf("this index server does not name %s as a peer", from.Short())}
	}
	a, err := s.feed.read(q)
	if err != nil {
		s.log.Error("the log cannot be read", "reason", err)
		return &route.Feed{Code: wire.StorageFailed, Text: "the log cannot be read"}
	}
	return a
}

// open reads announcements that must be the client's own (rule I5).
func (g *guest) open(suite ident.Suite, list []wire.Batched) (opened []route.Announcement, errs []error) {
	return route.OpenAll(suite, list, func(a *route.Announcement) error {
		if a.Node == g.id {
			return nil
		}
		return &route.Refusal{Code: wire.NotAllowed, Text: fmt.Sprintf(
			"announcement of %s brought by %s; a node publishes its own and no others", a.Node.Short(), g.id.Short())}
	})
}

// search answers a query when it is its turn (rule I8).
func (s *Server) search(ctx context.Context, q *route.Query) (answer *route.Answer, err error) {
	select {
	case finder := <-s.finders:
		s.lock.RLock()
		answer = finder.Answer(q)
		s.lock.RUnlock()
		s.finders <- finder
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.tally.questions.Add(1)
	if answer.Code == wire.CodeNone {
		s.tally.routes.Add(1)
	}
	return answer, nil
}

// clean makes a text fit for a message: a decoder's error may quote what a stranger
// wrote.
func clean(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), wire.MaxText)], "")
	if wire.CleanText(text, wire.MaxText) != nil {
		return "malformed"
	}
	return text
}
