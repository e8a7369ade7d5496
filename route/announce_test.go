package route

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

func TestCoarse(t *testing.T) { // R2
	for _, c := range []struct{ in, out money.Amount }{
		{-5, 0},
		{0, 0},
		{7, 7},
		{99, 99},
		{100, 100},
		{101, 100},
		{109, 100},
		{110, 110},
		{999, 990},
		{1299, 1200},
		{MaxCanReceive, 18_000_000_000_000_000},
		{1<<63 - 1, 9_200_000_000_000_000_000},
	} {
		if got := Coarse(c.in); got != c.out || Coarse(got) != got {
			t.Errorf("Coarse(%d) = %d, want %d", c.in, got, c.out)
		}
	}
}

func TestAnnouncementForm(t *testing.T) {
	good := func() Announcement {
		return Announcement{Node: nodeID(1), Friend: nodeID(2), Number: 3, Expires: noon, Entries: []Entry{
			{Currency: eur, CanReceive: 1200, FeeBase: 1, FeePpm: 5000, MaxHold: 60},
			{Currency: fst, CanReceive: 0},
		}}
	}
	for _, c := range []struct {
		name string
		make func(a *Announcement)
		code wire.Code
	}{
		{"good", func(*Announcement) {}, 0},
		{"withdrawal", func(a *Announcement) { a.Entries = nil }, 0}, // R3
		{"about itself", func(a *Announcement) { a.Friend = a.Node }, wire.BadRequest},
		{"currencies descend", func(a *Announcement) { a.Entries[0], a.Entries[1] = a.Entries[1], a.Entries[0] }, wire.BadRequest}, // R3
		{"currency twice", func(a *Announcement) { a.Entries[1] = a.Entries[0] }, wire.BadRequest},
		{"no currency", func(a *Announcement) { a.Entries[0].Currency = "EUR" }, wire.UnknownCurrency},
		{"too fine", func(a *Announcement) { a.Entries[0].CanReceive = 1201 }, wire.BadRequest}, // R2
		{"negative", func(a *Announcement) { a.Entries[0].CanReceive = -1 }, wire.BadRequest},
		{"beyond any limit", func(a *Announcement) { a.Entries[0].CanReceive = 20_000_000_000_000_000 }, wire.BadRequest},
		{"negative fee", func(a *Announcement) { a.Entries[0].FeeBase = -1 }, wire.BadRequest},
		{"fee above the whole", func(a *Announcement) { a.Entries[0].FeePpm = 1_000_001 }, wire.BadRequest},
		{"decider", func(a *Announcement) { a.Entries[0].Deciders = ids(9) }, wire.DeciderNotAccepted},
		{"33 currencies", func(a *Announcement) { a.Entries = fullEntries(33) }, wire.BadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := good()
			c.make(&a)
			_, err := Decode(a.Encode())
			if c.code != 0 {
				wantCode(t, err, c.code)
				wantCode(t, a.Check(), c.code)
			} else if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// fullEntries are n entries of the largest size.
func fullEntries(n int) []Entry {
	var list []Entry
	for i := range n {
		c := money.Currency("ABCDEFGHIJ" + string(rune('A'+i/26)) + string(rune('A'+i%26)) + "/9@" + strings.Repeat("y", 52))
		list = append(list, Entry{Currency: c, CanReceive: 18_000_000_000_000_000, FeeBase: money.MaxLimit, FeePpm: 1_000_000, MaxHold: 1<<32 - 1})
	}
	return list
}

func TestSignOpen(t *testing.T) { // R1
	key, other := ident.NewKey([32]byte{1}), ident.NewKey([32]byte{2})
	a := Announcement{Node: key.ID(), Friend: other.ID(), Number: 1<<64 - 1, Expires: maxExpires, Entries: fullEntries(MaxEntries)}
	s, err := Sign(key, a)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Body) > MaxAnnouncement {
		t.Fatalf("largest announcement has %d bytes, limit %d", len(s.Body), MaxAnnouncement)
	}
	got, err := Open(other, s)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Encode(), s.Body) || got.Entries[31].Fee() != a.Entries[31].Fee() {
		t.Fatalf("opened %+v", got)
	}

	if _, err := Sign(other, a); err == nil {
		t.Fatal("signed with another node's key")
	}
	a.Entries[0].CanReceive++
	if _, err := Sign(key, a); err == nil {
		t.Fatal("signed a figure that is too fine")
	}
	forged := s
	forged.Sig[5] ^= 1
	_, err = Open(other, forged)
	wantCode(t, err, wire.BadSignature)
	a.Entries, a.Node, a.Friend = nil, other.ID(), key.ID()
	_, err = Open(other, wire.SignAlone(key, Tag, a)) // signed by the friend, not the node
	wantCode(t, err, wire.BadSignature)
	_, err = Open(other, wire.SignAlone(other, "kula/terms/1", a))
	wantCode(t, err, wire.BadSignature)
	_, err = Open(other, wire.Batched{Body: make([]byte, MaxAnnouncement+1)})
	wantCode(t, err, wire.BadRequest)
	_, err = Open(other, wire.Batched{})
	if !errors.Is(err, wire.ErrForm) {
		t.Fatalf("empty announcement: %v", err)
	}
}

// TestOldAnnouncement: an announcement with room for a key, as version 3 had it, is none (R18 is not used).
func TestOldAnnouncement(t *testing.T) {
	type old struct {
		_            struct{} `cbor:",toarray"`
		Node, Friend ident.ID
		Number       uint64
		Expires      int64
		Onion        []byte
		Entries      []Entry
	}
	key := ident.NewKey([32]byte{1})
	a, err := Open(key, wire.SignAlone(key, Tag, old{Node: key.ID(), Friend: nodeID(2), Number: 3, Expires: noon}))
	if !errors.Is(err, wire.ErrForm) {
		t.Fatalf("read as %+v, %v", a, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Announcement{Node: nodeID(1), Friend: nodeID(2), Number: 3, Expires: noon, Entries: []Entry{{Currency: eur, CanReceive: 1200, FeePpm: 5000}}}.Encode())
	f.Add(Announcement{Node: nodeID(1), Friend: nodeID(2)}.Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Decode(data)
		if err != nil {
			if !reflect.ValueOf(a).IsZero() {
				t.Fatal("an error and an announcement")
			}
			return
		}
		if !bytes.Equal(a.Encode(), data) {
			t.Fatalf("%x decodes to what encodes as %x", data, a.Encode())
		}
		if _, err := NewGraph(0).Apply(a, a.Expires-1); err != nil && a.Expires > 0 {
			t.Fatalf("decoded but not applied: %v", err)
		}
	})
}

// Many at once are judged as each alone, also when some are bad.
func TestOpenAll(t *testing.T) {
	key := ident.NewKey([32]byte{1})
	var said []Announcement
	for i := range 9 {
		said = append(said, Announcement{Node: key.ID(), Friend: ident.ID{byte(i), 1}, Number: uint64(i + 1), Expires: 100, Entries: []Entry{{Currency: "EUR/2", CanReceive: 5}}})
	}
	for _, together := range []int{1, 4, 9} {
		var list []wire.Batched
		for some := range slices.Chunk(said, together) {
			s, err := SignAll(key, some)
			if err != nil || len(s) != len(some) {
				t.Fatal(len(s), err)
			}
			list = append(list, s...)
		}
		testOpenAll(t, list)
	}
}

func testOpenAll(t *testing.T, list []wire.Batched) {
	key, other, suite := ident.NewKey([32]byte{1}), ident.NewKey([32]byte{2}), ident.NewKey([32]byte{3})
	for name, spoil := range map[string]func(list []wire.Batched){
		"all good":    func([]wire.Batched) {},
		"one changed": func(l []wire.Batched) { l[4].Sig[9] ^= 1 },
		"one of another": func(l []wire.Batched) {
			l[2] = wire.SignAlone(other, Tag, Announcement{Node: key.ID(), Number: 1, Expires: 100})
		},
		"one is nothing":  func(l []wire.Batched) { l[8] = wire.Batched{Body: []byte{1}} },
		"two exchanged":   func(l []wire.Batched) { l[0].Sig, l[1].Sig = l[1].Sig, l[0].Sig },
		"another place":   func(l []wire.Batched) { l[1].Index ^= 1 },
		"another path":    func(l []wire.Batched) { l[3].Path = append(slices.Clone(l[3].Path), ident.Hash{}) },
		"a place of none": func(l []wire.Batched) { l[5].Index |= 1 << 40 },
		"nothing is good": func(l []wire.Batched) { clear(l) },
	} {
		for _, n := range []int{0, 1, 2, 9} {
			mine := slices.Clone(list)
			spoil(mine)
			mine = mine[:n]
			opened, errs := OpenAll(suite, mine, nil)
			for i, s := range mine {
				want, err := Open(suite, s)
				if fmt.Sprint(err) != fmt.Sprint(errs[i]) || !reflect.DeepEqual(opened[i], want) && err == nil {
					t.Errorf("%s, %d: announcement %d: %v, alone %v", name, n, i, errs[i], err)
				}
			}
			if len(opened) != n || len(errs) != n {
				t.Errorf("%s: %d and %d of %d", name, len(opened), len(errs), n)
			}
		}
	}
}
