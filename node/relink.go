package node

import (
	"bytes"
	"maps"
	"slices"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// relink finds, for every lock without a meaning, what it belongs to: incoming to outgoing by part and
// condition, outgoing to a payment of mine by the ephemeral key that only I could have made.
func (n *Node) relink() {
	for _, f := range n.order {
		if f.lost != whole {
			continue
		}
		for _, l := range f.ch.Mine.Locks {
			if out := f.out[l.Number]; out != nil && out.up.friend == nil && out.payment == nil {
				n.relinkOut(f, l, out)
			}
		}
	}
	for _, f := range n.order {
		if f.lost != whole {
			continue
		}
		for _, l := range f.ch.Theirs.Locks {
			if in := f.in[l.Number]; in != nil && in.restored && in.onward.friend == nil && in.mine == nil && !f.ch.Cancelled(l.Number) {
				n.relinkIn(f, l, in)
			}
		}
	}
	for _, f := range n.order {
		if f.lost != whole {
			continue
		}
		for _, number := range f.ch.Theirs.Cancels {
			if l := f.ch.OwnLock(number); l != nil && l.End == credit.Open {
				n.cancelled(f, l, nil)
			}
		}
	}
	n.orphans()
}

func (n *Node) relinkOut(f *friend, l *credit.OwnLock, out *outgoing) {
	for _, from := range n.order {
		for _, was := range from.ch.Theirs.Locks {
			in := from.in[was.Number]
			if in == nil || in.onward.friend != nil || from.ch.Cancelled(was.Number) || !n.carriedAs(was, f.id, &l.Lock) {
				continue
			}
			out.up, out.fee = place{from, was.Number}, was.Amount-l.Amount
			in.onward, in.fee = place{f, l.Number}, was.Amount-l.Amount
			in.stuck, in.claimed = false, false
			n.markOut(f, l.Number)
			n.markIn(from, was.Number)
			n.passEarly(f, l.Number, out.up)
			return
		}
	}
	n.adoptPayment(f, l, out)
}

// carriedAs says whether l to next is what an incoming lock becomes when it is carried on. A second lock of one part, with which
// somebody would have his own taken for the one that was carried, is not.
func (n *Node) carriedAs(was *credit.TheirLock, next ident.ID, l *wire.Lock) bool {
	if was.Part != l.Part || was.Amount < l.Amount || was.Currency != l.Currency || was.Condition.ID() != l.Condition.ID() {
		return false
	}
	p, err := pay.OpenParcel(n.suite, &was.Lock)
	if err != nil || p.Hop == nil {
		return false
	}
	return p.Hop.Next == next && p.Hop.Amount == l.Amount && bytes.Equal(p.Inner(n.suite), l.Blob)
}

// passEarly passes on what was said along a lock before it was linked up.
func (n *Node) passEarly(f *friend, number uint64, at place) {
	out, in := f.out[number], at.friend.in[at.number]
	if len(out.arrived) > 0 {
		n.acknowledge(f, &wire.Acknowledge{Number: number, Note: out.arrived})
	}
	for _, note := range in.early {
		n.onward(at.friend, &wire.Onward{Number: at.number, Note: note})
	}
	out.arrived, in.early = nil, nil
	switch l := f.ch.OwnLock(number); { // it may have ended meanwhile
	case l.End == credit.Dropped:
		n.returnUp(at, nil)
	case l.End == credit.Fulfilled && len(out.preimages) > 0:
		n.revealUp(out, n.takeNote(&l.Lock))
	}
}

// revealEarly does what reveals asked for that came during the restore.
func (n *Node) revealEarly() {
	for _, f := range n.order {
		for _, l := range slices.Clone(f.ch.Mine.Locks) {
			if out := f.out[l.Number]; out != nil && out.early != nil {
				early := out.early
				out.early = nil
				n.reveal(f, early)
			}
		}
	}
}

// relinkIn: an incoming lock that no outgoing one belongs to. It is given back only if its next hop's
// channel is whole, for then it was never locked onward.
func (n *Node) relinkIn(f *friend, l *credit.TheirLock, in *incoming) {
	p, err := n.parcelOf(f, l)
	if err == nil && p.Hop != nil {
		if n.repaid(f, l) {
			return
		}
		next := n.friends[p.Hop.Next]
		if claimed := next != nil && next.forgotten(); claimed != in.claimed {
			in.claimed = claimed
			n.markIn(f, l.Number)
		}
		if in.stuck = next == nil || next.forgotten() || next.missing || next.ch.AwaitsEpoch(); in.stuck {
			return
		}
		r := &wire.Reason{Code: wire.CatchingUp, Next: next.id, Currency: l.Currency}
		if next.session == nil {
			r.Code = wire.FriendOffline
		}
		n.giveBack(f, l.Number, r)
		return
	}
	n.arriveAgain(f, l)
}

// adoptPayment makes a lock of mine that came from nowhere my own payment again: its blob's ephemeral key is
// one that only I could have made, and so I can open the box that I sealed to the payee.
func (n *Node) adoptPayment(f *friend, l *credit.OwnLock, out *outgoing) {
	r, sealed, box, err := pay.Unwrap(n.suite, &l.Lock, f.id)
	if err != nil {
		return // somebody else's: its incoming lock may come back with another friend
	}
	p := n.payments[box.Payment]
	if l.End != credit.Fulfilled && (l.End == credit.Dropped || slices.Contains(f.ch.Theirs.Cancels, l.Number)) {
		if p != nil && p.stage == stagePaid { // it was paid without this one
			if t := p.partOf(l.Part); t != nil {
				p.drop(t)
				n.donePayment(p)
			}
		}
		return // an earlier try, whose drop the friend does not know of yet
	}
	payee := r.Hops[len(r.Hops)-1]
	if p == nil {
		p = &payment{
			id: box.Payment, salt: box.Salt, form: box.Form, payee: payee, value: money.Value{Amount: box.Total, Currency: box.Currency},
			created: n.now, giveUp: n.now, maxParts: DefaultParts, invoice: box.Invoice, text: box.Text, hash: l.Condition.Hashes[0],
		}
		n.payments[p.id] = p
	}
	out.payment = p
	n.markOut(f, l.Number)
	t := p.partOf(l.Part)
	if t == nil {
		t = &part{id: l.Part, route: r}
		p.parts = append(p.parts, t)
	}
	t.at, p.catching = place{f, l.Number}, false
	p.salt, p.boxSalt, p.sealed = box.Salt, sealed.Salt, &sealed
	if p.stage == stageRoute {
		n.stage(p, stageLocked)
	}
	n.markPayment(p)
	n.sendOrder(p, t)              // what was said before the channel was shown may have been lost
	if l.End == credit.Fulfilled { // it was opened before it was known for mine
		n.paid(p, l, &wire.Reveal{Number: l.Number, Preimages: out.preimages, Note: n.takeNote(&l.Lock)})
	}
}

// restoring says whether there is a friend whose channel is not found yet.
func (n *Node) restoring() bool {
	return slices.ContainsFunc(n.order, func(f *friend) bool { return f.lost != whole })
}

// orphans are parts whose lock is gone after a restore: whether they were paid is not known here. A payment of which
// nothing else stands waits until the user asks the payee and cancels it; once every friend has been heard, one of which
// too little stands is given up, which a payee that has opened it does not follow.
func (n *Node) orphans() {
	heard := !n.restoring()
	for _, p := range n.inOrder() {
		if p.stage == stagePaid { // what is gone of it was fulfilled
			if heard {
				delete(n.payments, p.id)
				n.markPayment(p)
			}
			continue
		}
		for _, t := range slices.Clone(p.parts) {
			f := t.at.friend
			if f == nil {
				f = n.friends[t.route.Hops[0]]
			}
			if f == nil || f.lost == whole && (t.at.friend == nil || f.out[t.at.number] == nil || f.out[t.at.number].payment != p) {
				p.drop(t)
				n.markPayment(p)
			}
		}
		if heard && stageRoute < p.stage && p.stage < stageCancel && len(p.parts) > 0 && !p.whole() {
			n.giveUpRest(p, &wire.Reason{Code: wire.GaveUp, At: n.me, Currency: p.value.Currency, Text: "restored: not all of it is there"})
		}
	}
}

// advance is what I paid for a part after a restore, before anybody showed the lock with which it was given to me: whoever
// had it may be away for long, or not be known yet. It is kept until that lock is shown, for with the preimages I am paid
// back (spec P-53). There are at most as many as I had locks open when the restore began.
type advance struct {
	_         struct{} `cbor:",toarray"`
	Next      ident.ID
	Lock      wire.Lock
	Preimages []ident.Preimage
	Note      []byte
}

// advanceID names an advance: by the lock that I paid.
type advanceID [16]byte

func advanceOf(l *wire.Lock) advanceID {
	d := l.Digest()
	return advanceID(d[:16])
}

func (n *Node) keepAdvance(a *advance) {
	id := advanceOf(&a.Lock)
	n.advances[id] = a
	n.markAdvance(id)
}

func (n *Node) markAdvance(id advanceID) {
	n.dirty[recordKey{kind: kindAdvance, id: id}] = true
}

func (n *Node) dropAdvance(id advanceID) {
	delete(n.advances, id)
	n.markAdvance(id)
}

// takeNote ends the advance of a lock that is linked up again, if there is one, and gives the note that came with its reveal.
func (n *Node) takeNote(l *wire.Lock) []byte {
	id := advanceOf(l)
	a := n.advances[id]
	if a == nil {
		return nil
	}
	n.dropAdvance(id)
	return a.Note
}

// repaid opens a lock of a friend's that was shown after I had paid for its part.
func (n *Node) repaid(f *friend, l *credit.TheirLock) bool {
	for _, id := range slices.SortedFunc(maps.Keys(n.advances), func(a, b advanceID) int { return bytes.Compare(a[:], b[:]) }) {
		if a := n.advances[id]; a.Lock.Part == l.Part && n.carriedAs(l, a.Next, &a.Lock) {
			n.dropAdvance(id)
			n.revealUp(&outgoing{up: place{f, l.Number}, preimages: a.Preimages}, a.Note)
			return true
		}
	}
	return false
}
