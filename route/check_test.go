package route

import (
	"slices"
	"testing"

	"kula/money"
	"kula/wire"
)

// TestCheckRoutes: 1 pays 5 over 2 and over 3, both by way of 4, which takes 1 for each part.
func TestCheckRoutes(t *testing.T) { // R17
	part := func(over int, arrives money.Amount) Route {
		return Route{
			Hops: ids(over, 4, 5), Amounts: []money.Amount{arrives + 1, arrives + 1, arrives}, Fee: 1,
			Charges: []Charge{{CanPay: 60}, {CanPay: 80, FeeBase: 1}, {CanPay: 100}},
		}
	}
	base := ask(1, 5, 100)
	base.MaxParts, base.MaxFee, base.Announced = 3, 2, false
	base.Own = []OwnEdge{{To: nodeID(2), CanPay: 60}, {To: nodeID(3), CanPay: 60}}
	base.Last = []LastEdge{{From: nodeID(4), CanReceive: 100}}
	for _, c := range []struct {
		name string
		ok   bool
		lie  func(r *Request, q []Route) []Route
	}{
		{"honest", true, func(_ *Request, q []Route) []Route { return q }},
		{"no routes", false, func(*Request, []Route) []Route { return nil }},
		{"too many routes", false, func(r *Request, q []Route) []Route { r.MaxParts = 1; return q }},
		{"one part missing", false, func(_ *Request, q []Route) []Route { return q[:1] }},
		{"one part twice", false, func(_ *Request, q []Route) []Route { return append(q, q[1]) }},
		{"a part of nothing", false, func(_ *Request, q []Route) []Route { q[0], q[1] = part(2, 100), part(3, 0); return q }},
		{"a part of less than nothing", false, func(_ *Request, q []Route) []Route {
			return []Route{part(2, 59), part(3, 59), part(3, -18)}
		}},
		{"more than the payer can pay to 2 by two parts", false, func(r *Request, q []Route) []Route {
			r.MaxFee = 3
			return []Route{part(2, 50), part(2, 10), part(3, 40)}
		}},
		{"more than was learned of an edge", false, func(r *Request, q []Route) []Route {
			r.Overrides = []Override{{Edge: Edge{From: nodeID(4), To: nodeID(5)}, KeepFee: true, AtMost: 99}}
			return q
		}},
		{"exactly what was learned of an edge", true, func(r *Request, q []Route) []Route {
			r.Overrides = []Override{{Edge: Edge{From: nodeID(4), To: nodeID(5)}, KeepFee: true, AtMost: 100}}
			return q
		}},
		{"more than the payee can receive", false, func(r *Request, q []Route) []Route { r.Last[0].CanReceive = 99; return q }},
		{"more than its own figure for a shared channel", false, func(_ *Request, q []Route) []Route {
			q[0].Charges[2].CanPay, q[1].Charges[2].CanPay = 99, 99
			return q
		}},
		{"two figures for one channel", false, func(_ *Request, q []Route) []Route { q[0].Charges[2].CanPay = 101; return q }},
		{"fees together above the limit", false, func(r *Request, q []Route) []Route { r.MaxFee = 1; return q }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := base
			r.Last = slices.Clone(base.Last)
			err := r.CheckRoutes(c.lie(&r, []Route{part(2, 50), part(3, 50)}))
			if (err == nil) != c.ok {
				t.Fatalf("%v", err)
			}
		})
	}
}

func TestOutcomes(t *testing.T) { // R13
	routes := []Route{{Hops: ids(1)}}
	for _, c := range []struct {
		a    Answer
		want string
	}{
		{Answer{Routes: routes}, "routes"},
		{Answer{Code: wire.NoRoute, Proved: true}, "impossible"},
		{Answer{Code: wire.NoRoute}, "not_found"},
		{Answer{Code: wire.FeeAboveMax, Fee: 3}, "fee_above_max"},
		{Answer{Code: wire.BadRequest}, "refused"},
	} {
		if got := c.a.Outcome().String(); got != c.want {
			t.Errorf("%+v is %s, want %s", c.a, got, c.want)
		}
	}
}
