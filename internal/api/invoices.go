package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"kula/internal/run"
	"kula/money"
	"kula/node"
	"kula/pay"
	"kula/wire"
)

// invoiceLife is how long an invoice can be paid unless it says otherwise.
const invoiceLife = time.Hour

// The bodies of requests about invoices.
type (
	invoiceOrder struct {
		_       struct{}    `json:"-" additionalProperties:"false"`
		Amount  money.Value `json:"amount"`
		Memo    string      `json:"memo,omitempty" maxLength:"280" doc:"What it is for; the payer sees it."`
		Expires int64       `json:"expires,omitempty" doc:"Unix seconds; absent: in an hour."`
		Hold    bool        `json:"hold,omitempty" doc:"The payer sets the money aside and releases it later."`
	}
	redemption struct {
		_       struct{} `json:"-" additionalProperties:"false"`
		Release string   `json:"release" maxLength:"8192" example:"kula:release?d=…"`
	}
)

// registerInvoices adds what is about asking for payments.
func (s *Server) registerInvoices(a huma.API) {
	op := func(id, method, path, summary, more string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Description: more, Tags: []string{"invoices"}}
	}
	own := "With ask alone: one that this token made."
	add(a, mayAsk, op("createInvoice", "POST", "/v1/invoices", "Ask for a payment", ""), s.createInvoice)
	add(a, mayRead, op("listInvoices", "GET", "/v1/invoices", "Invoices, the newest first", ""), s.invoices)
	add(a, mayRead.or(mayAsk), op("getInvoice", "GET", "/v1/invoices/{id}", "One invoice", "wait ends when it is not open any more. "+own), s.invoice)
	add(a, mayAsk.or(mayChange), op("cancelInvoice", "POST", "/v1/invoices/{id}/cancel", "Give an invoice up, and what is set aside for it", own), s.cancelInvoice)
	add(a, mayAsk.or(mayChange), op("redeem", "POST", "/v1/redemptions", "Collect a hold with the payer's release", own), s.redeem)
}

func (s *Server) createInvoice(ctx context.Context, in *struct{ Body invoiceOrder }) (*body[*node.InvoiceView], error) {
	o := &in.Body
	c := &node.CreateInvoice{Value: o.Amount, Memo: o.Memo, Expires: o.Expires, Hold: o.Hold}
	if c.Expires == 0 {
		c.Expires = time.Now().Add(invoiceLife).Unix()
	}
	r := run.Request{Command: c}
	if k := tokenOf(ctx); !k.owner {
		r.Save = func(value any, refusal *node.Error) []node.Record {
			if i, ok := value.(*node.InvoiceView); ok && refusal == nil {
				return []node.Record{k.own(i.ID)}
			}
			return nil
		}
	}
	v, err := s.loop.Exec(ctx, r)
	if err != nil {
		return nil, err
	}
	return answerWith(v.(*node.InvoiceView)), nil
}

// Invoices is the answer of GET /v1/invoices.
type Invoices struct {
	Invoices []node.InvoiceView `json:"invoices"`
	Next     string             `json:"next" doc:"The cursor of the next page; empty: this is the last."`
}

func (s *Server) invoices(ctx context.Context, in *PageParams) (*body[Invoices], error) {
	var live []node.InvoiceView
	if err := s.loop.View(ctx, func(n *node.Node) { live = n.Invoices() }); err != nil {
		return nil, err
	}
	l, next, err := page(s.store, node.KindInvoiceDone, *in, live, func(i *node.InvoiceView) string { return i.ID }, node.DecodeInvoice)
	return answerWith(Invoices{l, next}), err
}

func (s *Server) invoice(ctx context.Context, in *struct {
	IDParam
	WaitParam
}) (*body[*node.InvoiceView], error) {
	wait, err := in.duration()
	if err != nil {
		return nil, err
	}
	if err := s.mine(ctx, in.ID, mayRead.has); err != nil {
		return nil, err
	}
	i, err := s.findInvoice(ctx, in.ID, wait)
	return answerWith(i), err
}

// findInvoice finds an invoice, live or ended, and waits until it is not open.
func (s *Server) findInvoice(ctx context.Context, id string, wait time.Duration) (*node.InvoiceView, error) {
	raw, err := parseID(id)
	if err != nil {
		return nil, err
	}
	var i *node.InvoiceView
	look := func(n *node.Node) { i, _ = n.Invoice(raw) }
	late := time.NewTimer(wait)
	defer late.Stop()
	var w *run.Watcher
	if wait > 0 {
		if w, err = s.loop.Watch(ctx, run.Topic{Invoice: id}, look); err == nil {
			defer w.Close()
		}
	} else {
		err = s.loop.View(ctx, look)
	}
	if err != nil {
		return nil, err
	}
	if i == nil {
		return ended(s.store, node.KindInvoiceDone, id, "invoice", node.DecodeInvoice)
	}
	for wait > 0 && i.State == pay.InvoiceOpen.String() {
		select {
		case n, ok := <-w.C:
			if !ok {
				return s.findInvoice(ctx, id, 0)
			}
			i = n.Invoice
		case <-late.C:
			return i, nil
		case <-ctx.Done():
			return i, nil
		}
	}
	return i, nil
}

func (s *Server) cancelInvoice(ctx context.Context, in *IDParam) (*body[*node.InvoiceView], error) {
	raw, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.mine(ctx, in.ID, mayChange.has); err != nil {
		return nil, err
	}
	v, err := s.loop.Do(ctx, &node.CancelInvoice{ID: raw})
	if err != nil {
		return nil, err
	}
	return answerWith(v.(*node.InvoiceView)), nil
}

func (s *Server) redeem(ctx context.Context, in *struct {
	KeyHeader
	Body redemption
}) (*body[*node.InvoiceView], error) {
	r, err := pay.ParseReleaseLink(in.Body.Release)
	if err != nil {
		return nil, problem(http.StatusBadRequest, wire.BadRequest, "the release: %v", err)
	}
	id := r.Invoice.String()
	if err := s.mine(ctx, id, mayChange.has); err != nil {
		return nil, err
	}
	out, err := once[node.InvoiceView](ctx, s, in.IdempotencyKey, "redeem", &in.Body, run.Request{Command: &node.Redeem{Link: in.Body.Release}})
	if err == nil {
		return out, nil
	}
	// the payer's release may have come by itself before this one: then it is paid, which is what was wanted
	if i, lost := ended(s.store, node.KindInvoiceDone, id, "invoice", node.DecodeInvoice); lost == nil && i.State == pay.InvoicePaid.String() {
		return answerWith(i), nil
	}
	return nil, err
}
