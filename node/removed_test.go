package node

import (
	"testing"

	"kula/money"
	"kula/wire"
)

// A removed friend keeps its record and is none any more: its name is free, and what only friends can be told is refused
// until it is invited again.
func TestRemovedFriend(t *testing.T) {
	w, n := newWorld(t, "ana", "ben", "other")
	w.befriend(n[0], n[1], fst, 100, 100)
	ben := n[1].ID().String()
	w.must(n[0], &Remove{Friend: "ben"})
	for _, c := range []Command{
		&SetLimit{Friend: "ben", Limit: money.Value{Amount: 5, Currency: fst}},
		&SetFee{Friend: "ben", Currency: fst},
		&Settle{Friend: "ben", Amount: money.Value{Amount: 5, Currency: fst}},
		&Agree{Friend: ben},
		&Close{Friend: "ben"},
	} {
		if r := w.do(n[0], c); r.Err == nil || r.Err.Code != wire.UnknownFriend {
			t.Errorf("%T of a removed friend: %+v", c, r)
		}
	}
	lines := []wire.Proposal{{Currency: fst, Give: 10, Ask: 10}}
	v := w.must(n[0], &Invite{Name: "Ben", Lines: lines, Expires: w.now/1000 + 3600}).(*InvitationView)
	w.must(n[2], &Accept{Link: v.URI})
	w.connect(n[0], n[2])
	w.must(n[0], &SetLimit{Friend: "ben", Limit: money.Value{Amount: 7, Currency: fst}})
	if f, err := n[0].Friend("Ben"); err != nil || f.Key != n[2].ID() || f.State != Opened {
		t.Fatalf("the new Ben is %+v, %v", f, err)
	}
	if f, err := n[0].Friend(ben); err != nil || f.State != Removed {
		t.Fatalf("the removed Ben is %+v, %v", f, err)
	}
	again := w.must(n[0], &Invite{Lines: lines, Expires: w.now/1000 + 3600}).(*InvitationView)
	w.must(n[1], &Accept{Link: again.URI})
	w.connect(n[0], n[1])
	if f, err := n[0].Friend(ben); err != nil || f.State != Opened || f.Name != "ben-2" {
		t.Fatalf("Ben, invited again, is %+v, %v", f, err)
	}
}

// A friend of a backup has the name that it had, though it does not come.
func TestFindNames(t *testing.T) {
	w, n := newWorld(t, "ana", "ben")
	key := n[1].ID().String()
	for _, c := range []struct{ name, want string }{{"", n[1].ID().Short()}, {"Benedikt", "Benedikt"}, {"Other", "Benedikt"}} {
		w.must(n[0], &Find{Friend: key, Address: "/ip4/127.0.0.1/tcp/2", Name: c.name})
		if f, err := n[0].Friend(key); err != nil || f.Name != c.want {
			t.Fatalf("found as %q: %+v, %v", c.name, f, err)
		}
	}
}
