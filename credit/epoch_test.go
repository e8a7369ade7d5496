package credit

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// busy is a channel with debts and locks both ways, a cancel each that is not answered yet, and a second currency.
func busy(t rapid.TB) (a, b *side) {
	a, b = ends()
	grant(t, a, b, limit(eur, 100), limit(hrs, 50))
	grant(t, b, a, limit(eur, 100), limit(hrs, 50))
	for i, s := range []*side{a, b} {
		add(t, s, eur, money.Amount(3+i))
		lock(t, s, eur, 10)
		lock(t, s, hrs, 5)
		lock(t, s, eur, 20)
	}
	quiet(t, a, b)
	a.Cancel(1, []byte("reason"))
	b.Cancel(3, nil)
	pass(t, a, b)
	pass(t, b, a)
	return a, b
}

// restored is who lost a's disk and was shown b's copy.
func restored(t rapid.TB, a, b *side) *side {
	t.Helper()
	m, err := wire.Decode(wire.Encode(b.Snapshot()))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Adopt(a.s, a.Me, a.Friend, m.(*wire.Snapshot))
	if err != nil {
		t.Fatal(err)
	}
	return &side{c, a.s}
}

func TestAdopt(t *testing.T) { // C-37, C-40
	for name, make := range map[string]func(rapid.TB) (a, b *side){"busy": busy, "friends": friends, "nothing": func(rapid.TB) (a, b *side) { return ends() }} {
		a, b := make(t)
		r := restored(t, a, b)
		for _, cur := range a.Currencies() {
			if r.Figures(cur) != a.Figures(cur) {
				t.Fatalf("%s: %+v restored as %+v", name, a.Figures(cur), r.Figures(cur))
			}
		}
		if r.Mine.Next != a.Mine.Next || r.Theirs.Last != a.Theirs.Last {
			t.Fatalf("%s: next lock %d, was %d", name, r.Mine.Next, a.Mine.Next)
		}
		for _, n := range r.Theirs.Cancels {
			r.Drop(n)
		}
		r.StartEpoch(r.s, 7, 1, r.Renewal())
		if !r.AwaitsEpoch() || r.MyMark().Epoch != 7 || r.MyMark().Seq != 1 {
			t.Fatalf("%s: %+v", name, r.MyMark())
		}
		u := r.Since(b.HeldMark())
		if len(u.Groups) != 0 {
			t.Fatalf("%s: the first promise of an epoch brings %d groups", name, len(u.Groups))
		}
		if step := accept(t, b, u); !step.Epoch {
			t.Fatalf("%s: not taken for an epoch", name)
		}
		pass(t, b, r)
		if r.AwaitsEpoch() {
			t.Fatalf("%s: still waits", name)
		}
		quiet(t, r, b)
		for _, s := range [][2]*side{{r, b}, {b, r}} {
			for _, l := range slices.Clone(s[0].Theirs.Locks) {
				s[0].Cancel(l.Number, nil)
			}
			quiet(t, r, b)
			for _, l := range s[1].Mine.Locks {
				s[1].Drop(l.Number)
			}
			quiet(t, r, b)
		}
		if r.OpenLocks()+b.OpenLocks() != 0 {
			t.Fatalf("%s: %d and %d locks left", name, r.OpenLocks(), b.OpenLocks())
		}
	}
}

// A snapshot is believed only where it is signed or follows from what is signed (C-37).
func TestAdoptRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(a, b *side, s *wire.Snapshot)
		want wire.Code
	}{
		{"my promise not mine", func(a, b *side, s *wire.Snapshot) { s.Yours = s.Mine }, wire.BadSignature},
		{"its promise not its", func(a, b *side, s *wire.Snapshot) { s.Mine = s.Yours }, wire.BadSignature},
		{"my promise to somebody else", func(a, b *side, s *wire.Snapshot) {
			s.Yours = wire.Sign(a.s, wire.TagPromise, &wire.Promise{From: a.Me, To: ident.ID{9}, Seq: 5})
		}, wire.BadRequest},
		{"its promise to somebody else", func(a, b *side, s *wire.Snapshot) {
			s.Mine = wire.Sign(b.s, wire.TagPromise, &wire.Promise{From: b.Me, To: ident.ID{9}, Seq: 5})
		}, wire.BadRequest},
		{"its promise older than I acknowledged", func(a, b *side, s *wire.Snapshot) { s.Mine = b.Mine.Marks[0].Signed; s.Mine = wire.Signed{} }, wire.BadSequence},
		{"my promise older than it acknowledged", func(a, b *side, s *wire.Snapshot) {
			s.Yours, s.YourLocks, s.YourCancel = wire.Signed{}, nil, nil
		}, wire.BadSequence},
		{"my lock hidden", func(a, b *side, s *wire.Snapshot) { s.YourLocks = s.YourLocks[1:] }, wire.BadDigest},
		{"its lock hidden", func(a, b *side, s *wire.Snapshot) { s.MyLocks = s.MyLocks[1:] }, wire.BadDigest},
		{"my lock raised", func(a, b *side, s *wire.Snapshot) { s.YourLocks[0].Amount++ }, wire.BadDigest},
		{"its cancels hidden", func(a, b *side, s *wire.Snapshot) { s.MyCancels = nil }, wire.BadDigest},
		{"my cancels hidden", func(a, b *side, s *wire.Snapshot) { s.YourCancel = nil }, wire.BadDigest},
		{"my terms hidden", func(a, b *side, s *wire.Snapshot) { s.YourTerms = wire.Signed{} }, wire.BadRequest},
		{"my terms older than cited", func(a, b *side, s *wire.Snapshot) {
			s.Mine = rewrite(b.s, &wire.Update{Promise: s.Mine}, func(p *wire.Promise) { p.Terms = 2 }).Promise
		}, wire.BadRequest},
		{"my terms not mine", func(a, b *side, s *wire.Snapshot) { s.YourTerms = s.MyTerms }, wire.BadSignature},
		{"my terms to somebody else", func(a, b *side, s *wire.Snapshot) {
			s.YourTerms = wire.Sign(a.s, wire.TagTerms, &wire.Terms{From: a.Me, To: ident.ID{9}, Number: 5})
		}, wire.BadRequest},
		{"its terms hidden", func(a, b *side, s *wire.Snapshot) { s.MyTerms = wire.Signed{} }, wire.BadRequest},
		{"its terms not its", func(a, b *side, s *wire.Snapshot) { s.MyTerms = s.YourTerms }, wire.BadSignature},
	} {
		a, b := busy(t)
		s := b.Snapshot()
		c.do(a, b, s)
		_, err := Adopt(a.s, a.Me, a.Friend, s)
		r := wantCode(t, err, c.want)
		if r.Text == "" {
			t.Errorf("%s: %v", c.name, r)
		}
	}
}

// C-37: what a friend's own promise acknowledges is the least that it must show of mine. Else a lock that it
// cancelled and I gave back would be open again, and it could reveal it.
func TestAdoptRefusesHiddenDrop(t *testing.T) {
	a, b := friends(t)
	n := lock(t, a, eur, 10)
	pass(t, a, b)
	pass(t, b, a)
	old := b.Snapshot()
	b.Cancel(n, nil)
	pass(t, b, a)
	a.Drop(n)
	pass(t, a, b)
	pass(t, b, a)
	s := b.Snapshot()
	s.Yours, s.YourLocks = old.Yours, old.YourLocks
	_, err := Adopt(a.s, a.Me, a.Friend, s)
	wantCode(t, err, wire.BadSequence)
}

func TestJudgeStart(t *testing.T) { // C-40
	for _, c := range []struct {
		name string
		do   func(u *wire.Update, s ident.Suite) *wire.Update
		want wire.Code
	}{
		{"starts from elsewhere", func(u *wire.Update, s ident.Suite) *wire.Update {
			return rewrite(s, u, func(p *wire.Promise) { p.Start.Mine.Seq-- })
		}, wire.BadBase},
		{"starts from another of that number", func(u *wire.Update, s ident.Suite) *wire.Update {
			return rewrite(s, u, func(p *wire.Promise) { p.Start.Mine.Hash[0] ^= 1 })
		}, wire.BadBase},
		{"starts from another epoch", func(u *wire.Update, s ident.Suite) *wire.Update {
			return rewrite(s, u, func(p *wire.Promise) { p.Start.Mine.Epoch++ })
		}, wire.BadBase},
		{"brings moves", func(u *wire.Update, s ident.Suite) *wire.Update {
			u.Groups = []wire.Group{{Seq: 1}}
			return u
		}, wire.BadMove},
		{"acknowledges something else", func(u *wire.Update, s ident.Suite) *wire.Update {
			return rewrite(s, u, func(p *wire.Promise) { p.Start.Held.Seq-- })
		}, wire.BadMove},
		{"an ack that was never signed", func(u *wire.Update, s ident.Suite) *wire.Update {
			return rewrite(s, u, func(p *wire.Promise) { p.Ack.Hash[1] ^= 1; p.Start.Held = p.Ack })
		}, wire.BadAck},
		{"owes less", func(u *wire.Update, s ident.Suite) *wire.Update {
			return rewrite(s, u, func(p *wire.Promise) { p.Lines[0].Owed-- })
		}, wire.BadDigest},
		{"owes less, and says so", func(u *wire.Update, s ident.Suite) *wire.Update {
			return rewrite(s, u, func(p *wire.Promise) {
				p.Lines[0].Owed -= 90
				p.Start.Less = []wire.Less{{Currency: eur, Amount: 90}}
			})
		}, wire.BadMove},
		{"forgets what it cancelled", func(u *wire.Update, s ident.Suite) *wire.Update {
			return rewrite(s, u, func(p *wire.Promise) { p.Cancelled = ident.Hash{} })
		}, wire.BadDigest},
	} {
		a, b := busy(t)
		add(t, a, eur, 30)
		add(t, b, eur, 30)
		quiet(t, a, b)
		if c.name == "owes less, and says so" {
			a, b = ends()
			grant(t, a, b, limit(eur, 100))
			grant(t, b, a, limit(eur, 100))
			add(t, a, eur, 95)
			add(t, b, eur, 80)
			quiet(t, a, b)
		}
		a.StartEpoch(a.s, 5, 1, nil)
		u := c.do(a.Since(b.HeldMark()), a.s)
		if _, err := b.Judge(b.s, u, Floor{}); err == nil {
			t.Errorf("%s: accepted", c.name)
		} else {
			wantCode(t, err, c.want)
		}
	}
}

// C-40: an acknowledgement that was lost on the way does not keep a new epoch out.
func TestStartAfterLostAck(t *testing.T) {
	a, b := busy(t)
	add(t, b, eur, 1)
	pass(t, b, a)
	a.Sign(a.s, 1) // never arrives
	a.StartEpoch(a.s, 5, 1, nil)
	accept(t, b, a.Since(b.HeldMark()))
	quiet(t, a, b)
}

// big is a channel in which both owe just more than RenewAbove, all acknowledged.
func big(t rapid.TB) (a, b *side) {
	a, b = ends()
	grant(t, a, b, limit(eur, money.MaxLimit), limit(hrs, 100))
	grant(t, b, a, limit(eur, money.MaxLimit), limit(hrs, 100))
	for b.Mine.Promise.Line(eur).Owed < RenewAbove {
		add(t, a, eur, money.MaxLimit)
		pass(t, a, b)
		add(t, b, eur, money.MaxLimit)
		pass(t, b, a)
	}
	if a.Renewal() != nil || b.Renewal() != nil {
		t.Fatal("renewed at exactly RenewAbove")
	}
	add(t, a, eur, 11)
	add(t, a, hrs, 4)
	add(t, b, hrs, 3)
	lock(t, b, eur, 100)
	pass(t, a, b)
	pass(t, b, a)
	return a, b
}

func TestRenew(t *testing.T) { // C-43, C-44
	a, b := big(t)
	want := a.Figures(eur)
	if b.Renewal() != nil {
		t.Fatal("the larger key begins")
	}
	quiet(t, a, b)
	held := lock(t, a, eur, 5) // waits until the channel is renewed
	add(t, b, eur, 7)          // the other side does not stop
	less := a.Renewal()
	if len(less) != 1 || less[0].Currency != eur || less[0].Amount != b.Theirs.Promise.Line(eur).Owed-11 {
		t.Fatalf("renewal subtracts %v", less)
	}
	a.StartEpoch(a.s, 5, 1, less)
	same := func(when string, debt money.Amount) {
		t.Helper()
		fa, fb := a.Figures(eur), b.Figures(eur)
		if fa.Balance != want.Balance+debt || fb.Balance != -want.Balance-debt-7 && fb.Balance != -want.Balance-debt {
			t.Fatalf("%s: balances %d and %d, were %d", when, fa.Balance, fb.Balance, want.Balance)
		}
	}
	same("begun", 0)
	if a.Renewal() != nil || a.AwaitsEpoch() != true {
		t.Fatal("begun twice")
	}
	b.Sign(b.s, 1) // signed before the renewal arrives
	first := b.Since(a.HeldMark())
	accept(t, b, a.Since(b.HeldMark()))
	same("seen by the other", 0)
	accept(t, a, first)
	same("crossed by a move", 7)
	answer := b.Renewal()
	if !slices.Equal(answer, less) {
		t.Fatalf("answered with %v", answer)
	}
	b.StartEpoch(b.s, 6, 1, answer)
	accept(t, a, b.Since(a.HeldMark()))
	if a.Renewal() != nil || b.Renewal() != nil || a.AwaitsEpoch() {
		t.Fatal("renewed again")
	}
	same("answered", 7)
	quiet(t, a, b)
	if a.OwnLock(held).Opened != 2 || a.Mine.Promise.Line(eur).Owed != 11 || b.Mine.Promise.Line(eur).Owed != 7 {
		t.Fatalf("%+v, %+v", a.Mine.Promise.Lines, b.Mine.Promise.Lines)
	}
}

// C-43: a renewal begins when all my moves are acknowledged, and until then I sign no others.
func TestRenewWaits(t *testing.T) {
	for name, move := range map[string]func(a *side){
		"lock":   func(a *side) { lock(t, a, eur, 1) },
		"add":    func(a *side) { add(t, a, eur, 1) },
		"cancel": func(a *side) { a.Cancel(1, nil) },
		"fulfil": func(a *side) { a.Fulfil(1) },
	} {
		a, b := near(t)
		move(a)
		a.Sign(a.s, 1)
		u := a.Since(b.HeldMark())
		pass(t, b, a) // from here on the channel is to be renewed
		if a.Renewal() != nil {
			t.Errorf("%s: renewed before it was acknowledged", name)
		}
		lock(t, a, eur, 2)
		a.Cancel(2, nil)
		add(t, a, eur, 3)
		a.Fulfil(2)
		a.Sign(a.s, 1)
		if got := a.Mine.Promise.Line(eur); a.Mine.Locks[len(a.Mine.Locks)-1].Opened != Queued || a.Pending() {
			t.Errorf("%s: signed a move that was to wait: %+v", name, got)
		}
		accept(t, b, u)
		accept(t, b, a.Since(b.HeldMark()))
		pass(t, b, a)
		less := a.Renewal()
		if less == nil {
			t.Fatalf("%s: not renewed", name)
		}
		a.StartEpoch(a.s, 5, 1, less)
		accept(t, b, a.Since(b.HeldMark()))
		b.StartEpoch(b.s, 5, 1, b.Renewal())
		accept(t, a, b.Since(a.HeldMark()))
		for range 3 {
			pass(t, a, b)
			pass(t, b, a)
		}
		for _, n := range b.Theirs.Cancels {
			b.Drop(n)
		}
		quiet(t, a, b)
	}
}

// near is big, but for one add of b's that is queued; both have two locks open.
func near(t rapid.TB) (a, b *side) {
	a, b = ends()
	grant(t, a, b, limit(eur, money.MaxLimit))
	grant(t, b, a, limit(eur, money.MaxLimit))
	for b.Mine.Promise.Line(eur).Owed < RenewAbove {
		add(t, a, eur, money.MaxLimit)
		pass(t, a, b)
		add(t, b, eur, money.MaxLimit)
		pass(t, b, a)
	}
	for range 2 {
		lock(t, a, eur, 1)
		lock(t, b, eur, 1)
	}
	quiet(t, a, b)
	add(t, b, eur, 5)
	return a, b
}

// C-43: every way to answer a renewal wrongly, and to begin one wrongly, is refused.
func TestRenewRefused(t *testing.T) {
	begun := func() (a, b *side, less []wire.Less) {
		a, b = big(t)
		quiet(t, a, b)
		less = a.Renewal()
		a.StartEpoch(a.s, 5, 1, less)
		return a, b, less
	}
	a, b, less := begun()
	other := slices.Clone(less)
	other[0].Amount--
	b.StartEpoch(b.s, 6, 1, other)
	_, err := a.Judge(a.s, b.Since(a.HeldMark()), Floor{})
	wantCode(t, err, wire.BadMove) // crosses it with one of its own

	a, b, _ = begun()
	accept(t, b, a.Since(b.HeldMark()))
	liar := &side{clone(b.Channel), b.s}
	liar.StartEpoch(b.s, 6, 1, nil)
	_, err = a.Judge(a.s, liar.Since(a.HeldMark()), Floor{})
	wantCode(t, err, wire.BadMove)
	_, err = a.Judge(a.s, tell(b, a), Floor{}) // goes on without an answer
	wantCode(t, err, wire.BadAck)

	a, b = big(t)
	quiet(t, a, b)
	b.StartEpoch(b.s, 6, 1, []wire.Less{{Currency: eur, Amount: 1}})
	_, err = a.Judge(a.s, b.Since(a.HeldMark()), Floor{})
	wantCode(t, err, wire.BadMove) // the larger key does not begin

	a, b = big(t)
	quiet(t, a, b)
	for _, l := range []wire.Less{{Currency: hrs, Amount: 4}, {Currency: gbp, Amount: 1}} {
		liar := &side{clone(a.Channel), a.s}
		liar.StartEpoch(a.s, 6, 1, []wire.Less{l})
		_, err = b.Judge(b.s, liar.Since(b.HeldMark()), Floor{})
		wantCode(t, err, wire.BadMove) // more than one side owes
	}
}

// C-44: a renewal makes no room. Whoever begins one and goes on at once is still held to the limit.
func TestRenewMakesNoRoom(t *testing.T) {
	for _, answered := range []bool{false, true} {
		a, b := big(t)
		quiet(t, a, b)
		a.StartEpoch(a.s, 5, 1, a.Renewal())
		accept(t, b, a.Since(b.HeldMark()))
		if answered {
			b.StartEpoch(b.s, 6, 1, b.Renewal())
			accept(t, a, b.Since(a.HeldMark()))
		}
		a.TheirTerms.Lines[0].Limit = money.MaxLimit * 4 // a liar
		for range 2 {
			lock(t, a, eur, money.MaxLimit)
		}
		_, err := b.Judge(b.s, tell(a, b), Floor{})
		wantCode(t, err, wire.LimitReached)
	}
}

// A renewal survives that either side loses its disk half way (C-43).
func TestRenewThroughRestore(t *testing.T) {
	for _, c := range []string{"beginner", "answerer", "beginner, answered", "answerer, answered"} {
		a, b := big(t)
		quiet(t, a, b)
		want := a.Figures(eur).Balance
		a.StartEpoch(a.s, 5, 1, a.Renewal())
		accept(t, b, a.Since(b.HeldMark()))
		if strings.HasSuffix(c, "answered") {
			b.StartEpoch(b.s, 6, 1, b.Renewal())
			accept(t, a, b.Since(a.HeldMark()))
		}
		epoch := func(s *side, e uint64, to *side) {
			s.StartEpoch(s.s, e, 1, s.Renewal())
			accept(t, to, s.Since(to.HeldMark()))
		}
		switch {
		case strings.HasPrefix(c, "answerer"):
			b = restored(t, b, a)
			epoch(b, 20, a)
		case strings.HasSuffix(c, "answered"):
			a = restored(t, a, b)
			epoch(a, 20, b)
		default:
			epoch(b, 6, a) // an answer is one transaction with what it answers
			a = restored(t, a, b)
			epoch(a, 20, b)
		}
		quiet(t, a, b)
		if got := a.Figures(eur).Balance; got != want || a.Mine.Promise.Line(eur).Owed > RenewAbove {
			t.Errorf("%s: balance %d, was %d; owed %d", c, got, want, a.Mine.Promise.Line(eur).Owed)
		}
	}
}

func TestProof(t *testing.T) { // C-60, C-61
	a, b := friends(t)
	v := standIn{id: ident.ID{99}}
	if _, err := a.Proof().Verify(v); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Proof{Mine: a.Mine.Signed}).Verify(v); err == nil {
		t.Fatal("proved something with nothing")
	}
	add(t, a, eur, 30)
	lock(t, a, eur, 5)
	add(t, b, eur, 50)
	quiet(t, a, b)
	for _, s := range []*side{a, b} {
		p, err := DecodeProof(s.Proof().Encode())
		if err != nil || !bytes.Equal(p.Encode(), s.Proof().Encode()) {
			t.Fatal(err)
		}
		got, err := p.Verify(v)
		if err != nil {
			t.Fatal(err)
		}
		n := got.Nets[0]
		if len(got.Nets) != 1 || n.Debtor != b.Me || n.Creditor != a.Me || n.Value != (money.Value{Amount: 20, Currency: eur}) || got.By != s.Me || got.AsOf == 0 {
			t.Fatalf("%+v", got)
		}
		if s == b && n.Locked != 0 || s == a && n.Locked != 0 {
			t.Fatalf("%+v", n)
		}
	}
	for _, c := range []struct {
		name string
		do   func(p *Proof)
	}{
		{"theirs forged", func(p *Proof) { p.Theirs.Sig[0] ^= 1 }},
		{"mine forged", func(p *Proof) { p.Mine.Sig[0] ^= 1 }},
		{"theirs not a promise", func(p *Proof) { p.Theirs = b.MyTerms[0].Signed }},
		{"mine not a promise", func(p *Proof) { p.Mine = a.MyTerms[0].Signed }},
		{"mine of another channel", func(p *Proof) {
			p.Mine = wire.Sign(a.s, wire.TagPromise, &wire.Promise{From: a.Me, To: ident.ID{9}, Seq: 99})
		}},
		{"mine hidden", func(p *Proof) { p.Mine = wire.Signed{} }},
		{"mine older than acknowledged", func(p *Proof) {
			p.Mine = wire.Sign(a.s, wire.TagPromise, &wire.Promise{From: a.Me, To: b.Me, Seq: 1})
		}},
		{"mine not the acknowledged one", func(p *Proof) {
			p.Mine = rewrite(a.s, &wire.Update{Promise: p.Mine}, func(q *wire.Promise) { q.Seq, q.Lines = b.Mine.Promise.Ack.Seq, nil }).Promise
		}},
		{"mine of an epoch of its own", func(p *Proof) {
			p.Mine = wire.Sign(a.s, wire.TagPromise, &wire.Promise{From: a.Me, To: b.Me, Epoch: 9, Seq: 2})
		}},
	} {
		p := a.Proof()
		c.do(p)
		if got, err := p.Verify(v); err == nil {
			t.Errorf("%s: proves %+v", c.name, got)
		}
	}
}

// A proof shows the same net at every point of a renewal (C-61).
func TestProofWhileRenewing(t *testing.T) {
	v := standIn{id: ident.ID{99}}
	a, b := big(t)
	quiet(t, a, b)
	want := a.Figures(eur).Balance // of a: what b owes
	check := func(when string) {
		t.Helper()
		for _, s := range []*side{a, b} {
			got, err := s.Proof().Verify(v)
			if err != nil {
				t.Fatalf("%s, shown by %s: %v", when, s.Me.Short(), err)
			}
			n := got.Nets[0].Value.Amount
			if got.Nets[0].Debtor == a.Me {
				n = -n
			}
			if n != want {
				t.Fatalf("%s, shown by %s: net %d, want %d", when, s.Me.Short(), n, want)
			}
		}
	}
	check("before")
	a.StartEpoch(a.s, 5, 1, a.Renewal())
	check("begun")
	accept(t, b, a.Since(b.HeldMark()))
	check("begun and seen")
	b.StartEpoch(b.s, 6, 1, b.Renewal())
	check("answered")
	accept(t, a, b.Since(a.HeldMark()))
	check("answered and seen")
	quiet(t, a, b)
	check("after")

	forged := b.Proof() // colluding signers cannot make figures leave int64
	forged.Theirs = wire.Sign(a.s, wire.TagPromise, &wire.Promise{From: a.Me, To: b.Me, Epoch: 1 << 40, Seq: 1,
		Start: &wire.Start{Less: []wire.Less{{Currency: eur, Amount: 1<<63 - 1}}}, Lines: []wire.Line{{Currency: eur, Owed: 1<<63 - 1}}})
	if got, err := forged.Verify(v); err == nil {
		t.Fatalf("%+v", got)
	}
}

// C-42: both sides may begin a new epoch at once; each answers the other's, with nothing but the ack.
func TestEpochsCross(t *testing.T) {
	a, b := busy(t)
	a.StartEpoch(a.s, 5, 1, nil)
	b.StartEpoch(b.s, 6, 1, nil)
	ua, ub := a.Since(b.HeldMark()), b.Since(a.HeldMark())
	accept(t, a, ub)
	accept(t, b, ua)
	lock(t, a, eur, 1)
	if !a.Pending() || !b.Pending() {
		t.Fatal("each waits for the other's word")
	}
	u := tell(a, b)
	if len(u.Groups) != 0 {
		t.Fatal("moved before its epoch was acknowledged")
	}
	accept(t, b, u)
	quiet(t, a, b)
	if a.AwaitsEpoch() || b.AwaitsEpoch() || a.Figures(eur).LockedByMe != 31 {
		t.Fatalf("%+v", a.Figures(eur))
	}
}
