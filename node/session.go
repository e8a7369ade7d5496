package node

import (
	"errors"
	"slices"

	"kula/credit"
	"kula/ident"
	"kula/wire"
)

// connected begins a session: both sides say hello at once.
func (n *Node) connected(e Connected) {
	if n.blocked[e.Peer] {
		n.fx.Hangup = append(n.fx.Hangup, Session(e))
		return
	}
	f := n.friends[e.Peer]
	if f == nil {
		n.guests[e.Peer] = e.Session // a stranger speaks first
		if r := n.requestOf(e.Peer, true); r != nil && r.again == 0 {
			n.fx.Send = append(n.fx.Send, Out{Session(e), &wire.Befriend{Invitation: r.Signed}})
		}
		return
	}
	if f.session != nil && f.session.number > e.Session {
		return
	}
	n.openSession(f, e.Session)
}

func (n *Node) openSession(f *friend, number uint64) {
	f.session = &session{number: number, batch: n.batches, hello: f.ch.Granted().Number}
	if f.lost == adopted { // what an earlier session showed may be old by now, above all after a start: this may be a copy
		f.lost = asking
		n.markFriend(f)
	}
	h := &wire.Hello{
		Version: wire.Version, Mine: f.ch.MyMark(), Held: f.ch.HeldMark(), HeldTerms: f.ch.TheirTerms.Number,
		Restored: f.lost == asking, Name: n.cfg.Name, Addresses: n.cfg.Addresses, Token: f.token,
	}
	if k := len(f.ch.MyTerms); k > 0 {
		h.Terms = f.ch.MyTerms[k-1].Signed
	}
	n.send(f, h)
}

func (n *Node) disconnected(e Disconnected) {
	if n.guests[e.Peer] == e.Session {
		delete(n.guests, e.Peer)
	}
	f := n.friends[e.Peer]
	if f == nil || f.session == nil || f.session.number != e.Session {
		return
	}
	f.session = nil
	if f.tentative {
		n.dropFriend(f)
		return
	}
	n.touch(f)
	n.tellFriend(f)
}

func (n *Node) received(e Received) {
	f := n.friends[e.Peer]
	if f == nil || f.session == nil {
		if n.guests[e.Peer] == e.Session && e.Session != 0 {
			n.guest(e)
		}
		return
	}
	if f.session.number != e.Session || f.session.dead {
		return
	}
	if h, ok := e.Message.(*wire.Hello); ok {
		if !f.session.heard {
			n.hello(f, h)
		}
		return
	}
	if !f.session.heard {
		if b, ok := e.Message.(*wire.Befriend); ok { // it does not know any more that I am its friend
			if !f.pending { // else it has asked me too, and my hello brings it the token of that
				n.requested(e, b)
			}
			return
		}
		if r, ok := e.Message.(*wire.Refused); ok && f.pending {
			n.turnedDown(f, r)
			return
		}
		n.hangup(f)
		return
	}
	n.message(f, e.Message)
}

func (n *Node) message(f *friend, m wire.Message) {
	switch m := m.(type) {
	case *wire.Update:
		n.judge(f, m)
	case *wire.NewTerms:
		n.newTerms(f, m.Terms)
	case *wire.Reveal:
		n.reveal(f, m)
	case *wire.Acknowledge:
		n.acknowledge(f, m)
	case *wire.Onward:
		n.onward(f, m)
	case *wire.Ask:
		n.show(f)
	case *wire.Snapshot:
		n.snapshot(f, m)
	case *wire.Refused:
		n.refused(f, m)
	case *wire.Keep:
		n.keep(f, m)
	case *wire.Agree:
		n.proposed(f, &m.Snapshot)
	case *wire.Moved:
		if f.learnAddresses(m.Addresses) {
			n.markFriend(f)
			n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
		}
	}
}

// guest handles the first word of a stranger: it brings an invitation's token, or claims to hold my promise.
func (n *Node) guest(e Received) {
	if b, ok := e.Message.(*wire.Befriend); ok {
		n.requested(e, b)
		return
	}
	h, ok := e.Message.(*wire.Hello)
	if r := n.requestOf(e.Peer, true); r != nil && !ok {
		n.replied(e, r)
		return
	}
	delete(n.guests, e.Peer)
	if !ok {
		n.fx.Hangup = append(n.fx.Hangup, Session{e.Peer, e.Session})
		return
	}
	if f := n.friends[e.Peer]; f != nil { // has become a friend since it connected
		n.openSession(f, e.Session)
		n.hello(f, h)
		return
	}
	f, err := n.admit(e.Peer, h)
	if err != nil {
		to := Session{e.Peer, e.Session}
		n.fx.Send = append(n.fx.Send, Out{to, &wire.Refused{Code: uint64(err.Code), Text: clip(err.Text, wire.MaxText)}})
		n.fx.Hangup = append(n.fx.Hangup, to)
		return
	}
	n.openSession(f, e.Session)
	n.hello(f, h)
}

func (n *Node) admit(id ident.ID, h *wire.Hello) (*friend, *Error) {
	if len(h.Token) > 0 {
		return n.redeemInvitation(id, h)
	}
	if h.Held.Seq > 0 { // spec C-45: an unknown key that shows my own signed promise is a friend again
		if until := n.unprovenUntil(id); n.now < until {
			return nil, refusal(wire.CatchingUp, "you said that you hold a promise of this node and showed none; come again in %d seconds", (until-n.now+999)/1000)
		}
		if n.tentatives() >= maxTentative {
			return nil, refusal(wire.CatchingUp, "busy with others who claim to know this node; come again")
		}
		f := n.newFriend(id)
		f.tentative, f.lost, f.showBy = true, asking, n.now+showWithin
		n.wakeAt(f.showBy)
		n.addFriend(f)
		return f, nil
	}
	return nil, refusal(wire.UnknownFriend, "no friend of this node and no invitation")
}

// maxTentative bounds the unknown keys that may show a snapshot at one time: each may bring a large message.
const maxTentative = 8

func (n *Node) tentatives() (count int) {
	for _, f := range n.order {
		if f.tentative {
			count++
		}
	}
	return count
}

const (
	// showWithin is how long such a key may take to show my promise, in milliseconds. A snapshot of a few kilobytes
	// takes a round trip; the largest takes 10 s at 1 Mbit/s. Until then nothing bounds what it sends, and it has one of few places.
	showWithin = 10_000
	// showAgain is for how long it is not asked again then, in milliseconds: no longer than a friend's node waits
	// before it dials again.
	showAgain = 60_000
	// maxUnproven bounds the keys remembered for that, 40 bytes each: what maxTentative places give in showAgain, and a third more.
	maxUnproven = 64
)

// unproven is a key that claimed to hold a promise of mine and showed none.
type unproven struct {
	id    ident.ID
	until int64 // unix milliseconds
}

func (n *Node) unprovenUntil(id ident.ID) (until int64) {
	for _, u := range n.unproven {
		if u.id == id {
			until = max(until, u.until)
		}
	}
	return until
}

// disbelieve makes a tentative friend a stranger again.
func (n *Node) disbelieve(f *friend) {
	n.unproven = append(n.unproven, unproven{f.id, n.now + showAgain})
	n.unproven = n.unproven[max(0, len(n.unproven)-maxUnproven):]
	n.hangup(f)
	n.dropFriend(f)
	n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
}

// disbelieveLate does so with those whose time to show something is over.
func (n *Node) disbelieveLate() {
	for _, f := range slices.Clone(n.order) {
		if f.tentative && n.now >= f.showBy {
			n.disbelieve(f)
		}
	}
}

// hello compares what both sides hold (spec C-30 to C-35).
func (n *Node) hello(f *friend, h *wire.Hello) {
	s := f.session
	if h.Version != wire.Version {
		f.problem = "it speaks version " + itoa(int(h.Version)) + " of the protocol, this node speaks " + itoa(wire.Version)
		n.send(f, &wire.Refused{Code: uint64(wire.WrongVersion), Text: "this node speaks version " + itoa(wire.Version)})
		n.hangup(f)
		return
	}
	s.heard, s.name, s.batch, f.missing = true, h.Name, n.batches, false
	s.floor = credit.Floor{After: h.Mine, Terms: s.hello}
	n.learn(f, h)
	if v := n.invitations[token16(h.Token)]; v != nil && len(v.UsedBy) == 0 && n.now/1000 < v.Expires && n.meantFor(v.Token, f.id) {
		n.grant(f, v) // friends already, or once: the invitation renews it
	}
	if !f.tentative && !f.removed {
		n.settleRequests(f.id)
	}
	if !h.Terms.None() {
		n.newTerms(f, h.Terms)
	}
	if newest := f.ch.Granted().Number; newest > s.hello { // set between the two hellos
		n.send(f, &wire.NewTerms{Terms: f.ch.MyTerms[len(f.ch.MyTerms)-1].Signed})
	}
	s.behind, s.blank = !f.ch.MyMark().Before(h.Held) && !f.ch.HeldMark().Before(h.Mine), h.Restored
	switch {
	case f.lost != whole:
		n.askOrResume(f, h)
	case f.ch.MyMark().Before(h.Held) || f.ch.Granted().Number < h.HeldTerms:
		n.oldCopy(f)
	case h.Restored || h.Mine.Before(f.ch.HeldMark()):
		s.old = true // it will ask
	default:
		s.sent = h.Held
		switch {
		case f.ch.Outdated(h.Held):
			s.restate = true
		case f.ch.MyMark().Seq > 0 && s.sent != f.ch.MyMark():
			for _, u := range f.ch.Tell(s.sent) {
				n.send(f, u)
			}
			s.sent = f.ch.MyMark()
		}
		if !s.restate {
			n.repeat(f)
		}
		n.propose(f)
		n.unclaimed(f)
	}
	n.tryCatching()
	n.touch(f)
	n.tellFriend(f)
}

func (n *Node) learn(f *friend, h *wire.Hello) {
	changed := false
	if f.pending {
		f.pending, f.token, f.problem, f.turned, changed = false, nil, "", wire.CodeNone, true
	}
	if f.name == "" && !f.tentative {
		f.name, changed = n.uniqueName(h.Name, f), true
	}
	changed = f.learnAddresses(h.Addresses) || changed
	if changed && !f.tentative {
		n.markFriend(f)
		n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
	}
}

// learnAddresses remembers where a friend says that it can be reached (spec N-7): what is new comes first, and
// beyond wire.MaxAddresses the oldest go.
func (f *friend) learnAddresses(list []string) (changed bool) {
	for _, a := range slices.Backward(list) {
		changed = f.learnAddress(a) || changed
	}
	return changed
}

// learnAddress puts an address first, unless it is known.
func (f *friend) learnAddress(a string) bool {
	if slices.Contains(f.addresses, a) {
		return false
	}
	f.addresses = append([]string{a}, f.addresses...)
	f.addresses = f.addresses[:min(len(f.addresses), wire.MaxAddresses)]
	return true
}

// repeat says again what waits for an answer: reveals and acknowledgements to the friend as debtor, orders to it as creditor.
func (n *Node) repeat(f *friend) {
	for _, l := range f.ch.Theirs.Locks {
		in := f.in[l.Number]
		if in == nil {
			continue
		}
		if len(in.preimages) > 0 {
			m := &wire.Reveal{Number: l.Number, Preimages: in.preimages, Note: in.note}
			n.send(f, m)
			if c := in.mine; c != nil && c.form == wire.FormPush && len(in.note) == 0 { // opened in this Step: the receipt is not signed yet
				n.sealReceived(c, place{f, l.Number}, l.Part, m)
			}
		} else if in.mine != nil {
			n.sendArrived(f, in.mine, &l.Lock)
		} else if in.arrived != nil {
			n.send(f, &wire.Acknowledge{Number: l.Number, Note: in.arrived})
		}
	}
	for _, l := range f.ch.Mine.Locks {
		if l.Opened == credit.Queued || l.End != credit.Open {
			continue
		}
		for _, note := range n.ordersOf(f, l.Number) {
			n.send(f, &wire.Onward{Number: l.Number, Note: note})
		}
	}
	n.keepHeads(f)
}

func (n *Node) newTerms(f *friend, s wire.Signed) {
	news, err := f.ch.AcceptTerms(n.suite, s)
	if err != nil {
		n.refuse(f, 0, 0, err)
		n.hangup(f)
		return
	}
	if news && !f.tentative {
		n.markChannel(f)
		n.touch(f)
		n.tellFriend(f)
	}
}

// judge accepts a promise, or answers why not.
func (n *Node) judge(f *friend, u *wire.Update) {
	if f.inDoubt() || f.tentative {
		return
	}
	step, err := f.ch.Judge(n.suite, u, f.session.floor)
	var fault *credit.Fault
	var no *credit.Refusal
	switch {
	case errors.As(err, &fault):
		n.freeze(f, fault)
	case errors.As(err, &no):
		n.notAccepted(f, u, no)
	case err == nil && !step.Same:
		n.accept(f, step)
	}
}

func (n *Node) notAccepted(f *friend, u *wire.Update, no *credit.Refusal) {
	var p wire.Promise
	_ = wire.Unmarshal(u.Promise.Body, &p) // zero numbers where even the form is wrong
	switch {
	case no.Code == wire.BadSequence:
		return // older than what I hold: nothing to do
	case no.Code == wire.LimitReached:
		f.session.unaccepted = u
		if f.problem == no.Error() {
			return
		}
		f.problem = no.Error()
		n.refuse(f, p.Epoch, p.Seq, no)
		n.tellFriend(f)
		return
	case no.Code == wire.BadBase && p.Start != nil && f.session.shown < maxShown:
		n.refuse(f, p.Epoch, p.Seq, no)
		f.session.old = true // it starts from a copy older than what I hold
		return
	}
	n.refuse(f, p.Epoch, p.Seq, no)
	n.hangup(f)
}

func (n *Node) refuse(f *friend, epoch, seq uint64, err error) {
	code := wire.BadRequest
	var no *credit.Refusal
	if errors.As(err, &no) {
		code = no.Code
	}
	n.send(f, &wire.Refused{Epoch: epoch, Seq: seq, Code: uint64(code), Text: clip(err.Error(), wire.MaxText)})
}

// refused is my friend's no to a promise of mine.
func (n *Node) refused(f *friend, r *wire.Refused) {
	code := wire.CodeOf(r.Code)
	switch code {
	case wire.ChannelFrozen:
		if !f.frozen {
			f.frozen = true
			n.markFriend(f)
		}
	case wire.BadBase:
		if f.ch.AwaitsEpoch() && f.lost == whole && f.ch.Fault == nil {
			f.session.asked = false // it holds more than what my epoch started from
			n.ask(f)
		}
	}
	f.problem = "it refused: " + code.String() + ": " + r.Text
	n.tellFriend(f)
}

// freeze keeps the first evidence and stops new debt; what is locked ends properly.
func (n *Node) freeze(f *friend, fault *credit.Fault) {
	if f.ch.Fault == nil { // more evidence adds nothing until both agree on figures, and would fill the disk
		f.ch.Fault = fault
		n.markChannel(f)
		evidence := fault.Encode()
		h := ident.HashOf(evidence)
		n.fx.Save = append(n.fx.Save, Record{Kind: KindFault, Key: f.key + "/" + h.String()[:16], Value: evidence})
	}
	n.send(f, &wire.Refused{Code: uint64(wire.ChannelFrozen), Text: clip(fault.Error(), wire.MaxText)})
	n.touch(f)
	n.tellFriend(f)
}

// accept applies a step and does what it triggers, in one transaction.
func (n *Node) accept(f *friend, step *credit.Step) {
	f.session.base = f.ch.HeldMark()
	awaited := f.ch.AwaitsEpoch()
	thaws := step.Epoch && awaited
	cancelled := make([]*credit.OwnLock, len(step.Cancelled))
	for i, x := range step.Cancelled {
		cancelled[i] = f.ch.OwnLock(x.Number)
	}
	for _, number := range f.ch.Accept(step) {
		n.dropOut(f, number)
	}
	n.markChannel(f)
	n.touch(f)
	n.tellFriend(f)
	f.problem = ""
	if step.Epoch {
		f.session.old = false
		if thaws && f.ch.Acked() == f.ch.MyMark() {
			f.ch.Fault, f.frozen = nil, false
			n.markFriend(f)
		}
		n.repeat(f)
		n.tellFriend(f)
		n.tryCatching()
	}
	for _, l := range step.Fulfilled {
		n.bookReceived(f, l)
		n.ended(f, l, true)
	}
	for _, l := range step.Dropped {
		n.ended(f, l, false)
	}
	for _, a := range step.Adds {
		n.bookAdd(f, &a, a.Amount)
	}
	for i, x := range step.Cancelled {
		if cancelled[i] != nil {
			n.cancelled(f, cancelled[i], x.Reason)
		}
	}
	for _, l := range step.Locks {
		if f.ch.TheirLock(l.Number) == l { // else it has ended in the same update
			n.arrive(f, l)
		}
	}
	if awaited && !f.ch.AwaitsEpoch() {
		n.relink() // what waited for this channel to be whole again
	}
}

func token16(b []byte) (t [16]byte) {
	copy(t[:], b)
	return t
}

func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut]
}
