package wire

import (
	"encoding/binary"
	"encoding/hex"

	"kula/ident"
	"kula/money"
)

// PaymentID names a payment: that of the invoice it pays, or for a push chosen by the payer (6 bytes of
// seconds, so that both sort by time, 2 of milliseconds within that second, 8 random).
type PaymentID [16]byte

// InvoiceID names an invoice, see [Invoice.ID]. The payment that pays it has the same id.
type InvoiceID [16]byte

func (p PartID) String() string    { return hex.EncodeToString(p[:]) }
func (p PaymentID) String() string { return hex.EncodeToString(p[:]) }
func (i InvoiceID) String() string { return hex.EncodeToString(i[:]) }

// ParseID16 reads the 32 hex digits of a payment or invoice id.
func ParseID16(s string) (id [16]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 16 || hex.EncodeToString(b) != s {
		return id, formErr("%q is not an id of 32 lower-case hex digits", s)
	}
	copy(id[:], b)
	return id, nil
}

// Invoice is the payee's signed request for one payment.
type Invoice struct {
	_        struct{} `cbor:",toarray"`
	Payee    ident.ID
	Salt     ident.Salt // gives the payee its preimage back from its seed
	Hash     ident.Hash
	Currency money.Currency
	Amount   money.Amount
	Memo     string
	Created  int64 // unix seconds
	Expires  int64 // unix seconds
	Hold     bool  // the payer releases later
}

// ID of the invoice whose signed bytes are s: created (6 bytes, seconds, so that ids sort by time), then the hash's first 10.
func (i *Invoice) ID(s Signed) InvoiceID {
	var id InvoiceID
	var created [8]byte
	binary.BigEndian.PutUint64(created[:], uint64(i.Created))
	h := s.Hash()
	copy(id[:6], created[2:])
	copy(id[6:], h[:])
	return id
}

func (i *Invoice) check() error {
	if !i.Currency.Valid() || i.Amount <= 0 || i.Amount > money.MaxLimit {
		return formErr("invoice over %d %q", i.Amount, string(i.Currency))
	}
	if i.Created < 0 || i.Expires <= i.Created {
		return formErr("invoice created %d expires %d", i.Created, i.Expires)
	}
	return checkText("memo", i.Memo, MaxText)
}

// Hop is one channel of the rest of a route.
type Hop struct {
	_      struct{} `cbor:",toarray"`
	Next   ident.ID
	Amount money.Amount // to lock towards Next
}

// Blob is what a lock carries, version 0: the hops still to go, in clear, and a box for the payee.
type Blob struct {
	_       struct{}     `cbor:",toarray"`
	Version uint64       // 0
	Hops    []Hop        // after the reader of this blob; empty at the payee
	Salt    ident.Salt   // gives the payer its ephemeral secret back from its seed
	Key     ident.BoxKey // the payer's ephemeral key: for the box and for sealed reasons
	Box     []byte       // sealed to the payee
}

func (b *Blob) check() error {
	if b.Version != 0 {
		return formErr("blob version %d, this node reads 0", b.Version)
	}
	if len(b.Hops) > MaxHops {
		return formErr("%d hops, at most %d", len(b.Hops), MaxHops)
	}
	for _, h := range b.Hops {
		if h.Amount <= 0 || h.Amount > money.MaxLimit {
			return formErr("hop amount %d", h.Amount)
		}
	}
	return nil
}

// Onion is what a lock carries, version 1: of one size whatever the route, for the reader of each layer alone (package onion).
type Onion struct {
	_       struct{}     `cbor:",toarray"`
	Version uint64       // 1
	Key     ident.BoxKey // ephemeral, another one at each hop
	Header  [OnionHeader]byte
	MAC     ident.Hash
	Body    []byte // OnionBody bytes, for the payee
}

const (
	// OnionHeader is 80 bytes for each of MaxHops nodes.
	OnionHeader = 80 * MaxHops
	// OnionBody holds the largest box: 1,076 bytes with every text at its longest, 32 of a key and 2 of its length; up to a
	// multiple of 64.
	OnionBody = 1152
)

func (o *Onion) check() error {
	if o.Version != 1 {
		return formErr("onion version %d, this node reads 1", o.Version)
	}
	if len(o.Body) != OnionBody {
		return formErr("an onion's body of %d bytes, must be %d", len(o.Body), OnionBody)
	}
	return nil
}

// Form says who opens the locks of a payment (design §4).
type Form uint8

// The forms of payment.
const (
	FormInvoice Form = 1 // the payee's hash
	FormPush    Form = 2 // the payer's hash
	FormHold    Form = 3 // both
)

func (f Form) String() string {
	switch f {
	case FormInvoice:
		return "invoice"
	case FormPush:
		return "push"
	case FormHold:
		return "hold"
	}
	return "unknown"
}

// Box is what the payer tells the payee alone, in each part.
type Box struct {
	_        struct{} `cbor:",toarray"`
	Form     Form
	Payment  PaymentID
	Salt     ident.Salt // gives the payer its own preimage back from its seed
	Invoice  Signed     // none for a push
	Currency money.Currency
	Total    money.Amount
	Amount   money.Amount // of this part
	Payer    ident.ID     // zero: the payer does not say
	Name     string
	Proof    ident.Hash // HMAC under the key that payer and payee share, over part and payment: the payer is who it says
	Text     string
}

func (b *Box) check() error {
	if b.Form < FormInvoice || b.Form > FormHold || (b.Form == FormPush) != b.Invoice.None() {
		return formErr("box of form %d", b.Form)
	}
	if !b.Currency.Valid() || b.Amount <= 0 || b.Total < b.Amount || b.Total > money.MaxLimit {
		return formErr("box over %d of %d", b.Amount, b.Total)
	}
	if err := checkText("name", b.Name, MaxName); err != nil {
		return err
	}
	return checkText("text", b.Text, MaxText)
}

// Arrived is the payee's signed word that a part is locked to it. It travels sealed to the payer.
type Arrived struct {
	_         struct{} `cbor:",toarray"`
	Payment   PaymentID
	Part      PartID
	Amount    money.Amount
	Condition ConditionID
}

func (a *Arrived) check() error { return nil }

// Received is the payee's signed word that a push was paid: the receipt of the payer.
type Received struct {
	_        struct{} `cbor:",toarray"`
	Payment  PaymentID
	Payee    ident.ID
	Currency money.Currency
	Amount   money.Amount
	Time     int64 // unix milliseconds
}

func (r *Received) check() error {
	if !r.Currency.Valid() || r.Amount <= 0 {
		return formErr("received %d %q", r.Amount, string(r.Currency))
	}
	return nil
}

// Order is what a payer sends to the payee along an open lock: the preimage of a push,
// the release of a hold, or the wish to cancel.
type Order struct {
	_        struct{} `cbor:",toarray"`
	Cancel   bool
	Preimage ident.Preimage // zero with Cancel
}

func (o *Order) check() error {
	if o.Cancel && o.Preimage != (ident.Preimage{}) {
		return formErr("a cancel with a preimage")
	}
	return nil
}

// Reason is why a part came back, sealed to the payer by the node that refused it.
type Reason struct {
	_        struct{} `cbor:",toarray"`
	Code     Code
	At       ident.ID // who refused
	Next     ident.ID // the friend that stood in the way, zero if none
	Currency money.Currency
	Limit    money.Amount // the limit in the way, with code limit_reached
	Owed     money.Amount
	Locked   money.Amount
	Left     money.Amount // the largest amount that would have passed
	Need     money.Amount // the fee that was needed, with code fee_too_low
	Text     string
}

func (r *Reason) check() error { return checkText("text", r.Text, MaxText) }

// Release lets the payee of a hold have the money. Whoever holds it can, so it is for the payee alone.
type Release struct {
	_        struct{} `cbor:",toarray"`
	Invoice  InvoiceID
	Payment  PaymentID
	Preimage ident.Preimage
}

func (r *Release) check() error { return nil }

// Receipt is proof of payment. Exactly one of Invoice (with Preimages) and Received is there.
type Receipt struct {
	_         struct{} `cbor:",toarray"`
	Payee     ident.ID
	Invoice   Signed
	Preimages []ident.Preimage
	Received  Batched
	PaidAt    int64 // unix milliseconds: the payer's word with an invoice; 0 with Received, which says it
}

func (r *Receipt) check() error {
	if r.Invoice.None() == r.Received.None() || len(r.Preimages) > 2 {
		return formErr("receipt with neither or both of invoice and received statement")
	}
	if r.Invoice.None() && r.Invoice.Sig != (ident.Signature{}) || !r.Received.None() && r.PaidAt != 0 {
		return formErr("receipt with a signature of no invoice, or a second time beside the payee's") // one receipt has one spelling
	}
	return r.Received.check()
}

// Proposal is one currency of an invitation, as the inviter sees it.
type Proposal struct {
	_        struct{} `cbor:",toarray"`
	Currency money.Currency
	Give     money.Amount // the limit that the inviter gives
	Ask      money.Amount // the limit that the inviter asks for
}

// Invitation offers friendship to whoever brings its token first.
type Invitation struct {
	_         struct{} `cbor:",toarray"`
	From      ident.ID
	Name      string
	Token     [16]byte
	Expires   int64 // unix seconds
	Addresses []string
	Lines     []Proposal
}

func (i *Invitation) check() error {
	if len(i.Lines) == 0 || len(i.Lines) > MaxLines {
		return formErr("%d currencies in an invitation, must be 1 to %d", len(i.Lines), MaxLines)
	}
	for k, l := range i.Lines {
		if !l.Currency.Valid() || (k > 0 && l.Currency <= i.Lines[k-1].Currency) {
			return formErr("currency %q out of order", string(l.Currency))
		}
		if l.Give < 0 || l.Give > money.MaxLimit || l.Ask < 0 || l.Ask > money.MaxLimit {
			return formErr("limits %d and %d, must be 0 to %d", l.Give, l.Ask, money.MaxLimit)
		}
	}
	if err := checkText("name", i.Name, MaxName); err != nil {
		return err
	}
	return checkAddresses(i.Addresses)
}

// Heads is what a node lets others keep, encrypted, so that a restore knows whom to ask and what is the least they must show.
type Heads struct {
	_    struct{} `cbor:",toarray"`
	Time int64    // unix milliseconds
	List []Head
}

// Head is one channel of Heads.
type Head struct {
	_         struct{} `cbor:",toarray"`
	Friend    ident.ID
	Name      string
	Addresses []string
	Mine      Mark
	Theirs    Mark
	Terms     uint64 // number of my newest terms
}

func (h *Heads) check() error {
	if len(h.List) > MaxHeads {
		return formErr("%d heads, at most %d", len(h.List), MaxHeads)
	}
	for i := range h.List {
		if err := checkText("name", h.List[i].Name, MaxName); err != nil {
			return err
		}
		if err := checkAddresses(h.List[i].Addresses); err != nil {
			return err
		}
	}
	return nil
}
