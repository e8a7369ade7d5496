package credit

import (
	"testing"

	"kula/money"
	"kula/wire"
)

// signs signs what is to be signed now, if anything.
func signs(c *side) {
	if c.Pending() {
		c.Sign(c.s, 1_700_000_000_000)
	}
}

func wide(t *testing.T) (a, b *side) {
	a, b = ends()
	grant(t, a, b, limit(eur, 100_000))
	grant(t, b, a, limit(eur, 100_000))
	pass(t, a, b)
	pass(t, b, a)
	return a, b
}

// C-28: a friend that brings something new again and again and acknowledges nothing is answered 64 times, and a few
// times more where it could not go on otherwise; once it acknowledges, all goes on.
func TestUnacknowledgedIsBounded(t *testing.T) {
	a, b := wide(t)
	for range 900 {
		add(t, b, eur, 1)
		accept(t, a, tell(b, a))
		signs(a)
	}
	if n := len(a.Mine.Marks) - 1; n > 2*MaxUnacknowledged {
		t.Fatalf("%d promises of mine are not acknowledged", n)
	}
	lock(t, a, eur, 7)
	if a.Pending() {
		t.Fatal("signs more although nothing is acknowledged")
	}
	accept(t, b, a.Since(b.HeldMark()))
	quiet(t, a, b)
	if f := a.Figures(eur); f.TheyOwe != 900 || f.LockedByMe != 7 || len(b.Mine.Adds) > 0 {
		t.Fatalf("%+v, %d adds not acknowledged", f, len(b.Mine.Adds))
	}
}

// C-29: whoever only acknowledged is answered all the same before it may sign no more, however quiet the other is.
func TestAcknowledgementsAreAcknowledged(t *testing.T) {
	a, b := wide(t)
	for range MaxUnacknowledged + 10 {
		add(t, b, eur, 1)
		accept(t, a, tell(b, a))
		signs(a)
	}
	lock(t, a, eur, 7)
	if a.Pending() && len(a.Mine.Marks) > MaxUnacknowledged+3 {
		t.Fatal("signs moves although nothing is acknowledged")
	}
	accept(t, b, a.Since(b.HeldMark())) // brings no move
	if !b.Pending() {
		t.Fatal("does not acknowledge although the other waits for it")
	}
	quiet(t, a, b)
	if f := b.Figures(eur); f.LockedByThem != 7 {
		t.Fatalf("%+v", f)
	}
}

// C-28: both sides signed as much as they may before either heard anything.
func TestBothWaitForAcknowledgement(t *testing.T) {
	for _, epoch := range []bool{false, true} {
		a, b := wide(t)
		for range 3 * MaxUnacknowledged {
			lock(t, a, eur, 1)
			lock(t, b, eur, 1)
			signs(a)
			signs(b)
		}
		if n := len(a.Mine.Marks) - 1; n != MaxUnacknowledged || len(b.Mine.Marks)-1 != n {
			t.Fatalf("%d and %d not acknowledged", n, len(b.Mine.Marks)-1)
		}
		ua, ub := a.Since(b.HeldMark()), b.Since(a.HeldMark())
		accept(t, b, ua)
		accept(t, a, ub)
		if epoch { // what each waits for may also be a new beginning
			a.StartEpoch(a.s, 5, 1, nil)
			b.StartEpoch(b.s, 5, 1, nil)
			ua, ub = a.Since(b.HeldMark()), b.Since(a.HeldMark())
			accept(t, b, ua)
			accept(t, a, ub)
		}
		quiet(t, a, b)
		if n := a.Figures(eur).LockedByThem; n != 3*MaxUnacknowledged {
			t.Fatalf("%d locks came", n)
		}
	}
}

// C-43: renewals that acknowledge nothing cannot be answered without end.
func TestRenewalsAreBounded(t *testing.T) {
	a, b := wide(t) // a has the smaller key and begins
	add(t, a, eur, 1000)
	add(t, b, eur, 1000)
	quiet(t, a, b)
	refused := false
	for i := range uint64(200) {
		a.Theirs.Promise.Epoch, a.Theirs.Signed = b.Mine.Marks[0].Epoch, b.Mine.Marks[0].Signed // it has never heard of b's answers
		a.Theirs.Promise.Seq = b.Mine.Marks[0].Seq
		a.StartEpoch(a.s, 10+i, 1, []wire.Less{{Currency: eur, Amount: 1}})
		step, err := b.Judge(b.s, a.Since(b.HeldMark()), Floor{})
		if err != nil {
			wantCode(t, err, wire.BadAck)
			refused = true
			break
		}
		b.Accept(step)
		if less := b.Renewal(); less != nil {
			b.StartEpoch(b.s, 10+i, 1, less)
		}
	}
	if n := len(b.Mine.Marks) - 1; !refused || n > 2*MaxUnacknowledged {
		t.Fatalf("refused: %v; %d not acknowledged", refused, n)
	}
}

// C-20: of my terms only those are kept that may still count: the friend may write up to the highest that
// it may still cite, however many came after.
func TestTermsAreBounded(t *testing.T) {
	a, b := friends(t)
	set := func(amount money.Amount) { grant(t, b, a, limit(eur, amount)) }
	var first, last *wire.Update
	for i := range money.Amount(50) { // raised: only the newest counts
		set(100 + i)
	}
	if n := len(b.MyTerms); n != 1 {
		t.Fatalf("%d terms are kept of 50 that were raised", n)
	}
	lock(t, a, eur, 149)
	first = tell(a, b)
	for i := range money.Amount(5000) { // lowered step by step, while the friend is not heard
		set(148 - i%149)
	}
	for i := range money.Amount(149) {
		set(148 - i)
	}
	if n := len(b.MyTerms); n > maxTerms {
		t.Fatalf("%d terms are kept", n)
	}
	for _, m := range b.MyTerms { // as they are saved and read again
		var back wire.Terms
		if err := wire.Unmarshal(m.Signed.Body, &back); err != nil || back.Number != m.Terms.Number || back.Line(eur) != m.Terms.Line(eur) {
			t.Fatalf("%+v is saved as %+v (%v)", m.Terms, back, err)
		}
	}
	accept(t, b, first)
	pass(t, b, a)
	a.Sign(a.s, 1) // cites the newest
	accept(t, b, a.Since(b.HeldMark()))
	last = rewriteLock(t, a, b)
	_, err := b.Judge(b.s, last, Floor{})
	wantCode(t, err, wire.LimitReached)
	if n := len(b.MyTerms); n != 1 {
		t.Fatalf("%d terms are kept, the newest is cited", n)
	}
}

// rewriteLock is an update of a with one lock more, which its own limit would not let through.
func rewriteLock(t *testing.T, a, b *side) *wire.Update {
	t.Helper()
	a.TheirTerms.Lines = []wire.TermsLine{limit(eur, 100_000)}
	lock(t, a, eur, 1)
	return tell(a, b)
}

// C-20: what is put together of many terms is never less than any of them, in any currency, and ends as the last of them does.
func TestTermsPutTogether(t *testing.T) {
	a, b := ends()
	for i := range money.Amount(100) {
		grant(t, b, a, limit(eur, 1000-i), limit(hrs, 500-i%3*100))
	}
	oldest := b.MyTerms[0].Terms
	if len(b.MyTerms) != maxTerms || oldest.Line(eur).Limit != 1000 || oldest.Line(hrs).Limit != 500 {
		t.Fatalf("%d terms, the oldest %+v", len(b.MyTerms), oldest)
	}
	for i, m := range b.MyTerms[1:] {
		if m.Signed.None() || m.Signed.Sig == (wire.Signed{}).Sig {
			t.Fatalf("terms %d, which are one version, are not signed any more", i+1)
		}
	}
	if g := b.Granted(); g.Number != 100 || g.Line(eur).Limit != 901 {
		t.Fatalf("%+v", g)
	}
}
