package route

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kula/ident"
	"kula/money"
)

// tolled is two large random halves joined by a few channels whose far ends charge a
// proportional fee; everybody else is free. Where fees use up capacity it is wide, so the
// cheapest routes are a minimum-cost flow without losses, as LEMON solves it: the cost of a unit
// over a toll is its percents. Capacities and amounts are hundreds, so that no fee is rounded.
type tolled struct {
	g    *Graph
	r    Request
	text strings.Builder // for LEMON
}

func newTolled(tb testing.TB, rng *rand.Rand, n int) *tolled {
	w := &tolled{g: NewGraph(0)}
	ids := make([]ident.ID, n)
	for i := range ids {
		ids[i] = nodeID(0)
		ids[i][3], ids[i][4], ids[i][5] = byte(i>>16), byte(i>>8), byte(i)
	}
	var arcs []string
	say := func(x, y int, can money.Amount, percent int) {
		e := Entry{Currency: fst, CanReceive: can, FeePpm: uint32(percent * 10_000)}
		a := Announcement{Node: ids[y], Friend: ids[x], Number: 1, Expires: noon + hour, Entries: []Entry{e}}
		if _, err := w.g.Apply(a, noon); err != nil {
			tb.Fatal(err)
		}
		if y == n-1 {
			percent = 0 // the payee forwards nothing
		}
		arcs = append(arcs, fmt.Sprintf("%d %d %d %d", x, y, can, percent))
	}
	const wide = 90_000_000
	linked := map[[2]int]bool{}
	link := func(x, y int, can func() money.Amount, percent int) {
		if x == y || linked[[2]int{x, y}] || linked[[2]int{y, x}] {
			return
		}
		linked[[2]int{x, y}] = true
		say(x, y, can(), percent)
		if percent > 0 {
			say(y, x, 0, 0)
			return
		}
		say(y, x, can(), 0)
	}
	half := n / 2
	width := func() money.Amount { return wide }
	narrow := func() money.Amount { return money.Amount(1+rng.IntN(60)) * 100 }
	for i := 1; i < half; i++ {
		for range 4 {
			link(i, rng.IntN(i), width, 0)
			link(half+i, half+rng.IntN(i), narrow, 0)
		}
	}
	for range 12 + rng.IntN(20) {
		link(rng.IntN(half), half+rng.IntN(half), width, 1+rng.IntN(40))
	}
	amount := money.Amount(20+rng.IntN(100)) * 100
	w.r = Request{From: ids[0], To: ids[n-1], Currency: fst, Amount: amount, MaxFee: NoMaxFee, Announced: true, MaxParts: MaxParts}
	fmt.Fprintf(&w.text, "%d %d 0 %d %d\n%s\n", n, len(arcs), n-1, amount, strings.Join(arcs, "\n"))
	return w
}

// TestLemon compares costs with LEMON's network simplex (liblemon-dev). It needs g++ and the
// library, and fails without them where they are said to be there (-lemon).
func TestLemon(t *testing.T) {
	if !*lemon {
		t.Skip("asked for with -lemon; needs g++ and liblemon-dev")
	}
	program := filepath.Join(t.TempDir(), "lemon")
	if out, err := exec.Command("g++", "-O2", "-o", program, "testdata/lemon.cc", "-llemon").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var graphs []*tolled
	var all strings.Builder
	for seed := range uint64(40) {
		n := 2000
		if seed%10 == 0 {
			n = 50_000
		}
		w := newTolled(t, rand.New(rand.NewPCG(seed, 9)), n)
		graphs = append(graphs, w)
		all.WriteString(w.text.String())
	}
	c := exec.Command(program)
	c.Stdin = strings.NewReader(all.String())
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewScanner(strings.NewReader(string(out)))
	possible, several := 0, 0
	for i, w := range graphs {
		var want money.Amount
		if !answers.Scan() {
			t.Fatal("LEMON said nothing")
		}
		if _, err := fmt.Sscan(answers.Text(), &want); err != nil {
			t.Fatal(err)
		}
		p := newSplitter(w.g.Finder(), &w.r)
		p.room, p.budget, p.each = 1<<30, 1<<30, 1<<30
		p.solve(w.r.Amount)
		if want < 0 {
			if len(p.parts) > 0 {
				t.Errorf("graph %d: LEMON finds nothing for %d, we %d parts", i, w.r.Amount, len(p.parts))
			}
			continue
		}
		possible++
		if len(p.parts) == 0 {
			t.Errorf("graph %d: nothing found for %d, LEMON pays %d", i, w.r.Amount, want)
			continue
		}
		if len(p.parts) > 1 {
			several++
		}
		if err := w.r.CheckRoutes(p.routes()); err != nil {
			t.Errorf("graph %d: %v", i, err)
		}
		if fee := p.locked() - w.r.Amount; fee*100 != want {
			t.Errorf("graph %d: %d in %d parts costs %d, LEMON pays %d.%02d", i, w.r.Amount, len(p.parts), fee, want/100, want%100)
		}
	}
	t.Logf("%d of %d possible, %d in several parts", possible, len(graphs), several)
	if several < len(graphs)/3 {
		t.Error("too few of several parts to be a test")
	}
}
