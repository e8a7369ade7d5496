package route

import (
	"math"

	"kula/ident"
	"kula/money"
)

// Cheapest answers a request with the cheapest single route (rules R9 to R13). Errors are
// of type *Refusal.
func (f *Finder) Cheapest(r Request) (Route, error) {
	if err := r.checkAmount(); err != nil {
		return Route{}, err
	}
	s := f.begin(&r)
	end, ok := s.cheapest(r.Amount)
	if !ok {
		return Route{}, r.noRoute(r.maxParts() == 1 && !s.spent)
	}
	q := s.route(end, r.Amount)
	if r.MaxFee != NoMaxFee && q.Fee > r.MaxFee {
		return Route{}, r.feeAbove(q.Fee, r.maxParts() == 1 && !s.spent)
	}
	f.proved = !s.spent || q.Fee == 0
	return q, nil
}

// Any answers a request with some route, not the cheapest: it is for whoever only asks
// whether there is one. Its fee may be above r.MaxFee, which is not read. Errors are of
// type *Refusal.
func (f *Finder) Any(r Request) (Route, error) {
	if err := r.checkAmount(); err != nil {
		return Route{}, err
	}
	s := f.begin(&r)
	if !s.cycle {
		if end, ok := s.run(r.Amount, mode{any: true}); ok && s.labels[end].hops <= s.maxHops {
			return s.route(end, r.Amount), nil
		}
	}
	r.MaxFee = NoMaxFee
	return f.Cheapest(r)
}

// some is Any within MaxFee, where it is not proved that nothing costs less. Whether several routes could is not asked.
func (f *Finder) some(r Request) ([]Route, error) {
	r.MaxParts = 1
	q, err := f.Any(r)
	if err != nil {
		return nil, err
	}
	if r.MaxFee != NoMaxFee && q.Fee > r.MaxFee {
		return nil, r.feeAbove(q.Fee, false)
	}
	return []Route{q}, nil
}

// search goes backward from the payee, cheapest first, toward a payer that a forward
// search comes to meet (rule R9). Its labels are exact: the amount a node must forward. It is
// an A*: a label's place in the queue is its cost and what the forward search says is
// at least still to come; where the forward search has not been, its radius.
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
	mode

	amount  money.Amount
	forward forward
	places          // of nodes with labels
	best    []int32 // by place, plain mode: the least label found
	kept    []int32 // by place: the last label expanded, -1 for none
	labels  []label
	queue   queue
	found   int32 // the best label of the start, -1 for none
	limit   cost  // of found
	spent   bool  // room ran out: that nothing was found proves nothing
}

// mode says what a search is for.
type mode struct {
	bounded bool         // the bound on hops takes part
	any     bool         // the first route found will do
	flow    bool         // a channel need not carry all (flow.go)
	back    bool         // what parts lock may be given back
	least   money.Amount // with flow: what a channel must have left
	room    int          // effort that may be made, 0 for any
}

// label is a way from a node to the payee.
type label struct {
	amount money.Amount // what the node must forward
	next   int32        // the label it continues with, -1 at the payee
	node   int32
	root   int32 // the last friend before the payee in a cycle, else -1
	hops   int32
	older  int32 // the label expanded at the node before this one
	back   bool  // the channel to next's node is one whose load is taken away
}

// hardRoom bounds the effort of a search: some twenty times what one of a hundred takes in a
// graph of a million nodes, so that nobody can buy a second of work with one question. What
// needs several labels a node, for a bound on hops that binds or a cycle, may come to it.
const hardRoom = 1 << 16

// cheapest finds the least label of the start for an amount. Where that would take too
// much effort, it takes some way that keeps to the bound on hops; s.spent says so.
func (s *search) cheapest(amount money.Amount) (int32, bool) {
	end, ok := s.run(amount, mode{room: hardRoom})
	if ok && s.labels[end].hops > s.maxHops {
		end, ok = s.run(amount, mode{bounded: true, room: hardRoom})
	}
	if !ok && s.spent && !s.cycle {
		end, ok = s.run(amount, mode{any: true})
		ok = ok && s.labels[end].hops <= s.maxHops
		s.spent = true
	}
	return end, ok
}

func (s *search) run(amount money.Amount, m mode) (int32, bool) {
	least := amount
	if m.flow {
		least = m.least
	}
	s.forward.reset(s.ground, amount, least, m.any)
	return s.backward(amount, m)
}

// backward is run with the forward search as it stands.
func (s *search) backward(amount money.Amount, m mode) (int32, bool) {
	s.mode, s.amount, s.spent = m, amount, false
	if m.room == 0 {
		s.room = math.MaxInt
	}
	s.places.reset()
	s.labels, s.queue, s.best, s.kept = s.labels[:0], s.queue[:0], s.best[:0], s.kept[:0]
	s.found, s.limit = -1, cost{math.MaxInt64, math.MaxInt32}
	s.offer(label{amount: amount, next: -1, node: s.to, root: -1})
	for len(s.queue) > 0 && !(s.any && s.found >= 0) {
		if s.work() {
			continue
		}
		top := s.queue.pop()
		l := &s.labels[top.i]
		key, ok := s.key(l)
		if !ok || !key.less(s.limit) {
			continue
		}
		if top.cost.less(key) { // the forward search has come further since
			s.queue.push(key, top.i)
			continue
		}
		if s.stale(top.i) {
			continue
		}
		if s.effort() >= s.room {
			s.spent = true
			break
		}
		at := s.find(l.node)
		l.older, s.kept[at] = s.kept[at], top.i
		s.expand(top.i)
	}
	return s.found, s.found >= 0
}

// effort is what a search took so far, in labels and nodes.
func (s *search) effort() int { return len(s.labels) + len(s.forward.nodes) }

// work lets the forward search take a step when it is its turn: while it has fewer nodes waiting.
func (s *search) work() bool {
	if s.limit.hops < math.MaxInt32 && !s.flow && s.closed() || len(s.forward.queue) == 0 || len(s.forward.queue) > len(s.queue)+8 || s.flow && s.found >= 0 {
		return false
	}
	reached := len(s.forward.nodes)
	at := s.forward.step()
	if at < 0 {
		return false
	}
	if s.any { // no need to wait until it is sure that there is nothing nearer
		for k := reached; k < len(s.forward.nodes) && s.found < 0; k++ {
			if p := s.find(s.forward.nodes[k]); p >= 0 {
				s.meet(s.best[p], int32(k))
			}
		}
	}
	if p := s.find(s.forward.nodes[at]); p >= 0 && !s.bounded && !s.cycle {
		s.meet(s.best[p], at)
	}
	return true
}

// closed says that the forward search is where no way better than the one found goes through.
func (s *search) closed() bool {
	r, ok := s.forward.radius()
	return !ok || len(s.queue) == 0 || !s.queue[0].cost.less(s.limit) || !cost{int64(s.amount), 0}.plus(r).less(s.limit)
}

// cost of a label.
func (s *search) cost(l *label) cost {
	if s.any {
		return cost{0, l.hops}
	}
	return cost{int64(l.amount), l.hops}
}

// key is at least what a route over a label costs; ok is false if there is none.
func (s *search) key(l *label) (cost, bool) {
	if l.node == s.start {
		return s.cost(l), true
	}
	b, ok := s.forward.bound(l.node)
	return s.cost(l).plus(b), ok
}

// expand follows all edges into the node of a label.
func (s *search) expand(i int32) {
	l := s.labels[i]
	code := s.forward.code
	if !s.flow {
		code = needOf(l.amount)
	}
	s.into(l.node, code, func(a arrow) {
		if !s.any || s.found < 0 {
			s.relax(i, a)
		}
	})
	if s.back && len(s.loads) > 0 {
		s.giveBack(i)
	}
}

// relax tries the edge from a.node to the node of label i.
func (s *search) relax(i int32, a arrow) {
	l := s.labels[i]
	amount, ok := add(l.amount, a.fee, l.next < 0)
	if !ok || s.bounded && l.hops == s.maxHops {
		return
	}
	if s.flow {
		if one, ok := add(1, a.fee, l.next < 0); !ok || one > a.can || a.can < s.least {
			return
		}
	} else if amount > a.can {
		return
	}
	n := label{amount: amount, next: i, node: a.node, root: l.root, hops: l.hops + 1}
	if s.cycle && l.next < 0 {
		n.root = a.node
	}
	if a.node == s.from {
		n.node = s.start
		if s.cycle && n.root == l.node {
			return // out to a friend and straight back
		}
	}
	s.offer(n)
}

// offer takes a label in, unless it is of no use.
func (s *search) offer(l label) {
	key, ok := s.key(&l)
	if !ok || !key.less(s.limit) {
		return
	}
	if l.node == s.start {
		s.labels = append(s.labels, l)
		s.found, s.limit = int32(len(s.labels)-1), s.cost(&l)
		return
	}
	at, fresh := s.take(l.node)
	if fresh {
		s.best, s.kept = append(s.best, -1), append(s.kept, -1)
	}
	if s.cycle || s.bounded {
		if s.beaten(at, &l) {
			return
		}
	} else if b := s.best[at]; b >= 0 && !s.cost(&l).less(s.cost(&s.labels[b])) {
		return
	}
	i := int32(len(s.labels))
	s.labels = append(s.labels, l)
	s.best[at] = i
	s.queue.push(key, i)
	if !s.cycle && !s.bounded {
		if f := s.forward.find(l.node); f >= 0 && (s.any || s.forward.settled[f]) {
			s.meet(i, f)
		}
	}
}

// stale says whether a label has become useless since it was queued.
func (s *search) stale(i int32) bool {
	l := &s.labels[i]
	at := s.find(l.node)
	if s.cycle || s.bounded {
		return s.beaten(at, l)
	}
	return s.best[at] != i
}

// beaten says whether the labels expanded at a node make another one useless.
func (s *search) beaten(at int32, l *label) bool {
	other := int32(-1) // a root expanded, not the one in question
	for k := s.kept[at]; k >= 0; k = s.labels[k].older {
		have := &s.labels[k]
		switch {
		case have.amount > l.amount || have.hops > l.hops && (s.bounded || have.amount == l.amount):
		case have.root == l.root || other >= 0 && have.root != other:
			return true
		default:
			other = have.root
		}
	}
	return false
}

// meet follows the forward search's way from a label back to the payer, with the amounts
// as they really are. If that holds, it is a route, and often the best.
func (s *search) meet(i, at int32) {
	if s.labels[i].node == s.start || !s.cost(&s.labels[i]).plus(s.forward.costs[at]).less(s.limit) {
		return
	}
	mark := len(s.labels)
	for f := &s.forward; f.parents[at] >= 0; at = f.parents[at] {
		l := s.labels[i]
		from := f.nodes[f.parents[at]]
		can, _, fee, _ := s.figures(s.real(from), l.node)
		if len(s.loads) > 0 {
			can -= s.loads[edge{s.real(from), l.node}]
		}
		amount, ok := add(l.amount, fee, l.next < 0)
		need := amount
		if s.flow && ok {
			need, ok = add(1, fee, l.next < 0)
			need = max(need, s.least)
		}
		if !ok || need > can || s.visits(i, from) {
			s.labels = s.labels[:mark]
			return
		}
		s.labels = append(s.labels, label{amount: amount, next: i, node: from, root: -1, hops: l.hops + 1})
		i = int32(len(s.labels) - 1)
	}
	if end := &s.labels[i]; s.cost(end).less(s.limit) {
		s.found, s.limit = i, s.cost(end)
		return
	}
	s.labels = s.labels[:mark]
}

// visits says whether the way of a label comes by a node.
func (s *search) visits(i, node int32) bool {
	for ; i >= 0; i = s.labels[i].next {
		if s.labels[i].node == node {
			return true
		}
	}
	return false
}

// way is the way of a start's label as nodes, payer and payee included.
func (s *search) way(end int32) []int32 {
	var nodes []int32
	for i := end; i >= 0; i = s.labels[i].next {
		nodes = append(nodes, s.labels[i].node)
	}
	return nodes
}

// route reads the way of a start's label.
func (s *search) route(end int32, amount money.Amount) Route {
	q, _ := s.price(s.way(end), amount)
	return q
}

// price makes the route over nodes, payer and payee included, that brings an amount. ok is
// false if it is beyond what can be counted; capacities are not looked at.
func (w *ground) price(nodes []int32, amount money.Amount) (Route, bool) {
	n := len(nodes) - 1
	q := Route{Hops: make([]ident.ID, n), Amounts: make([]money.Amount, n), Charges: make([]Charge, n)}
	due := amount
	for i := n - 1; i >= 0; i-- {
		can, _, fee, _ := w.figures(w.real(nodes[i]), nodes[i+1])
		if i == n-1 {
			fee = money.Fee{}
		}
		var ok bool
		if due, ok = add(due, fee, i == n-1); !ok {
			return Route{}, false
		}
		q.Hops[i], q.Amounts[i] = w.id(nodes[i+1]), due
		q.Charges[i] = Charge{CanPay: can, FeeBase: fee.Base, FeePpm: fee.Ppm}
	}
	q.Fee = due - amount
	return q, true
}
