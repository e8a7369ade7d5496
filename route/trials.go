package route

import (
	"cmp"
	"slices"

	"kula/money"
)

const (
	// smallNodes, smallWays and smallSteps say what is small enough to look at every way:
	// a village in which the payer lives alone with its friends' friends.
	smallNodes = 16
	smallWays  = 512
	smallSteps = 1 << 13
	// smallTrials bounds how many part lists are tried, each in microseconds.
	smallTrials = 1 << 12
)

// everyWay lists all ways from payer to payee that rule R10 allows and that can carry one
// unit, cheapest for the amount first; false if the graph around the payer is not small.
func (p *splitter) everyWay(amount money.Amount) ([]part, bool) {
	if len(p.forward.queue) > 0 && len(p.forward.nodes) > smallNodes {
		return nil, false
	}
	w := ways{splitter: p, steps: smallSteps, nodes: []int32{p.start}}
	if !w.walk(p.start) {
		return nil, false
	}
	for i := range w.list {
		t := &w.list[i]
		q, ok := p.price(t.nodes, amount)
		t.locked = amount + amount // dearer than counting goes
		if ok {
			t.locked = q.Amounts[0]
		}
	}
	slices.SortStableFunc(w.list, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.locked, b.locked), cmp.Compare(len(a.nodes), len(b.nodes)))
	})
	return w.list, true
}

type ways struct {
	*splitter
	steps int
	nodes []int32
	list  []part
}

func (w *ways) walk(x int32) bool {
	whole := true
	w.outOf(x, 1, func(a arrow) {
		if !whole || a.can <= 0 || slices.Contains(w.nodes, a.node) {
			return
		}
		if w.steps--; w.steps < 0 || len(w.list) > smallWays {
			whole = false
			return
		}
		w.nodes = append(w.nodes, a.node)
		switch {
		case a.node == w.to:
			if _, ok := w.fits(w.nodes, 1); ok && w.allowed(w.nodes) {
				w.list = append(w.list, part{nodes: slices.Clone(w.nodes)})
			}
		case len(w.nodes) <= int(w.maxHops):
			whole = w.walk(a.node)
		}
		w.nodes = w.nodes[:len(w.nodes)-1]
	})
	return whole
}

// trials looks for cheaper parts where the graph is small: way after way, each taking all
// it can carry, in every order that can still be cheaper than the best.
type trials struct {
	*splitter
	ways []part
	left int
	best []part
	cost money.Amount
}

// tryAll replaces the parts by cheaper ones if trials find any.
func (p *splitter) tryAll(amount money.Amount) {
	clear(p.loads)
	have := p.parts
	p.parts = nil
	list, ok := p.everyWay(amount)
	if ok {
		t := trials{splitter: p, ways: list, left: smallTrials, best: have, cost: sum(have)}
		if have == nil {
			t.cost = MaxCanReceive * 4
		}
		t.try(amount)
		have = t.best
	}
	p.restore(have)
}

func (t *trials) try(rest money.Amount) {
	if rest == 0 {
		if c := t.locked(); c < t.cost {
			t.best, t.cost = slices.Clone(t.parts), c
		}
		return
	}
	if len(t.parts) == t.r.maxParts() {
		return
	}
	for i := range t.ways {
		w := &t.ways[i]
		if slices.ContainsFunc(t.parts, func(o part) bool { return slices.Equal(o.nodes, w.nodes) }) {
			continue
		}
		if t.left--; t.left < 0 || t.locked()+rest >= t.cost {
			return
		}
		if x := t.most(w.nodes, rest); x > 0 {
			t.put(w.nodes, x)
			t.try(rest - x)
			t.take(len(t.parts) - 1)
		}
	}
}
