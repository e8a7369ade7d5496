package pay

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

func TestInvoice(t *testing.T) { // P-3, P-4
	s, i := invoice(nil)
	if i.Payee != payee.ID() || i.Salt != salt || i.Hash != payee.Preimage(salt).Hash() {
		t.Fatalf("%+v", i)
	}
	signed, got, err := ParseInvoiceLink(eve, InvoiceLink(s))
	if err != nil || *got != *i || !signed.Equal(s) {
		t.Fatal(got, err)
	}
	id := i.ID(s)
	if !strings.HasPrefix(id.String(), "0000000003e8") {
		t.Errorf("id %s of an invoice created at 1000", id)
	}
	altered := s
	altered.Body = bytes.Replace(s.Body, []byte("cheese"), []byte("cheesf"), 1)
	if _, err := OpenInvoice(eve, altered); !errors.Is(err, wire.ErrSignature) {
		t.Error(err)
	}
	if _, err := OpenInvoice(eve, wire.Signed{Body: []byte{1}}); !errors.Is(err, wire.ErrForm) {
		t.Error(err)
	}
	for name, link := range map[string]string{
		"altered": InvoiceLink(altered), "not an invoice": InvitationLink(s), "cut": InvoiceLink(s)[:60], "no statement": wire.Link(wire.LinkInvoice, []byte{0x80}),
	} {
		if _, _, err := ParseInvoiceLink(eve, link); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestInvitation(t *testing.T) { // E-15
	i := &wire.Invitation{From: payer.ID(), Name: "Ana", Lines: []wire.Proposal{{Currency: eur, Give: 100, Ask: 50}}, Expires: 9}
	got, err := ParseInvitationLink(eve, InvitationLink(wire.Sign(payer, wire.TagInvitation, i)))
	if err != nil || !bytes.Equal(wire.Marshal(got), wire.Marshal(i)) {
		t.Fatal(got, err)
	}
	for name, s := range map[string]wire.Signed{
		"signed by somebody else": wire.Sign(eve, wire.TagInvitation, i), "under another tag": wire.Sign(payer, wire.TagInvoice, i), "no invitation": wire.Sign(payer, wire.TagInvitation, &wire.Order{}),
	} {
		if _, err := ParseInvitationLink(eve, InvitationLink(s)); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := ParseInvitationLink(eve, "kula:friend?d=!"); err == nil {
		t.Error("opened")
	}
}

func TestRelease(t *testing.T) { // P-35
	r := &wire.Release{Invoice: wire.InvoiceID{1}, Payment: payment, Preimage: ident.Preimage{2}}
	got, err := ParseReleaseLink(ReleaseLink(r))
	if err != nil || *got != *r {
		t.Fatal(got, err)
	}
	for _, bad := range []string{"", "kula:release", wire.Link(wire.LinkRelease, []byte{1}), wire.Link(wire.LinkReceipt, wire.Marshal(r))} {
		if _, err := ParseReleaseLink(bad); err == nil {
			t.Errorf("%q: opened", bad)
		}
	}
}

// P-40, P-41: what a stranger believes of a receipt.
func TestReceipts(t *testing.T) {
	signed, i := invoice(nil)
	held, _ := invoice(func(i *wire.Invoice) { i.Hold = true })
	other, _ := invoice(func(i *wire.Invoice) { i.Memo = "wine" })
	elsewhere, _ := NewInvoice(payee, ident.Salt{1}, wire.Invoice{Currency: eur, Amount: 1250, Created: 1000, Expires: 2000})
	mine := payee.Preimage(salt)
	received := wire.SignAlone(payee, wire.TagReceived, &wire.Received{Payment: payment, Payee: payee.ID(), Currency: eur, Amount: 700, Time: 77})
	forged := received
	forged.Sig[0] ^= 1
	var batch wire.Batch // one signature over three
	batch.Add(wire.TagArrived, &wire.Arrived{})
	batch.Add(wire.TagReceived, &wire.Received{Payment: payment, Payee: payee.ID(), Currency: eur, Amount: 700, Time: 77})
	batch.Add(wire.TagReceived, &wire.Received{Payment: payment, Payee: payee.ID(), Currency: eur, Amount: 701, Time: 77})
	three := batch.Sign(payee)
	moved := three[1]
	moved.Index = 0
	swapped := three[1]
	swapped.Body = three[2].Body
	one, two := []ident.Preimage{mine}, []ident.Preimage{mine, {5}}
	for _, c := range []struct {
		name string
		r    wire.Receipt
		ok   bool
	}{
		{"invoice", wire.Receipt{Payee: payee.ID(), Invoice: signed, Preimages: one, PaidAt: 5}, true},
		{"hold", wire.Receipt{Payee: payee.ID(), Invoice: held, Preimages: one, PaidAt: 5}, true},
		{"push", wire.Receipt{Payee: payee.ID(), Received: received}, true},
		{"another invoice of that payee", wire.Receipt{Payee: payee.ID(), Invoice: elsewhere, Preimages: one}, false},
		{"no preimage", wire.Receipt{Payee: payee.ID(), Invoice: signed}, false},
		{"a preimage made up", wire.Receipt{Payee: payee.ID(), Invoice: signed, Preimages: []ident.Preimage{{1}}}, false},
		{"only the payer's preimage of a hold", wire.Receipt{Payee: payee.ID(), Invoice: held, Preimages: []ident.Preimage{{5}, mine}}, false},
		{"a hold with the payer's preimage too", wire.Receipt{Payee: payee.ID(), Invoice: held, Preimages: two}, false},
		{"a preimage too many", wire.Receipt{Payee: payee.ID(), Invoice: signed, Preimages: two}, false},
		{"names another payee", wire.Receipt{Payee: eve.ID(), Invoice: signed, Preimages: one}, false},
		{"invoice not signed", wire.Receipt{Payee: payee.ID(), Invoice: wire.Signed{Body: signed.Body}, Preimages: one}, false},
		{"push names another payee", wire.Receipt{Payee: eve.ID(), Received: received}, false},
		{"push, signed with others", wire.Receipt{Payee: payee.ID(), Received: three[1]}, true},
		{"push at another place of its batch", wire.Receipt{Payee: payee.ID(), Received: moved}, false},
		{"push at the place of another", wire.Receipt{Payee: payee.ID(), Received: swapped}, false},
		{"push forged", wire.Receipt{Payee: payee.ID(), Received: forged}, false},
		{"push signed as something else", wire.Receipt{Payee: payee.ID(), Received: wire.SignAlone(payee, wire.TagArrived, &wire.Received{Payee: payee.ID(), Currency: eur, Amount: 1})}, false},
		{"push malformed", wire.Receipt{Payee: payee.ID(), Received: wire.SignAlone(payee, wire.TagReceived, &wire.Order{})}, false},
	} {
		paid, err := VerifyReceipt(eve, &c.r)
		if (err == nil) != c.ok {
			t.Errorf("%s: %+v, %v", c.name, paid, err)
		}
		if !c.ok {
			continue
		}
		again, err := ParseReceipt(ReceiptLink(&c.r))
		if err != nil || !bytes.Equal(wire.Marshal(again), wire.Marshal(&c.r)) {
			t.Errorf("%s: %v", c.name, err)
		}
		switch c.name {
		case "push":
			if paid.Payment != payment || paid.PaidAt != 77 || paid.Value != (money.Value{Amount: 700, Currency: eur}) || paid.Payee != payee.ID() {
				t.Errorf("%+v", paid)
			}
		case "invoice":
			if paid.Invoice != i.ID(signed) || paid.PaidAt != 5 || paid.Value != (money.Value{Amount: 1250, Currency: eur}) || paid.Memo != "cheese" {
				t.Errorf("%+v", paid)
			}
		}
	}
	// One salt, two invoices: the preimage cannot tell them apart, so a payee never uses a salt twice.
	if _, err := VerifyReceipt(eve, &wire.Receipt{Payee: payee.ID(), Invoice: other, Preimages: one}); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "kula:receipt", wire.Link(wire.LinkReceipt, []byte{1}), wire.Link(wire.LinkReceipt, wire.Marshal(&wire.Receipt{}))} {
		if _, err := ParseReceipt(bad); err == nil {
			t.Errorf("%q: opened", bad)
		}
	}
}
