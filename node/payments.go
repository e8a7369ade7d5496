package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

func sortBy[T any](list []T, key func(T) string) {
	slices.SortStableFunc(list, func(a, b T) int { return bytes.Compare([]byte(key(a)), []byte(key(b))) })
}

// paymentView is a payment for people and scripts.
func (n *Node) paymentView(p *payment) *PaymentView {
	v := p.view(n.bookName(p.payee))
	if v.State == Waiting {
		v.Waiting = n.waitingView(p)
	}
	if p.form == wire.FormHold && p.stage == stageReleased {
		v.Release = p.releaseLink(n.suite.Preimage(p.salt))
	}
	return v
}

// view is what a payment says without its node. name is its payee's.
func (p *payment) view(name string) *PaymentView {
	v := &PaymentView{
		ID: p.id.String(), Payee: p.payee, PayeeName: name, Amount: p.value, Fee: money.Value{Currency: p.value.Currency},
		Parts: []PartView{}, Text: p.text, Created: p.created, PaidAt: p.paidAt,
	}
	if !p.invoice.None() {
		if p.link == "" {
			p.link = pay.InvoiceLink(p.invoice)
		}
		v.Invoice = p.link
	}
	for _, t := range p.parts {
		one := partView(p, t.route)
		v.Fee.Amount += one.Fee.Amount
		v.Parts = append(v.Parts, one)
	}
	switch {
	case p.stage == stagePaid:
		v.State = Paid
		if r := p.receipt(); r != nil {
			v.Receipt = pay.ReceiptLink(r)
		}
		if p.form == wire.FormHold && len(p.preimage) == 2 {
			v.Release = p.releaseLink(p.preimage[1])
		}
	case p.stage == stageReturned:
		v.State, v.Reason = Returned, p.told
	case p.form == wire.FormHold && p.stage == stageArrived:
		v.State = Held
	default:
		v.State = Waiting
	}
	return v
}

func (p *payment) releaseLink(preimage ident.Preimage) string {
	return pay.ReleaseLink(&wire.Release{Invoice: wire.InvoiceID(p.id), Payment: p.id, Preimage: preimage})
}

// waitingView says whom a payment waits for: the friend it was handed to while that is away or has not confirmed it, else the payee.
func (n *Node) waitingView(p *payment) *WaitingView {
	w := &WaitingView{For: n.nameOf(p.payee), Since: p.since}
	if p.stage == stageRoute {
		w.For, w.Until = "a way to "+n.nameOf(p.payee), p.giveUp
	}
	for _, t := range p.parts {
		if f := t.at.friend; f != nil && (f.session == nil || !f.ch.Confirmed(t.at.number)) {
			w.For = f.name
		}
	}
	return w
}

// receipt is the proof of a paid payment, nil if there is none.
func (p *payment) receipt() *wire.Receipt {
	switch {
	case p.stage != stagePaid:
		return nil
	case !p.invoice.None():
		return &wire.Receipt{Payee: p.payee, Invoice: p.invoice, Preimages: p.preimage[:min(1, len(p.preimage))], PaidAt: p.paidAt}
	case !p.received.None():
		return &wire.Receipt{Payee: p.payee, Received: p.received}
	}
	return nil
}

func savedPaymentOf(p *payment) *savedPayment {
	s := &savedPayment{
		ID: p.id, Salt: p.salt, BoxSalt: p.boxSalt, Form: p.form, Payee: p.payee, Currency: p.value.Currency, Amount: p.value.Amount, MaxFee: p.maxFee, FeeSaid: p.feeSaid,
		Created: p.created, GiveUp: p.giveUp, Invoice: p.invoice, Hash: p.hash, Text: p.text, Fixed: p.fixed, Stage: uint8(p.stage),
		MaxParts: uint64(p.maxParts), Since: p.since,
		Preimage: p.preimage, Received: p.received, PaidAt: p.paidAt, Tries: uint64(p.tries),
	}
	for _, t := range p.parts {
		s.Parts = append(s.Parts, savedPart{ID: t.id, Hops: t.route.Hops, Amounts: t.route.Amounts, Arrived: t.arrived})
	}
	return s
}

func loadPayment(value []byte) (*payment, error) {
	var s savedPayment
	if err := wire.Unmarshal(value, &s); err != nil {
		return nil, err
	}
	p := &payment{
		id: s.ID, salt: s.Salt, boxSalt: s.BoxSalt, form: s.Form, payee: s.Payee, value: money.Value{Amount: s.Amount, Currency: s.Currency}, maxFee: s.MaxFee, feeSaid: s.FeeSaid,
		created: s.Created, giveUp: s.GiveUp, invoice: s.Invoice, hash: s.Hash, text: s.Text, fixed: s.Fixed, stage: stage(s.Stage),
		maxParts: int(s.MaxParts), since: s.Since,
		preimage: s.Preimage, received: s.Received, paidAt: s.PaidAt, tries: int(s.Tries),
	}
	for _, t := range s.Parts {
		r := pay.Route{Hops: t.Hops, Amounts: t.Amounts}
		if len(r.Amounts) == 0 || len(r.Amounts) != len(r.Hops) {
			return nil, fmt.Errorf("a part with %d hops and %d amounts", len(r.Hops), len(r.Amounts))
		}
		p.parts = append(p.parts, &part{id: t.ID, route: r, arrived: t.Arrived})
	}
	return p, nil
}

// inOrder are the live payments by id, so the oldest first.
func (n *Node) inOrder() []*payment {
	return slices.SortedFunc(maps.Values(n.payments), func(a, b *payment) int { return bytes.Compare(a.id[:], b.id[:]) })
}

// donePayment moves an ended payment to where it is only looked up.
func (n *Node) donePayment(p *payment) {
	if p.stage != stagePaid || !n.restoring() { // a friend that is still to be heard may show one of its parts
		delete(n.payments, p.id)
	}
	n.markPayment(p)
	s := savedPaymentOf(p)
	s.Name = n.bookName(p.payee)
	if p.told != nil {
		told, err := json.Marshal(p.told)
		if err != nil {
			panic("node: " + err.Error())
		}
		s.Told = told
	}
	n.fx.Save = append(n.fx.Save, Record{Kind: KindPaymentDone, Key: p.id.String(), Value: wire.Marshal(s)})
}

func (n *Node) tellFriends() {
	for _, f := range n.order {
		if f.changed && !f.tentative {
			f.changed = false
			n.fx.Tell = append(n.fx.Tell, Notice{Friend: n.friendView(f)})
		}
	}
}

// tellPayments says once per Step what became of each payment that changed.
func (n *Node) tellPayments() {
	for _, id := range slices.SortedFunc(maps.Keys(n.changed), func(a, b wire.PaymentID) int { return bytes.Compare(a[:], b[:]) }) {
		n.fx.Tell = append(n.fx.Tell, Notice{Payment: n.paymentView(n.changed[id])})
	}
	clear(n.changed)
}

// DecodePayment reads the record of an ended payment.
func DecodePayment(record []byte) (*PaymentView, error) {
	var s savedPayment
	if err := wire.Unmarshal(record, &s); err != nil {
		return nil, err
	}
	p, err := loadPayment(record)
	if err != nil {
		return nil, err
	}
	if len(s.Told) > 0 {
		p.told = new(ReasonView)
		if err := json.Unmarshal(s.Told, p.told); err != nil {
			return nil, err
		}
	}
	return p.view(s.Name), nil
}

// Payments are those under way, the newest first.
func (n *Node) Payments() []PaymentView {
	list := []PaymentView{}
	for _, p := range slices.Backward(n.inOrder()) {
		if p.stage != stagePaid { // that one is kept for a restore, and stands with the ended ones
			list = append(list, *n.paymentView(p))
		}
	}
	return list
}

// Live counts the payments under way, those held apart, and the invoices that Invoices lists.
func (n *Node) Live() (waiting, held, invoices int) {
	for _, p := range n.payments {
		switch {
		case p.stage == stagePaid:
		case p.form == wire.FormHold && p.stage == stageArrived:
			held++
		default:
			waiting++
		}
	}
	return waiting, held, len(n.invoices)
}

// Payment finds one under way.
func (n *Node) Payment(id wire.PaymentID) (*PaymentView, bool) {
	if p := n.payments[id]; p != nil {
		return n.paymentView(p), true
	}
	return nil, false
}

func (i *invoice) view() *InvoiceView {
	v := &InvoiceView{
		ID: i.id.String(), URI: pay.InvoiceLink(i.signed), Amount: money.Value{Amount: i.Amount, Currency: i.Currency}, Memo: i.Memo,
		Expires: i.Expires, Created: i.Created, Hold: i.Hold, State: i.state.String(), PaidAt: i.paidAt,
	}
	if i.payer != (ident.ID{}) {
		v.Payer = i.payer.String()
	}
	return v
}

// tellInvoice says that an invoice changed; a paid one moves to where it is only looked up. One from before a
// restore stays until it expires: when it is not here, it is taken for lost and not for paid.
func (n *Node) tellInvoice(i *invoice) {
	n.fx.Tell = append(n.fx.Tell, Notice{Invoice: i.view()})
	if i.state == pay.InvoicePaid && !n.beforeRestore(&i.Invoice) || i.state == pay.InvoiceExpired {
		n.doneInvoice(i)
	}
}

func (n *Node) doneInvoice(i *invoice) {
	delete(n.invoices, i.id)
	n.markInvoice(i)
	n.fx.Save = append(n.fx.Save, Record{Kind: KindInvoiceDone, Key: i.id.String(), Value: wire.Marshal(savedInvoiceOf(i))})
}

// DecodeInvoice reads the record of an ended invoice.
func DecodeInvoice(record []byte) (*InvoiceView, error) {
	i, err := loadInvoice(record)
	if err != nil {
		return nil, err
	}
	return i.view(), nil
}

func loadInvoice(value []byte) (*invoice, error) {
	var s savedInvoice
	if err := wire.Unmarshal(value, &s); err != nil {
		return nil, err
	}
	i := &invoice{signed: s.Signed, state: pay.InvoiceState(s.State), payer: s.Payer, paidAt: s.PaidAt}
	if err := wire.Unmarshal(s.Signed.Body, &i.Invoice); err != nil {
		return nil, err
	}
	i.id = i.ID(s.Signed)
	return i, nil
}

// Invoices are those that can still be paid or were cancelled lately, the newest first.
func (n *Node) Invoices() []InvoiceView {
	list := []InvoiceView{}
	for _, id := range slices.SortedFunc(maps.Keys(n.invoices), func(a, b wire.InvoiceID) int { return bytes.Compare(b[:], a[:]) }) {
		list = append(list, *n.invoices[id].view())
	}
	return list
}

// Invoice finds one of those.
func (n *Node) Invoice(id wire.InvoiceID) (*InvoiceView, bool) {
	if i := n.invoices[id]; i != nil {
		return i.view(), true
	}
	return nil, false
}

// timers does what has become due.
func (n *Node) timers() {
	if n.now < n.due {
		n.wakeAt(n.due)
		return
	}
	n.due = n.now + timerEvery
	n.wakeAt(n.due)
	n.disbelieveLate()
	n.seen.forget(n)
	if n.missed != 0 && n.now >= n.missed {
		n.givenUp()
	}
	var over []wire.InvoiceID // only these are sorted: tens of thousands may still run
	for id, i := range n.invoices {
		if n.now/1000 >= i.Expires && i.from == nil {
			over = append(over, id)
		} else if i.state == pay.InvoiceCancelled && !n.keepCancelled(i) {
			over = append(over, id)
		}
	}
	slices.SortFunc(over, func(a, b wire.InvoiceID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range over {
		i := n.invoices[id]
		if i.state == pay.InvoiceOpen {
			i.state = pay.InvoiceExpired
		}
		n.fx.Tell = append(n.fx.Tell, Notice{Invoice: i.view()})
		n.doneInvoice(i)
	}
	for token, v := range n.invitations {
		if n.now/1000 >= v.Expires {
			delete(n.invitations, token)
			n.markInvitation(token)
		}
	}
	n.endRequests()
	for _, p := range n.inOrder() {
		if p.catching && n.now >= p.giveUp && !n.tooEarly(p) {
			p.catching = false
			n.giveUpRest(p, n.no(p, wire.CatchingUp))
		}
	}
}

// timerEvery is how often expiry is looked at, in milliseconds.
const timerEvery = 1000
