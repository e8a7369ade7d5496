package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/pay"
	"kula/wire"
)

// way is one direction of a channel: what from writes to to.
type way struct{ from, to ident.ID }

type number struct{ epoch, seq uint64 }

// told is one lock as its writer told it.
type toldLock struct {
	lock       wire.Lock
	digest     ident.Hash
	fulfil     bool // its writer made it debt
	dropped    bool
	droppedAt  int64     // in milliseconds of true time
	cancel     bool      // its reader gave it up
	gaveUp     int64     // when, in milliseconds of true time
	box        *wire.Box // what its payer told the payee, nil unless it ends here and can be opened
	final      bool      // it ends at its reader
	opened     wire.Mark // the first promise that told it, without hash
	ended      wire.Mark // the first that told its end
	endedAt    int64     // and when, in milliseconds of true time
	revealed   bool      // its reader revealed it and had saved that
	revealedAt int64
	passed     bool // its reader showed the preimages at all
}

// ledger is all that was ever written one way.
type ledger struct {
	numbers    map[number]ident.Hash
	newest     wire.Mark
	groups     map[number]*wire.Group
	locks      map[uint64]*toldLock
	order      []uint64               // of locks
	past       map[uint64][]*toldLock // by number: other locks that had it, after a restore or a lie
	terms      map[uint64]wire.Terms
	newTerms   uint64
	judged     wire.Mark            // newest promise that the reader has acknowledged
	held       tally                // what it brought with that
	back       bool                 // both users agreed on older figures that a liar proposed: what it had locked may come again, to its own loss
	wrote      map[ident.Hash]tally // what each promise of an honest writer carries
	vague      bool                 // that is not known any more
	told       map[ident.Hash][]sending
	gaveUp     map[uint64]wire.Mark // locks of the other side: the first promise that cancels each, without hash
	sent       uint64               // newest terms that were sent, and those before the last time
	sentBefore uint64
	sentAt     int64
	termsAt    map[ident.Hash]uint64 // those when a promise was first sent: they left before it (C-24)
}

// watch sees everything that is saved and sent, and keeps books of its own.
type watch struct {
	w        *World
	ways     map[way]*ledger
	order    []way
	promises map[ident.Hash]*wire.Promise
	bodies   map[ident.Hash][]byte
	hellos   map[hello]greeting
	origin   map[wire.PartID]ident.ID // who began a part
	parts    map[wire.PartID][]way
	refused  map[ident.ID]int        // liars, by how often they were told no
	arrived  map[wire.PaymentID]bool // the payee has signed that it is locked to it
	pays     map[wire.PaymentID][]*attempt
	totals   map[wire.PaymentID]money.Amount // what they are to bring together
	tries    map[wire.PartID]*attempt
	limits   map[wire.PaymentID]allowed
	read     struct { // last
		promise *wire.Promise
		body    []byte
	}
	onions onions
	proofs [2]*wire.Receipt // the last two of invoices without hold
}

func newWatch(w *World) *watch {
	return &watch{
		w: w, onions: newOnions(), ways: map[way]*ledger{}, promises: map[ident.Hash]*wire.Promise{}, bodies: map[ident.Hash][]byte{},
		hellos: map[hello]greeting{},
		origin: map[wire.PartID]ident.ID{}, parts: map[wire.PartID][]way{},
		refused: map[ident.ID]int{}, arrived: map[wire.PaymentID]bool{}, pays: map[wire.PaymentID][]*attempt{}, totals: map[wire.PaymentID]money.Amount{}, tries: map[wire.PartID]*attempt{}, limits: map[wire.PaymentID]allowed{},
	}
}

// all is every lock that ever had a number.
func (l *ledger) all(n uint64) []*toldLock {
	if k := l.locks[n]; k != nil {
		return append(slices.Clip(l.past[n]), k)
	}
	return nil
}

// meant are the locks that a promise of m's can mean by a number: of those told up to then the newest. What a liar means
// nobody knows.
func (l *ledger) meant(m *Member, n uint64, at wire.Mark) []*toldLock {
	all := l.all(n)
	if m.liar != nil {
		return all
	}
	var newest *toldLock
	for _, k := range all { // of two told with one number the later, for the first was forgotten
		if !at.Before(k.opened) && (newest == nil || !k.opened.Before(newest.opened)) {
			newest = k
		}
	}
	if newest == nil {
		return nil
	}
	return []*toldLock{newest}
}

func (x *watch) ledger(from, to ident.ID) *ledger {
	k := way{from, to}
	l := x.ways[k]
	if l == nil {
		l = &ledger{
			numbers: map[number]ident.Hash{}, groups: map[number]*wire.Group{}, locks: map[uint64]*toldLock{}, terms: map[uint64]wire.Terms{},
			told: map[ident.Hash][]sending{}, gaveUp: map[uint64]wire.Mark{}, termsAt: map[ident.Hash]uint64{}, held: tally{open: map[uint64]*wire.Lock{}}, wrote: map[ident.Hash]tally{},
		}
		x.ways[k] = l
		x.order = append(x.order, k)
	}
	return l
}

// signed remembers terms the moment they are signed: a promise that cites them may come at any time after.
func (x *watch) signed(m *Member, tag ident.Tag, msg []byte) {
	var t wire.Terms
	if tag != wire.TagTerms || wire.Unmarshal(msg, &t) != nil {
		return
	}
	l := x.ledger(t.From, t.To)
	if old, ok := l.terms[t.Number]; ok && m.restore {
		for i, line := range old.Lines { // what an old copy signs twice: the friend may hold either
			if k := t.Line(line.Currency); i < len(t.Lines) && k.Limit < line.Limit {
				t.Lines[i].Limit = max(t.Lines[i].Limit, line.Limit)
			}
		}
	}
	l.terms[t.Number], l.newTerms = t, max(l.newTerms, t.Number)
}

// saved judges what an honest member has on its disk now and is about to send. Of several Steps in one
// transaction only the last is on the disk to the letter: newer statements have replaced the others.
func (x *watch) saved(m *Member, fx *node.Effects, last bool) {
	if m.liar != nil {
		return
	}
	for i, o := range fx.Send {
		if last && !replaced(o, fx.Send[i+1:]) {
			x.onDisk(m, o.Peer, o.Message)
		}
		switch msg := o.Message.(type) {
		case *wire.Update:
			x.update(m, o.Peer, o.Session.Session, msg)
		case *wire.Hello:
			x.said(m.id, o.Peer, o.Session.Session, msg)
			x.ledger(m.id, o.Peer).granted(msg.Terms, x.w.now)
		case *wire.NewTerms:
			x.ledger(m.id, o.Peer).granted(msg.Terms, x.w.now)
		case *wire.Reveal:
			led := x.ledger(o.Peer, m.id)
			for _, l := range led.past[msg.Number] {
				if l.lock.Condition.Met(msg.Preimages) {
					x.revealed(m, o.Peer, l, msg)
				}
			}
			if l := led.locks[msg.Number]; l != nil && (led.past[msg.Number] == nil || l.lock.Condition.Met(msg.Preimages)) {
				x.revealed(m, o.Peer, l, msg)
			}
		}
	}
	x.frozen(m, fx.Save)
}

// frozen enters the evidence that a member saves: a channel with it takes no locks and adds until both begin anew.
func (x *watch) frozen(m *Member, saved []node.Record) {
	for _, r := range saved {
		if r.Kind != node.KindFault {
			continue
		}
		for _, o := range x.w.Members {
			if strings.HasPrefix(r.Key, o.key) {
				l := x.ledger(o.id, m.id)
				l.held.frozen, l.held.epoch = x.w.now, l.judged.Epoch
			}
		}
	}
}

// replaced says whether a newer promise follows to the same friend: then that one is on the disk.
func replaced(o node.Out, later []node.Out) bool {
	if _, ok := o.Message.(*wire.Update); !ok {
		return false
	}
	for _, l := range later {
		if _, ok := l.Message.(*wire.Update); ok && l.Peer == o.Peer {
			return true
		}
	}
	return false
}

// onDisk is rule S1.
func (x *watch) onDisk(m *Member, to ident.ID, msg wire.Message) {
	peer := x.w.byID[to]
	if peer == nil {
		return
	}
	has := func(kind, key string, want []byte) bool { return bytes.Contains(m.disk.get(kind, key), want) }
	ok := true
	switch msg := msg.(type) {
	case *wire.Update:
		p, form := x.promiseOf(msg.Promise)
		ok = form && has("channel", peer.key, msg.Promise.Sig[:])
		if body := x.bodies[p.Ack.Hash]; ok && p.Ack.Seq > 0 && body != nil {
			ok = has("channel", peer.key, body) || x.holdsLater(m, peer, p.Ack)
		}
	case *wire.NewTerms:
		// the newest only: several commands of one Step each send theirs
		ok = has("channel", peer.key, msg.Terms.Sig[:]) || has("channel", peer.key, []byte("terms"))
		var t wire.Terms
		if !ok && wire.Unmarshal(msg.Terms.Body, &t) == nil {
			ok = x.ledger(m.id, to).newTerms > t.Number
		}
	case *wire.Hello:
		ok = msg.Mine.Seq == 0 || has("channel", peer.key, msg.Mine.Hash[:])
	case *wire.Reveal:
		l := x.ledger(to, m.id).locks[msg.Number]
		ok = has("in", peer.key+"/"+hex16(msg.Number), msg.Preimages[0][:]) || l != nil && l.fulfil
	case *wire.Snapshot:
		ok = msg.Mine.None() || has("channel", peer.key, msg.Mine.Sig[:])
		if p, read := x.promiseOf(msg.Mine); !ok && read { // an old copy's, which has been shown a newer one since in this Step
			ok = p.Mark(msg.Mine).Before(x.ledger(m.id, to).newest)
		}
	}
	if !ok {
		x.w.fail("S1", "%s sends %s a %T that is not on its disk: %s", m, peer, msg, tell(msg))
	}
}

// promiseOf reads a promise, the last one for nothing: what is looked for on the disk is entered next.
func (x *watch) promiseOf(s wire.Signed) (*wire.Promise, bool) {
	if x.read.promise == nil || !bytes.Equal(x.read.body, s.Body) {
		p, ok := promiseOf(s)
		if !ok {
			return &wire.Promise{}, false
		}
		x.read.promise, x.read.body = &p, s.Body
	}
	return x.read.promise, true
}

func hex16(v uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := 15; i >= 0; i-- {
		b[i] = digits[v&15]
		v >>= 4
	}
	return string(b[:])
}

// sent sees every message that leaves, lies included.
func (x *watch) sent(from, to *Member, session uint64, msg wire.Message) {
	switch msg := msg.(type) {
	case *wire.Update:
		if from.liar != nil {
			x.update(from, to.id, session, msg)
		}
	case *wire.Hello:
		x.said(from.id, to.id, session, msg)
	case *wire.Acknowledge:
		x.arrival(from, to, msg)
	case *wire.Onward:
		x.orders(from, to, msg)
	case *wire.Reveal:
		for _, l := range x.ledger(to.id, from.id).all(msg.Number) {
			l.passed = l.passed || l.lock.Condition.Met(msg.Preimages)
		}
	case *wire.Refused:
		x.w.Stats.Refusals[wire.Code(msg.Code).String()]++
		if to.liar != nil && from.liar == nil {
			x.refused[to.id]++
		}
	}
}

// update enters a promise and its moves into the books.
func (x *watch) update(m *Member, to ident.ID, session uint64, u *wire.Update) {
	p, ok := x.promiseOf(u.Promise)
	if !ok || p.From != m.id || p.To != to {
		return
	}
	l := x.ledger(m.id, to)
	mark := p.Mark(u.Promise)
	h := mark.Hash
	key := number{p.Epoch, p.Seq}
	if old, ok := l.numbers[key]; ok && old != h && m.liar == nil {
		if !m.restore {
			x.w.fail("S2", "%s signs two promises %d.%d to %s", m, p.Epoch, p.Seq, to.Short())
		} else if peer := x.w.byID[to]; peer.liar == nil && !peer.restore && l.judged.SameNumber(mark) {
			x.w.fail("S2a", "%s signs promise %d.%d to %s again, which was accepted", m, p.Epoch, p.Seq, to.Short())
		}
	}
	l.numbers[key] = h
	if x.promises[h] == nil {
		x.promises[h], x.bodies[h] = p, u.Promise.Body
	}
	for i := range u.Groups {
		x.group(m, to, l, p, &u.Groups[i])
	}
	x.tellsOf(m, to, session, u, p)
	if m.liar == nil {
		x.exposure(m, to, p)
		x.ownExposure(m, to, l, p)
	}
	if !mark.Before(l.newest) {
		l.newest = mark
	}
}

func (x *watch) group(m *Member, to ident.ID, l *ledger, p *wire.Promise, g *wire.Group) {
	key, at := number{p.Epoch, g.Seq}, wire.Mark{Epoch: p.Epoch, Seq: g.Seq}
	old := l.groups[key]
	if old == nil || len(g.Locks)+len(g.Adds) > len(old.Locks)+len(old.Adds) {
		l.groups[key] = g
	}
	for i := range g.Locks {
		k := &g.Locks[i]
		d := k.Digest()
		if known := l.locks[k.Number]; known != nil {
			restored := m.restore || m.liar != nil || x.w.byID[to].restore
			if known.digest != d && m.liar == nil && !restored {
				x.w.fail("S3", "%s uses lock %d to %s for two locks", m, k.Number, to.Short())
			}
			same := func(t *toldLock) bool { return t.digest == d }
			if !restored || slices.ContainsFunc(l.all(k.Number), same) {
				continue
			}
		}
		if old := l.locks[k.Number]; old != nil { // a number that was forgotten: what it stood for is history
			past := 1<<62 + uint64(len(l.order))
			l.locks[past] = old
			if l.past == nil {
				l.past = map[uint64][]*toldLock{}
			}
			l.past[k.Number] = append(l.past[k.Number], old)
			l.order[slices.Index(l.order, k.Number)] = past
		}
		l.order = append(l.order, k.Number)
		t := &toldLock{lock: *k, digest: d, opened: at}
		l.locks[k.Number] = t
		x.onionLocked(m, to, k)
		x.begins(m, to, t)
	}
	for _, n := range g.Fulfils {
		for _, k := range l.meant(m, n, at) {
			k.fulfil = true
			k.endedIn(at, x.w.now)
			if k.dropped && m.liar == nil && m.knows(k.droppedAt) {
				x.w.fail("S6", "%s fulfils lock %d to %s, which it dropped", m, n, to.Short())
			}
		}
	}
	for _, n := range g.Drops {
		for _, k := range l.meant(m, n, at) {
			k.dropped, k.droppedAt = true, x.w.now
			k.endedIn(at, x.w.now)
			if k.fulfil && m.liar == nil && !m.forgot(k) {
				x.w.fail("S6", "%s drops lock %d to %s, which it fulfilled", m, n, to.Short())
			}
		}
	}
	for _, c := range g.Cancels {
		if _, ok := l.gaveUp[c.Number]; !ok {
			l.gaveUp[c.Number] = at
		}
		for _, k := range x.ledger(to, m.id).meant(x.w.byID[to], c.Number, p.Ack) {
			if k.revealed && m.liar == nil && m.knows(k.revealedAt) {
				x.w.fail("S6", "%s cancels lock %d of %s, which it has revealed", m, c.Number, to.Short())
			}
			x.gaveBack(m, &k.lock, c.Reason, x.ledger(to, m.id).past[c.Number] == nil)
			if !k.cancel {
				k.cancel, k.gaveUp = true, x.w.now
			}
		}
	}
}

func (k *toldLock) endedIn(at wire.Mark, now int64) {
	if k.ended.Seq == 0 {
		k.ended, k.endedAt = at, now
	}
}

func (x *watch) arrives(part wire.PartID, at ident.ID) bool {
	for _, w := range x.parts[part] {
		if w.to == at {
			return true
		}
	}
	return false
}

// revealed judges a reveal that its sender has saved (rule S7).
func (x *watch) revealed(m *Member, debtor ident.ID, l *toldLock, msg *wire.Reveal) {
	if !l.lock.Condition.Met(msg.Preimages) {
		if m.restore && x.w.byID[debtor].liar != nil {
			return // what a liar shows to be locked nobody else has seen
		}
		x.w.fail("S7", "%s reveals what does not open lock %d of %s", m, msg.Number, debtor.Short())
		return
	}
	if l.cancel && m.knows(l.gaveUp) && !l.revealed && !x.ledger(debtor, m.id).back {
		x.w.fail("S6", "%s reveals lock %d of %s, which it has cancelled", m, msg.Number, debtor.Short())
	}
	first := !l.revealed
	if l.revealed = true; first {
		l.revealedAt = x.w.now
	}
	if l.final && x.ledger(debtor, m.id).past[msg.Number] == nil {
		x.once(m, debtor, x.onions.answered, &l.lock)
	}
	if !first {
		return
	}
	box := l.box
	if !l.final {
		return
	}
	if box == nil {
		x.w.fail("S7", "%s reveals for %d %s what it cannot open", m, l.lock.Amount, l.lock.Currency)
		return
	}
	sum := x.together(m, box, l)
	if box.Amount != l.lock.Amount || box.Currency != l.lock.Currency || sum < box.Total || sum > box.Total && x.w.honestWay() {
		x.w.fail("S7", "%s reveals for %d %s what is not exactly right, %d together of %d: %+v", m, l.lock.Amount, l.lock.Currency, sum, box.Total, box)
		return
	}
	if box.Form != wire.FormPush {
		i, err := pay.OpenInvoice(m.keys, box.Invoice)
		if err != nil || i.Payee != m.id || i.Amount != box.Total || i.Currency != l.lock.Currency || i.Hash != l.lock.Condition.Hashes[0] {
			x.w.fail("S7", "%s reveals an invoice that it did not write so: %v", m, err)
		}
	}
}

// together is what the parts bring to a payee that belong to one payment with l: all that were locked under its
// condition and not given up. It may be more than the payee has accepted where somebody on the way lies and the payer tries
// again, or where a restored payer does.
func (x *watch) together(m *Member, box *wire.Box, l *toldLock) (sum money.Amount) {
	seen := map[wire.PartID]bool{} // a liar may bring one twice, and two may pay one invoice (their salts differ); the second is given up
	for _, k := range x.order {
		if k.to != m.id {
			continue
		}
		up := x.ways[k]
		for _, n := range up.order {
			t := up.locks[n]
			if t.final && !(t.cancel && m.knows(t.gaveUp)) && t.box != nil && t.box.Payment == box.Payment && t.lock.Condition.ID() == l.lock.Condition.ID() && t.box.Salt == box.Salt && !seen[t.lock.Part] {
				seen[t.lock.Part] = true
				sum += t.lock.Amount
			}
		}
	}
	return sum
}

// box is what the payer told the payee; final says whether the lock ends at m at all.
func (x *watch) box(m *Member, l *wire.Lock) (box *wire.Box, final bool) {
	_, box, final = m.reads(l)
	return box, final
}

// reads is what a member reads of a lock that was given to it: what it shares with the payer, and the box.
func (m *Member) reads(l *wire.Lock) (s pay.Sealed, box *wire.Box, final bool) {
	p, err := pay.OpenParcel(m.keys, l)
	if err != nil || p.Hop != nil {
		return s, nil, false
	}
	s, box, err = p.OpenBox(func(b *wire.Blob) (pay.Sealed, error) { return pay.AsPayee(m.keys, b) }, l.Part)
	if err != nil {
		return s, nil, true
	}
	return s, box, true
}

// told sees what a member's user is told.
func (x *watch) told(m *Member, t *node.Notice) {
	if t.Payment == nil || m.liar != nil {
		return
	}
	v := t.Payment
	id, _ := wire.ParseID16(v.ID)
	if v.State == node.Held && !x.arrived[wire.PaymentID(id)] {
		x.w.fail("S6", "%s says that payment %s is held, its payee has not", m, v.ID)
	}
	if v.State == node.Paid {
		x.receipt(m, v)
	}
	x.blamed(m, v)
}

// holdsLater says whether m has a newer promise of peer on its disk than the marked one.
func (x *watch) holdsLater(m, peer *Member, ack wire.Mark) bool {
	record := m.disk.get("channel", peer.key)
	for h := range x.ledger(peer.id, m.id).told { // a liar has several of one number
		if p := x.promises[h]; ack.Before(wire.Mark{Epoch: p.Epoch, Seq: p.Seq}) && bytes.Contains(record, x.bodies[h]) {
			return true
		}
	}
	return false
}

// tell is a message in a few words.
func tell(msg wire.Message) string {
	switch msg := msg.(type) {
	case *wire.Update:
		p, _ := promiseOf(msg.Promise)
		s := fmt.Sprintf("promise %d.%d acks %d.%d base %d.%d", p.Epoch, p.Seq, p.Ack.Epoch, p.Ack.Seq, msg.Base.Epoch, msg.Base.Seq)
		for _, g := range msg.Groups {
			s += fmt.Sprintf(" [%d:", g.Seq)
			for _, l := range g.Locks {
				s += fmt.Sprintf(" lock %d=%d", l.Number, l.Amount)
			}
			s += fmt.Sprintf(" fulfils %v drops %v", g.Fulfils, g.Drops)
			for _, c := range g.Cancels {
				s += fmt.Sprintf(" cancel %d", c.Number)
			}
			s += fmt.Sprintf(" adds %d]", len(g.Adds))
		}
		return s
	case *wire.Reveal:
		return fmt.Sprintf("reveal %d", msg.Number)
	case *wire.Acknowledge:
		return fmt.Sprintf("acknowledge %d", msg.Number)
	case *wire.Onward:
		return fmt.Sprintf("onward %d", msg.Number)
	case *wire.Hello:
		return fmt.Sprintf("hello mine %d.%d held %d.%d restored %v", msg.Mine.Epoch, msg.Mine.Seq, msg.Held.Epoch, msg.Held.Seq, msg.Restored)
	case *wire.Refused:
		return fmt.Sprintf("refused %d.%d %s: %s", msg.Epoch, msg.Seq, wire.Code(msg.Code), msg.Text)
	case *wire.NewTerms:
		var t wire.Terms
		_ = wire.Unmarshal(msg.Terms.Body, &t)
		return fmt.Sprintf("terms %d", t.Number)
	}
	return fmt.Sprintf("%T", msg)
}
