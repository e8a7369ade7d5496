package index

import (
	"log/slog"
	"sync/atomic"
	"testing"

	"kula/route"
	"kula/wire"
)

// node is a person with a Client that publishes the same each time it is asked to.
func (p *person) node(list []wire.Batched, links ...Link) (c *Client, asked *atomic.Int32) {
	asked = new(atomic.Int32)
	ready := make(chan struct{})
	c = NewClient(p.host, slog.New(slog.DiscardHandler), func(done func()) {
		<-ready
		asked.Add(1)
		c.Publish(list)
		done()
	})
	var choices []Choice
	for _, l := range links {
		choices = append(choices, Choice{Link: l})
	}
	c.Use(choices)
	close(ready)
	p.t.Cleanup(c.Close)
	return c, asked
}

func complete(c *Client) bool {
	list, _ := c.Standings()
	for _, s := range list {
		if !s.Complete {
			return false
		}
	}
	return true
}

// Rule I9: nodes publish everything again to a server that was restarted.
func TestRestart(t *testing.T) {
	s := startServer(t, Options{})
	link, err := ParseURI(s.URI())
	if err != nil {
		t.Fatal(err)
	}
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	a, askedA := ana.node([]wire.Batched{ana.say(ben.key.ID(), 1, 100, 600)}, link)
	b, askedB := ben.node([]wire.Batched{ben.say(ana.key.ID(), 1, 100, 600)}, link)
	know := func(times int32) {
		t.Helper()
		eventually(t, "all announced", func() bool {
			return complete(a) && complete(b) && askedA.Load() == times && askedB.Load() == times
		})
		answer, _, err := a.Ask(t.Context(), query(ana, ben, 100))
		if err != nil {
			t.Fatal(err)
		}
		wantRoute(t, answer, ben)
	}
	know(1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the clients noticed", func() bool { return !complete(a) && !complete(b) })
	s = startServer(t, Options{Listen: link.Addrs})
	know(2)
	if c := s.Counters(); c.Accepted != 2 || c.Edges != 2 {
		t.Fatalf("counters %+v", c)
	}
}

// A client publishes to all servers and asks the first that answers.
func TestTwoServers(t *testing.T) {
	s1 := startServer(t, Options{})
	other := keyOf("other server")
	s2, err := Start(Options{Seed: other.IdentitySeed(), Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s2.Close()
	links, err := ParseURIs([]string{s1.URI(), s2.URI()})
	if err != nil {
		t.Fatal(err)
	}
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	a, _ := ana.node([]wire.Batched{ana.say(ben.key.ID(), 1, 100, 600)}, links...)
	b, _ := ben.node([]wire.Batched{ben.say(ana.key.ID(), 1, 100, 600)}, links...)
	eventually(t, "all announced", func() bool { return complete(a) && complete(b) })
	s1.Close()
	for range 3 {
		answer, _, err := a.Ask(t.Context(), query(ana, ben, 100))
		if err != nil {
			t.Fatal(err)
		}
		wantRoute(t, answer, ben)
	}
	if n := s2.Counters().Questions; n != 3 {
		t.Fatalf("the second server answered %d of 3 questions", n)
	}
	s2.Close()
	if _, _, err := a.Ask(t.Context(), query(ana, ben, 100)); err == nil {
		t.Fatal("an answer from nobody")
	}
}

// What a node withdraws is gone for others at once.
func TestWithdraw(t *testing.T) {
	s := startServer(t, Options{})
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	conns := befriend(t, s, ana, ben)
	withdrawn, err := route.Sign(ben.key, route.Announcement{Node: ben.key.ID(), Friend: ana.key.ID(), Number: 2, Expires: nowPlus(600)})
	if err != nil {
		t.Fatal(err)
	}
	accept(t, conns[1], withdrawn)
	send(t, conns[0], query(ana, ben, 100))
	if a := next[*route.Answer](t, conns[0]); a.Code != wire.NoRoute {
		t.Fatalf("answer %s after the withdrawal", a.Code)
	}
}
