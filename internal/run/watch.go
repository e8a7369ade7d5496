package run

import (
	"context"
	"slices"

	"kula/ident"
	"kula/node"
)

const (
	// watchAll and watchOne bound how far a Watcher may lag: 1,024 notices are a
	// tenth of a second at full speed; one payment or invoice changes a few times.
	watchAll = 1024
	watchOne = 16
)

// Topic picks notices. The zero Topic picks all; else exactly one field is set.
type Topic struct {
	Payment string // a payment's id
	Invoice string // an invoice's id
	Friend  ident.ID
}

// Watcher receives the notices of a topic. C is closed when the watcher lags so far
// behind that its buffer is full, or the loop ends, or after Close.
type Watcher struct {
	C      <-chan node.Notice
	send   chan node.Notice
	topic  Topic
	loop   *Loop
	over   bool // the loop's: send is closed
	lagged bool // set before send is closed
}

// Watch subscribes to a topic. look, if not nil, is called in the loop at the moment
// of the subscription: what it does not see yet comes as a notice. The views in
// notices are shared: do not change them.
func (l *Loop) Watch(ctx context.Context, topic Topic, look func(*node.Node)) (*Watcher, error) {
	size := watchOne
	if topic == (Topic{}) {
		size = watchAll
	}
	w := &Watcher{send: make(chan node.Notice, size), topic: topic, loop: l}
	w.C = w.send
	err := l.View(ctx, func(n *node.Node) {
		l.desk.watching[topic] = append(l.desk.watching[topic], w)
		if look != nil {
			look(n)
		}
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Lagged says, once C is closed, whether notices were lost.
func (w *Watcher) Lagged() bool { return w.lagged }

// Close ends the subscription. It may be called more than once.
func (w *Watcher) Close() {
	w.loop.put(input{then: func() {
		w.loop.desk.forget(w)
		w.end(false)
	}})
}

// end closes C. The loop calls it.
func (w *Watcher) end(lagged bool) {
	if !w.over {
		w.over, w.lagged = true, lagged
		close(w.send)
	}
}

func (d *desk) forget(w *Watcher) {
	rest := slices.DeleteFunc(d.watching[w.topic], func(o *Watcher) bool { return o == w })
	if len(rest) == 0 {
		delete(d.watching, w.topic)
		return
	}
	d.watching[w.topic] = rest
}

// tell hands notices to the watchers of their topics and to all who watch everything.
func (d *desk) tell(told []node.Notice, s *stats) {
	for _, n := range told {
		switch {
		case n.Payment != nil:
			s.settled(n.Payment.State)
			d.settle(n.Payment)
			d.deliver(Topic{Payment: n.Payment.ID}, n)
		case n.Invoice != nil:
			d.deliver(Topic{Invoice: n.Invoice.ID}, n)
		case n.Friend != nil:
			d.deliver(Topic{Friend: n.Friend.Key}, n)
		}
		d.deliver(Topic{}, n)
	}
}

// deliver never waits: a watcher without room is dropped.
func (d *desk) deliver(t Topic, n node.Notice) {
	list := d.watching[t]
	full := false
	for _, w := range list {
		select {
		case w.send <- n:
		default:
			w.end(true)
			full = true
		}
	}
	if full {
		d.watching[t] = slices.DeleteFunc(list, func(w *Watcher) bool { return w.over })
	}
}
