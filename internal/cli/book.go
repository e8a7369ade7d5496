package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"kula/internal/api"
	"kula/wire"
)

func (a *app) bookCommand() *cobra.Command {
	return a.group("book", "Every change of every balance", a.bookListCommand(), a.bookVerifyCommand(), a.bookExportCommand())
}

type rowsView struct {
	Rows []api.BookRow `json:"rows"`
	Next string        `json:"next"`
}

func (a *app) bookListCommand() *cobra.Command {
	var q api.BookQuery
	c := a.command("list", "List the rows of the book, newest first", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if q.Currency != "" {
			currency, err := a.currencies().currency(ctx, q.Currency)
			if err != nil {
				return err
			}
			q.Currency = string(currency)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		rows, next, err := c.Book(ctx, q)
		if err != nil {
			return err
		}
		n := a.names(ctx, c)
		var b strings.Builder
		for i := range rows {
			b.WriteString(rowWords(&rows[i], n) + "\n")
		}
		if len(rows) == 0 {
			b.WriteString("No rows.")
			rows = []api.BookRow{}
		}
		a.print(rowsView{rows, next}, b.String()+more(next))
		return nil
	})
	c.Flags().StringVar(&q.Search, "search", "", "only rows with this text in them")
	c.Flags().StringVar(&q.Currency, "currency", "", "only this currency")
	c.Flags().StringVar(&q.Friend, "friend", "", "only with this friend")
	pageFlags(c, &q.Page)
	return c
}

// rowWords is one row: when, why, with whom, what changed, what is owed since.
func rowWords(r *api.BookRow, n names) string {
	friend := n.ofText(r.Friend)
	who := r.Name
	if who == "" {
		who = n.ofText(r.Counterparty)
	}
	if who == "" {
		who = friend
	}
	change := fmt.Sprintf("%s to you", magnitude(r.Change))
	if r.Change.Amount < 0 {
		change = fmt.Sprintf("%s from you", magnitude(r.Change))
	}
	extra := ""
	if r.Fee.Amount != 0 {
		extra += fmt.Sprintf("; fee %s", r.Fee)
	}
	if r.Text != "" {
		extra += fmt.Sprintf("; %q", r.Text)
	}
	return fmt.Sprintf("%s  %-10s  %s: %s; now %s%s", moment(r.Time), r.Kind, who, change, owes(friend, r.Balance), extra)
}

func (a *app) bookVerifyCommand() *cobra.Command {
	return a.command("verify", "Check that the book adds up", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		v, err := c.VerifyBook(ctx)
		if err != nil {
			return err
		}
		if !v.Valid {
			return &failure{code: wire.StorageFailed.String(), text: "the book does not add up:\n  " + strings.Join(v.Problems, "\n  "), result: v}
		}
		if v.Problems == nil {
			v.Problems = []string{}
		}
		a.print(v, fmt.Sprintf("The book adds up: %d rows, each follows from the one before, and together they are what is owed.", v.Rows))
		return nil
	})
}

// exportView is the export as an object.
type exportView struct {
	Format string `json:"format"`
	Text   string `json:"text"`
}

func (a *app) bookExportCommand() *cobra.Command {
	var format string
	c := a.command("export", "Write the whole book for another program", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if format != "hledger" && format != "csv" {
			return wrong("--format %q: there are hledger and csv", format)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		text, err := c.ExportBook(ctx, format)
		if err != nil {
			return err
		}
		if a.json {
			a.printJSON(exportView{format, text})
			return nil
		}
		_, err = io.WriteString(a.out, text)
		return err
	})
	c.Flags().StringVar(&format, "format", "", "hledger or csv")
	return c
}
