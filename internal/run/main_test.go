package run

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kula/ident"
	"kula/internal/find"
	"kula/internal/store"
	"kula/money"
	"kula/node"
	"kula/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds everything that a test waits for; nothing takes that long.
const patience = 30 * time.Second

// again is how often a test looks again when no notice tells it to: a mediator's
// balances change without one.
const again = 5 * time.Millisecond

const eur money.Currency = "EUR/2"

func value(a money.Amount) money.Value { return money.Value{Amount: a, Currency: eur} }

// breakable is a store whose next commits can be made to fail.
type breakable struct {
	*store.Memory
	broken chan struct{} // closed: commits fail
}

func newBreakable() *breakable { return &breakable{store.NewMemory(), make(chan struct{})} }

var errDisk = errors.New("disk full")

func (b *breakable) Commit(records []node.Record, rows []node.Row) error {
	select {
	case <-b.broken:
		return errDisk
	default:
		return b.Memory.Commit(records, rows)
	}
}

// person is a running node of a test.
type person struct {
	t      *testing.T
	name   string
	key    byte
	store  *breakable
	index  []string // links of index servers
	finder *find.Finder
	*Loop
}

func start(t *testing.T, name string, key byte, index ...string) *person {
	t.Helper()
	p := &person{t: t, name: name, key: key, index: index, store: newBreakable()}
	p.restart()
	t.Cleanup(func() { p.Close() })
	return p
}

// restart opens the node again from what its store holds.
func (p *person) restart() {
	p.t.Helper()
	var log *slog.Logger
	if testing.Verbose() && os.Getenv("KULA_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", p.name)
	}
	l, err := Start(Options{
		Key: ident.NewKey([32]byte{p.key}), Store: p.store, Name: p.name, Log: log, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Index: p.index, Finder: p.finder,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.Loop = l
}

func (p *person) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	p.t.Cleanup(cancel)
	return ctx
}

// do gives the node a command and returns its outcome.
func do[T any](p *person, c node.Command) T {
	p.t.Helper()
	v, err := p.Do(p.ctx(), c)
	if err != nil {
		p.t.Fatalf("%s: %T: %v", p.name, c, err)
	}
	return v.(T)
}

// until waits until the node's state satisfies ok, looking after each notice and now and then.
func (p *person) until(what string, ok func(*node.Node) bool) {
	p.t.Helper()
	there := false
	look := func(n *node.Node) { there = ok(n) }
	w, err := p.Watch(p.ctx(), Topic{}, look)
	if err != nil {
		p.t.Fatal(err)
	}
	defer w.Close()
	late := time.After(patience)
	again := time.NewTicker(again)
	defer again.Stop()
	for !there {
		select {
		case <-w.C:
		case <-again.C:
		case <-late:
			p.t.Fatalf("%s: %s did not come", p.name, what)
		}
		if err := p.View(p.ctx(), look); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *person) ready(friend string) {
	p.t.Helper()
	p.until("ready with "+friend, func(n *node.Node) bool {
		f, err := n.Friend(friend)
		return err == nil && f.Ready
	})
}

// befriend makes a and b friends who let each other owe 100.00 EUR.
func befriend(a, b *person) {
	a.t.Helper()
	inv := do[*node.InvitationView](a, &node.Invite{
		Name: b.name, Lines: []wire.Proposal{{Currency: eur, Give: 100_00, Ask: 100_00}}, Expires: time.Now().Add(time.Hour).Unix(),
	})
	do[*node.FriendView](b, &node.Accept{Link: inv.URI, Name: a.name})
	a.ready(b.name)
	b.ready(a.name)
}

func (p *person) invoice(a money.Amount) string {
	p.t.Helper()
	return do[*node.InvoiceView](p, &node.CreateInvoice{Value: value(a), Expires: time.Now().Add(time.Hour).Unix()}).URI
}

func (p *person) pay(invoice string, maxFee money.Amount, route ...string) *node.PaymentView {
	p.t.Helper()
	v, err := p.Exec(p.ctx(), Request{Command: &node.Pay{Invoice: invoice, MaxFee: &maxFee, Route: route, GiveUp: 10_000}, Wait: patience})
	if err != nil {
		p.t.Fatalf("%s pays: %v", p.name, err)
	}
	return v.(*node.PaymentView)
}

func (p *person) balance(friend string) money.Amount {
	p.t.Helper()
	var b money.Amount
	err := p.View(p.ctx(), func(n *node.Node) {
		if f, err := n.Friend(friend); err == nil && len(f.Currencies) > 0 {
			b = f.Currencies[0].Balance.Amount
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}
