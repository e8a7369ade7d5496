package index

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kula/ident"
	"kula/route"
	"kula/wire"
)

// proxy carries connections to a server once its gate is open, counts what the server says, and can cut them.
type proxy struct {
	l     net.Listener
	link  Link
	gate  chan struct{}
	down  atomic.Int64
	conns sync.Map
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, to *Server) *proxy {
	t.Helper()
	link, err := ParseURI(to.URI())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := &proxy{l: l, link: Link{link.Key, []string{"/ip4/127.0.0.1/tcp/" + port}}, gate: make(chan struct{})}
	t.Cleanup(func() { l.Close(); p.cut(); p.wg.Wait() })
	server := "127.0.0.1:" + link.Addrs[0][strings.LastIndex(link.Addrs[0], "/")+1:]
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.carry(t.Context(), c, server) })
		}
	})
	return p
}

func (p *proxy) carry(ctx context.Context, c net.Conn, server string) {
	defer c.Close()
	select {
	case <-p.gate:
	case <-ctx.Done():
		return
	}
	s, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer s.Close()
	p.conns.Store(c, s)
	p.wg.Go(func() { io.Copy(s, c); s.Close() })
	io.Copy(io.MultiWriter(c, counter{&p.down}), s)
}

func (p *proxy) cut() {
	p.conns.Range(func(c, s any) bool { c.(net.Conn).Close(); s.(net.Conn).Close(); return true })
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) { c.n.Add(int64(len(b))); return len(b), nil }

// Rule I11: a follower that was away for a moment goes on from where it was.
func TestFollowerGoesOn(t *testing.T) {
	dir := t.TempDir()
	if err := WriteLog(dir, repeated(1000, 1000)); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, Options{Dir: dir})
	p := newProxy(t, s)
	close(p.gate)
	m := NewMirror(newPerson(t, "mirror").host, slog.New(slog.DiscardHandler), 0)
	t.Cleanup(m.Close)
	m.Use([]Link{p.link})
	<-m.whole
	first := p.down.Load()
	p.cut()
	eventually(t, "it came back", func() bool { return p.opened() == 2 })
	_, before, _ := m.Size()
	ana := newPerson(t, "ana")
	accept(t, ana.open(s), ana.say(ident.ID{1, 2, 3}, 1, 100, 600))
	eventually(t, "it has what is new", func() bool { _, of, _ := m.Size(); return of == before+1 })
	if again := p.down.Load() - first; again > first/4 {
		t.Errorf("a follower reads %d bytes after its connection broke, and before it all %d", again, first)
	}
}

func (p *proxy) opened() (n int) {
	p.conns.Range(func(_, _ any) bool { n++; return true })
	return n
}

// Rule I13: a mirror of two servers, one of which knows nothing, does not say that there is no way before it has read the other.
func TestMirrorOfAnEmptyServerToo(t *testing.T) {
	empty, full := newSeat(t, "empty").start(t), newSeat(t, "full").start(t)
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	befriend(t, full, ana, ben)
	p, e := newProxy(t, full), newProxy(t, empty)
	close(e.gate)
	m := NewMirror(newPerson(t, "mirror").host, slog.New(slog.DiscardHandler), 0)
	t.Cleanup(m.Close)
	m.Use([]Link{e.link, p.link})
	<-m.whole
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	a, err := m.Ask(short, query(ana, ben, 100))
	if err != nil || a.Code != wire.NoRoute || a.Outcome() != route.OutcomeNotFound {
		t.Fatalf("before the second server was read: %+v, %v, want not_found", a, err)
	}
	close(p.gate) // while it waits
	a, err = m.Ask(t.Context(), query(ana, ben, 100))
	if err != nil {
		t.Fatal(err)
	}
	wantRoute(t, a, ben)
	eventually(t, "what is impossible is proved", func() bool {
		a, err := m.Ask(t.Context(), query(ana, ben, 1_000_000))
		return err == nil && a.Outcome() == route.OutcomeImpossible
	})
}
