package index

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/p2p"
	"kula/money"
	"kula/route"
	"kula/wire"
)

// Rule I2: answers in order, whatever was sent ahead, and a query sees what was
// published before it.
func TestPipeline(t *testing.T) {
	s := startServer(t, Options{})
	ana, ben, cleo := newPerson(t, "ana"), newPerson(t, "ben"), newPerson(t, "cleo")
	befriend(t, s, ana, ben)
	cc := cleo.open(s)
	accept(t, cc, cleo.say(ben.key.ID(), 1, 500, 600))
	conn := ben.open(s)
	priced := query(ana, cleo, 100)
	priced.Hops = []ident.ID{ben.key.ID(), cleo.key.ID()}
	upTo := query(ana, cleo, 0)
	upTo.UpTo = true
	send(t, conn,
		&route.Ping{Version: 99},
		query(ana, cleo, 100),
		publish(ben.say(cleo.key.ID(), 1, 0, 600)),
		query(ana, cleo, 100), priced, upTo,
		&route.Ping{Version: route.Version})
	if p := next[*route.Pong](t, conn); p.Version != route.Version { // I4
		t.Fatalf("pong of version %d", p.Version)
	}
	if a := next[*route.Answer](t, conn); a.Code != wire.NoRoute {
		t.Fatalf("answer %s before the channel was announced", a.Code)
	}
	next[*route.PublishResult](t, conn)
	wantRoute(t, next[*route.Answer](t, conn), ben, cleo)
	wantRoute(t, next[*route.Answer](t, conn), ben, cleo)
	if a := next[*route.Answer](t, conn); a.Routes[0].Amounts[1] != 500 {
		t.Fatalf("up to %v, cleo can receive 500", a.Routes[0].Amounts)
	}
	next[*route.Pong](t, conn)
	c := s.Counters()
	if c.Streams != 4 || c.Accepted != 4 || c.Questions != 4 || c.Routes != 3 || c.Nodes != 3 || c.Announcements != 4 || c.Edges != 4 {
		t.Fatalf("counters %+v", c)
	}
}

// Rule I5.
func TestRefusals(t *testing.T) {
	s := startServer(t, Options{})
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	conn := ana.open(s)
	altered := ana.say(ben.key.ID(), 2, 200, 600)
	altered.Sig[0] ^= 1
	send(t, conn, publish(
		ana.say(ben.key.ID(), 5, 100, 600),
		ben.say(ana.key.ID(), 1, 100, 600),
		altered,
		ana.say(ben.key.ID(), 4, 100, 600),
		wire.Batched{Body: []byte("\xff\xffjunk")},
		ana.say(ben.key.ID(), 6, 100, -1)))
	r := next[*route.PublishResult](t, conn)
	want := []wire.Code{wire.NotAllowed, wire.BadSignature, wire.BadSequence, wire.BadRequest, wire.BadRequest}
	if r.Accepted != 1 || len(r.Problems) != len(want) {
		t.Fatalf("%d accepted, problems %+v", r.Accepted, r.Problems)
	}
	for i, code := range want {
		if p := r.Problems[i]; p.Code != code || p.Place != uint32(i+1) || p.Text == "" {
			t.Errorf("problem %d: %+v, want %s at %d", i, p, code, i+1)
		}
	}
}

// Rule I3: what breaks the form ends its stream and no other.
func TestGarbage(t *testing.T) {
	s := startServer(t, Options{})
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	honest := befriend(t, s, ana, ben)[0]
	ping := route.EncodeMessage(&route.Ping{Version: route.Version})
	bad := map[string][]byte{
		"unknown kind":      {200, 1, 2, 3},
		"no CBOR":           {byte(route.KindQuery), 0xff, 0xff},
		"no kind":           {0},
		"trailing bytes":    append(append([]byte{}, ping...), 0),
		"an answer":         route.EncodeMessage(&route.Pong{Version: route.Version}),
		"amount 0":          route.EncodeMessage(query(ana, ben, 0)),
		"101 announcements": route.EncodeMessage(publish(make([]wire.Batched, route.MaxPublish+1)...)),
		"oversized":         make([]byte, route.MaxMessage+1),
	}
	broken := uint64(0)
	for name, frame := range bad {
		t.Run(name, func(t *testing.T) {
			conn := newPerson(t, name).open(s)
			if err := conn.WriteFrame(ping); err != nil {
				t.Fatal(err)
			}
			next[*route.Pong](t, conn)
			conn.WriteFrames([][]byte{frame, ping}) // may fail already
			if b, err := conn.ReadFrame(); err == nil {
				t.Fatalf("an answer of %d bytes", len(b))
			} else if errors.Is(err, p2p.ErrIdle) {
				t.Fatal("the stream did not end")
			}
			broken++
			eventually(t, "the broken stream counted", func() bool { return s.Counters().Broken == broken })
		})
	}
	send(t, honest, query(ana, ben, 100))
	wantRoute(t, next[*route.Answer](t, honest), ben)
}

// Rule I6: 20,000 announcements of one key, all signed by it, half of them badly, cost
// others nothing but time, and the graph no more than one node's share.
func TestFlood(t *testing.T) {
	const junk, perMessage = 50_000, route.MaxPublish
	s := startServer(t, Options{Rates: Rates{Announcements: 10_000, AnnouncementBurst: 100, Questions: 1 << 30}})
	ana, ben, mallory := newPerson(t, "ana"), newPerson(t, "ben"), newPerson(t, "mallory")
	honest := befriend(t, s, ana, ben)[0]
	ask := func() time.Duration {
		began := time.Now()
		send(t, honest, query(ana, ben, 100))
		wantRoute(t, next[*route.Answer](t, honest), ben)
		return time.Since(began)
	}
	p99 := func(took []time.Duration) time.Duration {
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	var quiet, loud []time.Duration
	for range 5000 {
		quiet = append(quiet, ask())
	}
	conn := mallory.open(s)
	signed := mallory.say(ben.key.ID(), 1, 100, 600)
	var frames [][]byte
	for i := range junk / perMessage {
		list := make([]wire.Batched, perMessage)
		for k := range list {
			list[k] = signed
			if k%2 == 0 {
				list[k] = mallory.say(ident.ID{byte(i), byte(i >> 8), byte(k), 1}, 1, 100, 600)
			} else {
				list[k].Sig[5] ^= byte(k)
			}
		}
		frames = append(frames, route.EncodeMessage(publish(list...)))
	}
	var crowd sync.WaitGroup
	defer crowd.Wait()
	defer conn.Close()
	crowd.Go(func() {
		for _, f := range frames {
			if conn.WriteFrame(f) != nil {
				return
			}
		}
	})
	var over sync.WaitGroup
	over.Go(func() {
		for range junk / perMessage {
			if _, err := conn.ReadFrame(); err != nil {
				t.Errorf("the flood ended early: %v", err)
				return
			}
		}
	})
	done := make(chan struct{})
	go func() { over.Wait(); close(done) }()
	for going := true; going; {
		loud = append(loud, ask())
		select {
		case <-done:
			going = false
		default:
		}
	}
	c := s.Counters()
	calm, flooded, slowest := p99(quiet), p99(loud), loud[len(loud)-1]
	t.Logf("%d queries during the flood, p99 %v and before it %v, the slowest took %v; %+v", len(loud), flooded, calm, slowest, c)
	if slowest > askTimeout { // time is no gate on a shared machine; the log has the figures
		t.Errorf("an answer took %v, a client waits %v", slowest, askTimeout)
	}
	if len(loud) < 100 || c.Paced == 0 {
		t.Errorf("%d queries answered meanwhile, %d messages paced", len(loud), c.Paced)
	}
	if c.Accepted != 2+route.MaxFriends || c.Refused != junk-route.MaxFriends || c.Announcements != 2+route.MaxFriends {
		t.Errorf("counters %+v", c)
	}
}

// Rule I6: a new connection does not begin a new burst.
func TestPaceAcrossStreams(t *testing.T) {
	s := startServer(t, Options{Rates: Rates{Announcements: 10, AnnouncementBurst: 100}})
	ana := newPerson(t, "ana")
	for i, n := range []int{100, 10} { // the whole burst, and a second's worth beyond it
		conn := ana.open(s)
		send(t, conn, publish(make([]wire.Batched, n)...))
		next[*route.PublishResult](t, conn)
		if paced := s.Counters().Paced; paced != uint64(i) {
			t.Fatalf("%d messages paced after stream %d", paced, i+1)
		}
		conn.Close()
		eventually(t, "the stream ended", func() bool { return s.Counters().Streams == 0 })
		s.sweep(time.Now())
	}
	s.sweep(time.Now().Add(time.Minute))
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.accounts); n != 0 {
		t.Fatalf("%d accounts kept that nobody uses", n)
	}
}

// Rule I7.
func TestStreams(t *testing.T) {
	s := startServer(t, Options{Rates: Rates{Idle: 2 * time.Second}})
	ana := newPerson(t, "ana")
	var conns []*p2p.Framed
	for range streamsPerKey + 1 {
		conn := ana.open(s)
		send(t, conn, &route.Ping{Version: 1})
		next[*route.Pong](t, conn)
		conns = append(conns, conn)
	}
	for i, conn := range conns {
		if _, err := conn.ReadFrame(); err == nil || errors.Is(err, p2p.ErrIdle) {
			t.Fatalf("stream %d: %v, want that the server ends it", i, err)
		} else if oldest := errors.Is(err, p2p.ErrGone); oldest != (i == 0) {
			t.Errorf("stream %d ended with %v", i, err) // the others as too slow
		}
	}
	eventually(t, "no stream left", func() bool { return s.Counters().Streams == 0 })
}

// Rule I9.
func TestExpire(t *testing.T) {
	s := startServer(t, Options{Rates: Rates{Expire: 50 * time.Millisecond}})
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	conn, cb := ana.open(s), ben.open(s)
	accept(t, conn, ana.say(ben.key.ID(), 1, 100, 3))
	accept(t, cb, ben.say(ana.key.ID(), 1, 100, 600))
	send(t, conn, query(ana, ben, 100))
	wantRoute(t, next[*route.Answer](t, conn), ben)
	eventually(t, "the announcement expired", func() bool {
		send(t, conn, query(ana, ben, 100))
		return next[*route.Answer](t, conn).Code == wire.NoRoute
	})
	if c := s.Counters(); c.Expired != 1 || c.Announcements != 1 {
		t.Fatalf("counters %+v", c)
	}
}

// A server keeps no more than it is told to.
func TestFull(t *testing.T) {
	s := startServer(t, Options{Max: 1})
	ana, ben, cleo := newPerson(t, "ana"), newPerson(t, "ben"), newPerson(t, "cleo")
	conn := ana.open(s)
	send(t, conn, publish(ana.say(ben.key.ID(), 1, 100, 600), ana.say(cleo.key.ID(), 1, 100, 600)))
	if r := next[*route.PublishResult](t, conn); r.Accepted != 1 || len(r.Problems) != 1 || r.Problems[0].Code != wire.NotAllowed {
		t.Fatalf("%+v", r)
	}
}

// Rule I10: a server that stops in the middle of a pipeline leaves no gap in the answers.
func TestStop(t *testing.T) {
	s := startServer(t, Options{})
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	conn := befriend(t, s, ana, ben)[0]
	var frames [][]byte
	for i := range 5000 {
		frames = append(frames, route.EncodeMessage(query(ana, ben, money.Amount(i+1))))
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() { conn.WriteFrames(frames) })
	var stopping sync.WaitGroup
	defer stopping.Wait()
	got := 0
	for {
		frame, err := conn.ReadFrame()
		if err != nil {
			break
		}
		m, err := route.DecodeMessage(frame)
		if err != nil {
			t.Fatal(err)
		}
		got++
		if a := m.(*route.Answer); a.Routes[0].Amounts[0] != money.Amount(got) {
			t.Fatalf("answer %d brings %v", got, a.Routes[0].Amounts)
		}
		if got == 100 {
			stopping.Go(func() { s.Close() })
		}
	}
	stopping.Wait()
	c := s.Counters()
	t.Logf("%d answers arrived, %d were given", got, c.Questions)
	if got < 100 || c.Streams != 0 || uint64(got) > c.Questions {
		t.Fatalf("%d answers, counters %+v", got, c)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("closed twice: %v", err)
	}
}

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready := make(chan string, 1)
	ended := make(chan error, 1)
	opt := Options{Seed: keyOf("server").IdentitySeed(), Listen: []string{"127.0.0.1:0", "/ip4/127.0.0.1/udp/0/quic-v1"}, Ready: func(uri string) { ready <- uri }}
	go func() { ended <- Serve(ctx, opt) }()
	link, err := ParseURI(<-ready)
	if err != nil || link.Key != keyOf("server").ID() || len(link.Addrs) != 2 {
		t.Fatalf("%+v, %v", link, err)
	}
	for _, addr := range link.Addrs {
		only := FormatURI(Link{link.Key, []string{addr}})
		ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
		if a, err := Ask(ctx, only, query(ana, ben, 1)); err != nil || a.Code != wire.NoRoute {
			t.Fatalf("over %s: %+v, %v", addr, a, err)
		}
	}
	opt.Listen = []string{link.Addrs[0], link.Addrs[1]}
	if err := Serve(ctx, opt); err == nil {
		t.Fatal("two servers at one address")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := Serve(context.Background(), Options{Seed: opt.Seed}); err == nil {
		t.Fatal("a server that listens nowhere")
	}
}

// Many write and ask at once; under the race detector this is the test of the locks.
func TestTogether(t *testing.T) {
	s := startServer(t, Options{Rates: Rates{Expire: time.Millisecond}})
	people := make([]*person, 6)
	for i := range people {
		people[i] = newPerson(t, string(rune('a'+i)))
	}
	var all sync.WaitGroup
	for i, p := range people {
		conn := p.open(s)
		all.Go(func() {
			for n := range 50 {
				before, after := people[(i+5)%6].key.ID(), people[(i+1)%6].key.ID()
				conn.WriteFrames([][]byte{
					route.EncodeMessage(publish(p.say(before, uint64(n+1), 100, 600), p.say(after, uint64(n+1), 100, 600))),
					route.EncodeMessage(query(p, people[(i+3)%6], 10)),
				})
				for range 2 {
					if _, err := conn.ReadFrame(); err != nil {
						t.Errorf("person %d: %v", i, err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	if c := s.Counters(); c.Accepted != 600 || c.Refused != 0 || c.Edges != 12 || c.Questions != 300 {
		t.Fatalf("counters %+v", c)
	}
}
