package credit

import (
	"slices"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// A new epoch restates what both sides hold, under numbers that nobody has used: after a
// restore, after a fault that both users settled, or to shrink owed before it leaves int64.

// RenewAbove is the owed from which a channel is renewed: a quarter of int64, so that 2^10
// payments of the greatest limit still fit while the renewal is under way.
const RenewAbove money.Amount = 1 << 61

// AwaitsEpoch says whether my first promise of an epoch is not acknowledged yet; until then I sign nothing.
func (c *Channel) AwaitsEpoch() bool {
	return c.Mine.Promise.Start != nil && c.Acked() != c.MyMark()
}

// StartEpoch signs my first promise in a new epoch: what my newest promise says, less what both sides
// subtract. Moves that are queued stay queued. epoch is above that of my newest promise and was never used.
func (c *Channel) StartEpoch(suite ident.Suite, epoch uint64, now int64, less []wire.Less) {
	last := c.MyMark()
	p := c.Mine.Promise
	p.Epoch, p.Seq, p.Time = epoch, 1, now
	p.Ack, p.Terms = c.HeldMark(), c.TheirTerms.Number
	p.Start = &wire.Start{Mine: last, Held: c.HeldMark(), Less: less}
	p.Lines = slices.Clone(p.Lines)
	for _, l := range less {
		for i := range p.Lines {
			if p.Lines[i].Currency == l.Currency {
				p.Lines[i].Owed -= l.Amount
			}
		}
	}
	c.rebase()
	var cancelled []uint64
	for _, x := range c.Mine.Cancels {
		if x.Seq != Queued {
			cancelled = append(cancelled, x.Number)
		}
	}
	p.Cancelled = cancelledDigest(cancelled)
	c.put(suite, p, cancelled)
}

// rebase moves everything that my newest promise carries to seq 1 of the coming epoch.
func (c *Channel) rebase() {
	c.Mine.Locks = slices.DeleteFunc(c.Mine.Locks, func(l *OwnLock) bool { return l.End != Open && l.Ended != Queued })
	for _, l := range c.Mine.Locks {
		if l.Opened != Queued {
			l.Opened = 1
		}
	}
	for i := range c.Mine.Cancels {
		if c.Mine.Cancels[i].Seq != Queued {
			c.Mine.Cancels[i].Seq = 1
		}
	}
	c.Mine.Adds = slices.DeleteFunc(c.Mine.Adds, func(a OwnAdd) bool { return a.Seq != Queued })
}

// Renewal is what my next promise must subtract in a new epoch, nil for nothing: because my friend's
// first promise of its epoch did, or because owed comes near the end of int64. Only the side with
// the smaller key begins a renewal, so that two never cross.
func (c *Channel) Renewal() []wire.Less {
	if less := c.answerDue(); less != nil {
		return less
	}
	if !c.holdsBack() || c.unacknowledged() {
		return nil
	}
	var less []wire.Less
	for _, l := range c.Mine.Promise.Lines {
		owed := c.Theirs.Promise.Line(l.Currency).Owed
		if by := min(l.Owed, owed); max(l.Owed, owed) > RenewAbove && by > 0 {
			less = append(less, wire.Less{Currency: l.Currency, Amount: by})
		}
	}
	return less
}

// answerDue is what my friend's renewal subtracts and mine must too, nil for nothing. The smaller key
// begins and the larger answers: what the larger subtracts is never to be answered again.
func (c *Channel) answerDue() []wire.Less {
	s := c.Theirs.Promise.Start
	if s == nil || len(s.Less) == 0 || smaller(c.Me, c.Friend) || !c.Mine.Promise.Ack.Before(c.HeldMark()) {
		return nil
	}
	return s.Less
}

// holdsBack says whether I am to begin a renewal: no move is signed until my friend has acknowledged all earlier ones.
func (c *Channel) holdsBack() bool {
	if c.Fault != nil || !smaller(c.Me, c.Friend) || c.AwaitsEpoch() {
		return false
	}
	for _, l := range c.Mine.Promise.Lines {
		owed := c.Theirs.Promise.Line(l.Currency).Owed
		if max(l.Owed, owed) > RenewAbove && min(l.Owed, owed) > 0 {
			return true
		}
	}
	return false
}

// unacknowledged says whether a signed move of mine is not acknowledged.
func (c *Channel) unacknowledged() bool {
	acked := c.Acked().Seq
	for _, l := range c.Mine.Locks {
		if l.Opened > acked || l.Ended > acked {
			return true
		}
	}
	for _, x := range c.Mine.Cancels {
		if x.Seq > acked {
			return true
		}
	}
	for _, a := range c.Mine.Adds {
		if a.Seq > acked {
			return true
		}
	}
	return false
}

func smaller(a, b ident.ID) bool { return slices.Compare(a[:], b[:]) < 0 }

// owedByMe is my owed to set against what my friend's newest promise says: while the renewal that I
// began is not answered, what it subtracts still counts; what I have yet to subtract counts no more.
func (c *Channel) owedByMe(cur money.Currency) money.Amount {
	owed := c.Mine.Promise.Line(cur).Owed - lessOf(c.answerDue(), cur)
	if c.renewing() {
		owed += lessOf(c.Mine.Promise.Start.Less, cur)
	}
	return owed
}

// renewing says whether I began a renewal that my friend has not answered.
func (c *Channel) renewing() bool {
	return c.AwaitsEpoch() && len(c.Mine.Promise.Start.Less) > 0 && smaller(c.Me, c.Friend)
}

func lessOf(list []wire.Less, cur money.Currency) money.Amount {
	for _, l := range list {
		if l.Currency == cur {
			return l.Amount
		}
	}
	return 0
}

// judgeStart judges a promise of another epoch than the held one (spec C-40).
func (c *Channel) judgeStart(u *wire.Update, p *wire.Promise) (*Step, error) {
	held := c.HeldMark()
	if p.Start == nil {
		return nil, refuse(wire.BadBase, "promise %d.%d without the first of its epoch; I hold %d.%d", p.Epoch, p.Seq, held.Epoch, held.Seq)
	}
	if p.Start.Mine != held && (p.Start.Mine.Epoch != held.Epoch || !held.Before(p.Start.Mine)) {
		// A later promise than I hold is as good, if only acknowledgements lie between: the figures tell.
		return nil, refuse(wire.BadBase, "epoch %d starts from promise %d.%d, I hold %d.%d", p.Epoch, p.Start.Mine.Epoch, p.Start.Mine.Seq, held.Epoch, held.Seq)
	}
	if len(u.Groups) > 0 || p.Ack != p.Start.Held {
		return nil, refuse(wire.BadMove, "the first promise of an epoch brings no moves and acknowledges what it starts from")
	}
	if err := c.judgeCites(p, Floor{}); err != nil {
		return nil, err
	}
	if err := c.judgeLess(p); err != nil {
		return nil, err
	}
	want := slices.Clone(c.Theirs.Promise.Lines)
	for i := range want {
		for _, l := range p.Start.Less {
			if l.Currency == want[i].Currency {
				want[i].Owed -= l.Amount
			}
		}
	}
	if !slices.Equal(want, p.Lines) {
		return nil, refuse(wire.BadDigest, "the new epoch's figures are not those it starts from: %s", differ(want, p.Lines))
	}
	j := judging{c: c, p: p, step: &Step{}}
	cancels, err := j.cancels()
	if err != nil {
		return nil, err
	}
	if p.Cancelled != cancelledDigest(cancels) {
		return nil, refuse(wire.BadDigest, "the new epoch's digest of cancelled locks is not that of %d numbers", len(cancels))
	}
	next := c.Theirs
	next.Signed, next.Promise, next.Cancels, next.Answer = u.Promise, *p, cancels, true
	return &Step{next: next, Epoch: true}, nil
}

func (c *Channel) judgeLess(p *wire.Promise) error {
	if c.renewing() {
		if p.Ack != c.MyMark() || !slices.Equal(p.Start.Less, c.Mine.Promise.Start.Less) {
			return refuse(wire.BadMove, "the new epoch does not answer the renewal that I signed")
		}
		return nil
	}
	if len(p.Start.Less) > 0 && !smaller(p.From, p.To) {
		return refuse(wire.BadMove, "a renewal is begun by the side with the smaller key")
	}
	if i := slices.IndexFunc(c.Mine.Marks, func(m OwnMark) bool { return m.Mark == p.Ack }); len(p.Start.Less) > 0 && c.unheard(i) >= 2*MaxUnacknowledged {
		return refuse(wire.BadAck, "a renewal that leaves %d promises of mine unacknowledged cannot be answered", c.unheard(i))
	}
	for _, l := range p.Start.Less {
		if l.Amount > c.Theirs.Promise.Line(l.Currency).Owed || l.Amount > c.Mine.Promise.Line(l.Currency).Owed {
			return refuse(wire.BadMove, "a renewal subtracts %d %s, more than one side owes", l.Amount, l.Currency)
		}
	}
	return nil
}

// Snapshot is the channel as I hold it, for a friend who lost its copy. Kept is added by the caller.
func (c *Channel) Snapshot() *wire.Snapshot {
	s := &wire.Snapshot{Mine: c.Mine.Signed, Yours: c.Theirs.Signed, YourTerms: c.TheirSigned, YourLocks: plain(c.Theirs.Locks), YourCancel: c.Theirs.Cancels, MyLast: c.Mine.Next - 1, YourLast: c.Theirs.Last}
	if n := len(c.MyTerms); n > 0 {
		s.MyTerms = c.MyTerms[n-1].Signed
	}
	for _, l := range c.Mine.Locks {
		if l.Opened == Queued { // told later: its number is still to come
			s.MyLast = l.Number - 1
			break
		}
		if l.End == Open || l.Ended == Queued {
			s.MyLocks = append(s.MyLocks, l.Lock)
		}
	}
	s.MyCancels = c.Mine.Marks[len(c.Mine.Marks)-1].Cancels
	return s
}

// Adopt rebuilds my side of the channel from my friend's snapshot. Everything in it is verified:
// what is mine by my signature, what is my friend's by its own, the rest by digests; and my own
// promise's ack is the least that my friend must show of its own. A new epoch must follow.
func Adopt(suite ident.Suite, me, friend ident.ID, s *wire.Snapshot) (*Channel, error) {
	c := New(me, friend)
	if err := c.adoptPromises(suite, s); err != nil {
		return nil, err
	}
	if err := c.adoptLocks(s); err != nil {
		return nil, err
	}
	if !s.YourTerms.None() {
		var t wire.Terms
		if err := wire.Open(suite, me, wire.TagTerms, s.YourTerms, &t); err != nil {
			return nil, refuse(wire.BadSignature, "snapshot, my terms: %v", err)
		}
		if t.From != me || t.To != friend || t.Number < c.Theirs.Promise.Terms {
			return nil, refuse(wire.BadRequest, "snapshot shows my terms %d, its promise cites %d", t.Number, c.Theirs.Promise.Terms)
		}
		c.MyTerms = []MyTerms{{s.YourTerms, t}}
	} else if c.Theirs.Promise.Terms > 0 {
		return nil, refuse(wire.BadRequest, "snapshot lacks my terms %d", c.Theirs.Promise.Terms)
	}
	if !s.MyTerms.None() {
		if _, err := c.AcceptTerms(suite, s.MyTerms); err != nil {
			return nil, err
		}
	}
	if c.TheirTerms.Number < c.Mine.Promise.Terms {
		return nil, refuse(wire.BadRequest, "snapshot shows its terms %d, my promise cites %d", c.TheirTerms.Number, c.Mine.Promise.Terms)
	}
	return c, nil
}

// JudgeShown judges what my friend shows of its own against its promise that I hold: that binds it still, so nothing shown may say
// less (spec C-37). The error is a *Fault if the two contradict each other by themselves, else a *Refusal.
func (c *Channel) JudgeShown(shown *Channel) error {
	p, held, mark := &shown.Theirs.Promise, c.HeldMark(), shown.HeldMark()
	if mark == held {
		return nil
	}
	if mark.SameNumber(held) {
		return c.fault(Equivocated, shown.Theirs.Signed)
	}
	for _, n := range c.Theirs.Cancels { // a lock that was given up stays so until I drop it
		mine, now := c.OwnLock(n), shown.OwnLock(n)
		if mine != nil && now != nil && mine.Digest == now.Digest && !slices.Contains(shown.Theirs.Cancels, n) {
			return refuse(wire.BadMove, "snapshot shows that my lock %d stands, which promise %d.%d gave up", n, held.Epoch, held.Seq)
		}
	}
	switch {
	case p.Epoch == held.Epoch:
		if f := c.shrank(shown.Theirs.Signed, p); f != nil {
			return f
		}
		return nil
	case shown.Mine.Promise.Ack.Epoch == p.Epoch:
		return nil // I have agreed to what that epoch started from
	}
	for _, l := range c.Theirs.Promise.Lines {
		owed := p.Line(l.Currency).Owed
		if p.Start != nil {
			owed += min(lessOf(p.Start.Less, l.Currency), shown.Mine.Promise.Line(l.Currency).Owed)
		}
		if owed < l.Owed {
			return refuse(wire.BadMove, "snapshot shows %d %s owed in epoch %d, which I never agreed to; I hold a signature for %d", owed, l.Currency, p.Epoch, l.Owed)
		}
	}
	return nil
}

// KeepTerms takes terms that an earlier copy of the channel has and this one has only older ones of: they
// were signed or read after what this copy shows, and may be cited.
func (c *Channel) KeepTerms(earlier *Channel) {
	newest := c.Granted().Number
	for _, t := range earlier.MyTerms {
		if t.Terms.Number > newest {
			c.MyTerms = append(c.MyTerms, t)
		}
	}
	c.keepTerms()
	if earlier.TheirTerms.Number > c.TheirTerms.Number {
		c.TheirSigned, c.TheirTerms = earlier.TheirSigned, earlier.TheirTerms
	}
}

func (c *Channel) adoptPromises(suite ident.Suite, s *wire.Snapshot) error {
	if !s.Yours.None() {
		if err := wire.Open(suite, c.Me, wire.TagPromise, s.Yours, &c.Mine.Promise); err != nil {
			return refuse(wire.BadSignature, "snapshot, my promise: %v", err)
		}
		if c.Mine.Promise.From != c.Me || c.Mine.Promise.To != c.Friend {
			return refuse(wire.BadRequest, "snapshot shows my promise to %s", c.Mine.Promise.To.Short())
		}
		c.Mine.Signed = s.Yours
	}
	if !s.Mine.None() {
		if err := wire.Open(suite, c.Friend, wire.TagPromise, s.Mine, &c.Theirs.Promise); err != nil {
			return refuse(wire.BadSignature, "snapshot, its promise: %v", err)
		}
		if c.Theirs.Promise.From != c.Friend || c.Theirs.Promise.To != c.Me {
			return refuse(wire.BadRequest, "snapshot shows a promise to %s", c.Theirs.Promise.To.Short())
		}
		c.Theirs.Signed = s.Mine
	}
	c.Mine.Marks = []OwnMark{{Mark: c.MyMark(), Signed: c.Mine.Signed, Terms: c.Theirs.Promise.Terms, Cancels: s.YourCancel}}
	ack, held := c.Mine.Promise.Ack, c.HeldMark()
	if held.Before(ack) || held.SameNumber(ack) && held != ack {
		return refuse(wire.BadSequence, "snapshot shows its promise %d.%d, mine acknowledges %d.%d", held.Epoch, held.Seq, ack.Epoch, ack.Seq)
	}
	ack, mine := c.Theirs.Promise.Ack, c.MyMark()
	if mine.Before(ack) || mine.SameNumber(ack) && mine != ack {
		return refuse(wire.BadSequence, "snapshot shows my promise %d.%d, its own acknowledges %d.%d", mine.Epoch, mine.Seq, ack.Epoch, ack.Seq)
	}
	return nil
}

func (c *Channel) adoptLocks(s *wire.Snapshot) error {
	mine, theirs := newTally(), newTally()
	seq := c.Mine.Promise.Seq
	for i := range s.YourLocks {
		l := &OwnLock{Lock: s.YourLocks[i], Digest: s.YourLocks[i].Digest(), Opened: max(seq, 1)}
		c.Mine.Locks = append(c.Mine.Locks, l)
		c.Mine.Next = l.Number + 1
		if !mine.add(&l.Lock, l.Digest) {
			return refuse(wire.BadDigest, "snapshot, my locks overflow")
		}
	}
	for i := range s.MyLocks {
		l := &TheirLock{Lock: s.MyLocks[i], Digest: s.MyLocks[i].Digest()}
		c.Theirs.Locks = append(c.Theirs.Locks, l)
		c.Theirs.Last = l.Number
		if !theirs.add(&l.Lock, l.Digest) {
			return refuse(wire.BadDigest, "snapshot, its locks overflow")
		}
	}
	c.Mine.Next = max(c.Mine.Next, s.YourLast+1)
	c.Theirs.Last = max(c.Theirs.Last, s.MyLast)
	if err := matches(&c.Mine.Promise, mine); err != nil {
		return err
	}
	if err := matches(&c.Theirs.Promise, theirs); err != nil {
		return err
	}
	if cancelledDigest(s.MyCancels) != c.Theirs.Promise.Cancelled {
		return refuse(wire.BadDigest, "snapshot, numbers that it cancelled")
	}
	c.Theirs.Cancels = s.MyCancels
	if cancelledDigest(s.YourCancel) != c.Mine.Promise.Cancelled {
		return refuse(wire.BadDigest, "snapshot, numbers that I cancelled")
	}
	for _, n := range s.YourCancel {
		if c.TheirLock(n) != nil {
			c.Mine.Cancels = append(c.Mine.Cancels, OwnCancel{Cancel: wire.Cancel{Number: n}, Seq: max(seq, 1)})
		}
	}
	return nil
}

func matches(p *wire.Promise, locked tally) error {
	owed := map[money.Currency]money.Amount{}
	for _, l := range p.Lines {
		owed[l.Currency] = l.Owed
	}
	if want := lines(owed, locked); !slices.Equal(want, p.Lines) {
		return refuse(wire.BadDigest, "snapshot, locks of promise %d.%d: %s", p.Epoch, p.Seq, differ(want, p.Lines))
	}
	return nil
}
