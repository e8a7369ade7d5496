package node

import (
	"fmt"
	"slices"
	"testing"

	"kula/wire"
)

// N-7: friends in a session hear at once of a new address, others in the next hello; the newest come first.
func TestMoved(t *testing.T) {
	w, list := newWorld(t, "Ana", "Ben", "Cleo")
	ana, ben, cleo := list[0], list[1], list[2]
	w.befriend(ana, ben, fst, 100, 100)
	w.befriend(ana, cleo, fst, 100, 100)
	w.step(ana, Disconnected{cleo.ID(), ana.friends[cleo.ID()].session.number})
	w.step(cleo, Disconnected{ana.ID(), cleo.friends[ana.ID()].session.number})
	seen := func(n *Node) []string { return n.friends[ana.ID()].addresses }

	w.must(ana, &Configure{Name: "Ana", Addresses: []string{"/first", "/second"}})
	w.run()
	if got := seen(ben); len(got) < 2 || got[0] != "/first" || got[1] != "/second" {
		t.Errorf("ben knows %q", got)
	}
	if slices.Contains(seen(cleo), "/first") {
		t.Error("cleo, who is away, knows it already")
	}
	w.connect(ana, cleo)
	if got := seen(cleo); len(got) < 2 || got[0] != "/first" {
		t.Errorf("cleo knows %q", got)
	}

	for i := range 2 * wire.MaxAddresses {
		w.must(ana, &Configure{Name: "Ana", Addresses: []string{fmt.Sprintf("/home/%d", i)}})
		w.run()
	}
	if got := seen(ben); len(got) != wire.MaxAddresses || got[0] != fmt.Sprintf("/home/%d", 2*wire.MaxAddresses-1) {
		t.Errorf("ben knows %q", got)
	}
}
