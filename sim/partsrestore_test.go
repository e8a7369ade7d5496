package sim

import (
	"slices"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/pay"
	"kula/wire"
)

// A push waits for its friend to catch up when a copy of the home is made; it is paid, and the copy is put back. Once the friend
// has proved that this is an old copy, nobody knows whether the push was paid: it is not paid a second time.
func TestScenarioPartsOldCopyPaysPushOnce(t *testing.T) {
	w := NewWorld(31, "a", "b")
	a, b := w.Members[0], w.Members[1]
	w.Befriend(a, b, FST, 100, 100)
	a.config.NoIndex = "there is none"
	a.push(node.Indexes{None: a.config.NoIndex})
	w.Run(100)
	w.net.cut(w.net.live[pairOf(a, b)])
	w.until("a hears", func() bool { return !a.with(b).Online })
	w.net.connect(a, b)
	a.gathers(b, wire.KindHello, true)
	hello := a.inbox
	a.inbox = []node.Event{node.Do{ID: 1 << 40, Command: &node.Pay{To: b.key, Value: fst(10), GiveUp: 600_000}}}
	a.step()
	list := a.node.Payments()
	w.assert(len(list) == 1, "%d payments wait", len(list))
	copied := a.disk.clone()
	a.inbox = append(hello, a.inbox...)
	a.step()
	w.Run(3000)
	raw, _ := wire.ParseID16(list[0].ID)
	paid(w, a.Outcome(wire.PaymentID(raw)))
	w.Expect("paid", FST, -10, 10)
	w.comeBack(a, copied)
	w.net.cut(w.net.live[pairOf(a, b)]) // the line drops once
	w.Run(5000)
	w.Expect("not once more", FST, -10, 10)
	w.Must(a, &node.CancelPayment{ID: wire.PaymentID(raw)}) // its user has asked the payee
	finish(t, w)
}

// oneWayClosed is a payer with two ways of 60 to a payee. The index believes that both are open; the one without a fee is closed.
func oneWayClosed(seed uint64) (w *World, a, m1, m2, z *Member) {
	w = NewWorld(seed, "a", "m1", "m2", "z")
	a, m1, m2, z = w.Members[0], w.Members[1], w.Members[2], w.Members[3]
	for _, m := range []*Member{m1, m2} {
		w.Befriend(a, m, FST, 100, 200)
		w.Befriend(m, z, FST, 60, 100)
	}
	w.Charge(m2, a, 1, 0)
	w.index.lossy.forget = 1
	w.Must(z, &node.SetLimit{Friend: m1.key, Limit: fst(0)})
	w.Run(1000)
	return w, a, m1, m2, z
}

// The same where a part came back and another way is looked for.
func TestScenarioPartsOldCopyPaysPushOnceFar(t *testing.T) {
	w, a, _, _, z := oneWayClosed(32)
	id, v := w.Pay(a, &node.Pay{To: z.key, Value: fst(50), GiveUp: 600_000})
	w.index.lossy.dawdle = 1000
	w.assert(len(v.Parts) == 1, "locked as %+v", v)
	w.until("it came back", func() bool { o := a.Outcome(id); return o.State == node.Waiting && len(o.Parts) == 0 })
	copied := a.disk.clone()
	w.index.lossy.dawdle = 0
	w.Run(4000)
	paid(w, a.Outcome(id))
	w.Expect("paid", FST, -51, 0, 1, 50)
	w.comeBack(a, copied)
	w.Run(5000)
	w.assert(a.Outcome(id).State != node.Returned, "what was paid is %s: %+v", a.Outcome(id).State, a.Outcome(id).Reason)
	w.Expect("not once more", FST, -51, 0, 1, 50)
	w.Must(a, &node.CancelPayment{ID: id})
	finish(t, w)
}

// The payer's node comes back as an old copy that knows of a part which came back since, from a friend who is away; the part that
// took its place is opened. The friend returns and shows that it gave the first part up: that one is not paid too.
func TestScenarioPartsOldCopyPaysNoPartThatCameBack(t *testing.T) {
	w, a, m1, m2, z := oneWayClosed(33)
	i := w.Invoice(z, fst(50), false)
	s := w.net.live[pairOf(a, m1)]
	s.stall[1-s.other(a)] = true // the payer does not hear that its part comes back
	id, v := w.Pay(a, &node.Pay{Invoice: i.URI, GiveUp: 600_000})
	w.assert(len(v.Parts) == 1 && w.LockOn(a, m1) == 50, "locked as %+v", v)
	w.Run(500)
	copied := a.disk.clone()
	// it hears that now, and the friend does not hear what it answers
	w.net.cut(s)
	w.net.severed[pairOf(a, m1)] = w.now + 60_000
	w.until("both hear", func() bool { return !a.with(m1).Online && !m1.with(a).Online })
	w.net.tap = func(from, to *Member, msg wire.Message) {
		if _, ok := msg.(*wire.Hello); ok && from == a && to == m1 {
			s := w.net.live[pairOf(a, m1)]
			s.stall[s.other(a)] = true
		}
	}
	over := w.net.live[pairOf(a, m2)]
	w.net.severed[pairOf(a, m1)] = 0
	w.net.connect(a, m1)
	w.until("it takes the other way", func() bool { return w.LockOn(a, m2) == 51 })
	over.stall[1-over.other(a)] = true // the reveal is lost
	w.until("the payee opens", func() bool { return z.Balance(FST) == 50 })
	a.Crash()
	w.net.tap = nil
	a.putBack(copied)
	w.net.severed[pairOf(a, m1)] = w.now + 60_000
	if s := w.net.live[pairOf(a, m1)]; s != nil {
		w.net.cut(s)
	}
	a.Start()
	w.Run(45_000)
	paid(w, a.Outcome(id))
	w.net.severed[pairOf(a, m1)] = 0
	w.Run(30_000)
	w.Expect("paid once", FST, -51, 0, 1, 50)
	finish(t, w)
}

// A search that an old copy began before its friends told it what it was is answered when the parts that they showed stand, and one
// of them has come back: it is too late for all that it was asked for.
func TestScenarioPartsLateAnswerLocksNoMore(t *testing.T) {
	w := NewWorld(41, "a", "m1", "m3", "m4", "c", "z")
	a, m1, m3, m4, c, z := w.Members[0], w.Members[1], w.Members[2], w.Members[3], w.Members[4], w.Members[5]
	for i, m := range []*Member{m1, m3, m4, c} {
		w.Befriend(a, m, FST, 100, 300)
		w.Befriend(m, z, FST, 60, []money.Amount{100, 60, 60, 300}[i])
		w.Charge(m, a, []money.Amount{0, 1, 1, 10}[i], 0)
	}
	w.index.lossy.forget = 1
	w.Must(z, &node.SetLimit{Friend: m1.key, Limit: fst(0)})
	w.Run(1000)
	i := w.Invoice(z, fst(100), false)
	w.index.lossy.dawdle = 1000
	id, v := w.Pay(a, &node.Pay{Invoice: i.URI, GiveUp: 600_000})
	w.assert(len(v.Parts) == 1 && len(v.Parts[0].Hops) == 2, "locked as %+v", v)
	w.until("it came back", func() bool { o := a.Outcome(id); return o.State == node.Waiting && len(o.Parts) == 0 })
	copied := a.disk.clone()
	// m4 lies: it keeps its part and says nothing, so that the payee has one of two
	m4.liar = newLiar(m4)
	sz := w.net.live[pairOf(m4, z)]
	sz.stall[sz.other(m4)] = true
	w.index.lossy.dawdle = 0
	w.until("it takes two ways", func() bool { return w.LockOn(a, m3) > 0 && w.LockOn(a, m4) > 0 })
	w.Run(500)
	w.assert(w.LockOn(a, m3)+w.LockOn(a, m4) == 102 && w.LockOn(a, c) == 0, "%d and %d are locked", w.LockOn(a, m3), w.LockOn(a, m4))
	a.Crash()
	a.putBack(copied)
	for _, m := range []*Member{m1, m3, m4} {
		w.net.severed[pairOf(a, m)] = w.now + 600_000
	}
	a.Start()
	answer := func(what string) (late node.Event) {
		w.until(what, func() bool {
			a.due = true
			if k := slices.IndexFunc(a.inbox, func(e node.Event) bool { _, ok := e.(node.Answered); return ok }); k >= 0 {
				late = a.inbox[k]
				a.inbox = slices.Delete(a.inbox, k, k+1)
				return true
			}
			if len(a.inbox) > 0 {
				a.step()
				a.due = true
			}
			return false
		})
		a.due = false
		return late
	}
	w.Run(29_000) // an old copy asks nobody before that, unless all friends have come
	first := answer("it asks while it knows one friend")
	if ans, ok := first.(node.Answered); ok {
		w.assert(ans.Answer != nil && len(ans.Answer.Routes) == 1, "the answer is %+v", ans.Answer)
	}
	for _, m := range []*Member{m1, m3, m4} {
		w.net.severed[pairOf(a, m)] = 0
		w.net.connect(a, m)
	}
	a.push(node.Tick{})
	w.Run(10_000)
	w.assert(w.LockOn(a, m3)+w.LockOn(a, m4) == 102 && w.LockOn(a, c) == 0, "after the restore %d and %d are locked: %+v", w.LockOn(a, m3), w.LockOn(a, m4), a.Outcome(id))
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	m4.liar.cancel(LieLateCancel, a, a.openLocks(m4)[0].Number)
	second := answer("it asks again")
	a.push(first)
	a.push(second)
	z.liar = newLiar(z) // it takes all that there is
	w.until("two ways lead to the payee", func() bool {
		z.due = true
		return w.LockOn(c, z) > 0 || z.Balance(FST) > 0
	})
	w.assert(w.LockOn(a, m3)+w.LockOn(a, c) <= 111, "%d and %d are locked for 100", w.LockOn(a, m3), w.LockOn(a, c))
	over := w.Err()
	w.err = nil
	if over != nil {
		t.Error(over)
	}
	opens := []ident.Preimage{z.keys.Preimage(z.saltOf(i))}
	for _, m := range []*Member{m3, c} {
		for _, l := range m.openLocks(z) {
			z.inject(m, &wire.Reveal{Number: l.Number, Preimages: opens})
		}
	}
	w.Run(2000)
	w.assert(a.Balance(FST) >= -111, "it has paid %d for 100: %+v", -a.Balance(FST), a.Outcome(id).Parts)
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

// saltOf is what the preimage of an invoice of m's comes from.
func (m *Member) saltOf(v *node.InvoiceView) ident.Salt {
	_, s, err := pay.ReadInvoiceLink(v.URI)
	if err != nil {
		panic(err)
	}
	return s.Salt
}

// A mediator passes the payee's reveal on without its receipt; the other part brings it.
func TestScenarioPartsReceiptOfAnotherPart(t *testing.T) {
	w, a, z, m := threeWays(5)
	m[0].liar = newLiar(m[0])
	m[0].liar.edit = func(to *Member, msg wire.Message) wire.Message {
		if r, ok := msg.(*wire.Reveal); ok {
			bare := *r
			bare.Note = nil
			return &bare
		}
		return msg
	}
	id, v := w.Pay(a, &node.Pay{To: z.key, Value: fst(100)})
	w.assert(len(v.Parts) == 2, "locked as %+v", v)
	w.until("all have arrived", func() bool {
		return slices.ContainsFunc(w.watch.pays[id], func(x *attempt) bool { return x.released > 0 })
	})
	brought := false
	w.net.tap = func(from, to *Member, msg wire.Message) {
		if r, ok := msg.(*wire.Reveal); ok && from == m[1] && to == a {
			brought = len(r.Note) > 0
		}
	}
	m[1].due = true // it does not act for a moment
	w.Run(100)
	m[1].due = false
	m[1].push(node.Tick{})
	w.Run(3000)
	paid(w, a.Outcome(id))
	w.assert(brought, "the other part brings none")
	w.assert(a.Outcome(id).Receipt != "", "the payer has no receipt, which came with the part through %s", m[1])
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

// An index server answers the question for a route that the user named with another one.
func TestScenarioPartsNamedRouteIsKept(t *testing.T) {
	w, a, z, m := threeWays(6)
	var want node.Answered
	w.index.lossy.dawdle = 1000
	a.Do(&node.Pay{To: z.key, Value: fst(50), Route: []string{m[2].key, z.key}, MaxFee: new(money.Amount(10)), GiveUp: 5000}, nil)
	w.until("the index answers", func() bool {
		for _, e := range a.inbox {
			if ans, ok := e.(node.Answered); ok {
				want = ans
				return true
			}
		}
		if len(a.inbox) > 0 {
			a.step()
		}
		a.due = true
		return false
	})
	w.assert(want.Answer != nil && len(want.Answer.Routes) == 1, "the answer is %+v", want.Answer)
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	want.Answer.Routes[0].Hops[0] = m[0].id
	a.due = false
	a.push(node.Tick{})
	w.Run(3000)
	w.Expect("not paid another way than the user said", FST, 0, 0, 0, 0, 0)
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

// A payer restored from its phrase learns from one friend that its payment was paid, and later another shows a part of it and gives
// that back: the payment stays paid, with its receipt, and is not begun again.
func TestScenarioPartsRestoredPaidStaysPaid(t *testing.T) {
	w, a, z, m := threeWays(7)
	paid(w, w.PayInvoice(a, m[0], 1))
	paid(w, w.PayInvoice(a, m[1], 1))
	paid(w, w.PayInvoice(a, m[2], 1))
	a.Crash()
	a.Start()
	w.Run(3000)
	i := w.Invoice(z, fst(100), true)
	id, v := w.Pay(a, &node.Pay{Invoice: i.URI})
	w.assert(len(v.Parts) == 2, "locked as %+v", v)
	w.Run(2000)
	r, _ := w.Must(a, &node.Release{ID: id}).(*node.PaymentView)
	a.Crash()
	for _, x := range m {
		w.net.severed[pairOf(a, x)] = w.now + 600_000
	}
	w.Must(z, &node.Redeem{Link: r.Release})
	w.Run(1000)
	over := m[0]
	for _, x := range m[1:] {
		if len(a.openLocks(x)) > 0 {
			over = x
		}
	}
	over.liar = newLiar(over)
	over.liar.silent = w.now + 600_000
	a.putBack(nil)
	for _, x := range m {
		if x != over {
			w.net.severed[pairOf(a, x)] = 0
		}
	}
	a.Start()
	w.Run(45_000)
	paid(w, a.Outcome(id))
	w.assert(a.Outcome(id).Receipt != "", "no receipt")
	w.net.severed[pairOf(a, over)] = 0
	w.Run(10_000)
	if l := a.openLocks(over); len(l) > 0 {
		over.liar.cancel(LieLateCancel, a, l[0].Number)
	}
	w.Run(3000)
	o := a.Outcome(id)
	w.assert(o.State == node.Paid && o.Receipt != "", "it is %s %+v, receipt %q", o.State, o.Reason, o.Receipt)
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

// Which of two incoming locks of one part came first is known after a restart too (rule S5, spec P-20).
func TestScenarioPartsRestartKnowsTheDuplicate(t *testing.T) {
	w := NewWorld(3, "p", "b", "c", "q")
	a, b, c, g := w.Members[0], w.Members[1], w.Members[2], w.Members[3]
	if a.key < g.key { // records are read in the order of keys
		a, g = g, a
	}
	w.Befriend(a, b, FST, 200, 100)
	w.Befriend(g, b, FST, 200, 100)
	w.Befriend(b, c, FST, 300, 400)
	w.Charge(b, a, 5, 0)
	i := w.Invoice(c, fst(15), true)
	w.Pay(a, &node.Pay{Invoice: i.URI, Route: []string{b.key, c.key}})
	w.Run(2000)
	g.liar = newLiar(g)
	k := a.openLocks(b)[0]
	k.Number, k.Amount = 0, 1
	g.inject(b, g.stepLock(b, k))
	g.deafen(b)
	w.Run(500)
	b.compareRestart()
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

// An answer that comes when the time is over in which the user lets other ways be tried begins nothing.
func TestScenarioPartsAnswerAfterGiveUp(t *testing.T) {
	w, a, _, _, z := oneWayClosed(34)
	id, v := w.Pay(a, &node.Pay{To: z.key, Value: fst(50), GiveUp: 1000})
	w.index.lossy.dawdle = 20_000
	w.assert(len(v.Parts) == 1, "locked as %+v", v)
	w.until("it came back", func() bool { o := a.Outcome(id); return o.State == node.Waiting && len(o.Parts) == 0 })
	w.Run(25_000)
	o := a.Outcome(id)
	w.assert(o.State == node.Returned, "given up after 1 s, and %s %d ms after it began", o.State, o.PaidAt-o.Created)
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

// A payee opens an invoice in two parts, gets one, and comes back as an old copy that knows the invoice as open; then it gets the
// other. The invoice has been paid: nobody else can pay it (spec P-22, rule S7).
func TestScenarioPartsOldCopyPaidInParts(t *testing.T) {
	w := NewWorld(35, "a", "m1", "m2", "two", "z")
	a, m1, m2, two, z := w.Members[0], w.Members[1], w.Members[2], w.Members[3], w.Members[4]
	for _, m := range []*Member{m1, m2} {
		w.Befriend(a, m, FST, 100, 200)
		w.Befriend(m, z, FST, 60, 60)
	}
	w.Befriend(two, z, FST, 500, 500)
	i := w.Invoice(z, fst(100), false)
	w.Run(500)
	copied := z.disk.clone()
	a.Do(&node.Pay{Invoice: i.URI, MaxFee: new(money.Amount(5)), GiveUp: 5000}, nil)
	w.until("the part is there", func() bool { return lockedBy(m2, z) })
	s := w.net.live[pairOf(m2, z)]
	s.stall[s.other(z)] = true // this mediator hears neither the payee nor, for a while, the payer, who has opened it
	w.Cut(a, m2, 30_000)
	w.until("the payee has the other part", func() bool { return z.Balance(FST) > 0 })
	w.Run(200)
	first := z.Balance(FST)
	w.assert(first < 100 && a.Balance(FST) < 0, "the payee has %d, the payer %d", first, a.Balance(FST))
	w.comeBack(z, copied)
	w.assert(z.Balance(FST) == 100, "the payee has %d", z.Balance(FST))
	o := w.pays(two, i)
	w.assert(o.State == node.Returned, "an invoice of 100 that was paid is %s once more; the payee has %d", o.State, z.Balance(FST))
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

// A payment that was asked for while a restore waits for others begins when the restore is over.
func TestScenarioPartsPaysWhenRestored(t *testing.T) {
	w, a, b, away := shop()
	copied := a.disk.clone()
	paid(w, w.PayInvoice(a, b, 3)) // the copy does not know of it
	a.Crash()
	a.putBack(copied)
	w.net.severed[pairOf(a, away)] = w.now + 600_000
	a.Start()
	w.Run(5000)
	id, v := w.Pay(a, &node.Pay{To: b.key, Value: fst(10), GiveUp: 300_000})
	w.assert(v.State == node.Waiting, "it is %+v", v)
	w.Run(60_000)
	w.assert(a.with(b).Ready, "the friend shows %+v", a.with(b))
	paid(w, a.Outcome(id))
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

// A friend leaves while an index is asked, and the answer goes through it: another way is looked for.
func TestScenarioPartsFriendLeavesWhileAsked(t *testing.T) {
	w, a, z, m := threeWays(9)
	w.index.lossy.dawdle = 4000
	var v *node.PaymentView
	a.Do(&node.Pay{To: z.key, Value: fst(100), MaxFee: new(money.Amount(20)), GiveUp: 30_000}, func(r node.Reply) { v, _ = r.Value.(*node.PaymentView) })
	w.Run(10)
	w.Cut(a, m[0], 600_000)
	w.Run(20_000)
	w.assert(v != nil, "nothing is decided")
	raw, _ := wire.ParseID16(v.ID)
	paid(w, a.Outcome(wire.PaymentID(raw)))
	if w.Err() != nil {
		t.Fatalf("%v: %+v", w.Err(), a.Outcome(wire.PaymentID(raw)).Reason)
	}
}
