package route

import "kula/money"

// forward is a Dijkstra from the payer that tells the search from the payee how far it
// still is: for each node reached at least how much an amount must grow on its way there.
// Every channel counts with its fee on the least amount it can carry, the one that arrives.
// Fees only grow with the amount, so that is a lower bound; it also leaves out whatever
// cannot carry that.
type forward struct {
	*ground
	arrives money.Amount
	least   money.Amount // what a channel must be able to carry, fee apart
	code    uint32       // of least
	levels  bool         // every channel counts as a step and nothing else

	places
	costs   []cost  // by place
	parents []int32 // by place, of a place; -1 at the start
	settled []bool  // by place
	queue   queue
}

func (f *forward) reset(w *ground, arrives, least money.Amount, levels bool) {
	f.ground, f.arrives, f.least, f.code, f.levels = w, arrives, least, needOf(least), levels
	f.places.reset()
	f.costs, f.parents, f.settled, f.queue = f.costs[:0], f.parents[:0], f.settled[:0], f.queue[:0]
	f.reach(w.start, cost{}, -1)
}

// reach notes a way to a node.
func (f *forward) reach(node int32, c cost, parent int32) {
	at, fresh := f.take(node)
	if fresh {
		f.costs, f.parents, f.settled = append(f.costs, c), append(f.parents, parent), append(f.settled, false)
	} else if f.settled[at] || !c.less(f.costs[at]) {
		return
	}
	f.costs[at], f.parents[at] = c, parent
	f.queue.push(c, at)
}

// radius is a lower bound for every node that is not settled; ok is false if there is
// none left that can be reached.
func (f *forward) radius() (c cost, ok bool) {
	for len(f.queue) > 0 {
		if top := f.queue[0]; !f.settled[top.i] {
			return top.cost, true
		}
		f.queue.pop()
	}
	return cost{}, false
}

// step settles the nearest node and gives its place, -1 if there is none.
func (f *forward) step() int32 {
	if _, ok := f.radius(); !ok {
		return -1
	}
	at := f.queue.pop().i
	f.settled[at] = true
	x := f.nodes[at]
	if x == f.to {
		return at
	}
	c := f.costs[at]
	f.outOf(x, f.code, func(a arrow) {
		var fee money.Amount
		if a.node != f.to {
			var ok bool
			if fee, ok = a.fee.Of(f.arrives); !ok {
				return
			}
		}
		if f.least == f.arrives && a.can-fee < f.least || a.can < f.least {
			return
		}
		w := cost{int64(fee), 1}
		if f.levels {
			w.amount = 0
		}
		f.reach(a.node, c.plus(w), at)
	})
	return at
}

// bound is at least how much is still to come at a node; ok is false if the payer cannot reach it.
func (f *forward) bound(node int32) (c cost, ok bool) {
	if at := f.find(node); at >= 0 && f.settled[at] {
		return f.costs[at], true
	}
	return f.radius()
}
