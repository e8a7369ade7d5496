package ident

import (
	stded25519 "crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"filippo.io/edwards25519"
	"pgregory.net/rapid"

	"kula/money"
)

// vectors are those of spec/vectors/ident.json, made by another implementation.
var vectors = readVectors()

// hexBytes is a byte string that is hex in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func (h hexBytes) salt() Salt     { return Salt(h) }
func (h hexBytes) arr() [32]byte  { return [32]byte(h) }
func (h hexBytes) boxKey() BoxKey { return BoxKey(h) }

type keyVector struct {
	Name, Zbase32, DID, Peer string
	Key                      hexBytes
}

type seedVector struct {
	Master, IdentitySeed hexBytes
	ID                   string
	Preimages            []struct{ Salt, Preimage, Hash hexBytes }
	Secrets              []struct {
		Purpose string
		Secret  hexBytes
	}
}

type signatureVector struct {
	Name                   string
	Tag                    Tag
	ID, Message, Signature hexBytes
	Valid                  bool
}

type boxVector struct {
	Payer, PayerSalt, Payee, BoxKey, Shared, Sealed hexBytes
	Mediator, MediatorSalt, ReplyKey, ReplyShared   hexBytes
	Kind, Plaintext                                 string
}

type vectorFile struct {
	Keys, BadPoints []keyVector
	BadKeys         []struct{ Name, Text string }
	Words           []struct {
		Master hexBytes
		Words  string
	}
	Seeds      []seedVector
	Signatures []signatureVector
	Boxes      []boxVector
	BadBoxKeys []struct {
		Name string
		Key  hexBytes
	}
}

func readVectors() vectorFile {
	data, err := os.ReadFile("../spec/vectors/ident.json")
	if err != nil {
		panic(err)
	}
	var f vectorFile
	if err := json.Unmarshal(data, &f); err != nil {
		panic(err)
	}
	return f
}

func TestSpellings(t *testing.T) {
	if len(vectors.Keys) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors.Keys {
		t.Run(v.Name, func(t *testing.T) {
			id := ID(v.Key)
			if got := id.String(); got != v.Zbase32 {
				t.Errorf("String %s, want %s", got, v.Zbase32)
			}
			if got := id.DID(); got != v.DID {
				t.Errorf("DID %s, want %s", got, v.DID)
			}
			if got := id.Peer(); got != v.Peer {
				t.Errorf("Peer %s, want %s", got, v.Peer)
			}
			if got := id.Short(); got != v.Zbase32[:8] {
				t.Errorf("Short %s", got)
			}
			for _, s := range []string{v.Zbase32, v.DID, v.Peer} {
				if got, err := ParseID(s); err != nil || got != id {
					t.Errorf("ParseID(%s): %v, %v", s, got, err)
				}
			}
		})
	}
}

// The examples that the formats' own documents give, so that the vector file
// cannot drift away from them.
func TestSpellingsOfOthers(t *testing.T) {
	seed := make([]byte, stded25519.SeedSize)
	for i := range seed {
		seed[i] = byte(i)
	}
	pkarr := ID(stded25519.NewKeyFromSeed(seed).Public().(stded25519.PublicKey))
	for _, c := range []struct {
		name, want string
		got        func(ID) string
		id         ID
	}{
		{"z-base-32", "yg4gxe7z1r7mr6orids9fh95y7gxhdsxjqi6nngsxxtakqaxr5no", ID.String,
			fromHex(t, "01b467a3b7913ab27a04a8edf2f3fb074cfe0ecf4babe108d67be3853b0f26c5")},
		{"Pkarr", "yqooxx9u3aemh8mo5wcqq16yufu6jitouq1o4za751dger1igghy", ID.String, pkarr},
		{"did:key", "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", ID.DID,
			fromHex(t, "2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6")},
		{"libp2p", "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq", ID.Peer,
			fromHex(t, "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e")},
	} {
		if got := c.got(c.id); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func fromHex(t *testing.T, s string) ID {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return ID(b)
}

func TestRefusedKeys(t *testing.T) {
	for _, v := range vectors.BadKeys {
		t.Run(v.Name, func(t *testing.T) {
			id, err := ParseID(v.Text)
			if err == nil {
				t.Fatalf("%q was read as %s", v.Text, id)
			}
			if id != (ID{}) {
				t.Errorf("an error came with the key %s", id)
			}
			var text ID
			if err := text.UnmarshalText([]byte(v.Text)); err == nil {
				t.Error("UnmarshalText read it")
			}
		})
	}
	if _, err := ParseID(strings.Repeat("1", 1<<20)); err == nil || len(err.Error()) > 500 {
		t.Errorf("a megabyte of ones: error of %d bytes", len(err.Error()))
	}
}

func TestRefusedPoints(t *testing.T) {
	small := 0
	for _, v := range vectors.BadPoints {
		t.Run(v.Name, func(t *testing.T) {
			id := ID(v.Key)
			if strings.HasPrefix(v.Name, "small order") {
				small++
			}
			if id.Valid() {
				t.Error("Valid")
			}
			if id.String() != v.Zbase32 || id.DID() != v.DID || id.Peer() != v.Peer {
				t.Error("spelled otherwise")
			}
			for _, s := range []string{v.Zbase32, v.DID, v.Peer} {
				if _, err := ParseID(s); err == nil {
					t.Errorf("ParseID(%s) read it", s)
				}
			}
			if _, err := id.MarshalText(); err == nil && id == (ID{}) {
				t.Error("MarshalText wrote it")
			}
			if _, _, err := NewKey([32]byte{}).BoxTo(Salt{}, id); err == nil {
				t.Error("BoxTo took it")
			}
		})
	}
	if small != 8 {
		t.Errorf("%d points of small order in the vectors, want all 8", small)
	}
}

// Valid is checked against a second implementation of the curve.
func TestValidDifferential(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "near p") {
			b = append([]byte{rapid.Byte().Draw(t, "low")}, make([]byte, 31)...)
			for i := 1; i < 32; i++ {
				b[i] = 0xff
			}
			b[31] = rapid.SampledFrom([]byte{0x7f, 0xff}).Draw(t, "high")
		}
		want := false
		if p, err := new(edwards25519.Point).SetBytes(b); err == nil {
			small := new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1
			want = !small && string(p.Bytes()) == string(b)
		}
		if got := ID(b).Valid(); got != want {
			t.Fatalf("Valid(%x) = %v, want %v", b, got, want)
		}
	})
}

// keys draws valid identities.
func keys() *rapid.Generator[*Key] {
	return rapid.Custom(func(t *rapid.T) *Key {
		return NewKey([32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "master")))
	})
}

func TestSpellingsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := keys().Draw(t, "key").ID()
		for _, s := range []string{id.String(), id.DID(), id.Peer()} {
			if got, err := ParseID(s); err != nil || got != id {
				t.Fatalf("ParseID(%s): %v, %v", s, got, err)
			}
		}
		if !strings.HasPrefix(id.Peer(), "12D3KooW") || !strings.HasPrefix(id.DID(), "did:key:z6Mk") {
			t.Fatalf("unusual spellings %s %s", id.Peer(), id.DID())
		}
		// One character changed is another key or none, never the same one.
		s := []byte(rapid.SampledFrom([]string{id.String(), id.DID(), id.Peer()}).Draw(t, "spelling"))
		i := rapid.IntRange(0, len(s)-1).Draw(t, "at")
		old := s[i]
		s[i] = rapid.Byte().Draw(t, "to")
		if got, err := ParseID(string(s)); s[i] != old && err == nil && got == id {
			t.Fatalf("%s is a second spelling of %s", s, id)
		}
		// A circle's key is the issuer of its currency.
		if _, err := money.ParseCurrency("HOUR/2@" + id.String()); err != nil {
			t.Fatal(err)
		}
	})
}

// All spare bits and lengths: the extremes of the spellings' lengths are fixed.
func TestSpellingLengths(t *testing.T) {
	for _, id := range []ID{{}, ID(bytesOf(0xff))} {
		if len(id.String()) != textLen || len(id.DID()) != didLen || len(id.Peer()) != peerLen {
			t.Errorf("lengths %d %d %d", len(id.String()), len(id.DID()), len(id.Peer()))
		}
		if !strings.HasPrefix(id.Peer(), peerPrefix) {
			t.Errorf("peer id %s", id.Peer())
		}
	}
}

func TestText(t *testing.T) {
	id := NewKey([32]byte{}).ID()
	data, err := json.Marshal(map[string]ID{"key": id})
	if err != nil || string(data) != `{"key":"`+id.String()+`"}` {
		t.Fatalf("%s, %v", data, err)
	}
	for _, s := range []string{id.String(), id.DID(), id.Peer()} {
		var got ID
		if err := json.Unmarshal([]byte(`"`+s+`"`), &got); err != nil || got != id {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	kept := id
	if err := kept.UnmarshalText([]byte("nonsense")); err == nil || kept != id {
		t.Errorf("after an error the id is %s, %v", kept, err)
	}
}

func FuzzParseID(f *testing.F) {
	for _, v := range append(vectors.Keys, vectors.BadPoints...) {
		f.Add(v.Zbase32)
		f.Add(v.DID)
		f.Add(v.Peer)
	}
	for _, v := range vectors.BadKeys {
		f.Add(v.Text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		var text ID
		if errText := text.UnmarshalText([]byte(s)); (errText == nil) != (err == nil) || text != id {
			t.Fatalf("UnmarshalText %v, %v; ParseID %v, %v", text, errText, id, err)
		}
		if err != nil {
			return
		}
		if s != id.String() && s != id.DID() && s != id.Peer() {
			t.Fatalf("%q is not a spelling of %s", s, id)
		}
		if !id.Valid() {
			t.Fatalf("%s is not valid", id)
		}
	})
}

func bytesOf(b byte) (out [32]byte) {
	for i := range out {
		out[i] = b
	}
	return out
}

func TestLooksLikeKey(t *testing.T) {
	id := NewKey([32]byte{7}).ID()
	key := id.String()
	for s, want := range map[string]bool{
		key: true, strings.ToUpper(key): true, id.DID(): true, strings.ToUpper(id.DID()): true, id.Peer(): true, id.Peer()[:9]: true,
		"q8k3zzzz": true, "Q8K3ZZZZ": true, "q8\u212a3zzzz": true, "q8k3zzz\u017f": true, strings.Repeat("a", 52): true, key + "ybn": true,
		"": false, "q8k3zzz": false, "q8k3zzzz-2": false, "Benjamin": false, "christian": false, "Ana Maria 2": false, "volvo1972": false, "did:web:x": false,
	} {
		if LooksLikeKey(s) != want {
			t.Errorf("%q: %v, want %v", s, !want, want)
		}
	}
	for s, want := range map[string]bool{key: true, key[:8]: true, strings.ToUpper(key[:20]): true, key[:7]: false, key[:8] + "-": false, key + "y": false} {
		if id.Begins(s) != want {
			t.Errorf("begins %q: %v, want %v", s, !want, want)
		}
	}
}
