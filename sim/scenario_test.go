package sim

import (
	"fmt"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/pay"
	"kula/wire"
)

func fst(a money.Amount) money.Value { return money.Value{Amount: a, Currency: FST} }

// finish ends a scenario's world.
func finish(t *testing.T, w *World) {
	t.Helper()
	w.End()
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

func returned(w *World, v *node.PaymentView, code wire.Code) {
	w.assert(v.State == node.Returned && v.Reason != nil && v.Reason.Code == code, "payment is %s %+v, want returned with %s", v.State, v.Reason, code)
}

func paid(w *World, v *node.PaymentView) {
	w.assert(v.State == node.Paid, "payment is %s (%+v), want paid", v.State, v.Reason)
}

func TestScenario01Pair(t *testing.T) {
	w := NewWorld(1, "a", "b")
	a, b := w.Members[0], w.Members[1]
	w.Befriend(b, a, FST, 100, 0)
	id, i := w.Hold(a, b, 10)
	w.assert(a.Outcome(id).State == node.Held, "payment is %+v, want held", a.Outcome(id))
	w.assert(currencyOf(a.with(b), FST).CanPay.Amount == 90, "a can pay %v, want 90", currencyOf(a.with(b), FST).CanPay)
	w.Must(b, &node.CancelInvoice{ID: invoiceID(i)})
	w.Run(2000)
	returned(w, a.Outcome(id), wire.CancelledByPayee)
	w.Expect("cancelled", FST, 0, 0)
	w.assert(currencyOf(a.with(b), FST).CanPay.Amount == 100, "a can pay %v, want 100", currencyOf(a.with(b), FST).CanPay)
	paid(w, w.PayInvoice(a, b, 10))
	w.Expect("paid", FST, -10, 10)
	finish(t, w)
}

func TestScenario02LimitEdge(t *testing.T) {
	pair := func() (*World, *Member, *Member) {
		w := NewWorld(2, "a", "b")
		w.Befriend(w.Members[1], w.Members[0], FST, 10, 0)
		return w, w.Members[0], w.Members[1]
	}
	w, a, b := pair()
	paid(w, w.PayInvoice(a, b, 10))
	finish(t, w)

	w, a, b = pair()
	v := w.PayInvoice(a, b, 11)
	returned(w, v, wire.LimitReached)
	w.assert(v.Reason.Limit.Amount == 10 && v.Reason.Owed.Amount == 0 && v.Reason.Left.Amount == 10, "reason is %+v", v.Reason)
	finish(t, w)

	w, a, b = pair()
	six, i := w.Hold(a, b, 6)
	five, _ := w.Hold(a, b, 5)
	w.assert(a.Outcome(six).State == node.Held, "6 is %s", a.Outcome(six).State)
	returned(w, a.Outcome(five), wire.LimitReached)
	w.Must(b, &node.CancelInvoice{ID: invoiceID(i)})
	w.Run(1000)
	five, _ = w.Hold(a, b, 5)
	w.assert(a.Outcome(five).State == node.Held, "5 is %s", a.Outcome(five).State)
	w.Must(a, &node.Release{ID: five})
	w.Run(1000)
	w.Expect("5 released", FST, -5, 5)
	finish(t, w)

	w, a, b = pair()
	w.Must(a, &node.SetLimit{Friend: b.key, Limit: fst(100)})
	paid(w, w.PayInvoice(a, b, 10))
	w.Must(b, &node.SetLimit{Friend: a.key, Limit: fst(3)})
	w.Run(1000)
	w.Expect("lowered", FST, -10, 10)
	returned(w, w.PayInvoice(a, b, 1), wire.LimitReached)
	paid(w, w.PayInvoice(b, a, 4))
	w.Expect("repaid", FST, -6, 6)
	finish(t, w)
}

// three is the net of scenario 3.
func three() *World {
	w := NewWorld(3, "zero", "one", "two")
	m := w.Members
	w.Befriend(m[0], m[1], FST, 200, 100)
	w.Befriend(m[1], m[2], FST, 300, 400)
	w.Charge(m[1], m[0], 5, 0)
	return w
}

func TestScenario03Chain(t *testing.T) {
	w := three()
	m := w.Members
	q, ok := w.Must(m[0], &node.Pay{To: m[2].key, Value: fst(15), Quote: true}).(*node.QuoteView)
	w.assert(ok && q.Possible && q.Fee.Amount == 5 && q.Amount.Amount == 15, "quote is %+v", q)
	id, i := w.Hold(m[0], m[2], 15)
	w.assert(w.LockOn(m[0], m[1]) == 20 && w.LockOn(m[1], m[2]) == 15, "locks are %d and %d", w.LockOn(m[0], m[1]), w.LockOn(m[1], m[2]))
	w.Must(m[2], &node.CancelInvoice{ID: invoiceID(i)})
	w.Run(1000)
	returned(w, m[0].Outcome(id), wire.CancelledByPayee)
	paid(w, w.PayInvoice(m[0], m[2], 15))
	w.Expect("paid", FST, -20, 5, 15)
	w.assert(m[1].Between(m[0], FST) == 20 && m[1].Between(m[2], FST) == -15, "one has %d and %d", m[1].Between(m[0], FST), m[1].Between(m[2], FST))
	four := money.Amount(4)
	locks := len(w.watch.ledger(m[0].id, m[1].id).locks)
	_, v := w.Pay(m[0], &node.Pay{To: m[2].key, Value: fst(15), MaxFee: &four})
	returned(w, v, wire.FeeAboveMax)
	w.assert(len(w.watch.ledger(m[0].id, m[1].id).locks) == locks, "something was locked for a fee above the most")
	finish(t, w)
}

func TestScenario04NoSuchPayee(t *testing.T) {
	w := three()
	m := w.Members
	stranger := w.AddMember("three")
	stranger.Start()
	id, _ := w.Pay(m[0], &node.Pay{To: stranger.key, Value: fst(15), Route: []string{m[1].key, m[2].key, stranger.key}})
	w.Run(2000)
	v := m[0].Outcome(id)
	returned(w, v, wire.UnknownNextHop)
	w.assert(v.Reason.At == m[2].key, "refused at %s, want %s", v.Reason.At, m[2].key)
	w.Expect("returned", FST, 0, 0, 0)
	finish(t, w)
}

// chainOfFour is B–C–D–E with a limit everywhere.
func chainOfFour(limit money.Amount) *World {
	w := NewWorld(5, "b", "c", "d", "e")
	for i := range 3 {
		w.Befriend(w.Members[i], w.Members[i+1], FST, limit, limit)
	}
	return w
}

func TestScenario05ChainOfFour(t *testing.T) {
	w := chainOfFour(100)
	m := w.Members
	w.Charge(m[1], m[0], 1, 0)
	w.Charge(m[2], m[1], 1, 0)
	for _, wait := range []int64{1, 8, 14, 20, 30, 60, 400} { // at any time before it reveals
		i := w.Invoice(m[3], fst(10), true)
		fee := money.Amount(10)
		m[0].Do(&node.Pay{Invoice: i.URI, MaxFee: &fee, GiveUp: 100}, nil)
		w.Run(wait)
		w.Must(m[3], &node.CancelInvoice{ID: invoiceID(i)})
		w.Run(3000)
		w.Expect("cancelled by the payee", FST, 0, 0, 0, 0)
	}
	id, _ := w.Hold(m[0], m[3], 10)
	w.assert(w.LockOn(m[0], m[1]) == 12 && w.LockOn(m[1], m[2]) == 11 && w.LockOn(m[2], m[3]) == 10, "locks are %d, %d, %d", w.LockOn(m[0], m[1]), w.LockOn(m[1], m[2]), w.LockOn(m[2], m[3]))
	w.Must(m[0], &node.Release{ID: id})
	w.Run(2000)
	paid(w, m[0].Outcome(id))
	w.Expect("paid", FST, -12, 1, 1, 10)
	finish(t, w)
}

func TestScenario06NetOfSix(t *testing.T) {
	w := NewWorld(6, "0", "1", "2", "3", "4", "5")
	m := w.Members
	for _, e := range [][2]int{{0, 1}, {1, 3}, {1, 2}, {2, 5}, {2, 4}} {
		w.Befriend(m[e[0]], m[e[1]], FST, 100, 100)
	}
	w.Charge(m[1], m[0], 1, 0)
	w.Charge(m[1], m[2], 2, 0)
	w.Charge(m[2], m[1], 1, 0)
	w.Charge(m[2], m[5], 0, 500_000)
	w.Charge(m[4], m[2], 1, 0)
	pay := func(from, to int, fee, a, b, c money.Amount, way [4]int) {
		q, ok := w.Must(m[from], &node.Pay{To: m[to].key, Value: fst(10), Quote: true}).(*node.QuoteView)
		w.assert(ok && q.Possible && q.Fee.Amount == fee, "quote is %+v, want %d", q, fee)
		id, _ := w.Hold(m[from], m[to], 10)
		got := []money.Amount{w.LockOn(m[way[0]], m[way[1]]), w.LockOn(m[way[1]], m[way[2]]), w.LockOn(m[way[2]], m[way[3]])}
		w.assert(fmt.Sprint(got) == fmt.Sprint([]money.Amount{a, b, c}), "locks are %v, want %d %d %d", got, a, b, c)
		w.Must(m[from], &node.Release{ID: id})
		w.Run(2500)
		paid(w, m[from].Outcome(id))
	}
	pay(0, 4, 2, 12, 11, 10, [4]int{0, 1, 2, 4})
	pay(5, 3, 8, 18, 12, 10, [4]int{5, 2, 1, 3})
	w.Expect("both paid", FST, -12, 3, 7, 10, 10, -18)
	finish(t, w)
}

func TestScenario07TwoCurrencies(t *testing.T) {
	const one, two money.Currency = "FST1/0", "FST2/0"
	w := NewWorld(7, "0", "1")
	a, b := w.Members[0], w.Members[1]
	w.Befriend(b, a, one, 10, 0)
	w.Befriend(b, a, two, 15, 0)
	push := func(from, to *Member, v money.Value) *node.PaymentView {
		id, _ := w.Pay(from, &node.Pay{To: to.key, Value: v})
		w.Run(2000)
		return from.Outcome(id)
	}
	paid(w, push(a, b, money.Value{Amount: 8, Currency: one}))
	paid(w, push(a, b, money.Value{Amount: 9, Currency: two}))
	paid(w, push(b, a, money.Value{Amount: 3, Currency: one}))
	returned(w, push(b, a, money.Value{Amount: 6, Currency: one}), wire.LimitReached)
	w.Expect("end", one, -5, 5)
	w.Expect("end", two, -9, 9)
	finish(t, w)
}

func TestScenario08Partition(t *testing.T) {
	for wait := int64(1); wait < 60; wait += 3 {
		w := three()
		m := w.Members
		i := w.Invoice(m[2], fst(15), false)
		fee := money.Amount(5)
		m[0].Do(&node.Pay{Invoice: i.URI, MaxFee: &fee, GiveUp: 1}, nil)
		got := func() bool { l := w.watch.ledger(m[1].id, m[2].id).locks[1]; return l != nil && l.revealed }
		for range 500 {
			if got() {
				break
			}
			w.Run(1)
		}
		w.Run(wait)
		w.Cut(m[1], m[2], 10_000)
		w.Run(20_000)
		w.Expect("mended", FST, -20, 5, 15)
		finish(t, w)
	}
}

func TestScenario10FrozenChannel(t *testing.T) {
	for _, reveals := range []bool{false, true} {
		w := chainOfFour(200)
		b, c, d, e := w.Members[0], w.Members[1], w.Members[2], w.Members[3]
		id, i := w.Hold(b, e, 100)
		w.assert(b.Outcome(id).State == node.Held, "payment is %+v", b.Outcome(id))
		w.assert(c.Equivocate(d), "c and d are not connected")
		w.Run(500)
		w.assert(d.with(c).State == node.Frozen, "d's channel with c is %s", d.with(c).State)
		w.assert(len(d.disk.records[node.KindFault]) == 1, "d keeps %d pieces of evidence", len(d.disk.records[node.KindFault]))
		w.assert(b.Outcome(id).State == node.Held && w.LockOn(b, c) == 100, "b has its money back before d cancelled")
		if !reveals {
			w.Must(e, &node.CancelInvoice{ID: invoiceID(i)})
			w.Run(3000)
			returned(w, b.Outcome(id), wire.CancelledByPayee)
			w.Expect("cancelled", FST, 0, 0, 0, 0)
		} else {
			w.Cut(c, d, 20_000)
			w.Run(1500)
			v, ok := w.Must(b, &node.Release{ID: id}).(*node.PaymentView)
			if !ok {
				t.Fatal(w.Err())
			}
			w.Must(e, &node.Redeem{Link: v.Release})
			w.Run(5000)
			w.assert(d.Between(e, FST) == -100, "d owes e %d", d.Between(e, FST))
			in := d.disk.records["in"]
			w.assert(len(in) == 1 && w.LockOn(c, d) == 100, "d keeps %d locks of c", len(in))
			link, err := d.node.Proof(c.key)
			w.assert(err == nil && link != "", "no proof about c: %v", err)
			w.Run(20_000)
			paid(w, b.Outcome(id))
			w.Expect("late", FST, -100, 0, 0, 100)
		}
		if w.Err() != nil {
			t.Fatal(w.Err())
		}
	}
}

func TestScenario11TamperedInvoice(t *testing.T) {
	for what, tamper := range map[string]func(*wire.Invoice, *Member){
		"currency": func(i *wire.Invoice, _ *Member) { i.Currency = "HOUR/2" },
		"amount":   func(i *wire.Invoice, _ *Member) { i.Amount = 1 },
		"payee":    func(i *wire.Invoice, a *Member) { i.Payee = a.id },
		"expiry":   func(i *wire.Invoice, _ *Member) { i.Expires += 1000 },
	} {
		t.Run(what, func(t *testing.T) { tampered(t, tamper) })
	}
	w := NewWorld(11, "a", "b", "c")
	a, b := w.Members[0], w.Members[1]
	w.Befriend(b, a, FST, 100, 100)
	w.Befriend(b, w.Members[2], FST, 100, 100)
	i := w.Invoice(b, fst(10), false)
	id, _ := w.Pay(a, &node.Pay{Invoice: i.URI})
	w.Run(1000)
	paid(w, a.Outcome(id))
	r := w.Try(a, &node.Pay{Invoice: i.URI, GiveUp: 1000})
	w.assert(r.Err != nil && r.Err.Code == wire.InvoicePaid, "the second payment: %+v", r)
	id, _ = w.Pay(w.Members[2], &node.Pay{Invoice: i.URI})
	w.Run(2000)
	returned(w, w.Members[2].Outcome(id), wire.InvoicePaid)
	w.Expect("once", FST, -10, 10, 0)
	finish(t, w)
}

// tampered: the payer's own node refuses an altered invoice; when a modified payer sends it, the payee's does.
func tampered(t *testing.T, tamper func(*wire.Invoice, *Member)) {
	w := NewWorld(11, "a", "b")
	a, b := w.Members[0], w.Members[1]
	w.Befriend(b, a, FST, 100, 100)
	w.Befriend(b, a, "HOUR/2", 100, 100)
	i := w.Invoice(b, fst(10), false)
	data, err := wire.ParseLink(wire.LinkInvoice, i.URI)
	var s wire.Signed
	var inv wire.Invoice
	if err != nil || wire.Unmarshal(data, &s) != nil || wire.Unmarshal(s.Body, &inv) != nil {
		t.Fatal("the invoice cannot be read")
	}
	tamper(&inv, a)
	bad := wire.Signed{Body: wire.Marshal(&inv), Sig: s.Sig}
	r := w.Try(a, &node.Pay{Invoice: pay.InvoiceLink(bad), GiveUp: 1000})
	w.assert(r.Err != nil && r.Err.Code == wire.BadSignature, "the payer's node: %+v", r)
	l := a.write(Letter{
		Route: []*Member{b}, Amounts: []money.Amount{inv.Amount}, Hashes: []ident.Hash{inv.Hash}, Salt: ident.Salt{1}, Part: wire.PartID{1},
		Box: wire.Box{Form: wire.FormInvoice, Payment: wire.PaymentID(inv.ID(bad)), Invoice: bad, Currency: inv.Currency, Total: inv.Amount, Amount: inv.Amount},
	}, inv.Currency)
	a.liar = newLiar(a, LieTampered)
	a.deafen(b)
	a.inject(b, a.stepLock(b, l))
	w.Run(500)
	k := w.watch.ledger(a.id, b.id).locks[1]
	w.assert(k != nil && k.cancel && !k.passed, "the payee did not give it back: %+v", k)
	w.assert(b.Balance(inv.Currency) == 0, "the payee was paid %d", b.Balance(inv.Currency))
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

func TestScenario12SamePartTwice(t *testing.T) {
	w := NewWorld(12, "l", "a", "b", "d")
	l, a, b, d := w.Members[0], w.Members[1], w.Members[2], w.Members[3]
	for _, f := range []*Member{a, b} {
		w.Befriend(l, f, FST, 100, 100)
		w.Befriend(f, d, FST, 100, 100)
	}
	i := w.Invoice(d, fst(10), true)
	id, _ := w.Pay(l, &node.Pay{Invoice: i.URI, Route: []string{a.key, d.key}})
	w.Run(1000)
	w.assert(l.Outcome(id).State == node.Held, "the first is %+v", l.Outcome(id))
	first := w.watch.ledger(l.id, a.id).locks[1].lock
	box := w.watch.ledger(a.id, d.id).locks[1].box
	second := l.write(Letter{Route: []*Member{b, d}, Amounts: []money.Amount{10, 10}, Box: *box, Hashes: first.Condition.Hashes, Salt: box.Salt, Part: first.Part}, FST)
	l.liar = newLiar(l, LieSamePart)
	l.deafen(b)
	l.inject(b, l.stepLock(b, second))
	w.Run(1000)
	k := w.watch.ledger(b.id, d.id).locks[1]
	w.assert(k != nil && k.cancel && k.dropped, "the second at d: %+v", k)
	k = w.watch.ledger(l.id, b.id).locks[1]
	w.assert(k != nil && k.cancel, "the second at b: %+v", k)
	w.Must(l, &node.Release{ID: id})
	w.Run(2000)
	paid(w, l.Outcome(id))
	w.assert(d.Balance(FST) == 10, "d has %d", d.Balance(FST))
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

func TestScenario13Cycle(t *testing.T) {
	w := NewWorld(13, "0", "1", "2")
	m := w.Members
	for i := range 3 {
		w.Befriend(m[i], m[(i+1)%3], FST, 10, 10)
	}
	paid(w, w.PayInvoice(m[1], m[0], 10))
	paid(w, w.PayInvoice(m[2], m[1], 10))
	paid(w, w.PayInvoice(m[0], m[2], 10))
	w.assert(m[0].Between(m[1], FST) == 10 && m[1].Between(m[2], FST) == 10 && m[2].Between(m[0], FST) == 10, "the debts are not there")
	id, _ := w.Pay(m[0], &node.Pay{To: "me", Value: fst(10), Route: []string{m[1].key, m[2].key, m[0].key}})
	w.Run(3000)
	if v := m[0].Outcome(id); v.State != node.Paid { // 0 owes 2: the debt of 1 to 0 is paid the other way round
		id, _ = w.Pay(m[0], &node.Pay{To: "me", Value: fst(10), Route: []string{m[2].key, m[1].key, m[0].key}})
		w.Run(3000)
		t.Errorf("along 0→1→2→0: %+v; the other way %s", v.Reason, m[0].Outcome(id).State)
	}
	for i := range 3 {
		w.assert(m[i].Between(m[(i+1)%3], FST) == 0, "%d has %d with the next", i, m[i].Between(m[(i+1)%3], FST))
	}
	finish(t, w)
}

func TestScenario14RemovedFriend(t *testing.T) {
	w := three()
	m := w.Members
	paid(w, w.PayInvoice(m[0], m[2], 15))
	id, i := w.Hold(m[0], m[2], 15)
	r := w.Try(m[2], &node.Remove{Friend: m[1].key})
	w.assert(r.Err != nil && r.Err.Code == wire.StillOwed, "removed with a debt: %+v", r)
	w.Must(m[2], &node.Remove{Friend: m[1].key, WithDebt: true})
	w.Run(500)
	w.Must(m[2], &node.CancelInvoice{ID: invoiceID(i)})
	w.Run(3000)
	returned(w, m[0].Outcome(id), wire.CancelledByPayee)
	w.Expect("back once", FST, -20, 5, 15)
	link, err := m[2].node.Proof(m[1].key)
	w.assert(err == nil && link != "", "no proof about the removed friend: %v", err)
	finish(t, w)
}

func TestScenario15LostDisk(t *testing.T) {
	for _, old := range []bool{false, true} {
		w := three()
		m := w.Members
		copied := m[0].disk.clone()
		paid(w, w.PayInvoice(m[0], m[2], 15))
		w.Expect("before", FST, -20, 5, 15)
		m[0].Crash()
		if old {
			m[0].putBack(copied)
		} else {
			m[0].putBack(nil)
		}
		m[0].Start()
		w.Run(40_000)
		w.Expect("restored", FST, -20, 5, 15)
		paid(w, w.PayInvoice(m[0], m[2], 15))
		w.Expect("goes on", FST, -40, 10, 30)
		finish(t, w)
	}
}

// TestScenario15TwoLocksOfOnePayment: a payer that lost its disk is shown two locks of one payment, of which one was
// given back and its drop never arrived. The other one is what becomes of the payment.
func TestScenario15TwoLocksOfOnePayment(t *testing.T) {
	for first := range 2 { // either friend is tried first: they are looked at in the order of their keys
		w := NewWorld(15, "a", "b", "c", "d")
		m := w.Members
		a, tried, other, d := m[0], m[1+first], m[2-first], m[3]
		for _, f := range []*Member{tried, other} {
			w.Befriend(a, f, FST, 100, 100)
			w.Befriend(f, d, FST, 100, 100)
		}
		w.Charge(other, a, 1, 0)
		i := w.Invoice(d, fst(10), true)
		fee := money.Amount(10)
		var id wire.PaymentID
		w.index.lossy.forget = 1 // it does not hear of the limit
		w.Must(d, &node.SetLimit{Friend: tried.key, Limit: fst(5)})
		a.Do(&node.Pay{Invoice: i.URI, MaxFee: &fee, GiveUp: 5000}, nil)
		w.until("the first way gives the part back", func() bool {
			k := w.watch.ledger(a.id, tried.id).locks[1]
			return k != nil && k.cancel
		})
		s := w.net.live[pairOf(a, tried)]
		s.stall[1-s.other(tried)] = true
		w.Run(1000)
		for _, v := range a.node.Payments() {
			raw, _ := wire.ParseID16(v.ID)
			id = wire.PaymentID(raw)
		}
		w.assert(a.Outcome(id).State == node.Held && w.LockOn(a, other) == 11, "the second way: %+v, %d locked", a.Outcome(id), w.LockOn(a, other))
		a.Crash()
		a.putBack(nil)
		a.Start()
		w.Run(40_000)
		w.assert(a.Outcome(id).State == node.Held, "after the restore: %+v", a.Outcome(id))
		w.Must(a, &node.Release{ID: id})
		w.Run(2000)
		paid(w, a.Outcome(id))
		w.assert(d.Balance(FST) == 10 && a.Balance(FST) == -11, "a has %d, d has %d", a.Balance(FST), d.Balance(FST))
		finish(t, w)
	}
}

// TestScenario15CarriedBefore: a mediator runs an old copy and is told again of a part that it has carried on already, just
// when it learns from the next hop that it has forgotten something. It does not give the part back.
func TestScenario15CarriedBefore(t *testing.T) {
	for _, shown := range []bool{true, false} { // what was forgotten is shown in that session, or in the next
		w := three()
		a, b, c := w.Members[0], w.Members[1], w.Members[2]
		copied := b.disk.clone()
		s := w.net.live[pairOf(a, b)]
		s.stall[1-s.other(a)] = true // a hears nothing of what b does
		i := w.Invoice(c, fst(15), true)
		a.Do(&node.Pay{Invoice: i.URI, MaxFee: new(money.Amount(5)), GiveUp: 5000}, nil)
		w.Run(500)
		w.assert(w.LockOn(b, c) == 15, "b has locked %d", w.LockOn(b, c))
		raw, _ := wire.ParseID16(a.node.Payments()[0].ID)
		id := wire.PaymentID(raw)
		b.Crash()
		w.Run(300)
		b.putBack(copied)
		w.Cut(a, b, 1000)
		w.Cut(b, c, 100)
		b.Start()
		w.Run(100)
		w.net.connect(b, c)
		s = w.net.live[pairOf(b, c)]
		w.until("b asks", func() bool {
			return b.node != nil && b.with(c).Online && !b.with(c).Ready && s.last[s.other(b)] > w.now
		})
		s.stall[s.other(b)] = true // c does not hear the question yet
		w.net.severed[pairOf(a, b)] = 0
		w.net.connect(a, b)
		w.Run(100)
		if shown {
			s.stall[s.other(b)] = false
		}
		w.Run(500)
		w.net.cut(s)
		w.Run(5000)
		w.assert(a.Outcome(id).State == node.Held && w.LockOn(b, c) == 15, "after the restore: %+v, %d locked", a.Outcome(id), w.LockOn(b, c))
		w.Must(a, &node.Release{ID: id})
		w.Run(2000)
		paid(w, a.Outcome(id))
		w.Expect("paid", FST, -20, 5, 15)
		finish(t, w)
	}
}

func TestScenario16ZeroSum(t *testing.T) {
	w := NewWorld(16, "A", "B", "C", "D", "E", "F")
	m := w.Members
	for _, e := range [][2]int{{0, 1}, {0, 2}, {0, 3}, {0, 4}, {1, 5}} {
		w.Befriend(m[e[0]], m[e[1]], FST, 100, 100)
	}
	for _, p := range []struct {
		from, to int
		a        money.Amount
	}{{0, 1, 5}, {0, 2, 4}, {3, 0, 10}, {4, 0, 2}, {1, 5, 8}} {
		id, _ := w.Pay(m[p.from], &node.Pay{To: m[p.to].key, Value: fst(p.a)})
		w.Run(1500)
		paid(w, m[p.from].Outcome(id))
	}
	w.Expect("totals", FST, 3, -3, 4, -10, -2, 8)
	finish(t, w)
}

func TestScenario17Milkman(t *testing.T) {
	w := NewWorld(17, "milkman", "baker", "carpenter")
	milkman, baker, carpenter := w.Members[0], w.Members[1], w.Members[2]
	w.Befriend(baker, milkman, FST, 3, 3)
	w.Befriend(milkman, carpenter, FST, 5, 5)
	for range 3 {
		paid(w, w.PayInvoice(milkman, baker, 1))
	}
	v := w.PayInvoice(milkman, baker, 1)
	returned(w, v, wire.LimitReached)
	w.assert(v.Reason.Limit.Amount == 3 && v.Reason.Owed.Amount == 3 && v.Reason.Left.Amount == 0, "reason is %+v", v.Reason)
	paid(w, w.PayInvoice(baker, milkman, 3))
	w.Expect("cleared by milk", FST, 0, 0, 0)
	paid(w, w.PayInvoice(baker, carpenter, 2))
	w.Expect("the table", FST, 0, -2, 2)
	finish(t, w)
}
