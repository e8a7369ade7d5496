package ident

import (
	"bytes"
	"crypto/ecdh"
	"crypto/sha512"
	"fmt"
	"strings"
	"testing"

	"filippo.io/edwards25519"
	"pgregory.net/rapid"
)

// walk gives what each hop gets and computes, until one refuses.
func walk(t interface{ Fatal(...any) }, first BoxKey, hops []*Key) (ephs []BoxKey, keys []SharedKey) {
	for _, hop := range hops {
		key, err := hop.OnionFrom(first)
		if err != nil {
			t.Fatal(err)
		}
		ephs, keys = append(ephs, first), append(keys, key)
		first = hop.OnionNext(first, key)
	}
	return ephs, keys
}

func idsOf(keys []*Key) (ids []ID) {
	for _, k := range keys {
		ids = append(ids, k.ID())
	}
	return ids
}

// Every hop computes what the payer has, no two hops see one key, and the group is that of a second library.
func TestOnionProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payer := keys().Draw(t, "payer")
		hops := rapid.SliceOfN(keys(), 1, 20).Draw(t, "hops")
		salt := Salt(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "salt"))
		l, err := payer.OnionTo(salt, idsOf(hops))
		if err != nil {
			t.Fatal(err)
		}
		ephs, got := walk(t, l.Key, hops)
		seen := map[[32]byte]bool{l.Pad: true}
		for i := range hops {
			if got[i] != l.Keys[i] {
				t.Fatalf("hop %d of %d has %x, the payer %x", i, len(hops), got[i], l.Keys[i])
			}
			if seen[ephs[i]] || seen[got[i]] {
				t.Fatalf("hop %d sees a key that another one saw", i)
			}
			seen[ephs[i]], seen[got[i]] = true, true
		}
		other := keys().Filter(func(k *Key) bool { return k.ID() != hops[0].ID() }).Draw(t, "other")
		if key, err := other.OnionFrom(l.Key); err != nil || seen[key] {
			t.Fatalf("a third party has a key of the onion, %v", err)
		}
		secondOpinion(t, payer, salt, hops, l)
	})
}

// secondOpinion computes the keys as the package comment says, with crypto/ecdh and filippo.io/edwards25519.
func secondOpinion(t *rapid.T, payer *Key, salt Salt, hops []*Key, l *Layers) {
	e := salted(derive(payer.master[:], "kula onion 1"), salt)
	c, err := edwards25519.NewScalar().SetBytesWithClamping(e[:])
	if err != nil {
		t.Fatal(err)
	}
	if l.Pad != SharedKey(salted(derive(payer.master[:], "kula onion pad 1"), salt)) {
		t.Fatal("another pad")
	}
	for i, hop := range hops {
		eph := new(edwards25519.Point).ScalarBaseMult(c).BytesMontgomery()
		secret, err := ecdh.X25519().NewPrivateKey(hop.x25519.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		public, err := ecdh.X25519().NewPublicKey(eph)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := secret.ECDH(public)
		if err != nil {
			t.Fatal(err)
		}
		key := derive(raw, "kula onion 1"+string(eph)+string(hop.agreeID[:]))
		if i == 0 && !bytes.Equal(eph, l.Key[:]) || key != l.Keys[i] {
			t.Fatalf("hop %d: a second library gives %x and %x", i, eph, key)
		}
		h := sha512.Sum512([]byte("kula onion 1" + string(eph) + string(key[:])))
		b, err := edwards25519.NewScalar().SetUniformBytes(h[:])
		if err != nil {
			t.Fatal(err)
		}
		c.Multiply(c, b)
	}
}

// An identity with a component of small order has the same key as its payer; no identity is refused by one side only.
func TestOnionOfCraftedIdentity(t *testing.T) {
	payer, hop := NewKey([32]byte{1}), NewKey([32]byte{2})
	for _, v := range vectors.BadPoints {
		if !strings.HasPrefix(v.Name, "small order") {
			continue
		}
		small, err := new(edwards25519.Point).SetBytes(v.Key)
		if err != nil {
			t.Fatal(err)
		}
		p, err := new(edwards25519.Point).SetBytes(hop.id[:])
		if err != nil {
			t.Fatal(err)
		}
		crafted := *hop
		crafted.id = ID(p.Add(p, small).Bytes())
		crafted.agreeID = BoxKey(p.BytesMontgomery())
		if !crafted.id.Valid() {
			t.Fatalf("%s: %x is no identity", v.Name, crafted.id)
		}
		l, err := payer.OnionTo(Salt{3}, []ID{crafted.id, hop.id})
		if err != nil {
			t.Fatal(err)
		}
		if _, keys := walk(t, l.Key, []*Key{&crafted, hop}); keys[0] != l.Keys[0] || keys[1] != l.Keys[1] {
			t.Errorf("%s: the hops have %x, the payer %x", v.Name, keys, l.Keys)
		}
	}
}

// Payments begin with the same few friends: a hop that comes again has a table, which changes no key.
func TestOnionToAgain(t *testing.T) {
	payer, hop := NewKey([32]byte{1}), NewKey([32]byte{2})
	for i := range hopTableUses + 8 {
		salt := Salt{byte(i)}
		l, err := payer.OnionTo(salt, []ID{hop.id, hop.id})
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := NewKey([32]byte{1}).OnionTo(salt, []ID{hop.id, hop.id})
		if err != nil || l.Key != fresh.Key || l.Keys[0] != fresh.Keys[0] || l.Keys[1] != fresh.Keys[1] {
			t.Fatalf("use %d: %+v, at first %+v, %v", i, l, fresh, err)
		}
	}
	if payer.hops.keys[hop.id].table == nil {
		t.Errorf("no table after %d uses", 2*(hopTableUses+8))
	}
	for i := range 2 * maxHopPoints {
		if _, err := payer.OnionTo(Salt{}, []ID{NewKey([32]byte{3, byte(i)}).id}); err != nil {
			t.Fatal(err)
		}
	}
	if len(payer.hops.keys) != maxHopPoints || payer.hops.keys[hop.id] != nil {
		t.Errorf("%d hops are kept, at most %d, the last ones", len(payer.hops.keys), maxHopPoints)
	}
}

func TestOnionRefused(t *testing.T) {
	k := NewKey([32]byte{})
	for _, v := range vectors.BadPoints {
		if l, err := k.OnionTo(Salt{}, []ID{k.id, ID(v.Key)}); err == nil || l != nil {
			t.Errorf("%s: an onion for no identity", v.Name)
		}
	}
	for _, v := range vectors.BadBoxKeys {
		if key, err := k.OnionFrom(v.Key.boxKey()); err == nil || key != (SharedKey{}) {
			t.Errorf("%s: %x, %v", v.Name, key, err)
		}
	}
}

func BenchmarkOnion(b *testing.B) {
	payer := NewKey([32]byte{})
	var hops []ID
	var first *Key
	for i := range 20 {
		k := NewKey([32]byte{1, byte(i)})
		hops = append(hops, k.ID())
		if i == 0 {
			first = k
		}
	}
	for _, n := range []int{1, 2, 4, 20} {
		b.Run(fmt.Sprintf("OnionTo%d", n), func(b *testing.B) { // hops that are new, and hops that come again
			for b.Loop() {
				payer.hops = newRing[*hopPoint](maxHopPoints)
				payer.OnionTo(Salt{}, hops[:n])
			}
		})
		b.Run(fmt.Sprintf("OnionTo%dAgain", n), func(b *testing.B) {
			for range hopTableUses {
				payer.OnionTo(Salt{}, hops[:n])
			}
			for b.Loop() {
				payer.OnionTo(Salt{}, hops[:n])
			}
		})
	}
	l, err := payer.OnionTo(Salt{}, hops)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("OnionFrom", func(b *testing.B) {
		for b.Loop() {
			first.OnionFrom(l.Key)
		}
	})
	b.Run("OnionNext", func(b *testing.B) {
		for b.Loop() {
			first.OnionNext(l.Key, l.Keys[0])
		}
	})
}
