//go:build linux

package realtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/index"
	"kula/internal/p2p"
	"kula/money"
	"kula/node"
	"kula/route"
	"kula/wire"
)

// falseIndex is an index server that lies. Nodes publish to it as to any; it answers from what it makes of that.
type falseIndex struct {
	t    testing.TB
	host *p2p.Host
	uri  string

	mu     sync.Mutex
	said   []wire.Batched                        // in the order in which it came
	doctor func(*route.Announcement)             // changes what it believes
	bend   func(q *route.Query, a *route.Answer) // changes what it answers
	feed   func() []wire.Batched                 // what followers get
	asked  int
}

// noSessions is a host that wants no sessions.
type noSessions struct{}

func (noSessions) SessionUp(ident.ID, uint64, p2p.Class) {}
func (noSessions) Frame(uint64, []byte)                  {}
func (noSessions) SessionDown(uint64, error)             {}

func newFalseIndex(t testing.TB) *falseIndex {
	t.Helper()
	var seed [32]byte
	rand.Read(seed[:])
	f := &falseIndex{t: t}
	var err error
	if f.host, err = p2p.New(p2p.Config{Seed: seed, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Strangers: 64, StrangersPerPrefix: 64}, noSessions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.host.Close() })
	f.host.Handle(index.Protocol, p2p.Limits{MaxFrame: route.MaxMessage, Idle: 10 * time.Minute}, func(_ context.Context, _ ident.ID, conn *p2p.Framed) {
		for {
			frame, err := conn.ReadFrame()
			if err != nil {
				return
			}
			m, err := route.DecodeMessage(frame)
			if err != nil || conn.WriteFrame(route.EncodeMessage(f.answer(m))) != nil {
				return
			}
		}
	})
	addr, _, _ := strings.Cut(f.host.Addrs()[0], "/p2p/")
	f.uri = index.FormatURI(index.Link{Key: f.host.ID(), Addrs: []string{addr}})
	return f
}

func (f *falseIndex) answer(m route.Message) route.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch m := m.(type) {
	case *route.Publish:
		f.said = append(f.said, m.Announcements...)
		return &route.PublishResult{Accepted: uint32(len(m.Announcements))}
	case *route.Query:
		f.asked++
		a := f.graph().Finder().Answer(m)
		if f.bend != nil {
			f.bend(m, a)
		}
		return a
	case *route.Follow:
		a := &route.Feed{Epoch: 1, Next: m.After}
		if m.Epoch != 1 {
			a.Announcements, a.Next = f.feed(), 1
		}
		return a
	}
	return &route.Pong{Version: route.Version}
}

// graph is the world as the liar tells it. f.mu is held.
func (f *falseIndex) graph() *route.Graph {
	g := route.NewGraph(0)
	for _, s := range f.said {
		a, err := route.Decode(s.Body)
		if err != nil {
			continue
		}
		if f.doctor != nil {
			f.doctor(&a)
		}
		_, _ = g.Apply(a, time.Now().Unix())
	}
	return g
}

// lie sets what is told from now on, and says how often it was asked before.
func (f *falseIndex) lie(doctor func(*route.Announcement), bend func(*route.Query, *route.Answer)) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.doctor, f.bend = doctor, bend
	return f.asked
}

// town is ana, whose friend dan reaches zoe through ben (who can pay zoe 10 at most, and charges dan 2) and through cleo (1,000,
// and 4). What dan charges ana she knows by herself: nothing.
type town struct {
	t                        testing.TB
	ana, dan, ben, cleo, zoe *member
	liar                     *falseIndex
	honest                   *indexServer
}

func (w *town) all() []*member { return []*member{w.ana, w.dan, w.ben, w.cleo, w.zoe} }

func newTown(t *testing.T) *town {
	w := &town{t: t, liar: newFalseIndex(t), honest: serveIndex(t, "honest")}
	flags := []string{"--index", w.liar.uri, "--index", w.honest.URI}
	w.ana, w.dan, w.ben = begin(t, "ana", flags...), begin(t, "dan", flags...), begin(t, "ben", flags...)
	w.cleo, w.zoe = begin(t, "cleo", flags...), begin(t, "zoe", flags...)
	befriend(t, w.dan, w.ana, 1000)
	befriend(t, w.ben, w.dan, 1000)
	befriend(t, w.cleo, w.dan, 1000)
	befriend(t, w.zoe, w.ben, 10)
	befriend(t, w.zoe, w.cleo, 1000)
	must(t, w.ben.home, nil, "friend", "fee", "dan", "--currency", string(currency), "--base", typed(2))
	must(t, w.cleo.home, nil, "friend", "fee", "dan", "--currency", string(currency), "--base", typed(4))
	w.announced()
	must(t, w.ana.home, nil, "index", "block", w.honest.Key.String())
	return w
}

// announced waits until both servers have heard everything.
func (w *town) announced() {
	for _, m := range w.all() {
		must(w.t, m.home, nil, "wait", "announced", "--wait", patience.String())
	}
}

// pay pays zoe with a limit on the fee, and checks that what it cost ana is what she was told, within the limit, and
// that nothing stays set aside.
func (w *town) pay(amount, maxFee money.Amount) *node.PaymentView {
	w.t.Helper()
	before := collect(w.t, w.ana).total
	o := orderTo(w.zoe, amount)
	fee := fst(maxFee)
	o.MaxFee, o.GiveUpMs = &fee, patience.Milliseconds()
	p := payWith(w.t, w.ana, o)
	quiet(w.t, w.all()...)
	cost := before - collect(w.t, w.ana).total
	switch p.State {
	case node.Paid:
		if cost != amount+p.Fee.Amount || p.Fee.Amount > maxFee {
			w.t.Errorf("%d with a fee of at most %d cost %d, told was a fee of %s", amount, maxFee, cost, p.Fee)
		}
	case node.Returned:
		if cost != 0 {
			w.t.Errorf("a payment that was returned cost %d", cost)
		}
	default:
		w.t.Errorf("%s %+v", p.State, p.Waiting)
	}
	return p
}

func (w *town) paid(what string, p *node.PaymentView, fee money.Amount) {
	w.t.Helper()
	if p.State != node.Paid || p.Fee.Amount != fee {
		w.t.Errorf("%s: %s with a fee of %s (%+v), want %d", what, p.State, p.Fee, p.Reason, fee)
	}
}

func (w *town) returned(what string, p *node.PaymentView, codes ...wire.Code) {
	w.t.Helper()
	for _, c := range codes {
		if p.State == node.Returned && p.Reason != nil && p.Reason.Code == c {
			return
		}
	}
	w.t.Errorf("%s: %s (%+v), want it returned with %v", what, p.State, p.Reason, codes)
}

// crooked are routes that do not add up.
var crooked = map[string]func(q *route.Query, r *route.Route){
	"more is locked than the fees explain": func(_ *route.Query, r *route.Route) { r.Amounts[0] += 100; r.Fee += 100 },
	"less is locked than the fees take":    func(_ *route.Query, r *route.Route) { r.Amounts[0]--; r.Fee-- },
	"more arrives than was asked for":      func(_ *route.Query, r *route.Route) { r.Amounts[len(r.Amounts)-1]++ },
	"less arrives than was asked for":      func(_ *route.Query, r *route.Route) { r.Amounts[len(r.Amounts)-1]-- },
	"more than a channel carries":          func(q *route.Query, r *route.Route) { r.Charges[1].CanPay = q.Request.Amount - 1 },
	"it ends with another":                 func(_ *route.Query, r *route.Route) { r.Hops[len(r.Hops)-1] = r.Hops[0] },
	"it begins with nobody":                func(q *route.Query, r *route.Route) { r.Hops[0] = q.Request.To },
	"an amount below 0":                    func(_ *route.Query, r *route.Route) { r.Amounts[0] = -r.Amounts[0] },
}

// Issue, Proof: the index lies; the payer loses nothing and never pays more than its limit.
func TestIndexLies(t *testing.T) {
	w := newTown(t)
	capacity := func(of, from *member, can money.Amount) func(*route.Announcement) {
		return func(a *route.Announcement) {
			if a.Node == of.key && a.Friend == from.key && len(a.Entries) == 1 {
				a.Entries[0].CanReceive = can
			}
		}
	}
	fee := func(of, from *member, base money.Amount) func(*route.Announcement) {
		return func(a *route.Announcement) {
			if a.Node == of.key && a.Friend == from.key && len(a.Entries) == 1 {
				a.Entries[0].FeeBase = base
			}
		}
	}
	w.paid("the truth", w.pay(50, 10), 4)

	w.liar.lie(capacity(w.zoe, w.ben, 100_000), nil)
	w.paid("a capacity too high", w.pay(50, 10), 4)
	if s, err := w.ana.standing(t.Context(), w.liar.host.ID()); err != nil || s.Wrong != 1 {
		t.Errorf("the standing of who was wrong once: %+v %v", s, err)
	}

	w.liar.lie(fee(w.cleo, w.dan, 0), nil)
	w.paid("a fee too low", w.pay(50, 4), 4)
	w.returned("a fee too low, and a limit below the true one", w.pay(50, 3), wire.FeeAboveMax, wire.FeeTooLow)

	w.liar.lie(fee(w.cleo, w.dan, 400), nil)
	w.returned("a fee too high", w.pay(50, 10), wire.FeeAboveMax)

	w.liar.lie(capacity(w.zoe, w.cleo, 0), nil)
	w.returned("no way", w.pay(50, 10), wire.NoRoute)

	w.liar.lie(nil, func(q *route.Query, a *route.Answer) {
		if r := q.Request; len(r.Avoid) == 0 && !q.UpTo {
			*a = route.Answer{Routes: []route.Route{{
				Hops: []ident.ID{w.dan.key, w.zoe.key}, Amounts: []money.Amount{r.Amount, r.Amount}, Charges: []route.Charge{{CanPay: r.Amount}, {CanPay: r.Amount}},
			}}}
		}
	})
	w.paid("a channel that is not there", w.pay(50, 10), 4)

	for name, bend := range crooked {
		before := w.liar.lie(nil, func(q *route.Query, a *route.Answer) {
			for i := range a.Routes {
				bend(q, &a.Routes[i])
			}
		})
		p := w.pay(50, 1000)
		w.returned(name, p, wire.NoRoute, wire.IndexUnreachable)
		if now := w.liar.lie(nil, nil); now == before {
			t.Errorf("%s: the liar was not asked", name)
		}
	}

	t.Run("an old announcement", func(t *testing.T) { w.replay(t) })

	// Beside another server the liar's lies are a matter of one question.
	w.liar.lie(nil, func(q *route.Query, a *route.Answer) {
		for i := range a.Routes {
			a.Routes[i].Amounts[0] += 100
		}
	})
	must(t, w.ana.home, nil, "index", "block", w.honest.Key.String(), "--undo")
	must(t, w.ana.home, nil, "wait", "announced", "--wait", patience.String())
	w.paid("with an honest server beside", w.pay(50, 10), 6)
	asked := w.liar.lie(nil, nil)
	w.paid("and again", w.pay(50, 10), 6)
	if now := w.liar.lie(nil, nil); now != asked {
		t.Errorf("the liar was asked before the honest one")
	}
	if s, err := w.ana.standing(t.Context(), w.liar.host.ID()); err != nil || s.Wrong == 0 {
		t.Errorf("the liar's standing: %+v %v", s, err)
	}
}

// replay: cleo raises her fee to 6; the liar goes on with what she said before, to those who ask, and to a mirror,
// together with a forged one.
func (w *town) replay(t *testing.T) {
	w.liar.mu.Lock()
	old := w.liar.said
	w.liar.said = old[:len(old):len(old)]
	w.liar.mu.Unlock()
	must(t, w.cleo.home, nil, "friend", "fee", "dan", "--currency", string(currency), "--base", typed(6))
	w.announced()
	deaf := func(a *route.Announcement) {
		if a.Node == w.cleo.key && a.Friend == w.dan.key && len(a.Entries) == 1 && a.Entries[0].FeeBase == 6 {
			a.Entries[0].FeeBase = 4
		}
	}
	w.liar.lie(deaf, nil)
	w.paid("an old announcement", w.pay(50, 6), 6)
	w.returned("an old announcement, and a limit below the fee", w.pay(50, 5), wire.FeeAboveMax, wire.FeeTooLow)

	forged, replayed := w.forge(t, old)
	w.liar.mu.Lock()
	w.liar.feed = func() []wire.Batched { return append(replayed, forged...) }
	w.liar.mu.Unlock()
	mia := begin(t, "mia", "--mirror", "--index", w.liar.uri, "--index", w.honest.URI)
	befriend(t, w.ana, mia, 1000)
	eventually(t, "mia's copy has cleo's new fee", func(ctx context.Context) (string, bool) {
		amount, fee := fst(20), fst(100)
		o := orderTo(w.zoe, 20)
		o.Amount, o.MaxFee = &amount, &fee
		q, err := mia.api().Quote(ctx, o)
		if err != nil {
			return err.Error(), false
		}
		return fmt.Sprintf("possible %v, fee %s", q.Possible, q.Fee), q.Possible && q.Fee.Amount == 6
	})
	if p := payNow(t, mia, w.zoe, 20); p.Fee.Amount != 6 {
		t.Errorf("mia paid a fee of %s", p.Fee)
	}
	quiet(t, append(w.all(), mia)...)
	sum := collect(t, mia).total
	for _, m := range w.all() {
		sum += collect(t, m).total
	}
	if sum != 0 {
		t.Errorf("all balances add up to %d", sum)
	}
}

// forge makes announcements of cleo about dan that she did not sign, newer and cheaper than hers; replayed are those that she
// signed before.
func (w *town) forge(t *testing.T, old []wire.Batched) (forged, replayed []wire.Batched) {
	for _, s := range old {
		a, err := route.Decode(s.Body)
		if err != nil || a.Node != w.cleo.key || a.Friend != w.dan.key || len(a.Entries) == 0 {
			continue
		}
		replayed = append(replayed, s)
		a.Number, a.Entries[0].FeeBase = a.Number+1<<40, 0
		forged = append(forged, wire.Batched{Body: a.Encode(), Sig: s.Sig})
	}
	if len(forged) == 0 {
		t.Fatal("cleo never said anything about dan")
	}
	return forged, replayed
}
