package pay

import (
	"bytes"
	"strings"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// P-30, P-34: along with an onion the payee's words are of one size, from the shortest, signed alone, to the longest in the
// largest batch; the payer reads them, and takes nothing that is filled up otherwise.
func TestWordsOfOneSize(t *testing.T) {
	s := AsOnionPayer(payer, salt)
	long := money.Currency("ABCDEFGHIJKL/9@" + strings.Repeat("y", 52))
	longest := &wire.Batched{
		Body:  wire.Marshal(&wire.Received{Payment: payment, Payee: payee.ID(), Currency: long, Amount: money.MaxLimit, Time: 1 << 53}),
		Index: 1<<wire.MaxPath - 1, Path: make([]ident.Hash, wire.MaxPath),
	}
	if !long.Valid() || len(wire.Marshal(longest)) != 620 {
		t.Errorf("the longest word has %d bytes, wordSize says 620", len(wire.Marshal(longest)))
	}
	alone := wire.SignAlone(payee, wire.TagArrived, &wire.Arrived{Payment: payment, Part: part, Amount: 1})
	receipt := wire.SignAlone(payee, wire.TagReceived, &wire.Received{Payment: payment, Payee: payee.ID(), Currency: "AB/0", Amount: 1})
	size := 0
	for name, w := range map[string]struct {
		kind WordKind
		word *wire.Batched
	}{
		"shortest": {Arrived, &alone}, "a receipt": {Received, &receipt}, "longest": {Received, longest},
	} {
		note := s.SealWord(w.kind, part, w.word)
		if size == 0 {
			size = len(note)
		}
		if len(note) != size || size > wire.MaxNote {
			t.Errorf("%s: %d bytes, others %d, at most %d", name, len(note), size, wire.MaxNote)
		}
		got, err := s.OpenWord(w.kind, payee.ID(), part, note)
		if err != nil || !bytes.Equal(wire.Marshal(&got.Signed), wire.Marshal(w.word)) {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	good := fill(wire.Marshal(&alone))
	for name, bad := range map[string][]byte{
		"not filled":       wire.Marshal(&alone),
		"too short":        good[:wordSize-1],
		"too long":         append(bytes.Clone(good), 0),
		"something behind": append(bytes.Clone(good[:wordSize-1]), 1),
		"length beyond":    append([]byte{255, 255}, good[2:]...),
		"empty":            nil,
	} {
		if w, err := s.OpenWord(Arrived, payee.ID(), part, ident.SealAgain(s.key, Arrived.seal(part), bad)); err == nil {
			t.Errorf("%s: taken, %+v", name, w)
		}
	}
}
