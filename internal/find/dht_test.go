package find

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"

	"kula/internal/find/findtest"
)

// N-10, N-12: published on a DHT of loopback nodes and looked up there; republished, the later one counts.
func TestDHT(t *testing.T) {
	place := findtest.Run(t, 12).Place
	ana, ben := open(t, place), open(t, place)
	seed := seedOf(20)
	key := keyOf(seed)
	if _, err := ben.Resolve(within(t), key); !errors.Is(err, errNone) {
		t.Errorf("before: %v", err)
	}
	for _, addrs := range [][]string{{"/ip4/192.0.2.1/tcp/1"}, {"/ip4/192.0.2.2/tcp/1"}} {
		if err := ana.Publish(within(t), seed, addrs); err != nil {
			t.Fatal(err)
		}
		if got, err := ben.Resolve(within(t), key); err != nil || !slices.Equal(got, addrs) {
			t.Errorf("%q, %v; want %q", got, err, addrs)
		}
	}
}

// N-15: servers announce themselves and are found, each kind by itself.
func TestServers(t *testing.T) {
	place := findtest.Run(t, 8).Place
	server, user := open(t, place), open(t, place)
	if err := server.Announce(within(t), Index, 4282); err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	got, err := user.Servers(ctx, Index)
	for err == nil && len(got) == 0 && ctx.Err() == nil { // the nodes answer before they have written it down
		got, err = user.Servers(ctx, Index)
	}
	if err != nil || !slices.Equal(got, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:4282")}) {
		t.Errorf("index servers %v, %v", got, err)
	}
	if got, err := user.Servers(within(t), RelayKind); err != nil || len(got) != 0 {
		t.Errorf("relays %v, %v", got, err)
	}
	if _, err := open(t, "http://127.0.0.1:1").Servers(within(t), Index); !errors.Is(err, errNoDHT) {
		t.Errorf("without a DHT: %v", err)
	}
}

// N-11: a node of the DHT that answers with somebody else's record, or half of one, is not believed and
// does no harm.
func TestLyingNode(t *testing.T) {
	seed := seedOf(21)
	key := keyOf(seed)
	other, err := New(seedOf(22), []string{"/ip4/192.0.2.66/tcp/1"}, now())
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]func(*krpc.Return){
		"another's record": func(r *krpc.Return) {
			r.V, r.Sig, r.Seq, r.K = bencode.MustMarshal(other.Packet), other.Sig, &other.Time, other.Key
		},
		"its key for ours": func(r *krpc.Return) {
			r.V, r.Sig, r.Seq, r.K = bencode.MustMarshal(other.Packet), other.Sig, &other.Time, key
		},
		"no number": func(r *krpc.Return) { r.V, r.K = bencode.MustMarshal(other.Packet), key },
		"no packet": func(r *krpc.Return) { r.V, r.Seq, r.K = bencode.MustMarshal(7), &other.Time, key },
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := open(t, "dht:"+findtest.Answer(t, lie).String()).Resolve(within(t), key); !errors.Is(err, errNone) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// Nobody gets an answer from this client, and a query with any name leaves no trace.
func TestClientAnswersNothing(t *testing.T) {
	d := findtest.Run(t, 1)
	f := open(t, d.Place)
	at := f.dht.server.Addr().(*net.UDPAddr)
	res := d.Nodes[0].Query(within(t), dht.NewAddr(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at.Port}), "ping", dht.QueryInput{NumTries: 1})
	if res.Err == nil {
		t.Errorf("it answers %+v", res.Reply)
	}
	if _, err := open(t, "dht:127.0.0.1:9").Resolve(within(t), keyOf(seedOf(23))); err == nil || !strings.Contains(err.Error(), "no node of it answers") {
		t.Errorf("a DHT that is not there: %v", err)
	}
}
