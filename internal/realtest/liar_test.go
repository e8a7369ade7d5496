//go:build linux

package realtest

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
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
	"kula/pay"
	"kula/wire"
)

// court is a node that somebody lies to, and two friends of it who only want to pay each other.
type court struct {
	t       testing.TB
	h, f, g *member
}

func newCourt(t testing.TB) *court {
	t.Helper()
	c := &court{t: t, h: begin(t, "hana"), f: begin(t, "finn"), g: begin(t, "gina")}
	befriend(t, c.h, c.f, 1_000_000)
	befriend(t, c.h, c.g, 1_000_000)
	return c
}

// unharmed: what a liar does holds nobody else up.
func (c *court) unharmed(after string) {
	c.t.Helper()
	began := time.Now()
	payNow(c.t, c.f, c.g, 1, c.h, c.g)
	payNow(c.t, c.g, c.f, 1, c.h, c.f)
	if took := time.Since(began); took > bystander {
		c.t.Errorf("after %s two payments of others took %v", after, took)
	}
}

// bystander is how long two payments of others may take: far more than they need, and less
// than any time that a node waits for a friend (30 s after a restore).
const bystander = 10 * time.Second

// lineOf is what a friend view says of one currency.
func lineOf(f *node.FriendView, cur money.Currency) node.CurrencyView {
	for _, l := range f.Currencies {
		if l.Currency == cur {
			return l
		}
	}
	return node.CurrencyView{}
}

// owes wants that a member sees the liar owe so much, with nothing set aside.
func (l *liar) owes(m *member, a money.Amount) {
	l.t.Helper()
	l.sees(m, fmt.Sprintf("owe %d", a), func(f *node.FriendView) bool {
		return f.OpenLocks == 0 && lineOf(f, currency).Balance.Amount == a && lineOf(f, toy).Balance.Amount == 0
	})
}

// asks makes an invoice and gives its signed bytes and its id.
func asks(t testing.TB, m *member, amount money.Amount, hold bool) (wire.Signed, *node.InvoiceView) {
	t.Helper()
	v, err := m.api().CreateInvoice(context.Background(), api.Ask{Amount: fst(amount), Hold: hold})
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := pay.ParseInvoiceLink(verifier{}, v.URI)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func wantInvoice(t testing.TB, m *member, id, state string) {
	t.Helper()
	eventually(t, "invoice "+id+" is "+state, func(ctx context.Context) (string, bool) {
		v, err := m.api().Invoice(ctx, id, 0)
		if err != nil {
			return err.Error(), false
		}
		return v.State, v.State == state
	})
}

// Scenario 11 with a modified payer: the payer edits amount, currency, payee or expiry of an
// invoice, or pays something else than it says; the payee's node refuses each and loses nothing.
func TestLiarInvoice(t *testing.T) {
	c := newCourt(t)
	l := newLiar(t)
	x := befriendLiar(t, c.h, l, 1000)
	signed, v := asks(t, c.h, 10, false)

	edit := func(change func(*wire.Invoice)) wire.Signed {
		var i wire.Invoice
		if err := wire.Unmarshal(signed.Body, &i); err != nil {
			t.Fatal(err)
		}
		change(&i)
		return wire.Signed{Body: wire.Marshal(&i), Sig: signed.Sig}
	}
	for _, row := range []struct {
		name    string
		invoice wire.Signed
		amount  money.Amount
		deviate func(*claim)
		want    wire.Code
	}{
		{"amount edited", edit(func(i *wire.Invoice) { i.Amount = 9 }), 9, nil, wire.BadSignature},
		{"currency edited", edit(func(i *wire.Invoice) { i.Currency = toy }), 10, func(k *claim) { k.box.Currency = toy }, wire.BadSignature},
		{"payee edited", edit(func(i *wire.Invoice) { i.Payee = l.host.ID() }), 10, nil, wire.BadSignature},
		{"expiry edited", edit(func(i *wire.Invoice) { i.Expires += 3600 }), 10, nil, wire.BadSignature},
		{"memo edited", edit(func(i *wire.Invoice) { i.Memo = "paid" }), 10, nil, wire.BadSignature},
		{"signed by the payer", func() wire.Signed {
			s := edit(func(i *wire.Invoice) { i.Amount = 9 })
			s.Sig = l.key.Sign(wire.TagInvoice, s.Body)
			return s
		}(), 9, nil, wire.BadSignature},
		{"less than it says", signed, 9, nil, wire.WrongAmount},
		{"more than it says", signed, 11, nil, wire.WrongAmount},
		{"less than the box says", signed, 10, func(k *claim) { k.route.Amounts[0] = 9 }, wire.WrongAmount},
		{"in another currency", signed, 10, func(k *claim) { k.box.Currency = toy }, wire.WrongCurrency},
		{"under a hash of the payer", signed, 10, func(k *claim) { k.hashes = []ident.Hash{l.key.Preimage(k.box.Salt).Hash()} }, wire.BadRequest},
		{"as a hold", signed, 10, func(k *claim) {
			k.box.Form, k.hashes = wire.FormHold, append(k.hashes, l.key.Preimage(k.box.Salt).Hash())
		}, wire.BadRequest},
	} {
		t.Run(row.name, func(t *testing.T) {
			k := l.newClaim(row.invoice, row.amount, c.h)
			if row.deviate != nil {
				row.deviate(k)
			}
			l.returned(x, l.lock(x, k), k, row.want)
			wantInvoice(t, c.h, v.ID, "open")
		})
	}
	l.owes(c.h, 0)
	c.unharmed("edited invoices")

	k := l.newClaim(signed, 10, c.h)
	l.paid(x, l.lock(x, k))
	wantInvoice(t, c.h, v.ID, "paid")
	again := l.newClaim(signed, 10, c.h)
	l.returned(x, l.lock(x, again), again, wire.InvoicePaid)
	l.owes(c.h, 10)
}

// Scenario 12: the same part id through two friends to one next hop. The second is
// cancelled, the first completes.
func TestLiarSamePart(t *testing.T) {
	left, right, next, payee := begin(t, "left"), begin(t, "right"), begin(t, "next"), begin(t, "payee")
	befriend(t, left, next, 1000)
	befriend(t, right, next, 1000)
	befriend(t, next, payee, 1000)
	l := newLiar(t)
	one, two := befriendLiar(t, left, l, 1000), befriendLiar(t, right, l, 1000)
	signed, v := asks(t, payee, 10, true)

	first := l.newClaim(signed, 10, left, next, payee)
	number := l.lock(one, first)
	l.until("the first part has arrived", func() (string, bool) { return fmt.Sprint(one.cancels), one.arrived[number] })
	wantInvoice(t, payee, v.ID, "held")

	second := l.newClaim(signed, 10, right, next, payee)
	second.part = first.part
	l.returned(two, l.lock(two, second), second, wire.DuplicatePart)
	l.owes(right, 0)
	wantInvoice(t, payee, v.ID, "held")

	l.order(one, payee, first, number)
	l.paid(one, number)
	wantInvoice(t, payee, v.ID, "paid")
	l.owes(left, 10)
	l.owes(right, 0)
	payNow(t, left, payee, 1, next, payee) // nobody is stuck
	payNow(t, right, payee, 1, next, payee)
	auditNets(t, map[*member]money.Amount{left: -1, right: -1, next: 0, payee: 12})
}

// auditNets wants balances over all friends, and books that add up.
func auditNets(t testing.TB, want map[*member]money.Amount) {
	t.Helper()
	for m, w := range want {
		eventually(t, fmt.Sprintf("%s has %d in all", m.name, w), func(ctx context.Context) (string, bool) {
			list, err := m.api().Balances(ctx)
			if err != nil {
				return err.Error(), false
			}
			var sum money.Amount
			for _, b := range list {
				sum += b.Balance.Amount
			}
			return fmt.Sprint(sum), sum == w
		})
		v, err := m.api().VerifyBook(context.Background())
		if err != nil || !v.Valid {
			t.Errorf("%s's book: %+v, %v", m.name, v, err)
		}
	}
}

// next is a copy of the liar's newest promise with the next number.
func (x *tie) next() wire.Promise {
	p := x.ch.Mine.Promise
	p.Seq, p.Start = p.Seq+1, nil
	p.Ack, p.Terms, p.Time = x.ch.HeldMark(), x.ch.TheirTerms.Number, p.Time+1
	p.Lines = slices.Clone(p.Lines)
	return p
}

// tell signs a promise that no honest node would and sends it with moves since the newest one.
func (l *liar) tell(x *tie, p wire.Promise, groups ...wire.Group) {
	l.send(x, &wire.Update{Promise: wire.Sign(l.key, wire.TagPromise, &p), Base: x.ch.MyMark(), Groups: groups})
}

// faults are the lies that prove themselves. The liar owes 5 and has a hold of 7 open.
var faults = []struct {
	name string
	kind credit.FaultKind
	lie  func(l *liar, x *tie, lock uint64)
}{
	{"two statements of one number", credit.Equivocated, func(l *liar, x *tie, _ uint64) {
		p := x.ch.Mine.Promise
		p.Time++
		l.send(x, &wire.Update{Promise: wire.Sign(l.key, wire.TagPromise, &p), Base: x.ch.Acked()})
	}},
	{"owes less than before", credit.Shrank, func(l *liar, x *tie, _ uint64) {
		p := x.next()
		p.Lines[0].Owed--
		l.tell(x, p)
	}},
	{"drops what was not cancelled", credit.DroppedUncancelled, func(l *liar, x *tie, lock uint64) {
		p := x.next()
		p.Lines[0].Locked, p.Lines[0].Locks = 0, ident.Hash{}
		l.tell(x, p, wire.Group{Seq: p.Seq, Drops: []uint64{lock}})
	}},
}

// Design §3, faults: each freezes the channel and nothing else, survives a restart, and leaves
// evidence that anyone can check.
func TestLiarFaults(t *testing.T) {
	c := newCourt(t)
	liars := map[ident.ID]string{}
	for _, row := range faults {
		l := newLiar(t)
		x := befriendLiar(t, c.h, l, 100)
		liars[l.host.ID()] = row.kind.String()
		push := l.newClaim(wire.Signed{}, 5, c.h)
		number := l.lock(x, push)
		l.until("the push has arrived", func() (string, bool) { return "", x.arrived[number] })
		l.order(x, c.h, push, number)
		l.paid(x, number)
		signed, v := asks(t, c.h, 7, true)
		hold := l.newClaim(signed, 7, c.h)
		number = l.lock(x, hold)
		l.until("the hold has arrived", func() (string, bool) { return "", x.arrived[number] })
		l.online(x)
		l.do(func() { row.lie(l, x, number) })

		frozen := func(f *node.FriendView) bool {
			return f.State == node.Frozen && f.Fault != "" && lineOf(f, currency).Balance.Amount == 5 && lineOf(f, currency).LockedByThem.Amount == 7
		}
		l.sees(c.h, "frozen after: "+row.name, frozen)
		l.until("the liar is told", func() (string, bool) {
			return fmt.Sprint(x.refused), slices.ContainsFunc(x.refused, func(r *wire.Refused) bool { return wire.Code(r.Code) == wire.ChannelFrozen })
		})
		c.unharmed(row.name)
		// Nothing new passes, in either direction; what is set aside can still be given back.
		p := payWith(t, c.h, api.Order{To: l.host.ID().String(), Amount: &[]money.Value{fst(1)}[0], GiveUpMs: 1})
		if p.State != node.Returned || p.Reason.Code != wire.ChannelFrozen {
			t.Errorf("%s: a payment to the liar is %s, %+v", row.name, p.State, p.Reason)
		}
		if _, err := c.h.api().CancelInvoice(context.Background(), v.ID); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	c.h.halt()
	evidence(t, c.h, liars)
	c.h.start()
	ready(t, c.h, c.f)
	ready(t, c.h, c.g)
	c.unharmed("the restart")
	for id := range liars {
		f, err := c.h.friend(context.Background(), id)
		if err != nil || f.State != node.Frozen || f.Fault == "" {
			t.Errorf("after a restart: %+v, %v", f, err)
		}
	}
}

// evidence reads the stored faults of a halted node: each is a proof that `kula proof verify`
// takes, against the right one and of the right kind.
func evidence(t testing.TB, m *member, want map[ident.ID]string) {
	t.Helper()
	all, _ := records(t, filepath.Join(m.home, storeFile))
	found := map[ident.ID]string{}
	for _, r := range all {
		if r.kind != node.KindFault {
			continue
		}
		file := filepath.Join(t.TempDir(), "proof")
		if err := os.WriteFile(file, []byte(wire.Link(wire.LinkProof, []byte(r.value))), 0o600); err != nil {
			t.Fatal(err)
		}
		var v struct {
			Valid          bool
			Kind, Fault    string
			Writer, Reader ident.ID
		}
		must(t, m.home, &v, "proof", "verify", file)
		if !v.Valid || v.Kind != "fault" || v.Reader != m.key {
			t.Errorf("evidence %q: %+v", r.key, v)
		}
		found[v.Writer] = v.Fault
	}
	for id, fault := range want {
		if found[id] != fault {
			t.Errorf("the evidence against %s is %q, want %q", id.Short(), found[id], fault)
		}
	}
}

// A lock above the limit is not accepted, harms nobody, and is judged again when the limit is raised.
func TestLiarOverLimit(t *testing.T) {
	c := newCourt(t)
	l := newLiar(t)
	x := befriendLiar(t, c.h, l, 100)
	signed, v := asks(t, c.h, 101, false)
	k := l.newClaim(signed, 101, c.h)
	l.do(func() { x.ch.TheirTerms.Lines[0].Limit = 1000 }) // the liar's own rules would not sign it
	number := l.lock(x, k)
	l.until("the lock is refused", func() (string, bool) {
		return fmt.Sprint(x.refused), slices.ContainsFunc(x.refused, func(r *wire.Refused) bool { return wire.Code(r.Code) == wire.LimitReached })
	})
	l.owes(c.h, 0)
	wantInvoice(t, c.h, v.ID, "open")
	c.unharmed("a lock above the limit")
	must(t, c.h.home, nil, "friend", "limit", l.host.ID().String(), typed(101))
	l.paid(x, number)
	wantInvoice(t, c.h, v.ID, "paid")
	l.owes(c.h, 101)
}

// At most 1,000 locks are open; one more is refused, and nobody else waits for that.
func TestLiarManyLocks(t *testing.T) {
	c := newCourt(t)
	l := newLiar(t)
	x := befriendLiar(t, c.h, l, 10_000)
	for range 10 {
		l.do(func() {
			for range wire.MaxLocks / 10 {
				if _, err := x.ch.Lock(l.build(l.newClaim(wire.Signed{}, 1, c.h)).lock); err != nil {
					t.Fatal(err)
				}
			}
			l.sign(x)
		})
	}
	l.sees(c.h, "with 1,000 locks", func(f *node.FriendView) bool { return f.OpenLocks == wire.MaxLocks })
	c.unharmed("1,000 locks")
	l.online(x)
	l.do(func() {
		p, k := x.next(), l.build(l.newClaim(wire.Signed{}, 1, c.h))
		k.lock.Number = x.ch.Mine.Next
		own := x.ch.Mine.Locks
		x.ch.Mine.Locks = append(slices.Clone(own), &credit.OwnLock{Lock: k.lock, Digest: k.lock.Digest()})
		x.ch.Sign(l.key, p.Time) // with the right figures and digest: only the count is wrong
		l.flush(x)
	})
	l.until("the lock is refused", func() (string, bool) {
		return fmt.Sprint(x.refused), slices.ContainsFunc(x.refused, func(r *wire.Refused) bool { return wire.Code(r.Code) == wire.TooManyLocks })
	})
	c.unharmed("one lock more")
	f, err := c.h.friend(context.Background(), l.host.ID())
	if err != nil || f.OpenLocks != wire.MaxLocks || f.State != node.Opened {
		t.Errorf("%+v, %v", f, err)
	}
}

// A reveal that does not meet the condition changes nothing, neither do words about locks there are not.
func TestLiarReveal(t *testing.T) {
	c := newCourt(t)
	l := newLiar(t)
	x := befriendLiar(t, c.h, l, 100)
	amount := fst(9)
	p, err := c.h.api().Pay(context.Background(), newKey(), api.Order{To: l.host.ID().String(), Amount: &amount})
	if err != nil {
		t.Fatal(err)
	}
	var number uint64
	l.until("the payment is locked", func() (string, bool) {
		if len(x.ch.Theirs.Locks) == 0 {
			return "no lock", false
		}
		number = x.ch.Theirs.Locks[0].Number
		return "", true
	})
	l.do(func() {
		for _, n := range []uint64{number, number + 1, 1 << 61} {
			for _, preimages := range [][]ident.Preimage{{{}}, {ident.Preimage(junk(32))}, {ident.Preimage(junk(32)), {}}} {
				l.send(x, &wire.Reveal{Number: n, Preimages: preimages, Note: junk(100)})
			}
			l.send(x, &wire.Acknowledge{Number: n, Note: junk(200)}, &wire.Acknowledge{Number: n}, &wire.Onward{Number: n, Note: junk(50)}, &wire.Onward{Number: n})
		}
	})
	c.unharmed("reveals of garbage")
	v, err := c.h.api().Payment(context.Background(), p.ID, 0)
	if err != nil || v.State != node.Waiting {
		t.Errorf("the payment is %+v, %v", v, err)
	}
	l.do(func() {
		x.ch.Cancel(number, nil)
		l.sign(x)
	})
	if v, err = c.h.api().Payment(context.Background(), p.ID, patience); err != nil || v.State != node.Returned {
		t.Errorf("after the cancel the payment is %+v, %v", v, err)
	}
	l.owes(c.h, 0)
}

// anewEpoch is the lie after which the node waits for what an honest friend would do next, ask for a
// snapshot: its own channel stands still until it comes again.
const anewEpoch = "a new epoch"

// lies are messages that are refused or ignored, whole or byte by byte wrong; none changes anything.
func (l *liar) lies(x *tie, other *member) map[string][]byte {
	promise := func(change func(*wire.Promise), groups ...wire.Group) []byte {
		p := x.next()
		change(&p)
		for i := range groups {
			groups[i].Seq = p.Seq
		}
		return wire.Encode(&wire.Update{Promise: wire.Sign(l.key, wire.TagPromise, &p), Base: x.ch.MyMark(), Groups: groups})
	}
	nothing := func(*wire.Promise) {}
	good := promise(nothing)
	unsigned := x.next()
	terms := x.ch.MyTerms[len(x.ch.MyTerms)-1].Terms
	terms.Number++
	return map[string][]byte{
		"empty kind":       {0},
		"unknown kind":     append([]byte{200}, junk(50)...),
		"garbage":          junk(5000),
		"cut short":        good[:len(good)/2],
		"something behind": append(slices.Clone(good), 0),
		"bad signature":    wire.Encode(&wire.Update{Promise: wire.Signed{Body: wire.Marshal(&unsigned)}, Base: x.ch.MyMark()}),
		"wrong base":       wire.Encode(&wire.Update{Promise: wire.Sign(l.key, wire.TagPromise, &unsigned), Base: wire.Mark{Seq: 1, Hash: ident.Hash(junk(32))}}),
		"to another":       promise(func(p *wire.Promise) { p.To = other.key }),
		"owes more":        promise(func(p *wire.Promise) { p.Lines[0].Owed++ }),
		"locks nothing":    promise(func(p *wire.Promise) { p.Lines[0].Locked, p.Lines[0].Locks = 5, ident.Hash(junk(32)) }),
		"cancels nothing":  promise(nothing, wire.Group{Cancels: []wire.Cancel{{Number: 1 << 40}}}),
		"fulfils nothing":  promise(nothing, wire.Group{Fulfils: []uint64{1 << 40}}),
		"drops nothing":    promise(nothing, wire.Group{Drops: []uint64{1 << 40}}),
		"old lock number":  promise(nothing, wire.Group{Locks: []wire.Lock{{Number: 1, Currency: currency, Amount: 1, Condition: wire.Condition{Hashes: make([]ident.Hash, 1)}}}}),
		"future terms":     promise(func(p *wire.Promise) { p.Terms += 10 }),
		"acks the future":  promise(func(p *wire.Promise) { p.Ack.Seq += 10 }),
		"acks another":     promise(func(p *wire.Promise) { p.Ack.Hash = ident.Hash(junk(32)) }),
		anewEpoch: promise(func(p *wire.Promise) {
			p.Epoch, p.Seq, p.Start = p.Epoch+5, 1, &wire.Start{Mine: wire.Mark{Seq: 1}, Held: wire.Mark{Seq: 1}}
		}),
		"unsigned terms":     wire.Encode(&wire.NewTerms{Terms: wire.Signed{Body: wire.Marshal(&terms)}}),
		"a snapshot unasked": wire.Encode(&wire.Snapshot{Mine: wire.Signed{Body: junk(100)}}),
		"an agreement":       wire.Encode(&wire.Agree{Snapshot: wire.Snapshot{Mine: wire.Signed{Body: junk(100)}}}),
		"a refusal":          wire.Encode(&wire.Refused{Epoch: 1 << 60, Seq: 1 << 60, Code: 1 << 60, Text: "no"}),
		"bytes to keep":      wire.Encode(&wire.Keep{Number: 1 << 60, Blob: junk(wire.MaxKept)}),
		"another hello":      wire.Encode(&wire.Hello{Version: 99}),
	}
}

// settleAnew pays something, in the session that there is or the one that comes up after the lie ended
// it: the channel itself still works too.
func (l *liar) settleAnew(x *tie, c *court, owed *money.Amount) {
	l.t.Helper()
	signed, v := asks(l.t, c.h, 1, false)
	k := l.newClaim(signed, 1, c.h)
	l.paid(x, l.lock(x, k))
	wantInvoice(l.t, c.h, v.ID, "paid")
	*owed++
	l.owes(c.h, *owed)
}

// Malformed and untrue messages of a friend are refused or ignored: no crash, no change, no
// other channel held up, and an honest word after them is heard.
func TestLiarMessages(t *testing.T) {
	c := newCourt(t)
	l := newLiar(t)
	x := befriendLiar(t, c.h, l, 10_000)
	var owed money.Amount
	l.settleAnew(x, c, &owed)
	l.online(x)
	var names []string
	l.do(func() {
		for name := range l.lies(x, c.f) {
			names = append(names, name)
		}
	})
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			l.online(x)
			l.do(func() { l.raw(x, l.lies(x, c.f)[name]) })
			if name == anewEpoch {
				l.leave(x)
			}
			l.settleAnew(x, c, &owed)
		})
	}
	c.unharmed("malformed messages")
	// One byte of an honest message changed, anywhere.
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	pick := mathrand.New(mathrand.NewPCG(seed, 0))
	for range 8 {
		l.online(x)
		l.do(func() {
			p := x.next()
			frame := wire.Encode(&wire.Update{Promise: wire.Sign(l.key, wire.TagPromise, &p), Base: x.ch.MyMark()})
			frame[pick.IntN(len(frame))] ^= 1 << pick.IntN(8)
			l.raw(x, frame)
		})
		l.settleAnew(x, c, &owed)
	}
	c.unharmed("changed bytes")
	v, err := c.h.api().VerifyBook(context.Background())
	if err != nil || !v.Valid {
		t.Errorf("the book: %+v, %v", v, err)
	}
}

// A friend that claims to hold newer statements of mine than I know of, and shows none, stops its
// own channel and no other.
func TestLiarHello(t *testing.T) {
	c := newCourt(t)
	l := newLiar(t)
	x := befriendLiar(t, c.h, l, 100)
	l.online(x)
	l.do(func() { x.mute = true })
	l.leave(x)
	l.until("the liar is back", func() (string, bool) {
		return fmt.Sprintf("%+v", l.host.Status(c.h.key)), x.session != 0
	})
	l.do(func() {
		l.send(x, &wire.Hello{
			Version: wire.Version, Mine: x.ch.MyMark(), Held: wire.Mark{Epoch: 3, Seq: 1 << 40, Hash: ident.Hash(junk(32))},
			Terms: x.ch.MyTerms[0].Signed, HeldTerms: x.ch.TheirTerms.Number,
		})
	})
	l.until("the node wants to see it", func() (string, bool) { return "", x.asked > 0 })
	c.unharmed("a claim to hold more")
	l.do(func() {
		l.send(x, &wire.Snapshot{Mine: wire.Signed{Body: junk(64)}, Yours: wire.Signed{Body: junk(64)}})
	})
	c.unharmed("a snapshot of garbage")
	c.h.halt() // and the claim leaves nothing behind
	c.h.start()
	ready(t, c.h, c.f)
	ready(t, c.h, c.g)
	c.unharmed("the restart")
}
