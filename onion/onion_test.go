package onion

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"kula/ident"
)

// route is a payer and nodes with real keys.
func route(t interface{ Fatal(...any) }, n int) (*ident.Layers, []*ident.Key) {
	var nodes []*ident.Key
	var ids []ident.ID
	for i := range n {
		nodes = append(nodes, ident.NewKey([32]byte{1, byte(i)}))
		ids = append(ids, nodes[i].ID())
	}
	l, err := ident.NewKey([32]byte{}).OnionTo(ident.Salt{7, byte(n)}, ids)
	if err != nil {
		t.Fatal(err)
	}
	return l, nodes
}

func payloads(n int) []Payload {
	list := make([]Payload, n)
	for i := range list {
		copy(list[i][:], fmt.Sprintf("what hop %02d of all is told, and no other: %04x", i, 0xbeef))
	}
	return list
}

var (
	binding = []byte("one lock")
	body    = bytes.Repeat([]byte("for the payee alone "), 40)
)

// One size at every hop of every route; each hop reads its own and nothing of another one; the last reads the body.
func TestRoutes(t *testing.T) {
	for n := 1; n <= Hops; n++ {
		l, nodes := route(t, n)
		p, err := Wrap(l, payloads(n), binding, body)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[uint64]bool{}
		for i, node := range nodes {
			if len(p.Body) != len(body) {
				t.Fatalf("hop %d of %d gets %d bytes, sent were %d", i, n, len(p.Body), len(body))
			}
			key, err := node.OnionFrom(p.Key)
			if err != nil || key != l.Keys[i] {
				t.Fatal(err)
			}
			x, err := p.Peel(key, binding)
			if err != nil || x.Payload != payloads(n)[i] || x.Last != (i == n-1) {
				t.Fatalf("hop %d of %d: %+v, %v", i, n, x, err)
			}
			nothingOfOthers(t, p, x, payloads(n), i)
			if seen[Seen(key)] {
				t.Fatalf("hop %d of %d knows the packet by what another knows it by", i, n)
			}
			seen[Seen(key)] = true
			if x.Last && !bytes.Equal(x.Next.Body, body) {
				t.Fatalf("the last of %d reads %q", n, x.Next.Body)
			}
			x.Next.Key = node.OnionNext(p.Key, key)
			p = x.Next
		}
	}
}

// nothingOfOthers: in what a hop gets and gives on there is neither what others are told nor a piece of what it got.
func nothingOfOthers(t *testing.T, p *Packet, x *Peeled, told []Payload, i int) {
	t.Helper()
	for _, b := range [][]byte{p.Header[:], p.Body, x.Next.Header[:], x.Next.Body} {
		for j := range told {
			if bytes.Contains(b, told[j][:8]) {
				t.Fatalf("hop %d finds what hop %d is told", i, j)
			}
		}
	}
	if x.Last {
		return
	}
	const piece = 16
	for at := 0; at+piece <= HeaderSize; at++ {
		if bytes.Contains(x.Next.Header[:], p.Header[at:at+piece]) {
			t.Fatalf("hop %d gives on what it got, at %d", i, at)
		}
	}
	for at := 0; at+piece <= len(body); at++ {
		if bytes.Contains(x.Next.Body, p.Body[at:at+piece]) {
			t.Fatalf("hop %d gives on what it got of the body, at %d", i, at)
		}
	}
}

func TestNotWrapped(t *testing.T) {
	l, _ := route(t, 2)
	for name, n := range map[string]int{"none": 0, "fewer than keys": 1, "more than keys": 3} {
		if p, err := Wrap(l, payloads(n), nil, nil); err == nil || p != nil {
			t.Errorf("%s: wrapped", name)
		}
	}
	l.Keys = make([]ident.SharedKey, Hops+1)
	if p, err := Wrap(l, payloads(Hops+1), nil, nil); err == nil || p != nil {
		t.Error("one more than the longest: wrapped")
	}
}

// Any bit changed, another key or another binding: refused, at the first node that sees it.
func TestTampered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, Hops).Draw(t, "hops")
		at := rapid.IntRange(0, n-1).Draw(t, "hop")
		l, _ := route(t, n)
		p, err := Wrap(l, payloads(n), binding, body)
		if err != nil {
			t.Fatal(err)
		}
		for i := range at {
			x, err := p.Peel(l.Keys[i], binding)
			if err != nil {
				t.Fatal(err)
			}
			p = x.Next
		}
		bit := rapid.IntRange(0, 8*(HeaderSize+macSize+len(body))-1).Draw(t, "bit")
		flip := byte(1) << (bit % 8)
		switch at := bit / 8; {
		case at < HeaderSize:
			p.Header[at] ^= flip
		case at < HeaderSize+macSize:
			p.MAC[at-HeaderSize] ^= flip
		default:
			p.Body[at-HeaderSize-macSize] ^= flip
		}
		if x, err := p.Peel(l.Keys[at], binding); !errors.Is(err, ErrMAC) || x != nil {
			t.Fatalf("bit %d changed before hop %d of %d: %+v, %v", bit, at, n, x, err)
		}
	})
}

func TestWrongKeyOrBinding(t *testing.T) {
	l, nodes := route(t, 3)
	p, err := Wrap(l, payloads(3), binding, body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Peel(l.Keys[1], binding); !errors.Is(err, ErrMAC) {
		t.Errorf("the second hop peels what is the first one's: %v", err)
	}
	if _, err := p.Peel(l.Keys[0], []byte("another lock")); !errors.Is(err, ErrMAC) {
		t.Errorf("peeled under another binding: %v", err)
	}
	p.Key[0] ^= 1
	key, err := nodes[0].OnionFrom(p.Key)
	if err == nil {
		_, err = p.Peel(key, binding)
	}
	if err == nil {
		t.Error("peeled with another ephemeral key")
	}
}

// A failure is of one size, names its node to the payer, and says nothing to anyone between.
func TestFailures(t *testing.T) {
	for n := 1; n <= Hops; n++ {
		l, _ := route(t, n)
		for at := range n {
			var m Message
			copy(m[:], fmt.Sprintf("the limit of hop %d is reached", at))
			f := Fail(l.Keys[at], &m)
			for i := at; ; i-- {
				if len(f) != FailureSize || bytes.Contains(f, []byte("limit")) {
					t.Fatalf("%d bytes: %q", len(f), f)
				}
				if i == 0 {
					break
				}
				f = Return(l.Keys[i-1], f)
			}
			hop, got, ok := Read(l.Keys, f)
			if !ok || hop != at || got != m {
				t.Fatalf("read hop %d, %v; hop %d of %d failed", hop, ok, at, n)
			}
		}
	}
}

func TestFailuresForged(t *testing.T) {
	l, _ := route(t, 5)
	var m Message
	f := Return(l.Keys[0], Return(l.Keys[1], Fail(l.Keys[2], &m)))
	for i := 0; i < len(f); i += 7 {
		bad := bytes.Clone(f)
		bad[i] ^= 0x10
		if hop, _, ok := Read(l.Keys, bad); ok {
			t.Fatalf("byte %d changed, read as hop %d's", i, hop)
		}
	}
	// Hop 1 knows its own key only: it fails in its own name, whatever it says.
	if hop, _, ok := Read(l.Keys, Return(l.Keys[0], Fail(l.Keys[1], &m))); !ok || hop != 1 {
		t.Errorf("read as hop %d's, %v", hop, ok)
	}
	for _, size := range []int{0, macSize, FailureSize - 1, FailureSize + 1} {
		if _, _, ok := Read(l.Keys, make([]byte, size)); ok {
			t.Errorf("read a failure of %d bytes", size)
		}
	}
}

// FuzzPeel: whatever comes, a packet that peels is the one that was wrapped.
func FuzzPeel(f *testing.F) {
	l, _ := route(f, 3)
	p, err := Wrap(l, payloads(3), binding, body)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Header[:], p.MAC[:], p.Body, binding)
	f.Add([]byte{}, []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, header, mac, body, bound []byte) {
		q := &Packet{Key: p.Key, Body: body}
		copy(q.Header[:], header)
		copy(q.MAC[:], mac)
		x, err := q.Peel(l.Keys[0], bound)
		if err == nil && (q.Header != p.Header || q.MAC != p.MAC || !bytes.Equal(append(bytes.Clone(body), bound...), append(bytes.Clone(p.Body), binding...))) {
			t.Fatalf("peeled %+v", x)
		}
	})
}

// FuzzRead: a failure that reads is one that a node of the route made.
func FuzzRead(f *testing.F) {
	l, _ := route(f, 2)
	f.Add(Return(l.Keys[0], Fail(l.Keys[1], new(Message))), uint8(0))
	f.Add([]byte{}, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, by uint8) {
		hop, m, ok := Read(l.Keys, data)
		if !ok {
			return
		}
		again := Fail(l.Keys[hop], &m)
		for i := hop - 1; i >= 0; i-- {
			again = Return(l.Keys[i], again)
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("a second spelling of what hop %d says", hop)
		}
	})
}

// What one hop costs, beside what a promise costs it: one signature and one verification.
func BenchmarkHop(b *testing.B) {
	l, nodes := route(b, 4)
	payer := ident.NewKey([32]byte{})
	ids := make([]ident.ID, 4)
	for i, node := range nodes {
		ids[i] = node.ID()
	}
	p, err := Wrap(l, payloads(4), binding, make([]byte, 1280))
	if err != nil {
		b.Fatal(err)
	}
	msg := make([]byte, 300)
	sig := nodes[0].Sign("kula/bench/1", msg)
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			nodes[0].Sign("kula/bench/1", msg)
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			payer.Verify(nodes[0].ID(), "kula/bench/1", msg, sig)
		}
	})
	b.Run("peel", func(b *testing.B) {
		for b.Loop() {
			key, _ := nodes[0].OnionFrom(p.Key)
			if _, err := p.Peel(key, binding); err != nil {
				b.Fatal(err)
			}
			nodes[0].OnionNext(p.Key, key)
		}
	})
	b.Run("peelLast", func(b *testing.B) {
		for b.Loop() {
			key, _ := nodes[0].OnionFrom(p.Key)
			if _, err := p.Peel(key, binding); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, n := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("wrap%d", n), func(b *testing.B) {
			for b.Loop() {
				l, _ := payer.OnionTo(ident.Salt{}, ids[:n])
				if _, err := Wrap(l, payloads(n), binding, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
