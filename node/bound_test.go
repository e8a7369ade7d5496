package node

import (
	"iter"
	"testing"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// shelf keeps what a node saves.
type shelf struct {
	records map[[2]string][]byte
	bytes   int
}

func newShelf() *shelf { return &shelf{records: map[[2]string][]byte{}} }

func (s *shelf) put(saved []Record) {
	for _, r := range saved {
		s.bytes += len(r.Value)
		if r.Value == nil {
			delete(s.records, [2]string{r.Kind, r.Key})
		} else {
			s.records[[2]string{r.Kind, r.Key}] = r.Value
		}
	}
}

func (s *shelf) all() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for k, v := range s.records {
			if !yield(Record{Kind: k[0], Key: k[1], Value: v}, nil) {
				return
			}
		}
	}
}

// peer is the one friend of a node, played by a test.
type peer struct {
	t     *testing.T
	n     *Node
	ch    *credit.Channel
	key   ident.Suite
	disk  *shelf
	now   int64
	alone *int // signatures that the node verified one by one
}

const peerSession = 1

// befriended is a node with one friend, in a session with it; each grants the other 100,000.
func befriended(t *testing.T) *peer {
	alone := 0
	p := &peer{t: t, key: ident.NewKey([32]byte{9}), disk: newShelf(), now: 1_700_000_000_000, alone: &alone}
	me := ident.NewKey([32]byte{1})
	p.n = New(asksOnce{me, &alone}, Config{Name: "Ana", NoIndex: "there is none"})
	p.ch = credit.New(p.key.ID(), me.ID())
	s := wire.Sign(p.key, wire.TagInvitation, &wire.Invitation{
		From: p.key.ID(), Name: "Ben", Token: [16]byte{3}, Expires: p.now/1000 + 3600, Lines: []wire.Proposal{{Currency: fst, Give: 100_000, Ask: 100_000}},
	})
	p.step(Do{1, &Accept{Link: pay.InvitationLink(s)}}, Connected{p.key.ID(), peerSession})
	terms := p.ch.SetTerms(p.key, []wire.TermsLine{{Currency: fst, Limit: 100_000}}, false)
	f := p.n.friends[p.key.ID()]
	if _, err := p.ch.AcceptTerms(p.key, f.ch.MyTerms[0].Signed); err != nil {
		t.Fatal(err)
	}
	p.step(p.says(&wire.Hello{Version: wire.Version, Terms: terms, HeldTerms: 1, Name: "Ben"}))
	return p
}

func (p *peer) says(m wire.Message) Event { return Received{p.key.ID(), peerSession, m} }

func (p *peer) step(events ...Event) Effects {
	p.t.Helper()
	p.now += 5
	fx := p.n.Step(p.now, [32]byte{byte(p.now), byte(p.now >> 8)}, events...)
	p.disk.put(fx.Save)
	for _, r := range fx.Reply {
		if r.Err != nil {
			p.t.Fatal(r.Err)
		}
	}
	if len(fx.Hangup) > 0 && p.n.friends[p.key.ID()].session.heard {
		p.t.Fatal("the session was ended")
	}
	return fx
}

func (p *peer) load() *Node {
	p.t.Helper()
	n, err := Load(p.n.suite.Suite, Config{}, p.disk.all())
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// C-28: a friend that acknowledges nothing makes this node save neither more and more nor what it cannot read again.
func TestFriendAcknowledgesNothing(t *testing.T) {
	p := befriended(t)
	for range 900 {
		if err := p.ch.Add(wire.Add{Kind: wire.AddCorrection, Currency: fst, Amount: 1}); err != nil {
			t.Fatal(err)
		}
		base := p.ch.MyMark()
		p.ch.Sign(p.key, p.now)
		p.step(p.says(p.ch.Since(base)))
	}
	f := p.n.friends[p.key.ID()]
	if f.ch.HeldMark() != p.ch.MyMark() {
		t.Fatal("the node did not accept all")
	}
	if n := len(f.ch.Mine.Marks); n > 2*credit.MaxUnacknowledged+1 {
		t.Errorf("%d promises of mine are kept", n)
	}
	if p.disk.bytes > 40<<20 {
		t.Errorf("%d bytes were saved", p.disk.bytes)
	}
	p.load()
}

// C-20: limits may be set as often as the user likes while the friend is not heard.
func TestLimitsWithoutAnswer(t *testing.T) {
	p := befriended(t)
	for i := range uint64(4200) {
		p.step(Do{i + 2, &SetLimit{Friend: "Ben", Limit: money.Value{Amount: money.Amount(90_000 - i), Currency: fst}}})
	}
	f := p.load().friends[p.key.ID()]
	if g := f.ch.Granted(); g.Line(fst).Limit != 90_000-4199 || g.Number < uint64(p.now/1000) {
		t.Errorf("%+v", g)
	}
	if p.disk.bytes > 30<<20 {
		t.Errorf("%d bytes were saved", p.disk.bytes)
	}
}

// C-28: nor a friend that says again and again that it was restored, has no newer figures, and acknowledges no new beginning.
func TestFriendRestoredAgainAndAgain(t *testing.T) {
	p := befriended(t)
	f := p.n.friends[p.key.ID()]
	for i := range uint64(300) {
		f.lost = asking // as after its word that it holds more than what my epoch starts from
		p.step(Connected{p.key.ID(), peerSession + 1 + i})
		p.step(Received{p.key.ID(), peerSession + 1 + i, &wire.Hello{Version: wire.Version, Restored: true, Name: "Ben"}})
	}
	if n := len(f.ch.Mine.Marks); n > 2*credit.MaxUnacknowledged+1 {
		t.Errorf("%d promises of mine are kept", n)
	}
	p.load()
}

// C-20: a promise above the limit is judged again when that may have changed, and not in every Step.
func TestOverLimitJudgedOnce(t *testing.T) {
	p := befriended(t)
	f := p.n.friends[p.key.ID()]
	commands := uint64(1)
	do := func(c Command) {
		commands++
		p.step(Do{commands, c})
	}
	judged := func(what string, want int, run func()) {
		t.Helper()
		before := *p.alone
		if run(); *p.alone-before != want {
			t.Errorf("%s: %d signatures were verified, expected %d", what, *p.alone-before, want)
		}
	}
	limit := func(amount money.Amount) {
		do(&SetLimit{Friend: "Ben", Limit: money.Value{Amount: amount, Currency: fst}})
		if fresh, err := p.ch.AcceptTerms(p.key, f.ch.MyTerms[len(f.ch.MyTerms)-1].Signed); !fresh || err != nil {
			t.Fatal(err)
		}
	}
	add := func(amount money.Amount) Event {
		if err := p.ch.Add(wire.Add{Kind: wire.AddCorrection, Currency: fst, Amount: amount}); err != nil {
			t.Fatal(err)
		}
		base := p.ch.MyMark()
		p.ch.Sign(p.key, p.now)
		return p.says(p.ch.Since(base))
	}
	limit(50)
	judged("a promise within the limit", 1, func() { p.step(add(30)) })
	p.ch.TheirTerms.Lines = []wire.TermsLine{{Currency: fst, Limit: 100_000}} // the friend cheats
	judged("one above it", 1, func() { p.step(add(40)) })
	judged("Steps in which nothing changes", 0, func() {
		for range 20 {
			p.step(Tick{})
		}
	})
	judged("my limit is another one", 1, func() { do(&SetLimit{Friend: "Ben", Limit: money.Value{Amount: 60, Currency: fst}}) })
	judged("and then stays", 0, func() { p.step(Tick{}) })
	if f.session.unaccepted == nil {
		t.Fatal("what is above the limit is not kept")
	}
	judged("my debt grows", 1, func() { do(&Settle{Friend: "Ben", Amount: money.Value{Amount: 10, Currency: fst}}) })
	if f.session.unaccepted != nil || f.ch.HeldMark() != p.ch.MyMark() {
		t.Error("there is room for the promise, and it was not accepted")
	}
	if f.ch.Pending() {
		t.Error("it was not acknowledged in the same Step")
	}
}
