package p2p

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"kula/ident"
)

// meet starts a host and a stranger to it who takes it for a friend.
func meet(t *testing.T, cfg Config) (host, stranger *node, sh, ss uint64) {
	t.Helper()
	cfg.Listen = []string{tcp4}
	host = start(t, "ben", cfg)
	stranger = start(t, "ana", Config{}, "ben")
	stranger.Want(host.ID(), host.Addrs())
	sh, ss = host.session("ana"), stranger.session("ben")
	stranger.Unwant(host.ID())
	return
}

func TestStrangerLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		frames [][]byte
		pass   int
		what   string
	}{
		{"largest frame", [][]byte{make([]byte, StrangerFrame)}, 1, ""},
		{"frame too large", [][]byte{{1}, make([]byte, StrangerFrame+1), {2}}, 1, frameTooLarge},
		{"one frame too many", bytes.Split(make([]byte, StrangerFrames), nil), StrangerFrames, frameTooMany},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, stranger, sh, ss := meet(t, Config{})
			if err := stranger.Send(ss, c.frames); err != nil {
				t.Fatal(err)
			}
			host.frames("ana", c.pass)
			if c.what == "" {
				return
			}
			err := host.ended(sh)
			var fe *FrameError
			if !errors.As(err, &fe) || fe.What != c.what {
				t.Fatalf("session ended with %v, want %q", err, c.what)
			}
			wantRemote(t, stranger.ended(ss), uint32(codeFrame))
			if n := len(host.frames("ana", 0)); n != c.pass {
				t.Fatalf("%d frames passed, want %d", n, c.pass)
			}
		})
	}
}

func TestStrangerIdle(t *testing.T) {
	host, stranger, sh, ss := meet(t, Config{StrangerIdle: 100 * time.Millisecond})
	wantError(t, host.ended(sh), ErrIdle)
	wantRemote(t, stranger.ended(ss), uint32(codeIdle))
}

func TestStrangerBecomesFriend(t *testing.T) {
	host, stranger, sh, ss := meet(t, Config{StrangerIdle: 300 * time.Millisecond, Strangers: 1})
	stranger.Send(ss, [][]byte{[]byte("invitation")})
	host.frames("ana", 1)
	host.setClass(stranger.ID(), Friend)
	host.Send(sh, [][]byte{[]byte("welcome")})
	stranger.frames("ben", 1)
	var many [][]byte
	for range 2 * StrangerFrames {
		many = append(many, make([]byte, 2*StrangerFrame))
	}
	stranger.Send(ss, many)
	host.frames("ana", 1+len(many))
	// The place is free again for another stranger, who outlives nobody.
	other := start(t, "cleo", Config{}, "ben")
	other.Want(host.ID(), host.Addrs())
	wantError(t, host.ended(host.session("cleo")), ErrIdle)
	if st := host.Status(stranger.ID()); st.Session != sh || st.Class != Friend {
		t.Fatalf("status of the promoted one: %+v", st)
	}
	host.setClass(stranger.ID(), Stranger)
	wantError(t, host.ended(sh), ErrDemoted)
	wantRemote(t, stranger.ended(ss), uint32(codeDemoted))
}

// Strangers have few places; the oldest goes for the newest; friends need none.
func TestStrangerPlaces(t *testing.T) {
	for _, c := range []struct {
		name            string
		all, perPrefix  int
		strangers, left int
	}{
		{"in all", 4, 100, 10, 4},
		{"per prefix", 100, 3, 10, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := start(t, "ben", Config{Listen: []string{tcp4}, Strangers: c.all, StrangersPerPrefix: c.perPrefix}, "ana")
			friend := start(t, "ana", Config{}, "ben")
			friend.Want(host.ID(), host.Addrs())
			sf := host.session("ana")
			for i := range c.strangers {
				name := fmt.Sprint("stranger ", i)
				s := start(t, name, Config{}, "ben")
				s.Want(host.ID(), host.Addrs())
				s.session("ben")
				host.session(name)
				s.Unwant(host.ID())
			}
			host.wait("the oldest to go", func() bool { return len(host.live) == c.left+1 })
			if host.Status(friend.ID()).Session != sf {
				t.Fatal("the friend lost its session")
			}
			if host.Status(idOf(fmt.Sprint("stranger ", c.strangers-1))).Session == 0 {
				t.Fatal("the newest stranger was not let in")
			}
		})
	}
}

const echoProto = "/kula/test/1"

func echo(ctx context.Context, from ident.ID, f *Framed) {
	for {
		b, err := f.ReadFrame()
		if err != nil {
			return
		}
		if f.WriteFrame(append(from[:4:4], b...)) != nil {
			return
		}
	}
}

func TestRequestAnswer(t *testing.T) {
	for _, listen := range []string{tcp4, quic4} {
		server := start(t, "ben", Config{Listen: []string{listen}})
		server.Handle(echoProto, Limits{MaxFrame: 100 << 10}, echo)
		client := start(t, "ana", Config{})
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		f, err := client.Open(ctx, server.ID(), server.Addrs(), echoProto, Limits{MaxFrame: 200 << 10})
		if err != nil {
			t.Fatal(err)
		}
		const n = 1000
		go func() { // pipelined: all requests before the first answer
			for i := range n {
				f.WriteFrame(fmt.Appendf(nil, "%d", i))
			}
			f.WriteFrame(make([]byte, 100<<10))
		}()
		me := client.ID()
		for i := range n {
			b, err := f.ReadFrame()
			if want := string(me[:4]) + fmt.Sprint(i); err != nil || string(b) != want {
				t.Fatalf("answer %q, %v; want %q", b, err, want)
			}
		}
		if b, err := f.ReadFrame(); err != nil || len(b) != 100<<10+4 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		f.WriteFrame(make([]byte, 100<<10+1))
		_, err = f.ReadFrame()
		wantRemote(t, err, uint32(codeFrame))
		wantError(t, f.Close(), nil)
		if _, err := client.Open(ctx, server.ID(), nil, "/kula/none/1", Limits{}); err == nil {
			t.Fatal("a protocol that nobody handles was opened")
		}
		g, err := client.Open(ctx, server.ID(), nil, echoProto, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		server.Close()
		if _, err := g.ReadFrame(); err == nil {
			t.Fatal("a frame from a closed host")
		}
		client.Close()
	}
}

func TestFramedLimits(t *testing.T) {
	why := make(chan error, 1)
	read := func(_ context.Context, _ ident.ID, f *Framed) {
		for {
			if _, err := f.ReadFrame(); err != nil {
				why <- err
				return
			}
		}
	}
	for _, c := range []struct {
		name   string
		limits Limits
		send   int
		code   uint32
	}{
		{"too many", Limits{Frames: 2}, 3, uint32(codeFrame)},
		{"idle", Limits{Idle: 50 * time.Millisecond}, 1, uint32(codeIdle)},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := start(t, "ben", Config{Listen: []string{tcp4}})
			server.Handle(echoProto, c.limits, read)
			client := start(t, "ana", Config{})
			f, err := client.Open(context.Background(), server.ID(), server.Addrs(), echoProto, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for range c.send {
				f.WriteFrame([]byte("x"))
			}
			_, err = f.ReadFrame()
			wantRemote(t, err, c.code)
			if err := <-why; err == nil {
				t.Fatal("no reason")
			}
		})
	}
}

func TestFramedPlaces(t *testing.T) {
	server := start(t, "ben", Config{Listen: []string{tcp4}}, "ana")
	server.Handle(echoProto, Limits{Streams: 2}, echo)
	client := start(t, "ana", Config{})
	var open []*Framed
	for i := range 3 {
		f, err := client.Open(context.Background(), server.ID(), server.Addrs(), echoProto, Limits{})
		if err == nil { // the refusal may come before or after the negotiation's end
			open = append(open, f)
			f.WriteFrame([]byte("x"))
			_, err = f.ReadFrame()
		}
		if i < 2 && err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			wantRemote(t, err, uint32(codeBusy))
		}
	}
	open[0].Close()
	open[1].Close()
	if _, err := open[1].ReadFrame(); !errors.Is(err, ErrDropped) {
		t.Fatalf("read after close: %v", err)
	}
}
