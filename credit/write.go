package credit

import (
	"errors"
	"slices"
	"strings"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// ErrFrozen is returned for a lock or add on a frozen channel.
var ErrFrozen = errors.New("channel is frozen by a fault")

// SetTerms signs my next terms, with the number after my newest.
func (c *Channel) SetTerms(suite ident.Suite, lines []wire.TermsLine, closing bool) wire.Signed {
	lines = slices.Clone(lines)
	slices.SortFunc(lines, func(a, b wire.TermsLine) int {
		if a.Currency < b.Currency {
			return -1
		}
		return 1
	})
	t := wire.Terms{From: c.Me, To: c.Friend, Number: max(c.Granted().Number, c.TermsAbove) + 1, Closing: closing, Lines: lines}
	signed := wire.Sign(suite, wire.TagTerms, &t)
	c.MyTerms = append(c.MyTerms, MyTerms{signed, t})
	c.keepTerms()
	return signed
}

// maxTerms is how many of my terms are kept, the newest included. More are uncited at a time only where limits are
// lowered again and again; every save writes them all.
const maxTerms = 16

// keepTerms forgets those of my terms that cannot decide about a limit any more (spec C-20). Terms count as long as my
// friend's promise cites none above them, so those count nothing of which later ones grant as much in every currency.
// If too many are left, the two oldest become one: the number of the later, the higher limits of both. So my
// friend may write up to what it could as well by citing neither.
func (c *Channel) keepTerms() {
	kept := c.MyTerms[:0:0]
	for i, t := range c.MyTerms {
		if !slices.ContainsFunc(c.MyTerms[i+1:], func(later MyTerms) bool { return grantsAll(&later.Terms, &t.Terms) }) {
			kept = append(kept, t)
		}
	}
	for len(kept) > maxTerms {
		kept[1] = together(&kept[0].Terms, kept[1].Terms)
		kept = kept[1:]
	}
	c.MyTerms = kept
}

// grantsAll says whether t lets the friend owe at least what o does, in every currency.
func grantsAll(t, o *wire.Terms) bool {
	return !slices.ContainsFunc(o.Lines, func(l wire.TermsLine) bool { return t.Line(l.Currency).Limit < l.Limit })
}

// together is what two versions of my terms grant at most. Nobody signs it: it is only for judging and never sent.
func together(earlier *wire.Terms, later wire.Terms) MyTerms {
	later.Lines = slices.Clone(later.Lines)
	for _, l := range earlier.Lines {
		i, found := slices.BinarySearchFunc(later.Lines, l.Currency, func(o wire.TermsLine, cur money.Currency) int {
			return strings.Compare(string(o.Currency), string(cur))
		})
		switch {
		case found:
			later.Lines[i].Limit = max(later.Lines[i].Limit, l.Limit)
		case len(later.Lines) < wire.MaxLines:
			later.Lines = slices.Insert(later.Lines, i, l)
		}
	}
	return MyTerms{wire.Signed{Body: wire.Marshal(&later)}, later}
}

// AcceptTerms takes my friend's newer terms; older ones are ignored. It reports whether they are new.
func (c *Channel) AcceptTerms(suite ident.Suite, s wire.Signed) (bool, error) {
	var t wire.Terms
	if err := wire.Open(suite, c.Friend, wire.TagTerms, s, &t); err != nil {
		return false, refuse(wire.BadSignature, "terms: %v", err)
	}
	if t.From != c.Friend || t.To != c.Me {
		return false, refuse(wire.BadRequest, "terms of %s to %s", t.From.Short(), t.To.Short())
	}
	if t.Number <= c.TheirTerms.Number {
		return false, nil
	}
	c.TheirSigned, c.TheirTerms = s, t
	return true, nil
}

// Lock queues a lock of mine and gives it its number. The caller has checked that it is within the limit;
// [Channel.Sign] checks again. A lock that no reader would decode is refused: a promise with it could never be taken back.
func (c *Channel) Lock(l wire.Lock) (*OwnLock, error) {
	if c.Fault != nil {
		return nil, ErrFrozen
	}
	if n := c.OpenLocks(); n >= wire.MaxLocks {
		return nil, refuse(wire.TooManyLocks, "%d locks are open, at most %d", n, wire.MaxLocks)
	}
	l.Number = c.Mine.Next
	if err := c.fits(wire.Check(&l), l.Currency); err != nil {
		return nil, err
	}
	c.Mine.Next++
	o := &OwnLock{Lock: l, Digest: l.Digest()}
	c.Mine.Locks = append(c.Mine.Locks, o)
	return o, nil
}

// Withdraw takes back a lock that no promise carries yet. It reports whether it could.
func (c *Channel) Withdraw(number uint64) bool {
	l := c.OwnLock(number)
	if l == nil || l.Opened != Queued {
		return false
	}
	c.Mine.Locks = slices.DeleteFunc(c.Mine.Locks, func(o *OwnLock) bool { return o == l })
	return true
}

// Fulfil queues the end of a lock of mine: its amount becomes debt.
func (c *Channel) Fulfil(number uint64) bool { return c.end(number, Fulfilled) }

// Drop queues the end of a lock of mine that my friend gave up.
func (c *Channel) Drop(number uint64) bool { return c.end(number, Dropped) }

func (c *Channel) end(number uint64, how End) bool {
	l := c.OwnLock(number)
	if l == nil || l.End != Open {
		return false
	}
	l.End = how
	return true
}

// Cancel queues giving up an open lock of my friend's. Reason is sealed to the payer. It is final.
func (c *Channel) Cancel(number uint64, reason []byte) bool {
	if c.TheirLock(number) == nil {
		return false
	}
	i, found := findCancel(c.Mine.Cancels, number)
	if found {
		return false
	}
	c.Mine.Cancels = slices.Insert(c.Mine.Cancels, i, OwnCancel{Cancel: wire.Cancel{Number: number, Reason: reason}})
	return true
}

// fits refuses a move that no reader would decode: by its own form, or because its currency is one too many.
func (c *Channel) fits(form error, cur money.Currency) error {
	if form != nil {
		return refuse(wire.BadRequest, "%v", form)
	}
	if c.Mine.Promise.Line(cur) != (wire.Line{Currency: cur}) {
		return nil // has its line already; the rest is for the first use of a currency
	}
	used := []money.Currency{cur}
	for _, l := range c.Mine.Promise.Lines {
		used = append(used, l.Currency)
	}
	for _, l := range c.Mine.Locks {
		used = append(used, l.Currency)
	}
	for _, a := range c.Mine.Adds {
		used = append(used, a.Currency)
	}
	slices.Sort(used)
	if n := len(slices.Compact(used)); n > wire.MaxLines {
		return refuse(wire.UnknownCurrency, "%s would be currency %d between you two, at most %d", cur, n, wire.MaxLines)
	}
	return nil
}

// Add queues an add of mine. It is signed as soon as it is within the limit.
func (c *Channel) Add(a wire.Add) error {
	if c.Fault != nil {
		return ErrFrozen
	}
	if err := c.fits(wire.Check(&a), a.Currency); err != nil {
		return err
	}
	if n := len(c.Mine.Adds); n >= wire.MaxAdds {
		return refuse(wire.TooManyLocks, "%d adds are not acknowledged, at most %d", n, wire.MaxAdds)
	}
	c.Mine.Adds = append(c.Mine.Adds, OwnAdd{Add: a})
	return nil
}

// MaxUnacknowledged is how many promises of mine may be without my friend's acknowledgement before moves wait: as many
// as an update tells one by one. Each is kept, and written with every save of the channel. Up to twice as
// many there may be where my friend waits for a word of mine: it is never both who wait.
const MaxUnacknowledged = wire.MaxGroups

// acknowledgeEvery is from how many promises of my friend's on they are acknowledged in any case, also those that
// only acknowledge: half of what it may have open, so that it hears from me before it has to wait.
const acknowledgeEvery = MaxUnacknowledged / 2

// Pending says whether there is something to sign: a queued move, or a promise of my friend's that needs an answer.
// While my new epoch is not acknowledged the only thing to sign is an answer to my friend's own new epoch: both
// sides may have begun one, and each waits for the other's word. The same goes while too much of mine is not
// acknowledged: then only what my friend waits for is signed (spec C-28).
func (c *Channel) Pending() bool {
	switch {
	case c.Full():
		return false
	case c.AwaitsEpoch():
		return c.crossed()
	case c.unheard(0) >= MaxUnacknowledged:
		return c.awaited()
	}
	return c.awaited() || c.Theirs.Answer || !c.holdsBack() && c.queued()
}

// Full says whether I may sign nothing at all before my friend acknowledges something.
func (c *Channel) Full() bool { return c.unheard(0) >= 2*MaxUnacknowledged }

// unheard is how many promises of mine are not acknowledged once Marks[i] is.
func (c *Channel) unheard(i int) int { return len(c.Mine.Marks) - 1 - i }

// awaited says whether my friend may sign no moves before I acknowledge: it began an epoch, or soon has too many
// promises open.
func (c *Channel) awaited() bool {
	held, acked := c.HeldMark(), c.Mine.Promise.Ack
	if held.Epoch != acked.Epoch {
		return c.Theirs.Answer
	}
	return held.Seq >= acked.Seq+acknowledgeEvery
}

// Outdated says whether my newest promise, of which a friend who holds that older one knows nothing yet, cites older terms
// than I know now: terms and promise crossed when a session ended, or the terms were lost, and then it would be refused.
func (c *Channel) Outdated(held wire.Mark) bool {
	p := &c.Mine.Promise
	return p.Start == nil && held.Epoch == p.Epoch && held.Seq < p.Seq && p.Terms < c.TheirTerms.Number && !c.Full()
}

// crossed says whether both sides began a new epoch and I owe an answer to my friend's.
func (c *Channel) crossed() bool {
	return c.AwaitsEpoch() && c.Theirs.Answer && c.Theirs.Promise.Start != nil
}

func (c *Channel) queued() bool {
	for _, l := range c.Mine.Locks {
		if l.Opened == Queued || (l.End != Open && l.Ended == Queued) {
			return true
		}
	}
	for _, x := range c.Mine.Cancels {
		if x.Seq == Queued {
			return true
		}
	}
	for _, a := range c.Mine.Adds {
		if a.Seq == Queued && !c.waits(a.Currency) {
			return true
		}
	}
	return false
}

// waits says whether queued adds of a currency cannot be signed now: the channel is frozen, or all that is
// queued would pass the limit. A reader takes no promise above the limit, nor any after it.
func (c *Channel) waits(cur money.Currency) bool {
	f := c.Figures(cur)
	return c.Fault != nil || f.LockedByMe-f.Balance > f.LimitReceived
}

// Signing is what one signature changed.
type Signing struct {
	Fulfilled []*OwnLock // became debt
	Adds      []wire.Add
	Over      []*OwnLock // queued, above the limit by now or overtaken by a fault: taken back, never signed
}

// Sign puts all queued moves into my next promise. now is unix milliseconds.
func (c *Channel) Sign(suite ident.Suite, now int64) Signing {
	var s Signing
	hold := c.holdsBack() || c.crossed()
	if !hold {
		s.Over = c.takeBackOver()
	}
	seq := c.Mine.Promise.Seq + 1
	wait := map[money.Currency]bool{}
	for _, a := range c.Mine.Adds {
		wait[a.Currency] = hold || c.waits(a.Currency)
	}
	p := wire.Promise{
		From: c.Me, To: c.Friend, Epoch: c.Mine.Promise.Epoch, Seq: seq, Time: now,
		Ack: c.HeldMark(), Terms: c.TheirTerms.Number,
	}
	owed := map[money.Currency]money.Amount{}
	for _, l := range c.Mine.Promise.Lines {
		owed[l.Currency] = l.Owed
	}
	locked := newTally()
	for _, l := range c.Mine.Locks {
		if l.Opened == Queued {
			if hold {
				continue
			}
			l.Opened = seq
		}
		if l.End != Open && l.Ended == Queued && !hold {
			l.Ended = seq
			if l.End == Fulfilled {
				owed[l.Currency] = mustAdd(owed[l.Currency], l.Amount)
				s.Fulfilled = append(s.Fulfilled, l)
			}
		}
		if (l.End == Open || l.Ended == Queued) && !locked.add(&l.Lock, l.Digest) {
			panic("credit: my own locks overflow")
		}
	}
	for i := range c.Mine.Adds {
		if a := &c.Mine.Adds[i]; a.Seq == Queued && !wait[a.Currency] {
			a.Seq = seq
			owed[a.Currency] = mustAdd(owed[a.Currency], a.Amount)
			s.Adds = append(s.Adds, a.Add)
		}
	}
	var cancelled []uint64
	for i := range c.Mine.Cancels {
		x := &c.Mine.Cancels[i]
		if x.Seq == Queued {
			if hold {
				continue
			}
			x.Seq = seq
		}
		cancelled = append(cancelled, x.Number)
	}
	p.Lines, p.Cancelled = lines(owed, locked), cancelledDigest(cancelled)
	c.put(suite, p, cancelled)
	return s
}

// put signs p as my newest promise.
func (c *Channel) put(suite ident.Suite, p wire.Promise, cancelled []uint64) {
	c.Mine.Signed = wire.Sign(suite, wire.TagPromise, &p)
	c.Mine.Promise = p
	c.Mine.Marks = append(c.Mine.Marks, OwnMark{c.MyMark(), c.Mine.Signed, c.Granted().Number, cancelled})
	c.Theirs.Answer = false
}

func mustAdd(a, b money.Amount) money.Amount {
	sum, ok := a.Add(b)
	if !ok {
		panic("credit: my own debt overflows; the channel was to be renewed long before")
	}
	return sum
}

func lines(owed map[money.Currency]money.Amount, locked tally) []wire.Line {
	var list []wire.Line
	for cur := range owed {
		list = append(list, wire.Line{Currency: cur})
	}
	for cur := range locked.locked {
		if _, ok := owed[cur]; !ok {
			list = append(list, wire.Line{Currency: cur})
		}
	}
	slices.SortFunc(list, func(a, b wire.Line) int {
		if a.Currency < b.Currency {
			return -1
		}
		return 1
	})
	for i := range list {
		l := &list[i]
		l.Owed, l.Locked, l.Locks = owed[l.Currency], locked.locked[l.Currency], locksDigest(locked.digests[l.Currency])
	}
	return list
}

// takeBackOver removes queued locks, newest first, until all locks fit my friend's newest limit; all of them on a frozen channel.
func (c *Channel) takeBackOver() []*OwnLock {
	var over []*OwnLock
	fits := map[money.Currency]bool{}
	for i := len(c.Mine.Locks) - 1; i >= 0 && c.Mine.Locks[i].Opened == Queued; i-- { // queued locks are the newest numbers
		l := c.Mine.Locks[i]
		if l.End != Open || fits[l.Currency] {
			continue
		}
		f := c.Figures(l.Currency)
		if fits[l.Currency] = c.Fault == nil && f.LockedByMe-f.Balance <= f.LimitReceived; fits[l.Currency] {
			continue
		}
		c.Mine.Locks = slices.Delete(c.Mine.Locks, i, i+1)
		over = append(over, l)
	}
	return over
}

// Tell is Since for a reader who may hold a promise of an older epoch: where both sides began a new epoch and I
// have answered the other's, it needs the first promise of mine before that answer.
func (c *Channel) Tell(base wire.Mark) []*wire.Update {
	if base.Epoch != c.Mine.Promise.Epoch && c.Mine.Promise.Start == nil {
		for _, m := range c.Mine.Marks {
			if m.Epoch == c.Mine.Promise.Epoch && m.Seq == 1 {
				return []*wire.Update{{Promise: m.Signed, Base: base}, c.Since(m.Mark)}
			}
		}
	}
	return []*wire.Update{c.Since(base)}
}

// Since tells a reader who holds my promise base all moves after it, with my newest promise.
func (c *Channel) Since(base wire.Mark) *wire.Update {
	u := &wire.Update{Promise: c.Mine.Signed, Base: base}
	if base.Epoch != c.Mine.Promise.Epoch {
		return u // the first promise of an epoch brings no moves
	}
	if u.Groups = c.movesAfter(base.Seq, false); len(u.Groups) > wire.MaxGroups {
		u.Groups = c.movesAfter(base.Seq, true)
	}
	return u
}

// movesAfter gives the moves of my promises after a seq, one group for each, or all in one. A lock opened after
// what the reader holds is still open, so one group is enough in every order.
func (c *Channel) movesAfter(after uint64, one bool) []wire.Group {
	groups := map[uint64]*wire.Group{}
	at := func(seq uint64) *wire.Group {
		if one {
			seq = c.Mine.Promise.Seq
		}
		if groups[seq] == nil {
			groups[seq] = &wire.Group{Seq: seq}
		}
		return groups[seq]
	}
	for _, l := range c.Mine.Locks {
		if l.Opened > after {
			g := at(l.Opened)
			g.Locks = append(g.Locks, l.Lock)
		}
		if l.Ended > after {
			g := at(l.Ended)
			if l.End == Fulfilled {
				g.Fulfils = append(g.Fulfils, l.Number)
			} else {
				g.Drops = append(g.Drops, l.Number)
			}
		}
	}
	for _, x := range c.Mine.Cancels {
		if x.Seq > after {
			g := at(x.Seq)
			g.Cancels = append(g.Cancels, x.Cancel)
		}
	}
	for _, a := range c.Mine.Adds {
		if a.Seq > after {
			g := at(a.Seq)
			g.Adds = append(g.Adds, a.Add)
		}
	}
	var list []wire.Group
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b wire.Group) int { return compare(a.Seq, b.Seq) })
	return list
}
