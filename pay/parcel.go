package pay

import (
	"encoding/binary"
	"fmt"

	"kula/ident"
	"kula/money"
	"kula/onion"
	"kula/wire"
)

// Parcel is what a lock carries, as the node reads it that the lock was given to.
type Parcel struct {
	Hop   *wire.Hop // where the part goes on, nil if it ends here
	Layer *Layer    // of an onion, nil for version 0
	plain *wire.Blob
}

// Layer is what a node knows of an onion of its own.
type Layer struct {
	Seen  uint64 // what this onion is known again by
	Until int64  // unix seconds, from when on nobody carries it
	eph   ident.BoxKey
	key   ident.SharedKey
	next  *onion.Packet
}

// IsOnion says whether what a lock carries is of version 1. Both versions are arrays of five that begin with their number.
func IsOnion(blob []byte) bool { return len(blob) > 1 && blob[1] == 1 }

// bound is what the onion of a lock is bound to: under another part, condition or currency it does not open.
func bound(l *wire.Lock) []byte {
	id := l.Condition.ID()
	return append(append(l.Part[:len(l.Part):len(l.Part)], id[:]...), l.Currency...)
}

// OpenParcel reads what a lock to me carries, in either version. Errors wrap [wire.ErrForm] or [onion.ErrMAC]; then there is no key to
// seal a reason with.
func OpenParcel(suite ident.Suite, l *wire.Lock) (*Parcel, error) {
	if !IsOnion(l.Blob) {
		b, err := ParseBlob(l.Blob)
		if err != nil {
			return nil, err
		}
		p := &Parcel{plain: b}
		if len(b.Hops) > 0 {
			p.Hop = &b.Hops[0]
		}
		return p, nil
	}
	packet, err := parseOnion(l.Blob)
	if err != nil {
		return nil, err
	}
	key, err := suite.OnionFrom(packet.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", onion.ErrMAC, err)
	}
	return peel(packet, key, bound(l))
}

func parseOnion(blob []byte) (*onion.Packet, error) {
	var o wire.Onion
	if err := wire.Unmarshal(blob, &o); err != nil {
		return nil, err
	}
	return &onion.Packet{Key: o.Key, Header: o.Header, MAC: o.MAC, Body: o.Body}, nil
}

func peel(packet *onion.Packet, key ident.SharedKey, bound []byte) (*Parcel, error) {
	x, err := packet.Peel(key, bound)
	if err != nil {
		return nil, err
	}
	hop, until := readPayload(&x.Payload)
	p := &Parcel{Layer: &Layer{Seen: onion.Seen(key), Until: until, eph: packet.Key, key: key, next: x.Next}}
	if x.Last {
		return p, nil
	}
	if hop.Amount <= 0 || hop.Amount > money.MaxLimit {
		return nil, fmt.Errorf("%w: hop amount %d", wire.ErrForm, hop.Amount)
	}
	p.Hop = &hop
	return p, nil
}

// A payload is Next 32 ‖ Amount 8 ‖ Until 8, both numbers big-endian. The payee's has zeros for Next.
func writePayload(hop wire.Hop, until int64) (p onion.Payload) {
	copy(p[:], hop.Next[:])
	binary.BigEndian.PutUint64(p[32:], uint64(hop.Amount))
	binary.BigEndian.PutUint64(p[40:], uint64(until))
	return p
}

func readPayload(p *onion.Payload) (hop wire.Hop, until int64) {
	hop.Next = ident.ID(p[:32])
	hop.Amount = money.Amount(binary.BigEndian.Uint64(p[32:]))
	return hop, int64(binary.BigEndian.Uint64(p[40:]))
}

// Inner is what the lock towards Hop carries. There is a hop.
func (p *Parcel) Inner(suite ident.Suite) []byte {
	if p.Layer == nil {
		_, inner := Peel(p.plain)
		return inner
	}
	return writeOnion(p.Layer.next, suite.OnionNext(p.Layer.eph, p.Layer.key))
}

func writeOnion(p *onion.Packet, key ident.BoxKey) []byte {
	return wire.Marshal(&wire.Onion{Version: 1, Key: key, Header: p.Header, MAC: p.MAC, Body: p.Body})
}

// OpenBox reads the box at the payee of a part, and what it shares with the payer. ends gives that for a blob of version 0; an
// onion brings it along.
func (p *Parcel) OpenBox(ends func(*wire.Blob) (Sealed, error), part wire.PartID) (Sealed, *wire.Box, error) {
	if p.Layer != nil {
		return openBody(p.Layer.next.Body)
	}
	s, err := ends(p.plain)
	if err != nil {
		return s, nil, err
	}
	box, err := s.OpenBox(p.plain, part)
	return s, box, err
}

// Refuse seals why I give the part back, to the payer alone: friend and number name the lock.
func (p *Parcel) Refuse(suite ident.Suite, friend ident.ID, number uint64, r *wire.Reason) []byte {
	if p.Layer == nil {
		return SealReason(suite, p.plain.Key, friend, number, r)
	}
	var m onion.Message
	text := wire.Marshal(r)
	binary.BigEndian.PutUint16(m[:], uint16(len(text)))
	copy(m[2:], text)
	return onion.Fail(p.Layer.key, &m)
}

// Return is a reason from behind as it goes on towards the payer. An onion's that is none, because the next node could not
// open it or would not say, becomes one of my own that names the next: so it is of one size, and the payer learns where.
func (p *Parcel) Return(suite ident.Suite, friend ident.ID, number uint64, note []byte) []byte {
	switch {
	case p.Layer == nil:
		return note
	case len(note) != onion.FailureSize:
		r := &wire.Reason{Code: wire.CodeNone, At: suite.ID()}
		if p.Hop != nil {
			r.Next = p.Hop.Next
		}
		return p.Refuse(suite, friend, number, r)
	}
	return onion.Return(p.Layer.key, note)
}
