package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kula/ident"
	"kula/internal/run"
	"kula/internal/store"
	"kula/money"
	"kula/node"
	"kula/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds everything that a test waits for; nothing takes that long.
const patience = 30 * time.Second

const eur money.Currency = "EUR/2"

func value(a money.Amount) money.Value { return money.Value{Amount: a, Currency: eur} }

// person is a running node with its API on a real port.
type person struct {
	t      *testing.T
	name   string
	key    byte
	store  Store
	index  []string // links of index servers
	loop   *run.Loop
	server *Server
	base   string
	served chan error
	*Client
}

func start(t *testing.T, name string, key byte, index ...string) *person {
	t.Helper()
	p := &person{t: t, name: name, key: key, index: index, store: store.NewMemory()}
	p.up()
	t.Cleanup(p.down)
	return p
}

func (p *person) up() {
	p.t.Helper()
	tokens, err := OpenTokens(p.store)
	if err != nil {
		p.t.Fatal(err)
	}
	p.loop, err = run.Start(run.Options{
		Key: ident.NewKey([32]byte{p.key}), Store: p.store, Companion: tokens, Name: p.name, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Index: p.index,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.server = New(Options{Loop: p.loop, Store: p.store, Tokens: tokens})
	l, err := Listen("127.0.0.1:0", false)
	if err != nil {
		p.t.Fatal(err)
	}
	p.base, p.served = "http://"+l.Addr().String(), make(chan error, 1)
	go func() { p.served <- p.server.Serve(l) }()
	p.Client = NewClient(p.base, p.server.OwnerToken())
}

func (p *person) down() {
	p.Client.http.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	if err := p.server.Close(); err != nil {
		p.t.Errorf("%s: close the API: %v", p.name, err)
	}
	if err := <-p.served; err != nil {
		p.t.Errorf("%s: serve: %v", p.name, err)
	}
	p.served <- nil // for a second down
	if err := p.loop.Close(); err != nil {
		p.t.Errorf("%s: close the loop: %v", p.name, err)
	}
}

func (p *person) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	p.t.Cleanup(cancel)
	return ctx
}

// must returns v and fails the test on an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// befriend makes a and b friends who let each other owe so much.
func befriend(a, b *person, limit money.Amount) {
	a.t.Helper()
	inv := must(a.Invite(a.ctx(), b.name, []Line{{Currency: eur, Give: value(limit), Ask: value(limit)}}, 0))(a.t)
	must(b.Accept(b.ctx(), inv.URI, a.name, nil))(b.t)
	a.ready(b.name)
	b.ready(a.name)
}

// ready waits for events until payments can pass to a friend.
func (p *person) ready(friend string) {
	p.t.Helper()
	p.until("ready", func() bool {
		f, err := p.Friend(p.ctx(), friend)
		return err == nil && f.Ready
	})
}

// until waits until ok, looking after each event and now and then.
func (p *person) until(what string, ok func() bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx(), patience)
	defer cancel()
	events := must(p.Events(ctx))(p.t)
	again := time.NewTicker(10 * time.Millisecond) // a mediator's balances change without an event
	defer again.Stop()
	for !ok() {
		select {
		case _, open := <-events:
			if !open {
				p.t.Fatalf("%s: %s did not come", p.name, what)
			}
		case <-again.C:
		}
	}
}

func (p *person) invoice(a money.Amount) *node.InvoiceView {
	p.t.Helper()
	return must(p.CreateInvoice(p.ctx(), Ask{Amount: value(a)}))(p.t)
}

// order pays an invoice and waits for it to end.
func order(i *node.InvoiceView) Order { return Order{Invoice: i.URI, WaitMs: patience.Milliseconds()} }

// refusedAs checks that err is a refusal with a status and code.
func refusedAs(t *testing.T, err error, status int, code wire.Code) *Refused {
	t.Helper()
	var r *Refused
	if !errors.As(err, &r) {
		t.Fatalf("%v is no refusal; want %d %s", err, status, code)
	}
	if r.Status != status || r.Code != code.String() {
		t.Fatalf("refused with %d %s (%s), want %d %s", r.Status, r.Code, r.Detail, status, code)
	}
	return r
}

// raw sends a request as it is and returns status and body.
func (p *person) raw(method, path, token, body string, edit func(*http.Request)) (int, []byte) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.ctx(), method, p.base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if edit != nil {
		edit(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		var pr Problem
		if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
			p.t.Errorf("%s %s: %d with type %q: %s", method, path, resp.StatusCode, ct, data)
		} else if err := json.Unmarshal(data, &pr); err != nil || pr.Status != resp.StatusCode || pr.Code == 0 || pr.Title == "" || pr.Detail == "" || pr.Type == "" {
			p.t.Errorf("%s %s: %d with %s (%v)", method, path, resp.StatusCode, data, err)
		}
	}
	return resp.StatusCode, data
}

// dial opens a bare connection to the API.
func (p *person) dial() net.Conn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.base[len("http://"):])
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	return c
}
