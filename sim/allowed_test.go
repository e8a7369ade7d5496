package sim

import (
	"testing"

	"kula/money"
	"kula/node"
	"kula/route"
	"kula/wire"
)

// What a user allows a payment, and what it may tell of itself while it looks for a way.

// A question to an index says of the payer's own channels what the payment may need, and all only where that is not enough.
func TestScenarioPartsQuestionSaysNoMore(t *testing.T) {
	w, a, z, m := threeWays(40)
	var asked []route.Request
	w.index.asked = func(q *route.Query) { asked = append(asked, q.Request) }
	most := func(r route.Request) (can money.Amount) {
		for _, o := range r.Own {
			can = max(can, o.CanPay)
		}
		return can
	}
	id, _ := w.Pay(a, &node.Pay{To: z.key, Value: fst(20), MaxFee: new(money.Amount(5))})
	w.Run(2000)
	paid(w, a.Outcome(id))
	w.assert(len(asked) == 1 && most(asked[0]) == 40, "the questions are %+v", asked)
	asked = nil
	for _, m := range m {
		w.Charge(m, a, 30, 0)
	}
	r := w.Try(a, &node.Pay{To: z.key, Value: fst(10), GiveUp: 5000})
	v, ok := r.Value.(*node.PaymentView)
	w.assert(ok && v.Reason != nil && v.Reason.Code == wire.FeeNeedsConsent && v.Reason.Fee != nil && v.Reason.Fee.Amount == 30, "%+v", v)
	w.assert(len(asked) == 2 && most(asked[0]) == 20 && most(asked[1]) == 100, "the questions are %+v", asked)
	finish(t, w)
}

// What a failure said of a channel serves other payments for a minute, and no longer.
func TestScenarioPartsLearnedForAMinute(t *testing.T) {
	w, a, m1, _, z := oneWayClosed(41)
	fee := func() money.Amount {
		id, _ := w.Pay(a, &node.Pay{To: z.key, Value: fst(5), MaxFee: new(money.Amount(3))})
		w.Run(2000)
		v := a.Outcome(id)
		paid(w, v)
		w.assert(len(w.watch.pays[id]) == len(v.Parts) || v.Fee.Amount == 1, "%d tries", len(w.watch.pays[id]))
		return v.Fee.Amount
	}
	w.assert(fee() == 1, "the way without a fee is closed")
	w.Must(z, &node.SetLimit{Friend: m1.key, Limit: fst(60)})
	w.Run(1000)
	w.assert(fee() == 1, "it has forgotten at once")
	w.Run(60_000)
	w.assert(fee() == 0, "it still believes that the way is closed")
	finish(t, w)
}

// A part that comes back after the payee has acknowledged all of them is not tried again: the payee may have it, and the payer may have told it to open (spec P-55).
func TestScenarioPartsNotAgainOnceArrived(t *testing.T) {
	w := NewWorld(42, "a", "m1", "m2", "z")
	a, m1, m2, z := w.Members[0], w.Members[1], w.Members[2], w.Members[3]
	for _, m := range []*Member{m1, m2} {
		w.Befriend(a, m, FST, 100, 200)
		w.Befriend(m, z, FST, 60, 100)
	}
	w.Charge(m2, a, 1, 0)
	id, _ := w.Hold(a, z, 50)
	w.assert(w.LockOn(a, m1) == 50, "locked elsewhere: %+v", a.Outcome(id))
	m1.liar = newLiar(m1)
	m1.liar.cancel(LieLateCancel, a, a.openLocks(m1)[0].Number)
	w.Run(3000)
	v := a.Outcome(id)
	w.assert(v.State == node.Returned && len(w.watch.pays[id]) == 1, "%s after %d tries: %+v", v.State, len(w.watch.pays[id]), v.Reason)
	passed(t, w)
}

// A part that is queued when another turns out to be impossible is taken back before anybody hears of it (spec P-57).
func TestScenarioPartsQueuedIsTakenBack(t *testing.T) {
	for shut := range 2 { // the first or the second of two
		w, a, z, m := threeWays(43)
		var v *node.PaymentView
		w.index.lossy.dawdle = 3000
		a.Do(&node.Pay{To: z.key, Value: fst(100), MaxFee: new(money.Amount(5)), GiveUp: 1}, func(r node.Reply) { v, _ = r.Value.(*node.PaymentView) })
		w.Run(10)
		w.Must(m[shut], &node.SetLimit{Friend: a.key, Limit: fst(0)})
		w.until("it is answered", func() bool { return v != nil })
		w.assert(v.State == node.Returned && v.Reason.Code == wire.LimitReached, "%s %+v", v.State, v.Reason)
		for _, m := range m {
			w.assert(len(w.watch.ledger(a.id, m.id).order) == 0, "%s has heard of a part", m)
		}
		finish(t, w)
	}
}

// A payment is tried sixteen times, however much time its user gives it.
func TestScenarioPartsSixteenTries(t *testing.T) {
	names := []string{"a", "z"}
	for range 20 {
		names = append(names, "m")
	}
	w := NewWorld(44, names...)
	a, z := w.Members[0], w.Members[1]
	for _, m := range w.Members[2:] {
		w.Befriend(a, m, FST, 100, 200)
		w.Befriend(m, z, FST, 60, 100)
	}
	w.index.lossy.forget = 1
	for _, m := range w.Members[2:] {
		w.Must(z, &node.SetLimit{Friend: m.key, Limit: fst(0)})
	}
	w.Run(1000)
	id, _ := w.Pay(a, &node.Pay{To: z.key, Value: fst(50), GiveUp: 600_000})
	w.Run(20_000)
	v := a.Outcome(id)
	w.assert(v.State == node.Returned && len(w.watch.tries) == 16, "%s after %d tries: %+v", v.State, len(w.watch.tries), v.Reason)
	finish(t, w)
}

// A payer restored from its phrase finds one part of two; the other had come back. It gives that one up too.
func TestScenarioPartsTooLittleIsGivenUp(t *testing.T) {
	w, a, z, m := threeWays(45)
	a.Crash()
	a.Start()
	w.Run(5000) // by now each friend keeps the heads that name the others
	w.index.lossy.forget = 1
	w.Must(z, &node.SetLimit{Friend: m[1].key, Limit: fst(0)})
	w.Must(z, &node.SetLimit{Friend: m[2].key, Limit: fst(0)})
	w.Run(1000)
	i := w.Invoice(z, fst(100), true)
	var id wire.PaymentID
	a.Do(&node.Pay{Invoice: i.URI, MaxFee: new(money.Amount(20)), GiveUp: 600_000}, func(r node.Reply) {
		raw, _ := wire.ParseID16(r.Value.(*node.PaymentView).ID)
		id = wire.PaymentID(raw)
	})
	w.until("one part stands, the other came back", func() bool {
		return id != (wire.PaymentID{}) && w.LockOn(m[0], z) > 0 && w.LockOn(a, m[1]) == 0 && len(w.watch.pays[id]) > 0 && len(w.watch.ledger(a.id, m[1].id).order) > 0
	})
	a.Crash()
	a.putBack(nil)
	a.Start()
	w.Run(60_000)
	v := a.Outcome(id)
	w.assert(v.State == node.Returned, "%s: %+v", v.State, v.Reason)
	w.Expect("nothing was paid", FST, 0, 0, 0, 0, 0)
	finish(t, w)
}

// Parts belong together only if they say the same of their payment (spec P-54).
func TestScenarioPartsThatDiffer(t *testing.T) {
	const other money.Currency = "HOUR/2"
	for what, change := range map[string]func(*Letter) money.Currency{
		"currency": func(k *Letter) money.Currency { k.Box.Currency = other; return other },
		"total":    func(k *Letter) money.Currency { k.Box.Total = 3; return FST },
		"form":     func(k *Letter) money.Currency { k.Box.Form = wire.FormHold; return FST },
		"nothing":  func(*Letter) money.Currency { return FST },
	} {
		w := NewWorld(46, "l", "z")
		l, z := w.Members[0], w.Members[1]
		w.Befriend(z, l, FST, 100, 0)
		w.Befriend(z, l, other, 100, 0)
		l.liar = newLiar(l)
		l.deafen(z)
		k := l.liar.letter(z, FST)
		k.Box.Total = 2
		send := func(cur money.Currency) {
			lock := l.write(k, cur)
			lock.Number = l.nextLock(z)
			w.assert(l.inject(z, l.stepLock(z, lock)), "not sent")
			w.Run(50)
		}
		send(FST)
		k.Part[0] ^= 1
		send(change(&k))
		var kept int
		for _, t := range w.watch.ledger(l.id, z.id).locks {
			if !t.cancel {
				kept++
			}
		}
		if want := map[bool]int{true: 2, false: 1}[what == "nothing"]; w.Err() == nil && kept != want {
			t.Errorf("another %s: %d parts are kept, want %d", what, kept, want)
		}
		passed(t, w)
	}
}

// A payment waits for the friend that does not confirm it, not for the payee who has not heard of it.
func TestScenarioWaitsForWhomItWasHandedTo(t *testing.T) {
	w := three()
	a, b, c := w.Members[0], w.Members[1], w.Members[2]
	s := w.net.live[pairOf(a, b)]
	s.stall[s.other(a)] = true
	id, _ := w.Pay(a, &node.Pay{To: c.key, Value: fst(15), GiveUp: 60_000})
	w.Run(1000)
	v := a.Outcome(id)
	w.assert(v.State == node.Waiting && v.Waiting.For == b.name, "%s for %+v", v.State, v.Waiting)
	w.net.cut(s)
	w.Run(5000)
	paid(w, a.Outcome(id))
	finish(t, w)
}
