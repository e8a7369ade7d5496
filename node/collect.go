package node

import (
	"slices"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// invoice is a request of mine for one payment.
type invoice struct {
	id     wire.InvoiceID
	signed wire.Signed
	wire.Invoice
	state  pay.InvoiceState
	payer  ident.ID
	paidAt int64 // unix milliseconds
	from   *collection
}

// collection is the parts of one payment to me.
type collection struct {
	key      ident.BoxKey // of sealed: names the payment among those that claim one invoice
	sealed   pay.Sealed
	form     wire.Form
	payment  wire.PaymentID
	invoice  *invoice // nil for a push
	currency money.Currency
	total    money.Amount
	payer    ident.ID // zero unless proved
	name     string
	text     string
	parts    []collectedPart
	revealed bool
}

type collectedPart struct {
	place
	amount money.Amount
}

func (c *collection) sum() (a money.Amount) {
	for _, p := range c.parts {
		a += p.amount // each part is checked against the total before it is added
	}
	return a
}

func (c *collection) forget(f *friend, number uint64) {
	c.parts = slices.DeleteFunc(c.parts, func(p collectedPart) bool { return p.friend == f && p.number == number })
	if len(c.parts) == 0 && c.invoice != nil && c.invoice.from == c {
		c.invoice.from = nil
	}
}

// collect keeps a part that ends here, or gives it back.
func (n *Node) collect(f *friend, l *credit.TheirLock, in *incoming, p *pay.Parcel, duplicate bool) {
	sealed, box, err := p.OpenBox(n.boxFrom, l.Part)
	if err != nil {
		n.giveBack(f, l.Number, &wire.Reason{Code: wire.BadRequest, Currency: l.Currency, Text: "the payee cannot open what the payment carries"})
		return
	}
	c := n.collectionOf(sealed, box, l)
	claim := pay.Claim{Lock: &l.Lock, Box: box, Duplicate: duplicate, Restored: in.restored, Sum: c.sum() + l.Amount, Now: n.now}
	var inv *invoice
	if box.Form != wire.FormPush {
		inv = n.claimed(box, in.restored, &claim)
	}
	if inv != nil && inv.from != nil && inv.from != c {
		claim.Busy = true
	}
	if len(c.parts) > 0 && (c.payment != box.Payment || c.form != box.Form || c.total != box.Total || c.currency != box.Currency || c.invoice != inv || c.revealed && len(in.preimages) == 0) {
		claim.Duplicate = true
	}
	reason := pay.Collect(&claim)
	if reason == nil && inv == nil && box.Form != wire.FormPush {
		reason = &wire.Reason{Code: wire.NotFound, Currency: l.Currency}
	}
	if reason != nil {
		n.giveBack(f, l.Number, reason)
		return
	}
	if inv != nil {
		inv.from = c
		c.invoice = inv
		if inv.state == pay.InvoiceDoubted {
			inv.state = pay.InvoiceOpen
			n.markInvoice(inv)
		}
	}
	c.parts = append(c.parts, collectedPart{place{f, l.Number}, l.Amount})
	c.revealed = c.revealed || len(in.preimages) > 0 // before a restore
	in.mine, in.parcel = c, nil
	n.markIn(f, l.Number)
	n.progress(c, l)
}

// collectionOf finds or begins the collection of a payer's payment.
func (n *Node) collectionOf(sealed pay.Sealed, box *wire.Box, l *credit.TheirLock) *collection {
	if c := n.collecting[claimKey{sealed.Key, box.Payment}]; c != nil {
		return c
	}
	c := &collection{key: sealed.Key, sealed: sealed, form: box.Form, payment: box.Payment, currency: box.Currency, total: box.Total, text: box.Text}
	if box.Payer != (ident.ID{}) {
		if pair, ok := n.pair(box.Payer); ok && pay.PayerProof(pair, l.Part, box.Payment) == box.Proof {
			c.payer, c.name = box.Payer, box.Name
		}
	}
	return c
}

// claimed is the invoice that a box claims, nil if it is not mine or not live any more; it fills in the claim.
func (n *Node) claimed(box *wire.Box, restored bool, claim *pay.Claim) *invoice {
	got := new(wire.Invoice)
	if err := wire.Unmarshal(box.Invoice.Body, got); err != nil || got.Payee != n.me {
		return nil
	}
	id := got.ID(box.Invoice)
	inv := n.invoices[id]
	if inv == nil || !inv.signed.Equal(box.Invoice) { // one that I have at hand needs no second look at my signature
		if _, err := pay.OpenInvoice(n.suite, box.Invoice); err != nil {
			return nil
		}
	}
	claim.Invoice = got
	if inv == nil && (restored || n.beforeRestore(got) && !n.doubted(got)) {
		inv = &invoice{id: id, signed: box.Invoice, Invoice: *got, state: pay.InvoiceOpen} // lost with the disk; its signature is mine
		n.invoices[id] = inv
		n.markInvoice(inv)
	}
	switch {
	case inv == nil && n.doubted(got):
		claim.State = pay.InvoiceDoubted
	case inv == nil && n.now/1000 >= got.Expires:
		claim.State = pay.InvoiceExpired
	case inv == nil:
		claim.State = pay.InvoicePaid // mine and not live: what ended otherwise stays live until it expires, or until there is no room
	case restored && inv.state == pay.InvoiceDoubted:
		claim.State = pay.InvoiceOpen // it was locked for before, and so paid by nobody else
	default:
		claim.State = inv.state
	}
	return inv
}

// beforeRestore: of an invoice from before a restore no record need be here.
func (n *Node) beforeRestore(i *wire.Invoice) bool {
	return n.self.Restored > 0 && i.Created*1000 <= n.self.Restored
}

// progress does what the parts that are here allow.
func (n *Node) progress(c *collection, l *credit.TheirLock) {
	n.collecting[claimKey{c.key, c.payment}] = c
	complete := c.sum() == c.total
	if complete && c.form == wire.FormInvoice {
		n.open(c, []ident.Preimage{n.suite.Preimage(c.invoice.Salt)})
		return
	}
	if complete && c.form == wire.FormHold && c.invoice.state == pay.InvoiceOpen {
		c.invoice.state = pay.InvoiceHeld
		n.markInvoice(c.invoice)
		n.tellInvoice(c.invoice)
	}
	for _, p := range c.parts {
		if p.number == l.Number && p.friend.ch.TheirLock(l.Number) == l && p.friend.session != nil {
			n.sendArrived(p.friend, c, &l.Lock)
		}
	}
}

func (n *Node) sendArrived(f *friend, c *collection, l *wire.Lock) {
	m := &wire.Acknowledge{Number: l.Number}
	n.send(f, m)
	n.giveWord(pay.Arrived, &wire.Arrived{Payment: c.payment, Part: l.Part, Amount: l.Amount, Condition: l.Condition.ID()}, func(word *wire.Batched) {
		m.Note = c.sealed.SealWord(pay.Arrived, l.Part, word)
	})
}

// giveWord has a statement for a payer signed at the end of the Step, together with all others; seal then gets it.
func (n *Node) giveWord(k pay.WordKind, v any, seal func(*wire.Batched)) {
	if n.batch.Full() {
		n.signWords()
	}
	n.batch.Add(ident.Tag(k), v)
	n.words = append(n.words, seal)
}

// signWords signs what was promised to payers in this Step: one signature for all.
func (n *Node) signWords() {
	for i, signed := range n.batch.Sign(n.suite) {
		n.words[i](&signed)
	}
	clear(n.words) // what they seal may be large
	n.words = n.words[:0]
}

// open reveals all parts of a complete collection. From here on nothing of it is ever cancelled.
func (n *Node) open(c *collection, preimages []ident.Preimage) {
	c.revealed = true
	for _, p := range c.parts {
		in, l := p.friend.in[p.number], p.friend.ch.TheirLock(p.number)
		if in == nil || l == nil || len(in.preimages) > 0 {
			continue
		}
		in.preimages = preimages
		n.markIn(p.friend, p.number)
		m := &wire.Reveal{Number: p.number, Preimages: preimages}
		if p.friend.session != nil && p.friend.session.heard {
			n.send(p.friend, m)
		}
		if c.form == wire.FormPush {
			n.sealReceived(c, p.place, l.Part, m)
		}
	}
}

// sealReceived gives the payer of a push its receipt, with the reveal and with each repetition.
func (n *Node) sealReceived(c *collection, at place, part wire.PartID, m *wire.Reveal) {
	n.giveWord(pay.Received, &wire.Received{Payment: c.payment, Payee: n.me, Currency: c.currency, Amount: c.total, Time: n.now}, func(word *wire.Batched) {
		m.Note = c.sealed.SealWord(pay.Received, part, word)
		if in := at.friend.in[at.number]; in != nil {
			in.note = m.Note
		}
	})
}

// ordered is the payer's word along one of its parts.
func (n *Node) ordered(c *collection, l *credit.TheirLock, note []byte) {
	o, err := c.sealed.OpenOrder(l.Part, note)
	if err != nil || c.revealed {
		return
	}
	if o.Cancel {
		n.giveBackAll(c, wire.CancelledByPayer)
		return
	}
	n.openWith(c, o.Preimage)
}

// openWith opens a push or hold with the payer's preimage. It reports whether the preimage is the right one and all is there.
func (n *Node) openWith(c *collection, p ident.Preimage) bool {
	if c.revealed || c.sum() != c.total || len(c.parts) == 0 {
		return false
	}
	preimages := []ident.Preimage{p}
	if c.form == wire.FormHold {
		preimages = []ident.Preimage{n.suite.Preimage(c.invoice.Salt), p}
	}
	for _, part := range c.parts {
		l := part.friend.ch.TheirLock(part.number)
		if l == nil || !l.Condition.Met(preimages) {
			return false
		}
	}
	n.open(c, preimages)
	return true
}

func (n *Node) giveBackAll(c *collection, code wire.Code) {
	if c.revealed {
		return
	}
	for _, p := range c.parts {
		n.giveBack(p.friend, p.number, &wire.Reason{Code: code, Currency: c.currency})
		if in := p.friend.in[p.number]; in != nil {
			in.mine = nil
		}
	}
	delete(n.collecting, claimKey{c.key, c.payment})
	inv := c.invoice
	if inv == nil {
		return
	}
	inv.from = nil
	if inv.state == pay.InvoiceHeld {
		inv.state = pay.InvoiceOpen
	}
	n.markInvoice(inv)
	n.tellInvoice(inv)
}

// collected: a part has ended.
func (n *Node) collected(c *collection, f *friend, l *credit.TheirLock, fulfilled bool) {
	c.parts = slices.DeleteFunc(c.parts, func(p collectedPart) bool { return p.friend == f && p.number == l.Number })
	inv := c.invoice
	if len(c.parts) > 0 {
		return
	}
	delete(n.collecting, claimKey{c.key, c.payment})
	if inv == nil {
		return
	}
	inv.from = nil
	switch {
	case fulfilled && (c.revealed || n.doubted(&inv.Invoice)): // what was revealed is never cancelled, so all parts were fulfilled; an old copy has forgotten it
		inv.state, inv.payer, inv.paidAt = pay.InvoicePaid, c.payer, n.now
	case inv.state == pay.InvoiceHeld:
		inv.state = pay.InvoiceOpen
	}
	n.markInvoice(inv)
	n.tellInvoice(inv)
}

// pair is the key I share with an identity, remembered for the last few.
func (n *Node) pair(id ident.ID) (ident.SharedKey, bool) {
	if key, ok := n.pairs[id]; ok {
		return key, true
	}
	key, err := n.suite.Pair(id)
	if err != nil {
		return key, false
	}
	if len(n.pairs) >= maxPairs {
		clear(n.pairs)
	}
	n.pairs[id] = key
	return key, true
}

// maxPairs bounds the remembered pair keys: 64 bytes each, more partners than pay at one time.
const maxPairs = 4096
