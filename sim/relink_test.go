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

// A mediator on an old copy goes on with the payee while the payer, which has shown what it holds, is away. When the
// payer comes back it shows it again: the part still belongs to the lock that stands with the payee, and is not given back.
func TestScenario15ShownTwice(t *testing.T) {
	for _, revealed := range []bool{false, true} {
		w := three()
		a, b, c := w.Members[0], w.Members[1], w.Members[2]
		copied := b.disk.clone()
		id, _ := w.Hold(a, c, 15)
		c.Crash()
		b.Crash()
		b.putBack(copied)
		b.Start()
		w.until("the payer has shown what it holds", func() bool { w.Run(50); return lockedBy(a, b) })
		w.Cut(a, b, 60_000)
		c.Start()
		w.Run(35_000)
		w.assert(w.LockOn(b, c) == 15, "b has locked %d", w.LockOn(b, c))
		if revealed {
			v, _ := w.Must(a, &node.Release{ID: id}).(*node.PaymentView)
			w.Must(c, &node.Redeem{Link: v.Release})
			w.Run(2000)
			w.assert(c.Balance(FST) == 15, "the payee has %d", c.Balance(FST))
		}
		w.net.severed[pairOf(a, b)] = 0
		w.Run(5000)
		if !revealed {
			w.assert(a.Outcome(id).State == node.Held && w.LockOn(b, c) == 15, "after the restore: %+v, %d locked", a.Outcome(id), w.LockOn(b, c))
			w.Must(a, &node.Release{ID: id})
			w.Run(2000)
		}
		paid(w, a.Outcome(id))
		w.Expect("paid", FST, -20, 5, 15)
		finish(t, w)
	}
}

// lockedBy says whether o's view shows a lock of m's.
func lockedBy(m, o *Member) bool { return currencyOf(o.with(m), FST).LockedByThem.Amount > 0 }

// opens says whether to has shown the preimages of a lock of m's.
func (w *World) opens(m, to *Member) bool {
	for _, l := range w.watch.ledger(m.id, to.id).locks {
		if l.passed {
			return true
		}
	}
	return false
}

// A payer restored from its phrase is asked to pay an invoice again while it still waits for a friend who is away: that
// is the payment for which an amount is set aside already, and nothing is tried beside it.
func TestScenario15PaidWhileRestored(t *testing.T) {
	w, payer, away, payee := shop()
	payer.Crash()
	payer.Start()
	w.Run(5000) // by now each friend keeps the heads that name the other
	id, i := w.Hold(payer, payee, 10)
	away.Crash()
	payer.Crash()
	payer.putBack(nil)
	payer.Start()
	w.until("the payee has shown what it holds", func() bool { return lockedBy(payer, payee) && payer.with(payee) != nil })
	payer.Do(&node.Pay{Invoice: i.URI, MaxFee: new(money.Amount(5)), GiveUp: 60_000}, nil)
	w.Run(40_000)
	away.Start()
	w.Run(5000)
	w.assert(payer.Outcome(id).State == node.Held && w.LockOn(payer, payee) == 10, "after the restore: %+v, %d locked", payer.Outcome(id), w.LockOn(payer, payee))
	w.Must(payer, &node.Release{ID: id})
	w.Run(2000)
	paid(w, payer.Outcome(id))
	w.Expect("paid", FST, -10, 0, 10)
	finish(t, w)
}

// A payee learns from one friend that it is an old copy, and so asks the other, which shows what it holds together with
// the word that opens a payment: what is revealed in that Step stays revealed.
func TestScenario15RevealedAsShown(t *testing.T) {
	w, payee, one, two := shop()
	copied := payee.disk.clone()
	paid(w, w.PayInvoice(two, payee, 3)) // the copy does not know of it
	s := w.net.live[pairOf(payee, one)]
	s.stall[1-s.other(payee)] = true
	id, _ := w.Pay(one, &node.Pay{To: payee.key, Value: fst(10)}) // the payee hears of it only after it came back
	payee.Crash()
	payee.putBack(copied)
	w.Cut(payee, two, 0)
	w.net.severed[pairOf(payee, two)] = w.now + 60_000
	payee.Start()
	w.until("the amount is locked", func() bool { return lockedBy(one, payee) && !one.due })
	one.pause(func() {
		w.net.severed[pairOf(payee, two)] = 0
		w.Run(2000)
	})
	w.until("nothing is to be done", func() bool { return !payee.due })
	payee.pause(func() { w.Run(100) })
	w.Run(40_000)
	paid(w, one.Outcome(id))
	w.Expect("paid", FST, 13, -10, -3)
	finish(t, w)
}

// pause lets something happen of which the member notices all in one Step.
func (m *Member) pause(happen func()) {
	m.due = true
	happen()
	m.step()
}

// A mediator passes a reveal on and dies before it has saved it; the payee comes back as an old copy, which has forgotten
// the reveal. The mediator was paid, so it pays on (spec P-53).
func TestScenario15RevealForgotten(t *testing.T) {
	w := three()
	a, b, c := w.Members[0], w.Members[1], w.Members[2]
	id, _ := w.Hold(a, c, 15)
	copied := c.disk.clone()
	s := w.net.live[pairOf(a, b)]
	s.stall[1-s.other(b)] = true // the mediator does not hear the order
	v, _ := w.Must(a, &node.Release{ID: id}).(*node.PaymentView)
	b.crashes = map[int]crash{b.saves + 1: crashBefore}
	w.Must(c, &node.Redeem{Link: v.Release})
	w.until("the mediator dies", func() bool { return b.node == nil })
	b.crashes = nil
	w.Run(1000)
	paid(w, a.Outcome(id))
	w.comeBack(c, copied)
	b.Start()
	w.Run(5000)
	w.Expect("paid", FST, -20, 5, 15)
	finish(t, w)
}

// Both sides of a channel are restored, and one shows a promise of its new epoch before the other could judge it: whoever
// shows what it signed since its hello is no old copy any more.
func TestScenario15BothRestored(t *testing.T) {
	w, a, b, c := shop()

	paid(w, w.PayInvoice(b, a, 2))
	copied := a.disk.clone()
	paid(w, w.PayInvoice(c, a, 3)) // the copy does not know of it
	a.Crash()
	b.Crash()
	a.putBack(copied)
	b.putBack(nil)
	w.net.severed[pairOf(a, b)] = w.now + 60_000
	a.Start()
	w.until("c says hello", func() bool { return w.net.live[pairOf(a, c)] != nil && len(c.inbox) == 0 && a.with(c).Online })
	c.due = true // it does not answer yet
	w.net.severed[pairOf(a, b)] = 0
	b.Start()
	gets := func(want wire.Message) func() bool {
		return func() bool {
			r, ok := last(b.inbox).(node.Received)
			if ok && r.Message.Kind() == want.Kind() {
				return true
			}
			b.due = true
			if len(b.inbox) > 0 && !ok || ok && r.Message.Kind() == wire.KindHello {
				b.step()
			}
			return false
		}
	}
	w.until("a shows what it holds", gets(&wire.Snapshot{}))
	c.step()
	shown := len(b.inbox)
	w.until("a asks what b holds", gets(&wire.Ask{}))
	asked := b.inbox[shown:]
	b.inbox = b.inbox[:shown]
	b.step()
	for _, e := range asked {
		b.push(e)
	}
	w.Run(5000)
	w.assert(a.with(b).Ready && b.with(a).Ready, "a shows %+v, b shows %+v", a.with(b), b.with(a))
	paid(w, w.PayInvoice(b, a, 1))
	w.Expect("paid", FST, 6, -3, -3)
	finish(t, w)
}

// A friend that lost its disk says hello to an old copy that does not know yet that it is one, and asks only when a third has told
// it: neither has more to show than the other, so the old copy goes on from what it has (spec C-38).
func TestScenario15AskedWhileAsking(t *testing.T) {
	w, a, b, c := shop()
	paid(w, w.PayInvoice(b, a, 2))
	copied := a.disk.clone()
	paid(w, w.PayInvoice(c, a, 3)) // the copy does not know of it
	a.Crash()
	b.Crash()
	a.putBack(copied)
	b.putBack(nil)
	w.net.severed[pairOf(a, c)] = w.now + 60_000
	a.Start()
	b.Start()
	var late []node.Event
	w.until("c has told a", func() bool {
		a.due = true
		asks := func(e node.Event) bool {
			r, ok := e.(node.Received)
			return ok && r.Peer == b.id && r.Message.Kind() == wire.KindAsk
		}
		if i := slices.IndexFunc(a.inbox, asks); i >= 0 {
			late = append(late, a.inbox[i])
			a.inbox = slices.Delete(a.inbox, i, i+1)
			w.net.severed[pairOf(a, c)] = 0
			w.net.connect(a, c)
		}
		if len(a.inbox) > 0 {
			a.step()
		}
		return a.Between(c, FST) == 3
	})
	w.assert(len(late) > 0, "b has not asked")
	a.inbox, a.due = append(a.inbox, late...), false
	a.push(node.Tick{})
	w.Run(40_000)
	w.assert(a.with(b).Ready && b.with(a).Ready, "a shows %+v, b shows %+v", a.with(b), b.with(a))
	paid(w, w.PayInvoice(b, a, 1))
	w.Expect("paid", FST, 6, -3, -3)
	finish(t, w)
}

// A friend that lost its disk has been shown what there was, and waits for others, when the one that showed it comes back as an
// old copy: each asks the other again, and who holds more shows it (spec C-38).
func TestScenario15OldCopyOfWhoShowed(t *testing.T) {
	w := NewWorld(5, "a", "b", "c")
	a, b, c := w.Members[0], w.Members[1], w.Members[2]
	w.Befriend(a, b, FST, 100, 100)
	w.Befriend(b, c, FST, 100, 100)
	paid(w, w.PayInvoice(a, b, 5))
	copied := a.disk.clone()
	paid(w, w.PayInvoice(a, b, 7)) // the copy does not know of it
	b.Crash()
	b.putBack(nil)
	w.net.severed[pairOf(b, c)] = w.now + 20_000
	b.Start()
	w.Must(b, &node.Find{Friend: c.key, Address: address(c.index)})
	w.until("b is shown", func() bool { return b.Between(a, FST) == 12 })
	a.Crash()
	a.putBack(copied)
	a.Start()
	w.Run(50_000)
	w.assert(a.with(b).Ready && b.with(a).Ready, "a shows %+v, b shows %+v", a.with(b), b.with(a))
	paid(w, w.PayInvoice(a, b, 1))
	w.Expect("paid", FST, -13, 13, 0)
	finish(t, w)
}

func last(list []node.Event) node.Event {
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

// New terms are lost on the way, and what is signed next cites the old ones: refused for good. After the next hello,
// which brings the terms, it is said again in a promise that cites them (spec C-34).
func TestScenario08LostTerms(t *testing.T) {
	w, payee, one, _ := shop()
	payee.due = true // no Step meanwhile
	w.Must(one, &node.SetLimit{Friend: payee.key, Limit: fst(50)})
	w.Run(20)
	w.assert(len(payee.inbox) == 1, "%d events wait", len(payee.inbox))
	payee.inbox, payee.due = nil, false
	id, _ := w.Hold(one, payee, 5)
	w.Run(5000)
	w.assert(payee.with(one).Ready && one.with(payee).Ready, "the payee shows %+v, the other side %+v", payee.with(one), one.with(payee))
	w.Must(one, &node.Release{ID: id})
	w.Run(2000)
	paid(w, one.Outcome(id))
	finish(t, w)
}

// A mediator on an old copy is told again of a part that it has carried on, before the next hop has come and said that it
// holds more: it waits for that friend a while before it gives the part back (spec P-51).
func TestScenario15TurnsBackNothingYet(t *testing.T) {
	w := three()
	a, b, c := w.Members[0], w.Members[1], w.Members[2]
	copied := b.disk.clone()
	s := w.net.live[pairOf(a, b)]
	s.stall[1-s.other(a)] = true // the payer hears nothing of what the mediator does
	i := w.Invoice(c, fst(15), true)
	a.Do(&node.Pay{Invoice: i.URI, MaxFee: new(money.Amount(5)), GiveUp: 5000}, nil)
	w.Run(500)
	w.assert(w.LockOn(b, c) == 15, "b has locked %d", w.LockOn(b, c))
	raw, _ := wire.ParseID16(a.node.Payments()[0].ID)
	id := wire.PaymentID(raw)
	b.Crash()
	b.putBack(copied)
	w.net.severed[pairOf(b, c)] = w.now + 20_000
	b.Start()
	w.Run(15_000)
	w.assert(a.Outcome(id).State == node.Waiting && w.LockOn(b, c) == 0, "before the payee comes: %+v, %d locked", a.Outcome(id), w.LockOn(b, c))
	w.Run(10_000)
	w.assert(a.Outcome(id).State == node.Held && w.LockOn(b, c) == 15, "after: %+v, %d locked", a.Outcome(id), w.LockOn(b, c))
	w.Must(a, &node.Release{ID: id})
	w.Run(2000)
	paid(w, a.Outcome(id))
	w.Expect("paid", FST, -20, 5, 15)
	finish(t, w)
}

// After a start a part that was signed before waits for the next hop to come, for so long as a restore waits. One that
// is signed now is given back at once.
func TestScenario08StartedBeforeItsFriend(t *testing.T) {
	w := three()
	a, b, c := w.Members[0], w.Members[1], w.Members[2]
	i := w.Invoice(c, fst(15), false)
	c.Crash()
	b.Crash()
	b.Start()
	w.Run(3000)
	id, _ := w.Pay(a, &node.Pay{Invoice: i.URI, Route: []string{b.key, c.key}})
	w.Run(1000)
	returned(w, a.Outcome(id), wire.FriendOffline)
	c.Start()
	finish(t, w)
}

// Both sides of a channel are restored with nothing and meet, and then one finds its old disk: what both have signed since
// is newer and stands, and the channel is not left in doubt (spec C-31).
func TestScenario15OldDiskAfterBothRestored(t *testing.T) {
	for _, asking := range []bool{false, true} { // it knows that its disk is old
		w, a, b, _ := shop()
		paid(w, w.PayInvoice(b, a, 30))
		old := a.disk.clone()
		for _, m := range []*Member{a, b} {
			m.Crash()
			m.putBack(nil)
		}
		w.Run(100)
		for _, m := range []*Member{a, b} {
			m.Start()
		}
		w.Must(a, &node.Find{Friend: b.key, Address: address(b.index)})
		w.Must(b, &node.Find{Friend: a.key, Address: address(a.index)})
		w.Run(40_000)
		a.config.Restored = asking
		w.again(a, old)
		w.Run(40_000)
		w.assert(a.with(b).Ready && b.with(a).Ready, "the one shows %+v, the other %+v", a.with(b), b.with(a))
		w.assert(a.Between(b, FST) == -b.Between(a, FST), "%d and %d", a.Between(b, FST), b.Between(a, FST))
		w.Befriend(a, b, FST, 100, 100)
		paid(w, w.PayInvoice(b, a, 2))
		finish(t, w)
	}
}

// An old copy sets a limit before any friend has told it that it is one: the friend takes that for newer than what was
// forgotten (spec C-5).
func TestScenario15LimitOfAnOldCopy(t *testing.T) {
	w, payee, one, _ := shop()
	copied := payee.disk.clone()
	w.Must(payee, &node.SetLimit{Friend: one.key, Limit: fst(40)})
	w.Run(1500)
	payee.Crash()
	payee.putBack(copied)
	w.net.severed[pairOf(payee, one)] = w.now + 5000
	payee.Start()
	w.Must(payee, &node.SetLimit{Friend: one.key, Limit: fst(70)})
	w.Run(40_000)
	v := currencyOf(one.with(payee), FST)
	w.assert(v.LimitReceived.Amount == 70, "the friend may owe %d", v.LimitReceived.Amount)
	finish(t, w)
}

// A mediator restored from its phrase pays the payee while the payer is away longer than a restore waits. When the payer
// comes back, the mediator opens what that one still has locked: it has kept what it paid for (spec P-53).
func TestScenario15PaidBeforeItsPayerCame(t *testing.T) {
	for _, push := range []bool{false, true} {
		for _, then := range []string{"", "crash", "unheard"} {
			w := three()
			a, b, c := w.Members[0], w.Members[1], w.Members[2]
			pay := &node.Pay{To: c.key, Value: fst(15)}
			if !push {
				pay = &node.Pay{Invoice: w.Invoice(c, fst(15), false).URI}
			}
			id, _ := w.Pay(a, pay)
			w.until("the payee opens its lock", func() bool { return w.opens(b, c) })
			a.Crash()
			b.Crash()
			b.putBack(nil)
			b.Start()
			w.net.tap = func(from, to *Member, msg wire.Message) {
				u, ok := msg.(*wire.Update)
				pays := ok && slices.ContainsFunc(u.Groups, func(g wire.Group) bool { return len(g.Fulfils) > 0 })
				if from == b && pays && then == "unheard" { // so that the lock is still there when the payer comes
					b.deafen(c)
				}
			}
			w.until("the payee is paid", func() bool { w.Run(50); return c.Balance(FST) == 15 })
			if then != "unheard" {
				w.Run(60_000)
			}
			if then == "crash" {
				b.Crash()
				b.Start()
			}
			a.Start()
			w.Run(5000)
			v := a.Outcome(id)
			paid(w, v)
			w.assert(v.Receipt != "", "no receipt")
			w.Expect("paid", FST, -20, 5, 15)
			w.net.tap = nil
			w.net.cutAll()
			w.Run(5000)
			finish(t, w)
		}
	}
}

// Two payers use one part, and the mediator pays both before either comes: it is paid back by both.
func TestScenario15TwoAdvancesOfOnePart(t *testing.T) {
	w := NewWorld(60, "a", "n", "b", "m", "c")
	a, n, b, m, c := w.Members[0], w.Members[1], w.Members[2], w.Members[3], w.Members[4]
	for _, o := range []*Member{a, b, m, c} {
		w.Befriend(n, o, FST, 100, 100)
	}
	paid(w, w.PayInvoice(m, n, 1))
	paid(w, w.PayInvoice(n, c, 1))
	w.Pay(a, &node.Pay{Invoice: w.Invoice(b, fst(30), false).URI})
	w.until("b opens", func() bool { return w.opens(n, b) })
	part := a.openLocks(n)[0].Part
	a.Crash()
	n.Crash()
	n.putBack(nil)
	n.Start()
	w.until("b is paid", func() bool { w.Run(50); return b.Balance(FST) == 30 })
	w.Run(65_000)
	copied := n.disk.clone()
	signed, inv, err := pay.ReadInvoiceLink(w.Invoice(c, fst(5), false).URI)
	if err != nil {
		t.Fatal(err)
	}
	m.liar = newLiar(m)
	k := m.write(Letter{
		Route: []*Member{n, c}, Amounts: []money.Amount{5, 5}, Hashes: []ident.Hash{inv.Hash}, Salt: ident.Salt{1}, Part: part,
		Box: wire.Box{Form: wire.FormInvoice, Payment: wire.PaymentID(inv.ID(signed)), Invoice: signed, Currency: FST, Total: 5, Amount: 5},
	}, FST)
	m.deafen(n)
	w.assert(m.inject(n, m.stepLock(n, k)), "no session")
	w.until("c opens", func() bool { l := w.watch.ledger(n.id, c.id).locks[2]; return l != nil && l.passed })
	m.Crash()
	n.Crash()
	n.putBack(copied)
	n.Start()
	w.Run(120_000)
	a.Start()
	w.Run(20_000)
	w.assert(n.Between(a, FST) == 30, "n paid b 30 and has %d of a", n.Between(a, FST))
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

// A friend shows an old copy less than it holds that friend's signature for: in a newer promise, or in an epoch of its own.
func TestScenario15ShownLess(t *testing.T) {
	for _, epoch := range []bool{false, true} {
		w := NewWorld(61, "n", "l", "x")
		n, l, x := w.Members[0], w.Members[1], w.Members[2]
		w.Befriend(n, l, FST, 100, 100)
		w.Befriend(n, x, FST, 100, 100)
		paid(w, w.PayInvoice(l, n, 50))
		w.Run(5000)
		copied := n.disk.clone()
		paid(w, w.PayInvoice(x, n, 3))
		l.liar = newLiar(l)
		l.liar.edit = func(_ *Member, msg wire.Message) wire.Message {
			var p wire.Promise
			s, ok := msg.(*wire.Snapshot)
			if !ok || wire.Unmarshal(s.Mine.Body, &p) != nil {
				return msg
			}
			if p.Seq++; epoch {
				p.Epoch, p.Seq, p.Start = p.Epoch+1, 1, &wire.Start{Mine: wire.Mark{Epoch: p.Epoch, Seq: p.Seq - 1}, Held: p.Ack}
			}
			for i := range p.Lines {
				p.Lines[i].Owed = 0
			}
			less := *s
			less.Mine = l.signPromise(p)
			return &less
		}
		n.Crash()
		n.putBack(copied)
		n.Start()
		w.Run(60_000)
		w.assert(n.Between(l, FST) == 50 && n.Between(x, FST) == 3, "n has %d with l, %d with x", n.Between(l, FST), n.Between(x, FST))
		w.assert(epoch || n.with(l).State == node.Frozen, "l is %+v", n.with(l))
		if w.Err() != nil {
			t.Fatal(w.Err())
		}
	}
}
