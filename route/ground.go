package route

import (
	"math"
	"slices"

	"kula/ident"
	"kula/money"
)

// ground is the graph as one request sees it: with the payer's own channels, what
// it knows better, and what it avoids. Nodes are indexes of the graph, then those
// of nodes that only the request names, then the payer as the start of a cycle.
type ground struct {
	g        *Graph
	currency int32 // -1 if nobody announces the request's
	from, to int32
	start    int32 // where a route begins: from, or in a cycle a stand-in for it
	extra    []ident.ID
	added    map[ident.ID]int32 // of extra
	own      map[int32]arrow    // by friend
	last     []arrow
	lastOnly bool // the edges into to are those of last
	learned  map[[2]int32]lesson
	avoid    map[[2]int32]bool
	open     bool // announced edges out of from count
}

// arrow is an edge given by the request; node is its other end.
type arrow struct {
	node int32
	can  money.Amount
	fee  money.Fee
}

// lesson is an override.
type lesson struct {
	fee    money.Fee
	hasFee bool
	atMost money.Amount // MaxCanReceive or more if nothing was learned
}

// learn takes the overrides of a request in.
func (w *ground) learn(overrides []Override) {
	w.learned = make(map[[2]int32]lesson, len(overrides))
	for _, o := range overrides {
		edge := [2]int32{w.index(o.Edge.From), w.index(o.Edge.To)}
		l, ok := w.learned[edge]
		if !ok {
			l.atMost = math.MaxInt64
		}
		if !o.KeepFee {
			l.fee, l.hasFee = o.Fee(), true
		}
		if o.AtMost > 0 {
			l.atMost = min(l.atMost, o.AtMost)
		}
		w.learned[edge] = l
	}
}

// newGround also gives indexes to the nodes of hops.
func newGround(g *Graph, r *Request, hops []ident.ID) *ground {
	w := &ground{g: g, currency: -1, added: map[ident.ID]int32{}, open: r.Announced, lastOnly: len(r.Last) > 0}
	if c, ok := g.currencies.find(r.Currency); ok {
		w.currency = c
	}
	w.from, w.to = w.index(r.From), w.index(r.To)
	w.own = make(map[int32]arrow, len(r.Own))
	for _, o := range r.Own {
		i := w.index(o.To)
		w.own[i] = arrow{node: w.from, can: o.CanPay, fee: o.Fee()}
	}
	for _, l := range r.Last {
		if i := w.index(l.From); i != w.from || r.Announced { // otherwise the payer's figure for its own channel counts
			w.last = append(w.last, arrow{node: i, can: l.CanReceive})
		}
	}
	w.learn(r.Overrides)
	w.avoid = make(map[[2]int32]bool, len(r.Avoid))
	for _, a := range r.Avoid {
		if a.Currency == "" || a.Currency == r.Currency {
			w.avoid[[2]int32{w.index(a.Edge.From), w.index(a.Edge.To)}] = true
		}
	}
	for _, h := range hops {
		w.index(h)
	}
	w.start = w.from
	if r.cycle() {
		w.start = int32(w.size() - 1)
	}
	return w
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
	if w.start != w.from && node == w.start {
		node = w.from
	}
	if n := int32(len(w.g.nodes.items)); node >= n {
		return w.extra[node-n]
	}
	return w.g.nodes.items[node]
}

// onions are the keys of hops, nil if none is known.
func (w *ground) onions(hops []ident.ID) (keys [][]byte) {
	for i, h := range hops {
		n, ok := w.g.nodes.find(h)
		if !ok || int(n) >= len(w.g.onions) || len(w.g.onions[n].key) == 0 {
			continue
		}
		if keys == nil {
			keys = make([][]byte, len(hops))
		}
		keys[i] = slices.Clone(w.g.onions[n].key)
	}
	return keys
}

// announced is what x announces about friend w in the currency, nil if nothing.
func (w *ground) announced(friend, x int32) *entry {
	if int(x) >= len(w.g.peers) || int(friend) >= len(w.g.peers) || w.currency < 0 {
		return nil
	}
	p := w.g.peerAt(x, friend)
	if p == nil {
		return nil
	}
	return p.find(w.currency)
}

// figures of the edge from→x: its capacity and what x charges from. known tells
// whether anybody who may speak for the edge said so; that suffices for a price,
// while a search wants both ends (rule R7).
func (w *ground) figures(from, x int32) (can money.Amount, canKnown bool, fee money.Fee, feeKnown bool) {
	if e := w.announced(from, x); e != nil && (w.open || from != w.from) {
		can, fee, canKnown, feeKnown = e.can, e.fee(), true, true
	}
	if x == w.to && w.lastOnly {
		canKnown = false
		for _, l := range w.last {
			if l.node == from {
				can, canKnown = l.can, true
			}
		}
	}
	if o, ok := w.own[x]; ok && from == w.from {
		can, fee, canKnown, feeKnown = o.can, o.fee, true, true
	}
	if l, ok := w.learned[[2]int32{from, x}]; ok {
		if l.hasFee {
			fee, feeKnown = l.fee, true
		}
		if canKnown {
			can = min(can, l.atMost)
		}
	}
	return can, canKnown, fee, feeKnown
}
