package node

import (
	"bytes"
	"encoding/binary"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/route"
	"kula/wire"
)

// payment is a payment of mine. It is live until it is paid or returned.
type payment struct {
	id       wire.PaymentID
	salt     ident.Salt  // of my preimage
	boxSalt  ident.Salt  // of the ephemeral key
	sealed   *pay.Sealed // what boxSalt gives; not saved
	form     wire.Form
	payee    ident.ID
	value    money.Value
	maxFee   money.Amount // route.NoMaxFee for any
	feeSaid  bool         // the user named maxFee
	created  int64        // unix milliseconds
	giveUp   int64        // no other route is tried after this time
	invoice  wire.Signed  // none for a push
	link     string       // the invoice's, once asked for; not saved
	hash     ident.Hash   // the payee's, zero for a push
	text     string
	fixed    []ident.ID // the route the user named
	maxParts int
	stage    stage
	parts    []*part // those that stand: no promise of the friend's has given them back
	since    int64   // unix milliseconds of the last change of stage
	reason   *wire.Reason
	told     *ReasonView // the reason with its words, once returned
	preimage []ident.Preimage
	received wire.Batched
	paidAt   int64

	// Learned from what came back; not saved: they are others' words about that moment, and after a restart the
	// same failure says the same again. tries is saved, so that no restart makes the search longer.
	avoid     []route.Avoid
	overrides []route.Override
	tries     int
	catching  bool // waits for a friend to catch up
	loaded    bool // looked for a way when this node started
}

// stage is how far a payment has come.
type stage uint8

const (
	stageRoute    stage = iota // looking for routes, for all or for what was given back
	stageLocked                // all of it is locked, not all of it acknowledged
	stageArrived               // all of it is acknowledged by the payee
	stageReleased              // a push's preimage or a hold's release is on its way: never tried again
	stageCancel                // what still stands is to be given back: I asked the payee to cancel
	stagePaid
	stageReturned
)

// pay begins a payment, or answers a quote.
func (n *Node) pay(id uint64, cmd *Pay) {
	p, err := n.newPayment(cmd)
	if err != nil {
		n.reply(id, nil, err)
		return
	}
	if cmd.Quote {
		if n.paidBefore(cmd, p) != nil {
			n.noQuote(id, p, &wire.Reason{Code: wire.InvoicePaid, At: n.me, Currency: p.value.Currency})
			return
		}
		n.quote(id, p)
		return
	}
	if live := n.payments[p.id]; live != nil {
		if live.form != wire.FormPush {
			n.reply(id, n.paymentView(live), nil) // the same invoice again: the payment that is under way
			return
		}
	}
	if e := n.paidBefore(cmd, p); e != nil {
		n.reply(id, nil, e)
		return
	}
	n.payments[p.id] = p // saved with its first lock, or when it waits: until then nothing depends on it
	n.try(p, func(*payment) { n.reply(id, n.paymentView(p), nil) })
}

func (n *Node) paidBefore(cmd *Pay, p *payment) *Error {
	prior := cmd.Prior
	for _, r := range n.fx.Save { // it may have ended earlier in this Step
		if r.Kind == KindPaymentDone && r.Key == p.id.String() {
			prior = r.Value
		}
	}
	if p.form == wire.FormPush || len(prior) == 0 {
		return nil
	}
	if v, err := DecodePayment(prior); err == nil && v.State == Paid {
		return refusal(wire.InvoicePaid, "you have paid this invoice already (payment %s)", v.ID)
	}
	return nil
}

// newPayment checks what the user asked for.
func (n *Node) newPayment(cmd *Pay) (*payment, *Error) {
	p := &payment{maxFee: 0, maxParts: DefaultParts, created: n.now, since: n.now, giveUp: n.now + cmd.GiveUp, text: cmd.Text, salt: ident.Salt(n.draw16())}
	if cmd.MaxFee != nil {
		p.maxFee, p.feeSaid = *cmd.MaxFee, true
	}
	if cmd.MaxParts < 0 || cmd.MaxParts > route.MaxParts {
		return nil, refusal(wire.BadRequest, "a payment in %d parts; it goes in 1 to %d", cmd.MaxParts, route.MaxParts)
	}
	if cmd.MaxParts > 0 {
		p.maxParts = cmd.MaxParts
	}
	if err := wire.CleanText(cmd.Text, wire.MaxText); err != nil {
		return nil, refusal(wire.BadRequest, "the text: %v", err)
	}
	var err *Error
	if cmd.Invoice != "" {
		err = n.payInvoice(p, cmd)
	} else {
		err = n.payPush(p, cmd)
	}
	if err != nil {
		return nil, err
	}
	if len(cmd.Route) > wire.MaxHops {
		return nil, refusal(wire.BadRequest, "a route of %d, at most %d", len(cmd.Route), wire.MaxHops)
	}
	for _, ref := range cmd.Route {
		hop, err := n.identity(ref)
		if err != nil {
			return nil, err
		}
		p.fixed = append(p.fixed, hop)
	}
	if k := len(p.fixed); k > 0 && p.fixed[k-1] != p.payee {
		return nil, refusal(wire.BadRequest, "the route ends at %s, the payee is %s: write every node after you, the payee last", n.nameOf(p.fixed[k-1]), n.nameOf(p.payee))
	}
	return p, nil
}

func (n *Node) payInvoice(p *payment, cmd *Pay) *Error {
	signed, i, err := cmd.Asked()
	if err == nil {
		err = pay.VerifyInvoice(n.suite, signed, i)
	}
	if err != nil {
		return refusal(wire.BadSignature, "%v", err)
	}
	if cmd.Value.Currency != "" && cmd.Value.Currency != i.Currency {
		return refusal(wire.WrongCurrency, "the invoice is in %s, not in %s", i.Currency, cmd.Value.Currency)
	}
	if cmd.Value != (money.Value{}) && cmd.Value.Amount != i.Amount {
		return refusal(wire.WrongAmount, "the invoice asks for %s, not %s", money.Value{Amount: i.Amount, Currency: i.Currency}, cmd.Value)
	}
	if n.now/1000 >= i.Expires {
		return refusal(wire.InvoiceExpired, "the invoice has expired; ask %s for a new one", n.nameOf(i.Payee))
	}
	if i.Payee == n.me {
		return refusal(wire.SelfPayment, "this invoice is your own")
	}
	p.id, p.form, p.payee, p.invoice, p.hash = wire.PaymentID(i.ID(signed)), wire.FormInvoice, i.Payee, signed, i.Hash
	p.value = money.Value{Amount: i.Amount, Currency: i.Currency}
	if i.Hold {
		p.form = wire.FormHold
	}
	return nil
}

func (n *Node) payPush(p *payment, cmd *Pay) *Error {
	payee, err := n.identity(cmd.To)
	if err != nil {
		return err
	}
	if !cmd.Value.Currency.Valid() {
		return refusal(wire.UnknownCurrency, "%q is not a currency; write e.g. EUR/2", string(cmd.Value.Currency))
	}
	if cmd.Value.Amount < 0 || cmd.Value.Amount > money.MaxLimit || cmd.Value.Amount == 0 && !cmd.Quote {
		return refusal(wire.WrongAmount, "cannot pay %s: the amount must be above 0 and at most %s", cmd.Value, money.Value{Amount: money.MaxLimit, Currency: cmd.Value.Currency})
	}
	p.form, p.payee, p.value = wire.FormPush, payee, cmd.Value
	binary.BigEndian.PutUint64(p.id[:], uint64(n.now/1000)<<16|uint64(n.now%1000)) // see wire.PaymentID
	n.draw(p.id[8:])
	return nil
}

func (n *Node) stage(p *payment, s stage) {
	p.stage, p.since = s, n.now
	n.markPayment(p)
	n.changed[p.id] = p
}

// arrivedAt: the payee acknowledged a part of mine.
func (n *Node) arrivedAt(p *payment, at place, l *credit.OwnLock, note []byte) {
	t := p.partAt(at)
	if t == nil || t.arrived || p.stage != stageLocked && p.stage != stageRoute {
		return
	}
	w, err := n.openWord(p, pay.Arrived, t.id, note)
	if err == nil {
		err = w.Arrived(n.suite, &wire.Arrived{Payment: p.id, Part: t.id, Amount: t.route.Arrives(), Condition: l.Condition.ID()})
	}
	if err != nil {
		return // somebody on the way made it up; the true one may still come
	}
	t.arrived = true
	n.markPayment(p)
	if p.stage != stageLocked || !p.allArrived() {
		return
	}
	n.stage(p, stageArrived)
	if p.form == wire.FormPush {
		n.release(p)
	}
}

// release lets the payee open the locks: from here on the payment is never tried again.
func (n *Node) release(p *payment) {
	n.stage(p, stageReleased)
	n.sendOrders(p)
}

// paymentOrders is what the payee must hear along a part of mine until it ends.
func (n *Node) paymentOrders(p *payment, t *part) [][]byte {
	if t == nil || p.stage != stageReleased && p.stage != stageCancel {
		return nil
	}
	if n.reseal(p) != nil {
		return nil
	}
	o := &wire.Order{Cancel: p.stage == stageCancel}
	if !o.Cancel {
		o.Preimage = n.suite.Preimage(p.salt)
	}
	return [][]byte{p.sealed.SealOrder(t.id, o)}
}

// paid: a lock of mine was revealed. With the first the payment is paid: the payee may open all its locks.
func (n *Node) paid(p *payment, l *credit.OwnLock, m *wire.Reveal) {
	first := p.stage != stagePaid
	if first {
		p.preimage, p.paidAt = m.Preimages, n.now
	}
	news := p.form == wire.FormPush && p.received.None() && n.keepReceipt(p, l, m.Note)
	if first || news {
		n.fulfilAll(p)
		n.finish(p, stagePaid)
	}
}

// fulfilAll pays every part of a payment that was opened: the payee opens all or none, and one that forgets it in a crash gets it
// nevertheless (spec P-53). Of a push only once its receipt is here, which any part may bring; and none that a friend may have given
// back, which an old copy does not know before it has heard the friend.
func (n *Node) fulfilAll(p *payment) {
	if p.form == wire.FormPush && p.received.None() {
		return
	}
	for _, t := range p.parts {
		f := t.at.friend
		if f == nil || f.lost != whole || f.missing {
			continue
		}
		if out := f.out[t.at.number]; out != nil && f.ch.Fulfil(t.at.number) {
			out.preimages = p.preimage
			n.markOut(f, t.at.number)
			n.touch(f)
		}
	}
}

// keepReceipt keeps what a payee says of a push, and reports whether that is its receipt.
func (n *Node) keepReceipt(p *payment, l *credit.OwnLock, note []byte) bool {
	w, err := n.openWord(p, pay.Received, l.Part, note)
	if err != nil {
		return false
	}
	got, err := w.Received(n.suite)
	if err == nil && got.Payment == p.id && got.Amount == p.value.Amount && got.Currency == p.value.Currency {
		p.received = w.Signed
		return true
	}
	return false
}

// openWord opens the payee's word about a part of mine, or finds it opened: signatureIn has looked into those of a Step that brought many.
func (n *Node) openWord(p *payment, k pay.WordKind, part wire.PartID, note []byte) (*pay.Word, error) {
	if o, ok := n.opened[part]; ok && o.kind == k && bytes.Equal(o.note, note) {
		return o.word, nil
	}
	if err := n.reseal(p); err != nil {
		return nil, err
	}
	w, err := p.sealed.OpenWord(k, p.payee, part, note)
	if err == nil {
		n.opened[part] = openedWord{k, note, w}
	}
	return w, err
}

// openedWord is the last word of the payee of a part that was opened in a Step.
type openedWord struct {
	kind pay.WordKind
	note []byte
	word *pay.Word
}

// returned ends a payment without a charge.
func (n *Node) returned(p *payment, r *wire.Reason) {
	p.reason = r
	p.told = n.reasonView(r, p)
	n.finish(p, stageReturned)
}

// finish moves a payment to the ended ones.
func (n *Node) finish(p *payment, s stage) {
	n.stage(p, s)
	n.donePayment(p)
}
