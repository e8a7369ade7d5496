package credit

import (
	"crypto/sha256"
	"errors"
	"pgregory.net/rapid"
	"slices"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

const (
	eur money.Currency = "EUR/2"
	hrs money.Currency = "HOUR/2"
	gbp money.Currency = "GBP/2"
)

// standIn signs with a hash instead of a key: enough where nobody breaks cryptography.
type standIn struct {
	ident.Suite // none: what channels do not use must not be called
	id          ident.ID
}

func (s standIn) ID() ident.ID { return s.id }

func (s standIn) Sign(tag ident.Tag, msg []byte) ident.Signature {
	h := sha256.Sum256(append(append(append([]byte(nil), s.id[:]...), tag...), msg...))
	return ident.Signature(append(h[:], h[:]...))
}

func (s standIn) Verify(id ident.ID, tag ident.Tag, msg []byte, sig ident.Signature) bool {
	return standIn{id: id}.Sign(tag, msg) == sig
}

// side is one end of a channel with what signs for it.
type side struct {
	*Channel
	s ident.Suite
}

// ends are the two ends of a channel before the first statement; the first has the smaller key.
func ends() (a, b *side) {
	x, y := standIn{id: ident.ID{1}}, standIn{id: ident.ID{2}}
	return &side{New(x.id, y.id), x}, &side{New(y.id, x.id), y}
}

func grant(t rapid.TB, from, to *side, lines ...wire.TermsLine) {
	t.Helper()
	if _, err := to.AcceptTerms(to.s, from.SetTerms(from.s, lines, false)); err != nil {
		t.Fatal(err)
	}
}

func limit(cur money.Currency, a money.Amount) wire.TermsLine {
	return wire.TermsLine{Currency: cur, Limit: a}
}

// friends are two ends that grant each other 100 EUR cents and have acknowledged so.
func friends(t rapid.TB) (a, b *side) {
	a, b = ends()
	grant(t, a, b, limit(eur, 100))
	grant(t, b, a, limit(eur, 100))
	pass(t, a, b)
	pass(t, b, a)
	return a, b
}

// tell signs what is queued at from and gives all that to does not hold.
func tell(from, to *side) *wire.Update {
	from.Sign(from.s, 1_700_000_000_000)
	return from.Since(to.HeldMark())
}

func accept(t rapid.TB, to *side, u *wire.Update) *Step {
	t.Helper()
	step, err := to.Judge(to.s, u, Floor{})
	if err != nil {
		t.Fatal(err)
	}
	to.Accept(step)
	return step
}

// pass signs what is queued at from and has it accepted.
func pass(t rapid.TB, from, to *side) *Step {
	t.Helper()
	return accept(t, to, tell(from, to))
}

// settle passes to and fro until nobody has anything to say.
func quiet(t rapid.TB, a, b *side) {
	t.Helper()
	for range 20 {
		switch {
		case a.Pending():
			pass(t, a, b)
		case b.Pending():
			pass(t, b, a)
		default:
			agree(t, a, b)
			return
		}
	}
	t.Fatal("two ends never stop answering each other")
}

// agree checks that both ends know one and the same channel.
func agree(t rapid.TB, a, b *side) {
	t.Helper()
	for _, e := range [][2]*side{{a, b}, {b, a}} {
		if e[0].MyMark() != e[1].HeldMark() || !slices.Equal(e[0].Mine.Promise.Lines, e[1].Theirs.Promise.Lines) {
			t.Fatalf("%s signed %+v, the other holds %+v", e[0].Me.Short(), e[0].Mine.Promise, e[1].Theirs.Promise)
		}
	}
	for _, cur := range a.Currencies() {
		fa, fb := a.Figures(cur), b.Figures(cur)
		if fa.Balance != -fb.Balance || fa.LockedByMe != fb.LockedByThem || fb.LockedByMe != fa.LockedByThem {
			t.Fatalf("%s: %+v against %+v", cur, fa, fb)
		}
	}
}

func lock(t rapid.TB, c *side, cur money.Currency, a money.Amount) uint64 {
	t.Helper()
	l, err := c.Lock(newLock(cur, a))
	if err != nil {
		t.Fatal(err)
	}
	return l.Number
}

func newLock(cur money.Currency, a money.Amount) wire.Lock {
	return wire.Lock{Part: wire.PartID{7}, Currency: cur, Amount: a, Condition: wire.Condition{Hashes: []ident.Hash{{9}}}}
}

func add(t rapid.TB, c *side, cur money.Currency, a money.Amount) {
	t.Helper()
	if err := c.Add(wire.Add{Kind: wire.AddSettlement, Currency: cur, Amount: a}); err != nil {
		t.Fatal(err)
	}
}

func wantCode(t rapid.TB, err error, code wire.Code) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("error %v, want a refusal %s", err, code)
	}
	if r.Code != code {
		t.Fatalf("refused with %v, want %s", r, code)
	}
	return r
}

func wantFault(t rapid.TB, err error, kind FaultKind) *Fault {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) || f.Kind != kind {
		t.Fatalf("error %v, want fault %q", err, kind)
	}
	return f
}

// clone copies everything that a channel changes in place.
func clone(c *Channel) *Channel {
	d := *c
	d.Mine.Marks = slices.Clone(c.Mine.Marks)
	d.Mine.Cancels = slices.Clone(c.Mine.Cancels)
	d.Mine.Adds = slices.Clone(c.Mine.Adds)
	d.MyTerms = slices.Clone(c.MyTerms)
	d.Mine.Locks = make([]*OwnLock, len(c.Mine.Locks))
	for i, l := range c.Mine.Locks {
		copied := *l
		d.Mine.Locks[i] = &copied
	}
	return &d
}

// rewrite changes an update's promise and signs it again, as a liar would.
func rewrite(s ident.Suite, u *wire.Update, change func(*wire.Promise)) *wire.Update {
	var p wire.Promise
	if err := wire.Unmarshal(u.Promise.Body, &p); err != nil {
		panic(err)
	}
	change(&p)
	v := *u
	v.Promise = wire.Sign(s, wire.TagPromise, &p)
	return &v
}
