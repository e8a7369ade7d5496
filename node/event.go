package node

import (
	"kula/ident"
	"kula/money"
	"kula/route"
	"kula/wire"
)

// Event is something that happened outside: one struct per case, handled by Step.
type Event interface{ event() }

// Connected: an authenticated session with an identity is up. Session numbers rise; a newer one replaces the older.
type Connected struct {
	Peer    ident.ID
	Session uint64
}

// Disconnected: the session is gone. One that is not the newest is ignored.
type Disconnected struct {
	Peer    ident.ID
	Session uint64
}

// Received: a message came in a session.
type Received struct {
	Peer    ident.ID
	Session uint64
	Message wire.Message
}

// Tick: time has passed; due at Effects.Wake or later.
type Tick struct{}

// Answered: what an index said to the query of Effects.Ask, or why none could be asked.
type Answered struct {
	Query   uint64
	Answer  *route.Answer // nil: no index could be asked
	Server  ident.ID      // whose answer it is; zero if no server's
	Problem string
}

// Indexes: from now on index servers can be asked, or None says why none can.
type Indexes struct {
	None string
}

// Republish: an index server wants all announcements (again), and the withdrawals of those that might count still.
type Republish struct{}

// Stop: the node is about to stop; what it announced is withdrawn.
type Stop struct{}

// Do is a command of the user. Its outcome is the Reply with the same ID, now or in a later Step.
type Do struct {
	ID      uint64
	Command Command
}

func (Connected) event()    {}
func (Disconnected) event() {}
func (Received) event()     {}
func (Tick) event()         {}
func (Answered) event()     {}
func (Indexes) event()      {}
func (Republish) event()    {}
func (Stop) event()         {}
func (Do) event()           {}

// Effects is what the driver must do after a Step, in field order: Pass and Ask may leave
// at once; everything in Save and Book is on disk, in one transaction, before anything
// below it happens.
type Effects struct {
	Pass    []Out          // what others said about a lock, on its way: it is repeated after each hello and needs no save
	Ask     []Query        // routes wanted from an index server: nothing is promised by asking
	Save    []Record       // state; of several with one kind and key only the last is here
	Book    []Row          // rows to append
	Send    []Out          // messages, in order per session
	Hangup  []Session      // sessions to close after what was sent
	Publish []wire.Batched // announcements for every index server
	Wrong   []ident.ID     // index servers whose answer a payment was locked by, and was told otherwise on the way
	Reply   []Reply        // outcomes of commands
	Tell    []Notice       // what changed, for whoever watches
	Wake    int64          // unix milliseconds of the next Tick wanted, 0 for none
}

// Out is one message to one session.
type Out struct {
	Session
	Message wire.Message
}

// Session names a session.
type Session struct {
	Peer    ident.ID
	Session uint64
}

// Query is a question for an index server; its answer is an Answered event.
type Query struct {
	ID    uint64
	Query route.Query
}

// Reply is the outcome of a command: Value is the view its comment names, or Err is set.
type Reply struct {
	ID    uint64
	Value any
	Err   *Error
}

// Error is a refusal for people and scripts.
type Error struct {
	Code   wire.Code
	Text   string
	Reason *ReasonView // figures, where there are some
}

func (e *Error) Error() string { return e.Text }

// Notice says that something changed. Exactly one field is set.
type Notice struct {
	Friend  *FriendView  `json:"friend,omitempty"`
	Payment *PaymentView `json:"payment,omitempty"`
	Invoice *InvoiceView `json:"invoice,omitempty"`
	Friends bool         `json:"friends,omitempty"` // the list of friends, their addresses or who is blocked changed: dial and refuse accordingly
}

// Command is what a user asks for: one struct per case.
type Command interface{ command() }

// Invite makes an invitation. Reply: *InvitationView.
type Invite struct {
	Name    string // what I will call the friend, may be empty
	Lines   []wire.Proposal
	Expires int64 // unix seconds
}

// Accept takes an invitation. Reply: *FriendView.
type Accept struct {
	Link string
	Name string        // what I will call the friend; default its own name
	Give []money.Value // limits that I give instead of those asked for
}

// AddFriend asks whoever has a key to be a friend: the invitation is brought to it. Reply: *RequestView.
type AddFriend struct {
	Key     ident.ID
	Name    string // what I will call the friend, may be empty
	Lines   []wire.Proposal
	Expires int64 // unix seconds
}

// Decline forgets what a key asked me, and what I asked it. No reply value.
type Decline struct{ Key ident.ID }

// SetLimit changes what I let a friend owe. Reply: *FriendView.
type SetLimit struct {
	Friend string
	Limit  money.Value
}

// SetFee changes what I charge a friend for carrying its payments. Reply: *FriendView.
type SetFee struct {
	Friend   string
	Currency money.Currency
	Fee      money.Fee
}

// Settle records that a friend repaid me outside Kula. Reply: *FriendView.
type Settle struct {
	Friend string
	Amount money.Value
	Text   string
}

// Agree proposes to thaw a frozen channel on my figures, or accepts the friend's proposal. Reply: *FriendView.
type Agree struct{ Friend string }

// Close stops new debt with a friend. Reply: *FriendView.
type Close struct{ Friend string }

// Remove hides a friend; refused while there is a balance or a lock, unless WithDebt. Reply: *FriendView.
type Remove struct {
	Friend   string
	WithDebt bool
}

// Block refuses every session of a key from now on; Unblock ends that. Reply: *FriendView for a friend, else nil.
type Block struct {
	Key     ident.ID
	Unblock bool
}

// Find tells where a friend can be reached; a key that is no friend is dialled too (to be restored by it). Reply: *FriendView.
type Find struct {
	Friend  string
	Address string
	Name    string // what I called it, for a key that is no friend; empty: its key's beginning, until it is known
}

// CreateInvoice asks for a payment. Reply: *InvoiceView.
type CreateInvoice struct {
	Value   money.Value
	Memo    string
	Expires int64 // unix seconds
	Hold    bool
}

// CancelInvoice gives an invoice up, and what is locked for it. Reply: *InvoiceView.
type CancelInvoice struct{ ID wire.InvoiceID }

// Redeem collects a hold with the payer's release. Reply: *InvoiceView.
type Redeem struct{ Link string }

// Pay pays, or with Quote only says what it would take. Reply: *PaymentView, or *QuoteView.
type Pay struct {
	Invoice  string        // a link; or
	To       string        // a friend, a key, or "me"
	Value    money.Value   // with To; with Quote an Amount of 0 asks how much at most; with Invoice it must agree or be the zero Value
	MaxFee   *money.Amount // nil: a fee above 0 needs consent
	Route    []string      // friends or keys after the payer, payee included; empty: find one
	GiveUp   int64         // milliseconds until no other route is tried
	Text     string
	Quote    bool
	MaxParts int    // in how many parts at most; 0: DefaultParts
	Prior    []byte // the record that PriorKey names, filled in by the driver
	asked    asked
}

// Release lets the payee of a hold have it. Reply: *PaymentView with Release.
type Release struct{ ID wire.PaymentID }

// CancelPayment asks the payee to cancel. Reply: *PaymentView.
type CancelPayment struct{ ID wire.PaymentID }

// Configure sets what others see of me. Reply: nil.
type Configure struct {
	Name      string
	Addresses []string
}

func (*Invite) command()        {}
func (*AddFriend) command()     {}
func (*Decline) command()       {}
func (*Accept) command()        {}
func (*SetLimit) command()      {}
func (*SetFee) command()        {}
func (*Settle) command()        {}
func (*Agree) command()         {}
func (*Close) command()         {}
func (*Remove) command()        {}
func (*Block) command()         {}
func (*Find) command()          {}
func (*CreateInvoice) command() {}
func (*CancelInvoice) command() {}
func (*Redeem) command()        {}
func (*Pay) command()           {}
func (*Release) command()       {}
func (*CancelPayment) command() {}
func (*Configure) command()     {}
