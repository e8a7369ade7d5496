package credit

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"kula/ident"
	"kula/wire"
)

// equivocation, shrinking and an unlawful drop, as their reader meets them: faults with evidence that a
// stranger can check (C-50 to C-52).
func faults(t rapid.TB) map[FaultKind]*Fault {
	list := map[FaultKind]*Fault{}
	a, b := friends(t)
	lock(t, a, eur, 10)
	u := tell(a, b)
	accept(t, b, u)
	_, err := b.Judge(b.s, rewrite(a.s, u, func(p *wire.Promise) { p.Time++ }), Floor{})
	list[Equivocated] = wantFault(t, err, Equivocated)

	a, b = friends(t)
	add(t, a, eur, 10)
	quiet(t, a, b)
	a.Sign(a.s, 1)
	_, err = b.Judge(b.s, rewrite(a.s, a.Since(b.HeldMark()), func(p *wire.Promise) { p.Lines[0].Owed-- }), Floor{})
	list[Shrank] = wantFault(t, err, Shrank)

	a, b = friends(t)
	lock(t, a, eur, 10)
	n := lock(t, a, eur, 20)
	quiet(t, a, b)
	a.Drop(n)
	_, err = b.Judge(b.s, tell(a, b), Floor{})
	list[DroppedUncancelled] = wantFault(t, err, DroppedUncancelled)
	return list
}

func TestFaultsVerify(t *testing.T) {
	v := standIn{id: ident.ID{99}} // a stranger
	for kind, f := range faults(t) {
		if err := f.Verify(v); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if f.Error() == "" || kind.String() == "unknown fault" {
			t.Errorf("%d has no words", kind)
		}
		again, err := DecodeFault(f.Encode())
		if err != nil || again.Verify(v) != nil || !bytes.Equal(again.Encode(), f.Encode()) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if FaultKind(9).String() != "unknown fault" {
		t.Error("a fault of tomorrow")
	}
}

// Whatever is changed in evidence of one fault, it proves nothing.
func TestForgedFaults(t *testing.T) {
	a, b := friends(t)
	honest := a.Mine.Signed
	for _, c := range []struct {
		name string
		kind FaultKind
		do   func(*Fault)
	}{
		{"first not signed", Equivocated, func(f *Fault) { f.First.Sig[0] ^= 1 }},
		{"second not signed", Equivocated, func(f *Fault) { f.Second.Sig[0] ^= 1 }},
		{"blames the reader", Equivocated, func(f *Fault) { f.Writer, f.Reader = f.Reader, f.Writer }},
		{"another reader", Equivocated, func(f *Fault) { f.Reader = ident.ID{9} }},
		{"one statement twice", Equivocated, func(f *Fault) { f.Second = f.First }},
		{"two numbers", Equivocated, func(f *Fault) { f.Second = honest }},
		{"another kind", Equivocated, func(f *Fault) { f.Kind = Shrank }},
		{"no kind", Equivocated, func(f *Fault) { f.Kind = 0 }},
		{"not a promise", Equivocated, func(f *Fault) { f.First = a.MyTerms[0].Signed }},
		{"not a second promise", Equivocated, func(f *Fault) { f.Second = a.MyTerms[0].Signed }},
		{"the wrong way round", Shrank, func(f *Fault) { f.First, f.Second = f.Second, f.First }},
		{"nothing shrank", Shrank, func(f *Fault) { f.Second = f.First }},
		{"in another epoch", Shrank, func(f *Fault) {
			f.Second = rewrite(a.s, &wire.Update{Promise: f.Second}, func(p *wire.Promise) { p.Epoch = 9 }).Promise
		}},
		{"drop the wrong way round", DroppedUncancelled, func(f *Fault) { f.First, f.Second = f.Second, f.First }},
		{"lock invented before", DroppedUncancelled, func(f *Fault) { f.Before = append(f.Before, newLock(eur, 5)) }},
		{"lock raised before", DroppedUncancelled, func(f *Fault) { f.Before[1].Amount++ }},
		{"lock of nothing", DroppedUncancelled, func(f *Fault) { f.Before[1].Amount = 0 }},
		{"lock hidden after", DroppedUncancelled, func(f *Fault) { f.After = nil }},
		{"cancel hidden", DroppedUncancelled, func(f *Fault) { f.Cancels = []uint64{2} }},
		{"another ack", DroppedUncancelled, func(f *Fault) { f.Acked = f.First }},
		{"no ack", DroppedUncancelled, func(f *Fault) { f.Acked = wire.Signed{} }},
	} {
		f := faults(t)[c.kind]
		c.do(f)
		if f.Verify(b.s) == nil {
			t.Errorf("%s: forged evidence holds", c.name)
		}
	}
}

// C-51: a drop that the figures do not prove is refused, not blamed: the debt that was added may be that lock.
func TestDropNotProved(t *testing.T) {
	a, b := friends(t)
	n, m := lock(t, a, eur, 10), lock(t, a, eur, 20)
	quiet(t, a, b)
	liar := &side{clone(a.Channel), a.s}
	liar.Drop(n)
	liar.Fulfil(m) // what became debt by itself does not hide the drop
	_, err := b.Judge(b.s, tell(liar, b), Floor{})
	wantFault(t, err, DroppedUncancelled)
	a.Drop(n)
	add(t, a, eur, 10)
	_, err = b.Judge(b.s, tell(a, b), Floor{})
	wantCode(t, err, wire.BadMove)
}

// C-22: a drop needs a cancel in the promise that the drop's own promise acknowledges.
func TestDropNeedsSignedCancel(t *testing.T) {
	a, b := friends(t)
	n := lock(t, a, eur, 10)
	quiet(t, a, b)
	early := clone(a.Channel)
	b.Cancel(n, nil)
	early.Drop(n)
	early.Sign(a.s, 1)
	_, err := b.Judge(b.s, early.Since(b.HeldMark()), Floor{})
	wantFault(t, err, DroppedUncancelled) // queued, not signed
	b.Sign(b.s, 1)
	_, err = b.Judge(b.s, early.Since(b.HeldMark()), Floor{})
	f := wantFault(t, err, DroppedUncancelled) // signed, not acknowledged
	if err := f.Verify(a.s); err != nil {
		t.Fatal(err)
	}
	accept(t, a, b.Since(a.HeldMark()))
	a.Drop(n)
	quiet(t, a, b)
}

// C-51: a reader lists a cancel only until it accepts the drop. Two promises of an honest writer with the
// lock's whole life between them must prove nothing.
func TestHonestWriterIsNotFramed(t *testing.T) {
	a, b := friends(t)
	n := lock(t, a, eur, 10)
	pass(t, a, b)
	first, before := a.Mine.Signed, plain(b.Theirs.Locks)
	b.Cancel(n, nil)
	pass(t, b, a)
	a.Drop(n)
	pass(t, a, b)
	pass(t, b, a)
	acked := b.Mine.Signed
	pass(t, a, b)
	f := &Fault{Kind: DroppedUncancelled, Writer: a.Me, Reader: b.Me, First: first, Second: a.Mine.Signed, Before: before, Acked: acked}
	if f.Verify(a.s) == nil {
		t.Fatal("an honest writer is framed")
	}
}

// Evidence against a writer who never saw a promise of the reader (C-51).
func TestFaultBeforeFirstAck(t *testing.T) {
	a, b := ends()
	grant(t, b, a, limit(eur, 100))
	n := lock(t, a, eur, 10)
	pass(t, a, b)
	a.Drop(n)
	_, err := b.Judge(b.s, tell(a, b), Floor{})
	if err := wantFault(t, err, DroppedUncancelled).Verify(b.s); err != nil {
		t.Fatal(err)
	}
}

// C-25: first saved wins; a cancel after the reveal, or twice, is refused.
func TestCancels(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(a, b *side, n uint64)
		ok   bool
	}{
		{"open", func(_, _ *side, _ uint64) {}, true},
		{"fulfilled, not signed", func(a, _ *side, n uint64) { a.Fulfil(n) }, false},
		{"fulfilled, on its way", func(a, _ *side, n uint64) { a.Fulfil(n); a.Sign(a.s, 1) }, false},
		{"listed already", func(a, b *side, n uint64) {
			b.Cancel(n, nil)
			u := tell(b, a)
			step, err := a.Judge(a.s, u, Floor{})
			if err != nil {
				panic(err)
			}
			a.Accept(step)
			b.Mine.Cancels[0].Seq = b.Mine.Promise.Seq + 1 // a liar tells it again
		}, false},
	} {
		a, b := friends(t)
		n := lock(t, a, eur, 10)
		quiet(t, a, b)
		c.do(a, b, n)
		b.Cancel(n, []byte("why"))
		u := tell(b, a)
		_, err := a.Judge(a.s, u, Floor{})
		if c.ok {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil {
			t.Fatalf("%s: accepted", c.name)
		}
		wantCode(t, err, wire.BadMove)
	}
}
