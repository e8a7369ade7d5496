package find

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"
)

// N-16: one node of the DHT that answers with more servers than are kept does not hide those that others know.
func TestOneNodeHidesNoServers(t *testing.T) {
	place, _ := privateDHT(t, 8)
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
	liar, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer liar.Close()
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := liar.ReadFrom(b)
			if err != nil {
				return
			}
			var q krpc.Msg
			if bencode.Unmarshal(b[:n], &q) != nil {
				continue
			}
			token := "t"
			r := krpc.Return{ID: krpc.RandomNodeID(), Token: &token}
			for i := range maxServers {
				r.Values = append(r.Values, krpc.NodeAddr{IP: net.IPv4(203, 0, 113, byte(i+1)).To4(), Port: 4282})
			}
			r.Nodes = krpc.CompactIPv4NodeInfo{{ID: krpc.RandomNodeID(), Addr: krpc.NodeAddr{IP: net.IPv4(127, 0, 0, 1).To4(), Port: int(first.Port())}}}
			liar.WriteTo(bencode.MustMarshal(krpc.Msg{T: q.T, Y: "r", R: &r}), from)
		}
	}()
	user := open(t, "dht:"+liar.LocalAddr().String())
	got, err := user.Servers(within(t), Index)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(got, honest) {
		t.Errorf("%d servers, all of them one node's claims; the one that announced itself is not among them", len(got))
	}
}
