package route

import (
	"slices"

	"kula/money"
)

// Search answers a request with the cheapest routes found, up to r.MaxParts of them (rules
// R9 to R13 and R19). Errors are of type *Refusal.
func (f *Finder) Search(r Request) ([]Route, error) {
	if err := r.checkAmount(); err != nil {
		return nil, err
	}
	if r.maxParts() == 1 {
		q, err := f.Cheapest(r)
		if err != nil {
			return nil, err
		}
		return []Route{q}, nil
	}
	p := newSplitter(f, &r)
	if p.leaving() < r.Amount || p.arriving() < r.Amount {
		return nil, r.noRoute(true)
	}
	p.solve(r.Amount)
	if len(p.parts) == 0 {
		return nil, r.noRoute(p.impossible(r.Amount))
	}
	fee := p.locked() - r.Amount
	if r.MaxFee != NoMaxFee && fee > r.MaxFee {
		return nil, r.feeAbove(fee, false)
	}
	f.proved = fee == 0
	return p.routes(), nil
}

// Most gives routes for the largest amount found that r.MaxParts of them bring to the payee
// together, within MaxFee (rule R14); r.Amount is not read. If not even 1 unit can be
// brought, the error is that of Search for 1.
func (f *Finder) Most(r Request) ([]Route, error) {
	one, err := f.UpTo(r)
	if err != nil || r.maxParts() == 1 {
		return []Route{one}, err
	}
	p := newSplitter(f, &r)
	able := func(amount money.Amount) bool {
		p.restore(nil)
		p.room = p.budget
		p.solve(amount)
		return len(p.parts) > 0 && (r.MaxFee == NoMaxFee || p.locked()-amount <= r.MaxFee)
	}
	least := one.Arrives()
	r.Amount = least
	most := min(p.leaving(), p.arriving()) // the channels at the ends are the narrowest most of the time
	if extra := largest(most-least, func(x money.Amount) bool { return able(least + x) }); extra > 0 && able(least+extra) {
		return p.routes(), nil
	}
	return []Route{one}, nil
}

// leaving and arriving are what the channels of the payer and of the payee carry together.
func (p *splitter) leaving() (sum money.Amount) {
	p.outOf(p.start, 1, func(a arrow) { sum = min(sum+max(a.can, 0), MaxCanReceive) })
	return sum
}

func (p *splitter) arriving() (sum money.Amount) {
	p.into(p.to, 1, func(a arrow) { sum = min(sum+max(a.can, 0), MaxCanReceive) })
	return sum
}

// solve finds parts for an amount; none if it finds none. First a single route; if that
// costs something, a quick flow; only where that does not suffice, or still charges, the cheapest.
func (p *splitter) solve(amount money.Amount) {
	var best []part
	p.restore(nil)
	for _, m := range []mode{{room: singleRoom}, {any: true, room: singleRoom / 2}} {
		if end, ok := p.run(amount, m); ok && p.labels[end].hops <= p.maxHops && best == nil {
			p.put(p.way(end), amount)
			best, p.room = p.parts, min(p.room, p.budget)
		}
		if best != nil || p.cycle || !p.spent && p.found < 0 {
			break // found, or there is none
		}
	}
	for _, quick := range []bool{true, false} {
		if best != nil && sum(best) == amount {
			break // nothing is cheaper than no fee
		}
		best = cheaper(best, p.attempt(amount, quick))
		if best != nil {
			p.room = min(p.room, p.budget)
		}
	}
	p.restore(best)
	if best != nil && sum(best) == amount {
		return
	}
	p.improve()
	p.tryAll(amount)
}

// attempt makes parts of a flow; nil if they do not bring the amount.
func (p *splitter) attempt(amount money.Amount, quick bool) []part {
	p.restore(nil)
	if p.room <= 0 {
		return nil
	}
	if brought, _ := p.flow(amount, quick); brought < amount && quick {
		return nil
	}
	ways := p.apart()
	clear(p.loads)
	p.fill(ways, amount)
	return p.snapshot(amount)
}

// cheaper is whichever of two lists of parts there is, or takes less; the first if they are equal.
func cheaper(a, b []part) []part {
	if a == nil || b != nil && sum(b) < sum(a) {
		return b
	}
	return a
}

// impossible says whether it is proved that no parts bring an amount: not even without fees
// and with as many parts as one likes. A flow is found quickly; it is the maximum if after
// it no way is left, looked for with the lower bounds of the empty graph.
func (p *splitter) impossible(amount money.Amount) bool {
	p.free, p.room = true, max(p.room, p.budget)
	if brought, _ := p.flow(amount, true); brought == amount || p.cycle {
		return false
	}
	loads := p.loads
	p.loads = nil
	p.forward.reset(p.ground, amount, 1, false)
	p.loads = loads
	_, ok := p.backward(amount, mode{flow: true, back: true, least: 1, room: p.each})
	return !ok && !p.spent
}

// snapshot takes the parts away and gives them; nil if they do not bring the amount.
func (p *splitter) snapshot(amount money.Amount) []part {
	parts := p.parts
	for _, t := range parts {
		amount -= t.amount
	}
	p.restore(nil)
	if amount != 0 {
		return nil
	}
	return parts
}

// restore puts parts in place of those there are.
func (p *splitter) restore(parts []part) {
	clear(p.loads)
	p.parts = nil
	for _, t := range parts {
		p.put(t.nodes, t.amount)
	}
}

func sum(parts []part) (locked money.Amount) {
	for _, t := range parts {
		locked += t.locked
	}
	return locked
}

// fill makes parts of ways with exact amounts, and adds more until the amount is there or
// nothing more is found.
func (p *splitter) fill(ways []part, amount money.Amount) {
	rest := amount
	for _, t := range ways {
		if len(p.parts) == p.r.maxParts() || rest == 0 {
			break
		}
		if !p.allowed(t.nodes) {
			continue
		}
		if x := p.most(t.nodes, min(t.amount, rest)); x > 0 {
			p.put(t.nodes, x)
			rest -= x
		}
	}
	for rest > 0 {
		before := rest
		rest -= p.extend(rest)
		if rest > 0 && len(p.parts) < p.r.maxParts() {
			rest -= p.another(rest)
		}
		if rest == before {
			return
		}
	}
}

// extend lets the parts there are bring more, those first to whom a unit more costs
// least; it says how much they took.
func (p *splitter) extend(rest money.Amount) (took money.Amount) {
	for took < rest {
		best, bestX, bestCost := -1, money.Amount(0), money.Amount(0)
		for k := range p.parts {
			x, cost := p.more(k, rest-took)
			if x > 0 && (best < 0 || x > bestX && cost == 0 || bestCost*x > cost*bestX) {
				best, bestX, bestCost = k, x, cost
			}
		}
		if best < 0 {
			return took
		}
		t := p.take(best)
		p.put(t.nodes, t.amount+bestX)
		took += bestX
	}
	return took
}

// more is how much more part k can bring, and what that costs.
func (p *splitter) more(k int, want money.Amount) (x, cost money.Amount) {
	t := p.parts[k]
	p.hold(t, -1)
	x = p.most(t.nodes, t.amount+want) - t.amount
	if x > 0 {
		locked, _ := p.fits(t.nodes, t.amount+x)
		cost = locked - t.locked - x
	}
	p.hold(t, 1)
	return max(x, 0), cost
}

// another adds a part for the rest, or as much of it as one more can bring.
func (p *splitter) another(rest money.Amount) money.Amount {
	if nodes, ok := p.shortest(rest); ok {
		p.put(nodes, rest)
		return rest
	}
	p.forward.reset(p.ground, rest, 1, false)
	end, ok := p.backward(rest, mode{flow: true, least: 1, room: min(p.each, max(p.room, 1))})
	p.room -= p.effort()
	if !ok {
		return 0
	}
	nodes := p.way(end)
	x := p.most(nodes, rest)
	if x == 0 || !p.allowed(nodes) {
		return 0
	}
	p.put(nodes, x)
	return x
}

// improve changes parts while that makes them cheaper.
func (p *splitter) improve() {
	for range rounds {
		before := p.locked()
		for k := 0; k < len(p.parts) && len(p.parts) > 1; k++ {
			p.shift(k)
		}
		for k := 0; k < len(p.parts) && p.room > 0; k++ {
			p.again(k)
		}
		for k := 0; k < len(p.parts); k++ {
			for j := k + 1; j < len(p.parts) && p.room > 0; j++ {
				p.join(k, j)
			}
		}
		if p.locked() >= before {
			return
		}
	}
}

// shift lets other parts take over from part k, wholly or as much as they can, if that is cheaper.
func (p *splitter) shift(k int) {
	for j := 0; j < len(p.parts) && k < len(p.parts); j++ {
		if j == k {
			continue
		}
		from := p.parts[k]
		before := from.locked + p.parts[j].locked
		p.hold(from, -1)
		to := p.parts[j]
		p.hold(to, -1)
		x := p.most(to.nodes, to.amount+from.amount) - to.amount
		p.hold(to, 1)
		p.hold(from, 1)
		if x <= 0 {
			continue
		}
		saved := slices.Clone(p.parts)
		hi, lo := max(j, k), min(j, k)
		p.take(hi)
		p.take(lo)
		p.put(to.nodes, to.amount+x)
		if x < from.amount {
			locked, ok := p.fits(from.nodes, from.amount-x)
			if ok && locked > 0 {
				p.put(from.nodes, from.amount-x)
			} else {
				p.restore(saved)
				continue
			}
		}
		after := money.Amount(0)
		for _, t := range p.parts[len(saved)-2:] {
			after += t.locked
		}
		if after >= before {
			p.restore(saved)
		}
	}
}

// again searches a way anew for part k.
func (p *splitter) again(k int) {
	t := p.take(k)
	if nodes, ok := p.shortest(t.amount); ok {
		if locked, _ := p.fits(nodes, t.amount); locked < t.locked {
			t.nodes = nodes
		}
	}
	p.put(t.nodes, t.amount)
	last := len(p.parts) - 1
	p.parts = slices.Insert(p.parts[:last], k, p.parts[last])
}

// join makes one part of two if that is cheaper.
func (p *splitter) join(k, j int) {
	b, a := p.take(j), p.take(k)
	if nodes, ok := p.shortest(a.amount + b.amount); ok {
		if locked, _ := p.fits(nodes, a.amount+b.amount); locked < a.locked+b.locked {
			p.put(nodes, a.amount+b.amount)
			return
		}
	}
	p.put(a.nodes, a.amount)
	p.put(b.nodes, b.amount)
}

// routes are the parts as an answer, those that bring most first.
func (p *splitter) routes() (list []Route) {
	slices.SortStableFunc(p.parts, func(a, b part) int { return int(min(max(b.amount-a.amount, -1), 1)) })
	for _, t := range p.parts {
		q, _ := p.price(t.nodes, t.amount)
		list = append(list, q)
	}
	return list
}
