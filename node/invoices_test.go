package node

import (
	"encoding/binary"
	"strings"
	"testing"

	"kula/money"
	"kula/pay"
	"kula/wire"
)

// The invoices kept are bounded; the refusal says what to do, and doing it helps.
func TestInvoicesAreBounded(t *testing.T) {
	w, list := newWorld(t, "Ana")
	ana := list[0]
	create := &CreateInvoice{Value: money.Value{Amount: 1, Currency: fst}, Expires: w.now/1000 + 1000}
	first := w.must(ana, create).(*InvoiceView)
	for i := len(ana.invoices); i < maxInvoices; i++ { // as if asked for one by one
		inv := *ana.invoices[func() wire.InvoiceID { id, _ := wire.ParseID16(first.ID); return wire.InvoiceID(id) }()]
		binary.BigEndian.PutUint64(inv.id[:], uint64(i))
		ana.invoices[inv.id] = &inv
	}
	r := w.do(ana, create)
	if r.Err == nil || !strings.Contains(r.Err.Text, "100000") || !strings.Contains(r.Err.Text, "cancel") {
		t.Fatalf("one more than %d: %v", maxInvoices, r.Err)
	}
	id, _ := wire.ParseID16(first.ID)
	w.must(ana, &CancelInvoice{ID: wire.InvoiceID(id)})
	w.must(ana, create)
	if r := w.do(ana, create); r.Err == nil {
		t.Fatal("there was room for two")
	}
	for n, inv := range ana.invoices { // cancelled while there was room
		if n[0] == 0 && n[7]%2 == 0 {
			inv.state = pay.InvoiceCancelled
		}
	}
	w.now += timerEvery
	w.step(ana, Tick{})
	w.must(ana, create)
	if len(ana.invoices) > maxInvoices*51/100 {
		t.Errorf("%d invoices kept although half are cancelled", len(ana.invoices))
	}
}
