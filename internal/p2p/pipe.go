package p2p

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// pipe is a stream with one end: after end, reads and writes return at once, and
// no later deadline revives them.
type pipe struct {
	network.Stream
	mu   sync.Mutex
	err  error
	stop chan struct{} // closed by end
}

func newPipe(st network.Stream) pipe { return pipe{Stream: st, stop: make(chan struct{})} }

// end gives the stream up for the reason err and wakes whoever reads or writes. It
// never blocks. Only the first reason counts; true if this was it. The stream must
// still be reset, by one who may wait.
func (p *pipe) end(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return false
	}
	p.err = err
	close(p.stop)
	p.SetDeadline(time.Unix(1, 0))
	return true
}

// reason returns why the pipe ended, nil if it has not.
func (p *pipe) reason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// readBy sets the read deadline, zero for none, unless the pipe has ended.
func (p *pipe) readBy(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	return p.SetReadDeadline(t)
}

// writeBy sets the write deadline, zero for none, unless the pipe has ended.
func (p *pipe) writeBy(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	return p.SetWriteDeadline(t)
}
