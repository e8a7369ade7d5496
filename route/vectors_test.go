package route

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

const vectorFile = "../spec/vectors/route.json"

var update = flag.Bool("update", false, "write "+vectorFile+" anew")

var lemon = flag.Bool("lemon", false, "compare flows with LEMON (needs g++ and liblemon-dev)")

type routeVectors struct {
	About         string
	Master        string // of the key that signs
	Announcements []signedVector
	Messages      []messageVector
	Coarse        []coarseVector
}

type signedVector struct {
	Tag, Body, Signature string
	Statement            string // body, place in the batch and signature
	Value                Announcement
}

type messageVector struct {
	Kind  Kind
	Value json.RawMessage
	Bytes string
}

type coarseVector struct{ Exact, Coarse money.Amount }

func makeVectors(t *testing.T) *routeVectors {
	t.Helper()
	master := [32]byte{7}
	key := ident.NewKey(master)
	v := &routeVectors{
		About:  "Vectors of package route. Announcements are signed with the key of the master seed under their tag, the first two together and the third alone (E-17); 'body' is the CBOR of one, 'statement' that of one with its place in the batch and the signature. A message is the byte of its kind and the CBOR of its value. In values keys are z-base-32, other bytes base64.",
		Master: hex.EncodeToString(master[:]),
	}
	full := Announcement{Node: key.ID(), Friend: nodeID(1), Number: 1_800_000_000_000, Expires: noon, Entries: []Entry{
		{Currency: eur, CanReceive: 1200, FeeBase: 1, FeePpm: 5000, MaxHold: 60}, {Currency: fst},
	}}
	var signed []wire.Batched
	said := []Announcement{full, {Node: key.ID(), Friend: nodeID(1), Number: 2, Expires: noon}, {Node: key.ID(), Friend: ident.NewKey([32]byte{8}).ID(), Number: 3, Expires: noon}}
	for _, some := range [][]Announcement{said[:2], said[2:]} {
		list, err := SignAll(key, some)
		if err != nil {
			t.Fatal(err)
		}
		signed = append(signed, list...)
	}
	for i, s := range signed {
		v.Announcements = append(v.Announcements, signedVector{string(Tag), hex.EncodeToString(s.Body), hex.EncodeToString(s.Sig[:]), hex.EncodeToString(wire.Marshal(&s)), said[i]})
	}
	r := Request{
		From: nodeID(1), To: nodeID(4), Currency: eur, Amount: 100, MaxFee: 3, MaxHops: 5, MaxParts: 2,
		Own: []OwnEdge{{To: nodeID(2), CanPay: 60, FeeBase: 1, FeePpm: 10}}, Last: []LastEdge{{From: nodeID(3), CanReceive: 200}},
		Overrides: []Override{{Edge: Edge{From: nodeID(2), To: nodeID(3)}, KeepFee: true, AtMost: 90}, {Edge: Edge{From: nodeID(2), To: nodeID(4)}, FeeBase: 2, FeePpm: 500}},
		Avoid:     []Avoid{{Edge: Edge{From: nodeID(3), To: nodeID(2)}}},
	}
	q := Route{Hops: ids(2, 4), Amounts: []money.Amount{51, 50}, Charges: []Charge{{CanPay: 60, FeeBase: 1, FeePpm: 10}, {CanPay: 70}}, Fee: 1}
	for _, m := range []Message{
		&Ping{Version: Version}, &Pong{Version: Version}, &Pong{Version: Version, Instance: 7, Full: true}, &Publish{Announcements: signed}, &PublishResult{Accepted: 1, Problems: []Problem{{Place: 1, Code: wire.BadSequence, Text: "old"}}},
		&Query{Request: r}, &Query{Request: ask(1, 4, 10), Hops: ids(2, 4)}, &Query{Request: ask(1, 4, 10), Any: true}, &Answer{Routes: []Route{q, q}},
		&Follow{Epoch: 7, After: 300, Sum: 11, Peer: true}, &Feed{Epoch: 7, Next: 400, Sum: 12, More: true, Announcements: signed}, &Feed{Code: wire.NotAllowed, Text: "no"},
		&Answer{Code: wire.NoRoute, Text: "nothing", Proved: true}, &Answer{Code: wire.FeeAboveMax, Text: "dear", Fee: 7},
	} {
		value, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		v.Messages = append(v.Messages, messageVector{m.Kind(), value, hex.EncodeToString(EncodeMessage(m))})
	}
	for _, a := range []money.Amount{-1, 0, 99, 100, 109, 1299, MaxCanReceive} {
		v.Coarse = append(v.Coarse, coarseVector{a, Coarse(a)})
	}
	return v
}

// The file of vectors says what the code does, byte for byte, and reads back (R1, R2, R16).
func TestVectors(t *testing.T) {
	data, err := json.MarshalIndent(makeVectors(t), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, '\n')
	if *update {
		if err := os.WriteFile(vectorFile, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, file) {
		t.Fatal("the values of this test are spelt otherwise than in the file; a change of format needs new vectors and a new tag or version")
	}
	var v routeVectors
	if err := json.Unmarshal(file, &v); err != nil {
		t.Fatal(err)
	}
	for _, x := range v.Messages {
		b, err := hex.DecodeString(x.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		m, err := DecodeMessage(b)
		if err != nil || m.Kind() != x.Kind {
			t.Errorf("message of kind %d: %v", x.Kind, err)
		}
	}
}
