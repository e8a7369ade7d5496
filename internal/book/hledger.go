package book

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"kula/money"
	"kula/node"
)

// The accounts beside those of friends.
const (
	accountIncome      = "income:payments"
	accountEarned      = "income:fees"
	accountExpenses    = "expenses:payments"
	accountFees        = "expenses:fees"
	accountCarried     = "equity:carried"
	accountOutside     = "assets:outside"
	accountCorrections = "equity:corrections"
	accountOpening     = "equity:opening"
	accountCircle      = "equity:circle"
	friendsOf          = "friends:"
)

// Hledger writes the book as a journal of hledger; see the package comment.
func (b Book) Hledger(w io.Writer) error {
	s, err := b.survey()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(out, "; account book of a Kula node, rows 1 to %d\ndecimal-mark .\n", s.rows)
	for _, c := range slices.Sorted(maps.Keys(s.symbols)) {
		fmt.Fprintf(out, "commodity %s %s\n", format(c), s.symbols[c])
	}
	accounts := []string{
		accountIncome, accountEarned, accountExpenses, accountFees, accountCarried, accountOutside, accountCorrections, accountOpening, accountCircle,
	}
	for _, f := range sorted(s.friends) {
		accounts = append(accounts, friendsOf+f)
	}
	for _, a := range accounts {
		fmt.Fprintf(out, "account %s\n", a)
	}
	var date string
	err = b.each(s, func(r *node.Row) error {
		date = max(date, stamp(r.Time).Format(time.DateOnly))
		transaction(out, s, date, r)
		return nil
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// format is a currency's number format for its declaration.
func format(c money.Currency) string {
	return "1000." + strings.Repeat("0", c.Scale()) // without decimals hledger wants the point all the same
}

func stamp(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// posting is one line of a transaction.
type posting struct {
	account string
	amount  money.Amount
}

func transaction(out io.Writer, s *survey, date string, r *node.Row) {
	fmt.Fprintf(out, "\n%s %s  ; row:%d, time:%s", date, describe(r), r.Seq, stamp(r.Time).Format("2006-01-02T15:04:05.000Z"))
	if r.Payment != "" {
		fmt.Fprintf(out, ", payment:%s", plain(r.Payment))
	}
	symbol := s.symbols[r.Currency]
	fmt.Fprintf(out, "\n    %s%s  %s %s = %s %s\n", friendsOf, s.friends[r.Friend],
		number(r.Change, r.Currency), symbol, number(r.Balance, r.Currency), symbol)
	for _, p := range others(r) {
		fmt.Fprintf(out, "    %s  %s %s\n", p.account, number(p.amount, r.Currency), symbol)
	}
}

// others are the postings that make a row's transaction balance. A fee that does not fit
// its row is not split off.
func others(r *node.Row) []posting {
	rest, ok := r.Change.Neg()
	if !ok {
		return []posting{{accountCorrections, r.Change}} // no channel comes near it: hledger will say that it does not balance
	}
	split := func(whole, fee string, amount money.Amount) []posting {
		if amount == 0 {
			return []posting{{whole, rest}}
		}
		return []posting{{whole, rest - amount}, {fee, amount}}
	}
	switch r.Kind {
	case node.RowPayment:
		if r.Change > 0 {
			return []posting{{accountIncome, rest}}
		}
		if r.Fee < 0 || r.Fee > rest {
			return []posting{{accountExpenses, rest}}
		}
		return split(accountExpenses, accountFees, r.Fee)
	case node.RowCarried:
		if r.Fee < 0 || r.Fee > r.Change {
			return []posting{{accountCarried, rest}}
		}
		return split(accountCarried, accountEarned, -r.Fee)
	case node.RowSettlement:
		return []posting{{accountOutside, rest}}
	case node.RowOpening:
		return []posting{{accountOpening, rest}}
	case node.RowCircle:
		return []posting{{accountCircle, rest}}
	}
	return []posting{{accountCorrections, rest}}
}

// describe says in a line what a row is.
func describe(r *node.Row) string {
	text := string(r.Kind)
	if name := plain(r.Name); name != "" {
		switch {
		case r.Kind == node.RowPayment && r.Change > 0:
			text += " from " + name
		case r.Kind == node.RowPayment:
			text += " to " + name
		default:
			text += " " + name
		}
	}
	if t := plain(r.Text); t != "" {
		text += ": " + t
	}
	return text
}

// plain makes a text one that stays within its field: no line breaks, no semicolon (a
// comment), no bar (divides payee and note), no comma (ends a tag).
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029':
			return ' '
		case r == ';' || r == '|' || r == ',':
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
