package ident

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
	"github.com/oasisprotocol/curve25519-voi/primitives/x25519"
)

// The domains of everything derived from the master seed; see the package
// comment. The number is the version of the derivation: changing what one gives
// would lose people's open payments.
const (
	infoIdentity = "kula identity 1"
	infoPreimage = "kula preimage 1"
	infoBox      = "kula box 1"
	infoReply    = "kula reply 1"
	infoPair     = "kula pair 1"
	infoSecret   = "kula secret 1 " // the purpose follows
)

// Key is the real Suite. It is used from one goroutine at a time: Verify keeps
// the keys that signed before. Printing it prints secrets.
type Key struct {
	id       ID
	master   [32]byte
	identity [32]byte           // seed of the Ed25519 key
	signing  ed25519.PrivateKey // seed ‖ public key
	agree    [32]byte           // my identity's X25519 secret
	agreeID  BoxKey             // and its public key
	preimage [32]byte           // HMAC keys, by use of the salt
	box      [32]byte
	reply    [32]byte
	seen     verifiers
}

var _ Suite = (*Key)(nil)

// NewKey returns the key of a master seed, 32 bytes drawn at random once in the
// life of an identity.
func NewKey(master [32]byte) *Key {
	k := &Key{
		master:   master,
		identity: derive(master[:], infoIdentity),
		preimage: derive(master[:], infoPreimage),
		box:      derive(master[:], infoBox),
		reply:    derive(master[:], infoReply),
		seen:     verifiers{keys: map[ID]*ed25519.ExpandedPublicKey{}},
	}
	k.signing = ed25519.NewKeyFromSeed(k.identity[:])
	k.id = ID(k.signing[32:])
	half := sha512.Sum512(k.identity[:])
	copy(k.agree[:], half[:32]) // x25519 clamps it
	x25519.ScalarBaseMult((*[32]byte)(&k.agreeID), &k.agree)
	return k
}

// derive is HKDF of the package comment.
func derive(secret []byte, info string) [32]byte {
	b, err := hkdf.Key(sha256.New, secret, nil, info, 32)
	if err != nil {
		panic(fmt.Sprintf("ident: HKDF of 32 bytes cannot fail: %v", err))
	}
	return [32]byte(b)
}

// salted is HMAC-SHA256(key, salt).
func salted(key [32]byte, salt Salt) [32]byte {
	h := hmac.New(sha256.New, key[:])
	h.Write(salt[:])
	return [32]byte(h.Sum(nil))
}

// ID returns the public key.
func (k *Key) ID() ID { return k.id }

// IdentitySeed returns the RFC 8032 seed of the identity's key, from which the
// transport makes the same key. It is secret.
func (k *Key) IdentitySeed() [32]byte { return k.identity }

// Sign implements Suite.
func (k *Key) Sign(tag Tag, msg []byte) Signature {
	return Signature(ed25519.Sign(k.signing, signed(tag, msg)))
}

// Verify implements Suite.
func (k *Key) Verify(id ID, tag Tag, msg []byte, sig Signature) bool {
	bytes := signed(tag, msg)
	if pub := k.seen.keys[id]; pub != nil {
		return ed25519.VerifyExpandedWithOptions(pub, bytes, sig[:], zip215)
	}
	if !ed25519.VerifyWithOptions(id[:], bytes, sig[:], zip215) {
		return false
	}
	k.seen.add(id)
	return true
}

// MinBatch is from how many signatures on verifying them together is cheaper: of 4 each
// costs three quarters of one alone, of 16 little more than half (BenchmarkVerifyAll).
const MinBatch = 3

// VerifyAll implements Suite.
func (k *Key) VerifyAll(checks []Check) bool {
	if len(checks) < MinBatch {
		for _, c := range checks {
			if !k.Verify(c.ID, c.Tag, c.Msg, c.Sig) {
				return false
			}
		}
		return true
	}
	batch := ed25519.NewBatchVerifierWithCapacity(len(checks))
	for _, c := range checks {
		if pub := k.seen.keys[c.ID]; pub != nil {
			batch.AddExpandedWithOptions(pub, signed(c.Tag, c.Msg), c.Sig[:], zip215)
		} else {
			batch.AddWithOptions(c.ID[:], signed(c.Tag, c.Msg), c.Sig[:], zip215)
		}
	}
	if !batch.VerifyBatchOnly(nil) { // nil: it draws its own random factors
		return false
	}
	for _, c := range checks {
		if k.seen.keys[c.ID] == nil {
			k.seen.add(c.ID)
		}
	}
	return true
}

// Preimage implements Suite.
func (k *Key) Preimage(salt Salt) Preimage { return salted(k.preimage, salt) }

// Secret implements Suite.
func (k *Key) Secret(purpose string) [32]byte { return derive(k.master[:], infoSecret+purpose) }

// BoxTo implements Suite.
func (k *Key) BoxTo(salt Salt, to ID) (BoxKey, SharedKey, error) {
	p, err := to.point()
	if err != nil {
		return BoxKey{}, SharedKey{}, fmt.Errorf("seal to %s: %w", to, err)
	}
	var u curve.MontgomeryPoint
	u.SetEdwards(p)
	secret, eph := ephemeral(k.box, salt)
	shared, err := agree(infoBox, secret, BoxKey(u), eph, BoxKey(u))
	if err != nil {
		return BoxKey{}, SharedKey{}, err
	}
	return eph, shared, nil
}

// BoxFrom implements Suite.
func (k *Key) BoxFrom(eph BoxKey) (SharedKey, error) {
	return agree(infoBox, k.agree, eph, eph, k.agreeID)
}

// ReplyTo implements Suite.
func (k *Key) ReplyTo(salt Salt, eph BoxKey) (BoxKey, SharedKey, error) {
	secret, mine := ephemeral(k.reply, salt)
	shared, err := agree(infoReply, secret, eph, mine, eph)
	if err != nil {
		return BoxKey{}, SharedKey{}, err
	}
	return mine, shared, nil
}

// ReplyFrom implements Suite.
func (k *Key) ReplyFrom(salt Salt, eph BoxKey) (SharedKey, error) {
	secret, mine := ephemeral(k.box, salt)
	return agree(infoReply, secret, eph, eph, mine)
}

// Pair implements Suite.
func (k *Key) Pair(other ID) (SharedKey, error) {
	p, err := other.point()
	if err != nil {
		return SharedKey{}, fmt.Errorf("pair with %s: %w", other, err)
	}
	var u curve.MontgomeryPoint
	u.SetEdwards(p)
	first, second := k.agreeID, BoxKey(u)
	if bytes.Compare(first[:], second[:]) > 0 {
		first, second = second, first
	}
	return agree(infoPair, k.agree, BoxKey(u), first, second)
}

// ephemeral returns the X25519 pair of a salt.
func ephemeral(key [32]byte, salt Salt) (secret [32]byte, public BoxKey) {
	secret = salted(key, salt)
	x25519.ScalarBaseMult((*[32]byte)(&public), &secret)
	return secret, public
}

// errNoSecret is for an ephemeral key of small order: the shared secret would be
// zero, whatever the other side's secret is.
var errNoSecret = errors.New("the ephemeral key is of small order and gives no shared secret")

// agree computes HKDF(X25519(secret, with), info ‖ first ‖ second).
func agree(info string, secret [32]byte, with, first, second BoxKey) (SharedKey, error) {
	shared, err := x25519.X25519(secret[:], with[:])
	if err != nil {
		return SharedKey{}, errNoSecret
	}
	return derive(shared, info+string(first[:])+string(second[:])), nil
}

// maxVerifiers bounds the memory of a Key: each prepared key takes 1.5 KiB. A
// node has fewer friends than that.
const maxVerifiers = 1024

// verifiers are prepared public keys of the last identities seen to sign, which
// make a verification about a sixth faster (BenchmarkVerify). Only signers of
// something valid get in, and the oldest goes first, so strangers cannot make it
// grow.
type verifiers struct {
	keys  map[ID]*ed25519.ExpandedPublicKey
	order []ID // ring, in order of arrival once full
	next  int  // the oldest, when the ring is full
}

func (v *verifiers) add(id ID) {
	pub, err := ed25519.NewExpandedPublicKey(id[:])
	if err != nil {
		panic(fmt.Sprintf("ident: key %s verified a signature and cannot be expanded: %v", id, err))
	}
	v.keys[id] = pub
	if len(v.order) < maxVerifiers {
		v.order = append(v.order, id)
		return
	}
	delete(v.keys, v.order[v.next])
	v.order[v.next] = id
	v.next = (v.next + 1) % maxVerifiers
}
