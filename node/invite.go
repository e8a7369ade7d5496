package node

import (
	"slices"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// invitation is a link that I gave away and nobody has used yet.
type invitation struct {
	_       struct{} `cbor:",toarray"`
	Token   [16]byte
	Name    string
	Expires int64 // unix seconds
	Lines   []wire.Proposal
	UsedBy  []byte // the key that used it: it may come again if it did not hear my answer
}

// maxInvitations bounds the open invitations; each is a few hundred bytes.
const maxInvitations = 1000

func (n *Node) invite(c *Invite) (any, *Error) {
	signed, _, err := n.newInvitation(c)
	if err != nil {
		return nil, err
	}
	return &InvitationView{URI: pay.InvitationLink(signed), Expires: c.Expires}, nil
}

// newInvitation makes an invitation and keeps it.
func (n *Node) newInvitation(c *Invite) (none wire.Signed, _ *wire.Invitation, _ *Error) {
	if len(n.invitations) >= maxInvitations {
		return none, nil, refusal(wire.BadRequest, "%d invitations are open, at most %d", len(n.invitations), maxInvitations)
	}
	if c.Expires <= n.now/1000 {
		return none, nil, refusal(wire.InvitationExpired, "the invitation would have expired already")
	}
	if err := n.mayCall(c.Name, nil); err != nil {
		return none, nil, err
	}
	if c.Name != "" && n.uniqueName(c.Name, nil) != c.Name {
		return none, nil, refusal(wire.NameTaken, "you call another friend %q already", c.Name)
	}
	lines := slices.Clone(c.Lines)
	slices.SortFunc(lines, func(a, b wire.Proposal) int {
		if a.Currency < b.Currency {
			return -1
		}
		return 1
	})
	i := wire.Invitation{From: n.me, Name: n.cfg.Name, Token: n.draw16(), Expires: c.Expires, Addresses: n.cfg.Addresses, Lines: lines}
	if err := wire.Check(&i); err != nil {
		return none, nil, refusal(wire.BadRequest, "the invitation: %v", err)
	}
	signed := wire.Sign(n.suite, wire.TagInvitation, &i)
	n.invitations[i.Token] = &invitation{Token: i.Token, Name: c.Name, Expires: c.Expires, Lines: lines}
	n.markInvitation(i.Token)
	return signed, &i, nil
}

// acceptInvitation makes the inviter a friend; it is pending until the inviter was heard.
func (n *Node) acceptInvitation(c *Accept) (any, *Error) {
	i, err := pay.ParseInvitationLink(n.suite, c.Link)
	if err != nil {
		return nil, refusal(wire.BadSignature, "%v", err)
	}
	switch f := n.friends[i.From]; {
	case i.From == n.me:
		return nil, refusal(wire.SelfPayment, "this invitation is your own; send it to somebody else")
	case n.blocked[i.From]:
		return nil, refusal(wire.Blocked, "you have blocked %s. Unblock them first", i.From.Short()+"…")
	case n.now/1000 >= i.Expires:
		return nil, refusal(wire.InvitationExpired, "the invitation has expired; ask %s for a new one", i.Name)
	case f != nil && f.state() == Opened && !f.tentative:
		if n.movedTo(f, i.Addresses) {
			return n.friendView(f), nil
		}
		return nil, refusal(wire.AlreadyFriend, "%s is your friend already. Change what you let them owe with: kula friend limit", f.name)
	}
	for _, v := range c.Give {
		if v.Amount < 0 || v.Amount > money.MaxLimit || !v.Currency.Valid() {
			return nil, refusal(wire.WrongAmount, "a limit of %s; it must be 0 to %s", v, money.Value{Amount: money.MaxLimit, Currency: v.Currency})
		}
	}
	f := n.friends[i.From]
	known := f != nil
	if !known {
		f = n.newFriend(i.From)
	}
	if err := n.mayCall(c.Name, f); err != nil {
		return nil, err
	}
	if !known {
		n.addFriend(f)
	}
	f.tentative, f.removed, f.closing, f.pending = false, false, false, true
	f.token, f.wanted, f.problem = i.Token[:], i.Lines, ""
	f.turned = wire.CodeNone
	wish := c.Name
	if wish == "" {
		wish = i.Name
	}
	f.name = n.uniqueName(wish, f)
	f.learnAddresses(i.Addresses)
	lines := f.ch.Granted().Lines
	for _, p := range i.Lines { // what the inviter asks for is what I give, unless I say otherwise
		var l *wire.TermsLine
		lines, l = lineOf(lines, p.Currency)
		l.Limit = p.Ask
	}
	for _, v := range c.Give {
		var l *wire.TermsLine
		lines, l = lineOf(lines, v.Currency)
		l.Limit = v.Amount
	}
	if len(lines) > wire.MaxLines {
		return nil, refusal(wire.BadRequest, "%d currencies with one friend, at most %d", len(lines), wire.MaxLines)
	}
	n.signTerms(f, lines, false)
	n.room(f)
	n.markFriend(f)
	n.markChannel(f)
	if r := n.requestOf(i.From, false); r != nil {
		n.dropRequest(r, false)
	}
	n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
	n.hangup(f) // the next session's hello brings the token
	n.tellFriend(f)
	return n.friendView(f), nil
}

// movedTo learns from an invitation where a friend is reached now, and says whether that is news: it may have been restored
// elsewhere and not know where its friends are.
func (n *Node) movedTo(f *friend, addresses []string) (news bool) {
	if news = f.learnAddresses(addresses); news {
		n.markFriend(f)
		n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
		n.tellFriend(f)
	}
	return news
}

// redeemInvitation admits the first key that brings an invitation's token.
func (n *Node) redeemInvitation(id ident.ID, h *wire.Hello) (*friend, *Error) {
	if len(h.Token) != 16 {
		return nil, refusal(wire.NotFound, "no such invitation")
	}
	v := n.invitations[[16]byte(h.Token)]
	switch {
	case v == nil, !n.meantFor(v.Token, id):
		return nil, refusal(wire.NotFound, "no such invitation: it was used, or has expired")
	case len(v.UsedBy) > 0:
		return nil, refusal(wire.InvitationUsed, "this invitation was used already; ask for a new one")
	case n.now/1000 >= v.Expires:
		return nil, refusal(wire.InvitationExpired, "this invitation has expired; ask for a new one")
	}
	f := n.newFriend(id)
	wish := v.Name
	if wish == "" {
		wish = h.Name
	}
	n.addFriend(f)
	f.name = n.uniqueName(wish, f)
	n.grant(f, v)
	return f, nil
}

// grant gives what an invitation promised, and spends it.
func (n *Node) grant(f *friend, v *invitation) {
	lines := f.ch.Granted().Lines
	for _, p := range v.Lines {
		var l *wire.TermsLine
		lines, l = lineOf(lines, p.Currency)
		l.Limit = p.Give
	}
	if f.removed { // its name may be another's by now
		wish := v.Name
		if wish == "" {
			wish = f.name
		}
		f.name = n.uniqueName(wish, f)
	}
	f.removed, f.closing, f.pending = false, false, false
	n.signTerms(f, lines, false)
	n.room(f)
	v.UsedBy = f.id[:]
	if r := n.requests[v.Token]; r != nil {
		n.dropRequest(r, false)
	}
	n.markInvitation(v.Token)
	n.markFriend(f)
	n.markChannel(f)
	n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
}

// turnedDown: the inviter refused the invitation that I accepted.
func (n *Node) turnedDown(f *friend, r *wire.Refused) {
	f.problem, f.turned = r.Text, wire.CodeOf(r.Code)
	n.markFriend(f)
	n.hangup(f)
	n.fx.Tell = append(n.fx.Tell, Notice{Friends: true}) // dialling again would change nothing
	n.tellFriend(f)
}

// proposed: the friend proposes to thaw the channel on its view. It waits for my user, unless I see the same.
func (n *Node) proposed(f *friend, s *wire.Snapshot) {
	if _, err := credit.Adopt(n.suite, n.me, f.id, s); err != nil {
		n.refuse(f, 0, 0, err)
		return
	}
	f.proposal = s
	n.tellFriend(f)
}

// acceptProposal goes on from the friend's view.
func (n *Node) acceptProposal(f *friend) *Error {
	ch, err := credit.Adopt(n.suite, n.me, f.id, f.proposal)
	if err != nil {
		return refusal(wire.BadRequest, "the proposal of %s is of no use: %v", f.name, err)
	}
	f.proposal, f.frozen = nil, false
	n.adopt(f, ch)
	if f.session != nil {
		f.session.sent = ch.MyMark()
	}
	n.resume(f)
	n.relink()
	return nil
}
