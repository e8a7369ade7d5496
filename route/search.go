package route

import (
	"bytes"

	"kula/ident"
	"kula/money"
)

// Cheapest answers a request with the cheapest route (rules R9 to R13). Errors are
// of type *Refusal. It takes O(E log E) for E announced edges; where the cheapest
// route of all is longer than MaxHops allows, up to MaxHops times that.
func (g *Graph) Cheapest(r Request) (Route, error) {
	if err := r.checkAmount(); err != nil {
		return Route{}, err
	}
	s := newSearch(g, &r)
	end, ok := s.cheapest(r.Amount)
	if !ok {
		return Route{}, r.noRoute(r.maxParts() == 1)
	}
	q := s.route(end, r.Amount)
	if r.MaxFee != NoMaxFee && q.Fee > r.MaxFee {
		return Route{}, r.feeAbove(q.Fee, r.maxParts() == 1)
	}
	return q, nil
}

// search is a Dijkstra backward from the payee (rule R9).
//
// In its plain mode one label per node is enough. Two things want more labels:
//   - a cycle: its first and its last friend must differ, so a node keeps the best
//     label and the best one through another last friend (its root). By that, a
//     walk that comes back to its own last friend always has a rival;
//   - a bound on hops: a node keeps a label that costs more if it is shorter.
type search struct {
	*ground
	maxHops int32
	cycle   bool
	bounded bool // the bound on hops takes part

	labels []label
	heap   []int32 // labels to settle, a binary heap by less
	best   []int32 // by node, plain mode: the least label found, -1 for none
	kept   []int32 // by node: the last label settled, -1 for none
}

// label is a way from a node to the payee.
type label struct {
	amount money.Amount // what the node must forward
	next   int32        // the label it continues with, -1 at the payee
	node   int32
	root   int32 // the last friend before the payee in a cycle, else -1
	hops   int32
	older  int32 // the label settled at the node before this one
}

func newSearch(g *Graph, r *Request) *search {
	w := newGround(g, r, nil)
	n := w.size()
	return &search{ground: w, maxHops: r.maxHops(), cycle: r.cycle(), best: make([]int32, n), kept: make([]int32, n)}
}

// cheapest finds the least label of the start for an amount.
func (s *search) cheapest(amount money.Amount) (int32, bool) {
	end, ok := s.run(amount, false)
	if ok && s.labels[end].hops > s.maxHops {
		return s.run(amount, true)
	}
	return end, ok
}

func (s *search) run(amount money.Amount, bounded bool) (int32, bool) {
	s.bounded = bounded
	s.labels, s.heap = s.labels[:0], s.heap[:0]
	for i := range s.kept {
		s.kept[i], s.best[i] = -1, -1
	}
	s.found(label{amount: amount, next: -1, node: s.to, root: -1})
	for len(s.heap) > 0 {
		i := s.pop()
		l := &s.labels[i]
		if l.node == s.start {
			return i, true
		}
		if s.beaten(l.node, l.root, l.hops) {
			continue
		}
		l.older, s.kept[l.node] = s.kept[l.node], i
		s.expand(i)
	}
	return 0, false
}

// expand follows all edges into the node of a settled label.
func (s *search) expand(i int32) {
	x, final := s.labels[i].node, s.labels[i].next < 0
	switch {
	case final && s.lastOnly:
		for _, a := range s.last {
			s.relax(i, a)
		}
	case int(x) < len(s.g.peers) && s.currency >= 0:
		peers := s.g.peers[x]
		for k := range peers {
			p := &peers[k]
			if e := p.find(s.currency); e != nil && e.both && (s.open || p.friend != s.from) {
				s.relax(i, arrow{node: p.friend, can: e.can, fee: e.fee()})
			}
		}
	}
	if a, ok := s.own[x]; ok {
		s.relax(i, a)
	}
}

// relax tries the edge from a.node to the node of label i.
func (s *search) relax(i int32, a arrow) {
	l := s.labels[i]
	edge, final := [2]int32{a.node, l.node}, l.next < 0
	if len(s.avoid) > 0 && s.avoid[edge] {
		return
	}
	if len(s.learned) > 0 {
		if l, ok := s.learned[edge]; ok {
			a.can = min(a.can, l.atMost)
			if l.hasFee {
				a.fee = l.fee
			}
		}
	}
	amount, ok := add(l.amount, a.fee, final)
	if !ok || amount > a.can || s.bounded && l.hops == s.maxHops {
		return
	}
	n := label{amount: amount, next: i, node: a.node, root: l.root, hops: l.hops + 1}
	if s.cycle && final {
		n.root = a.node
	}
	if a.node == s.from {
		n.node = s.start
		if s.cycle && n.root == l.node {
			return // out to a friend and straight back
		}
	}
	if !s.beaten(n.node, n.root, n.hops) {
		s.found(n)
	}
}

// beaten says whether the labels settled at a node, all of them less than the one
// in question, make that one useless.
func (s *search) beaten(node, root, hops int32) bool {
	if !s.cycle && !s.bounded {
		return s.kept[node] >= 0
	}
	other := int32(-1) // a root settled, not the one in question
	for k := s.kept[node]; k >= 0; k = s.labels[k].older {
		have := &s.labels[k]
		switch {
		case s.bounded && have.hops > hops:
		case have.root == root || other >= 0 && have.root != other:
			return true
		default:
			other = have.root
		}
	}
	return false
}

// found queues a label. In the plain mode only the least one of a node is queued.
func (s *search) found(l label) {
	i := int32(len(s.labels))
	s.labels = append(s.labels, l)
	if !s.cycle && !s.bounded {
		if b := s.best[l.node]; b >= 0 && !s.less(i, b) {
			s.labels = s.labels[:i]
			return
		}
		s.best[l.node] = i
	}
	s.push(i)
}

// less orders labels by amount, hops, node, and keys (rule R9). The order among
// different nodes has no effect: neither can lead to the other at one amount and
// one number of hops.
func (s *search) less(i, j int32) bool {
	a, b := &s.labels[i], &s.labels[j]
	switch {
	case a.amount != b.amount:
		return a.amount < b.amount
	case a.hops != b.hops:
		return a.hops < b.hops
	case a.node != b.node:
		return a.node < b.node
	}
	for a.next != b.next { // as many steps on both sides, for the hops are equal
		a, b = &s.labels[a.next], &s.labels[b.next]
		if a.node != b.node {
			x, y := s.id(a.node), s.id(b.node)
			return bytes.Compare(x[:], y[:]) < 0
		}
	}
	return false
}

func (s *search) push(i int32) {
	s.heap = append(s.heap, i)
	k := len(s.heap) - 1
	for k > 0 {
		parent := (k - 1) / 2
		if !s.less(i, s.heap[parent]) {
			break
		}
		s.heap[k] = s.heap[parent]
		k = parent
	}
	s.heap[k] = i
}

func (s *search) pop() int32 {
	top, n := s.heap[0], len(s.heap)-1
	i := s.heap[n]
	s.heap = s.heap[:n]
	if n == 0 {
		return top
	}
	k := 0
	for {
		child := 2*k + 1
		if child >= n {
			break
		}
		if child+1 < n && s.less(s.heap[child+1], s.heap[child]) {
			child++
		}
		if !s.less(s.heap[child], i) {
			break
		}
		s.heap[k] = s.heap[child]
		k = child
	}
	s.heap[k] = i
	return top
}

// route reads the way of a start's label.
func (s *search) route(end int32, amount money.Amount) Route {
	n := int(s.labels[end].hops)
	q := Route{Hops: make([]ident.ID, 0, n), Amounts: make([]money.Amount, 0, n), Charges: make([]Charge, 0, n)}
	q.Fee = s.labels[end].amount - amount
	from := s.from
	for i := end; s.labels[i].next >= 0; i = s.labels[i].next {
		next := &s.labels[s.labels[i].next]
		can, _, fee, _ := s.figures(from, next.node)
		if next.next < 0 {
			fee = money.Fee{}
		}
		q.Hops = append(q.Hops, s.id(next.node))
		q.Amounts = append(q.Amounts, s.labels[i].amount)
		q.Charges = append(q.Charges, Charge{CanPay: can, FeeBase: fee.Base, FeePpm: fee.Ppm})
		from = next.node
	}
	q.Onions = s.onions(q.Hops)
	return q
}
