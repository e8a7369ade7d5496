package p2p

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// spec N-16: who listens at an address shows in the handshake.
func TestWhoIs(t *testing.T) {
	r := startRelay(t, tcp4)
	at, err := ma.NewMultiaddr(r.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := manet.ToNetAddr(ma.Join(at[0].Multiaddr(), at[1].Multiaddr()))
	if err != nil {
		t.Fatal(err)
	}
	addr := tcp.(*net.TCPAddr).AddrPort()
	if id, err := WhoIs(context.Background(), addr); err != nil || id != r.ID() {
		t.Errorf("%s, %v; want %s", id, err, r.ID())
	}
	if list := ServerAddrs(r.ID(), addr); CheckRelay(list[0]) != nil || list[1] != r.Addrs()[0] {
		t.Errorf("addresses %q", list)
	}
	// One who accepts and says nothing, and nobody at all.
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := WhoIs(ctx, netip.MustParseAddrPort(mute.Addr().String())); err == nil {
		t.Error("one who says nothing has an identity")
	}
	mute.Close()
	if _, err := WhoIs(context.Background(), netip.MustParseAddrPort(mute.Addr().String())); err == nil {
		t.Error("nobody has an identity")
	}
}
