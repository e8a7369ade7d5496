package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"kula/ident"
	"kula/internal/run"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// invitationLife is how long an invitation can be accepted unless it says otherwise.
const invitationLife = 24 * time.Hour

// requestLife is how long somebody may take to answer unless it is said otherwise: as long as its node keeps a
// stranger's request.
const requestLife = 7 * 24 * time.Hour

// FriendRef names a friend in a path.
type FriendRef struct {
	Ref string `path:"ref" doc:"A friend's name, its key in any spelling, or 8 or more characters its key begins with."`
}

// The bodies of requests about friends.
type (
	invitationOrder struct {
		_       struct{}         `json:"-" additionalProperties:"false"`
		Name    string           `json:"name,omitempty" doc:"What I will call the friend."`
		Lines   []invitationLine `json:"lines" minItems:"1" maxItems:"32"`
		Expires int64            `json:"expires,omitempty" doc:"Unix seconds; absent: in 24 hours."`
	}
	invitationLine struct {
		_        struct{}       `json:"-" additionalProperties:"false"`
		Currency money.Currency `json:"currency" example:"EUR/2"`
		Give     money.Value    `json:"give" doc:"The most the friend may owe me."`
		Ask      money.Value    `json:"ask" doc:"The most I ask to owe the friend."`
	}
	acceptance struct {
		_    struct{}      `json:"-" additionalProperties:"false"`
		URI  string        `json:"uri" example:"kula:friend?d=…"`
		Name string        `json:"name,omitempty" doc:"What I will call the friend; absent: its own name."`
		Give []money.Value `json:"give,omitempty" maxItems:"32" doc:"Limits that I give instead of those asked for."`
	}
	requestOrder struct {
		_       struct{}         `json:"-" additionalProperties:"false"`
		Key     ident.ID         `json:"key" doc:"Whom to ask: any spelling."`
		Name    string           `json:"name,omitempty" doc:"What I will call the friend."`
		Lines   []invitationLine `json:"lines" minItems:"1" maxItems:"32"`
		Expires int64            `json:"expires,omitempty" doc:"Unix seconds; absent: in a week."`
	}
	addressOrder struct {
		_       struct{} `json:"-" additionalProperties:"false"`
		Address string   `json:"address" example:"/ip4/192.0.2.1/tcp/4280"`
		Name    string   `json:"name,omitempty" doc:"What to call a key that is no friend yet."`
	}
	limitChange struct {
		_     struct{}    `json:"-" additionalProperties:"false"`
		Limit money.Value `json:"limit" doc:"The most the friend may owe me."`
	}
	feeChange struct {
		_        struct{}       `json:"-" additionalProperties:"false"`
		Currency money.Currency `json:"currency" example:"EUR/2"`
		Base     money.Value    `json:"base" doc:"Per payment that I carry for the friend."`
		Ppm      uint32         `json:"ppm,omitempty" maximum:"1000000" doc:"Parts per million of what I carry."`
	}
	settlement struct {
		_      struct{}    `json:"-" additionalProperties:"false"`
		Amount money.Value `json:"amount" doc:"What the friend repaid me outside Kula."`
		Text   string      `json:"text,omitempty" maxLength:"280"`
	}
	removal struct {
		_        struct{} `json:"-" additionalProperties:"false"`
		WithDebt bool     `json:"withDebt,omitempty" doc:"Also while something is owed or set aside; the proofs are kept."`
	}
	blocking struct {
		_   struct{} `json:"-" additionalProperties:"false"`
		Key ident.ID `json:"key"`
	}
)

// KeyHeader is the header of requests that move value.
type KeyHeader struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"The same key and body are carried out once and answered alike; see the description of the API."`
}

// registerFriends adds what is about friends.
func (s *Server) registerFriends(a huma.API) {
	op := func(id, method, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"friends"}}
	}
	add(a, mayRead, op("listFriends", "GET", "/v1/friends", "All friends"), s.friends)
	add(a, mayRead, op("getFriend", "GET", "/v1/friends/{ref}", "One friend"), s.friend)
	add(a, mayRead, op("getProof", "GET", "/v1/proofs/{ref}", "What a friend's debt can be proved with"), s.proof)
	add(a, mayChange, op("invite", "POST", "/v1/invitations", "Make an invitation"), s.invite)
	add(a, mayChange, op("acceptInvitation", "POST", "/v1/friends", "Accept an invitation"), s.accept)
	add(a, mayRead, op("listRequests", "GET", "/v1/requests", "Who asks to be a friend, and whom I asked"), s.requests)
	add(a, mayChange, op("addFriend", "POST", "/v1/requests", "Ask whoever has a key to be a friend"), s.addFriend)
	decline := op("decline", "DELETE", "/v1/requests/{key}", "Forget what a key asked, and what I asked it")
	decline.DefaultStatus = http.StatusNoContent
	add(a, mayChange, decline, s.decline)
	add(a, mayChange, op("addAddress", "POST", "/v1/friends/{ref}/addresses", "Tell where a friend, or a key that knows this node, can be reached"), s.find)
	add(a, mayChange, op("setLimit", "PUT", "/v1/friends/{ref}/limit", "Change what I let a friend owe"), s.setLimit)
	add(a, mayChange, op("setFee", "PUT", "/v1/friends/{ref}/fee", "Change what I charge a friend for carrying its payments"), s.setFee)
	add(a, mayChange, op("settle", "POST", "/v1/friends/{ref}/settlements", "Record that a friend repaid me outside Kula"), s.settle)
	add(a, mayChange, op("agree", "POST", "/v1/friends/{ref}/agree", "Go on after a fault, on figures that both accept"), s.agree)
	add(a, mayChange, op("closeFriend", "POST", "/v1/friends/{ref}/close", "Take no new debt with a friend"), s.closeFriend)
	add(a, mayChange, op("removeFriend", "POST", "/v1/friends/{ref}/remove", "Hide a friend"), s.remove)
	block := op("block", "POST", "/v1/blocks", "Refuse every session of a key")
	block.DefaultStatus = http.StatusNoContent
	add(a, mayChange, block, s.block)
	unblock := op("unblock", "DELETE", "/v1/blocks/{key}", "End that")
	unblock.DefaultStatus = http.StatusNoContent
	add(a, mayChange, unblock, s.unblock)
}

// Friends is the answer of GET /v1/friends.
type Friends struct {
	Friends []node.FriendView `json:"friends"`
}

func (s *Server) friends(ctx context.Context, _ *none) (*body[Friends], error) {
	var f Friends
	err := s.loop.View(ctx, func(n *node.Node) { f.Friends = list(n.Friends()) })
	for i := range f.Friends {
		whole(&f.Friends[i])
	}
	return answerWith(f), err
}

// whole gives a friend lists where it has none.
func whole(f *node.FriendView) *node.FriendView {
	f.Addresses, f.Currencies = list(f.Addresses), list(f.Currencies)
	return f
}

func (s *Server) friend(ctx context.Context, in *FriendRef) (*body[*node.FriendView], error) {
	f, err := s.findFriend(ctx, in.Ref)
	if err != nil {
		return nil, err
	}
	return answerWith(whole(f)), nil
}

func (s *Server) findFriend(ctx context.Context, ref string) (*node.FriendView, error) {
	var f *node.FriendView
	var no *node.Error
	if err := s.loop.View(ctx, func(n *node.Node) { f, no = n.Friend(ref) }); err != nil {
		return nil, err
	}
	if no != nil {
		return nil, no
	}
	return f, nil
}

// maxFaults bounds the evidence in one answer: each froze the channel until both agreed
// on figures, so that more than a few are a grudge.
const maxFaults = 100

func (s *Server) proof(ctx context.Context, in *FriendRef) (*body[Proofs], error) {
	var p Proofs
	var f *node.FriendView
	var no, none *node.Error
	err := s.loop.View(ctx, func(n *node.Node) {
		if f, no = n.Friend(in.Ref); no == nil {
			p.Proof, none = n.Proof(in.Ref)
		}
	})
	if err != nil {
		return nil, err
	}
	if no != nil {
		return nil, no
	}
	if p.Faults, err = s.faults(f.Key); err != nil {
		return nil, err
	}
	if none != nil && len(p.Faults) == 0 {
		return nil, none
	}
	return answerWith(p), nil
}

// faults are the links of the evidence against a friend.
func (s *Server) faults(friend ident.ID) ([]string, error) {
	prefix := friend.String() + "/"
	records, err := s.store.List(node.KindFault, prefix, maxFaults, false)
	if err != nil {
		return nil, err
	}
	var links []string
	for _, r := range records {
		if strings.HasPrefix(r.Key, prefix) {
			links = append(links, wire.Link(wire.LinkProof, r.Value))
		}
	}
	return links, nil
}

// befriend gives the node a command whose outcome is a friend.
func (s *Server) befriend(ctx context.Context, c node.Command) (*body[*node.FriendView], error) {
	v, err := s.loop.Do(ctx, c)
	if err != nil {
		return nil, err
	}
	f, _ := v.(*node.FriendView)
	if f == nil {
		return nil, problem(http.StatusNotFound, wire.UnknownFriend, "there is no such friend")
	}
	return answerWith(whole(f)), nil
}

func (s *Server) invite(ctx context.Context, in *struct{ Body invitationOrder }) (*body[*node.InvitationView], error) {
	c := &node.Invite{Name: in.Body.Name, Expires: in.Body.Expires}
	if c.Expires == 0 {
		c.Expires = time.Now().Add(invitationLife).Unix()
	}
	var err error
	if c.Lines, err = proposals(in.Body.Lines); err != nil {
		return nil, err
	}
	v, err := s.loop.Do(ctx, c)
	if err != nil {
		return nil, err
	}
	return answerWith(v.(*node.InvitationView)), nil
}

// proposals are the lines of an invitation.
func proposals(lines []invitationLine) (list []wire.Proposal, err error) {
	for _, l := range lines {
		if l.Give.Currency != l.Currency || l.Ask.Currency != l.Currency {
			return nil, problem(http.StatusUnprocessableEntity, wire.WrongCurrency, "a line of %s gives %s and asks for %s; one line is one currency", l.Currency, l.Give, l.Ask)
		}
		list = append(list, wire.Proposal{Currency: l.Currency, Give: l.Give.Amount, Ask: l.Ask.Amount})
	}
	return list, nil
}

// Requests is the answer of GET /v1/requests.
type Requests struct {
	Requests []node.RequestView `json:"requests"`
}

func (s *Server) requests(ctx context.Context, _ *none) (*body[Requests], error) {
	var r Requests
	err := s.loop.View(ctx, func(n *node.Node) { r.Requests = n.Requests() })
	return answerWith(r), err
}

func (s *Server) addFriend(ctx context.Context, in *struct{ Body requestOrder }) (*body[*node.RequestView], error) {
	if !s.loop.Finds() {
		return nil, problem(http.StatusConflict, wire.NotFound, "this node looks nobody up. Say where with: kula up --find dht, or a friend's link with: kula friend accept LINK")
	}
	c := &node.AddFriend{Key: in.Body.Key, Name: in.Body.Name, Expires: in.Body.Expires}
	if c.Expires == 0 {
		c.Expires = time.Now().Add(requestLife).Unix()
	}
	var err error
	if c.Lines, err = proposals(in.Body.Lines); err != nil {
		return nil, err
	}
	v, err := s.loop.Do(ctx, c)
	if err != nil {
		return nil, err
	}
	return answerWith(v.(*node.RequestView)), nil
}

func (s *Server) decline(ctx context.Context, in *struct {
	Key ident.ID `path:"key"`
}) (*struct{}, error) {
	_, err := s.loop.Do(ctx, &node.Decline{Key: in.Key})
	return nil, err
}

func (s *Server) accept(ctx context.Context, in *struct{ Body acceptance }) (*body[*node.FriendView], error) {
	return s.befriend(ctx, &node.Accept{Link: in.Body.URI, Name: in.Body.Name, Give: in.Body.Give})
}

func (s *Server) find(ctx context.Context, in *struct {
	FriendRef
	Body addressOrder
}) (*body[*node.FriendView], error) {
	id, err := ident.ParseID(in.Ref)
	if err != nil {
		f, err := s.findFriend(ctx, in.Ref)
		if err != nil {
			return nil, err
		}
		id = f.Key
	}
	if err := run.CheckAddress(id, in.Body.Address); err != nil {
		return nil, problem(http.StatusBadRequest, wire.BadRequest, "%v; write a multiaddress like /ip4/192.0.2.7/tcp/4281", err)
	}
	return s.befriend(ctx, &node.Find{Friend: in.Ref, Address: in.Body.Address, Name: in.Body.Name})
}

func (s *Server) setLimit(ctx context.Context, in *struct {
	FriendRef
	Body limitChange
}) (*body[*node.FriendView], error) {
	return s.befriend(ctx, &node.SetLimit{Friend: in.Ref, Limit: in.Body.Limit})
}

func (s *Server) setFee(ctx context.Context, in *struct {
	FriendRef
	Body feeChange
}) (*body[*node.FriendView], error) {
	if in.Body.Base.Currency != in.Body.Currency {
		return nil, problem(http.StatusUnprocessableEntity, wire.WrongCurrency, "a fee in %s with a base of %s; both must be one currency", in.Body.Currency, in.Body.Base)
	}
	return s.befriend(ctx, &node.SetFee{Friend: in.Ref, Currency: in.Body.Currency, Fee: money.Fee{Base: in.Body.Base.Amount, Ppm: in.Body.Ppm}})
}

func (s *Server) settle(ctx context.Context, in *struct {
	FriendRef
	KeyHeader
	Body settlement
}) (*body[*node.FriendView], error) {
	c := &node.Settle{Friend: in.Ref, Amount: in.Body.Amount, Text: in.Body.Text}
	return once[node.FriendView](ctx, s, in.IdempotencyKey, "settle "+in.Ref, &in.Body, run.Request{Command: c})
}

func (s *Server) agree(ctx context.Context, in *FriendRef) (*body[*node.FriendView], error) {
	return s.befriend(ctx, &node.Agree{Friend: in.Ref})
}

func (s *Server) closeFriend(ctx context.Context, in *FriendRef) (*body[*node.FriendView], error) {
	return s.befriend(ctx, &node.Close{Friend: in.Ref})
}

func (s *Server) remove(ctx context.Context, in *struct {
	FriendRef
	Body *removal
}) (*body[*node.FriendView], error) {
	return s.befriend(ctx, &node.Remove{Friend: in.Ref, WithDebt: in.Body != nil && in.Body.WithDebt})
}

func (s *Server) block(ctx context.Context, in *struct{ Body blocking }) (*struct{}, error) {
	_, err := s.loop.Do(ctx, &node.Block{Key: in.Body.Key})
	return nil, err
}

func (s *Server) unblock(ctx context.Context, in *struct {
	Key ident.ID `path:"key"`
}) (*struct{}, error) {
	_, err := s.loop.Do(ctx, &node.Block{Key: in.Key, Unblock: true})
	return nil, err
}
