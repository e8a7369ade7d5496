package node

import (
	"slices"

	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/route"
	"kula/wire"
)

// quoted is a route, and what each of its channels can carry as far as an index said.
type quoted struct {
	pay.Route
	room []money.Amount
	by   ident.ID // whose answer it is; zero if no index server's, or if the user named the route
}

// leave tells a search what the parts that stand leave of the channels of others: an index may not have heard of them.
func (p *payment) leave(r *route.Request) {
	taken := map[route.Edge]money.Amount{}
	for _, t := range p.parts {
		for i := 1; i < len(t.room); i++ {
			taken[route.Edge{From: t.route.Hops[i-1], To: t.route.Hops[i]}] += t.route.Amounts[i]
		}
	}
	for _, t := range p.parts {
		for i := 1; i < len(t.room); i++ {
			e := route.Edge{From: t.route.Hops[i-1], To: t.route.Hops[i]}
			switch left := t.room[i] - taken[e]; {
			case left > 0:
				r.Overrides = append(r.Overrides, route.Override{Edge: e, KeepFee: true, AtMost: left})
			default:
				r.Avoid = append(r.Avoid, route.Avoid{Edge: e, Currency: p.value.Currency})
			}
		}
	}
}

// plan finds routes for what does not stand yet of a payment: straight to a friend where that can carry it, for nothing
// is cheaper; else the one the user named; else by asking an index. then gets routes or the reason why there are none.
func (n *Node) plan(p *payment, then func([]quoted, *wire.Reason)) {
	missing := p.missing()
	if len(p.parts) >= p.mostParts() {
		then(nil, orElse(p.reason, n.no(p, wire.NoRoute)))
		return
	}
	if len(p.fixed) == 1 || len(p.fixed) == 0 && p.payee != n.me {
		f := n.friends[p.payee]
		no := n.blockedHop(f, p.payee, p.value.Currency, missing)
		if no == nil && !avoided(p, n.me, p.payee) {
			then([]quoted{{Route: pay.Route{Hops: []ident.ID{p.payee}, Amounts: []money.Amount{missing}}}}, nil)
			return
		}
		if len(p.fixed) == 1 {
			then(nil, orElse(no, p.reason))
			return
		}
	}
	q := route.Query{Request: n.request(p, missing), Hops: p.fixed}
	own := len(q.Request.Overrides) + len(q.Request.Avoid)
	veiled := p.veil(&q.Request)
	q.Request.Overrides = append(q.Request.Overrides, n.learned.overrides(p.value.Currency, n.now)...)
	p.leave(&q.Request)
	n.askIndex(q, func(a *Answered) {
		if p.stage != stageRoute || a.Answer == nil || a.Answer.Code != wire.NoRoute || !veiled && len(q.Request.Overrides)+len(q.Request.Avoid) == own {
			then(n.answered(p, q, a))
			return
		}
		q := route.Query{Request: n.request(p, missing), Hops: p.fixed} // what other payments met may be over, an index may know what stands, and the rest be needed too
		n.askIndex(q, func(a *Answered) { then(n.answered(p, q, a)) })
	})
}

// veil has a search say of my own channels only whether they carry the amount with a fee as large as the amount (or as the user allowed):
// how much more they could carry is nobody's business. It reports whether that hid anything.
func (p *payment) veil(r *route.Request) (hidden bool) {
	enough := 2 * r.Amount
	if p.feeSaid && p.maxFee > r.Amount && p.maxFee <= money.MaxLimit {
		enough = r.Amount + p.maxFee
	}
	for i := range r.Own {
		if o := &r.Own[i]; o.CanPay > enough {
			o.CanPay, hidden = enough, true
		}
	}
	for i := range r.Last {
		if l := &r.Last[i]; l.CanReceive > r.Amount {
			l.CanReceive, hidden = r.Amount, true
		}
	}
	return hidden
}

// mostParts is in how many parts a payment may go; over a route that the user named in one.
func (p *payment) mostParts() int {
	if len(p.fixed) > 0 {
		return 1
	}
	return p.maxParts
}

// no is my own reason why a payment does not get to its payee.
func (n *Node) no(p *payment, code wire.Code) *wire.Reason {
	return &wire.Reason{Code: code, At: n.me, Next: p.payee, Currency: p.value.Currency}
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

// request is the search for an amount of a payment, with the exact figures of my own channels and what its own failures taught.
func (n *Node) request(p *payment, amount money.Amount) route.Request {
	r := route.Request{
		From: n.me, To: p.payee, Currency: p.value.Currency, Amount: amount, MaxFee: route.NoMaxFee, MaxParts: uint32(p.mostParts() - len(p.parts)),
		Avoid: slices.Clone(p.avoid), Overrides: slices.Clone(p.overrides),
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

// answered turns an index's answer into routes. A route the user named can be priced without an index.
func (n *Node) answered(p *payment, q route.Query, a *Answered) ([]quoted, *wire.Reason) {
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
		if p.reason != nil && no.Code == wire.NoRoute {
			return nil, p.reason // every other way is closed too: the obstacle that was met says more
		}
		if blocked := n.bestBlocked(p); blocked != nil && no.Code == wire.NoRoute {
			return nil, blocked
		}
		return nil, &wire.Reason{Code: no.Code, At: n.me, Next: p.payee, Currency: p.value.Currency, Need: no.Fee, Text: clip(no.Text, wire.MaxText)}
	}
	if len(p.fixed) > 0 && (len(answer.Routes) != 1 || !slices.Equal(answer.Routes[0].Hops, p.fixed)) {
		return nil, &wire.Reason{Code: wire.NoRoute, At: n.me, Next: p.payee, Currency: p.value.Currency, Text: "the index answered with another way than the one asked for"}
	}
	if len(p.fixed) == 0 {
		if err := q.Request.CheckRoutes(answer.Routes); err != nil {
			return nil, &wire.Reason{Code: wire.NoRoute, At: n.me, Next: p.payee, Currency: p.value.Currency, Text: clip("the index gave routes that do not add up: "+err.Error(), wire.MaxText)}
		}
	}
	var routes []quoted
	var sum money.Amount
	for _, r := range answer.Routes {
		out := quoted{Route: pay.Route{Hops: r.Hops, Amounts: r.Amounts}, room: make([]money.Amount, len(r.Charges))}
		for i, c := range r.Charges {
			out.room[i] = c.CanPay
		}
		if len(p.fixed) == 0 {
			out.by = a.Server
		}
		if err := out.Check(n.me); err != nil {
			return nil, &wire.Reason{Code: wire.BadRequest, At: n.me, Next: p.payee, Text: clip(err.Error(), wire.MaxText)}
		}
		routes, sum = append(routes, out), sum+r.Arrives()
	}
	if sum != q.Request.Amount {
		return nil, n.no(p, wire.NoRoute)
	}
	return routes, nil
}

// bestBlocked is what stands in the way at my own friends, where that alone explains it: the payee itself
// if it is a friend, or the friend through whom most could pass when even all together carry too little.
func (n *Node) bestBlocked(p *payment) *wire.Reason {
	missing := p.missing()
	if f := n.friends[p.payee]; f != nil && p.payee != n.me && !f.removed && !f.tentative {
		return n.blockedHop(f, p.payee, p.value.Currency, missing)
	}
	var best *wire.Reason
	var sum money.Amount
	for _, f := range n.order {
		if f.removed || f.tentative {
			continue
		}
		no := n.blockedHop(f, f.id, p.value.Currency, missing)
		if no != nil && no.Code == wire.LimitReached && p.mostParts() > 1 {
			sum = min(sum+no.Left, money.MaxLimit)
		}
		if no == nil || sum >= missing {
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
	n.plan(p, func(routes []quoted, no *wire.Reason) {
		q := &QuoteView{Amount: p.value, Fee: money.Value{Currency: p.value.Currency}, Parts: []PartView{}}
		if len(routes) > 0 {
			q.Possible = true
			q.carriedBy(p, routes)
			if p.feeSaid && p.maxFee != route.NoMaxFee && q.Fee.Amount > p.maxFee {
				q.Possible = false
				no = &wire.Reason{Code: wire.FeeAboveMax, Need: q.Fee.Amount, Currency: p.value.Currency}
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

// carriedBy enters the routes of a quote.
func (q *QuoteView) carriedBy(p *payment, routes []quoted) {
	for _, r := range routes {
		q.Fee.Amount += r.Fee()
		q.Parts = append(q.Parts, partView(p, r.Route))
	}
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
			no = orElse(no, n.no(p, wire.NoRoute))
			q.Reason = n.reasonView(orElse(n.bestBlocked(p), no), p)
			n.reply(id, q, nil)
			return
		}
		p.value.Amount = up
		n.plan(p, func(routes []quoted, no *wire.Reason) {
			q.carriedBy(p, routes)
			n.reply(id, q, nil)
		})
	})
}

// most finds the largest amount that can be brought to the payee: straight, or by asking an index. The reason is
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
	req := n.request(p, 0)
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
			var sum money.Amount
			for _, r := range a.Answer.Routes {
				sum += r.Arrives()
			}
			up = max(up, sum)
		}
		then(up, nil)
	})
}

// unreachable is the reason when no index could be asked.
func (n *Node) unreachable(p *payment, a *Answered) *wire.Reason {
	return &wire.Reason{Code: wire.IndexUnreachable, At: n.me, Next: p.payee, Currency: p.value.Currency, Text: a.Problem}
}
