package route

import (
	"math/rand/v2"
	"testing"

	"kula/money"
)

// Rule R14: in parts UpTo gives as much as Search finds.
func TestMostIsWhatSearchFinds(t *testing.T) {
	most := func(t *testing.T, g *Graph, r Request) (sum money.Amount) {
		t.Helper()
		routes, err := g.Most(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range routes {
			sum += q.Arrives()
		}
		return sum
	}
	t.Run("two ways of 60 and a narrow channel", func(t *testing.T) {
		w := newWorld(t)
		w.link(1, 9, 1, 1) // the payee is a friend, of 1
		for _, m := range []int{2, 3} {
			w.link(1, m, 60, 60)
			w.link(m, 9, 60, 60)
		}
		w.announce(fst)
		r := ask(1, 9, 120)
		r.MaxParts = 2
		if _, err := w.g.Search(r); err != nil {
			t.Fatal(err)
		}
		if got := most(t, w.g, r); got != 120 {
			t.Errorf("at most %d in 2 parts; Search carries 120", got)
		}
	})
	for _, parts := range []uint32{2, 4, 8, 32} { // sixty people who are all friends of each other
		w := newWorld(t)
		rng := rand.New(rand.NewPCG(1, 2))
		for a := range 60 {
			for b := range 60 {
				if a != b {
					w.say(a, b, entryOf(fst, Coarse(money.Amount(1+rng.IntN(1000))), money.Fee{}))
				}
			}
		}
		r := ask(0, 1, 0)
		r.MaxParts = parts
		got := most(t, w.g, r)
		r.Amount = got + got/4
		if _, err := w.g.Search(r); err == nil {
			t.Errorf("at most %d in %d parts; Search carries %d", got, parts, r.Amount)
		}
	}
}
