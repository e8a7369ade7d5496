package route

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"kula/money"
)

// bruteParts is the cheapest way to bring an amount in at most parts parts, by trying every
// amount on every path. It says what the payer pays, -1 if nothing brings it.
type bruteParts struct {
	*brute
	paths [][]int
	used  [8][8]money.Amount
	best  money.Amount
	tries int
}

func (b *bruteParts) search(at int, rest money.Amount, parts int, paid money.Amount) {
	if b.tries--; b.tries < 0 || b.best >= 0 && paid+rest >= b.best {
		return
	}
	if rest == 0 {
		b.best = paid
		return
	}
	if parts == 0 {
		return
	}
	for i := at; i < len(b.paths); i++ {
		for x := rest; x > 0; x-- {
			path := b.paths[i]
			locks, _ := b.brute.lockAny(path, x)
			fits := true
			for k, l := range locks {
				fits = fits && b.used[path[k]][path[k+1]]+l <= b.can[path[k]][path[k+1]]
			}
			if !fits {
				continue
			}
			for k, l := range locks {
				b.used[path[k]][path[k+1]] += l
			}
			b.search(i+1, rest-x, parts-1, paid+locks[0])
			for k, l := range locks {
				b.used[path[k]][path[k+1]] -= l
			}
		}
	}
}

// lockAny is lock without a look at capacities.
func (b *brute) lockAny(path []int, amount money.Amount) (locks []money.Amount, ok bool) {
	big := brute{n: b.n, base: b.base, ppm: b.ppm}
	for w := range big.can {
		for x := range big.can[w] {
			big.can[w][x] = 1 << 50
		}
	}
	return big.lock(path, amount)
}

// partsTrial is a random graph of narrow channels, and a request for several parts.
func partsTrial(rng *rand.Rand) (*trial, *bruteParts) {
	for {
		t := newTrial(rng)
		if t.from == t.to {
			continue
		}
		t.r.MaxFee = NoMaxFee
		t.r.Amount = 2 + money.Amount(rng.IntN(24))
		t.r.MaxParts = uint32(2 + rng.IntN(3))
		paths := t.b.paths(t.from, t.to, t.maxHops)
		if len(paths) == 0 || len(paths) > 24 {
			continue
		}
		return t, &bruteParts{brute: t.b, paths: paths, best: -1, tries: 1 << 20}
	}
}

// narrow makes all channels of a trial so small that one seldom suffices.
func narrow(rng *rand.Rand) *trial {
	n := 3 + rng.IntN(6)
	b := &brute{n: n}
	for _, k := range rng.Perm(200)[:n] {
		b.id = append(b.id, nodeID(k))
	}
	var list []Announcement
	density := 0.25 + 0.4*rng.Float64()
	kind := rng.IntN(3) // no fees, proportional ones, both
	for w := range n {
		for x := range w {
			if rng.Float64() > density {
				continue
			}
			for _, e := range [][2]int{{w, x}, {x, w}} {
				b.edge[e[0]][e[1]] = true
				b.can[e[0]][e[1]] = money.Amount(rng.IntN(16))
				if kind > 0 {
					b.ppm[e[0]][e[1]] = []money.Amount{0, 0, 1000, 50_000, 200_000, 500_000}[rng.IntN(6)]
				}
				if kind > 1 {
					b.base[e[0]][e[1]] = money.Amount(rng.IntN(4))
				}
				fee := money.Fee{Base: b.base[e[0]][e[1]], Ppm: uint32(b.ppm[e[0]][e[1]])}
				list = append(list, Announcement{Node: b.id[e[1]], Friend: b.id[e[0]], Number: 2, Expires: noon + hour,
					Entries: []Entry{entryOf(fst, b.can[e[0]][e[1]], fee)}})
			}
		}
	}
	t := &trial{b: b, g: grown(rng, list), from: 0, to: 1, maxHops: MaxHops}
	t.r = Request{From: b.id[0], To: b.id[1], Currency: fst, Amount: 4 + money.Amount(rng.IntN(16)), MaxFee: NoMaxFee, Announced: true, MaxParts: uint32(2 + rng.IntN(3))}
	return t
}

// tallied is what many trials came to.
type tallied struct {
	feasible, found, proved, impossible, several int
	within1, within10, exact                     int
	feeWithin1                                   int
}

func (c *tallied) check(t *trial, b *bruteParts) error {
	b.search(0, t.r.Amount, int(t.r.MaxParts), 0)
	if b.tries < 0 {
		return nil
	}
	routes, err := t.g.Search(t.r)
	if b.best < 0 {
		if err == nil {
			return fmt.Errorf("found %+v where nothing is", routes)
		}
		c.impossible++
		if RefusalOf(err).Proved {
			c.proved++
		}
		return nil
	}
	c.feasible++
	if err != nil {
		if RefusalOf(err).Proved {
			return fmt.Errorf("%v, proved; %d would do", err, b.best)
		}
		return nil
	}
	c.found++
	if err := t.r.CheckRoutes(routes); err != nil {
		return err
	}
	paid := t.r.Amount
	for _, q := range routes {
		paid += q.Fee
	}
	if paid < b.best {
		return fmt.Errorf("paid %d, brute force %d: brute force is wrong", paid, b.best)
	}
	if len(routes) > 1 {
		c.several++
	}
	if paid == b.best {
		c.exact++
	}
	if 100*paid <= 101*b.best {
		c.within1++
	}
	if 10*paid <= 11*b.best {
		c.within10++
	}
	if 100*(paid-t.r.Amount) <= 101*(b.best-t.r.Amount) {
		c.feeWithin1++
	}
	return nil
}

// TestPartsBruteForce: R9, R13, R19 against every amount on every path.
func TestPartsBruteForce(t *testing.T) {
	const trials = 12_000
	var c tallied
	for seed := range uint64(trials) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var tr *trial
		var b *bruteParts
		if seed%3 == 0 {
			tr, b = partsTrial(rng)
		} else {
			for {
				tr = narrow(rng)
				if paths := tr.b.paths(tr.from, tr.to, tr.maxHops); len(paths) > 1 && len(paths) <= 24 {
					b = &bruteParts{brute: tr.b, paths: paths, best: -1, tries: 1 << 20}
					break
				}
			}
		}
		if err := c.check(tr, b); err != nil {
			t.Fatalf("seed %d, %+v: %v", seed, tr.r, err)
		}
	}
	t.Logf("%+v", c)
	if c.feasible < trials/3 || c.several < trials/20 || 1000*c.found < 999*c.feasible || 100*c.within1 < 99*c.found || c.within10 < c.found {
		t.Fatal("not as good as it is said to be")
	}
}

// TestMost: what the largest amount brings is what a flow brings, and not a unit more.
func TestMost(t *testing.T) { // R14, R19
	feasible := 0
	for seed := range uint64(1500) {
		rng := rand.New(rand.NewPCG(seed, 3))
		tr := narrow(rng)
		tr.r.MaxParts = MaxParts
		routes, err := tr.g.Most(tr.r)
		if err != nil {
			continue
		}
		var fee money.Amount
		tr.r.Amount, fee = totals(routes)
		if err := tr.r.CheckRoutes(routes); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if tr.b.base == [8][8]money.Amount{} && tr.b.ppm == tr.b.base {
			feasible++
			if most := tr.b.maxFlow(0, 1); tr.r.Amount != most {
				t.Fatalf("seed %d: brings %d, the maximum flow is %d", seed, tr.r.Amount, most)
			}
			tr.r.Amount++
			if _, err := tr.g.Search(tr.r); err == nil || !RefusalOf(err).Proved {
				t.Fatalf("seed %d: one unit more: %v", seed, err)
			}
		}
		if tr.r.MaxFee = fee - 1; fee == 0 {
			continue
		}
		if routes, err = tr.g.Most(tr.r); err != nil {
			continue
		}
		tr.r.Amount, _ = totals(routes)
		if err := tr.r.CheckRoutes(routes); err != nil {
			t.Fatalf("seed %d, within a fee of %d: %v", seed, tr.r.MaxFee, err)
		}
	}
	if feasible < 200 {
		t.Fatalf("only %d graphs without fees", feasible)
	}
}

func totals(routes []Route) (arrives, fee money.Amount) {
	for _, q := range routes {
		arrives, fee = arrives+q.Arrives(), fee+q.Fee
	}
	return arrives, fee
}

// maxFlow is Ford and Fulkerson's, a unit at a time.
func (b *brute) maxFlow(from, to int) (flow money.Amount) {
	left := b.can
	for w := range b.n {
		for x := range b.n {
			if !b.edge[w][x] {
				left[w][x] = 0
			}
		}
	}
	for {
		var seen [8]bool
		var walk func(x int) bool
		walk = func(x int) bool {
			if seen[x] = true; x == to {
				return true
			}
			for y := range b.n {
				if left[x][y] > 0 && !seen[y] && walk(y) {
					left[x][y]--
					left[y][x]++
					return true
				}
			}
			return false
		}
		if !walk(from) {
			return flow
		}
		flow++
	}
}
