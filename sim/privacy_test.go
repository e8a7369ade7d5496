package sim

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"kula/ident"
	"kula/internal/leaktest"
	"kula/money"
	"kula/node"
	"kula/pay"
	"kula/wire"
)

// What docs/privacy.md says of a mediator: everything that reaches one, in a message or on its disk, is searched for what it must not have.

// eavesdropper keeps all that arrives at each member.
type eavesdropper struct {
	w   *World
	got map[*Member][]wire.Message
}

func (w *World) eavesdrop() *eavesdropper {
	e := &eavesdropper{w, map[*Member][]wire.Message{}}
	w.net.tap = func(_, to *Member, msg wire.Message) { e.got[to] = append(e.got[to], msg) }
	return e
}

// all that a member has: what arrived, what it can open of that with its own key, what is on its disk, what it tells its user.
func (e *eavesdropper) all(m *Member) leaktest.Haystack {
	h := leaktest.Haystack{}
	for i, msg := range e.got[m] {
		h[fmt.Sprintf("message %d, %T", i, msg)] = wire.Encode(msg)
		u, ok := msg.(*wire.Update)
		if !ok {
			continue
		}
		for _, g := range u.Groups {
			for k := range g.Locks {
				if p, err := pay.OpenParcel(m.keys, &g.Locks[k]); err == nil && p.Hop != nil {
					h[fmt.Sprintf("message %d, peeled lock %d", i, k)] = append(wire.Marshal(p.Hop), p.Inner(m.keys)...)
				}
			}
		}
	}
	for kind, keys := range m.disk.records {
		for key, value := range keys {
			h["record "+kind+" "+key] = slices.Concat([]byte(key), value)
		}
	}
	for _, r := range m.disk.rows {
		h[fmt.Sprintf("row %d", r.Seq)] = r.Append(nil)
	}
	for name, view := range map[string]any{"friends": m.node.Friends(), "payments": m.node.Payments(), "invoices": m.node.Invoices(), "balances": m.node.Balances()} {
		text, err := json.Marshal(view)
		if err != nil {
			panic(err)
		}
		h["view of "+name] = text
	}
	return h
}

// far is names long enough to be found by nothing but themselves.
var far = []string{"Anastasia Almond", "Benedikta Birch", "Cleopatra Cedar", "Desdemona Dogwood", "Esmeralda Elder", "Florentine Fir", "Guinevere Gorse", "Hildegard Hazel", "Iphigenia Ivy"}

// row is the chain of far, with real keys. plain is for the first of them.
func row(plain bool) *World {
	w := newWorld(23)
	w.verify, w.real = true, true
	w.net.lossy = Faults{latency: 5}
	for k, name := range far {
		m := w.AddMember(name)
		m.config.Plain = plain && k == 0
		m.Start()
	}
	w.Run(50)
	for i := 1; i < len(far); i++ {
		w.Befriend(w.Members[i-1], w.Members[i], FST, money.Amount(7_654_000+i), money.Amount(8_765_000+i))
	}
	w.Run(2500)
	return w
}

// secrets of one payment, which its ends have and nobody between.
func secrets(text, memo, id string, i *node.InvoiceView) []leaktest.Secret {
	raw, err := hex.DecodeString(id)
	if err != nil {
		panic(err)
	}
	list := []leaktest.Secret{leaktest.Bytes("payment id", raw)}
	if len(text) >= 8 {
		list = append(list, leaktest.Text("text", text))
	}
	if i == nil {
		return list
	}
	signed, inv, err := pay.ParseInvoiceLink(blind{}, i.URI)
	if err != nil {
		panic(err)
	}
	if len(memo) >= 8 {
		list = append(list, leaktest.Text("memo", memo))
	}
	return append(list, leaktest.Bytes("salt of the invoice", inv.Salt[:]), leaktest.Bytes("signature of the invoice", signed.Sig[:]), leaktest.Bytes("invoice", signed.Body))
}

// blind takes every signature for good.
type blind struct{}

func (blind) Verify(ident.ID, ident.Tag, []byte, ident.Signature) bool { return true }

// gathering makes payments of all forms from the first to the last of a row, and collects their secrets.
type gathering struct {
	*eavesdropper
	t           *testing.T
	payer, last *Member
	secrets     []leaktest.Secret
	reasons     int
}

// invoice has one paid, and waits until it has come to rest.
func (g *gathering) invoice(amount money.Amount, hold bool, text, memo string) (wire.PaymentID, *node.InvoiceView) {
	i, ok := g.w.Must(g.last, &node.CreateInvoice{Value: fst(amount), Expires: g.last.clock()/1000 + 3000, Hold: hold, Memo: memo}).(*node.InvoiceView)
	if !ok {
		g.t.Fatal(g.w.Err())
	}
	id, _ := g.w.Pay(g.payer, &node.Pay{Invoice: i.URI, Text: text})
	g.w.Run(4000)
	g.secrets = append(g.secrets, secrets(text, memo, i.ID, i)...)
	return id, i
}

func (g *gathering) push(amount money.Amount, text string, route ...string) wire.PaymentID {
	id, _ := g.w.Pay(g.payer, &node.Pay{To: g.last.key, Value: fst(amount), Text: text, Route: route})
	g.w.Run(4000)
	g.secrets = append(g.secrets, secrets(text, "", id.String(), nil)...)
	return id
}

// readReasons adds what the payer could read of why its payments came back.
func (g *gathering) readReasons() {
	for k, msg := range g.got[g.payer] {
		u, ok := msg.(*wire.Update)
		if !ok {
			continue
		}
		var hops []ident.ID
		for _, m := range g.w.Members[1:] {
			hops = append(hops, m.id)
		}
		for _, group := range u.Groups {
			for _, c := range group.Cancels {
				part := g.w.watch.ledger(g.payer.id, hops[0]).locks[c.Number].lock.Part
				r, err := pay.OpenFailure(g.payer.keys, hops, part, c.Reason)
				if err != nil {
					g.t.Fatalf("message %d: %v", k, err)
				}
				g.reasons++
				g.secrets = append(g.secrets, leaktest.Bytes(fmt.Sprintf("reason %s", r.Code), wire.Marshal(r)))
			}
		}
	}
}

// gather is payments by invoice, push and hold; fulfilled, given back by the payee, and failed at the last mediator.
func gather(t *testing.T, w *World) *gathering {
	g := &gathering{eavesdropper: w.eavesdrop(), t: t, payer: w.Members[0], last: w.Members[len(w.Members)-1]}
	id, _ := g.invoice(1111, false, "for the leaking roof", "bricks and mortar")
	paid(w, g.payer.Outcome(id))
	paid(w, g.payer.Outcome(g.push(1112, "a birthday present")))
	held, _ := g.invoice(1113, true, "until it is delivered", "one bicycle, used")
	w.assert(g.payer.Outcome(held).State == node.Held, "the hold: %+v", g.payer.Outcome(held))
	return g
}

// rest is what follows once the hold was looked at.
func (g *gathering) rest() {
	w := g.w
	for _, p := range g.payer.node.Payments() {
		id, _ := wire.ParseID16(p.ID)
		w.Must(g.payer, &node.Release{ID: wire.PaymentID(id)})
		w.Run(4000)
		paid(w, g.payer.Outcome(id))
	}
	back, i := g.invoice(1114, true, "on second thoughts", "a ticket")
	w.Must(g.last, &node.CancelInvoice{ID: invoiceID(i)})
	w.Run(4000)
	returned(w, g.payer.Outcome(back), wire.CancelledByPayee)
	unpaid := w.Invoice(g.last, fst(1115), false)
	w.Must(g.last, &node.CancelInvoice{ID: invoiceID(unpaid)})
	id, _ := w.Pay(g.payer, &node.Pay{Invoice: unpaid.URI})
	w.Run(4000)
	returned(w, g.payer.Outcome(id), wire.InvoiceCancelled)
	w.Must(g.last, &node.SetLimit{Friend: w.Members[len(w.Members)-2].key, Limit: fst(4000)})
	w.Run(100)
	var route []string
	for _, m := range w.Members[1:] {
		route = append(route, m.key)
	}
	returned(w, g.payer.Outcome(g.push(123_456, "more than there is", route...)), wire.LimitReached)
	g.readReasons()
}

// leaks is what a mediator has that it must not.
func (g *gathering) leaks(at int) []string {
	list := slices.Clone(g.secrets)
	for i, m := range g.w.Members {
		if i < at-1 || i > at+1 {
			list = append(list, leaktest.Key(m.name, m.id), leaktest.Text("the name of "+m.name, m.name))
		}
	}
	return g.all(g.w.Members[at]).Leaks(list...)
}

// opened are the preimages that were revealed to a member, each with the number of the message that did.
func (g *gathering) opened(m *Member) (list []ident.Preimage, first []int) {
	for i, msg := range g.got[m] {
		if r, ok := msg.(*wire.Reveal); ok {
			for _, p := range r.Preimages {
				list, first = append(list, p), append(first, i)
			}
		}
	}
	return list, first
}

// TestMediatorLearnsNothing: on a chain of 8 channels, no mediator gets keys or names of others than its neighbours, nor
// texts, memos, ids or invoices, nor why a payment came back from behind it, nor a preimage before it is revealed; not in what arrives, not in what its key
// opens of that, not on its disk. Payer and payee have all of it: it is there to be found.
func TestMediatorLearnsNothing(t *testing.T) {
	w := row(false)
	g := gather(t, w)
	held := map[*Member]leaktest.Haystack{}
	for _, m := range w.Members {
		held[m] = g.all(m)
	}
	g.rest()
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	if g.reasons != 3 {
		t.Errorf("%d payments came back, expected 3", g.reasons)
	}
	ends := g.all(g.payer)
	for name, b := range g.all(g.last) {
		ends["payee's "+name] = b
	}
	for _, n := range g.secrets {
		if !strings.HasPrefix(n.What, "reason") && len(ends.Where(n)) == 0 {
			t.Errorf("%s (%q) is not even at the ends: the search proves nothing", n.What, n.Spelt[0])
		}
	}
	for at := 1; at < len(w.Members)-1; at++ {
		m := w.Members[at]
		for _, leak := range g.leaks(at) {
			t.Errorf("%s has %s", m.name, leak)
		}
		preimages, first := g.opened(m)
		if len(preimages) != 4 {
			t.Errorf("%s was shown %d preimages, expected 4", m.name, len(preimages))
		}
		for i, p := range preimages {
			for k, msg := range g.got[m][:first[i]] {
				if bytes.Contains(wire.Encode(msg), p[:]) {
					t.Errorf("%s had preimage %d in message %d, before it was revealed in %d", m.name, i, k, first[i])
				}
			}
			secret := leaktest.Bytes("preimage", p[:])
			if where := held[m].Where(secret); i >= 2 && len(where) > 0 {
				t.Errorf("%s has a preimage of the hold while it is held: %s", m.name, where)
			}
			if i < 2 && len(held[m].Where(secret)) == 0 {
				t.Errorf("%s does not have preimage %d after it was revealed: the search proves nothing", m.name, i)
			}
		}
	}
	finish(t, w)
}

// TestPlainTells: the same search finds what version 0 of a lock says in clear.
func TestPlainTells(t *testing.T) {
	w := row(true)
	g := gather(t, w)
	for at := 1; at < len(w.Members)-2; at++ {
		if !strings.Contains(strings.Join(g.leaks(at), "\n"), "the key of "+g.last.name) {
			t.Errorf("%s does not have the key of the payee, which is in its locks in clear", w.Members[at].name)
		}
	}
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
}

// sizes is how long what a payment sends is, by what it is; each with an example.
type sizes map[string]map[int]string

func (s sizes) add(what string, size int, where string) {
	if s[what] == nil {
		s[what] = map[int]string{}
	}
	s[what][size] = where
}

// measure adds what arrived at a member. A lock, a reveal and a cancel count whole: numbers and amounts are below 24 here, so that
// each takes one byte.
func (s sizes) measure(to string, list []wire.Message) {
	for i, msg := range list {
		where := fmt.Sprintf("%s, message %d", to, i)
		switch m := msg.(type) {
		case *wire.Update:
			for _, g := range m.Groups {
				for k := range g.Locks {
					s.add(fmt.Sprintf("lock under %d hashes", len(g.Locks[k].Condition.Hashes)), len(wire.Marshal(&g.Locks[k])), where)
				}
				for k := range g.Cancels {
					s.add("cancel", len(wire.Marshal(&g.Cancels[k])), where)
				}
			}
		case *wire.Acknowledge:
			s.add("acknowledgement", len(wire.Encode(m)), where)
		case *wire.Onward:
			s.add("order "+string(m.Note[:1]), len(wire.Encode(m)), where)
		case *wire.Reveal:
			s.add(fmt.Sprintf("reveal of %d, note %v", len(m.Preimages), len(m.Note) > 0), len(wire.Encode(m)), where)
		}
	}
}

// TestOneSizeForAll: locks, acknowledgements, orders, reveals and cancels have the same sizes at each hop of routes with 1 and
// with 8 hops, with and without texts, memos and an invoice, and whether the payee answers one payment or several at once. What a form of payment itself shows is
// the number of hashes, and that the reveal of a push brings a note.
func TestOneSizeForAll(t *testing.T) {
	long := strings.Repeat("ample words ", 40)[:wire.MaxText]
	all := sizes{}
	for _, hops := range []int{1, 8} {
		w := row(false)
		g := &gathering{eavesdropper: w.eavesdrop(), t: t, payer: w.Members[0], last: w.Members[hops]}
		for _, text := range []string{"", "x", long} {
			for _, hold := range []bool{false, true} {
				id, _ := g.invoice(7, hold, text, text)
				if hold {
					w.Must(g.payer, &node.Release{ID: id})
					w.Run(4000)
				}
				paid(w, g.payer.Outcome(id))
			}
			paid(w, g.payer.Outcome(g.push(7, text)))
		}
		id, i := g.invoice(7, true, long, long)
		w.Must(g.last, &node.CancelInvoice{ID: invoiceID(i)})
		w.Run(4000)
		returned(w, g.payer.Outcome(id), wire.CancelledByPayee)
		id, _ = g.invoice(7, true, "", "")
		w.Must(g.payer, &node.CancelPayment{ID: id})
		w.Run(4000)
		returned(w, g.payer.Outcome(id), wire.CancelledByPayer)
		var together []wire.PaymentID
		for range 5 {
			g.payer.Do(&node.Pay{To: g.last.key, Value: fst(7), GiveUp: 5000, MaxFee: new(money.Amount)}, func(r node.Reply) {
				id, _ := wire.ParseID16(r.Value.(*node.PaymentView).ID)
				together = append(together, id)
			})
		}
		w.Run(4000)
		w.assert(len(together) == 5, "%d payments at once", len(together))
		for _, id := range together {
			paid(w, g.payer.Outcome(id))
		}
		if w.Err() != nil {
			t.Fatal(w.Err())
		}
		one := sizes{}
		for k, m := range w.Members[:hops+1] {
			where := fmt.Sprintf("%d hops, %s (%d)", hops, m.name, k)
			one.measure(where, g.got[m])
			all.measure(where, g.got[m])
		}
		if len(one) != 9 {
			t.Errorf("%d hops: %d kinds of message, expected 9: %v", hops, len(one), slices.Sorted(maps.Keys(one)))
		}
		finish(t, w)
	}
	for what, seen := range all {
		if len(seen) != 1 {
			t.Errorf("%s has several sizes: %v", what, seen)
		}
	}
}
