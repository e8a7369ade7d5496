package index

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"kula/ident"
	"kula/wire"
)

// Link names an index server: who it is and where.
type Link struct {
	Key   ident.ID
	Addrs []string // multiaddrs
}

// ParseURI reads a kula:index link (rule I1): 1 to wire.MaxAddresses addresses, each of
// at most wire.MaxAddress bytes. Whether one can be dialled shows when it is dialled.
// Errors say what is wrong with the link.
func ParseURI(uri string) (Link, error) {
	kind, params, err := wire.LinkParameters(uri)
	if err != nil {
		return Link{}, fmt.Errorf("index link: %w", err)
	}
	if kind != wire.LinkIndex {
		return Link{}, fmt.Errorf("index link: this is a kula:%s link, a kula:%s link is needed", kind, wire.LinkIndex)
	}
	if n := len(params["key"]); n != 1 {
		return Link{}, fmt.Errorf("index link: %d keys, must be 1", n)
	}
	l := Link{Addrs: params["addr"]}
	if l.Key, err = ident.ParseID(params.Get("key")); err != nil {
		return Link{}, fmt.Errorf("index link: %w", err)
	}
	if n := len(l.Addrs); n == 0 || n > wire.MaxAddresses {
		return Link{}, fmt.Errorf("index link: %d addresses, must be 1 to %d", n, wire.MaxAddresses)
	}
	for _, a := range l.Addrs {
		if err := checkAddr(a); err != nil {
			return Link{}, fmt.Errorf("index link: %w", err)
		}
	}
	return l, nil
}

// checkAddr judges the form of an address as far as a link needs it.
func checkAddr(a string) error {
	if len(a) < 2 || len(a) > wire.MaxAddress || a[0] != '/' {
		return fmt.Errorf("address %.40q of %d bytes, must begin with / and have at most %d, e.g. /ip4/192.0.2.1/tcp/4281", a, len(a), wire.MaxAddress)
	}
	for i := range len(a) {
		if a[i] <= ' ' || a[i] > '~' {
			return fmt.Errorf("address %.40q has a character that is not printable ASCII", a)
		}
	}
	return nil
}

// plain are the characters of an address that a query may hold as they are (RFC 3986
// §3.4) but url.QueryEscape escapes: links are shown to people and as QR codes.
var plain = strings.NewReplacer("%2F", "/", "%3A", ":")

// FormatURI gives the one spelling of a link.
func FormatURI(l Link) string {
	var b strings.Builder
	b.WriteString("kula:" + wire.LinkIndex + "?key=" + l.Key.String())
	for _, a := range l.Addrs {
		b.WriteString("&addr=" + plain.Replace(url.QueryEscape(a)))
	}
	return b.String()
}

// listenAddr gives the multiaddr of HOST:PORT, TCP. No host is every IPv4 address of
// the machine; a multiaddr stays as it is.
func listenAddr(s string) (string, error) {
	if strings.HasPrefix(s, "/") {
		return s, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf("listen address %q: write HOST:PORT, e.g. 0.0.0.0:4281", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", fmt.Errorf("listen address %q: port %q, must be 0 to 65535", s, port)
	}
	ip := netip.IPv4Unspecified()
	switch host {
	case "":
	case "localhost":
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		if ip, err = netip.ParseAddr(host); err != nil || ip.Zone() != "" {
			return "", fmt.Errorf("listen address %q: %q is not an IP address of this machine; for all of them write 0.0.0.0 or [::]", s, host)
		}
	}
	if ip = ip.Unmap(); ip.Is4() {
		return fmt.Sprintf("/ip4/%s/tcp/%d", ip, n), nil
	}
	return fmt.Sprintf("/ip6/%s/tcp/%d", ip, n), nil
}

// cutPeer takes the peer id off an address that p2p gives.
func cutPeer(addr string) string {
	addr, _, _ = strings.Cut(addr, "/p2p/")
	return addr
}
