package credit

import (
	"fmt"
	"testing"

	"kula/money"
	"kula/wire"
)

// sent is an update as the other side decodes it: what it cannot decode it can never accept.
func sent(t *testing.T, u *wire.Update) *wire.Update {
	t.Helper()
	m, err := wire.Decode(wire.Encode(u))
	if err != nil {
		t.Fatal(err)
	}
	return m.(*wire.Update)
}

// Both sides move at once, in every order of arrival (C-20: moves of both sides always commute).
func TestMovesCommute(t *testing.T) {
	for _, first := range []int{0, 1} {
		a, b := friends(t)
		n, m := lock(t, a, eur, 30), lock(t, b, eur, 40)
		lock(t, a, eur, 5)
		quiet(t, a, b)
		a.Fulfil(n)
		lock(t, a, eur, 25)
		a.Cancel(m, []byte("no"))
		b.Cancel(3, nil) // not open: false
		lock(t, b, eur, 50)
		add(t, b, eur, 10)
		b.Cancel(2, nil)
		ua, ub := tell(a, b), tell(b, a)
		if first == 0 {
			accept(t, b, ua)
			accept(t, a, ub)
		} else {
			accept(t, a, ub)
			accept(t, b, ua)
		}
		quiet(t, a, b)
		a.Drop(2)
		b.Drop(m)
		quiet(t, a, b)
		if f := a.Figures(eur); f.IOwe != 30 || f.TheyOwe != 10 || f.LockedByMe != 25 || f.LockedByThem != 50 {
			t.Fatalf("%+v", f)
		}
	}
}

// C-29: one signature for many moves; a reader far behind gets one group instead of more than MaxGroups.
func TestManyPromisesUnacknowledged(t *testing.T) {
	a, b := friends(t)
	k := lock(t, b, eur, 1)
	open := lock(t, a, eur, 1)
	quiet(t, a, b)
	a.Cancel(k, []byte("reason"))
	for i := range wire.MaxGroups + 6 {
		switch i % 3 {
		case 0:
			lock(t, a, eur, 1)
		case 1:
			add(t, a, eur, 1)
		case 2:
			if open != 0 {
				a.Fulfil(open)
			}
			lock(t, a, eur, 2)
			open = 0
		}
		a.Sign(a.s, 1)
	}
	u := sent(t, a.Since(b.HeldMark()))
	if len(u.Groups) != 1 {
		t.Fatalf("%d groups", len(u.Groups))
	}
	accept(t, b, u)
	b.Drop(k)
	quiet(t, a, b)
}

// C-28: what a reader would not decode is never queued: it could not be taken back.
func TestMovesHaveForm(t *testing.T) {
	a, b := friends(t)
	bad := newLock(eur, 1)
	bad.Blob = make([]byte, wire.MaxBlob+1)
	for name, l := range map[string]wire.Lock{
		"nothing": newLock(eur, 0), "negative": newLock(eur, -1), "more than the greatest limit": newLock(eur, money.MaxLimit+1),
		"no currency": newLock("EUR", 1), "no condition": {Currency: eur, Amount: 1}, "blob too large": bad,
	} {
		if _, err := a.Lock(l); err == nil {
			t.Errorf("lock %s: queued", name)
		}
	}
	for name, x := range map[string]wire.Add{
		"nothing": {Kind: wire.AddSettlement, Currency: eur}, "no kind": {Currency: eur, Amount: 1},
		"more than the greatest limit": {Kind: wire.AddSettlement, Currency: eur, Amount: money.MaxLimit + 1},
		"not UTF-8":                    {Kind: wire.AddSettlement, Currency: eur, Amount: 1, Text: "\xff"},
	} {
		if err := a.Add(x); err == nil {
			t.Errorf("add %s: queued", name)
		}
	}
	if a.Pending() && len(a.Mine.Locks)+len(a.Mine.Adds) > 0 || a.Mine.Next != 1 {
		t.Fatalf("%+v", a.Mine)
	}
	quiet(t, a, b)
}

func TestManyAdds(t *testing.T) { // C-28
	a, b := friends(t)
	for range wire.MaxLines + 1 {
		add(t, a, eur, 1)
	}
	accept(t, b, sent(t, tell(a, b)))
	quiet(t, a, b)
	a, _ = friends(t)
	for range wire.MaxAdds {
		add(t, a, eur, 1)
	}
	wantCode(t, a.Add(wire.Add{Kind: wire.AddSettlement, Currency: eur, Amount: 1}), wire.TooManyLocks)
}

func TestManyCurrencies(t *testing.T) { // C-28
	a, b := ends()
	cur := func(i int) money.Currency { return money.Currency(fmt.Sprintf("C%02d/2", i)) }
	var lines []wire.TermsLine
	for i := range wire.MaxLines {
		lines = append(lines, limit(cur(i), 10))
	}
	grant(t, b, a, lines...)
	for i := range wire.MaxLines + 1 {
		var err error
		if i%2 == 0 {
			_, err = a.Lock(newLock(cur(i), 1))
		} else {
			err = a.Add(wire.Add{Kind: wire.AddCorrection, Currency: cur(i), Amount: 1})
		}
		if i == wire.MaxLines {
			wantCode(t, err, wire.UnknownCurrency)
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			accept(t, b, sent(t, tell(a, b)))
			pass(t, b, a)
		}
	}
}

// C-28: an add above the limit waits until it fits; signed, it would bar every later promise.
func TestAddWaitsForRoom(t *testing.T) {
	a, b := friends(t)
	add(t, b, eur, 10)
	quiet(t, a, b)
	n := lock(t, a, eur, 110)
	quiet(t, a, b)
	add(t, a, eur, 10)
	if a.Pending() {
		t.Fatal("wants to sign what nobody accepts")
	}
	a.Fulfil(n)
	pass(t, a, b)
	pass(t, b, a)
	if a.Mine.Adds[0].Seq != Queued {
		t.Fatal("signed above the limit")
	}
	grant(t, b, a, limit(eur, 110))
	quiet(t, a, b)
	if f := a.Figures(eur); f.IOwe != 120 {
		t.Fatalf("%+v", f)
	}
}

// C-28: locks queued before the limit was lowered are taken back, newest first, each currency by itself.
func TestTakeBackOver(t *testing.T) {
	a, b := ends()
	grant(t, b, a, limit(eur, 100), limit(hrs, 100))
	signed := lock(t, a, eur, 10)
	a.Sign(a.s, 1)
	for range 3 {
		lock(t, a, eur, 20)
		lock(t, a, hrs, 20)
	}
	grant(t, b, a, limit(eur, 50), limit(hrs, 10))
	s := a.Sign(a.s, 1)
	var over []uint64
	for _, l := range s.Over {
		over = append(over, l.Number)
	}
	if fmt.Sprint(over) != "[7 6 5 3]" || a.OpenLocks() != 3 || a.OwnLock(signed) == nil {
		t.Fatalf("took back %v", over)
	}
	if a.Figures(hrs).CanPay != 10 || a.Figures(eur).CanPay != 0 {
		t.Fatalf("%+v", a.Figures(hrs))
	}
}

func TestQueue(t *testing.T) {
	a, b := friends(t)
	quiet(t, a, b)
	n, k := lock(t, a, eur, 10), lock(t, a, eur, 20)
	if !a.Withdraw(n) || a.Withdraw(n) || a.Withdraw(99) || a.OwnLock(n) != nil {
		t.Fatal("withdraw")
	}
	m := lock(t, a, eur, 5)
	if m != k+1 {
		t.Fatalf("lock %d after %d: a number is never used again", m, k)
	}
	pass(t, a, b)
	if a.Withdraw(k) {
		t.Fatal("withdrew what is signed")
	}
	if !b.Cancel(k, nil) || b.Cancel(k, nil) || b.Cancel(99, nil) || !b.Cancelled(k) || b.Cancelled(m) {
		t.Fatal("cancel")
	}
	if !a.Fulfil(m) || a.Fulfil(m) || a.Drop(m) || a.Drop(99) {
		t.Fatal("ends")
	}
	quick := lock(t, a, eur, 7) // opened and ended by one signature
	a.Fulfil(quick)
	pass(t, a, b)
	pass(t, b, a)
	a.Drop(k)
	pass(t, a, b)
	u := tell(b, a)
	step, err := a.Judge(a.s, u, Floor{})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Accept(step); fmt.Sprint(got) != fmt.Sprintf("[%d]", k) {
		t.Fatalf("forgot %v", got)
	}
	quiet(t, a, b)
	if f := a.Figures(eur); f.IOwe != 12 || f.LockedByMe != 0 || a.OpenLocks() != 0 {
		t.Fatalf("%+v", f)
	}
}

func TestTermsSorted(t *testing.T) {
	a, b := ends()
	s := a.SetTerms(a.s, []wire.TermsLine{limit(hrs, 1), limit(eur, 2), limit(gbp, 3)}, true)
	if fresh, err := b.AcceptTerms(b.s, s); !fresh || err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(b.Currencies()) != "[EUR/2 GBP/2 HOUR/2]" || !b.TheirTerms.Closing || b.Figures(gbp).LimitReceived != 3 {
		t.Fatalf("%v", b.Currencies())
	}
}

func TestOwnOverflowPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("signed a debt beyond int64")
		}
	}()
	mustAdd(1<<63-1, 1)
}

// KeepTerms: what an earlier copy knows of terms is not forgotten for a snapshot that shows older ones (C-37).
func TestKeepTerms(t *testing.T) {
	a, b := friends(t)
	s := b.Snapshot()
	a.SetTerms(a.s, []wire.TermsLine{limit(eur, 7)}, false)
	if _, err := a.AcceptTerms(a.s, b.SetTerms(b.s, []wire.TermsLine{limit(eur, 8)}, false)); err != nil {
		t.Fatal(err)
	}
	c, err := Adopt(a.s, a.Me, a.Friend, s)
	if err != nil {
		t.Fatal(err)
	}
	if c.KeepTerms(a.Channel); c.Granted().Number != 2 || c.TheirTerms.Number != 2 || len(c.MyTerms) != 2 {
		t.Fatalf("%+v", c)
	}
	c.KeepTerms(New(a.Me, b.Me))
	if c.Granted().Number != 2 || c.TheirTerms.Number != 2 {
		t.Fatal("older terms took over")
	}
}
