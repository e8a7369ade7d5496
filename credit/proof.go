package credit

import (
	"fmt"
	"slices"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// Proof is what one friend can show to a stranger: the newest promise of each side.
type Proof struct {
	_      struct{}    `cbor:",toarray"`
	Mine   wire.Signed // of the one who shows it; none if it never promised anything
	Theirs wire.Signed
}

// Net is one currency of a proof. Amount > 0: Debtor owes Creditor so much.
type Net struct {
	Debtor, Creditor ident.ID
	Value            money.Value
	Locked           money.Amount // further debt of Debtor that depends on conditions
}

// Shown is what a proof says.
type Shown struct {
	By, About ident.ID
	AsOf      int64 // unix milliseconds, the writer's clock: when About signed
	Nets      []Net // by currency
}

// Proof of the channel as I hold it.
func (c *Channel) Proof() *Proof { return &Proof{Mine: c.Mine.Signed, Theirs: c.Theirs.Signed} }

// Encode gives the one spelling.
func (p *Proof) Encode() []byte { return wire.Marshal(p) }

// DecodeProof reads a proof without judging it.
func DecodeProof(data []byte) (*Proof, error) {
	p := new(Proof)
	if err := wire.Unmarshal(data, p); err != nil {
		return nil, err
	}
	return p, nil
}

// Verify checks a proof offline and says what it shows. It shows what About owed at least, up to the
// promise of By that About acknowledged; a promise of By that is older than that acknowledged one,
// or that About cannot have known to the figures, is refused.
func (p *Proof) Verify(v Verifier) (*Shown, error) {
	var mine, theirs wire.Promise
	if p.Theirs.None() {
		return nil, fmt.Errorf("no promise of the other side: nothing is proved")
	}
	if err := wire.Unmarshal(p.Theirs.Body, &theirs); err != nil {
		return nil, err
	}
	if !v.Verify(theirs.From, wire.TagPromise, p.Theirs.Body, p.Theirs.Sig) {
		return nil, fmt.Errorf("%w of %s", wire.ErrSignature, theirs.From)
	}
	mine.From, mine.To = theirs.To, theirs.From
	if !p.Mine.None() {
		if err := wire.Unmarshal(p.Mine.Body, &mine); err != nil {
			return nil, err
		}
		if !v.Verify(theirs.To, wire.TagPromise, p.Mine.Body, p.Mine.Sig) {
			return nil, fmt.Errorf("%w of %s", wire.ErrSignature, theirs.To)
		}
		if mine.From != theirs.To || mine.To != theirs.From {
			return nil, fmt.Errorf("the two promises are not of one channel")
		}
	}
	if err := judgePair(p, &mine, &theirs); err != nil {
		return nil, err
	}
	return shown(&mine, &theirs, p.Theirs)
}

// judgePair checks that mine is at least what theirs acknowledges.
func judgePair(p *Proof, mine, theirs *wire.Promise) error {
	mark := markOf(mine, p.Mine)
	switch ack := theirs.Ack; {
	case mark.Before(ack):
		return fmt.Errorf("the holder shows its promise %d.%d, the other side acknowledged %d.%d", mark.Epoch, mark.Seq, ack.Epoch, ack.Seq)
	case mark.SameNumber(ack):
		if mark != ack {
			return fmt.Errorf("the holder's promise %d.%d is not the one that the other side acknowledged", mark.Epoch, mark.Seq)
		}
		return nil
	case mark.Epoch == ack.Epoch:
		return nil
	case mine.Start != nil && mine.Start.Mine.Epoch == ack.Epoch:
		return nil
	}
	return fmt.Errorf("the holder's promise is of epoch %d, which the other side (epoch %d acknowledged) never answered", mark.Epoch, theirs.Ack.Epoch)
}

// halfRenewed is what mine still lacks or has too little of, next to theirs, while a renewal is
// answered by one side only: the smaller key begins, the larger answers.
func halfRenewed(mine, theirs *wire.Promise, signed wire.Signed, cur money.Currency) money.Amount {
	switch {
	case smaller(mine.From, mine.To):
		if mine.Start != nil && theirs.Ack.Epoch != mine.Epoch {
			return lessOf(mine.Start.Less, cur) // begun, not answered
		}
	case theirs.Start != nil && mine.Ack.Before(theirs.Mark(signed)):
		return -lessOf(theirs.Start.Less, cur) // not answered yet
	}
	return 0
}

func shown(mine, theirs *wire.Promise, signed wire.Signed) (*Shown, error) {
	s := &Shown{By: mine.From, About: theirs.From, AsOf: theirs.Time}
	var list []money.Currency
	for _, l := range append(slices.Clone(mine.Lines), theirs.Lines...) {
		list = append(list, l.Currency)
	}
	slices.Sort(list)
	for _, cur := range slices.Compact(list) {
		my, their := mine.Line(cur), theirs.Line(cur)
		owed, ok := my.Owed.Add(halfRenewed(mine, theirs, signed, cur))
		if !ok || owed < 0 {
			return nil, fmt.Errorf("the renewal subtracts more %s than was owed", cur)
		}
		my.Owed = owed
		n := Net{Debtor: theirs.From, Creditor: mine.From, Locked: their.Locked, Value: money.Value{Amount: their.Owed - my.Owed, Currency: cur}}
		if n.Value.Amount < 0 {
			n = Net{Debtor: mine.From, Creditor: theirs.From, Locked: my.Locked, Value: money.Value{Amount: -n.Value.Amount, Currency: cur}}
		}
		s.Nets = append(s.Nets, n)
	}
	return s, nil
}
