package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"kula/ident"
	"kula/internal/book"
	"kula/internal/store"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// Book is the answer of GET /v1/book.
type Book struct {
	Rows []BookRow `json:"rows"`
	Next string    `json:"next" doc:"The cursor of the next page; empty: this is the last."`
}

// registerBook adds what is about the account book.
func (s *Server) registerBook(a huma.API) {
	op := func(id, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: "GET", Path: path, Summary: summary, Tags: []string{"book"}}
	}
	add(a, mayRead, op("listBook", "/v1/book", "Rows of the account book, the newest first"), s.book)
	add(a, mayRead, op("verifyBook", "/v1/book/verify", "Do the rows follow each other and add up to what friends owe?"), s.verify)
	export := op("exportBook", "/v1/book/export", "The whole book for other programs")
	export.Responses = plainText("text/plain", "text/csv")
	add(a, mayRead, export, s.export)
}

func (s *Server) book(ctx context.Context, in *struct {
	PageParams
	Search   string         `query:"search" maxLength:"280" doc:"Text in a row's text, name, currency, kind or payment."`
	Currency money.Currency `query:"currency" example:"EUR/2"`
	Friend   string         `query:"friend" doc:"Only this friend's rows: name or key."`
}) (*body[Book], error) {
	q := store.Query{Search: in.Search, Currency: in.Currency, Limit: in.size()}
	if in.Currency != "" && !in.Currency.Valid() {
		return nil, problem(http.StatusBadRequest, wire.UnknownCurrency, "%q is no currency; write e.g. EUR/2", string(in.Currency))
	}
	if in.Cursor != "" {
		before, err := strconv.ParseUint(in.Cursor, 10, 64)
		if err != nil || before == 0 {
			return nil, problem(http.StatusBadRequest, wire.BadRequest, "%.64q is no cursor of this list", in.Cursor)
		}
		q.Before = before
	}
	if in.Friend != "" {
		f, err := s.findFriend(ctx, in.Friend)
		if err != nil {
			return nil, err
		}
		q.Friend = f.Key
	}
	rows, next, err := s.store.Rows(q)
	if err != nil {
		return nil, err
	}
	b := Book{Rows: make([]BookRow, 0, len(rows))}
	for i := range rows {
		b.Rows = append(b.Rows, bookRow(&rows[i]))
	}
	if next != 0 {
		b.Next = strconv.FormatUint(next, 10)
	}
	return answerWith(b), nil
}

func bookRow(r *node.Row) BookRow {
	in := func(a money.Amount) money.Value { return money.Value{Amount: a, Currency: r.Currency} }
	v := BookRow{
		Seq: r.Seq, Time: r.Time, Kind: r.Kind, Friend: r.Friend.String(), Name: r.Name, Text: r.Text,
		Change: in(r.Change), Balance: in(r.Balance), Payment: r.Payment, Fee: in(r.Fee),
	}
	if r.Counterparty != (ident.ID{}) {
		v.Counterparty = r.Counterparty.String()
	}
	return v
}

// verify asks the loop where the book stands and reads it outside, so that payments go on meanwhile.
func (s *Server) verify(ctx context.Context, _ *none) (*body[Verified], error) {
	var book node.BookState
	if err := s.loop.View(ctx, func(n *node.Node) { book = n.Book() }); err != nil {
		return nil, err
	}
	v := Verified{Rows: int64(book.Seq), Problems: list(book.Check(s.store.Book()))}
	v.Valid = len(v.Problems) == 0
	return answerWith(v), nil
}

func (s *Server) export(ctx context.Context, in *struct {
	Format string `query:"format" required:"true" enum:"hledger,csv"`
}) (*huma.StreamResponse, error) {
	names := map[ident.ID]string{}
	err := s.loop.View(ctx, func(n *node.Node) {
		for _, f := range n.Friends() {
			names[f.Key] = f.Name
		}
	})
	if err != nil {
		return nil, err
	}
	b := book.Book{Rows: s.store.Book, Name: func(id ident.ID) string { return names[id] }}
	write, kind := b.Hledger, "text/plain; charset=utf-8"
	if in.Format == "csv" {
		write, kind = b.CSV, "text/csv; charset=utf-8; header=present"
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		_, w := humago.Unwrap(c)
		w.Header().Set("Content-Type", kind)
		if err := write(steady{w}); err != nil { // the status is sent: only a broken connection tells
			s.log.Error("the book's export broke off", "error", err)
			panic(http.ErrAbortHandler)
		}
	}}, nil
}
