package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// audit is what must hold when faults have stopped and everything has come to rest.
func (w *World) audit() {
	for _, m := range w.Members {
		if w.err != nil {
			return
		}
		if m.liar != nil {
			continue
		}
		if m.node == nil {
			w.fail("S9", "%s is down at the end", m)
			return
		}
		m.compareRestart()
		if problems := m.node.Check(m.disk.book()); len(problems) > 0 {
			w.fail("S9", "%s: book: %s", m, strings.Join(problems, "; "))
		}
		w.auditFriends(m)
		w.auditLive(m)
		w.auditDone(m)
	}
	w.auditSums()
	w.auditParts()
	w.auditBounds()
}

// keepsAtMost is what a friendship may cost an honest member on its disk when nothing is under way, in bytes:
// the statements, the marks of a session and what the friend gave to keep.
const keepsAtMost = 300 << 10

// auditBounds is rule S10.
func (w *World) auditBounds() {
	for _, m := range w.Members {
		if m.liar != nil {
			continue
		}
		for kind, records := range m.disk.records {
			for key, value := range records {
				if len(value) > keepsAtMost {
					w.fail("S10", "%s keeps %d bytes of %s %s, at most %d", m, len(value), kind, key, keepsAtMost)
				}
			}
		}
	}
}

// auditFriends: both sides of every channel agree, and nothing is left locked.
func (w *World) auditFriends(m *Member) {
	for _, v := range m.node.Friends() {
		o := w.byID[v.Key]
		if o == nil || o.liar != nil || v.State == node.Pending {
			continue
		}
		back := o.with(m)
		if back == nil {
			w.fail("S9", "%s has %s as a friend, which does not know it", m, o)
			return
		}
		if v.State == node.Frozen {
			w.fail("S11", "%s and %s are frozen: %s", m, o, v.Fault)
			return
		}
		if !v.Ready && back.State != node.Removed {
			w.fail("S9", "%s is not ready with %s (%s, problem %q, online %v; other side: ready %v, problem %q)", m, o, v.State, v.Problem, v.Online, back.Ready, back.Problem)
			return
		}
		if w.honest() && v.OpenLocks != 0 && !w.forgotten(m, o) {
			w.fail("S9", "%s has %d locks with %s at the end: %s", m, v.OpenLocks, o, w.openLocks(m, o))
			return
		}
		for _, c := range v.Currencies {
			d := currencyOf(back, c.Currency)
			if c.Balance.Amount != -d.Balance.Amount || c.LockedByMe != d.LockedByThem || c.LockedByThem != d.LockedByMe {
				w.fail("S9", "%s says of %s %+v, the other side says %+v", m, o, c, d)
				return
			}
			if c.LimitGranted != d.LimitReceived || c.LimitReceived != d.LimitGranted || c.CanPay != d.CanReceive {
				w.fail("S9", "limits of %s and %s differ: %+v, %+v", m, o, c, d)
				return
			}
		}
		if mine, theirs := w.proof(m, o), w.proof(o, m); mine != nil && theirs != nil {
			if !mine.Mine.Equal(theirs.Theirs) || !mine.Theirs.Equal(theirs.Mine) {
				w.fail("S9", "%s and %s do not hold the same promises", m, o)
				return
			}
		}
	}
}

// forgotten says whether every open lock between two is of a part that went over a channel both sides of which were
// restored: what both have forgotten nobody can end but their users.
func (w *World) forgotten(m, o *Member) bool {
	if m.restore && o.restore {
		return true
	}
	for _, k := range []way{{m.id, o.id}, {o.id, m.id}} {
		l := w.watch.ledger(k.from, k.to)
		for _, n := range l.order {
			t := l.locks[n]
			lost := func(x way) bool { return w.byID[x.from].restore && w.byID[x.to].restore }
			if !t.fulfil && !t.dropped && !slices.ContainsFunc(w.watch.parts[t.lock.Part], lost) {
				return false
			}
		}
	}
	return true
}

// bothForgot says whether any two friends were both restored.
func (w *World) bothForgot() bool {
	return slices.ContainsFunc(w.watch.order, func(k way) bool { return w.byID[k.from].restore && w.byID[k.to].restore })
}

// openLocks lists what is left between two, for the message of a failure.
func (w *World) openLocks(m, o *Member) string {
	var list []string
	for _, k := range []way{{m.id, o.id}, {o.id, m.id}} {
		l := w.watch.ways[k]
		if l == nil {
			continue
		}
		for _, n := range l.order {
			if t := l.locks[n]; !t.fulfil && !t.dropped {
				list = append(list, fmt.Sprintf("lock %d of %s, part %s, began at %s, cancelled %v, revealed %v/%v",
					n, w.byID[k.from], t.lock.Part.String()[:8], w.byID[w.watch.origin[t.lock.Part]], t.cancel, t.revealed, t.passed))
			}
		}
	}
	return strings.Join(list, "; ")
}

func (w *World) proof(m, o *Member) *credit.Proof {
	link, err := m.node.Proof(o.key)
	if err != nil {
		return nil
	}
	data, e := wire.ParseLink(wire.LinkProof, link)
	if e != nil {
		w.fail("S9", "proof of %s: %v", m, e)
		return nil
	}
	p, e := credit.DecodeProof(data)
	if e == nil {
		_, e = p.Verify(m.keys)
	}
	if e != nil {
		w.fail("S9", "proof of %s about %s: %v", m, o, e)
		return nil
	}
	return p
}

func (w *World) honest() bool {
	return !slices.ContainsFunc(w.Members, func(m *Member) bool { return m.liar != nil })
}

// auditLive: no payment is left under way.
func (w *World) auditLive(m *Member) {
	if !w.honest() {
		return
	}
	for _, v := range m.node.Payments() {
		w.fail("S9", "%s: payment %s is still %s at the end (%+v)", m, v.ID, v.State, v.Waiting)
		return
	}
	for _, v := range m.node.Invoices() {
		if v.State == "held" && !w.bothForgot() {
			w.fail("S9", "%s: invoice %s is still held at the end", m, v.ID)
			return
		}
	}
}

// auditDone: what the payer's disk says of each ended payment is what was written in promises.
func (w *World) auditDone(m *Member) {
	paid := map[wire.PaymentID]money.Amount{}
	times := map[wire.PaymentID]int{}
	forgotten := map[wire.PaymentID]bool{} // paid in part before the disk was replaced: what it says of them need not be whole
	brought := map[wire.PaymentID]money.Amount{}
	for _, k := range w.watch.order {
		if k.to == m.id || k.from != m.id {
			continue
		}
		l := w.watch.ways[k]
		for _, n := range l.order {
			t := l.locks[n]
			if !t.fulfil || w.watch.origin[t.lock.Part] != m.id {
				continue
			}
			if id, ok := w.paymentOf(t.lock.Part); ok {
				paid[id] += t.lock.Amount
				times[id]++
				forgotten[id] = forgotten[id] || m.forgot(t)
				if a := w.watch.tries[t.lock.Part]; a != nil {
					brought[id] += a.amount
				}
			}
		}
	}
	done := m.disk.records[node.KindPaymentDone]
	for key, value := range done {
		v, err := node.DecodePayment(value)
		if err != nil {
			w.fail("S6", "%s: record of payment %s: %v", m, key, err)
			return
		}
		id, _ := wire.ParseID16(key)
		known := !forgotten[id] && !(m.blank && times[id] > len(v.Parts)) // a friend of whom it knew nothing came with a part after the first was paid
		total := v.Amount.Amount + v.Fee.Amount
		var parts money.Amount // less than the total where a liar opened a part before all had come
		for _, t := range v.Parts {
			parts += t.Amount.Amount + t.Fee.Amount
		}
		switch {
		case known && v.State == node.Returned && times[id] > 0:
			w.fail("S6", "%s: payment %s is returned, and %d were paid", m, key, paid[id])
		case known && v.State == node.Paid && times[id] != len(v.Parts) && (w.honest() || times[id] > len(v.Parts)):
			w.fail("S6", "%s: payment %s is paid, in %d locks of %d parts", m, key, times[id], len(v.Parts))
		case known && v.State == node.Paid && times[id] == len(v.Parts) && paid[id] != parts:
			w.fail("S6", "%s: payment %s cost %d, it says %d", m, key, paid[id], parts)
		case v.State == node.Paid && (parts > total || known && parts < total && w.honest()):
			w.fail("S6", "%s: payment %s is of %d, its parts of %d", m, key, total, parts)
		}
		if !m.restore {
			w.watch.withinLimits(m, id, paid[id]-brought[id])
		}
		if v.State == node.Paid {
			w.Stats.Paid++
			if len(v.Parts) > 0 && len(v.Parts[0].Hops) > 1 {
				w.Stats.Far++
			}
			if len(v.Parts) > 1 {
				w.Stats.Split++
			}
			w.watch.receipt(m, v)
		}
	}
	for id := range times {
		if total, ok := w.watch.totals[id]; ok && brought[id] > total {
			w.fail("S6", "%s pays %d of payment %s, which is of %d", m, brought[id], id, total)
		}
	}
}

// paymentOf finds the payment of a part where it arrived.
func (w *World) paymentOf(part wire.PartID) (wire.PaymentID, bool) {
	for _, k := range w.watch.parts[part] {
		l := w.watch.ways[k]
		for _, n := range l.order {
			if t := l.locks[n]; t.lock.Part == part {
				if t.box != nil {
					return t.box.Payment, true
				}
			}
		}
	}
	return wire.PaymentID{}, false
}

// auditSums: among honest members all balances add up to nothing.
func (w *World) auditSums() {
	if !w.honest() {
		return
	}
	sums := map[money.Currency]money.Amount{}
	for _, m := range w.Members {
		for _, b := range m.node.Balances() {
			sums[b.Currency] += b.Balance.Amount
		}
	}
	for cur, s := range sums {
		if s != 0 {
			w.fail("S9", "all balances in %s add up to %d", cur, s)
		}
	}
}

// holdsPreimage says whether a member has on its disk what opens a lock.
func (m *Member) holdsPreimage(debtor ident.ID, l *wire.Lock) bool {
	record := m.disk.get("in", m.w.byID[debtor].key+"/"+hex16(l.Number))
	for i := 0; i+32 <= len(record); i++ {
		if ident.Preimage(record[i:i+32]).Hash() == l.Condition.Hashes[0] {
			return true
		}
	}
	return false
}

// flow is what one member gives and gets for one part.
type flow struct{ gets, gives money.Amount }

// auditParts: no mediator loses, no invoice is paid twice.
func (w *World) auditParts() {
	invoices, tales := map[wire.PaymentID]money.Amount{}, map[wire.PaymentID]string{} // how many times over, in millionths
	type named struct {
		way
		number uint64
	}
	counted := map[named]bool{} // a number used again after a restore stands for one lock that was fulfilled
	ids := make([]wire.PartID, 0, len(w.watch.parts))
	for p := range w.watch.parts {
		ids = append(ids, p)
	}
	slices.SortFunc(ids, func(a, b wire.PartID) int { return bytes.Compare(a[:], b[:]) })
	for _, part := range ids {
		flows := map[ident.ID]*flow{}
		of := func(id ident.ID) *flow {
			if flows[id] == nil {
				flows[id] = &flow{}
			}
			return flows[id]
		}
		restored := false
		final := map[ident.ID]bool{}
		for k, t := range w.locksOf(part) {
			to := w.byID[k.to]
			restored = restored || to.restore || w.byID[k.from].restore
			claim := w.byID[k.from].liar != nil && (t.passed || to.holdsPreimage(k.from, &t.lock)) // cannot be denied, even while it is not honoured
			if t.fulfil || claim {
				of(k.to).gets += t.lock.Amount
			}
			if w.byID[k.from].gives(t) {
				of(k.from).gives += t.lock.Amount
			}
			if box := t.box; t.final {
				final[k.to] = true
				if box != nil && box.Form != wire.FormPush && to.collects(t) && !w.watch.ledger(k.from, k.to).back && !counted[named{k, t.lock.Number}] {
					counted[named{k, t.lock.Number}] = true
					invoices[box.Payment] += box.Amount * 1_000_000 / box.Total
					tales[box.Payment] += w.story(part) + " | "
				}
			}
		}
		for id, f := range flows {
			m := w.byID[id]
			if m.liar != nil || w.watch.origin[part] == id {
				continue
			}
			if f.gets < f.gives {
				w.fail("S8", "%s gets %d and gives %d for part %s: %s", m, f.gets, f.gives, part, w.story(part))
			}
			if w.honest() && !restored && !final[id] && f.gives == 0 {
				w.fail("S8", "%s gets %d and gives nothing for part %s, which does not end there", m, f.gets, part)
			}
		}
	}
	for id, n := range invoices {
		if n > 1_000_000 {
			w.fail("S7", "invoice %s is paid %d millionths: %s", id, n, tales[id])
		}
	}
}

// gives says whether m, which wrote a lock, has to answer for having paid it: what it paid or dropped when it forgets that with its disk
// is its loss (P-53).
func (m *Member) gives(t *toldLock) bool {
	return t.fulfil && !m.forgot(t) && (!t.dropped || m.knows(t.droppedAt))
}

// collects says whether m, at which a lock ended, has opened it and knows so.
func (m *Member) collects(t *toldLock) bool {
	return t.fulfil && (t.revealed || t.passed) && m.liar == nil && m.knows(t.revealedAt)
}

// story tells a part for the message of a failure.
func (w *World) story(part wire.PartID) string {
	s := fmt.Sprintf("began at %s", w.byID[w.watch.origin[part]])
	for k, t := range w.locksOf(part) {
		s += fmt.Sprintf("; %s→%s lock %d of %d fulfilled %v dropped %v cancelled %v revealed %v/%v", w.byID[k.from], w.byID[k.to], t.lock.Number, t.lock.Amount, t.fulfil, t.dropped, t.cancel, t.revealed, t.passed)
	}
	return s
}

func (w *World) locksOf(part wire.PartID) func(func(way, *toldLock) bool) {
	return func(yield func(way, *toldLock) bool) {
		seen := map[way]bool{}
		for _, k := range w.watch.parts[part] {
			if seen[k] {
				continue
			}
			seen[k] = true
			l := w.watch.ways[k]
			for _, n := range l.order {
				if t := l.locks[n]; t.lock.Part == part && !yield(k, t) {
					return
				}
			}
		}
	}
}
