package route

import (
	"fmt"
	"runtime"
	"testing"

	"kula/ident"
	"kula/money"
)

// fat makes what one stranger may announce: 1,000 friends with 32 currencies each, all to expire at once.
func fat(t testing.TB, g *Graph, who int, number uint64, expires int64) {
	var node ident.ID
	node[0], node[1], node[31] = 0xfa, byte(who), 7
	for f := range MaxFriends {
		var friend ident.ID
		friend[0], friend[1], friend[2], friend[31] = 0xfb, byte(f>>8), byte(f), 9
		a := Announcement{Node: node, Friend: friend, Number: number, Expires: expires}
		for c := range MaxEntries {
			a.Entries = append(a.Entries, Entry{Currency: money.Currency(fmt.Sprintf("C%02d/0", c)), CanReceive: 10})
		}
		if _, err := g.Apply(a, noon); err != nil {
			t.Fatal(err)
		}
	}
}

// What strangers announced expires in steps of so many records, and each node's block is written once: who holds the graph
// while it expires holds it for a short time.
func TestExpiryOfFatNodes(t *testing.T) {
	const nodes, step, each = 4, 40_000, MaxFriends * MaxEntries
	g := NewGraph(0)
	for i := range nodes {
		fat(t, g, i, 1, noon+2*hour)
		fat(t, g, i, 2, noon+hour) // its number is remembered for an hour more
	}
	pass := func(now int64) (ended, most int, bytes uint64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for first := 0; first < g.Nodes(); {
			n, next := g.ExpireSome(first, step, now)
			if next <= first {
				t.Fatalf("a step from %d leads to %d", first, next)
			}
			ended, most, first = ended+n, max(most, n), next
		}
		runtime.ReadMemStats(&after)
		return ended, most, after.TotalAlloc - before.TotalAlloc
	}
	ended, most, bytes := pass(noon + hour)
	if want := (step + each - 1) / each * MaxFriends; ended != nodes*MaxFriends || most > want {
		t.Errorf("%d announcements expired, at most %d in a step, want %d and at most %d", ended, most, nodes*MaxFriends, want)
	}
	if want := uint64(nodes * each * (linkWords + markWords) * 4); bytes > want {
		t.Errorf("%d bytes were written, at most all blocks once are %d", bytes, want)
	}
	if n, of, edges := g.Size(); n != nodes+MaxFriends || of != nodes*MaxFriends || edges != 0 {
		t.Errorf("%d nodes, %d announcements, %d edges are remembered", n, of, edges)
	}
	if _, ok := g.currencies.find("C00/0"); ok {
		t.Error("a currency of nobody has a number")
	}
	if ended, _, _ := pass(noon + 2*hour); ended != 0 {
		t.Errorf("%d announcements expired twice", ended)
	}
	if n, of, _ := g.Size(); n != 0 || of != 0 {
		t.Errorf("%d nodes, %d announcements are left", n, of)
	}
}
