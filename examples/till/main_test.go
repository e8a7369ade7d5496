package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/api"
	"kula/internal/run"
	"kula/internal/store"
	"kula/money"
	"kula/node"
)

// person is a running node with its API, called through the owner's client.
func person(t *testing.T, ctx context.Context, name string, key byte) (base string, owner *api.Client) {
	t.Helper()
	db := store.NewMemory()
	tokens, err := api.OpenTokens(db)
	if err != nil {
		t.Fatal(err)
	}
	loop, err := run.Start(run.Options{
		Key: ident.NewKey([32]byte{key}), Store: db, Companion: tokens, Name: name, Listen: []string{"/ip4/127.0.0.1/tcp/0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := api.New(api.Options{Loop: loop, Store: db, Tokens: tokens})
	l, err := api.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(func() {
		server.Close()
		loop.Close()
	})
	return "http://" + l.Addr().String(), api.NewClient("http://"+l.Addr().String(), server.OwnerToken())
}

// TestTheTillIsPaid runs the built program with a token that may only read and ask.
func TestTheTillIsPaid(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	binary := filepath.Join(t.TempDir(), "till")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	base, shop := person(t, ctx, "shop", 1)
	_, customer := person(t, ctx, "customer", 2)
	fifty := money.Value{Amount: 50_00, Currency: "EUR/2"}
	inv, err := shop.Invite(ctx, "customer", []api.Line{{Currency: "EUR/2", Give: fifty, Ask: fifty}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := customer.Accept(ctx, inv.URI, "shop", nil); err != nil {
		t.Fatal(err)
	}
	token, err := shop.CreateToken(ctx, "till", []string{"read", "ask"})
	if err != nil {
		t.Fatal(err)
	}
	till := exec.CommandContext(ctx, binary, "12.50", "EUR/2", "two loaves")
	till.Env = append(os.Environ(), "KULA_API="+base, "KULA_TOKEN="+token.Token)
	till.Stderr = os.Stderr
	out, err := till.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := till.Start(); err != nil {
		t.Fatal(err)
	}
	link, paid := "", false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch l := lines.Text(); {
		case strings.HasPrefix(l, "kula:invoice?"):
			link = l
		case l == "Please pay 12.50 EUR.":
			p, err := customer.Pay(ctx, "", api.Order{Invoice: link, WaitMs: 30_000})
			if err != nil || p.State != node.Paid {
				t.Errorf("the customer's payment: %+v %v", p, err)
				cancel()
			}
		case l == "Paid 12.50 EUR. Thank you!":
			paid = true
		}
	}
	if err := till.Wait(); err != nil || !paid {
		t.Errorf("the till ended with %v, paid %v", err, paid)
	}
	list, _, err := shop.Invoices(ctx, api.Page{})
	if err != nil || len(list) != 1 || list[0].Memo != "two loaves" || list[0].State != "paid" {
		t.Errorf("the shop's invoices: %+v %v", list, err)
	}
}

// TestTheTillSaysWhy: a token that may not ask, an amount that is none.
func TestTheTillSaysWhy(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	base, shop := person(t, ctx, "shop", 1)
	token, err := shop.CreateToken(ctx, "", []string{"read"})
	if err != nil {
		t.Fatal(err)
	}
	err = sell(base, token.Token, money.Value{Amount: 1, Currency: "EUR/2"}, "")
	if err == nil || !strings.Contains(err.Error(), "scope ask (not_allowed)") {
		t.Errorf("a token that may only read: %v", err)
	}
	token, err = shop.CreateToken(ctx, "", []string{"ask"})
	if err != nil {
		t.Fatal(err)
	}
	err = sell(base, token.Token, money.Value{Currency: "EUR/2"}, "")
	if err == nil || !strings.Contains(err.Error(), "wrong_amount") {
		t.Errorf("an amount of nothing: %v", err)
	}
}
