package wire

import (
	"kula/ident"
	"kula/wire/cbor"
)

// Version of the session protocol; a hello with another one is refused.
const Version = 1

// Kind is the first byte of a message.
type Kind uint8

// The kinds of message, append-only.
const (
	KindHello       Kind = 1
	KindAsk         Kind = 2
	KindSnapshot    Kind = 3
	KindUpdate      Kind = 4
	KindNewTerms    Kind = 5
	KindReveal      Kind = 6
	KindAcknowledge Kind = 7
	KindOnward      Kind = 8
	KindRefused     Kind = 9
	KindKeep        Kind = 10
	KindAgree       Kind = 11
	KindMoved       Kind = 12
	KindBefriend    Kind = 13
	KindNoted       Kind = 14
)

// Message is what two friends say to each other in a session.
type Message interface {
	Kind() Kind
	checker
}

// Hello opens a session, from both sides at once: where I am, what I hold of yours, what I grant you.
type Hello struct {
	_         struct{} `cbor:",toarray"`
	Version   uint64
	Mine      Mark   // my newest promise to you
	Held      Mark   // your newest promise that I hold
	Terms     Signed // my newest terms, none if I have set none yet
	HeldTerms uint64 // the number of your terms that I hold
	Restored  bool   // I was restored: show me all you have
	Name      string
	Addresses []string
	Token     []byte // accepting an invitation: its secret; else empty
}

// Ask asks for a snapshot: I hold an old copy, or none.
type Ask struct {
	_ struct{} `cbor:",toarray"`
}

// Snapshot is a channel as the sender holds it. "Mine" is the sender's.
type Snapshot struct {
	_          struct{} `cbor:",toarray"`
	Mine       Signed   // the sender's newest promise
	Yours      Signed   // the receiver's newest promise that the sender accepted
	MyTerms    Signed
	YourTerms  Signed
	MyLocks    []Lock   // open in Mine, ascending
	YourLocks  []Lock   // open in Yours, ascending
	MyCancels  []uint64 // numbers in YourLocks that the sender gives up
	YourCancel []uint64 // numbers in MyLocks that the receiver gives up
	MyLast     uint64   // the highest number a lock of the sender ever had
	YourLast   uint64
	Kept       []byte // what the receiver gave to keep, encrypted by it; or empty
}

// Update brings the sender's newest promise and all moves since Base.
type Update struct {
	_       struct{} `cbor:",toarray"`
	Promise Signed
	Base    Mark
	Groups  []Group // by seq, ascending
}

// NewTerms brings the sender's newest terms.
type NewTerms struct {
	_     struct{} `cbor:",toarray"`
	Terms Signed
}

// Reveal shows the debtor the preimages of its lock. Note is sealed to the payer, or empty.
type Reveal struct {
	_         struct{} `cbor:",toarray"`
	Number    uint64
	Preimages []ident.Preimage
	Note      []byte
}

// Acknowledge tells the debtor that its lock arrived at the payee. Note is sealed to the payer.
type Acknowledge struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	Note   []byte
}

// Onward carries a note of the payer, sealed to the payee, along the lock Number of the sender.
type Onward struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	Note   []byte
}

// Refused answers an update or terms that were not accepted. State has not changed.
type Refused struct {
	_     struct{} `cbor:",toarray"`
	Epoch uint64
	Seq   uint64
	Code  uint64
	Text  string
}

// Keep asks the friend to keep bytes that only the sender can read, for a restore. The newest number stays.
type Keep struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	Blob   []byte
}

// Agree proposes to thaw a frozen channel by going on from the enclosed view; its Mine begins a new epoch.
type Agree struct {
	_        struct{} `cbor:",toarray"`
	Snapshot Snapshot
}

// Moved says where the sender can be reached from now on.
type Moved struct {
	_         struct{} `cbor:",toarray"`
	Addresses []string
}

// Befriend brings a stranger an invitation of the sender, as the first word of a session.
type Befriend struct {
	_          struct{} `cbor:",toarray"`
	Invitation Signed
}

// Noted answers it: the invitation waits for the user.
type Noted struct {
	_ struct{} `cbor:",toarray"`
}

func (*Hello) Kind() Kind       { return KindHello }
func (*Ask) Kind() Kind         { return KindAsk }
func (*Snapshot) Kind() Kind    { return KindSnapshot }
func (*Update) Kind() Kind      { return KindUpdate }
func (*NewTerms) Kind() Kind    { return KindNewTerms }
func (*Reveal) Kind() Kind      { return KindReveal }
func (*Acknowledge) Kind() Kind { return KindAcknowledge }
func (*Onward) Kind() Kind      { return KindOnward }
func (*Refused) Kind() Kind     { return KindRefused }
func (*Keep) Kind() Kind        { return KindKeep }
func (*Agree) Kind() Kind       { return KindAgree }
func (*Moved) Kind() Kind       { return KindMoved }
func (*Befriend) Kind() Kind    { return KindBefriend }
func (*Noted) Kind() Kind       { return KindNoted }

// Encode gives a message its bytes.
func Encode(m Message) []byte { return cbor.Append([]byte{byte(m.Kind())}, m) }

// Decode reads one message. Errors wrap [ErrForm].
func Decode(data []byte) (Message, error) {
	if len(data) == 0 {
		return nil, formErr("empty message")
	}
	m := blank(Kind(data[0]))
	if m == nil {
		return nil, formErr("unknown kind of message %d", data[0])
	}
	if err := Unmarshal(data[1:], m); err != nil {
		return nil, err
	}
	return m, nil
}

func blank(k Kind) Message {
	switch k {
	case KindHello:
		return new(Hello)
	case KindAsk:
		return new(Ask)
	case KindSnapshot:
		return new(Snapshot)
	case KindUpdate:
		return new(Update)
	case KindNewTerms:
		return new(NewTerms)
	case KindReveal:
		return new(Reveal)
	case KindAcknowledge:
		return new(Acknowledge)
	case KindOnward:
		return new(Onward)
	case KindRefused:
		return new(Refused)
	case KindKeep:
		return new(Keep)
	case KindAgree:
		return new(Agree)
	case KindMoved:
		return new(Moved)
	case KindBefriend:
		return new(Befriend)
	case KindNoted:
		return new(Noted)
	}
	return nil
}

func (h *Hello) check() error {
	if len(h.Token) > 32 {
		return formErr("token of %d bytes, at most 32", len(h.Token))
	}
	if err := checkText("name", h.Name, MaxName); err != nil {
		return err
	}
	return checkAddresses(h.Addresses)
}

func (*Ask) check() error { return nil }

func (s *Snapshot) check() error {
	if len(s.Kept) > MaxKept {
		return formErr("%d bytes kept, at most %d", len(s.Kept), MaxKept)
	}
	if s.MyLast >= 1<<62 || s.YourLast >= 1<<62 {
		return formErr("lock number %d, must be below 2^62", max(s.MyLast, s.YourLast))
	}
	for _, locks := range [][]Lock{s.MyLocks, s.YourLocks} {
		g := Group{Seq: 1, Locks: locks}
		if err := g.check(); err != nil {
			return err
		}
	}
	if err := ascending("cancels", s.MyCancels, MaxLocks); err != nil {
		return err
	}
	return ascending("cancels", s.YourCancel, MaxLocks)
}

func (u *Update) check() error {
	if len(u.Groups) > MaxGroups {
		return formErr("%d groups, at most %d", len(u.Groups), MaxGroups)
	}
	for i := range u.Groups {
		if err := u.Groups[i].check(); err != nil {
			return err
		}
		if i > 0 && u.Groups[i].Seq <= u.Groups[i-1].Seq {
			return formErr("groups not ascending at %d", u.Groups[i].Seq)
		}
	}
	return nil
}

func (*NewTerms) check() error { return nil }

func (r *Reveal) check() error {
	if len(r.Preimages) < 1 || len(r.Preimages) > 2 {
		return formErr("%d preimages, must be 1 or 2", len(r.Preimages))
	}
	return checkNote(r.Note)
}

func (a *Acknowledge) check() error { return checkNote(a.Note) }
func (o *Onward) check() error      { return checkNote(o.Note) }
func (r *Refused) check() error     { return checkText("text", r.Text, MaxText) }
func (a *Agree) check() error       { return a.Snapshot.check() }

func (*Befriend) check() error { return nil }
func (*Noted) check() error    { return nil }
func (m *Moved) check() error  { return checkAddresses(m.Addresses) }

func (k *Keep) check() error {
	if len(k.Blob) > MaxKept {
		return formErr("%d bytes to keep, at most %d", len(k.Blob), MaxKept)
	}
	return nil
}

func checkNote(n []byte) error {
	if len(n) > MaxNote {
		return formErr("note of %d bytes, at most %d", len(n), MaxNote)
	}
	return nil
}
