package route

import (
	"errors"
	"fmt"
	"testing"

	"kula/money"
	"kula/wire"
)

// Strangers name currencies: 32 in each announcement, and a graph keeps ten million of those. Rule R6: a currency too many
// is refused, and none is taken for another.
func TestCurrenciesBeyondTheirNumbers(t *testing.T) {
	w := newWorld(t)
	w.link(1, 2, 50, 50)
	w.announce(fst)                                   // has number 0
	for len(w.g.currencies.items) < maxCurrencies-1 { // what 33 strangers with a thousand friends of 32 currencies each bring about
		w.g.currencies.items = append(w.g.currencies.items, "")
		w.g.currencies.holds = append(w.g.currencies.holds, 1)
	}
	say := func(who, friend int, number uint64, list ...money.Currency) error {
		a := Announcement{Node: nodeID(who), Friend: nodeID(friend), Number: number, Expires: noon + hour}
		for _, c := range list {
			a.Entries = append(a.Entries, entryOf(c, 9000, money.Fee{}))
		}
		_, err := w.g.Apply(a, noon)
		return err
	}
	_, before, _ := w.g.Size()
	for number, list := range [][]money.Currency{{"JUNK/0", "KITSCH/0"}, {fst, "JUNK/0", "KITSCH/0"}} {
		var no *Refusal
		if err := say(3, 4, uint64(number+1), list...); !errors.As(err, &no) || no.Code != wire.NotAllowed {
			t.Fatalf("two currencies where one has room: %v", err)
		}
	}
	if _, after, _ := w.g.Size(); after != before {
		t.Fatalf("%d announcements, before those that were refused %d", after, before)
	}
	if err := errors.Join(say(3, 4, 1, "JUNK/0"), say(4, 3, 1, "JUNK/0")); err != nil {
		t.Fatalf("the last currency that has room: %v", err)
	}
	if q, err := w.g.Cheapest(ask(3, 4, 9000)); err == nil {
		t.Errorf("JUNK is taken for FST: a route over %d channels that nobody announced in FST", len(q.Hops))
	}
	if err := say(3, 4, 2, fst); err != nil {
		t.Fatalf("a currency that is known: %v", err)
	}
	if err := say(4, 3, 2, "KITSCH/0"); err == nil {
		t.Fatal("no number is free before JUNK's is given back")
	}
	if err := errors.Join(say(4, 3, 2), say(4, 3, 3, "KITSCH/0")); err != nil {
		t.Fatalf("the number that is free again: %v", err)
	}
	if _, err := w.g.Cheapest(ask(1, 2, 10)); err != nil {
		t.Errorf("FST lost its number: %v", err)
	}
}

// A number is given to another currency only when its last holder has dropped it.
func TestNumbersOfCurrencies(t *testing.T) {
	table, held := newTable(), map[money.Currency]int{}
	for step := range 20_000 {
		c := money.Currency(fmt.Sprintf("C%d/0", step*step%97))
		if i, ok := table.find(c); ok && step*7919%5 < 2 {
			table.drop(i)
			held[c]--
		} else {
			table.hold(c)
			held[c]++
		}
		at := map[int32]money.Currency{}
		for c, n := range held {
			i, ok := table.find(c)
			if ok != (n > 0) {
				t.Fatalf("step %d: %s has a number: %v, holders %d", step, c, ok, n)
			}
			if ok && (at[i] != "" || table.items[i] != c || table.holds[i] != int32(n)) {
				t.Fatalf("step %d: number %d of %s is that of %q and %q", step, i, c, at[i], table.items[i])
			}
			if ok {
				at[i] = c
			}
		}
	}
}
