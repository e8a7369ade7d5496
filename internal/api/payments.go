package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"kula/internal/run"
	"kula/money"
	"kula/node"
	"kula/wire"
)

const (
	// giveUp is how long other routes are tried unless the request says otherwise.
	giveUp = 30 * time.Second

	// pageSize is how long a page of a list is unless the request says otherwise, and
	// maxPage how long it may be: a page of payments with receipts is then 2 MiB.
	pageSize = 100
	maxPage  = 1000
)

// paymentOrder is the body of a payment or quote.
type paymentOrder struct {
	_        struct{}     `json:"-" additionalProperties:"false"`
	Invoice  string       `json:"invoice,omitempty" maxLength:"8192" example:"kula:invoice?d=…" doc:"What to pay; or to and amount."`
	To       string       `json:"to,omitempty" maxLength:"256" doc:"Whom to pay without an invoice: a friend, a key, or me."`
	Amount   *money.Value `json:"amount,omitempty" doc:"With to: how much. With invoice: must agree with it. A quote without an amount says how much at most."`
	MaxFee   *money.Value `json:"maxFee,omitempty" doc:"The highest fee that is fine; absent: none."`
	Route    []string     `json:"route,omitempty" maxItems:"20" doc:"Friends or keys after the payer, payee included; absent: find one."`
	MaxParts int          `json:"maxParts,omitempty" minimum:"0" maximum:"32" doc:"In how many parts, each over its own route, at most; 0 or absent: 8. With route: one."`
	GiveUpMs int64        `json:"giveUpMs,omitempty" minimum:"0" maximum:"86400000" doc:"How long other routes are tried; absent: 30 s."`
	WaitMs   int64        `json:"waitMs,omitempty" minimum:"0" doc:"How long the answer may wait for the payment to be paid, held or returned, at most 10 minutes."`
	Text     string       `json:"text,omitempty" maxLength:"280" doc:"Sealed to the payee, and in both account books."`
}

// PageParams are the parameters of a list.
type PageParams struct {
	Cursor string `query:"cursor" doc:"The next of the page before; absent: the first page."`
	Limit  int    `query:"limit" minimum:"0" maximum:"1000" doc:"How many at most; 0 or absent: 100."`
}

func (p PageParams) size() int {
	if p.Limit <= 0 {
		return pageSize
	}
	return min(p.Limit, maxPage)
}

// IDParam names a payment, invoice or token in a path.
type IDParam struct {
	ID string `path:"id"`
}

// registerPayments adds what is about payments of this node.
func (s *Server) registerPayments(a huma.API) {
	op := func(id, method, path, summary, more string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Description: more, Tags: []string{"payments"}}
	}
	add(a, mayPay, op("pay", "POST", "/v1/payments", "Pay", "The answer is the payment whatever became of it: paid, held, returned, or still waiting."), s.pay)
	add(a, mayPay.or(mayRead), op("quote", "POST", "/v1/quotes", "What would a payment take?", ""), s.quote)
	add(a, mayRead, op("listPayments", "GET", "/v1/payments", "Payments, the newest first", ""), s.payments)
	add(a, mayPay.or(mayRead), op("getPayment", "GET", "/v1/payments/{id}", "One payment", "With pay alone: one that this token made."), s.payment)
	add(a, mayPay, op("release", "POST", "/v1/payments/{id}/release", "Let the payee of a hold have it", "Of a payment that this token made."), s.release)
	add(a, mayPay.or(mayChange), op("cancelPayment", "POST", "/v1/payments/{id}/cancel", "Ask the payee to give a payment up", "With pay alone: one that this token made."), s.cancelPayment)
}

// command turns an order into the node's command.
func (o *paymentOrder) command() (*node.Pay, error) {
	c := &node.Pay{Invoice: o.Invoice, To: o.To, Route: o.Route, MaxParts: o.MaxParts, GiveUp: o.GiveUpMs, Text: o.Text}
	if (o.Invoice == "") == (o.To == "") {
		return nil, problem(http.StatusUnprocessableEntity, wire.BadRequest, "give either an invoice, or to and amount")
	}
	if c.GiveUp == 0 {
		c.GiveUp = giveUp.Milliseconds()
	}
	if o.Amount != nil {
		c.Value = *o.Amount
	}
	if o.MaxFee == nil {
		return c, nil
	}
	v, err := valueOf(c)
	if err != nil {
		return nil, err
	}
	if v.Currency != o.MaxFee.Currency && v.Currency != "" {
		return nil, problem(http.StatusUnprocessableEntity, wire.WrongCurrency, "a payment in %s with a maxFee of %s; both must be one currency", v.Currency, o.MaxFee)
	}
	c.MaxFee = &o.MaxFee.Amount
	return c, nil
}

// valueOf is what a payment pays: that of its invoice, whatever else it names, or the amount it names.
func valueOf(c *node.Pay) (money.Value, error) {
	if c.Invoice == "" {
		return c.Value, nil
	}
	_, i, err := c.Asked()
	if err != nil {
		return money.Value{}, problem(http.StatusBadRequest, wire.BadRequest, "the invoice: %v", err)
	}
	return money.Value{Amount: i.Amount, Currency: i.Currency}, nil
}

// mostCost is the most that a payment may cost, fee included.
func mostCost(c *node.Pay) (money.Value, error) {
	v, err := valueOf(c)
	if err != nil {
		return v, err
	}
	var fee money.Amount
	if c.MaxFee != nil {
		fee = *c.MaxFee
	}
	sum, ok := v.Amount.Add(fee)
	if v.Amount <= 0 || fee < 0 || !ok {
		return v, problem(http.StatusUnprocessableEntity, wire.WrongAmount, "an amount of %s with a fee of at most %d minor units is no payment", v, fee)
	}
	return money.Value{Amount: sum, Currency: v.Currency}, nil
}

func (s *Server) pay(ctx context.Context, in *struct {
	KeyHeader
	Body paymentOrder
}) (*body[*node.PaymentView], error) {
	c, err := in.Body.command()
	if err != nil {
		return nil, err
	}
	r := run.Request{Command: c, Wait: limitWait(in.Body.WaitMs)}
	in.Body.WaitMs = 0 // no part of what the key stands for
	if k := tokenOf(ctx); !k.owner {
		cost, err := mostCost(c)
		if err != nil {
			return nil, err
		}
		s.tokens.limit(&r, k, c, cost)
	}
	return once[node.PaymentView](ctx, s, in.IdempotencyKey, "pay", &in.Body, r)
}

// limit makes a request of a token with pay scopes set aside what it may cost.
func (t *Tokens) limit(r *run.Request, k *token, c *node.Pay, cost money.Value) {
	var h *hold
	_, id, _ := node.PriorKey(c)
	r.Admit = func(n *node.Node) error {
		if by := t.asking[id]; by != nil { // in this very batch, or while a way is sought
			return busyUnless(by == k)
		}
		if raw, err := wire.ParseID16(id); err == nil {
			if _, live := n.Payment(raw); live {
				by := t.holds[id]
				return busyUnless(by != nil && by.token == k)
			}
		}
		var err error
		if h, err = t.reserve(k, cost, time.Now()); err == nil && id != "" {
			t.asking[id] = k
		}
		return err
	}
	r.Save = func(value any, refusal *node.Error) []node.Record {
		if h == nil {
			return nil
		}
		delete(t.asking, id)
		p, _ := value.(*node.PaymentView)
		if refusal != nil {
			p = nil
		}
		return t.begun(h, p)
	}
}

// busyUnless admits a second payment of an invoice that is being paid only for the token that
// pays it: the node answers with the payment under way, for which enough is set aside.
func busyUnless(own bool) error {
	if own {
		return nil
	}
	return problem(http.StatusConflict, wire.InvoiceBusy, "this invoice is being paid already, and not by this token")
}

func (s *Server) quote(ctx context.Context, in *struct{ Body paymentOrder }) (*body[*node.QuoteView], error) {
	c, err := in.Body.command()
	if err != nil {
		return nil, err
	}
	c.Quote = true
	v, err := s.loop.Do(ctx, c)
	if err != nil {
		return nil, err
	}
	return answerWith(v.(*node.QuoteView)), nil
}

// Payments is the answer of GET /v1/payments.
type Payments struct {
	Payments []node.PaymentView `json:"payments"`
	Next     string             `json:"next" doc:"The cursor of the next page; empty: this is the last."`
}

func (s *Server) payments(ctx context.Context, in *PageParams) (*body[Payments], error) {
	var live []node.PaymentView
	if err := s.loop.View(ctx, func(n *node.Node) { live = n.Payments() }); err != nil {
		return nil, err
	}
	l, next, err := page(s.store, node.KindPaymentDone, *in, live, func(p *node.PaymentView) string { return p.ID }, node.DecodePayment)
	return answerWith(Payments{l, next}), err
}

// page merges what is live with what has ended, the newest (highest id) first. live was
// read before: what ends meanwhile is in both, and counts as ended.
func page[T any](store Store, kind string, in PageParams, live []T, id func(*T) string, decode func([]byte) (*T, error)) ([]T, string, error) {
	size := in.size()
	if _, err := wire.ParseID16(in.Cursor); in.Cursor != "" && err != nil {
		return nil, "", problem(http.StatusBadRequest, wire.BadRequest, "%.64q is no cursor of this list", in.Cursor)
	}
	records, err := store.List(kind, in.Cursor, size, true)
	if err != nil {
		return nil, "", err
	}
	out := make([]T, 0, len(records))
	ended := map[string]bool{}
	for _, r := range records {
		v, err := decode(r.Value)
		if err != nil {
			return nil, "", err
		}
		ended[r.Key] = true
		out = append(out, *v)
	}
	for i := range live {
		if key := id(&live[i]); !ended[key] && (in.Cursor == "" || key < in.Cursor) {
			out = append(out, live[i])
		}
	}
	slices.SortFunc(out, func(a, b T) int { return strings.Compare(id(&b), id(&a)) })
	if len(out) < size {
		return out, "", nil
	}
	out = out[:size]
	return out, id(&out[size-1]), nil
}

// mine says whether a token that may not read everything made a payment or invoice.
func (s *Server) mine(ctx context.Context, id string, all func(*token) bool) error {
	k := tokenOf(ctx)
	if k.owner || all(k) {
		return nil
	}
	ok, err := s.tokens.owns(k, id)
	if err == nil && !ok {
		err = problem(http.StatusNotFound, wire.NotFound, "this token made nothing with the id %.64q", id)
	}
	return err
}

func (s *Server) payment(ctx context.Context, in *struct {
	IDParam
	WaitParam
}) (*body[*node.PaymentView], error) {
	wait, err := in.duration()
	if err != nil {
		return nil, err
	}
	if err := s.mine(ctx, in.ID, mayRead.has); err != nil {
		return nil, err
	}
	p, err := s.findPayment(ctx, in.ID, wait)
	return answerWith(p), err
}

// findPayment finds a payment, live or ended, and waits until it is not waiting.
func (s *Server) findPayment(ctx context.Context, id string, wait time.Duration) (*node.PaymentView, error) {
	raw, err := parseID(id)
	if err != nil {
		return nil, err
	}
	var p *node.PaymentView
	look := func(n *node.Node) { p, _ = n.Payment(raw) }
	late := time.NewTimer(wait)
	defer late.Stop()
	var w *run.Watcher
	if wait > 0 {
		if w, err = s.loop.Watch(ctx, run.Topic{Payment: id}, look); err == nil {
			defer w.Close()
		}
	} else {
		err = s.loop.View(ctx, look)
	}
	if err != nil {
		return nil, err
	}
	if p == nil {
		return ended(s.store, node.KindPaymentDone, id, "payment", node.DecodePayment)
	}
	for wait > 0 && p.State == node.Waiting {
		select {
		case n, ok := <-w.C:
			if !ok {
				return s.findPayment(ctx, id, 0)
			}
			p = n.Payment
		case <-late.C:
			return p, nil
		case <-ctx.Done():
			return p, nil
		}
	}
	return p, nil
}

// parseID reads the id of a payment or invoice.
func parseID(id string) ([16]byte, error) {
	raw, err := wire.ParseID16(id)
	if err != nil {
		return raw, problem(http.StatusNotFound, wire.NotFound, "%.64q is no id: an id is 32 hex digits", id)
	}
	return raw, nil
}

// ended finds what has ended, by its id.
func ended[T any](store Store, kind, id, what string, decode func([]byte) (*T, error)) (*T, error) {
	value, ok, err := store.Get(kind, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, problem(http.StatusNotFound, wire.NotFound, "there is no %s %s", what, id)
	}
	return decode(value)
}

func (s *Server) release(ctx context.Context, in *struct {
	IDParam
	KeyHeader
}) (*body[*node.PaymentView], error) {
	raw, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.mine(ctx, in.ID, ownerAlone.has); err != nil {
		return nil, err
	}
	return once[node.PaymentView](ctx, s, in.IdempotencyKey, "release "+in.ID, nil, run.Request{Command: &node.Release{ID: raw}})
}

func (s *Server) cancelPayment(ctx context.Context, in *IDParam) (*body[*node.PaymentView], error) {
	raw, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.mine(ctx, in.ID, mayChange.has); err != nil {
		return nil, err
	}
	v, err := s.loop.Do(ctx, &node.CancelPayment{ID: raw})
	if err != nil {
		return nil, err
	}
	return answerWith(v.(*node.PaymentView)), nil
}
