package find

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"kula/ident"
)

// seedOf is the identity of peers.md's vector, with another first byte.
func seedOf(first byte) (seed [32]byte) {
	for i := range seed {
		seed[i] = byte(i)
	}
	seed[0] = first
	return seed
}

func keyOf(seed [32]byte) ident.ID {
	return ident.ID(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, places ...string) *Finder {
	t.Helper()
	f, err := Open(places)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}
