package p2p

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

func TestIdentityAndPeer(t *testing.T) {
	for _, name := range []string{"ana", "ben", "cleo"} {
		id := idOf(name)
		p, err := peerOf(id)
		if err != nil || p.String() != id.Peer() {
			t.Fatalf("peer %s, %v; want %s", p, err, id.Peer())
		}
		if back, err := identity(p); err != nil || back != id {
			t.Fatalf("%v, %v; want %v", back, err, id)
		}
	}
	_, pub, err := crypto.GenerateSecp256k1Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := identity(p); err == nil {
		t.Error("a Secp256k1 key passed for an identity")
	}
	if p, err = peerOf([32]byte{1}); err != nil { // the neutral element: of order 1
		t.Fatal(err)
	}
	if _, err := identity(p); err == nil {
		t.Error("a key of small order passed for an identity")
	}
}

func TestPrefixOf(t *testing.T) {
	for addr, want := range map[string]string{
		"/ip4/10.1.2.3/tcp/1":                  "10.1.2.0/24",
		"/ip6/2001:db8:1:2::3/udp/1/quic-v1":   "2001:db8:1::/48",
		"/ip6/::ffff:10.1.2.3/tcp/1":           "10.1.2.0/24",
		"/dns4/example.org/tcp/1":              "invalid Prefix",
		"/ip6zone/eth0/ip6/fe80::1/udp/1/quic": "fe80::/48",
	} {
		if got := prefixOf(ma.StringCast(addr)).String(); got != want {
			t.Errorf("prefix of %s is %s, want %s", addr, got, want)
		}
	}
}

// Package comment, Who may talk: the oldest of the prefix that has the most goes.
func TestQueueEviction(t *testing.T) {
	for _, c := range []struct {
		name, arrivals, out string
		max, perPrefix      int
	}{
		{"room for all", "a1 b2 a3", "", 3, 0},
		{"fullest prefix", "a1 b2 b3 a4 b5", "b2 a1", 3, 0},
		{"all alike: oldest", "a1 b2 c3 d4 e5", "a1 b2", 3, 0},
		{"own prefix first", "b1 a2 a3 a4", "a2", 9, 2},
		{"silent before useful", "a1! a2 b3 a4 a5", "a2 a4", 3, 0},
		{"idle for longest", "use a1! a2 b3 a1+ b4 a5 a6", "a2 b3 a1!", 3, 0},
		{"idle for longest of the fullest prefix", "use b1 a2 a3 a2+ a4", "a3", 3, 0},
		{"idle for longest of its own prefix", "use b1 a2 a3 a2+ a4", "a3", 9, 2},
		{"idle for longest where all prefixes are alike", "use a1 b2 c3 a1+ d4 b5", "b2 c3", 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := queue{max: c.max, perPrefix: c.perPrefix, byUse: strings.HasPrefix(c.arrivals, "use "), by: map[netip.Prefix]int{}}
			names := map[*guest]string{}
			var out []string
			for at, name := range strings.Fields(strings.TrimPrefix(c.arrivals, "use ")) {
				if used, again := strings.CutSuffix(name, "+"); again {
					for _, g := range q.order {
						if names[g][:2] == used {
							g.used.Store(int64(at))
						}
					}
					continue
				}
				g := &guest{origin: origin{prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{name[0]}), 24)}}
				if strings.HasSuffix(name, "!") {
					g.frames.Store(1)
				}
				names[g] = name
				g.used.Store(int64(at))
				if o := q.add(g); o != nil {
					out = append(out, names[o])
					if !o.gone || o.in != nil {
						t.Errorf("%s is out, but does not know", names[o])
					}
				}
			}
			if got := strings.Join(out, " "); got != c.out {
				t.Fatalf("out went %q, want %q", got, c.out)
			}
		})
	}
}

// Package comment, Who may talk: crowded is above three quarters, of all or of a prefix.
func TestCrowded(t *testing.T) {
	prefix := func(b byte) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{b}), 24) }
	q := queue{max: 8, perPrefix: 4, by: map[netip.Prefix]int{}}
	var got []bool
	for _, b := range []byte{1, 1, 1, 1, 2, 2, 3} {
		g := &guest{origin: origin{prefix: prefix(b)}}
		q.add(g)
		got = append(got, q.crowded(g))
	}
	if want := []bool{false, false, false, true, false, false, true}; !slices.Equal(got, want) {
		t.Fatalf("crowded %v, want %v", got, want)
	}
}

// Half-open QUIC connections are bounded in all and per prefix, and give their
// places back.
func TestHalfOpenQUIC(t *testing.T) {
	cfg, err := Config{Seed: seed("ben")}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	d := newDoor(cfg, "")
	knock := func(i, j int) (network.ConnManagementScope, error) {
		return d.OpenConnection(network.DirInbound, false, ma.StringCast(fmt.Sprintf("/ip4/10.0.%d.%d/udp/1/quic-v1", i, j)))
	}
	var in []network.ConnManagementScope
	for i := range 2 * quicHandshakes / quicPerPrefix {
		for j := range 2 * quicPerPrefix {
			if s, err := knock(i, j); err == nil {
				in = append(in, s)
			} else if j < quicPerPrefix && len(in) < quicHandshakes {
				t.Fatalf("number %d of prefix %d refused: %v", j, i, err)
			}
		}
	}
	if len(in) != quicHandshakes {
		t.Fatalf("%d half-open connections, want %d", len(in), quicHandshakes)
	}
	if !d.VerifySourceAddress(nil) {
		t.Error("under load addresses are not verified")
	}
	for _, s := range in {
		s.Done()
		s.Done() // libp2p ends a scope more than once
	}
	if _, err := knock(0, 0); err != nil || d.halfQUIC != 1 || len(d.halfBy) != 1 {
		t.Fatalf("after all have gone: %v, %d, %v", err, d.halfQUIC, d.halfBy)
	}
}

// An identity has at most ConnsPerPeer connections, whatever its class.
func TestConnsPerPeer(t *testing.T) {
	host := start(t, "ben", Config{Listen: []string{tcp4}}, "ana")
	for range 3 * ConnsPerPeer {
		a := start(t, "ana", Config{}, "ben")
		before := host.newest("ana")
		a.Want(host.ID(), host.Addrs())
		a.session("ben")
		host.wait("the next session", func() bool { return host.live[a.ID()] > before })
		a.Unwant(host.ID())
	}
	p, err := peerOf(idOf("ana"))
	if err != nil {
		t.Fatal(err)
	}
	host.door.mu.Lock()
	defer host.door.mu.Unlock()
	if n := len(host.door.conns[p]); n > ConnsPerPeer {
		t.Fatalf("%d connections of one identity, want at most %d", n, ConnsPerPeer)
	}
}
