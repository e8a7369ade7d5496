package route

import (
	"math/rand/v2"
	"testing"
)

// R9: what a bounded effort found is not called the cheapest; what is called so, is.
func TestProved(t *testing.T) {
	const nodes, degree = 40000, 16
	rng := rand.New(rand.NewPCG(9, 9))
	w := newWorld(t)
	for a := range nodes {
		for range degree / 2 {
			if b := rng.IntN(nodes); b != a {
				w.link(a, b, 1000, 1000)
				w.charge(a, b, 1+(1<<rng.IntN(20)), 0)
				w.charge(b, a, 1+(1<<rng.IntN(20)), 0)
			}
		}
	}
	w.announce(fst)
	f := w.g.Finder()
	proved, dearer := 0, 0
	for k := range 14 {
		r := ask(k, nodes-1-k, 100)
		free, err := f.Cheapest(r)
		if err != nil || !f.Proved() {
			t.Fatalf("without a bound on hops: %v, proved %v", err, f.Proved())
		}
		for hops := 5; hops < min(len(free.Hops), 8); hops++ {
			r.MaxHops = uint32(hops)
			q, err := f.Cheapest(r)
			said := f.Proved()
			s := f.begin(&r)
			end, ok := s.run(r.Amount, mode{bounded: true}) // whatever the effort
			switch {
			case err != nil && !ok:
			case err != nil || !ok:
				t.Errorf("%d hops: %v, and there is a route: %v", hops, err, ok)
			case said && q.Amounts[0] != s.labels[end].amount:
				t.Errorf("%d hops: %d is called the least, which is %d", hops, q.Amounts[0], s.labels[end].amount)
			case said:
				proved++
			case q.Amounts[0] > s.labels[end].amount:
				dearer++
			}
			a := f.Answer(&Query{Request: r})
			if err == nil && a.Proved != said {
				t.Errorf("%d hops: the answer says proved %v", hops, a.Proved)
			}
		}
	}
	t.Logf("%d proved, %d dearer than the least", proved, dearer)
	if proved == 0 || dearer == 0 {
		t.Error("too few to be a test")
	}
}
