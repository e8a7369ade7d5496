package node

import (
	"testing"

	"kula/route"
)

// What is handed out again takes back, too, what an index server may count still, after what counts and no longer than it may.
func TestRepublishWithdrawals(t *testing.T) {
	w, n := newWorld(t, "ana", "ben", "cleo", "dan")
	ana := n[0]
	pass := func(ms int64) {
		w.now += ms
		w.step(ana, Tick{})
	}
	for _, f := range n[1:] {
		w.befriend(ana, f, fst, 100, 100)
	}
	pass(announceEvery)
	pass(announceEvery)
	again := func(when string, live, withdrawn int) {
		t.Helper()
		fx := ana.Step(w.now, [32]byte{1}, Republish{})
		if len(fx.Publish) != live+withdrawn {
			t.Errorf("%s: %d announcements, want %d and %d withdrawals", when, len(fx.Publish), live, withdrawn)
		}
		for i, signed := range fx.Publish {
			a, err := route.Open(ana.suite, signed)
			if err != nil {
				t.Fatal(err)
			}
			if (len(a.Entries) == 0) != (i >= live) {
				t.Errorf("%s: number %d has %d entries, want %d announcements and then %d withdrawals", when, i, len(a.Entries), live, withdrawn)
			}
			if _, err := w.index.Apply(a, w.now/1000); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
	}
	again("all are there", 3, 0)
	gone := ana.order[0]
	w.step(ana, Disconnected{gone.id, gone.session.number})
	pass(announceEvery)
	again("one went", 2, 1)
	w.index = route.NewGraph(0)
	again("wiped and replaced", 2, 1)
	pass(announceLife / 2 * 1000)
	again("the others were renewed", 2, 1)
	pass(announceLife / 2 * 1000)
	again("what it took back has expired", 2, 0)
	w.connect(ana, w.n[gone.id])
	pass(announceEvery)
	again("it came back", 3, 0)
	w.step(ana, Stop{})
	again("stopped", 0, 3)
}
