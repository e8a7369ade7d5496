package index

import (
	"sync"
	"sync/atomic"
	"time"
)

// Counters are what a server has done since it started, and what it holds now.
type Counters struct {
	Streams   int    // open now
	Opened    uint64 // streams in all
	Broken    uint64 // streams that ended for a frame against the rules
	Accepted  uint64 // announcements, those known already included
	Refused   uint64 // announcements
	Expired   uint64 // announcements
	Questions uint64 // answered queries
	Routes    uint64 // of them with a route
	Logged    uint64 // announcements that changed something, so that followers get them
	Paced     uint64 // messages that had to wait for their client's rate

	Nodes, Announcements, Edges int // of the graph
}

// tally is the counting part of Counters.
type tally struct {
	streams                    atomic.Int64
	opened, broken             atomic.Uint64
	accepted, refused, expired atomic.Uint64
	passed                     atomic.Uint64
	questions, routes, paced   atomic.Uint64
}

// Counters are read one after the other, so they may be a message apart.
func (s *Server) Counters() Counters {
	t := &s.tally
	c := Counters{
		Streams: int(t.streams.Load()), Opened: t.opened.Load(), Broken: t.broken.Load(),
		Accepted: t.accepted.Load(), Refused: t.refused.Load(), Expired: t.expired.Load(),
		Questions: t.questions.Load(), Routes: t.routes.Load(), Logged: t.passed.Load(), Paced: t.paced.Load(),
	}
	s.lock.RLock()
	defer s.lock.RUnlock()
	c.Nodes, c.Announcements, c.Edges = s.graph.Size()
	return c
}

func (s *Server) report() {
	c := s.Counters()
	s.log.Info("index server", "streams", c.Streams, "opened", c.Opened, "broken", c.Broken,
		"accepted", c.Accepted, "refused", c.Refused, "expired", c.Expired,
		"questions", c.Questions, "routes", c.Routes, "paced", c.Paced,
		"nodes", c.Nodes, "announcements", c.Announcements, "edges", c.Edges)
}

// flight counts messages between their reading and the writing of their answers.
type flight struct {
	mu     sync.Mutex
	n      int
	closed bool
	empty  chan struct{} // closed when closed and n is 0
}

// begin counts a message; false if no more are to be worked on.
func (f *flight) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.n++
	return true
}

// done counts n messages off.
func (f *flight) done(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n -= n; f.n == 0 && f.closed {
		close(f.empty)
	}
}

// drain ends the counting and waits until none is left, at most for patience; false if
// some are. It is called once.
func (f *flight) drain(patience time.Duration) bool {
	f.mu.Lock()
	f.closed, f.empty = true, make(chan struct{})
	if f.n == 0 {
		close(f.empty)
	}
	f.mu.Unlock()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-f.empty:
		return true
	case <-t.C:
		return false
	}
}
