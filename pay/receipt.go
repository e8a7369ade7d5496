package pay

import (
	"fmt"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// Paid is what a receipt proves.
type Paid struct {
	Payee   ident.ID
	Invoice wire.InvoiceID // zero for a push
	Payment wire.PaymentID // zero for an invoice
	Value   money.Value
	PaidAt  int64 // unix milliseconds; with an invoice the payer's word
	Memo    string
}

// ReceiptLink spells a receipt as text for a file or a message.
func ReceiptLink(r *wire.Receipt) string { return wire.Link(wire.LinkReceipt, wire.Marshal(r)) }

// ParseReceipt reads a receipt without judging it.
func ParseReceipt(link string) (*wire.Receipt, error) {
	data, err := wire.ParseLink(wire.LinkReceipt, link)
	if err != nil {
		return nil, err
	}
	r := new(wire.Receipt)
	return r, wire.Unmarshal(data, r)
}

// VerifyReceipt checks a receipt offline: the payee signed the invoice and the preimage is the
// invoice's, or the payee signed that it received a push.
func VerifyReceipt(v Verifier, r *wire.Receipt) (*Paid, error) {
	if !r.Received.None() {
		return verifyReceived(v, r)
	}
	i, err := OpenInvoice(v, r.Invoice)
	if err != nil {
		return nil, err
	}
	if i.Payee != r.Payee {
		return nil, fmt.Errorf("the invoice is of %s, the receipt names %s", i.Payee, r.Payee)
	}
	if len(r.Preimages) == 0 || r.Preimages[0].Hash() != i.Hash {
		return nil, fmt.Errorf("the preimage is not that of invoice %s: it does not show that this invoice was paid", i.ID(r.Invoice))
	}
	if len(r.Preimages) != 1 { // of a hold the payer's own proves nothing
		return nil, fmt.Errorf("a receipt has the payee's preimage alone, this one has %d", len(r.Preimages))
	}
	return &Paid{
		Payee: i.Payee, Invoice: i.ID(r.Invoice), PaidAt: r.PaidAt, Memo: i.Memo,
		Value: money.Value{Amount: i.Amount, Currency: i.Currency},
	}, nil
}

func verifyReceived(v Verifier, r *wire.Receipt) (*Paid, error) {
	var got wire.Received
	if err := r.Received.Open(v, r.Payee, wire.TagReceived, &got); err != nil {
		return nil, err
	}
	if got.Payee != r.Payee {
		return nil, fmt.Errorf("the statement is of %s, the receipt names %s", got.Payee, r.Payee)
	}
	return &Paid{
		Payee: got.Payee, Payment: got.Payment, PaidAt: got.Time,
		Value: money.Value{Amount: got.Amount, Currency: got.Currency},
	}, nil
}
