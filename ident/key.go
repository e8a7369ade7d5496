package ident

import (
	"bytes"
	"crypto/ecdh"
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
	x25519   *ecdh.PrivateKey   // my identity's X25519 secret
	agreeID  BoxKey             // and its public key
	preimage [32]byte           // HMAC keys, by use of the salt
	box      [32]byte
	reply    [32]byte
	onion    [32]byte
	pad      [32]byte
	seen     ring[*ed25519.ExpandedPublicKey]
	hops     ring[*hopPoint]
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
		onion:    derive(master[:], infoOnion),
		pad:      derive(master[:], infoPad),
		seen:     newRing[*ed25519.ExpandedPublicKey](maxVerifiers),
		hops:     newRing[*hopPoint](maxHopPoints),
	}
	k.signing = ed25519.NewKeyFromSeed(k.identity[:])
	k.id = ID(k.signing[32:])
	half := sha512.Sum512(k.identity[:])
	var err error
	if k.x25519, err = ecdh.X25519().NewPrivateKey(half[:32]); err != nil { // it clamps it
		panic(fmt.Sprintf("ident: 32 bytes are an X25519 secret: %v", err))
	}
	k.agreeID = BoxKey(k.x25519.PublicKey().Bytes())
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
	k.seen.add(id, expanded(id))
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
			k.seen.add(c.ID, expanded(c.ID))
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
	return k.agree(infoBox, eph, eph, k.agreeID)
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
	return k.agree(infoPair, BoxKey(u), first, second)
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

// agree is the other agree with my identity's secret. The standard library's X25519 is the faster one where the secret stays.
func (k *Key) agree(info string, with, first, second BoxKey) (SharedKey, error) {
	public, err := ecdh.X25519().NewPublicKey(with[:])
	if err != nil {
		panic(fmt.Sprintf("ident: 32 bytes are an X25519 key: %v", err))
	}
	shared, err := k.x25519.ECDH(public)
	if err != nil {
		return SharedKey{}, errNoSecret
	}
	return derive(shared, info+string(first[:])+string(second[:])), nil
}

// maxVerifiers bounds the memory of a Key: each prepared key takes 1.5 KiB. A
// node has fewer friends than that.
const maxVerifiers = 1024

// expanded is a public key prepared for verifying, which makes that about a sixth
// faster (BenchmarkVerify). Only signers of something valid are kept in the ring,
// so strangers cannot push friends out of it.
func expanded(id ID) *ed25519.ExpandedPublicKey {
	pub, err := ed25519.NewExpandedPublicKey(id[:])
	if err != nil {
		panic(fmt.Sprintf("ident: key %s verified a signature and cannot be expanded: %v", id, err))
	}
	return pub
}

// ring keeps what was prepared for the last identities that came; the oldest goes
// first.
type ring[V any] struct {
	keys  map[ID]V
	order []ID // in order of arrival; once full, next is the oldest
	next  int
	size  int
}

func newRing[V any](size int) ring[V] { return ring[V]{keys: map[ID]V{}, size: size} }

// add keeps v for an identity that is not in the ring.
func (r *ring[V]) add(id ID, v V) {
	r.keys[id] = v
	if len(r.order) < r.size {
		r.order = append(r.order, id)
		return
	}
	delete(r.keys, r.order[r.next])
	r.order[r.next] = id
	r.next = (r.next + 1) % r.size
}
