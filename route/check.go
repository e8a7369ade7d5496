package route

import (
	"slices"

	"kula/money"
	"kula/wire"
)

// CheckRoute is CheckRoutes for a single route.
func (r *Request) CheckRoute(q Route) error { return r.CheckRoutes([]Route{q}) }

// CheckRoutes recomputes what somebody else quoted for r, from the figures that came
// with it and from what r knows better (rule R17): each route in itself, and all of them
// together where they share a channel. An error, of type *Refusal, means that the quote
// is not to be used.
func (r *Request) CheckRoutes(routes []Route) error {
	if len(routes) == 0 || len(routes) > r.maxParts() {
		return refuse(wire.BadRequest, "quote of %d routes, must be 1 to %d", len(routes), r.maxParts())
	}
	c := checker{Request: r, loads: map[Edge]*load{}}
	var arrives, fee money.Amount
	for _, q := range routes {
		if err := c.route(q); err != nil {
			return err
		}
		var ok, ok2 bool
		if arrives, ok = arrives.Add(q.Arrives()); ok {
			fee, ok2 = fee.Add(q.Fee)
		}
		if !ok || !ok2 || arrives > r.Amount {
			return refuse(wire.WrongAmount, "quote brings more than the %s asked for", r.value(r.Amount))
		}
	}
	if arrives != r.Amount {
		return refuse(wire.WrongAmount, "quote brings %s, asked for %s", r.value(arrives), r.value(r.Amount))
	}
	if r.MaxFee != NoMaxFee && fee > r.MaxFee {
		return r.feeAbove(fee, false)
	}
	return nil
}

// checker is a check under way.
type checker struct {
	*Request
	loads map[Edge]*load
}

// load is what the routes of a quote put on one channel together, and its figures.
type load struct {
	charge Charge
	can    money.Amount // the least that the quote or the request says
	total  money.Amount
}

func (c *checker) route(q Route) error {
	if err := c.checkHops(q.Hops); err != nil {
		return err
	}
	if err := q.check(); err != nil {
		return err
	}
	n := len(q.Hops)
	due := q.Arrives()
	if due <= 0 {
		return refuse(wire.WrongAmount, "quote with a route that brings %s", c.value(due))
	}
	for i := n - 1; i >= 0; i-- {
		locked, ok := add(due, q.Charges[i].Fee(), i == n-1)
		if !ok || locked != q.Amounts[i] {
			return refuse(wire.BadRequest, "quote locks %d on channel %d of %d, its own figures give %d", q.Amounts[i], i+1, n, locked)
		}
		if err := c.channel(q, i); err != nil {
			return err
		}
		due = locked
	}
	if q.Fee != due-q.Arrives() {
		return refuse(wire.BadRequest, "quote says fee %s, its amounts say %s", c.value(q.Fee), c.value(due-q.Arrives()))
	}
	return nil
}

// channel adds channel i of a route to what it carries already.
func (c *checker) channel(q Route, i int) error {
	e := Edge{From: c.From, To: q.Hops[i]}
	if i > 0 {
		e.From = q.Hops[i-1]
	}
	l := c.loads[e]
	if l == nil {
		known, err := c.known(q, i, e)
		if err != nil {
			return err
		}
		l = &known
		c.loads[e] = l
	}
	if q.Charges[i] != l.charge {
		return refuse(wire.BadRequest, "quote has the channel from %s to %s twice, with other figures", e.From.Short(), e.To.Short())
	}
	total, ok := l.total.Add(q.Amounts[i])
	if !ok || total > l.can {
		return refuse(wire.BadRequest, "quote puts %d and %d on the channel from %s to %s, which carries %d",
			l.total, q.Amounts[i], e.From.Short(), e.To.Short(), l.can)
	}
	l.total = total
	return nil
}

// known compares the figures of channel i of a quote with what the request knows itself.
func (c *checker) known(q Route, i int, e Edge) (load, error) {
	avoided := func(a Avoid) bool { return a.Edge == e && (a.Currency == "" || a.Currency == c.Currency) }
	if slices.ContainsFunc(c.Avoid, avoided) {
		return load{}, refuse(wire.BadRequest, "quote goes from %s to %s, which was to be avoided", e.From.Short(), e.To.Short())
	}
	last := i == len(q.Hops)-1
	can, fee := q.Charges[i].CanPay, q.Charges[i].Fee()
	if i == 0 && !c.Announced {
		k := slices.IndexFunc(c.Own, func(o OwnEdge) bool { return o.To == e.To })
		if k < 0 {
			return load{}, refuse(wire.BadRequest, "quote begins with %s, which is no channel of the payer's", e.To.Short())
		}
		can, fee = min(can, c.Own[k].CanPay), c.Own[k].Fee()
	} else if last && len(c.Last) > 0 {
		k := slices.IndexFunc(c.Last, func(l LastEdge) bool { return l.From == e.From })
		if k < 0 {
			return load{}, refuse(wire.BadRequest, "quote ends through %s, which is no channel of the payee's", e.From.Short())
		}
		can = min(can, c.Last[k].CanReceive)
	}
	for _, o := range c.Overrides {
		if o.Edge != e {
			continue
		}
		if !o.KeepFee {
			fee = o.Fee()
		}
		if o.AtMost > 0 {
			can = min(can, o.AtMost)
		}
	}
	if last {
		fee = money.Fee{}
	}
	if q.Charges[i].Fee() != fee {
		return load{}, refuse(wire.BadRequest, "quote has fee %d + %d ppm on channel %d, which takes %d + %d ppm",
			q.Charges[i].FeeBase, q.Charges[i].FeePpm, i+1, fee.Base, fee.Ppm)
	}
	return load{charge: q.Charges[i], can: can}, nil
}
