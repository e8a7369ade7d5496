package ident

import (
	"crypto/sha256"

	"golang.org/x/crypto/nacl/secretbox"
)

// SealOverhead is how many bytes a box is longer than its plaintext: the
// authenticator of Poly1305.
const SealOverhead = secretbox.Overhead

// Seal encrypts and authenticates plaintext with k. The nonce is the first 24
// bytes of SHA-256(kind), so one pair of key and kind seals ONE message: a second
// one would reveal the difference of both, and let others forge. Shared keys are
// made from a fresh salt each, and each message of a payment has a kind of its own.
func Seal(k SharedKey, kind string, plaintext []byte) []byte {
	out := make([]byte, 0, len(plaintext)+SealOverhead)
	return secretbox.Seal(out, plaintext, nonce(kind), (*[32]byte)(&k))
}

// Open returns the plaintext of a box that Seal made with k and kind; ok is false
// if the box is anything else.
func Open(k SharedKey, kind string, box []byte) (plaintext []byte, ok bool) {
	if len(box) < SealOverhead {
		return nil, false
	}
	return secretbox.Open(make([]byte, 0, len(box)-SealOverhead), box, nonce(kind), (*[32]byte)(&k))
}

// SealAgain is Seal for a kind that may seal many messages under one key: the nonce is a hash of the message too and
// leads the box. One message always gives the same box.
func SealAgain(k SharedKey, kind string, plaintext []byte) []byte {
	n := nonceOf(k, kind, plaintext)
	out := make([]byte, 0, len(n)+len(plaintext)+SealOverhead)
	return secretbox.Seal(append(out, n[:]...), plaintext, n, (*[32]byte)(&k))
}

// OpenAgain returns the plaintext of a box that SealAgain made with k and kind; ok is false if the box is anything else.
func OpenAgain(k SharedKey, kind string, box []byte) (plaintext []byte, ok bool) {
	if len(box) < nonceSize+SealOverhead {
		return nil, false
	}
	n := (*[nonceSize]byte)(box)
	plaintext, ok = secretbox.Open(make([]byte, 0, len(box)-nonceSize-SealOverhead), box[nonceSize:], n, (*[32]byte)(&k))
	if !ok || *nonceOf(k, kind, plaintext) != *n {
		return nil, false
	}
	return plaintext, true
}

const nonceSize = 24

func nonceOf(k SharedKey, kind string, plaintext []byte) *[nonceSize]byte {
	h := HashOf(k[:], []byte(kind), []byte{0}, plaintext)
	return (*[nonceSize]byte)(h[:nonceSize])
}

func nonce(kind string) *[24]byte {
	h := sha256.Sum256([]byte(kind))
	return (*[24]byte)(h[:24])
}
