package index

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"kula/ident"
	"kula/internal/p2p"
	"kula/route"
	"kula/wire"
)

// server is one index server as the client keeps it. Its own goroutine runs keep; what
// changes is guarded by Client.mu.
type server struct {
	client *Client
	link   Link
	wake   chan struct{} // 1 place: there is something to publish or to ask
	asked  chan struct{} // 1 place: somebody has a question, and no server is connected
	life   context.Context
	end    context.CancelFunc // the user wants it no more

	trusted bool
	wrong   misses

	line    *line // nil: not connected
	resting bool  // left because it is full, until there is something to do
	asking  int   // questions that are under way to it or wait for a connection
	visits  int   // connections and attempts to connect that have ended
	full    time.Time
	away    error // why it is not connected; nil if it is, or was not tried yet

	// What it knows.
	instance uint64            // of the graph that confirmed it
	whole    bool              // everything that was published, refused, queue and flying aside
	refused  map[ident.ID]bool // friends about whom it did not take the newest announcement
	queue    []queued          // to be published, one about each friend
	flying   []queued          // under way to it
}

// queued is an announcement that a server has not confirmed.
type queued struct {
	friend  ident.ID
	number  uint64
	expires int64 // unix seconds
	gone    bool  // it is a withdrawal
	signed  wire.Batched
}

func (s *server) complete() bool {
	return (s.line != nil || s.resting) && s.whole && len(s.refused)+len(s.queue)+len(s.flying) == 0
}

// poke says that there is something to do. Client.mu is held, so that rests misses none.
func (s *server) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// add queues announcements in place of older ones about the same friends. Client.mu is held.
func (s *server) add(list []queued) {
	if len(list) == 0 {
		return
	}
	for _, q := range list {
		i := slices.IndexFunc(s.queue, func(old queued) bool { return old.friend == q.friend })
		switch {
		case i < 0:
			s.queue = append(s.queue, q)
		case s.queue[i].number < q.number:
			s.queue[i] = q
		}
	}
	s.poke()
}

// need says that somebody has a question and there is nobody to ask. Client.mu is held.
func (s *server) need() {
	s.poke()
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// errRests is why a connection ended that this side needed no longer.
var errRests = errors.New("it is full, and there is nothing to do")

// keep connects, serves the connection until it ends, and begins again.
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
		wait, wake := s.leftFor(err, rest/2+rand.N(rest)) // nodes that were cut together do not come back together
		s.client.log.Info("index server away", "server", s.link.Key.Short(), "retry", wait, "reason", err)
		if !s.stayAway(wait, wake) {
			return
		}
		rest = min(2*rest, longestPause)
		if wait > longestPause { // it was a rest
			rest = pause
		}
	}
}

// stayAway waits until it is time to connect, wake says so, or, a moment after the last attempt, somebody has a question and there
// is no server to ask. It reports whether the server is still wanted.
func (s *server) stayAway(wait time.Duration, wake <-chan struct{}) bool {
	over, least := time.NewTimer(wait), time.NewTimer(pause)
	defer over.Stop()
	defer least.Stop()
	var asked <-chan struct{}
	for {
		select {
		case <-over.C:
			return true
		case <-wake:
			return true
		case <-asked:
			return true
		case <-least.C:
			asked = s.asked
		case <-s.life.Done():
			return false
		}
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
	pong, err := l.greet(ctx)
	if err != nil {
		return err
	}
	if knows := s.attach(l, pong); !knows {
		c.tasks.Go(func() { c.republish(func() { s.feed(l) }) })
	}
	c.log.Info("index server connected", "server", s.link.Key.Short())
	return s.serve(l, pong)
}

// attach notes that the server is connected by l, and says whether it knows what was published, but for what is queued. If not, that
// waits for everything else.
func (s *server) attach(l *line, pong *route.Pong) (knows bool) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.line, s.resting, s.away = l, false, nil
	knows = s.whole && len(s.refused) == 0 && pong.Instance != 0 && pong.Instance == s.instance
	if !knows {
		s.instance, s.whole, s.refused = pong.Instance, false, nil
		s.still()
	} else if len(s.queue) > 0 {
		s.poke()
	}
	s.client.change()
	return knows
}

// leftFor notes why the server is not connected any more, and says how long to stay away if nothing comes from wake. A
// connection on which nothing was to be done wakes; who cannot be reached, or leaves in the middle, is given its time.
func (s *server) leftFor(err error, rest time.Duration) (wait time.Duration, wake <-chan struct{}) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	defer s.client.change()
	s.visits++
	idle := s.line != nil && s.idle()
	if idle && time.Since(s.full) < fullFor { // it did what it had said
		s.rest()
	}
	news := s.queue
	s.line, s.queue, s.flying = nil, s.flying, nil
	s.add(news)
	if errors.Is(err, errRests) || idle && s.resting {
		return restTime(), s.wake
	}
	s.resting, s.away = false, err
	if idle {
		return rest, s.wake
	}
	return rest, nil
}

// restTime is taken by chance, so that nodes that left together do not come back together.
func restTime() time.Duration { return leastRest + rand.N(mostRest-leastRest) }

// idle says whether the server knows everything and nothing is to be asked. Client.mu is held.
func (s *server) idle() bool { return s.whole && s.asking == 0 && len(s.queue)+len(s.flying) == 0 }

// rest begins to rest. Client.mu is held, and the server is idle.
func (s *server) rest() {
	s.line, s.resting, s.away = nil, true, nil
	s.still()
}

// still takes back what poke said. Client.mu is held.
func (s *server) still() {
	select {
	case <-s.wake:
	default:
	}
}

// feed notes that everything was queued for l.
func (s *server) feed(l *line) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.line == l {
		s.whole = true
		s.poke()
		s.client.change()
	}
}

// rests says whether the line may go after what the server said.
func (s *server) rests(pong *route.Pong) bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if !pong.Full {
		return false
	}
	s.full = time.Now()
	if s.line == nil || !s.idle() {
		return false
	}
	s.rest()
	s.client.change()
	return true
}

// serve publishes what is queued until the connection ends. A full server is asked whether it still is as soon as nothing
// was to do for a while, others now and then.
func (s *server) serve(l *line, pong *route.Pong) error {
	if s.rests(pong) {
		return errRests
	}
	next := func() time.Duration {
		if pong.Full {
			return lull
		}
		return pingEvery
	}
	ping := time.NewTimer(next())
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
			if pong.Full {
				ping.Reset(lull)
			}
		case <-ping.C:
			ctx, cancel := context.WithTimeout(s.life, publishTimeout)
			var err error
			pong, err = l.greet(ctx)
			cancel()
			if err != nil {
				return err
			}
			if s.rests(pong) {
				return errRests
			}
			ping.Reset(next())
		case <-l.dead:
			return l.reason()
		}
	}
}

// take moves the next announcements from the queue to those under way; none is left if it is empty. What has expired counts nowhere.
func (s *server) take() []queued {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if len(s.queue)+len(s.flying) > 0 {
		defer s.client.change()
	}
	now := time.Now().Unix()
	s.queue = slices.DeleteFunc(s.queue, func(q queued) bool { return q.expires <= now })
	n := min(len(s.queue), route.MaxPublish)
	s.flying = slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	return s.flying
}

// publish hands announcements in and notes and logs which of them were refused.
func (s *server) publish(l *line, list []queued) error {
	ctx, cancel := context.WithTimeout(s.life, publishTimeout)
	defer cancel()
	question := &route.Publish{}
	for _, q := range list {
		question.Announcements = append(question.Announcements, q.signed)
	}
	m, err := l.call(ctx, question)
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
	s.confirm(list, result.Problems)
	return nil
}

// confirm notes what the server took and what it refused. It lacks nothing if it knows something newer, and if it was a withdrawal: who has
// no place for it, or finds it expired, has nothing that it takes back.
func (s *server) confirm(list []queued, problems []route.Problem) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	for _, q := range list {
		delete(s.refused, q.friend)
	}
	for _, p := range problems {
		if p.Code == wire.BadSequence || p.Code == wire.Conflict || int(p.Place) >= len(list) || list[p.Place].gone {
			continue
		}
		if s.refused == nil {
			s.refused = map[ident.ID]bool{}
		}
		s.refused[list[p.Place].friend] = true
	}
}

// ask puts a query to the server: over a new connection if this one was rested from, and again if it ends under the question.
// last says that there is nobody else to ask.
func (s *server) ask(ctx context.Context, q *route.Query, last bool) (*route.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*askTimeout)
	defer cancel()
	for cuts := 1; ; cuts++ {
		l, err := s.claim(ctx, last)
		if err != nil {
			return nil, err
		}
		a, err := askOne(ctx, l, q)
		s.release()
		var cut *cutError
		if err == nil || ctx.Err() != nil || !errors.As(err, &cut) || cuts > 1 && !last {
			return a, err
		}
	}
}

// claim gives a connection that this side does not end until release, a new one if need be. It fails when it takes too long, and if
// there are others to ask when two attempts have failed: one might have met the end of the connection before.
func (s *server) claim(ctx context.Context, last bool) (*line, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	s.asking++
	for before := s.visits; ; {
		if l := s.line; l != nil && !l.isDead() {
			return l, nil
		}
		var err error
		if s.visits >= before+2 && !last {
			err = s.away
		} else {
			err = s.await(ctx)
		}
		if err != nil {
			s.asking--
			return nil, err
		}
	}
}

// await waits until something changes. Client.mu is held before and after.
func (s *server) await(ctx context.Context) error {
	s.poke()
	changed := s.client.changed
	s.client.mu.Unlock()
	defer s.client.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("not reached: %w", ctx.Err())
	case <-s.life.Done():
		return errShut
	}
}

// release ends a claim.
func (s *server) release() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.asking--; time.Since(s.full) < fullFor {
		s.poke() // it may be time to leave soon
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
