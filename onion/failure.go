package onion

import (
	"crypto/hmac"

	"kula/ident"
)

const (
	// MessageSize is what a failing node says, filled up by the caller: the longest reason of a payment is 480 bytes.
	MessageSize = 512
	// FailureSize is a failure on its way, at every node.
	FailureSize = macSize + MessageSize
)

// Message is what a failing node tells the payer.
type Message [MessageSize]byte

// Fail gives a message its MAC and the first layer, at the node that refuses.
func Fail(key ident.SharedKey, m *Message) []byte {
	sum := mac(key, "um", m[:])
	failure := make([]byte, 0, FailureSize)
	failure = append(append(failure, sum[:]...), m[:]...)
	return Return(key, failure)
}

// Return adds a node's layer to a failure that came from behind. The argument is not changed.
func Return(key ident.SharedKey, failure []byte) []byte {
	out := append([]byte(nil), failure...)
	xor(out, 0, key, "ammag")
	return out
}

// Read finds who failed, by its place in the route from 0, and what it says. ok is false if nobody did: then somebody on the
// way has changed it.
func Read(keys []ident.SharedKey, failure []byte) (hop int, m Message, ok bool) {
	if len(failure) != FailureSize {
		return 0, m, false
	}
	for i, key := range keys {
		failure = Return(key, failure)
		if sum := mac(key, "um", failure[macSize:]); hmac.Equal(sum[:], failure[:macSize]) {
			return i, Message(failure[macSize:]), true
		}
	}
	return 0, m, false
}
