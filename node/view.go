package node

import (
	"kula/ident"
	"kula/money"
	"kula/wire"
)

// The views are the objects of the JSON contract: what the API answers and the
// command line prints. Fields may be added, none renamed.

// FriendView is a friend.
type FriendView struct {
	Key        ident.ID       `json:"key"`
	Name       string         `json:"name"`
	State      FriendState    `json:"state"`
	Online     bool           `json:"online"`
	Ready      bool           `json:"ready"` // online and caught up: payments can pass
	Currencies []CurrencyView `json:"currencies"`
	Addresses  []string       `json:"addresses"`
	OpenLocks  int            `json:"openLocks"`          // in both directions
	Fault      string         `json:"fault,omitempty"`    // why the channel is frozen
	Proposal   string         `json:"proposal,omitempty"` // what `friend agree` would accept, in words
	Problem    string         `json:"problem,omitempty"`  // why an invitation or session did not come about
	Refused    wire.Code      `json:"refused,omitempty"`  // pending: why the inviter turned me down
}

// FriendState is where a friendship stands.
type FriendState string

// Where a friendship stands.
const (
	Pending FriendState = "pending"
	Opened  FriendState = "open"
	Closed  FriendState = "closed"
	Frozen  FriendState = "frozen"
	Removed FriendState = "removed"
)

// CurrencyView is one currency with a friend. Balance > 0: the friend owes me.
type CurrencyView struct {
	Currency      money.Currency `json:"currency"`
	Balance       money.Value    `json:"balance"`
	CanPay        money.Value    `json:"canPay"`
	CanReceive    money.Value    `json:"canReceive"`
	LimitGranted  money.Value    `json:"limitGranted"`
	LimitReceived money.Value    `json:"limitReceived"`
	LockedByMe    money.Value    `json:"lockedByMe"`
	LockedByThem  money.Value    `json:"lockedByThem"`
	FeeBase       money.Value    `json:"feeBase"`
	FeePpm        uint32         `json:"feePpm"`
	FeeTheyBase   money.Value    `json:"feeTheyBase"`
	FeeTheyPpm    uint32         `json:"feeTheyPpm"`
}

// InvitationView is a new invitation.
type InvitationView struct {
	URI     string `json:"uri"`
	Expires int64  `json:"expires"` // unix seconds
}

// RequestView is an invitation that goes to a key without a link.
type RequestView struct {
	Key     ident.ID       `json:"key"`  // the other side
	Name    string         `json:"name"` // what it calls itself, or what I will call it
	Mine    bool           `json:"mine"` // I asked
	Lines   []ProposalView `json:"lines"`
	Expires int64          `json:"expires"`           // unix seconds
	URI     string         `json:"uri,omitempty"`     // not mine: the invitation, to accept it
	Noted   bool           `json:"noted,omitempty"`   // mine: it waits for the other user
	Problem string         `json:"problem,omitempty"` // mine: why the other node does not take it
}

// ProposalView is one currency of an invitation, as who made it sees it.
type ProposalView struct {
	Currency money.Currency `json:"currency"`
	Give     money.Value    `json:"give"` // the other may owe who made it
	Ask      money.Value    `json:"ask"`  // who made it asks to owe the other
}

func proposalView(p wire.Proposal) ProposalView {
	return ProposalView{p.Currency, money.Value{Amount: p.Give, Currency: p.Currency}, money.Value{Amount: p.Ask, Currency: p.Currency}}
}

// InvoiceView is an invoice of mine.
type InvoiceView struct {
	ID      string      `json:"id"`
	URI     string      `json:"uri"`
	Amount  money.Value `json:"amount"`
	Memo    string      `json:"memo"`
	Expires int64       `json:"expires"` // unix seconds
	Created int64       `json:"created"` // unix seconds
	Hold    bool        `json:"hold"`
	State   string      `json:"state"`            // open, held, paid, cancelled, expired
	Payer   string      `json:"payer,omitempty"`  // key, where the payer said and proved it
	PaidAt  int64       `json:"paidAt,omitempty"` // unix milliseconds
}

// PaymentView is a payment of mine.
type PaymentView struct {
	ID        string       `json:"id"`
	State     PaymentState `json:"state"`
	Payee     ident.ID     `json:"payee"`
	PayeeName string       `json:"payeeName,omitempty"`
	Amount    money.Value  `json:"amount"`
	Fee       money.Value  `json:"fee"`
	Parts     []PartView   `json:"parts"`
	Waiting   *WaitingView `json:"waiting,omitempty"`
	Reason    *ReasonView  `json:"reason,omitempty"`
	Text      string       `json:"text,omitempty"`
	Created   int64        `json:"created"` // unix milliseconds
	PaidAt    int64        `json:"paidAt,omitempty"`
	Release   string       `json:"release,omitempty"` // a hold that was released: the link for the payee
	Receipt   string       `json:"receipt,omitempty"` // a paid payment: the receipt as a link
	Invoice   string       `json:"invoice,omitempty"` // the link it paid
}

// PaymentState is where a payment stands.
type PaymentState string

// Where a payment stands.
const (
	Paid     PaymentState = "paid"
	Held     PaymentState = "held"
	Returned PaymentState = "returned"
	Waiting  PaymentState = "waiting"
)

// PartView is one part of a payment or quote.
type PartView struct {
	Amount money.Value `json:"amount"`
	Fee    money.Value `json:"fee"`
	Hops   []ident.ID  `json:"hops"`
}

// WaitingView says whom a payment waits for.
type WaitingView struct {
	For   string `json:"for"`   // a name, or a key
	Since int64  `json:"since"` // unix milliseconds
	Until int64  `json:"until"` // unix milliseconds, 0: until they act
}

// ReasonView says why something did not happen. Amounts are there where they mean something.
type ReasonView struct {
	Code   wire.Code    `json:"code"`
	Text   string       `json:"text"`
	At     string       `json:"at,omitempty"` // key of the node that refused
	Limit  *money.Value `json:"limit,omitempty"`
	Owed   *money.Value `json:"owed,omitempty"`
	Locked *money.Value `json:"locked,omitempty"`
	Left   *money.Value `json:"left,omitempty"`
	Fee    *money.Value `json:"fee,omitempty"` // the fee that was needed
}

// QuoteView is what a payment would take.
type QuoteView struct {
	Possible bool         `json:"possible"`
	UpTo     *money.Value `json:"upTo,omitempty"`
	Amount   money.Value  `json:"amount"`
	Fee      money.Value  `json:"fee"`
	Parts    []PartView   `json:"parts"`
	Reason   *ReasonView  `json:"reason,omitempty"`
}

// BalanceView is one currency over all friends.
type BalanceView struct {
	Currency money.Currency `json:"currency"`
	Balance  money.Value    `json:"balance"`
	OwedToMe money.Value    `json:"owedToMe"`
	IOwe     money.Value    `json:"iOwe"`
	Locked   money.Value    `json:"locked"`
}
