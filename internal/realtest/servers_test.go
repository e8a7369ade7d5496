//go:build linux

package realtest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	alog "github.com/anacrolix/log"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	peer_store "github.com/anacrolix/dht/v2/peer-store"

	"kula/internal/api"
	"kula/node"
)

// announcedAt is what the nodes of the test's DHT were told; all of them share it.
type announcedAt struct {
	mu  sync.Mutex
	all map[peer_store.InfoHash][]krpc.NodeAddr
}

func (p *announcedAt) AddPeer(h peer_store.InfoHash, at krpc.NodeAddr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[h] = append(p.all[h], at)
}

func (p *announcedAt) GetPeers(h peer_store.InfoHash) []krpc.NodeAddr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all[h])
}

// startDHT runs a DHT of loopback nodes and returns how the program is told to use it, and what was announced.
func startDHT(t testing.TB) (place string, told *announcedAt) {
	t.Helper()
	told = &announcedAt{all: map[peer_store.InfoHash][]krpc.NodeAddr{}}
	var first dht.Addr
	for i := range 5 {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c := dht.NewDefaultServerConfig()
		c.Conn, c.PeerStore, c.Logger = conn, told, alog.NewLogger()
		c.Logger.SetHandlers(alog.DiscardHandler)
		c.StartingNodes = func() ([]dht.Addr, error) {
			if i == 0 {
				return nil, nil
			}
			return []dht.Addr{first}, nil
		}
		s, err := dht.NewServer(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		if i == 0 {
			first = dht.NewAddr(conn.LocalAddr())
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err = s.BootstrapContext(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	return "dht:" + first.String(), told
}

// An index server and a relay announce themselves on the DHT; a node that is told nothing but to look there finds both:
// it is reached through the one, and pays along a way that the other knows (N-15, N-16), until its user blocks them (N-17). One finds another by its key on the DHT.
func TestServersAreFound(t *testing.T) {
	place, told := startDHT(t)
	n := &inet{t: t} // no rooms: all on this machine
	n.serve("", "index", nil, "index", "serve", "--listen", "127.0.0.1:0", "--announce", place)
	n.serve("", "relay", nil, "relay", "serve", "--listen", freePort(t), "--announce", place)
	for began := time.Now(); ; pause(nil, 20*time.Millisecond) {
		told.mu.Lock()
		kinds := len(told.all)
		told.mu.Unlock()
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
