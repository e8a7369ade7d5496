package sim

import (
	"kula/node"
	"kula/route"
	"kula/wire"
)

// index is an index server that forgets and dawdles.
type index struct {
	w     *World
	graph *route.Graph
	lossy Faults
	asked func(*route.Query) // by a scenario that looks on, nil for nobody
}

func newIndex(w *World) index { return index{w: w, graph: route.NewGraph(0)} }

func (x *index) publish(s wire.Batched) {
	w := x.w
	delay := int64(0)
	if !w.calm {
		if w.chance(x.lossy.forget) {
			w.Stats.Faults[FaultStaleIndex]++
			return
		}
		delay = w.between(0, x.lossy.dawdle)
	}
	w.at(delay, func() {
		a, err := route.Open(w.Members[0].keys, s)
		if err == nil {
			_, _ = x.graph.Apply(a, w.now/1000) // an old number or a clock that is off: the index keeps what it has
		}
	})
}

func (x *index) ask(m *Member, q node.Query) {
	w := x.w
	if x.asked != nil {
		x.asked(&q.Query)
	}
	delay := int64(0)
	if !w.calm {
		delay = w.between(0, x.lossy.dawdle)
	}
	if !w.calm && w.chance(x.lossy.silent) {
		w.Stats.Faults[FaultNoIndex]++
		m.later(delay, func() { m.push(node.Answered{Query: q.ID, Problem: "the index does not answer"}) })
		return
	}
	m.later(delay, func() {
		m.push(node.Answered{Query: q.ID, Answer: x.graph.Answer(&q.Query)})
	})
}
