package leaktest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"testing"

	"kula/ident"
)

// Each spelling is found wherever it stands, and nothing else is.
func TestFound(t *testing.T) {
	id := ident.NewKey([32]byte{1}).ID()
	secret := []byte("a text to be found")
	for name, b := range map[string][]byte{
		"raw": id[:], "z-base-32": []byte(id.String()), "did": []byte(id.DID()), "peer": []byte(id.Peer()), "hex": []byte(hex.EncodeToString(id[:])),
	} {
		h := Haystack{name: append([]byte("before"), b...)}
		if got := h.Leaks(Key("ana", id), Text("text", string(secret))); len(got) != 1 || got[0] != "the key of ana: in "+name {
			t.Errorf("%s: %q", name, got)
		}
	}
	for skip := range 4 {
		for behind := range 4 {
			whole := append(append(make([]byte, skip), secret...), make([]byte, behind)...)
			for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
				h := Haystack{"here": []byte(enc.EncodeToString(whole))}
				if len(h.Leaks(Text("text", string(secret)))) != 1 {
					t.Errorf("%d before and %d behind: not found in %s", skip, behind, h["here"])
				}
			}
		}
	}
	if got := (Haystack{"other": []byte(fmt.Sprint("a text to be lost", id.String()[1:]))}).Leaks(Key("ana", id), Text("text", string(secret))); len(got) > 0 {
		t.Errorf("found what is not there: %q", got)
	}
}
