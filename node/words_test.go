package node

import (
	"testing"

	"kula/money"
)

// A refusal says what stood in the way, with its figures, and who can change it.
func TestLimitInWords(t *testing.T) {
	const eur money.Currency = "EUR/2"
	value := func(a money.Amount) money.Value { return money.Value{Amount: a, Currency: eur} }
	w, n := newWorld(t, "Ana", "Ben")
	ana, ben := n[0], n[1]
	w.befriend(ben, ana, eur, 100_00, 100_00)
	w.must(ana, &Pay{To: "Ben", Value: value(92_40), GiveUp: 1000})
	hold := w.must(ben, &CreateInvoice{Value: value(5_00), Expires: w.now/1000 + 100, Hold: true}).(*InvoiceView)
	w.must(ana, &Pay{Invoice: hold.URI, GiveUp: 1000})
	p := w.must(ana, &Pay{To: "Ben", Value: value(3_00), GiveUp: 1000}).(*PaymentView)
	const want = "Ben lets you owe 100.00 EUR; you owe 92.40 EUR and 5.00 EUR is waiting, so 2.60 EUR is left. Ask Ben to raise it, or pay at most 2.60 EUR."
	if p.State != Returned || p.Reason == nil || p.Reason.Text != want {
		t.Errorf("%s: %+v", p.State, p.Reason)
	}
}
