// Package ident holds identities: Ed25519 keys, their three spellings,
// signatures that name what they are for, secrets derived from one seed, and
// sealed boxes.
//
// # Identities
//
// An ID is the 32 bytes of an Ed25519 public key (RFC 8032). It is valid if it is
// the canonical encoding of a point of the curve that is not one of the eight of
// small order. For a point of small order one signature fits every message; a
// second encoding would give one key two names. Points with a component of small
// order are valid: nobody but the owner can sign for them either.
//
// # Spellings
//
// A key has three spellings, each of them unique:
//
//	z-base-32  52 characters of ybndrfg8ejkmcpqxot1uwisza345h769, most significant bits
//	           first, the last four bits 0; so the last character is y or o
//	did:key    did:key:z + base58btc(0xed 0x01 ‖ key); begins did:key:z6Mk
//	peer id    base58btc(0x00 0x24 0x08 0x01 0x12 0x20 ‖ key), the identity multihash of
//	           libp2p's protobuf of the key; begins 12D3Koo
//
// z-base-32 is the primary one, and the only one this package writes as text.
// ParseID reads all three and nothing else: no capitals, spaces or padding.
//
// # Signatures
//
// A signature is plain Ed25519 over tag ‖ 0x00 ‖ message. The tag, printable ASCII,
// says what kind of statement it is and in which version, so no statement can
// be passed off as one of another kind. Signing is deterministic (RFC 8032).
// Verification is by ZIP-215: s is below the group order, R may be any encoding of
// any point, and [8][s]B = [8]R + [8][k]A; and A is a valid ID. All who verify agree,
// one by one or in batches, on crafted signatures too.
//
// # Derived secrets
//
// Everything a Key holds follows from a master seed of 32 bytes, written as 24
// words (see NewWords). With HKDF(s, info) = HKDF-SHA256(secret s, no salt, info),
// 32 bytes long, and quoted texts as ASCII:
//
//	identity seed (RFC 8032)   HKDF(master, "kula identity 1")
//	preimage of a salt         HMAC-SHA256(HKDF(master, "kula preimage 1"), salt)
//	ephemeral secret of a box  HMAC-SHA256(HKDF(master, "kula box 1"), salt)
//	… of a reply               HMAC-SHA256(HKDF(master, "kula reply 1"), salt)
//	… of an onion              HMAC-SHA256(HKDF(master, "kula onion 1"), salt)
//	what fills an onion        HMAC-SHA256(HKDF(master, "kula onion pad 1"), salt)
//	secret of a purpose        HKDF(master, "kula secret 1 " ‖ purpose)
//
// So whoever kept the words and the salts (which are not secret) has the rest
// again after losing a disk.
//
// # Boxes
//
// A box is encrypted with a SharedKey, which two sides compute by X25519 (RFC
// 7748), one of them with an ephemeral secret e, whose public part E is a BoxKey:
//
//	BoxTo/BoxFrom      HKDF(X25519(e, P), "kula box 1"   ‖ E ‖ P), P: the payee's identity as X25519
//	ReplyTo/ReplyFrom  HKDF(X25519(r, E), "kula reply 1" ‖ R ‖ E), R: the replier's ephemeral key
//
// P is the birational image u = (1+y)/(1−y) of the identity, its secret the clamped first
// half of SHA-512(identity seed). A shared secret of all zeros is refused. Box
// and reply have separate ephemeral secrets, so a payer's keys never answer
// anybody. The box itself is NaCl's secretbox (XSalsa20-Poly1305); see Seal.
//
// # Onions
//
// The keys of an onion are those of Sphinx (Danezis and Goldberg 2009) over Curve25519, the group in which its
// authors built it. With P₁, P₂… the identities of the hops as X25519, e the ephemeral secret of a salt, clamped, and B the
// base point, for each hop i:
//
//	c₁ = e                     E₁ = c₁·B
//	Kᵢ = HKDF(cᵢ·Pᵢ, "kula onion 1" ‖ Eᵢ ‖ Pᵢ)
//	bᵢ = SHA-512("kula onion 1" ‖ Eᵢ ‖ Kᵢ), little-endian, modulo the order of the group
//	cᵢ₊₁ = cᵢ·bᵢ               Eᵢ₊₁ = bᵢ·Eᵢ
//
// The payer (OnionTo) knows all cᵢ. A hop gets Eᵢ, computes Kᵢ by X25519 with the secret of its identity (OnionFrom), and
// gives Eᵢ₊₁ to the next (OnionNext): one key goes along the whole route and no two hops see the same. What is done with
// the Kᵢ is package onion's.
//
// The package never reads a clock, a file or a random source: seeds and salts come
// from the caller, who draws them at random.
package ident

import (
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/mr-tron/base58"
	"github.com/oasisprotocol/curve25519-voi/curve"
)

// ID is an identity: an Ed25519 public key. An ID that did not come from ParseID
// may be any 32 bytes: ask Valid. The zero ID is not valid.
type ID [32]byte

const (
	textLen = 52 // 256 bits at 5 bits a character, rounded up
	didLen  = 56 // "did:key:z" and 47 digits: 34 bytes that begin with 0xed
	peerLen = 52 // a 1 for the zero byte and 51 digits: 37 bytes that begin with 0x24

	// shortLen is 40 bits: enough to tell friends apart, short enough to read out.
	shortLen = 8

	alphabet = "ybndrfg8ejkmcpqxot1uwisza345h769" // of z-base-32

	didPrefix  = "did:key:z"
	didCodec   = "\xed\x01" // multicodec ed25519-pub as a varint
	peerPrefix = "12D3Koo"  // what the fixed first bytes of every Ed25519 peer id give
	// peerCodec is identity multihash (0x00) of 36 bytes (0x24), which are the protobuf
	// fields Type (0x08) = Ed25519 (0x01) and Data (0x12) of 32 bytes (0x20).
	peerCodec = "\x00\x24\x08\x01\x12\x20"
)

// zbase32 is base32 with the alphabet of z-base-32. Go's decoder ignores line
// ends and the spare bits of the last character; ParseID does not.
var zbase32 = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// String returns the key in z-base-32, 52 characters.
func (id ID) String() string { return zbase32.EncodeToString(id[:]) }

// LooksLikeKey says whether people could take s for a key or for the beginning of one, whatever its case: the letters
// and digits of z-base-32 and nothing else, from 8 characters on, or what another spelling begins with. Words without a
// digit are no keys until they are as long as one: "Benjamin" is a name.
func LooksLikeKey(s string) bool {
	s = strings.ToLower(strings.ToUpper(s)) // both: some letters beyond ASCII fold only one way
	if strings.HasPrefix(s, didPrefix) || strings.HasPrefix(s, strings.ToLower(peerPrefix)) {
		return true
	}
	if len(s) < shortLen || strings.Trim(s, alphabet) != "" {
		return false
	}
	return len(s) >= textLen || strings.ContainsAny(s, "0123456789")
}

// Begins says whether s is the beginning of the key in z-base-32, whatever its case, and long enough to stand for it.
func (id ID) Begins(s string) bool {
	return len(s) >= shortLen && strings.HasPrefix(id.String(), strings.ToLower(strings.ToUpper(s)))
}

// Short returns the first 8 characters of String, for people to look at. It
// proves nothing: others can make keys that begin alike.
func (id ID) Short() string { return id.String()[:shortLen] }

// DID returns the key as a did:key.
func (id ID) DID() string {
	return didPrefix + base58.Encode(append([]byte(didCodec), id[:]...))
}

// Peer returns the libp2p peer id of the key, 12D3Koo….
func (id ID) Peer() string {
	return base58.Encode(append([]byte(peerCodec), id[:]...))
}

// Valid says whether id is a key somebody can own; see the package comment.
func (id ID) Valid() bool {
	_, err := id.point()
	return err == nil
}

// The ways in which 32 bytes are not an identity.
var (
	errNotPoint   = errors.New("not a point of the curve")
	errNotUnique  = errors.New("not the canonical encoding of a point")
	errSmallOrder = errors.New("a point of small order, for which anybody can sign")
)

// point decodes a valid id.
func (id ID) point() (*curve.EdwardsPoint, error) {
	compressed := curve.CompressedEdwardsY(id)
	p, err := curve.NewEdwardsPoint().SetCompressedY(&compressed)
	if err != nil {
		return nil, errNotPoint
	}
	if !compressed.IsCanonicalVartime() {
		return nil, errNotUnique
	}
	if p.IsSmallOrder() {
		return nil, errSmallOrder
	}
	return p, nil
}

// ParseID reads a key in any of its three spellings.
func ParseID(s string) (ID, error) {
	id, err := decodeID(s)
	if err == nil {
		_, err = id.point()
	}
	if err == nil {
		return id, nil
	}
	if len(s) > 2*didLen {
		s = s[:didLen] + "…" // what is that long need not be repeated in full
	}
	return ID{}, fmt.Errorf("key %q: %w", s, err)
}

func decodeID(s string) (ID, error) {
	switch {
	case strings.HasPrefix(s, "did:"):
		return decode58(s, didPrefix, didCodec, didLen, "a did:key of an Ed25519 key is did:key:z6Mk… with %d characters")
	case strings.HasPrefix(s, peerPrefix):
		return decode58(s, "", peerCodec, peerLen, "a peer id of an Ed25519 key is 12D3Koo… with %d characters")
	}
	if len(s) != textLen {
		return ID{}, fmt.Errorf("%d characters; a key is %d characters of z-base-32, or a did:key, or a peer id", len(s), textLen)
	}
	var id ID
	// s is 52 bytes, so at most 32 come out, fewer if there are line ends in it.
	if _, err := zbase32.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("z-base-32: %w", err)
	}
	if id.String() != s {
		return ID{}, errors.New("not canonical z-base-32: the last character is y or o")
	}
	return id, nil
}

// decode58 reads prefix ‖ base58btc(codec ‖ key). The length is checked first because
// decoding base58 takes time quadratic in it; the result is encoded again so that
// a lenient decoder cannot give a key a second spelling.
func decode58(s, prefix, codec string, length int, want string) (ID, error) {
	bad := fmt.Errorf(want, length)
	if len(s) != length || !strings.HasPrefix(s, prefix) {
		return ID{}, bad
	}
	raw, err := base58.Decode(s[len(prefix):])
	if err != nil {
		return ID{}, fmt.Errorf("base58: %w", err)
	}
	var id ID
	if len(raw) != len(codec)+len(id) || string(raw[:len(codec)]) != codec {
		return ID{}, bad
	}
	copy(id[:], raw[len(codec):])
	if prefix+base58.Encode(raw) != s {
		return ID{}, errors.New("not canonical base58")
	}
	return id, nil
}

// MarshalText returns the key in z-base-32. It is an error for the zero id, which
// stands for none; other ids are taken as they are, for a full check costs as much as
// half a signature.
func (id ID) MarshalText() ([]byte, error) {
	if id == (ID{}) {
		return nil, errors.New("no key to write")
	}
	return []byte(id.String()), nil
}

// UnmarshalText reads what ParseID reads. On an error id is unchanged.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
