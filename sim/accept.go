package sim

import (
	"fmt"
	"maps"
	"slices"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// The acceptance oracle judges by its own books what an honest reader took: it knows nothing of
// package credit. A reader shows what it took by acknowledging it (rule S12).

// sending is one way in which a promise was told: moves are judged from their base.
type sending struct {
	base   wire.Mark
	groups []wire.Group
	signed bool   // the signature is the writer's
	at     int64  // when it was first told so, in milliseconds of true time
	stale  uint64 // terms of the reader's hello in that session, if the promise cites older ones
}

// tally is what a reader holds of a writer, by what it acknowledged.
type tally struct {
	open    map[uint64]*wire.Lock // locks of the writer's
	last    uint64                // the highest number of a lock
	cancels []uint64              // locks of the reader's that the writer gives up
	unsure  bool                  // a restore: what the reader holds came from a snapshot
	frozen  int64                 // when the reader saved evidence against the writer, in milliseconds of true time; 0: it has none
	epoch   uint64                // in which it got that
}

// said enters the hello of a session.
func (x *watch) said(from, to ident.ID, session uint64, h *wire.Hello) {
	var t wire.Terms
	if !h.Terms.None() && wire.Unmarshal(h.Terms.Body, &t) != nil {
		return
	}
	k := hello{way{from, to}, session}
	old, again := x.hellos[k]
	if !again {
		old.terms = t.Number
	}
	if old.mine.Before(h.Mine) { // a liar may say several; the reader goes by one of them
		old.mine = h.Mine
	}
	old.terms = min(old.terms, t.Number)
	x.hellos[k] = old
}

// heard enters that the hello of a session has arrived.
func (x *watch) heard(from, to ident.ID, session uint64) {
	k := hello{way{from, to}, session}
	g := x.hellos[k]
	g.heard = true
	x.hellos[k] = g
}

type hello struct {
	way
	session uint64
}

type greeting struct {
	mine  wire.Mark
	terms uint64
	heard bool
}

// tellsOf enters how a promise was told. An honest writer cites no older terms than it was told in the session.
func (x *watch) tellsOf(m *Member, to ident.ID, session uint64, u *wire.Update, p *wire.Promise) {
	l, mark := x.ledger(m.id, to), p.Mark(u.Promise)
	h := mark.Hash
	s := sending{at: x.w.now, base: u.Base, groups: u.Groups, signed: m.liar == nil || m.keys.Verify(m.id, wire.TagPromise, u.Promise.Body, u.Promise.Sig)}
	mine, theirs := x.hellos[hello{way{m.id, to}, session}], x.hellos[hello{way{to, m.id}, session}]
	if p.Start == nil && mine.mine.Before(mark) && p.Terms < theirs.terms {
		s.stale = theirs.terms
		if m.liar == nil {
			x.w.fail("S12", "%s signs promise %d.%d to %s, which cites terms %d, after a hello that brought terms %d",
				m, p.Epoch, p.Seq, to.Short(), p.Terms, theirs.terms)
		}
	}
	if m.liar == nil && len(l.told[h]) == 0 {
		x.restates(m, to, l, p, mark, s.groups)
	}
	if m.liar == nil && !theirs.heard {
		x.w.fail("S12", "%s sends promise %d.%d to %s before it heard the other's hello", m, p.Epoch, p.Seq, to.Short())
	}
	l.told[h] = append(l.told[h], s)
	if _, ok := l.termsAt[h]; !ok {
		l.termsAt[h] = l.sent
	}
}

// restates is rule S13: a promise of an honest writer says what its last one said, and its moves since. So what a
// liar makes it believe about a channel does not get under its signature.
func (x *watch) restates(m *Member, to ident.ID, l *ledger, p *wire.Promise, mark wire.Mark, groups []wire.Group) {
	if l.vague = l.vague || m.restore; l.vague {
		return
	}
	last := l.newest
	if p.Start != nil {
		last = p.Start.Mine // of its own the newest, or the newest that the friend holds
	}
	from, ok := l.wrote[last.Hash]
	if !ok && last.Seq > 0 {
		x.w.fail("S13", "%s starts epoch %d to %s from promise %d.%d, which it did not sign", m, p.Epoch, to.Short(), last.Epoch, last.Seq)
	}
	step := x.stepFrom(x.promises[last.Hash], p, &from)
	step.mine = x.ledger(to, m.id)
	for _, g := range groups {
		if g.Seq <= last.Seq && p.Start == nil {
			continue
		}
		if len(g.Locks) > 0 && g.Locks[0].Number <= from.last { // moves of many promises in one group: told before
			l.vague = true
			return
		}
		if no := step.group(&g, false); no != "" {
			x.w.fail("S13", "%s signs promise %d.%d to %s: %s", m, p.Epoch, p.Seq, to.Short(), no)
		}
	}
	if no := step.figures(); no != "" {
		x.w.fail("S13", "%s signs promise %d.%d to %s: %s", m, p.Epoch, p.Seq, to.Short(), no)
	}
	l.wrote[mark.Hash] = step.held
}

// acceptance is rule S12: m acknowledges a promise of to's that it holds now; before is the one it held when it
// last said so. There is a way of what was sent from the one to the other in which every step obeys the rules.
func (x *watch) acceptance(m *Member, to ident.ID, before, ack wire.Mark) {
	l, writer := x.ledger(to, m.id), x.w.byID[to]
	if l.held.unsure || m.restore || writer.restore {
		l.held.unsure = true
		return
	}
	held, why := x.follow(m, to, before, ack, &l.held)
	if why != "" {
		x.w.fail("S12", "%s accepts promise %d.%d of %s: %s", m, ack.Epoch, ack.Seq, writer, why)
		return
	}
	l.held = *held
}

// follow looks for steps from base to mark, the last first. It gives what is held then, or why there are none.
func (x *watch) follow(m *Member, to ident.ID, base, mark wire.Mark, from *tally) (*tally, string) {
	l, p := x.ledger(to, m.id), x.promises[mark.Hash]
	if p == nil || p.From != to || p.To != m.id || p.Epoch != mark.Epoch || p.Seq != mark.Seq {
		return nil, "it was never signed"
	}
	why := fmt.Sprintf("it was never sent from %d.%d on", base.Epoch, base.Seq)
	for _, s := range l.told[mark.Hash] {
		if p.Start != nil {
			if s.base = base; base.Before(p.Start.Mine) && x.promises[p.Start.Mine.Hash] != nil {
				s.base = p.Start.Mine // a later one than was acknowledged: it was accepted before
			}
		}
		held := from
		if s.base != base {
			if !base.Before(s.base) || !s.base.Before(mark) {
				continue
			}
			var no string
			if held, no = x.follow(m, to, base, s.base, from); no != "" {
				if p.Start == nil {
					why = no
					continue
				}
				held, s.base = from, base // only acknowledgements lie between, as the figures show
			}
		}
		next, no := x.oneStep(m, to, s, p, held)
		if no != "" && p.Start != nil && s.base != base { // or the reader refused that one, and the figures are those of what it holds
			s.base = base
			next, no = x.oneStep(m, to, s, p, from)
		}
		if no == "" {
			return next, ""
		}
		why = no
	}
	return nil, why
}

// oneStep judges one promise against the one it is told from.
func (x *watch) oneStep(m *Member, to ident.ID, s sending, p *wire.Promise, from *tally) (*tally, string) {
	old := x.promises[s.base.Hash]
	if old == nil {
		old = &wire.Promise{}
	}
	mine := x.ledger(m.id, to)
	switch {
	case !s.signed:
		return nil, "its signature is not the writer's"
	case s.stale > 0:
		return nil, fmt.Sprintf("it cites terms %d after a hello that brought terms %d", p.Terms, s.stale)
	case p.Terms < old.Terms || p.Terms > mine.newTerms || p.Terms < mine.termsAt[p.Ack.Hash]:
		return nil, fmt.Sprintf("it cites terms %d; before it cited %d, and it knows a promise signed after terms %d of %d",
			p.Terms, old.Terms, mine.termsAt[p.Ack.Hash], mine.newTerms)
	case p.Ack.Before(old.Ack):
		return nil, fmt.Sprintf("it acknowledges %d.%d after %d.%d", p.Ack.Epoch, p.Ack.Seq, old.Ack.Epoch, old.Ack.Seq)
	}
	if own := x.promises[p.Ack.Hash]; p.Ack != (wire.Mark{}) && (own == nil || own.From != m.id || own.To != to || own.Epoch != p.Ack.Epoch || own.Seq != p.Ack.Seq) {
		return nil, fmt.Sprintf("it acknowledges %d.%d, which the reader did not sign so", p.Ack.Epoch, p.Ack.Seq)
	}
	step := x.stepFrom(old, p, from)
	step.mine = mine
	var cancels []uint64
	step.held.frozen, step.held.epoch = from.frozen, from.epoch
	for _, g := range s.groups {
		if from.frozen != 0 && from.frozen < s.at && p.Epoch == from.epoch && len(g.Locks)+len(g.Adds) > 0 {
			return nil, "it brings locks or adds to a frozen channel"
		}
		if g.Seq <= s.base.Seq || g.Seq > p.Seq || p.Start != nil {
			return nil, fmt.Sprintf("it brings moves of %d from %d on", g.Seq, s.base.Seq)
		}
		if no := step.group(&g, true); no != "" {
			return nil, no
		}
		for _, c := range g.Cancels {
			cancels = append(cancels, c.Number)
		}
	}
	if no := step.figures(); no != "" {
		return nil, no
	}
	return &step.held, step.cancelled(from.cancels, cancels)
}

// stepping does the moves of one promise.
type stepping struct {
	p    *wire.Promise
	mine *ledger // of the reader
	held tally
	owed map[money.Currency]money.Amount
}

// stepFrom begins with what an older promise says; nil is that before the first.
func (*watch) stepFrom(old, p *wire.Promise, from *tally) stepping {
	s := stepping{p: p, held: tally{open: copied(from.open), last: from.last}, owed: map[money.Currency]money.Amount{}}
	if old != nil {
		for _, l := range old.Lines {
			s.owed[l.Currency] = l.Owed
		}
	}
	if p.Start != nil {
		for _, l := range p.Start.Less {
			s.owed[l.Currency] -= l.Amount
		}
	}
	return s
}

func copied(locks map[uint64]*wire.Lock) map[uint64]*wire.Lock {
	if locks == nil {
		return map[uint64]*wire.Lock{}
	}
	return maps.Clone(locks)
}

// group does one group; given says that drops are judged by what the reader gave up.
func (s *stepping) group(g *wire.Group, given bool) string {
	for i := range g.Locks {
		k := &g.Locks[i]
		if k.Number <= s.held.last {
			return fmt.Sprintf("lock %d comes after lock %d", k.Number, s.held.last)
		}
		s.held.open[k.Number], s.held.last = k, k.Number
	}
	for _, n := range g.Fulfils {
		k := s.held.open[n]
		if k == nil {
			return fmt.Sprintf("it fulfils lock %d, which is not open", n)
		}
		s.owed[k.Currency] += k.Amount
		delete(s.held.open, n)
	}
	for _, n := range g.Drops {
		if s.held.open[n] == nil {
			return fmt.Sprintf("it drops lock %d, which is not open", n)
		}
		if at, ok := s.mine.gaveUp[n]; given && (!ok || s.p.Ack.Before(at)) {
			return fmt.Sprintf("it drops lock %d, which was not cancelled", n)
		}
		delete(s.held.open, n)
	}
	for _, a := range g.Adds {
		s.owed[a.Currency] += a.Amount
	}
	return ""
}

// figures holds the sums of what is open and owed against the promise's lines.
func (s *stepping) figures() string {
	open := map[money.Currency][]wire.Lock{}
	for _, n := range slices.Sorted(maps.Keys(s.held.open)) {
		k := s.held.open[n]
		open[k.Currency] = append(open[k.Currency], *k)
	}
	for cur := range open {
		s.owed[cur] += 0
	}
	if len(s.owed) != len(s.p.Lines) {
		return fmt.Sprintf("it has %d currencies, its moves give %d", len(s.p.Lines), len(s.owed))
	}
	for _, l := range s.p.Lines {
		locked, digest := sumOf(open[l.Currency])
		if owed, ok := s.owed[l.Currency]; !ok || owed != l.Owed || locked != l.Locked || digest != l.Locks {
			return fmt.Sprintf("it says %d %s owed and %d locked, its moves give %d and %d", l.Owed, l.Currency, l.Locked, owed, locked)
		}
	}
	return ""
}

// cancelled holds the locks of the reader's that are given up against the promise's digest.
func (s *stepping) cancelled(before, news []uint64) string {
	for _, n := range before {
		if s.openAt(n) {
			s.held.cancels = append(s.held.cancels, n)
		}
	}
	for _, n := range news {
		if !s.openAt(n) || slices.Contains(s.held.cancels, n) {
			return fmt.Sprintf("it cancels lock %d, which is not open", n)
		}
		s.held.cancels = append(s.held.cancels, n)
	}
	slices.Sort(s.held.cancels)
	if digestOf(s.held.cancels) != s.p.Cancelled {
		return fmt.Sprintf("its digest of cancelled locks is not that of %v", s.held.cancels)
	}
	return ""
}

// openAt says whether a lock of the reader's was open in the promise that is acknowledged.
func (s *stepping) openAt(n uint64) bool {
	k := s.mine.locks[n]
	if k == nil || s.p.Ack.Before(k.opened) {
		return false
	}
	return k.ended.Seq == 0 || s.p.Ack.Before(k.ended)
}
