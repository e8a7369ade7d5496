package sim

import (
	"slices"

	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// What the watch knows of parts: who began them when, what mediators kept of them, whether they arrived.

// allowed is what a payer's user allows a payment, by the largest of what several commands said.
type allowed struct {
	fee   money.Amount
	parts int
	until int64 // by the payer's clock
}

// lateness is how long after its decision a lock may be on the disk, in milliseconds: the slowest disk takes 400.
const lateness = 1000

// allowing enters what a user allows once the node has named the payment.
func (x *watch) allowing(m *Member, c *node.Pay, then func(node.Reply)) func(node.Reply) {
	return func(r node.Reply) {
		if v, ok := r.Value.(*node.PaymentView); ok && r.Err == nil {
			id, _ := wire.ParseID16(v.ID)
			a := x.limits[wire.PaymentID(id)]
			if c.MaxFee != nil { // else none without asking again
				a.fee = max(a.fee, *c.MaxFee)
			}
			parts := c.MaxParts
			switch {
			case len(c.Route) > 0:
				parts = 1
			case parts == 0:
				parts = node.DefaultParts
			}
			a.parts, a.until = max(a.parts, parts), max(a.until, m.clock()+c.GiveUp)
			x.limits[wire.PaymentID(id)] = a
		}
		if then != nil {
			then(r)
		}
	}
}

// withinLimits is the part of rule S6 about what the user allows: parts, time to try again, and fees of what was paid.
func (x *watch) withinLimits(m *Member, id wire.PaymentID, fee money.Amount) {
	a, ok := x.limits[id]
	if !ok {
		return // its payer died before it told its user
	}
	if fee > a.fee {
		x.w.fail("S6", "%s pays %d for payment %s, its user allows %d", m, fee, id, a.fee)
	}
	var own []*attempt
	for _, t := range x.pays[id] {
		if t.payer == m.id {
			own = append(own, t)
		}
	}
	for i, t := range own {
		standing := 0
		for _, o := range own {
			if o.begun <= t.begun && !(o.lock.cancel && o.lock.gaveUp <= t.begun) {
				standing++
			}
		}
		if standing > a.parts {
			x.w.fail("S6", "%s has payment %s in %d parts, its user allows %d", m, id, standing, a.parts)
		}
		if i > 0 && t.begun > own[0].begun+lateness && t.clock > a.until+lateness && x.w.Stats.Faults[FaultClock] == 0 {
			x.w.fail("S6", "%s tries payment %s again %d ms after the time its user allows", m, id, t.clock-a.until)
		}
	}
}

// attempt is one part of a payment, as its payer began it.
type attempt struct {
	payer    ident.ID
	lock     *toldLock
	amount   money.Amount
	begun    int64 // milliseconds of true time
	clock    int64 // and by the payer's clock
	released int64 // when the payer first told the payee to open it, 0: not yet
}

// begins enters a lock that was not known before.
func (x *watch) begins(m *Member, to ident.ID, t *toldLock) {
	part := t.lock.Part
	if x.origin[part] == (ident.ID{}) && !x.arrives(part, m.id) {
		x.origin[part] = m.id
		x.tries[part] = &attempt{payer: m.id, lock: t, begun: x.w.now, clock: m.clock()}
	} else if x.origin[part] != m.id && m.liar == nil {
		x.keepsFee(m, &t.lock)
	}
	x.parts[part] = append(x.parts[part], way{m.id, to})
	t.box, t.final = x.box(x.w.byID[to], &t.lock)
	box := t.box
	if box == nil {
		return
	}
	if a := x.tries[part]; a != nil && !slices.Contains(x.pays[box.Payment], a) {
		x.again(a, box)
		x.pays[box.Payment] = append(x.pays[box.Payment], a)
	}
}

// again is the part of rule S6 that forbids parts of more than the whole while the first may still be paid.
func (x *watch) again(a *attempt, box *wire.Box) {
	a.amount = box.Amount
	x.totals[box.Payment] = box.Total
	m := x.w.byID[a.payer]
	if m.liar != nil {
		return
	}
	all := []*attempt{a}
	for _, b := range x.pays[box.Payment] {
		if b.payer == a.payer && !m.forgot(b.lock) && !x.lost(m, b) {
			all = append(all, b)
		}
	}
	for _, later := range all {
		var sum money.Amount
		for _, b := range all {
			if b.begun > later.begun || b.lock.cancel && b.lock.gaveUp <= later.begun {
				continue
			}
			sum += b.amount
			if box.Form == wire.FormPush && b.released > 0 && m.knows(b.released) && b.released < later.begun {
				x.w.fail("S6", "%s begins a part of payment %s after it told the payee to open an earlier one", m, box.Payment)
			}
		}
		if sum > box.Total {
			x.w.fail("S6", "%s has parts of %d of payment %s locked, which is of %d", m, sum, box.Payment, box.Total)
		}
	}
}

// lost says whether an attempt is one that a payer on an old copy does not know, and the friend neither.
func (x *watch) lost(m *Member, b *attempt) bool {
	first := x.parts[b.lock.lock.Part][0]
	return m.restore && !m.knows(b.begun) && x.ledger(first.from, first.to).judged.Before(b.lock.opened)
}

// orders sees the payer's word to its payee.
func (x *watch) orders(from, to *Member, msg *wire.Onward) {
	if len(msg.Note) == 0 || msg.Note[0] != 'o' {
		return
	}
	if t := x.ledger(from.id, to.id).locks[msg.Number]; t != nil {
		if a := x.tries[t.lock.Part]; a != nil && a.payer == from.id && a.released == 0 {
			a.released = x.w.now
			x.whole(from, t)
		}
	}
}

// keepsFee is the part of rule S8 that gives a mediator its fee: m carries l on.
func (x *watch) keepsFee(m *Member, l *wire.Lock) {
	var got, need money.Amount
	for _, w := range x.parts[l.Part] {
		if w.to != m.id {
			continue
		}
		up := x.ledger(w.from, m.id)
		for _, n := range up.order {
			if t := up.locks[n]; t.lock.Part == l.Part {
				got, need = t.lock.Amount, x.ledger(m.id, w.from).leastFee(l.Currency, l.Amount, x.w.now, m.restore)
				if got-l.Amount >= need {
					return
				}
			}
		}
	}
	x.w.fail("S8", "%s carries on %d of %d %s, its fee is %d", m, l.Amount, got, l.Currency, need)
}

// leastFee is the smallest fee of the terms that may have been in force when a promise was signed which is
// saved now: from the newest that had been sent to the newest that are signed. An old copy and a friend that was away may both have
// forgotten the newest: then of all.
func (l *ledger) leastFee(cur money.Currency, a money.Amount, now int64, forgot bool) money.Amount {
	from := l.sent
	if l.sentAt == now {
		from = l.sentBefore
	}
	least := money.Amount(-1)
	for n := range l.terms {
		if n < from && !forgot {
			continue
		}
		line := l.terms[n].Line(cur)
		fee := line.FeeBase + (a*money.Amount(line.FeePpm)+999_999)/1_000_000 // amounts of worlds are small
		if least < 0 || fee < least {
			least = fee
		}
	}
	return max(least, 0)
}

// granted enters terms that are sent.
func (l *ledger) granted(s wire.Signed, now int64) {
	var t wire.Terms
	if s.None() || wire.Unmarshal(s.Body, &t) != nil {
		return
	}
	if l.sentAt < now {
		l.sentBefore, l.sentAt = l.sent, now
	}
	l.sent = max(l.sent, t.Number)
}

// arrival sees a payee's word that a part is locked to it, unless a liar says it falsely.
func (x *watch) arrival(from, to *Member, msg *wire.Acknowledge) {
	if from.liar != nil && !x.w.calm && x.w.now < from.liar.twisted {
		return
	}
	for _, t := range x.ledger(to.id, from.id).all(msg.Number) {
		if t.box != nil {
			if x.ledger(to.id, from.id).past[msg.Number] == nil { // else it is not known which of them
				x.once(from, to.id, x.onions.answered, &t.lock)
			}
			x.arrived[t.box.Payment] = true
		}
	}
}

// whole is the part of rule S6 that forbids a payer to release a push of which not all stands.
func (x *watch) whole(m *Member, l *toldLock) {
	id, ok := x.w.paymentOf(l.lock.Part)
	if !ok || m.liar != nil {
		return
	}
	var sum money.Amount
	for _, b := range x.pays[id] {
		if b.payer == m.id && (!b.lock.dropped || b.lock.droppedAt == x.w.now) { // a cancel may have come in the Step of the release, after it
			sum += b.amount
		}
	}
	if total := x.totals[id]; sum != total {
		x.w.fail("S6", "%s releases payment %s of %d while parts of %d stand", m, id, total, sum)
	}
}
