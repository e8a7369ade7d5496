package node

import (
	"slices"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/route"
	"kula/wire"
)

// maxTries bounds how often one payment looks for routes: each costs every node on them a lock.
const maxTries = 16

// DefaultParts is in how many parts a payment may go unless its user says otherwise: enough for a payer with a few
// friends, and few enough that base fees and locks stay small.
const DefaultParts = 8

// part is one lock of mine with which a payment is on its way.
type part struct {
	id      wire.PartID
	route   pay.Route
	room    []money.Amount // what each of its channels could carry, as far as an index said; not saved
	at      place          // my lock; nowhere if a restore has lost it
	arrived bool           // acknowledged by the payee
	by      ident.ID       // the index server that quoted the route, zero if none did; not saved
}

// standing is what the parts of a payment bring to the payee together, and the fees they take.
func (p *payment) standing() (amount, fee money.Amount) {
	for _, t := range p.parts {
		amount, fee = amount+t.route.Arrives(), fee+t.route.Fee()
	}
	return amount, fee
}

// partAt is the part of a lock of mine, nil if it is none that stands.
func (p *payment) partAt(at place) *part {
	for _, t := range p.parts {
		if t.at == at {
			return t
		}
	}
	return nil
}

// feeAt is the fee of the part of a lock of mine.
func (p *payment) feeAt(at place) money.Amount {
	if t := p.partAt(at); t != nil {
		return t.route.Fee()
	}
	return 0
}

func (p *payment) partOf(id wire.PartID) *part {
	for _, t := range p.parts {
		if t.id == id {
			return t
		}
	}
	return nil
}

func (p *payment) drop(t *part) {
	p.parts = slices.DeleteFunc(p.parts, func(o *part) bool { return o == t })
}

// missing is what the parts that stand do not bring.
func (p *payment) missing() money.Amount {
	amount, _ := p.standing()
	return p.value.Amount - amount
}

// whole says whether the parts that stand are all of the payment; only then its payee opens it.
func (p *payment) whole() bool { return p.missing() == 0 }

func (p *payment) allArrived() bool {
	return p.whole() && !slices.ContainsFunc(p.parts, func(t *part) bool { return !t.arrived })
}

// try looks for routes for what does not stand yet, and locks them. then is called once it is decided whether something is locked.
func (n *Node) try(p *payment, then func(*payment)) {
	n.plan(p, func(routes []quoted, no *wire.Reason) {
		if p.stage != stageRoute { // it ended meanwhile, or a restore found its lock
			then(p)
			return
		}
		if no == nil && p.tries > 0 && n.now >= p.giveUp {
			no = orElse(p.reason, n.no(p, wire.GaveUp))
		}
		if no == nil {
			p.tries++
			if p.exceeded(routes) {
				if p.tries < maxTries {
					n.try(p, then)
					return
				}
				no = n.no(p, wire.GaveUp)
			}
		}
		if no == nil {
			no = n.affordable(p, routes)
		}
		stale := false
		for i := 0; no == nil && i < len(routes); i++ {
			no = n.lock(p, routes[i])
			stale = no != nil && n.changedMeanwhile(no) && len(p.fixed) == 0
		}
		p.catching = no != nil && no.Code == wire.CatchingUp && no.At == n.me && n.now < p.giveUp
		switch {
		case p.catching: // a moment after a connection came up; tried again when that friend is ready
			n.markPayment(p)
			n.wakeAt(p.giveUp)
		case stale && n.now < p.giveUp && p.tries < maxTries:
			n.markPayment(p)
			n.try(p, then)
			return
		case no != nil:
			n.giveUpRest(p, no)
		default:
			if !p.whole() {
				n.try(p, then)
				return
			}
			n.stage(p, stageLocked)
		}
		then(p)
	})
}

// changedMeanwhile says whether a lock failed because my own channels have changed while an index was asked.
func (n *Node) changedMeanwhile(no *wire.Reason) bool {
	switch no.Code {
	case wire.LimitReached, wire.FriendOffline, wire.ChannelClosed, wire.ChannelFrozen, wire.UnknownNextHop:
		return no.At == n.me
	}
	return false
}

// exceeded says whether routes and what stands are more than the amount: a restore found parts while an index was asked.
func (p *payment) exceeded(routes []quoted) bool {
	var amount money.Amount
	for _, r := range routes {
		amount += r.Arrives()
	}
	return amount > p.missing()
}

// affordable says whether the fees of routes, with those of the parts that stand, are above what the user would pay.
func (n *Node) affordable(p *payment, routes []quoted) *wire.Reason {
	_, fee := p.standing()
	for _, r := range routes {
		fee += r.Fee()
	}
	if p.maxFee == route.NoMaxFee || fee <= p.maxFee {
		return nil
	}
	no := &wire.Reason{Code: wire.FeeAboveMax, Need: fee, Currency: p.value.Currency}
	if !p.feeSaid {
		no.Code = wire.FeeNeedsConsent
	}
	return no
}

// giveUpRest ends a payment that cannot be made whole: what no promise carries is taken back, for the rest the payee is asked.
func (n *Node) giveUpRest(p *payment, why *wire.Reason) {
	p.reason = why
	for _, t := range slices.Clone(p.parts) {
		if f := t.at.friend; f != nil && f.ch.Withdraw(t.at.number) {
			n.dropOut(f, t.at.number)
			n.markChannel(f)
			p.drop(t)
		}
	}
	if len(p.parts) == 0 {
		n.returned(p, why)
		return
	}
	n.stage(p, stageCancel)
	n.sendOrders(p)
}

// sendOrders tells the payee along every part what it must hear.
func (n *Node) sendOrders(p *payment) {
	for _, t := range p.parts {
		n.sendOrder(p, t)
	}
}

func (n *Node) sendOrder(p *payment, t *part) {
	f := t.at.friend
	if f == nil || f.session == nil || !f.session.heard {
		return // it is said after the next hello
	}
	for _, note := range n.paymentOrders(p, t) {
		n.send(f, &wire.Onward{Number: t.at.number, Note: note})
	}
}

// tooEarly: a payment that looked for a way when this node stopped waits until every friend has said hello, 30 s at most: one of them may
// know that this is an old copy, and the payment paid since.
func (n *Node) tooEarly(p *payment) bool {
	return p.loaded && slices.ContainsFunc(n.order, func(f *friend) bool { return f.missing || f.claimed })
}

// tryCatching tries the payments again that waited for a friend to catch up.
func (n *Node) tryCatching() {
	for _, p := range n.inOrder() {
		if p.catching && !n.tooEarly(p) {
			p.catching = false
			n.try(p, func(*payment) {})
		}
	}
}

// lock locks the first channel of a route for one part.
func (n *Node) lock(p *payment, r quoted) *wire.Reason {
	f := n.friends[r.Hops[0]]
	if err := r.Check(n.me); err != nil {
		return &wire.Reason{Code: wire.BadRequest, Text: err.Error()}
	}
	if no := n.blockedHop(f, r.Hops[0], p.value.Currency, r.Amounts[0]); no != nil {
		return no
	}
	if len(p.parts) == 0 { // all parts of one payment have one key: by it the payee knows that they belong together
		if err := n.boxFor(p); err != nil {
			return &wire.Reason{Code: wire.NotFound, Next: p.payee, Text: err.Error()}
		}
	}
	if err := n.reseal(p); err != nil {
		return &wire.Reason{Code: wire.NotFound, Next: p.payee, Text: err.Error()}
	}
	t := &part{id: wire.PartID(n.draw16()), route: r.Route, room: r.room, by: r.by}
	box := &wire.Box{
		Form: p.form, Payment: p.id, Salt: p.salt, Invoice: p.invoice, Currency: p.value.Currency, Total: p.value.Amount, Amount: r.Arrives(),
		Payer: n.me, Name: n.cfg.Name, Text: p.text,
	}
	if pair, ok := n.pair(p.payee); ok {
		box.Proof = pay.PayerProof(pair, t.id, p.id)
	}
	l := wire.Lock{
		Part: t.id, Currency: p.value.Currency, Amount: r.Amounts[0],
		Condition: wire.Condition{Hashes: n.hashes(p)},
	}
	var err error
	if l.Blob, err = n.wrap(p, r.Route, &l, box); err != nil || len(l.Blob) > wire.MaxBlob {
		return &wire.Reason{Code: wire.BadRequest, Text: "what the payment carries is too large; shorten the text"}
	}
	own, lockErr := f.ch.Lock(l)
	if lockErr != nil {
		return &wire.Reason{Code: wire.TooManyLocks, Next: f.id}
	}
	f.out[own.Number] = &outgoing{payment: p}
	t.at = place{f, own.Number}
	p.parts = append(p.parts, t)
	n.markPayment(p)
	n.markOut(f, own.Number)
	n.markChannel(f) // the number is used, even if the lock is not signed in this Step
	n.touch(f)
	return nil
}

// wrap makes what a lock of mine carries.
func (n *Node) wrap(p *payment, r pay.Route, l *wire.Lock, box *wire.Box) ([]byte, error) {
	if n.cfg.Plain {
		return p.sealed.NewBlob(r, l.Part, box), nil
	}
	return p.sealed.NewOnion(n.suite, r, l, pay.Until(n.now), box)
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

// openReason reads why a part of mine came back.
func (n *Node) openReason(p *payment, t *part, l *credit.OwnLock, note []byte) *wire.Reason {
	var r *wire.Reason
	var err error
	if pay.IsOnion(l.Blob) {
		r, err = pay.OpenFailure(n.suite, t.route.Hops, l.Part, note)
	} else {
		r, err = pay.OpenReason(n.suite, p.boxSalt, note)
	}
	if err != nil {
		return &wire.Reason{Code: wire.CodeNone, Currency: p.value.Currency}
	}
	return r
}

// partReturned: a lock of mine was given back. Other routes are tried for its amount where that can help.
func (n *Node) partReturned(p *payment, t *part, r *wire.Reason) {
	p.drop(t)
	n.judgeQuote(t.by, t.route, r)
	if p.stage == stagePaid {
		return // it was opened: what is given back nevertheless is a present
	}
	n.markPayment(p)
	again := p.stage == stageRoute || p.stage == stageLocked
	switch {
	case again && n.learnFailure(p, t, r) && n.now < p.giveUp && p.tries < maxTries:
		p.reason = r
		if p.stage == stageLocked { // else a search is under way: what is missing then is looked for after it
			n.stage(p, stageRoute)
			n.try(p, func(*payment) {})
		}
	case p.stage == stageCancel && p.reason != nil && r.Code == wire.CancelledByPayer:
		n.giveUpRest(p, p.reason) // given back because of what had failed before
	default:
		n.giveUpRest(p, r)
	}
}

// learnFailure takes what a reason says into the next search. It reports whether trying again can help.
func (n *Node) learnFailure(p *payment, t *part, r *wire.Reason) bool {
	hops := append([]ident.ID{n.me}, t.route.Hops...)
	i := slices.Index(hops, r.At)
	switch r.Code {
	case wire.FeeTooLow:
		if i < 1 || i+1 >= len(hops) {
			return false
		}
		p.overrides = slices.DeleteFunc(p.overrides, func(o route.Override) bool { return !o.KeepFee && o.Edge.From == hops[i-1] && o.Edge.To == r.At })
		if r.Need < 0 || r.Need > money.MaxLimit {
			return false
		}
		p.overrides = append(p.overrides, route.Override{Edge: route.Edge{From: hops[i-1], To: r.At}, FeeBase: r.Need})
		return true
	case wire.LimitReached:
		if i < 0 || i+1 >= len(hops) || len(p.fixed) > 0 {
			return false
		}
		e := route.Edge{From: hops[i], To: hops[i+1]}
		if r.Left > 0 && r.Left < t.route.Amounts[i] { // what it says of itself may be wrong, but not for longer than this is remembered
			p.overrides = append(p.overrides, route.Override{Edge: e, KeepFee: true, AtMost: r.Left})
			n.learned.learn(n.now, e, p.value.Currency, r.Left)
			return true
		}
		if t.route.Amounts[i] > 1 { // nothing is left of it, or it does not say how much: not as much as this in any case
			n.learned.learn(n.now, e, p.value.Currency, t.route.Amounts[i]-1)
		}
		p.avoid = append(p.avoid, route.Avoid{Edge: e, Currency: p.value.Currency})
		return true
	case wire.UnknownNextHop, wire.FriendOffline, wire.ChannelFrozen, wire.CatchingUp, wire.TooManyLocks, wire.ChannelClosed:
		if i < 0 || i+1 >= len(hops) || len(p.fixed) > 0 {
			return false
		}
		from, to := hops[i], hops[i+1]
		if (r.Code == wire.ChannelClosed || r.Code == wire.TooManyLocks) && r.Next != to && i > 0 { // its channel with the one before it
			from, to = hops[i-1], hops[i]
		}
		p.avoid = append(p.avoid, route.Avoid{Edge: route.Edge{From: from, To: to}, Currency: p.value.Currency})
		return true
	case wire.CodeNone, wire.DuplicatePart:
		if len(p.fixed) > 0 {
			return false
		}
		from, to := n.me, hops[1]
		if i > 0 && i+1 < len(hops) { // it says itself that it got no reason from the next
			from, to = hops[i], hops[i+1]
		}
		p.avoid = append(p.avoid, route.Avoid{Edge: route.Edge{From: from, To: to}, Currency: p.value.Currency})
		return true
	}
	return false // the payee's word, or something that is the same everywhere
}
