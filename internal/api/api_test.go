package api

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kula/money"
	"kula/node"
	"kula/wire"
)

// TestThreePeople is scenario 3 (without the fee) by the API alone: friends, a quote, a
// payment over two channels, and what everybody's book says.
func TestThreePeople(t *testing.T) {
	ana, ben, cleo := start(t, "ana", 1), start(t, "ben", 2), start(t, "cleo", 3)
	befriend(ana, ben, 100_00)
	befriend(ben, cleo, 100_00)
	who := must(cleo.Identity(cleo.ctx()))(t)
	if who.Key != cleo.loop.ID() || who.Name != "cleo" || who.DID != who.Key.DID() || len(who.Addresses) == 0 {
		t.Errorf("identity %+v", who)
	}
	inv := must(cleo.CreateInvoice(cleo.ctx(), Ask{Amount: value(12_50), Memo: "bread"}))(t)
	route := []string{"ben", cleo.loop.ID().String()}
	q := must(ana.Quote(ana.ctx(), Order{Invoice: inv.URI, Route: route}))(t)
	if !q.Possible || q.Amount != value(12_50) || q.Fee != value(0) {
		t.Errorf("quote %+v", q)
	}
	paidYet := make(chan *node.InvoiceView, 1)
	go func() {
		v, _ := cleo.Invoice(cleo.ctx(), inv.ID, patience)
		paidYet <- v
	}()
	p := must(ana.Pay(ana.ctx(), "", Order{Invoice: inv.URI, Route: route, WaitMs: patience.Milliseconds()}))(t)
	if p.State != node.Paid || len(p.Parts) != 1 || len(p.Parts[0].Hops) != 2 || p.Receipt == "" {
		t.Fatalf("payment %+v %+v", p, p.Reason)
	}
	if v := <-paidYet; v == nil || v.State != "paid" {
		t.Errorf("the payee waited for %+v", v)
	}
	cleo.until("the debt", func() bool { return balance(cleo, "ben") == 12_50 })
	if b := balance(ana, "ben"); b != -12_50 {
		t.Errorf("ana's balance %d", b)
	}
	if again := must(ana.Payment(ana.ctx(), p.ID, 0))(t); again.State != node.Paid || again.ID != p.ID {
		t.Errorf("found again: %+v", again)
	}
	list, next, err := ana.Payments(ana.ctx(), Page{})
	if err != nil || len(list) != 1 || next != "" || list[0].ID != p.ID {
		t.Errorf("list %+v %q %v", list, next, err)
	}
	rows, _, err := cleo.Book(cleo.ctx(), BookQuery{Search: "BREAD", Currency: "EUR/2", Friend: "ben"})
	if err != nil || len(rows) != 1 || rows[0].Change != value(12_50) || rows[0].Balance != value(12_50) || rows[0].Kind != node.RowPayment {
		t.Errorf("book %+v %v", rows, err)
	}
	for _, who := range []*person{ana, ben, cleo} {
		who.until("the book", func() bool {
			v, err := who.VerifyBook(who.ctx())
			return err == nil && v.Valid && v.Rows > 0
		})
	}
	if proof := must(cleo.Proof(cleo.ctx(), "ben"))(t); !strings.HasPrefix(proof, "kula:proof?") {
		t.Errorf("proof %q", proof)
	}
	if l := must(cleo.Currencies(cleo.ctx()))(t); len(l) != 1 || l[0] != eur {
		t.Errorf("currencies %v", l)
	}
	if l := must(cleo.Balances(cleo.ctx()))(t); len(l) != 1 || l[0].OwedToMe != value(12_50) {
		t.Errorf("balances %+v", l)
	}
	exports(t, cleo)
}

func balance(p *person, friend string) money.Amount {
	p.t.Helper()
	f := must(p.Friend(p.ctx(), friend))(p.t)
	if len(f.Currencies) == 0 {
		return 0
	}
	return f.Currencies[0].Balance.Amount
}

func exports(t *testing.T, p *person) {
	t.Helper()
	text := must(p.ExportBook(p.ctx(), "csv"))(t)
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(records) != 2 || records[1][8] != "12.50" || records[1][12] != "bread" {
		t.Errorf("csv %q %v", records, err)
	}
	text = must(p.ExportBook(p.ctx(), "hledger"))(t)
	if !strings.Contains(text, "12.50 EUR = 12.50 EUR") {
		t.Errorf("journal %s", text)
	}
	if _, err := p.ExportBook(p.ctx(), "pdf"); err == nil {
		t.Error("an export to pdf")
	}
}

// TestFriendOperations runs everything that can be done with a friend.
func TestFriendOperations(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	f := must(ana.SetLimit(ana.ctx(), "ben", value(80_00)))(t)
	if f.Currencies[0].LimitGranted != value(80_00) {
		t.Errorf("limit %+v", f.Currencies)
	}
	f = must(ana.SetFee(ana.ctx(), "ben", eur, money.Fee{Base: 5, Ppm: 100}))(t)
	if f.Currencies[0].FeeBase != value(5) || f.Currencies[0].FeePpm != 100 {
		t.Errorf("fee %+v", f.Currencies)
	}
	if p := must(ben.Pay(ben.ctx(), "", Order{To: "ana", Amount: ptr(value(20_00)), WaitMs: patience.Milliseconds()}))(t); p.State != node.Paid {
		t.Fatalf("%+v %+v", p, p.Reason)
	}
	ana.until("the debt", func() bool { return balance(ana, "ben") == 20_00 })
	_, err := ana.Remove(ana.ctx(), "ben", false)
	refusedAs(t, err, 409, wire.StillOwed)
	_, err = ana.Settle(ana.ctx(), "", "ben", value(30_00), "cash")
	refusedAs(t, err, 422, wire.WrongAmount)
	for range 2 { // the second time by the key only
		if f := must(ana.Settle(ana.ctx(), "k1", "ben", value(15_00), "cash"))(t); f.Key != ben.loop.ID() {
			t.Errorf("settled with %+v", f)
		}
	}
	ana.until("the settlement", func() bool { return balance(ana, "ben") == 5_00 })
	_, err = ana.Settle(ana.ctx(), "k1", "ben", value(1_00), "cash")
	refusedAs(t, err, 422, wire.KeyReused)
	must(ana.Find(ana.ctx(), ben.loop.ID().DID(), ben.loop.Addrs()[0], ""))(t)
	if f := must(ana.Close(ana.ctx(), "ben"))(t); f.State != node.Closed {
		t.Errorf("closed: %s", f.State)
	}
	_, err = ana.Agree(ana.ctx(), "ben")
	refusedAs(t, err, 409, wire.Conflict)
	if err := ana.Block(ana.ctx(), ben.loop.ID()); err != nil {
		t.Fatal(err)
	}
	ana.until("gone", func() bool { return !must(ana.Friend(ana.ctx(), "ben"))(t).Online })
	if err := ana.Unblock(ana.ctx(), ben.loop.ID()); err != nil {
		t.Fatal(err)
	}
	_, err = ana.Friend(ana.ctx(), "nobody/ever")
	refusedAs(t, err, 404, wire.UnknownFriend)
}

func ptr[T any](v T) *T { return &v }

// TestHold sets money aside, releases and redeems it.
func TestHold(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	inv := must(ben.CreateInvoice(ben.ctx(), Ask{Amount: value(10_00), Hold: true}))(t)
	p := must(ana.Pay(ana.ctx(), "", order(inv)))(t)
	if p.State != node.Held {
		t.Fatalf("%+v %+v", p, p.Reason)
	}
	if v := must(ben.Invoice(ben.ctx(), inv.ID, patience))(t); v.State != "held" {
		t.Errorf("invoice %s", v.State)
	}
	r := must(ana.Release(ana.ctx(), "rel", p.ID))(t)
	if r.Release == "" {
		t.Fatalf("no release in %+v", r)
	}
	must(ben.Redeem(ben.ctx(), "red", r.Release))(t)
	if p := must(ana.Payment(ana.ctx(), p.ID, patience))(t); p.State != node.Paid {
		t.Errorf("%+v", p)
	}
	_, err := ana.CancelPayment(ana.ctx(), p.ID)
	refusedAs(t, err, 404, wire.NotFound)
}

// TestPages walks lists of live and ended things with a small page.
func TestPages(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	want := map[string]bool{}
	for i := range 7 {
		inv := ben.invoice(money.Amount(i + 1))
		want[inv.ID] = true
		if i%2 == 0 {
			must(ana.Pay(ana.ctx(), "", order(inv)))(t)
		}
	}
	last := "~"
	for cursor := (Page{Limit: 3}); ; {
		list, next, err := ben.Invoices(ben.ctx(), cursor)
		if err != nil || len(list) > 3 {
			t.Fatalf("%d invoices, %v", len(list), err)
		}
		for _, i := range list {
			if i.ID >= last || !want[i.ID] {
				t.Errorf("%s after %s, wanted %v", i.ID, last, want[i.ID])
			}
			last = i.ID
			delete(want, i.ID)
		}
		if next == "" {
			break
		}
		cursor.Cursor = next
	}
	if len(want) != 0 {
		t.Errorf("missing %v", want)
	}
	var seqs []uint64
	for q := (BookQuery{Page: Page{Limit: 2}}); ; {
		rows, next, err := ana.Book(ana.ctx(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			seqs = append(seqs, r.Seq)
		}
		if next == "" {
			break
		}
		q.Cursor = next
	}
	if fmt.Sprint(seqs) != "[4 3 2 1]" {
		t.Errorf("rows %v", seqs)
	}
}

// TestRefusals: what is malformed or not allowed is answered as the contract says.
func TestRefusals(t *testing.T) {
	ana := start(t, "ana", 1)
	owner := ana.server.OwnerToken()
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	for _, c := range []struct {
		name, method, path, token, body string
		edit                            func(*http.Request)
		status                          int
		code                            wire.Code
	}{
		{"no token", "GET", "/v1/friends", "", "", nil, 401, wire.NotAllowed},
		{"wrong token", "GET", "/v1/friends", "kula_x", "", nil, 401, wire.NotAllowed},
		{"metrics without token", "GET", "/metrics", "", "", nil, 401, wire.NotAllowed},
		{"rebound name", "GET", "/v1/friends", owner, "", host("evil.example"), 421, wire.NotAllowed},
		{"rebound name for what is open", "GET", "/healthz", "", "", host("evil.example:4280"), 421, wire.NotAllowed},
		{"another address", "GET", "/healthz", "", "", host("192.0.2.1"), 421, wire.NotAllowed},
		{"no such path", "GET", "/v1/nothing", owner, "", nil, 404, wire.NotFound},
		{"no JSON", "POST", "/v1/invoices", owner, "{", nil, 400, wire.BadRequest},
		{"no body", "POST", "/v1/invoices", owner, "", nil, 400, wire.BadRequest},
		{"unknown member", "POST", "/v1/payments", owner, `{"invoice":"kula:invoice?d=AA","maxfee":1}`, nil, 422, wire.BadRequest},
		{"invoice and to", "POST", "/v1/payments", owner, `{"invoice":"kula:invoice?d=AA","to":"ben"}`, nil, 422, wire.BadRequest},
		{"amount without currency", "POST", "/v1/invoices", owner, `{"amount":{"value":"1"}}`, nil, 422, wire.BadRequest},
		{"amount as a number", "POST", "/v1/invoices", owner, `{"amount":{"value":1,"assetCode":"EUR","assetScale":2}}`, nil, 422, wire.BadRequest},
		{"nothing asked for", "POST", "/v1/invoices", owner, `{"amount":{"value":"0","assetCode":"EUR","assetScale":2}}`, nil, 422, wire.WrongAmount},
		{"large body", "POST", "/v1/invoices", owner, `{"memo":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413, wire.BadRequest},
		{"large body of unknown length", "POST", "/v1/invoices", owner, strings.Repeat(" ", maxBody+1), func(r *http.Request) { r.ContentLength = -1 }, 413, wire.BadRequest},
		{"no id", "GET", "/v1/payments/xyz", owner, "", nil, 404, wire.NotFound},
		{"unknown id", "GET", "/v1/invoices/" + strings.Repeat("0", 32), owner, "", nil, 404, wire.NotFound},
		{"unknown id waited for", "GET", "/v1/invoices/" + strings.Repeat("0", 32) + "?wait=1s", owner, "", nil, 404, wire.NotFound},
		{"bad wait", "GET", "/v1/announced?wait=soon", owner, "", nil, 400, wire.BadRequest},
		{"bad cursor", "GET", "/v1/book?cursor=x", owner, "", nil, 400, wire.BadRequest},
		{"bad currency", "GET", "/v1/book?currency=euro", owner, "", nil, 400, wire.UnknownCurrency},
		{"bad key", "POST", "/v1/blocks", owner, `{"key":"abc"}`, nil, 422, wire.BadRequest},
		{"bad scope", "POST", "/v1/tokens", owner, `{"scope":["everything"]}`, nil, 422, wire.BadRequest},
		{"scope of an unknown currency", "POST", "/v1/tokens", owner, `{"scope":["pay=50EUR"]}`, nil, 422, wire.BadRequest},
		{"no such token", "DELETE", "/v1/tokens/0011", owner, "", nil, 404, wire.NotFound},
		{"line in two currencies", "POST", "/v1/invitations", owner, `{"lines":[{"currency":"EUR/2","give":{"value":"1","assetCode":"EUR","assetScale":2},"ask":{"value":"1","assetCode":"EUR","assetScale":3}}]}`, nil, 422, wire.WrongCurrency},
		{"long key", "POST", "/v1/redemptions", owner, `{"release":"x"}`, func(r *http.Request) { r.Header.Set("Idempotency-Key", strings.Repeat("k", 256)) }, 422, wire.BadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, data := ana.raw(c.method, c.path, c.token, c.body, c.edit)
			var p Problem
			if err := json.Unmarshal(data, &p); err != nil || status != c.status || p.Code != c.code {
				t.Errorf("%d %s %v, want %d %s", status, data, err, c.status, c.code)
			}
			if c.token != "" && strings.Contains(string(data), c.token) {
				t.Error("the answer repeats the token")
			}
		})
	}
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json"} {
		if status, data := ana.raw("GET", path, "", "", host("localhost:1")); status != 200 {
			t.Errorf("%s: %d %s", path, status, data)
		}
	}
}

// TestEvents: whoever watches sees what changes, and a stream ends with the server.
func TestEvents(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	events := must(ben.Events(ben.ctx()))(t)
	befriend(ana, ben, 50_00)
	inv := ben.invoice(1_00)
	must(ana.Pay(ana.ctx(), "", order(inv)))(t)
	seen := map[string]bool{}
	for !seen["friend"] || !seen["invoice"] {
		e, open := <-events
		if !open {
			t.Fatalf("the stream ended; seen %v", seen)
		}
		seen[e.Kind] = true
		var v struct{ State string }
		if err := json.Unmarshal(e.Data, &v); err != nil || v.State == "" {
			t.Errorf("%s: %s: %v", e.Kind, e.Data, err)
		}
	}
	ben.down()
	for range events { // must end
	}
}

// TestMetrics: the figures are in Prometheus' format and name nobody.
func TestMetrics(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	must(ana.Pay(ana.ctx(), "", order(ben.invoice(1_00))))(t)
	status, data := ana.raw("GET", "/metrics", ana.server.OwnerToken(), "", nil)
	if status != 200 {
		t.Fatalf("%d %s", status, data)
	}
	figures := map[string]string{}
	for lines := bufio.NewScanner(strings.NewReader(string(data))); lines.Scan(); {
		if l := lines.Text(); !strings.HasPrefix(l, "#") {
			name, v, ok := strings.Cut(l, " ")
			if !ok {
				t.Errorf("line %q", l)
			}
			figures[name] = v
		}
	}
	for name, want := range map[string]string{
		"kula_friends": "1", "kula_friends_online": "1", `kula_payments_total{state="paid"}`: "1", `kula_payments_open{state="waiting"}`: "0",
	} {
		if figures[name] != want {
			t.Errorf("%s is %q, want %s", name, figures[name], want)
		}
	}
	if figures["kula_commits_total"] == "" || figures["kula_step_seconds_count"] == "" || figures[`kula_batch_size_bucket{le="+Inf"}`] == "" {
		t.Errorf("figures missing in %v", figures)
	}
	for _, secret := range []string{ana.loop.ID().String(), ben.loop.ID().String(), "ben"} {
		if strings.Contains(string(data), secret) {
			t.Errorf("the metrics name %s", secret)
		}
	}
}

// TestEndpointFile: it is there for its owner alone, and gone afterwards.
func TestEndpointFile(t *testing.T) {
	home := t.TempDir()
	want := Endpoint{API: "http://127.0.0.1:4280", Token: "kula_x", Key: "y"}
	for range 2 { // a second time over the first
		if err := WriteEndpoint(home, want); err != nil {
			t.Fatal(err)
		}
	}
	if got := must(ReadEndpoint(home))(t); got != want {
		t.Errorf("%+v", got)
	}
	if info, err := os.Stat(filepath.Join(home, EndpointFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := RemoveEndpoint(home); err != nil {
		t.Fatal(err)
	}
	if files, err := fs.Glob(os.DirFS(home), "*"); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v %v", files, err)
	}
}

// TestListenIsLocal: others cannot reach the API unless its owner says so.
func TestListenIsLocal(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "example.org:80", "127.0.0.1"} {
		if l, err := Listen(addr, false); err == nil {
			l.Close()
			t.Errorf("listens on %s", addr)
		}
	}
	l, err := Listen("0.0.0.0:0", true)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestSlowSendersAreCutOff: a head or body that does not come in time ends its connection.
func TestSlowSendersAreCutOff(t *testing.T) {
	t.Parallel()
	ana := start(t, "ana", 1)
	for name, c := range map[string]struct{ text, answer string }{
		"head": {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", ""},
		"body": {"POST /v1/invoices HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + ana.server.OwnerToken() + "\r\nContent-Length: 9\r\n\r\n{", "HTTP/1.1 408 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := ana.dial()
			if _, err := conn.Write([]byte(c.text)); err != nil {
				t.Fatal(err)
			}
			conn.SetReadDeadline(time.Now().Add(3 * headTimeout))
			got, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(got), c.answer) {
				t.Errorf("%q %v", got, err)
			}
		})
	}
}

// TestLongWaits: an answer may wait longer than a request may take to arrive.
func TestLongWaits(t *testing.T) {
	t.Parallel()
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben, 50_00)
	inv := must(ben.CreateInvoice(ben.ctx(), Ask{Amount: value(1)}))(t)
	began := time.Now()
	const wait = max(headTimeout, bodyTimeout) + time.Second
	v := must(ben.Invoice(ben.ctx(), inv.ID, wait))(t)
	if took := time.Since(began); v.State != "open" || took < wait {
		t.Errorf("%s after %s", v.State, took)
	}
}
