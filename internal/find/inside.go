package find

import (
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/anacrolix/torrent/iplist"
)

// inside refuses addresses inside somebody's network, to which strangers could have datagrams sent that their own would not
// reach: the DHT neither sends there nor hears from there, and walks around them. They are allowed once a node that the user
// named to begin with is at one: then the DHT is a private one.
type inside struct{ allowed atomic.Bool }

// Lookup is iplist.Ranger's, for what is refused.
func (i *inside) Lookup(ip net.IP) (iplist.Range, bool) {
	return iplist.Range{First: ip, Last: ip, Description: "inside a network"}, !i.allowed.Load() && isInside(ip)
}

// NumRanges is iplist.Ranger's.
func (i *inside) NumRanges() int { return 1 }

// global are the addresses of which some are of the public internet: all of IPv4, and what IANA has made unicast addresses of in
// IPv6 (IPv6 Global Unicast Address Assignments).
var global = prefixes("0.0.0.0/0", "2000::/3")

// special are those of them that IANA's registries of special-purpose addresses (RFC 6890, IPv4 and IPv6) and of multicast
// addresses keep for something else, with what the registries have withdrawn. The few in 192.0.0.0/24 and 2001::/23 that are
// reachable from everywhere are nobody's host: whichever machine of a network is nearest answers there.
var special = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // behind the routers of providers
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocols
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // relays of 6to4, withdrawn
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // measurements
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, broadcast
	"2001::/23",       // protocols: Teredo, measurements, identifiers that are no addresses
	"2001:db8::/32",   // documentation
	"3fff::/20",       // documentation
)

// wrappings are the IPv6 addresses that stand for an IPv4 address, to which a gateway or the system itself sends what is sent to
// them, and at which byte it begins.
var wrappings = []struct {
	netip.Prefix
	at int
}{
	{netip.MustParsePrefix("::/96"), 12},        // v4-compatible (RFC 4291, withdrawn); also :: and ::1
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64 (RFC 6052)
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4 (RFC 3056)
}

func prefixes(list ...string) (all []netip.Prefix) {
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// unwrap is the IPv4 address that a stands for, or a.
func unwrap(a netip.Addr) netip.Addr {
	a = a.Unmap()
	for _, w := range wrappings {
		if w.Contains(a) {
			b := a.As16()
			return netip.AddrFrom4([4]byte(b[w.at:]))
		}
	}
	return a
}

// isInside says that an address is none of the public internet: special, or nothing.
func isInside(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return true
	}
	a = unwrap(a)
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	return !slices.ContainsFunc(global, contains) || slices.ContainsFunc(special, contains)
}
