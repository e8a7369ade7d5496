package credit

import (
	"slices"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// Floor is what a session's hellos add to the rules: no promise is older than After (my friend's
// newest when it said hello), and one that is newer cites at least Terms (mine in my hello).
type Floor struct {
	After wire.Mark
	Terms uint64
}

// Step is an accepted change of my friend's promise, not yet applied.
type Step struct {
	next      Their
	Same      bool // the promise I hold already; nothing to do
	Locks     []*TheirLock
	Fulfilled []*TheirLock
	Dropped   []*TheirLock
	Cancelled []wire.Cancel // of my locks
	Adds      []wire.Add
	Epoch     bool // starts a new epoch
}

// Judge compares an update with what I hold. The error is a [*Refusal] or a [*Fault]; nothing changes here.
func (c *Channel) Judge(suite ident.Suite, u *wire.Update, floor Floor) (*Step, error) {
	if u.Promise.Equal(c.Theirs.Signed) && c.Theirs.Promise.Seq > 0 {
		return &Step{Same: true}, nil
	}
	var p wire.Promise
	if err := wire.Open(suite, c.Friend, wire.TagPromise, u.Promise, &p); err != nil {
		return nil, refuse(wire.BadSignature, "promise: %v", err)
	}
	if p.From != c.Friend || p.To != c.Me {
		return nil, refuse(wire.BadRequest, "promise of %s to %s", p.From.Short(), p.To.Short())
	}
	held, mark := c.HeldMark(), p.Mark(u.Promise)
	if held.SameNumber(mark) && held.Seq > 0 {
		if held.Hash == mark.Hash {
			return &Step{Same: true}, nil // the same statement under a second signature
		}
		return nil, c.fault(Equivocated, u.Promise)
	}
	if mark.Before(held) {
		return nil, refuse(wire.BadSequence, "promise %d.%d is older than %d.%d which I hold", mark.Epoch, mark.Seq, held.Epoch, held.Seq)
	}
	if mark.Before(floor.After) && (p.Start == nil || p.Epoch != floor.After.Epoch) { // the first of an epoch comes before the answer that crossed mine
		return nil, refuse(wire.BadSequence, "promise %d.%d is older than %d.%d which the hello named", mark.Epoch, mark.Seq, floor.After.Epoch, floor.After.Seq)
	}
	if p.Epoch != held.Epoch {
		return c.judgeStart(u, &p)
	}
	if u.Base != held {
		return nil, refuse(wire.BadBase, "the moves start from %d.%d, I hold %d.%d", u.Base.Epoch, u.Base.Seq, held.Epoch, held.Seq)
	}
	if f := c.shrank(u.Promise, &p); f != nil {
		return nil, f
	}
	if err := c.judgeCites(&p, floor); err != nil {
		return nil, err
	}
	j := judging{c: c, p: &p, step: &Step{}}
	return j.run(u)
}

// fault is evidence that a promise of my friend's contradicts the one that I hold.
func (c *Channel) fault(k FaultKind, second wire.Signed) *Fault {
	return &Fault{Kind: k, Writer: c.Friend, Reader: c.Me, First: c.Theirs.Signed, Second: second}
}

func (c *Channel) shrank(s wire.Signed, p *wire.Promise) *Fault {
	for _, l := range c.Theirs.Promise.Lines {
		if p.Line(l.Currency).Owed < l.Owed {
			return c.fault(Shrank, s)
		}
	}
	return nil
}

// judgeCites checks which statements of mine the promise refers to.
func (c *Channel) judgeCites(p *wire.Promise, floor Floor) error {
	last := c.Theirs.Promise.Ack
	if p.Ack.Before(last) || p.Ack.SameNumber(last) && p.Ack != last {
		return refuse(wire.BadAck, "acknowledges %d.%d after %d.%d", p.Ack.Epoch, p.Ack.Seq, last.Epoch, last.Seq)
	}
	i := slices.IndexFunc(c.Mine.Marks, func(m OwnMark) bool { return m.Mark == p.Ack })
	if i < 0 {
		return refuse(wire.BadAck, "acknowledges %d.%d, which I did not sign so", p.Ack.Epoch, p.Ack.Seq)
	}
	if c.renewing() && p.Start == nil && p.Ack == c.MyMark() {
		return refuse(wire.BadAck, "acknowledges the renewal %d.%d without answering it", p.Ack.Epoch, p.Ack.Seq)
	}
	newest := c.Granted().Number
	if p.Terms > newest || p.Terms < c.Theirs.Promise.Terms {
		return refuse(wire.StaleTerms, "cites my terms %d; the last promise cited %d, my newest are %d", p.Terms, c.Theirs.Promise.Terms, newest)
	}
	if p.Terms < c.Mine.Marks[i].Terms {
		return refuse(wire.StaleTerms, "cites my terms %d but knows a promise that I signed after terms %d", p.Terms, c.Mine.Marks[i].Terms)
	}
	if floor.After.Before(p.Mark(wire.Signed{})) && p.Terms < floor.Terms {
		return refuse(wire.StaleTerms, "cites my terms %d; my hello carried %d", p.Terms, floor.Terms)
	}
	return nil
}

// judging walks the moves of one update.
type judging struct {
	c     *Channel
	p     *wire.Promise
	step  *Step
	locks []*TheirLock
	owed  map[money.Currency]money.Amount
	grows map[money.Currency]bool // has a lock or add: the limit counts
	drops []*TheirLock            // without my cancel
	gone  map[uint64]bool         // ended by this step
	last  uint64
}

func (j *judging) run(u *wire.Update) (*Step, error) {
	j.locks, j.last = slices.Clone(j.c.Theirs.Locks), j.c.Theirs.Last
	j.owed, j.grows, j.gone = map[money.Currency]money.Amount{}, map[money.Currency]bool{}, map[uint64]bool{}
	for _, l := range j.c.Theirs.Promise.Lines {
		j.owed[l.Currency] = l.Owed
	}
	for i := range u.Groups {
		g := &u.Groups[i]
		if g.Seq <= u.Base.Seq || g.Seq > j.p.Seq {
			return nil, refuse(wire.BadMove, "moves of promise %d between %d and %d", g.Seq, u.Base.Seq, j.p.Seq)
		}
		if err := j.group(g); err != nil {
			return nil, err
		}
	}
	j.locks = slices.DeleteFunc(j.locks, func(l *TheirLock) bool { return j.gone[l.Number] })
	cancels, err := j.cancels()
	if err != nil {
		return nil, err
	}
	if err := j.compare(); err != nil {
		return nil, err
	}
	if j.p.Cancelled != cancelledDigest(cancels) {
		return nil, refuse(wire.BadDigest, "the promise's digest of cancelled locks is not that of %d numbers", len(cancels))
	}
	if len(j.drops) > 0 {
		return nil, j.badDrop(u)
	}
	if err := j.limits(); err != nil {
		return nil, err
	}
	answer := j.c.Theirs.Answer
	for i := range u.Groups {
		answer = answer || !u.Groups[i].Empty()
	}
	j.step.next = Their{Signed: u.Promise, Promise: *j.p, Locks: j.locks, Cancels: cancels, Last: j.last, Answer: answer}
	return j.step, nil
}

func (j *judging) group(g *wire.Group) error {
	if j.c.Fault != nil && len(g.Locks)+len(g.Adds) > 0 {
		return refuse(wire.ChannelFrozen, "%d locks and %d adds on a frozen channel", len(g.Locks), len(g.Adds))
	}
	for i := range g.Locks {
		if g.Locks[i].Number <= j.last {
			return refuse(wire.BadMove, "lock %d after lock %d", g.Locks[i].Number, j.last)
		}
		l := &TheirLock{Lock: g.Locks[i], Digest: g.Locks[i].Digest()}
		j.last = l.Number
		j.locks = append(j.locks, l)
		j.step.Locks = append(j.step.Locks, l)
		j.grows[l.Currency] = true
	}
	for _, n := range g.Fulfils {
		l, err := j.remove(n)
		if err != nil {
			return err
		}
		if err := j.owe(l.Currency, l.Amount); err != nil {
			return err
		}
		j.step.Fulfilled = append(j.step.Fulfilled, l)
	}
	for _, n := range g.Drops {
		l, err := j.remove(n)
		if err != nil {
			return err
		}
		if !j.mayDrop(n) {
			j.drops = append(j.drops, l)
		}
		j.step.Dropped = append(j.step.Dropped, l)
	}
	for _, a := range g.Adds {
		if err := j.owe(a.Currency, a.Amount); err != nil {
			return err
		}
		j.grows[a.Currency] = true
		j.step.Adds = append(j.step.Adds, a)
	}
	j.step.Cancelled = append(j.step.Cancelled, g.Cancels...)
	return nil
}

func (j *judging) remove(number uint64) (*TheirLock, error) {
	l := findLock(j.locks, number)
	if l == nil || j.gone[number] {
		return nil, refuse(wire.BadMove, "ends lock %d, which is not open", number)
	}
	j.gone[number] = true
	return l, nil
}

func (j *judging) owe(cur money.Currency, a money.Amount) error {
	sum, ok := j.owed[cur].Add(a)
	if !ok {
		return refuse(wire.BadMove, "owed %d and %d overflow", j.owed[cur], a)
	}
	j.owed[cur] = sum
	return nil
}

// mayDrop: a promise of mine that this one acknowledges gives the lock up (spec C-22).
func (j *judging) mayDrop(number uint64) bool {
	i, ok := findCancel(j.c.Mine.Cancels, number)
	if !ok || j.c.Mine.Cancels[i].Seq == Queued {
		return false
	}
	return j.p.Ack.Epoch != j.c.Mine.Promise.Epoch || j.c.Mine.Cancels[i].Seq <= j.p.Ack.Seq
}

// openAt says whether my lock was open in my promise ack. An ack of an older epoch is one that my
// present epoch started from, with no move between.
func (c *Channel) openAt(l *OwnLock, ack wire.Mark) bool {
	if l == nil || l.Opened == Queued {
		return false
	}
	if ack.Epoch != c.Mine.Promise.Epoch {
		return l.End == Open || l.Ended == Queued
	}
	return l.Opened <= ack.Seq && (l.End == Open || l.Ended == Queued || l.Ended > ack.Seq)
}

// cancels gives the numbers that the new promise must list, and checks the new ones.
func (j *judging) cancels() ([]uint64, error) {
	list := make([]uint64, 0, len(j.c.Theirs.Cancels)+len(j.step.Cancelled))
	for _, n := range j.c.Theirs.Cancels {
		if j.c.openAt(j.c.OwnLock(n), j.p.Ack) {
			list = append(list, n)
		}
	}
	for _, x := range j.step.Cancelled {
		l := j.c.OwnLock(x.Number)
		if !j.c.openAt(l, j.p.Ack) {
			return nil, refuse(wire.BadMove, "cancels lock %d, which is not open in my promise %d", x.Number, j.p.Ack.Seq)
		}
		if l.End == Fulfilled {
			return nil, refuse(wire.BadMove, "cancels lock %d after it was revealed", x.Number)
		}
		if slices.Contains(list, x.Number) {
			return nil, refuse(wire.BadMove, "cancels lock %d twice", x.Number)
		}
		list = append(list, x.Number)
	}
	slices.Sort(list)
	return list, nil
}

// compare holds the figures of the promise against those that its moves give.
func (j *judging) compare() error {
	if len(j.locks) > wire.MaxLocks {
		return refuse(wire.TooManyLocks, "%d locks would be open, at most %d", len(j.locks), wire.MaxLocks)
	}
	locked := newTally()
	for _, l := range j.locks {
		if !locked.add(&l.Lock, l.Digest) {
			return refuse(wire.BadMove, "locks overflow")
		}
	}
	want := lines(j.owed, locked)
	if !slices.Equal(want, j.p.Lines) {
		return refuse(wire.BadDigest, "the promise's figures are not those of its moves: %s", differ(want, j.p.Lines))
	}
	return nil
}

func differ(want, got []wire.Line) string {
	for i, w := range want {
		if i >= len(got) || got[i].Currency != w.Currency {
			return "currencies differ"
		}
		g := got[i]
		if g.Owed != w.Owed {
			return "owed " + money.Value{Amount: g.Owed, Currency: g.Currency}.String() + ", moves give " + money.Value{Amount: w.Owed, Currency: w.Currency}.String()
		}
		if g.Locked != w.Locked {
			return "locked " + money.Value{Amount: g.Locked, Currency: g.Currency}.String() + ", moves give " + money.Value{Amount: w.Locked, Currency: w.Currency}.String()
		}
		if g != w {
			return "digest of locks"
		}
	}
	return "currencies differ"
}

// limits: in every currency with a lock or add, net debt and locks fit the highest of my limits
// from the terms cited in the base to my newest (spec C-20).
func (j *judging) limits() error {
	for _, line := range j.p.Lines {
		if !j.grows[line.Currency] {
			continue
		}
		var limit money.Amount
		for _, t := range j.c.MyTerms {
			if t.Terms.Number >= j.c.Theirs.Promise.Terms {
				limit = max(limit, t.Terms.Line(line.Currency).Limit)
			}
		}
		net := line.Owed - j.c.owedByMe(line.Currency)
		total, ok := net.Add(line.Locked)
		if !ok || total > limit {
			r := refuse(wire.LimitReached, "net debt %d and locks %d, limit %d", net, line.Locked, limit)
			r.Limit, r.Owed, r.Locked = limit, net, line.Locked
			return r
		}
	}
	return nil
}

// badDrop is a fault where a stranger can see it from the figures, else a refusal.
func (j *judging) badDrop(u *wire.Update) error {
	n := j.drops[0].Number
	i := slices.IndexFunc(j.c.Mine.Marks, func(m OwnMark) bool { return m.Mark == j.p.Ack })
	acked := j.c.Mine.Marks[i] // judgeCites found it
	f := j.c.fault(DroppedUncancelled, u.Promise)
	f.Before, f.After, f.Acked, f.Cancels = plain(j.c.Theirs.Locks), plain(j.locks), acked.Signed, acked.Cancels
	if err := f.holds(); err != nil {
		return refuse(wire.BadMove, "drops lock %d, which I did not give up", n)
	}
	return f
}

func plain(locks []*TheirLock) []wire.Lock {
	list := make([]wire.Lock, len(locks))
	for i, l := range locks {
		list[i] = l.Lock
	}
	return list
}

// Accept applies a step. It gives the numbers of my locks that are forgotten now: their end is acknowledged.
func (c *Channel) Accept(s *Step) (forgotten []uint64) {
	if s.Same {
		return nil
	}
	c.Theirs = s.next
	forgotten = c.settleAck(c.Theirs.Promise.Ack)
	c.Mine.Cancels = slices.DeleteFunc(c.Mine.Cancels, func(x OwnCancel) bool { return c.TheirLock(x.Number) == nil })
	cited := c.Theirs.Promise.Terms
	c.MyTerms = slices.DeleteFunc(c.MyTerms, func(t MyTerms) bool { return t.Terms.Number < cited && t.Terms.Number < c.Granted().Number })
	return forgotten
}

// settleAck forgets what my friend has acknowledged.
func (c *Channel) settleAck(ack wire.Mark) (forgotten []uint64) {
	i := slices.IndexFunc(c.Mine.Marks, func(m OwnMark) bool { return m.Mark == ack })
	if i < 0 {
		return nil
	}
	c.Mine.Marks = slices.Delete(c.Mine.Marks, 0, i)
	if ack.Epoch != c.Mine.Promise.Epoch {
		return nil
	}
	c.Mine.Locks = slices.DeleteFunc(c.Mine.Locks, func(l *OwnLock) bool {
		gone := l.End != Open && l.Ended != Queued && l.Ended <= ack.Seq
		if gone {
			forgotten = append(forgotten, l.Number)
		}
		return gone
	})
	c.Mine.Adds = slices.DeleteFunc(c.Mine.Adds, func(a OwnAdd) bool { return a.Seq != Queued && a.Seq <= ack.Seq })
	return forgotten
}
