package sim

import (
	"slices"
	"testing"

	"kula/money"
	"kula/node"
	"kula/wire"
)

// threeWays is a payer with three ways of 60 to a payee: two for 1, one for 4.
func threeWays(seed uint64) (w *World, a, z *Member, m [3]*Member) {
	w = NewWorld(seed, "a", "m1", "m2", "m3", "z")
	a, z, m = w.Members[0], w.Members[4], [3]*Member(w.Members[1:4])
	for i, fee := range []money.Amount{1, 1, 4} {
		w.Befriend(a, m[i], FST, 100, 100)
		w.Befriend(m[i], z, FST, 60, 60)
		w.Charge(m[i], a, fee, 0)
	}
	return w, a, z, m
}

func TestScenarioPartsSum(t *testing.T) {
	for _, invoice := range []bool{true, false} {
		w, a, z, _ := threeWays(1)
		c := &node.Pay{To: z.key, Value: fst(100)}
		if invoice {
			c = &node.Pay{Invoice: w.Invoice(z, fst(100), false).URI}
		}
		id, v := w.Pay(a, c)
		w.assert(len(v.Parts) == 2 && v.Fee.Amount == 2, "locked as %+v", v)
		w.Run(3000)
		paid(w, a.Outcome(id))
		w.Expect("paid in two parts", FST, -102, 1, 1, 0, 100)
		finish(t, w)
	}
}

// A part that comes back on a stale figure is tried elsewhere, as far as the fees of all parts together allow.
func TestScenarioPartsReplaced(t *testing.T) {
	for _, most := range []money.Amount{4, 5} {
		w, a, z, m := threeWays(2)
		w.index.lossy.forget = 1
		w.Must(z, &node.SetLimit{Friend: m[1].key, Limit: fst(5)})
		w.Run(1000)
		id, v := w.Pay(a, &node.Pay{To: z.key, Value: fst(100), MaxFee: &most})
		w.assert(len(v.Parts) == 2 && v.Fee.Amount == 2, "locked as %+v", v)
		w.Run(4000)
		if v = a.Outcome(id); most == 5 {
			paid(w, v)
			w.Expect("the part went through the dear one", FST, -105, 1, 0, 4, 100)
		} else {
			w.assert(v.State == node.Returned && v.Reason != nil && v.Reason.Code == wire.FeeAboveMax, "with %d for fees: %+v", most, v)
			w.Expect("all came back", FST, 0, 0, 0, 0, 0)
		}
		finish(t, w)
	}
}

// A user who changes their mind gets all parts back; so does one who allows one part only.
func TestScenarioPartsCancelled(t *testing.T) {
	w, a, z, _ := threeWays(3)
	i := w.Invoice(z, fst(150), true)
	id, v := w.Pay(a, &node.Pay{Invoice: i.URI})
	w.assert(len(v.Parts) == 3, "locked as %+v", v)
	w.Run(2000)
	w.assert(a.Outcome(id).State == node.Held, "it is %+v", a.Outcome(id))
	w.Must(a, &node.CancelPayment{ID: id})
	w.Run(3000)
	w.assert(a.Outcome(id).State == node.Returned, "it is %+v", a.Outcome(id))
	r := w.Try(a, &node.Pay{To: z.key, Value: fst(100), MaxParts: 1, GiveUp: 1000})
	one, ok := r.Value.(*node.PaymentView)
	w.assert(ok && one.State == node.Returned, "in one part: %+v", r)
	w.Expect("nothing was paid", FST, 0, 0, 0, 0, 0)
	finish(t, w)
}

// A payee opens a push in the Step in which a friend's hello comes, to whom it then says again what it knows: the payer gets its
// receipt also with that (spec P-41).
func TestScenarioPartsReceiptAfterHello(t *testing.T) {
	w, a, z, m := threeWays(4)
	id, _ := w.Pay(a, &node.Pay{To: z.key, Value: fst(100)})
	w.until("it is released", func() bool {
		return slices.ContainsFunc(w.watch.pays[id], func(x *attempt) bool { return x.released > 0 })
	})
	first, over := m[0], m[1]
	z.gathers(first, wire.KindOnward, false)
	order := z.inbox
	z.inbox, z.due = nil, false
	w.net.cut(w.net.live[pairOf(over, z)])
	w.until("the payee hears", func() bool { return !z.with(over).Online })
	w.net.severed[pairOf(over, z)] = 0
	w.net.connect(over, z)
	z.gathers(over, wire.KindHello, true)
	z.inbox = append(order, z.inbox...)
	w.Cut(a, first, 2000) // so the payer hears it from the other
	z.step()
	w.until("it is paid", func() bool { return a.Outcome(id).State == node.Paid })
	w.assert(a.Outcome(id).Receipt != "", "no receipt")
	finish(t, w)
}
