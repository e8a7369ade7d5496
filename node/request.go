package node

import (
	"bytes"
	"maps"
	"slices"

	"kula/ident"
	"kula/pay"
	"kula/wire"
)

// request is an invitation that goes to a key without a link: mine to somebody, or somebody's to me (spec N-20). The
// token of its invitation names it.
type request struct {
	savedRequest
	invitation *wire.Invitation
	again      int64 // mine: unix milliseconds from when it is brought again, 0 for at once; not saved
}

type savedRequest struct {
	_       struct{} `cbor:",toarray"`
	Mine    bool
	Key     ident.ID // the other side
	Signed  wire.Signed
	Expires int64  // unix seconds
	Noted   bool   // mine: the other side has it
	Problem string // mine: why the other side does not take it
}

const (
	// maxRequests bounds what strangers may have me keep: 32 requests of at most 4 KiB, as many as somebody may want to read.
	maxRequests = 32
	// maxAsked bounds my own: each makes this node dial.
	maxAsked = 100
	// requestLife is how long a stranger's request is kept at most, in seconds: a week, in which anybody looks.
	requestLife = 7 * 24 * 3600
	// askAgain is how long a request is not brought again after an answer, in milliseconds: by then the other user may have
	// accepted, and its node may not reach this one.
	askAgain = 60_000
)

// addFriend asks a key to be a friend.
func (n *Node) askFriend(c *AddFriend) (any, *Error) {
	f := n.friends[c.Key]
	switch theirs := n.requestOf(c.Key, false); {
	case c.Key == n.me:
		return nil, refusal(wire.SelfPayment, "this key is your own")
	case !c.Key.Valid():
		return nil, refusal(wire.BadRequest, "%s is nobody's key", c.Key)
	case n.blocked[c.Key]:
		return nil, refusal(wire.Blocked, "you have blocked %s. Unblock them first", c.Key.Short()+"…")
	case f != nil && f.removed:
		return nil, refusal(wire.Conflict, "you have removed %s. Invite them again with: kula friend invite", f.name)
	case f != nil && !f.tentative:
		return nil, refusal(wire.AlreadyFriend, "%s is your friend already. Change what you let them owe with: kula friend limit", f.name)
	case theirs != nil:
		return nil, refusal(wire.Conflict, "%s has asked you already. Accept with: kula friend accept %s", theirs.invitation.Name, c.Key)
	}
	if old := n.requestOf(c.Key, true); old != nil {
		n.dropRequest(old, true)
	}
	if count := n.countRequests(true); count >= maxAsked {
		return nil, refusal(wire.BadRequest, "%d others have not answered yet, at most %d. Withdraw one with: kula friend decline KEY", count, maxAsked)
	}
	signed, i, err := n.newInvitation(&Invite{Name: c.Name, Lines: c.Lines, Expires: c.Expires})
	if err != nil {
		return nil, err
	}
	r := &request{savedRequest: savedRequest{Mine: true, Key: c.Key, Signed: signed, Expires: i.Expires}, invitation: i}
	n.keepRequest(r)
	return n.requestView(r), nil
}

// requested: a stranger asks me to be its friend.
func (n *Node) requested(e Received, m *wire.Befriend) {
	to := Session{e.Peer, e.Session}
	delete(n.guests, e.Peer)
	var answer wire.Message = &wire.Noted{}
	if err := n.takeRequest(e.Peer, m); err != nil {
		answer = &wire.Refused{Code: uint64(err.Code), Text: clip(err.Text, wire.MaxText)}
	}
	n.fx.Send = append(n.fx.Send, Out{to, answer})
	n.fx.Hangup = append(n.fx.Hangup, to)
}

func (n *Node) takeRequest(from ident.ID, m *wire.Befriend) *Error {
	i := new(wire.Invitation)
	if err := wire.Unmarshal(m.Invitation.Body, i); err != nil {
		return refusal(wire.BadRequest, "the invitation: %v", err)
	}
	known := n.requests[i.Token]
	switch f := n.friends[from]; {
	case i.From != from || !n.suite.Verify(from, wire.TagInvitation, m.Invitation.Body, m.Invitation.Sig):
		return refusal(wire.BadSignature, "the invitation is not signed by who brings it")
	case n.now/1000 >= i.Expires:
		return refusal(wire.InvitationExpired, "the invitation has expired")
	case f != nil && !f.removed && !f.tentative:
		return refusal(wire.AlreadyFriend, "you are a friend of this node already")
	case known != nil && !known.Mine && known.Key == from:
		return nil
	case known != nil:
		return refusal(wire.BadRequest, "another invitation has this token")
	}
	if old := n.requestOf(from, false); old != nil {
		n.dropRequest(old, false)
	}
	if count := n.countRequests(false); count >= maxRequests {
		return refusal(wire.Conflict, "%d others wait for an answer, at most %d; come again later", count, maxRequests)
	}
	n.keepRequest(&request{
		savedRequest: savedRequest{Key: from, Signed: m.Invitation, Expires: min(i.Expires, n.now/1000+requestLife)}, invitation: i,
	})
	return nil
}

// replied: somebody whom I asked answers.
func (n *Node) replied(e Received, r *request) {
	delete(n.guests, e.Peer)
	switch m := e.Message.(type) {
	case *wire.Noted:
		r.Noted, r.Problem = true, ""
	case *wire.Refused:
		r.Problem = m.Text
	}
	r.again = n.now + askAgain
	n.wakeAt(r.again)
	n.dirty[recordKey{kind: kindRequest, id: r.invitation.Token}] = true
	n.fx.Hangup = append(n.fx.Hangup, Session{e.Peer, e.Session})
	n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
}

// decline forgets a request of either side.
func (n *Node) decline(c *Decline) *Error {
	done := false
	for _, mine := range []bool{false, true} {
		if r := n.requestOf(c.Key, mine); r != nil {
			n.dropRequest(r, mine)
			done = true
		}
	}
	if !done {
		return refusal(wire.NotFound, "%s has not asked you, nor have you asked them", c.Key.Short()+"…")
	}
	return nil
}

func (n *Node) keepRequest(r *request) {
	n.requests[r.invitation.Token] = r
	n.dirty[recordKey{kind: kindRequest, id: r.invitation.Token}] = true
	n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
}

// dropRequest forgets a request, and with it the invitation if that is mine and is not to be used any more.
func (n *Node) dropRequest(r *request, revoke bool) {
	token := r.invitation.Token
	delete(n.requests, token)
	n.dirty[recordKey{kind: kindRequest, id: token}] = true
	if v := n.invitations[token]; revoke && v != nil && len(v.UsedBy) == 0 {
		delete(n.invitations, token)
		n.markInvitation(token)
	}
	n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
}

// settleRequests forgets what was asked by and of somebody who is a friend now.
func (n *Node) settleRequests(id ident.ID) {
	for _, mine := range []bool{false, true} {
		if r := n.requestOf(id, mine); r != nil {
			n.dropRequest(r, mine)
		}
	}
}

// endRequests forgets those that have expired and brings those again whose time has come.
func (n *Node) endRequests() {
	for _, r := range n.allRequests() {
		switch {
		case n.now/1000 >= r.Expires:
			n.dropRequest(r, r.Mine)
		case r.again != 0 && n.now >= r.again:
			r.again = 0
			n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
		}
	}
}

// requestOf is the request of or to a key, nil if there is none.
func (n *Node) requestOf(key ident.ID, mine bool) *request {
	for _, r := range n.requests {
		if r.Key == key && r.Mine == mine { // there is one at most
			return r
		}
	}
	return nil
}

func (n *Node) countRequests(mine bool) (count int) {
	for _, r := range n.requests {
		if r.Mine == mine {
			count++
		}
	}
	return count
}

// allRequests in the order of their tokens.
func (n *Node) allRequests() []*request {
	return slices.SortedFunc(maps.Values(n.requests), func(a, b *request) int {
		return bytes.Compare(a.invitation.Token[:], b.invitation.Token[:])
	})
}

// meantFor says whether the invitation of a token may be used by id: one that I sent to a key only by that.
func (n *Node) meantFor(token [16]byte, id ident.ID) bool {
	r := n.requests[token]
	return r == nil || !r.Mine || r.Key == id
}

func loadRequest(b []byte) (*request, error) {
	r := &request{invitation: new(wire.Invitation)}
	if err := wire.Unmarshal(b, &r.savedRequest); err != nil {
		return nil, err
	}
	return r, wire.Unmarshal(r.Signed.Body, r.invitation)
}

func (n *Node) requestView(r *request) *RequestView {
	v := &RequestView{Key: r.Key, Mine: r.Mine, Name: r.invitation.Name, Expires: r.Expires, Noted: r.Noted, Problem: r.Problem}
	if r.Mine {
		v.Name = ""
		if i := n.invitations[r.invitation.Token]; i != nil {
			v.Name = i.Name
		}
	} else {
		v.URI = pay.InvitationLink(r.Signed)
	}
	for _, l := range r.invitation.Lines {
		v.Lines = append(v.Lines, proposalView(l))
	}
	return v
}

// Requests lists those who asked me and those whom I asked, in a fixed order.
func (n *Node) Requests() []RequestView {
	list := []RequestView{}
	for _, r := range n.allRequests() {
		list = append(list, *n.requestView(r))
	}
	return list
}
