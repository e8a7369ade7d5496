//go:build linux

package realtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/index"
	"kula/internal/leaktest"
	"kula/internal/p2p"
	"kula/money"
	"kula/node"
	"kula/route"
	"kula/wire"
)

// curious is an index server that keeps all that it is told. It answers with package route, as the real one does.
type curious struct {
	t     testing.TB
	host  *p2p.Host
	uri   string
	suite ident.Suite

	mu    sync.Mutex
	graph *route.Graph
	log   []wire.Batched
	heard []told
}

// told is one message of a client.
type told struct {
	from  ident.ID
	frame []byte
	msg   route.Message
}

// nobodyCalls is a host without sessions.
type nobodyCalls struct{}

func (nobodyCalls) SessionUp(ident.ID, uint64, p2p.Class) {}
func (nobodyCalls) SessionDown(uint64, error)             {}
func (nobodyCalls) Frame(uint64, []byte)                  {}

func startCurious(t testing.TB) *curious {
	t.Helper()
	var master [32]byte
	rand.Read(master[:])
	key := ident.NewKey(master)
	c := &curious{t: t, suite: key, graph: route.NewGraph(0)}
	var err error
	if c.host, err = p2p.New(p2p.Config{Seed: key.IdentitySeed(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Strangers: 99, StrangersPerPrefix: 99}, nobodyCalls{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.host.Close(); err != nil {
			t.Error(err)
		}
	})
	c.host.Handle(index.Protocol, p2p.Limits{MaxFrame: route.MaxMessage}, c.serve)
	addr, _, _ := strings.Cut(c.host.Addrs()[0], "/p2p/")
	c.uri = index.FormatURI(index.Link{Key: c.host.ID(), Addrs: []string{addr}})
	return c
}

func (c *curious) serve(_ context.Context, from ident.ID, conn *p2p.Framed) {
	for {
		frame, err := conn.ReadFrame()
		if err != nil {
			return
		}
		m, err := route.DecodeMessage(frame)
		if err != nil {
			c.t.Errorf("a client sends what is no message: %v", err)
			return
		}
		if conn.WriteFrame(route.EncodeMessage(c.answer(told{from, slices.Clone(frame), m}))) != nil {
			return
		}
	}
}

func (c *curious) answer(w told) route.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, w)
	switch m := w.msg.(type) {
	case *route.Publish:
		c.log = append(c.log, m.Announcements...)
		return c.graph.Publish(c.suite, m, time.Now().Unix())
	case *route.Query:
		return c.graph.Finder().Answer(m)
	case *route.Follow:
		after := m.After
		if m.Epoch != 1 {
			after = 0
		}
		news := c.log[after:min(int(after)+route.MaxPublish, len(c.log))]
		return &route.Feed{Epoch: 1, Next: after + uint64(len(news)), Announcements: news}
	}
	return &route.Pong{Version: route.Version}
}

// since gives what was heard from a place on, and the next place.
func (c *curious) since(n int) ([]told, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.heard[n:]), len(c.heard)
}

// queries are the questions for a way among messages.
func queries(list []told) (all []told) {
	for _, w := range list {
		if _, ok := w.msg.(*route.Query); ok {
			all = append(all, w)
		}
	}
	return all
}

// limits that are no coarse figures, so that they are recognised.
const (
	fineLimit  money.Amount = 9_876_543
	otherLimit money.Amount = 8_765_432
)

// market is four people in a row who tell a curious server, the first of them with more flags.
func market(t *testing.T, flags ...string) (c *curious, row []*server, keys []ident.ID) {
	t.Helper()
	c = startCurious(t)
	n := &inet{t: t} // no rooms: all on this machine
	for i, name := range []string{"anastasia almond", "benedikta birch", "cleopatra cedar", "desdemona dogwood"} {
		args := []string{"up", "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0", "--index", c.uri}
		if i == 0 {
			args = append(args, flags...)
		}
		s := n.serve("", name, nil, args...)
		var id struct{ Key ident.ID }
		s.must(&id, "id")
		row, keys = append(row, s), append(keys, id.Key)
		if i > 0 {
			var v node.InvitationView
			row[i-1].must(&v, "friend", "invite", name, "--give", typed(fineLimit), "--ask", typed(otherLimit))
			s.must(nil, "friend", "accept", v.URI, "--name", row[i-1].name, "--wait", patience.String())
			for _, side := range [][2]*server{{row[i-1], s}, {s, row[i-1]}} {
				side[0].eventually(side[1].name, "ready", patience, func(v *node.FriendView) bool { return v.State == node.Opened && v.Ready })
			}
		}
	}
	for _, s := range row {
		s.must(nil, "wait", "announced", "--wait", patience.String())
	}
	return c, row, keys
}

// trade pays in every form from the first to the last, and says what only they know.
func trade(t *testing.T, row []*server) (secrets []leaktest.Secret) {
	t.Helper()
	payer, payee := row[0], row[len(row)-1]
	keep := func(what, text string, p *node.PaymentView) {
		secrets = append(secrets, secretsOf(t, what, text, p)...)
	}
	for _, hold := range []bool{false, true} {
		args := []string{"ask", typed(123_457), "--memo", "bricks and mortar"}
		if hold {
			args = append(args, "--hold")
		}
		var i node.InvoiceView
		payee.must(&i, args...)
		var p node.PaymentView
		payer.must(&p, "pay", i.URI, "--text", "for the leaking roof", "--yes", "--wait", patience.String())
		if hold {
			payer.must(&p, "payment", "release", p.ID)
			payer.must(&p, "payment", "wait", p.ID, "--wait", patience.String())
			secrets = append(secrets, preimagesOf(t, &p)...)
		}
		if p.State != node.Paid || len(p.Parts[0].Hops) != 3 {
			t.Fatalf("hold %v: %+v %+v", hold, p, p.Reason)
		}
		keep(fmt.Sprintf("invoice, hold %v", hold), "for the leaking roof", &p)
	}
	var id struct{ Key string }
	payee.must(&id, "id")
	var p node.PaymentView
	payer.must(&p, "pay", id.Key, typed(123_458), "--text", "a birthday present", "--yes", "--wait", patience.String())
	if p.State != node.Paid {
		t.Fatalf("%+v", p)
	}
	keep("push", "a birthday present", &p)
	for _, s := range row {
		secrets = append(secrets, leaktest.Text("the name of "+s.name, s.name))
	}
	return secrets
}

// announced judges what a client told of its friends, and says of how many.
func (c *curious) announced(w told, keys []ident.ID) (count int) {
	c.t.Helper()
	m, ok := w.msg.(*route.Publish)
	if !ok {
		return 0
	}
	for _, signed := range m.Announcements {
		a, err := route.Open(c.suite, signed)
		if err != nil || a.Node != w.from || !slices.Contains(keys, a.Friend) {
			c.t.Fatalf("%v, %+v by %s", err, a, w.from.Short())
		}
		count++
		for _, e := range a.Entries {
			if e.CanReceive != route.Coarse(e.CanReceive) || e.CanReceive == fineLimit || e.CanReceive == otherLimit {
				c.t.Errorf("%s announces exactly %d", a.Node.Short(), e.CanReceive)
			}
		}
	}
	return count
}

// asks judges the questions of the command for one payment: what it costs, how much could be paid at most, and the way.
func (c *curious) asks(list []told, from, to, first ident.ID, amount, canPay money.Amount) {
	c.t.Helper()
	for i, w := range list {
		m := w.msg.(*route.Query)
		if q := m.Request; w.from != from || q.From != from || q.To != to || !m.UpTo && q.Amount != amount || m.UpTo != (i == 1) {
			c.t.Errorf("question %d: %s asks for %d from %s to %s, most %v", i, w.from.Short(), q.Amount, q.From.Short(), q.To.Short(), m.UpTo)
		} else if says := min(canPay, 2*amount); len(q.Own) != 1 || q.Own[0].To != first || q.Own[0].CanPay != says && !(m.UpTo && q.Own[0].CanPay == canPay) {
			c.t.Errorf("question %d says of the payer's own channels %+v, can pay %d, is to say %d", i, q.Own, canPay, says)
		}
	}
}

// What index servers are told (R2, R7): in announcements no name, nothing of a payment, and no figure finer than two digits; in a question
// who pays whom how much, and what the payer can pay through each of its friends: exactly if it asks for the most, else as far as the payment may need it.
func TestIndexLearns(t *testing.T) {
	c, row, keys := market(t)
	_, before := c.since(0)
	secrets := trade(t, row)
	for _, s := range row {
		s.must(nil, "wait", "announced", "--wait", patience.String())
	}
	list, _ := c.since(0)
	all := leaktest.Haystack{}
	announced := 0
	for i, w := range list {
		all[fmt.Sprintf("message %d, %T of %s", i, w.msg, w.from.Short())] = w.frame
		announced += c.announced(w, keys)
	}
	if announced < 2*(len(row)-1) {
		t.Errorf("%d announcements, each of %d channels has two sides", announced, len(row)-1)
	}
	for _, leak := range all.Leaks(secrets...) {
		t.Errorf("the server has %s", leak)
	}
	if len(all.Where(leaktest.Key("payee", keys[3]))) == 0 {
		t.Error("it does not even have the payee's key: the search proves nothing")
	}
	later, _ := c.since(before)
	asked := queries(later)
	if len(asked) != 3*3 {
		t.Fatalf("%d questions for 3 payments, expected 9", len(asked))
	}
	canPay := otherLimit
	for i, amount := range []money.Amount{123_457, 123_457, 123_458} {
		c.asks(asked[3*i:3*i+3], keys[0], keys[3], keys[1], amount, canPay)
		canPay -= amount
	}
}

// A payment that a friend takes itself asks no index server, by its name as by its invoice.
func TestFriendAsksNobody(t *testing.T) {
	c, row, _ := market(t)
	var i node.InvoiceView
	row[1].must(&i, "ask", typed(5))
	for _, to := range [][]string{{row[1].name, typed(5)}, {i.URI}} {
		var p node.PaymentView
		row[0].must(&p, append([]string{"pay"}, to...)...)
		if p.State != node.Paid {
			t.Errorf("%+v", p.Reason)
		}
	}
	list, _ := c.since(0)
	if q := queries(list); len(q) > 0 {
		t.Errorf("%d questions for payments to a friend: %+v", len(q), q[0].msg)
	}
}

// With --mirror the payer asks for everything that all have announced, and nothing more whatever it pays.
func TestMirrorTells(t *testing.T) {
	c, row, keys := market(t, "--mirror")
	for began := time.Now(); ; pause(nil, 100*time.Millisecond) { // until its copy has what the others announced last
		var q node.QuoteView
		if row[0].try(&q, "pay", keys[3].String(), typed(123_458), "--dry-run") == nil && q.Possible {
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("no way in the copy within %s", patience)
		}
	}
	trade(t, row)
	list, _ := c.since(0)
	if q := queries(list); len(q) > 0 {
		t.Errorf("%d questions, the first of %s: %+v", len(q), q[0].from.Short(), q[0].msg)
	}
	if !slices.ContainsFunc(list, func(w told) bool { _, ok := w.msg.(*route.Follow); return ok && w.from == keys[0] }) {
		t.Error("the payer does not follow: the search proves nothing")
	}
}
