package p2p

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadFrame(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		name string
		in   string
		max  int
		want string
		what string // of FrameError
		err  error
	}{
		{name: "one byte", in: "\x01a", max: 10, want: "a"},
		{name: "two length bytes", in: "\xac\x02" + long, max: 300, want: long},
		{name: "end between frames", in: "", max: 10, err: io.EOF},
		{name: "empty", in: "\x00", max: 10, what: frameEmpty},
		{name: "one too large", in: "\x0b12345678901", max: 10, what: frameTooLarge},
		{name: "four length bytes too large", in: "\xff\xff\xff\x7f", max: MaxFrame, what: frameTooLarge},
		{name: "five length bytes", in: "\x80\x80\x80\x80\x01", max: MaxFrame, what: frameTooLarge},
		{name: "longer than needed", in: "\x81\x00a", max: 10, what: frameLong},
		{name: "zero in two bytes", in: "\x80\x00", max: 10, what: frameLong},
		{name: "cut in length", in: "\x80", max: 10, what: frameCut},
		{name: "cut before payload", in: "\x02", max: 10, what: frameCut},
		{name: "cut in payload", in: "\x02a", max: 10, what: frameCut},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
				got, err := readFrame(bufio.NewReaderSize(r, 16), fixed(c.max))
				var fe *FrameError
				switch {
				case c.what != "" && (!errors.As(err, &fe) || fe.What != c.what):
					t.Fatalf("error %v, want a frame error %q", err, c.what)
				case c.what == "" && !errors.Is(err, c.err):
					t.Fatalf("error %v, want %v", err, c.err)
				case string(got) != c.want:
					t.Fatalf("frame %q, want %q", got, c.want)
				}
			}
		})
	}
}

// An announced length alone must not make the reader allocate it.
func TestReadFrameAllocatesWhatArrives(t *testing.T) {
	head := appendFrame(nil, make([]byte, MaxFrame))[:8]
	res := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			readFrame(bufio.NewReaderSize(bytes.NewReader(head), 16), fixed(MaxFrame))
		}
	})
	if n := res.AllocedBytesPerOp(); n > 2*aheadBytes {
		t.Fatalf("%d bytes allocated for a frame of which 4 bytes arrived, want at most %d", n, 2*aheadBytes)
	}
}

func fixed(n int) func() int { return func() int { return n } }

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x01a\x02bc"))
	f.Add([]byte("\x80\x00"))
	f.Add([]byte("\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		const most = 1000
		r := bufio.NewReaderSize(bytes.NewReader(in), 16)
		var again []byte
		for {
			b, err := readFrame(r, fixed(most))
			if err != nil {
				break
			}
			if len(b) == 0 || len(b) > most {
				t.Fatalf("frame of %d bytes", len(b))
			}
			again = appendFrame(again, b)
		}
		if !bytes.HasPrefix(in, again) {
			t.Fatalf("frames of %x encode to %x", in, again)
		}
	})
}
