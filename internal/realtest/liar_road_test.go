//go:build linux

package realtest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kula/credit"
	"kula/ident"
	"kula/internal/api"
	"kula/money"
	"kula/node"
	"kula/onion"
	"kula/pay"
	"kula/route"
	"kula/wire"
)

// carrier is a liar between a payer and a payee, with one more friend: it carries the parts of the payer, or lies about it.
type carrier struct {
	*liar
	payer, payee, other *tie
	lie                 carriage
	ways                map[passed]passage
	asked               int    // parts of the payer since the test looked last
	heard               []byte // the payee's failure that it passed on last
}

// passed is a lock of the carrier's own, and passage what it was made from.
type passed struct {
	to     *tie
	number uint64
}

type passage struct {
	number uint64 // of the payer's lock
	parcel *pay.Parcel
}

// carriage is what a carrier does with a part.
type carriage int

const (
	carried      carriage = iota // as it should be
	carriedAside                 // to another friend than the onion names
	deniedNext                   // given back: the next hop is unknown
	touchedOnion                 // carried on with a byte changed
	otherFailure                 // given back with a failure that the payee made for another part
	madeFailure                  // given back with a failure that nobody made
)

func (c *carrier) locked(x *tie, k *credit.TheirLock) {
	if x != c.payer {
		return
	}
	p, err := pay.OpenParcel(c.key, &k.Lock)
	if err != nil || p.Hop == nil || p.Hop.Next != c.payee.ch.Friend {
		c.t.Errorf("the carrier's onion: %+v, %v", p, err)
		return
	}
	c.asked++
	next, blob := c.payee, p.Inner(c.key)
	back := func(note []byte) { x.ch.Cancel(k.Number, note) }
	switch c.lie {
	case carriedAside:
		next = c.other
	case deniedNext: // in the payee's name
		back(p.Refuse(c.key, x.ch.Friend, k.Number, &wire.Reason{Code: wire.UnknownNextHop, At: p.Hop.Next, Next: p.Hop.Next, Currency: k.Currency}))
		return
	case touchedOnion:
		blob[len(blob)/2] ^= 1
	case otherFailure:
		back(p.Return(c.key, x.ch.Friend, k.Number, c.heard))
		return
	case madeFailure:
		back(junk(onion.FailureSize))
		return
	}
	own, err := next.ch.Lock(wire.Lock{Part: k.Part, Currency: k.Currency, Amount: p.Hop.Amount, Condition: k.Condition, Blob: blob})
	if err != nil {
		c.t.Errorf("the carrier's own lock: %v", err)
		return
	}
	c.ways[passed{next, own.Number}] = passage{k.Number, p}
	c.sign(next)
}

func (c *carrier) givenBack(x *tie, b wire.Cancel) {
	from := c.ways[passed{x, b.Number}]
	var note []byte
	if c.lie == carried {
		if len(b.Reason) != onion.FailureSize {
			c.t.Errorf("an honest node gives back with %d bytes", len(b.Reason))
		}
		c.heard, note = b.Reason, from.parcel.Return(c.key, c.payer.ch.Friend, from.number, b.Reason)
	} else if len(b.Reason) > 0 {
		c.t.Errorf("a node that cannot open the onion gives it back with %d bytes", len(b.Reason))
	}
	c.payer.ch.Cancel(from.number, note)
	c.sign(c.payer)
}

func (c *carrier) revealed(x *tie, m *wire.Reveal) {
	if from, ok := c.ways[passed{x, m.Number}]; ok {
		c.send(c.payer, &wire.Reveal{Number: from.number, Preimages: m.Preimages, Note: m.Note})
	}
}

// indexed has a member use an index server from now on.
func indexed(t testing.TB, m *member, uri string) {
	t.Helper()
	m.halt()
	if err := os.WriteFile(filepath.Join(m.home, "config.toml"), []byte("index = [\""+uri+"\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
}

// announce tells the index what the carrier can receive from its friends.
func (c *carrier) announce(at *curious, friends ...*member) {
	c.t.Helper()
	var list []wire.Batched
	at.mu.Lock()
	defer at.mu.Unlock()
	for _, f := range friends {
		s, err := route.Sign(c.key, route.Announcement{
			Node: c.key.ID(), Friend: f.key, Number: 1, Expires: time.Now().Unix() + 3600, Entries: []route.Entry{{Currency: currency, CanReceive: 10_000}},
		})
		if err != nil {
			c.t.Fatal(err)
		}
		list = append(list, s)
	}
	if r := at.graph.Publish(at.suite, &route.Publish{Announcements: list}, time.Now().Unix()); len(r.Problems) > 0 {
		c.t.Fatalf("%+v", r.Problems)
	}
}

// fork is a payer with two ways to a payee: through a carrier that lies, for nothing, and through mia, for a fee of 3.
type fork struct {
	t                       testing.TB
	c                       *carrier
	payer, payee, mia, side *member      // side is another friend of the carrier
	arrived, fees           money.Amount // what should have come of it all
}

func newFork(t testing.TB) *fork {
	t.Helper()
	at := startCurious(t)
	f := &fork{t: t, payer: begin(t, "payer"), payee: begin(t, "payee"), mia: begin(t, "mia"), side: begin(t, "side")}
	told := []*member{f.payer, f.payee, f.mia}
	for _, m := range told {
		indexed(t, m, at.uri)
	}
	befriend(t, f.payer, f.mia, 10_000)
	befriend(t, f.mia, f.payee, 10_000)
	must(t, f.mia.home, nil, "friend", "fee", f.payer.key.String(), "--currency", string(currency), "--base", typed(3))
	l := newLiar(t)
	f.c = &carrier{liar: l, ways: map[passed]passage{}}
	f.c.payer, f.c.payee, f.c.other = befriendLiar(t, f.payer, l, 10_000), befriendLiar(t, f.payee, l, 10_000), befriendLiar(t, f.side, l, 10_000)
	l.do(func() { l.road = f.c })
	f.c.announce(at, f.payer, f.payee)
	for _, m := range told {
		must(t, m.home, nil, "wait", "announced", "--wait", patience.String())
	}
	return f
}

// try pays 10 for a fee of at most most, over the carrier alone or by any way, while the carrier does what it does.
func (f *fork) try(name string, lie carriage, most money.Amount, alone bool) *node.PaymentView {
	f.t.Helper()
	f.c.do(func() { f.c.lie, f.c.asked = lie, 0 })
	i, err := f.payee.api().CreateInvoice(context.Background(), api.Ask{Amount: fst(10)})
	if err != nil {
		f.t.Fatal(err)
	}
	fee := fst(most)
	o := api.Order{Invoice: i.URI, MaxFee: &fee, GiveUpMs: patience.Milliseconds()}
	if alone {
		o.Route = []string{f.c.key.ID().String(), f.payee.key.String()}
	}
	p := payWith(f.t, f.payer, o)
	f.c.do(func() {
		if f.c.asked != 1 {
			f.t.Errorf("%s: the carrier was asked to carry %d parts, expected 1", name, f.c.asked)
		}
	})
	state := "open"
	if p.State == node.Paid {
		state, f.arrived, f.fees = "paid", f.arrived+10, f.fees+p.Fee.Amount
	}
	wantInvoice(f.t, f.payee, i.ID, state)
	return p
}

// paid wants a payment paid in one part through somebody for a fee.
func (f *fork) paid(name string, p *node.PaymentView, fee money.Amount, through ident.ID) {
	f.t.Helper()
	if p.State != node.Paid || p.Fee.Amount != fee || len(p.Parts) != 1 || !slices.Equal(p.Parts[0].Hops, []ident.ID{through, f.payee.key}) {
		f.t.Fatalf("%s: %s, fee %d, %+v, %+v; want it paid with a fee of %d", name, p.State, p.Fee.Amount, p.Parts, p.Reason, fee)
	}
}

// failsHonestly has the payee refuse a part, which the carrier passes on and keeps.
func (f *fork) failsHonestly() {
	f.t.Helper()
	i, err := f.payee.api().CreateInvoice(context.Background(), api.Ask{Amount: fst(10)})
	if err == nil {
		_, err = f.payee.api().CancelInvoice(context.Background(), i.ID)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	if p := payWith(f.t, f.payer, api.Order{Invoice: i.URI}); p.State != node.Returned || p.Reason.Code != wire.InvoiceCancelled || p.Reason.At != f.payee.key.String() {
		f.t.Fatalf("an honest failure: %s, %+v", p.State, p.Reason)
	}
}

// A mediator lies about the next hop (issue, Proof). The payer loses nothing and pays nobody twice, takes another way if there is
// one that it would pay for, and hears of no reason in the name of a node that did not give it.
func TestLiarRoad(t *testing.T) {
	f := newFork(t)
	liar := f.c.key.ID()
	f.paid("honest", f.try("honest", carried, 5, false), 0, liar) // the way through the carrier costs nothing: it is taken first
	f.failsHonestly()
	for _, row := range []struct {
		name string
		lie  carriage
		code wire.Code // of the reason that the payer can read
		at   string
	}{
		{"to another friend", carriedAside, wire.CodeNone, ""},
		{"unknown next hop", deniedNext, wire.UnknownNextHop, liar.String()},
		{"a byte changed", touchedOnion, wire.CodeNone, ""},
		{"another part's failure", otherFailure, wire.CodeNone, ""},
		{"an invented failure", madeFailure, wire.CodeNone, ""},
	} {
		f.paid(row.name, f.try(row.name, row.lie, 5, false), 3, f.mia.key)
		if p := f.try(row.name+", too dear", row.lie, 2, false); p.State != node.Returned || p.Reason.Code != wire.FeeAboveMax || p.Reason.Fee.Amount != 3 {
			t.Errorf("%s: with a fee of at most 2: %s %+v", row.name, p.State, p.Reason)
		}
		if p := f.try(row.name+", no other way", row.lie, 5, true); p.State != node.Returned || p.Reason.Code != row.code || p.Reason.At != row.at {
			t.Errorf("%s: over the liar alone: %s %+v, want %s of %q", row.name, p.State, p.Reason, row.code, row.at)
		}
	}
	f.paid("honest again", f.try("honest again", carried, 5, false), 0, liar)

	if f.arrived != 70 || f.fees != 15 {
		t.Errorf("%d arrived for fees of %d, expected 70 and 15", f.arrived, f.fees)
	}
	auditNets(t, map[*member]money.Amount{f.payer: -85, f.payee: 70, f.mia: 15, f.side: 0})
	f.c.owes(f.payer, -20)
	f.c.owes(f.payee, 20)
	f.c.owes(f.side, 0)
}
