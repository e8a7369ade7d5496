package pay

import (
	"kula/credit"
	"kula/money"
	"kula/wire"
)

// Passage is one lock that asks a mediator to be carried on.
type Passage struct {
	Lock      *wire.Lock
	Hop       wire.Hop
	Fee       money.Fee       // what I charge the friend it came from
	Next      *credit.Channel // the channel to the next hop, nil if it is no friend
	Online    bool            // whether that channel can sign now
	Closing   bool            // whether either side of it takes no new locks
	Duplicate bool            // another open incoming lock has this part id
	Now       int64           // unix milliseconds
}

// Carry says why a passage is not carried on, nil if it is. The list is the policy of a mediator.
func Carry(p *Passage) *wire.Reason {
	for _, check := range []func(*Passage) *wire.Reason{
		carriedDecider, carriedOnce, nextKnown, feePaid, nextOpen, nextOnline, nextHasRoom, nextWithinLimit,
	} {
		if r := check(p); r != nil {
			r.Currency = p.Lock.Currency
			return r
		}
	}
	return nil
}

// Decidable says why a lock's condition is not accepted, nil if it is: the only decider is none, without a deadline.
func Decidable(l *wire.Lock) *wire.Reason {
	if l.Condition.Decider.Kind != wire.DeciderNone || l.Condition.Deadline != 0 || len(l.Condition.Decider.Key) > 0 {
		return &wire.Reason{Code: wire.DeciderNotAccepted}
	}
	return nil
}

func carriedDecider(p *Passage) *wire.Reason { return Decidable(p.Lock) }

func carriedOnce(p *Passage) *wire.Reason {
	if p.Duplicate {
		return &wire.Reason{Code: wire.DuplicatePart}
	}
	return nil
}

func nextKnown(p *Passage) *wire.Reason {
	if p.Next == nil {
		return &wire.Reason{Code: wire.UnknownNextHop, Next: p.Hop.Next}
	}
	return nil
}

func feePaid(p *Passage) *wire.Reason {
	need, ok := p.Fee.Of(p.Hop.Amount)
	if !ok || p.Lock.Amount-p.Hop.Amount < need {
		return &wire.Reason{Code: wire.FeeTooLow, Next: p.Hop.Next, Need: need}
	}
	return nil
}

func nextOpen(p *Passage) *wire.Reason {
	if p.Next.Fault != nil {
		return &wire.Reason{Code: wire.ChannelFrozen, Next: p.Hop.Next}
	}
	if p.Closing {
		return &wire.Reason{Code: wire.ChannelClosed, Next: p.Hop.Next}
	}
	return nil
}

func nextOnline(p *Passage) *wire.Reason {
	if !p.Online {
		return &wire.Reason{Code: wire.FriendOffline, Next: p.Hop.Next}
	}
	return nil
}

func nextHasRoom(p *Passage) *wire.Reason {
	if p.Next.OpenLocks() >= wire.MaxLocks {
		return &wire.Reason{Code: wire.TooManyLocks, Next: p.Hop.Next}
	}
	return nil
}

func nextWithinLimit(p *Passage) *wire.Reason {
	return Within(p.Next, p.Lock.Currency, p.Hop.Amount)
}

// Within says why an amount may not be locked towards a friend, nil if it may.
func Within(c *credit.Channel, cur money.Currency, a money.Amount) *wire.Reason {
	f := c.Figures(cur)
	if a <= f.CanPay {
		return nil
	}
	return &wire.Reason{
		Code: wire.LimitReached, Next: c.Friend, Currency: cur,
		Limit: f.LimitReceived, Owed: -f.Balance, Locked: f.LockedByMe, Left: f.CanPay,
	}
}

// Claim is one part that asks its payee to be collected.
type Claim struct {
	Lock      *wire.Lock
	Box       *wire.Box
	Invoice   *wire.Invoice // opened from the box, nil for a push
	State     InvoiceState  // of that invoice at its payee
	Busy      bool          // another payment's parts of this invoice are here
	Duplicate bool
	Restored  bool         // the lock was there before a restore: dates no longer count
	Sum       money.Amount // of the parts that arrived, this one included
	Now       int64        // unix milliseconds
}

// InvoiceState is where an invoice stands at its payee.
type InvoiceState uint8

// Where an invoice stands.
const (
	InvoiceUnknown InvoiceState = iota
	InvoiceOpen
	InvoiceHeld
	InvoicePaid
	InvoiceCancelled
	InvoiceExpired
	InvoiceDoubted // its payee runs an old copy and does not know whether it was paid
)

func (s InvoiceState) String() string {
	return [...]string{"unknown", "open", "held", "paid", "cancelled", "expired", "cancelled"}[s]
}

// Collect says why a claim is given back, nil if it is kept. The list is the policy of a payee.
func Collect(c *Claim) *wire.Reason {
	for _, check := range []func(*Claim) *wire.Reason{
		claimDecider, claimOnce, claimAmounts, claimForm, claimInvoice, claimState, claimDates,
	} {
		if r := check(c); r != nil {
			r.Currency = c.Lock.Currency
			return r
		}
	}
	return nil
}

func claimDecider(c *Claim) *wire.Reason { return Decidable(c.Lock) }

func claimOnce(c *Claim) *wire.Reason {
	if c.Duplicate {
		return &wire.Reason{Code: wire.DuplicatePart}
	}
	return nil
}

func claimAmounts(c *Claim) *wire.Reason {
	if c.Box.Currency != c.Lock.Currency {
		return &wire.Reason{Code: wire.WrongCurrency}
	}
	if c.Box.Amount != c.Lock.Amount || c.Sum > c.Box.Total {
		return &wire.Reason{Code: wire.WrongAmount, Left: c.Box.Amount}
	}
	return nil
}

func claimForm(c *Claim) *wire.Reason {
	hashes := 1
	if c.Box.Form == wire.FormHold {
		hashes = 2
	}
	if len(c.Lock.Condition.Hashes) != hashes {
		return &wire.Reason{Code: wire.BadRequest}
	}
	return nil
}

func claimInvoice(c *Claim) *wire.Reason {
	if c.Box.Form == wire.FormPush {
		return nil
	}
	if c.Invoice == nil {
		return &wire.Reason{Code: wire.BadSignature}
	}
	if c.Invoice.Hash != c.Lock.Condition.Hashes[0] || c.Invoice.Hold != (c.Box.Form == wire.FormHold) {
		return &wire.Reason{Code: wire.BadRequest}
	}
	if c.Invoice.Currency != c.Lock.Currency {
		return &wire.Reason{Code: wire.WrongCurrency}
	}
	if c.Box.Total != c.Invoice.Amount {
		return &wire.Reason{Code: wire.WrongAmount, Left: c.Invoice.Amount}
	}
	return nil
}

func claimState(c *Claim) *wire.Reason {
	if c.Box.Form == wire.FormPush {
		return nil
	}
	switch c.State {
	case InvoicePaid:
		return &wire.Reason{Code: wire.InvoicePaid}
	case InvoiceCancelled:
		return &wire.Reason{Code: wire.InvoiceCancelled}
	case InvoiceDoubted:
		return &wire.Reason{Code: wire.InvoiceCancelled, Text: "its records are an old copy; ask for a new invoice"}
	case InvoiceExpired:
		return &wire.Reason{Code: wire.InvoiceExpired}
	case InvoiceUnknown:
		if !c.Restored {
			return &wire.Reason{Code: wire.NotFound}
		}
	}
	if c.Busy {
		return &wire.Reason{Code: wire.InvoiceBusy}
	}
	return nil
}

func claimDates(c *Claim) *wire.Reason {
	if c.Invoice != nil && !c.Restored && c.Now/1000 >= c.Invoice.Expires {
		return &wire.Reason{Code: wire.InvoiceExpired}
	}
	return nil
}
