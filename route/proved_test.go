package route

import (
	"math/rand/v2"
	"strings"
	"testing"

	"kula/money"
	"kula/wire"
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

// R20: any route is one that adds up, within the fee that was named; there is one exactly if there is a cheapest.
func TestAnyQuery(t *testing.T) {
	w := newWorld(t)
	for x := 1; x < 40; x++ {
		w.link(x-1, x, 1000, 1000)
		w.charge(x, x-1, 7, 0)
		if x > 3 {
			w.link(x-4, x, 500, 500)
			w.charge(x, x-4, 20, 0)
		}
	}
	w.announce(fst)
	f := w.g.Finder()
	found := 0
	for to := 1; to < 40; to++ {
		for _, amount := range []money.Amount{10, 600, 1001} {
			r := ask(0, to, amount)
			a := f.Answer(&Query{Request: r, Any: true})
			best, err := f.Cheapest(r)
			if (a.Code == wire.CodeNone) != (err == nil) {
				t.Fatalf("%d to %d: any %s, cheapest %v", amount, to, a.Code, err)
			}
			if err != nil {
				continue
			}
			found++
			if err := r.CheckRoutes(a.Routes); err != nil || a.Proved {
				t.Errorf("%d to %d: proved %v, %v", amount, to, a.Proved, err)
			}
			if best.Fee == 0 {
				continue
			}
			r.MaxFee = best.Fee - 1
			if a := f.Answer(&Query{Request: r, Any: true}); a.Outcome() != OutcomeFeeAboveMax || a.Proved || a.Fee < best.Fee {
				t.Errorf("%d to %d within less than is needed: %s, fee %d, proved %v", amount, to, a.Code, a.Fee, a.Proved)
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d routes", found)
	}
	r := ask(0, 1, 1501) // more than any one route carries
	r.MaxParts = 8
	if a := f.Answer(&Query{Request: r, Any: true}); a.Code != wire.NoRoute || strings.Contains(a.Text, "up to") {
		t.Errorf("one route was asked for, the answer is %s: %s", a.Code, a.Text)
	}
	for _, q := range []Query{{Any: true, UpTo: true}, {Any: true, Hops: ids(1)}} {
		q.Request = ask(0, 1, 1)
		if _, err := DecodeMessage(EncodeMessage(&q)); err == nil {
			t.Errorf("two kinds of question in one: %+v", q)
		}
	}
}
