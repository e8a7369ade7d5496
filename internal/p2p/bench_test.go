package p2p

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kula/ident"
)

// rawEcho sends messages of n bytes back over bare loopback TCP.
func rawEcho(n int) (addr string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, n)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			c.Write(buf)
		}
	}()
	return l.Addr().String(), func() { l.Close() }
}

// rawRoundTrips returns the mean time of a round trip of n bytes to a rawEcho.
func rawRoundTrips(b *testing.B, addr string, n, rounds int) time.Duration {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, n)
	began := time.Now()
	for range rounds {
		c.Write(buf)
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began) / time.Duration(rounds)
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRoundTrip prints a friend's round trip of 192 bytes to another process
// beside that of raw TCP in the same run.
func BenchmarkRoundTrip(b *testing.B) {
	for i, name := range []string{"tcp", "quic"} {
		b.Run(name, func(b *testing.B) {
			v := startVictim(b)
			raw := rawRoundTrips(b, v.addrs[2], 192, 20000)
			a := start(b, "ana", Config{}, "ben")
			pong := make(chan struct{}, 1)
			a.onFrame = func(uint64, []byte) { pong <- struct{}{} }
			a.Want(idOf("ben"), v.addrs[i:i+1])
			s := a.session("ben")
			frame := [][]byte{make([]byte, 192)}
			before := cpu()
			for b.Loop() {
				a.Send(s, frame)
				<-pong
			}
			mine := b.Elapsed() / time.Duration(b.N)
			b.ReportMetric(float64(raw.Nanoseconds())/1e3, "raw-µs")
			b.ReportMetric(float64(mine)/float64(raw), "×raw")
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
		})
	}
}

// BenchmarkFrames sends frames of 200 bytes one way, in batches of 32, with a
// bounded number under way. CPU counts both ends.
func BenchmarkFrames(b *testing.B) {
	for _, listen := range []string{tcp4, quic4} {
		name := map[string]string{tcp4: "tcp", quic4: "quic"}[listen]
		b.Run(name, func(b *testing.B) {
			const batch, underWay = 32, 8192
			a := start(b, "ana", Config{}, "ben")
			sink := &counter{}
			h, err := New(Config{Seed: seed("ben"), Listen: []string{listen}, Classify: func(id ident.ID) Class { return Friend }}, sink)
			if err != nil {
				b.Fatal(err)
			}
			defer h.Close()
			places := make(chan struct{}, underWay/batch)
			sink.every, sink.places = batch, places
			a.Want(h.ID(), h.Addrs())
			s := a.session("ben")
			frames := make([][]byte, batch)
			for i := range frames {
				frames[i] = make([]byte, 200)
			}
			b.ReportAllocs()
			before := cpu()
			b.ResetTimer()
			for range b.N {
				places <- struct{}{}
				if err := a.Send(s, frames); err != nil {
					b.Fatal(err)
				}
			}
			for range cap(places) {
				places <- struct{}{} // all have arrived
			}
			n := float64(b.N * batch)
			b.ReportMetric(n/b.Elapsed().Seconds(), "frames/s")
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/n, "cpu-µs/frame")
		})
	}
}

type counter struct {
	n      atomic.Int64
	every  int64
	places chan struct{}
}

func (c *counter) SessionUp(ident.ID, uint64, Class) {}
func (c *counter) SessionDown(uint64, error)         {}
func (c *counter) Frame(uint64, []byte) {
	if c.n.Add(1)%c.every == 0 {
		<-c.places
	}
}
