package node

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// A restore begins when the identity came from its phrase, or when a friend holds a newer
// promise of mine than I do: then this is an old copy. Every channel is asked for again, and
// nothing is signed until all friends have answered, or for patience at the most; then each
// channel goes on in a new epoch, and what was locked is linked up again.

// patience is how long a restore waits for friends who do not come, in milliseconds (design §3).
const patience = 30_000

// oldCopy: a friend says that it holds newer statements of mine than I do. Its word alone stops only its own
// channel; when its snapshot proves it with my signature, this is an old copy and every channel is asked for.
// Whoever shows no proof in its session has to claim it again in the next.
func (n *Node) oldCopy(f *friend) {
	f.session.suspect, f.session.asked, f.claimed = true, true, true
	n.send(f, &wire.Ask{})
}

// unclaimed: the friend does not hold more than I know. Parts that waited for its word go on; payments that did, when the
// caller tries them again.
func (n *Node) unclaimed(f *friend) {
	f.claimed = false
	n.unstick()
}

// givenUp: friends who have not come since the start are not waited for any longer.
func (n *Node) givenUp() {
	n.missed = 0
	for _, f := range n.order {
		f.missing = false
	}
	n.unstick()
	n.tryCatching()
}

func (n *Node) unstick() {
	if n.self.Waiting {
		return // endRestore looks after them
	}
	for _, g := range n.order {
		for _, in := range g.in {
			if in.stuck {
				n.relink()
				return
			}
		}
	}
}

// newer says whether a snapshot proves that I have forgotten something.
func newer(shown, mine *credit.Channel) bool {
	return mine.MyMark().Before(shown.MyMark()) || mine.Granted().Number < shown.Granted().Number
}

// signedSince says whether a snapshot shows a promise that I signed after the newest restore and have forgotten: this
// is a copy from the midst of that restore, or of a time when this friend had not come back yet.
func (n *Node) signedSince(shown, mine *credit.Channel) bool {
	return n.self.Restored > 0 && mine.MyMark().Before(shown.MyMark()) && shown.Mine.Promise.Time >= n.self.Restored
}

// beginDoubt: an old copy does not know which of its invoices were paid since it was made. What is locked for one
// is judged as ever; beyond that nobody can pay it any more (spec P-22).
func (n *Node) beginDoubt() {
	n.self.Doubt = n.now / 1000
	n.markSelf()
	for _, id := range slices.SortedFunc(maps.Keys(n.invoices), func(a, b wire.InvoiceID) int { return bytes.Compare(a[:], b[:]) }) {
		if i := n.invoices[id]; i.state == pay.InvoiceOpen {
			i.state = pay.InvoiceDoubted
			n.markInvoice(i)
			n.tellInvoice(i)
		}
	}
}

// doubted says whether an invoice of mine that is not here may have been paid without this node's knowing.
func (n *Node) doubted(i *wire.Invoice) bool { return i.Created <= n.self.Doubt }

// tryNoMore: a payment that an old copy looks for a way for may have been paid since. Nobody here knows: its user asks the payee.
func (n *Node) tryNoMore() {
	for _, p := range n.inOrder() {
		if p.stage == stageRoute {
			p.catching = false
			n.stage(p, stageLocked)
		}
	}
}

// beginRestore asks for every channel again. While one is under way it only adds channels that are not yet asked for.
func (n *Node) beginRestore() {
	if !n.self.Waiting {
		n.self.Waiting, n.self.Restored = true, n.now
		n.markSelf()
		n.tryNoMore()
		for _, f := range n.order {
			if f.lost == whole && !f.pending {
				f.lost = asking
				n.markFriend(f)
				if f.session != nil && f.session.heard {
					f.session.asked, f.session.suspect = false, false // of an earlier restore in the same session
					if !f.session.blank || !n.bestThereIs(f) {
						n.ask(f)
					}
				}
			}
		}
	}
	n.wakeAt(n.self.Restored + patience)
}

func (n *Node) ask(f *friend) {
	if f.lost == whole {
		f.lost = asking
		n.markFriend(f)
		if f.session != nil {
			f.session.asked = false
		}
	}
	if f.session != nil && !f.session.asked {
		f.session.asked = true
		n.send(f, &wire.Ask{})
	}
}

// askOrResume is the hello of a friend whose channel is to be restored.
func (n *Node) askOrResume(f *friend, h *wire.Hello) {
	if h.Held.Seq == 0 && h.Mine.Seq == 0 && !f.tentative && f.ch.MyMark().Seq == 0 && f.ch.HeldMark().Seq == 0 && h.HeldTerms <= f.ch.Granted().Number {
		f.lost = adopted // nothing was ever promised
		n.markFriend(f)
		return
	}
	if f.session.blank && n.bestThereIs(f) {
		return
	}
	if f.lost == asking {
		n.ask(f)
	}
}

// bestThereIs goes on from what I have of a channel with a friend that is being restored too, if it holds nothing newer and was
// shown nothing yet.
func (n *Node) bestThereIs(f *friend) bool {
	if f.tentative || !f.session.behind || f.session.shown > 0 || f.ch.Full() {
		return false
	}
	f.lost = adopted
	n.markFriend(f)
	return true
}

// show answers an Ask.
func (n *Node) show(f *friend) {
	s := f.session
	if s.shown >= maxShown || f.tentative {
		return
	}
	if s.owes = f.lost == asking && !n.bestThereIs(f); s.owes {
		return // what I hold may be nothing; it is shown when the channel goes on
	}
	s.shown++
	s.old, s.sent = true, f.ch.MyMark()
	snap := f.ch.Snapshot()
	snap.Kept = f.kept
	n.send(f, snap)
}

// snapshot adopts what a friend holds of our channel.
func (n *Node) snapshot(f *friend, snap *wire.Snapshot) {
	if !f.session.asked || f.lost != asking && !f.session.suspect {
		return
	}
	ch, err := credit.Adopt(n.suite, n.me, f.id, snap)
	if err == nil && f.tentative && ch.Mine.Promise.Seq == 0 {
		err = refusal(wire.UnknownFriend, "the snapshot shows no promise of mine")
	}
	if err == nil && !f.tentative && ch.HeldMark().Before(f.ch.HeldMark()) { // an own promise that it does not hold binds nobody
		if n.recallTerms(f, ch) {
			return
		}
		err = refusal(wire.BadSequence, "the snapshot is older than what I hold")
	}
	if err == nil && !f.tentative {
		err = f.ch.JudgeShown(ch)
	}
	if err == nil && f.session.suspect && !newer(ch, f.ch) {
		err = refusal(wire.BadSequence, "it said that it holds newer statements of mine, and shows none")
	}
	if err != nil {
		f.problem = "its snapshot is of no use: " + err.Error()
		if f.session.suspect {
			n.unclaimed(f)
			n.tryCatching()
		}
		var fault *credit.Fault
		if errors.As(err, &fault) {
			n.freeze(f, fault) // its users agree on figures, or nothing goes on
			return
		}
		n.refuse(f, 0, 0, err)
		if f.tentative {
			n.disbelieve(f)
			return
		}
		n.hangup(f)
		n.tellFriend(f)
		return
	}
	if f.tentative {
		f.tentative = false
		f.name, f.unnamed = n.uniqueName(f.session.name, f), true
		if n.self.Restored == 0 {
			n.beginDoubt()
			n.beginRestore()
		}
		n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
	}
	if f.session.suspect || n.signedSince(ch, f.ch) {
		f.session.suspect, f.claimed, f.lost = false, false, asking
		n.beginDoubt()
		n.beginRestore()
	}
	ch.Fault = f.ch.Fault
	n.adopt(f, ch)
	f.session.sent = ch.MyMark()
	if f.session.floor.After.Before(ch.HeldMark()) {
		f.session.old = false // it has signed since its hello, so it knows what it had forgotten
	}
	n.readKept(snap.Kept)
}

// recallTerms takes from a snapshot that is older than what I hold the terms of mine that I have forgotten, and says whether
// there were any: both sides were restored with nothing, and one has found what it had before.
func (n *Node) recallTerms(f *friend, shown *credit.Channel) bool {
	if f.lost == asking || shown.Granted().Number <= f.ch.Granted().Number {
		return false
	}
	f.ch.KeepTerms(shown)
	f.session.suspect = false
	n.markChannel(f)
	n.unclaimed(f)
	n.tryCatching()
	n.hangup(f) // the next hello says that nothing is missing
	n.tellFriend(f)
	return true
}

// adopt replaces a channel by what the friend showed; the book gets one opening row per currency that differs.
func (n *Node) adopt(f *friend, ch *credit.Channel) {
	before, beforeOut := maps.Clone(f.in), maps.Clone(f.out)
	n.forgetLocks(f)
	f.above = max(f.above, f.ch.Mine.Promise.Epoch)
	ch.KeepTerms(f.ch)
	ch.Mine.Next = max(ch.Mine.Next, f.ch.Mine.Next) // lock numbers that I used and the friend never saw are not used again
	f.ch, f.lost = ch, adopted
	for _, l := range ch.Theirs.Locks {
		if n.parts[l.Part].friend == nil {
			n.parts[l.Part] = place{f, l.Number}
		}
		in := &incoming{part: l.Part, restored: true}
		if was := before[l.Number]; was != nil && len(was.preimages) > 0 && l.Condition.Met(was.preimages) {
			in.preimages, in.note = was.preimages, was.note // what was revealed stays so
		}
		f.in[l.Number] = in
	}
	for _, l := range ch.Mine.Locks {
		out := &outgoing{}
		if was := beforeOut[l.Number]; was != nil && len(was.preimages) > 0 && l.Condition.Met(was.preimages) && !slices.Contains(ch.Theirs.Cancels, l.Number) {
			out.preimages, out.payment = was.preimages, was.payment // it was opened: it is fulfilled again
			ch.Fulfil(l.Number)
		}
		f.out[l.Number] = out
	}
	n.saveWhole(f)
	n.bookOpening(f)
	n.tellFriend(f)
}

// forgetLocks removes what is known of a channel's locks; payments, collections and the other halves of what I carry
// find theirs again in relink.
func (n *Node) forgetLocks(f *friend) {
	for number, out := range f.out {
		if up := out.up.friend; up != nil {
			if in := up.in[out.up.number]; in != nil && in.onward == (place{f, number}) {
				in.onward, in.fee, in.restored, in.early = place{}, 0, true, out.orders
				n.markIn(up, out.up.number)
			}
		}
		if p := out.payment; p != nil && p.stage != stagePaid {
			if t := p.partAt(place{f, number}); t != nil {
				t.at = place{}
			}
		}
		n.dropOut(f, number)
	}
	for number, in := range f.in {
		if next := in.onward.friend; next != nil {
			if out := next.out[in.onward.number]; out != nil && out.up == (place{f, number}) {
				out.up, out.fee, out.arrived = place{}, 0, in.arrived // who said it does not say it again in this session
				n.markOut(next, in.onward.number)
			}
		}
		if in.mine != nil {
			if i := in.mine.invoice; i != nil && in.mine.revealed && (i.state == pay.InvoiceOpen || i.state == pay.InvoiceHeld) {
				i.state = pay.InvoiceDoubted // until its parts are found again nobody else pays it
				n.markInvoice(i)
			}
			in.mine.forget(f, number)
			n.unheld(in.mine)
		}
		n.dropIn(f, number)
	}
}

// unheld: an invoice of which nothing is here any more is open, until its parts are found again.
func (n *Node) unheld(c *collection) {
	if len(c.parts) > 0 {
		return
	}
	delete(n.collecting, claimKey{c.key, c.payment})
	if c.invoice != nil && c.invoice.state == pay.InvoiceHeld {
		c.invoice.state = pay.InvoiceOpen
		if n.doubted(&c.invoice.Invoice) {
			c.invoice.state = pay.InvoiceDoubted
		}
		n.markInvoice(c.invoice)
	}
}

// endRestore goes on once every friend has answered, or patience is over. Friends who come later go on at once, and
// those who left after they had answered are asked again when they come: each new epoch follows the hello of its session.
func (n *Node) endRestore() {
	ended := n.self.Waiting
	if n.self.Waiting {
		over := n.now >= n.self.Restored+patience
		wait := n.cfg.Restored && len(n.order) == n.tentatives() // nobody has shown yet whom to wait for
		for _, f := range n.order {
			wait = wait || f.lost == asking && !f.tentative
		}
		if wait && !over {
			n.wakeAt(n.self.Restored + patience)
			return
		}
		n.self.Waiting = false
		n.markSelf()
	}
	resumed := false
	for _, f := range n.order {
		if f.lost == adopted && f.session != nil && f.session.heard {
			n.resume(f)
			resumed = true
		}
	}
	if resumed || ended {
		n.relink()
	}
	if ended {
		n.revealEarly()
	}
	if resumed || ended {
		n.tryCatching()
	}
}

// resume begins the new epoch of an adopted channel.
func (n *Node) resume(f *friend) {
	f.lost, f.claimed = whole, false
	n.markFriend(f)
	n.startEpoch(f, f.ch.Renewal()) // also where nothing was promised yet: what I signed and forgot has older numbers
	n.touch(f)
	if f.session != nil && f.session.heard {
		n.repeat(f)
		if f.session.owes {
			n.show(f)
		}
	}
	n.tellFriend(f)
}

// bookOpening adds what the book lacks of a channel.
func (n *Node) bookOpening(f *friend) {
	for _, cur := range f.ch.Currencies() {
		balance := f.ch.Theirs.Promise.Line(cur).Owed - f.ch.Mine.Promise.Line(cur).Owed
		if start := f.ch.Theirs.Promise.Start; start != nil && f.ch.Mine.Promise.Ack.Before(f.ch.HeldMark()) {
			balance += lessOf(start.Less, cur) // my own half of a renewal is still to come
		}
		if change := balance - f.booked[cur]; change != 0 {
			n.book(Row{Kind: RowOpening, Friend: f.id, Counterparty: f.id, Name: f.name, Currency: cur, Change: change, Text: "balance after a restore"}, f)
		}
	}
}

// Heads are what a restore needs beyond the phrase: whom to ask and what they must show at least, of every friend but
// those who are removed with nothing between us. They are sealed with a key that only this identity has.
func (n *Node) Heads() ([]byte, *Error) {
	list := n.heads(n.order)
	if len(list) > wire.MaxHeads {
		return nil, refusal(wire.BadRequest, "%d friends, a backup holds at most %d: remove those with whom nothing is owed (kula friend remove NAME), then make it again",
			len(list), wire.MaxHeads)
	}
	return n.sealHeads(list), nil
}

// headsFor are the heads that a friend keeps: as many as it takes. It gets those who come after it in the order of
// keys, so that where not all fit different friends keep different ones.
func (n *Node) headsFor(f *friend) []byte {
	i := slices.Index(n.order, f)
	list := n.heads(slices.Concat(n.order[i+1:], n.order[:i+1]))
	size := headsAround
	for k := range list {
		if size += len(wire.Marshal(&list[k])); size > wire.MaxKept || k == wire.MaxHeads {
			return n.sealHeads(list[:k])
		}
	}
	return n.sealHeads(list)
}

// headsAround is what sealed heads have beside their list: salt, seal, and the heads of two CBOR arrays and the time.
const headsAround = 16 + 16 + 3 + 3 + 9

func (n *Node) heads(friends []*friend) []wire.Head {
	var list []wire.Head
	for _, f := range friends {
		if f.tentative || f.pending || f.removed && f.lost == whole && f.idle() {
			continue
		}
		list = append(list, wire.Head{
			Friend: f.id, Name: f.name, Addresses: f.addresses[:min(len(f.addresses), 3)],
			Mine: f.ch.MyMark(), Theirs: f.ch.HeldMark(), Terms: f.ch.Granted().Number,
		})
	}
	return list
}

func (n *Node) sealHeads(list []wire.Head) []byte {
	plain := wire.Marshal(&wire.Heads{Time: n.now, List: list})
	var salt ident.Salt
	digest := ident.HashOf(plain)
	copy(salt[:], digest[:])
	return append(salt[:], ident.Seal(headsKey(n.suite, salt), "heads", plain)...)
}

func headsKey(suite ident.Suite, salt ident.Salt) ident.SharedKey {
	secret := suite.Secret("heads")
	return ident.SharedKey(ident.HashOf([]byte("kula/heads/1"), secret[:], salt[:]))
}

// OpenHeads reads sealed heads of the identity of suite.
func OpenHeads(suite ident.Suite, sealed []byte) (*wire.Heads, error) {
	if len(sealed) < 16 {
		return nil, fmt.Errorf("sealed heads of %d bytes are cut off", len(sealed))
	}
	salt := ident.Salt(sealed[:16])
	plain, ok := ident.Open(headsKey(suite, salt), "heads", sealed[16:])
	if !ok {
		return nil, fmt.Errorf("these heads are not sealed by %s", suite.ID())
	}
	h := new(wire.Heads)
	return h, wire.Unmarshal(plain, h)
}

// readKept learns from heads that I once gave away whom else to ask.
func (n *Node) readKept(sealed []byte) {
	h, err := OpenHeads(n.suite, sealed)
	if err != nil {
		return // nothing was kept, or somebody made it up
	}
	for _, head := range h.List {
		if f := n.friends[head.Friend]; f != nil && f.unnamed {
			f.name, f.unnamed = n.uniqueName(head.Name, f), false // what I called it before
			n.markFriend(f)
		}
		if head.Friend == n.me || n.friends[head.Friend] != nil || n.blocked[head.Friend] {
			continue
		}
		f := n.newFriend(head.Friend)
		f.name, f.addresses, f.lost = n.uniqueName(head.Name, f), head.Addresses, asking
		n.addFriend(f)
		n.markFriend(f)
		n.markChannel(f)
	}
}

// keepHeads gives the friend my heads to keep, at most once in a while.
func (n *Node) keepHeads(f *friend) {
	if n.self.Waiting || f.keepSent != 0 && n.now-f.keepSent < keepEvery {
		return
	}
	f.keepSent = n.now
	n.send(f, &wire.Keep{Number: uint64(n.now), Blob: n.headsFor(f)})
}

// keepEvery is how often a friend gets my heads, in milliseconds: they only guard against a friend
// who shows an old copy, and the friends and their addresses change slowly.
const keepEvery = 10 * 60_000

// keptEvery bounds how often a friend may make this node write what it keeps for it, in milliseconds.
const keptEvery = 10_000

func (n *Node) keep(f *friend, k *wire.Keep) {
	if k.Number <= f.keptAt || f.keptTime != 0 && n.now-f.keptTime < keptEvery {
		return
	}
	f.keptAt, f.kept, f.keptTime = k.Number, k.Blob, n.now
	n.markFriend(f)
}

func lessOf(list []wire.Less, cur money.Currency) money.Amount {
	for _, l := range list {
		if l.Currency == cur {
			return l.Amount
		}
	}
	return 0
}
