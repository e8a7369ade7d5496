package index

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kula/ident"
	"kula/route"
	"kula/wire"
)

// gone is the withdrawal of what p announced about friend.
func (p *person) gone(friend ident.ID, number uint64) wire.Batched {
	p.t.Helper()
	signed, err := route.Sign(p.key, route.Announcement{Node: p.key.ID(), Friend: friend, Number: number, Expires: nowPlus(600)})
	if err != nil {
		p.t.Fatal(err)
	}
	return signed
}

// Rule I15: what was withdrawn while a server was away is withdrawn there too, when the server gets everything again.
func TestWithdrawnWhileAway(t *testing.T) {
	for _, c := range []struct {
		name string
		max  int // entries that the server keeps
		kill bool
	}{
		{"it had refused something", 1, false},
		{"it was killed", 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newSeat(t, "server")
			start := func() *Server { return startServer(t, Options{Listen: x.link.Addrs, Dir: x.dir, Max: c.max}) }
			s := start()
			ana, ben, cleo := newPerson(t, "ana"), newPerson(t, "ben"), newPerson(t, "cleo")
			accept(t, ana.open(s), ana.say(ben.key.ID(), 1, 100, 600))
			client, asked := ana.node([]wire.Batched{ana.say(cleo.key.ID(), 1, 100, 600)}, x.link)
			eventually(t, "the rest was published", func() bool {
				client.mu.Lock()
				defer client.mu.Unlock()
				n := s.Counters()
				return n.Accepted+n.Refused == 2 && client.servers[0].idle()
			})
			log := filepath.Join(x.dir, feedFile)
			killed, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			if c.kill {
				s.Close()
				if err := os.WriteFile(log, killed, 0o600); err != nil { // as a process that is killed leaves it
					t.Fatal(err)
				}
			} else {
				ana.open(s)
				ana.open(s) // a third stream ends the oldest
			}
			eventually(t, "the connection ended", func() bool { l, _ := client.Standings(); return !l[0].Connected })
			client.Publish([]wire.Batched{ana.gone(ben.key.ID(), 2)})
			if c.kill {
				s = start()
			}
			eventually(t, "withdrawn", func() bool { n, _ := s.graph.Newest(ana.key.ID(), ben.key.ID()); return n == 2 })
			eventually(t, "everything was published again", func() bool { return asked.Load() == 2 })
		})
	}
}

// A server that refused something does not know everything, until that is withdrawn: also if it has no place for the withdrawal.
func TestRefusedIsNotComplete(t *testing.T) {
	s := startServer(t, Options{Max: 1})
	link, err := ParseURI(s.URI())
	if err != nil {
		t.Fatal(err)
	}
	ana, ben, cleo := newPerson(t, "ana"), newPerson(t, "ben"), newPerson(t, "cleo")
	c, _ := ana.node([]wire.Batched{ana.say(ben.key.ID(), 1, 100, 600), ana.say(cleo.key.ID(), 1, 100, 600)}, link)
	settled := func(refused uint64) {
		t.Helper()
		eventually(t, "all was said", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return s.Counters().Refused == refused && c.servers[0].idle()
		})
	}
	settled(1)
	if complete(c) {
		t.Error("complete, with one of two refused")
	}
	c.Publish([]wire.Batched{ana.gone(cleo.key.ID(), 2)})
	settled(2)
	if !complete(c) {
		t.Error("not complete, though what was refused is withdrawn")
	}
}

// What a server has not confirmed waits for it, however long and however much: the newest about each friend, until it expires.
func TestQueue(t *testing.T) {
	ana := newPerson(t, "ana")
	c := NewClient(ana.host, slog.New(slog.DiscardHandler), nil)
	s := &server{client: c, wake: make(chan struct{}, 1)}
	c.servers = []*server{s}
	numbers := func(list []queued) (n []uint64) {
		for _, q := range list {
			n = append(n, q.number)
		}
		return n
	}
	want := func(what string, n ...uint64) {
		t.Helper()
		if got := numbers(s.queue); !slices.Equal(got, n) {
			t.Fatalf("%s: numbers %v are queued, want %v", what, got, n)
		}
	}
	c.Publish([]wire.Batched{ana.say(numbered(0), 10, 1, 600), ana.say(numbered(1), 20, 1, 600), ana.gone(numbered(2), 30)})
	c.Publish([]wire.Batched{ana.say(numbered(1), 21, 1, 600), ana.say(numbered(0), 9, 1, 600)})
	want("never reached", 10, 21, 30)
	if s.attach(newLine(ident.ID{}, nil), &route.Pong{Instance: 5}) {
		t.Fatal("it knows what it never heard")
	}
	want("reached", 10, 21, 30)
	if flying := numbers(s.take()); len(flying) != 3 || len(s.queue) != 0 {
		t.Fatalf("%v are taken, %d are left", flying, len(s.queue))
	}
	c.Publish([]wire.Batched{ana.gone(numbered(0), 11), ana.say(numbered(3), 40, 1, 600)})
	s.leftFor(errShut, pause)
	want("cut before it had confirmed", 11, 21, 30, 40)
	if s.attach(newLine(ident.ID{}, nil), &route.Pong{Instance: 6}) {
		t.Fatal("another instance knows")
	}
	want("another instance", 11, 21, 30, 40)

	s.queue[1].expires = time.Now().Unix()
	if flying := numbers(s.take()); !slices.Equal(flying, []uint64{11, 30, 40}) {
		t.Fatalf("%v are taken, want all that has not expired", flying)
	}
}
