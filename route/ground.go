package route

import (
	"math"

	"kula/ident"
	"kula/money"
)

// ground is the graph as one request sees it: with the payer's own channels, what
// it knows better, what it avoids, and what parts found so far use up. Nodes are numbers
// of the graph, then those of nodes that only the request names, then the payer as the
// start of a cycle.
type ground struct {
	g        *Graph
	currency int32 // -1 if nobody announces the request's
	from, to int32
	start    int32 // where a route begins: from, or in a cycle a stand-in for it
	extra    []ident.ID
	added    map[ident.ID]int32 // of extra
	own      []arrow            // the channels of Own; node is the friend
	ownAt    map[int32]arrow    // the same by friend; node is the payer
	last     []arrow
	lastAt   map[int32]arrow // of last, by friend; node is the payee
	lastOnly bool            // the edges into to are those of last
	learned  map[edge]lesson
	avoid    map[edge]bool
	open     bool // announced edges out of from count

	loads map[edge]money.Amount // what the parts found so far lock
	outs  map[int32][]int32     // of the channels in loads: far ends, by near end
	free  bool                  // as if nobody charged a fee
}

// edge is a channel in the direction of a payment, by numbers. A route that leaves the
// start of a cycle leaves from.
type edge struct{ from, to int32 }

// arrow is an edge to or from a node that is understood; node is its other end.
type arrow struct {
	node int32
	can  money.Amount
	fee  money.Fee
}

// lesson is an override.
type lesson struct {
	fee    money.Fee
	hasFee bool
	atMost money.Amount
}

// newGround also gives numbers to the nodes of hops.
func newGround(g *Graph, r *Request, hops []ident.ID) *ground {
	w := &ground{g: g, currency: -1, added: map[ident.ID]int32{}, open: r.Announced, lastOnly: len(r.Last) > 0}
	if c, ok := g.currencies.find(r.Currency); ok {
		w.currency = c
	}
	w.from, w.to = w.index(r.From), w.index(r.To)
	w.ownAt, w.lastAt = make(map[int32]arrow, len(r.Own)), make(map[int32]arrow, len(r.Last))
	for _, o := range r.Own {
		i := w.index(o.To)
		w.own = append(w.own, arrow{node: i, can: o.CanPay, fee: o.Fee()})
		w.ownAt[i] = arrow{node: w.from, can: o.CanPay, fee: o.Fee()}
	}
	for _, l := range r.Last {
		if i := w.index(l.From); i != w.from || r.Announced { // otherwise the payer's figure for its own channel counts
			w.last = append(w.last, arrow{node: i, can: l.CanReceive})
			w.lastAt[i] = arrow{node: w.to, can: l.CanReceive}
		}
	}
	w.learn(r)
	for _, h := range hops {
		w.index(h)
	}
	w.start = w.from
	if r.cycle() {
		w.start = int32(w.size() - 1)
	}
	return w
}

// learn takes the overrides of a request in, and what it avoids.
func (w *ground) learn(r *Request) {
	if len(r.Overrides) > 0 {
		w.learned = make(map[edge]lesson, len(r.Overrides))
	}
	for _, o := range r.Overrides {
		e := edge{w.index(o.Edge.From), w.index(o.Edge.To)}
		l, ok := w.learned[e]
		if !ok {
			l.atMost = math.MaxInt64
		}
		if !o.KeepFee {
			l.fee, l.hasFee = o.Fee(), true
		}
		if o.AtMost > 0 {
			l.atMost = min(l.atMost, o.AtMost)
		}
		w.learned[e] = l
	}
	if len(r.Avoid) > 0 {
		w.avoid = make(map[edge]bool, len(r.Avoid))
	}
	for _, a := range r.Avoid {
		if a.Currency == "" || a.Currency == r.Currency {
			w.avoid[edge{w.index(a.Edge.From), w.index(a.Edge.To)}] = true
		}
	}
}

// index of a node, a new one for a node that neither the graph nor the request so far names.
func (w *ground) index(id ident.ID) int32 {
	if i, ok := w.g.nodes.find(id); ok {
		return i
	}
	i, ok := w.added[id]
	if !ok {
		i = int32(len(w.g.nodes.items) + len(w.extra))
		w.added[id], w.extra = i, append(w.extra, id)
	}
	return i
}

// size is the number of nodes, the stand-in included.
func (w *ground) size() int { return len(w.g.nodes.items) + len(w.extra) + 1 }

func (w *ground) id(node int32) ident.ID {
	node = w.real(node)
	if n := int32(len(w.g.nodes.items)); node >= n {
		return w.extra[node-n]
	}
	return w.g.nodes.items[node]
}

// real is the payer for its stand-in, else the node itself.
func (w *ground) real(node int32) int32 {
	if node == w.start {
		return w.from
	}
	return node
}

// block of a node, nil if it announced nothing or nothing in the currency can count.
func (w *ground) block(node int32) block {
	if int(node) >= len(w.g.blocks) || w.currency < 0 {
		return nil
	}
	return w.g.blocks[node]
}

// into gives the edges into x to visit, those first that the graph has. code is a least
// code of capacity (needOf) that spares the visit of smaller ones.
func (w *ground) into(x int32, code uint32, visit func(a arrow)) {
	if x == w.to && w.lastOnly {
		for _, a := range w.last {
			w.pass(edge{a.node, x}, a, visit)
		}
	} else {
		b := w.block(x)
		for i := range b.len() {
			if b.canIn(i) < code || !b.mutual(i) || b.currency(i) != w.currency || !w.open && b.friend(i) == w.from {
				continue
			}
			w.pass(edge{b.friend(i), x}, arrow{b.friend(i), amountOf(b.canIn(i)), w.g.feeIn(b, i)}, visit)
		}
	}
	if a, ok := w.ownAt[x]; ok {
		w.pass(edge{w.from, x}, a, visit)
	}
}

// outOf gives the edges out of x likewise.
func (w *ground) outOf(x int32, code uint32, visit func(a arrow)) {
	payer := x == w.start
	x = w.real(x)
	if payer && !w.open {
		for _, a := range w.own {
			w.pass(edge{x, a.node}, a, visit)
		}
		return
	}
	b := w.block(x)
	for i := range b.len() {
		y := b.friend(i)
		if b.canOut(i) < code || b.currency(i) != w.currency || y == w.to && w.lastOnly || y == w.from && w.start == w.from {
			continue
		}
		w.pass(edge{x, y}, arrow{y, amountOf(b.canOut(i)), w.g.feeOut(b, i)}, visit)
	}
	if w.lastOnly {
		if a, ok := w.lastAt[x]; ok {
			w.pass(edge{x, w.to}, a, visit)
		}
	}
}

// pass visits an edge as the request sees it, unless it is to be avoided.
func (w *ground) pass(e edge, a arrow, visit func(a arrow)) {
	if w.avoid != nil && w.avoid[e] {
		return
	}
	if w.learned != nil {
		if l, ok := w.learned[e]; ok {
			a.can = min(a.can, l.atMost)
			if l.hasFee {
				a.fee = l.fee
			}
		}
	}
	if len(w.loads) > 0 {
		a.can -= w.loads[e]
	}
	if w.free {
		a.fee = money.Fee{}
	}
	visit(a)
}

// figures of the edge from→x: its capacity and what x charges from. known tells
// whether anybody who may speak for the edge said so; that suffices for a price,
// while a search wants both ends (rule R7).
func (w *ground) figures(from, x int32) (can money.Amount, canKnown bool, fee money.Fee, feeKnown bool) {
	if b := w.block(x); w.open || from != w.from {
		if i := b.find(from, w.currency); i >= 0 {
			can, fee, canKnown, feeKnown = amountOf(b.canIn(i)), w.g.feeIn(b, i), true, true
		}
	}
	if x == w.to && w.lastOnly {
		a, ok := w.lastAt[from]
		can, canKnown = a.can, ok
	}
	if o, ok := w.ownAt[x]; ok && from == w.from {
		can, fee, canKnown, feeKnown = o.can, o.fee, true, true
	}
	if l, ok := w.learned[edge{from, x}]; ok {
		if l.hasFee {
			fee, feeKnown = l.fee, true
		}
		if canKnown {
			can = min(can, l.atMost)
		}
	}
	if w.free {
		fee = money.Fee{}
	}
	return can, canKnown, fee, feeKnown
}
