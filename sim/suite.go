package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	"kula/ident"
)

// poolSize is the number of identities that worlds draw from: the largest world and its spares.
const poolSize = 80

// pool holds real identities, for a node refuses keys that are not points of the curve. They are made once.
var pool = sync.OnceValue(func() []ident.ID {
	list := make([]ident.ID, poolSize)
	for i := range list {
		list[i] = ident.NewKey(masterOf(i)).ID()
	}
	return list
})

func masterOf(i int) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("kula/sim/master"), uint64(i)))
}

// notary knows every key of a world. Signatures of the stand-in are hashes under a secret that
// only the notary and the owner's Suite use, so a liar that has its own Suite can forge nobody else's.
type notary struct {
	secrets map[ident.ID][32]byte
	common  [32]byte
}

// standIn is a cheap, deterministic ident.Suite.
type standIn struct {
	notary *notary
	id     ident.ID
	secret [32]byte
}

var _ ident.Suite = (*standIn)(nil)

func (n *notary) suite(i int, seed uint64) *standIn {
	id := pool()[i]
	b := binary.BigEndian.AppendUint64([]byte("kula/sim/secret"), seed)
	s := &standIn{notary: n, id: id, secret: sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(i)))}
	n.secrets[id] = s.secret
	return s
}

func digest(key [32]byte, purpose string, parts ...[]byte) [32]byte {
	size := 32 + len(purpose) + 1
	for _, p := range parts {
		size += len(p)
	}
	b := make([]byte, 0, size)
	b = append(append(append(b, key[:]...), purpose...), 0)
	for _, p := range parts {
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

func signature(secret [32]byte, tag ident.Tag, msg []byte) (s ident.Signature) {
	d := digest(secret, string(tag), msg)
	copy(s[:32], d[:])
	copy(s[32:], "stand-in")
	return s
}

func (s *standIn) ID() ident.ID { return s.id }

func (s *standIn) Sign(tag ident.Tag, msg []byte) ident.Signature {
	return signature(s.secret, tag, msg)
}

func (s *standIn) Verify(id ident.ID, tag ident.Tag, msg []byte, sig ident.Signature) bool {
	secret, ok := s.notary.secrets[id]
	return ok && signature(secret, tag, msg) == sig
}

func (s *standIn) VerifyAll(checks []ident.Check) bool {
	for _, c := range checks {
		if !s.Verify(c.ID, c.Tag, c.Msg, c.Sig) {
			return false
		}
	}
	return true
}

func (s *standIn) Preimage(salt ident.Salt) ident.Preimage {
	return digest(s.secret, "preimage", salt[:])
}

func (s *standIn) BoxTo(salt ident.Salt, to ident.ID) (ident.BoxKey, ident.SharedKey, error) {
	secret, ok := s.notary.secrets[to]
	if !ok {
		return ident.BoxKey{}, ident.SharedKey{}, fmt.Errorf("seal to %s: not an identity of this world", to.Short())
	}
	eph := digest(s.secret, "box", salt[:])
	return eph, digest(secret, "shared", eph[:]), nil
}

func (s *standIn) BoxFrom(eph ident.BoxKey) (ident.SharedKey, error) {
	return digest(s.secret, "shared", eph[:]), nil
}

func (s *standIn) ReplyTo(salt ident.Salt, eph ident.BoxKey) (ident.BoxKey, ident.SharedKey, error) {
	mine := digest(s.secret, "reply", salt[:])
	return mine, digest(s.notary.common, "reply", eph[:], mine[:]), nil
}

func (s *standIn) ReplyFrom(salt ident.Salt, eph ident.BoxKey) (ident.SharedKey, error) {
	mine := digest(s.secret, "box", salt[:])
	return digest(s.notary.common, "reply", mine[:], eph[:]), nil
}

// OnionTo and the two below are a group of the stand-in's own: what a hop shares is a digest under its secret, and the
// next ephemeral key is a digest of both.
func (s *standIn) OnionTo(salt ident.Salt, hops []ident.ID) (*ident.Layers, error) {
	l := &ident.Layers{Key: digest(s.secret, "onion", salt[:]), Pad: digest(s.secret, "pad", salt[:])}
	eph := l.Key
	for _, hop := range hops {
		secret, ok := s.notary.secrets[hop]
		if !ok {
			return nil, fmt.Errorf("wrap for %s: not an identity of this world", hop.Short())
		}
		key := ident.SharedKey(digest(secret, "layer", eph[:]))
		l.Keys = append(l.Keys, key)
		eph = s.OnionNext(eph, key)
	}
	return l, nil
}

func (s *standIn) OnionFrom(eph ident.BoxKey) (ident.SharedKey, error) {
	return digest(s.secret, "layer", eph[:]), nil
}

func (s *standIn) OnionNext(eph ident.BoxKey, key ident.SharedKey) ident.BoxKey {
	return digest(key, "next", eph[:])
}

func (s *standIn) Pair(other ident.ID) (ident.SharedKey, error) {
	if _, ok := s.notary.secrets[other]; !ok {
		return ident.SharedKey{}, fmt.Errorf("pair with %s: not an identity of this world", other.Short())
	}
	a, b := s.id, other
	if string(a[:]) > string(b[:]) {
		a, b = b, a
	}
	return digest(s.notary.common, "pair", a[:], b[:]), nil
}

func (s *standIn) Secret(purpose string) [32]byte { return digest(s.secret, "secret", []byte(purpose)) }

// signer is the Suite that a node gets: it shows every signature to the watch.
type signer struct {
	ident.Suite
	m *Member
}

func (s *signer) Sign(tag ident.Tag, msg []byte) ident.Signature {
	sig := s.Suite.Sign(tag, msg)
	s.m.w.watch.signed(s.m, tag, msg)
	return sig
}
