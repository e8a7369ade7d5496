package api

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/index"
	"kula/internal/store"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// with returns a client of p's node with a token of a scope.
func (p *person) with(scope ...string) (*Client, TokenView) {
	p.t.Helper()
	v := must(p.CreateToken(p.ctx(), "test", scope))(p.t)
	if v.Token == "" || v.ID == "" {
		p.t.Fatalf("token %+v", v)
	}
	c := NewClient(p.base, v.Token)
	p.t.Cleanup(c.http.CloseIdleConnections)
	return c, *v
}

// TestScopes: each scope gives its operations and no others.
func TestScopes(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	read, _ := ana.with("read")
	ask, _ := ana.with("ask")
	pay, _ := ana.with("pay=10EUR")
	configure, _ := ana.with("configure")
	clients := map[string]*Client{"owner": ana.Client, "read": read, "ask": ask, "pay": pay, "configure": configure}
	ctx := ana.ctx()
	mine := ana.invoice(1_00)
	for _, op := range []struct {
		name    string
		call    func(*Client) error
		allowed string
	}{
		{"identity", func(c *Client) error { _, err := c.Identity(ctx); return err }, "owner read ask pay configure"},
		{"currencies", func(c *Client) error { _, err := c.Currencies(ctx); return err }, "owner read ask pay configure"},
		{"friends", func(c *Client) error { _, err := c.Friends(ctx); return err }, "owner read"},
		{"balances", func(c *Client) error { _, err := c.Balances(ctx); return err }, "owner read"},
		{"book", func(c *Client) error { _, _, err := c.Book(ctx, BookQuery{}); return err }, "owner read"},
		{"invoices", func(c *Client) error { _, _, err := c.Invoices(ctx, Page{}); return err }, "owner read"},
		{"invoice of others", func(c *Client) error { _, err := c.Invoice(ctx, mine.ID, 0); return err }, "owner read"},
		{"ask", func(c *Client) error { _, err := c.CreateInvoice(ctx, Ask{Amount: value(1)}); return err }, "owner ask"},
		{"quote", func(c *Client) error { _, err := c.Quote(ctx, Order{To: "ben", Amount: ptr(value(1))}); return err }, "owner read pay"},
		{"pay", func(c *Client) error { _, err := c.Pay(ctx, "", Order{To: "ben", Amount: ptr(value(1))}); return err }, "owner pay"},
		{"limit", func(c *Client) error { _, err := c.SetLimit(ctx, "ben", value(60_00)); return err }, "owner configure"},
		{"tokens", func(c *Client) error { _, err := c.Tokens(ctx); return err }, "owner"},
		{"make tokens", func(c *Client) error { _, err := c.CreateToken(ctx, "", []string{"read"}); return err }, "owner"},
	} {
		for who, c := range clients {
			err := op.call(c)
			if strings.Contains(" "+op.allowed+" ", " "+who+" ") {
				if err != nil {
					t.Errorf("%s with %s: %v", op.name, who, err)
				}
				continue
			}
			if err == nil {
				t.Errorf("%s with %s was allowed", op.name, who)
				continue
			}
			r, ok := err.(*Refused)
			if !ok || r.Status != http.StatusForbidden && r.Status != http.StatusNotFound {
				t.Errorf("%s with %s: %v", op.name, who, err)
			}
		}
	}
	own := must(ask.CreateInvoice(ctx, Ask{Amount: value(1_00)}))(t)
	must(ask.Invoice(ctx, own.ID, 0))(t)
	if v := must(ask.CancelInvoice(ctx, own.ID))(t); v.State != "cancelled" {
		t.Errorf("cancelled: %s", v.State)
	}
	_, err := ask.CancelInvoice(ctx, mine.ID)
	refusedAs(t, err, 404, wire.NotFound)
	p := must(pay.Pay(ctx, "", Order{To: "ben", Amount: ptr(value(1)), WaitMs: patience.Milliseconds()}))(t)
	must(pay.Payment(ctx, p.ID, 0))(t)
	other := must(ana.Pay(ctx, "", Order{To: "ben", Amount: ptr(value(1)), WaitMs: patience.Milliseconds()}))(t)
	_, err = pay.Payment(ctx, other.ID, 0)
	refusedAs(t, err, 404, wire.NotFound)
	_, err = pay.Release(ctx, "", other.ID)
	refusedAs(t, err, 404, wire.NotFound)
}

// TestPayScopeIsATotal: many requests at once spend the limit exactly, what comes back is
// free again, and a restart changes nothing.
func TestPayScopeIsATotal(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	pay, token := ana.with("pay=5EUR/month")
	const tries = 20
	var invoices []*node.InvoiceView
	for range tries {
		invoices = append(invoices, ben.invoice(1_00))
	}
	var paid, refusals int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, inv := range invoices {
		wg.Go(func() {
			p, err := pay.Pay(ana.ctx(), "", order(inv))
			mu.Lock()
			defer mu.Unlock()
			switch r, _ := err.(*Refused); {
			case err == nil && p.State == node.Paid:
				paid++
			case r != nil && r.Status == http.StatusForbidden && r.Code == wire.AllowanceSpent.String():
				if refusals++; r.Reason == nil || *r.Reason.Left != value(0) || *r.Reason.Limit != value(5_00) {
					t.Errorf("figures %+v", r.Reason)
				}
			default:
				t.Errorf("%+v %v", p, err)
			}
		})
	}
	wg.Wait()
	if paid != 5 || refusals != tries-5 {
		t.Errorf("%d paid, %d refused", paid, refusals)
	}
	spent(t, ana, token.ID, 5_00)
	ana.down()
	ana.up()
	pay = NewClient(ana.base, token.Token)
	defer pay.http.CloseIdleConnections()
	spent(t, ana, token.ID, 5_00)
	ana.ready("ben")
	_, err := pay.Pay(ana.ctx(), "", order(ben.invoice(1)))
	refusedAs(t, err, 403, wire.AllowanceSpent)
	if err := ana.RevokeToken(ana.ctx(), token.ID); err != nil {
		t.Fatal(err)
	}
	_, err = pay.Identity(ana.ctx())
	refusedAs(t, err, 401, wire.NotAllowed)
	if l := must(ana.Tokens(ana.ctx()))(t); len(l) != 0 {
		t.Errorf("tokens %+v", l)
	}
}

// spent checks what a token has paid or has under way.
func spent(t *testing.T, p *person, id string, want money.Amount) {
	t.Helper()
	status, data := p.raw("GET", "/v1/tokens", p.server.OwnerToken(), "", nil)
	var l TokenList
	if err := json.Unmarshal(data, &l); status != 200 || err != nil {
		t.Fatalf("%d %s %v", status, data, err)
	}
	for _, k := range l.Tokens {
		if k.ID == id {
			if got := k.Spending[0].Spent.Amount; got != want {
				t.Errorf("spent %d, want %d", got, want)
			}
			return
		}
	}
	t.Errorf("no token %s in %s", id, data)
}

// TestSetAsideAndGivenBack: a hold counts while it waits, also over a restart, and what a
// payment did not cost is free again.
func TestSetAsideAndGivenBack(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	pay, token := ana.with("pay=10EUR/year", "pay=8EUR/day")
	hold := func(a money.Amount) *node.PaymentView {
		inv := must(ben.CreateInvoice(ben.ctx(), Ask{Amount: value(a), Hold: true}))(t)
		return must(pay.Pay(ana.ctx(), "", order(inv)))(t)
	}
	p := hold(6_00)
	if p.State != node.Held {
		t.Fatalf("%+v", p)
	}
	spent(t, ana, token.ID, 6_00)
	_, err := pay.Pay(ana.ctx(), "", order(ben.invoice(2_01)))
	refusedAs(t, err, 403, wire.AllowanceSpent)
	ana.down()
	ana.up()
	pay = NewClient(ana.base, token.Token)
	defer pay.http.CloseIdleConnections()
	spent(t, ana, token.ID, 6_00)
	ana.ready("ben")
	must(pay.CancelPayment(ana.ctx(), p.ID))(t)
	if p := must(pay.Payment(ana.ctx(), p.ID, patience))(t); p.State == node.Held {
		ana.until("the cancel", func() bool {
			return must(pay.Payment(ana.ctx(), p.ID, 0))(t).State == node.Returned
		})
	}
	spent(t, ana, token.ID, 0)
	// a fee that might have been is set aside, and given back
	o := order(ben.invoice(3_00))
	o.MaxFee = ptr(value(5_00))
	if p := must(pay.Pay(ana.ctx(), "", o))(t); p.State != node.Paid {
		t.Fatalf("%+v", p)
	}
	spent(t, ana, token.ID, 3_00)
	o = order(ben.invoice(3_00))
	o.MaxFee = ptr(value(2_01))
	_, err = pay.Pay(ana.ctx(), "", o)
	refusedAs(t, err, 403, wire.AllowanceSpent)
	// what the node refuses costs nothing: an invoice that is no invoice, one that is paid
	_, err = pay.Pay(ana.ctx(), "", Order{Invoice: "kula:invoice?d=AAAA"})
	refusedAs(t, err, 400, wire.BadRequest)
	inv := ben.invoice(1_00)
	must(pay.Pay(ana.ctx(), "", order(inv)))(t)
	_, err = pay.Pay(ana.ctx(), "", order(inv))
	refusedAs(t, err, 409, wire.InvoicePaid)
	spent(t, ana, token.ID, 4_00)
	_, err = pay.Pay(ana.ctx(), "", Order{To: "ben", Amount: &money.Value{Amount: 1, Currency: "HOUR/2"}})
	refusedAs(t, err, 403, wire.NotAllowed)
	o = Order{To: "ben", Amount: ptr(value(1)), MaxFee: ptr(value(1<<63 - 1))}
	_, err = pay.Pay(ana.ctx(), "", o)
	refusedAs(t, err, 422, wire.WrongAmount)
}

// TestIdempotencyKey: a repeated request is the first one again.
func TestIdempotencyKey(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	o := Order{To: "ben", Amount: ptr(value(1_00)), WaitMs: patience.Milliseconds()}
	ids := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			p, err := ana.Pay(ana.ctx(), "key-1", o)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || p.State != node.Paid {
				t.Errorf("%+v %v", p, err)
				return
			}
			ids[p.ID]++
		})
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Errorf("payments %v, want one", ids)
	}
	other := o
	other.Amount = ptr(value(1_01))
	_, err := ana.Pay(ana.ctx(), "key-1", other)
	refusedAs(t, err, 422, wire.KeyReused)
	ana.down()
	ana.up()
	ana.ready("ben")
	o.WaitMs = 0 // no part of what the key stands for
	if p := must(ana.Pay(ana.ctx(), "key-1", o))(t); ids[p.ID] == 0 {
		t.Errorf("another payment after a restart: %+v", p)
	}
	_, err = ana.Pay(ana.ctx(), "key-2", Order{To: "nobody", Amount: ptr(value(1))})
	first := err.Error()
	if _, err = ana.Pay(ana.ctx(), "key-2", Order{To: "nobody", Amount: ptr(value(1))}); err == nil || err.Error() != first {
		t.Errorf("the first time %q, the second %v", first, err)
	}
	token, _ := ana.with("pay=10EUR") // another token's keys are its own
	if p := must(token.Pay(ana.ctx(), "key-1", Order{To: "ben", Amount: ptr(value(1_00)), WaitMs: patience.Milliseconds()}))(t); ids[p.ID] != 0 {
		t.Error("a token got another's answer")
	}
	if b := balance(ana, "ben"); b != -2_00 {
		t.Errorf("balance %d", b)
	}
}

// TestCrashWithoutAnOutcome: a request that the node never answered did nothing: what was set aside
// for it is free after a crash, whatever was saved meanwhile, and its key pays.
func TestCrashWithoutAnOutcome(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	pay, token := ana.with("pay=5EUR")
	tokens := ana.server.tokens
	k := tokens.find(token.Token)
	o := Order{To: "ben", Amount: ptr(value(2_00)), WaitMs: patience.Milliseconds()}
	content := paymentOrder{To: o.To, Amount: o.Amount}
	if q, _, err := tokens.keep(ana.ctx(), k, "key", "pay", &content); err != nil || q == nil {
		t.Fatal(q, err)
	}
	err := ana.loop.View(ana.ctx(), func(*node.Node) {
		if _, err := tokens.reserve(k, value(2_00), time.Now()); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := must(pay.Pay(ana.ctx(), "", Order{To: "ben", Amount: ptr(value(1_00)), WaitMs: o.WaitMs}))(t); p.State != node.Paid {
		t.Fatalf("%+v", p)
	}
	spent(t, ana, token.ID, 3_00)
	ana.down()
	ana.up()
	spent(t, ana, token.ID, 1_00)
	ana.ready("ben")
	pay = NewClient(ana.base, token.Token)
	defer pay.http.CloseIdleConnections()
	if p := must(pay.Pay(ana.ctx(), "key", o))(t); p.State != node.Paid {
		t.Errorf("%+v", p)
	}
	spent(t, ana, token.ID, 3_00)
}

// TestAmountsThatAreNone: an invoice costs what it says, and an amount that is none makes no room.
func TestAmountsThatAreNone(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	pay, token := ana.with("pay=1EUR")
	o := order(ben.invoice(40_00))
	for _, a := range []money.Amount{0, 1, -40_00} {
		o.Amount = ptr(value(a))
		_, err := pay.Pay(ana.ctx(), "", o)
		refusedAs(t, err, 403, wire.AllowanceSpent)
	}
	o.Amount = ptr(value(0))
	if _, err := ana.Pay(ana.ctx(), "", o); err == nil {
		t.Error("the owner paid an invoice of 40.00 with an amount of 0")
	}
	for _, a := range []money.Amount{0, -30_00} {
		_, err := pay.Pay(ana.ctx(), "", Order{To: "ben", Amount: ptr(value(a))})
		refusedAs(t, err, 422, wire.WrongAmount)
	}
	spent(t, ana, token.ID, 0)
	if b := balance(ana, "ben"); b != 0 {
		t.Errorf("balance %d", b)
	}
}

// hold keeps the loop from its work until the function it returns is called, so that what comes meanwhile is one batch.
func (p *person) hold() (release func()) {
	within, on := make(chan struct{}), make(chan struct{})
	go p.loop.View(context.Background(), func(*node.Node) { close(within); <-on })
	<-within
	return func() { close(on) }
}

// TestLeavesAndAsksAgain: a caller who leaves before there is an outcome and comes back with the same key has paid once.
func TestLeavesAndAsksAgain(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	release := ana.hold()
	ctx, leave := context.WithCancel(ana.ctx())
	left := make(chan error, 1)
	o := Order{To: "ben", Amount: ptr(value(1_00))}
	go func() {
		_, err := ana.Pay(ctx, "key", o)
		left <- err
	}()
	a := &ana.server.tokens.answers
	asked := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.known) == 1
	}
	for !asked() && ana.ctx().Err() == nil {
		runtime.Gosched() // the loop stands still, so no event will tell
	}
	leave()
	if err := <-left; err == nil {
		t.Fatal("an answer from a loop that stands still")
	}
	second := make(chan *node.PaymentView, 1)
	go func() { second <- must(ana.Pay(ana.ctx(), "key", o))(t) }()
	release()
	<-second
	if l, _, err := ana.Payments(ana.ctx(), Page{}); err != nil || len(l) != 1 {
		t.Errorf("paid %d times with one key (%v)", len(l), err)
	}
}

// TestTwoTokensOneInvoice: of two tokens that pay one invoice at once one does, and only its account is charged.
func TestTwoTokensOneInvoice(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	one, first := ana.with("pay=5EUR")
	two, second := ana.with("pay=5EUR")
	inv := must(ben.CreateInvoice(ben.ctx(), Ask{Amount: value(2_00), Hold: true}))(t)
	release := ana.hold()
	type answer struct {
		p   *node.PaymentView
		err error
	}
	answers := make(chan answer, 2)
	for _, c := range []*Client{one, two} {
		go func() {
			p, err := c.Pay(ana.ctx(), "", order(inv))
			answers <- answer{p, err}
		}()
	}
	release()
	var paid *node.PaymentView
	for range 2 {
		if a := <-answers; a.err == nil && paid == nil {
			paid = a.p
		} else {
			refusedAs(t, a.err, 409, wire.InvoiceBusy)
		}
	}
	must(ana.CancelPayment(ana.ctx(), paid.ID))(t)
	ana.until("the cancel", func() bool { return must(ana.Payment(ana.ctx(), paid.ID, 0))(t).State == node.Returned })
	spent(t, ana, first.ID, 0)
	spent(t, ana, second.ID, 0)
}

// TestRouteFromTheIndex: the node answers such a payment only in a later Step; what was set
// aside counts meanwhile.
func TestRouteFromTheIndex(t *testing.T) {
	server, err := index.Start(index.Options{Seed: ident.NewKey([32]byte{200}).IdentitySeed(), Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ana, ben, cleo := start(t, "ana", 1, server.URI()), start(t, "ben", 2, server.URI()), start(t, "cleo", 3, server.URI())
	befriend(ana, ben, 50_00)
	befriend(ben, cleo, 50_00)
	for _, p := range []*person{ana, ben, cleo} {
		if ok := must(p.Announced(p.ctx(), patience))(t); !ok {
			t.Fatalf("%s is not announced", p.name)
		}
	}
	pay, token := ana.with("pay=5EUR/month")
	o := Order{To: cleo.loop.ID().String(), Amount: ptr(value(2_00)), WaitMs: patience.Milliseconds()}
	p := must(pay.Pay(ana.ctx(), "k", o))(t)
	if p.State != node.Paid || len(p.Parts[0].Hops) != 2 {
		t.Fatalf("%+v %+v", p, p.Reason)
	}
	if again := must(pay.Pay(ana.ctx(), "k", o))(t); again.ID != p.ID {
		t.Errorf("paid again: %+v", again)
	}
	spent(t, ana, token.ID, 2_00)
	if l := must(ana.store.List(kindHold, "", 10, false))(t); len(l) != 0 {
		t.Errorf("still set aside: %v", l)
	}
	o.Amount = ptr(value(60_00)) // more than ben lets ana owe
	_, err = pay.Pay(ana.ctx(), "", o)
	refusedAs(t, err, 403, wire.AllowanceSpent)
	rich, token := ana.with("pay=1000EUR")
	if p := must(rich.Pay(ana.ctx(), "", o))(t); p.State != node.Returned {
		t.Errorf("%+v", p)
	}
	spent(t, ana, token.ID, 0)
}

// TestOldAnswersGo: keys are bounded by age and number.
func TestOldAnswersGo(t *testing.T) {
	a := answers{known: map[answerKey]*answer{}}
	day := int64(answerLife / time.Second)
	keep := func(i int, now int64) []node.Record {
		q := &keeper{answers: &a, key: answerKey{byte(i), byte(i >> 8), byte(i >> 16)}, saved: savedAnswer{Time: now}}
		if first, _ := a.begin(q); !first {
			t.Fatalf("key %d is known at %d", i, now)
		}
		defer q.end()
		return q.save(&node.InvoiceView{Amount: value(1)}, nil)
	}
	for i := range 10 {
		keep(i, int64(i))
	}
	if again := (&keeper{answers: &a, key: answerKey{3}, saved: savedAnswer{Time: 10}}); true {
		if first, wait := a.begin(again); first || wait != nil {
			t.Error("a kept key was forgotten")
		}
	}
	keep(10, day+4) // 0 to 4 are a day old: the four oldest go
	if len(a.known) != 7 || a.known[answerKey{4}] == nil || a.known[answerKey{3}] != nil {
		t.Errorf("%d known", len(a.known))
	}
	keep(3, day+4)
	for i := 11; i < maxAnswers+20; i++ {
		keep(i, day+5)
	}
	if n := len(a.known); n > maxAnswers+1 {
		t.Errorf("%d keys kept, at most %d", n, maxAnswers)
	}
	failed := &keeper{answers: &a, key: answerKey{0, 0, 0, 9}, saved: savedAnswer{Time: day}}
	a.begin(failed)
	failed.end()
	if a.known[failed.key] != nil {
		t.Error("a request that began nothing left its key")
	}
}

// TestAnswersAndRecordsAgree: a key that is used again after its time has one record, the newer, also after a restart.
func TestAnswersAndRecordsAgree(t *testing.T) {
	a := answers{known: map[answerKey]*answer{}}
	db := store.NewMemory()
	keep := func(i byte, now int64) {
		q := &keeper{answers: &a, key: answerKey{i}, saved: savedAnswer{Time: now}}
		if first, _ := a.begin(q); !first {
			t.Fatalf("key %d is known at %d", i, now)
		}
		if err := db.Commit(q.save(&node.InvoiceView{Amount: value(1)}, nil), nil); err != nil {
			t.Fatal(err)
		}
		q.end()
	}
	day := int64(answerLife / time.Second)
	for i := range byte(9) {
		keep(i, int64(i))
	}
	keep(8, day+8) // 0 to 3 go; the record of 8 from then is still there
	both := answers{}
	if err := both.load(db); err != nil || len(both.known) != 5 || len(both.order) != 6 || both.known[answerKey{8}].time != day+8 {
		t.Errorf("%d known, %d records: %v", len(both.known), len(both.order), err)
	}
	keep(9, day+9) // 4 to 7 go
	keep(10, day+10)
	after := answers{}
	if err := after.load(db); err != nil || len(after.known) != 3 || len(after.order) != 3 || len(a.known) != 3 {
		t.Errorf("%d known, %d records, %d known without a restart: %v", len(after.known), len(after.order), len(a.known), err)
	}
}

// TestScopeWords reads and prints scopes.
func TestScopeWords(t *testing.T) {
	known := func(code string) []money.Currency {
		return map[string][]money.Currency{"EUR": {"EUR/2"}, "FST": {"FST/0", "FST/2"}}[code]
	}
	for in, want := range map[string]string{
		"pay=50EUR": "pay=50.00EUR/2/day", "pay=50 EUR/2/month": "pay=50.00EUR/2/month", "pay=3FST/0": "pay=3FST/0/day",
		"pay=0,5EUR/week": "pay=0.50EUR/2/week", "read": "read", "pay=1EUR/year": "pay=1.00EUR/2/year",
	} {
		s, err := parseScope([]string{in}, known)
		if err != nil || s.words()[0] != want {
			t.Errorf("%q: %v %v, want %q", in, s.words(), err, want)
			continue
		}
		again, err := parseScope(s.words(), nil)
		if err != nil || again.words()[0] != want {
			t.Errorf("%q again: %v %v", want, again.words(), err)
		}
	}
	for _, bad := range []string{"", "pay", "pay=", "pay=EUR", "pay=0EUR", "pay=-1EUR", "pay=1FST", "pay=1XYZ", "pay=1EUR/hour", "write"} {
		if s, err := parseScope([]string{bad}, known); err == nil {
			t.Errorf("%q: %v", bad, s.words())
		}
	}
	if _, err := parseScope(nil, known); err == nil {
		t.Error("an empty scope")
	}
}

// TestPeriods: a period begins at midnight UTC, a week on Monday.
func TestPeriods(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 30, 0, 0, time.FixedZone("", 3600)) // a Sunday in winter: 28 February, 23:30 UTC, a Saturday
	for p, want := range map[period]string{daily: "2026-02-28", weekly: "2026-02-23", monthly: "2026-02-01", yearly: "2026-01-01"} {
		if got := time.Unix(p.start(at), 0).UTC().Format(time.DateTime); got != want+" 00:00:00" {
			t.Errorf("%s: %s", p, got)
		}
	}
	if got := time.Unix(weekly.start(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), 0).UTC().Format(time.DateOnly); got != "2026-02-23" {
		t.Errorf("the week of a Sunday begins on %s", got)
	}
}

func FuzzParseScope(f *testing.F) {
	for _, s := range []string{"read", "pay=50EUR/2/day", "pay=1.5EUR/2", "pay=1/2/3/day"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		s, err := parseScope([]string{word}, nil)
		if err != nil {
			return
		}
		again, err := parseScope(s.words(), nil)
		if err != nil || again.words()[0] != s.words()[0] {
			t.Fatalf("%q became %q, which is %v", word, s.words(), err)
		}
	})
}
