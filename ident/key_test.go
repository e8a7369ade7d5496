package ident

import (
	"bytes"
	"crypto/ecdh"
	stded25519 "crypto/ed25519"
	"encoding/binary"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestDerivations(t *testing.T) {
	for _, v := range vectors.Seeds {
		k := NewKey(v.Master.arr())
		if k.ID().String() != v.ID || k.IdentitySeed() != v.IdentitySeed.arr() {
			t.Errorf("master %x: id %s, seed %x", []byte(v.Master), k.ID(), k.IdentitySeed())
		}
		for _, p := range v.Preimages {
			got := k.Preimage(p.Salt.salt())
			if got != Preimage(p.Preimage) || got.Hash() != Hash(p.Hash) {
				t.Errorf("salt %x: preimage %x, hash %s", []byte(p.Salt), got, got.Hash())
			}
		}
		for _, s := range v.Secrets {
			if got := k.Secret(s.Purpose); got != s.Secret.arr() {
				t.Errorf("purpose %q: %x", s.Purpose, got)
			}
		}
	}
}

func TestHashOf(t *testing.T) {
	// FIPS 180-2, appendix B.1.
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := HashOf([]byte("a"), nil, []byte("bc")).String(); got != abc {
		t.Errorf("HashOf(a, , bc) = %s", got)
	}
	p := Preimage(bytesOf(7))
	if p.Hash() != HashOf(p[:]) {
		t.Error("a preimage's hash is not its SHA-256")
	}
}

func TestSignatures(t *testing.T) {
	k := NewKey([32]byte{})
	for _, v := range vectors.Signatures {
		t.Run(v.Name, func(t *testing.T) {
			id, sig := ID(v.ID), Signature(v.Signature)
			for _, how := range []struct {
				name string
				got  bool
			}{
				{"Verify", Verify(id, v.Tag, v.Message, sig)},
				{"Key.Verify, first", k.Verify(id, v.Tag, v.Message, sig)},
				{"Key.Verify, again", k.Verify(id, v.Tag, v.Message, sig)},
				{"VerifyAll, alone", k.VerifyAll([]Check{{id, v.Tag, v.Message, sig}})},
				{"VerifyAll, first", NewKey([32]byte{}).VerifyAll([]Check{good(), {id, v.Tag, v.Message, sig}, good()})},
				{"VerifyAll, again", k.VerifyAll([]Check{good(), {id, v.Tag, v.Message, sig}})},
			} {
				if how.got != v.Valid {
					t.Errorf("%s = %v, want %v", how.name, how.got, v.Valid)
				}
			}
		})
	}
}

// good is a signature that is in order.
func good() Check {
	k := NewKey([32]byte{1})
	return Check{k.ID(), "kula/example/1", []byte("good"), k.Sign("kula/example/1", []byte("good"))}
}

// Signing gives the bytes of crypto/ed25519, and what we sign verifies there.
func TestSignDifferential(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := keys().Draw(t, "key")
		tag := Tag(rapid.StringMatching(`[a-z]{1,8}/[a-z]{1,8}/[1-9]`).Draw(t, "tag"))
		msg := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "msg")
		seed := k.IdentitySeed()
		std := stded25519.NewKeyFromSeed(seed[:])
		covered := append(append([]byte(tag), 0), msg...)
		sig := k.Sign(tag, msg)
		if !bytes.Equal(sig[:], stded25519.Sign(std, covered)) {
			t.Fatal("signatures differ")
		}
		id := k.ID()
		if !stded25519.Verify(id[:], covered, sig[:]) || !Verify(id, tag, msg, sig) || !k.Verify(id, tag, msg, sig) {
			t.Fatal("a good signature does not verify")
		}
		// Any one bit changed makes it bad everywhere (k has the prepared key by now).
		bit := rapid.IntRange(0, 511).Draw(t, "bit")
		sig[bit/8] ^= 1 << (bit % 8)
		if stded25519.Verify(id[:], covered, sig[:]) || Verify(id, tag, msg, sig) || k.Verify(id, tag, msg, sig) {
			t.Fatal("a changed signature verifies")
		}
	})
}

func TestTags(t *testing.T) {
	k := NewKey([32]byte{})
	for _, tag := range []Tag{"", "two words", "nul\x00", "é", Tag(bytes.Repeat([]byte("a"), maxTag+1))} {
		for name, f := range map[string]func(){
			"Sign":       func() { k.Sign(tag, nil) },
			"Key.Verify": func() { k.Verify(k.ID(), tag, nil, Signature{}) },
			"Verify":     func() { Verify(k.ID(), tag, nil, Signature{}) },
		} {
			if !panics(f) {
				t.Errorf("%s with tag %q did not panic", name, tag)
			}
		}
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// More signers than there is room for: the answers stay right, the memory bounded.
func TestVerifiersAreBounded(t *testing.T) {
	k := NewKey([32]byte{})
	const tag = Tag("kula/example/1")
	many := maxVerifiers + 50
	ids, sigs := make([]ID, many), make([]Signature, many)
	for i := range many {
		var master [32]byte
		binary.BigEndian.PutUint64(master[:], uint64(i))
		friend := NewKey(master)
		ids[i], sigs[i] = friend.ID(), friend.Sign(tag, nil)
		if !k.Verify(ids[i], tag, nil, sigs[i]) {
			t.Fatal("a good signature does not verify")
		}
		if k.Verify(ID(bytesOf(byte(i))), tag, nil, sigs[i]) {
			t.Fatal("a stranger's signature verifies")
		}
	}
	if len(k.seen.keys) != maxVerifiers || len(k.seen.order) != maxVerifiers {
		t.Fatalf("%d keys in a ring of %d, want %d", len(k.seen.keys), len(k.seen.order), maxVerifiers)
	}
	for i := range many {
		if prepared := k.seen.keys[ids[i]] != nil; prepared != (i >= 50) {
			t.Fatalf("signer %d of %d: prepared %v", i, many, prepared)
		}
	}
	for i := range many { // evicted ones come back
		if !k.Verify(ids[i], tag, nil, sigs[i]) || k.Verify(ids[i], tag, []byte("x"), sigs[i]) {
			t.Fatalf("signer %d is judged wrongly", i)
		}
	}
}

func TestBoxes(t *testing.T) {
	for _, v := range vectors.Boxes {
		payer, payee, mediator := NewKey(v.Payer.arr()), NewKey(v.Payee.arr()), NewKey(v.Mediator.arr())
		eph, shared, err := payer.BoxTo(v.PayerSalt.salt(), payee.ID())
		if err != nil || eph != v.BoxKey.boxKey() || shared != SharedKey(v.Shared) {
			t.Errorf("BoxTo: %x %x %v", eph, shared, err)
		}
		if got, err := payee.BoxFrom(eph); err != nil || got != shared {
			t.Errorf("BoxFrom: %x %v", got, err)
		}
		if got := Seal(shared, v.Kind, []byte(v.Plaintext)); !bytes.Equal(got, v.Sealed) {
			t.Errorf("Seal: %x", got)
		}
		if got, ok := Open(shared, v.Kind, v.Sealed); !ok || string(got) != v.Plaintext {
			t.Errorf("Open: %q %v", got, ok)
		}
		reply, replyShared, err := mediator.ReplyTo(v.MediatorSalt.salt(), eph)
		if err != nil || reply != v.ReplyKey.boxKey() || replyShared != SharedKey(v.ReplyShared) {
			t.Errorf("ReplyTo: %x %x %v", reply, replyShared, err)
		}
		if got, err := payer.ReplyFrom(v.PayerSalt.salt(), reply); err != nil || got != replyShared {
			t.Errorf("ReplyFrom: %x %v", got, err)
		}
	}
}

func TestRefusedBoxKeys(t *testing.T) {
	k := NewKey([32]byte{})
	for _, v := range vectors.BadBoxKeys {
		t.Run(v.Name, func(t *testing.T) {
			for _, high := range []byte{0, 0x80} { // RFC 7748 ignores the top bit
				eph := v.Key.boxKey()
				eph[31] |= high
				if shared, err := k.BoxFrom(eph); err == nil || shared != (SharedKey{}) {
					t.Errorf("BoxFrom: %x, %v", shared, err)
				}
				if mine, shared, err := k.ReplyTo(Salt{}, eph); err == nil || shared != (SharedKey{}) || mine != (BoxKey{}) {
					t.Errorf("ReplyTo: %x, %v", shared, err)
				}
				if shared, err := k.ReplyFrom(Salt{}, eph); err == nil || shared != (SharedKey{}) {
					t.Errorf("ReplyFrom: %x, %v", shared, err)
				}
			}
		})
	}
}

// Both sides agree, nobody else does, and X25519 is that of crypto/ecdh.
func TestBoxProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payer, payee, other := keys().Draw(t, "payer"), keys().Draw(t, "payee"), keys().Draw(t, "other")
		salt := Salt(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "salt"))
		eph, to, err := payer.BoxTo(salt, payee.ID())
		if err != nil {
			t.Fatal(err)
		}
		from, err := payee.BoxFrom(eph)
		if err != nil || from != to {
			t.Fatalf("payer has %x, payee %x, %v", to, from, err)
		}
		if payee.ID() != other.ID() {
			if wrong, err := other.BoxFrom(eph); err != nil || wrong == to {
				t.Fatalf("a third party has the same key, %v", err)
			}
		}
		secret, err := ecdh.X25519().NewPrivateKey(payee.x25519.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		public, err := ecdh.X25519().NewPublicKey(eph[:])
		if err != nil {
			t.Fatal(err)
		}
		raw, err := secret.ECDH(public)
		if err != nil || !bytes.Equal(secret.PublicKey().Bytes(), payee.agreeID[:]) {
			t.Fatalf("crypto/ecdh: %v, public %x", err, secret.PublicKey().Bytes())
		}
		if want := derive(raw, infoBox+string(eph[:])+string(payee.agreeID[:])); to != want {
			t.Fatalf("crypto/ecdh gives %x", want)
		}
		mine, reply, err := other.ReplyTo(salt, eph)
		if err != nil || reply == to || mine == eph {
			t.Fatalf("reply %x, key %x, %v", reply, mine, err)
		}
		if again, err := payer.ReplyFrom(salt, mine); err != nil || again != reply {
			t.Fatalf("payer reads replies with %x, %v", again, err)
		}
	})
}

func TestSealProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := SharedKey(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		kind := rapid.String().Draw(t, "kind")
		plain := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "plaintext")
		box := Seal(k, kind, plain)
		if len(box) != len(plain)+SealOverhead {
			t.Fatalf("%d bytes of %d", len(box), len(plain))
		}
		if got, ok := Open(k, kind, box); !ok || !bytes.Equal(got, plain) {
			t.Fatalf("opened %x, %v", got, ok)
		}
		if _, ok := Open(k, kind+"x", box); ok {
			t.Fatal("opened as another kind")
		}
		cut := rapid.IntRange(0, len(box)-1).Draw(t, "cut")
		if _, ok := Open(k, kind, box[:cut]); ok {
			t.Fatalf("opened the first %d bytes", cut)
		}
		bit := rapid.IntRange(0, 8*len(box)-1).Draw(t, "bit")
		box[bit/8] ^= 1 << (bit % 8)
		if _, ok := Open(k, kind, box); ok {
			t.Fatal("opened a changed box")
		}
	})
}

// A kind that seals many messages: each has a nonce of its own, and is of that kind and key alone.
func TestSealAgainProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := SharedKey(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		kind := rapid.String().Draw(t, "kind")
		plain := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "plaintext")
		box := SealAgain(k, kind, plain)
		if got, ok := OpenAgain(k, kind, box); !ok || !bytes.Equal(got, plain) || !bytes.Equal(box, SealAgain(k, kind, plain)) {
			t.Fatalf("opened %x, %v", got, ok)
		}
		if other := SealAgain(k, kind, append(plain, 0)); bytes.Equal(other[:nonceSize], box[:nonceSize]) {
			t.Fatal("two messages under one nonce")
		}
		if _, ok := OpenAgain(k, kind+"x", box); ok {
			t.Fatal("opened as another kind")
		}
		if _, ok := Open(k, kind, box); ok {
			t.Fatal("opened as a box of one message")
		}
		bit := rapid.IntRange(0, 8*len(box)-1).Draw(t, "bit")
		box[bit/8] ^= 1 << (bit % 8)
		if _, ok := OpenAgain(k, kind, box); ok {
			t.Fatal("opened a changed box")
		}
	})
}

func FuzzOpen(f *testing.F) {
	k := SharedKey(bytesOf(1))
	f.Add("kind", Seal(k, "kind", []byte("plaintext")))
	f.Add("kind", SealAgain(k, "kind", []byte("plaintext")))
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, kind string, box []byte) {
		if plain, ok := Open(k, kind, box); ok && !bytes.Equal(Seal(k, kind, plain), box) {
			t.Fatalf("%x is a second box of %x", box, plain)
		}
		if plain, ok := OpenAgain(k, kind, box); ok && !bytes.Equal(SealAgain(k, kind, plain), box) {
			t.Fatalf("%x is a second box of %x", box, plain)
		}
	})
}

// Hostile bytes get an answer, never a panic, and the same one from both verifiers.
func FuzzVerify(f *testing.F) {
	for _, v := range vectors.Signatures {
		f.Add([]byte(v.ID), []byte(v.Message), []byte(v.Signature))
	}
	k := NewKey([32]byte{})
	f.Fuzz(func(t *testing.T, idBytes, msg, sigBytes []byte) {
		var id ID
		var sig Signature
		copy(id[:], idBytes)
		copy(sig[:], sigBytes)
		const tag = Tag("kula/example/1")
		want := Verify(id, tag, msg, sig)
		if first, again := k.Verify(id, tag, msg, sig), k.Verify(id, tag, msg, sig); first != want || again != want {
			t.Fatalf("Verify %v, Key.Verify %v, again %v", want, first, again)
		}
		if want && !id.Valid() {
			t.Fatal("a key that is not valid signed something")
		}
	})
}

func FuzzBoxFrom(f *testing.F) {
	for _, v := range vectors.BadBoxKeys {
		f.Add([]byte(v.Key))
	}
	k := NewKey([32]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var eph BoxKey
		copy(eph[:], b)
		_, errBox := k.BoxFrom(eph)
		_, _, errTo := k.ReplyTo(Salt{}, eph)
		_, errFrom := k.ReplyFrom(Salt{}, eph)
		if (errBox == nil) != (errTo == nil) || (errBox == nil) != (errFrom == nil) {
			t.Fatalf("errors differ: %v, %v, %v", errBox, errTo, errFrom)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	k, msg := NewKey([32]byte{}), make([]byte, 300)
	for b.Loop() {
		k.Sign("kula/promise/1", msg)
	}
}

func BenchmarkVerify(b *testing.B) {
	k, friend, msg := NewKey([32]byte{}), NewKey([32]byte{1}), make([]byte, 300)
	sig := friend.Sign("kula/promise/1", msg)
	b.Run("friend", func(b *testing.B) {
		for b.Loop() {
			if !k.Verify(friend.ID(), "kula/promise/1", msg, sig) {
				b.Fatal("bad")
			}
		}
	})
	b.Run("stranger", func(b *testing.B) {
		for b.Loop() {
			if !Verify(friend.ID(), "kula/promise/1", msg, sig) {
				b.Fatal("bad")
			}
		}
	})
}

// BenchmarkVerifyAll tells what one of many signatures costs.
func BenchmarkVerifyAll(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8, 16, 32} {
		k, checks := NewKey([32]byte{}), make([]Check, n)
		for i := range checks {
			friend, msg := NewKey([32]byte{1, byte(i)}), make([]byte, 300)
			checks[i] = Check{friend.ID(), "kula/promise/1", msg, friend.Sign("kula/promise/1", msg)}
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for range b.N {
				if !k.VerifyAll(checks) {
					b.Fatal("bad")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/signature")
		})
	}
}

func BenchmarkBox(b *testing.B) {
	payer, payee := NewKey([32]byte{}), NewKey([32]byte{1})
	eph, shared, err := payer.BoxTo(Salt{}, payee.ID())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("BoxTo", func(b *testing.B) {
		for b.Loop() {
			payer.BoxTo(Salt{}, payee.ID())
		}
	})
	b.Run("BoxFrom", func(b *testing.B) {
		for b.Loop() {
			payee.BoxFrom(eph)
		}
	})
	b.Run("ReplyTo", func(b *testing.B) {
		for b.Loop() {
			payee.ReplyTo(Salt{}, eph)
		}
	})
	plain := make([]byte, 1024)
	b.Run("Seal1KiB", func(b *testing.B) {
		for b.Loop() {
			Seal(shared, "kula/example", plain)
		}
	})
}
