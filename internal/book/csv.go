package book

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"kula/ident"
	"kula/node"
)

// columns is the head line of the CSV. New columns are added at the end.
var columns = []string{
	"row", "time", "kind", "friend", "friend_key", "counterparty", "counterparty_key", "currency",
	"change", "balance", "fee", "payment", "text",
}

// CSV writes the book as comma separated values; see the package comment.
func (b Book) CSV(w io.Writer) error {
	s, err := b.survey()
	if err != nil {
		return err
	}
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(columns); err != nil {
		return err
	}
	err = b.each(s, func(r *node.Row) error {
		name := ""
		if b.Name != nil {
			name = b.Name(r.Friend)
		}
		other := ""
		if r.Counterparty != (ident.ID{}) {
			other = r.Counterparty.String()
		}
		return out.Write([]string{
			strconv.FormatUint(r.Seq, 10), stamp(r.Time).Format("2006-01-02T15:04:05.000Z"), cell(string(r.Kind)),
			cell(name), r.Friend.String(), cell(r.Name), other, string(r.Currency),
			number(r.Change, r.Currency), number(r.Balance, r.Currency), number(r.Fee, r.Currency),
			cell(r.Payment), cell(r.Text),
		})
	})
	if err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

// cell makes a text one that no spreadsheet takes for a formula.
func cell(s string) string {
	t := strings.TrimLeft(s, " \u00a0\u3000")
	if t == "" {
		return s
	}
	switch r := []rune(t)[0]; r {
	case '=', '+', '-', '@', '\t', '\r', '\n', '|', '%', '＝', '＋', '－', '＠':
		return "'" + s
	}
	return s
}
