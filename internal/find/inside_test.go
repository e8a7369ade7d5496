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

// outside is a socket for which all of public is this machine, so that loopback nodes have public addresses. It notes
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
	if public.Contains(at.Addr()) {
		to = net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, at.Port()))
	}
	return o.PacketConn.WriteTo(b, to)
}

func (o *outside) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := o.PacketConn.ReadFrom(b)
	if err == nil {
		at := from.(*net.UDPAddr)
		at.IP = net.IPv4(192, 31, 196, byte(at.Port%2)+1) // the first node is at an odd port, the second at an even one
	}
	return n, from, err
}

var (
	// public are addresses of the public internet at which nobody runs a node of the DHT: those of AS112 (RFC 7535).
	public   = netip.MustParsePrefix("192.31.196.0/24")
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

// N-16: which addresses are of the public internet. What stands for another address is judged by that one.
func TestInside(t *testing.T) {
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.1.1", "172.16.0.1", "172.31.255.255",
		"192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "100::1", "100:0:0:1::1", "2001::1", "2001:2::1", "2001:10::1", "2001:db8::1", "3fff::1", "5f00::1", "fc00::1",
		"fd00::1", "fe80::1", "fec0::1", "ff02::1", "64:ff9b:1::a00:1", "::ffff:0:10.0.0.1",
		"::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b::7f00:1", "2002:a00:1::1", "2002:7f00:1::1",
	} {
		if !isInside(net.ParseIP(s)) {
			t.Errorf("%s counts as the public internet", s)
		}
	}
	for _, s := range []string{
		"1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "192.31.196.1",
		"198.17.255.255", "198.20.0.1", "223.255.255.255", "2001:200::1", "2001:db7::1", "2606:4700::1", "2a00::1",
		"::ffff:1.1.1.1", "::1.1.1.1", "64:ff9b::101:101", "2002:101:101::1",
	} {
		if isInside(net.ParseIP(s)) {
			t.Errorf("%s counts as inside a network", s)
		}
	}
	for _, ip := range []net.IP{nil, {1, 1, 1}, make(net.IP, 17)} {
		if !isInside(ip) {
			t.Errorf("%d bytes count as the public internet", len(ip))
		}
	}
}

// N-12, N-16: what a node of the public DHT says of nodes and servers at addresses inside a network is passed over: nothing is
// sent there. What it says of others is heeded.
func TestNothingIsSentInside(t *testing.T) {
	in := []string{"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "::1", "fe80::1", "fd00::1", "ff02::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1"}
	server := krpc.NodeAddr{IP: net.IPv4(192, 31, 196, 9).To4(), Port: 4282}
	second := answering(t, false, func(r *krpc.Return) {
		r.Values = []krpc.NodeAddr{server}
	})
	first := answering(t, true, func(r *krpc.Return) {
		r.Nodes = krpc.CompactIPv4NodeInfo{{ID: krpc.RandomNodeID(), Addr: krpc.NodeAddr{IP: net.IPv4(192, 31, 196, 1).To4(), Port: second}}}
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
	m, err := newMainlineOn(o, []string{netip.AddrPortFrom(netip.MustParseAddr("192.31.196.2"), uint16(first)).String()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	got, _, err := m.servers(within(t), Index)
	if err != nil || !slices.Equal(got, []netip.AddrPort{netip.MustParseAddrPort("192.31.196.9:4282")}) {
		t.Errorf("servers %v, %v", got, err)
	}
	if r, err := m.resolve(within(t), keyOf(seedOf(24))); err != errNone {
		t.Errorf("%v, %v", r, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, at := range o.sent {
		if !public.Contains(at.Addr()) {
			t.Errorf("sent to %s", at)
		}
	}
	if !slices.Contains(o.sent, netip.AddrPortFrom(netip.MustParseAddr("192.31.196.1"), uint16(second))) {
		t.Errorf("the second node was not asked: %v", o.sent)
	}
}
