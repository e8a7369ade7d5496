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

// After a restart a retry gives the same word for a fee that is too high as before.
func TestNamedMaxFeeSurvivesRestart(t *testing.T) {
	zero := money.Amount(0)
	for _, c := range []struct {
		name   string
		maxFee *money.Amount
		want   wire.Code
	}{{"named", &zero, wire.FeeAboveMax}, {"not named", nil, wire.FeeNeedsConsent}} {
		t.Run(c.name, func(t *testing.T) {
			w, n := newWorld(t, "zero", "one", "two")
			w.befriend(n[0], n[1], fst, 100, 100)
			w.befriend(n[1], n[2], fst, 100, 100)
			hop := []string{n[1].ID().String(), n[2].ID().String()}
			w.step(n[0], Do{ID: 99, Command: &Pay{To: hop[1], Route: hop, Value: money.Value{Amount: 5, Currency: fst}, MaxFee: c.maxFee, GiveUp: 30000}})
			var id wire.PaymentID // locked, and its message still on its way
			for id = range n[0].payments {
			}
			loaded, err := loadPayment(wire.Marshal(savedPaymentOf(n[0].payments[id])))
			if err != nil {
				t.Fatal(err)
			}
			loaded.fixed, loaded.tries, loaded.stage, loaded.parts = nil, 1, stageRoute, nil
			n[0].payments[id] = loaded
			w.must(n[1], &SetFee{Friend: "zero", Currency: fst, Fee: money.Fee{Base: 3}})
			w.now += 2000
			for _, x := range n {
				w.step(x, Tick{})
			}
			n[0].try(loaded, func(*payment) {})
			q := n[0].fx.Ask[len(n[0].fx.Ask)-1]
			n[0].queries[q.ID](&Answered{Query: q.ID, Answer: w.index.Answer(&q.Query)})
			if loaded.reason == nil || loaded.reason.Code != c.want {
				t.Fatalf("%+v, want %v", loaded.reason, c.want)
			}
		})
	}
}
