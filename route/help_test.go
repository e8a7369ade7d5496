package route

import (
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

const (
	fst  = money.Currency("FST/0")
	eur  = money.Currency("EUR/2")
	noon = int64(1_800_000_000) // the time of tests, unix seconds
	hour = int64(3600)
)

// nodeID is a key of a test's graph; graphs do not look into keys.
func nodeID(n int) ident.ID {
	var id ident.ID
	id[0], id[1], id[31] = byte(n>>8), byte(n), 1
	return id
}

func ids(nodes ...int) []ident.ID {
	var list []ident.ID
	for _, n := range nodes {
		list = append(list, nodeID(n))
	}
	return list
}

// world builds graphs for tables: who can pay whom how much, and who charges whom.
type world struct {
	t      testing.TB
	g      *Graph
	number uint64
	can    map[[2]int]money.Amount // payer and payee of a channel
	fees   map[[2]int]money.Fee    // who charges, and whom
}

func newWorld(t testing.TB) *world {
	return &world{t: t, g: NewGraph(0), can: map[[2]int]money.Amount{}, fees: map[[2]int]money.Fee{}}
}

// link is a channel between a and b: a can pay b ab, b can pay a ba.
func (w *world) link(a, b int, ab, ba money.Amount) {
	w.can[[2]int{a, b}], w.can[[2]int{b, a}] = ab, ba
}

// charge: x charges friend y.
func (w *world) charge(x, y int, base money.Amount, ppm uint32) {
	w.fees[[2]int{x, y}] = money.Fee{Base: base, Ppm: ppm}
}

// announce makes every node announce every friend.
func (w *world) announce(c money.Currency) {
	w.t.Helper()
	for edge, can := range w.can {
		w.say(edge[1], edge[0], entryOf(c, can, w.fees[[2]int{edge[1], edge[0]}]))
	}
}

func (w *world) say(node, friend int, entries ...Entry) {
	w.t.Helper()
	w.number++
	a := Announcement{Node: nodeID(node), Friend: nodeID(friend), Number: w.number, Expires: noon + hour, Entries: entries}
	if _, err := w.g.Apply(a, noon); err != nil {
		w.t.Fatal(err)
	}
}

func entryOf(c money.Currency, can money.Amount, fee money.Fee) Entry {
	return Entry{Currency: c, CanReceive: can, FeeBase: fee.Base, FeePpm: fee.Ppm}
}

func ask(from, to int, amount money.Amount) Request {
	return Request{From: nodeID(from), To: nodeID(to), Currency: fst, Amount: amount, MaxFee: NoMaxFee, Announced: true}
}

func wantCode(t *testing.T, err error, code wire.Code) *Refusal {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	r := RefusalOf(err)
	if r.Code != code {
		t.Fatalf("%s: %v, want %s", r.Code, err, code)
	}
	return r
}
