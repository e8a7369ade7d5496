package pay

import (
	"testing"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/wire"
)

// P-20: what a mediator carries on, to the unit.
func TestCarry(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*Passage)
		want wire.Code
	}{
		{"carried", func(*Passage) {}, wire.CodeNone},
		{"some decider", func(p *Passage) { p.Lock.Condition.Decider.Kind = 1 }, wire.DeciderNotAccepted},
		{"a deadline without decider", func(p *Passage) { p.Lock.Condition.Deadline = 1 }, wire.DeciderNotAccepted},
		{"a key without decider", func(p *Passage) { p.Lock.Condition.Decider.Key = []byte{1} }, wire.DeciderNotAccepted},
		{"twice", func(p *Passage) { p.Duplicate = true }, wire.DuplicatePart},
		{"no such friend", func(p *Passage) { p.Next = nil }, wire.UnknownNextHop},
		{"fee one short", func(p *Passage) { p.Lock.Amount-- }, wire.FeeTooLow},
		{"more than the fee", func(p *Passage) { p.Lock.Amount++ }, wire.CodeNone},
		{"less than is to go on", func(p *Passage) { p.Fee, p.Lock.Amount = money.Fee{}, 999 }, wire.FeeTooLow},
		{"rate rounded up", func(p *Passage) { p.Fee = money.Fee{Ppm: 5001} }, wire.FeeTooLow},
		{"fee overflows", func(p *Passage) { p.Fee, p.Hop.Amount = money.Fee{Base: 1<<63 - 1, Ppm: 1_000_000}, money.MaxLimit }, wire.FeeTooLow},
		{"frozen", func(p *Passage) { p.Next.Fault = &credit.Fault{} }, wire.ChannelFrozen},
		{"closing", func(p *Passage) { p.Closing = true }, wire.ChannelClosed},
		{"offline", func(p *Passage) { p.Online = false }, wire.FriendOffline},
		{"no room for a lock", func(p *Passage) {
			for range wire.MaxLocks - 1 {
				if _, err := p.Next.Lock(lockOf(1)); err != nil {
					t.Fatal(err)
				}
			}
		}, wire.TooManyLocks},
		{"one above the limit", func(p *Passage) { p.Hop.Amount++; p.Lock.Amount += 2 }, wire.LimitReached},
		{"another currency", func(p *Passage) { p.Lock.Currency = hrs }, wire.LimitReached},
	} {
		l := lockOf(1005)
		p := &Passage{Lock: &l, Hop: wire.Hop{Next: payee.ID(), Amount: 1000}, Fee: money.Fee{Ppm: 5000}, Next: open(t, ben, payee, 1500, 300, 200), Online: true}
		c.do(p)
		r := Carry(p)
		wantReason(t, c.name, r, c.want)
		if r == nil {
			continue
		}
		if r.Currency != l.Currency {
			t.Errorf("%s: names no currency", c.name)
		}
		switch r.Code {
		case wire.LimitReached:
			if l.Currency == eur && (r.Limit != 1500 || r.Owed != 300 || r.Locked != 200 || r.Left != 1000 || r.Next != payee.ID()) {
				t.Errorf("%s: %+v", c.name, r)
			}
		case wire.FeeTooLow:
			if need, ok := p.Fee.Of(p.Hop.Amount); r.Next != payee.ID() || ok && r.Need != need {
				t.Errorf("%s: %+v", c.name, r)
			}
		case wire.UnknownNextHop, wire.ChannelFrozen, wire.ChannelClosed, wire.FriendOffline, wire.TooManyLocks:
			if r.Next != payee.ID() {
				t.Errorf("%s: does not say who stood in the way", c.name)
			}
		}
	}
}

func TestWithin(t *testing.T) {
	c := open(t, ben, payee, 100, 30, 20)
	for a, want := range map[money.Amount]wire.Code{1: wire.CodeNone, 50: wire.CodeNone, 51: wire.LimitReached} {
		wantReason(t, "within", Within(c, eur, a), want)
	}
}

// P-21: what a payee keeps. The order of the rows is that of the policy: an earlier reason wins.
func TestCollect(t *testing.T) {
	for _, c := range []struct {
		name string
		form wire.Form
		do   func(*Claim)
		want wire.Code
	}{
		{"invoice", wire.FormInvoice, func(*Claim) {}, wire.CodeNone},
		{"push", wire.FormPush, func(*Claim) {}, wire.CodeNone},
		{"hold", wire.FormHold, func(*Claim) {}, wire.CodeNone},
		{"one part of several", wire.FormInvoice, func(c *Claim) { c.Box.Amount, c.Lock.Amount, c.Sum = 250, 250, 900 }, wire.CodeNone},
		{"some decider", wire.FormInvoice, func(c *Claim) { c.Lock.Condition.Decider.Kind = 1 }, wire.DeciderNotAccepted},
		{"twice", wire.FormInvoice, func(c *Claim) { c.Duplicate = true }, wire.DuplicatePart},
		{"box in another currency", wire.FormPush, func(c *Claim) { c.Box.Currency = hrs }, wire.WrongCurrency},
		{"lock below the box", wire.FormInvoice, func(c *Claim) { c.Lock.Amount-- }, wire.WrongAmount},
		{"lock above the box", wire.FormPush, func(c *Claim) { c.Lock.Amount++ }, wire.WrongAmount},
		{"parts above the total", wire.FormInvoice, func(c *Claim) { c.Sum++ }, wire.WrongAmount},
		{"two hashes for an invoice", wire.FormInvoice, func(c *Claim) { c.Lock.Condition.Hashes = append(c.Lock.Condition.Hashes, ident.Hash{}) }, wire.BadRequest},
		{"one hash for a hold", wire.FormHold, func(c *Claim) { c.Lock.Condition.Hashes = c.Lock.Condition.Hashes[:1] }, wire.BadRequest},
		{"no valid invoice", wire.FormInvoice, func(c *Claim) { c.Invoice = nil }, wire.BadSignature},
		{"another invoice's hash", wire.FormInvoice, func(c *Claim) { c.Lock.Condition.Hashes[0][0] ^= 1 }, wire.BadRequest},
		{"held, the invoice is not", wire.FormHold, func(c *Claim) { c.Invoice.Hold = false }, wire.BadRequest},
		{"not held, the invoice is", wire.FormInvoice, func(c *Claim) { c.Invoice.Hold = true }, wire.BadRequest},
		{"invoice in another currency", wire.FormInvoice, func(c *Claim) { c.Invoice.Currency = hrs }, wire.WrongCurrency},
		{"total below the invoice", wire.FormInvoice, func(c *Claim) { c.Invoice.Amount++ }, wire.WrongAmount},
		{"total above the invoice", wire.FormInvoice, func(c *Claim) { c.Invoice.Amount-- }, wire.WrongAmount},
		{"paid", wire.FormInvoice, func(c *Claim) { c.State = InvoicePaid }, wire.InvoicePaid},
		{"cancelled", wire.FormHold, func(c *Claim) { c.State = InvoiceCancelled }, wire.InvoiceCancelled},
		{"expired", wire.FormInvoice, func(c *Claim) { c.State = InvoiceExpired }, wire.InvoiceExpired},
		{"unknown", wire.FormInvoice, func(c *Claim) { c.State = InvoiceUnknown }, wire.NotFound},
		{"unknown after a restore", wire.FormInvoice, func(c *Claim) { c.State, c.Restored = InvoiceUnknown, true }, wire.CodeNone},
		{"somebody else pays it", wire.FormInvoice, func(c *Claim) { c.Busy = true }, wire.InvoiceBusy},
		{"held already, same payment", wire.FormHold, func(c *Claim) { c.State = InvoiceHeld }, wire.CodeNone},
		{"last millisecond", wire.FormInvoice, func(c *Claim) { c.Now = 1_999_999 }, wire.CodeNone},
		{"too late", wire.FormInvoice, func(c *Claim) { c.Now = 2_000_000 }, wire.InvoiceExpired},
		{"too late, there before a restore", wire.FormInvoice, func(c *Claim) { c.Now, c.Restored = 2_000_000, true }, wire.CodeNone},
		{"push, whatever the invoices do", wire.FormPush, func(c *Claim) { c.State, c.Busy, c.Now = InvoicePaid, true, 1<<60 }, wire.CodeNone},
	} {
		_, i := invoice(func(i *wire.Invoice) { i.Hold = c.form == wire.FormHold })
		l := lockOf(1250)
		l.Condition.Hashes = []ident.Hash{i.Hash}
		box := &wire.Box{Form: c.form, Payment: payment, Currency: eur, Total: 1250, Amount: 1250}
		claim := &Claim{Lock: &l, Box: box, Invoice: i, State: InvoiceOpen, Sum: 1250, Now: 1_500_000}
		switch c.form {
		case wire.FormHold:
			l.Condition.Hashes = append(l.Condition.Hashes, ident.Hash{2})
		case wire.FormPush:
			claim.Invoice, claim.State = nil, InvoiceUnknown
		}
		c.do(claim)
		r := Collect(claim)
		wantReason(t, c.name, r, c.want)
		if r != nil && r.Currency != eur {
			t.Errorf("%s: names no currency", c.name)
		}
	}
	for s, want := range map[InvoiceState]string{InvoiceUnknown: "unknown", InvoiceOpen: "open", InvoiceHeld: "held", InvoicePaid: "paid", InvoiceCancelled: "cancelled", InvoiceExpired: "expired"} {
		if s.String() != want {
			t.Error(s)
		}
	}
}
