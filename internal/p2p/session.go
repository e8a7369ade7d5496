package p2p

import (
	"bufio"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"kula/ident"
)

const (
	// readAhead is the reader's buffer: 80 frames of 200 bytes at a time, and
	// 16 MiB for a thousand friends.
	readAhead = 16 << 10

	// frameCost is what a waiting frame is charged beside its bytes, so that a
	// queue of tiny frames is bounded too.
	frameCost = 32

	// strangerShare is by how much smaller a stranger's send queue is.
	strangerShare = 128
)

// session is one live session. Its reader goroutine owns its life: it calls
// SessionUp, Frame and SessionDown.
type session struct {
	host    *Host
	num     uint64
	id      ident.ID
	guest   *guest
	pipe    pipe
	peerRun runID  // the other side's run, known to the chooser
	choice  uint64 // its number in the chooser's run
	rank    atomic.Int32
	out     queued
	useful  bool          // carried a frame or lasted; for the reader only
	done    chan struct{} // closed after SessionDown
}

// queued is the send queue.
type queued struct {
	sync.Mutex
	frames  [][]byte
	bytes   int           // waiting or being written, with frameCost each
	parting error         // nothing more is queued; why the session ends when all is written
	wake    chan struct{} // 1 place: something to do
}

func (s *session) class() Class { return Class(s.rank.Load()) }

// promote gives the session a friend's limits.
func (s *session) promote() {
	s.rank.Store(int32(Friend))
	s.pipe.readBy(time.Time{})
}

// close ends the session for the reason err; only the first call counts. It never
// blocks: the session's own goroutine does the rest.
func (s *session) close(err error) { s.pipe.end(err) }

// part ends the session when the other side has all that is queued, or after PartTimeout.
func (s *session) part(reason error) {
	q := &s.out
	q.Lock()
	first := q.parting == nil
	if first {
		q.parting = reason
	}
	q.Unlock()
	if !first {
		return
	}
	time.AfterFunc(PartTimeout, func() { s.close(reason) })
	q.rouse()
}

// ends closes the session for the reason err, or for the one that it parts for.
func (s *session) ends(err error) {
	s.out.Lock()
	if s.out.parting != nil {
		err = s.out.parting
	}
	s.out.Unlock()
	s.close(err)
}

// rouse wakes the writer.
func (q *queued) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// send queues frames, or closes the session if that is too much.
func (s *session) send(frames [][]byte, size int) error {
	limit := s.host.cfg.Queue
	if s.class() != Friend {
		limit /= strangerShare
	}
	if err := s.pipe.reason(); err != nil {
		return err
	}
	q := &s.out
	q.Lock()
	if err := q.parting; err != nil {
		q.Unlock()
		return err
	}
	if q.bytes+size > limit {
		waiting := q.bytes
		q.Unlock()
		err := fmt.Errorf("%w: %d bytes waiting, %d more, at most %d", ErrOverflow, waiting, size, limit)
		s.close(err)
		return err
	}
	q.frames = append(q.frames, frames...)
	q.bytes += size
	q.Unlock()
	q.rouse()
	return nil
}

// live runs the session from Up to Down and returns when all is over.
func (s *session) live() {
	defer s.guest.letGo(linger)
	up := s.pipe.reason() == nil
	if up {
		began := time.Now()
		s.host.ev.SessionUp(s.id, s.num, s.class())
		s.host.direct(s)
		var writer sync.WaitGroup
		writer.Go(s.writeAll)
		s.ends(s.readAll())
		writer.Wait()
		s.useful = s.useful || time.Since(began) >= BackoffReset
	}
	err := s.pipe.reason()
	s.host.ended(s)
	if up {
		s.host.ev.SessionDown(s.num, err)
	}
	close(s.done)
	s.pipe.ResetWithError(codeFor(err))
	if s.useful {
		s.host.succeeded(s.id)
	}
	s.host.kick(s.id, false)
}

// most is how large a frame the other side may send now.
func (s *session) most() int {
	if s.class() == Friend {
		return MaxFrame
	}
	return StrangerFrame
}

// readAll delivers frames until something ends the session.
func (s *session) readAll() error {
	r := bufio.NewReaderSize(&s.pipe, readAhead)
	for {
		if s.class() != Friend {
			if err := s.bound(); err != nil {
				return err
			}
		}
		frame, err := readFrame(r, s.most)
		if err != nil {
			late := ErrSilent
			if s.class() != Friend {
				late = ErrIdle
			}
			return readable(err, late)
		}
		if s.class() != Friend {
			s.guest.frames.Add(1)
		}
		s.useful = true
		s.host.ev.Frame(s.num, frame)
	}
}

// bound applies a stranger's limits to the next frame.
func (s *session) bound() error {
	if n := s.guest.frames.Load(); n >= StrangerFrames {
		return &FrameError{What: frameTooMany, Got: uint64(n) + 1, Max: StrangerFrames}
	}
	s.pipe.readBy(time.Now().Add(s.host.cfg.StrangerIdle))
	if s.class() == Friend { // promoted just now
		s.pipe.readBy(time.Time{})
	}
	return nil
}

// writeAll writes what is queued, everything that waits at once. When the session parts it then says that no
// more comes, and the other side ends it.
func (s *session) writeAll() {
	w := frameWriter{pipe: &s.pipe}
	q := &s.out
	wrote := func(f []byte) {
		q.Lock()
		q.bytes -= len(f) + frameCost
		q.Unlock()
	}
	for {
		q.Lock()
		batch, parting := q.frames, q.parting
		q.frames = nil
		q.Unlock()
		if len(batch) > 0 {
			if err := w.write(batch, wrote); err != nil {
				s.ends(readable(err, ErrSlow))
				return
			}
			continue
		}
		if parting != nil {
			if s.pipe.CloseWrite() != nil {
				s.close(parting)
			}
			return
		}
		select {
		case <-q.wake:
		case <-s.pipe.stop:
			return
		}
	}
}

// Send queues frames for a session and returns at once. The slices must not be
// changed afterwards. Each frame has 1 … MaxFrame bytes. An error means that none
// of them will be sent: ErrUnknown if the session is over, ErrOverflow if the queue
// was full, which also ends the session.
func (h *Host) Send(num uint64, frames [][]byte) error {
	size := 0
	for _, f := range frames {
		if len(f) == 0 || len(f) > MaxFrame {
			return fmt.Errorf("p2p: frame of %d bytes, want 1 … %d", len(f), MaxFrame)
		}
		size += len(f) + frameCost
	}
	s := h.sessionOf(num)
	if s == nil {
		return fmt.Errorf("p2p: session %d: %w", num, ErrUnknown)
	}
	return s.send(frames, size)
}

// Drop ends a session at once, whatever waits to be sent, for a reason of the caller's, who gets it back in SessionDown.
func (h *Host) Drop(num uint64, reason error) {
	if s := h.sessionOf(num); s != nil {
		s.close(errors.Join(ErrDropped, reason))
	}
}

// Part ends a session as Drop does, but when the other side has what was queued before, and after PartTimeout at
// the latest. Until then frames still come in; none is sent any more.
func (h *Host) Part(num uint64, reason error) {
	if s := h.sessionOf(num); s != nil {
		s.part(errors.Join(ErrDropped, reason))
	}
}

func (h *Host) sessionOf(num uint64) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[num]
}
