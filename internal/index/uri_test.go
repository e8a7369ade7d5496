package index

import (
	"slices"
	"strings"
	"testing"

	"kula/wire"
)

const (
	keyText  = "yg4gxe7z1r7mr6orids9fh95y7gxhdsxjqi6nngsxxtakqaxr5no"
	goodLink = "kula:index?key=" + keyText + "&addr=/ip4/192.0.2.1/tcp/4281"
)

// Rule I1.
func TestParseURI(t *testing.T) {
	for _, c := range []struct{ name, uri, addrs, problem string }{
		{"one address", goodLink, "/ip4/192.0.2.1/tcp/4281", ""},
		{"two addresses, escaped", goodLink + "&addr=%2Fip6%2F2001%3Adb8%3A%3A1%2Ftcp%2F1", "/ip4/192.0.2.1/tcp/4281 /ip6/2001:db8::1/tcp/1", ""},
		{"unknown parameter", goodLink + "&colour=red", "/ip4/192.0.2.1/tcp/4281", ""},
		{"unknown parameter that is needed", goodLink + "&req-colour=red", "", "req-colour"},
		{"other kind", strings.Replace(goodLink, "index", "friend", 1), "", "kula:friend"},
		{"no kula link", "https://example.org/", "", "not a kula: link"},
		{"no key", "kula:index?addr=/ip4/192.0.2.1/tcp/4281", "", "0 keys"},
		{"two keys", goodLink + "&key=" + keyText, "", "2 keys"},
		{"bad key", "kula:index?key=abc&addr=/ip4/192.0.2.1/tcp/4281", "", "index link: "},
		{"no address", "kula:index?key=" + keyText, "", "0 addresses"},
		{"17 addresses", goodLink + strings.Repeat("&addr=/a", 16), "", "17 addresses"},
		{"address without slash", goodLink + "&addr=192.0.2.1", "", "begin with /"},
		{"address too long", goodLink + "&addr=/" + strings.Repeat("a", wire.MaxAddress), "", "257 bytes"},
		{"address with a line end", goodLink + "&addr=/a%0Ab", "", "printable"},
		{"bad escape", goodLink + "&addr=%zz", "", "%zz"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := ParseURI(c.uri)
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("error %v, want one with %q", err, c.problem)
				}
				return
			}
			if err != nil || l.Key.String() != keyText || strings.Join(l.Addrs, " ") != c.addrs {
				t.Fatalf("%+v, %v", l, err)
			}
		})
	}
}

func TestFormatURI(t *testing.T) {
	if l, err := ParseURI(goodLink); err != nil || FormatURI(l) != goodLink {
		t.Fatalf("%s spelt %s, %v", goodLink, FormatURI(l), err)
	}
}

// FuzzParseURI: what was read and written is read the same and written the same.
func FuzzParseURI(f *testing.F) {
	f.Add(goodLink)
	f.Add(goodLink + "&addr=/dns4/a%26b%3D%2B%252F%3F%23/udp/1/quic-v1&x=y")
	f.Add("kula:index?key=" + keyText + "&addr=%2Fip6%2F::")
	f.Fuzz(func(t *testing.T, uri string) {
		l, err := ParseURI(uri)
		if err != nil {
			return
		}
		text := FormatURI(l)
		again, err := ParseURI(text)
		if err != nil || again.Key != l.Key || !slices.Equal(again.Addrs, l.Addrs) || FormatURI(again) != text {
			t.Fatalf("%q written %q read %+v, %v", uri, text, again, err)
		}
	})
}

func TestListenAddr(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"127.0.0.1:4281", "/ip4/127.0.0.1/tcp/4281"},
		{":4281", "/ip4/0.0.0.0/tcp/4281"},
		{"localhost:0", "/ip4/127.0.0.1/tcp/0"},
		{"[::]:65535", "/ip6/::/tcp/65535"},
		{"[::ffff:127.0.0.1]:1", "/ip4/127.0.0.1/tcp/1"},
		{"/ip4/0.0.0.0/udp/4281/quic-v1", "/ip4/0.0.0.0/udp/4281/quic-v1"},
		{"4281", ""},
		{"127.0.0.1", ""},
		{"127.0.0.1:65536", ""},
		{"127.0.0.1:http", ""},
		{"example.org:1", ""},
		{"[fe80::1%eth0]:1", ""},
	} {
		got, err := listenAddr(c.in)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("listen on %q: %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}
