package node

import (
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/route"
	"kula/wire"
)

// plan finds a route for a payment: straight to a friend where that can carry it, for nothing is
// cheaper; else the one the user named; else by asking an index. then gets a route or the reason
// why there is none.
func (n *Node) plan(p *payment, then func(*pay.Route, *wire.Reason)) {
	if len(p.fixed) == 1 || len(p.fixed) == 0 && p.payee != n.me {
		f := n.friends[p.payee]
		no := n.blockedHop(f, p.payee, p.value.Currency, p.value.Amount)
		if no == nil && !avoided(p, n.me, p.payee) {
			then(&pay.Route{Hops: []ident.ID{p.payee}, Amounts: []money.Amount{p.value.Amount}}, nil)
			return
		}
		if len(p.fixed) == 1 {
			then(nil, orElse(no, p.reason))
			return
		}
	}
	q := route.Query{Request: n.request(p), Hops: p.fixed}
	n.askIndex(q, func(a *Answered) { then(n.answered(p, q, a)) })
}

func orElse(r, other *wire.Reason) *wire.Reason {
	if r == nil {
		return other
	}
	return r
}

func avoided(p *payment, from, to ident.ID) bool {
	for _, a := range p.avoid {
		if a.Edge.From == from && a.Edge.To == to {
			return true
		}
	}
	return false
}

// request is the search for a payment, with the exact figures of my own channels.
func (n *Node) request(p *payment) route.Request {
	r := route.Request{
		From: n.me, To: p.payee, Currency: p.value.Currency, Amount: p.value.Amount, MaxFee: route.NoMaxFee, MaxParts: 1,
		Avoid: p.avoid, Overrides: p.overrides,
	}
	for _, f := range n.order {
		if !f.open() || !f.ready() || len(r.Own) == route.MaxHints {
			continue
		}
		fig := f.ch.Figures(p.value.Currency)
		if fig.CanPay > 0 {
			r.Own = append(r.Own, route.OwnEdge{To: f.id, CanPay: fig.CanPay, FeeBase: fig.FeeTheirs.Base, FeePpm: fig.FeeTheirs.Ppm})
		}
		if p.payee == n.me && fig.CanReceive > 0 {
			r.Last = append(r.Last, route.LastEdge{From: f.id, CanReceive: fig.CanReceive})
		}
	}
	return r
}

// askIndex asks an index server. Where there is none the answer comes at once, so that a payment over a route that
// the user named is locked in the same Step.
func (n *Node) askIndex(q route.Query, then func(*Answered)) {
	if n.cfg.NoIndex != "" {
		then(&Answered{Problem: n.cfg.NoIndex})
		return
	}
	n.lastQuery++
	n.queries[n.lastQuery] = then
	n.fx.Ask = append(n.fx.Ask, Query{ID: n.lastQuery, Query: q})
}

// answered turns an index's answer into a route. A route the user named can be priced without an index.
func (n *Node) answered(p *payment, q route.Query, a *Answered) (*pay.Route, *wire.Reason) {
	answer := a.Answer
	if answer == nil && len(p.fixed) > 0 {
		answer = route.NewGraph(0).Answer(&q)
	}
	if answer == nil {
		no := n.bestBlocked(p)
		if no == nil || n.friends[p.payee] == nil {
			no = n.unreachable(p, a)
		}
		return nil, no
	}
	if no := answer.Refusal(); no != nil {
		if blocked := n.bestBlocked(p); blocked != nil && no.Code == wire.NoRoute {
			return nil, blocked
		}
		if p.reason != nil && no.Code == wire.NoRoute {
			return nil, p.reason // every other way is closed too: the first obstacle says more
		}
		return nil, &wire.Reason{Code: no.Code, At: n.me, Next: p.payee, Currency: p.value.Currency, Need: no.Fee, Text: clip(no.Text, wire.MaxText)}
	}
	r := answer.Routes[0]
	if len(p.fixed) == 0 {
		if err := q.Request.CheckRoute(r); err != nil {
			return nil, &wire.Reason{Code: wire.NoRoute, At: n.me, Next: p.payee, Currency: p.value.Currency, Text: clip("the index gave a route that does not add up: "+err.Error(), wire.MaxText)}
		}
	}
	out := &pay.Route{Hops: r.Hops, Amounts: r.Amounts}
	if err := out.Check(n.me); err != nil {
		return nil, &wire.Reason{Code: wire.BadRequest, At: n.me, Next: p.payee, Text: clip(err.Error(), wire.MaxText)}
	}
	if out.Amounts[len(out.Amounts)-1] != p.value.Amount {
		return nil, &wire.Reason{Code: wire.NoRoute, At: n.me, Next: p.payee, Currency: p.value.Currency}
	}
	return out, nil
}

// bestBlocked is what stands in the way at my own friends, where that alone explains it: the payee itself
// if it is a friend, or the friend through whom most could pass when even that is too little.
func (n *Node) bestBlocked(p *payment) *wire.Reason {
	if f := n.friends[p.payee]; f != nil && p.payee != n.me && !f.removed && !f.tentative {
		return n.blockedHop(f, p.payee, p.value.Currency, p.value.Amount)
	}
	var best *wire.Reason
	for _, f := range n.order {
		if f.removed || f.tentative {
			continue
		}
		no := n.blockedHop(f, f.id, p.value.Currency, p.value.Amount)
		if no == nil {
			return nil
		}
		if best == nil || best.Code != wire.LimitReached && no.Code == wire.LimitReached || no.Left > best.Left {
			best = no
		}
	}
	return best
}

// quote answers what a payment would take, or with no amount how much at most.
func (n *Node) quote(id uint64, p *payment) {
	if p.value.Amount == 0 {
		n.quoteMost(id, p)
		return
	}
	n.plan(p, func(r *pay.Route, no *wire.Reason) {
		q := &QuoteView{Amount: p.value, Fee: money.Value{Currency: p.value.Currency}, Parts: []PartView{}}
		if r != nil {
			q.Possible = true
			q.Fee.Amount = r.Fee()
			q.Parts = append(q.Parts, n.partView(p, *r))
			if p.maxFee > 0 && r.Fee() > p.maxFee {
				q.Possible = false
				no = &wire.Reason{Code: wire.FeeAboveMax, Need: r.Fee(), Currency: p.value.Currency}
			}
		}
		if no != nil {
			q.Reason = n.reasonView(no, p)
		}
		n.most(p, func(up money.Amount, _ *wire.Reason) {
			q.UpTo = &money.Value{Amount: max(up, 0), Currency: p.value.Currency}
			if q.Possible && q.UpTo.Amount < p.value.Amount {
				q.UpTo.Amount = p.value.Amount
			}
			n.reply(id, q, nil)
		})
	})
}

// noQuote says that nothing can be paid, whatever the way.
func (n *Node) noQuote(id uint64, p *payment, why *wire.Reason) {
	nothing := money.Value{Currency: p.value.Currency}
	n.reply(id, &QuoteView{UpTo: &nothing, Amount: p.value, Fee: nothing, Parts: []PartView{}, Reason: n.reasonView(why, p)}, nil)
}

func (n *Node) quoteMost(id uint64, p *payment) {
	n.most(p, func(up money.Amount, no *wire.Reason) {
		q := &QuoteView{
			Possible: up > 0, UpTo: &money.Value{Amount: up, Currency: p.value.Currency},
			Amount: money.Value{Amount: up, Currency: p.value.Currency}, Fee: money.Value{Currency: p.value.Currency}, Parts: []PartView{},
		}
		if up == 0 {
			p.value.Amount = 1
			no = orElse(no, &wire.Reason{Code: wire.NoRoute, At: n.me, Next: p.payee, Currency: p.value.Currency})
			q.Reason = n.reasonView(orElse(n.bestBlocked(p), no), p)
			n.reply(id, q, nil)
			return
		}
		p.value.Amount = up
		n.plan(p, func(r *pay.Route, no *wire.Reason) {
			if r != nil {
				q.Fee.Amount = r.Fee()
				q.Parts = append(q.Parts, n.partView(p, *r))
			}
			n.reply(id, q, nil)
		})
	})
}

// most finds the largest amount that one route can carry to the payee: straight, or by asking an index. The reason is
// why none could be asked.
func (n *Node) most(p *payment, then func(money.Amount, *wire.Reason)) {
	var direct money.Amount
	if f := n.friends[p.payee]; f != nil && p.payee != n.me {
		if no := n.blockedHop(f, p.payee, p.value.Currency, 1); no == nil {
			direct = f.ch.Figures(p.value.Currency).CanPay
		}
	}
	if len(p.fixed) > 0 {
		f := n.friends[p.fixed[0]]
		if f == nil || len(p.fixed) == 1 || !f.open() {
			then(direct, nil)
			return
		}
	}
	req := n.request(p)
	req.Amount = 0
	if len(req.Own) == 0 || len(p.fixed) > 0 {
		then(direct, nil)
		return
	}
	n.askIndex(route.Query{Request: req, UpTo: true}, func(a *Answered) {
		if a.Answer == nil {
			then(direct, n.unreachable(p, a))
			return
		}
		up := direct
		if a.Answer.Refusal() == nil {
			up = max(up, a.Answer.Routes[0].Arrives())
		}
		then(up, nil)
	})
}

// unreachable is the reason when no index could be asked.
func (n *Node) unreachable(p *payment, a *Answered) *wire.Reason {
	return &wire.Reason{Code: wire.IndexUnreachable, At: n.me, Next: p.payee, Currency: p.value.Currency, Text: a.Problem}
}
