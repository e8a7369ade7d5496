package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"kula/internal/run"
	"kula/node"
	"kula/wire"
)

// Problem is an error as RFC 9457 has it, with Kula's code.
type Problem struct {
	Type   string           `json:"type" example:"about:blank" doc:"Always about:blank: code says what went wrong."`
	Title  string           `json:"title" example:"Conflict" doc:"The HTTP status in words."`
	Status int              `json:"status" example:"409" doc:"The HTTP status."`
	Detail string           `json:"detail" example:"you have paid this invoice already" doc:"What stood in the way, the numbers, and who can change it."`
	Code   wire.Code        `json:"code" example:"invoice_paid" doc:"What went wrong, for programs."`
	Reason *node.ReasonView `json:"reason,omitempty" doc:"Figures, where there are some."`
}

// Error is the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus makes huma answer with the problem's status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType makes huma answer with the media type of problems.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func problem(status int, code wire.Code, format string, args ...any) *Problem {
	return &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code,
		Detail: fmt.Sprintf(format, args...),
	}
}

// statusOf is the HTTP status of a node's refusal: 4xx says what kind of no it is, and
// all that have no better one are a conflict with how things stand.
func statusOf(code wire.Code) int {
	switch code {
	case wire.NotFound, wire.UnknownFriend:
		return http.StatusNotFound
	case wire.BadRequest, wire.UnknownCurrency:
		return http.StatusBadRequest
	case wire.WrongAmount, wire.WrongCurrency, wire.BadSignature, wire.KeyReused:
		return http.StatusUnprocessableEntity
	case wire.NotAllowed, wire.AllowanceSpent:
		return http.StatusForbidden
	case wire.StorageFailed:
		return http.StatusInternalServerError
	case wire.NodeNotRunning, wire.IndexUnreachable:
		return http.StatusServiceUnavailable
	}
	return http.StatusConflict
}

func refused(e *node.Error) *Problem {
	p := problem(statusOf(e.Code), e.Code, "%s", e.Text)
	p.Reason = e.Reason
	return p
}

// problemOf turns the error of a loop, a store or a context into a Problem.
func problemOf(err error) error {
	var p *Problem
	var no *node.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &no):
		return refused(no)
	case errors.Is(err, run.ErrStopped):
		return problem(http.StatusServiceUnavailable, wire.NodeNotRunning, "%v", err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, wire.NodeNotRunning, "the request ended before its answer")
	}
	return problem(http.StatusInternalServerError, wire.StorageFailed, "%v", err)
}

// asProblem is a huma transformer: huma's own errors (a body that is no JSON, a member
// that is missing) become Problems too. It leaves out the values huma quotes: they may
// be somebody's secrets.
func asProblem(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	detail := m.Detail
	for i, e := range m.Errors {
		if e == nil || i == 5 {
			continue
		}
		detail += "; " + strings.TrimPrefix(e.Location+": "+e.Message, ": ")
	}
	code := wire.BadRequest
	if m.Status >= 500 {
		code = wire.StorageFailed
	}
	return problem(m.Status, code, "%s", detail), nil
}
