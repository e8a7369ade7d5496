package node

import (
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// claims steps n with a stranger's hello that says it holds a promise of n.
func (w *world) claims(n *Node, key byte) (ident.ID, Effects) {
	id := ident.NewKey([32]byte{key, 1}).ID()
	w.next++
	w.now += 7
	return id, n.Step(w.now, [32]byte{key}, Connected{id, w.next}, Received{id, w.next, &wire.Hello{Version: wire.Version, Held: wire.Mark{Epoch: 1, Seq: 1}}})
}

func wasAsked(fx Effects, id ident.ID) bool {
	for _, o := range fx.Send {
		if _, ok := o.Message.(*wire.Ask); ok && o.Peer == id {
			return true
		}
	}
	return false
}

func hungUp(fx Effects, id ident.ID) bool {
	for _, s := range fx.Hangup {
		if s.Peer == id {
			return true
		}
	}
	return false
}

// Strangers that claim to hold a promise of mine and show none do not keep a friend from restoring me (spec C-45).
func TestStrangersDoNotBlockARestore(t *testing.T) {
	w, list := newWorld(t, "Ana", "Ben")
	ana, ben := list[0], list[1]
	w.befriend(ana, ben, fst, 100, 100)
	w.must(ana, &Pay{To: "Ben", Value: money.Value{Amount: 40, Currency: fst}, GiveUp: 30000})

	ana = New(ident.NewKey([32]byte{1}), Config{Name: "Ana", Restored: true}) // the disk is lost
	w.n[ana.ID()] = ana
	var strangers []ident.ID
	for i := range byte(maxTentative) {
		id, fx := w.claims(ana, i)
		if strangers = append(strangers, id); !wasAsked(fx, id) {
			t.Fatalf("stranger %d was not asked", i)
		}
	}
	w.connect(ana, ben)
	if balance(ana, fst) != 0 {
		t.Fatal("there is room for more than maxTentative")
	}
	w.step(ben, Disconnected{ana.ID(), w.next})
	w.now += showWithin + timerEvery
	fx := ana.Step(w.now, [32]byte{7}, Tick{})
	for i, id := range strangers {
		if !hungUp(fx, id) || ana.Class(id) != ClassStranger {
			t.Errorf("stranger %d may stay", i)
		}
	}
	w.connect(ana, ben)
	w.now += patience
	w.step(ana, Tick{})
	w.run()
	if balance(ana, fst) != -40 {
		t.Fatalf("balance %d after the restore, want -40", balance(ana, fst))
	}
}

// Whoever showed nothing is not asked again for a while (spec C-45).
func TestStrangerIsNotAskedAgainSoon(t *testing.T) {
	w, list := newWorld(t, "Ana")
	ana := list[0]
	id, fx := w.claims(ana, 1)
	if !wasAsked(fx, id) || fx.Wake == 0 {
		t.Fatal("not asked")
	}
	w.now += showWithin - timerEvery
	if fx = ana.Step(w.now, [32]byte{1}, Tick{}); hungUp(fx, id) {
		t.Fatal("hung up before its time")
	}
	w.now += 2 * timerEvery
	if fx = ana.Step(w.now, [32]byte{2}, Tick{}); !hungUp(fx, id) {
		t.Fatal("not hung up")
	}
	if _, fx = w.claims(ana, 1); wasAsked(fx, id) || !hungUp(fx, id) {
		t.Fatal("asked again at once")
	}
	other, fx := w.claims(ana, 2)
	if !wasAsked(fx, other) {
		t.Fatal("another one was not asked")
	}
	if w.now += 1; ana.Step(w.now, [32]byte{3}, Received{other, w.next, &wire.Snapshot{}}).Hangup == nil || ana.Class(other) != ClassStranger {
		t.Fatal("a snapshot without a promise of mine leaves it where it is")
	}
	w.now += showAgain
	if _, fx = w.claims(ana, 1); !wasAsked(fx, id) {
		t.Fatal("not asked after a while")
	}
	for i := range 3 * maxUnproven {
		w.now += showWithin + timerEvery
		w.claims(ana, byte(10+i%200))
	}
	if len(ana.unproven) > maxUnproven {
		t.Errorf("%d keys remembered, at most %d", len(ana.unproven), maxUnproven)
	}
}
