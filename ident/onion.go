package ident

import (
	"crypto/sha512"
	"fmt"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
)

// infoOnion and infoPad are domains as in key.go: the ephemeral secret and shared keys of an onion, and the secret that fills it.
const (
	infoOnion = "kula onion 1"
	infoPad   = "kula onion pad 1"
)

// Layers are the keys of one onion, as its payer has them; see the package comment.
type Layers struct {
	Key  BoxKey      // the ephemeral key that the first hop gets
	Keys []SharedKey // shared with each hop, in their order
	Pad  SharedKey   // the payer's alone: fills what the route leaves empty
}

// OnionTo implements Suite.
func (k *Key) OnionTo(salt Salt, hops []ID) (*Layers, error) {
	factor := clamped(salted(k.onion, salt))
	l := &Layers{Key: timesBase(factor), Keys: make([]SharedKey, len(hops)), Pad: SharedKey(salted(k.pad, salt))}
	eph := l.Key
	for i, hop := range hops {
		p, err := k.hop(hop)
		if err != nil {
			return nil, fmt.Errorf("wrap for %s: %w", hop, err)
		}
		if i > 0 {
			eph = timesBase(factor)
		}
		if l.Keys[i], err = p.shared(factor, eph); err != nil {
			return nil, fmt.Errorf("wrap for %s: %w", hop, err)
		}
		factor.Mul(factor, blinding(eph, l.Keys[i]))
	}
	return l, nil
}

// OnionFrom implements Suite.
func (k *Key) OnionFrom(eph BoxKey) (SharedKey, error) {
	return k.agree(infoOnion, eph, eph, k.agreeID)
}

// OnionNext implements Suite.
func (k *Key) OnionNext(eph BoxKey, key SharedKey) BoxKey {
	u := curve.MontgomeryPoint(eph)
	u.Mul(&u, blinding(eph, key))
	return BoxKey(u)
}

const (
	// maxHopPoints bounds what is kept of the last hops: 40 KiB of table each. Those of the friends that payments begin with come again and again.
	maxHopPoints = 64
	// hopTableUses is from which use on a hop has a table. Making one costs what it saves in 3 uses with AVX2, in 23 without.
	hopTableUses = 24
)

// hopPoint is an identity as the payer of an onion needs it.
type hopPoint struct {
	u     BoxKey             // as X25519
	whole curve.EdwardsPoint // times eight, so without a component of small order
	uses  int
	table *curve.EdwardsBasepointTable // of whole
}

func (k *Key) hop(id ID) (*hopPoint, error) {
	h := k.hops.keys[id]
	if h == nil {
		p, err := id.point()
		if err != nil {
			return nil, err
		}
		h = &hopPoint{u: onCurve(p)}
		h.whole.MulByCofactor(p)
		k.hops.add(id, h)
	}
	if h.uses++; h.uses == hopTableUses {
		h.table = curve.NewEdwardsBasepointTable(&h.whole)
	}
	return h, nil
}

// shared is what OnionFrom gives the hop. The factor is taken by eight, as clamping does, so that a key with a
// component of small order gives both sides the same.
func (h *hopPoint) shared(factor *scalar.Scalar, eph BoxKey) (SharedKey, error) {
	var eighth scalar.Scalar
	eighth.Mul(factor, inverseOf8)
	var whole curve.EdwardsPoint
	if h.table != nil {
		whole.MulBasepoint(h.table, &eighth)
	} else {
		whole.Mul(&h.whole, &eighth)
	}
	if whole.IsIdentity() {
		return SharedKey{}, errNoSecret
	}
	shared := onCurve(&whole)
	return derive(shared[:], infoOnion+string(eph[:])+string(h.u[:])), nil
}

// onCurve is a point as X25519 writes it.
func onCurve(p *curve.EdwardsPoint) BoxKey {
	var u curve.MontgomeryPoint
	return BoxKey(*u.SetEdwards(p))
}

// inverseOf8 undoes the cofactor in the group of prime order.
var inverseOf8 = scalar.New().Invert(scalar.NewFromUint64(8))

// clamped is an X25519 secret as a factor in the group of prime order.
func clamped(secret [32]byte) *scalar.Scalar {
	secret[0] &= 248
	secret[31] = secret[31]&127 | 64
	s, err := scalar.NewFromBytesModOrder(secret[:])
	if err != nil {
		panic(fmt.Sprintf("ident: 32 bytes are a scalar: %v", err))
	}
	return s
}

// timesBase is factor times the base point, as X25519 writes it.
func timesBase(factor *scalar.Scalar) BoxKey {
	var p curve.EdwardsPoint
	return onCurve(p.MulBasepoint(curve.ED25519_BASEPOINT_TABLE, factor))
}

// blinding is the factor between the ephemeral keys of a hop and the next: 512 bits, so that it is as good as evenly
// spread below the order of the group.
func blinding(eph BoxKey, key SharedKey) *scalar.Scalar {
	h := sha512.New()
	h.Write([]byte(infoOnion))
	h.Write(eph[:])
	h.Write(key[:])
	s, err := scalar.NewFromBytesModOrderWide(h.Sum(nil))
	if err != nil {
		panic(fmt.Sprintf("ident: 64 bytes are a scalar: %v", err))
	}
	return s
}
