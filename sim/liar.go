package sim

import (
	"bytes"
	"slices"

	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// Lie is a kind of lie.
type Lie string

// The kinds of lie.
const (
	LieEquivocate   Lie = "two promises of one number"
	LieReplay       Lie = "old promise replayed"
	LieWithhold     Lie = "messages withheld"
	LieSignature    Lie = "bad signature"
	LieShrink       Lie = "owed shrinks"
	LieDrop         Lie = "drop uncancelled"
	LieOverLock     Lie = "lock above the limit"
	LieOverAdd      Lie = "add above the limit"
	LieLateCancel   Lie = "cancel after reveal"
	LiePreimage     Lie = "wrong preimage"
	LieStaleTerms   Lie = "stale terms"
	LieAckAhead     Lie = "ack ahead"
	LieAckHash      Lie = "ack of another hash"
	LieLockNumber   Lie = "lock number reused"
	LieSamePart     Lie = "same part twice"
	LieTampered     Lie = "tampered invoice"
	LieBox          Lie = "box and lock differ"
	LieLowFee       Lie = "fee too low"
	LieGarbageBlob  Lie = "garbage blob"
	LieGarbageBox   Lie = "garbage box"
	LieCounts       Lie = "giant counts"
	LieOldCopy      Lie = "old copy signs"
	LieSnapshot     Lie = "forged snapshot"
	LieHello        Lie = "forged hello"
	LieAgree        Lie = "forged proposal"
	LieFlood        Lie = "flood"
	LieFigures      Lie = "figures without moves"
	LieReceipt      Lie = "forged words of the payee"
	LieWords        Lie = "false words of the payee"
	LieDigest       Lie = "digest of cancels"
	LieEpoch        Lie = "epoch of other figures"
	LieLateReveal   Lie = "reveal after cancel"
	LieOnionAgain   Lie = "onion of a part that has ended"
	LieOnionTouched Lie = "onion with one bit changed"
	LieBlame        Lie = "reason in another's name"
)

// telling is how a kind of lie is told to a friend; it reports whether it was.
type telling func(l *liar, to *Member) bool

// AllLies are all kinds, in a fixed order, and how each is told.
var AllLies = []struct {
	Lie  Lie
	tell telling
}{
	{LieEquivocate, (*liar).equivocate}, {LieReplay, (*liar).replay}, {LieWithhold, (*liar).withhold},
	{LieSignature, (*liar).badSignature}, {LieShrink, (*liar).shrink}, {LieDrop, (*liar).drop},
	{LieOverLock, (*liar).overLock}, {LieOverAdd, (*liar).overAdd}, {LieLateCancel, (*liar).lateCancel},
	{LiePreimage, (*liar).wrongPreimage}, {LieStaleTerms, (*liar).staleTerms}, {LieAckAhead, (*liar).ackAhead},
	{LieAckHash, (*liar).ackHash}, {LieLockNumber, (*liar).lockNumber}, {LieSamePart, (*liar).samePart},
	{LieTampered, (*liar).tampered}, {LieBox, (*liar).wrongBox}, {LieLowFee, (*liar).lowFee},
	{LieGarbageBlob, (*liar).garbageBlob}, {LieGarbageBox, (*liar).garbageBox}, {LieCounts, (*liar).giantCounts},
	{LieOldCopy, (*liar).oldCopy}, {LieSnapshot, (*liar).snapshot}, {LieHello, (*liar).hello}, {LieAgree, (*liar).propose},
	{LieFlood, (*liar).flood}, {LieFigures, (*liar).figures}, {LieReceipt, (*liar).payeesWords},
	{LieWords, (*liar).falseWords}, {LieDigest, (*liar).digest}, {LieEpoch, (*liar).epoch}, {LieLateReveal, (*liar).lateReveal},
	{LieOnionAgain, (*liar).replayOnion}, {LieOnionTouched, (*liar).touchOnion}, {LieBlame, (*liar).blame},
}

// liar is what makes an honest node lie.
type liar struct {
	m       *Member
	kinds   []int // of AllLies
	silent  int64 // until when it withholds
	altered int64 // until when its reveals are altered
	cancels bool  // its next reveal is followed by a cancel
	regrets bool  // its next reveal comes after a cancel
	bends   int64 // until when its snapshots are falsified
	twisted int64 // until when it says wrongly what only the payee can say
	blames  int64 // until when it gives back in another's name
	forged  map[ident.ID]Lie
	edit    func(to *Member, msg wire.Message) wire.Message // what a scenario makes of its messages
}

func newLiar(m *Member, kinds ...Lie) *liar {
	l := &liar{m: m, forged: map[ident.ID]Lie{}}
	for _, k := range kinds {
		l.kinds = append(l.kinds, slices.IndexFunc(AllLies, func(a struct {
			Lie  Lie
			tell telling
		}) bool {
			return a.Lie == k
		}))
	}
	return l
}

// nominateLiars makes a few members of some worlds liars.
func (w *World) nominateLiars() {
	if !w.chance(0.45) {
		return
	}
	n := len(w.Members)
	for range w.between(1, int64(max(1, n/4))) {
		m := w.anyMember()
		if m.liar != nil {
			continue
		}
		m.liar = newLiar(m)
		for range w.between(6, 14) {
			m.liar.kinds = append(m.liar.kinds, int(w.between(0, int64(len(AllLies)-1))))
		}
		if w.chance(0.5) { // needs a mediator that charges, which is rare
			m.liar.kinds = append(m.liar.kinds, newLiar(m, LieLowFee).kinds...)
		}
	}
}

// lie plans what the liars of a world tell.
func (w *World) lie(span int64) {
	for _, m := range w.Members {
		if m.liar == nil {
			continue
		}
		for _, k := range m.liar.kinds {
			at := w.between(span/4, span)
			for try := range int64(25) {
				w.at((at+try*400)%span, func() { m.liar.tellOnce(k) })
			}
		}
	}
}

// tellOnce tells a lie unless an earlier try has.
func (l *liar) tellOnce(k int) {
	w := l.m.w
	if l.m.node == nil || w.calm || !slices.Contains(l.kinds, k) {
		return
	}
	var friends []*Member
	for _, o := range w.Members {
		if o != l.m && o.liar == nil && o.node != nil && w.net.live[pairOf(l.m, o)] != nil {
			if v := o.with(l.m); v != nil && v.Ready && (v.State == node.Opened || AllLies[k].Lie == LieAgree) {
				friends = append(friends, o)
			}
		}
	}
	if len(friends) == 0 {
		return
	}
	to := friends[w.between(0, int64(len(friends)-1))]
	refusals, faults := w.watch.refusedTo(l.m), len(to.disk.records[node.KindFault])
	if !AllLies[k].tell(l, to) {
		return
	}
	w.log("%s LIES to %s: %s", l.m, to, AllLies[k].Lie)
	l.kinds = slices.DeleteFunc(l.kinds, func(o int) bool { return o == k })
	w.Stats.Lies[AllLies[k].Lie]++
	l.forged[to.id] = AllLies[k].Lie
	w.at(1500, func() {
		if w.watch.refusedTo(l.m) > refusals || len(to.disk.records[node.KindFault]) > faults {
			w.Stats.Caught[AllLies[k].Lie]++
		}
	})
}

// caught notes that a lie had no effect although nobody said a word about it.
func (l *liar) caught(kind Lie, unless func() bool) {
	l.m.w.at(1500, func() {
		if !unless() {
			l.m.w.Stats.Caught[kind]++
		}
	})
}

func (x *watch) refusedTo(m *Member) int { return x.refused[m.id] }

// send lets out what the liar's node says, altered or not at all.
func (l *liar) send(o node.Out) {
	w := l.m.w
	msg := o.Message
	if w.now < l.silent {
		switch msg.(type) {
		case *wire.Reveal, *wire.Acknowledge, *wire.Onward:
			return
		}
	}
	if r, ok := msg.(*wire.Reveal); ok && w.now < l.altered {
		bad := *r
		bad.Preimages = slices.Clone(r.Preimages)
		bad.Preimages[0][5] ^= 1
		msg = &bad
	}
	if r, ok := msg.(*wire.Reveal); ok && l.regrets {
		l.regrets = false
		l.cancel(LieLateReveal, w.byID[o.Peer], r.Number)
	}
	if s, ok := msg.(*wire.Snapshot); ok && w.now < l.bends {
		msg = l.bend(s, w.between(0, bends-1))
	}
	if l.edit != nil {
		msg = l.edit(w.byID[o.Peer], msg)
	}
	if w.now < l.blames {
		msg = l.blaming(o.Peer, msg)
	}
	if w.now < l.twisted {
		msg = l.twist(o.Peer, msg)
	}
	w.net.transmit(l.m, o.Peer, o.Session.Session, msg)
	if r, ok := msg.(*wire.Reveal); ok && l.cancels {
		l.cancels = false
		l.cancel(LieLateCancel, w.byID[o.Peer], r.Number)
	}
}

// promise injects an update and remembers to look whether it was accepted.
func (l *liar) promise(kind Lie, to *Member, u *wire.Update) bool {
	if !l.m.inject(to, u) {
		return false
	}
	l.caught(kind, func() bool { return bytes.Contains(to.disk.get("channel", l.m.key), u.Promise.Sig[:]) })
	return true
}

// next is the promise after the newest, to be falsified.
func (l *liar) next(to *Member) (wire.Promise, wire.Mark) {
	p, mark := l.m.newest(to)
	p.Seq, p.Time, p.Start = p.Seq+1, p.Time+1, nil
	l.m.cite(to, &p)
	if p.Epoch > 0 && p.Seq == 1 {
		p.Seq = 2
	}
	return p, mark
}

func (l *liar) bare(to *Member, kind Lie, change func(p *wire.Promise) bool) bool {
	p, mark := l.next(to)
	if !change(&p) {
		return false
	}
	return l.promise(kind, to, &wire.Update{Promise: l.m.signPromise(p), Base: mark})
}

// equivocate signs a second promise of one number, and goes on from the first with a lock.
func (l *liar) equivocate(to *Member) bool {
	cur, can := l.limit(to)
	_, mark := l.m.newest(to)
	if can < 1 {
		return l.m.Equivocate(to)
	}
	u := l.m.stepLock(to, l.lock(1, cur, []byte{1}))
	u.Base = mark
	if !l.m.Equivocate(to) {
		return false
	}
	l.m.w.at(300, func() { l.m.inject(to, u) })
	return true
}

func (l *liar) replay(to *Member) bool {
	led := l.m.w.watch.ledger(l.m.id, to.id)
	if led.newest.Seq < 3 {
		return false
	}
	h := led.numbers[number{led.newest.Epoch, led.newest.Seq - 2}]
	p := l.m.w.watch.promises[h]
	if p == nil {
		return false
	}
	return l.promise(LieReplay, to, &wire.Update{Promise: l.m.signPromise(*p), Base: wire.Mark{Epoch: p.Epoch, Seq: p.Seq - 1}})
}

func (l *liar) withhold(*Member) bool {
	l.silent = l.m.w.now + l.m.w.between(1000, 10_000)
	l.caught(LieWithhold, func() bool { return false }) // it shows as payments that wait
	return true
}

func (l *liar) badSignature(to *Member) bool {
	p, mark := l.next(to)
	s := l.m.signPromise(p)
	s.Sig[l.m.w.between(0, 31)] ^= 0x40
	return l.promise(LieSignature, to, &wire.Update{Promise: s, Base: mark})
}

func (l *liar) shrink(to *Member) bool {
	return l.bare(to, LieShrink, func(p *wire.Promise) bool {
		p.Lines = slices.Clone(p.Lines)
		for i := range p.Lines {
			if p.Lines[i].Owed > 0 {
				p.Lines[i].Owed--
				return true
			}
		}
		return false
	})
}

func (l *liar) figures(to *Member) bool {
	return l.bare(to, LieFigures, func(p *wire.Promise) bool {
		p.Lines = slices.Clone(p.Lines)
		if len(p.Lines) == 0 {
			return false
		}
		p.Lines[0].Owed += 3
		return true
	})
}

func (l *liar) drop(to *Member) bool {
	open := l.m.openLocks(to)
	for i, k := range open {
		if t := l.m.w.watch.ledger(l.m.id, to.id).locks[k.Number]; t.cancel {
			continue
		}
		p, mark := l.next(to)
		p = withLocks(p, k.Currency, slices.Delete(slices.Clone(open), i, i+1))
		return l.promise(LieDrop, to, &wire.Update{Promise: l.m.signPromise(p), Base: mark, Groups: []wire.Group{{Seq: p.Seq, Drops: []uint64{k.Number}}}})
	}
	return false
}

// lock is a lock of the liar's that asks the friend for nothing in particular.
func (l *liar) lock(a money.Amount, cur money.Currency, blob []byte) wire.Lock {
	w := l.m.w
	e := w.entropy()
	return wire.Lock{Part: wire.PartID(e[:16]), Currency: cur, Amount: a, Condition: wire.Condition{Hashes: []ident.Hash{ident.Hash(e)}}, Blob: blob}
}

// limit is what the liar can still lock towards a friend, in a currency that they have.
func (l *liar) limit(to *Member) (money.Currency, money.Amount) {
	v := to.with(l.m)
	if v == nil || len(v.Currencies) == 0 {
		return "", 0
	}
	c := v.Currencies[l.m.w.between(0, int64(len(v.Currencies)-1))]
	return c.Currency, c.CanReceive.Amount
}

func (l *liar) overLock(to *Member) bool {
	cur, can := l.limit(to)
	if cur == "" || l.raised(to) {
		return false
	}
	return l.promise(LieOverLock, to, l.m.stepLock(to, l.lock(can+1, cur, nil)))
}

// raised says whether several terms are in force: then more may pass than the newest say.
func (l *liar) raised(to *Member) bool {
	p, _ := l.m.newest(to)
	return p.Terms != l.m.w.watch.ledger(to.id, l.m.id).newTerms
}

func (l *liar) overAdd(to *Member) bool {
	cur, can := l.limit(to)
	if cur == "" || l.raised(to) {
		return false
	}
	p, mark := l.next(to)
	p = withLocks(p, cur, l.m.openLocks(to))
	for i := range p.Lines {
		if p.Lines[i].Currency == cur {
			p.Lines[i].Owed += can + 1
		}
	}
	add := wire.Add{Kind: wire.AddSettlement, Currency: cur, Amount: can + 1}
	return l.promise(LieOverAdd, to, &wire.Update{Promise: l.m.signPromise(p), Base: mark, Groups: []wire.Group{{Seq: p.Seq, Adds: []wire.Add{add}}}})
}

func (l *liar) lateCancel(*Member) bool {
	l.cancels = true
	return true
}

func (l *liar) lateReveal(*Member) bool {
	l.regrets = true
	return true
}

func (l *liar) cancel(kind Lie, to *Member, number uint64) {
	p, mark := l.next(to)
	p.Cancelled = digestOf([]uint64{number})
	u := &wire.Update{Promise: l.m.signPromise(p), Base: mark, Groups: []wire.Group{{Seq: p.Seq, Cancels: []wire.Cancel{{Number: number}}}}}
	if kind == LieLateCancel {
		l.promise(kind, to, u)
		return
	}
	led := l.m.w.watch.ledger(to.id, l.m.id)
	l.m.inject(to, u)
	l.caught(kind, func() bool { t := led.locks[number]; return t == nil || t.fulfil })
}

func (l *liar) digest(to *Member) bool {
	return l.bare(to, LieDigest, func(p *wire.Promise) bool {
		p.Cancelled[0] ^= 1
		return true
	})
}

// epoch begins a new epoch with a debt that is not the one it had.
func (l *liar) epoch(to *Member) bool {
	p, mark := l.next(to)
	if len(p.Lines) == 0 {
		return false
	}
	p.Epoch, p.Seq = max(p.Epoch+1, uint64(l.m.clock()/1000)), 1
	p.Start = &wire.Start{Mine: mark, Held: p.Ack}
	p.Lines = slices.Clone(p.Lines)
	if k := &p.Lines[0]; k.Owed > 0 {
		k.Owed--
	} else {
		k.Owed++
	}
	told := l.promise(LieEpoch, to, &wire.Update{Promise: l.m.signPromise(p), Base: mark})
	l.m.w.watch.ledger(l.m.id, to.id).newest = mark // its node goes on from there, and so do other lies
	return told
}

func (l *liar) wrongPreimage(to *Member) bool {
	l.altered = l.m.w.now + 3000
	for _, k := range to.openLocks(l.m) {
		bad := &wire.Reveal{Number: k.Number, Preimages: make([]ident.Preimage, len(k.Condition.Hashes))}
		if l.m.inject(to, bad) {
			t := l.m.w.watch.ledger(to.id, l.m.id).locks[k.Number]
			l.caught(LiePreimage, func() bool { return t.fulfil && !t.passed })
			return true
		}
	}
	return false
}

func (l *liar) staleTerms(to *Member) bool {
	return l.bare(to, LieStaleTerms, func(p *wire.Promise) bool {
		if p.Terms == 0 {
			return false
		}
		p.Terms--
		return true
	})
}

func (l *liar) ackAhead(to *Member) bool {
	return l.bare(to, LieAckAhead, func(p *wire.Promise) bool {
		p.Ack.Seq += uint64(l.m.w.between(1, 3))
		p.Ack.Hash[0] ^= 1
		return true
	})
}

func (l *liar) ackHash(to *Member) bool {
	return l.bare(to, LieAckHash, func(p *wire.Promise) bool {
		p.Ack.Hash[3] ^= 1
		return p.Ack.Seq > 0
	})
}

func (l *liar) lockNumber(to *Member) bool {
	cur, can := l.limit(to)
	next := l.m.nextLock(to)
	if can < 2 || next < 2 {
		return false
	}
	k := l.lock(1, cur, nil)
	k.Number = next - 1
	return l.promise(LieLockNumber, to, l.m.stepLock(to, k))
}
