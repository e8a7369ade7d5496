package sim

import (
	"slices"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// Lies about payments and about the state of a channel.

// given tells a lie by a lock, and looks later whether it was given back.
func (l *liar) given(kind Lie, to *Member, k wire.Lock) bool {
	if k.Number == 0 {
		k.Number = l.m.nextLock(to)
	}
	if !l.m.inject(to, l.m.stepLock(to, k)) {
		return false
	}
	led := l.m.w.watch.ledger(l.m.id, to.id)
	l.caught(kind, func() bool { t := led.locks[k.Number]; return t == nil || !t.cancel })
	return true
}

func (l *liar) garbageBlob(to *Member) bool {
	cur, can := l.limit(to)
	if can < 1 {
		return false
	}
	e := l.m.w.entropy()
	return l.given(LieGarbageBlob, to, l.lock(1, cur, e[:]))
}

func (l *liar) garbageBox(to *Member) bool {
	cur, can := l.limit(to)
	if can < 1 {
		return false
	}
	e := l.m.w.entropy()
	b := wire.Blob{Salt: ident.Salt(e[:16]), Key: ident.BoxKey(e), Box: e[:]}
	return l.given(LieGarbageBox, to, l.lock(1, cur, wire.Marshal(&b)))
}

// letter is a push of 1 to a friend, to be falsified.
func (l *liar) letter(to *Member, cur money.Currency) Letter {
	e := l.m.w.entropy()
	salt := ident.Salt(e[16:])
	box := wire.Box{Form: wire.FormPush, Payment: wire.PaymentID(e[:16]), Currency: cur, Total: 1, Amount: 1}
	return Letter{
		Route: []*Member{to}, Amounts: []money.Amount{1}, Hashes: []ident.Hash{l.m.keys.Preimage(salt).Hash()}, Salt: salt,
		Part: wire.PartID(e[8:24]), Box: box, Plain: l.m.w.chance(0.5),
	}
}

func (l *liar) wrongBox(to *Member) bool {
	cur, can := l.limit(to)
	if can < 3 {
		return false
	}
	k := l.letter(to, cur)
	switch l.m.w.between(0, 2) {
	case 0:
		k.Box.Amount, k.Box.Total = 2, 2
	case 1:
		k.Amounts = []money.Amount{2}
	default:
		k.Box.Currency = "XXX/0"
	}
	return l.given(LieBox, to, l.m.write(k, cur))
}

// tampered pays an invoice that says another amount or payee than its writer signed.
func (l *liar) tampered(to *Member) bool {
	cur, can := l.limit(to)
	if can < 2 {
		return false
	}
	e := l.m.w.entropy()
	signed, inv := pay.NewInvoice(l.m.keys, ident.Salt(e[:16]), wire.Invoice{Currency: cur, Amount: 2, Memo: "mine", Created: to.clock() / 1000, Expires: to.clock()/1000 + 100})
	inv.Payee = to.id
	signed.Body = wire.Marshal(&inv)
	k := l.letter(to, cur)
	k.Hashes = []ident.Hash{inv.Hash}
	k.Amounts = []money.Amount{2}
	k.Box = wire.Box{Form: wire.FormInvoice, Payment: wire.PaymentID(inv.ID(signed)), Invoice: signed, Currency: cur, Total: 2, Amount: 2}
	return l.given(LieTampered, to, l.m.write(k, cur))
}

func (l *liar) lowFee(to *Member) bool {
	v := to.with(l.m)
	for _, c := range v.Currencies {
		if c.FeeBase.Amount == 0 || c.CanReceive.Amount < 2 {
			continue
		}
		for _, o := range l.m.w.Members {
			if f := to.with(o); o != l.m && f != nil && f.Ready && currencyOf(f, c.Currency).CanPay.Amount > 0 {
				k := l.letter(o, c.Currency)
				k.Route, k.Amounts = []*Member{to, o}, []money.Amount{1, 1}
				return l.given(LieLowFee, to, l.m.write(k, c.Currency))
			}
		}
	}
	return false
}

// samePart sends a part that is under way through one friend to a second one, towards the same payee or to that friend twice.
func (l *liar) samePart(to *Member) bool {
	for _, k := range l.m.openLocks(to) {
		if _, can := l.limit(to); can < k.Amount {
			continue
		}
		k.Number = 0
		return l.given(LieSamePart, to, k)
	}
	return false
}

// giantCounts sends more of everything than a message may have.
func (l *liar) giantCounts(to *Member) bool {
	p, mark := l.next(to)
	u := &wire.Update{Promise: l.m.signPromise(p), Base: mark}
	switch l.m.w.between(0, 2) {
	case 0:
		for i := range uint64(wire.MaxGroups + 1) {
			u.Groups = append(u.Groups, wire.Group{Seq: mark.Seq + 1 + i})
		}
	case 1:
		g := wire.Group{Seq: p.Seq}
		for i := range uint64(wire.MaxLocks + 1) {
			g.Fulfils = append(g.Fulfils, i+1)
		}
		u.Groups = []wire.Group{g}
	default:
		return l.m.inject(to, &wire.Reveal{Number: 1 << 63, Preimages: make([]ident.Preimage, 2), Note: make([]byte, wire.MaxNote+1)}) && l.quietly(LieCounts)
	}
	return l.promise(LieCounts, to, u)
}

// quietly counts a lie as caught that can have no effect but a closed session.
func (l *liar) quietly(kind Lie) bool {
	l.caught(kind, func() bool { return false })
	return true
}

// oldCopy signs on from an older promise, as a node does that does not know that its disk is old.
func (l *liar) oldCopy(to *Member) bool {
	led := l.m.w.watch.ledger(l.m.id, to.id)
	if led.newest.Seq < 4 {
		return false
	}
	seq := led.newest.Seq - uint64(l.m.w.between(1, 2))
	old := l.m.w.watch.promises[led.numbers[number{led.newest.Epoch, seq}]]
	if old == nil {
		return false
	}
	p := *old
	mark := wire.Mark{Epoch: p.Epoch, Seq: p.Seq, Hash: led.numbers[number{p.Epoch, p.Seq}]}
	p.Seq, p.Time, p.Start = p.Seq+1, p.Time+7, nil
	return l.promise(LieOldCopy, to, &wire.Update{Promise: l.m.signPromise(p), Base: mark})
}

// forgedView is the channel as the liar would like it: its own debt gone.
func (l *liar) forgedView(to *Member) *wire.Snapshot {
	p, _ := l.next(to)
	p.Lines, p.Cancelled = nil, ident.Hash{}
	s := &wire.Snapshot{Mine: l.m.signPromise(p)}
	theirs, mark := to.newest(l.m)
	if mark.Seq > 0 {
		theirs.Lines = slices.Clone(theirs.Lines)
		for i := range theirs.Lines {
			theirs.Lines[i].Owed += 100
		}
		s.Yours = wire.Signed{Body: wire.Marshal(&theirs)} // it cannot sign for its friend
	}
	return s
}

// bends is how many kinds of false snapshots there are.
const bends = 6

// bend falsifies the snapshot that the liar's node shows of a channel; what it cannot falsify it shows as it is not.
func (l *liar) bend(s *wire.Snapshot, kind int64) *wire.Snapshot {
	b := *s
	var mine, yours wire.Promise
	if wire.Unmarshal(s.Mine.Body, &mine) != nil || wire.Unmarshal(s.Yours.Body, &yours) != nil || len(mine.Lines) == 0 || len(yours.Lines) == 0 {
		return s
	}
	mine.Lines, yours.Lines = slices.Clone(mine.Lines), slices.Clone(yours.Lines)
	switch {
	case kind == 0 && len(s.YourLocks) > 0:
		b.YourLocks = slices.Clone(s.YourLocks)
		b.YourLocks[0].Amount++
	case kind == 1 && len(s.MyLocks) > 0:
		b.MyLocks = s.MyLocks[1:]
	case kind == 2:
		b.MyCancels = append(slices.Clone(s.MyCancels), 1<<40)
	case kind == 3: // promises nothing more, and was never signed
		yours.Time++
		b.Yours.Body = wire.Marshal(&yours)
	case kind == 4: // its own debt is gone
		mine.Lines[0].Owed = 0
		b.Mine.Body = wire.Marshal(&mine)
	default: // newer than any, to show that its friend has forgotten something
		yours.Seq += 3
		yours.Lines[0].Owed += 100
		b.Yours.Body = wire.Marshal(&yours)
	}
	return &b
}

func (l *liar) snapshot(to *Member) bool {
	l.bends = l.m.w.now + 8000
	before := to.Balance(currencies[0])
	if !l.m.inject(to, l.forgedView(to)) {
		return false
	}
	v := to.with(l.m)
	l.caught(LieSnapshot, func() bool { return to.with(l.m) == nil && v != nil && before == 0 })
	return true
}

// propose offers to thaw on forged figures; or on true ones, of a channel that is not frozen.
func (l *liar) propose(to *Member) bool {
	s := l.forgedView(to)
	if l.m.w.chance(0.5) {
		c := credit.New(l.m.id, to.id)
		s = c.Snapshot()
	}
	return l.m.inject(to, &wire.Agree{Snapshot: *s}) && l.quietly(LieAgree)
}

// hello says in a fresh session that the liar holds a promise which nobody signed, or lost its own.
func (l *liar) hello(to *Member) bool {
	w := l.m.w
	_, mine := l.m.newest(to)
	_, theirs := to.newest(l.m)
	h := &wire.Hello{Version: wire.Version, Mine: mine, Held: theirs, Name: "liar", Addresses: l.m.config.Addresses}
	switch w.between(0, 3) {
	case 0:
		l.bends = w.now + 3000 // it will be asked to show that
		h.Held.Seq += 5
		h.Held.Hash[0] ^= 1
	case 1:
		h.Held.Hash[0] ^= 1
	case 2:
		h.Restored, h.Mine, h.Held = true, wire.Mark{}, wire.Mark{}
	default:
		h.Version = 99
	}
	w.net.connect(l.m, to)
	s := w.net.live[pairOf(l.m, to)]
	if s == nil {
		return false
	}
	w.net.transmit(l.m, to.id, s.number, h)
	return l.quietly(LieHello)
}

// flood signs promise after promise with a lock that must be given back, and never acknowledges an answer.
func (l *liar) flood(to *Member) bool {
	cur, can := l.limit(to)
	p, mark := l.m.newest(to)
	if can < 20 || mark.Seq == 0 || len(l.m.openLocks(to)) > 0 {
		return false
	}
	ack, terms := p.Ack, p.Terms
	l.m.deafen(to)
	var locks []wire.Lock
	next := l.m.nextLock(to)
	for i := range uint64(150) {
		if len(locks) < 15 {
			k := l.lock(1, cur, []byte{1})
			k.Number = next + i
			locks = append(locks, k)
		}
		p.Seq, p.Time, p.Start, p.Ack, p.Terms = p.Seq+1, p.Time+1, nil, ack, terms
		p = withLocks(p, cur, locks)
		u := &wire.Update{Promise: l.m.signPromise(p), Base: mark}
		if i < 15 {
			u.Groups = []wire.Group{{Seq: p.Seq, Locks: []wire.Lock{locks[len(locks)-1]}}}
		}
		if !l.m.inject(to, u) {
			return false
		}
		mark = p.Mark(u.Promise)
	}
	l.caught(LieFlood, func() bool { return len(to.disk.get("channel", l.m.key)) > 200_000 })
	return true
}

// payeesWords: somebody on the way makes up that a payment arrived, and its receipt.
func (l *liar) payeesWords(to *Member) bool {
	for _, k := range to.openLocks(l.m) {
		e := l.m.w.entropy()
		if l.m.inject(to, &wire.Acknowledge{Number: k.Number, Note: e[:]}) {
			l.m.inject(to, &wire.Onward{Number: k.Number, Note: e[:]})
			t := l.m.w.watch.ledger(to.id, l.m.id).locks[k.Number]
			l.caught(LieReceipt, func() bool { return t.fulfil && !t.passed })
			return true
		}
	}
	return false
}

// falseWords: for some time the liar, where it is the payee, signs what is not so, or not at all.
func (l *liar) falseWords(*Member) bool {
	l.twisted = l.m.w.now + 5000
	return l.quietly(LieWords)
}

// blunt signs nothing properly.
type blunt struct{ ident.Suite }

func (b blunt) Sign(tag ident.Tag, msg []byte) ident.Signature {
	s := b.Suite.Sign(tag, msg)
	s[0] ^= 1
	return s
}

// twist says a payee's words to the payer of a lock differently.
func (l *liar) twist(debtor ident.ID, msg wire.Message) wire.Message {
	w := l.m.w
	number := uint64(0)
	switch msg := msg.(type) {
	case *wire.Acknowledge:
		number = msg.Number
	case *wire.Reveal:
		number = msg.Number
	}
	t := w.watch.ledger(debtor, l.m.id).locks[number]
	if t == nil {
		return msg
	}
	sealed, box, final := l.m.reads(&t.lock)
	if !final || box == nil {
		return msg
	}
	var keys ident.Suite = l.m.keys
	id := box.Payment
	if w.chance(0.5) {
		keys = blunt{keys}
	} else {
		id[0] ^= 1
	}
	switch msg := msg.(type) {
	case *wire.Acknowledge:
		a := wire.Arrived{Payment: id, Part: t.lock.Part, Amount: t.lock.Amount, Condition: t.lock.Condition.ID()}
		word := wire.SignAlone(keys, wire.TagArrived, &a)
		return &wire.Acknowledge{Number: number, Note: sealed.SealWord(pay.Arrived, t.lock.Part, &word)}
	case *wire.Reveal:
		if len(msg.Note) == 0 {
			return msg
		}
		r := wire.Received{Payment: id, Payee: l.m.id, Currency: box.Currency, Amount: box.Total, Time: l.m.clock()}
		word := wire.SignAlone(keys, wire.TagReceived, &r)
		return &wire.Reveal{Number: number, Preimages: msg.Preimages, Note: sealed.SealWord(pay.Received, t.lock.Part, &word)}
	}
	return msg
}
