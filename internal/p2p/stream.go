package p2p

import (
	"bufio"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kula/ident"
)

// Limits bound a framed stream on this side.
type Limits struct {
	MaxFrame int           // bytes of a received frame; 0: StrangerFrame
	Frames   int           // received frames a stream; 0: no bound
	Idle     time.Duration // for one whole frame, from the call of ReadFrame; 0: no bound
	Streams  int           // inbound streams of this protocol at once; 0: 64
}

func (l Limits) withDefaults() Limits {
	if l.MaxFrame == 0 {
		l.MaxFrame = StrangerFrame
	}
	if l.Streams == 0 {
		l.Streams = 64
	}
	return l
}

// handler serves one protocol.
type handler struct {
	limits Limits
	serve  func(ctx context.Context, from ident.ID, conn *Framed)
	places chan struct{}
}

// Handle serves inbound streams of protocol proto, from friends and strangers
// alike: serve runs in a goroutine of its own for each stream, which ends with it.
// ctx ends when the stream or the host does.
func (h *Host) Handle(proto string, limits Limits, serve func(ctx context.Context, from ident.ID, conn *Framed)) {
	limits = limits.withDefaults()
	h.mu.Lock()
	h.handlers[protocol.ID(proto)] = &handler{limits: limits, serve: serve, places: make(chan struct{}, limits.Streams)}
	h.mu.Unlock()
	h.net.protos.AddHandler(protocol.ID(proto), nil)
}

// Open opens a stream of protocol proto to id, over the connection that exists or
// a new one to addrs. ctx bounds the opening only. limits bound what is received.
func (h *Host) Open(ctx context.Context, id ident.ID, addrs []string, proto string, limits Limits) (*Framed, error) {
	p, err := peerOf(id)
	if err != nil {
		return nil, err
	}
	list, bad := parseAddrs(p, addrs)
	if bad != nil && len(list) == 0 {
		return nil, bad
	}
	if !h.begin() {
		return nil, ErrClosed
	}
	defer h.wg.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	c, err := h.connect(ctx, p, list)
	if err != nil {
		return nil, err
	}
	f, err := h.openOn(ctx, c, proto, limits)
	if err != nil {
		return nil, fmt.Errorf("p2p: %s: %w", id.Short(), err)
	}
	return f, nil
}

// openOn opens a stream of protocol proto on c.
func (h *Host) openOn(ctx context.Context, c network.Conn, proto string, limits Limits) (*Framed, error) {
	g := guestOf(c)
	if !g.hold() {
		return nil, ErrGone
	}
	st, err := newStream(ctx, c, protocol.ID(proto))
	if err != nil {
		g.letGo(h.cfg.StrangerIdle)
		return nil, err
	}
	return newFramed(st, g, limits.withDefaults()), nil
}

// inbound serves a stream that the other side opened, in a goroutine of its own.
func (h *Host) inbound(st network.Stream) {
	g := guestOf(st.Conn())
	if g == nil || !h.begin() {
		st.ResetWithError(codeShutdown)
		return
	}
	defer h.wg.Done()
	if !g.comeIn() {
		st.ResetWithError(codeBusy)
		return
	}
	out := g.goOut
	defer func() { out() }()
	st.SetDeadline(time.Now().Add(OpenTimeout))
	proto, _, err := h.net.protos.Negotiate(st)
	if err != nil {
		st.ResetWithError(codeOpening)
		return
	}
	st.SetProtocol(proto)
	if proto == SessionProtocol {
		h.answerSession(st, g)
		return
	}
	h.mu.Lock()
	hd, raw := h.handlers[proto], h.raw[proto]
	h.mu.Unlock()
	switch {
	case hd != nil:
		hd.answer(h.ctx, st, g)
	case raw != nil && (proto != stopProtocol || h.door.isRelay(g.peer)) && g.hold():
		st.SetDeadline(time.Time{})
		out = func() {} // the stream outlives this call
		if st := h.keepStream(st, g, g.goOut); proto == stopProtocol {
			h.visit(st, g.peer, raw)
		} else {
			raw(st)
		}
	default: // closing
		st.ResetWithError(codeShutdown)
	}
}

// answer serves one stream, if there is a place.
func (hd *handler) answer(ctx context.Context, st network.Stream, g *guest) {
	select {
	case hd.places <- struct{}{}:
		defer func() { <-hd.places }()
	default:
		st.ResetWithError(codeBusy)
		return
	}
	if !g.hold() {
		st.Reset()
		return
	}
	f := newFramed(st, g, hd.limits)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.cancel = cancel
	stop := context.AfterFunc(ctx, func() { f.pipe.end(ErrClosed) })
	defer stop()
	hd.serve(ctx, g.id, f)
	f.Close()
}

// Framed is a stream of frames. ReadFrame may be used by one goroutine, the writing
// methods by any, beside each other; Close by any.
type Framed struct {
	pipe   pipe
	guest  *guest
	limits Limits
	r      *bufio.Reader
	frames int
	cancel context.CancelFunc // nil on the side that opened
	wmu    sync.Mutex
	w      frameWriter
	once   sync.Once
}

func newFramed(st network.Stream, g *guest, limits Limits) *Framed {
	st.SetDeadline(time.Time{})
	f := &Framed{pipe: newPipe(st), guest: g, limits: limits}
	f.r = bufio.NewReaderSize(&f.pipe, min(readAhead, limits.MaxFrame+maxLengthBytes))
	f.w.pipe = &f.pipe
	return f
}

// Peer returns the identity at the other end.
func (f *Framed) Peer() ident.ID { return f.guest.id }

// Used notes that the connection is of use now, for Config.EvictIdle.
func (f *Framed) Used() { f.guest.used.Store(time.Now().UnixNano()) }

// Crowded says whether strangers have more than three quarters of their places, or of those of this
// connection's prefix. It is never for one that needs no such place.
func (f *Framed) Crowded() bool {
	d := f.guest.door
	d.mu.Lock()
	defer d.mu.Unlock()
	return f.guest.in == &d.strangers && d.strangers.crowded(f.guest)
}

// ReadFrame returns the next frame, which belongs to the caller. ErrGone: the other
// side has closed. *FrameError or ErrIdle: it broke the limits, and the stream is
// closed. After Close: ErrDropped.
func (f *Framed) ReadFrame() ([]byte, error) {
	if f.limits.Frames > 0 && f.frames >= f.limits.Frames {
		return nil, f.fail(&FrameError{What: frameTooMany, Got: uint64(f.frames) + 1, Max: uint64(f.limits.Frames)})
	}
	late := ErrSilent
	if f.limits.Idle > 0 {
		late = ErrIdle
		f.pipe.readBy(time.Now().Add(f.limits.Idle))
	}
	b, err := readFrame(f.r, func() int { return f.limits.MaxFrame })
	if err != nil {
		return nil, f.fail(readable(err, late))
	}
	f.frames++
	return b, nil
}

// WriteFrame writes one frame of 1 … MaxFrame bytes and returns when it is on its
// way. It fails if the other side reads nothing for WriteTimeout or longer.
func (f *Framed) WriteFrame(b []byte) error { return f.WriteFrames([][]byte{b}) }

// WriteFrames writes frames together, with as few system calls as possible.
func (f *Framed) WriteFrames(frames [][]byte) error {
	for _, b := range frames {
		if len(b) == 0 || len(b) > MaxFrame {
			return fmt.Errorf("p2p: frame of %d bytes, want 1 … %d", len(b), MaxFrame)
		}
	}
	f.wmu.Lock()
	err := f.w.write(frames, func([]byte) {})
	f.wmu.Unlock()
	if err != nil {
		return f.fail(readable(err, ErrSlow))
	}
	return nil
}

// fail closes the stream for the reason err and returns the reason that counts.
func (f *Framed) fail(err error) error {
	f.shut(err)
	return f.pipe.reason()
}

// Close ends the stream. Frames written before it still arrive.
func (f *Framed) Close() error {
	f.shut(ErrDropped)
	return nil
}

func (f *Framed) shut(err error) {
	f.once.Do(func() {
		f.pipe.end(err)
		if f.pipe.reason() == ErrDropped {
			f.pipe.Stream.Close()
		} else {
			f.pipe.ResetWithError(codeFor(err))
		}
		if f.cancel != nil {
			f.cancel()
		}
		f.guest.letGo(f.guest.door.cfg.StrangerIdle)
	})
}
