package wire

// Code is a numbered refusal that crosses the wire. Numbers are append-only; 0 is no refusal.
type Code uint16

// The refusals, for people and scripts by their names.
const (
	CodeNone Code = iota
	LimitReached
	FeeAboveMax
	FeeNeedsConsent
	NoRoute
	NotFound
	UnknownNextHop
	FriendOffline
	ChannelFrozen
	CatchingUp
	TooManyLocks
	InvoicePaid
	InvoiceBusy
	InvoiceCancelled
	InvoiceExpired
	WrongAmount
	WrongCurrency
	BadSignature
	DeciderNotAccepted
	NodeNotRunning
	FeeTooLow
	DuplicatePart
	CancelledByPayee
	CancelledByPayer
	BadRequest
	ChannelClosed
	BadBase
	BadSequence
	BadDigest
	StaleTerms
	BadAck
	BadMove
	WrongVersion
	UnknownFriend
	InvitationUsed
	InvitationExpired
	NotOpen
	StillOwed
	AlreadyFriend
	Blocked
	StorageFailed
	NotAllowed
	AllowanceSpent
	KeyReused
	Conflict
	NameTaken
	UnknownCurrency
	GaveUp
	IndexUnreachable
	SelfPayment
)

var codeNames = [...]string{
	"", "limit_reached", "fee_above_max", "fee_needs_consent", "no_route", "not_found", "unknown_next_hop", "friend_offline",
	"channel_frozen", "catching_up", "too_many_locks", "invoice_paid", "invoice_busy", "invoice_cancelled", "invoice_expired",
	"wrong_amount", "wrong_currency", "bad_signature", "decider_not_accepted", "node_not_running", "fee_too_low",
	"duplicate_part", "cancelled_by_payee", "cancelled_by_payer", "bad_request", "channel_closed", "bad_base", "bad_sequence",
	"bad_digest", "stale_terms", "bad_ack", "bad_move", "wrong_version", "unknown_friend", "invitation_used",
	"invitation_expired", "not_open", "still_owed", "already_friend", "blocked", "storage_failed", "not_allowed",
	"allowance_spent", "key_reused", "conflict", "name_taken", "unknown_currency", "gave_up", "index_unreachable", "self_payment",
}

// CodeOf is the code of a number that a peer sent; one that no code can have is unknown.
func CodeOf(number uint64) Code {
	if number > uint64(^Code(0)) {
		return ^Code(0)
	}
	return Code(number)
}

// String is the code as scripts read it, e.g. "limit_reached"; "unknown" for a number of a newer version.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "unknown"
}

// MarshalText gives the name.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a name; an unknown one becomes the highest number, whose name is "unknown".
func (c *Code) UnmarshalText(b []byte) error {
	for i, n := range codeNames {
		if n == string(b) {
			*c = Code(i)
			return nil
		}
	}
	*c = ^Code(0)
	return nil
}
