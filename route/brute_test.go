package route

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// brute is a small graph as plain tables, searched by looking at every path. It
// shares nothing with the search but the types of its answer.
type brute struct {
	n    int
	id   []ident.ID
	edge [8][8]bool
	can  [8][8]money.Amount
	base [8][8]money.Amount
	ppm  [8][8]money.Amount
}

// lock goes back along a path of node numbers, payer first. ok is false if a channel is too small.
func (b *brute) lock(path []int, amount money.Amount) (locks []money.Amount, ok bool) {
	locks = make([]money.Amount, len(path)-1)
	for i := len(path) - 1; i > 0; i-- {
		w, x := path[i-1], path[i]
		if i < len(path)-1 {
			amount += b.base[w][x] + (amount*b.ppm[w][x]+999_999)/1_000_000
		}
		if locks[i-1] = amount; amount > b.can[w][x] {
			return nil, false
		}
	}
	return locks, true
}

// paths are all the node lists that rule R10 allows.
func (b *brute) paths(from, to, maxHops int) (list [][]int) {
	var used [8]bool
	var walk func(path []int)
	walk = func(path []int) {
		at := path[len(path)-1]
		if at == to && len(path) > 1 {
			if from != to || len(path) >= 4 {
				list = append(list, slices.Clone(path))
			}
			return
		}
		if len(path) > maxHops {
			return
		}
		for x := range b.n {
			if b.edge[at][x] && !used[x] && (x != from || x == to) {
				used[x] = true
				walk(append(path, x))
				used[x] = false
			}
		}
	}
	walk([]int{from})
	return list
}

// cheapest is rule R9: which of equal ones is all the same.
func (b *brute) cheapest(paths [][]int, amount money.Amount) (best []int, locks []money.Amount) {
	for _, p := range paths {
		l, ok := b.lock(p, amount)
		if ok && (best == nil || l[0] < locks[0] || l[0] == locks[0] && len(p) < len(best)) {
			best, locks = p, l
		}
	}
	return best, locks
}

func (b *brute) upTo(paths [][]int, maxFee money.Amount) (most money.Amount) {
	for _, p := range paths {
		for a := b.can[p[len(p)-2]][p[len(p)-1]]; a > most; a-- {
			if l, ok := b.lock(p, a); ok && (maxFee < 0 || l[0]-a <= maxFee) {
				most = a
			}
		}
	}
	return most
}

// trial is a random graph, a request, and the same request as tables.
type trial struct {
	g        *Graph
	r        Request
	b        *brute
	from, to int
	maxHops  int
}

func newTrial(rng *rand.Rand) *trial {
	n := 2 + rng.IntN(6)
	b := &brute{n: n}
	for _, k := range rng.Perm(200)[:n] {
		b.id = append(b.id, nodeID(k))
	}
	var list []Announcement
	var said [8][8]bool
	density, free := 0.3+0.7*rng.Float64(), rng.IntN(3) == 0
	for w := range n {
		for x := range n {
			if w == x || rng.Float64() > density {
				continue
			}
			said[w][x] = true
			b.can[w][x] = Coarse(money.Amount(rng.IntN(120)))
			if !free {
				b.base[w][x], b.ppm[w][x] = money.Amount(rng.IntN(4)), []money.Amount{0, 0, 1000, 100_000, 500_000, 1_000_000}[rng.IntN(6)]
			}
			fee := money.Fee{Base: b.base[w][x], Ppm: uint32(b.ppm[w][x])}
			list = append(list, Announcement{Node: b.id[x], Friend: b.id[w], Number: 2, Expires: noon + hour, Entries: []Entry{entryOf(fst, b.can[w][x], fee)}})
		}
	}
	for w := range n {
		for x := range n {
			b.edge[w][x] = said[w][x] && said[x][w]
		}
	}
	t := &trial{b: b, g: grown(rng, list), from: rng.IntN(n), to: rng.IntN(n), maxHops: MaxHops}
	t.r = Request{From: b.id[t.from], To: b.id[t.to], Currency: fst, Amount: 1 + money.Amount(rng.IntN(40)), MaxFee: NoMaxFee, Announced: true}
	t.hint(rng)
	return t
}

// grown applies announcements in some order, among older, foreign and withdrawn ones.
func grown(rng *rand.Rand, list []Announcement) *Graph {
	g := NewGraph(0)
	list = slices.Clone(list)
	for _, a := range list[:len(list)/2] {
		a.Number, a.Entries = 1, []Entry{{Currency: eur, CanReceive: 5}, {Currency: fst, CanReceive: 99}}
		if rng.IntN(2) == 0 {
			a.Entries = nil
		}
		list = append(list, a)
	}
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, a := range list {
		_, _ = g.Apply(a, noon) // older numbers are refused
	}
	return g
}

// hint adds what a payer knows itself, to the request and to the tables.
func (t *trial) hint(rng *rand.Rand) {
	b, r := t.b, &t.r
	for rng.IntN(2) == 0 {
		w, x := rng.IntN(b.n), rng.IntN(b.n)
		o := Override{Edge: Edge{From: b.id[w], To: b.id[x]}, FeeBase: 2, FeePpm: 200_000}
		if rng.IntN(2) == 0 {
			o.AtMost = 1 + money.Amount(rng.IntN(60))
		}
		if o.AtMost > 0 && rng.IntN(2) == 0 {
			o.FeeBase, o.FeePpm, o.KeepFee = 0, 0, true
		}
		r.Overrides = append(r.Overrides, o)
	}
	if rng.IntN(2) == 0 {
		r.Announced = false
		for x := range b.n {
			if b.edge[t.from][x] = x != t.from && rng.IntN(2) == 0; b.edge[t.from][x] {
				o := OwnEdge{To: b.id[x], CanPay: money.Amount(rng.IntN(150)) - 10, FeeBase: money.Amount(rng.IntN(3))}
				b.can[t.from][x], b.base[t.from][x], b.ppm[t.from][x] = o.CanPay, o.FeeBase, 0
				r.Own = append(r.Own, o)
			}
		}
	}
	if rng.IntN(4) == 0 {
		for w := range b.n {
			own := w == t.from && !r.Announced
			if w == t.to || rng.IntN(3) == 0 {
				if !own {
					b.edge[w][t.to] = false
				}
				continue
			}
			l := LastEdge{From: b.id[w], CanReceive: money.Amount(rng.IntN(150))}
			r.Last = append(r.Last, l)
			if !own {
				b.edge[w][t.to], b.can[w][t.to] = true, l.CanReceive
			}
		}
		if len(r.Last) == 0 {
			r.Last = []LastEdge{{From: nodeID(999), CanReceive: 50}}
		}
	}
	for _, o := range r.Overrides {
		w, x := slices.Index(b.id, o.Edge.From), slices.Index(b.id, o.Edge.To)
		if !o.KeepFee {
			b.base[w][x], b.ppm[w][x] = 2, 200_000
		}
		if o.AtMost > 0 {
			b.can[w][x] = min(b.can[w][x], o.AtMost)
		}
	}
	for rng.IntN(3) == 0 {
		w, x := rng.IntN(b.n), rng.IntN(b.n)
		c := []money.Currency{"", fst, eur}[rng.IntN(3)]
		r.Avoid = append(r.Avoid, Avoid{Edge: Edge{From: b.id[w], To: b.id[x]}, Currency: c})
		if c != eur {
			b.edge[w][x] = false
		}
	}
	if rng.IntN(3) == 0 {
		t.maxHops = 1 + rng.IntN(6)
		r.MaxHops = uint32(t.maxHops)
	}
	if rng.IntN(3) == 0 {
		r.MaxFee = money.Amount(rng.IntN(12))
	}
}

// check compares every question with brute force.
func (t *trial) check() (found, cycle, bound bool, err error) {
	paths := t.b.paths(t.from, t.to, t.maxHops)
	best, locks := t.b.cheapest(paths, t.r.Amount)
	q, err := t.g.Cheapest(t.r)
	switch {
	case best == nil:
		if err == nil || RefusalOf(err).Code != wire.NoRoute {
			return false, false, false, fmt.Errorf("found %+v, %v where nothing is", q, err)
		}
	case t.r.MaxFee >= 0 && locks[0]-t.r.Amount > t.r.MaxFee:
		if err == nil || RefusalOf(err).Code != wire.FeeAboveMax || RefusalOf(err).Fee != locks[0]-t.r.Amount {
			return false, false, false, fmt.Errorf("%+v, %v; the cheapest fee is %d", q, err, locks[0]-t.r.Amount)
		}
	case err != nil || q.Amounts[0] != locks[0] || len(q.Amounts) != len(locks) || q.Fee != locks[0]-t.r.Amount:
		return false, false, false, fmt.Errorf("%+v, %v; want %v locking %v", q, err, best, locks)
	default:
		found = true
		if err := t.r.CheckRoute(q); err != nil {
			return false, false, false, err
		}
		p, err := t.g.Price(t.r, q.Hops)
		if err != nil || !slices.Equal(p.Amounts, q.Amounts) || len(p.Short)+len(p.Unknown) != 0 {
			return false, false, false, fmt.Errorf("price %+v, %v; want %v", p, err, locks)
		}
	}
	most := t.b.upTo(paths, t.r.MaxFee)
	u, err := t.g.UpTo(t.r)
	if (err == nil) != (most > 0) || most > 0 && u.Amounts[len(u.Amounts)-1] != most {
		return false, false, false, fmt.Errorf("up to %+v, %v; want %d", u, err, most)
	}
	return found, found && t.from == t.to, found && t.r.MaxHops > 0, nil
}

func TestBruteForce(t *testing.T) { // R7 to R15
	const trials = 12_000
	var found, cycles, bounds int
	for seed := range uint64(trials) {
		tr := newTrial(rand.New(rand.NewPCG(seed, 1)))
		f, c, b, err := tr.check()
		if err != nil {
			t.Fatalf("seed %d, %+v: %v", seed, tr.r, err)
		}
		for _, x := range []struct {
			yes bool
			n   *int
		}{{f, &found}, {c, &cycles}, {b, &bounds}} {
			if x.yes {
				*x.n++
			}
		}
	}
	t.Logf("%d graphs: %d routes, %d of them cycles, %d with a bound on hops", trials, found, cycles, bounds)
	if found < trials/3 || cycles < trials/50 || bounds < trials/15 {
		t.Fatal("too few routes to be a test")
	}
}
