package node

import (
	"testing"

	"kula/ident"
	"kula/money"
	"kula/route"
	"kula/wire"
)

// world connects nodes directly: every message arrives, in order, at once.
type world struct {
	t     *testing.T
	now   int64
	n     map[ident.ID]*Node
	queue []Out2
	index *route.Graph
	reply map[uint64]Reply
	next  uint64
	disks map[*Node]*shelf // of whom it is to be kept
}
type Out2 struct {
	from ident.ID
	out  Out
}

func newWorld(t *testing.T, names ...string) (*world, []*Node) {
	w := &world{t: t, now: 1_700_000_000_000, n: map[ident.ID]*Node{}, index: route.NewGraph(0), reply: map[uint64]Reply{}}
	var list []*Node
	for i, name := range names {
		k := ident.NewKey([32]byte{byte(i + 1)})
		n := New(k, Config{Name: name, Addresses: []string{"/ip4/127.0.0.1/tcp/1"}})
		w.n[n.ID()] = n
		list = append(list, n)
	}
	return w, list
}

func (w *world) step(n *Node, events ...Event) {
	w.now += 7
	var e [32]byte
	e[0], e[1] = byte(w.now), byte(w.now>>8)
	fx := n.Step(w.now, e, events...)
	if d := w.disks[n]; d != nil {
		d.put(fx.Save)
	}
	for _, o := range append(append([]Out{}, fx.Pass...), fx.Send...) {
		w.queue = append(w.queue, Out2{n.ID(), o})
	}
	for _, p := range fx.Publish {
		a, err := route.Open(n.suite, p)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.index.Apply(a, w.now/1000); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, h := range fx.Hangup {
		_ = h
	}
	for _, r := range fx.Reply {
		w.reply[r.ID] = r
	}
	for _, q := range fx.Ask {
		w.step(n, Answered{Query: q.ID, Answer: w.index.Answer(&q.Query)})
	}
}

func (w *world) run() {
	for len(w.queue) > 0 {
		o := w.queue[0]
		w.queue = w.queue[1:]
		m, err := wire.Decode(wire.Encode(o.out.Message))
		if err != nil {
			w.t.Fatalf("%T: %v", o.out.Message, err)
		}
		if r, ok := m.(*wire.Refused); ok {
			w.t.Logf("%s refused: %d %s", w.n[o.from].Name(), r.Code, r.Text)
		}
		w.step(w.n[o.out.Peer], Received{o.from, o.out.Session.Session, m})
	}
}

func (w *world) do(n *Node, c Command) Reply {
	w.next++
	id := w.next
	w.step(n, Do{id, c})
	w.run()
	return w.reply[id]
}

func (w *world) must(n *Node, c Command) any {
	w.t.Helper()
	r := w.do(n, c)
	if r.Err != nil {
		w.t.Fatalf("%s %T: %v", n.Name(), c, r.Err)
	}
	return r.Value
}

func (w *world) connect(a, b *Node) {
	w.next++
	w.step(a, Connected{b.ID(), w.next})
	w.step(b, Connected{a.ID(), w.next})
	w.run()
}

// befriend: b lets a owe giveB, a lets b owe giveA.
func (w *world) befriend(a, b *Node, cur money.Currency, giveA, giveB money.Amount) {
	w.t.Helper()
	v := w.must(a, &Invite{Lines: []wire.Proposal{{Currency: cur, Give: giveA, Ask: giveB}}, Expires: w.now/1000 + 3600}).(*InvitationView)
	w.must(b, &Accept{Link: v.URI})
	w.connect(a, b)
}

func balance(n *Node, cur money.Currency) money.Amount {
	for _, b := range n.Balances() {
		if b.Currency == cur {
			return b.Balance.Amount
		}
	}
	return 0
}

const fst money.Currency = "FST/0"

func TestScenario3(t *testing.T) { // scenario 3
	w, n := newWorld(t, "zero", "one", "two")
	w.befriend(n[0], n[1], fst, 200, 100)
	w.befriend(n[1], n[2], fst, 300, 400)
	w.must(n[1], &SetFee{Friend: "zero", Currency: fst, Fee: money.Fee{Base: 5}})
	w.now += 2000
	for _, x := range n {
		w.step(x, Tick{})
	}
	w.run()
	fee := money.Amount(5)
	p := w.must(n[0], &Pay{To: n[2].ID().String(), Value: money.Value{Amount: 15, Currency: fst}, MaxFee: &fee, GiveUp: 30000}).(*PaymentView)
	t.Logf("%+v %+v", p, p.Reason)
	if balance(n[0], fst) != -20 || balance(n[1], fst) != 5 || balance(n[2], fst) != 15 {
		t.Fatal(balance(n[0], fst), balance(n[1], fst), balance(n[2], fst))
	}
	inv := w.must(n[2], &CreateInvoice{Value: money.Value{Amount: 15, Currency: fst}, Expires: w.now/1000 + 100}).(*InvoiceView)
	w.must(n[0], &Pay{Invoice: inv.URI, MaxFee: &fee, GiveUp: 30000})
	if balance(n[0], fst) != -40 || balance(n[1], fst) != 10 || balance(n[2], fst) != 30 {
		t.Fatal(balance(n[0], fst), balance(n[1], fst), balance(n[2], fst))
	}
	low := money.Amount(4)
	r := w.do(n[0], &Pay{To: n[2].ID().String(), Value: money.Value{Amount: 15, Currency: fst}, MaxFee: &low, GiveUp: 30000})
	t.Logf("%+v", r.Value.(*PaymentView).Reason)
	for _, x := range n {
		if len(x.payments)+len(x.collecting)+len(x.parts) != 0 {
			t.Fatal("left over", x.Name())
		}
		for _, f := range x.order {
			if len(f.in)+len(f.out) != 0 {
				t.Fatalf("locks left at %s %d %d", x.Name(), len(f.in), len(f.out))
			}
		}
	}
	hold := w.must(n[2], &CreateInvoice{Value: money.Value{Amount: 15, Currency: fst}, Expires: w.now/1000 + 100, Hold: true}).(*InvoiceView)
	pv := w.must(n[0], &Pay{Invoice: hold.URI, MaxFee: &fee, GiveUp: 30000}).(*PaymentView)
	got, _ := n[0].Payment(func() wire.PaymentID { id, _ := wire.ParseID16(pv.ID); return id }())
	if got == nil || got.State != Held {
		t.Fatalf("%+v", got)
	}
	id, _ := wire.ParseID16(pv.ID)
	w.must(n[0], &Release{ID: id})
	if balance(n[0], fst) != -60 {
		t.Fatal(balance(n[0], fst))
	}
}
