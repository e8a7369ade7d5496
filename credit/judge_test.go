package credit

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// offer is a's next update to b, not yet judged, with a lock of 10 open and numbered 1, which b cancelled and a has seen.
type offer struct {
	a, b *side
	u    *wire.Update
}

// Every refusal: one wrong thing about an update that is right otherwise.
func TestRefusals(t *testing.T) {
	promise := func(change func(*wire.Promise)) func(*offer) {
		return func(o *offer) { o.u = rewrite(o.a.s, o.u, change) }
	}
	group := func(change func(*wire.Group)) func(*offer) {
		return func(o *offer) {
			g := o.u.Groups[0]
			change(&g)
			o.u.Groups = []wire.Group{g}
		}
	}
	for _, c := range []struct {
		name string
		rule string
		do   func(*offer)
		want wire.Code
		text string
	}{
		{"not signed by the friend", "C-11", func(o *offer) { o.u.Promise.Sig[0] ^= 1 }, wire.BadSignature, "under"},
		{"terms passed off as a promise", "C-11", func(o *offer) { o.u.Promise = o.a.MyTerms[0].Signed }, wire.BadSignature, "malformed"},
		{"to somebody else", "C-11", promise(func(p *wire.Promise) { p.To = ident.ID{77} }), wire.BadRequest, "to"},
		{"in the name of somebody else", "C-11", promise(func(p *wire.Promise) { p.From = ident.ID{77} }), wire.BadRequest, "of"},
		{"older than held", "C-13", promise(func(p *wire.Promise) { p.Seq = 2 }), wire.BadSequence, "0.2 is older than 0.3"},
		{"moves from elsewhere", "C-14", func(o *offer) { o.u.Base.Seq-- }, wire.BadBase, "start from 0.2, I hold 0.3"},
		{"moves from another of that number", "C-14", func(o *offer) { o.u.Base.Hash[0] ^= 1 }, wire.BadBase, "0.3"},
		{"ack shrinks", "C-16", promise(func(p *wire.Promise) { p.Ack.Seq-- }), wire.BadAck, "acknowledges 0.1 after 0.2"},
		{"ack of one number, other hash", "C-16", promise(func(p *wire.Promise) { p.Ack.Hash[0] ^= 1 }), wire.BadAck, "0.2"},
		{"ack of what was never signed", "C-16", promise(func(p *wire.Promise) { p.Ack.Seq += 5 }), wire.BadAck, "0.7, which I did not sign"},
		{"terms that are not there", "C-17", promise(func(p *wire.Promise) { p.Terms = 2 }), wire.StaleTerms, "cites my terms 2"},
		{"terms older than cited before", "C-17", promise(func(p *wire.Promise) { p.Terms = 0 }), wire.StaleTerms, "cites my terms 0; the last promise cited 1"},
		{"group of the base", "C-18", group(func(g *wire.Group) { g.Seq = 3 }), wire.BadMove, "moves of promise 3 between 3 and 4"},
		{"group after the promise", "C-18", group(func(g *wire.Group) { g.Seq = 5 }), wire.BadMove, "moves of promise 5"},
		{"lock number used before", "C-21", group(func(g *wire.Group) { g.Locks = []wire.Lock{g.Locks[0]}; g.Locks[0].Number = 1 }), wire.BadMove, "lock 1 after lock 1"},
		{"fulfils what is not open", "C-23", group(func(g *wire.Group) { g.Fulfils = []uint64{9} }), wire.BadMove, "ends lock 9"},
		{"drops what is not open", "C-22", group(func(g *wire.Group) { g.Drops = []uint64{9} }), wire.BadMove, "ends lock 9"},
		{"fulfils and drops", "C-23", group(func(g *wire.Group) { g.Fulfils = []uint64{1} }), wire.BadMove, "ends lock 1"},
		{"cancels what is not open", "C-25", group(func(g *wire.Group) { g.Cancels = []wire.Cancel{{Number: 4}} }), wire.BadMove, "cancels lock 4"},
		{"one move kept back", "C-19", group(func(g *wire.Group) { g.Adds = nil }), wire.BadDigest, "owed 0.01 EUR, moves give 0.00 EUR"},
		{"another amount", "C-19", group(func(g *wire.Group) { g.Locks = []wire.Lock{g.Locks[0]}; g.Locks[0].Amount++ }), wire.BadDigest, "locked 0.05 EUR, moves give 0.06 EUR"},
		{"another blob", "C-8", group(func(g *wire.Group) { g.Locks = []wire.Lock{g.Locks[0]}; g.Locks[0].Blob = []byte{1} }), wire.BadDigest, "digest of locks"},
		{"a currency from nowhere", "C-19", promise(func(p *wire.Promise) { p.Lines = append(p.Lines, wire.Line{Currency: gbp}) }), wire.BadDigest, "currencies differ"},
		{"a currency left out", "C-19", promise(func(p *wire.Promise) { p.Lines = nil }), wire.BadDigest, "currencies differ"},
		{"another currency", "C-19", promise(func(p *wire.Promise) { p.Lines[0].Currency = gbp }), wire.BadDigest, "currencies differ"},
		{"cancels nobody told", "C-25", promise(func(p *wire.Promise) { p.Cancelled = ident.Hash{1} }), wire.BadDigest, "digest of cancelled locks"},
		{"owed overflows", "C-19", group(func(g *wire.Group) {
			g.Adds = []wire.Add{{Currency: eur, Amount: 1<<63 - 1}, {Currency: eur, Amount: 1}}
		}), wire.BadMove, "overflow"},
		{"an epoch's second promise", "C-40", promise(func(p *wire.Promise) { p.Epoch = 5 }), wire.BadBase, "without the first of its epoch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := friends(t)
			lock(t, a, eur, 10)
			pass(t, a, b)
			b.Cancel(1, nil)
			pass(t, b, a)
			pass(t, a, b)
			a.Drop(1)
			lock(t, a, eur, 5)
			add(t, a, eur, 1)
			o := &offer{a, b, tell(a, b)}
			fine := *o.u
			c.do(o)
			before := clone(b.Channel)
			_, err := b.Judge(b.s, o.u, Floor{})
			r := wantCode(t, err, c.want)
			if !strings.Contains(r.Text, c.text) || !strings.HasPrefix(r.Error(), c.want.String()) {
				t.Errorf("%s: %v, want %q in it", c.rule, r, c.text)
			}
			if fmt.Sprint(before.Theirs, before.Mine.Marks) != fmt.Sprint(b.Theirs, b.Mine.Marks) {
				t.Error("a refusal changed the channel")
			}
			accept(t, b, &fine)
			quiet(t, a, b)
		})
	}
}

func TestSameAgain(t *testing.T) { // C-10
	a, b := friends(t)
	lock(t, a, eur, 10)
	u := tell(a, b)
	accept(t, b, u)
	held := b.HeldMark()
	if step := accept(t, b, u); !step.Same || b.HeldMark() != held {
		t.Fatal("a repeated promise was taken for a new one")
	}
	u.Promise.Sig[0] ^= 1 // not the bytes that are held: the signature counts
	if _, err := b.Judge(b.s, u, Floor{}); err == nil {
		t.Fatal("a forged repetition passed")
	}
	if forgotten := b.Accept(&Step{Same: true}); forgotten != nil || b.HeldMark() != held {
		t.Fatal("accepting what is held changed something")
	}
}

func TestSecondSignature(t *testing.T) { // C-10: one statement, two valid signatures, is no fault
	a, b := friends(t)
	two := twoSigned{b.s.(standIn)}
	u := tell(a, b)
	accept(t, b, u)
	u.Promise.Sig[63] ^= 0xff
	step, err := b.Judge(two, u, Floor{})
	if err != nil || !step.Same {
		t.Fatalf("step %+v, %v", step, err)
	}
}

// twoSigned knows a second signature for each message.
type twoSigned struct{ standIn }

func (s twoSigned) Verify(id ident.ID, tag ident.Tag, msg []byte, sig ident.Signature) bool {
	sig[63] ^= 0xff
	return s.standIn.Verify(id, tag, msg, sig)
}

// The limit to the unit, for locks and adds, alone and with what is open (C-20).
func TestLimit(t *testing.T) {
	for _, c := range []struct {
		name         string
		owed, open   money.Amount // of a to b before
		theirs       money.Amount // owed by b to a
		locks, adds  money.Amount // in the update
		end          string       // what becomes of the open lock in the same update
		within, over money.Amount // largest limit that refuses is within−1
	}{
		{name: "lock", locks: 40, within: 40},
		{name: "add", adds: 40, within: 40},
		{name: "lock and add", locks: 30, adds: 10, within: 40},
		{name: "on debt", owed: 20, locks: 40, within: 60},
		{name: "on locks", open: 20, locks: 40, within: 60},
		{name: "against their debt", theirs: 15, locks: 40, within: 25},
		{name: "all together", owed: 7, open: 5, theirs: 3, locks: 11, adds: 2, within: 22},
		{name: "room from a drop", open: 20, locks: 40, end: "drop", within: 40},
		{name: "no room from a fulfil", open: 20, locks: 40, end: "fulfil", within: 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, less := range []money.Amount{0, 1} {
				a, b := friends(t)
				var n uint64
				for _, x := range []struct {
					s *side
					a money.Amount
				}{{b, c.theirs}, {a, c.owed}} {
					if x.a > 0 {
						add(t, x.s, eur, x.a)
					}
				}
				if c.open > 0 {
					n = lock(t, a, eur, c.open)
				}
				quiet(t, a, b)
				if c.end == "drop" {
					b.Cancel(n, nil)
					pass(t, b, a)
					a.Drop(n)
				} else if c.end == "fulfil" {
					a.Fulfil(n)
				}
				// b lowers its limit; a cites that in a promise of its own, so it binds from the next one.
				grant(t, b, a, limit(eur, c.within-less))
				held := clone(a.Channel)
				held.Mine.Locks = held.Mine.Locks[:0]
				citing := rewrite(a.s, a.Since(b.HeldMark()), func(p *wire.Promise) { p.Seq++; p.Terms = 2; p.Ack = b.MyMark() })
				accept(t, b, citing)
				a.Mine.Signed = citing.Promise
				if err := wire.Unmarshal(citing.Promise.Body, &a.Mine.Promise); err != nil {
					t.Fatal(err)
				}
				a.TheirTerms.Lines[0].Limit = 1000 // the liar does not mind
				if c.locks > 0 {
					lock(t, a, eur, c.locks)
				}
				if c.adds > 0 {
					add(t, a, eur, c.adds)
				}
				_, err := b.Judge(b.s, tell(a, b), Floor{})
				if less == 0 && err != nil {
					t.Fatalf("limit %d: %v", c.within, err)
				}
				if less == 1 {
					r := wantCode(t, err, wire.LimitReached)
					if r.Limit != c.within-1 || r.Owed+r.Locked != c.within {
						t.Fatalf("refused with %+v", r)
					}
				}
			}
		})
	}
}

// No lock, no add: what is above a lowered limit is never a reason (C-20: stops new debt, never repayment).
func TestLimitStopsOnlyNewDebt(t *testing.T) {
	a, b := friends(t)
	n, m := lock(t, a, eur, 60), lock(t, a, eur, 40)
	quiet(t, a, b)
	grant(t, b, a, limit(eur, 0))
	a.Fulfil(n)
	quiet(t, a, b)
	b.Cancel(m, nil)
	quiet(t, a, b)
	a.Drop(m)
	quiet(t, a, b)
	add(t, b, eur, 60) // b pays back: from b's side that is new debt within a's limit
	quiet(t, a, b)
}

// Lowered terms bind from the promise after the one that first cites them (C-20).
func TestLoweredTerms(t *testing.T) {
	a, b := friends(t)
	signed := b.SetTerms(b.s, []wire.TermsLine{limit(eur, 5)}, false) // a does not know it yet
	lock(t, a, eur, 90)
	pass(t, a, b)
	if _, err := a.AcceptTerms(a.s, signed); err != nil {
		t.Fatal(err)
	}
	pass(t, b, a)
	a.TheirTerms.Lines = []wire.TermsLine{limit(eur, 1000)} // a liar from here on
	lock(t, a, eur, 10)
	pass(t, a, b) // cites the new terms, on a base that cites the old ones
	lock(t, a, eur, 1)
	_, err := b.Judge(b.s, tell(a, b), Floor{})
	if r := wantCode(t, err, wire.LimitReached); r.Limit != 5 {
		t.Fatalf("refused with %+v", r)
	}
	grant(t, b, a, limit(eur, 101)) // raising is immediate: the same promise is judged again
	accept(t, b, a.Since(b.HeldMark()))
}

func TestJudgedAgainWhenDebtGrows(t *testing.T) { // C-20
	a, b := friends(t)
	a.TheirTerms.Lines = []wire.TermsLine{limit(eur, 1000)}
	lock(t, a, eur, 110)
	u := tell(a, b)
	_, err := b.Judge(b.s, u, Floor{})
	wantCode(t, err, wire.LimitReached)
	add(t, b, eur, 10)
	b.Sign(b.s, 1)
	accept(t, b, u)
}

// C-17: whoever knows a promise that I signed after terms t has these terms.
func TestTermsBeforePromise(t *testing.T) {
	a, b := friends(t)
	signed := b.SetTerms(b.s, []wire.TermsLine{limit(eur, 50)}, false)
	add(t, b, eur, 1)
	pass(t, b, a)
	_, err := b.Judge(b.s, tell(a, b), Floor{})
	wantCode(t, err, wire.StaleTerms)
	if fresh, err := a.AcceptTerms(a.s, signed); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	pass(t, a, b)
}

// C-33: after hellos, nothing newer than the hello cites older terms than my hello, and nothing older comes.
func TestFloor(t *testing.T) {
	a, b := friends(t)
	hello := a.MyMark()
	b.SetTerms(b.s, []wire.TermsLine{limit(eur, 50)}, false)
	lock(t, a, eur, 1)
	u := tell(a, b)
	floor := Floor{After: hello, Terms: 2}
	_, err := b.Judge(b.s, u, floor)
	wantCode(t, err, wire.StaleTerms)
	floor.After = a.MyMark() // signed before the hello: may still cite the older ones
	if _, err := b.Judge(b.s, u, floor); err != nil {
		t.Fatal(err)
	}
	floor.After.Seq++ // a friend that claims more than it shows gets nothing accepted by it
	_, err = b.Judge(b.s, u, floor)
	wantCode(t, err, wire.BadSequence)
}

func TestAcceptTerms(t *testing.T) { // C-5
	a, b := friends(t)
	if fresh, err := a.AcceptTerms(a.s, b.MyTerms[0].Signed); fresh || err != nil {
		t.Fatal("the same terms again", fresh, err)
	}
	forged := b.SetTerms(b.s, nil, true)
	forged.Sig[1] ^= 1
	_, err := a.AcceptTerms(a.s, forged)
	wantCode(t, err, wire.BadSignature)
	other := wire.Sign(b.s, wire.TagTerms, &wire.Terms{From: b.Me, To: ident.ID{9}, Number: 9})
	_, err = a.AcceptTerms(a.s, other)
	wantCode(t, err, wire.BadRequest)
	if a.TheirTerms.Number != 1 || b.Granted().Number != 2 || !b.Granted().Closing {
		t.Fatalf("%+v, %+v", a.TheirTerms, b.Granted())
	}
}

func TestFrozen(t *testing.T) { // C-27
	a, b := friends(t)
	n, k := lock(t, a, eur, 10), lock(t, b, eur, 10)
	quiet(t, a, b)
	queued := lock(t, b, eur, 20)
	add(t, b, eur, 3)
	b.Fault = &Fault{Kind: Shrank, Writer: a.Me, Reader: b.Me}
	if _, err := b.Lock(newLock(eur, 1)); !errors.Is(err, ErrFrozen) {
		t.Fatal(err)
	}
	if err := b.Add(wire.Add{Kind: wire.AddSettlement, Currency: eur, Amount: 1}); !errors.Is(err, ErrFrozen) {
		t.Fatal(err)
	}
	liar := &side{clone(a.Channel), a.s}
	lock(t, liar, eur, 1)
	_, err := b.Judge(b.s, tell(liar, b), Floor{})
	wantCode(t, err, wire.ChannelFrozen)
	b.Cancel(n, nil)
	b.Fulfil(k)
	s := b.Sign(b.s, 1) // cancel and fulfil go on; what was queued and would be new debt does not
	if len(s.Over) != 1 || s.Over[0].Number != queued || len(s.Adds) != 0 || len(s.Fulfilled) != 1 || b.Pending() {
		t.Fatalf("%+v", s)
	}
	accept(t, a, b.Since(a.HeldMark()))
	a.Drop(n)
	pass(t, a, b)
	b.Fault = nil
	quiet(t, a, b)
	if got := a.Figures(eur); got.TheyOwe != 13 || got.LockedByMe != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestTooManyLocks(t *testing.T) { // C-21
	a, b := ends()
	grant(t, b, a, limit(eur, 5000))
	for range wire.MaxLocks {
		lock(t, a, eur, 1)
	}
	_, err := a.Lock(newLock(eur, 1))
	wantCode(t, err, wire.TooManyLocks)
	pass(t, a, b)
	pass(t, b, a)
	l := &OwnLock{Lock: newLock(eur, 1)} // a liar's
	l.Number, l.Digest = a.Mine.Next, l.Lock.Digest()
	a.Mine.Locks = append(a.Mine.Locks, l)
	_, err = b.Judge(b.s, tell(a, b), Floor{})
	wantCode(t, err, wire.TooManyLocks)
}
