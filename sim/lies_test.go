package sim

import (
	"testing"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/pay"
	"kula/wire"
)

// Scenario 12, liars: each test is one lie at the one moment at which it could do harm.

// until lets time pass in small steps until something is so, 5 s at most.
func (w *World) until(what string, ok func() bool) {
	for range 5000 {
		if ok() || w.err != nil {
			return
		}
		w.Run(1)
	}
	w.fail("scenario", "never: %s", what)
}

// passed lets a world come to rest with its liars, and fails the test with what it found.
func passed(t *testing.T, w *World) {
	t.Helper()
	w.Run(3000)
	if w.err == nil {
		w.audit()
	}
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

// pairWith is an honest reader r and a liar l who may owe each other, and have paid once in each direction.
func pairWith(seed uint64) (w *World, r, l *Member) {
	w = NewWorld(seed, "r", "l")
	r, l = w.Members[0], w.Members[1]
	w.Befriend(r, l, FST, 100, 100)
	paid(w, w.PayInvoice(l, r, 20))
	paid(w, w.PayInvoice(r, l, 10))
	l.liar = newLiar(l)
	return w, r, l
}

// TestScenario12Evidence: what a stranger can see to be wrong is kept as evidence, holds, and freezes the channel; a
// frozen channel takes no lock.
func TestScenario12Evidence(t *testing.T) {
	for what, c := range map[string]struct {
		tell func(l *liar, to *Member) bool
		kind credit.FaultKind
	}{
		"equivocates": {(*liar).equivocate, credit.Equivocated},
		"shrinks":     {(*liar).shrink, credit.Shrank},
		"drops":       {(*liar).drop, credit.DroppedUncancelled},
	} {
		w, r, l := pairWith(12)
		w.Hold(l, r, 5)
		w.assert(c.tell(l.liar, r), "%s: there was nothing to lie about", what)
		w.Run(1000)
		kept := r.disk.records[node.KindFault]
		w.assert(len(kept) == 1 && r.with(l).State == node.Frozen, "%s: %d pieces of evidence, channel %s", what, len(kept), r.with(l).State)
		for _, data := range kept {
			f, err := credit.DecodeFault(data)
			w.assert(err == nil && f.Kind == c.kind && f.Writer == l.id && f.Verify(r.keys) == nil, "%s: evidence %+v, %v", what, f, err)
		}
		u := l.stepLock(r, l.liar.lock(1, FST, []byte{1}))
		u.Base = w.watch.ledger(l.id, r.id).judged
		l.inject(r, u)
		w.Run(1000)
		if w.Err() != nil {
			t.Fatal(w.Err())
		}
	}
}

// TestScenario12EveryLie: each kind of lie once between two, who then go on; the oracles judge.
func TestScenario12EveryLie(t *testing.T) {
	for _, c := range AllLies {
		w, r, l := pairWith(12)
		w.Hold(l, r, 5)
		w.Hold(r, l, 6)
		c.tell(l.liar, r)
		w.Run(300)
		r.Do(&node.Pay{To: l.key, Value: fst(1)}, nil)
		l.Do(&node.Pay{To: r.key, Value: fst(1)}, nil)
		w.Run(2000)
		if w.Err() != nil {
			t.Errorf("%s: %v", c.Lie, w.Err())
		}
	}
}

// TestScenario12ForgedArrival: a mediator that keeps a part makes up that it arrived; a payee says it without signing.
func TestScenario12ForgedArrival(t *testing.T) {
	w := three()
	m := w.Members
	m[1].liar = newLiar(m[1])
	i := w.Invoice(m[2], fst(15), true)
	id, _ := w.Pay(m[0], &node.Pay{Invoice: i.URI, GiveUp: 1})
	w.until("the mediator has the lock", func() bool { return len(m[0].openLocks(m[1])) == 1 })
	w.Cut(m[1], m[2], 4000)
	e := w.entropy()
	w.assert(m[1].inject(m[0], &wire.Acknowledge{Number: m[0].openLocks(m[1])[0].Number, Note: e[:]}), "not connected")
	w.Run(500)
	w.assert(m[0].Outcome(id).State != node.Held, "the payer believes its mediator")
	passed(t, w)

	w, r, l := pairWith(12)
	l.liar.twisted = w.now + 60_000
	for range 6 { // each time another falsehood, by the world's chance
		id, _ = w.Hold(r, l, 5)
		w.assert(r.Outcome(id).State != node.Held, "the payer takes a false word for the payee's: %+v", r.Outcome(id))
		w.Must(r, &node.CancelPayment{ID: id})
		w.Run(1000)
	}
	passed(t, w)
}

// TestScenario12FalseReceipt: a payee of a push sends a receipt that it did not sign, or of another payment.
func TestScenario12FalseReceipt(t *testing.T) {
	w, r, l := pairWith(12)
	sent := 0
	l.liar.edit = func(to *Member, msg wire.Message) wire.Message {
		v, ok := msg.(*wire.Reveal)
		if !ok || len(v.Note) == 0 {
			return msg
		}
		sent++
		return l.liar.twist(to.id, msg)
	}
	for range 6 {
		id, _ := w.Pay(r, &node.Pay{To: l.key, Value: fst(5)})
		w.Run(1500)
		paid(w, r.Outcome(id))
		w.assert(r.Outcome(id).Receipt == "", "a false receipt is kept")
	}
	w.assert(sent >= 6, "%d false receipts were sent", sent)
	passed(t, w)
}

// TestScenario12LateReveal: a payee cancels and reveals at once. First saved wins.
func TestScenario12LateReveal(t *testing.T) {
	w, r, l := pairWith(12)
	l.liar.regrets = true
	id, _ := w.Pay(r, &node.Pay{To: l.key, Value: fst(5), GiveUp: 1})
	w.Run(2000)
	w.assert(r.Outcome(id).State == node.Returned, "the payment is %+v", r.Outcome(id))
	w.assert(r.Between(l, FST) == 10, "r has %d with l", r.Between(l, FST))
	passed(t, w)
}

// TestScenario12WrongAmount: a part that is not what its box says, or not what the invoice asks for, is not collected.
func TestScenario12WrongAmount(t *testing.T) {
	for _, c := range []struct{ lock, box, total money.Amount }{
		{9, 10, 10}, {11, 10, 10}, {1, 10, 10}, {9, 9, 9}, {11, 11, 11}, {9, 9, 10}, {10, 9, 10}, {10, 10, 11},
	} {
		w, r, l := pairWith(12)
		i := w.Invoice(r, fst(10), false)
		signed, inv, err := pay.ParseInvoiceLink(r.keys, i.URI)
		if err != nil {
			t.Fatal(err)
		}
		k := l.write(Letter{
			Route: []*Member{r}, Amounts: []money.Amount{c.lock}, Hashes: []ident.Hash{inv.Hash}, Salt: ident.Salt{1}, Part: wire.PartID{1},
			Box: wire.Box{Form: wire.FormInvoice, Payment: wire.PaymentID(inv.ID(signed)), Invoice: signed, Currency: FST, Total: c.total, Amount: c.box},
		}, FST)
		l.inject(r, l.stepLock(r, k))
		w.Run(2000)
		told := w.watch.ledger(l.id, r.id).locks[l.nextLock(r)-1]
		w.assert(told.lock.Amount == c.lock && !told.revealed && !told.passed, "a lock of %d for an invoice of 10, box %d of %d, is collected", c.lock, c.box, c.total)
		if w.Err() != nil {
			t.Fatal(w.Err())
		}
	}
}

// TestScenario12ExpiredInvoice: a payer whose clock is slow pays an invoice that is over, before and after its
// payee's next look at the clock.
func TestScenario12ExpiredInvoice(t *testing.T) {
	for wait := int64(2000); wait < 4000; wait += 100 {
		w := NewWorld(12, "a", "b")
		a, b := w.Members[0], w.Members[1]
		w.Befriend(b, a, FST, 100, 100)
		a.offset = -1_000_000
		i, _ := w.Must(b, &node.CreateInvoice{Value: fst(5), Expires: b.clock()/1000 + 2}).(*node.InvoiceView)
		w.Run(wait)
		id, _ := w.Pay(a, &node.Pay{Invoice: i.URI, GiveUp: 1})
		w.Run(1000)
		returned(w, a.Outcome(id), wire.InvoiceExpired)
		finish(t, w)
	}
}

// TestScenario12StaleTerms: after a reconnect a limit that was lowered meanwhile binds, whatever terms the liar cites.
func TestScenario12StaleTerms(t *testing.T) {
	w, r, l := pairWith(12)
	w.Cut(r, l, 2000)
	w.Must(r, &node.SetLimit{Friend: l.key, Limit: fst(20)})
	w.Run(4000)
	old, mark := l.newest(r)
	w.assert(r.with(l).Online && old.Terms < w.watch.ledger(r.id, l.id).newTerms, "l cites terms %d already", old.Terms)
	u := l.stepLock(r, l.liar.lock(60, FST, []byte{1}))
	p, _ := promiseOf(u.Promise)
	p.Terms, p.Ack = old.Terms, old.Ack
	u.Promise, u.Base = l.signPromise(p), mark
	w.assert(l.inject(r, u), "r and l are not connected")
	w.Run(1000)
	w.assert(len(r.disk.records["in"]) == 0, "r carries a lock above its limit")
	passed(t, w)
}

// TestScenario12UnsignedTerms: terms that nobody signed grant nothing.
func TestScenario12UnsignedTerms(t *testing.T) {
	w, r, l := pairWith(12)
	before := currencyOf(r.with(l), FST).LimitReceived
	terms := wire.Terms{From: l.id, To: r.id, Number: 1 << 62, Lines: []wire.TermsLine{{Currency: FST, Limit: 1000}}}
	w.assert(l.inject(r, &wire.NewTerms{Terms: wire.Sign(blunt{l.keys}, wire.TagTerms, &terms)}), "r and l are not connected")
	w.Run(1000)
	got := currencyOf(r.with(l), FST).LimitReceived
	w.assert(got == before, "unsigned terms raise the limit from %v to %v", before, got)
	passed(t, w)
}

// TestScenario12RetryAfterRelease: a mediator gives a push back after the payer told how to open it.
func TestScenario12RetryAfterRelease(t *testing.T) {
	w := NewWorld(12, "a", "l", "b", "d")
	a, l, b, d := w.Members[0], w.Members[1], w.Members[2], w.Members[3]
	for _, m := range []*Member{l, b} {
		w.Befriend(a, m, FST, 100, 100)
		w.Befriend(m, d, FST, 100, 100)
	}
	w.Charge(b, a, 1, 0) // so that the way over l comes first
	l.liar = newLiar(l)
	id, _ := w.Pay(a, &node.Pay{To: d.key, Value: fst(5)})
	var try *attempt
	w.until("the payer told its preimage", func() bool {
		for _, x := range w.watch.pays[id] {
			try = x
		}
		return try != nil && try.released > 0
	})
	l.liar.silent = w.now + 10_000
	l.liar.cancel(LieLateCancel, a, try.lock.lock.Number)
	w.Run(3000)
	w.assert(a.Outcome(id).State == node.Returned && len(w.watch.pays[id]) == 1, "payment is %+v after %d parts", a.Outcome(id), len(w.watch.pays[id]))
	passed(t, w)
}

// TestScenario12ForgedSnapshot: a friend that is asked for a channel shows it falsely. Nothing of it is believed.
func TestScenario12ForgedSnapshot(t *testing.T) {
	for lost := range 2 { // r holds everything; r has lost its disk
		for kind := range int64(bends) {
			w, r, l := pairWith(12)
			w.Hold(l, r, 5)
			w.Hold(r, l, 6)
			shown := 0
			l.liar.edit = func(_ *Member, msg wire.Message) wire.Message {
				if s, ok := msg.(*wire.Snapshot); ok {
					shown++
					return l.liar.bend(s, kind)
				}
				return msg
			}
			if lost == 1 {
				r.Crash()
				r.putBack(nil)
				r.Start()
				w.Must(r, &node.Find{Friend: l.key, Address: address(l.index)})
			} else {
				_, mine := l.newest(r)
				_, theirs := r.newest(l)
				theirs.Seq += 5
				theirs.Hash[0] ^= 1
				w.net.connect(l, r)
				s := w.net.live[pairOf(r, l)]
				w.net.transmit(l, r.id, s.number, &wire.Hello{Version: wire.Version, Mine: mine, Held: theirs})
			}
			w.Run(5000)
			v := r.with(l)
			w.assert(shown > 0, "kind %d: nobody asked for a snapshot", kind)
			w.assert(lost == 0 || v == nil || !v.Ready, "kind %d: a forged snapshot is believed: %+v", kind, v)
			w.assert(lost == 1 || r.Between(l, FST) == 10, "kind %d: r has %d with l", kind, r.Between(l, FST))
			if w.Err() != nil {
				t.Fatalf("kind %d, lost %d: %v", kind, lost, w.Err())
			}
		}
	}
}

// TestScenario12RolledBack: a friend claims that it holds newer promises, shows garbage for it or nothing, and in the next
// session shows an older state that is true. Nothing that was signed is forgotten for that, after a crash neither.
func TestScenario12RolledBack(t *testing.T) {
	for _, how := range []string{"garbage", "silence", "crash"} {
		w, r, l := pairWith(12)
		l.deafen(r)
		i := w.Invoice(l, fst(5), true)
		w.Pay(r, &node.Pay{Invoice: i.URI})
		w.Run(50)
		w.assert(w.LockOn(r, l) == 5, "r has locked %d", w.LockOn(r, l))
		l.liar.edit = func(_ *Member, msg wire.Message) wire.Message {
			s, ok := msg.(*wire.Snapshot)
			switch {
			case !ok:
				return msg
			case how == "garbage":
				return l.liar.bend(s, 5)
			}
			return &wire.Refused{}
		}
		_, mine := l.newest(r)
		_, theirs := r.newest(l)
		theirs.Seq += 5
		theirs.Hash[0] ^= 1
		w.net.connect(l, r)
		w.net.transmit(l, r.id, w.net.live[pairOf(r, l)].number, &wire.Hello{Version: wire.Version, Mine: mine, Held: theirs})
		w.Run(200)
		l.liar.edit = nil
		if how == "crash" {
			r.Crash()
			r.Start()
		}
		w.net.connect(l, r)
		w.Run(5000)
		p, _ := r.newest(l)
		w.assert(p.Epoch == 0 && w.LockOn(r, l) == 5, "%s: r goes on in epoch %d with %d locked", how, p.Epoch, w.LockOn(r, l))
		if w.Err() != nil {
			t.Error(w.Err())
		}
	}
}

// TestScenario12ForgedReceipt: of two receipts no third can be made.
func TestScenario12ForgedReceipt(t *testing.T) {
	w := NewWorld(12, "a", "b")
	a, b := w.Members[0], w.Members[1]
	w.Befriend(b, a, FST, 100, 100)
	var receipts []*wire.Receipt
	for _, hold := range []bool{false, false, true, true} {
		i := w.Invoice(b, fst(5), hold)
		id, _ := w.Pay(a, &node.Pay{Invoice: i.URI})
		w.Run(1000)
		if hold {
			w.Must(a, &node.Release{ID: id})
			w.Run(1000)
		}
		r, err := pay.ParseReceipt(a.Outcome(id).Receipt)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pay.VerifyReceipt(a.keys, r)
		w.assert(err == nil, "the true receipt: %v", err)
		receipts = append(receipts, r)
	}
	id, _ := w.Pay(a, &node.Pay{To: b.key, Value: fst(7)})
	w.Run(1000)
	push, err := pay.ParseReceipt(a.Outcome(id).Receipt)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range receipts {
		for k, y := range receipts {
			forged := *x
			forged.Preimages = y.Preimages
			_, err := pay.VerifyReceipt(a.keys, &forged)
			w.assert((err == nil) == (i == k), "receipt %d with the preimages of %d: %v", i, k, err)
		}
		forged := *x
		forged.Payee = a.id
		_, err := pay.VerifyReceipt(a.keys, &forged)
		w.assert(err != nil, "a receipt of another payee counts")
	}
	var said wire.Received
	if err := wire.Unmarshal(push.Received.Body, &said); err != nil {
		t.Fatal(err)
	}
	said.Amount = money.Amount(70)
	altered, unsigned := push.Received, push.Received
	altered.Body, unsigned.Sig = wire.Marshal(&said), ident.Signature{}
	for what, signed := range map[string]wire.Batched{
		"altered": altered, "not signed": unsigned,
		"signed by another": wire.SignAlone(a.keys, wire.TagReceived, &said),
	} {
		forged := *push
		forged.Received = signed
		_, err := pay.VerifyReceipt(a.keys, &forged)
		w.assert(err != nil, "a receipt that is %s counts", what)
	}
	finish(t, w)
}
