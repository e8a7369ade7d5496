package node

import (
	"testing"

	"kula/credit"
	"kula/ident"
	"kula/pay"
	"kula/wire"
)

// Who a payer says it is counts only with what none but the two can have made, for this part and payment (spec P-21).
func TestPayerNeedsProof(t *testing.T) {
	_, n := newWorld(t, "payee", "payer")
	pair, err := n[1].suite.Pair(n[0].ID())
	if err != nil {
		t.Fatal(err)
	}
	part, payment := wire.PartID{1}, wire.PaymentID{2}
	lock := &credit.TheirLock{Lock: wire.Lock{Part: part}}
	for what, proof := range map[string]ident.Hash{
		"none": {}, "another part's": pay.PayerProof(pair, wire.PartID{3}, payment), "another payment's": pay.PayerProof(pair, part, wire.PaymentID{3}),
	} {
		c := n[0].collectionOf(pay.Sealed{}, &wire.Box{Form: wire.FormPush, Payment: payment, Payer: n[1].ID(), Name: "payer", Proof: proof}, lock)
		if c.payer != (ident.ID{}) || c.name != "" {
			t.Errorf("with %s proof it is %s %q", what, c.payer.Short(), c.name)
		}
	}
	c := n[0].collectionOf(pay.Sealed{}, &wire.Box{Form: wire.FormPush, Payment: payment, Payer: n[1].ID(), Name: "payer", Proof: pay.PayerProof(pair, part, payment)}, lock)
	if c.payer != n[1].ID() || c.name != "payer" {
		t.Errorf("with its proof it is %s %q", c.payer.Short(), c.name)
	}
}
