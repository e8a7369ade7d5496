package find

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// N-10: the published vector of Pkarr's key and target, and the form of a record.
func TestVector(t *testing.T) {
	seed := seedOf(0)
	key := keyOf(seed)
	if key.String() != "yqooxx9u3aemh8mo5wcqq16yufu6jitouq1o4za751dger1igghy" {
		t.Errorf("key %s", key)
	}
	if at := target(key); hex.EncodeToString(at[:]) != "fd81a6db64d6faf7f702c07971a82c25c1dc3c90" {
		t.Errorf("target %x", at)
	}
	if got := string(signable(1_700_000_000_000_000, []byte("packet"))); got != "3:seqi1700000000000000e1:v6:packet" {
		t.Errorf("signed bytes %q", got)
	}
	r, err := New(seed, []string{"/ip4/192.0.2.1/tcp/4281/p2p/" + key.Peer()}, 1_700_000_000_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if h := r.Packet[:12]; !bytes.Equal(h, []byte{0, 0, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0}) {
		t.Errorf("header %x: want id 0, flags 8000, one answer and nothing else", h)
	}
	if got := r.Addresses(); !slices.Equal(got, []string{"/ip4/192.0.2.1/tcp/4281"}) {
		t.Errorf("addresses %q", got)
	}
	again, err := ParsePayload(key, r.Payload())
	if err != nil || !bytes.Equal(again.Payload(), r.Payload()) {
		t.Errorf("read again: %v", err)
	}
}

// As many addresses as fit are told, the first ones; long ones too.
func TestManyAddresses(t *testing.T) {
	seed := seedOf(1)
	var addrs []string
	for i := range 20 {
		addrs = append(addrs, fmt.Sprintf("/ip4/192.0.2.%d/udp/4283/quic-v1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X/p2p-circuit", i))
	}
	r, err := New(seed, addrs, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := r.Addresses()
	if len(got) < 6 || !slices.Equal(got, addrs[:len(got)]) || len(r.Packet) > maxPacket {
		t.Errorf("%d addresses in %d bytes: %q", len(got), len(r.Packet), got)
	}
	long := "/dns4/" + strings.Repeat("x", 240) + "/tcp/1"
	if r, err = New(seed, []string{long}, 1); err != nil || !slices.Equal(r.Addresses(), []string{long}) {
		t.Errorf("%v: %q", err, r.Addresses())
	}
	if r, err = New(seed, nil, 1); err != nil || len(r.Addresses()) != 0 {
		t.Errorf("none: %v", err)
	}
	if _, err = New(seed, []string{strings.Repeat("x", 2000)}, 1); err == nil {
		t.Error("a record that is too long")
	}
}

// N-11: what is not signed by the key that was asked for is refused, and whatever was altered.
func TestRefused(t *testing.T) {
	seed := seedOf(2)
	key := keyOf(seed)
	r, err := New(seed, []string{"/ip4/192.0.2.1/tcp/1"}, 5)
	if err != nil {
		t.Fatal(err)
	}
	good := r.Payload()
	if _, err := ParsePayload(keyOf(seedOf(3)), good); !errors.Is(err, ErrRecord) {
		t.Errorf("under a wrong key: %v", err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := ParsePayload(key, bad); !errors.Is(err, ErrRecord) {
			t.Fatalf("byte %d altered: %v", i, err)
		}
	}
	for _, b := range [][]byte{nil, good[:header], make([]byte, maxPayload+1)} {
		if _, err := ParsePayload(key, b); !errors.Is(err, ErrRecord) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	// Well signed, but about somebody else; and no DNS message at all.
	other := new(dns.Msg)
	other.Response = true
	other.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"x"}}}
	packet, err := other.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]byte{packet, []byte("nonsense")} {
		bad := &Record{Key: key, Time: 6, Packet: p}
		bad.Sig = [64]byte(ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), signable(bad.Time, p)))
		if err := bad.verify(); !errors.Is(err, ErrRecord) {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestNewer(t *testing.T) {
	a, b, c := &Record{Time: 1, Packet: []byte("b")}, &Record{Time: 1, Packet: []byte("a")}, &Record{Time: 2}
	for _, x := range []struct {
		r, old *Record
		want   bool
	}{{a, nil, true}, {a, b, true}, {b, a, false}, {a, a, false}, {c, a, true}, {a, c, false}} {
		if x.r.newer(x.old) != x.want {
			t.Errorf("%+v beside %+v", x.r, x.old)
		}
	}
}

func FuzzParsePayload(f *testing.F) {
	seed := seedOf(4)
	key := keyOf(seed)
	r, err := New(seed, []string{"/ip4/192.0.2.1/tcp/1", "/ip6/::1/tcp/2"}, 7)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Payload(), false)
	f.Add(r.Packet, true)
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		if sign { // the signature is right, whatever is signed
			bad := &Record{Key: key, Time: 1, Packet: b}
			bad.Sig = [64]byte(ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), signable(1, b)))
			b = bad.Payload()
		}
		r, err := ParsePayload(key, b)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Payload(), b) {
			t.Error("spelt otherwise")
		}
		if list := r.Addresses(); len(list) > 16 {
			t.Errorf("%d addresses", len(list))
		}
	})
}
