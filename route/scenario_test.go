package route

import (
	"slices"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// The worlds of the payment scenarios, by their numbers there.

func scenario3(t *testing.T) *world {
	w := newWorld(t)
	w.link(0, 1, 100, 200) // 1 gives 0 100, 0 gives 1 200
	w.link(1, 2, 400, 300)
	w.charge(1, 0, 5, 0)
	w.announce(fst)
	return w
}

func scenario5(t *testing.T) *world {
	w := newWorld(t)
	w.link(1, 2, 100, 100) // B–C–D–E are 1–2–3–4
	w.link(2, 3, 100, 100)
	w.link(3, 4, 100, 100)
	w.charge(2, 1, 1, 0)
	w.charge(3, 2, 1, 0)
	w.announce(fst)
	return w
}

func scenario6(t *testing.T) *world {
	w := newWorld(t)
	for _, e := range [][2]int{{0, 1}, {1, 3}, {1, 2}, {2, 5}, {2, 4}} {
		w.link(e[0], e[1], 100, 100)
	}
	w.charge(1, 0, 1, 0)
	w.charge(1, 2, 2, 0)
	w.charge(2, 1, 1, 0)
	w.charge(2, 5, 0, 500_000)
	w.charge(4, 2, 1, 0)
	w.announce(fst)
	return w
}

func scenario13(t *testing.T) *world {
	w := newWorld(t)
	w.link(0, 1, 20, 0) // 1 owes 0 10 and all limits are 10
	w.link(1, 2, 20, 0)
	w.link(2, 0, 20, 0)
	w.announce(fst)
	return w
}

func TestScenarios(t *testing.T) {
	for _, c := range []struct {
		name     string
		make     func(*testing.T) *world
		from, to int
		amount   money.Amount
		hops     []int
		locks    []money.Amount
		fee      money.Amount
		upTo     money.Amount
	}{
		{"3 chain of three", scenario3, 0, 2, 15, []int{1, 2}, []money.Amount{20, 15}, 5, 95},
		{"3 back", scenario3, 2, 0, 200, []int{1, 0}, []money.Amount{200, 200}, 0, 200},
		{"5 chain of four", scenario5, 1, 4, 10, []int{2, 3, 4}, []money.Amount{12, 11, 10}, 2, 98},
		{"6 net, 0 pays 4", scenario6, 0, 4, 10, []int{1, 2, 4}, []money.Amount{12, 11, 10}, 2, 98},
		{"6 net, 5 pays 3", scenario6, 5, 3, 10, []int{2, 1, 3}, []money.Amount{18, 12, 10}, 8, 64},
		{"13 cycle", scenario13, 0, 0, 10, []int{1, 2, 0}, []money.Amount{10, 10, 10}, 0, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := c.make(t)
			r := ask(c.from, c.to, c.amount)
			q, err := w.g.Cheapest(r)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(q.Hops, ids(c.hops...)) || !slices.Equal(q.Amounts, c.locks) || q.Fee != c.fee {
				t.Fatalf("route %+v, want %v locking %v, fee %d", q, c.hops, c.locks, c.fee)
			}
			if err := r.CheckRoute(q); err != nil {
				t.Fatal(err)
			}
			p, err := w.g.Price(r, q.Hops)
			if err != nil || !slices.Equal(p.Amounts, q.Amounts) || p.Fee != q.Fee || len(p.Unknown)+len(p.Short) != 0 {
				t.Fatalf("price %+v, %v", p, err)
			}
			most, err := w.g.UpTo(r)
			if err != nil || most.Amounts[len(most.Amounts)-1] != c.upTo {
				t.Fatalf("up to %+v, %v, want %d", most, err, c.upTo)
			}
		})
	}
}

// TestScenario3FeeLimit: with a fee limit of 4 there is no route, and the refusal says 5.
func TestScenario3FeeLimit(t *testing.T) { // R13
	r := ask(0, 2, 15)
	r.MaxFee = 4
	_, err := scenario3(t).g.Cheapest(r)
	if no := wantCode(t, err, wire.FeeAboveMax); no.Fee != 5 {
		t.Fatalf("cheapest fee %d, want 5: %v", no.Fee, no)
	}
	r.MaxFee = 5
	if _, err = scenario3(t).g.Cheapest(r); err != nil {
		t.Fatal(err)
	}
	r.Amount = 96
	_, err = scenario3(t).g.Cheapest(r)
	wantCode(t, err, wire.NoRoute)
}

// TestScenario4: a route by hand to a node that is no friend of 2 has a price: whether it is there, 2 will say.
func TestScenario4(t *testing.T) { // R15
	p, err := scenario3(t).g.Price(ask(0, 3, 15), ids(1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	// 2 has said what it charges 1 (nothing), so no fee is unknown: the payee's is never due.
	if !slices.Equal(p.Amounts, []money.Amount{20, 15, 15}) || p.Fee != 5 || len(p.Unknown)+len(p.Short) != 0 {
		t.Fatalf("%+v", p)
	}
}

func TestPrice(t *testing.T) { // R15
	w := scenario5(t)
	r := ask(1, 4, 100)
	p, err := w.g.Price(r, ids(2, 3, 4))
	if err != nil || !slices.Equal(p.Amounts, []money.Amount{102, 101, 100}) || !slices.Equal(p.Short, []uint32{0, 1}) {
		t.Fatalf("%+v, %v: want the first two channels too small", p, err)
	}
	r.Amount = 10
	p, err = w.g.Price(r, ids(2, 7, 4)) // nobody knows 7
	if err != nil || !slices.Equal(p.Unknown, []uint32{1}) || !slices.Equal(p.Amounts, []money.Amount{11, 10, 10}) {
		t.Fatalf("%+v, %v: want the fee of 7 unknown", p, err)
	}
	r.Overrides = []Override{{Edge: Edge{From: nodeID(2), To: nodeID(7)}, FeeBase: 3}} // R12
	p, err = w.g.Price(r, ids(2, 7, 4))
	if err != nil || len(p.Unknown) != 0 || !slices.Equal(p.Amounts, []money.Amount{14, 13, 10}) {
		t.Fatalf("%+v, %v: want the fee of 7 as learned", p, err)
	}
	r.Announced, r.Overrides = false, nil // R11
	p, err = NewGraph(1).Price(r, ids(2, 3, 4))
	if err != nil || !slices.Equal(p.Unknown, []uint32{0, 1}) || p.Fee != 0 {
		t.Fatalf("%+v, %v: want no fee known without an index", p, err)
	}
	r.Own = []OwnEdge{{To: nodeID(2), CanPay: 10, FeeBase: 4}}
	p, err = w.g.Price(r, ids(2, 3, 4))
	if err != nil || !slices.Equal(p.Amounts, []money.Amount{15, 11, 10}) || !slices.Equal(p.Short, []uint32{0}) {
		t.Fatalf("%+v, %v: want the payer's own figures", p, err)
	}
	cycle := ask(1, 1, 10)
	for name, c := range map[string]struct {
		r    Request
		hops []ident.ID
	}{
		"no hops":         {r, nil},
		"ends elsewhere":  {r, ids(2, 3)},
		"a node twice":    {r, ids(2, 3, 2, 4)},
		"through payer":   {r, ids(2, 1, 4)},
		"cycle of two":    {cycle, ids(2, 1)},
		"payer inside":    {cycle, ids(2, 3, 1, 5, 1)},
		"too many":        {r, append(ids(make([]int, 20)...), nodeID(4))},
		"beyond an int64": {Request{From: r.From, To: r.To, Currency: fst, Amount: MaxCanReceive, Overrides: doubling(20)}, doublers(20)},
	} {
		if _, err := w.g.Price(c.r, c.hops); err == nil {
			t.Errorf("%s: priced", name)
		}
	}
}

// doublers are 19 mediators and the payee 4; by the overrides doubling, each
// charges as much as it forwards.
func doublers(n int) []ident.ID {
	var list []ident.ID
	for i := range n - 1 {
		list = append(list, nodeID(100+i))
	}
	return append(list, nodeID(4))
}

func doubling(n int) []Override {
	hops, list := doublers(n), []Override{}
	for i := range hops[1:] {
		list = append(list, Override{Edge: Edge{From: hops[i], To: hops[i+1]}, FeePpm: 1_000_000})
	}
	return append(list, Override{Edge: Edge{From: nodeID(1), To: hops[0]}, FeePpm: 1_000_000})
}

// TestPayerOutOfIndex: neither the payer nor its friend who is the payee is announced.
func TestPayerOutOfIndex(t *testing.T) { // R11
	g := scenario5(t).g
	r := ask(50, 51, 10)
	r.Announced = false
	r.Own = []OwnEdge{{To: nodeID(51), CanPay: 30, FeeBase: 9}, {To: nodeID(1), CanPay: 25, FeeBase: 2}, {To: nodeID(52), CanPay: 0}}
	q, err := g.Cheapest(r)
	if err != nil || len(q.Hops) != 1 || q.Fee != 0 {
		t.Fatalf("to a friend: %+v, %v", q, err)
	}
	r.To = nodeID(4)
	q, err = g.Cheapest(r)
	if err != nil || !slices.Equal(q.Amounts, []money.Amount{14, 12, 11, 10}) {
		t.Fatalf("through a friend: %+v, %v", q, err)
	}
	if q, err = g.UpTo(r); err != nil || q.Amounts[3] != 21 {
		t.Fatalf("up to %+v, %v, want 25 - 2 - 1 - 1", q, err)
	}
	r.From = nodeID(1) // announced, but its own word counts
	r.Own = []OwnEdge{{To: nodeID(2), CanPay: 11}}
	_, err = g.Cheapest(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Own = nil
	_, err = g.Cheapest(r)
	wantCode(t, err, wire.NoRoute)
}

// TestHopBound: a chain of 21 channels for nothing beside one of 2 for a fee.
func TestHopBound(t *testing.T) { // R9, R10
	w := newWorld(t)
	for i := range 21 {
		w.link(i, i+1, 90, 90)
	}
	w.link(0, 30, 90, 90)
	w.link(30, 21, 90, 90)
	w.charge(30, 0, 7, 0)
	w.announce(fst)
	q, err := w.g.Cheapest(ask(0, 21, 10))
	if err != nil || len(q.Hops) != 2 || q.Fee != 7 {
		t.Fatalf("%+v, %v", q, err)
	}
	q, err = w.g.Cheapest(ask(1, 21, 10)) // 20 channels
	if err != nil || len(q.Hops) != 20 || q.Fee != 0 {
		t.Fatalf("%+v, %v", q, err)
	}
	r := ask(0, 21, 10)
	r.MaxHops = 1
	_, err = w.g.Cheapest(r)
	wantCode(t, err, wire.NoRoute)
	r.MaxHops = 0
	if q, err = w.g.UpTo(r); err != nil || q.Amounts[len(q.Amounts)-1] != 83 {
		t.Fatalf("%+v, %v", q, err)
	}
}

func TestLargeAmounts(t *testing.T) {
	w := newWorld(t)
	w.link(0, 1, 18_000_000_000_000_000, 0)
	w.link(1, 2, 18_000_000_000_000_000, 0)
	w.charge(1, 0, money.MaxLimit, 1_000_000)
	w.announce(fst)
	q, err := w.g.UpTo(ask(0, 2, 0))
	want := (18_000_000_000_000_000 - money.MaxLimit) / 2
	if err != nil || q.Amounts[1] != want || q.Amounts[0] != 2*want+money.MaxLimit {
		t.Fatalf("%+v, %v, want %d", q, err, want)
	}
	_, err = w.g.Cheapest(ask(0, 2, MaxCanReceive))
	wantCode(t, err, wire.NoRoute)
}

func TestRequestForm(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(r *Request)
		code wire.Code
	}{
		{"no amount", func(r *Request) { r.Amount = 0 }, wire.WrongAmount},
		{"negative amount", func(r *Request) { r.Amount = -1 }, wire.WrongAmount},
		{"amount beyond any limit", func(r *Request) { r.Amount = MaxCanReceive + 1 }, wire.WrongAmount},
		{"no currency", func(r *Request) { r.Currency = "" }, wire.UnknownCurrency},
		{"negative fee limit", func(r *Request) { r.MaxFee = -2 }, wire.BadRequest},
		{"21 hops", func(r *Request) { r.MaxHops = 21 }, wire.BadRequest},
		{"own and announced", func(r *Request) { r.Own = make([]OwnEdge, 1) }, wire.BadRequest},
		{"own to itself", func(r *Request) { r.Announced, r.Own = false, []OwnEdge{{To: r.From}} }, wire.BadRequest},
		{"own twice", func(r *Request) { r.Announced, r.Own = false, make([]OwnEdge, 2) }, wire.BadRequest},
		{"own fee", func(r *Request) { r.Announced, r.Own = false, []OwnEdge{{FeePpm: 1_000_001}} }, wire.BadRequest},
		{"last from itself", func(r *Request) { r.Last = []LastEdge{{From: r.To}} }, wire.BadRequest},
		{"last twice", func(r *Request) { r.Last = make([]LastEdge, 2) }, wire.BadRequest},
		{"override", func(r *Request) { r.Overrides = []Override{{FeeBase: -1}} }, wire.BadRequest},
		{"avoid nothing known", func(r *Request) { r.Avoid = []Avoid{{Currency: "eur"}} }, wire.UnknownCurrency},
		{"1001 to avoid", func(r *Request) { r.Avoid = make([]Avoid, 1001) }, wire.BadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := scenario3(t).g
			r := ask(0, 2, 15)
			c.make(&r)
			_, err := g.Cheapest(r)
			wantCode(t, err, c.code)
			if c.code != wire.WrongAmount {
				_, err = g.UpTo(r)
				wantCode(t, err, c.code)
			}
		})
	}
}

// TestCheckRoute: a lying index is found out by its own figures or by the payer's.
func TestCheckRoute(t *testing.T) { // R17
	g := scenario5(t).g
	base := ask(1, 4, 10)
	base.Announced = false
	base.Own = []OwnEdge{{To: nodeID(2), CanPay: 12, FeeBase: 1}}
	base.Last = []LastEdge{{From: nodeID(3), CanReceive: 10}}
	for _, c := range []struct {
		name string
		lie  func(r *Request, q *Route)
	}{
		{"no hops", func(_ *Request, q *Route) { *q = Route{} }},
		{"other payee", func(_ *Request, q *Route) { q.Hops[2] = nodeID(5) }},
		{"node twice", func(_ *Request, q *Route) { q.Hops[1] = nodeID(2) }},
		{"too long", func(r *Request, _ *Route) { r.MaxHops = 2 }},
		{"lists of other lengths", func(_ *Request, q *Route) { q.Charges = q.Charges[1:] }},
		{"other amount", func(_ *Request, q *Route) { q.Amounts[2]-- }},
		{"more than the fees", func(_ *Request, q *Route) { q.Amounts[0]++; q.Fee++ }},
		{"fee misstated", func(_ *Request, q *Route) { q.Fee-- }},
		{"fee above the limit", func(r *Request, _ *Route) { r.MaxFee = 1 }},
		{"above its own capacity", func(_ *Request, q *Route) { q.Charges[1].CanPay = 10 }},
		{"through no friend", func(r *Request, _ *Route) { r.Own[0].To = nodeID(9) }},
		{"above the payer's own capacity", func(r *Request, _ *Route) { r.Own[0].CanPay = 11 }},
		{"with another fee of the friend", func(r *Request, _ *Route) { r.Own[0].FeeBase = 2 }},
		{"through no friend of the payee", func(r *Request, _ *Route) { r.Last[0].From = nodeID(9) }},
		{"above the payee's own capacity", func(r *Request, _ *Route) { r.Last[0].CanReceive = 9 }},
		{"with a fee known to be another", func(r *Request, _ *Route) { r.Overrides = []Override{{Edge: Edge{From: nodeID(2), To: nodeID(3)}}} }},
		{"over an edge to avoid", func(r *Request, _ *Route) { r.Avoid = []Avoid{{Edge: Edge{From: nodeID(2), To: nodeID(3)}}} }},
		{"fee at the payee", func(_ *Request, q *Route) { q.Charges[2].FeeBase = 1 }},
		{"fee out of range", func(_ *Request, q *Route) { q.Charges[1].FeeBase = -1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := base
			r.Own, r.Last = slices.Clone(base.Own), slices.Clone(base.Last)
			q, err := g.Cheapest(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.CheckRoute(q); err != nil {
				t.Fatalf("refused as it is: %v", err)
			}
			c.lie(&r, &q)
			if err := r.CheckRoute(q); err == nil {
				t.Fatal("believed")
			}
		})
	}
}
