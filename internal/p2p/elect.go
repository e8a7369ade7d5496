package p2p

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	mss "github.com/multiformats/go-multistream"

	"kula/ident"
)

// runID marks one run of a host.
type runID [8]byte

// party is what a host knows about its sessions with one identity. Guarded by
// Host.mu.
type party struct {
	users   int           // openings under way
	live    *session      // the one session
	pending chan struct{} // the chooser's choice under way; closed when resolved
	next    uint64        // the chooser's newest number
	lastRun runID         // the newest choice taken from a chooser
	lastNum uint64
}

// The opening frames' kinds and sizes.
const (
	kindAsk    = 'A'
	kindChoice = 'C'
	kindEcho   = 'E'
	askSize    = 1 + 8 + 8 + 8
	choiceSize = 1 + 8 + 8
	echoSize   = 1 + 8 + 8 + 8
)

// chooses says whether this side decides about sessions with id.
func (h *Host) chooses(id ident.ID) bool { return bytes.Compare(h.self[:], id[:]) < 0 }

// openSession opens a session over c, which this side dialled or found; with instead, also
// where one is live (rule 5). It returns when the session is up or has failed.
func (h *Host) openSession(ctx context.Context, c network.Conn, instead bool) error {
	g := guestOf(c)
	if !g.hold() {
		return ErrGone
	}
	st, err := newStream(ctx, c, SessionProtocol)
	if err != nil {
		g.letGo(linger)
		return err
	}
	var s *session
	if h.chooses(g.id) {
		s, err = h.choose(st, g, nil, instead)
	} else {
		s, err = h.ask(st, g, instead)
	}
	if err != nil {
		st.ResetWithError(openingCode(err))
		g.letGo(linger)
		return err
	}
	h.wg.Add(1) // inside a begin of the caller
	go func() {
		defer h.wg.Done()
		s.live()
	}()
	return nil
}

// answerSession serves an inbound session stream until the session ends.
func (h *Host) answerSession(st network.Stream, g *guest) {
	if !g.hold() {
		st.Reset()
		return
	}
	st.SetDeadline(time.Now().Add(OpenTimeout))
	var s *session
	var err error
	if h.chooses(g.id) {
		var ask []byte
		if ask, err = readOpening(st, kindAsk, askSize); err == nil {
			s, err = h.choose(st, g, ask, false)
		}
	} else {
		s, err = h.follow(st, g)
	}
	if err != nil {
		st.ResetWithError(openingCode(err))
		g.letGo(linger)
		return
	}
	s.live()
}

// newStream opens a stream of protocol proto on c.
func newStream(ctx context.Context, c network.Conn, proto protocol.ID) (network.Stream, error) {
	st, err := c.NewStream(network.WithAllowLimitedConn(ctx, "a relay will do"))
	if err != nil {
		return nil, readable(err, ErrSlow)
	}
	return st, negotiate(ctx, st, proto)
}

// negotiate settles the protocol of a stream that this side opened, or resets it. The
// deadline stays.
func negotiate(ctx context.Context, st network.Stream, proto protocol.ID) error {
	deadline := time.Now().Add(OpenTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	st.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { st.Reset() })
	defer stop()
	if err := mss.SelectProtoOrFail(proto, st); err != nil {
		st.Reset()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("protocol %s: %w", proto, readable(err, ErrSlow))
	}
	st.SetProtocol(proto)
	return nil
}

// enter returns the party for id and counts one user.
func (h *Host) enter(id ident.ID) *party {
	p := h.parties[id]
	if p == nil {
		p = &party{}
		h.parties[id] = p
	}
	p.users++
	return p
}

// exit ends one use; nothing is kept about an identity without a session.
func (h *Host) exit(id ident.ID, p *party) {
	p.users--
	if p.users == 0 && p.live == nil && h.wants[id] == nil {
		delete(h.parties, id)
	}
}

// choose is the chooser's side, rules 1 to 3 of the package comment. ask is nil if
// this side opened the stream, with instead in place of one that is live.
func (h *Host) choose(st network.Stream, g *guest, ask []byte, instead bool) (*session, error) {
	h.mu.Lock()
	p := h.enter(g.id)
	defer func() { h.exit(g.id, p); h.mu.Unlock() }()
	for p.pending != nil || p.live != nil {
		if ask == nil && (!instead || p.pending != nil) || ask != nil && p.live != nil && h.duplicate(p.live, ask) {
			return nil, ErrDuplicate
		}
		if p.pending == nil {
			break // rule 3
		}
		wait := p.pending
		h.mu.Unlock()
		<-wait // resolved by a deadline at the latest
		h.mu.Lock()
	}
	p.pending = make(chan struct{})
	p.next = max(p.next, h.taken(ask)) + 1
	number := p.next
	h.mu.Unlock()
	peerRun, err := h.offer(st, number)
	h.mu.Lock()
	close(p.pending)
	p.pending = nil
	if err != nil {
		return nil, err
	}
	s := h.session(st, g, peerRun, number)
	return s, h.install(p, s)
}

// duplicate is rule 2.
func (h *Host) duplicate(live *session, ask []byte) bool {
	asker, last, number := runID(ask[1:9]), runID(ask[9:17]), binary.BigEndian.Uint64(ask[17:])
	if asker != live.peerRun {
		return false // it has restarted since
	}
	return last != h.run || number < live.choice
}

// taken is the newest choice of this run that an asker names, 0 without one: rule 4. An asker who
// names more than there ever was only runs out of numbers for itself.
func (h *Host) taken(ask []byte) uint64 {
	if ask == nil || runID(ask[9:17]) != h.run {
		return 0
	}
	return binary.BigEndian.Uint64(ask[17:])
}

// offer sends the choice and reads the echo, which tells the other side's run.
func (h *Host) offer(st network.Stream, number uint64) (runID, error) {
	st.SetDeadline(time.Now().Add(OpenTimeout))
	choice := binary.BigEndian.AppendUint64(append([]byte{kindChoice}, h.run[:]...), number)
	if _, err := st.Write(appendFrame(nil, choice)); err != nil {
		return runID{}, readable(err, ErrSlow)
	}
	echo, err := readOpening(st, kindEcho, echoSize)
	if err != nil {
		return runID{}, err
	}
	if !bytes.Equal(echo[1:choiceSize], choice[1:]) {
		return runID{}, fmt.Errorf("echo of another choice: %w", errOpening)
	}
	return runID(echo[choiceSize:]), nil
}

// ask asks the chooser for a session and takes what it offers.
func (h *Host) ask(st network.Stream, g *guest, instead bool) (*session, error) {
	h.mu.Lock()
	var run runID
	var number uint64
	if p := h.parties[g.id]; p != nil {
		if p.live != nil && !instead {
			h.mu.Unlock()
			return nil, ErrDuplicate
		}
		run, number = p.lastRun, p.lastNum
	}
	h.mu.Unlock()
	st.SetDeadline(time.Now().Add(3 * OpenTimeout)) // it may let us wait for a choice under way
	b := append([]byte{kindAsk}, h.run[:]...)
	b = binary.BigEndian.AppendUint64(append(b, run[:]...), number)
	if _, err := st.Write(appendFrame(nil, b)); err != nil {
		return nil, readable(err, ErrSlow)
	}
	return h.follow(st, g)
}

// follow takes the chooser's choice, unless it is stale.
func (h *Host) follow(st network.Stream, g *guest) (*session, error) {
	choice, err := readOpening(st, kindChoice, choiceSize)
	if err != nil {
		return nil, err
	}
	run, number := runID(choice[1:9]), binary.BigEndian.Uint64(choice[9:])
	h.mu.Lock()
	p := h.enter(g.id)
	defer func() { h.exit(g.id, p); h.mu.Unlock() }()
	if run == p.lastRun && number <= p.lastNum {
		return nil, ErrStale
	}
	p.lastRun, p.lastNum = run, number
	h.mu.Unlock()
	echo := append(append([]byte{kindEcho}, choice[1:]...), h.run[:]...)
	_, err = st.Write(appendFrame(nil, echo))
	h.mu.Lock()
	if err != nil {
		return nil, readable(err, ErrSlow)
	}
	if run != p.lastRun || number != p.lastNum {
		return nil, ErrStale
	}
	s := h.session(st, g, runID{}, number)
	return s, h.install(p, s)
}

// session makes a session of an opened stream. With Host.mu held.
func (h *Host) session(st network.Stream, g *guest, peerRun runID, number uint64) *session {
	h.last++
	s := &session{
		host: h, num: h.last, id: g.id, guest: g, pipe: newPipe(st), peerRun: peerRun, choice: number,
		done: make(chan struct{}),
	}
	class, _ := g.kind()
	s.rank.Store(int32(class))
	s.out.wake = make(chan struct{}, 1)
	st.SetDeadline(time.Time{})
	return s
}

// install puts s in place of the live session, whose SessionDown comes first. With
// Host.mu held; it is released while the older one ends.
func (h *Host) install(p *party, s *session) error {
	if h.closed {
		return ErrClosed
	}
	h.sessions[s.num] = s
	old := p.live
	p.live = s
	if old != nil {
		h.mu.Unlock()
		old.close(ErrReplaced)
		<-old.done
		h.mu.Lock()
	}
	return nil
}

// ended forgets a session that is over.
func (h *Host) ended(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s.num)
	p := h.parties[s.id]
	if p == nil || p.live != s {
		return
	}
	p.live = nil
	if p.users == 0 && h.wants[s.id] == nil {
		delete(h.parties, s.id)
	}
}

// errOpening says that the opening frames were wrong.
var errOpening = errors.New("wrong opening frame")

// openingCode returns the close code for a failed opening.
func openingCode(err error) network.StreamErrorCode {
	if errors.Is(err, errOpening) {
		return codeOpening
	}
	return codeFor(err)
}

// readOpening reads one opening frame of the given kind and size, and not a byte
// more.
func readOpening(st io.Reader, kind byte, size int) ([]byte, error) {
	b := make([]byte, 1+size) // size < 128: one length byte
	if _, err := io.ReadFull(st, b); err != nil {
		return nil, readable(err, ErrIdle)
	}
	if int(b[0]) != size || b[1] != kind {
		return nil, fmt.Errorf("kind %q of %d bytes, want %q of %d: %w", b[1], b[0], kind, size, errOpening)
	}
	return b[1:], nil
}
