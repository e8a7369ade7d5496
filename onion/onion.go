// Package onion wraps a route so that each node of it learns its next hop, and nothing of the route's
// length, of its own place in it, or of who is at its ends.
//
// # The packet
//
// The format is that of Lightning's BOLT 4, which is Sphinx (Danezis and Goldberg 2009) with a header of frames; the keys are
// those of [ident.Suite.OnionTo]. A [Packet] is of one size at every hop of every route:
//
//	Key     32            the ephemeral key, another one at each hop
//	Header  1,600         20 frames of 80 bytes: 48 for the hop, 32 that are the next hop's MAC
//	MAC     32            over Header ‖ Body ‖ what the packet is bound to
//	Body    as long as the caller fixed for all its packets (the MAC does not say where Body ends)
//
// From the key K of a hop follow, as in BOLT 4, HMAC-SHA256(name, K) for the names
//
//	rho    a ChaCha20 stream (zero nonce) of twice the header: its own half decrypts the header, the rest fills up what
//	       the shift left empty
//	mu     HMAC-SHA256 for the MAC
//	pi     a ChaCha20 stream over the body; BOLT 4 has no body
//	um     HMAC-SHA256 over a failure
//	ammag  a ChaCha20 stream over a failure
//	seen   8 bytes to know the packet again by
//
// [Wrap] goes from the last hop to the first: it shifts the header right by one frame, writes the frame, encrypts, and takes the MAC. The
// last hop's header ends in the filler that the earlier hops' streams will have left there; everything between that and the last
// frame comes from the payer's pad. [Packet.Peel] checks the MAC, decrypts header and 1,600 zeros behind it, takes the first frame and
// shifts left. A frame whose MAC of the next hop is all zeros is the last.
//
// The MAC covers the body too, as this hop sees it, so a byte changed anywhere is refused at the next node and not only at the end: no mediator
// can mark a packet for another one to recognise. What the packet is bound to (for a payment: its part, condition and
// currency) goes into each MAC without being sent; a packet under another binding is refused.
//
// # Failures
//
// A node that refuses answers with a message of [MessageSize] bytes under a MAC of its own key ([Fail]); each node on the way back adds
// a layer ([Return]); the payer takes them off in turn until a MAC fits, which is the node that failed ([Read]). Between them
// nobody can read it, and nobody can fail in another's name: who changes it makes it unreadable, who puts its own in its place
// names itself.
//
// # What it does not do
//
// It keeps no list of packets seen: see [Seen]. It does not hide when and how much is sent.
package onion

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20"

	"kula/ident"
)

// Sizes, in bytes.
const (
	// Hops is the longest route.
	Hops = 20
	// FrameSize is what one hop takes of the header.
	FrameSize = PayloadSize + macSize
	// PayloadSize is what one hop is told: a key, an amount and a time.
	PayloadSize = 48
	// HeaderSize does not tell how many frames are used.
	HeaderSize = Hops * FrameSize

	macSize = sha256.Size
)

// Payload is what one hop is told.
type Payload [PayloadSize]byte

// Packet is an onion as one node sees it.
type Packet struct {
	Key    ident.BoxKey
	Header [HeaderSize]byte
	MAC    [macSize]byte
	Body   []byte
}

// Peeled is what a node finds in a packet.
type Peeled struct {
	Payload Payload
	Last    bool    // the packet ends here
	Next    *Packet // for the next hop, without its Key; of the last hop only Body, which is the plaintext
}

// ErrMAC is returned for a packet that was not made for this key and binding, or was changed.
var ErrMAC = errors.New("the onion's MAC is wrong")

// Wrap makes the packet for the first hop of a route: payloads[i] is for the hop that shares l.Keys[i], body for the last
// one. bound is what every hop will name to Peel.
func Wrap(l *ident.Layers, payloads []Payload, bound, body []byte) (*Packet, error) {
	n := len(payloads)
	if n < 1 || n > Hops || n != len(l.Keys) {
		return nil, fmt.Errorf("an onion of %d payloads and %d keys, must be 1 to %d of both", n, len(l.Keys), Hops)
	}
	p := &Packet{Key: l.Key, Body: make([]byte, len(body))}
	xor(p.Header[:], 0, l.Pad, "pad")
	filler := fill(l.Keys)
	bodies := make([]byte, n*len(body)) // as each hop gets it
	last := body
	for i := n - 1; i >= 0; i-- {
		at := bodies[i*len(body):][:len(body)]
		copy(at, last)
		xor(at, 0, l.Keys[i], "pi")
		last = at
	}
	copy(p.Body, last)
	for i := n - 1; i >= 0; i-- {
		copy(p.Header[FrameSize:], p.Header[:])
		copy(p.Header[:], payloads[i][:])
		copy(p.Header[PayloadSize:FrameSize], p.MAC[:])
		xor(p.Header[:], 0, l.Keys[i], "rho")
		if i == n-1 {
			copy(p.Header[HeaderSize-len(filler):], filler)
		}
		p.MAC = mac(l.Keys[i], "mu", p.Header[:], bodies[i*len(body):][:len(body)], bound)
	}
	return p, nil
}

// fill is what the streams of all hops but the last leave at the end of the last one's header.
func fill(keys []ident.SharedKey) []byte {
	filler := make([]byte, (len(keys)-1)*FrameSize)
	for i := range len(keys) - 1 {
		xor(filler[:(i+1)*FrameSize], HeaderSize-i*FrameSize, keys[i], "rho")
	}
	return filler
}

// Peel takes one layer off. Errors wrap [ErrMAC].
func (p *Packet) Peel(key ident.SharedKey, bound []byte) (*Peeled, error) {
	if want := mac(key, "mu", p.Header[:], p.Body, bound); !hmac.Equal(want[:], p.MAC[:]) {
		return nil, ErrMAC
	}
	x := &Peeled{Next: &Packet{Body: append([]byte(nil), p.Body...)}}
	xor(x.Next.Body, 0, key, "pi")
	var wide [HeaderSize + FrameSize]byte
	copy(wide[:], p.Header[:])
	stream := cipher(key, "rho")
	stream.XORKeyStream(wide[:FrameSize], wide[:FrameSize])
	x.Payload, x.Next.MAC = Payload(wide[:PayloadSize]), [macSize]byte(wide[PayloadSize:])
	if x.Last = x.Next.MAC == [macSize]byte{}; !x.Last {
		rest := wide[FrameSize:]
		stream.XORKeyStream(rest, rest)
		copy(x.Next.Header[:], rest)
	}
	return x, nil
}

// Seen is what a packet is known again by: nobody but its payer and the hop with this key can tell it, and one packet
// gives the same to one hop, whatever lock carries it.
func Seen(key ident.SharedKey) uint64 {
	k := named(key, "seen")
	return binary.BigEndian.Uint64(k[:])
}

// named is the key of a purpose.
func named(key ident.SharedKey, name string) [32]byte {
	h := hmac.New(sha256.New, []byte(name))
	h.Write(key[:])
	return [32]byte(h.Sum(nil))
}

func mac(key ident.SharedKey, name string, parts ...[]byte) [macSize]byte {
	k := named(key, name)
	h := hmac.New(sha256.New, k[:])
	for _, part := range parts {
		h.Write(part)
	}
	return [macSize]byte(h.Sum(nil))
}

// cipher is a key's stream.
func cipher(key ident.SharedKey, name string) *chacha20.Cipher {
	k := named(key, name)
	var nonce [chacha20.NonceSize]byte
	c, err := chacha20.NewUnauthenticatedCipher(k[:], nonce[:])
	if err != nil {
		panic(fmt.Sprintf("onion: a key and a nonce of the right lengths: %v", err))
	}
	return c
}

// xor adds the bytes of a key's stream from skip on to data.
func xor(data []byte, skip int, key ident.SharedKey, name string) {
	const block = 64
	c := cipher(key, name)
	c.SetCounter(uint32(skip / block))
	if rest := skip % block; rest > 0 {
		var dropped [block]byte
		c.XORKeyStream(dropped[:rest], dropped[:rest])
	}
	c.XORKeyStream(data, data)
}
