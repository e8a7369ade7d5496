package index

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/p2p"
	"kula/route"
	"kula/wire"
)

// tell publishes to all servers of a client that already knows the rest, as a node does.
func tell(t testing.TB, c *Client, list ...wire.Batched) {
	t.Helper()
	c.Publish(list)
	eventually(t, "confirmed", func() bool { return complete(c) })
}

func resting(c *Client) bool {
	list, _ := c.Standings()
	return !slices.ContainsFunc(list, func(s Standing) bool { return !s.Resting || !s.Complete || s.Connected || s.Err != nil })
}

// Rule I15: several times as many nodes as places. Everything they say is known, everything they ask is answered, and they
// come only to say or to ask.
func TestMoreNodesThanPlaces(t *testing.T) {
	const places, nodes, each = 12, 48, 4 // places of the loopback's network
	s := startServer(t, Options{Places: prefixShare * places})
	link, err := ParseURI(s.URI())
	if err != nil {
		t.Fatal(err)
	}
	people := make([]*person, nodes)
	for i := range people {
		people[i] = newPerson(t, fmt.Sprint("person", i))
	}
	around := func(i int) []*person { // the friends of one
		return []*person{people[(i+1)%nodes], people[(i+2)%nodes], people[(i+nodes-1)%nodes], people[(i+nodes-2)%nodes]}
	}
	clients := make([]*Client, nodes)
	for i, p := range people {
		var list []wire.Batched
		for _, f := range around(i) {
			list = append(list, p.say(f.key.ID(), 1, 100, 600))
		}
		clients[i], _ = p.node(list, link)
	}
	all := func(what string, ok func(*Client) bool) {
		t.Helper()
		eventually(t, what, func() bool { return !slices.ContainsFunc(clients, func(c *Client) bool { return !ok(c) }) })
	}
	all("everything was confirmed", complete)
	first := s.Counters()
	t.Logf("at first: %+v", first)
	if first.Announcements != nodes*each || first.Edges != nodes*each {
		t.Errorf("%d announcements, %d edges, want %d", first.Announcements, first.Edges, nodes*each)
	}
	if first.Opened > 3*nodes || first.Accepted > nodes*each*5/4 {
		t.Errorf("%d nodes opened %d streams and published %d announcements, %d are enough", nodes, first.Opened, first.Accepted, nodes*each)
	}

	var asking sync.WaitGroup
	for i, c := range clients {
		asking.Go(func() {
			if i%2 == 0 {
				c.Publish([]wire.Batched{people[i].say(around(i)[0].key.ID(), 2, 90, 600)})
			}
			a, _, err := c.Ask(t.Context(), query(people[i], people[(i+nodes/2)%nodes], 50))
			if err != nil || a.Code != wire.CodeNone {
				t.Errorf("question of %d: %v, %+v", i, err, a)
			}
		})
	}
	asking.Wait()
	all("the news were confirmed", complete)
	second := s.Counters()
	t.Logf("then: %+v", second)
	if opened := second.Opened - first.Opened; opened > 3*nodes {
		t.Errorf("%d nodes with a question each opened %d streams", nodes, opened)
	}
	if said := second.Accepted - first.Accepted; said < nodes/2 || said > nodes {
		t.Errorf("%d announcements published, %d were new", said, nodes/2)
	}
	for i := range people {
		if n, _ := s.graph.Newest(people[i].key.ID(), around(i)[0].key.ID()); n != uint64(2-i%2) {
			t.Errorf("of %d number %d is known", i, n)
		}
	}
	eventually(t, "places are free", func() bool { return s.Counters().Streams <= places*3/4 })
	if quiet := s.Counters(); quiet.Accepted != second.Accepted || quiet.Opened > second.Opened+nodes/4 {
		t.Errorf("with nothing to do, %d announcements and %d streams came", quiet.Accepted-second.Accepted, quiet.Opened-second.Opened)
	}
	all("still everything is confirmed", complete)
}

// Rule I15: who comes back from a rest publishes what is new to a server that forgot nothing, and everything to any other; and a
// node that goes takes back what it said.
func TestComeBack(t *testing.T) {
	x := newSeat(t, "server")
	start := func(dir string) *Server {
		t.Helper()
		return startServer(t, Options{Listen: x.link.Addrs, Dir: dir, Places: prefixShare}) // one place: it is full
	}
	s := start(x.dir)
	ana := newPerson(t, "ana")
	var said []wire.Batched
	for n := range 10 {
		said = append(said, ana.say(numbered(n), 1, 100, 600))
	}
	c, asked := ana.node(said, x.link)
	rests := func(times int32) {
		t.Helper()
		eventually(t, "it rests", func() bool { return resting(c) && s.Counters().Streams == 0 })
		if asked.Load() != times {
			t.Fatalf("everything was published %d times, want %d", asked.Load(), times)
		}
	}
	rests(1)
	tell(t, c, ana.say(numbered(0), 2, 90, 600))
	rests(1)
	if n := s.Counters(); n.Accepted != 11 || n.Opened != 2 {
		t.Fatalf("counters %+v", n)
	}
	c.Publish(said) // another server wanted it
	if !resting(c) {
		t.Fatal("it comes back to say what it has said")
	}

	s.Close() // and starts again with all it knew
	s = start(x.dir)
	if _, _, err := c.Ask(t.Context(), query(ana, newPerson(t, "ben"), 1)); err != nil {
		t.Fatal(err)
	}
	rests(1)
	if n := s.Counters(); n.Accepted != 0 || n.Questions != 1 || n.Announcements != 10 {
		t.Fatalf("counters %+v", n)
	}

	s.Close() // wiped and replaced
	s = start(t.TempDir())
	tell(t, c, ana.say(numbered(0), 3, 80, 600))
	rests(2)
	if n := s.Counters(); n.Announcements != 10 {
		t.Fatalf("counters %+v", n)
	}
	gone, err := route.Sign(ana.key, route.Announcement{Node: ana.key.ID(), Friend: numbered(5), Number: 2, Expires: nowPlus(600)})
	if err != nil {
		t.Fatal(err)
	}
	c.Publish([]wire.Batched{gone})
	c.Flush(t.Context())
	if n, _ := s.graph.Newest(ana.key.ID(), numbered(5)); n != 2 {
		t.Fatalf("number %d is known after the withdrawal", n)
	}
	s.Close()
	c.Publish([]wire.Batched{ana.say(numbered(1), 2, 90, 600)})
	eventually(t, "it says that the server is away", func() bool {
		list, _ := c.Standings()
		return !list[0].Resting && !list[0].Complete && list[0].Err != nil && list[0].Waiting == 1
	})
}

// Rule R21: the instance changes when something that was confirmed may be lost, and only then.
func TestInstance(t *testing.T) {
	ana := newPerson(t, "ana") // with another host for each server, as all have one key
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string, s *Server) (again string, opt Options)
		same   bool
	}{
		{"stopped and started", func(t *testing.T, dir string, s *Server) (string, Options) {
			s.Close()
			return dir, Options{}
		}, true},
		{"written anew meanwhile", func(t *testing.T, dir string, s *Server) (string, Options) {
			if err := s.tidy(); err != nil {
				t.Fatal(err)
			}
			s.Close()
			return dir, Options{}
		}, true},
		{"it did not stop itself", func(t *testing.T, dir string, s *Server) (string, Options) {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			s.Close()
			return copied, Options{}
		}, false},
		{"the end is missing", func(t *testing.T, dir string, s *Server) (string, Options) {
			s.feed.mu.Lock()
			end := s.feed.end
			s.feed.mu.Unlock()
			accept(t, newPerson(t, "ana").open(s), ana.say(numbered(9), 1, 100, 600))
			s.Close()
			if err := os.Truncate(filepath.Join(dir, feedFile), end); err != nil {
				t.Fatal(err)
			}
			return dir, Options{}
		}, false},
		{"something could not be logged", func(t *testing.T, dir string, s *Server) (string, Options) {
			s.feed.mu.Lock()
			file := s.feed.file
			full, err := os.Open(s.feed.path) // which nobody may write to
			s.feed.file = full
			s.feed.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			accept(t, newPerson(t, "ana").open(s), ana.say(numbered(9), 1, 100, 600))
			s.feed.mu.Lock()
			s.feed.file = file
			s.feed.mu.Unlock()
			full.Close()
			s.Close()
			return dir, Options{}
		}, false},
		{"put back, without its mark", func(t *testing.T, dir string, s *Server) (string, Options) {
			s.Close()
			path := filepath.Join(dir, feedFile)
			log, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			clear(log[16:32]) // dd if=/dev/zero bs=16 seek=1 count=1 conv=notrunc
			if err := os.WriteFile(path, log, 0o600); err != nil {
				t.Fatal(err)
			}
			return dir, Options{}
		}, false},
		{"less room", func(t *testing.T, dir string, s *Server) (string, Options) {
			s.Close()
			return dir, Options{Max: 2}
		}, false},
		{"no log", func(t *testing.T, dir string, s *Server) (string, Options) {
			s.Close()
			return "", Options{}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := startServer(t, Options{Dir: dir})
			accept(t, newPerson(t, "ana").open(s), ana.say(numbered(0), 1, 100, 600), ana.say(numbered(1), 1, 100, 600), ana.say(numbered(2), 1, 100, 600))
			before := instance(t, s)
			if before == 0 || instance(t, s) != before {
				t.Fatalf("instance %x, and then %x", before, instance(t, s))
			}
			again, opt := c.change(t, dir, s)
			opt.Dir = again
			s = startServer(t, opt)
			if after := instance(t, s); after == 0 || (after == before) != c.same {
				t.Errorf("instance %x, before it was %x", after, before)
			}
		})
	}
}

// instance asks for a server's instance.
func instance(t *testing.T, s *Server) uint64 {
	t.Helper()
	conn := newPerson(t, "asker").open(s)
	defer conn.Close()
	send(t, conn, &route.Ping{Version: route.Version})
	return next[*route.Pong](t, conn).Instance
}

// Rule R21: a server is full for those who have nothing to do.
func TestFullForTheIdle(t *testing.T) {
	s := startServer(t, Options{Places: prefixShare * 4})
	var conns []*p2p.Framed
	full := func(conn *p2p.Framed) bool {
		t.Helper()
		send(t, conn, &route.Ping{Version: route.Version})
		return next[*route.Pong](t, conn).Full
	}
	var got []bool
	for i := range 4 {
		conns = append(conns, newPerson(t, fmt.Sprint("person", i)).open(s))
		got = append(got, full(conns[i]))
	}
	if want := []bool{false, false, false, true}; !slices.Equal(got, want) {
		t.Fatalf("full %v, want %v", got, want)
	}
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	began := time.Now()
	send(t, conns[0], query(ana, ben, 1))
	next[*route.Answer](t, conns[0])
	if full(conns[0]) && time.Since(began) < lull {
		t.Error("full for one that has just asked")
	}
	eventually(t, "full again", func() bool { return full(conns[0]) })
	if took := time.Since(began); took < lull {
		t.Errorf("full again after %v", took)
	}

	// The next comers end those on which nothing was asked for longest.
	for _, name := range []string{"cleo", "dan", "eve"} {
		full(newPerson(t, name).open(s))
	}
	for i, conn := range conns[1:] {
		if _, err := conn.ReadFrame(); err == nil || errors.Is(err, p2p.ErrIdle) {
			t.Errorf("connection %d: %v", i+1, err)
		}
	}
	full(conns[0]) // is still there
}

// A rest is between half an hour and an hour.
func TestRestTime(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := restTime()
		if d < leastRest || d > mostRest {
			t.Fatal(d)
		}
		seen[d/time.Minute] = true
	}
	if len(seen) < 25 {
		t.Fatalf("only %d different minutes", len(seen))
	}
}

// Rule I15: who was cut while there was nothing to do comes back with growing pauses if it was not told that the server is full, at once to ask, and rests
// if it was.
func TestCutWhileIdle(t *testing.T) {
	s := &server{client: NewClient(nil, slog.New(slog.DiscardHandler), nil), wake: make(chan struct{}, 1)}
	line := newLine(ident.ID{}, nil)
	for _, c := range []struct {
		name     string
		set      func()
		from, to time.Duration
		wakes    bool
	}{
		{"idle", func() {}, pause, pause, true},
		{"idle, and told", func() { s.full = time.Now() }, leastRest, mostRest, true},
		{"idle, and told long ago", func() { s.full = time.Now().Add(-fullFor) }, pause, pause, true},
		{"with a question", func() { s.full = time.Now(); s.asking = 1 }, pause, pause, false},
		{"with something to say", func() { s.full = time.Now(); s.flying = make([]queued, 1) }, pause, pause, false},
		{"not yet told everything", func() { s.full = time.Now(); s.whole = false }, pause, pause, false},
		{"never connected", func() { s.full = time.Now(); s.line = nil }, pause, pause, false},
	} {
		s.line, s.whole, s.resting, s.asking, s.full, s.queue, s.flying = line, true, false, 0, time.Time{}, nil, nil
		c.set()
		wait, wake := s.leftFor(errShut, pause)
		if wait < c.from || wait > c.to || (wake != nil) != c.wakes || s.resting != (wait > pause) || s.line != nil {
			t.Errorf("%s: wait %v, woken %v, resting %v", c.name, wait, wake != nil, s.resting)
		}
	}
}

// A question while no server is connected has the next attempt made soon, however long the pause between attempts has grown.
func TestQuestionEndsAPause(t *testing.T) {
	c := NewClient(nil, slog.New(slog.DiscardHandler), nil)
	s := &server{client: c, wake: make(chan struct{}, 1), asked: make(chan struct{}, 1), life: t.Context()}
	c.servers = []*server{s}
	began, over := time.Now(), make(chan bool, 1)
	go func() { over <- s.stayAway(time.Hour, nil) }()
	if list, _, _ := c.ready(); len(list) > 0 {
		t.Fatal("a server is ready that was never reached")
	}
	select {
	case wanted := <-over:
		if took := time.Since(began); !wanted || took < pause {
			t.Errorf("after %v: wanted %v; attempts are %v apart at least", took, wanted, pause)
		}
	case <-time.After(patience):
		t.Fatal("nothing is tried")
	}
}
