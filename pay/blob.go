package pay

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// Route is one way to the payee: every node after the payer, and what is locked towards each.
type Route struct {
	Hops    []ident.ID     // payee last
	Amounts []money.Amount // Amounts[i] is locked towards Hops[i]; the last is what the payee gets
}

// Arrives is what the route brings to the payee.
func (r Route) Arrives() money.Amount { return r.Amounts[len(r.Amounts)-1] }

// Fee is what the mediators of the route take together.
func (r Route) Fee() money.Amount { return r.Amounts[0] - r.Arrives() }

// Check says whether the route has the form of one: not empty, no node twice, amounts that do not rise.
// The payer may be the last hop of a cycle of three channels or more.
func (r Route) Check(payer ident.ID) error {
	if len(r.Hops) == 0 || len(r.Hops) != len(r.Amounts) || len(r.Hops) > wire.MaxHops {
		return fmt.Errorf("a route of %d hops, must be 1 to %d", len(r.Hops), wire.MaxHops)
	}
	seen := map[ident.ID]bool{}
	for i, h := range r.Hops {
		if seen[h] {
			return fmt.Errorf("the route visits %s twice", h.Short())
		}
		seen[h] = true
		last := i == len(r.Hops)-1
		if h == payer && (!last || len(r.Hops) < 3) {
			return fmt.Errorf("the route returns to the payer after %d hops; a cycle ends there after 3 or more", i+1)
		}
		if r.Amounts[i] <= 0 || i > 0 && r.Amounts[i] > r.Amounts[i-1] {
			return fmt.Errorf("the route carries %d to hop %d", r.Amounts[i], i+1)
		}
	}
	return nil
}

// Sealed is what payer and payee share of one payment.
type Sealed struct {
	Salt ident.Salt
	Key  ident.BoxKey // the payer's ephemeral key
	key  ident.SharedKey
	even bool // of an onion: the payee's words are of one size too
}

// wordSize is a payee's word before it is sealed, with an onion: the longest, 620 bytes (a receipt in the longest currency, in the
// largest batch), behind 2 of its length; up to a multiple of 64. Else a mediator saw by its length how many payments
// the payee answers at once, and how large the whole is of which it carries a part.
const wordSize = 640

// fill makes a word as long as any other.
func fill(word []byte) []byte {
	if 2+len(word) > wordSize {
		panic(fmt.Sprintf("pay: a payee's word of %d bytes, there is room for %d", len(word), wordSize-2))
	}
	out := make([]byte, wordSize)
	binary.BigEndian.PutUint16(out, uint16(len(word)))
	copy(out[2:], word)
	return out
}

// unfill reads what fill made; it has one spelling.
func unfill(b []byte) ([]byte, error) {
	if len(b) == wordSize {
		if n := 2 + int(binary.BigEndian.Uint16(b)); n <= wordSize && len(bytes.Trim(b[n:], "\x00")) == 0 {
			return b[2:n], nil
		}
	}
	return nil, fmt.Errorf("%w: a word of %d bytes that is not filled up to %d with zeros", wire.ErrForm, len(b), wordSize)
}

// AsPayer gives the payer's side, from its salt.
func AsPayer(suite ident.Suite, salt ident.Salt, payee ident.ID) (Sealed, error) {
	eph, key, err := suite.BoxTo(salt, payee)
	return Sealed{Salt: salt, Key: eph, key: key}, err
}

// AsPayee gives the payee's side, from a blob that arrived.
func AsPayee(suite ident.Suite, b *wire.Blob) (Sealed, error) {
	key, err := suite.BoxFrom(b.Key)
	return Sealed{Salt: b.Salt, Key: b.Key, key: key}, err
}

// NewBlob is what the first lock of a part carries.
func (s Sealed) NewBlob(route Route, part wire.PartID, box *wire.Box) []byte {
	b := wire.Blob{Salt: s.Salt, Key: s.Key, Box: ident.Seal(s.key, "box/"+part.String(), wire.Marshal(box))}
	for i := 1; i < len(route.Hops); i++ {
		b.Hops = append(b.Hops, wire.Hop{Next: route.Hops[i], Amount: route.Amounts[i]})
	}
	return wire.Marshal(&b)
}

// ParseBlob reads what a lock carries.
func ParseBlob(data []byte) (*wire.Blob, error) {
	b := new(wire.Blob)
	if err := wire.Unmarshal(data, b); err != nil {
		return nil, err
	}
	return b, nil
}

// Peel gives the next hop of a blob and what the lock towards it carries. The blob has a hop.
func Peel(b *wire.Blob) (wire.Hop, []byte) {
	inner := *b
	inner.Hops = b.Hops[1:]
	return b.Hops[0], wire.Marshal(&inner)
}

// OpenBox reads the box of a part at its payee.
func (s Sealed) OpenBox(b *wire.Blob, part wire.PartID) (*wire.Box, error) {
	plain, ok := ident.Open(s.key, "box/"+part.String(), b.Box)
	if !ok {
		return nil, fmt.Errorf("%w: the box is not sealed to me", wire.ErrForm)
	}
	box := new(wire.Box)
	if err := wire.Unmarshal(plain, box); err != nil {
		return nil, err
	}
	return box, nil
}

// PayerProof shows the payee that the payer of a box is who it says: an HMAC under their pair key.
func PayerProof(pair ident.SharedKey, part wire.PartID, payment wire.PaymentID) ident.Hash {
	mac := hmac.New(sha256.New, pair[:])
	mac.Write([]byte("kula/payer/1"))
	mac.Write(part[:])
	mac.Write(payment[:])
	return ident.Hash(mac.Sum(nil))
}

// WordKind is what a payee says to the payer of a part.
type WordKind ident.Tag

// The kinds: that a part is locked to the payee, and that a push was paid.
const (
	Arrived  = WordKind(wire.TagArrived)
	Received = WordKind(wire.TagReceived)
)

func (k WordKind) seal(part wire.PartID) string {
	if k == Arrived {
		return "arrived/" + part.String()
	}
	return "received/" + part.String()
}

// SealWord seals the payee's word about a part to the payer.
func (s Sealed) SealWord(k WordKind, part wire.PartID, signed *wire.Batched) []byte {
	word := wire.Marshal(signed)
	if s.even {
		word = fill(word)
	}
	return ident.SealAgain(s.key, k.seal(part), word)
}

// Word is a payee's word as the payer reads it, not yet verified.
type Word struct {
	Signed wire.Batched
	Check  ident.Check // what verifies it
}

// OpenWord reads the word of a payee about a part at the payer.
func (s Sealed) OpenWord(k WordKind, payee ident.ID, part wire.PartID, note []byte) (*Word, error) {
	plain, ok := ident.OpenAgain(s.key, k.seal(part), note)
	if !ok {
		return nil, fmt.Errorf("%w: not sealed by the payee", wire.ErrForm)
	}
	if s.even {
		var err error
		if plain, err = unfill(plain); err != nil {
			return nil, err
		}
	}
	w := new(Word)
	if err := wire.Unmarshal(plain, &w.Signed); err != nil {
		return nil, err
	}
	w.Check = w.Signed.Check(payee, ident.Tag(k))
	return w, nil
}

func (w *Word) read(v Verifier, into any) error {
	if err := wire.Unmarshal(w.Signed.Body, into); err != nil {
		return err
	}
	if c := &w.Check; !v.Verify(c.ID, c.Tag, c.Msg, c.Sig) {
		return fmt.Errorf("%w of the payee %s", wire.ErrSignature, c.ID.Short())
	}
	return nil
}

// Arrived checks that the payee signed what the payer locked.
func (w *Word) Arrived(v Verifier, want *wire.Arrived) error {
	var got wire.Arrived
	if err := w.read(v, &got); err != nil {
		return err
	}
	if got != *want {
		return fmt.Errorf("the payee acknowledges %d of payment %s, expected %d of %s", got.Amount, got.Payment, want.Amount, want.Payment)
	}
	return nil
}

// Received is a push's receipt that the payee signed.
func (w *Word) Received(v Verifier) (*wire.Received, error) {
	r := new(wire.Received)
	if err := w.read(v, r); err != nil {
		return nil, err
	}
	return r, nil
}

func orderKind(cancel bool, part wire.PartID) string {
	if cancel {
		return "cancel/" + part.String()
	}
	return "open/" + part.String()
}

// SealOrder is what the payer tells the payee along an open lock. The first byte of the note says which kind.
func (s Sealed) SealOrder(part wire.PartID, o *wire.Order) []byte {
	lead := byte('o')
	if o.Cancel {
		lead = 'c'
	}
	return append([]byte{lead}, ident.Seal(s.key, orderKind(o.Cancel, part), wire.Marshal(o))...)
}

// OpenOrder reads it at the payee.
func (s Sealed) OpenOrder(part wire.PartID, note []byte) (*wire.Order, error) {
	if len(note) == 0 || note[0] != 'o' && note[0] != 'c' {
		return nil, fmt.Errorf("%w: an order leads with o or c", wire.ErrForm)
	}
	cancel := note[0] == 'c'
	plain, ok := ident.Open(s.key, orderKind(cancel, part), note[1:])
	if !ok {
		return nil, fmt.Errorf("%w: the order is not sealed by the payer", wire.ErrForm)
	}
	o := new(wire.Order)
	if err := wire.Unmarshal(plain, o); err != nil {
		return nil, err
	}
	if o.Cancel != cancel {
		return nil, fmt.Errorf("%w: the order leads with %q and says otherwise", wire.ErrForm, note[0])
	}
	return o, nil
}

// SealReason seals why a part came back to the payer's ephemeral key of its blob. friend and number
// name the refused lock; with the reason itself they give each reason a key of its own, after a lost disk too.
func SealReason(suite ident.Suite, payer ident.BoxKey, friend ident.ID, number uint64, r *wire.Reason) []byte {
	plain := wire.Marshal(r)
	h := ident.HashOf([]byte("kula/reason/1"), friend[:], wire.Marshal(number), plain)
	eph, key, err := suite.ReplyTo(ident.Salt(h[:16]), payer)
	if err != nil {
		return nil // a payer with a key of no use gets no reason
	}
	return append(eph[:], ident.Seal(key, "reason", plain)...)
}

// OpenReason reads a reason at the payer.
func OpenReason(suite ident.Suite, salt ident.Salt, note []byte) (*wire.Reason, error) {
	if len(note) < 32 {
		return nil, fmt.Errorf("%w: reason of %d bytes", wire.ErrForm, len(note))
	}
	key, err := suite.ReplyFrom(salt, ident.BoxKey(note[:32]))
	if err != nil {
		return nil, err
	}
	plain, ok := ident.Open(key, "reason", note[32:])
	if !ok {
		return nil, fmt.Errorf("%w: the reason is not sealed to me", wire.ErrForm)
	}
	r := new(wire.Reason)
	if err := wire.Unmarshal(plain, r); err != nil {
		return nil, err
	}
	return r, nil
}
