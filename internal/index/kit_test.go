package index

import (
	"context"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kula/ident"
	"kula/internal/p2p"
	"kula/money"
	"kula/route"
	"kula/wire"
)

const eur = money.Currency("EUR/2")

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func keyOf(name string) *ident.Key { return ident.NewKey(sha256.Sum256([]byte(name))) }

// startServer runs a server on a free port of the loopback.
func startServer(t testing.TB, opt Options) *Server {
	t.Helper()
	opt.Seed = keyOf("server").IdentitySeed()
	if opt.Listen == nil {
		opt.Listen = []string{"127.0.0.1:0"}
	}
	s, err := Start(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func nowPlus(seconds int64) int64 { return time.Now().Unix() + seconds }

// person is an identity with a host of its own.
type person struct {
	t    testing.TB
	key  *ident.Key
	host *p2p.Host
}

func newPerson(t testing.TB, name string) *person {
	t.Helper()
	p := &person{t: t, key: keyOf(name)}
	var err error
	if p.host, err = p2p.New(p2p.Config{Seed: p.key.IdentitySeed()}, noSessions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.host.Close() })
	return p
}

// open opens a stream that reads nothing for longer than patience.
func (p *person) open(s *Server) *p2p.Framed {
	p.t.Helper()
	link, err := ParseURI(s.URI())
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := p.host.Open(ctx, link.Key, link.Addrs, Protocol, p2p.Limits{MaxFrame: route.MaxMessage, Idle: patience})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	return conn
}

// say is an announcement that p can receive an amount from friend, valid for life seconds.
func (p *person) say(friend ident.ID, number uint64, can money.Amount, life int64) wire.Batched {
	p.t.Helper()
	a := route.Announcement{Node: p.key.ID(), Friend: friend, Number: number, Expires: nowPlus(life),
		Entries: []route.Entry{{Currency: eur, CanReceive: can, FeeBase: 1}}}
	signed, err := route.Sign(p.key, a)
	if err != nil {
		p.t.Fatal(err)
	}
	return signed
}

func publish(list ...wire.Batched) *route.Publish { return &route.Publish{Announcements: list} }

func query(from, to *person, amount money.Amount) *route.Query {
	return &route.Query{Request: route.Request{From: from.key.ID(), To: to.key.ID(), Currency: eur, Amount: amount, MaxFee: route.NoMaxFee, Announced: true}}
}

// send writes messages together.
func send(t testing.TB, conn *p2p.Framed, messages ...route.Message) {
	t.Helper()
	var frames [][]byte
	for _, m := range messages {
		frames = append(frames, route.EncodeMessage(m))
	}
	if err := conn.WriteFrames(frames); err != nil {
		t.Fatal(err)
	}
}

// next reads one answer of a kind.
func next[M route.Message](t testing.TB, conn *p2p.Framed) M {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := receive[M](ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// accept publishes announcements, none of which may be refused.
func accept(t testing.TB, conn *p2p.Framed, list ...wire.Batched) {
	t.Helper()
	send(t, conn, publish(list...))
	if r := next[*route.PublishResult](t, conn); int(r.Accepted) != len(list) || len(r.Problems) > 0 {
		t.Fatalf("%d of %d announcements accepted, problems %+v", r.Accepted, len(list), r.Problems)
	}
}

// befriend announces channels along a chain of people, both sides, and returns their streams.
func befriend(t testing.TB, s *Server, chain ...*person) []*p2p.Framed {
	t.Helper()
	var conns []*p2p.Framed
	for i, p := range chain {
		var list []wire.Batched
		for _, n := range []int{i - 1, i + 1} {
			if n >= 0 && n < len(chain) {
				list = append(list, p.say(chain[n].key.ID(), 1, 10_000, 600))
			}
		}
		conn := p.open(s)
		accept(t, conn, list...)
		conns = append(conns, conn)
	}
	return conns
}

// wantRoute checks that an answer is a route over these people.
func wantRoute(t testing.TB, a *route.Answer, hops ...*person) {
	t.Helper()
	var keys []ident.ID
	for _, p := range hops {
		keys = append(keys, p.key.ID())
	}
	if len(a.Routes) != 1 || !slices.Equal(a.Routes[0].Hops, keys) {
		t.Fatalf("answer %s %q with %d routes, want one of %d", a.Code, a.Text, len(a.Routes), len(keys))
	}
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
