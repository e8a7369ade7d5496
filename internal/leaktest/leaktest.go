// Package leaktest searches what a stranger received for what it must not have. Tests use it: they gather all bytes
// that reached a mediator, a relay or a server in a [Haystack], name the secrets, and want that [Haystack.Leaks] finds none.
//
// A secret is searched for in the spellings in which programs write bytes and keys, each by itself: what is encrypted, hashed
// or split is not found. So a test also shows that the same secrets are found where they belong.
package leaktest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kula/ident"
)

// Secret is something in its spellings.
type Secret struct {
	What  string
	Spelt [][]byte
}

// Bytes is a secret of at least 8 bytes, so that chance does not find it: raw, in hex, and in base64 (plain and for URLs) wherever in its groups of three it begins.
func Bytes(what string, b []byte) Secret {
	if len(b) < 8 {
		panic(fmt.Sprintf("leaktest: %s has %d bytes; chance would find it", what, len(b)))
	}
	s := Secret{what, [][]byte{b, []byte(hex.EncodeToString(b))}}
	for skip := range 3 {
		from, to := (3-skip)%3, len(b)-(len(b)+skip)%3 // the whole groups of it
		if to-from >= 6 {
			s.Spelt = append(s.Spelt, []byte(base64.RawStdEncoding.EncodeToString(b[from:to])), []byte(base64.RawURLEncoding.EncodeToString(b[from:to])))
		}
	}
	return s
}

// Key is an identity: its bytes, and its three spellings.
func Key(name string, id ident.ID) Secret {
	s := Bytes("the key of "+name, id[:])
	s.Spelt = append(s.Spelt, []byte(id.String()), []byte(strings.TrimPrefix(id.DID(), "did:key:")), []byte(id.Peer()))
	return s
}

// Text is what somebody wrote.
func Text(what, text string) Secret { return Bytes(what, []byte(text)) }

// Haystack is all that somebody has, by where it has it from.
type Haystack map[string][]byte

// Where says where a secret is, in order.
func (h Haystack) Where(s Secret) (places []string) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if slices.ContainsFunc(s.Spelt, func(b []byte) bool { return bytes.Contains(h[name], b) }) {
			places = append(places, name)
		}
	}
	return places
}

// Leaks says which secrets are here, and where.
func (h Haystack) Leaks(secrets ...Secret) (found []string) {
	for _, s := range secrets {
		if places := h.Where(s); len(places) > 0 {
			found = append(found, fmt.Sprintf("%s: in %s", s.What, strings.Join(places, "; ")))
		}
	}
	return found
}
