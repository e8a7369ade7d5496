package pay

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"kula/ident"
	"kula/money"
	"kula/onion"
	"kula/wire"
)

// Times of an onion, in seconds. The payer's clock and a mediator's may differ by OnionLife, either way.
const (
	// OnionLife is how long an onion may be carried, at least. A part takes seconds; the rest is for clocks.
	OnionLife = 5 * 60
	// MaxOnionLife is how far ahead a mediator lets an onion end: it remembers each that it has seen until then.
	MaxOnionLife = 2*OnionLife + onionStep
	// onionStep is what the end is rounded up to: a finer one tells more of the payer's clock.
	onionStep = 60
)

// Until is when an onion ends that is made now, in unix seconds.
func Until(now int64) int64 {
	return (now/1000 + OnionLife + onionStep - 1) / onionStep * onionStep
}

// AsOnionPayer gives the payer's side of a payment that travels in onions, from the payment's salt: the key goes along in each
// body, so payments have nothing in common that others see, and the parts of one have.
func AsOnionPayer(suite ident.Suite, salt ident.Salt) Sealed {
	secret := suite.Secret("what payer and payee share of a payment")
	mac := hmac.New(sha256.New, secret[:])
	mac.Write(salt[:])
	return inBody(salt, ident.SharedKey(mac.Sum(nil)))
}

// inBody is what a key that came in a body gives. Its name, which tells payments of one invoice apart, is a hash.
func inBody(salt ident.Salt, key ident.SharedKey) Sealed {
	return Sealed{Salt: salt, Key: ident.BoxKey(ident.HashOf([]byte("kula/payment/1"), key[:])), key: key, even: true}
}

// The body of an onion is the key that payer and payee share 32 ‖ length of the box 2 ‖ the box ‖ zeros.
const bodyHead = 32 + 2

// NewOnion is what the first lock of a part carries: l has its part, currency and condition. until is what Until gave.
func (s Sealed) NewOnion(suite ident.Suite, route Route, l *wire.Lock, until int64, box *wire.Box) ([]byte, error) {
	text := wire.Marshal(box)
	if len(text) > wire.OnionBody-bodyHead {
		return nil, fmt.Errorf("the box has %d bytes, at most %d", len(text), wire.OnionBody-bodyHead)
	}
	body := make([]byte, wire.OnionBody)
	copy(body, s.key[:])
	binary.BigEndian.PutUint16(body[32:], uint16(len(text)))
	copy(body[bodyHead:], text)
	layers, err := suite.OnionTo(ident.Salt(l.Part), route.Hops)
	if err != nil {
		return nil, err
	}
	payloads := make([]onion.Payload, len(route.Hops))
	for i := range payloads {
		hop := wire.Hop{Amount: route.Amounts[i]}
		if i+1 < len(route.Hops) {
			hop = wire.Hop{Next: route.Hops[i+1], Amount: route.Amounts[i+1]}
		}
		payloads[i] = writePayload(hop, until)
	}
	packet, err := onion.Wrap(layers, payloads, bound(l), body)
	if err != nil {
		return nil, err
	}
	return writeOnion(packet, packet.Key), nil
}

// openBody reads the body of an onion at its payee.
func openBody(body []byte) (Sealed, *wire.Box, error) {
	length := int(binary.BigEndian.Uint16(body[32:]))
	if bodyHead+length > len(body) || len(bytes.Trim(body[bodyHead+length:], "\x00")) > 0 {
		return Sealed{}, nil, fmt.Errorf("%w: a box of %d bytes in %d, or something behind it", wire.ErrForm, length, len(body))
	}
	box := new(wire.Box)
	if err := wire.Unmarshal(body[bodyHead:bodyHead+length], box); err != nil {
		return Sealed{}, nil, err
	}
	return inBody(box.Salt, ident.SharedKey(body[:32])), box, nil
}

// OpenFailure reads at the payer of a part why it came back: hops is its route. The reason's At is who sealed it, whatever it says.
func OpenFailure(suite ident.Suite, hops []ident.ID, part wire.PartID, note []byte) (*wire.Reason, error) {
	layers, err := suite.OnionTo(ident.Salt(part), hops)
	if err != nil {
		return nil, err
	}
	return ReadFailure(layers.Keys, hops, note)
}

// ReadFailure is OpenFailure with the keys that the payer shares with the hops.
func ReadFailure(keys []ident.SharedKey, hops []ident.ID, note []byte) (*wire.Reason, error) {
	at, m, ok := onion.Read(keys, note)
	if !ok {
		return nil, fmt.Errorf("%w: a failure that no node of the route sealed", wire.ErrForm)
	}
	length := int(binary.BigEndian.Uint16(m[:]))
	if 2+length > len(m) {
		return nil, fmt.Errorf("%w: a reason of %d bytes", wire.ErrForm, length)
	}
	r := new(wire.Reason)
	if err := wire.Unmarshal(m[2:2+length], r); err != nil {
		return nil, err
	}
	r.At = hops[at]
	return r, nil
}

// Unwrap reads what a lock of my own carries again, from nothing but the lock and the friend that has it, after a restore: an onion
// layer by layer. It is an error if the payment is another one's.
func Unwrap(suite ident.Suite, l *wire.Lock, first ident.ID) (Route, Sealed, *wire.Box, error) {
	r := Route{Hops: []ident.ID{first}, Amounts: []money.Amount{l.Amount}}
	if !IsOnion(l.Blob) {
		return unwrapPlain(suite, l, r)
	}
	packet, err := parseOnion(l.Blob)
	for err == nil {
		var layers *ident.Layers
		if layers, err = suite.OnionTo(ident.Salt(l.Part), r.Hops); err != nil {
			break
		}
		if len(r.Hops) == 1 && layers.Key != packet.Key {
			err = fmt.Errorf("%w: the onion is not mine", wire.ErrForm)
			break
		}
		var p *Parcel
		if p, err = peel(packet, layers.Keys[len(r.Hops)-1], bound(l)); err != nil {
			break
		}
		packet = p.Layer.next
		if p.Hop == nil {
			s, box, err := openBody(packet.Body)
			return r, s, box, err
		}
		if len(r.Hops) == wire.MaxHops {
			err = fmt.Errorf("%w: an onion of more than %d hops", wire.ErrForm, wire.MaxHops)
			break
		}
		r.Hops, r.Amounts = append(r.Hops, p.Hop.Next), append(r.Amounts, p.Hop.Amount)
	}
	return Route{}, Sealed{}, nil, err
}

func unwrapPlain(suite ident.Suite, l *wire.Lock, r Route) (Route, Sealed, *wire.Box, error) {
	b, err := ParseBlob(l.Blob)
	if err != nil {
		return Route{}, Sealed{}, nil, err
	}
	for _, h := range b.Hops {
		r.Hops, r.Amounts = append(r.Hops, h.Next), append(r.Amounts, h.Amount)
	}
	s, err := AsPayer(suite, b.Salt, r.Hops[len(r.Hops)-1])
	if err == nil && s.Key != b.Key {
		err = fmt.Errorf("%w: the box is not mine", wire.ErrForm)
	}
	if err != nil {
		return Route{}, Sealed{}, nil, err
	}
	box, err := s.OpenBox(b, l.Part)
	return r, s, box, err
}
