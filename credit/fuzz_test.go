package credit

import (
	"bytes"
	"fmt"
	"testing"

	"kula/ident"
	"kula/wire"
)

// FuzzDecodeFault: bytes that decode are the one spelling; judging them never panics.
func FuzzDecodeFault(f *testing.F) {
	v := standIn{id: ident.ID{9}}
	f.Add((&Fault{}).Encode())
	f.Add((&Fault{Kind: DroppedUncancelled, Before: []wire.Lock{newLock(eur, 1)}, Cancels: []uint64{3}}).Encode())
	for _, x := range faults(f) {
		f.Add(x.Encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := DecodeFault(data)
		if err != nil {
			return
		}
		if !bytes.Equal(x.Encode(), data) {
			t.Fatalf("%x is encoded as %x", data, x.Encode())
		}
		_ = x.Verify(v)
		_ = x.holds()
	})
}

func FuzzDecodeProof(f *testing.F) {
	v := standIn{id: ident.ID{9}}
	a, b := friends(f)
	add(f, a, eur, 5)
	quiet(f, a, b)
	f.Add(a.Proof().Encode())
	f.Add((&Proof{}).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodeProof(data)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Encode(), data) {
			t.Fatalf("%x is encoded as %x", data, p.Encode())
		}
		_, _ = p.Verify(v)
	})
}

// FuzzJudge: whatever a friend signs, judging it panics nowhere and changes nothing.
func FuzzJudge(f *testing.F) {
	a, b := busy(f)
	add(f, a, eur, 1)
	lock(f, a, eur, 3)
	u := tell(a, b)
	f.Add(wire.Marshal(&a.Mine.Promise), wire.Marshal(u)[1:])
	var p wire.Promise
	_ = wire.Unmarshal(u.Promise.Body, &p)
	p.Start, p.Epoch, p.Seq = &wire.Start{Mine: b.HeldMark(), Held: b.MyMark()}, 5, 1
	f.Add(wire.Marshal(&p), []byte{0x80})
	groups := wire.Marshal(u.Groups)
	f.Add(wire.Marshal(&p), groups)
	f.Add(u.Promise.Body, groups)
	f.Fuzz(func(t *testing.T, body, moves []byte) {
		var list []wire.Group
		if wire.Unmarshal(moves, &list) != nil {
			list = u.Groups
		}
		c := clone(b.Channel)
		x := &wire.Update{Promise: wire.Signed{Body: body, Sig: a.s.Sign(wire.TagPromise, body)}, Base: b.HeldMark(), Groups: list}
		if _, err := wire.Decode(wire.Encode(x)); err != nil {
			return
		}
		step, err := c.Judge(b.s, x, Floor{})
		if fmt.Sprint(c.Theirs, c.Mine.Marks) != fmt.Sprint(b.Theirs, b.Mine.Marks) {
			t.Fatal("judging changed the channel")
		}
		if err == nil {
			c.Accept(step)
			_ = c.Snapshot()
		}
	})
}
