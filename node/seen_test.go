package node

import (
	"testing"

	"kula/ident"
	"kula/pay"
	"kula/wire"
)

// layer is an onion that ends in so many seconds after minute 0.
func layer(seen uint64, until int64) *pay.Layer { return &pay.Layer{Seen: seen, Until: until} }

func TestSeen(t *testing.T) { // P-16
	n := New(ident.NewKey([32]byte{1}), Config{})
	n.now = 1_000_000_000
	now := n.now / 1000
	a, b := ident.ID{1}, ident.ID{2}
	for _, c := range []struct {
		name   string
		friend ident.ID
		layer  *pay.Layer
		want   wire.Code
	}{
		{"version 0", a, nil, wire.CodeNone},
		{"first", a, layer(1, now+300), wire.CodeNone},
		{"again", a, layer(1, now+300), wire.DuplicatePart},
		{"again by another friend", b, layer(1, now+300), wire.DuplicatePart},
		{"another", b, layer(2, now+300), wire.CodeNone},
		{"ends now", a, layer(3, now), wire.BadRequest},
		{"ends in a second", a, layer(3, now+1), wire.CodeNone},
		{"as late as may be", a, layer(4, now+pay.MaxOnionLife), wire.CodeNone},
		{"later", a, layer(5, now+pay.MaxOnionLife+1), wire.BadRequest},
		{"before time", a, layer(5, -1<<63), wire.BadRequest},
		{"at the end of time", a, layer(5, 1<<63-1), wire.BadRequest},
	} {
		r := n.seen.again(c.friend, c.layer, n)
		if (r == nil) != (c.want == wire.CodeNone) || r != nil && r.Code != c.want {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// What was seen is in the records of the Step that saw it, is there after a start, and is forgotten, on disk too, when it ends.
func TestSeenIsSaved(t *testing.T) {
	key := ident.NewKey([32]byte{1})
	n := New(key, Config{})
	n.now = 1_000_000_000
	disk := map[string]Record{}
	step := func(do func()) {
		do()
		for _, r := range n.Step(n.now, [32]byte{}, Tick{}).Save {
			if r.Kind == kindSeen {
				disk[r.Key] = r
			}
			if r.Kind == kindSeen && r.Value == nil {
				delete(disk, r.Key)
			}
		}
	}
	see := func(friend ident.ID, o uint64, until int64) func() {
		return func() {
			if r := n.seen.again(friend, layer(o, until), n); r != nil {
				t.Fatalf("onion %d: %+v", o, r)
			}
		}
	}
	end := n.now/1000 + 300
	step(func() { see(ident.ID{1}, 1, end)(); see(ident.ID{1}, 2, end+60)(); see(ident.ID{2}, 3, end)() })
	step(see(ident.ID{1}, 4, end))
	if len(disk) != 4 {
		t.Fatalf("%d records of two friends in one Step, one of them with two ends, and one in the next", len(disk))
	}
	records := func(yield func(Record, error) bool) {
		for _, r := range disk {
			if !yield(r, nil) {
				return
			}
		}
	}
	now := n.now
	n, err := Load(key, Config{}, records)
	if err != nil {
		t.Fatal(err)
	}
	n.now = now
	for o := uint64(1); o <= 4; o++ {
		if r := n.seen.again(ident.ID{9}, layer(o, end), n); r == nil || r.Code != wire.DuplicatePart {
			t.Errorf("onion %d after a start: %+v", o, r)
		}
	}
	n.now = end * 1000
	step(func() {})
	if len(disk) != 1 || len(n.seen.onions) != 1 || n.seen.share[ident.ID{1}] != 1+seenRunCost || n.seen.share[ident.ID{2}] != 0 {
		t.Errorf("%d records, %d onions, shares %v at the end of three runs of four", len(disk), len(n.seen.onions), n.seen.share)
	}
	n.now += 60_000
	step(func() {})
	if len(disk)+len(n.seen.onions)+len(n.seen.runs)+len(n.seen.share) != 0 {
		t.Errorf("%d records and %d onions after the end of all", len(disk), len(n.seen.onions))
	}
	if err := (&seen{}).load(Record{Key: "x"}); err == nil {
		t.Error("a record of no number")
	}
}

// A friend gets as much room as it leaves free, so there is room for others; a few have room in any case. What is saved
// alone takes the room that it takes of memory.
func TestSeenIsBounded(t *testing.T) {
	next := uint64(0)
	fill := func(n *Node, friend byte, together bool) (count int) {
		for end := n.now/1000 + 300; ; count++ {
			if next++; !together {
				clear(n.seen.fresh) // a Step of its own
				clear(n.dirty)
			}
			if r := n.seen.again(ident.ID{friend}, layer(next, end), n); r != nil {
				if r.Code != wire.TooManyLocks {
					t.Fatalf("%+v", r)
				}
				return count
			}
		}
	}
	for name, c := range map[string]struct {
		together bool
		each     int // what one takes of the room
	}{"together": {true, 1}, "alone": {false, 1 + seenRunCost}} {
		n := New(ident.NewKey([32]byte{1}), Config{})
		n.now = 1_000_000_000
		for i, want := range []int{maxSeen / 2, maxSeen / 4, maxSeen / 8} {
			if got := fill(n, byte(i), c.together) * c.each; got < want-2*c.each-seenRunCost || got > want+c.each {
				t.Errorf("%s: friend %d takes %d of the room, want %d", name, i, got, want)
			}
		}
		for i := range byte(20) {
			fill(n, 10+i, c.together)
		}
		if got := fill(n, 99, c.together) * c.each; got < seenFloor-2*c.each-seenRunCost {
			t.Errorf("%s: %d are left for who comes last, want %d", name, got, seenFloor)
		}
		if most := maxSeen + 24*seenFloor; len(n.seen.onions)+seenRunCost*len(n.seen.runs) > most {
			t.Errorf("%s: %d onions in %d runs", name, len(n.seen.onions), len(n.seen.runs))
		}
	}
}

// Onions end at whole minutes, many at once. No Step forgets more than it has time for; none is kept long after its end.
func TestSeenIsForgottenInSteps(t *testing.T) {
	n := New(ident.NewKey([32]byte{1}), Config{})
	n.now = 1_000_000_000
	const count = 20_000
	end := n.now/1000 + 300
	for i := range uint64(count) {
		clear(n.seen.fresh)
		if r := n.seen.again(ident.ID{1}, layer(i, end), n); r != nil {
			t.Fatal(r)
		}
	}
	if records := n.Step(n.now, [32]byte{}, Tick{}).Save; len(records) < count {
		t.Fatalf("%d records", len(records))
	}
	deleted := 0
	for n.now = end * 1000; deleted < count; n.now += timerEvery {
		now := 0
		for _, r := range n.Step(n.now, [32]byte{}, Tick{}).Save {
			if r.Kind == kindSeen && r.Value == nil {
				now++
			}
		}
		if now == 0 || now > maxForgotten/(1+seenRunCost)+1 {
			t.Fatalf("%d records forgotten in one Step, %d before", now, deleted)
		}
		deleted += now
	}
	if len(n.seen.onions)+len(n.seen.runs)+len(n.seen.share)+len(n.seen.ends)+n.seen.taken != 0 {
		t.Errorf("%d onions, %d runs, %d friends, %d ends after the end of all", len(n.seen.onions), len(n.seen.runs), len(n.seen.share), len(n.seen.ends))
	}
}
