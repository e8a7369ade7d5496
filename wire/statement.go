package wire

import (
	"kula/ident"
	"kula/money"
)

// The domains of signatures.
const (
	TagPromise    ident.Tag = "kula/promise/1"
	TagTerms      ident.Tag = "kula/terms/1"
	TagInvitation ident.Tag = "kula/invitation/1"
	TagInvoice    ident.Tag = "kula/invoice/1"
	TagArrived    ident.Tag = "kula/arrived/1"
	TagReceived   ident.Tag = "kula/received/1"
)

// Mark names one promise of a writer whom the context knows. Seq 0 is the state before the first promise.
type Mark struct {
	_     struct{} `cbor:",toarray"`
	Epoch uint64
	Seq   uint64
	Hash  ident.Hash
}

// Before says whether m is an older number than o.
func (m Mark) Before(o Mark) bool {
	return m.Epoch < o.Epoch || m.Epoch == o.Epoch && m.Seq < o.Seq
}

// SameNumber says whether both name one (epoch, seq).
func (m Mark) SameNumber(o Mark) bool { return m.Epoch == o.Epoch && m.Seq == o.Seq }

// Promise is the statement of all that From owes To.
type Promise struct {
	_         struct{} `cbor:",toarray"`
	From, To  ident.ID
	Epoch     uint64
	Seq       uint64
	Time      int64      // unix milliseconds by the writer's clock: an "as of" for people, judged by nobody
	Start     *Start     // only in the first promise of an epoch above 0
	Ack       Mark       // the newest promise of To that From has accepted and saved
	Terms     uint64     // the number of To's newest terms that From holds
	Lines     []Line     // by currency, ascending
	Cancelled ident.Hash // digest of the numbers of To's open locks that From gives up; zero for none
}

// Line is one currency of a promise.
type Line struct {
	_        struct{} `cbor:",toarray"`
	Currency money.Currency
	Owed     money.Amount // gross, never smaller within an epoch
	Locked   money.Amount // sum of the open locks
	Locks    ident.Hash   // digest of the open locks; zero for none
}

// Start says what a new epoch starts from.
type Start struct {
	_    struct{} `cbor:",toarray"`
	Mine Mark     // the writer's last promise of an older epoch
	Held Mark     // the reader's promise that the writer held
	Less []Less   // renewal: what both sides subtract from owed, by currency, ascending
}

// Less is an amount by which both sides' owed shrink together, so that no net changes.
type Less struct {
	_        struct{} `cbor:",toarray"`
	Currency money.Currency
	Amount   money.Amount
}

// Mark of a signed promise.
func (p *Promise) Mark(s Signed) Mark { return Mark{Epoch: p.Epoch, Seq: p.Seq, Hash: s.Hash()} }

// Line of a currency, zero where there is none.
func (p *Promise) Line(c money.Currency) Line {
	for _, l := range p.Lines {
		if l.Currency == c {
			return l
		}
	}
	return Line{Currency: c}
}

func (p *Promise) check() error {
	if p.From == p.To {
		return formErr("promise of %s to itself", p.From.Short())
	}
	if p.Seq == 0 {
		return formErr("promise with seq 0")
	}
	if p.Start != nil && (p.Seq != 1 || p.Epoch == 0) {
		return formErr("start in promise %d.%d; only the first of an epoch above 0 has one", p.Epoch, p.Seq)
	}
	if p.Epoch > 0 && p.Seq == 1 && p.Start == nil {
		return formErr("promise %d.1 does not say what it starts from", p.Epoch)
	}
	if len(p.Lines) > MaxLines {
		return formErr("%d currencies, at most %d", len(p.Lines), MaxLines)
	}
	for i, l := range p.Lines {
		if !l.Currency.Valid() || (i > 0 && l.Currency <= p.Lines[i-1].Currency) {
			return formErr("currency %q out of order", string(l.Currency))
		}
		if l.Owed < 0 || l.Locked < 0 {
			return formErr("negative amount in %s", l.Currency)
		}
		if _, ok := l.Owed.Add(l.Locked); !ok {
			return formErr("owed %d and locked %d overflow", l.Owed, l.Locked)
		}
		if (l.Locked == 0) != (l.Locks == ident.Hash{}) {
			return formErr("locked %d and its digest disagree", l.Locked)
		}
	}
	if p.Start != nil {
		return p.Start.check()
	}
	return nil
}

func (s *Start) check() error {
	if len(s.Less) > MaxLines {
		return formErr("%d currencies to lessen, at most %d", len(s.Less), MaxLines)
	}
	for i, l := range s.Less {
		if !l.Currency.Valid() || l.Amount <= 0 || (i > 0 && l.Currency <= s.Less[i-1].Currency) {
			return formErr("bad reduction in %q", string(l.Currency))
		}
	}
	return nil
}

// Terms is the statement of all that From grants To.
type Terms struct {
	_        struct{} `cbor:",toarray"`
	From, To ident.ID
	Number   uint64
	Closing  bool        // From takes no new lock in either direction
	Lines    []TermsLine // by currency, ascending
}

// TermsLine is one currency of terms.
type TermsLine struct {
	_        struct{} `cbor:",toarray"`
	Currency money.Currency
	Limit    money.Amount // the most To may owe From
	FeeBase  money.Amount // what From charges To for carrying To's payments onward
	FeePpm   uint32
}

// Fee of the line.
func (l TermsLine) Fee() money.Fee { return money.Fee{Base: l.FeeBase, Ppm: l.FeePpm} }

// Line of a currency, zero where there is none.
func (t Terms) Line(c money.Currency) TermsLine {
	for _, l := range t.Lines {
		if l.Currency == c {
			return l
		}
	}
	return TermsLine{Currency: c}
}

func (t *Terms) check() error {
	if t.From == t.To || t.Number == 0 {
		return formErr("terms %d of %s to %s", t.Number, t.From.Short(), t.To.Short())
	}
	if len(t.Lines) > MaxLines {
		return formErr("%d currencies, at most %d", len(t.Lines), MaxLines)
	}
	for i, l := range t.Lines {
		if !l.Currency.Valid() || (i > 0 && l.Currency <= t.Lines[i-1].Currency) {
			return formErr("currency %q out of order", string(l.Currency))
		}
		if l.Limit < 0 || l.Limit > money.MaxLimit {
			return formErr("limit %d, must be 0 to %d", l.Limit, money.MaxLimit)
		}
		if l.FeeBase < 0 || l.FeeBase > money.MaxLimit || l.FeePpm > 1_000_000 {
			return formErr("fee %d + %d ppm out of range", l.FeeBase, l.FeePpm)
		}
	}
	return nil
}

// Condition decides about locks. Its id is its hash.
type Condition struct {
	_        struct{}     `cbor:",toarray"`
	Hashes   []ident.Hash // one, or two for a hold: the payee's, then the payer's
	Deadline int64        // unix milliseconds; 0 with decider none
	Decider  Decider
}

// DeciderKind says who says commit or abort.
type DeciderKind uint8

// DeciderNone leaves the end of a lock to its creditor; the only kind that is carried.
const DeciderNone DeciderKind = 0

// Decider names who decides.
type Decider struct {
	_    struct{} `cbor:",toarray"`
	Kind DeciderKind
	Key  []byte // empty for none
}

// ConditionID is the hash of a condition.
type ConditionID = ident.Hash

// ID of the condition.
func (c *Condition) ID() ConditionID { return ident.HashOf(Marshal(c)) }

// Met says whether the preimages are those of the condition, in its order.
func (c *Condition) Met(preimages []ident.Preimage) bool {
	if len(preimages) != len(c.Hashes) {
		return false
	}
	for i, p := range preimages {
		if p.Hash() != c.Hashes[i] {
			return false
		}
	}
	return true
}

func (c *Condition) check() error {
	if len(c.Hashes) < 1 || len(c.Hashes) > 2 {
		return formErr("%d hashes in a condition, must be 1 or 2", len(c.Hashes))
	}
	if len(c.Decider.Key) > 64 || c.Deadline < 0 {
		return formErr("bad decider or deadline")
	}
	return nil
}

// PartID names one part of a payment on its whole way.
type PartID [16]byte

// Lock is an amount that From will owe if the condition is met.
type Lock struct {
	_         struct{} `cbor:",toarray"`
	Number    uint64   // rises per writer and channel, never used again
	Part      PartID
	Currency  money.Currency
	Amount    money.Amount
	Condition Condition
	Blob      []byte // for the nodes behind, opaque to the channel
}

// Digest is what a promise's digest of locks is made of: the lock with its blob replaced by the blob's hash.
func (l *Lock) Digest() ident.Hash {
	short := *l
	h := ident.HashOf(l.Blob)
	short.Blob = h[:]
	return ident.HashOf(Marshal(&short))
}

func (l *Lock) check() error {
	if l.Number == 0 || !l.Currency.Valid() || l.Amount <= 0 || l.Amount > money.MaxLimit {
		return formErr("lock %d of %d %q", l.Number, l.Amount, string(l.Currency))
	}
	if len(l.Blob) > MaxBlob {
		return formErr("blob of %d bytes, at most %d", len(l.Blob), MaxBlob)
	}
	return l.Condition.check()
}

// AddKind says why an amount is added without a lock.
type AddKind uint8

// Why an amount is added without a lock.
const (
	AddSettlement AddKind = 1 // the creditor records a repayment received outside Kula
	AddCorrection AddKind = 2 // both sides agreed on a correction
)

// Add raises owed without a lock.
type Add struct {
	_        struct{} `cbor:",toarray"`
	Kind     AddKind
	Currency money.Currency
	Amount   money.Amount
	Text     string
}

func (a *Add) check() error {
	if a.Kind != AddSettlement && a.Kind != AddCorrection || !a.Currency.Valid() || a.Amount <= 0 || a.Amount > money.MaxLimit {
		return formErr("add of %d %q", a.Amount, string(a.Currency))
	}
	return checkText("text", a.Text, MaxText)
}

// Cancel gives up a lock of the other side. Reason is sealed to the payer, or empty.
type Cancel struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	Reason []byte
}

// Group is all moves that the promise Seq of the writer brought first.
type Group struct {
	_       struct{} `cbor:",toarray"`
	Seq     uint64
	Locks   []Lock   // numbers ascending
	Fulfils []uint64 // ascending
	Drops   []uint64 // ascending
	Cancels []Cancel // numbers ascending
	Adds    []Add
}

// Empty says whether the group has no move.
func (g *Group) Empty() bool {
	return len(g.Locks)+len(g.Fulfils)+len(g.Drops)+len(g.Cancels)+len(g.Adds) == 0
}

func (g *Group) check() error {
	if g.Seq == 0 {
		return formErr("group of promise 0")
	}
	if len(g.Locks) > MaxLocks || len(g.Adds) > MaxAdds || len(g.Cancels) > MaxLocks {
		return formErr("%d locks, %d cancels, %d adds in one group", len(g.Locks), len(g.Cancels), len(g.Adds))
	}
	for i := range g.Locks {
		if err := g.Locks[i].check(); err != nil {
			return err
		}
		if i > 0 && g.Locks[i].Number <= g.Locks[i-1].Number {
			return formErr("locks not ascending at %d", g.Locks[i].Number)
		}
	}
	for i := range g.Cancels {
		if i > 0 && g.Cancels[i].Number <= g.Cancels[i-1].Number {
			return formErr("cancels not ascending at %d", g.Cancels[i].Number)
		}
		if len(g.Cancels[i].Reason) > MaxNote {
			return formErr("reason of %d bytes, at most %d", len(g.Cancels[i].Reason), MaxNote)
		}
	}
	for i := range g.Adds {
		if err := g.Adds[i].check(); err != nil {
			return err
		}
	}
	if err := ascending("fulfils", g.Fulfils, MaxLocks); err != nil {
		return err
	}
	return ascending("drops", g.Drops, MaxLocks)
}
