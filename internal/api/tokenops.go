package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"kula/internal/run"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// tokenOrder is the body of POST /v1/tokens.
type tokenOrder struct {
	_     struct{} `json:"-" additionalProperties:"false"`
	Scope []string `json:"scope" minItems:"1" maxItems:"32" example:"[\"read\",\"ask\",\"pay=50EUR/day\"]" doc:"read, ask, configure, pay=AMOUNT or pay=AMOUNT/day, /week, /month, /year."`
	Name  string   `json:"name,omitempty" maxLength:"64" doc:"What the token is for."`
}

// TokenState is a token with what it has paid.
type TokenState struct {
	TokenView
	Spending []Spending `json:"spending"`
}

// Spending is how far one pay scope is used up.
type Spending struct {
	Limit  money.Value `json:"limit"`
	Period string      `json:"period" enum:"day,week,month,year"`
	Since  int64       `json:"since" doc:"Unix seconds: when this period began."`
	Spent  money.Value `json:"spent" doc:"Paid or under way in this period."`
	Left   money.Value `json:"left"`
}

// TokenList is the answer of GET /v1/tokens.
type TokenList struct {
	Tokens []TokenState `json:"tokens"`
}

// registerTokens adds what is about tokens.
func (s *Server) registerTokens(a huma.API) {
	op := func(id, method, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"tokens"}}
	}
	add(a, ownerAlone, op("createToken", "POST", "/v1/tokens", "Make a token with a scope; its text is shown once"), s.createToken)
	add(a, ownerAlone, op("listTokens", "GET", "/v1/tokens", "All tokens but the owner's, and what they have paid"), s.listTokens)
	revoke := op("revokeToken", "DELETE", "/v1/tokens/{id}", "End a token")
	revoke.DefaultStatus = http.StatusNoContent
	add(a, ownerAlone, revoke, s.revokeToken)
}

func (s *Server) createToken(ctx context.Context, in *struct{ Body tokenOrder }) (*body[TokenView], error) {
	var currencies []money.Currency
	if err := s.loop.View(ctx, func(n *node.Node) { currencies = n.Currencies() }); err != nil {
		return nil, err
	}
	sc, err := parseScope(in.Body.Scope, func(code string) []money.Currency {
		var fit []money.Currency
		for _, c := range currencies {
			if c.Code() == code {
				fit = append(fit, c)
			}
		}
		return fit
	})
	if err == nil {
		err = wire.CleanText(in.Body.Name, wire.MaxName)
	}
	if err != nil {
		return nil, problem(http.StatusUnprocessableEntity, wire.BadRequest, "%v", err)
	}
	secret, k, record := draft(in.Body.Name, sc, time.Now())
	_, err = s.loop.Exec(ctx, run.Request{Save: func(any, *node.Error) []node.Record { return []node.Record{record} }})
	if err != nil {
		return nil, err
	}
	s.tokens.add(k)
	v := k.view()
	v.Token = secret
	return answerWith(v), nil
}

func (k *token) view() TokenView {
	return TokenView{ID: k.id, Name: k.name, Scope: k.scope.words(), Created: k.created}
}

func (s *Server) listTokens(ctx context.Context, _ *none) (*body[TokenList], error) {
	l := TokenList{Tokens: []TokenState{}}
	err := s.loop.View(ctx, func(*node.Node) {
		now := time.Now()
		for _, k := range s.tokens.list() {
			l.Tokens = append(l.Tokens, TokenState{k.view(), k.spending(now)})
		}
	})
	return answerWith(l), err
}

// spending tells how far each pay scope is used up. The loop calls it.
func (k *token) spending(now time.Time) []Spending {
	out := []Spending{}
	for i, l := range k.scope.limits {
		a := k.accounts[i]
		if start := l.period.start(now); start > a.Start {
			a = account{Start: start}
		}
		in := func(m money.Amount) money.Value { return money.Value{Amount: m, Currency: l.value.Currency} }
		out = append(out, Spending{Limit: l.value, Period: string(l.period), Since: a.Start, Spent: in(a.Spent), Left: in(l.value.Amount - a.Spent)})
	}
	return out
}

func (s *Server) revokeToken(ctx context.Context, in *IDParam) (*struct{}, error) {
	found := false
	_, err := s.loop.Exec(ctx, run.Request{Save: func(any, *node.Error) []node.Record {
		records := s.tokens.revoke(in.ID)
		found = len(records) > 0
		return records
	}})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, problem(http.StatusNotFound, wire.NotFound, "there is no token %.64q", in.ID)
	}
	s.tokens.remove(in.ID)
	return nil, nil
}
