package sim

import (
	"maps"

	"kula/ident"
	"kula/node"
	"kula/onion"
	"kula/pay"
	"kula/wire"
)

// onions is what the watch knows of onions and of why parts came back.
type onions struct {
	carried  map[use]uint64        // by who locked an onion on, and towards whom: the lock
	answered map[use]uint64        // by who answered for an onion that ended there, and whom: the lock
	failed   map[wire.PartID][]why // who gave a part back, in its own name
}

// use is an onion as one member saw it: its bytes.
type use struct {
	by, friend ident.ID
	onion      ident.Hash
}

// why is one failure.
type why struct {
	at   ident.ID
	code wire.Code
}

func newOnions() onions {
	return onions{carried: map[use]uint64{}, answered: map[use]uint64{}, failed: map[wire.PartID][]why{}}
}

// forget drops what a member used before its disk was replaced: it does not know it either.
func (o *onions) forget(id ident.ID) {
	for _, uses := range []map[use]uint64{o.carried, o.answered} {
		maps.DeleteFunc(uses, func(u use, _ uint64) bool { return u.by == id })
	}
}

// onionLocked judges an onion that an honest member locks towards a friend (rules S15 and S16).
func (x *watch) onionLocked(m *Member, to ident.ID, l *wire.Lock) {
	if m.liar != nil || !pay.IsOnion(l.Blob) {
		return
	}
	var o wire.Onion
	if err := wire.Unmarshal(l.Blob, &o); err != nil {
		x.w.fail("S16", "%s locks an onion of %d bytes: %v", m, len(l.Blob), err)
	}
	x.once(m, to, x.onions.carried, l)
}

// once is rule S15: under which lock an onion was used first.
func (x *watch) once(m *Member, friend ident.ID, uses map[use]uint64, l *wire.Lock) {
	if m.liar != nil || !pay.IsOnion(l.Blob) {
		return
	}
	k := use{m.id, friend, ident.HashOf(l.Blob)}
	if first, ok := uses[k]; ok && first != l.Number && !x.w.byID[friend].restore {
		x.w.fail("S15", "%s takes the onion of lock %d again, as lock %d with %s", m, first, l.Number, friend.Short())
	}
	uses[k] = l.Number
}

// gaveBack judges the reason with which a member gives a lock back (rule S16), and remembers whose it is. sure is false
// where the lock's number had other locks.
func (x *watch) gaveBack(m *Member, l *wire.Lock, reason []byte, sure bool) {
	if !pay.IsOnion(l.Blob) {
		return
	}
	_, err := pay.OpenParcel(m.keys, l)
	if sure && m.liar == nil && len(reason) != onion.FailureSize && (err == nil || len(reason) > 0) {
		x.w.fail("S16", "%s gives an onion back with %d bytes, must be %d", m, len(reason), onion.FailureSize)
	}
	var o wire.Onion
	if err != nil || wire.Unmarshal(l.Blob, &o) != nil {
		return
	}
	if key, err := m.keys.OnionFrom(o.Key); err == nil {
		if r, err := pay.ReadFailure([]ident.SharedKey{key}, []ident.ID{m.id}, reason); err == nil {
			x.onions.failed[l.Part] = append(x.onions.failed[l.Part], why{m.id, r.Code})
		}
	}
}

// blamed is rule S17: a payer is told that an honest member gave its payment back, as that one said it.
func (x *watch) blamed(m *Member, v *node.PaymentView) {
	if m.config.Plain { // a reason of version 0 is not signed (P-32)
		return
	}
	if v.State != node.Returned || v.Reason == nil || v.Reason.At == "" || v.Reason.At == m.key {
		return
	}
	at, err := ident.ParseID(v.Reason.At)
	if err != nil || x.w.byID[at] == nil || x.w.byID[at].liar != nil || x.w.byID[at].restore {
		return
	}
	for _, a := range x.tries {
		if a.payer != m.id {
			continue
		}
		for _, f := range x.onions.failed[a.lock.lock.Part] {
			if f == (why{at, v.Reason.Code}) {
				return
			}
		}
	}
	x.w.fail("S17", "%s is told that %s gave payment %s back with %s, which it did not say", m, x.w.byID[at], v.ID, v.Reason.Code)
}

// replayOnion locks a part again that has ended, with the onion that it had.
func (l *liar) replayOnion(to *Member) bool {
	led := l.m.w.watch.ledger(l.m.id, to.id)
	for _, n := range led.order {
		k := led.locks[n]
		if _, can := l.limit(to); !k.fulfil && !k.dropped || !pay.IsOnion(k.lock.Blob) || can < k.lock.Amount {
			continue
		}
		again := k.lock
		again.Number = 0
		return l.given(LieOnionAgain, to, again)
	}
	return false
}

// touchOnion locks an onion of which one bit is another.
func (l *liar) touchOnion(to *Member) bool {
	cur, can := l.limit(to)
	if can < 1 {
		return false
	}
	k := l.letter(to, cur)
	k.Plain = false
	lock := l.m.write(k, cur)
	at := l.m.w.between(4, int64(len(lock.Blob)-1))
	lock.Blob[at] ^= 1 << l.m.w.between(0, 7)
	return l.given(LieOnionTouched, to, lock)
}

// blame puts reasons of its own, in the name of another member, in the place of those that it gives.
func (l *liar) blame(*Member) bool {
	l.blames = l.m.w.now + l.m.w.between(3000, 20_000)
	l.caught(LieBlame, func() bool { return false }) // the payer sees that it was this one
	return true
}

// blaming is what it makes of an update.
func (l *liar) blaming(debtor ident.ID, msg wire.Message) wire.Message {
	u, ok := msg.(*wire.Update)
	if !ok {
		return msg
	}
	w := l.m.w
	other := *u
	other.Groups = append([]wire.Group(nil), u.Groups...)
	for i := range other.Groups {
		g := &other.Groups[i]
		g.Cancels = append([]wire.Cancel(nil), g.Cancels...)
		for j := range g.Cancels {
			t := w.watch.ledger(debtor, l.m.id).locks[g.Cancels[j].Number]
			if t == nil {
				continue
			}
			if p, err := pay.OpenParcel(l.m.keys, &t.lock); err == nil {
				r := &wire.Reason{Code: wire.LimitReached, At: w.anyMember().id, Currency: t.lock.Currency}
				g.Cancels[j].Reason = p.Refuse(l.m.keys, debtor, t.lock.Number, r)
			}
		}
	}
	return &other
}
