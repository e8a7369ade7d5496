// Package findtest runs nodes of a DHT on loopback, honest ones of a library and others that answer what they are told to: for
// the tests of package find and for those of whole programs.
package findtest

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	alog "github.com/anacrolix/log"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	peer_store "github.com/anacrolix/dht/v2/peer-store"
	"github.com/anacrolix/torrent/bencode"
	"golang.org/x/time/rate"
)

// patience bounds a node's way into the DHT.
const patience = 30 * time.Second

// DHT is nodes that know each other, until the test ends.
type DHT struct {
	Place string // of package find, which begins there
	Nodes []*dht.Server
	peers []*peers // of Nodes
}

// Run runs so many nodes.
func Run(t testing.TB, count int) *DHT {
	t.Helper()
	d := &DHT{}
	var first dht.Addr
	for i := range count {
		conn := listen(t)
		p := &peers{all: map[peer_store.InfoHash][]krpc.NodeAddr{}}
		c := dht.NewDefaultServerConfig()
		c.Conn, c.PeerStore, c.Logger = conn, p, alog.NewLogger()
		c.Logger.SetHandlers(alog.DiscardHandler)
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
		} else if err := bootstrap(s); err != nil {
			t.Fatal(err)
		}
		d.Nodes, d.peers = append(d.Nodes, s), append(d.peers, p)
	}
	d.Place = "dht:" + first.String()
	return d
}

func bootstrap(s *dht.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.BootstrapContext(ctx)
	return err
}

func listen(t testing.TB) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Announced counts the info-hashes under which somebody announced itself.
func (d *DHT) Announced() int {
	all := map[peer_store.InfoHash]bool{}
	for _, p := range d.peers {
		p.mu.Lock()
		for h := range p.all {
			all[h] = true
		}
		p.mu.Unlock()
	}
	return len(all)
}

// peers is what a node of the DHT was told; the library's own store gives back ports that nobody told it.
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

// Answer runs a node that answers each question with a new id and what answer fills in, until the test ends.
func Answer(t testing.TB, answer func(*krpc.Return)) *net.UDPAddr {
	t.Helper()
	conn := listen(t)
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			var q krpc.Msg
			if bencode.Unmarshal(b[:n], &q) != nil {
				continue
			}
			r := krpc.Return{ID: krpc.RandomNodeID()}
			answer(&r)
			_, _ = conn.WriteTo(bencode.MustMarshal(krpc.Msg{T: q.T, Y: "r", R: &r}), from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr)
}
