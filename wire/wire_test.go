package wire

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kula/ident"
	"kula/money"
)

type misspelling struct {
	name, kind string
	data       []byte
}

// misspelt are second spellings of values, which E-2 refuses.
func misspelt() []misspelling {
	order := Marshal(&Order{Preimage: fill(4)})
	keep := Encode(&Keep{Number: 1, Blob: []byte{2}})
	return []misspelling{
		{"empty", "message", nil},
		{"no such kind", "message", []byte{0, 0x80}},
		{"kind of a later version", "message", []byte{99, 0x80}},
		{"kind and nothing", "message", []byte{byte(KindAsk)}},
		{"a byte too many", "message", append(slices.Clone(keep), 0)},
		{"cut off", "message", keep[:len(keep)-1]},
		{"a map for an array", "message", []byte{byte(KindAsk), 0xa0}},
		{"too few fields", "message", []byte{byte(KindKeep), 0x81, 0x01}},
		{"too many fields", "message", []byte{byte(KindAsk), 0x81, 0x00}},
		{"a long integer", "message", []byte{byte(KindKeep), 0x82, 0x18, 0x01, 0x41, 0x02}},
		{"a float", "message", []byte{byte(KindKeep), 0x82, 0xf9, 0x3c, 0x00, 0x41, 0x02}},
		{"a negative number", "message", []byte{byte(KindKeep), 0x82, 0x20, 0x41, 0x02}},
		{"indefinite length", "message", []byte{byte(KindKeep), 0x9f, 0x01, 0x41, 0x02, 0xff}},
		{"indefinite bytes", "message", []byte{byte(KindKeep), 0x82, 0x01, 0x5f, 0x41, 0x02, 0xff}},
		{"null for bytes", "message", []byte{byte(KindKeep), 0x82, 0x01, 0xf6}},
		{"undefined for bytes", "message", []byte{byte(KindKeep), 0x82, 0x01, 0xf7}},
		{"a list for bytes", "message", []byte{byte(KindKeep), 0x82, 0x01, 0x81, 0x02}},
		{"a text for bytes", "message", []byte{byte(KindKeep), 0x82, 0x01, 0x61, 0x02}},
		{"a tag", "message", []byte{byte(KindKeep), 0x82, 0xc1, 0x01, 0x41, 0x02}},
		{"a short key", "Order", append([]byte{0x82, 0xf4, 0x58, 31}, make([]byte, 31)...)},
		{"a long key", "Order", append([]byte{0x82, 0xf4, 0x58, 33}, make([]byte, 33)...)},
		{"a number for a boolean", "Order", append([]byte{0x82, 0x00}, order[2:]...)},
	}
}

// E-1, E-2: a value has one spelling.
func TestMisspelt(t *testing.T) {
	for _, x := range misspelt() {
		var err error
		if x.kind == "message" {
			_, err = Decode(x.data)
		} else {
			err = Unmarshal(x.data, blankOf(x.kind))
		}
		if !errors.Is(err, ErrForm) {
			t.Errorf("%s: error %v, want one of form", x.name, err)
		}
	}
	if err := Unmarshal(make([]byte, MaxFrame+1), new(Order)); !errors.Is(err, ErrForm) {
		t.Error(err)
	}
}

func many[T any](n int, make func(i int) T) []T {
	list := []T{}
	for i := range n {
		list = append(list, make(i))
	}
	return list
}

func text(n int) string { return strings.Repeat("x", n) }

func currency(i int) money.Currency { return money.Currency(fmt.Sprintf("C%03d/2", i)) }

func lockNumber(i int) Lock { l := sampleLock(uint64(i + 1)); l.Blob = nil; return l }

func numbers(n int) []uint64 { return many(n, func(i int) uint64 { return uint64(i + 1) }) }

// limits are pairs of what is just within a limit and what is just beyond it.
var limits = []struct {
	rule, name string
	with       func(n int) any // n is 0 within, 1 beyond
}{
	{"E-10", "promise to oneself", func(n int) any {
		p := samplePromise()
		if n == 1 {
			p.To = p.From
		}
		return p
	}},
	{"E-10", "seq 0", func(n int) any { p := samplePromise(); p.Seq -= uint64(n); return p }},
	{"E-10", "start after the first promise", func(n int) any { p := samplePromise(); p.Seq += uint64(n); return p }},
	{"E-10", "start in epoch 0", func(n int) any { p := samplePromise(); p.Epoch = uint64(1 - n); return p }},
	{"E-10", "epoch without a start", func(n int) any {
		p := samplePromise()
		if n == 1 {
			p.Start = nil
		}
		return p
	}},
	{"E-10", "negative owed", func(n int) any { p := samplePromise(); p.Lines[1].Owed = money.Amount(-n); return p }},
	{"E-10", "negative locked", func(n int) any { p := samplePromise(); p.Lines[0].Locked = money.Amount(1 - 2*n); return p }},
	{"E-10", "owed and locked overflow", func(n int) any {
		p := samplePromise()
		p.Lines[0].Owed, p.Lines[0].Locked = 1<<63-2, money.Amount(1+n)
		return p
	}},
	{"E-10", "locked without digest", func(n int) any { p := samplePromise(); p.Lines[1].Locked = money.Amount(n); return p }},
	{"E-10", "digest without locked", func(n int) any {
		p := samplePromise()
		if n == 1 {
			p.Lines[0].Locked = 0
		}
		return p
	}},
	{"E-10", "currencies of a promise", func(n int) any {
		p := samplePromise()
		p.Lines = many(MaxLines+n, func(i int) Line { return Line{Currency: currency(i)} })
		return p
	}},
	{"E-6", "currency twice", func(n int) any {
		p := samplePromise()
		p.Lines = append(p.Lines[:1], make([]Line, 1)...)
		p.Lines[1].Currency = currency(999)
		if n == 0 {
			p.Lines[1].Currency = circle
		}
		return p
	}},
	{"E-6", "currency misspelt", func(n int) any {
		p := samplePromise()
		if n == 1 {
			p.Lines[0].Currency = "EUR"
		}
		return p
	}},
	{"E-10", "reductions", func(n int) any {
		p := samplePromise()
		p.Start.Less = many(MaxLines+n, func(i int) Less { return Less{Currency: currency(i), Amount: 1} })
		return p
	}},
	{"E-10", "reduction of nothing", func(n int) any { p := samplePromise(); p.Start.Less[0].Amount = money.Amount(1 - n); return p }},
	{"E-11", "terms 0", func(n int) any { return &Terms{From: fill(1), To: fill(2), Number: uint64(1 - n)} }},
	{"E-11", "terms to oneself", func(n int) any { return &Terms{From: fill(1), To: fill(byte(2 - n)), Number: 1} }},
	{"E-11", "limit", func(n int) any {
		return &Terms{From: fill(1), To: fill(2), Number: 1, Lines: []TermsLine{{Currency: eur, Limit: money.MaxLimit + money.Amount(n)}}}
	}},
	{"E-11", "negative limit", func(n int) any {
		return &Terms{From: fill(1), To: fill(2), Number: 1, Lines: []TermsLine{{Currency: eur, Limit: money.Amount(-n)}}}
	}},
	{"E-11", "fee base", func(n int) any {
		return &Terms{From: fill(1), To: fill(2), Number: 1, Lines: []TermsLine{{Currency: eur, FeeBase: money.MaxLimit + money.Amount(n)}}}
	}},
	{"E-11", "negative fee", func(n int) any {
		return &Terms{From: fill(1), To: fill(2), Number: 1, Lines: []TermsLine{{Currency: eur, FeeBase: money.Amount(-n)}}}
	}},
	{"E-11", "fee rate", func(n int) any {
		return &Terms{From: fill(1), To: fill(2), Number: 1, Lines: []TermsLine{{Currency: eur, FeePpm: uint32(1_000_000 + n)}}}
	}},
	{"E-11", "currencies of terms", func(n int) any {
		return &Terms{From: fill(1), To: fill(2), Number: 1, Lines: many(MaxLines+n, func(i int) TermsLine { return TermsLine{Currency: currency(i)} })}
	}},
	{"E-6", "terms out of order", func(n int) any {
		return &Terms{From: fill(1), To: fill(2), Number: 1, Lines: []TermsLine{{Currency: currency(5)}, {Currency: currency(6 - n)}}}
	}},
	{"E-12", "lock 0", func(n int) any { l := sampleLock(uint64(1 - n)); return &l }},
	{"E-12", "lock of nothing", func(n int) any { l := sampleLock(1); l.Amount = money.Amount(1 - n); return &l }},
	{"E-12", "lock above the greatest limit", func(n int) any { l := sampleLock(1); l.Amount = money.MaxLimit + money.Amount(n); return &l }},
	{"E-12", "blob", func(n int) any { l := sampleLock(1); l.Blob = make([]byte, MaxBlob+n); return &l }},
	{"E-13", "three hashes", func(n int) any { return &Condition{Hashes: make([]ident.Hash, 2+n)} }},
	{"E-13", "no hash", func(n int) any { return &Condition{Hashes: make([]ident.Hash, 1-n)} }},
	{"E-13", "negative deadline", func(n int) any { return &Condition{Hashes: make([]ident.Hash, 1), Deadline: int64(-n)} }},
	{"E-13", "decider's key", func(n int) any {
		return &Condition{Hashes: make([]ident.Hash, 1), Decider: Decider{Kind: 1, Key: make([]byte, 64+n)}}
	}},
	{"E-14", "group of promise 0", func(n int) any { return &Group{Seq: uint64(1 - n)} }},
	{"E-14", "locks in a group", func(n int) any { return &Group{Seq: 1, Locks: many(MaxLocks+n, lockNumber)} }},
	{"E-14", "fulfils in a group", func(n int) any { return &Group{Seq: 1, Fulfils: numbers(MaxLocks + n)} }},
	{"E-14", "drops in a group", func(n int) any { return &Group{Seq: 1, Drops: numbers(MaxLocks + n)} }},
	{"E-14", "cancels in a group", func(n int) any {
		return &Group{Seq: 1, Cancels: many(MaxLocks+n, func(i int) Cancel { return Cancel{Number: uint64(i)} })}
	}},
	{"E-14", "adds in a group", func(n int) any {
		return &Group{Seq: 1, Adds: many(MaxAdds+n, func(int) Add { return Add{Kind: AddCorrection, Currency: eur, Amount: 1} })}
	}},
	{"E-14", "reason", func(n int) any {
		return &Group{Seq: 1, Cancels: []Cancel{{Number: 1, Reason: make([]byte, MaxNote+n)}}}
	}},
	{"E-6", "lock numbers repeat", func(n int) any { return &Group{Seq: 1, Locks: []Lock{lockNumber(4), lockNumber(5 - n)}} }},
	{"E-6", "cancels repeat", func(n int) any { return &Group{Seq: 1, Cancels: []Cancel{{Number: 4}, {Number: uint64(5 - n)}}} }},
	{"E-6", "fulfils repeat", func(n int) any { return &Group{Seq: 1, Fulfils: []uint64{4, uint64(5 - n)}} }},
	{"E-6", "drops fall", func(n int) any { return &Group{Seq: 1, Drops: []uint64{4, uint64(5 - 2*n)}} }},
	{"E-14", "lock in a group", func(n int) any {
		l := lockNumber(1)
		l.Amount = money.Amount(1 - n)
		return &Group{Seq: 1, Locks: []Lock{l}}
	}},
	{"E-14", "kind of add", func(n int) any { return &Group{Seq: 1, Adds: []Add{{Kind: AddKind(2 + n), Currency: eur, Amount: 1}}} }},
	{"E-14", "add of nothing", func(n int) any {
		return &Group{Seq: 1, Adds: []Add{{Kind: 1, Currency: eur, Amount: money.Amount(1 - n)}}}
	}},
	{"E-14", "add above the greatest limit", func(n int) any {
		return &Group{Seq: 1, Adds: []Add{{Kind: 1, Currency: eur, Amount: money.MaxLimit + money.Amount(n)}}}
	}},
	{"E-7", "text of an add", func(n int) any {
		return &Group{Seq: 1, Adds: []Add{{Kind: 1, Currency: eur, Amount: 1, Text: text(MaxText + n)}}}
	}},
	{"E-20", "groups", func(n int) any {
		return &Update{Groups: many(MaxGroups+n, func(i int) Group { return Group{Seq: uint64(i + 1)} })}
	}},
	{"E-6", "groups out of order", func(n int) any { return &Update{Groups: []Group{{Seq: 4}, {Seq: uint64(5 - n)}}} }},
	{"E-20", "bad group", func(n int) any { return &Update{Groups: []Group{{Seq: uint64(1 - n)}}} }},
	{"E-20", "token", func(n int) any { return &Hello{Token: make([]byte, 32+n)} }},
	{"E-7", "name", func(n int) any { return &Hello{Name: text(MaxName + n)} }},
	{"E-20", "addresses", func(n int) any { return &Hello{Addresses: make([]string, MaxAddresses+n)} }},
	{"E-7", "address", func(n int) any { return &Hello{Addresses: []string{text(MaxAddress + n)}} }},
	{"E-20", "kept", func(n int) any { return &Snapshot{Kept: make([]byte, MaxKept+n)} }},
	{"E-20", "my last lock", func(n int) any { return &Snapshot{MyLast: 1<<62 - 1 + uint64(n)} }},
	{"E-20", "your last lock", func(n int) any { return &Snapshot{YourLast: 1<<62 - 1 + uint64(n)} }},
	{"E-20", "my locks", func(n int) any { return &Snapshot{MyLocks: many(MaxLocks+n, lockNumber)} }},
	{"E-20", "addresses moved to", func(n int) any {
		return &Moved{Addresses: many(MaxAddresses+n, func(int) string { return "/ip4/192.0.2.1/tcp/1" })}
	}},
	{"E-20", "your locks", func(n int) any { return &Agree{Snapshot: Snapshot{YourLocks: many(MaxLocks+n, lockNumber)}} }},
	{"E-20", "my cancels", func(n int) any { return &Snapshot{MyCancels: numbers(MaxLocks + n)} }},
	{"E-20", "your cancels", func(n int) any { return &Snapshot{YourCancel: numbers(MaxLocks + n)} }},
	{"E-20", "preimages", func(n int) any { return &Reveal{Preimages: make([]ident.Preimage, 2+n)} }},
	{"E-20", "no preimage", func(n int) any { return &Reveal{Preimages: make([]ident.Preimage, 1-n)} }},
	{"E-20", "note of a reveal", func(n int) any { return &Reveal{Preimages: make([]ident.Preimage, 1), Note: make([]byte, MaxNote+n)} }},
	{"E-20", "note of an acknowledgement", func(n int) any { return &Acknowledge{Note: make([]byte, MaxNote+n)} }},
	{"E-20", "note onward", func(n int) any { return &Onward{Note: make([]byte, MaxNote+n)} }},
	{"E-7", "text of a refusal", func(n int) any { return &Refused{Text: text(MaxText + n)} }},
	{"E-20", "keep", func(n int) any { return &Keep{Blob: make([]byte, MaxKept+n)} }},
	{"P-3", "invoice over nothing", func(n int) any { i := sampleInvoice(); i.Amount = money.Amount(1 - n); return i }},
	{"P-3", "invoice above the greatest limit", func(n int) any { i := sampleInvoice(); i.Amount = money.MaxLimit + money.Amount(n); return i }},
	{"P-3", "invoice expires before it is made", func(n int) any { i := sampleInvoice(); i.Expires = i.Created + 1 - int64(n); return i }},
	{"P-3", "invoice from before time", func(n int) any { i := sampleInvoice(); i.Created = int64(-n); return i }},
	{"E-7", "memo", func(n int) any { i := sampleInvoice(); i.Memo = text(MaxText + n); return i }},
	{"P-10", "blob version", func(n int) any { return &Blob{Version: uint64(n)} }},
	{"P-10", "hops", func(n int) any { return &Blob{Hops: many(MaxHops+n, func(int) Hop { return Hop{Amount: 1} })} }},
	{"P-10", "hop of nothing", func(n int) any { return &Blob{Hops: []Hop{{Amount: money.Amount(1 - n)}}} }},
	{"P-10", "hop above the greatest limit", func(n int) any { return &Blob{Hops: []Hop{{Amount: money.MaxLimit + money.Amount(n)}}} }},
	{"P-13", "onion version", func(n int) any {
		return &Onion{Version: uint64(1 + n), Body: make([]byte, OnionBody)}
	}},
	{"P-13", "onion body", func(n int) any {
		return &Onion{Version: 1, Body: make([]byte, OnionBody+n)}
	}},
	{"P-11", "form 0", func(n int) any { b := sampleBox(); b.Form = Form(1 - n); return b }},
	{"P-11", "form 4", func(n int) any { b := sampleBox(); b.Form = Form(3 + n); return b }},
	{"P-11", "push with an invoice", func(n int) any { b := sampleBox(); b.Form = Form(1 + n); return b }},
	{"P-11", "no invoice", func(n int) any {
		b := sampleBox()
		if n == 1 {
			b.Invoice = Signed{}
		}
		return b
	}},
	{"P-11", "part above the total", func(n int) any { b := sampleBox(); b.Amount = b.Total + money.Amount(n); return b }},
	{"P-11", "part of nothing", func(n int) any { b := sampleBox(); b.Amount = money.Amount(1 - n); return b }},
	{"P-11", "total above the greatest limit", func(n int) any { b := sampleBox(); b.Total = money.MaxLimit + money.Amount(n); return b }},
	{"E-7", "name in a box", func(n int) any { b := sampleBox(); b.Name = text(MaxName + n); return b }},
	{"E-7", "text in a box", func(n int) any { b := sampleBox(); b.Text = text(MaxText + n); return b }},
	{"P-41", "received nothing", func(n int) any { return &Received{Currency: eur, Amount: money.Amount(1 - n)} }},
	{"P-31", "cancel with a preimage", func(n int) any { o := &Order{Cancel: true}; o.Preimage[31] = byte(n); return o }},
	{"E-7", "text of a reason", func(n int) any { return &Reason{Text: text(MaxText + n)} }},
	{"P-40", "receipt with both", func(n int) any {
		r := &Receipt{Invoice: Signed{Body: []byte{1}}}
		if n == 1 {
			r.Received.Body = []byte{1}
		}
		return r
	}},
	{"P-40", "receipt with neither", func(n int) any { return &Receipt{Invoice: Signed{Body: make([]byte, 1-n)}} }},
	{"P-40", "preimages of a receipt", func(n int) any {
		return &Receipt{Invoice: Signed{Body: []byte{1}}, Preimages: make([]ident.Preimage, 2+n)}
	}},
	{"E-15", "invitation without currency", func(n int) any { return &Invitation{Lines: sampleProposals()[:1-n]} }},
	{"E-15", "currencies of an invitation", func(n int) any {
		return &Invitation{Lines: many(MaxLines+n, func(i int) Proposal { return Proposal{Currency: currency(i)} })}
	}},
	{"E-6", "invitation out of order", func(n int) any {
		return &Invitation{Lines: []Proposal{{Currency: currency(5)}, {Currency: currency(6 - n)}}}
	}},
	{"E-15", "gives too much", func(n int) any {
		i := sampleProposals()
		i[0].Give = money.MaxLimit + money.Amount(n)
		return &Invitation{Lines: i}
	}},
	{"E-15", "asks too much", func(n int) any {
		i := sampleProposals()
		i[0].Ask = money.MaxLimit + money.Amount(n)
		return &Invitation{Lines: i}
	}},
	{"E-15", "gives less than nothing", func(n int) any { i := sampleProposals(); i[0].Give = money.Amount(-n); return &Invitation{Lines: i} }},
	{"E-7", "name in an invitation", func(n int) any { return &Invitation{Lines: sampleProposals(), Name: text(MaxName + n)} }},
	{"E-15", "addresses in an invitation", func(n int) any {
		return &Invitation{Lines: sampleProposals(), Addresses: make([]string, MaxAddresses+n)}
	}},
	{"E-16", "heads", func(n int) any { return &Heads{List: make([]Head, 1000+n)} }},
	{"E-7", "name in heads", func(n int) any { return &Heads{List: []Head{{Name: text(MaxName + n)}}} }},
	{"E-16", "addresses in heads", func(n int) any { return &Heads{List: []Head{{Addresses: make([]string, MaxAddresses+n)}}} }},
}

func sampleInvoice() *Invoice { return statements()[3].v.(*Invoice) }
func sampleBox() *Box         { return unsigned()[3].(*Box) }
func sampleProposals() []Proposal {
	return []Proposal{{Currency: eur, Give: 1, Ask: 1}}
}

func TestLimits(t *testing.T) {
	for _, c := range limits {
		for n := range 2 {
			v := c.with(n)
			data := Marshal(v)
			var err error
			if m, ok := v.(Message); ok {
				_, err = Decode(Encode(m))
			} else {
				err = Unmarshal(data, blankOf(typeName(v)))
			}
			if n == 0 && err != nil {
				t.Errorf("%s, %s: refused within the limit: %v", c.rule, c.name, err)
			}
			if n == 1 && !errors.Is(err, ErrForm) {
				t.Errorf("%s, %s: error %v beyond the limit", c.rule, c.name, err)
			}
			if x, ok := v.(interface{ check() error }); ok && (Check(x) == nil) != (n == 0) {
				t.Errorf("%s, %s: Check gives %v", c.rule, c.name, Check(x))
			}
		}
	}
}

// The largest snapshot fits into a frame.
func TestFrameHoldsSnapshot(t *testing.T) {
	l := func(i int) Lock {
		l := sampleLock(1<<60 + uint64(i))
		l.Amount, l.Currency, l.Blob = money.MaxLimit, circle, make([]byte, MaxBlob)
		return l
	}
	s := &Snapshot{Mine: Sign(writer, TagPromise, samplePromise()), MyLocks: many(MaxLocks, l), YourLocks: many(MaxLocks, l), MyCancels: numbers(MaxLocks), YourCancel: numbers(MaxLocks), Kept: make([]byte, MaxKept)}
	if n := len(Encode(&Agree{Snapshot: *s})); n > MaxFrame*8/10 {
		t.Errorf("%d bytes, a frame has %d", n, MaxFrame)
	}
}

func TestCleanText(t *testing.T) { // E-7
	for s, ok := range map[string]bool{
		"": true, "Käse 日本 \U0001f600": true, "tab\t": false, "line\n": false, "\x00": false, "del\x7f": false, "\u0085": false, "\u009f": false,
		"\u00a0": true, "\u2028": false, "\u2029": false, "\u202a": false, "\u202e": false, "\u2066": false, "\u2069": false, "\u206a": true,
		"\xff": false, "cut \xe2\x82": false, "\xed\xa0\x80": false, "�": true,
	} {
		if err := CleanText(s, 100); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
	if CleanText("äää", 5) == nil {
		t.Error("6 bytes of 5")
	}
	// What passes can be signed and read by others.
	i := sampleInvoice()
	i.Memo = "\xff"
	if Check(i) == nil {
		t.Error("a memo that nobody can read")
	}
}

// E-4: a signature is good for one statement of one writer under one tag.
func TestOpen(t *testing.T) {
	x := samplePromise()
	s := Sign(writer, TagPromise, x)
	var p Promise
	if err := Open(writer, writer.ID(), TagPromise, s, &p); err != nil {
		t.Fatal(err)
	}
	if p.Mark(s) != (Mark{Epoch: x.Epoch, Seq: 1, Hash: s.Hash()}) || p.Line(circle).Owed != 1 || p.Line("USD/2") != (Line{Currency: "USD/2"}) {
		t.Errorf("%+v", p)
	}
	for name, err := range map[string]error{
		"another tag":  Open(writer, writer.ID(), TagTerms, s, &p),
		"another key":  Open(writer, friend, TagPromise, s, &p),
		"another body": Open(writer, writer.ID(), TagPromise, Signed{Body: Marshal(&Promise{From: fill(1), To: fill(2), Seq: 1}), Sig: s.Sig}, &p),
	} {
		if !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Open(writer, writer.ID(), TagPromise, Signed{}, &p); !errors.Is(err, ErrForm) {
		t.Error(err)
	}
	if !(Signed{}).None() || s.None() || s.Equal(Signed{}) || !s.Equal(s) {
		t.Error("none and equal")
	}
}

func TestOnionHeader(t *testing.T) { // P-13
	for _, size := range []int{0, OnionHeader - 1, OnionHeader, OnionHeader + 1} {
		data := Marshal(&struct {
			_       struct{} `cbor:",toarray"`
			Version uint64
			Key     ident.BoxKey
			Header  []byte
			MAC     ident.Hash
			Body    []byte
		}{Version: 1, Header: make([]byte, size), Body: make([]byte, OnionBody)})
		if err := Unmarshal(data, new(Onion)); (err == nil) != (size == OnionHeader) || err != nil && !errors.Is(err, ErrForm) {
			t.Errorf("a header of %d bytes: %v", size, err)
		}
	}
}

func TestSmallThings(t *testing.T) {
	a, b := Mark{Epoch: 1, Seq: 9}, Mark{Epoch: 2, Seq: 1}
	if !a.Before(b) || b.Before(a) || a.Before(a) || !a.Before(Mark{Epoch: 1, Seq: 10}) || a.SameNumber(b) || !a.SameNumber(Mark{Epoch: 1, Seq: 9, Hash: fill(1)}) {
		t.Error("order of marks")
	}
	terms := statements()[2].v.(*Terms)
	if terms.Line(eur).Fee() != (money.Fee{Base: 5, Ppm: 1_000_000}) || terms.Line(circle).Limit != 0 {
		t.Error("terms' lines")
	}
	one, two := ident.Preimage(fill(1)), ident.Preimage(fill(2))
	c := Condition{Hashes: []ident.Hash{one.Hash(), two.Hash()}}
	for _, x := range []struct {
		p  []ident.Preimage
		ok bool
	}{{[]ident.Preimage{one, two}, true}, {[]ident.Preimage{two, one}, false}, {[]ident.Preimage{one}, false}, {[]ident.Preimage{one, two, two}, false}, {nil, false}} {
		if c.Met(x.p) != x.ok {
			t.Errorf("%d preimages: %v", len(x.p), !x.ok)
		}
	}
	if !(&Group{Seq: 1}).Empty() || (&Group{Cancels: make([]Cancel, 1)}).Empty() {
		t.Error("empty groups")
	}
	for f, want := range map[Form]string{FormInvoice: "invoice", FormPush: "push", FormHold: "hold", 9: "unknown"} {
		if f.String() != want {
			t.Error(f)
		}
	}
	l, m := sampleLock(1), sampleLock(1)
	m.Blob = append(bytes.Clone(m.Blob), 0)
	if again := sampleLock(1); l.Digest() == m.Digest() || l.Digest() != again.Digest() || len(l.Blob) == 32 {
		t.Error("a lock's digest covers its blob")
	}
	if PartID(b16(0xab)).String() != strings.Repeat("ab", 16) || InvoiceID(b16(1)).String() != strings.Repeat("01", 16) || PaymentID(b16(2)).String() != strings.Repeat("02", 16) {
		t.Error("ids")
	}
}

func TestMarshalPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("spelt a channel")
		}
	}()
	Marshal(make(chan int))
}

// E-30: numbers are append-only; names are what scripts read.
func TestCodes(t *testing.T) {
	seen := map[string]bool{}
	for c := CodeNone; int(c) < len(codeNames); c++ {
		if seen[c.String()] {
			t.Errorf("%d is %q again", c, c)
		}
		seen[c.String()] = true
		b, _ := c.MarshalText()
		var back Code
		if err := back.UnmarshalText(b); err != nil || back != c {
			t.Errorf("%q reads as %d", b, back)
		}
	}
	for c, want := range map[Code]string{LimitReached: "limit_reached", StaleTerms: "stale_terms", SelfPayment: "self_payment", CodeNone: "", 9999: "unknown"} {
		if c.String() != want {
			t.Errorf("%d is %q", c, c)
		}
	}
	if int(SelfPayment) != 49 || int(LimitReached) != 1 || int(BadBase) != 26 {
		t.Error("numbers moved")
	}
	var c Code
	if err := c.UnmarshalText([]byte("from_tomorrow")); err != nil || c.String() != "unknown" {
		t.Error(c, err)
	}
}

func TestLinks(t *testing.T) { // E-31
	link := Link(LinkInvoice, []byte("data"))
	if link != "kula:invoice?d=ZGF0YQ" {
		t.Error(link)
	}
	for _, c := range []struct {
		name, link string
		ok         bool
	}{
		{"plain", link, true},
		{"spaces around", " " + link + "\n", true},
		{"unknown parameters", link + "&x=1", true},
		{"required and unknown", link + "&req-x=1&req-a=1", false},
		{"another kind", Link(LinkFriend, []byte("data")), false},
		{"no data", "kula:invoice", false},
		{"empty data", "kula:invoice?d=", false},
		{"padded", link + "%3D%3D", false},
		{"spare bits", "kula:invoice?d=ZGF0YR", false},
		{"cut", link[:len(link)-1], false},
		{"standard alphabet", "kula:invoice?d=%2F%2F%2F%2F", false},
		{"another scheme", "http:invoice?d=ZGF0YQ", false},
		{"capital scheme", "KULA:invoice?d=ZGF0YQ", false},
		{"bad escape", "kula:invoice?d=%zz", false},
	} {
		data, err := ParseLink(LinkInvoice, c.link)
		if (err == nil) != c.ok || c.ok && string(data) != "data" {
			t.Errorf("%s: %q, %v", c.name, data, err)
		}
	}
	_, _, err := LinkParameters("kula:index?key=k&addr=a&req-b=1&req-a=1")
	if err == nil || !strings.Contains(err.Error(), `"req-a"`) {
		t.Error(err)
	}
	kind, p, err := LinkParameters("kula:index?key=k&addr=a&addr=b")
	if err != nil || kind != LinkIndex || p.Get("key") != "k" || len(p["addr"]) != 2 {
		t.Error(kind, p, err)
	}
	for s, ok := range map[string]bool{strings.Repeat("0a", 16): true, strings.Repeat("0A", 16): false, strings.Repeat("0a", 15): false, strings.Repeat("0a", 17): false, "": false, strings.Repeat("zz", 16): false} {
		if _, err := ParseID16(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func b16(b byte) [16]byte {
	h := fill(b)
	return [16]byte(h[:16])
}
