package sim

import (
	"slices"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// The exposure oracle judges the limit rule from what was signed and by its own sums: it
// knows nothing of package credit.

// exposure: reader m signs p, which acknowledges a promise of its friend. Everything that this promise
// brought since the last acknowledged one was within a limit that was in force.
func (x *watch) exposure(m *Member, to ident.ID, p *wire.Promise) {
	theirs := x.ledger(to, m.id)
	accepted := x.promises[p.Ack.Hash]
	if p.Ack.Before(theirs.judged) && x.w.byID[to].liar != nil {
		theirs.held.unsure, theirs.back = true, true // a user may agree on anything with a liar
	}
	if p.Ack.Seq == 0 || accepted == nil || !theirs.judged.Before(p.Ack) {
		return
	}
	before := theirs.judged
	theirs.judged = p.Ack
	if accepted.From != to || accepted.To != m.id {
		x.w.fail("S4", "%s acknowledges a promise that is not to it", m)
		return
	}
	x.acceptance(m, to, before, p.Ack)
	if p.Ack.Epoch != before.Epoch || before.Seq == 0 && p.Ack.Epoch > 0 {
		return // a new epoch restates what was judged before
	}
	base := x.promises[before.Hash]
	if base == nil {
		base = &wire.Promise{}
	}
	mine := x.ledger(m.id, to)
	own := x.promises[mine.newest.Hash]
	if own == nil {
		own = &wire.Promise{}
	}
	if own.Start != nil && len(own.Start.Less) > 0 {
		return // a renewal is under way: owed is on both sides of the subtraction
	}
	for _, l := range accepted.Lines {
		grew := theirs.grew(p.Ack.Epoch, before.Seq, p.Ack.Seq, l.Currency)
		if x.w.byID[to].liar != nil {
			grew = slices.ContainsFunc(theirs.told[p.Ack.Hash], func(s sending) bool {
				return slices.ContainsFunc(s.groups, func(g wire.Group) bool { return g.Seq > before.Seq && grows(&g, l.Currency) })
			})
		}
		if !grew {
			continue
		}
		limit := mine.highest(base.Terms, l.Currency)
		net := l.Owed - own.Line(l.Currency).Owed + l.Locked
		if net > limit {
			x.w.fail("S4", "%s accepts %d.%d of %s: %d %s are owed and locked, the highest limit since terms %d is %d",
				m, accepted.Epoch, accepted.Seq, to.Short(), net, l.Currency, base.Terms, limit)
		}
	}
}

// ownExposure: an honest writer signs no lock or add above the limit that its promise cites.
func (x *watch) ownExposure(m *Member, to ident.ID, mine *ledger, p *wire.Promise) {
	g := mine.groups[number{p.Epoch, p.Seq}]
	if g == nil || mine.newest.SameNumber(wire.Mark{Epoch: p.Epoch, Seq: p.Seq}) {
		return
	}
	theirs := x.ledger(to, m.id)
	terms, ok := theirs.terms[p.Terms]
	if !ok {
		return
	}
	held := x.promises[p.Ack.Hash]
	if held == nil {
		held = &wire.Promise{}
	}
	if held.Start != nil && len(held.Start.Less) > 0 || p.Start != nil {
		return
	}
	for _, l := range p.Lines {
		if !grows(g, l.Currency) {
			continue
		}
		net := l.Owed - held.Line(l.Currency).Owed + l.Locked
		if net > terms.Line(l.Currency).Limit {
			x.w.fail("S4", "%s signs %d.%d to %s: %d %s owed and locked, the limit of terms %d is %d",
				m, p.Epoch, p.Seq, to.Short(), net, l.Currency, p.Terms, terms.Line(l.Currency).Limit)
		}
	}
}

func (l *ledger) highest(from uint64, cur money.Currency) (limit money.Amount) {
	for n, t := range l.terms {
		if n >= from {
			limit = max(limit, t.Line(cur).Limit)
		}
	}
	return limit
}

// grew says whether a promise after base up to newest brought a lock or an add.
func (l *ledger) grew(epoch, base, newest uint64, cur money.Currency) bool {
	for s := base + 1; s <= newest; s++ {
		if g := l.groups[number{epoch, s}]; g != nil && grows(g, cur) {
			return true
		}
	}
	return false
}

func grows(g *wire.Group, cur money.Currency) bool {
	for i := range g.Locks {
		if g.Locks[i].Currency == cur {
			return true
		}
	}
	for i := range g.Adds {
		if g.Adds[i].Currency == cur {
			return true
		}
	}
	return false
}
