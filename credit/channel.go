// Package credit is one channel between two friends: the promise and the terms of
// each side, the moves between promises, and the rules by which the reader of a
// promise accepts it, refuses it, or proves that its writer lied.
//
// # A channel
//
// Each side is the one writer of a numbered, signed promise (all it owes the other)
// and of numbered, signed terms (all it grants the other). [Channel] is both sides as
// one of them, "me", knows them. My writing is [Own]: it remembers everything my
// friend has not yet acknowledged, so that any step since then can be told again. My
// friend's writing is [Their]: the newest accepted promise and what its digests stand
// for.
//
// # Writing
//
// Moves are queued ([Channel.Lock], [Channel.Fulfil], [Channel.Drop],
// [Channel.Cancel], [Channel.Add]) and become part of the next promise
// ([Channel.Sign]): many moves, one signature. [Channel.Since] tells a reader who
// holds an older promise all moves since. [Channel.Pending] says when there is something
// to sign; a friend who acknowledges nothing is soon signed nothing more, so what is
// remembered has a bound.
//
// # Judging
//
// [Channel.Judge] compares the held promise, the moves and the new promise. The
// outcome is a [Step] to [Channel.Accept], or an error: [*Refusal] (a number and the
// figures; nothing changes) or [*Fault] (evidence that a stranger can check, see
// [Fault.Verify]). The rules are those of spec/channel.md, cited by number.
//
// # Digests
//
// The locks of one currency: SHA-256("kula/locks/1" ‖ for each open lock, by number:
// number as 8 bytes big-endian ‖ the lock's own digest), zero for none. Cancelled
// numbers: SHA-256("kula/cancelled/1" ‖ each number as 8 bytes), zero for none.
//
// The package never carries or refuses a lock for a reason of payments: that is pay's.
package credit

import (
	"encoding/binary"
	"fmt"
	"slices"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// Queued is the seq of a move that no promise carries yet.
const Queued uint64 = 0

// End is how a lock of mine ends.
type End uint8

// How a lock of mine ends.
const (
	Open End = iota
	Fulfilled
	Dropped
)

// OwnLock is a lock in my promise, kept until my friend has acknowledged its end.
type OwnLock struct {
	wire.Lock
	Digest ident.Hash
	Opened uint64 // seq of my promise that first carries it, or Queued
	End    End
	Ended  uint64 // seq of my promise that first lacks it, or Queued
}

// OwnCancel is a lock of my friend's that I give up.
type OwnCancel struct {
	wire.Cancel
	Seq uint64 // of my promise that first lists it, or Queued
}

// OwnAdd is an add of mine, kept until acknowledged.
type OwnAdd struct {
	wire.Add
	Seq uint64
}

// OwnMark is a promise of mine that my friend may still acknowledge.
type OwnMark struct {
	wire.Mark
	Signed  wire.Signed
	Terms   uint64   // the number of my newest terms when I signed it
	Cancels []uint64 // what its digest of cancelled numbers stands for
}

// Own is my writing.
type Own struct {
	Signed  wire.Signed
	Promise wire.Promise // Seq 0 before the first
	Marks   []OwnMark    // signed and not acknowledged, oldest first; the first is the acknowledged one
	Locks   []*OwnLock   // by number
	Cancels []OwnCancel  // by number
	Adds    []OwnAdd
	Next    uint64 // the next lock number
}

// TheirLock is an open lock in my friend's promise.
type TheirLock struct {
	wire.Lock
	Digest ident.Hash
}

// Their is my friend's writing, as far as I accepted it.
type Their struct {
	Signed  wire.Signed
	Promise wire.Promise
	Locks   []*TheirLock // by number
	Cancels []uint64     // of my locks, as in Promise
	Last    uint64       // the highest lock number ever accepted
	Answer  bool         // it carried moves and I have not signed an ack yet
}

// MyTerms is one version of my terms; those that can decide about no limit any more are forgotten. What was put
// together of several versions has no signature (see keepTerms).
type MyTerms struct {
	Signed wire.Signed
	Terms  wire.Terms
}

// Channel is both sides as I know them.
type Channel struct {
	Me, Friend  ident.ID
	Mine        Own
	Theirs      Their
	MyTerms     []MyTerms // by number, the newest last
	TheirSigned wire.Signed
	TheirTerms  wire.Terms
	Fault       *Fault // not nil: frozen
	TermsAbove  uint64 // numbers of my terms up to this one may have been used by what I forgot
}

// New is a channel before the first statement.
func New(me, friend ident.ID) *Channel {
	return &Channel{
		Me: me, Friend: friend,
		Mine:   Own{Promise: wire.Promise{From: me, To: friend}, Marks: []OwnMark{{}}, Next: 1},
		Theirs: Their{Promise: wire.Promise{From: friend, To: me}},
	}
}

// MyMark is the mark of my newest promise, zero before the first.
func (c *Channel) MyMark() wire.Mark { return markOf(&c.Mine.Promise, c.Mine.Signed) }

// HeldMark is the mark of my friend's newest accepted promise, zero before the first.
func (c *Channel) HeldMark() wire.Mark { return markOf(&c.Theirs.Promise, c.Theirs.Signed) }

// Acked is the mark of my newest promise that my friend acknowledged.
func (c *Channel) Acked() wire.Mark { return c.Mine.Marks[0].Mark }

func markOf(p *wire.Promise, s wire.Signed) wire.Mark {
	if p.Seq == 0 {
		return wire.Mark{}
	}
	return p.Mark(s)
}

// Granted is my newest terms, zero before the first.
func (c *Channel) Granted() wire.Terms {
	if len(c.MyTerms) == 0 {
		return wire.Terms{From: c.Me, To: c.Friend}
	}
	return c.MyTerms[len(c.MyTerms)-1].Terms
}

// Refusal is a statement that was not accepted. It changed nothing.
type Refusal struct {
	Code                wire.Code
	Text                string
	Limit, Owed, Locked money.Amount // with limit_reached
}

func (r *Refusal) Error() string { return r.Code.String() + ": " + r.Text }

func refuse(code wire.Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Figures is one currency of a channel as I see it.
type Figures struct {
	Currency                    money.Currency
	IOwe, TheyOwe               money.Amount // gross
	Balance                     money.Amount // TheyOwe − IOwe
	LockedByMe, LockedByThem    money.Amount // queued locks included
	LimitReceived, LimitGranted money.Amount
	CanPay, CanReceive          money.Amount // never negative
	FeeMine, FeeTheirs          money.Fee    // what I charge, what they charge me
}

// Figures of a currency. While a renewal is answered by one side only, IOwe is what matches TheyOwe.
func (c *Channel) Figures(cur money.Currency) Figures {
	theirs := c.Theirs.Promise.Line(cur)
	granted := c.Granted()
	give, get := granted.Line(cur), c.TheirTerms.Line(cur)
	f := Figures{
		Currency: cur, IOwe: c.owedByMe(cur), TheyOwe: theirs.Owed,
		LockedByThem: theirs.Locked, LimitReceived: get.Limit, LimitGranted: give.Limit,
		FeeMine: give.Fee(), FeeTheirs: get.Fee(),
	}
	for _, l := range c.Mine.Locks {
		if l.Currency != cur {
			continue
		}
		switch {
		case l.End == Fulfilled && l.Ended == Queued:
			f.IOwe += l.Amount
		case l.End == Open || l.Ended == Queued:
			f.LockedByMe += l.Amount
		}
	}
	for _, a := range c.Mine.Adds {
		if a.Currency == cur && a.Seq == Queued {
			f.IOwe += a.Amount
		}
	}
	f.Balance = f.TheyOwe - f.IOwe
	f.CanPay = max(0, f.LimitReceived+f.Balance-f.LockedByMe)
	f.CanReceive = max(0, f.LimitGranted-f.Balance-f.LockedByThem)
	return f
}

// Currencies of the channel, ascending: of both promises and both terms.
func (c *Channel) Currencies() []money.Currency {
	var list []money.Currency
	for _, p := range []*wire.Promise{&c.Mine.Promise, &c.Theirs.Promise} {
		for _, l := range p.Lines {
			list = append(list, l.Currency)
		}
	}
	granted := c.Granted()
	for _, t := range []*wire.Terms{&granted, &c.TheirTerms} {
		for _, l := range t.Lines {
			list = append(list, l.Currency)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// OpenLocks counts my locks that have not ended, queued ones included.
func (c *Channel) OpenLocks() int {
	n := 0
	for _, l := range c.Mine.Locks {
		if l.End == Open {
			n++
		}
	}
	return n
}

// OwnLock finds a lock of mine by number, nil if there is none.
func (c *Channel) OwnLock(number uint64) *OwnLock {
	i, ok := slices.BinarySearchFunc(c.Mine.Locks, number, func(l *OwnLock, n uint64) int { return compare(l.Number, n) })
	if !ok {
		return nil
	}
	return c.Mine.Locks[i]
}

// Confirmed says whether my friend has acknowledged a lock of mine; one that is gone it has.
func (c *Channel) Confirmed(number uint64) bool {
	l := c.OwnLock(number)
	return l == nil || l.Opened != Queued && (l.Opened <= c.Acked().Seq || c.Acked().Epoch < c.Mine.Promise.Epoch)
}

// TheirLock finds an open lock of my friend's by number, nil if there is none.
func (c *Channel) TheirLock(number uint64) *TheirLock { return findLock(c.Theirs.Locks, number) }

func findLock(locks []*TheirLock, number uint64) *TheirLock {
	i, ok := slices.BinarySearchFunc(locks, number, func(l *TheirLock, n uint64) int { return compare(l.Number, n) })
	if !ok {
		return nil
	}
	return locks[i]
}

// Cancelled says whether I have given up the lock number of my friend, queued included.
func (c *Channel) Cancelled(number uint64) bool {
	_, ok := findCancel(c.Mine.Cancels, number)
	return ok
}

func findCancel(list []OwnCancel, number uint64) (int, bool) {
	return slices.BinarySearchFunc(list, number, func(o OwnCancel, n uint64) int { return compare(o.Number, n) })
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

type numbered struct {
	number uint64
	digest ident.Hash
}

func locksDigest(list []numbered) ident.Hash {
	if len(list) == 0 {
		return ident.Hash{}
	}
	b := make([]byte, 0, 12+40*len(list))
	b = append(b, "kula/locks/1"...)
	for _, n := range list {
		b = binary.BigEndian.AppendUint64(b, n.number)
		b = append(b, n.digest[:]...)
	}
	return ident.HashOf(b)
}

func cancelledDigest(numbers []uint64) ident.Hash {
	if len(numbers) == 0 {
		return ident.Hash{}
	}
	b := make([]byte, 0, 16+8*len(numbers))
	b = append(b, "kula/cancelled/1"...)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return ident.HashOf(b)
}

// tally sums locks per currency.
type tally struct {
	locked  map[money.Currency]money.Amount
	digests map[money.Currency][]numbered
}

func newTally() tally {
	return tally{map[money.Currency]money.Amount{}, map[money.Currency][]numbered{}}
}

func (t tally) add(l *wire.Lock, digest ident.Hash) bool {
	sum, ok := t.locked[l.Currency].Add(l.Amount)
	t.locked[l.Currency] = sum
	t.digests[l.Currency] = append(t.digests[l.Currency], numbered{l.Number, digest})
	return ok
}
