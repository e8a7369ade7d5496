package credit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

var update = flag.Bool("update", false, "write the vectors instead of reading them")

type creditVectors struct {
	About     string            `json:"about"`
	Locks     []lockVector      `json:"locks"`
	Digests   []digestVector    `json:"digests"`
	Cancelled []cancelledVector `json:"cancelled"`
	Evidence  []faultVector     `json:"faults"`
	Proofs    []proofVector     `json:"proofs"`
}

type lockVector struct {
	Name     string         `json:"name"`
	Lock     string         `json:"lock"`
	Number   uint64         `json:"number"`
	Currency money.Currency `json:"currency"`
	Amount   money.Amount   `json:"amount"`
	Digest   string         `json:"digest"`
}

type digestVector struct {
	Name   string   `json:"name"`
	Locks  []string `json:"locks"` // names, by number
	Digest string   `json:"digest"`
}

type cancelledVector struct {
	Numbers []uint64 `json:"numbers"`
	Digest  string   `json:"digest"`
}

type faultVector struct {
	Name  string `json:"name"`
	Bytes string `json:"bytes"`
	Holds bool   `json:"holds"`
}

type proofVector struct {
	Name     string       `json:"name"`
	Bytes    string       `json:"bytes"`
	Debtor   ident.ID     `json:"debtor"`
	Creditor ident.ID     `json:"creditor"`
	Net      money.Amount `json:"net"`
	AsOf     int64        `json:"asOf"`
}

const vectorFile = "../spec/vectors/credit.json"

func readVectors(t *testing.T) (v creditVectors) {
	data, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The digests of C-6 and the evidence of C-50 to C-61, byte for byte.
func TestVectors(t *testing.T) {
	if *update {
		makeVectors(t)
	}
	v := readVectors(t)
	locks := map[string]numbered{}
	for _, x := range v.Locks {
		var l wire.Lock
		if err := wire.Unmarshal(unhex(t, x.Lock), &l); err != nil {
			t.Fatalf("%s: %v", x.Name, err)
		}
		if l.Number != x.Number || l.Currency != x.Currency || l.Amount != x.Amount || l.Digest().String() != x.Digest {
			t.Errorf("%s: digest %s", x.Name, l.Digest())
		}
		locks[x.Name] = numbered{l.Number, l.Digest()}
	}
	for _, x := range v.Digests {
		var list []numbered
		for _, name := range x.Locks {
			list = append(list, locks[name])
		}
		if got := locksDigest(list).String(); got != x.Digest {
			t.Errorf("%s: %s", x.Name, got)
		}
	}
	for _, x := range v.Cancelled {
		if got := cancelledDigest(x.Numbers).String(); got != x.Digest {
			t.Errorf("%v: %s", x.Numbers, got)
		}
	}
	for _, x := range v.Evidence {
		f, err := DecodeFault(unhex(t, x.Bytes))
		if err != nil {
			t.Fatalf("%s: %v", x.Name, err)
		}
		if err := f.Verify(real); (err == nil) != x.Holds || hex.EncodeToString(f.Encode()) != x.Bytes {
			t.Errorf("%s: %v", x.Name, err)
		}
	}
	for _, x := range v.Proofs {
		p, err := DecodeProof(unhex(t, x.Bytes))
		if err != nil {
			t.Fatalf("%s: %v", x.Name, err)
		}
		got, err := p.Verify(real)
		if err != nil {
			t.Fatalf("%s: %v", x.Name, err)
		}
		if n := got.Nets[0]; n.Debtor != x.Debtor || n.Creditor != x.Creditor || n.Value.Amount != x.Net || got.AsOf != x.AsOf {
			t.Errorf("%s: shows %+v", x.Name, got)
		}
	}
	if len(v.Locks)*len(v.Digests)*len(v.Cancelled)*len(v.Evidence)*len(v.Proofs) == 0 || strings.TrimSpace(v.About) == "" {
		t.Error("a list is empty")
	}
}

// real verifies real signatures.
var real = ident.NewKey([32]byte{99})

// makeVectors writes what TestVectors reads: two real keys (masters 01 00 … and 02 00 …), one channel.
func makeVectors(t *testing.T) {
	x, y := ident.NewKey([32]byte{1}), ident.NewKey([32]byte{2})
	if !smaller(x.ID(), y.ID()) {
		x, y = y, x
	}
	fresh := func() (a, b *side) {
		a, b = &side{New(x.ID(), y.ID()), x}, &side{New(y.ID(), x.ID()), y}
		grant(t, a, b, limit(eur, 100))
		grant(t, b, a, limit(eur, 100))
		lock(t, a, eur, 10)
		lock(t, a, eur, 20)
		add(t, b, eur, 45)
		quiet(t, a, b)
		return a, b
	}
	a, b := fresh()
	v := creditVectors{About: "Vectors of package credit: digests of locks and of cancelled numbers, evidence of faults, proofs of debt. Bytes are hex; a lock, evidence and a proof are CBOR."}
	one, two, hold := newLock(eur, 10), newLock(eur, 2000), newLock(hrs, 1)
	one.Number, two.Number, hold.Number = 1, 2, 1<<40
	two.Blob = bytes.Repeat([]byte{0xab}, 300)
	hold.Condition.Hashes = append(hold.Condition.Hashes, ident.Hash{8})
	for i, l := range []*wire.Lock{&one, &two, &hold} {
		v.Locks = append(v.Locks, lockVector{[]string{"no blob", "blob", "hold"}[i], hex.EncodeToString(wire.Marshal(l)), l.Number, l.Currency, l.Amount, l.Digest().String()})
	}
	for _, names := range [][]string{nil, {"no blob"}, {"no blob", "blob"}, {"no blob", "blob", "hold"}} {
		var list []numbered
		for _, l := range []*wire.Lock{&one, &two, &hold}[:len(names)] {
			list = append(list, numbered{l.Number, l.Digest()})
		}
		v.Digests = append(v.Digests, digestVector{strings.Join(names, ", "), names, locksDigest(list).String()})
	}
	for _, n := range [][]uint64{nil, {1}, {1, 2, 1 << 40}} {
		v.Cancelled = append(v.Cancelled, cancelledVector{n, cancelledDigest(n).String()})
	}
	for _, s := range []*side{a, b} {
		got, err := s.Proof().Verify(real)
		if err != nil {
			t.Fatal(err)
		}
		n := got.Nets[0]
		v.Proofs = append(v.Proofs, proofVector{"shown by " + s.Me.Short(), hex.EncodeToString(s.Proof().Encode()), n.Debtor, n.Creditor, n.Value.Amount, got.AsOf})
	}
	drop := &side{clone(a.Channel), x}
	drop.Drop(2)
	_, err := b.Judge(y, tell(drop, b), Floor{})
	dropped := wantFault(t, err, DroppedUncancelled)
	next := &side{clone(b.Channel), y}
	add(t, next, eur, 1)
	u := tell(next, a)
	_, err = a.Judge(x, rewrite(y, u, func(p *wire.Promise) { p.Lines[0].Owed = 44 }), Floor{})
	shrank := wantFault(t, err, Shrank)
	accept(t, a, u)
	_, err = a.Judge(x, rewrite(y, u, func(p *wire.Promise) { p.Time++ }), Floor{})
	equivocated := wantFault(t, err, Equivocated)
	forged := *dropped
	forged.Cancels = []uint64{2}
	for _, f := range []struct {
		name  string
		f     *Fault
		holds bool
	}{{"equivocated", equivocated, true}, {"shrank", shrank, true}, {"dropped", dropped, true}, {"dropped, with a cancel made up", &forged, false}, {"an honest writer framed", framed(t, fresh), false}} {
		v.Evidence = append(v.Evidence, faultVector{f.name, hex.EncodeToString(f.f.Encode()), f.holds})
	}
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorFile, append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// framed is made of true statements around a lock that was cancelled and dropped as it should be (C-51).
func framed(t *testing.T, fresh func() (a, b *side)) *Fault {
	a, b := fresh()
	first, before := a.Mine.Signed, plain(b.Theirs.Locks)
	b.Cancel(2, nil)
	pass(t, b, a)
	a.Drop(2)
	pass(t, a, b)
	pass(t, b, a)
	acked := b.Mine.Signed
	pass(t, a, b)
	return &Fault{Kind: DroppedUncancelled, Writer: a.Me, Reader: b.Me, First: first, Second: a.Mine.Signed, Before: before, After: plain(b.Theirs.Locks), Acked: acked}
}
