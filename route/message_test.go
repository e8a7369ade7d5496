package route

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// fullRequest is the largest request.
func fullRequest() Request {
	c := fullEntries(1)[0].Currency
	r := Request{From: nodeID(1), To: nodeID(2), Currency: c, Amount: MaxCanReceive, MaxFee: MaxCanReceive, MaxHops: MaxHops}
	for i := range MaxHints {
		e := Edge{From: nodeID(i), To: nodeID(i + 5)}
		r.Own = append(r.Own, OwnEdge{To: nodeID(i + 3000), CanPay: MaxCanReceive, FeeBase: money.MaxLimit, FeePpm: 1_000_000})
		r.Last = append(r.Last, LastEdge{From: nodeID(i + 3000), CanReceive: MaxCanReceive})
		r.Overrides = append(r.Overrides, Override{Edge: e, FeeBase: money.MaxLimit, FeePpm: 1_000_000, AtMost: 1<<63 - 1})
		r.Avoid = append(r.Avoid, Avoid{Edge: e, Currency: c})
	}
	return r
}

func fullMessages() []Message {
	key := ident.NewKey([32]byte{3})
	s := wire.SignAlone(key, Tag, Announcement{Node: key.ID(), Friend: nodeID(2), Number: 1<<64 - 1, Expires: maxExpires, Entries: fullEntries(MaxEntries)})
	publish, result, feed := &Publish{}, &PublishResult{Accepted: MaxPublish}, &Feed{Epoch: 3, Next: 9, Sum: 1<<32 - 1, More: true}
	for size := len(wire.Marshal(&s)); (len(feed.Announcements)+1)*size < MaxFeedBytes; {
		feed.Announcements = append(feed.Announcements, s)
	}
	for i := range uint32(MaxPublish) {
		publish.Announcements = append(publish.Announcements, s)
		result.Problems = append(result.Problems, Problem{Place: i, Code: wire.BadSignature, Text: strings.Repeat("x", wire.MaxText)})
	}
	var long Route
	for range MaxHops {
		long.Hops = append(long.Hops, nodeID(1))
		long.Amounts = append(long.Amounts, MaxCanReceive)
		long.Charges = append(long.Charges, Charge{CanPay: MaxCanReceive, FeeBase: money.MaxLimit, FeePpm: 1_000_000})
	}
	answer, parts := &Answer{Routes: []Route{long}, Unknown: []uint32{0, 19}, Short: []uint32{3}}, &Answer{}
	for range MaxParts {
		parts.Routes = append(parts.Routes, long)
	}
	return []Message{
		&Ping{Version: Version}, &Pong{Version: 1<<32 - 1, Instance: 1<<64 - 1, Full: true}, publish, result,
		&Query{Request: fullRequest(), Hops: ids(make([]int, MaxHops)...)}, &Query{Request: ask(1, 2, 0), UpTo: true},
		&Follow{Epoch: 1<<64 - 1, After: 7, Sum: 1<<32 - 1, Peer: true}, feed, &Feed{Code: wire.NotAllowed, Text: "no"},
		answer, parts, &Answer{Code: wire.NoRoute, Proved: true}, &Answer{Code: wire.FeeAboveMax, Text: "too dear", Fee: 7},
	}
}

func TestMessages(t *testing.T) { // R16
	for _, m := range fullMessages() {
		data := EncodeMessage(m)
		if len(data) > MaxMessage {
			t.Errorf("%T: %d bytes at its largest, limit %d", m, len(data), MaxMessage)
		}
		got, err := DecodeMessage(data)
		if err != nil {
			t.Errorf("%T: %v", m, err)
			continue
		}
		if reflect.TypeOf(got) != reflect.TypeOf(m) || !bytes.Equal(EncodeMessage(got), data) {
			t.Errorf("%T came back as %T", m, got)
		}
	}
}

func TestMessageLimits(t *testing.T) {
	query := func(change func(r *Request)) *Query {
		r := ask(1, 2, 10)
		change(&r)
		return &Query{Request: r}
	}
	routes := func(n, charges int) []Route {
		return []Route{{Hops: ids(make([]int, n)...), Amounts: make([]money.Amount, n), Charges: make([]Charge, charges)}}
	}
	for name, m := range map[string]Message{
		"101 announcements":      &Publish{Announcements: make([]wire.Batched, 101)},
		"announcement too large": &Publish{Announcements: []wire.Batched{{Body: make([]byte, MaxAnnouncement+1)}}},
		"accepted too many":      &PublishResult{Accepted: 101},
		"problems too many":      &PublishResult{Problems: make([]Problem, 101)},
		"problem without code":   &PublishResult{Problems: []Problem{{Place: 1}}},
		"problem twice":          &PublishResult{Problems: []Problem{{Place: 1, Code: 1}, {Place: 1, Code: 1}}},
		"problem of none":        &PublishResult{Problems: []Problem{{Place: 100, Code: 1}}},
		"problem text":           &PublishResult{Problems: []Problem{{Code: 1, Text: strings.Repeat("x", 281)}}},
		"query for 0":            query(func(r *Request) { r.Amount = 0 }),
		"query for a bad list":   query(func(r *Request) { r.Avoid = make([]Avoid, 1001) }),
		"up to along hops":       &Query{Request: ask(1, 2, 10), UpTo: true, Hops: ids(2)},
		"21 hops":                &Query{Request: ask(1, 2, 10), Hops: ids(make([]int, 21)...)},
		"answer with neither":    &Answer{},
		"answer with both":       &Answer{Code: wire.NoRoute, Routes: routes(1, 1)},
		"answer of 21 hops":      &Answer{Routes: routes(21, 21)},
		"answer with one amount": &Answer{Routes: routes(2, 1)},
		"33 routes":              &Answer{Routes: slices.Repeat(routes(1, 1), 33)},
		"a route of nothing":     &Answer{Routes: routes(0, 0)},
		"unknown of two routes":  &Answer{Routes: slices.Repeat(routes(1, 1), 2), Unknown: []uint32{0}},
		"feed of 3001":           &Feed{Announcements: make([]wire.Batched, MaxFeed+1)},
		"33 parts":               query(func(r *Request) { r.MaxParts = 33 }),
		"less than nothing":      query(func(r *Request) { r.Overrides = []Override{{AtMost: -1}} }),
		"a fee kept and changed": query(func(r *Request) { r.Overrides = []Override{{KeepFee: true, FeeBase: 1}} }),
		"unknown beyond":         &Answer{Routes: routes(1, 1), Unknown: []uint32{1}},
		"short twice":            &Answer{Routes: routes(1, 1), Short: []uint32{0, 0}},
		"text with an escape":    &Answer{Code: wire.NoRoute, Text: "\x1b[2J"},
	} {
		if _, err := DecodeMessage(EncodeMessage(m)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, data := range map[string][]byte{
		"empty": {}, "kind 0": {0, 0x81, 1}, "kind 9": {9, 0x81, 1}, "no body": {1}, "tail": {1, 0x81, 1, 0}, "long integer": {1, 0x81, 0x18, 1},
		"too large": append([]byte{1}, make([]byte, MaxMessage)...),
	} {
		if _, err := DecodeMessage(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestServe plays a node and an index server through bytes.
func TestServe(t *testing.T) {
	server := ident.NewKey([32]byte{9})
	keys := []*ident.Key{ident.NewKey([32]byte{10}), ident.NewKey([32]byte{11}), ident.NewKey([32]byte{12})}
	g := NewGraph(0)
	publish := &Publish{}
	add := func(node, friend int, entries ...Entry) {
		s, err := Sign(keys[node], Announcement{Node: keys[node].ID(), Friend: keys[friend].ID(), Number: 1, Expires: noon + hour, Entries: entries})
		if err != nil {
			t.Fatal(err)
		}
		publish.Announcements = append(publish.Announcements, s)
	}
	add(0, 1, Entry{Currency: fst})
	add(1, 0, Entry{Currency: fst, CanReceive: 50, FeeBase: 3})
	add(1, 2, Entry{Currency: fst})
	add(2, 1, Entry{Currency: fst, CanReceive: 50})
	bad := publish.Announcements[0]
	bad.Sig[0] ^= 1
	publish.Announcements = append(publish.Announcements, bad, wire.Batched{Body: []byte{1, 2, 3}})
	m, err := DecodeMessage(EncodeMessage(publish))
	if err != nil {
		t.Fatal(err)
	}
	result := g.Publish(server, m.(*Publish), noon)
	if result.Accepted != 4 || len(result.Problems) != 2 || result.Problems[0].Place != 4 || result.Problems[0].Code != wire.BadSignature || result.Problems[1].Code != wire.BadRequest {
		t.Fatalf("%+v", result)
	}
	if _, err := DecodeMessage(EncodeMessage(result)); err != nil {
		t.Fatal(err)
	}

	answer := func(q Query) *Answer {
		t.Helper()
		m, err := DecodeMessage(EncodeMessage(&q))
		if err != nil {
			t.Fatal(err)
		}
		if m, err = DecodeMessage(EncodeMessage(g.Answer(m.(*Query)))); err != nil {
			t.Fatal(err)
		}
		return m.(*Answer)
	}
	r := Request{From: keys[0].ID(), To: keys[2].ID(), Currency: fst, Amount: 10, MaxFee: NoMaxFee, Announced: true}
	a := answer(Query{Request: r})
	if a.Refusal() != nil || a.Outcome() != OutcomeRoutes || a.Routes[0].Fee != 3 || r.CheckRoutes(a.Routes) != nil {
		t.Fatalf("%+v", a)
	}
	if a = answer(Query{Request: r, UpTo: true}); a.Refusal() != nil || a.Routes[0].Arrives() != 47 {
		t.Fatalf("%+v", a)
	}
	if a = answer(Query{Request: r, Hops: []ident.ID{nodeID(7), keys[2].ID()}}); a.Refusal() != nil || len(a.Unknown) != 1 {
		t.Fatalf("%+v", a)
	}
	r.MaxFee = 2
	a = answer(Query{Request: r})
	if no := a.Refusal(); a.Outcome() != OutcomeFeeAboveMax || no.Fee != 3 || !no.Proved || !strings.Contains(no.Error(), "3 FST") {
		t.Fatalf("%+v", a)
	}
	r.Own = []OwnEdge{} // says nothing, and stays so over the wire
	r.Announced = false
	if a := answer(Query{Request: r}); a.Outcome() != OutcomeImpossible {
		t.Fatalf("%+v", a)
	}
}

func TestRefusalOf(t *testing.T) {
	if r := RefusalOf(errors.New("x")); r.Code != wire.BadRequest || r.Text != "x" {
		t.Fatalf("%+v", r)
	}
	for _, s := range []string{"plain", strings.Repeat("ä", 200), "bell \x07", "\xff\xfe"} {
		if got := fit(s); checkText(got) != nil || !strings.HasPrefix(got+"malformed", got) || strings.ToValidUTF8(got, "?") != got {
			t.Errorf("fit(%q) = %q", s, got)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range fullMessages() {
		if data := EncodeMessage(m); len(data) < 4<<10 {
			f.Add(data)
		}
	}
	f.Add(EncodeMessage(&Query{Request: Request{From: nodeID(1), To: nodeID(2), Currency: fst, Amount: 5, Own: []OwnEdge{{To: nodeID(3), CanPay: 9}},
		Last: []LastEdge{{From: nodeID(3), CanReceive: 9}}, Overrides: make([]Override, 1), Avoid: make([]Avoid, 1)}}))
	g := newTrial(rand.New(rand.NewPCG(5, 5))).g
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := DecodeMessage(data)
		if err != nil {
			return
		}
		if !bytes.Equal(EncodeMessage(m), data) {
			t.Fatalf("%x decodes to what encodes as %x", data, EncodeMessage(m))
		}
		if q, ok := m.(*Query); ok {
			a := g.Answer(q)
			if _, err := DecodeMessage(EncodeMessage(a)); err != nil {
				t.Fatalf("answer %+v: %v", a, err)
			}
		}
	})
}
