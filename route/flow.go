package route

import (
	"cmp"
	"math"
	"slices"

	"kula/money"
)

const (
	// augmentations is how many ways one flow may be put together from: with reverse steps
	// each usually saturates a channel, and a route of MaxParts parts seldom needs more than twice as many.
	augmentations = 4 * MaxParts
	// flowRoom is how much effort one augmenting search may make. Where nothing more can
	// pass, a search would look at the whole graph to prove it.
	flowRoom = 1 << 12
	// firstRoom is how much effort all searches for one answer may make while it has no
	// routes yet, partRoom how many may then be spent on cheaper ones: a label takes half
	// a microsecond, and a payer waits for an answer, not for the last unit. The search for
	// a single route, which comes first, is apart.
	firstRoom  = 3 << 11
	partRoom   = 1 << 11
	singleRoom = 1 << 13
	// rounds is how often all parts are looked at again for something cheaper.
	rounds = 4
)

// part is one route of several: its nodes, payer and payee included, and what it brings.
type part struct {
	nodes  []int32
	amount money.Amount
	locked money.Amount // on its first channel
}

// splitter carries an amount in parts (rule R19).
//
// A minimum-cost flow is found by successive cheapest ways, each through the residual graph: a
// step against a channel that is in use gives back what it carries. By the theory of
// generalised flows (Onaga 1966; Ahuja, Magnanti and Orlin, Network Flows, ch. 15) what
// is found this way is the cheapest for its size, as long as fees are proportional. The
// flow is taken apart into routes, whose amounts are then made exact. As base fees
// and rounding are not proportional, what is found is improved: a part is searched
// anew, two become one, or one takes over from another, while that saves something.
type splitter struct {
	*search
	r      *Request
	parts  []part
	room   int // effort left for all searches
	budget int // of it once there is an answer
	each   int // for one search of a flow
}

func newSplitter(f *Finder, r *Request) *splitter {
	s := f.begin(r)
	s.loads = map[edge]money.Amount{}
	return &splitter{search: s, r: r, room: firstRoom, budget: partRoom, each: flowRoom}
}

// giveBack takes a label of the search back over the channels out of its node that are in
// use: what they carry can go this way instead.
func (s *search) giveBack(i int32) {
	l := s.labels[i]
	for _, y := range s.outs[l.node] {
		load := s.loads[edge{l.node, y}]
		if load <= 0 || y == s.to || l.next >= 0 && !l.back && y == s.labels[l.next].node {
			continue
		}
		_, _, fee, _ := s.figures(l.node, y)
		n := label{amount: lessFee(l.amount, fee), next: i, node: y, root: l.root, hops: l.hops - 1, back: true}
		if n.amount > 0 && !s.visits(i, y) {
			s.offer(n)
		}
	}
}

// lessFee is what can be forwarded of an amount after a proportional fee, rounded down.
func lessFee(a money.Amount, fee money.Fee) money.Amount {
	const whole = 1_000_000
	ppm := money.Amount(fee.Ppm)
	return a - (a/(whole+ppm)*ppm + (a%(whole+ppm)*ppm+whole+ppm-1)/(whole+ppm))
}

// flow fills loads with a flow of the amount or as much as can pass, and says how much that
// is. complete says that no more than this can pass.
//
// A quick flow goes over wide channels first, and searches each way from both ends anew:
// it needs few ways, which need not be the cheapest. Else the lower bounds of the first forward
// search remain, for they hold as long as each way is a cheapest one.
func (p *splitter) flow(amount money.Amount, quick bool) (brought money.Amount, complete bool) {
	clear(p.loads)
	p.outs = map[int32][]int32{}
	width, narrowest := money.Amount(1), money.Amount(1)
	if quick {
		width, narrowest = max(1, amount/2), max(1, amount/money.Amount(4*p.r.maxParts()))
	}
	p.forward.reset(p.ground, amount, width, false)
	for range augmentations {
		if brought == amount {
			return brought, true
		}
		end, ok := p.backward(amount, mode{flow: true, back: true, least: width, room: min(p.each, max(p.room, 1))})
		p.room -= p.effort()
		var x money.Amount
		if ok {
			way := p.steps(end)
			if x = p.bottleneck(way, amount-brought); x > 0 {
				p.augment(way, x)
				brought += x
			}
		}
		if x == 0 {
			if width == narrowest || p.room <= 0 {
				return brought, !quick && !ok && !p.spent
			}
			width = max(narrowest, width/2)
		}
		if quick {
			p.forward.reset(p.ground, amount, width, false)
		}
	}
	return brought, false
}

// step is one channel of an augmenting way: back means that the load of to→from is given back.
type step struct {
	from, to int32
	back     bool
}

func (p *splitter) steps(end int32) (way []step) {
	for i := end; p.labels[i].next >= 0; i = p.labels[i].next {
		l := &p.labels[i]
		way = append(way, step{l.node, p.labels[l.next].node, l.back})
	}
	return way
}

// push walks an amount along a way from its end, calling visit with what each channel
// takes more or gives back. ok is false if visit said so.
func (p *splitter) push(way []step, amount money.Amount, visit func(t step, a money.Amount) bool) bool {
	due := amount
	for k := len(way) - 1; k >= 0; k-- {
		t := way[k]
		if t.back {
			if !visit(t, due) {
				return false
			}
			_, _, fee, _ := p.figures(t.to, t.from)
			due = lessFee(due, fee)
			continue
		}
		_, _, fee, _ := p.figures(p.real(t.from), t.to)
		var ok bool
		if due, ok = add(due, fee, t.to == p.to); !ok || !visit(t, due) {
			return false
		}
	}
	return true
}

// bottleneck is the most that a way can bring, up to most.
func (p *splitter) bottleneck(way []step, most money.Amount) money.Amount {
	return largest(most, func(x money.Amount) bool {
		return p.push(way, x, func(t step, a money.Amount) bool {
			if t.back {
				return a <= p.loads[edge{t.to, t.from}]
			}
			e := edge{p.real(t.from), t.to}
			can, _, _, _ := p.figures(e.from, e.to)
			return a <= can-p.loads[e]
		})
	})
}

// largest finds the largest x from 0 to most that is good; if one is, all smaller ones are.
func largest(most money.Amount, good func(x money.Amount) bool) money.Amount {
	if most <= 0 || good(most) {
		return max(most, 0)
	}
	low, high := money.Amount(0), most-1
	for low < high {
		middle := low + (high-low+1)/2
		if good(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

func (p *splitter) augment(way []step, x money.Amount) {
	p.push(way, x, func(t step, a money.Amount) bool {
		if t.back {
			p.loads[edge{t.to, t.from}] -= a
			return true
		}
		e := edge{p.real(t.from), t.to}
		if _, ok := p.loads[e]; !ok {
			p.outs[e.from] = append(p.outs[e.from], e.to)
		}
		p.loads[e] += a
		return true
	})
}

// apart takes the flow of loads apart into ways, those that bring most first.
func (p *splitter) apart() (ways []part) {
	for range 2 * MaxParts {
		nodes := p.trace()
		if nodes == nil {
			break
		}
		x := money.Amount(math.MaxInt64)
		for i := 1; i < len(nodes); i++ { // as much as the way has, less the fees
			e := edge{p.real(nodes[i-1]), nodes[i]}
			x = min(x, p.loads[e])
			if i < len(nodes)-1 {
				_, _, fee, _ := p.figures(e.from, e.to)
				x = lessFee(x, fee)
			}
		}
		due := max(x, 1)
		for i := len(nodes) - 1; i > 0; i-- {
			e := edge{p.real(nodes[i-1]), nodes[i]}
			_, _, fee, _ := p.figures(e.from, e.to)
			due, _ = add(due, money.Fee{Ppm: fee.Ppm}, i == len(nodes)-1)
			p.loads[e] = max(0, p.loads[e]-due)
		}
		if x > 0 {
			ways = append(ways, part{nodes: nodes, amount: x})
		}
	}
	slices.SortStableFunc(ways, func(a, b part) int { return cmp.Compare(b.amount, a.amount) })
	return ways
}

// trace follows the largest loads from the payer to the payee; nil if they lead nowhere. A
// circle in the flow is taken out on the way: nobody needs it.
func (p *splitter) trace() []int32 {
	nodes := []int32{p.start}
	for x := p.start; ; {
		var next int32
		var most money.Amount
		for _, y := range p.outs[p.real(x)] {
			if a := p.loads[edge{p.real(x), y}]; a > most && (len(nodes) == 1 || x != p.to) {
				next, most = y, a
			}
		}
		if most == 0 {
			if len(nodes) == 1 {
				return nil
			}
			p.loads[edge{p.real(nodes[len(nodes)-2]), x}] = 0 // what rounding left
			nodes = nodes[:len(nodes)-1]
			x = nodes[len(nodes)-1]
			continue
		}
		if next == p.to {
			return append(nodes, next)
		}
		if k := slices.Index(nodes, next); k >= 0 {
			p.loads[edge{p.real(x), next}] = 0
			nodes = nodes[:k+1]
			x = next
			continue
		}
		nodes, x = append(nodes, next), next
	}
}

// allowed says whether a way keeps to rule R10.
func (p *splitter) allowed(nodes []int32) bool {
	return len(nodes) > 1 && len(nodes)-1 <= int(p.maxHops) && (!p.cycle || len(nodes) > minCycle)
}

// fits says whether the channels of a way can carry an amount beside the other parts, and
// what is locked on the first one then.
func (p *splitter) fits(nodes []int32, amount money.Amount) (locked money.Amount, ok bool) {
	due := amount
	for i := len(nodes) - 1; i > 0; i-- {
		e := edge{p.real(nodes[i-1]), nodes[i]}
		can, _, fee, _ := p.figures(e.from, e.to)
		if due, ok = add(due, fee, i == len(nodes)-1); !ok || due > can-p.loads[e] {
			return 0, false
		}
	}
	return due, true
}

func (p *splitter) most(nodes []int32, want money.Amount) money.Amount {
	return largest(want, func(x money.Amount) bool {
		_, ok := p.fits(nodes, x)
		return ok
	})
}

// hold adds what a part locks to loads, or takes it out.
func (p *splitter) hold(t part, sign money.Amount) {
	due := t.amount
	for i := len(t.nodes) - 1; i > 0; i-- {
		e := edge{p.real(t.nodes[i-1]), t.nodes[i]}
		_, _, fee, _ := p.figures(e.from, e.to)
		due, _ = add(due, fee, i == len(t.nodes)-1)
		p.loads[e] += sign * due
	}
}

// put adds a part.
func (p *splitter) put(nodes []int32, amount money.Amount) {
	locked, _ := p.fits(nodes, amount)
	t := part{nodes, amount, locked}
	p.hold(t, 1)
	p.parts = append(p.parts, t)
}

// take removes part k.
func (p *splitter) take(k int) part {
	t := p.parts[k]
	p.hold(t, -1)
	p.parts = slices.Delete(p.parts, k, k+1)
	return t
}

// locked is what all parts take from the payer.
func (p *splitter) locked() (sum money.Amount) {
	for _, t := range p.parts {
		sum += t.locked
	}
	return sum
}

// shortest searches one way for an amount beside the other parts.
func (p *splitter) shortest(amount money.Amount) ([]int32, bool) {
	end, ok := p.run(amount, mode{room: max(p.room, 1)})
	p.room -= p.effort()
	if ok && p.labels[end].hops > p.maxHops {
		end, ok = p.run(amount, mode{bounded: true, room: max(p.room, 1)})
		p.room -= p.effort()
	}
	if !ok {
		return nil, false
	}
	return p.way(end), true
}
