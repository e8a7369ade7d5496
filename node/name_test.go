package node

import (
	"strings"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// spoof makes Ana a friend of Ben, then of somebody who calls itself name(Ben's key).
func spoof(t *testing.T, name func(ident.ID) string) (w *world, ana, ben, eve *Node) {
	w, n := newWorld(t, "Ana", "Ben", "x")
	ana, ben, eve = n[0], n[1], n[2]
	w.befriend(ana, ben, fst, 100, 100)
	w.must(eve, &Configure{Name: name(ben.ID())})
	w.befriend(ana, eve, fst, 100, 100)
	return w, ana, ben, eve
}

// A name that a friend gave itself never stands for another friend's key.
func TestNamesAreNoKeys(t *testing.T) {
	names := map[string]func(ident.ID) string{
		"z-base-32":         ident.ID.String,
		"did:key":           ident.ID.DID,
		"peer id":           ident.ID.Peer,
		"prefix":            func(id ident.ID) string { return id.String()[:10] },
		"shortest prefix":   ident.ID.Short,
		"prefix in capital": func(id ident.ID) string { return strings.ToUpper(id.String()[:10]) },
		"long s":            func(id ident.ID) string { return strings.ReplaceAll(id.String()[:20], "s", "ſ") },
	}
	for what, name := range names {
		t.Run(what, func(t *testing.T) {
			w, ana, ben, eve := spoof(t, name)
			for _, ref := range []string{ben.ID().String(), ben.ID().DID(), ben.ID().Peer(), ben.ID().String()[:10], ben.ID().Short(), name(ben.ID())} {
				if f, err := ana.Friend(ref); err == nil && f.Key != ben.ID() {
					t.Errorf("%q is %s, who called itself that", ref, f.Name)
				}
			}
			if f := ana.friends[eve.ID()]; f.name != eve.ID().Short() {
				t.Errorf("Ana calls it %q, not by its own key", f.name)
			}
			w.must(ana, &Pay{To: ben.ID().String()[:10], Value: money.Value{Amount: 5, Currency: fst}, GiveUp: 30000})
			if got := balance(ben, fst); got != 5 {
				t.Errorf("Ben got %d of 5", got)
			}
		})
	}
}

// What a friend's key begins with, and another friend is called, names neither: a name may be older than the key.
func TestAmbiguousReference(t *testing.T) {
	_, ana, ben, eve := spoof(t, func(ident.ID) string { return "Eve" })
	ref := ben.ID().Short()
	ana.friends[eve.ID()].name = ref
	_, err := ana.Friend(ref)
	if err == nil || err.Code != wire.Conflict || !strings.Contains(err.Text, "Ben") || !strings.Contains(err.Text, eve.ID().Short()) {
		t.Fatalf("%q: %v", ref, err)
	}
	for _, n := range []*Node{ben, eve} {
		if f, err := ana.Friend(n.ID().String()); err != nil || f.Key != n.ID() {
			t.Fatalf("the whole key of %s: %v", n.Name(), err)
		}
	}
	ana.friends[eve.ID()].name = ben.ID().String() // as an older version may have saved it
	if f, err := ana.Friend(ben.ID().String()); err != nil || f.Key != ben.ID() {
		t.Fatalf("a whole key names its owner: %v", err)
	}
}

// The user's own choice of such a name is refused, and of "me".
func TestChosenNames(t *testing.T) {
	w, ana, ben, eve := spoof(t, func(ident.ID) string { return "Me" })
	if f := ana.friends[eve.ID()]; strings.EqualFold(f.name, "me") {
		t.Errorf("a friend is called %q", f.name)
	}
	letters := strings.Repeat("a", 52)
	for _, name := range []string{"me", "ME", ben.ID().String(), ben.ID().DID(), ben.ID().Peer(), ben.ID().Short(), ana.ID().Short(), "q8k3zzzz", letters} {
		r := w.do(ana, &Invite{Name: name, Lines: []wire.Proposal{{Currency: fst, Give: 1, Ask: 1}}, Expires: w.now/1000 + 60})
		if r.Err == nil || r.Err.Code != wire.NameTaken {
			t.Errorf("invite %q: %v", name, r.Err)
		}
		v := w.must(eve, &Invite{Lines: []wire.Proposal{{Currency: fst, Give: 1, Ask: 1}}, Expires: w.now/1000 + 60}).(*InvitationView)
		r = w.do(ben, &Accept{Link: v.URI, Name: name})
		if r.Err == nil || r.Err.Code != wire.NameTaken || len(ben.friends) != 1 {
			t.Errorf("accept %q: %v", name, r.Err)
		}
	}
	for _, name := range []string{"Benjamin", "christian", "Katharina", "Ana 2", "ben-1986"} { // no key of a friend begins so
		w.must(ana, &Invite{Name: name, Lines: []wire.Proposal{{Currency: fst, Give: 1, Ask: 1}}, Expires: w.now/1000 + 60})
	}
}
