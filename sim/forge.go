package sim

import (
	"slices"

	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// What a liar can make with its own key and no other: statements that its node would never sign.

// newest is the newest promise that m wrote to friend, and what was sent of it.
func (m *Member) newest(friend *Member) (wire.Promise, wire.Mark) {
	l := m.w.watch.ledger(m.id, friend.id)
	if p := m.w.watch.promises[l.newest.Hash]; p != nil {
		return *p, l.newest
	}
	return wire.Promise{From: m.id, To: friend.id}, wire.Mark{}
}

// sign signs a promise with the liar's own key.
func (m *Member) signPromise(p wire.Promise) wire.Signed {
	return wire.Sign(m.keys, wire.TagPromise, &p)
}

// inject sends a message in the live session with a friend. It reports whether there is one.
func (m *Member) inject(friend *Member, msg wire.Message) bool {
	s := m.w.net.live[pairOf(m, friend)]
	if s == nil || m.node == nil {
		return false
	}
	m.w.net.transmit(m, friend.id, s.number, msg)
	return true
}

// deafen keeps the liar's own node from hearing what a friend answers to a forgery, in this session.
func (m *Member) deafen(friend *Member) {
	if s := m.w.net.live[pairOf(m, friend)]; s != nil {
		s.stall[1-s.other(m)] = true
	}
}

// Equivocate signs a second promise with the number of the newest one, and sends it.
func (m *Member) Equivocate(friend *Member) bool {
	p, mark := m.newest(friend)
	if mark.Seq == 0 {
		return false
	}
	p.Time++
	return m.inject(friend, &wire.Update{Promise: m.signPromise(p), Base: mark})
}

// openLocks are the locks of m towards friend that its newest promise carries, by number.
func (m *Member) openLocks(friend *Member) (list []wire.Lock) {
	l := m.w.watch.ledger(m.id, friend.id)
	for _, n := range l.order {
		if t := l.locks[n]; n < 1<<62 && !t.fulfil && !t.dropped {
			list = append(list, t.lock)
		}
	}
	return list
}

// withLocks gives p the figures of a currency that follow from open locks.
func withLocks(p wire.Promise, cur money.Currency, locks []wire.Lock) wire.Promise {
	lines := make([]wire.Line, 0, len(p.Lines)+1)
	found := false
	for _, l := range p.Lines {
		if l.Currency == cur {
			found = true
		}
		if l.Currency > cur && !found {
			lines, found = append(lines, wire.Line{Currency: cur}), true
		}
		lines = append(lines, l)
	}
	if !found {
		lines = append(lines, wire.Line{Currency: cur})
	}
	for i := range lines {
		if lines[i].Currency != cur {
			continue
		}
		lines[i].Locked, lines[i].Locks = sumOf(slices.DeleteFunc(slices.Clone(locks), func(k wire.Lock) bool { return k.Currency != cur }))
	}
	p.Lines = lines
	return p
}

// sumOf gives the sum and the digest of open locks of one currency, by number.
func sumOf(locks []wire.Lock) (sum money.Amount, digest ident.Hash) {
	if len(locks) == 0 {
		return 0, digest
	}
	b := []byte("kula/locks/1")
	for i := range locks {
		sum += locks[i].Amount
		d := locks[i].Digest()
		b = append(append(b, number8(locks[i].Number)...), d[:]...)
	}
	return sum, ident.HashOf(b)
}

// digestOf is the digest of the numbers of cancelled locks, ascending.
func digestOf(numbers []uint64) ident.Hash {
	if len(numbers) == 0 {
		return ident.Hash{}
	}
	b := []byte("kula/cancelled/1")
	for _, n := range numbers {
		b = append(b, number8(n)...)
	}
	return ident.HashOf(b)
}

func number8(v uint64) []byte {
	b := make([]byte, 8)
	for i := range 8 {
		b[7-i] = byte(v >> (8 * i))
	}
	return b
}

// nextLock is the number that a lock of m towards friend gets next.
func (m *Member) nextLock(friend *Member) uint64 {
	next := uint64(1)
	for _, n := range m.w.watch.ledger(m.id, friend.id).order {
		if n < 1<<62 {
			next = max(next, n+1)
		}
	}
	return next
}

// step signs the promise after the newest, with a further lock.
func (m *Member) stepLock(friend *Member, lock wire.Lock) *wire.Update {
	p, mark := m.newest(friend)
	p.Seq, p.Time, p.Start = p.Seq+1, p.Time+1, nil
	m.cite(friend, &p)
	if lock.Number == 0 {
		lock.Number = m.nextLock(friend)
	}
	p = withLocks(p, lock.Currency, append(m.openLocks(friend), lock))
	return &wire.Update{Promise: m.signPromise(p), Base: mark, Groups: []wire.Group{{Seq: p.Seq, Locks: []wire.Lock{lock}}}}
}

// cite acknowledges what the friend last wrote.
func (m *Member) cite(friend *Member, p *wire.Promise) {
	theirs := m.w.watch.ledger(friend.id, m.id)
	if held := theirs.newest; p.Ack.Before(held) {
		p.Ack = held
	}
	p.Terms = max(p.Terms, theirs.newTerms)
}

// Letter is what a modified payer puts into a lock.
type Letter struct {
	Route   []*Member
	Amounts []money.Amount
	Box     wire.Box
	Hashes  []ident.Hash
	Salt    ident.Salt
	Part    wire.PartID
	Plain   bool // in a blob of version 0
}

// write makes the lock of a letter towards the first of its route.
func (m *Member) write(l Letter, cur money.Currency) wire.Lock {
	payee := l.Route[len(l.Route)-1]
	r := pay.Route{Amounts: l.Amounts}
	for _, h := range l.Route {
		r.Hops = append(r.Hops, h.id)
	}
	k := wire.Lock{Part: l.Part, Currency: cur, Amount: l.Amounts[0], Condition: wire.Condition{Hashes: l.Hashes}}
	var err error
	if l.Plain {
		var sealed pay.Sealed
		if sealed, err = pay.AsPayer(m.keys, l.Salt, payee.id); err == nil {
			k.Blob = sealed.NewBlob(r, l.Part, &l.Box)
		}
	} else {
		k.Blob, err = pay.AsOnionPayer(m.keys, l.Salt).NewOnion(m.keys, r, &k, pay.Until(m.clock()), &l.Box)
	}
	if err != nil {
		panic("sim: " + err.Error())
	}
	return k
}
