package node

import (
	"crypto/sha256"
	"strings"
	"testing"

	"kula/ident"
	"kula/wire"
)

// many is a node with so many friends, each with three addresses of so many bytes.
func many(friends, address int) *Node {
	n := New(ident.NewKey([32]byte{1}), Config{Name: "Ana"})
	for i := range friends {
		f := n.newFriend(ident.ID(sha256.Sum256([]byte{byte(i >> 8), byte(i)})))
		f.name = f.key[:2] + strings.Repeat("n", wire.MaxName-10) + itoa(i)
		for range 3 {
			f.addresses = append(f.addresses, strings.Repeat("a", address))
		}
		n.addFriend(f)
	}
	return n
}

func opened(t *testing.T, n *Node, sealed []byte) map[ident.ID]bool {
	t.Helper()
	h, err := OpenHeads(n.suite, sealed)
	if err != nil {
		t.Fatal(err)
	}
	names := map[ident.ID]bool{}
	for _, head := range h.List {
		names[head.Friend] = true
	}
	return names
}

// A backup names every friend, up to 1,000 (spec E-16).
func TestBackupNamesAll(t *testing.T) {
	for _, friends := range []int{0, 1, 151, 200, 1000} {
		n := many(friends, wire.MaxAddress)
		sealed, err := n.Heads()
		if err != nil {
			t.Fatal(err)
		}
		if got := len(opened(t, n, sealed)); got != friends {
			t.Errorf("a backup of %d friends names %d", friends, got)
		}
		if len(sealed) > 1<<20 {
			t.Errorf("%d bytes", len(sealed))
		}
	}
	n := many(1001, 20)
	if _, err := n.Heads(); err == nil || !strings.Contains(err.Text, "1001 friends") || !strings.Contains(err.Text, "at most 1000") {
		t.Errorf("1,001 friends: %v", err)
	}
	n.order[7].removed = true
	if _, err := n.Heads(); err != nil {
		t.Errorf("one is removed, 1,000 are left: %v", err)
	}
}

// What a friend keeps fits into Keep; all that they keep together names all (spec E-16).
func TestKeptHeads(t *testing.T) {
	for _, c := range []struct{ friends, address int }{{200, 20}, {200, wire.MaxAddress}, {1200, 60}} {
		n := many(c.friends, c.address)
		all, least := map[ident.ID]bool{}, c.friends
		for i := 0; i < c.friends; i += 50 {
			sealed := n.headsFor(n.order[i])
			if len(sealed) > wire.MaxKept {
				t.Fatalf("%d bytes, at most %d", len(sealed), wire.MaxKept)
			}
			kept := opened(t, n, sealed)
			for id := range kept {
				all[id] = true
			}
			if least = min(least, len(kept)); len(sealed) < wire.MaxKept-1100 && len(kept) < min(c.friends, wire.MaxHeads) {
				t.Errorf("%d of %d friends in %d bytes: more would fit", len(kept), c.friends, len(sealed))
			}
		}
		t.Logf("%d friends with addresses of %d bytes: %d or more kept", c.friends, c.address, least)
		if len(all) != c.friends {
			t.Errorf("together they name %d of %d friends", len(all), c.friends)
		}
	}
}
