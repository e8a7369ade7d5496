package ident

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// Signature is an Ed25519 signature, R ‖ s.
type Signature [64]byte

// Tag is the domain of a signature: the kind of statement and its version, such
// as "kula/promise/1". Tags are constants of the program, of 1 to 64 characters
// of printable ASCII without spaces.
type Tag string

// maxTag keeps tags short enough to read; it also means that a tag is never
// mistaken for data.
const maxTag = 64

// signed returns the bytes that a signature covers. A tag that is not one is a
// mistake in the program, and panics.
func signed(tag Tag, msg []byte) []byte {
	if len(tag) == 0 || len(tag) > maxTag {
		panic(fmt.Sprintf("ident: tag %q has %d characters, not 1 to %d", string(tag), len(tag), maxTag))
	}
	for i := range len(tag) {
		if tag[i] <= ' ' || tag[i] > '~' {
			panic(fmt.Sprintf("ident: tag %q has a character that is not printable ASCII", string(tag)))
		}
	}
	b := make([]byte, 0, len(tag)+1+len(msg))
	b = append(b, tag...)
	b = append(b, 0)
	return append(b, msg...)
}

// zip215 is ZIP-215 for keys that are valid IDs: R is free, A is not.
var zip215 = &ed25519.Options{Verify: &ed25519.VerifyOptions{
	AllowSmallOrderR:   true,
	AllowNonCanonicalR: true,
}}

// Verify says whether sig is id's signature of msg in the domain tag. It is for
// those who have no Key, such as a reader of receipts; Suite.Verify gives the
// same answer.
func Verify(id ID, tag Tag, msg []byte, sig Signature) bool {
	return ed25519.VerifyWithOptions(id[:], signed(tag, msg), sig[:], zip215)
}

// Salt picks one of the secrets that a Key derives: 16 random bytes, drawn once
// for each secret, kept beside what the secret is for, and not secret themselves.
type Salt [16]byte

// Preimage is the secret whose hash locks a payment.
type Preimage [32]byte

// Hash returns the SHA-256 of p, as in Lightning's hash locks.
func (p Preimage) Hash() Hash { return sha256.Sum256(p[:]) }

// Hash is a SHA-256 hash.
type Hash [32]byte

// HashOf returns the hash of the concatenation of its arguments. It marks no
// bounds between them: all but one have a fixed length, or tell their own.
func HashOf(b ...[]byte) Hash {
	if len(b) == 1 {
		return sha256.Sum256(b[0])
	}
	var small [512]byte // in one piece it takes half the time
	all := small[:0]
	for _, part := range b {
		all = append(all, part...)
	}
	return sha256.Sum256(all)
}

// String returns the hash in lower-case hex, 64 characters.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// SharedKey encrypts between two sides; see Seal.
type SharedKey [32]byte

// BoxKey is an ephemeral X25519 public key.
type BoxKey [32]byte

// Check is one signature to verify: that ID signed Msg in the domain Tag.
type Check struct {
	ID  ID
	Tag Tag
	Msg []byte
	Sig Signature
}

// Suite is the cryptography that a node calls inline: everything done with its
// own secrets, and the verification of others' signatures. Key is the real one;
// a simulator brings a cheap stand-in, which is why this is an interface.
//
// A Suite is used from one goroutine at a time. Its methods are functions of the
// seed and their arguments: same arguments, same answers.
type Suite interface {
	// ID is who signs.
	ID() ID
	// Sign signs msg in the domain tag. It panics if tag is not a tag.
	Sign(tag Tag, msg []byte) Signature
	// Verify says whether sig is id's signature of msg in the domain tag. An id
	// that is not valid has signed nothing. It panics if tag is not a tag.
	Verify(id ID, tag Tag, msg []byte, sig Signature) bool
	// VerifyAll says whether Verify would say so of each check. From MinBatch on it costs
	// less.
	VerifyAll(checks []Check) bool
	// Preimage returns the preimage I chose with salt.
	Preimage(salt Salt) Preimage
	// BoxTo returns the ephemeral key of salt and the key that it shares with the
	// identity to. It is an error if to is not valid.
	BoxTo(salt Salt, to ID) (BoxKey, SharedKey, error)
	// BoxFrom returns the key that somebody's BoxTo my identity gave, from its
	// ephemeral key. It is an error if eph gives no secret.
	BoxFrom(eph BoxKey) (SharedKey, error)
	// ReplyTo returns my own ephemeral key of salt and the key that it shares with
	// the ephemeral key of somebody's BoxTo: how a mediator answers a payer it does
	// not know. It is an error if eph gives no secret.
	ReplyTo(salt Salt, eph BoxKey) (BoxKey, SharedKey, error)
	// ReplyFrom returns the key of a ReplyTo the ephemeral key that I made with
	// BoxTo and salt; eph is the replier's. It is an error if eph gives no secret.
	ReplyFrom(salt Salt, eph BoxKey) (SharedKey, error)
	// OnionTo returns the keys of the onion that I wrap with salt for a route, every node after me.
	// It is an error if one of them is not valid. No two onions have one salt.
	OnionTo(salt Salt, hops []ID) (*Layers, error)
	// OnionFrom returns the key that somebody's OnionTo shares with my identity, from the
	// ephemeral key that reached me. It is an error if eph gives no secret.
	OnionFrom(eph BoxKey) (SharedKey, error)
	// OnionNext returns the ephemeral key for the next hop, from the one that reached me and
	// what OnionFrom made of it.
	OnionNext(eph BoxKey, key SharedKey) BoxKey
	// Pair returns the key that my identity shares with the identity other, the same
	// on both sides and for ever. It proves to other, and to nobody else, that a
	// message is mine. It is an error if other is not valid.
	Pair(other ID) (SharedKey, error)
	// Secret returns 32 bytes that only I can know, a different 32 for each
	// purpose.
	Secret(purpose string) [32]byte
}
