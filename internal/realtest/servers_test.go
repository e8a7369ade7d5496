//go:build linux

package realtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kula/internal/api"
	"kula/internal/find/findtest"
	"kula/node"
)

// An index server and a relay announce themselves on the DHT; a node that is told nothing but to look there finds both:
// it is reached through the one, and pays along a way that the other knows (N-15, N-16), until its user blocks them (N-17). One finds another by its key on the DHT.
func TestServersAreFound(t *testing.T) {
	dht := findtest.Run(t, 5)
	place := dht.Place
	n := &inet{t: t} // no rooms: all on this machine
	n.serve("", "index", nil, "index", "serve", "--listen", "127.0.0.1:0", "--announce", place)
	n.serve("", "relay", nil, "relay", "serve", "--listen", freePort(t), "--announce", place)
	for began := time.Now(); ; pause(nil, 20*time.Millisecond) {
		kinds := dht.Announced()
		if kinds == 2 {
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("%d kinds of server were announced within %s, want 2", kinds, patience)
		}
	}
	up := func(name string) *server {
		return n.serve("", name, nil, "up", "--verbose", "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0", "--find", place, "--index", "found", "--relay", "found")
	}
	ana, ben, cleo := up("ana"), up("ben"), up("cleo")
	n.friends(ben, ana, 100)
	n.friends(ben, cleo, 100)
	var id struct {
		Key       string
		Addresses []string
	}
	for began := time.Now(); !slices.ContainsFunc(id.Addresses, func(a string) bool { return strings.Contains(a, "/p2p-circuit/") }); pause(nil, 50*time.Millisecond) {
		cleo.must(&id, "id")
		if time.Since(began) > patience {
			t.Fatalf("no relay was found within %s: %q", patience, id.Addresses)
		}
	}
	for _, s := range []*server{ana, ben, cleo} {
		s.must(nil, "wait", "announced", "--wait", patience.String())
	}
	var p node.PaymentView
	ana.must(&p, "pay", id.Key, typed(7), "--yes", "--wait", patience.String())
	if p.State != node.Paid || len(p.Parts) != 1 || len(p.Parts[0].Hops) != 2 {
		t.Fatalf("%+v", p)
	}
	// What the user blocks is not used, though it is the only one that is found.
	for _, c := range []struct {
		s    *server
		role string
	}{{ana, "index"}, {cleo, "relay"}} {
		var list struct{ Servers []api.ServerState }
		c.s.must(&list, c.role, "list")
		if len(list.Servers) != 1 || list.Servers[0].From != "found" || !list.Servers[0].Connected {
			t.Fatalf("%s list: %+v", c.role, list.Servers)
		}
		c.s.must(nil, c.role, "block", list.Servers[0].Key.String())
		for began := time.Now(); list.Servers[0].Connected || list.Servers[0].Trust != "blocked"; pause(nil, 20*time.Millisecond) {
			c.s.must(&list, c.role, "list")
			if time.Since(began) > patience {
				t.Fatalf("%s list: %+v", c.role, list.Servers)
			}
		}
	}
	if err := ana.try(nil, "pay", id.Key, typed(7), "--yes", "--give-up", "500ms"); err == nil {
		t.Fatal("a payment found its way by a server that is blocked")
	}
	cleo.must(&id, "id")
	if slices.ContainsFunc(id.Addresses, func(a string) bool { return strings.Contains(a, "/p2p-circuit/") }) {
		t.Fatalf("reached through a relay that is blocked: %q", id.Addresses)
	}
	var a struct{ Key string }
	ana.must(&a, "id")
	cleo.must(nil, "friend", "add", a.Key, "--give", typed(1), "--ask", typed(1))
	var list struct{ Requests []node.RequestView }
	for began := time.Now(); len(list.Requests) == 0; pause(nil, 50*time.Millisecond) {
		ana.must(&list, "friend", "list")
		if time.Since(began) > found {
			t.Fatalf("ana was not found by her key within %s", found)
		}
	}
}

// freePort is HOST:PORT on loopback that nobody listens on: one for both UDP and TCP.
func freePort(t testing.TB) string {
	return fmt.Sprintf("127.0.0.1:%s", strings.TrimPrefix(freeAddress(t), "/ip4/127.0.0.1/tcp/"))
}
