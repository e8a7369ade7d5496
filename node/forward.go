package node

import (
	"slices"

	"kula/credit"
	"kula/pay"
	"kula/wire"
)

// arrive handles a lock that a friend's accepted promise brought: carry it on, keep it, or give it back.
func (n *Node) arrive(f *friend, l *credit.TheirLock) {
	in := &incoming{part: l.Part}
	f.in[l.Number] = in
	n.markIn(f, l.Number)
	duplicate := n.parts[l.Part].friend != nil
	if !duplicate {
		n.parts[l.Part] = place{f, l.Number}
	}
	p, err := pay.OpenParcel(n.suite, &l.Lock)
	if err != nil {
		f.ch.Cancel(l.Number, nil) // nobody to seal a reason to
		n.touch(f)
		return
	}
	in.parcel = p
	again := n.seen.again(f.id, p.Layer, n)
	switch {
	case again != nil:
		again.Currency = l.Currency
		n.giveBack(f, l.Number, again)
	case f.closing || f.removed || f.ch.TheirTerms.Closing:
		n.giveBack(f, l.Number, &wire.Reason{Code: wire.ChannelClosed, Next: f.id, Currency: l.Currency})
	case p.Hop == nil:
		n.collect(f, l, in, p, duplicate)
	default:
		n.carry(f, l, in, p, duplicate)
	}
	n.touch(f)
}

// parcelOf is what a friend's lock carries. It is opened anew where it is no longer at hand: what is carried on or
// kept for long is not kept twice.
func (n *Node) parcelOf(f *friend, l *credit.TheirLock) (*pay.Parcel, error) {
	if in := f.in[l.Number]; in != nil && in.parcel != nil {
		return in.parcel, nil
	}
	return pay.OpenParcel(n.suite, &l.Lock)
}

// arriveAgain handles a lock that was there before a restore and ends here.
func (n *Node) arriveAgain(f *friend, l *credit.TheirLock) {
	p, err := n.parcelOf(f, l)
	if err != nil {
		f.ch.Cancel(l.Number, nil)
		n.markIn(f, l.Number)
		return
	}
	n.collect(f, l, f.in[l.Number], p, false)
}

// carry locks a part towards its next hop, in the transaction that accepted it.
func (n *Node) carry(f *friend, l *credit.TheirLock, in *incoming, parcel *pay.Parcel, duplicate bool) {
	hop := *parcel.Hop
	p := pay.Passage{Lock: &l.Lock, Hop: hop, Fee: f.ch.Granted().Line(l.Currency).Fee(), Duplicate: duplicate, Now: n.now}
	next := n.friends[hop.Next]
	if next != nil && !next.tentative && !next.removed && !next.pending && next != f {
		p.Next, p.Online, p.Closing = next.ch, next.ready(), !next.open()
	}
	if next != nil && next != f && (next.forgotten() || next.missing) && f.told() {
		in.restored, in.stuck, in.claimed = true, true, next.forgotten() // I may have carried it on before: relink finds out
		return
	}
	if reason := pay.Carry(&p); reason != nil {
		n.giveBack(f, l.Number, reason)
		return
	}
	own, err := next.ch.Lock(wire.Lock{Part: l.Part, Currency: l.Currency, Amount: hop.Amount, Condition: l.Condition, Blob: parcel.Inner(n.suite)})
	if err != nil {
		n.giveBack(f, l.Number, &wire.Reason{Code: wire.ChannelFrozen, Next: next.id, Currency: l.Currency})
		return
	}
	next.out[own.Number] = &outgoing{up: place{f, l.Number}, fee: l.Amount - hop.Amount}
	in.onward, in.fee, in.parcel = place{next, own.Number}, l.Amount-hop.Amount, nil
	n.markOut(next, own.Number)
	n.markChannel(next) // the number is used, even if the lock is not signed in this Step
	n.touch(next)
}

// giveBack cancels a lock of a friend's, with a reason that only the payer can read.
func (n *Node) giveBack(f *friend, number uint64, r *wire.Reason) {
	l := f.ch.TheirLock(number)
	if l == nil {
		return
	}
	r.At = n.me
	r.Limit, r.Owed, r.Locked = 0, 0, 0 // what is between me and another friend is not the payer's business; what is left helps it
	var note []byte
	if p, err := n.parcelOf(f, l); err == nil {
		note = p.Refuse(n.suite, f.id, number, r)
	}
	n.cancel(f, number, note)
}

// cancel gives a lock of a friend's up; never one that was revealed.
func (n *Node) cancel(f *friend, number uint64, note []byte) {
	if in := f.in[number]; in == nil || len(in.preimages) > 0 || !f.ch.Cancel(number, note) {
		return
	}
	n.markIn(f, number)
	n.touch(f)
}

// cancelled: the friend gave up a lock of mine. The same transaction gives it back to where it came from.
func (n *Node) cancelled(f *friend, l *credit.OwnLock, reason []byte) {
	if !f.ch.Drop(l.Number) {
		return
	}
	n.markOut(f, l.Number)
	n.touch(f)
	out := f.out[l.Number]
	switch {
	case out == nil:
	case out.up.friend != nil:
		n.returnUp(out.up, reason)
	case out.payment != nil:
		if t := out.payment.partAt(place{f, l.Number}); t != nil { // not an earlier try that a restore brought back
			n.partReturned(out.payment, t, n.openReason(out.payment, t, l, reason))
		}
	}
}

// returnUp gives back a lock of a friend's that came back from behind, with what only its payer can read.
func (n *Node) returnUp(up place, reason []byte) {
	l := up.friend.ch.TheirLock(up.number)
	if l == nil {
		return
	}
	if p, err := n.parcelOf(up.friend, l); err == nil {
		reason = p.Return(n.suite, up.friend.id, up.number, reason)
	}
	n.cancel(up.friend, up.number, reason)
}

// overLimit is why a queued lock of mine was taken back that does not fit the limit any more.
func overLimit(f *friend, l *credit.OwnLock) *wire.Reason {
	if r := pay.Within(f.ch, l.Currency, l.Amount); r != nil {
		return r
	}
	return &wire.Reason{Code: wire.LimitReached, Next: f.id, Currency: l.Currency}
}

// takeBackQueued takes back what is queued to a friend who went before it was signed: it need not wait for the friend to come.
func (n *Node) takeBackQueued(f *friend) {
	for _, l := range slices.Clone(f.ch.Mine.Locks) {
		if f.ch.Withdraw(l.Number) {
			n.lockFailed(f, l, &wire.Reason{Code: wire.FriendOffline, Next: f.id, Currency: l.Currency})
		}
	}
}

// lockFailed: a queued lock of mine was taken back before any promise carried it.
func (n *Node) lockFailed(f *friend, l *credit.OwnLock, r *wire.Reason) {
	out := f.out[l.Number]
	n.dropOut(f, l.Number)
	n.markChannel(f)
	if out == nil {
		return
	}
	if out.up.friend != nil {
		n.giveBack(out.up.friend, out.up.number, r)
		return
	}
	if out.payment == nil {
		return
	}
	if t := out.payment.partAt(place{f, l.Number}); t != nil {
		r.At = n.me
		n.partReturned(out.payment, t, r)
	}
}

// reveal: the friend shows the preimages of a lock of mine. They go upstream at once; the preimage and my
// fulfil are one transaction. A reveal after a saved cancel is ignored: first saved wins.
func (n *Node) reveal(f *friend, m *wire.Reveal) {
	l, out := f.ch.OwnLock(m.Number), f.out[m.Number]
	if l == nil || out == nil || l.Opened == credit.Queued || l.End != credit.Open || !l.Condition.Met(m.Preimages) {
		return
	}
	if n.self.Waiting && out.up.friend == nil && out.payment == nil {
		out.early = m // whether somebody behind me pays it is found out when the restore ends
		return
	}
	if out.up.friend == nil && out.payment == nil {
		n.keepAdvance(&advance{Next: f.id, Lock: l.Lock, Preimages: m.Preimages, Note: m.Note})
	}
	out.preimages = m.Preimages
	f.ch.Fulfil(m.Number)
	n.markOut(f, m.Number)
	n.touch(f)
	n.revealUp(out, m.Note)
	if out.payment != nil {
		n.paid(out.payment, l, m)
	}
}

// revealUp passes the preimages of a lock of mine to where the lock came from.
func (n *Node) revealUp(out *outgoing, note []byte) {
	up := out.up.friend
	if up == nil {
		return
	}
	in := up.in[out.up.number]
	if in == nil || len(in.preimages) > 0 || up.ch.Cancelled(out.up.number) {
		return
	}
	in.preimages, in.note = out.preimages, note
	n.markIn(up, out.up.number)
	n.pass(up, &wire.Reveal{Number: out.up.number, Preimages: out.preimages, Note: note})
}

// pass sends on what another said about a lock, before anything of this batch is saved: nothing of mine depends on
// it, and it is repeated after each hello. It does not overtake my own hello, nor what that is followed by.
func (n *Node) pass(f *friend, m wire.Message) {
	switch s := f.session; {
	case s == nil || !s.heard || s.dead:
	case s.batch == n.batches:
		n.send(f, m)
	default:
		n.fx.Pass = append(n.fx.Pass, Out{Session{f.id, s.number}, m})
	}
}

// acknowledge: the payee's word that a lock arrived goes upstream, or is mine.
func (n *Node) acknowledge(f *friend, m *wire.Acknowledge) {
	l, out := f.ch.OwnLock(m.Number), f.out[m.Number]
	if l == nil || out == nil || l.End != credit.Open || l.Opened == credit.Queued {
		return
	}
	if out.payment != nil {
		n.arrivedAt(out.payment, place{f, l.Number}, l, m.Note)
		return
	}
	up := out.up.friend
	if up == nil {
		out.arrived = m.Note
		return
	}
	if in := up.in[out.up.number]; in != nil && len(in.preimages) == 0 {
		in.arrived = m.Note
		n.pass(up, &wire.Acknowledge{Number: out.up.number, Note: m.Note})
	}
}

// onward: an order of the payer goes on towards the payee, or is for me.
func (n *Node) onward(f *friend, m *wire.Onward) {
	l, in := f.ch.TheirLock(m.Number), f.in[m.Number]
	if l == nil || in == nil || len(m.Note) == 0 {
		return
	}
	if in.mine != nil {
		n.ordered(in.mine, l, m.Note)
		return
	}
	next := in.onward.friend
	if next == nil {
		if in.restored && len(in.early) < 2 {
			in.early = append(in.early, m.Note)
		}
		return
	}
	out := next.out[in.onward.number]
	own := next.ch.OwnLock(in.onward.number)
	if out == nil || own == nil || own.End != credit.Open {
		return
	}
	for i, note := range out.orders {
		if note[0] == m.Note[0] {
			out.orders = append(out.orders[:i], out.orders[i+1:]...)
			break
		}
	}
	if len(out.orders) >= 2 {
		return // one to open, one to cancel: there is no third kind
	}
	out.orders = append(out.orders, m.Note)
	if own.Opened != credit.Queued {
		n.pass(next, &wire.Onward{Number: own.Number, Note: m.Note})
	}
}

func (n *Node) ordersOf(f *friend, number uint64) [][]byte {
	out := f.out[number]
	switch {
	case out == nil:
		return nil
	case out.payment != nil:
		return n.paymentOrders(out.payment, out.payment.partAt(place{f, number}))
	}
	return out.orders
}

// ended: a lock of a friend's is gone from its promise.
func (n *Node) ended(f *friend, l *credit.TheirLock, fulfilled bool) {
	in := f.in[l.Number]
	n.dropIn(f, l.Number)
	switch {
	case in == nil:
	case in.mine != nil:
		n.collected(in.mine, f, l, fulfilled)
	case fulfilled && in.onward.friend != nil:
		n.payOnward(in.onward)
	}
}

// payOnward: a mediator that was paid pays on, also where it has forgotten the reveal that it passed on, and nobody is left to repeat it.
func (n *Node) payOnward(to place) {
	if l := to.friend.ch.OwnLock(to.number); l != nil && l.Opened != credit.Queued && to.friend.ch.Fulfil(to.number) {
		n.markOut(to.friend, to.number)
		n.touch(to.friend)
	}
}
