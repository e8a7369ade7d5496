package route

import (
	"math/rand/v2"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

func TestApply(t *testing.T) {
	at := func(number uint64, life int64, can money.Amount) Announcement {
		return Announcement{Node: nodeID(1), Friend: nodeID(2), Number: number, Expires: noon + life, Entries: []Entry{{Currency: fst, CanReceive: can}}}
	}
	gone := func(number uint64, life int64) Announcement {
		a := at(number, life, 0)
		a.Entries = nil
		return a
	}
	type step struct {
		a       Announcement
		at      int64 // after noon
		changed bool
		code    wire.Code
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"newer replaces", []step{{at(1, hour, 10), 0, true, 0}, {at(5, hour, 20), 0, true, 0}}},
		{"same again", []step{{at(1, hour, 10), 0, true, 0}, {at(1, hour, 10), 9, false, 0}}},                              // R5
		{"older", []step{{at(2, hour, 10), 0, true, 0}, {at(1, hour, 10), 0, false, wire.BadSequence}}},                    // R5
		{"same number, other figure", []step{{at(2, hour, 10), 0, true, 0}, {at(2, hour, 20), 0, false, wire.Conflict}}},   // R5
		{"same number, other expiry", []step{{at(2, hour, 10), 0, true, 0}, {at(2, hour+1, 10), 0, false, wire.Conflict}}}, // R5
		{"same number, withdrawn", []step{{at(2, hour, 10), 0, true, 0}, {gone(2, hour), 0, false, wire.Conflict}}},
		{"expired", []step{{at(1, 5, 10), 5, false, wire.BadRequest}}}, // R4
		{"last second", []step{{at(1, 5, 10), 4, true, 0}}},
		{"lives a day", []step{{at(1, MaxLife, 10), 0, true, 0}}},
		{"lives too long", []step{{at(1, MaxLife+1, 10), 0, false, wire.BadRequest}}},                                    // R4
		{"withdrawn before it came", []step{{gone(7, hour), 0, true, 0}, {at(6, hour, 10), 0, false, wire.BadSequence}}}, // R5
		{"played back after withdrawal", []step{ // R5
			{at(1, 9*hour, 10), 0, true, 0},
			{gone(2, hour), 1, true, 0},
			{at(1, 9*hour, 10), 2 * hour, false, wire.BadSequence},
		}},
		{"played back after expiry", []step{ // R5
			{at(1, 9*hour, 10), 0, true, 0},
			{at(2, hour, 20), 1, true, 0},
			{at(1, 9*hour, 10), 2 * hour, false, wire.BadSequence},
			{at(3, 9*hour, 10), 2 * hour, true, 0},
		}},
		{"forgotten when all has expired", []step{{at(9, hour, 10), 0, true, 0}, {at(1, 5*hour, 10), 2 * hour, true, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := NewGraph(0)
			for i, s := range c.steps {
				g.Expire(noon + s.at)
				before := *g
				changed, err := g.Apply(s.a, noon+s.at)
				if s.code != 0 {
					wantCode(t, err, s.code)
					if before.count != g.count || len(before.nodes.items) != len(g.nodes.items) {
						t.Fatalf("step %d changed the graph and failed", i)
					}
				} else if err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				if changed != s.changed {
					t.Fatalf("step %d: changed %v", i, changed)
				}
			}
		})
	}
}

func TestBothEnds(t *testing.T) { // R7
	w := newWorld(t)
	reach := func(want bool) {
		t.Helper()
		if _, err := w.g.Cheapest(ask(0, 1, 10)); (err == nil) != want {
			t.Fatalf("%v, want a route: %v", err, want)
		}
	}
	w.say(1, 0, entryOf(fst, 50, money.Fee{}))
	reach(false) // the payer does not announce
	w.say(0, 1, entryOf(eur, 50, money.Fee{}))
	reach(false) // not in this currency
	w.say(0, 1, entryOf(eur, 50, money.Fee{}), entryOf(fst, 0, money.Fee{}))
	reach(true) // R3: 0 is enough
	if _, err := w.g.Cheapest(ask(1, 0, 1)); err == nil {
		t.Fatal("paid against a capacity of 0")
	}
	if n, a, e := w.g.Size(); n != 2 || a != 2 || e != 2 {
		t.Fatalf("size %d, %d, %d", n, a, e)
	}
	w.say(0, 1)
	reach(false) // withdrawn
	w.say(0, 1, entryOf(fst, 0, money.Fee{}))
	reach(true)
	if ended := w.g.Expire(noon + hour - 1); ended != 0 {
		t.Fatalf("%d ended early", ended)
	}
	if ended := w.g.Expire(noon + hour); ended != 2 {
		t.Fatalf("%d ended, want 2", ended)
	}
	reach(false)
}

func TestGraphBounds(t *testing.T) { // R6
	w := newWorld(t)
	for i := range MaxFriends {
		w.say(5000, i, entryOf(fst, 1, money.Fee{}))
	}
	a := Announcement{Node: nodeID(5000), Friend: nodeID(4000), Number: 1, Expires: noon + 1}
	_, err := w.g.Apply(a, noon)
	wantCode(t, err, wire.NotAllowed)
	w.say(5000, 7) // a known friend is no new one
	w.say(4000, 5000)

	w.g.max = w.g.kept
	a.Node, a.Friend = nodeID(1), nodeID(2)
	_, err = w.g.Apply(a, noon)
	wantCode(t, err, wire.NotAllowed)
}

// TestForget: after everything has expired nothing is left, and numbers are used again.
func TestForget(t *testing.T) {
	g := NewGraph(0)
	rng := rand.New(rand.NewPCG(1, 2))
	now, most := noon, 0
	for round := range 200 {
		for range 20 {
			a := Announcement{Node: nodeID(rng.IntN(2000)), Friend: nodeID(rng.IntN(2000)), Number: uint64(round), Expires: now + 1 + rng.Int64N(10), Entries: fullEntries(1 + rng.IntN(3))}
			if a.Node != a.Friend {
				if _, err := g.Apply(a, now); err != nil {
					t.Fatal(err)
				}
			}
		}
		now++
		g.Expire(now)
		most = max(most, g.count)
	}
	if len(g.nodes.items) > 3*most || len(g.currencies.items) > 6 {
		t.Fatalf("%d nodes and %d currencies numbered for %d announcements", len(g.nodes.items), len(g.currencies.items), most)
	}
	g.Expire(now + 20)
	if n, a, e := g.Size(); n+a+e != 0 || len(g.currencies.index) != 0 || len(g.nodes.free) != len(g.nodes.items) {
		t.Fatalf("left: %d nodes, %d announcements, %d edges, %d currencies", n, a, e, len(g.currencies.index))
	}
}

// Rule R6: what is bounded is what takes memory: entries, also of announcements that replace others; and what has expired makes room.
func TestEntriesAreBounded(t *testing.T) {
	const most = 100
	g := NewGraph(most)
	rng := rand.New(rand.NewPCG(3, 7))
	now, refused, bytes := noon, 0, 0
	for n := range 5000 {
		if n%20 == 0 {
			now++
			g.Expire(now)
		}
		a := Announcement{Node: nodeID(rng.IntN(8)), Friend: nodeID(100 + rng.IntN(4)), Number: uint64(n), Expires: now + 1 + rng.Int64N(9), Entries: fullEntries(MaxEntries)[:rng.IntN(MaxEntries+1)]}
		node, _, i, j := g.locate(a.Node, a.Friend)
		before, had := g.kept, j-i
		_, err := g.Apply(a, now)
		if err != nil {
			refused++
			wantCode(t, err, wire.NotAllowed)
		}
		if more := max(1, len(a.Entries)) - had; (err != nil) != (more > 0 && before+more > most) {
			t.Fatalf("%d entries instead of %d, where %d are kept: %v", len(a.Entries), had, before, err)
		}
		if err != nil && (g.kept != before || had > 0 && g.blocks[node].number(i) == a.Number) {
			t.Fatalf("a refused announcement was taken")
		}
		kept := 0
		for _, b := range g.blocks {
			kept += b.len()
		}
		if kept != g.kept || kept > most {
			t.Fatalf("%d records, %d counted, at most %d", kept, g.kept, most)
		}
		bytes = max(bytes, kept*(linkWords+markWords)*4)
	}
	if refused < 100 || bytes < most*44/2 {
		t.Fatalf("%d refused, %d bytes of blocks: this tests nothing", refused, bytes)
	}
	g.Expire(now + 20)
	if g.kept != 0 {
		t.Fatalf("%d entries are left", g.kept)
	}
}

// TestPacked: what a block keeps in few bits comes out as it went in, at the edges of each field.
func TestPacked(t *testing.T) { // R2, R3, R8
	for c, last := uint32(0), money.Amount(-1); c <= codeOf(Coarse(MaxCanReceive)); c++ {
		a := amountOf(c)
		if c >= 100 && c%100 < 10 {
			continue // no coarse amount has this code
		}
		if a <= last || codeOf(a) != c || a > MaxCanReceive {
			t.Fatalf("code %d is %d, after %d, which has code %d", c, a, last, codeOf(a))
		}
		if last >= 0 && (needOf(last+1) != c || needOf(a) != c) {
			t.Fatalf("%d needs code %d, want %d", last+1, needOf(last+1), c)
		}
		last = a
	}
	g := NewGraph(0)
	number := uint64(1)<<63 + 5
	for _, e := range []Entry{
		{CanReceive: MaxCanReceive / 1e15 * 1e15, FeeBase: money.MaxLimit, FeePpm: 1_000_000, MaxHold: 1<<32 - 1},
		{CanReceive: 0, FeeBase: bigBase, FeePpm: 0}, {CanReceive: 99, FeeBase: bigBase - 1, FeePpm: 1}, {CanReceive: 1},
	} {
		e.Currency = fst
		number++
		a := Announcement{Node: nodeID(2), Friend: nodeID(1), Number: number, Expires: maxExpires, Entries: []Entry{{Currency: eur, CanReceive: 5}, e}}
		back := Announcement{Node: nodeID(1), Friend: nodeID(2), Number: number, Expires: maxExpires, Entries: []Entry{{Currency: fst}}}
		for _, x := range []Announcement{a, back} {
			if changed, err := g.Apply(x, maxExpires-hour); err != nil || !changed {
				t.Fatalf("%+v: %v, %v", x, changed, err)
			}
			if changed, err := g.Apply(x, maxExpires-hour); err != nil || changed {
				t.Fatalf("again: %v, %v", changed, err)
			}
		}
		n, _ := g.nodes.find(nodeID(2))
		b := g.blocks[n]
		c, _ := g.currencies.find(fst)
		x, _ := g.nodes.find(nodeID(1))
		i := b.find(x, c)
		if got, ok := g.Newest(nodeID(2), nodeID(1)); !ok || got != number {
			t.Fatalf("newest is %d", got)
		}
		if i < 0 || !b.mutual(i) || amountOf(b.canIn(i)) != e.CanReceive || g.feeIn(b, i) != e.Fee() || b.maxHold(i) != e.MaxHold || b.expires(i) != maxExpires {
			t.Fatalf("%+v is kept as %v", e, b)
		}
		other := g.blocks[x]
		if k := other.find(n, c); amountOf(other.canOut(k)) != e.CanReceive || g.feeOut(other, k) != e.Fee() {
			t.Fatalf("%+v is copied as %v", e, other)
		}
		if _, _, edges := g.Size(); edges != 2 {
			t.Fatalf("%d edges", edges)
		}
	}
	if len(g.bases) > 2 {
		t.Fatalf("%d large fees kept, 1 is in use", len(g.bases))
	}
	if n := g.Expire(maxExpires); n != 2 {
		t.Fatalf("%d expired", n)
	}
	if n, a, e := g.Size(); n+a+e != 0 || len(g.freeBases) != len(g.bases) || len(g.currencies.index) != 0 {
		t.Fatalf("left: %d nodes, %d announcements, %d edges, %d currencies", n, a, e, len(g.currencies.index))
	}
}

// TestNodes: the table of nodes against a map.
func TestNodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	table, holds := newNodes(), map[ident.ID]int{}
	numbers := map[ident.ID]int32{}
	for range 20_000 {
		id := nodeID(rng.IntN(700))
		if rng.IntN(2) == 0 {
			n := table.hold(id)
			if holds[id]++; holds[id] > 1 && n != numbers[id] {
				t.Fatalf("%x has number %d, had %d", id, n, numbers[id])
			}
			numbers[id] = n
		} else if holds[id] > 0 {
			table.drop(numbers[id])
			holds[id]--
		}
		probe := nodeID(rng.IntN(700))
		if n, ok := table.find(probe); ok != (holds[probe] > 0) || ok && (n != numbers[probe] || table.items[n] != probe) {
			t.Fatalf("%x is %d, %v; want %d of %d holds", probe, n, ok, numbers[probe], holds[probe])
		}
	}
}
