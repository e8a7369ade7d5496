package p2p

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// maxLengthBytes is the longest varint that can announce MaxFrame.
	maxLengthBytes = 4

	// aheadBytes is what may be allocated for a frame before its bytes are there.
	aheadBytes = 4 << 10

	// muxMessage is the largest yamux message with its 12 byte header that fits
	// one Noise message (65,535 − 16 bytes of tag): a full write is one encryption
	// and one system call.
	muxMessage = 65519

	// chunk is the payload of such a message; writes are cut at it.
	chunk = muxMessage - 12
)

// FrameError says how a received frame broke the rules.
type FrameError struct {
	What string // "empty", "too large", "length not in shortest form", "cut short", "too many"
	Got  uint64 // bytes announced or arrived, or frames
	Max  uint64 // bytes allowed or announced, or frames
}

func (e *FrameError) Error() string {
	switch e.What {
	case frameTooLarge:
		return fmt.Sprintf("frame too large: %d bytes announced, at most %d allowed", e.Got, e.Max)
	case frameCut:
		return fmt.Sprintf("frame cut short: %d of %d bytes arrived", e.Got, e.Max)
	case frameTooMany:
		return fmt.Sprintf("too many frames: at most %d allowed on this connection", e.Max)
	default:
		return "bad frame: " + e.What
	}
}

const (
	frameEmpty    = "empty"
	frameTooLarge = "too large"
	frameLong     = "length not in shortest form"
	frameCut      = "cut short"
	frameTooMany  = "too many"
)

// appendFrame appends the frame that carries payload to dst.
func appendFrame(dst, payload []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(payload))), payload...)
}

// readFrame reads the payload of one frame of at most most() bytes, which is asked
// when the length has arrived. The error is io.EOF if the stream ended between frames, *FrameError if the frame broke the
// rules, else what r said.
func readFrame(r *bufio.Reader, most func() int) ([]byte, error) {
	n, err := readLength(r)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, &FrameError{What: frameEmpty}
	}
	if m := uint64(most()); n > m {
		return nil, &FrameError{What: frameTooLarge, Got: n, Max: m}
	}
	want := int(n)
	buf := make([]byte, 0, min(want, aheadBytes+r.Buffered()))
	for len(buf) < want {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(want, 2*cap(buf)))
			copy(grown, buf)
			buf = grown
		}
		got, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+got]
		if err == io.EOF && len(buf) < want {
			return nil, &FrameError{What: frameCut, Got: uint64(len(buf)), Max: n}
		}
		if err != nil && len(buf) < want {
			return nil, err
		}
	}
	return buf, nil
}

// readLength reads a varint of at most maxLengthBytes in shortest form.
func readLength(r *bufio.Reader) (uint64, error) {
	var n uint64
	for i := 0; ; i++ {
		b, err := r.ReadByte()
		if err == io.EOF && i > 0 {
			return 0, &FrameError{What: frameCut, Got: 0, Max: n}
		}
		if err != nil {
			return 0, err
		}
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if b == 0 && i > 0 {
				return 0, &FrameError{What: frameLong}
			}
			return n, nil
		}
		if i == maxLengthBytes-1 {
			// A fifth byte announces 256 MiB or more (or is not shortest form).
			return 0, &FrameError{What: frameTooLarge, Got: n | 1<<(7*maxLengthBytes), Max: MaxFrame}
		}
	}
}

// chunks lends the buffers that frames are gathered in, only while a batch is
// being written, so that a thousand idle sessions hold none.
var chunks = sync.Pool{New: func() any { b := make([]byte, 0, chunk); return &b }}

// frameWriter writes batches of frames to a stream. One goroutine at a time.
type frameWriter struct {
	pipe     *pipe
	deadline time.Time
}

// write writes all frames, gathered into writes of chunk bytes. wrote is told
// after each frame has left.
func (w *frameWriter) write(frames [][]byte, wrote func(frame []byte)) error {
	p := chunks.Get().(*[]byte)
	buf := (*p)[:0]
	defer func() { *p = buf[:0]; chunks.Put(p) }()
	for _, f := range frames {
		if len(buf)+maxLengthBytes > chunk {
			if err := w.flush(&buf); err != nil {
				return err
			}
		}
		buf = binary.AppendUvarint(buf, uint64(len(f)))
		rest := f
		for len(rest) > 0 {
			n := min(len(rest), chunk-len(buf))
			if n == chunk { // nothing gathered and a full chunk to go: no copy
				if err := w.put(rest[:n]); err != nil {
					return err
				}
			} else {
				buf = append(buf, rest[:n]...)
			}
			rest = rest[n:]
			if len(buf) == chunk {
				if err := w.flush(&buf); err != nil {
					return err
				}
			}
		}
		wrote(f)
	}
	return w.flush(&buf)
}

func (w *frameWriter) flush(buf *[]byte) error {
	if len(*buf) == 0 {
		return nil
	}
	err := w.put(*buf)
	*buf = (*buf)[:0]
	return err
}

// put writes b, renewing the write deadline when half of it is used up.
func (w *frameWriter) put(b []byte) error {
	if now := time.Now(); w.deadline.Sub(now) < WriteTimeout {
		w.deadline = now.Add(2 * WriteTimeout)
		if err := w.pipe.writeBy(w.deadline); err != nil {
			return err
		}
	}
	_, err := w.pipe.Write(b)
	return err
}
