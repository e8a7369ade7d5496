package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"kula/ident"
	"kula/money"
)

var update = flag.Bool("update", false, "write the vectors instead of reading them")

const vectorFile = "../spec/vectors/wire.json"

type wireVectors struct {
	About    string          `json:"about"`
	Writer   writerVector    `json:"writer"`
	Signed   []signedVector  `json:"statements"`
	Batched  []batchedVector `json:"batched"`
	Messages []messageVector `json:"messages"`
	Sealed   []plainVector   `json:"plain"`
	Refused  []refusedVector `json:"refused"`
	Ids      []idVector      `json:"ids"`
	Links    []linkVector    `json:"links"`
}

type writerVector struct {
	Master string `json:"master"` // the master seed of package ident
	Key    string `json:"key"`
}

// A statement's body, what signs it, and the CBOR of the signed pair.
type signedVector struct {
	Type      string          `json:"type"`
	Tag       string          `json:"tag"`
	Value     json.RawMessage `json:"value"`
	Body      string          `json:"body"`
	Hash      string          `json:"hash"`
	Signature string          `json:"signature"`
	Bytes     string          `json:"bytes"`
}

// A statement that was signed together with others, and the root that the signature is over.
type batchedVector struct {
	Type  string          `json:"type"`
	Tag   string          `json:"tag"`
	Value json.RawMessage `json:"value"`
	Root  string          `json:"root"`
	Bytes string          `json:"bytes"`
}

type messageVector struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
	Bytes string          `json:"bytes"`
}

type plainVector struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
	Diag  string          `json:"diagnostic"` // RFC 8949, section 8
	Bytes string          `json:"bytes"`
}

type refusedVector struct {
	Name  string `json:"name"`
	Type  string `json:"type"` // "message" for whole messages
	Bytes string `json:"bytes"`
}

type idVector struct {
	Name  string `json:"name"`
	Bytes string `json:"bytes"`
	ID    string `json:"id"`
}

type linkVector struct {
	Link string `json:"link"`
	Kind string `json:"kind"`
	Data string `json:"data"`
}

var (
	writer = ident.NewKey([32]byte{1})
	friend = ident.NewKey([32]byte{2}).ID()
)

const eur, circle money.Currency = "EUR/2", "LETS/2@yqooxx9u3aemh8mo5wcqq16yufu6jitouq1o4za751dger1igghy"

func fill(b byte) (h [32]byte) {
	for i := range h {
		h[i] = b
	}
	return h
}

func sampleLock(number uint64) Lock {
	return Lock{
		Number: number, Part: PartID{1, 2, 3}, Currency: eur, Amount: 1250, Blob: []byte("for the nodes behind"),
		Condition: Condition{Hashes: []ident.Hash{fill(0x11), fill(0x22)}},
	}
}

func samplePromise() *Promise {
	return &Promise{
		From: writer.ID(), To: friend, Epoch: 1_700_000_000, Seq: 1, Time: 1_700_000_000_123,
		Start: &Start{Mine: Mark{Epoch: 0, Seq: 9, Hash: fill(1)}, Held: Mark{Epoch: 0, Seq: 24, Hash: fill(2)}, Less: []Less{{Currency: eur, Amount: 1 << 61}}},
		Ack:   Mark{Epoch: 0, Seq: 24, Hash: fill(2)}, Terms: 3, Cancelled: fill(4),
		Lines: []Line{{Currency: eur, Owed: 100_000, Locked: 1250, Locks: fill(3)}, {Currency: circle, Owed: 1}},
	}
}

// statements are one of each kind that is signed.
func statements() []struct {
	tag ident.Tag
	v   any
} {
	plain := samplePromise()
	plain.Epoch, plain.Seq, plain.Start, plain.Lines, plain.Cancelled = 0, 1, nil, nil, ident.Hash{}
	return []struct {
		tag ident.Tag
		v   any
	}{
		{TagPromise, samplePromise()},
		{TagPromise, plain},
		{TagTerms, &Terms{From: writer.ID(), To: friend, Number: 3, Closing: true, Lines: []TermsLine{{Currency: eur, Limit: 1 << 53, FeeBase: 5, FeePpm: 1_000_000}}}},
		{TagInvoice, &Invoice{Payee: writer.ID(), Salt: ident.Salt{5}, Hash: fill(6), Currency: eur, Amount: 1250, Memo: "Käse, 2 kg", Created: 1_700_000_000, Expires: 1_700_003_600, Hold: true}},
		{TagInvitation, &Invitation{From: writer.ID(), Name: "Ana", Token: [16]byte{7}, Expires: 1_700_086_400, Addresses: []string{"/ip4/192.0.2.1/udp/4280/quic-v1"}, Lines: []Proposal{{Currency: eur, Give: 10_000, Ask: 5_000}}}},
	}
}

// words are signed together.
func words() []struct {
	tag ident.Tag
	v   any
} {
	arrived := &Arrived{Payment: PaymentID{8}, Part: PartID{9}, Amount: 1250, Condition: fill(10)}
	received := &Received{Payment: PaymentID{8}, Payee: writer.ID(), Currency: eur, Amount: 1250, Time: 1_700_000_000_456}
	return []struct {
		tag ident.Tag
		v   any
	}{{TagArrived, arrived}, {TagReceived, received}, {TagReceived, &Received{Payment: PaymentID{9}, Payee: writer.ID(), Currency: eur, Amount: 1, Time: 1_700_000_000_456}}}
}

func signWords() []Batched {
	var b Batch
	for _, w := range words() {
		b.Add(w.tag, w.v)
	}
	return b.Sign(writer)
}

// messages are one of each kind.
func messages() []Message {
	promise := Sign(writer, TagPromise, samplePromise())
	terms := Sign(writer, TagTerms, &Terms{From: writer.ID(), To: friend, Number: 1})
	snapshot := Snapshot{
		Mine: promise, Yours: promise, MyTerms: terms, YourTerms: terms, MyLocks: []Lock{sampleLock(3)}, YourLocks: []Lock{sampleLock(4), sampleLock(6)},
		MyCancels: []uint64{4}, YourCancel: []uint64{3}, MyLast: 5, YourLast: 7, Kept: []byte("sealed"),
	}
	return []Message{
		&Hello{Version: 1, Mine: Mark{Seq: 9, Hash: fill(1)}, Held: Mark{Seq: 24, Hash: fill(2)}, Terms: terms, HeldTerms: 2, Restored: true, Name: "Ana", Addresses: []string{"/dns4/example.org/tcp/4280"}, Token: []byte{1, 2}},
		&Hello{Version: 1},
		&Ask{},
		&snapshot,
		&Update{Promise: promise, Base: Mark{Epoch: 1, Seq: 8, Hash: fill(1)}, Groups: []Group{
			{Seq: 9, Locks: []Lock{sampleLock(5)}, Fulfils: []uint64{1, 2}},
			{Seq: 10, Drops: []uint64{3}, Cancels: []Cancel{{Number: 4, Reason: []byte("sealed")}}, Adds: []Add{{Kind: AddSettlement, Currency: eur, Amount: 10, Text: "cash"}}},
		}},
		&NewTerms{Terms: terms},
		&Reveal{Number: 5, Preimages: []ident.Preimage{fill(1), fill(2)}, Note: []byte("sealed")},
		&Acknowledge{Number: 5, Note: []byte("sealed")},
		&Onward{Number: 5, Note: []byte("osealed")},
		&Refused{Epoch: 1, Seq: 9, Code: uint64(LimitReached), Text: "net debt 90 and locks 20, limit 100"},
		&Keep{Number: 1_700_000_000_000, Blob: []byte("sealed")},
		&Agree{Snapshot: snapshot},
		&Moved{Addresses: []string{"/ip4/192.0.2.1/tcp/4281"}},
		&Befriend{Invitation: Signed{Body: []byte{1, 2, 3}, Sig: ident.Signature{9}}},
		&Noted{},
	}
}

// unsigned are what travels inside of others, mostly sealed.
func unsigned() []any {
	lock := sampleLock(7)
	invoice := Sign(writer, TagInvoice, statements()[3].v)
	return []any{
		&lock, &lock.Condition,
		&Blob{Hops: []Hop{{Next: friend, Amount: 1250}}, Salt: ident.Salt{1}, Key: fill(2), Box: []byte("sealed")},
		&Box{Form: FormInvoice, Payment: PaymentID{1}, Invoice: invoice, Currency: eur, Total: 1250, Amount: 1250, Payer: friend, Name: "Ben", Proof: fill(3), Text: "thanks"},
		&Box{Form: FormPush, Payment: PaymentID{1}, Currency: eur, Total: 1250, Amount: 1250},
		&Order{Preimage: fill(4)}, &Order{Cancel: true},
		&Reason{Code: LimitReached, At: writer.ID(), Next: friend, Currency: eur, Limit: 10_000, Owed: 9_240, Locked: 500, Left: 260},
		&Release{Invoice: InvoiceID{1}, Payment: PaymentID{1}, Preimage: fill(5)},
		&Receipt{Payee: writer.ID(), Invoice: invoice, Preimages: []ident.Preimage{fill(6), fill(7)}, PaidAt: 1_700_000_000_789},
		&Receipt{Payee: writer.ID(), Received: signWords()[1]},
		&Heads{Time: 1_700_000_000_000, List: []Head{{Friend: friend, Name: "Ben", Addresses: []string{"/ip6/2001:db8::1/tcp/4280"}, Mine: Mark{Seq: 9, Hash: fill(1)}, Theirs: Mark{Seq: 3, Hash: fill(2)}, Terms: 2}}},
		&Onion{Version: 1, Key: fill(8), Header: [OnionHeader]byte(bytes.Repeat([]byte{9}, OnionHeader)), MAC: fill(10), Body: bytes.Repeat([]byte{11}, OnionBody)},
	}
}

// blankOf gives a new value of a type by its name.
func blankOf(name string) any {
	for _, v := range append(unsigned(), &Promise{}, &Terms{}, &Invoice{}, &Invitation{}, &Arrived{}, &Received{}, &Signed{}, &Batched{}, &Group{}) {
		if typeName(v) == name {
			return reflect.New(reflect.TypeOf(v).Elem()).Interface()
		}
	}
	return nil
}

func typeName(v any) string { return reflect.TypeOf(v).Elem().Name() }

// readable spells a value with the names of its fields, in their order, and bytes in hex.
func readable(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "null"
		}
		return readable(v.Elem())
	case reflect.Struct:
		s := "{"
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "_" {
				if len(s) > 1 {
					s += ","
				}
				s += fmt.Sprintf("%q:%s", name, readable(v.Field(i)))
			}
		}
		return s + "}"
	case reflect.Array, reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, v.Len())
			reflect.Copy(reflect.ValueOf(b), v.Convert(reflect.TypeOf(v.Interface())))
			return fmt.Sprintf("%q", hex.EncodeToString(b))
		}
		s := "["
		for i := range v.Len() {
			if i > 0 {
				s += ","
			}
			s += readable(v.Index(i))
		}
		return s + "]"
	case reflect.String:
		b, _ := json.Marshal(v.String())
		return string(b)
	case reflect.Bool:
		return fmt.Sprint(v.Bool())
	case reflect.Int64:
		return fmt.Sprint(v.Int())
	}
	return fmt.Sprint(v.Uint())
}

func valueOf(v any) json.RawMessage { return json.RawMessage(readable(reflect.ValueOf(v))) }

func makeVectors(t *testing.T) *wireVectors {
	v := &wireVectors{
		About:  "Vectors of package wire. 'value' names the fields in their order; bytes are hex. 'body' is the CBOR of the value, 'bytes' the CBOR of [body, signature], of a batched one [body, index, path, signature]; a message is its kind's byte and the CBOR of its value. 'refused' must not decode.",
		Writer: writerVector{hex.EncodeToString(append([]byte{1}, make([]byte, 31)...)), writer.ID().String()},
	}
	for _, s := range statements() {
		signed := Sign(writer, s.tag, s.v)
		v.Signed = append(v.Signed, signedVector{
			typeName(s.v), string(s.tag), valueOf(s.v), hex.EncodeToString(signed.Body), signed.Hash().String(), hex.EncodeToString(signed.Sig[:]), hex.EncodeToString(Marshal(&signed)),
		})
	}
	for i, s := range signWords() {
		w := words()[i]
		v.Batched = append(v.Batched, batchedVector{typeName(w.v), string(w.tag), valueOf(w.v), hex.EncodeToString(s.Check(writer.ID(), w.tag).Msg), hex.EncodeToString(Marshal(&s))})
	}
	for _, m := range messages() {
		v.Messages = append(v.Messages, messageVector{typeName(m), valueOf(m), hex.EncodeToString(Encode(m))})
	}
	for _, p := range unsigned() {
		diag, err := cbor.Diagnose(Marshal(p))
		if err != nil {
			t.Fatal(err)
		}
		v.Sealed = append(v.Sealed, plainVector{typeName(p), valueOf(p), diag, hex.EncodeToString(Marshal(p))})
	}
	for _, r := range misspelt() {
		v.Refused = append(v.Refused, refusedVector{r.name, r.kind, hex.EncodeToString(r.data)})
	}
	lock := sampleLock(7)
	invoice := statements()[3].v.(*Invoice)
	id := invoice.ID(Sign(writer, TagInvoice, invoice))
	v.Ids = []idVector{
		{"condition: SHA-256 of its CBOR", hex.EncodeToString(Marshal(&lock.Condition)), lock.Condition.ID().String()},
		{"lock digest: SHA-256 of the lock's CBOR with its blob replaced by the blob's SHA-256", hex.EncodeToString(Marshal(&lock)), lock.Digest().String()},
		{"invoice id: created in 6 bytes, then 10 bytes of the body's SHA-256", hex.EncodeToString(Marshal(invoice)), id.String()},
	}
	for _, kind := range []string{LinkFriend, LinkInvoice, LinkRelease, LinkReceipt, LinkProof} {
		v.Links = append(v.Links, linkVector{Link(kind, []byte{0, 1, 0xfb, 0xff}), kind, "0001fbff"})
	}
	return v
}

// The file of vectors says what the code does, byte for byte (E-1 to E-31).
func TestVectors(t *testing.T) {
	made := makeVectors(t)
	if *update {
		data, err := json.MarshalIndent(made, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var v wireVectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	again, err := json.MarshalIndent(made, "", " ")
	if err != nil || !bytes.Equal(append(again, '\n'), data) {
		t.Error("the values of this test are spelt otherwise than in the file; a change of format needs new vectors and a new tag or version")
	}
	for _, s := range v.Signed {
		checkSigned(t, s)
	}
	for _, x := range v.Batched {
		var s Batched
		if err := Unmarshal(unhex(t, x.Bytes), &s); err != nil {
			t.Fatal(err)
		}
		into := blankOf(x.Type)
		if err := s.Open(writer, writer.ID(), ident.Tag(x.Tag), into); err != nil || !sameJSON(valueOf(into), x.Value) {
			t.Errorf("%s: %v, %s", x.Type, err, valueOf(into))
		}
	}
	kinds := map[Kind]bool{}
	for _, x := range v.Messages {
		m, err := Decode(unhex(t, x.Bytes))
		if err != nil {
			t.Fatalf("%s: %v", x.Type, err)
		}
		kinds[m.Kind()] = true
		if hex.EncodeToString(Encode(m)) != x.Bytes || !sameJSON(valueOf(m), x.Value) {
			t.Errorf("%s is encoded as %x", x.Type, Encode(m))
		}
	}
	for k := KindHello; blank(k) != nil; k++ {
		if !kinds[k] {
			t.Errorf("no vector of kind %d", k)
		}
	}
	for _, x := range v.Sealed {
		p := blankOf(x.Type)
		if err := Unmarshal(unhex(t, x.Bytes), p); err != nil {
			t.Fatalf("%s: %v", x.Type, err)
		}
		if hex.EncodeToString(Marshal(p)) != x.Bytes || !sameJSON(valueOf(p), x.Value) {
			t.Errorf("%s is encoded as %x", x.Type, Marshal(p))
		}
	}
	for _, x := range v.Refused {
		var err error
		if x.Type == "message" {
			_, err = Decode(unhex(t, x.Bytes))
		} else {
			err = Unmarshal(unhex(t, x.Bytes), blankOf(x.Type))
		}
		if err == nil {
			t.Errorf("%s: %s decodes", x.Name, x.Type)
		}
	}
	for _, x := range v.Links {
		got, err := ParseLink(x.Kind, x.Link)
		if err != nil || hex.EncodeToString(got) != x.Data || Link(x.Kind, got) != x.Link {
			t.Errorf("%s: %x, %v", x.Link, got, err)
		}
	}
}

func checkSigned(t *testing.T, x signedVector) {
	var s Signed
	if err := Unmarshal(unhex(t, x.Bytes), &s); err != nil {
		t.Fatalf("%s: %v", x.Type, err)
	}
	v := blankOf(x.Type)
	if err := Open(writer, writer.ID(), ident.Tag(x.Tag), s, v); err != nil {
		t.Fatalf("%s: %v", x.Type, err)
	}
	again := Sign(writer, ident.Tag(x.Tag), v)
	if !again.Equal(s) || hex.EncodeToString(again.Body) != x.Body || hex.EncodeToString(again.Sig[:]) != x.Signature || s.Hash().String() != x.Hash {
		t.Errorf("%s is signed as %x %x", x.Type, again.Body, again.Sig)
	}
	if !sameJSON(valueOf(v), x.Value) {
		t.Errorf("%s reads as %s", x.Type, valueOf(v))
	}
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && x.String() == y.String()
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
