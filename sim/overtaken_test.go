package sim

import (
	"testing"

	"kula/money"
	"kula/node"
	"kula/wire"
)

// gathers has a member collect what comes, without a Step but for its own hello if that is wanted, until something of a
// kind from peer waits.
func (m *Member) gathers(peer *Member, kind wire.Kind, hello bool) {
	m.w.until("it is told", func() bool {
		if m.due = true; len(m.inbox) == 0 {
			return false
		}
		if _, ok := m.inbox[0].(node.Connected); ok && hello {
			rest := m.inbox[1:]
			m.inbox = m.inbox[:1]
			m.step()
			m.inbox, m.due = rest, true
		}
		for _, e := range m.inbox {
			if r, ok := e.(node.Received); ok && r.Peer == peer.id && r.Message.Kind() == kind {
				return true
			}
		}
		return false
	})
}

// What is passed on does not leave before the hello of its session, nor before what that hello is followed by: the other
// side would hang up, or not know the lock (spec P-52).
func TestScenario08OrderOvertakesLock(t *testing.T) {
	w := three()
	a, b, c := w.Members[0], w.Members[1], w.Members[2]
	s := w.net.live[pairOf(b, c)]
	s.stall[1-s.other(c)] = true // the payee hears nothing
	i := w.Invoice(c, fst(15), true)
	a.Do(&node.Pay{Invoice: i.URI, MaxFee: new(fst(5).Amount), GiveUp: 5000}, nil)
	w.Run(500)
	w.assert(w.LockOn(b, c) == 15, "b has locked %d", w.LockOn(b, c))
	raw, _ := wire.ParseID16(a.node.Payments()[0].ID)
	id := wire.PaymentID(raw)
	w.net.cut(s)
	w.until("b hears", func() bool { return !b.with(c).Online })
	w.net.connect(b, c)
	b.gathers(c, wire.KindHello, true)
	a.Do(&node.CancelPayment{ID: id}, nil)
	b.gathers(a, wire.KindOnward, true)
	b.step()
	w.Run(5000)
	returned(w, a.Outcome(id), wire.CancelledByPayer)
	finish(t, w)
}

func TestScenario08RevealOvertakesHello(t *testing.T) {
	w := three()
	a, b, c := w.Members[0], w.Members[1], w.Members[2]
	id, _ := w.Hold(a, c, 15)
	s := w.net.live[pairOf(a, b)]
	s.stall[1-s.other(b)] = true // the mediator does not hear the order
	v, _ := w.Must(a, &node.Release{ID: id}).(*node.PaymentView)
	w.net.cut(s)
	w.until("b hears", func() bool { return !b.with(a).Online })
	w.net.severed[pairOf(a, b)] = 0
	w.net.connect(a, b)
	session := w.net.live[pairOf(a, b)]
	b.gathers(a, wire.KindHello, false)
	w.Must(c, &node.Redeem{Link: v.Release})
	b.gathers(c, wire.KindReveal, false)
	b.step()
	w.Run(1000)
	w.assert(w.net.live[pairOf(a, b)] == session, "the session ended")
	paid(w, a.Outcome(id))
	finish(t, w)
}

// A second incoming lock of one part, which was cancelled as a duplicate, is not taken for the one that was carried on, whoever
// shows it first after a restore (spec P-51).
func TestScenario12DuplicateRelinked(t *testing.T) {
	for _, old := range []bool{false, true} {
		w := NewWorld(3, "p", "b", "c", "q")
		a, b, c, g := w.Members[0], w.Members[1], w.Members[2], w.Members[3]
		if a.key < g.key { // locks are looked at in the order of keys
			a, g = g, a
		}
		w.Befriend(a, b, FST, 200, 100)
		w.Befriend(g, b, FST, 200, 100)
		w.Befriend(b, c, FST, 300, 400)
		w.Charge(b, a, 5, 0)
		i := w.Invoice(c, fst(15), true)
		id, _ := w.Pay(a, &node.Pay{Invoice: i.URI, Route: []string{b.key, c.key}})
		w.Run(2000)
		g.liar = newLiar(g)
		k := a.openLocks(b)[0]
		k.Number, k.Amount = 0, 1
		g.inject(b, g.stepLock(b, k)) // a friend of the mediator who plays with the payee
		g.deafen(b)
		w.Run(500)
		copied := b.disk.clone()
		paid(w, w.PayInvoice(b, c, 2)) // the copy does not know of it
		b.Crash()
		w.net.severed[pairOf(b, g)] = w.now + 10_000_000
		if old {
			b.putBack(copied)
		}
		b.Start()
		w.Run(40_000)
		w.assert(a.Outcome(id).State == node.Held && w.LockOn(b, c) == 15, "old %v: %v, %d locked", old, a.Outcome(id).State, w.LockOn(b, c))
		w.Must(a, &node.Release{ID: id})
		w.Run(2000)
		paid(w, a.Outcome(id))
		w.assert(b.Balance(FST) == 3 && c.Balance(FST) == 17, "the mediator has %d, the payee %d", b.Balance(FST), c.Balance(FST))
		passed(t, w)
	}
}

// New terms of a mediator cross a lock that it then carries on; it comes back as an old copy, and the payer says the lock again
// in a promise that cites these terms. It waits for its next hop like any other (spec P-51).
func TestScenario15ToldRestated(t *testing.T) {
	w := three()
	a, b, c := w.Members[0], w.Members[1], w.Members[2]
	s := w.net.live[pairOf(a, b)]
	s.stall[1-s.other(a)] = true // the payer hears nothing of what the mediator does
	s = w.net.live[pairOf(b, c)]
	s.stall[1-s.other(b)] = true // nor the mediator of what the payee does
	w.Must(b, &node.SetLimit{Friend: a.key, Limit: fst(250)})
	w.Run(20)
	copied := b.disk.clone()
	i := w.Invoice(c, fst(15), false)
	a.Do(&node.Pay{Invoice: i.URI, MaxFee: new(money.Amount(5)), GiveUp: 5000}, nil)
	w.Run(1000)
	w.assert(w.LockOn(b, c) == 15, "b has locked %d", w.LockOn(b, c))
	b.Crash()
	b.putBack(copied)
	w.net.severed[pairOf(b, c)] = w.now + 20_000
	b.Start()
	w.Run(40_000)
	w.Expect("paid", FST, -20, 5, 15)
	finish(t, w)
}

// A part that waits for a friend who has not come since the start is given back after a while, however often the node
// starts again, and what is signed now at once.
func TestScenario08StartedTwice(t *testing.T) {
	w := three()
	a, b, c := w.Members[0], w.Members[1], w.Members[2]
	s := w.net.live[pairOf(a, b)]
	s.stall[1-s.other(b)] = true // the mediator hears nothing: the part comes with the next hello
	first, second := w.Invoice(c, fst(15), false), w.Invoice(c, fst(3), false)
	a.Do(&node.Pay{Invoice: first.URI, MaxFee: new(money.Amount(5)), GiveUp: 5000}, nil)
	w.Run(500)
	raw, _ := wire.ParseID16(a.node.Payments()[0].ID)
	id := wire.PaymentID(raw)
	c.Crash()
	b.Crash()
	b.Start()
	w.Run(5000)
	w.assert(a.Outcome(id).State == node.Waiting, "%v", a.Outcome(id).State)
	b.Crash()
	b.Start()
	w.Run(40_000)
	returned(w, a.Outcome(id), wire.FriendOffline)
	id, _ = w.Pay(a, &node.Pay{Invoice: second.URI, Route: []string{b.key, c.key}})
	w.Run(1000)
	returned(w, a.Outcome(id), wire.FriendOffline)
	c.Start()
	finish(t, w)
}

// The next hop goes before the lock for it is signed: the part is given back at once, and does not wait until it comes again.
func TestScenario08GoneBeforeSigned(t *testing.T) {
	w := three()
	a, b, c := w.Members[0], w.Members[1], w.Members[2]
	i := w.Invoice(c, fst(15), false)
	b.due = true
	id, _ := w.Pay(a, &node.Pay{Invoice: i.URI, Route: []string{b.key, c.key}})
	b.gathers(a, wire.KindUpdate, false)
	c.Crash()
	w.until("the mediator hears it", func() bool {
		b.due = true
		_, ok := last(b.inbox).(node.Disconnected)
		return ok
	})
	b.step()
	w.Run(500)
	returned(w, a.Outcome(id), wire.FriendOffline)
	c.Start()
	finish(t, w)
}
