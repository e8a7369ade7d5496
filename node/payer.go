package node

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

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
	stage    stage
	route    pay.Route
	part     wire.PartID
	at       place // my lock
	since    int64 // unix milliseconds of the last change of stage
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
}

// stage is how far a payment has come.
type stage uint8

const (
	stageRoute    stage = iota // looking for a route
	stageLocked                // locked, not acknowledged
	stageArrived               // acknowledged by the payee
	stageReleased              // a push's preimage or a hold's release is on its way: never tried again
	stageCancel                // I asked the payee to cancel
	stagePaid
	stageReturned
)

// maxTries bounds the routes that one payment tries: each costs every node on it a lock.
const maxTries = 16

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
	p := &payment{maxFee: 0, created: n.now, since: n.now, giveUp: n.now + cmd.GiveUp, text: cmd.Text, salt: ident.Salt(n.draw16())}
	if cmd.MaxFee != nil {
		p.maxFee, p.feeSaid = *cmd.MaxFee, true
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

// try looks for a route and locks it. then is called once it is decided whether something is locked.
func (n *Node) try(p *payment, then func(*payment)) {
	n.plan(p, func(r *pay.Route, no *wire.Reason) {
		if p.stage != stageRoute { // it ended meanwhile, or a restore found its lock
			then(p)
			return
		}
		if no == nil && p.maxFee != route.NoMaxFee && r.Fee() > p.maxFee {
			no = &wire.Reason{Code: wire.FeeAboveMax, Need: r.Fee(), Currency: p.value.Currency}
			if !p.feeSaid {
				no.Code = wire.FeeNeedsConsent
			}
		}
		if no == nil {
			no = n.lock(p, *r)
		}
		p.catching = no != nil && no.Code == wire.CatchingUp && no.At == n.me && n.now < p.giveUp
		if p.catching { // a moment after a connection came up; tried again when that friend is ready
			n.markPayment(p)
			n.wakeAt(p.giveUp)
		} else if no != nil {
			n.returned(p, no)
		}
		then(p)
	})
}

// tryCatching tries the payments again that waited for a friend to catch up.
func (n *Node) tryCatching() {
	for _, id := range slices.SortedFunc(maps.Keys(n.payments), func(a, b wire.PaymentID) int { return bytes.Compare(a[:], b[:]) }) {
		if p := n.payments[id]; p.catching {
			p.catching = false
			n.try(p, func(*payment) {})
		}
	}
}

// lock locks the first channel of a route.
func (n *Node) lock(p *payment, r pay.Route) *wire.Reason {
	f := n.friends[r.Hops[0]]
	if err := r.Check(n.me); err != nil {
		return &wire.Reason{Code: wire.BadRequest, Text: err.Error()}
	}
	if no := n.blockedHop(f, r.Hops[0], p.value.Currency, r.Amounts[0]); no != nil {
		return no
	}
	err := n.boxFor(p)
	if err != nil {
		return &wire.Reason{Code: wire.NotFound, Next: p.payee, Text: err.Error()}
	}
	p.part = wire.PartID(n.draw16())
	box := &wire.Box{
		Form: p.form, Payment: p.id, Salt: p.salt, Invoice: p.invoice, Currency: p.value.Currency, Total: p.value.Amount, Amount: p.value.Amount,
		Payer: n.me, Name: n.cfg.Name, Text: p.text,
	}
	if pair, ok := n.pair(p.payee); ok {
		box.Proof = pay.PayerProof(pair, p.part, p.id)
	}
	l := wire.Lock{
		Part: p.part, Currency: p.value.Currency, Amount: r.Amounts[0],
		Condition: wire.Condition{Hashes: n.hashes(p)}, Blob: p.sealed.NewBlob(r, p.part, box),
	}
	if len(l.Blob) > wire.MaxBlob {
		return &wire.Reason{Code: wire.BadRequest, Text: "what the payment carries is too large; shorten the text"}
	}
	own, lockErr := f.ch.Lock(l)
	if lockErr != nil {
		return &wire.Reason{Code: wire.TooManyLocks, Next: f.id}
	}
	f.out[own.Number] = &outgoing{payment: p}
	p.at, p.route = place{f, own.Number}, r
	p.tries++
	n.stage(p, stageLocked)
	n.markOut(f, own.Number)
	n.markChannel(f) // the number is used, even if the lock is not signed in this Step
	n.touch(f)
	return nil
}

func (n *Node) hashes(p *payment) []ident.Hash {
	mine := n.suite.Preimage(p.salt).Hash()
	switch p.form {
	case wire.FormInvoice:
		return []ident.Hash{p.hash}
	case wire.FormHold:
		return []ident.Hash{p.hash, mine}
	}
	return []ident.Hash{mine}
}

func (n *Node) stage(p *payment, s stage) {
	p.stage, p.since = s, n.now
	n.markPayment(p)
	n.changed[p.id] = p
}

// blockedHop says why an amount cannot be locked towards the first hop now.
func (n *Node) blockedHop(f *friend, id ident.ID, cur money.Currency, a money.Amount) *wire.Reason {
	r := &wire.Reason{At: n.me, Next: id, Currency: cur}
	switch {
	case f == nil || f.tentative || f.removed:
		r.Code = wire.UnknownNextHop
	case f.state() == Frozen:
		r.Code = wire.ChannelFrozen
	case !f.open():
		r.Code = wire.ChannelClosed
	case f.session == nil:
		r.Code = wire.FriendOffline
	case !f.ready():
		r.Code = wire.CatchingUp
	case f.ch.OpenLocks() >= wire.MaxLocks:
		r.Code = wire.TooManyLocks
	default:
		if r = pay.Within(f.ch, cur, a); r != nil {
			r.At = n.me
		}
	}
	return r
}

// openReason reads a reason of my payment.
func (n *Node) openReason(p *payment, note []byte) *wire.Reason {
	r, err := pay.OpenReason(n.suite, p.boxSalt, note)
	if err != nil {
		return &wire.Reason{Code: wire.CodeNone, Currency: p.value.Currency}
	}
	return r
}

// partReturned: my lock was given back. Another route is tried where that can help.
func (n *Node) partReturned(p *payment, r *wire.Reason) {
	cancelling := p.stage == stageCancel
	p.at = place{}
	p.reason = r
	if cancelling || p.stage == stageReleased || p.stage == stageArrived || !n.learnFailure(p, r) || n.now >= p.giveUp || p.tries >= maxTries {
		n.returned(p, r)
		return
	}
	n.stage(p, stageRoute)
	n.try(p, func(*payment) {})
}

// learnFailure takes what a reason says into the next search. It reports whether trying again can help.
func (n *Node) learnFailure(p *payment, r *wire.Reason) bool {
	hops := append([]ident.ID{n.me}, p.route.Hops...)
	i := slices.Index(hops, r.At)
	switch r.Code {
	case wire.FeeTooLow:
		if i < 1 || i+1 >= len(hops) {
			return false
		}
		p.overrides = slices.DeleteFunc(p.overrides, func(o route.Override) bool { return o.Edge.From == hops[i-1] && o.Edge.To == r.At })
		if r.Need < 0 || r.Need > money.MaxLimit {
			return false
		}
		p.overrides = append(p.overrides, route.Override{Edge: route.Edge{From: hops[i-1], To: r.At}, FeeBase: r.Need})
		return true
	case wire.LimitReached, wire.UnknownNextHop, wire.FriendOffline, wire.ChannelFrozen, wire.CatchingUp, wire.TooManyLocks, wire.ChannelClosed:
		if i < 0 || i+1 >= len(hops) || len(p.fixed) > 0 {
			return false
		}
		from, to := hops[i], hops[i+1]
		if r.Code == wire.ChannelClosed && r.Next != to && i > 0 {
			from, to = hops[i-1], hops[i]
		}
		p.avoid = append(p.avoid, route.Avoid{Edge: route.Edge{From: from, To: to}, Currency: p.value.Currency})
		return true
	case wire.CodeNone, wire.DuplicatePart:
		if len(p.fixed) > 0 {
			return false
		}
		p.avoid = append(p.avoid, route.Avoid{Edge: route.Edge{From: n.me, To: hops[1]}, Currency: p.value.Currency})
		return true
	}
	return false // the payee's word, or something that is the same everywhere
}

// arrivedAt: the payee acknowledged my part.
func (n *Node) arrivedAt(p *payment, l *credit.OwnLock, note []byte) {
	if p.stage != stageLocked {
		return
	}
	w, err := n.openWord(p, pay.Arrived, p.part, note)
	if err == nil {
		err = w.Arrived(n.suite, &wire.Arrived{Payment: p.id, Part: p.part, Amount: p.value.Amount, Condition: l.Condition.ID()})
	}
	if err != nil {
		return // somebody on the way made it up; the true one may still come
	}
	n.stage(p, stageArrived)
	if p.form == wire.FormPush {
		n.release(p)
	}
}

// release lets the payee open the locks: from here on the payment is never tried again.
func (n *Node) release(p *payment) {
	n.stage(p, stageReleased)
	for _, note := range n.paymentOrders(p) {
		n.send(p.at.friend, &wire.Onward{Number: p.at.number, Note: note})
	}
}

// paymentOrders is what the payee must hear along my lock until it ends.
func (n *Node) paymentOrders(p *payment) [][]byte {
	if p.stage != stageReleased && p.stage != stageCancel {
		return nil
	}
	if n.reseal(p) != nil {
		return nil
	}
	o := &wire.Order{Cancel: p.stage == stageCancel}
	if !o.Cancel {
		o.Preimage = n.suite.Preimage(p.salt)
	}
	return [][]byte{p.sealed.SealOrder(p.part, o)}
}

// paid: my lock was revealed.
func (n *Node) paid(p *payment, l *credit.OwnLock, m *wire.Reveal) {
	p.preimage, p.paidAt = m.Preimages, n.now
	if p.form == wire.FormPush {
		n.keepReceipt(p, l, m.Note)
	}
	n.finish(p, stagePaid)
}

func (n *Node) keepReceipt(p *payment, l *credit.OwnLock, note []byte) {
	w, err := n.openWord(p, pay.Received, l.Part, note)
	if err != nil {
		return
	}
	got, err := w.Received(n.suite)
	if err == nil && got.Payment == p.id && got.Amount == p.value.Amount && got.Currency == p.value.Currency {
		p.received = w.Signed
	}
}

// openWord opens the payee's word about a part of mine, or finds it opened: signatureIn has looked into those of a Step that brought many.
func (n *Node) openWord(p *payment, k pay.WordKind, part wire.PartID, note []byte) (*pay.Word, error) {
	if o, ok := n.opened[p]; ok && o.kind == k && o.part == part && bytes.Equal(o.note, note) {
		return o.word, nil
	}
	if err := n.reseal(p); err != nil {
		return nil, err
	}
	w, err := p.sealed.OpenWord(k, p.payee, part, note)
	if err == nil {
		n.opened[p] = openedWord{k, part, note, w}
	}
	return w, err
}

// openedWord is the last word of the payee of a payment that was opened in a Step.
type openedWord struct {
	kind pay.WordKind
	part wire.PartID
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
