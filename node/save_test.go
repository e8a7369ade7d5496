package node

import (
	"testing"

	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// Somebody who is removed and invited again in one Step is a friend after a restart too.
func TestRemovedAndAddedInOneStep(t *testing.T) {
	other := ident.NewKey([32]byte{9})
	now := int64(1_700_000_000_000)
	accept := func(token byte) Event {
		s := wire.Sign(other, wire.TagInvitation, &wire.Invitation{
			From: other.ID(), Name: "Ben", Token: [16]byte{token}, Expires: now/1000 + 60, Lines: []wire.Proposal{{Currency: "EUR/2", Give: money.Amount(token)}},
		})
		return Do{ID: uint64(token), Command: &Accept{Link: pay.InvitationLink(s)}}
	}
	for i := range 50 { // what must not matter is the order of a map
		n := New(ident.NewKey([32]byte{1}), Config{Name: "Ana"})
		n.Step(now, [32]byte{1}, accept(1))
		fx := n.Step(now, [32]byte{2}, Do{ID: 7, Command: &Remove{Friend: "Ben", WithDebt: true}}, accept(2))
		for _, r := range fx.Reply {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		last := map[string]bool{}
		for _, r := range fx.Save {
			last[r.Kind] = r.Value != nil
		}
		if !last[kindFriend] || !last[kindChannel] {
			t.Fatalf("try %d: the friend is deleted: %v", i, last)
		}
	}
}
