package find

import (
	"context"
	"crypto/ed25519"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	peer_store "github.com/anacrolix/dht/v2/peer-store"
	"golang.org/x/time/rate"

	"kula/ident"
)

// seedOf is the identity of peers.md's vector, with another first byte.
func seedOf(first byte) (seed [32]byte) {
	for i := range seed {
		seed[i] = byte(i)
	}
	seed[0] = first
	return seed
}

func keyOf(seed [32]byte) ident.ID {
	return ident.ID(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// privateDHT runs nodes of a DHT on loopback and returns the place that begins there.
func privateDHT(t testing.TB, count int) (place string, nodes []*dht.Server) {
	t.Helper()
	var first dht.Addr
	for i := range count {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c := dht.NewDefaultServerConfig()
		c.Conn, c.Logger, c.PeerStore = conn, nobody(), &peers{all: map[peer_store.InfoHash][]krpc.NodeAddr{}}
		c.SendLimiter = rate.NewLimiter(rate.Inf, 1)
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
		} else if _, err := s.BootstrapContext(within(t)); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, s)
	}
	return "dht:" + first.String(), nodes
}

// peers is what a node of the DHT knows; the library's own one gives back ports that nobody told it.
type peers struct {
	mu  sync.Mutex
	all map[peer_store.InfoHash][]krpc.NodeAddr
}

func (p *peers) AddPeer(h peer_store.InfoHash, at krpc.NodeAddr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[h] = append(p.all[h], at)
}

func (p *peers) GetPeers(h peer_store.InfoHash) []krpc.NodeAddr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all[h])
}

func open(t testing.TB, places ...string) *Finder {
	t.Helper()
	f, err := Open(places)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}
