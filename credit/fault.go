package credit

import (
	"fmt"
	"slices"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// FaultKind says which rule a writer broke.
type FaultKind uint8

// The faults.
const (
	Equivocated        FaultKind = 1 // two promises of one (epoch, seq)
	Shrank             FaultKind = 2 // owed became smaller within an epoch
	DroppedUncancelled FaultKind = 3 // a lock ended without becoming debt and without the reader's cancel
)

// String says it as people read it.
func (k FaultKind) String() string {
	switch k {
	case Equivocated:
		return "signed two different statements with one number"
	case Shrank:
		return "signed a debt smaller than the one it had signed before"
	case DroppedUncancelled:
		return "took back a promised payment that was not cancelled"
	}
	return "unknown fault"
}

// Fault is evidence that stands alone: anyone can check that Writer broke a rule.
type Fault struct {
	_              struct{} `cbor:",toarray"`
	Kind           FaultKind
	Writer, Reader ident.ID
	First, Second  wire.Signed // promises of Writer to Reader
	Before, After  []wire.Lock // DroppedUncancelled: the open locks of First and of Second
	Acked          wire.Signed // DroppedUncancelled: the promise of Reader that Second acknowledges, none before its first
	Cancels        []uint64    // DroppedUncancelled: the numbers that Acked gives up
}

func (f *Fault) Error() string {
	return fmt.Sprintf("fault: %s %s", f.Writer.Short(), f.Kind)
}

// Encode gives the one spelling of the evidence.
func (f *Fault) Encode() []byte { return wire.Marshal(f) }

// DecodeFault reads evidence without judging it.
func DecodeFault(data []byte) (*Fault, error) {
	f := new(Fault)
	if err := wire.Unmarshal(data, f); err != nil {
		return nil, err
	}
	return f, nil
}

// Verifier checks signatures.
type Verifier interface {
	Verify(id ident.ID, tag ident.Tag, msg []byte, sig ident.Signature) bool
}

// Verify says whether the evidence proves the fault, and if not, why. It needs nothing but the evidence.
func (f *Fault) Verify(v Verifier) error {
	for _, s := range []wire.Signed{f.First, f.Second} {
		if !v.Verify(f.Writer, wire.TagPromise, s.Body, s.Sig) {
			return fmt.Errorf("%w of %s", wire.ErrSignature, f.Writer.Short())
		}
	}
	return f.holds()
}

// holds judges everything but the signatures.
func (f *Fault) holds() error {
	var first, second wire.Promise
	if err := wire.Unmarshal(f.First.Body, &first); err != nil {
		return err
	}
	if err := wire.Unmarshal(f.Second.Body, &second); err != nil {
		return err
	}
	for _, p := range []*wire.Promise{&first, &second} {
		if p.From != f.Writer || p.To != f.Reader {
			return fmt.Errorf("promise of %s to %s is not between the two named", p.From.Short(), p.To.Short())
		}
	}
	if first.Epoch != second.Epoch {
		return fmt.Errorf("epochs %d and %d differ", first.Epoch, second.Epoch)
	}
	switch f.Kind {
	case Equivocated:
		if first.Seq != second.Seq || f.First.Hash() == f.Second.Hash() {
			return fmt.Errorf("promises %d and %d do not contradict each other", first.Seq, second.Seq)
		}
		return nil
	case Shrank:
		for _, l := range first.Lines {
			if first.Seq < second.Seq && second.Line(l.Currency).Owed < l.Owed {
				return nil
			}
		}
		return fmt.Errorf("owed did not shrink from promise %d to %d", first.Seq, second.Seq)
	case DroppedUncancelled:
		return f.holdsDrop(&first, &second)
	}
	return fmt.Errorf("unknown fault %d", f.Kind)
}

// holdsDrop: the locks that ended without the reader's cancel are together more than the debt that was added (spec C-51).
func (f *Fault) holdsDrop(first, second *wire.Promise) error {
	if first.Seq >= second.Seq {
		return fmt.Errorf("promise %d is not older than %d", first.Seq, second.Seq)
	}
	if err := standsFor(first, f.Before); err != nil {
		return err
	}
	if err := standsFor(second, f.After); err != nil {
		return err
	}
	var acked wire.Promise
	if second.Ack.Seq > 0 {
		if err := wire.Unmarshal(f.Acked.Body, &acked); err != nil {
			return err
		}
		if f.Acked.Hash() != second.Ack.Hash || acked.From != f.Reader || acked.To != f.Writer {
			return fmt.Errorf("the reader's promise is not the one that the second promise acknowledges")
		}
	}
	if first.Mark(f.First).Before(acked.Ack) {
		// The reader lists a cancel until it accepts the drop: of what ended before its ack, its list says nothing.
		return fmt.Errorf("the reader had accepted %d.%d when it listed what it cancels, promise %d is older", acked.Ack.Epoch, acked.Ack.Seq, first.Seq)
	}
	if cancelledDigest(f.Cancels) != acked.Cancelled {
		return fmt.Errorf("the cancelled numbers are not those of the reader's promise")
	}
	lost := map[money.Currency]money.Amount{}
	for _, l := range f.Before {
		open := slices.ContainsFunc(f.After, func(o wire.Lock) bool { return o.Number == l.Number })
		if !open && !slices.Contains(f.Cancels, l.Number) {
			lost[l.Currency] += l.Amount // within the locked sum, which standsFor checked
		}
	}
	for _, l := range first.Lines {
		if lost[l.Currency] > second.Line(l.Currency).Owed-l.Owed {
			return nil
		}
	}
	return fmt.Errorf("every lock that ended was cancelled or became debt")
}

// standsFor checks that the locks are those of the promise.
func standsFor(p *wire.Promise, locks []wire.Lock) error {
	t := newTally()
	for i := range locks {
		if i > 0 && locks[i].Number <= locks[i-1].Number {
			return fmt.Errorf("locks not ascending")
		}
		if locks[i].Amount <= 0 || !t.add(&locks[i], locks[i].Digest()) {
			return fmt.Errorf("lock %d of %d", locks[i].Number, locks[i].Amount)
		}
	}
	return matches(p, t)
}
