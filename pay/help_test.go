package pay

import (
	"testing"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/wire"
)

const (
	eur money.Currency = "EUR/2"
	hrs money.Currency = "HOUR/2"
)

var (
	payer = ident.NewKey([32]byte{1})
	ben   = ident.NewKey([32]byte{2}) // a mediator
	payee = ident.NewKey([32]byte{3})
	eve   = ident.NewKey([32]byte{4}) // nobody of this payment
)

var (
	part    = wire.PartID{7}
	payment = wire.PaymentID{8}
	salt    = ident.Salt{9}
)

// open is a channel of mine with a friend that lets me owe limit, of which owed and locked are used.
func open(t testing.TB, me, friend ident.Suite, limit, owed, locked money.Amount) *credit.Channel {
	t.Helper()
	mine, theirs := credit.New(me.ID(), friend.ID()), credit.New(friend.ID(), me.ID())
	if _, err := mine.AcceptTerms(me, theirs.SetTerms(friend, []wire.TermsLine{{Currency: eur, Limit: limit}}, false)); err != nil {
		t.Fatal(err)
	}
	if owed > 0 {
		if err := mine.Add(wire.Add{Kind: wire.AddCorrection, Currency: eur, Amount: owed}); err != nil {
			t.Fatal(err)
		}
	}
	if locked > 0 {
		if _, err := mine.Lock(lockOf(locked)); err != nil {
			t.Fatal(err)
		}
	}
	return mine
}

func lockOf(a money.Amount) wire.Lock {
	return wire.Lock{Number: 1, Part: part, Currency: eur, Amount: a, Condition: wire.Condition{Hashes: []ident.Hash{{1}}}}
}

func invoice(change func(*wire.Invoice)) (wire.Signed, *wire.Invoice) {
	i := wire.Invoice{Currency: eur, Amount: 1250, Memo: "cheese", Created: 1000, Expires: 2000}
	if change != nil {
		change(&i)
	}
	s, i := NewInvoice(payee, salt, i)
	return s, &i
}

func wantReason(t testing.TB, name string, got *wire.Reason, want wire.Code) {
	t.Helper()
	if (got == nil) != (want == wire.CodeNone) || got != nil && got.Code != want {
		t.Errorf("%s: reason %+v, want %q", name, got, want)
	}
}
