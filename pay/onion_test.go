package pay

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kula/ident"
	"kula/money"
	"kula/onion"
	"kula/wire"
)

var update = flag.Bool("update", false, "write the vectors instead of reading them")

// journey is a part in an onion, with everybody on its way.
type journey struct {
	route Route
	nodes []*ident.Key
	lock  wire.Lock // the first
	box   *wire.Box
	ends  Sealed
	until int64
}

var long = strings.Repeat("x", wire.MaxText)

// travel wraps a part over n hops. The payer is in the box, with a text and an invoice.
func travel(t interface{ Fatal(...any) }, n int) *journey {
	j := &journey{until: Until(1_700_000_000_000)}
	for i := range n {
		j.nodes = append(j.nodes, ident.NewKey([32]byte{100, byte(i + 1)}))
		j.route.Hops = append(j.route.Hops, j.nodes[i].ID())
		j.route.Amounts = append(j.route.Amounts, money.Amount(2000-i))
	}
	last := j.nodes[n-1]
	signed, i := NewInvoice(last, salt, wire.Invoice{Currency: eur, Amount: j.route.Amounts[n-1], Memo: "cheese of the month", Created: 1000, Expires: 2000})
	j.box = &wire.Box{
		Form: wire.FormInvoice, Payment: wire.PaymentID(i.ID(signed)), Salt: salt, Invoice: signed, Currency: eur, Total: i.Amount, Amount: i.Amount,
		Payer: payer.ID(), Name: "Ana of the hill", Text: "with many thanks",
	}
	j.lock = wire.Lock{Number: 1, Part: part, Currency: eur, Amount: j.route.Amounts[0], Condition: wire.Condition{Hashes: []ident.Hash{i.Hash}}}
	j.ends = AsOnionPayer(payer, salt)
	var err error
	if j.lock.Blob, err = j.ends.NewOnion(payer, j.route, &j.lock, j.until, j.box); err != nil {
		t.Fatal(err)
	}
	return j
}

// stations gives what each node gets, and reads.
func (j *journey) stations(t interface{ Fatal(...any) }) (locks []wire.Lock, parcels []*Parcel) {
	l := j.lock
	for _, node := range j.nodes {
		p, err := OpenParcel(node, &l)
		if err != nil {
			t.Fatal(err)
		}
		locks, parcels = append(locks, l), append(parcels, p)
		if p.Hop != nil {
			l.Amount, l.Blob = p.Hop.Amount, p.Inner(node)
		}
	}
	return locks, parcels
}

func noEnds(*wire.Blob) (Sealed, error) { return Sealed{}, errors.New("no blob of version 0") }

// P-13, P-14: whatever the length and the place, what a lock carries has one size; each node reads its hop, the payee the box.
func TestOnion(t *testing.T) {
	size := 0
	for n := 1; n <= wire.MaxHops; n++ {
		j := travel(t, n)
		locks, parcels := j.stations(t)
		for i, p := range parcels {
			if size == 0 {
				size = len(locks[i].Blob)
			}
			if len(locks[i].Blob) != size || size > wire.MaxBlob || !IsOnion(locks[i].Blob) {
				t.Fatalf("hop %d of %d gets %d bytes, others %d", i, n, len(locks[i].Blob), size)
			}
			if p.Layer == nil || p.Layer.Until != j.until {
				t.Fatalf("hop %d of %d: %+v", i, n, p.Layer)
			}
			if i < n-1 && (p.Hop == nil || *p.Hop != (wire.Hop{Next: j.route.Hops[i+1], Amount: j.route.Amounts[i+1]})) {
				t.Fatalf("hop %d of %d is told %+v", i, n, p.Hop)
			}
		}
		if parcels[n-1].Hop != nil {
			t.Fatalf("the last of %d is told %+v", n, parcels[n-1].Hop)
		}
		s, box, err := parcels[n-1].OpenBox(noEnds, part)
		if err != nil || !bytes.Equal(wire.Marshal(box), wire.Marshal(j.box)) || s != j.ends {
			t.Fatalf("the last of %d reads %+v, %v", n, box, err)
		}
	}
}

// P-14: in all that a mediator gets, gives on and can open there is no key but its neighbours', no name, no text, no invoice,
// and nothing that it gives on stands in what it got.
func TestOnionTellsMediatorsNothing(t *testing.T) {
	for _, n := range []int{2, 3, 8, wire.MaxHops} {
		j := travel(t, n)
		locks, parcels := j.stations(t)
		secrets := map[string][]byte{
			"the payer's key": j.box.Payer[:], "the payer's name": []byte(j.box.Name), "the text": []byte(j.box.Text), "the memo": []byte("cheese"),
			"the invoice": j.box.Invoice.Body[:32], "its signature": j.box.Invoice.Sig[:], "the payment's id": j.box.Payment[:], "its salt": salt[:],
			"what payer and payee share": j.ends.key[:], "its name": j.ends.Key[:],
		}
		for i := range n - 1 {
			x := parcels[i]
			seen := bytes.Join([][]byte{locks[i].Blob, locks[i+1].Blob, x.Layer.next.Header[:], x.Layer.next.Body, x.Layer.key[:]}, nil)
			for what, b := range secrets {
				if bytes.Contains(seen, b) {
					t.Fatalf("mediator %d of %d finds %s", i, n, what)
				}
			}
			for k, id := range j.route.Hops {
				if bytes.Contains(seen, id[:]) {
					t.Fatalf("mediator %d of %d finds the key of hop %d in bytes", i, n, k)
				}
			}
			if _, box, err := openBody(x.Layer.next.Body); err == nil {
				t.Fatalf("mediator %d of %d reads %+v", i, n, box)
			}
			const run = 8 // of 2,827 random bytes there is none of 8 twice
			for at := range len(locks[i].Blob) - run {
				if at > 40 && bytes.Contains(locks[i+1].Blob, locks[i].Blob[at:at+run]) {
					t.Fatalf("mediator %d of %d gives on what it got, at %d", i, n, at)
				}
			}
		}
	}
}

// P-14: any bit changed, another part, condition or currency, another node: refused, at the first node that sees it.
func TestOnionTampered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, wire.MaxHops).Draw(t, "hops")
		i := rapid.IntRange(0, n-1).Draw(t, "at")
		j := travel(t, n)
		locks, _ := j.stations(t)
		l := locks[i]
		l.Blob = bytes.Clone(l.Blob)
		bit := rapid.IntRange(0, 8*len(l.Blob)-1).Draw(t, "bit")
		l.Blob[bit/8] ^= 1 << (bit % 8)
		if p, err := OpenParcel(j.nodes[i], &l); err == nil {
			t.Fatalf("bit %d changed at hop %d of %d: %+v", bit, i, n, p)
		}
	})
	j := travel(t, 3)
	for name, change := range map[string]func(l *wire.Lock){
		"part":      func(l *wire.Lock) { l.Part[3] ^= 1 },
		"condition": func(l *wire.Lock) { l.Condition.Hashes = []ident.Hash{{5}} },
		"deadline":  func(l *wire.Lock) { l.Condition.Deadline = 5 },
		"currency":  func(l *wire.Lock) { l.Currency = hrs },
	} {
		l := j.lock
		change(&l)
		if _, err := OpenParcel(j.nodes[0], &l); !errors.Is(err, onion.ErrMAC) {
			t.Errorf("under another %s: %v", name, err)
		}
	}
	l := j.lock
	l.Number, l.Amount = 9, 5000 // these are the channel's
	if _, err := OpenParcel(j.nodes[0], &l); err != nil {
		t.Errorf("another number and amount: %v", err)
	}
	if _, err := OpenParcel(j.nodes[1], &l); !errors.Is(err, onion.ErrMAC) {
		t.Errorf("at the second node: %v", err)
	}
}

// P-15: the longest box fits, and nothing but a box and zeros is in a body.
func TestOnionBody(t *testing.T) {
	cur := money.Currency("ABCDEFGHIJKL/9@" + ben.ID().String())
	signed, i := invoice(func(i *wire.Invoice) {
		i.Memo, i.Currency, i.Amount, i.Created, i.Expires = long, cur, money.MaxLimit, 1<<62, 1<<62+1
	})
	box := &wire.Box{
		Form: wire.FormInvoice, Payment: wire.PaymentID(i.ID(signed)), Salt: ident.Salt{255}, Invoice: signed, Currency: cur, Total: money.MaxLimit, Amount: money.MaxLimit,
		Payer: payer.ID(), Name: long[:wire.MaxName], Proof: ident.Hash{255}, Text: long,
	}
	if n := len(wire.Marshal(box)); n != 1076 {
		t.Errorf("the longest box has %d bytes, wire.OnionBody says 1,076", n)
	}
	j := travel(t, 2)
	blob, err := j.ends.NewOnion(payer, j.route, &j.lock, j.until, box)
	if err != nil || len(blob) != len(j.lock.Blob) {
		t.Errorf("%d bytes, %v", len(blob), err)
	}
	box.Invoice.Body = append(box.Invoice.Body, make([]byte, 100)...)
	if _, err := j.ends.NewOnion(payer, j.route, &j.lock, j.until, box); err == nil {
		t.Error("a box that does not fit")
	}
	good := make([]byte, wire.OnionBody)
	text := wire.Marshal(j.box)
	good[32], good[33] = byte(len(text)>>8), byte(len(text))
	copy(good[bodyHead:], text)
	if _, _, err := openBody(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(b []byte){
		"something behind":   func(b []byte) { b[len(b)-1] = 1 },
		"shorter than it is": func(b []byte) { b[33]-- },
		"longer than it is":  func(b []byte) { b[33]++ },
		"longer than all":    func(b []byte) { b[32] = 255 },
		"no box":             func(b []byte) { clear(b) },
	} {
		bad := bytes.Clone(good)
		change(bad)
		if _, _, err := openBody(bad); !errors.Is(err, wire.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := Until(1_700_000_000_000); got != 1_700_000_340 { // 300 s later, up to a whole minute
		t.Error(got)
	}
}

func TestNoOnion(t *testing.T) {
	j := travel(t, 2)
	j.route.Hops[1] = ident.ID{}
	if _, err := j.ends.NewOnion(payer, j.route, &j.lock, j.until, j.box); err == nil {
		t.Error("an onion for nobody")
	}
	j = travel(t, 2)
	j.route.Amounts[1] = 0 // a payer of one's own making
	blob, err := j.ends.NewOnion(payer, j.route, &j.lock, j.until, j.box)
	if err != nil {
		t.Fatal(err)
	}
	l := j.lock
	l.Blob = blob
	if _, err := OpenParcel(j.nodes[0], &l); !errors.Is(err, wire.ErrForm) {
		t.Errorf("a hop of nothing: %v", err)
	}
	for _, bad := range [][]byte{{0x85, 1}, j.lock.Blob[:100]} {
		l.Blob = bad
		if _, err := OpenParcel(j.nodes[0], &l); !errors.Is(err, wire.ErrForm) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

// P-17: a reason comes back in one size from everywhere; the payer knows whose it is, whatever it says, and nobody else reads it.
func TestFailure(t *testing.T) {
	for _, n := range []int{1, 2, 8, wire.MaxHops} {
		j := travel(t, n)
		_, parcels := j.stations(t)
		for at := range n {
			r := &wire.Reason{
				Code: wire.LimitReached, At: eve.ID(), Next: eve.ID(), Currency: money.Currency("ABCDEFGHIJKL/9@" + ben.ID().String()),
				Limit: money.MaxLimit, Owed: -money.MaxLimit, Locked: money.MaxLimit, Left: money.MaxLimit, Need: money.MaxLimit, Text: long,
			}
			note := parcels[at].Refuse(j.nodes[at], ident.ID{}, 1, r)
			for i := at - 1; i >= 0; i-- {
				if len(note) != onion.FailureSize || len(note) > wire.MaxNote || bytes.Contains(note, []byte(long[:8])) {
					t.Fatalf("hop %d sees %d bytes: %q", i, len(note), note)
				}
				if _, err := ReadFailure([]ident.SharedKey{parcels[i].Layer.key}, j.route.Hops[i:], note); err == nil {
					t.Fatalf("hop %d of %d reads the reason of hop %d", i, n, at)
				}
				note = parcels[i].Return(j.nodes[i], ident.ID{}, 1, note)
			}
			got, err := OpenFailure(payer, j.route.Hops, part, note)
			r.At = j.route.Hops[at]
			if err != nil || *got != *r {
				t.Fatalf("hop %d of %d: read %+v, %v", at, n, got, err)
			}
			if n > 1 {
				note[at] ^= 1
			} else {
				note = note[1:]
			}
			if got, err := OpenFailure(payer, j.route.Hops, part, note); err == nil {
				t.Fatalf("changed, and read %+v", got)
			}
		}
	}
}

// P-18: who gets no reason from behind, or something else, says so in its own name.
func TestFailureReplaced(t *testing.T) {
	j := travel(t, 4)
	_, parcels := j.stations(t)
	for _, from := range [][]byte{nil, {1}, make([]byte, onion.FailureSize-1)} {
		note := parcels[1].Return(j.nodes[1], ident.ID{}, 1, from)
		note = parcels[0].Return(j.nodes[0], ident.ID{}, 1, note)
		r, err := OpenFailure(payer, j.route.Hops, part, note)
		if err != nil || r.Code != wire.CodeNone || r.At != j.route.Hops[1] || r.Next != j.route.Hops[2] {
			t.Errorf("%d bytes: %+v, %v", len(from), r, err)
		}
	}
	var m onion.Message
	m[0] = 255
	if _, err := OpenFailure(payer, j.route.Hops, part, onion.Fail(parcels[0].Layer.key, &m)); !errors.Is(err, wire.ErrForm) {
		t.Errorf("a reason longer than its message: %v", err)
	}
}

// A payer that has nothing but the lock and its friend finds route and box again (C-45).
func TestUnwrap(t *testing.T) {
	for _, n := range []int{1, 3, wire.MaxHops} {
		j := travel(t, n)
		r, s, box, err := Unwrap(payer, &j.lock, j.route.Hops[0])
		if err != nil || fmt.Sprint(r) != fmt.Sprint(j.route) || s != j.ends || !bytes.Equal(wire.Marshal(box), wire.Marshal(j.box)) {
			t.Fatalf("%d hops: %v %+v, %v", n, r, box, err)
		}
		for what, try := range map[string]struct {
			by    ident.Suite
			first ident.ID
		}{"another payer": {eve, j.route.Hops[0]}, "another friend": {payer, eve.ID()}, "a hop": {j.nodes[0], j.route.Hops[0]}} {
			if _, _, _, err := Unwrap(try.by, &j.lock, try.first); err == nil {
				t.Errorf("%s unwraps %d hops", what, n)
			}
		}
	}
	route := Route{[]ident.ID{ben.ID(), payee.ID()}, amounts(6, 5)}
	plain, err := AsPayer(payer, salt, payee.ID())
	if err != nil {
		t.Fatal(err)
	}
	want := &wire.Box{Form: wire.FormPush, Payment: payment, Currency: eur, Total: 5, Amount: 5}
	l := lockOf(6)
	l.Blob = plain.NewBlob(route, part, want)
	if r, s, box, err := Unwrap(payer, &l, ben.ID()); err != nil || fmt.Sprint(r) != fmt.Sprint(route) || s != plain || box.Payment != payment {
		t.Errorf("version 0: %v %+v, %v", r, box, err)
	}
	if _, _, _, err := Unwrap(eve, &l, ben.ID()); err == nil {
		t.Error("another one unwraps version 0")
	}
}

// FuzzParcel: OpenParcel gives a node nothing but what was wrapped for it and this lock, and OpenBox a payee.
func FuzzParcel(f *testing.F) {
	j := travel(f, 2)
	locks, _ := j.stations(f)
	f.Add(locks[0].Blob, []byte(part[:]), false)
	f.Add(locks[1].Blob, []byte(part[:]), true)
	f.Add([]byte{0x85, 1}, []byte{}, false)
	f.Add([]byte{0x85, 0}, []byte{}, false)
	f.Fuzz(func(t *testing.T, blob, p []byte, last bool) {
		l, at := j.lock, 0
		if last {
			at = 1
		}
		l.Blob = blob
		l.Part = wire.PartID{}
		copy(l.Part[:], p)
		x, err := OpenParcel(j.nodes[at], &l)
		if err != nil {
			return
		}
		if IsOnion(blob) != (x.Layer != nil) || IsOnion(blob) && (l.Part != part || !bytes.Equal(blob, locks[at].Blob)) {
			t.Fatalf("opened %+v", x)
		}
		if x.Hop == nil {
			if _, box, err := x.OpenBox(func(b *wire.Blob) (Sealed, error) { return AsPayee(j.nodes[at], b) }, l.Part); err == nil && box == nil {
				t.Fatal("neither a box nor an error")
			}
		} else if inner := x.Inner(j.nodes[at]); x.Layer != nil && !bytes.Equal(inner, locks[1].Blob) {
			t.Fatalf("gives on %x", inner)
		}
	})
}

// FuzzFailure: whatever comes back, OpenFailure gives a reason of good form by one of the hops, or none.
func FuzzFailure(f *testing.F) {
	j := travel(f, 3)
	_, parcels := j.stations(f)
	f.Add(parcels[2].Refuse(j.nodes[2], ident.ID{}, 1, &wire.Reason{Code: wire.NotFound}), []byte{})
	f.Add([]byte{}, wire.Marshal(&wire.Reason{Text: "no"}))
	f.Fuzz(func(t *testing.T, note, said []byte) {
		if r, err := OpenFailure(payer, j.route.Hops, part, note); err == nil {
			t.Fatalf("read %+v", r)
		}
		var m onion.Message
		m[0], m[1] = byte(len(said)>>8), byte(len(said))
		copy(m[2:], said)
		r, err := OpenFailure(payer, j.route.Hops, part, onion.Return(parcels[0].Layer.key, onion.Fail(parcels[1].Layer.key, &m)))
		if err != nil {
			return
		}
		if r.At != j.route.Hops[1] {
			t.Fatalf("by %s: %+v", r.At, r)
		}
		var as wire.Reason
		if err := wire.Unmarshal(said, &as); err != nil || as.Code != r.Code || !bytes.Equal(wire.Marshal(&as), said) {
			t.Fatalf("%x read as %+v", said, r)
		}
	})
}

type onionVectors struct {
	About     string       `json:"about"`
	Payer     string       `json:"payer"` // master seeds of package ident
	Part      string       `json:"part"`
	Currency  string       `json:"currency"`
	Hash      string       `json:"hash"`
	Condition string       `json:"condition"`
	Until     int64        `json:"until"`
	Key       string       `json:"key"` // what payer and payee share
	Pad       string       `json:"pad"`
	Box       string       `json:"box"`
	Hops      []hopVector  `json:"hops"`
	Failures  []failVector `json:"failures"`
	Notes     []noteVector `json:"notes"`
}

type noteVector struct {
	Kind  string `json:"kind"` // as in P-33
	Plain string `json:"plain"`
	Note  string `json:"note"`
}

type hopVector struct {
	Node     string `json:"node"` // master seed
	Identity string `json:"identity"`
	Shared   string `json:"shared"`
	Payload  string `json:"payload"`
	Seen     string `json:"seen"`
	Blob     string `json:"blob"`
}

type failVector struct {
	At     int             `json:"at"` // place in hops
	Reason json.RawMessage `json:"reason"`
	Notes  []string        `json:"notes"` // from the node that fails to the payer's friend
}

const onionFile = "../spec/vectors/onion.json"

// TestOnionVectors writes or reads a part over three hops with everything that is computed on the way.
func TestOnionVectors(t *testing.T) {
	j := travel(t, 3)
	locks, parcels := j.stations(t)
	layers, err := payer.OnionTo(ident.Salt(part), j.route.Hops)
	if err != nil {
		t.Fatal(err)
	}
	id := j.lock.Condition.ID()
	v := onionVectors{
		About: "A part over three hops in an onion (spec P-13 to P-18), hex: what each node gets and computes, the reason of one of them on its way back, and the notes of payer and payee (P-30, P-31, P-34). Made by the Go code; its packet is checked against Lightning's library, its keys against crypto/ecdh and filippo.io/edwards25519.",
		Payer: fmt.Sprintf("%x", [32]byte{1}), Part: hex.EncodeToString(part[:]), Currency: string(eur), Hash: hex.EncodeToString(j.lock.Condition.Hashes[0][:]),
		Condition: hex.EncodeToString(id[:]), Until: j.until, Key: hex.EncodeToString(j.ends.key[:]), Pad: hex.EncodeToString(layers.Pad[:]), Box: hex.EncodeToString(wire.Marshal(j.box)),
	}
	for i, p := range parcels {
		hop := wire.Hop{Amount: j.route.Amounts[2]}
		if p.Hop != nil {
			hop = *p.Hop
		}
		payload := writePayload(hop, j.until)
		node := j.nodes[i].ID()
		v.Hops = append(v.Hops, hopVector{
			Node: fmt.Sprintf("%x", [32]byte{100, byte(i + 1)}), Identity: hex.EncodeToString(node[:]), Shared: hex.EncodeToString(layers.Keys[i][:]),
			Payload: hex.EncodeToString(payload[:]), Seen: fmt.Sprintf("%016x", p.Layer.Seen), Blob: hex.EncodeToString(locks[i].Blob),
		})
	}
	for at, r := range map[int]*wire.Reason{2: {Code: wire.InvoicePaid, At: j.route.Hops[2], Currency: eur}} {
		f := failVector{At: at}
		f.Reason, _ = json.Marshal(r)
		for i, note := at, parcels[at].Refuse(j.nodes[at], ident.ID{}, 1, r); i >= 0; i-- {
			if i < at {
				note = parcels[i].Return(j.nodes[i], ident.ID{}, 1, note)
			}
			f.Notes = append(f.Notes, hex.EncodeToString(note))
		}
		v.Failures = append(v.Failures, f)
	}
	said := wire.SignAlone(j.nodes[2], wire.TagArrived, &wire.Arrived{Payment: j.box.Payment, Part: part, Amount: j.box.Amount, Condition: id})
	order := &wire.Order{Cancel: true}
	v.Notes = []noteVector{
		{Arrived.seal(part), hex.EncodeToString(wire.Marshal(&said)), hex.EncodeToString(j.ends.SealWord(Arrived, part, &said))},
		{orderKind(true, part), hex.EncodeToString(wire.Marshal(order)), hex.EncodeToString(j.ends.SealOrder(part, order))},
	}
	text, err := json.MarshalIndent(&v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile(onionFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(onionFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("%s is not what this program makes", onionFile)
	}
}

// What a payment costs its ends and each mediator for its onion.
func BenchmarkParcel(b *testing.B) {
	j := travel(b, 2)
	b.Run("NewOnion2", func(b *testing.B) {
		for b.Loop() {
			if _, err := j.ends.NewOnion(payer, j.route, &j.lock, j.until, j.box); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("mediator", func(b *testing.B) {
		for b.Loop() {
			p, err := OpenParcel(j.nodes[0], &j.lock)
			if err != nil {
				b.Fatal(err)
			}
			p.Inner(j.nodes[0])
		}
	})
	locks, _ := j.stations(b)
	b.Run("payee", func(b *testing.B) {
		for b.Loop() {
			p, err := OpenParcel(j.nodes[1], &locks[1])
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := p.OpenBox(noEnds, part); err != nil {
				b.Fatal(err)
			}
		}
	})
}
