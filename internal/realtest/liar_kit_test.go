//go:build linux

package realtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"kula/credit"
	"kula/ident"
	"kula/internal/p2p"
	"kula/internal/p2p/p2ptest"
	"kula/money"
	"kula/node"
	"kula/pay"
	"kula/wire"
)

// junk is n random bytes.
var junk = p2ptest.Junk

// liar is a friend that can lie. Left alone it keeps its side of every channel as an
// honest node would, but it carries no payments, unless it has a road, and saves nothing.
type liar struct {
	t    testing.TB
	key  *ident.Key // used under mu only
	host *p2p.Host

	mu      sync.Mutex
	changed chan struct{} // closed and made anew whenever something happened
	ties    map[ident.ID]*tie
	peers   map[uint64]ident.ID // of sessions
	road    road                // nil: it carries no payments
}

// road is what a liar does as a mediator. Its methods are called with the lock held; what they queue for the friend who
// spoke is signed after them.
type road interface {
	locked(x *tie, k *credit.TheirLock)
	givenBack(x *tie, c wire.Cancel)
	revealed(x *tie, m *wire.Reveal)
}

// tie is the liar's side of one friendship.
type tie struct {
	ch      *credit.Channel
	token   []byte
	session uint64 // 0: none
	heard   bool   // its hello was read
	sent    wire.Mark
	floor   credit.Floor
	mute    bool // what it hears changes nothing
	ups     int  // sessions so far

	refused []*wire.Refused
	cancels map[uint64]wire.Cancel      // of our locks, by number
	arrived map[uint64]bool             // our locks that the payee acknowledged
	reveals map[uint64][]ident.Preimage // of our locks
	asked   int                         // snapshots it wanted
	figures *wire.Snapshot              // what it proposed to go on from after a fault
}

// newLiar makes one that only dials.
func newLiar(t testing.TB) *liar {
	t.Helper()
	var master [32]byte
	rand.Read(master[:])
	l := &liar{t: t, key: ident.NewKey(master), changed: make(chan struct{}), ties: map[ident.ID]*tie{}, peers: map[uint64]ident.ID{}}
	var err error
	if l.host, err = p2p.New(p2p.Config{Seed: l.key.IdentitySeed(), Classify: func(ident.ID) p2p.Class { return p2p.Friend }}, l); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.host.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// toy is a second currency between a liar and its friends.
const toy money.Currency = "TOY/0"

// befriendLiar makes a liar a friend of a member by the member's link: each lets the other owe
// limit in both currencies.
func befriendLiar(t testing.TB, m *member, l *liar, limit money.Amount) *tie {
	t.Helper()
	var v node.InvitationView
	must(t, m.home, &v, "friend", "invite", "liar-"+l.host.ID().Short(), "--give", typed(limit), "--ask", typed(limit),
		"--give", fmt.Sprintf("%d %s", limit, toy), "--ask", fmt.Sprintf("%d %s", limit, toy))
	i, err := pay.ParseInvitationLink(verifier{}, v.URI)
	if err != nil {
		t.Fatal(err)
	}
	x := &tie{
		ch: credit.New(l.host.ID(), m.key), token: i.Token[:],
		cancels: map[uint64]wire.Cancel{}, arrived: map[uint64]bool{}, reveals: map[uint64][]ident.Preimage{},
	}
	l.mu.Lock()
	x.ch.SetTerms(l.key, []wire.TermsLine{{Currency: currency, Limit: limit}, {Currency: toy, Limit: limit}}, false)
	l.ties[m.key] = x
	l.mu.Unlock()
	if err := l.host.Want(m.key, i.Addresses); err != nil {
		t.Fatal(err)
	}
	l.until("the invitation is taken", func() (string, bool) {
		return fmt.Sprintf("heard %v, limit %d", x.heard, x.ch.TheirTerms.Line(currency).Limit), x.heard && x.ch.TheirTerms.Line(currency).Limit == limit
	})
	return x
}

// until waits until ok, which is called with the lock held.
func (l *liar) until(what string, ok func() (string, bool)) {
	l.t.Helper()
	late, again := time.After(patience), time.NewTicker(time.Second) // for what is no event, such as the host's status
	defer again.Stop()
	for {
		l.mu.Lock()
		seen, done := ok()
		changed := l.changed
		l.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-again.C:
		case <-late:
			l.t.Fatalf("not within %s: %s; last seen: %s", patience, what, seen)
		}
	}
}

func (l *liar) poke() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// SessionUp implements p2p.Events.
func (l *liar) SessionUp(id ident.ID, session uint64, _ p2p.Class) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peers[session] = id
	x := l.ties[id]
	x.session, x.heard, x.ups = session, false, x.ups+1
	if !x.mute {
		l.greet(x)
	}
	l.poke()
}

// greet says hello as it stands.
func (l *liar) greet(x *tie) {
	l.send(x, &wire.Hello{
		Version: wire.Version, Mine: x.ch.MyMark(), Held: x.ch.HeldMark(), Terms: x.ch.MyTerms[len(x.ch.MyTerms)-1].Signed,
		HeldTerms: x.ch.TheirTerms.Number, Name: "liar", Token: x.token,
	})
}

// SessionDown implements p2p.Events.
func (l *liar) SessionDown(session uint64, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.ties[l.peers[session]]; x.session == session {
		x.session, x.heard = 0, false
	}
	delete(l.peers, session)
	l.poke()
}

// Frame implements p2p.Events.
func (l *liar) Frame(session uint64, frame []byte) {
	m, err := wire.Decode(frame)
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.ties[l.peers[session]]
	if err != nil {
		l.t.Errorf("the node sent what is no message: %v", err)
	} else if x.session == session {
		l.hear(x, m)
	}
	l.poke()
}

// hear does what an honest node would, unless the tie is mute.
func (l *liar) hear(x *tie, m wire.Message) {
	switch m := m.(type) {
	case *wire.Hello:
		x.heard, x.token = true, nil
		x.floor = credit.Floor{After: m.Mine, Terms: x.ch.Granted().Number}
		l.terms(x, m.Terms)
		if x.sent = m.Held; !x.mute && x.sent != x.ch.MyMark() {
			l.flush(x)
		}
	case *wire.NewTerms:
		l.terms(x, m.Terms)
	case *wire.Update:
		if !x.mute {
			l.update(x, m)
		}
	case *wire.Refused:
		x.refused = append(x.refused, m)
	case *wire.Acknowledge:
		x.arrived[m.Number] = true
	case *wire.Reveal:
		x.reveals[m.Number] = m.Preimages
		if l.road != nil {
			l.road.revealed(x, m)
		}
		if !x.mute && x.ch.Fulfil(m.Number) {
			l.sign(x)
		}
	case *wire.Ask:
		x.asked++
	case *wire.Agree:
		x.figures = &m.Snapshot
	}
}

func (l *liar) terms(x *tie, s wire.Signed) {
	if s.None() {
		return
	}
	if _, err := x.ch.AcceptTerms(l.key, s); err != nil {
		l.t.Errorf("the node's terms: %v", err)
	}
}

// update judges the node's promise: an honest node's is always accepted.
func (l *liar) update(x *tie, u *wire.Update) {
	step, err := x.ch.Judge(l.key, u, x.floor)
	if err != nil {
		var no *credit.Refusal
		if !errors.As(err, &no) || no.Code != wire.BadSequence {
			l.t.Errorf("the node's promise: %v", err)
		}
		return
	}
	if step.Same {
		return
	}
	x.ch.Accept(step)
	for _, c := range step.Cancelled {
		x.cancels[c.Number] = c
		x.ch.Drop(c.Number)
		if l.road != nil {
			l.road.givenBack(x, c)
		}
	}
	if l.road != nil {
		for _, k := range step.Locks {
			l.road.locked(x, k)
		}
	}
	l.sign(x)
}

// sign puts what is queued into a promise and sends it.
func (l *liar) sign(x *tie) {
	if x.ch.Pending() {
		x.ch.Sign(l.key, time.Now().UnixMilli())
		l.flush(x)
	}
}

// flush tells all moves that the node was not told yet.
func (l *liar) flush(x *tie) {
	l.send(x, x.ch.Since(x.sent))
	x.sent = x.ch.MyMark()
}

// send sends if there is a session; without one the next hello brings it up again.
func (l *liar) send(x *tie, list ...wire.Message) {
	var frames [][]byte
	for _, m := range list {
		frames = append(frames, wire.Encode(m))
	}
	l.raw(x, frames...)
}

func (l *liar) raw(x *tie, frames ...[]byte) {
	if x.session != 0 {
		_ = l.host.Send(x.session, frames) // an ended session is told by SessionDown
	}
}

// order lets the payee have a push that has arrived.
func (l *liar) order(x *tie, payee *member, c *claim, number uint64) {
	l.t.Helper()
	l.do(func() {
		sealed, err := pay.AsPayer(l.key, c.boxSalt, payee.key)
		if err != nil {
			l.t.Fatal(err)
		}
		l.send(x, &wire.Onward{Number: number, Note: sealed.SealOrder(c.part, &wire.Order{Preimage: l.key.Preimage(c.box.Salt)})})
	})
}

// agree goes on from the figures that the node proposed, in a new epoch.
func (l *liar) agree(m *member) {
	l.t.Helper()
	x := l.ties[m.key]
	l.until("figures are proposed", func() (string, bool) { return "", x.session != 0 && x.figures != nil })
	l.do(func() {
		ch, err := credit.Adopt(l.key, l.host.ID(), m.key, x.figures)
		if err != nil {
			l.t.Fatal(err)
		}
		ch.KeepTerms(x.ch)
		epoch := max(x.ch.Mine.Promise.Epoch, ch.Mine.Promise.Epoch) + 1
		x.ch, x.mute = ch, false
		x.ch.StartEpoch(l.key, epoch, time.Now().UnixMilli(), nil)
		x.sent = ch.HeldMark()
		l.flush(x)
	})
}

// leave ends the session. The liar comes again by itself.
func (l *liar) leave(x *tie) {
	l.t.Helper()
	var ended uint64
	l.do(func() {
		ended = x.session
		l.host.Drop(ended, errors.New("the liar leaves"))
	})
	l.until("the session is over", func() (string, bool) { return fmt.Sprint(x.session), x.session != ended })
}

// do runs f with the lock held.
func (l *liar) do(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.poke()
}

// online waits until the session stands and both sides have nothing left to say.
func (l *liar) online(x *tie) {
	l.t.Helper()
	l.until("the liar is connected and settled", func() (string, bool) {
		return fmt.Sprintf("session %d, heard %v, acked %v, signed %v", x.session, x.heard, x.ch.Acked(), x.ch.MyMark()),
			x.session != 0 && x.heard && x.ch.Acked() == x.ch.MyMark()
	})
}

// claim is a part that the liar locks.
type claim struct {
	part    wire.PartID
	route   pay.Route
	box     wire.Box
	hashes  []ident.Hash
	boxSalt ident.Salt
	lock    wire.Lock // before it has a number
}

// newClaim is an honest part over a route, from which a test may deviate before it builds
// the lock. invoice may be none.
func (l *liar) newClaim(invoice wire.Signed, amount money.Amount, route ...*member) *claim {
	c := &claim{part: wire.PartID(junk(16)), boxSalt: ident.Salt(junk(16))}
	for _, m := range route {
		c.route.Hops, c.route.Amounts = append(c.route.Hops, m.key), append(c.route.Amounts, amount)
	}
	c.box = wire.Box{
		Form: wire.FormPush, Payment: wire.PaymentID(junk(16)), Salt: ident.Salt(junk(16)), Invoice: invoice,
		Currency: currency, Total: amount, Amount: amount,
	}
	mine := l.key.Preimage(c.box.Salt).Hash()
	c.hashes = []ident.Hash{mine}
	if invoice.None() {
		return c
	}
	var i wire.Invoice
	if err := wire.Unmarshal(invoice.Body, &i); err != nil {
		l.t.Fatal(err)
	}
	c.box.Form, c.box.Payment, c.hashes = wire.FormInvoice, wire.PaymentID(i.ID(invoice)), []ident.Hash{i.Hash}
	if i.Hold {
		c.box.Form, c.hashes = wire.FormHold, []ident.Hash{i.Hash, mine}
	}
	return c
}

// build makes the lock.
func (l *liar) build(c *claim) *claim {
	sealed, err := pay.AsPayer(l.key, c.boxSalt, c.route.Hops[len(c.route.Hops)-1])
	if err != nil {
		l.t.Fatal(err)
	}
	c.lock = wire.Lock{
		Part: c.part, Currency: c.box.Currency, Amount: c.route.Amounts[0],
		Condition: wire.Condition{Hashes: c.hashes}, Blob: sealed.NewBlob(c.route, c.part, &c.box),
	}
	return c
}

// lock sends a lock in a promise and returns its number.
func (l *liar) lock(x *tie, c *claim) (number uint64) {
	l.t.Helper()
	l.do(func() {
		own, err := x.ch.Lock(l.build(c).lock)
		if err != nil {
			l.t.Fatal(err)
		}
		number = own.Number
		l.sign(x)
	})
	return number
}

// returned waits until a lock was given back and wants the reason's code.
func (l *liar) returned(x *tie, number uint64, c *claim, want wire.Code) {
	l.t.Helper()
	l.until(fmt.Sprintf("lock %d is given back", number), func() (string, bool) {
		_, revealed := x.reveals[number]
		if revealed {
			l.t.Errorf("lock %d was revealed, want it given back with %s", number, want)
		}
		_, ok := x.cancels[number]
		return fmt.Sprintf("arrived %v, refused %d times", x.arrived[number], len(x.refused)), ok || revealed
	})
	l.do(func() {
		r, err := pay.OpenReason(l.key, c.boxSalt, x.cancels[number].Reason)
		if err != nil || r.Code != want {
			l.t.Errorf("lock %d was given back with %+v, %v; want %s", number, r, err, want)
		}
	})
}

// paid waits until a lock was revealed and its end is acknowledged.
func (l *liar) paid(x *tie, number uint64) {
	l.t.Helper()
	l.until(fmt.Sprintf("lock %d is paid", number), func() (string, bool) {
		_, cancelled := x.cancels[number]
		if cancelled {
			l.t.Errorf("lock %d was given back, want it paid", number)
		}
		return fmt.Sprintf("arrived %v", x.arrived[number]), cancelled || x.reveals[number] != nil && x.ch.OwnLock(number) == nil
	})
}

// sees waits until a member's view of the liar is as wanted.
func (l *liar) sees(m *member, what string, ok func(*node.FriendView) bool) {
	l.t.Helper()
	eventually(l.t, m.name+" sees the liar "+what, func(ctx context.Context) (string, bool) {
		f, err := m.friend(ctx, l.host.ID())
		if err != nil {
			return err.Error(), false
		}
		return fmt.Sprintf("%s, ready %v, %d locks, fault %q, problem %q, %+v", f.State, f.Ready, f.OpenLocks, f.Fault, f.Problem, f.Currencies), ok(f)
	})
}
