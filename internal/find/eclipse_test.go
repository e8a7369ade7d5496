package find

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/anacrolix/dht/v2/krpc"

	"kula/internal/find/findtest"
)

// N-16: one node of the DHT that answers with more servers than are kept does not hide those that others know.
func TestOneNodeHidesNoServers(t *testing.T) {
	place := findtest.Run(t, 8).Place
	server := open(t, place)
	if err := server.Announce(within(t), Index, 4282); err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	honest := netip.MustParseAddrPort("127.0.0.1:4282")
	for {
		got, err := server.Servers(ctx, Index)
		if err == nil && slices.Contains(got, honest) {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(got, err)
		}
	}
	first := netip.MustParseAddrPort(place[len("dht:"):])
	liar := findtest.Answer(t, func(r *krpc.Return) {
		token := "t"
		r.Token = &token
		for i := range maxServers {
			r.Values = append(r.Values, krpc.NodeAddr{IP: net.IPv4(203, 0, 113, byte(i+1)).To4(), Port: 4282})
		}
		r.Nodes = krpc.CompactIPv4NodeInfo{{ID: krpc.RandomNodeID(), Addr: krpc.NodeAddr{IP: net.IPv4(127, 0, 0, 1).To4(), Port: int(first.Port())}}}
	})
	user := open(t, "dht:"+liar.String())
	got, err := user.Servers(within(t), Index)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(got, honest) {
		t.Errorf("%d servers, all of them one node's claims; the one that announced itself is not among them", len(got))
	}
}
