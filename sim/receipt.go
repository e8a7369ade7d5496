package sim

import (
	"kula/node"
	"kula/pay"
	"kula/wire"
)

// receipt: a paid payment can be proved.
func (x *watch) receipt(m *Member, v *node.PaymentView) {
	payee := x.w.byID[v.Payee]
	if v.Receipt == "" {
		if payee != nil && payee.liar == nil && !m.restore && !payee.restore && x.w.honestWay() {
			x.w.fail("S6", "%s paid %s without a receipt", m, v.ID)
		}
		return
	}
	r, err := pay.ParseReceipt(v.Receipt)
	if err != nil {
		x.w.fail("S6", "%s: receipt of %s: %v", m, v.ID, err)
		return
	}
	id, _ := wire.ParseID16(v.ID)
	if payment, ok := provedBy(r); !ok || payment != wire.PaymentID(id) {
		x.w.fail("S6", "%s: receipt of %s is one of %s", m, v.ID, payment)
	}
	x.forgeries(m, r)
	paid, err := pay.VerifyReceipt(m.keys, r)
	if err != nil || paid.Value != v.Amount || paid.Payee != v.Payee {
		x.w.fail("S6", "%s: receipt of %s does not verify: %v", m, v.ID, err)
	}
}

// provedBy is the payment that a receipt speaks of.
func provedBy(r *wire.Receipt) (wire.PaymentID, bool) {
	var got wire.Received
	var i wire.Invoice
	if r.Received.None() {
		err := wire.Unmarshal(r.Invoice.Body, &i)
		return wire.PaymentID(i.ID(r.Invoice)), err == nil
	}
	err := wire.Unmarshal(r.Received.Body, &got)
	return got.Payment, err == nil
}

// honestWay says whether nobody in this world can keep a receipt back.
func (w *World) honestWay() bool {
	for _, m := range w.Members {
		if m.liar != nil || m.restore {
			return false
		}
	}
	return true
}

// forgeries: what can be made of true receipts proves nothing (rule S14).
func (x *watch) forgeries(m *Member, r *wire.Receipt) {
	refuse := func(what string, forged *wire.Receipt) {
		if _, err := pay.VerifyReceipt(m.keys, forged); err == nil {
			x.w.fail("S14", "a receipt with %s counts", what)
		}
	}
	other := *r
	other.Payee[0] ^= 1
	refuse("another payee", &other)
	if other = *r; !r.Received.None() {
		other.Received.Sig[0] ^= 1
		refuse("a signature of nobody", &other)
		return
	}
	other.Invoice.Sig[0] ^= 1
	refuse("an invoice that nobody signed", &other)
	other = *r
	other.Preimages = nil
	refuse("no preimage", &other)
	if last := x.proofs[1]; last != nil && last.Invoice.Hash() != r.Invoice.Hash() {
		other = *r
		other.Preimages = last.Preimages
		refuse("the preimage of another invoice", &other)
	}
	if x.proofs[1] == nil || x.proofs[1].Invoice.Hash() != r.Invoice.Hash() {
		x.proofs = [2]*wire.Receipt{x.proofs[1], r}
	}
}
