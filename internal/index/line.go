package index

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"kula/ident"
	"kula/internal/p2p"
	"kula/route"
)

// maxWaiting is how many requests may be under way on one line: beyond it the server
// is slower than the node asks, and waiting longer would not help.
const maxWaiting = 256

// errShut is why a line ended that this side closed.
var errShut = errors.New("closed")

// line is one connection of a client to a server. Requests may overlap; answers come
// in the order of the requests. A request that is not answered in time ends the line.
type line struct {
	server ident.ID
	conn   *p2p.Framed
	turn   chan struct{}           // 1 place: held while a request is written
	queue  chan chan route.Message // whose answer comes next
	dead   chan struct{}
	once   sync.Once
	err    error // set before dead is closed
}

func newLine(server ident.ID, conn *p2p.Framed) *line {
	return &line{
		server: server, conn: conn, turn: make(chan struct{}, 1),
		queue: make(chan chan route.Message, maxWaiting), dead: make(chan struct{}),
	}
}

// cutError is why a line ended that the server or the network cut.
type cutError struct{ error }

func (e *cutError) Unwrap() error { return e.error }

// isDead says whether the line has ended.
func (l *line) isDead() bool {
	select {
	case <-l.dead:
		return true
	default:
		return false
	}
}

// shut ends the line.
func (l *line) shut() { l.fail(errShut) }

func (l *line) fail(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.dead)
		l.conn.Close()
	})
}

// reason is why the line is dead.
func (l *line) reason() error {
	<-l.dead
	return l.err
}

// greet asks whether the server is there and speaks this version.
func (l *line) greet(ctx context.Context) (*route.Pong, error) {
	m, err := l.call(ctx, &route.Ping{Version: route.Version})
	if err != nil {
		return nil, err
	}
	pong, ok := m.(*route.Pong)
	if !ok {
		return nil, fmt.Errorf("it answered a ping with a message of kind %d", m.Kind())
	}
	if pong.Version != route.Version {
		return nil, fmt.Errorf("it speaks version %d, this node speaks %d", pong.Version, route.Version)
	}
	return pong, nil
}

// call sends a request and waits for its answer.
func (l *line) call(ctx context.Context, m route.Message) (route.Message, error) {
	answer := make(chan route.Message, 1)
	if err := l.request(ctx, answer, route.EncodeMessage(m)); err != nil {
		return nil, err
	}
	select {
	case a := <-answer:
		return a, nil
	case <-l.dead:
		return nil, l.err
	case <-ctx.Done():
		err := fmt.Errorf("no answer: %w", ctx.Err())
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			l.fail(err) // a caller that merely left leaves its place to the answer
		}
		return nil, err
	}
}

func (l *line) request(ctx context.Context, answer chan route.Message, frame []byte) error {
	select {
	case l.turn <- struct{}{}:
	case <-l.dead:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.turn }()
	select {
	case l.queue <- answer:
	default:
		return fmt.Errorf("%d requests wait for this server already", maxWaiting)
	}
	if err := l.conn.WriteFrame(frame); err != nil {
		err = &cutError{err}
		l.fail(err)
		return err
	}
	return nil
}

// read hands answers to who asked, until the line ends.
func (l *line) read() {
	for {
		frame, err := l.conn.ReadFrame()
		if err != nil {
			l.fail(&cutError{err})
			return
		}
		m, err := route.DecodeMessage(frame)
		if err != nil {
			l.fail(err)
			return
		}
		select {
		case answer := <-l.queue:
			answer <- m
		default:
			l.fail(errors.New("it answered what was not asked"))
			return
		}
	}
}
