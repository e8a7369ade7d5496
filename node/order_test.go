package node

import (
	"testing"

	"kula/money"
)

// Lists of payments follow the ids: those of one second too are in the order in which they were made (spec P-4).
func TestPushIDsAscend(t *testing.T) {
	w, n := newWorld(t, "payer", "payee")
	w.befriend(n[1], n[0], fst, 1000, 1000)
	last := ""
	for i := range 300 { // more than two seconds, at 7 ms each and more
		p := w.must(n[0], &Pay{To: "payee", Value: money.Value{Amount: 1, Currency: fst}, GiveUp: 1000}).(*PaymentView)
		if p.ID <= last {
			t.Fatalf("payment %d is %s, after %s", i, p.ID, last)
		}
		last = p.ID
	}
}

// A Step without events, after some were taken or with none at all, says like any other when the node is to be woken.
func TestStepWithoutEventsWakes(t *testing.T) {
	_, n := newWorld(t, "zero")
	for range 3 {
		if fx := n[0].Step(1_700_000_000_000, [32]byte{1}); fx.Wake == 0 {
			t.Fatal("it is never to be woken again")
		}
	}
}
