package sim

import (
	"fmt"

	"kula/money"
	"kula/node"
	"kula/wire"
)

// Small worlds made by hand, for scenarios: everything works and is prompt until a scenario breaks it.

// FST is the currency of the scenarios.
const FST money.Currency = "FST/0"

// NewWorld is a world with members of the given names, started, without friends and without faults.
func NewWorld(seed uint64, names ...string) *World {
	w := newWorld(seed)
	w.verify = true
	w.net.lossy = Faults{latency: 5}
	for _, n := range names {
		w.AddMember(n).Start()
	}
	w.Run(50)
	return w
}

// Befriend makes two members friends: a lets b owe aGives, b lets a owe bGives.
func (w *World) Befriend(a, b *Member, cur money.Currency, aGives, bGives money.Amount) {
	if v := a.with(b); v != nil { // one more currency
		w.Must(a, &node.SetLimit{Friend: b.key, Limit: money.Value{Amount: aGives, Currency: cur}})
		w.Must(b, &node.SetLimit{Friend: a.key, Limit: money.Value{Amount: bGives, Currency: cur}})
		w.Run(2000)
		return
	}
	v := w.Must(a, &node.Invite{Lines: []wire.Proposal{{Currency: cur, Give: aGives, Ask: bGives}}, Expires: a.clock()/1000 + 3600})
	if v == nil {
		return
	}
	w.Must(b, &node.Accept{Link: v.(*node.InvitationView).URI})
	w.Run(4000)
	if f := a.with(b); f == nil || !f.Ready {
		w.fail("scenario", "%s and %s did not become friends", a, b)
	}
}

// Try gives a command and lets time pass until it is answered, 5 s at most.
func (w *World) Try(m *Member, c node.Command) node.Reply {
	reply := node.Reply{Err: &node.Error{Text: "not answered within 5 s"}}
	done := false
	m.Do(c, func(r node.Reply) { reply, done = r, true })
	for end := w.now + 5000; !done && w.now < end && w.err == nil; {
		w.Run(10)
	}
	return reply
}

// Must is Try for a command that is not refused.
func (w *World) Must(m *Member, c node.Command) any {
	r := w.Try(m, c)
	if r.Err != nil {
		w.fail("scenario", "%s: %T: %s: %s", m, c, r.Err.Code, r.Err.Text)
		return nil
	}
	return r.Value
}

// Charge sets what a member charges a friend.
func (w *World) Charge(m, friend *Member, base money.Amount, ppm uint32) {
	w.Must(m, &node.SetFee{Friend: friend.key, Currency: FST, Fee: money.Fee{Base: base, Ppm: ppm}})
	w.Run(2500) // until the index knows
}

// Pay starts a payment and gives its id and first view.
func (w *World) Pay(payer *Member, c *node.Pay) (wire.PaymentID, *node.PaymentView) {
	if c.GiveUp == 0 {
		c.GiveUp = 5000
	}
	if c.MaxFee == nil {
		any := money.Amount(1_000_000)
		c.MaxFee = &any
	}
	v, ok := w.Must(payer, c).(*node.PaymentView)
	if !ok {
		return wire.PaymentID{}, &node.PaymentView{}
	}
	id, _ := wire.ParseID16(v.ID)
	return wire.PaymentID(id), v
}

// Outcome is how a payment stands now, from memory or from the disk of what has ended.
func (m *Member) Outcome(id wire.PaymentID) *node.PaymentView {
	if v, ok := m.node.Payment(id); ok {
		return v
	}
	if v, err := node.DecodePayment(m.disk.get(node.KindPaymentDone, id.String())); err == nil {
		return v
	}
	return &node.PaymentView{}
}

// Invoice asks for a payment.
func (w *World) Invoice(payee *Member, v money.Value, hold bool) *node.InvoiceView {
	i, ok := w.Must(payee, &node.CreateInvoice{Value: v, Expires: payee.clock()/1000 + 3000, Hold: hold}).(*node.InvoiceView)
	if !ok {
		return &node.InvoiceView{}
	}
	return i
}

func invoiceID(v *node.InvoiceView) wire.InvoiceID {
	id, _ := wire.ParseID16(v.ID)
	return wire.InvoiceID(id)
}

// PayInvoice has an invoice paid and lets everything come to rest.
func (w *World) PayInvoice(payer, payee *Member, amount money.Amount) *node.PaymentView {
	i := w.Invoice(payee, money.Value{Amount: amount, Currency: FST}, false)
	id, _ := w.Pay(payer, &node.Pay{Invoice: i.URI})
	w.Run(3000)
	return payer.Outcome(id)
}

// Hold sets an amount aside and waits until it is held.
func (w *World) Hold(payer, payee *Member, amount money.Amount) (wire.PaymentID, *node.InvoiceView) {
	i := w.Invoice(payee, money.Value{Amount: amount, Currency: FST}, true)
	id, _ := w.Pay(payer, &node.Pay{Invoice: i.URI})
	w.Run(2000)
	return id, i
}

// Between is the balance of m with o.
func (m *Member) Between(o *Member, cur money.Currency) money.Amount {
	return currencyOf(m.with(o), cur).Balance.Amount
}

// LockOn is what from has locked towards to.
func (w *World) LockOn(from, to *Member) money.Amount {
	return currencyOf(from.with(to), FST).LockedByMe.Amount
}

// Expect holds total balances against those wanted, in the order of members.
func (w *World) Expect(what string, cur money.Currency, want ...money.Amount) {
	got := make([]money.Amount, len(want))
	same := true
	for i := range want {
		got[i] = w.Members[i].Balance(cur)
		same = same && got[i] == want[i]
	}
	if !same {
		w.fail("scenario", "%s: balances in %s are %v, want %v", what, cur, got, want)
	}
}

// End lets the world come to rest without faults and audits it.
func (w *World) End() {
	w.Run(3000)
	if w.err == nil {
		w.audit()
	}
}

// Cut severs two members for some milliseconds.
func (w *World) Cut(a, b *Member, ms int64) {
	w.net.severed[pairOf(a, b)] = w.now + ms
	if s := w.net.live[pairOf(a, b)]; s != nil {
		w.net.cut(s)
	}
}

func (w *World) assert(ok bool, format string, args ...any) {
	if !ok {
		w.fail("scenario", "%s", fmt.Sprintf(format, args...))
	}
}
