package run

import (
	"errors"
	"sync"
	"testing"

	"kula/node"
	"kula/wire"
)

// However many ask for it at one time, while it is paid and after, an invoice is paid once: the loop looks up
// what was paid before in what it has committed, and the node in what the same Step has ended.
func TestOneInvoiceIsPaidOnce(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben)
	const invoices, payers, tries = 12, 8, 6
	for i := range invoices {
		link := ben.invoice(1)
		var all sync.WaitGroup
		for range payers {
			all.Go(func() {
				for range tries {
					v, err := ana.Exec(ana.ctx(), Request{Command: &node.Pay{Invoice: link, GiveUp: 10_000}, Wait: patience})
					var no *node.Error
					if errors.As(err, &no) && no.Code == wire.InvoicePaid {
						continue
					}
					if p, ok := v.(*node.PaymentView); err != nil || !ok || p.State != node.Paid {
						t.Errorf("invoice %d: %+v, %v", i, v, err)
					}
				}
			})
		}
		all.Wait()
	}
	if b := ana.balance("ben"); b != -invoices {
		t.Errorf("%d invoices of 0.01 were paid; the balance is %v", invoices, b)
	}
	link := ben.invoice(1)
	ana.pay(link, 0)
	if err := ana.Close(); err != nil {
		t.Fatal(err)
	}
	ana.restart()
	_, err := ana.Do(ana.ctx(), &node.Pay{Invoice: link, GiveUp: 10_000})
	var no *node.Error
	if !errors.As(err, &no) || no.Code != wire.InvoicePaid {
		t.Errorf("after a restart: %v, want invoice_paid", err)
	}
}
