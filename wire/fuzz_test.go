package wire

import (
	"bytes"
	"encoding/hex"
	"testing"

	"kula/ident"
)

// FuzzDecode: a message that decodes is the one spelling of itself.
func FuzzDecode(f *testing.F) {
	for _, m := range messages() {
		f.Add(Encode(m))
	}
	for _, x := range misspelt() {
		f.Add(x.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			if m != nil {
				t.Fatal("an error and a message")
			}
			return
		}
		if !bytes.Equal(Encode(m), data) {
			t.Fatalf("%x decodes to what encodes as %x", data, Encode(m))
		}
	})
}

// FuzzUnmarshal: the same for every statement and everything that is sealed. kind picks the type.
func FuzzUnmarshal(f *testing.F) {
	kinds := unsigned()
	for _, s := range statements() {
		kinds = append(kinds, s.v)
	}
	kinds = append(kinds, &Signed{Body: []byte{1}, Sig: ident.Signature{2}}, &Group{Seq: 1})
	for i, v := range kinds {
		f.Add(byte(i), Marshal(v))
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		v := blankOf(typeName(kinds[int(kind)%len(kinds)]))
		if Unmarshal(data, v) != nil {
			return
		}
		if !bytes.Equal(Marshal(v), data) {
			t.Fatalf("%x is a second spelling of a %s", data, typeName(v))
		}
		if c, ok := v.(interface{ check() error }); ok && Check(c) != nil {
			t.Fatal("read, and not to be signed")
		}
		switch v := v.(type) {
		case *Lock:
			v.Digest()
		case *Invoice:
			v.ID(Signed{Body: data})
		case *Reason:
			_ = v.Code.String()
		}
	})
}

// FuzzOpen: nothing is opened that was not signed.
func FuzzOpen(f *testing.F) {
	s := Sign(writer, TagPromise, samplePromise())
	f.Add(s.Body, s.Sig[:])
	f.Add([]byte{0x80}, []byte{})
	f.Fuzz(func(t *testing.T, body, sig []byte) {
		x := Signed{Body: body}
		copy(x.Sig[:], sig)
		if err := Open(writer, writer.ID(), TagPromise, x, new(Promise)); err == nil && !bytes.Equal(body, s.Body) {
			t.Fatalf("opened %x", body)
		}
	})
}

func FuzzParseLink(f *testing.F) {
	f.Add(LinkInvoice, Link(LinkInvoice, []byte("data")))
	f.Add(LinkIndex, "kula:index?key=k&addr=a&d=AAAA")
	f.Add("", "kula:?d=AA&req-x=")
	f.Fuzz(func(t *testing.T, want, link string) {
		data, err := ParseLink(want, link)
		if err != nil {
			return
		}
		if got, err := ParseLink(want, Link(want, data)); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%q holds %x, again %x, %v", link, data, got, err)
		}
	})
}

func FuzzLinkParameters(f *testing.F) {
	f.Add("kula:index?key=k&addr=a")
	f.Add("kula:friend")
	f.Add("kula:a?%zz")
	f.Fuzz(func(t *testing.T, link string) {
		kind, p, err := LinkParameters(link)
		if err != nil {
			return
		}
		again, q, err := LinkParameters("kula:" + kind + "?" + p.Encode())
		if err != nil || again != kind || q.Encode() != p.Encode() {
			t.Fatalf("%q: %q %v, then %q %v, %v", link, kind, p, again, q, err)
		}
	})
}

func FuzzParseID16(f *testing.F) {
	f.Add("000102030405060708090a0b0c0d0e0f")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseID16(s); err == nil && hex.EncodeToString(id[:]) != s {
			t.Fatalf("%q is a second spelling of %x", s, id)
		}
	})
}

func FuzzUnmarshalText(f *testing.F) {
	for c := CodeNone; int(c) < len(codeNames); c++ {
		f.Add([]byte(c.String()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Code
		if err := c.UnmarshalText(b); err != nil || c.String() != string(b) && c.String() != "unknown" {
			t.Fatalf("%q reads as %s, %v", b, c, err)
		}
	})
}
