package index

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kula/ident"
	"kula/route"
	"kula/wire"
)

// seat is where a server of a federation will be: its link is known before it starts.
type seat struct {
	name string
	dir  string
	link Link
}

func newSeat(t testing.TB, name string) *seat {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return &seat{name, t.TempDir(), Link{keyOf(name).ID(), []string{"/ip4/127.0.0.1/tcp/" + port}}}
}

func (x *seat) start(t testing.TB, peers ...*seat) *Server {
	t.Helper()
	opt := Options{Seed: keyOf(x.name).IdentitySeed(), Listen: x.link.Addrs, Dir: x.dir}
	for _, p := range peers {
		opt.Peers = append(opt.Peers, p.link)
	}
	s, err := Start(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// knows waits until a server has so many edges, and has logged so many announcements.
func knows(t testing.TB, s *Server, edges int, logged uint64) {
	t.Helper()
	eventually(t, "the announcements have come", func() bool {
		c := s.Counters()
		return c.Edges == edges && c.Logged >= logged
	})
	if c := s.Counters(); c.Logged != logged {
		t.Fatalf("%d announcements logged, there are %d", c.Logged, logged)
	}
}

// readAll follows a server from its beginning.
func readAll(t testing.TB, p *person, s *Server) (list []wire.Batched) {
	t.Helper()
	conn := p.open(s)
	for at := (route.Follow{}); ; {
		send(t, conn, &at)
		f := next[*route.Feed](t, conn)
		if f.Code != wire.CodeNone {
			t.Fatalf("feed: %s %s", f.Code, f.Text)
		}
		if len(f.Announcements) == 0 {
			return list
		}
		list = append(list, f.Announcements...)
		at.Epoch, at.After, at.Sum = f.Epoch, f.Next, f.Sum
	}
}

// Rule I12: three servers in a ring; what is said at one is known at all, once, as it was signed.
func TestFederation(t *testing.T) {
	a, b, c := newSeat(t, "a"), newSeat(t, "b"), newSeat(t, "c")
	sa, sb, sc := a.start(t, b, c), b.start(t, a, c), c.start(t, a, b)
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	said := []wire.Batched{ana.say(ben.key.ID(), 1, 100, 600), ben.say(ana.key.ID(), 1, 100, 600)}
	accept(t, ana.open(sa), said[0])
	accept(t, ben.open(sc), said[1])
	for _, s := range []*Server{sa, sb, sc} {
		knows(t, s, 2, 2)
		got := readAll(t, ana, s)
		for _, want := range said {
			if !slices.ContainsFunc(got, func(x wire.Batched) bool { return x.Sig == want.Sig && slices.Equal(x.Body, want.Body) }) {
				t.Fatalf("server %s has altered or lost an announcement", s.ID().Short())
			}
		}
	}
	conn := ana.open(sb)
	send(t, conn, query(ana, ben, 100))
	wantRoute(t, next[*route.Answer](t, conn), ben)

	sb.Close() // and while it is away things change
	accept(t, ben.open(sc), ben.say(ana.key.ID(), 2, 70, 600))
	knows(t, sa, 2, 3)
	alone := b.start(t) // what it knew it knows
	if n := alone.Counters(); n.Edges != 2 || n.Announcements != 2 {
		t.Fatalf("after a restart: %+v", n)
	}
	alone.Close()
	sb = b.start(t, a, c)
	knows(t, sb, 2, 1)
	sb.Close()
	b.dir = t.TempDir() // wiped and replaced
	sb = b.start(t, a, c)
	knows(t, sb, 2, 3) // in the order in which it was said
	conn = ana.open(sb)
	send(t, conn, query(ana, ben, 71), query(ana, ben, 70))
	if x := next[*route.Answer](t, conn); x.Outcome() != route.OutcomeImpossible {
		t.Fatalf("71 of 70: %s", x.Outcome())
	}
	wantRoute(t, next[*route.Answer](t, conn), ben)
}

// Rule I12: a server that is not named back gets nothing, and takes nothing from who is not named.
func TestOneSided(t *testing.T) {
	a, b := newSeat(t, "a"), newSeat(t, "b")
	sa, sb := a.start(t), b.start(t, a)
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	befriend(t, sa, ana, ben)
	send := func(p *person, s *Server, q *route.Follow) *route.Feed {
		conn := p.open(s)
		if err := conn.WriteFrame(route.EncodeMessage(q)); err != nil {
			t.Fatal(err)
		}
		return next[*route.Feed](t, conn)
	}
	if f := send(ana, sa, &route.Follow{Peer: true}); f.Code != wire.NotAllowed || len(f.Announcements) > 0 {
		t.Fatalf("%+v", f)
	}
	if f := send(ana, sa, &route.Follow{}); f.Code != wire.CodeNone || len(f.Announcements) != 2 {
		t.Fatalf("%+v", f)
	}
	if c := sb.Counters(); c.Announcements != 0 {
		t.Fatalf("%+v", c)
	}
	if f := send(ana, startServer(t, Options{}), &route.Follow{}); f.Code != wire.NotAllowed {
		t.Fatalf("a server without a log: %+v", f)
	}
}

// Rule I13: a mirror answers as its servers do, also when they are gone.
func TestMirror(t *testing.T) {
	a, b := newSeat(t, "a"), newSeat(t, "b")
	sa, sb := a.start(t), b.start(t)
	ana, ben, cleo := newPerson(t, "ana"), newPerson(t, "ben"), newPerson(t, "cleo")
	befriend(t, sa, ana, ben)
	accept(t, ben.open(sb), ben.say(cleo.key.ID(), 1, 100, 600))
	accept(t, cleo.open(sb), cleo.say(ben.key.ID(), 1, 100, 600))
	m := NewMirror(ana.host, slog.New(slog.DiscardHandler), 0)
	m.Use([]Link{a.link, b.link})
	defer m.Close()
	eventually(t, "the mirror has both", func() bool { _, _, edges := m.Size(); return edges == 4 })
	answer, err := m.Ask(t.Context(), query(ana, cleo, 50))
	if err != nil {
		t.Fatal(err)
	}
	wantRoute(t, answer, ben, cleo)
	accept(t, cleo.open(sb), cleo.say(ben.key.ID(), 2, 40, 600))
	eventually(t, "the mirror has heard", func() bool {
		answer, err := m.Ask(t.Context(), query(ana, cleo, 50))
		return err == nil && answer.Code == wire.NoRoute
	})
	sa.Close()
	sb.Close()
	if answer, err = m.Ask(t.Context(), query(ana, cleo, 40)); err != nil {
		t.Fatal(err)
	}
	wantRoute(t, answer, ben, cleo)
	if n := sa.Counters().Questions + sb.Counters().Questions; n != 0 {
		t.Fatalf("the servers were asked %d questions", n)
	}
}

// A log that was cut in mid-record, or damaged, is good up to there; written anew it keeps what counts.
func TestFeedFile(t *testing.T) {
	dir := t.TempDir()
	open := func() (f *feed, list []wire.Batched) {
		t.Helper()
		f, err := openFeed(dir, func(s wire.Batched, _ *route.Announcement) { list = append(list, s) })
		if err != nil {
			t.Fatal(err)
		}
		return f, list
	}
	ana := newPerson(t, "ana")
	var said []wire.Batched
	for n := range 150 {
		said = append(said, ana.say(ident.ID{byte(n), 1}, uint64(n+1), 100, 600))
	}
	f, list := open()
	if len(list) != 0 || f.add(said[:100]) != nil {
		t.Fatal("a new log")
	}
	first, err := f.read(&route.Follow{})
	if err != nil || len(first.Announcements) != 100 || first.More {
		t.Fatalf("%d announcements, %v", len(first.Announcements), err)
	}
	if f.add(said[100:]) != nil || f.close() != nil {
		t.Fatal("a longer log")
	}
	path := filepath.Join(dir, feedFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	if f, list = open(); len(list) != 149 {
		t.Fatalf("%d of 149 left", len(list))
	}
	epoch := f.epoch
	rest, err := f.read(&route.Follow{Epoch: first.Epoch, After: first.Next, Sum: first.Sum})
	if err != nil || len(rest.Announcements) != 49 || rest.Announcements[48].Sig != said[148].Sig {
		t.Fatalf("%d announcements, %v", len(rest.Announcements), err)
	}
	for what, q := range map[string]*route.Follow{
		"the middle of a record": {Epoch: first.Epoch, After: first.Next + 1, Sum: first.Sum},
		"another sum":            {Epoch: first.Epoch, After: first.Next, Sum: first.Sum + 1},
		"another epoch":          {Epoch: first.Epoch + 1, After: first.Next, Sum: first.Sum},
		"a place in the head":    {Epoch: first.Epoch, After: 3},
		"a place beyond the end": {Epoch: first.Epoch, After: 1 << 40, Sum: first.Sum},
	} {
		if a, err := f.read(q); err != nil || len(a.Announcements) == 0 || a.Announcements[0].Sig != said[0].Sig {
			t.Fatalf("%s: %v, want that it begins anew", what, err)
		}
	}
	keep := func(s wire.Batched) bool { return s.Sig[0]&1 == 0 }
	added := false
	err = f.rewrite(func(s wire.Batched) bool {
		if !added { // in the middle of it: nobody waits
			added = true
			if err := f.add(said[149:]); err != nil {
				t.Error(err)
			}
		}
		return keep(s)
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.read(&route.Follow{Epoch: first.Epoch, After: first.Next, Sum: first.Sum})
	if err != nil || again.Epoch == epoch || len(again.Announcements) == 0 || !keep(again.Announcements[0]) {
		t.Fatalf("after it was written anew: %+v, %v", again.Epoch, err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	f, list = open()
	defer f.close()
	want := 1 // what was added meanwhile
	for _, s := range said[:149] {
		if keep(s) {
			want++
		}
	}
	if len(list) != want {
		t.Fatalf("%d of %d kept", len(list), want)
	}
}
