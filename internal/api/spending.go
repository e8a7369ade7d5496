package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kula/money"
	"kula/node"
	"kula/wire"
)

// account is what was paid under one limit in the period that began at start, and what
// is set aside for payments that began in it.
type account struct {
	Start int64        `json:"start"` // unix seconds
	Spent money.Amount `json:"spent"` // minor units

	// asked is the part of Spent for requests without an outcome. It is not saved: what they
	// do is saved with their outcome, and before that nothing was done.
	asked money.Amount
}

// hold is what is set aside for one payment of a token. It belongs to the loop.
type hold struct {
	token  *token
	key    string  // of its record: the payment's id, "" before that is known
	Token  string  `json:"token"`
	Shares []share `json:"shares"`
}

// share is a hold's part in one account.
type share struct {
	Limit  int          `json:"limit"` // place in the token's limits
	Start  int64        `json:"start"` // of the period it counts in
	Amount money.Amount `json:"amount"`
}

func accountKey(k *token, place int) string { return k.id + "/" + strconv.Itoa(place) }

func (t *Tokens) loadAccount(r node.Record) error {
	id, place, _ := strings.Cut(r.Key, "/")
	k := t.byID[id]
	i, err := strconv.Atoi(place)
	if k == nil || err != nil || i < 0 || i >= len(k.accounts) {
		return fmt.Errorf("account %q belongs to no token", r.Key)
	}
	if err := json.Unmarshal(r.Value, &k.accounts[i]); err != nil {
		return fmt.Errorf("account %q: %w", r.Key, err)
	}
	return nil
}

// loadHolds reads what is set aside and settles what ended unnoticed.
func (t *Tokens) loadHolds() error {
	var settled []node.Record
	for r, err := range t.store.Load(kindHold) {
		if err != nil {
			return err
		}
		h := &hold{key: r.Key}
		if err := json.Unmarshal(r.Value, h); err != nil {
			return fmt.Errorf("hold %q: %w", r.Key, err)
		}
		h.token = t.byID[h.Token]
		if h.token == nil {
			settled = append(settled, node.Record{Kind: kindHold, Key: r.Key})
			continue
		}
		t.holds[r.Key] = h
		done, ok, err := t.store.Get(node.KindPaymentDone, r.Key)
		if err != nil {
			return err
		}
		if ok {
			p, err := node.DecodePayment(done)
			if err != nil {
				return fmt.Errorf("payment %s: %w", r.Key, err)
			}
			settled = append(settled, t.settle(p)...)
		}
	}
	if len(settled) == 0 {
		return nil
	}
	return t.store.Commit(settled, nil)
}

// reserve sets aside what a payment may cost at most, or says what is in the way.
func (t *Tokens) reserve(k *token, cost money.Value, now time.Time) (*hold, error) {
	if cost.Amount <= 0 {
		panic(fmt.Sprintf("api: set aside %s", cost)) // would make room for others
	}
	if k.revoked {
		return nil, problem(http.StatusUnauthorized, wire.NotAllowed, "this token was revoked")
	}
	h := &hold{token: k, Token: k.id}
	for i, l := range k.scope.limits {
		if l.value.Currency != cost.Currency {
			continue
		}
		a := &k.accounts[i]
		if start := l.period.start(now); start > a.Start {
			*a = account{Start: start}
		}
		if left := l.value.Amount - a.Spent; cost.Amount > left {
			return nil, spentUp(l, a.Spent, cost)
		}
		h.Shares = append(h.Shares, share{Limit: i, Start: a.Start, Amount: cost.Amount})
	}
	if len(h.Shares) == 0 {
		return nil, problem(http.StatusForbidden, wire.NotAllowed, "this token may not pay in %s; its scope is %s", cost.Currency, strings.Join(k.scope.words(), ", "))
	}
	for _, s := range h.Shares {
		k.accounts[s.Limit].Spent += s.Amount
		k.accounts[s.Limit].asked += s.Amount
	}
	return h, nil
}

// spentUp is the refusal with its figures.
func spentUp(l limit, spent money.Amount, cost money.Value) error {
	in := func(a money.Amount) *money.Value { return &money.Value{Amount: a, Currency: cost.Currency} }
	left := max(0, l.value.Amount-spent)
	p := problem(http.StatusForbidden, wire.AllowanceSpent,
		"this token may pay %s a %s; %s is paid or under way, so %s is left and %s (fees included) is too much. The owner can make a token with a higher limit",
		l.value, l.period, in(spent), in(left), cost)
	p.Reason = &node.ReasonView{Code: wire.AllowanceSpent, Text: p.Detail, Limit: in(l.value.Amount), Owed: in(spent), Left: in(left)}
	return p
}

// begun binds a hold to its payment, or gives it back if there will be none.
func (t *Tokens) begun(h *hold, p *node.PaymentView) []node.Record {
	for _, s := range h.Shares {
		if a := &h.token.accounts[s.Limit]; a.Start == s.Start {
			a.asked -= s.Amount
		}
	}
	if p == nil {
		h.giveBack(0)
		return nil
	}
	h.key = p.ID
	t.holds[p.ID] = h
	records := []node.Record{h.token.own(p.ID)}
	if p.State == node.Paid || p.State == node.Returned {
		return append(records, t.settle(p)...)
	}
	records = append(records, h.accounts()...)
	return append(records, node.Record{Kind: kindHold, Key: h.key, Value: mustJSON(h)})
}

// Tell implements run.Companion: what ended payments did not cost is given back.
func (t *Tokens) Tell(told []node.Notice) []node.Record {
	if len(t.holds) == 0 {
		return nil
	}
	var records []node.Record
	for _, n := range told {
		if p := n.Payment; p != nil && (p.State == node.Paid || p.State == node.Returned) {
			records = append(records, t.settle(p)...)
		}
	}
	return records
}

// settle ends the hold of a payment that is paid or returned.
func (t *Tokens) settle(p *node.PaymentView) []node.Record {
	h := t.holds[p.ID]
	if h == nil {
		return nil
	}
	delete(t.holds, p.ID)
	var cost money.Amount
	if p.State == node.Paid {
		cost = p.Amount.Amount + p.Fee.Amount
	}
	h.giveBack(cost)
	return append(h.accounts(), node.Record{Kind: kindHold, Key: h.key})
}

// giveBack returns to the accounts what the payment did not cost, where their period
// is still the same.
func (h *hold) giveBack(cost money.Amount) {
	for _, s := range h.Shares {
		if a := &h.token.accounts[s.Limit]; a.Start == s.Start {
			a.Spent -= s.Amount - cost
		}
	}
}

// accounts are the records of the accounts that a hold has a share in.
func (h *hold) accounts() []node.Record {
	if h.token.revoked {
		return nil
	}
	var records []node.Record
	for _, s := range h.Shares {
		a := h.token.accounts[s.Limit]
		a.Spent -= a.asked
		records = append(records, node.Record{Kind: kindSpent, Key: accountKey(h.token, s.Limit), Value: mustJSON(a)})
	}
	return records
}
