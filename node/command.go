package node

import (
	"errors"
	"fmt"
	"slices"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

func refusal(code wire.Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

func (n *Node) reply(id uint64, value any, err *Error) {
	n.fx.Reply = append(n.fx.Reply, Reply{ID: id, Value: value, Err: err})
}

func (n *Node) command(id uint64, c Command) {
	var value any
	var err *Error
	switch c := c.(type) {
	case *Pay:
		n.pay(id, c)
		return
	case *Invite:
		value, err = n.invite(c)
	case *AddFriend:
		value, err = n.askFriend(c)
	case *Decline:
		err = n.decline(c)
	case *Accept:
		value, err = n.acceptInvitation(c)
	case *Block:
		value, err = n.block(c)
	case *Find:
		value, err = n.findAt(c)
	case *CreateInvoice:
		value, err = n.createInvoice(c)
	case *CancelInvoice:
		value, err = n.cancelInvoice(c.ID)
	case *Redeem:
		value, err = n.redeem(c.Link)
	case *Release:
		value, err = n.releaseHold(c.ID)
	case *CancelPayment:
		value, err = n.cancelPayment(c.ID)
	case *Configure:
		err = n.configure(c)
	default:
		value, err = n.friendCommand(c)
	}
	n.reply(id, value, err)
}

func (n *Node) friendCommand(c Command) (any, *Error) {
	var ref string
	var do func(*friend) *Error
	switch c := c.(type) {
	case *SetLimit:
		ref, do = c.Friend, func(f *friend) *Error { return n.setLimit(f, c.Limit) }
	case *SetFee:
		ref, do = c.Friend, func(f *friend) *Error { return n.setFee(f, c.Currency, c.Fee) }
	case *Settle:
		ref, do = c.Friend, func(f *friend) *Error { return n.settle(f, c) }
	case *Agree:
		ref, do = c.Friend, n.agree
	case *Close:
		ref, do = c.Friend, n.closeFriend
	case *Remove:
		ref, do = c.Friend, func(f *friend) *Error { return n.remove(f, c.WithDebt) }
	default:
		panic(fmt.Sprintf("node: unknown command %T", c))
	}
	f, err := n.find(ref)
	if _, again := c.(*Remove); err == nil && f.removed && !again {
		err = refusal(wire.UnknownFriend, "you have removed %s. Invite them again with: kula friend invite", f.name)
	}
	if err == nil {
		err = do(f)
	}
	if err != nil {
		return nil, err
	}
	n.tellFriend(f)
	return n.friendView(f), nil
}

func (n *Node) configure(c *Configure) *Error {
	if err := wire.CleanText(c.Name, wire.MaxName); err != nil {
		return refusal(wire.BadRequest, "the name: %v", err)
	}
	addresses := c.Addresses[:min(len(c.Addresses), maxOwnAddresses)]
	moved := !slices.Equal(addresses, n.cfg.Addresses)
	n.cfg.Name, n.cfg.Addresses = c.Name, addresses
	for _, f := range n.order {
		if moved && f.session != nil && !f.session.dead && !f.tentative { // others hear it from the next hello
			n.send(f, &wire.Moved{Addresses: addresses})
		}
	}
	return nil
}

// signTerms signs my next terms. They are numbered by the time: this may be an old copy that nobody has told so yet, and what
// it signed since has lower numbers.
func (n *Node) signTerms(f *friend, lines []wire.TermsLine, closing bool) wire.Signed {
	f.ch.TermsAbove = uint64(n.now/1000) - 1
	return f.ch.SetTerms(n.suite, lines, closing)
}

// setTerms changes the lines of my terms and tells the friend.
func (n *Node) setTerms(f *friend, change func([]wire.TermsLine) []wire.TermsLine) *Error {
	lines := change(slices.Clone(f.ch.Granted().Lines))
	if len(lines) > wire.MaxLines {
		return refusal(wire.BadRequest, "%d currencies with one friend, at most %d", len(lines), wire.MaxLines)
	}
	signed := n.signTerms(f, lines, f.closing)
	n.room(f)
	n.markChannel(f)
	n.touch(f)
	if f.session != nil && f.session.heard {
		n.send(f, &wire.NewTerms{Terms: signed})
	}
	return nil
}

// lineOf finds or adds the line of a currency.
func lineOf(lines []wire.TermsLine, cur money.Currency) ([]wire.TermsLine, *wire.TermsLine) {
	i := slices.IndexFunc(lines, func(l wire.TermsLine) bool { return l.Currency == cur })
	if i < 0 {
		lines = append(lines, wire.TermsLine{Currency: cur})
		i = len(lines) - 1
	}
	return lines, &lines[i]
}

func (n *Node) setLimit(f *friend, limit money.Value) *Error {
	if !limit.Currency.Valid() {
		return refusal(wire.UnknownCurrency, "%q is not a currency; write e.g. EUR/2", string(limit.Currency))
	}
	if limit.Amount < 0 || limit.Amount > money.MaxLimit {
		return refusal(wire.WrongAmount, "a limit of %s; it must be 0 to %s", limit, money.Value{Amount: money.MaxLimit, Currency: limit.Currency})
	}
	if f.closing && limit.Amount > 0 {
		f.closing = false // a limit above 0 opens the friendship again
		n.markFriend(f)
	}
	return n.setTerms(f, func(lines []wire.TermsLine) []wire.TermsLine {
		lines, l := lineOf(lines, limit.Currency)
		l.Limit = limit.Amount
		return lines
	})
}

func (n *Node) setFee(f *friend, cur money.Currency, fee money.Fee) *Error {
	if !cur.Valid() {
		return refusal(wire.UnknownCurrency, "%q is not a currency; write e.g. EUR/2", string(cur))
	}
	if fee.Base < 0 || fee.Base > money.MaxLimit || fee.Ppm > 1_000_000 {
		return refusal(wire.WrongAmount, "a fee of %s and %d ppm; it must be 0 or more and at most 1,000,000 ppm (100 %%)", money.Value{Amount: fee.Base, Currency: cur}, fee.Ppm)
	}
	return n.setTerms(f, func(lines []wire.TermsLine) []wire.TermsLine {
		lines, l := lineOf(lines, cur)
		l.FeeBase, l.FeePpm = fee.Base, fee.Ppm
		return lines
	})
}

// settle records a repayment that I, the creditor, received outside Kula.
func (n *Node) settle(f *friend, c *Settle) *Error {
	cur := c.Amount.Currency
	fig := f.ch.Figures(cur)
	balance := fig.Balance
	free := max(0, balance-fig.LockedByMe) // what is locked may become debt of mine: it is no longer theirs to repay
	switch {
	case c.Amount.Amount <= 0:
		return refusal(wire.WrongAmount, "a repayment of %s; it must be above 0", c.Amount)
	case balance <= 0:
		return refusal(wire.WrongAmount, "%s owes you nothing in %s (you owe %s). Who was repaid records it: ask %s to run the same command",
			f.name, cur, money.Value{Amount: -balance, Currency: cur}, f.name)
	case c.Amount.Amount > balance:
		return refusal(wire.WrongAmount, "%s owes you %s, less than the %s of the repayment. Record at most %s",
			f.name, money.Value{Amount: balance, Currency: cur}, c.Amount, money.Value{Amount: balance, Currency: cur})
	case c.Amount.Amount > free:
		return refusal(wire.WrongAmount, "%s owes you %s, and payments of %s through them are under way. Record at most %s, or wait until those have ended",
			f.name, money.Value{Amount: balance, Currency: cur}, money.Value{Amount: fig.LockedByMe, Currency: cur}, money.Value{Amount: free, Currency: cur})
	}
	if err := wire.CleanText(c.Text, wire.MaxText); err != nil {
		return refusal(wire.BadRequest, "the text: %v", err)
	}
	if f.pending || f.inDoubt() {
		return refusal(wire.CatchingUp, "wait until %s has been online", f.name)
	}
	if err := f.ch.Add(wire.Add{Kind: wire.AddSettlement, Currency: cur, Amount: c.Amount.Amount, Text: c.Text}); err != nil {
		var no *credit.Refusal
		if errors.As(err, &no) {
			return refusal(no.Code, "%s", no.Text)
		}
		return refusal(wire.ChannelFrozen, "the account with %s is frozen. Look at: kula friend show %s", f.name, f.name)
	}
	n.markChannel(f)
	n.touch(f)
	return nil
}

// agree goes on after a fault: on the friend's view if it has proposed one, else on mine, which is proposed to it.
func (n *Node) agree(f *friend) *Error {
	if f.proposal != nil {
		return n.acceptProposal(f)
	}
	if f.ch.Fault == nil && !f.frozen {
		return refusal(wire.Conflict, "the account with %s is not frozen; there is nothing to agree on", f.name)
	}
	if f.ch.Fault == nil {
		return refusal(wire.Conflict, "%s froze the account and has not proposed figures yet. Ask them to run: kula friend agree", f.name)
	}
	if !f.ch.AwaitsEpoch() {
		if f.session == nil || !f.session.heard || f.inDoubt() { // this may be an old copy: nothing is signed before the hello
			return refusal(wire.CatchingUp, "wait until %s is online, then agree again", f.name)
		}
		n.startEpoch(f, nil)
	}
	n.propose(f)
	return nil
}

func (n *Node) propose(f *friend) {
	if f.session != nil && f.session.heard && f.ch.Fault != nil && f.ch.AwaitsEpoch() {
		n.send(f, &wire.Agree{Snapshot: *f.ch.Snapshot()})
	}
}

// closeFriend: no new debt with the friend from either side; what is owed can be repaid.
func (n *Node) closeFriend(f *friend) *Error {
	f.closing = true
	n.markFriend(f)
	return n.setTerms(f, func(lines []wire.TermsLine) []wire.TermsLine {
		for i := range lines {
			lines[i].Limit = 0
		}
		return lines
	})
}

func (n *Node) remove(f *friend, withDebt bool) *Error {
	if !f.idle() && !withDebt {
		var figures []string
		for _, cur := range f.ch.Currencies() {
			fig := f.ch.Figures(cur)
			if fig.Balance != 0 {
				figures = append(figures, n.balanceWords(f, money.Value{Amount: fig.Balance, Currency: cur}))
			}
			if locked := fig.LockedByMe + fig.LockedByThem; locked != 0 {
				figures = append(figures, money.Value{Amount: locked, Currency: cur}.String()+" is still under way")
			}
		}
		return refusal(wire.StillOwed, "%s. Settle it first, or remove with --with-debt: the proofs are kept", joinAnd(figures))
	}
	pending := f.pending
	f.pending, f.token, f.wanted = false, nil, nil // the invitation is not to bring it back
	if pending && f.unused() {
		n.dropFriend(f)
		n.markFriend(f)
		n.markChannel(f)
		n.dirty[recordKey{kind: kindFriend, friend: f}] = true
	} else if err := n.closeFriend(f); err != nil {
		return err
	}
	f.removed = true
	n.markFriend(f)
	n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
	return nil
}

func (n *Node) block(c *Block) (any, *Error) {
	r := Record{Kind: kindBlock, Key: c.Key.String()}
	if c.Unblock {
		delete(n.blocked, c.Key)
	} else {
		n.blocked[c.Key] = true
		r.Value = []byte{1}
		_ = n.decline(&Decline{Key: c.Key}) // it may have asked nothing
	}
	n.fx.Save = append(n.fx.Save, r)
	n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
	f := n.friends[c.Key]
	if f == nil {
		return nil, nil
	}
	if !c.Unblock {
		n.hangup(f)
	}
	return n.friendView(f), nil
}

// findAt remembers an address of a friend; of a key that is no friend, which may know me from before a restore.
func (n *Node) findAt(c *Find) (any, *Error) {
	if len(c.Address) > wire.MaxAddress || c.Address == "" {
		return nil, refusal(wire.BadRequest, "an address of %d bytes, must be 1 to %d", len(c.Address), wire.MaxAddress)
	}
	if err := wire.CleanText(c.Name, wire.MaxName); err != nil {
		return nil, refusal(wire.BadRequest, "the name: %v", err)
	}
	f, err := n.find(c.Friend)
	if err != nil {
		id, bad := ident.ParseID(c.Friend)
		if bad != nil || id == n.me {
			return nil, err
		}
		if f = n.friends[id]; f == nil { // else a stranger that is just showing what it holds
			f = n.newFriend(id)
			n.addFriend(f)
		}
		f.tentative, f.lost = false, asking
		f.name, f.unnamed = n.uniqueName(c.Name, f), c.Name == ""
		n.markChannel(f)
		n.wakeAt(n.now + patience)
	} else if f.unnamed && c.Name != "" {
		f.name, f.unnamed = n.uniqueName(c.Name, f), false
	}
	f.learnAddress(c.Address)
	n.markFriend(f)
	n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
	return n.friendView(f), nil
}

func (n *Node) createInvoice(c *CreateInvoice) (any, *Error) {
	if !c.Value.Currency.Valid() {
		return nil, refusal(wire.UnknownCurrency, "%q is not a currency; write e.g. EUR/2", string(c.Value.Currency))
	}
	if c.Value.Amount <= 0 || c.Value.Amount > money.MaxLimit {
		return nil, refusal(wire.WrongAmount, "cannot ask for %s: the amount must be above 0 and at most %s", c.Value, money.Value{Amount: money.MaxLimit, Currency: c.Value.Currency})
	}
	if err := wire.CleanText(c.Memo, wire.MaxText); err != nil {
		return nil, refusal(wire.BadRequest, "the memo: %v", err)
	}
	now := n.now / 1000
	if c.Expires <= now || c.Expires > now+maxInvoiceLife {
		return nil, refusal(wire.BadRequest, "the invoice would expire in %d seconds; it must be 1 to %d (a year)", c.Expires-now, maxInvoiceLife)
	}
	if len(n.invoices) >= maxInvoices {
		return nil, refusal(wire.Conflict, "%d invoices are kept, at most %d: cancel some that nobody will pay (kula invoice cancel ID), or let new ones expire sooner than in %d seconds",
			len(n.invoices), maxInvoices, c.Expires-now)
	}
	signed, i := pay.NewInvoice(n.suite, ident.Salt(n.draw16()), wire.Invoice{
		Currency: c.Value.Currency, Amount: c.Value.Amount, Memo: c.Memo, Created: now, Expires: c.Expires, Hold: c.Hold,
	})
	inv := &invoice{id: i.ID(signed), signed: signed, Invoice: i, state: pay.InvoiceOpen}
	n.invoices[inv.id] = inv
	n.markInvoice(inv)
	n.wakeAt(c.Expires * 1000)
	return inv.view(), nil
}

// maxInvoiceLife is a year: an invoice is kept in memory until it expires.
const maxInvoiceLife = 366 * 24 * 3600

// maxInvoices bounds the invoices kept until they expire: 0.5 KiB of memory each, 1 KiB with the longest memo, so 100 MiB
// at most, whoever may ask for invoices. It is more than a till that asks 27 times a second with an hour to pay.
const maxInvoices = 100_000

// keepCancelled says whether a cancelled invoice stays until it expires, so that who pays it hears that it was cancelled
// and not that it is paid. It does while there is room; and from before a restore, for what is not here from then is
// taken for lost.
func (n *Node) keepCancelled(i *invoice) bool {
	return len(n.invoices) < maxInvoices || i.from != nil || n.beforeRestore(&i.Invoice)
}

func (n *Node) cancelInvoice(id wire.InvoiceID) (any, *Error) {
	inv := n.invoices[id]
	if inv == nil {
		return nil, refusal(wire.NotFound, "you have no open invoice %s", id)
	}
	if inv.from != nil && inv.from.revealed || inv.state == pay.InvoicePaid {
		return nil, refusal(wire.InvoicePaid, "invoice %s is being paid already; it cannot be cancelled. Pay it back instead", id)
	}
	if inv.from != nil {
		n.giveBackAll(inv.from, wire.CancelledByPayee)
	}
	inv.state = pay.InvoiceCancelled
	n.markInvoice(inv)
	n.tellInvoice(inv)
	if !n.keepCancelled(inv) {
		n.doneInvoice(inv)
	}
	return inv.view(), nil
}

func (n *Node) redeem(link string) (any, *Error) {
	r, err := pay.ParseReleaseLink(link)
	if err != nil {
		return nil, refusal(wire.BadRequest, "the release: %v", err)
	}
	inv := n.invoices[r.Invoice]
	switch {
	case inv == nil:
		return nil, refusal(wire.NotFound, "you have no open invoice %s", r.Invoice)
	case inv.state == pay.InvoicePaid || inv.from != nil && inv.from.revealed:
		return inv.view(), nil
	case inv.from == nil:
		return nil, refusal(wire.NotFound, "nothing is set aside for invoice %s", r.Invoice)
	case !n.openWith(inv.from, r.Preimage):
		return nil, refusal(wire.BadSignature, "this release does not open what is set aside for invoice %s", r.Invoice)
	}
	return inv.view(), nil
}

func (n *Node) releaseHold(id wire.PaymentID) (any, *Error) {
	p := n.payments[id]
	switch {
	case p == nil:
		return nil, refusal(wire.NotFound, "you have no open payment %s", id)
	case p.form != wire.FormHold:
		return nil, refusal(wire.BadRequest, "payment %s is not set aside; there is nothing to release", id)
	case p.stage == stageReleased:
	case len(p.parts) == 0 && p.stage == stageArrived:
		return nil, refusal(wire.Conflict, "payment %s was set aside before a restore and is not there any more; ask %s whether it came", id, n.nameOf(p.payee))
	case p.stage != stageArrived:
		return nil, refusal(wire.Conflict, "payment %s has not arrived at %s yet", id, n.nameOf(p.payee))
	default:
		n.release(p)
	}
	return n.paymentView(p), nil
}

// cancelPayment takes back what no promise carries yet, else asks the payee.
func (n *Node) cancelPayment(id wire.PaymentID) (any, *Error) {
	p := n.payments[id]
	switch {
	case p == nil || p.stage == stagePaid:
		return nil, refusal(wire.NotFound, "you have no open payment %s", id)
	case p.stage == stageReleased && p.whole():
		return nil, refusal(wire.Conflict, "payment %s is released to %s; only they can give it back now", id, n.nameOf(p.payee))
	case len(p.parts) == 0 && p.stage != stageRoute:
		n.returned(p, &wire.Reason{Code: wire.GaveUp, At: n.me, Currency: p.value.Currency, Text: "restored from an old copy: whether it was paid is not known here, ask the payee"})
	case p.stage != stageCancel:
		n.giveUpRest(p, &wire.Reason{Code: wire.CancelledByPayer, At: n.me, Currency: p.value.Currency})
	}
	return n.paymentView(p), nil
}
