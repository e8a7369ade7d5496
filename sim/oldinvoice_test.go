package sim

import (
	"testing"

	"kula/node"
	"kula/wire"
)

// shop is a payee with two customers, either of whom could pay any of its invoices.
func shop() (w *World, payee, one, two *Member) {
	w = NewWorld(18, "payee", "one", "two")
	payee, one, two = w.Members[0], w.Members[1], w.Members[2]
	w.Befriend(payee, one, FST, 100, 100)
	w.Befriend(payee, two, FST, 100, 100)
	return w, payee, one, two
}

// comeBack starts a member again with another disk, and waits until its friends have shown what they hold.
func (w *World) comeBack(m *Member, d *disk) {
	m.Crash()
	m.putBack(d)
	m.Start()
	w.Run(40_000)
}

// pays has an invoice paid and lets everything come to rest.
func (w *World) pays(payer *Member, i *node.InvoiceView) *node.PaymentView {
	id, _ := w.Pay(payer, &node.Pay{Invoice: i.URI})
	w.Run(3000)
	return payer.Outcome(id)
}

// An old copy does not know which of its invoices were paid since (spec P-22): nobody can pay them any more, a new one can be paid.
func TestScenario15OldCopyInvoice(t *testing.T) {
	w, payee, one, two := shop()
	before := w.Invoice(payee, fst(10), false) // the copy holds it as open
	copied := payee.disk.clone()
	after := w.Invoice(payee, fst(7), false) // the copy knows nothing of it
	paid(w, w.pays(one, before))
	paid(w, w.pays(one, after))
	w.comeBack(payee, copied)
	w.Expect("the old copy has caught up", FST, 17, -17, 0)
	v, _ := payee.node.Invoice(invoiceID(before))
	w.assert(v != nil && v.State == "cancelled", "the payee shows %+v", v)
	returned(w, w.pays(two, before), wire.InvoiceCancelled)
	returned(w, w.pays(two, after), wire.InvoiceCancelled)
	w.Expect("neither was paid twice", FST, 17, -17, 0)
	payee.Crash()
	payee.Start()
	w.Run(5000)
	returned(w, w.pays(two, before), wire.InvoiceCancelled)
	paid(w, w.PayInvoice(two, payee, 5))
	w.Expect("a new one is paid", FST, 22, -17, -5)
	finish(t, w)
}

// What the old copy knows as paid stays paid.
func TestScenario15OldCopyKnowsPaid(t *testing.T) {
	w, payee, one, two := shop()
	i := w.Invoice(payee, fst(10), false)
	paid(w, w.pays(one, i))
	copied := payee.disk.clone()
	paid(w, w.PayInvoice(one, payee, 1))
	w.comeBack(payee, copied)
	v := w.pays(two, i)
	w.assert(v.State == node.Returned, "a paid invoice is %s once more", v.State)
	w.Expect("not paid twice", FST, 11, -11, 0)
	finish(t, w)
}

// A hold that is set aside outlives an old copy, whether the copy knew of it or not.
func TestScenario15OldCopyHold(t *testing.T) {
	for _, known := range []bool{false, true} {
		w, payee, one, two := shop()
		copied := payee.disk.clone()
		id, i := w.Hold(one, payee, 10)
		if known {
			copied = payee.disk.clone()
		}
		paid(w, w.PayInvoice(one, payee, 1))
		w.comeBack(payee, copied)
		v, _ := payee.node.Invoice(invoiceID(i))
		w.assert(v != nil && v.State == "held", "known %v: the payee shows %+v", known, v)
		returned(w, w.pays(two, i), wire.InvoiceBusy)
		w.Must(one, &node.Release{ID: id})
		w.Run(3000)
		paid(w, one.Outcome(id))
		v2 := w.pays(two, i)
		w.assert(v2.State == node.Returned, "known %v: paid twice", known)
		w.Expect("released", FST, 11, -11, 0)
		finish(t, w)
	}
}

// From the phrase alone open invoices come back (design §3), and each is paid once from then on.
func TestScenario15PhraseInvoice(t *testing.T) {
	w, payee, one, two := shop()
	paid(w, w.PayInvoice(one, payee, 1))
	paid(w, w.PayInvoice(two, payee, 1)) // whoever holds no promise of a lost disk's owner is no friend of it any more
	i := w.Invoice(payee, fst(10), false)
	w.comeBack(payee, nil)
	paid(w, w.pays(one, i))
	returned(w, w.pays(two, i), wire.InvoicePaid)
	payee.Crash()
	payee.Start()
	w.Run(5000)
	returned(w, w.pays(two, i), wire.InvoicePaid)
	w.Expect("once", FST, 12, -11, -1)
	finish(t, w)
}
