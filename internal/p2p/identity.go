package p2p

import (
	"crypto/ed25519"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"kula/ident"
)

// privateKey returns libp2p's form of the identity key and its two names.
func privateKey(seed [32]byte) (crypto.PrivKey, peer.ID, ident.ID, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		return nil, "", ident.ID{}, fmt.Errorf("p2p: identity key: %w", err)
	}
	p, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, "", ident.ID{}, fmt.Errorf("p2p: identity key: %w", err)
	}
	id, err := identity(p)
	return key, p, id, err
}

// peerOf returns the libp2p name of id.
func peerOf(id ident.ID) (peer.ID, error) {
	pub, err := crypto.UnmarshalEd25519PublicKey(id[:])
	if err != nil {
		return "", fmt.Errorf("p2p: key %s: %w", id.Short(), err)
	}
	return peer.IDFromPublicKey(pub)
}

// identity returns the identity named by p, which holds the whole key if it is
// Ed25519. Other kinds of keys and points outside the group are errors.
func identity(p peer.ID) (ident.ID, error) {
	pub, err := p.ExtractPublicKey()
	if err != nil {
		return ident.ID{}, fmt.Errorf("p2p: peer %s has no Ed25519 key: %w", p, err)
	}
	if pub.Type() != pb.KeyType_Ed25519 {
		return ident.ID{}, fmt.Errorf("p2p: peer %s has a key of type %s, want Ed25519", p, pub.Type())
	}
	raw, err := pub.Raw()
	if err != nil || len(raw) != len(ident.ID{}) {
		return ident.ID{}, fmt.Errorf("p2p: peer %s has a malformed key", p)
	}
	id := ident.ID(raw)
	if !id.Valid() {
		return ident.ID{}, fmt.Errorf("p2p: peer %s has a key that is no valid curve point", p)
	}
	return id, nil
}
