package index

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/p2p"
	"kula/money"
	"kula/route"
	"kula/wire"
)

// oracle is a server that answers queries as the test likes, over real sockets.
type oracle struct {
	link  Link
	asked atomic.Int32
	say   atomic.Pointer[func(q *route.Query) *route.Answer]
}

func (o *oracle) says(f func(q *route.Query) *route.Answer) { o.say.Store(&f) }

func newOracle(t *testing.T, name string, f func(q *route.Query) *route.Answer) *oracle {
	t.Helper()
	o := &oracle{}
	o.says(f)
	host, err := p2p.New(p2p.Config{Seed: keyOf(name).IdentitySeed(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Strangers: 16, StrangersPerPrefix: 16}, noSessions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	addr, _, _ := strings.Cut(host.Addrs()[0], "/p2p/")
	o.link = Link{Key: host.ID(), Addrs: []string{addr}}
	host.Handle(Protocol, p2p.Limits{MaxFrame: route.MaxMessage, Idle: patience, Streams: 16}, func(_ context.Context, _ ident.ID, conn *p2p.Framed) {
		for {
			frame, err := conn.ReadFrame()
			if err != nil {
				return
			}
			m, err := route.DecodeMessage(frame)
			if err != nil {
				return
			}
			var answer route.Message
			switch m := m.(type) {
			case *route.Ping:
				answer = &route.Pong{Version: route.Version}
			case *route.Publish:
				answer = &route.PublishResult{Accepted: uint32(len(m.Announcements))}
			case *route.Query:
				o.asked.Add(1)
				answer = (*o.say.Load())(m)
			}
			if conn.WriteFrame(route.EncodeMessage(answer)) != nil {
				return
			}
		}
	})
	return o
}

// straight is a route of one channel, over which the payer pays the payee.
func straight(q *route.Query) *route.Answer {
	a := q.Request.Amount
	return &route.Answer{Routes: []route.Route{{Hops: []ident.ID{q.Request.To}, Amounts: []money.Amount{a}, Charges: []route.Charge{{CanPay: a}}}}}
}

// crooked brings more than was asked for.
func crooked(q *route.Query) *route.Answer {
	a := straight(q)
	a.Routes[0].Amounts[0]++
	return a
}

// nothing knows no way.
func nothing(*route.Query) *route.Answer {
	return &route.Answer{Code: wire.NoRoute, Text: "no way", Proved: true}
}

func connected(t *testing.T, c *Client) {
	t.Helper()
	eventually(t, "connected to all", func() bool {
		list, _ := c.Standings()
		return !slices.ContainsFunc(list, func(s Standing) bool { return !s.Connected })
	})
}

// asks asks once and says who answered.
func asks(t *testing.T, c *Client, from, to *person) (*route.Answer, ident.ID) {
	t.Helper()
	a, by, err := c.Ask(t.Context(), query(from, to, 100))
	if err != nil {
		t.Fatal(err)
	}
	return a, by
}

// Rule I14: who was wrong is asked last, and the user's word comes before; what is not used is not asked.
func TestOrderOfAsking(t *testing.T) {
	first, second, third := newOracle(t, "first", straight), newOracle(t, "second", straight), newOracle(t, "third", straight)
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	c, _ := ana.node(nil, first.link, second.link, third.link)
	connected(t, c)
	expect := func(what string, want *oracle) {
		t.Helper()
		if _, by := asks(t, c, ana, ben); by != want.link.Key {
			t.Fatalf("%s: the wrong one was asked first", what)
		}
	}
	expect("in their order", first)
	c.Wrong(first.link.Key)
	expect("the first was wrong", second)
	c.Wrong(second.link.Key)
	c.Wrong(second.link.Key)
	expect("the second was wrong more often", third)
	c.Wrong(third.link.Key)
	expect("as often as the first", first)
	if list, _ := c.Standings(); list[1].Wrong != 2 {
		t.Fatalf("%+v", list)
	}

	c.Use([]Choice{{Link: first.link}, {Link: third.link}, {Link: second.link, Trusted: true}})
	expect("the second is trusted, and was wrong twice", second)
	c.Wrong(second.link.Key)
	expect("thrice", second)
	for range 2 {
		c.Wrong(second.link.Key)
	}
	expect("five times: no trust covers that", first)

	c.Use([]Choice{{Link: third.link}})
	before := first.asked.Load() + second.asked.Load()
	expect("the only one left", third)
	third.says(nothing)
	asks(t, c, ana, ben)
	if first.asked.Load()+second.asked.Load() != before {
		t.Fatal("one was asked that is not used any more")
	}
	c.Use(nil)
	if _, _, err := c.Ask(t.Context(), query(ana, ben, 100)); err != ErrNone {
		t.Fatalf("without servers: %v", err)
	}
}

// Rules R17 and I14: what does not add up, or that there is no way, is not the last word while others can be asked.
func TestOthersAreAskedToo(t *testing.T) {
	liar, empty, good := newOracle(t, "liar", crooked), newOracle(t, "empty", nothing), newOracle(t, "good", straight)
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	c, _ := ana.node(nil, liar.link, empty.link, good.link)
	connected(t, c)
	if a, by := asks(t, c, ana, ben); by != good.link.Key || a.Code != wire.CodeNone {
		t.Fatalf("answer %s of %s", a.Code, by.Short())
	}
	if list, _ := c.Standings(); list[0].Wrong != 1 || list[1].Wrong != 0 {
		t.Fatalf("%+v", list)
	}
	asks(t, c, ana, ben)
	if n := liar.asked.Load(); n != 1 {
		t.Fatalf("who lied was asked %d times while others answered", n)
	}
	good.says(nothing)
	if a, _ := asks(t, c, ana, ben); a.Outcome() != route.OutcomeImpossible {
		t.Fatalf("nobody knows a way: %s", a.Code)
	}
	empty.says(crooked)
	good.says(crooked)
	if _, _, err := c.Ask(t.Context(), query(ana, ben, 100)); err == nil || !strings.Contains(err.Error(), "does not add up") {
		t.Fatalf("nothing adds up: %v", err)
	}
}

// A priced route is taken from who knows its fees.
func TestPriceFromWhoKnows(t *testing.T) {
	vague := func(q *route.Query) *route.Answer {
		a := straight(q)
		a.Unknown = []uint32{0}
		return a
	}
	newcomer, knows := newOracle(t, "newcomer", vague), newOracle(t, "knows", straight)
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	c, _ := ana.node(nil, newcomer.link, knows.link)
	connected(t, c)
	q := query(ana, ben, 100)
	q.Hops = []ident.ID{ben.key.ID()}
	for _, want := range []*oracle{knows, newcomer} {
		if _, by, err := c.Ask(t.Context(), q); err != nil || by != want.link.Key {
			t.Fatalf("%s: %v", by.Short(), err)
		}
		knows.says(vague)
	}
}

// What was wrong is forgotten after a while, and never grows.
func TestMisses(t *testing.T) {
	var m misses
	begin := time.Unix(1_800_000_000, 0)
	for i := range 100 {
		m.add(begin.Add(time.Duration(i) * time.Second))
	}
	now := begin.Add(100 * time.Second)
	if n := m.count(now); n != maxWrong {
		t.Fatalf("%d remembered, want %d", n, maxWrong)
	}
	if n := m.count(begin.Add(99*time.Second + wrongFor - 1)); n != 1 {
		t.Fatalf("%d left, want 1", n)
	}
	if n := m.count(begin.Add(99*time.Second + wrongFor)); n != 0 {
		t.Fatalf("%d left, want 0", n)
	}
}

// A mirror that is told to use other servers reads those, and keeps what it has.
func TestMirrorUse(t *testing.T) {
	a, b := newSeat(t, "a"), newSeat(t, "b")
	sa, sb := a.start(t), b.start(t)
	ana, ben, cleo := newPerson(t, "ana"), newPerson(t, "ben"), newPerson(t, "cleo")
	befriend(t, sa, ana, ben)
	m := NewMirror(ana.host, slog.New(slog.DiscardHandler), 0)
	defer m.Close()
	m.Use([]Link{a.link})
	eventually(t, "what the first has", func() bool { _, _, edges := m.Size(); return edges == 2 })
	m.Use([]Link{b.link})
	eventually(t, "the first is followed no more", func() bool { return sa.Counters().Streams == 2 }) // those of befriend
	befriend(t, sb, ben, cleo)
	eventually(t, "what the second has", func() bool { _, _, edges := m.Size(); return edges == 4 })
}
