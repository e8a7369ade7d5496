package node

import (
	"testing"

	"kula/ident"
	"kula/wire"
)

// FuzzOpenHeads feeds what a friend kept for me, or says it kept.
func FuzzOpenHeads(f *testing.F) {
	k := ident.NewKey([32]byte{1})
	w, list := newWorld(&testing.T{}, "zero", "one")
	w.befriend(list[0], list[1], fst, 10, 10)
	heads, err := list[0].Heads()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(heads)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := OpenHeads(k, data)
		if err == nil && len(wire.Marshal(h)) == 0 {
			t.Error("heads of nothing")
		}
	})
}

// FuzzDecodePayment feeds a damaged record of an ended payment.
func FuzzDecodePayment(f *testing.F) {
	f.Add(wire.Marshal(savedPaymentOf(&payment{})))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := DecodePayment(data)
		if err == nil && v.ID == "" {
			t.Error("a payment without an id")
		}
	})
}

// FuzzDecodeInvoice feeds a damaged record of an ended invoice.
func FuzzDecodeInvoice(f *testing.F) {
	f.Add(wire.Marshal(savedInvoiceOf(&invoice{})))
	f.Fuzz(func(t *testing.T, data []byte) {
		if v, err := DecodeInvoice(data); err == nil && v == nil {
			t.Error("neither an invoice nor an error")
		}
	})
}
