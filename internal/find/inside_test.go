package find

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/anacrolix/dht/v2/krpc"

	"kula/internal/find/findtest"
)

// outside is a socket for which all of 203.0.113.0/24 is this machine, so that loopback nodes have public addresses. It notes
// where it is made to send.
type outside struct {
	net.PacketConn
	mu   sync.Mutex
	sent []netip.AddrPort
}

func (o *outside) WriteTo(b []byte, to net.Addr) (int, error) {
	at := to.(*net.UDPAddr).AddrPort()
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	o.mu.Lock()
	o.sent = append(o.sent, at)
	o.mu.Unlock()
	if testNet.Contains(at.Addr()) {
		to = net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, at.Port()))
	}
	return o.PacketConn.WriteTo(b, to)
}

func (o *outside) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := o.PacketConn.ReadFrom(b)
	if err == nil {
		at := from.(*net.UDPAddr)
		at.IP = net.IPv4(203, 0, 113, byte(at.Port%2)+1) // the first node is at an odd port, the second at an even one
	}
	return n, from, err
}

var (
	testNet  = netip.MustParsePrefix("203.0.113.0/24")
	loopback = netip.MustParseAddr("127.0.0.1")
)

// answering answers at a port of loopback, an odd or an even one.
func answering(t *testing.T, odd bool, answer func(*krpc.Return)) (port int) {
	t.Helper()
	for {
		if port := findtest.Answer(t, answer).Port; port%2 == 1 == odd {
			return port
		}
	}
}

// N-12, N-16: what a node of the public DHT says of nodes and servers at addresses inside a network is passed over: nothing is
// sent there. What it says of others is heeded.
func TestNothingIsSentInside(t *testing.T) {
	in := []string{"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "::1", "fe80::1", "fd00::1", "ff02::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1"}
	server := krpc.NodeAddr{IP: net.IPv4(203, 0, 113, 9).To4(), Port: 4282}
	second := answering(t, false, func(r *krpc.Return) {
		r.Values = []krpc.NodeAddr{server}
	})
	first := answering(t, true, func(r *krpc.Return) {
		r.Nodes = krpc.CompactIPv4NodeInfo{{ID: krpc.RandomNodeID(), Addr: krpc.NodeAddr{IP: net.IPv4(203, 0, 113, 1).To4(), Port: second}}}
		for i, s := range in {
			ip := net.IP(netip.MustParseAddr(s).AsSlice())
			at := krpc.NodeAddr{IP: ip, Port: 1000 + i}
			if i < 5 { // as many as are taken from one answer
				r.Values = append(r.Values, at)
			}
			if len(ip) == 4 {
				r.Nodes = append(r.Nodes, krpc.NodeInfo{ID: krpc.RandomNodeID(), Addr: at})
			} else {
				r.Nodes6 = append(r.Nodes6, krpc.NodeInfo{ID: krpc.RandomNodeID(), Addr: at})
			}
		}
	})
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &outside{PacketConn: conn}
	m, err := newMainlineOn(o, []string{netip.AddrPortFrom(netip.MustParseAddr("203.0.113.2"), uint16(first)).String()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	got, _, err := m.servers(within(t), Index)
	if err != nil || !slices.Equal(got, []netip.AddrPort{netip.MustParseAddrPort("203.0.113.9:4282")}) {
		t.Errorf("servers %v, %v", got, err)
	}
	if r, err := m.resolve(within(t), keyOf(seedOf(24))); err != errNone {
		t.Errorf("%v, %v", r, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, at := range o.sent {
		if !testNet.Contains(at.Addr()) {
			t.Errorf("sent to %s", at)
		}
	}
	if !slices.Contains(o.sent, netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), uint16(second))) {
		t.Errorf("the second node was not asked: %v", o.sent)
	}
}
