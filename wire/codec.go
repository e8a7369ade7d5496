// Package wire is every signed statement and every message of Kula as bytes.
//
// # Encoding
//
// A value is CBOR in core deterministic encoding (RFC 8949 §4.2.1): shortest
// integers, definite lengths, structs as arrays in field order; see package cbor. One value
// has one spelling: [Unmarshal] refuses every other, so a hash or a signature over bytes is
// a hash or a signature over the value.
//
// A signed statement is [Signed]: the statement's bytes, kept verbatim, and an
// Ed25519 signature over tag ‖ 0x00 ‖ bytes. The tags are the Tag constants; a
// signature made for one kind of statement is never valid for another.
//
// A session message is one byte of kind followed by the CBOR of its struct
// ([Encode], [Decode]).
//
// # Limits
//
// Every count and every length has a limit, checked while decoding; see the Max
// constants. Lists that stand for sets are sorted and free of duplicates, or the
// value is refused.
//
// This package judges form only. Whether a statement is true, allowed or timely is
// for credit, pay and route.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"kula/ident"
	"kula/wire/cbor"
)

// Limits of form. A value beyond one is refused before it is looked at further.
const (
	// MaxFrame bounds one message: a snapshot of 2 × 1,000 locks with full blobs is 9 MiB.
	MaxFrame = 12 << 20
	// MaxLocks is how many open locks one promise may carry; 1,000 of 4 KiB keep a snapshot in one frame.
	MaxLocks = 1000
	// MaxAdds is how many adds one promise may bring; as many as locks, a text of MaxText each.
	MaxAdds = 1000
	// MaxBlob is the size of what a lock carries for the nodes behind it (design §4).
	MaxBlob = 4 << 10
	// MaxNote bounds a sealed note between payer and payee: a statement, a signature and a short text.
	MaxNote = 1 << 10
	// MaxLines is how many currencies one channel may have.
	MaxLines = 32
	// MaxText is the longest text (memo, reason) in bytes.
	MaxText = 280
	// MaxName is the longest display name in bytes.
	MaxName = 64
	// MaxAddresses is how many network addresses a node tells.
	MaxAddresses = 16
	// MaxAddress is the longest network address in bytes.
	MaxAddress = 256
	// MaxHops is the longest route in channels.
	MaxHops = 20
	// MaxGroups bounds the groups of one update. A writer who signed more promises than that tells their moves as one group.
	MaxGroups = 64
	// MaxHeads bounds the channels of a backup: with the longest names and addresses it is 1 MiB.
	MaxHeads = 1000
	// MaxKept bounds the encrypted heads that a node keeps for a friend: some 600 channels with an address each, 138 with the
	// longest names and three of the longest addresses. A node of 1,000 friends so keeps 128 MiB for them at most.
	MaxKept = 128 << 10
)

// ErrForm is wrapped by every error of decoding.
var ErrForm = errors.New("malformed")

func formErr(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrForm}, args...)...)
}

// checker is a value that has rules of form beyond its CBOR shape.
type checker interface{ check() error }

// Marshal gives the one spelling of v. It panics for a type that has none, which is a bug of the caller.
func Marshal(v any) []byte { return cbor.Marshal(v) }

// Unmarshal reads the one spelling of a value into v, which is a pointer. Errors wrap [ErrForm].
func Unmarshal(data []byte, v any) error {
	if len(data) > MaxFrame {
		return formErr("%d bytes, at most %d", len(data), MaxFrame)
	}
	if err := cbor.Unmarshal(data, v); err != nil {
		return formErr("%v", err)
	}
	if c, ok := v.(checker); ok {
		return c.check()
	}
	return nil
}

// Signed is a statement's bytes, verbatim, and a signature over them. The zero Signed stands for "none".
type Signed struct {
	_    struct{} `cbor:",toarray"`
	Body []byte
	Sig  ident.Signature
}

// None says whether there is no statement.
func (s Signed) None() bool { return len(s.Body) == 0 }

// Equal says whether both are the same bytes.
func (s Signed) Equal(o Signed) bool { return bytes.Equal(s.Body, o.Body) && s.Sig == o.Sig }

// Hash is the hash of the statement, without the signature.
func (s Signed) Hash() ident.Hash { return ident.HashOf(s.Body) }

// Sign makes a signed statement of v.
func Sign(suite ident.Suite, tag ident.Tag, v any) Signed {
	body := Marshal(v)
	return Signed{Body: body, Sig: suite.Sign(tag, body)}
}

// ErrSignature is returned for a statement whose signature is not the one it needs.
var ErrSignature = errors.New("bad signature")

// Open verifies that s was signed by id under tag and decodes it into v.
func Open(suite ident.Suite, id ident.ID, tag ident.Tag, s Signed, v any) error {
	if err := Unmarshal(s.Body, v); err != nil {
		return err
	}
	if !suite.Verify(id, tag, s.Body, s.Sig) {
		return fmt.Errorf("%w of %s under %q", ErrSignature, id.Short(), tag)
	}
	return nil
}

func checkText(what, s string, limit int) error {
	if len(s) > limit {
		return formErr("%s of %d bytes, at most %d", what, len(s), limit)
	}
	if !utf8.ValidString(s) {
		return formErr("%s is not UTF-8", what)
	}
	for _, r := range s {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == 0x2028 || r == 0x2029 || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return formErr("%s holds the control character %U", what, r)
		}
	}
	return nil
}

// CleanText says whether s may stand as a text of at most limit bytes: UTF-8, no control
// characters, none that change the direction of writing.
func CleanText(s string, limit int) error { return checkText("text", s, limit) }

func checkAddresses(list []string) error {
	if len(list) > MaxAddresses {
		return formErr("%d addresses, at most %d", len(list), MaxAddresses)
	}
	for _, a := range list {
		if err := checkText("address", a, MaxAddress); err != nil {
			return err
		}
	}
	return nil
}

// ascending checks that numbers rise and stay within limit in count.
func ascending(what string, numbers []uint64, limit int) error {
	if len(numbers) > limit {
		return formErr("%d %s, at most %d", len(numbers), what, limit)
	}
	for i := 1; i < len(numbers); i++ {
		if numbers[i] <= numbers[i-1] {
			return formErr("%s not ascending at %d", what, numbers[i])
		}
	}
	return nil
}

// Check says whether a statement about to be signed has the form that readers accept.
func Check(v interface{ check() error }) error { return v.check() }
