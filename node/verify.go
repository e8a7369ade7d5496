package node

import (
	"kula/ident"
	"kula/pay"
	"kula/wire"
)

// verified is a Suite that knows the answer for what was verified together when events were taken, and for a batch of
// words of which one was verified: many signatures together cost little more than half of what they cost one by one.
type verified struct {
	ident.Suite
	good map[check]bool
}

// check is an ident.Check that can be looked up.
type check struct {
	id  ident.ID
	tag ident.Tag
	msg string
	sig ident.Signature
}

// Verify implements ident.Suite.
func (v *verified) Verify(id ident.ID, tag ident.Tag, msg []byte, sig ident.Signature) bool {
	key := check{id, tag, string(msg), sig}
	if v.good[key] {
		return true
	}
	good := v.Suite.Verify(id, tag, msg, sig)
	if good && tag == wire.TagBatch {
		v.good[key] = true // for the other words of the batch
	}
	return good
}

// verifyAll verifies together what this Step's events are about to have verified. Where one of them is
// false nothing is known, and each is verified in its turn.
func (n *Node) verifyAll(events []Event) {
	if len(events) < ident.MinBatch {
		return
	}
	var checks []ident.Check
	seen := map[check]bool{} // a payee signs many words at once
	for _, e := range events {
		c, ok := n.signatureIn(e)
		if !ok {
			continue
		}
		if key := (check{c.ID, c.Tag, string(c.Msg), c.Sig}); !seen[key] {
			seen[key] = true
			checks = append(checks, c)
		}
	}
	if len(checks) >= ident.MinBatch && n.suite.VerifyAll(checks) {
		n.suite.good = seen
	}
}

// signatureIn is what an event will have verified, if that can be told before it is handled.
func (n *Node) signatureIn(e Event) (ident.Check, bool) {
	switch e := e.(type) {
	case Do:
		if c, ok := e.Command.(*Pay); ok && c.Invoice != "" {
			s, i, err := c.Asked()
			if err == nil {
				return ident.Check{ID: i.Payee, Tag: wire.TagInvoice, Msg: s.Body, Sig: s.Sig}, true
			}
		}
	case Received:
		switch m := e.Message.(type) {
		case *wire.Update:
			if f := n.friends[e.Peer]; f == nil || !f.ready() || f.session.number != e.Session {
				break // not looked at, or not now: nobody's junk may spoil the batch
			}
			return ident.Check{ID: e.Peer, Tag: wire.TagPromise, Msg: m.Promise.Body, Sig: m.Promise.Sig}, true
		case *wire.Acknowledge:
			if p, t := n.lockedBy(e.Peer, m.Number); t != nil && !t.arrived {
				return n.wordCheck(p, t, pay.Arrived, m.Note)
			}
		case *wire.Reveal:
			if p, t := n.lockedBy(e.Peer, m.Number); t != nil && p.form == wire.FormPush && p.received.None() {
				return n.wordCheck(p, t, pay.Received, m.Note)
			}
		}
	}
	return ident.Check{}, false
}

func (n *Node) wordCheck(p *payment, t *part, k pay.WordKind, note []byte) (ident.Check, bool) {
	w, err := n.openWord(p, k, t.id, note)
	if err != nil {
		return ident.Check{}, false
	}
	return w.Check, true
}

// lockedBy is my payment, and its part, whose lock towards peer has the number, if its seal is at hand.
func (n *Node) lockedBy(peer ident.ID, number uint64) (*payment, *part) {
	f := n.friends[peer]
	if f == nil {
		return nil, nil
	}
	out := f.out[number]
	if out == nil || out.payment == nil || out.payment.sealed == nil {
		return nil, nil
	}
	return out.payment, out.payment.partAt(place{f, number})
}
