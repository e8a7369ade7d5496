package node

import (
	"testing"

	"kula/money"
	"kula/wire"
)

// Somebody removed with debt, invited again and removed again before it was heard stays on record: what it signed
// proves the debt, and what is locked still ends.
func TestRemoveInvitedAgain(t *testing.T) {
	w, n := newWorld(t, "ana", "ben")
	ana, ben := n[0], n[1]
	disk := newShelf()
	w.disks = map[*Node]*shelf{ana: disk}
	w.befriend(ana, ben, fst, 100, 100)
	w.must(ben, &Pay{To: ana.ID().String(), Value: money.Value{Amount: 40, Currency: fst}})
	hold := w.must(ben, &CreateInvoice{Value: money.Value{Amount: 15, Currency: fst}, Expires: w.now/1000 + 1000, Hold: true}).(*InvoiceView)
	w.must(ana, &Pay{Invoice: hold.URI, GiveUp: 1000})
	if len(ana.friends[ben.ID()].out) != 1 {
		t.Fatal("nothing is locked")
	}
	w.must(ana, &Remove{Friend: "ben", WithDebt: true})
	v := w.must(ben, &Invite{Lines: []wire.Proposal{{Currency: fst, Give: 1, Ask: 1}}, Expires: w.now/1000 + 3600}).(*InvitationView)
	w.must(ana, &Accept{Link: v.URI})
	w.must(ana, &Remove{Friend: "ben", WithDebt: true})

	back, err := Load(ana.suite.Suite, Config{Name: "ana"}, disk.all())
	if err != nil {
		t.Fatal(err)
	}
	f := back.friends[ben.ID()]
	if f == nil || f.state() != Removed || f.ch.HeldMark().Seq == 0 || len(f.out) != 1 {
		t.Fatalf("%+v", f)
	}
	w.n[ana.ID()] = back
	w.connect(back, ben)
	id, err := wire.ParseID16(hold.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.must(ben, &CancelInvoice{ID: id})
	if len(f.out) != 0 {
		t.Errorf("what was locked is locked still")
	}
}
