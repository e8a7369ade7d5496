package route

// places gives nodes places 0, 1, 2… in the order of their first visit: a search touches a
// few thousand of a million nodes, and an open hash table of those fits a processor's cache
// where an array of all does not.
type places struct {
	slots []int32 // place+1, 0 if empty; a power of two
	nodes []int32 // by place
}

// mix spreads node numbers over the slots (the multiplier is 2^32 over the golden ratio).
func (p *places) mix(node int32) int { return int(uint32(node) * 2654435769 >> 7) }

// reset empties the table, in time of what was in it.
func (p *places) reset() {
	if p.slots == nil {
		p.slots = make([]int32, 1<<10)
	}
	if 8*len(p.nodes) > len(p.slots) {
		clear(p.slots)
	} else {
		mask := len(p.slots) - 1
		for _, n := range p.nodes {
			for at := p.mix(n) & mask; p.slots[at] != 0; at = (at + 1) & mask {
				p.slots[at] = 0
			}
		}
	}
	p.nodes = p.nodes[:0]
}

// find gives the place of a node, -1 if it has none.
func (p *places) find(node int32) int32 {
	mask := len(p.slots) - 1
	for at := p.mix(node) & mask; p.slots[at] != 0; at = (at + 1) & mask {
		if place := p.slots[at] - 1; p.nodes[place] == node {
			return place
		}
	}
	return -1
}

// take gives the place of a node, a new one if it has none.
func (p *places) take(node int32) (place int32, fresh bool) {
	mask := len(p.slots) - 1
	at := p.mix(node) & mask
	for ; p.slots[at] != 0; at = (at + 1) & mask {
		if place := p.slots[at] - 1; p.nodes[place] == node {
			return place, false
		}
	}
	place = int32(len(p.nodes))
	p.nodes = append(p.nodes, node)
	p.slots[at] = place + 1
	if 2*len(p.nodes) > len(p.slots) {
		p.grow()
	}
	return place, true
}

func (p *places) grow() {
	p.slots = make([]int32, 2*len(p.slots))
	mask := len(p.slots) - 1
	for place, n := range p.nodes {
		at := p.mix(n) & mask
		for p.slots[at] != 0 {
			at = (at + 1) & mask
		}
		p.slots[at] = int32(place) + 1
	}
}

// cost orders what a search has found: by amount, then by channels (rule R9).
type cost struct {
	amount int64
	hops   int32
}

func (c cost) less(d cost) bool {
	return c.amount < d.amount || c.amount == d.amount && c.hops < d.hops
}

func (c cost) plus(d cost) cost { return cost{c.amount + d.amount, c.hops + d.hops} }

// queue is a binary heap of places or labels by cost; equal costs leave it in an order
// that depends on what was done before and on nothing else.
type queue []queued

type queued struct {
	cost cost
	i    int32
}

func (q *queue) push(c cost, i int32) {
	h := append(*q, queued{})
	k := len(h) - 1
	for k > 0 {
		parent := (k - 1) / 2
		if !c.less(h[parent].cost) {
			break
		}
		h[k] = h[parent]
		k = parent
	}
	h[k] = queued{c, i}
	*q = h
}

func (q *queue) pop() queued {
	h := *q
	top, n := h[0], len(h)-1
	x := h[n]
	h = h[:n]
	*q = h
	if n == 0 {
		return top
	}
	k := 0
	for {
		child := 2*k + 1
		if child >= n {
			break
		}
		if child+1 < n && h[child+1].cost.less(h[child].cost) {
			child++
		}
		if !h[child].cost.less(x.cost) {
			break
		}
		h[k] = h[child]
		k = child
	}
	h[k] = x
	return top
}
