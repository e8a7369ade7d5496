package sim

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"kula/money"
	"kula/node"
	"kula/wire"
)

// story is a scenario whose every crash point is tried: one payment from the first member to the last.
type story struct {
	name   string
	make   func() *World
	amount money.Amount
	paid   []money.Amount // balances if it was paid
}

func stories() []story {
	return []story{
		{"1", func() *World {
			w := NewWorld(1, "a", "b")
			w.Befriend(w.Members[1], w.Members[0], FST, 100, 0)
			return w
		}, 10, []money.Amount{-10, 10}},
		{"3", three, 15, []money.Amount{-20, 5, 15}},
		{"5", func() *World {
			w := chainOfFour(100)
			w.Charge(w.Members[1], w.Members[0], 1, 0)
			w.Charge(w.Members[2], w.Members[1], 1, 0)
			return w
		}, 10, []money.Amount{-12, 1, 1, 10}},
	}
}

// point is one place where a member dies.
type point struct {
	member, save int
	how          crash
}

func (p point) String() string {
	return fmt.Sprintf("member %d %s save %d", p.member, [...]string{"", "before", "after", "in the middle after"}[p.how], p.save)
}

// tellStory runs a story with the given crash points; form is what kind of payment it is.
func tellStory(s *story, form string, points ...point) (saves []int, err error) {
	w := s.make()
	w.verify, w.revive = false, 300
	start := make([]int, len(w.Members))
	for i, m := range w.Members {
		start[i] = m.saves
		m.crashes = map[int]crash{}
	}
	for _, p := range points {
		w.Members[p.member].crashes[start[p.member]+p.save] = p.how
	}
	payer, payee := w.Members[0], w.Members[len(w.Members)-1]
	begun := w.now
	fee := money.Amount(100)
	c := &node.Pay{MaxFee: &fee, GiveUp: 3000}
	begin := func() { payer.Do(c, nil) }
	if form == "push" {
		c.To, c.Value = payee.key, fst(s.amount)
		begin()
	} else {
		payee.Do(&node.CreateInvoice{Value: fst(s.amount), Expires: payee.clock()/1000 + 3000, Hold: form == "hold"}, func(r node.Reply) {
			if r.Err == nil {
				c.Invoice = r.Value.(*node.InvoiceView).URI
				begin()
			}
		})
	}
	for range 300 {
		w.Run(100)
		if payer.node == nil {
			continue
		}
		for _, v := range payer.node.Payments() {
			if id, e := wire.ParseID16(v.ID); e == nil && v.State == node.Held {
				payer.Do(&node.Release{ID: wire.PaymentID(id)}, nil)
			}
		}
		if w.now > begun+4000 && w.quiet() {
			break
		}
	}
	for i, m := range w.Members {
		saves = append(saves, m.saves-start[i])
		m.crashes = nil
		m.Start()
	}
	w.Run(2000)
	w.net.cutAll()
	w.End()
	if w.err == nil {
		total := make([]money.Amount, len(w.Members))
		none, all := true, true
		for i, m := range w.Members {
			total[i] = m.Balance(FST)
			none, all = none && total[i] == 0, all && total[i] == s.paid[i]
		}
		if !none && !all {
			w.fail("crash point", "balances are %v, want all 0 or %v", total, s.paid)
		}
		if all && len(points) == 0 {
			return saves, nil
		}
		if len(points) == 0 {
			w.fail("crash point", "without a crash: balances are %v, want %v", total, s.paid)
		}
	}
	return saves, w.err
}

// TestScenario09CrashPoints is scenario 9 for scenarios 1, 3 and 5: every crash point alone, and pairs of them.
func TestScenario09CrashPoints(t *testing.T) {
	for _, s := range stories() {
		for _, form := range []string{"invoice", "hold", "push"} {
			t.Run(s.name+"/"+form, func(t *testing.T) {
				saves, err := tellStory(&s, form)
				if err != nil {
					t.Fatal(err)
				}
				var points []point
				for m, n := range saves {
					for k := 1; k <= n; k++ {
						for _, how := range []crash{crashBefore, crashAfter, crashMiddle} {
							points = append(points, point{m, k, how})
						}
					}
				}
				var runs [][]point
				for i, p := range points {
					runs = append(runs, []point{p})
					for _, q := range points[:i] {
						if p.member != q.member || p.save != q.save {
							runs = append(runs, []point{p, q})
						}
					}
				}
				t.Logf("%d crash points, %d runs", len(points), len(runs))
				tryAll(t, &s, form, runs)
			})
		}
	}
}

func tryAll(t *testing.T, s *story, form string, runs [][]point) {
	var next, bad atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				i := int(next.Add(1) - 1)
				if i >= len(runs) || bad.Load() > 3 {
					return
				}
				if _, err := tellStory(s, form, runs[i]...); err != nil {
					bad.Add(1)
					t.Errorf("%v: %v", runs[i], err)
				}
			}
		})
	}
	wg.Wait()
}
