//go:build linux

package realtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"kula/ident"
	"kula/internal/api"
	"kula/money"
	"kula/node"
	"kula/pay"
)

// verifier checks signatures without a key of its own.
type verifier struct{}

func (verifier) Verify(id ident.ID, tag ident.Tag, msg []byte, sig ident.Signature) bool {
	return ident.Verify(id, tag, msg, sig)
}

// accounts is all that one member says about what happened.
type accounts struct {
	member   *member
	payments []node.PaymentView
	invoices map[string]node.InvoiceView
	rows     map[string][]api.BookRow // of kind payment, by payment id
	total    money.Amount             // balance over all friends
}

// collect reads everything of a member, page by page.
func collect(t testing.TB, m *member) *accounts {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("audit of %s: %v\n%s", m.name, err, m.logTail())
		}
	}
	a := &accounts{member: m, invoices: map[string]node.InvoiceView{}, rows: map[string][]api.BookRow{}}
	c := m.api()
	for page := (api.Page{Limit: 1000}); ; {
		list, next, err := c.Payments(ctx, page)
		check(err)
		a.payments = append(a.payments, list...)
		if page.Cursor = next; next == "" {
			break
		}
	}
	for page := (api.Page{Limit: 1000}); ; {
		list, next, err := c.Invoices(ctx, page)
		check(err)
		for _, i := range list {
			a.invoices[i.ID] = i
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	for q := (api.BookQuery{Page: api.Page{Limit: 1000}}); ; {
		list, next, err := c.Book(ctx, q)
		check(err)
		for _, r := range list {
			if r.Kind == node.RowPayment {
				a.rows[r.Payment] = append(a.rows[r.Payment], r)
			}
		}
		if q.Cursor = next; next == "" {
			break
		}
	}
	balances, err := c.Balances(ctx)
	check(err)
	for _, b := range balances {
		if b.Locked.Amount != 0 || b.Balance.Currency != currency {
			t.Errorf("%s: balance %s with %s set aside", m.name, b.Balance, b.Locked)
		}
		a.total += b.Balance.Amount
	}
	v, err := c.VerifyBook(ctx)
	check(err)
	if !v.Valid {
		t.Errorf("%s's book: %v", m.name, v.Problems)
	}
	return a
}

// quiet waits until nothing is under way anywhere and both sides of every friendship agree.
func quiet(t testing.TB, members ...*member) {
	t.Helper()
	for _, m := range members {
		eventually(t, m.name+" has nothing set aside and agrees with its friends", func(ctx context.Context) (string, bool) {
			friends, err := m.api().Friends(ctx)
			if err != nil {
				return err.Error(), false
			}
			for _, f := range friends {
				if f.OpenLocks != 0 {
					return fmt.Sprintf("%d locks with %s (ready %v, problem %q)", f.OpenLocks, f.Name, f.Ready, f.Problem), false
				}
				if seen, ok := agrees(ctx, m, &f, members); !ok {
					return seen, false
				}
			}
			return "", true
		})
	}
}

// agrees compares what m says of a friend with what the friend says of m.
func agrees(ctx context.Context, m *member, f *node.FriendView, members []*member) (string, bool) {
	for _, other := range members {
		if other.key != f.Key {
			continue
		}
		mirror, err := other.friend(ctx, m.key)
		if err != nil {
			return err.Error(), false
		}
		if len(mirror.Currencies) != len(f.Currencies) {
			return fmt.Sprintf("%d currencies with %s, %d there", len(f.Currencies), f.Name, len(mirror.Currencies)), false
		}
		for i, mine := range f.Currencies {
			theirs := mirror.Currencies[i]
			if mine.Balance.Amount != -theirs.Balance.Amount || mine.LimitGranted != theirs.LimitReceived || mine.CanPay != theirs.CanReceive {
				return fmt.Sprintf("with %s: balance %s, can pay %s here; %s, can receive %s there", f.Name, mine.Balance, mine.CanPay, theirs.Balance, theirs.CanReceive), false
			}
		}
	}
	return "", true
}

// audit is that of design §13.5, when nothing is under way any more: sums are zero, both
// sides agree, nothing is stuck, nobody paid twice. It returns how many payments were
// paid and how many returned.
func audit(t testing.TB, members ...*member) (paid, returned int) {
	t.Helper()
	quiet(t, members...)
	all := map[ident.ID]*accounts{}
	var sum money.Amount
	for _, m := range members {
		all[m.key] = collect(t, m)
		sum += all[m.key].total
	}
	if sum != 0 {
		t.Errorf("all balances add up to %d", sum)
	}
	kept := map[ident.ID]money.Amount{} // by payments alone
	for _, m := range members {
		for i := range all[m.key].payments {
			switch p := &all[m.key].payments[i]; p.State {
			case node.Paid:
				paid++
				auditPaid(t, all[m.key], all[p.Payee], p, kept)
			case node.Returned:
				returned++
				auditReturned(t, all[m.key], all[p.Payee], p)
			default:
				t.Errorf("payment %s of %s is stuck: %s, %+v", p.ID, m.name, p.State, p.Waiting)
			}
		}
	}
	for _, m := range members {
		if all[m.key].total != kept[m.key] {
			t.Errorf("%s has %d, its payments make it %d", m.name, all[m.key].total, kept[m.key])
		}
		auditInvoices(t, all[m.key], all)
	}
	return paid, returned
}

// auditPaid: what the payer calls paid was received once, in full, and can be proved.
func auditPaid(t testing.TB, payer, payee *accounts, p *node.PaymentView, kept map[ident.ID]money.Amount) {
	t.Helper()
	kept[payer.member.key] -= p.Amount.Amount + p.Fee.Amount
	kept[p.Payee] += p.Amount.Amount
	if len(p.Parts) == 1 && len(p.Parts[0].Hops) == 2 { // one mediator in these tests: the fee is its
		kept[p.Parts[0].Hops[0]] += p.Fee.Amount
	} else if p.Fee.Amount != 0 {
		t.Errorf("payment %s has a fee of %s over %+v", p.ID, p.Fee, p.Parts)
	}
	if n := len(payer.rows[p.ID]); n != 1 || payer.rows[p.ID][0].Change.Amount != -p.Amount.Amount-p.Fee.Amount {
		t.Errorf("payment %s of %s + %s: %d rows in the payer's book: %+v", p.ID, p.Amount, p.Fee, n, payer.rows[p.ID])
	}
	if n := len(payee.rows[p.ID]); n != 1 || payee.rows[p.ID][0].Change != p.Amount {
		t.Errorf("payment %s of %s: %d rows in the payee's book: %+v", p.ID, p.Amount, n, payee.rows[p.ID])
	}
	if p.Invoice != "" && payee.invoices[p.ID].State != "paid" {
		t.Errorf("payment %s is paid, the payee calls its invoice %q", p.ID, payee.invoices[p.ID].State)
	}
	r, err := pay.ParseReceipt(p.Receipt)
	if err != nil {
		t.Errorf("receipt of payment %s: %v", p.ID, err)
		return
	}
	if shown, err := pay.VerifyReceipt(verifier{}, r); err != nil || shown.Payee != p.Payee || shown.Value != p.Amount {
		t.Errorf("receipt of payment %s of %s: %+v, %v", p.ID, p.Amount, shown, err)
	}
}

// auditReturned: nothing of it is in a book, and no invoice counts as paid by it.
func auditReturned(t testing.TB, payer, payee *accounts, p *node.PaymentView) {
	t.Helper()
	if len(payer.rows[p.ID])+len(payee.rows[p.ID]) != 0 {
		t.Errorf("payment %s was returned (%+v) and is in a book: %+v %+v", p.ID, p.Reason, payer.rows[p.ID], payee.rows[p.ID])
	}
	if p.Invoice != "" && payee.invoices[p.ID].State == "paid" {
		t.Errorf("payment %s was returned (%+v), the payee calls its invoice paid", p.ID, p.Reason)
	}
	if p.Receipt != "" {
		t.Errorf("payment %s was returned and has a receipt", p.ID)
	}
}

// auditInvoices: every paid invoice was paid by exactly one payment of somebody.
func auditInvoices(t testing.TB, a *accounts, all map[ident.ID]*accounts) {
	t.Helper()
	payers := map[string]int{}
	for _, other := range all {
		for i := range other.payments {
			if p := &other.payments[i]; p.Payee == a.member.key && p.State == node.Paid {
				payers[p.ID]++
			}
		}
	}
	for id, i := range a.invoices {
		want := 0
		if i.State == "paid" {
			want = 1
		}
		if payers[id] != want || len(a.rows[id]) != want {
			t.Errorf("%s's invoice %s is %s: %d payments, %d rows", a.member.name, id, i.State, payers[id], len(a.rows[id]))
		}
	}
	for id, rows := range a.rows {
		if len(rows) != 1 {
			t.Errorf("%s's book has payment %s %d times", a.member.name, id, len(rows))
		}
	}
}

// auditStored stops the members: each must end with exit 0, and fsck must find nothing.
func auditStored(t testing.TB, members ...*member) {
	t.Helper()
	for _, m := range members {
		m.halt()
		if code, out, log := run(t, m.home, "fsck"); code != 0 {
			t.Errorf("fsck of %s: exit %d\n%s%s", m.name, code, out, log)
		}
	}
}

// verifyReceipts checks some receipts with the program itself, as their holder would.
func verifyReceipts(t testing.TB, m *member, most int) {
	t.Helper()
	list, _, err := m.api().Payments(context.Background(), api.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(list) && most > 0; i++ {
		if list[i].Receipt == "" {
			continue
		}
		most--
		file := filepath.Join(t.TempDir(), "receipt")
		if err := os.WriteFile(file, []byte(list[i].Receipt), 0o600); err != nil {
			t.Fatal(err)
		}
		var v struct {
			Valid  bool
			Amount money.Value
		}
		must(t, m.home, &v, "receipt", "verify", file)
		if !v.Valid || v.Amount != list[i].Amount {
			t.Errorf("receipt of payment %s over %s: %+v", list[i].ID, list[i].Amount, v)
		}
	}
}
