// Package book writes the account book for other programs: as a journal of hledger and
// as CSV.
//
// # Journal
//
// Every row of the book is one transaction of the journal, in the order of the book:
//
//	2026-03-01 payment to Ben: bread  ; row:12, time:2026-03-01T10:00:00.000Z, payment:4f…
//	    friends:Ben ybndrfg8   -12.60 EUR = -20.00 EUR
//	    expenses:payments       12.40 EUR
//	    expenses:fees            0.20 EUR
//
// The account of a friend is "friends:" and its name, and the beginning of its key (the
// whole key where two friends begin alike), so that no two friends share one. Each of
// its postings asserts the balance after it: hledger recomputes the whole book. The other
// side is, by kind of row:
//
//	payment     income:payments or expenses:payments, the fee that was paid in expenses:fees
//	carried     equity:carried, which ends at 0; what was earned in income:fees
//	settlement  assets:outside: what was handed over outside Kula
//	correction, opening, circle   equity:corrections, equity:opening, equity:circle
//
// A currency is written as its code if the book has no other with this code and it has
// letters only, else as its whole spelling in quotes. Accounts and currencies are declared
// first, so that "hledger check --strict" passes. Dates are UTC, and never before that
// of the row before: hledger asserts in the order of dates, and clocks are set back now
// and then. The true time is in the tag time.
//
// # CSV
//
// RFC 4180: one head line, CRLF, fields quoted where needed. A text that a spreadsheet
// would take for a formula (it begins with = + - @ or a tab or line break, also after
// spaces) gets a ' before it. Amounts are plain decimal numbers, below zero with a minus.
//
// Both read the book twice, row by row, and hold no more in memory than what is known of
// friends and currencies. Rows that are added meanwhile are left out.
package book

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"kula/ident"
	"kula/money"
	"kula/node"
)

// Book is what is to be written.
type Book struct {
	Rows func() iter.Seq2[node.Row, error] // from row 1 on, whenever it is called
	Name func(ident.ID) string             // what a friend is called, "" if unknown
}

// survey is what the first reading finds out.
type survey struct {
	rows    uint64 // the last row to write
	friends map[ident.ID]string
	symbols map[money.Currency]string
}

// survey reads the book once.
func (b Book) survey() (*survey, error) {
	s := &survey{friends: map[ident.ID]string{}, symbols: map[money.Currency]string{}}
	for r, err := range b.Rows() {
		if err != nil {
			return nil, fmt.Errorf("read the book: %w", err)
		}
		if !r.Currency.Valid() {
			return nil, fmt.Errorf("row %d of the book has no currency: %q", r.Seq, string(r.Currency))
		}
		s.rows = r.Seq
		s.friends[r.Friend] = ""
		s.symbols[r.Currency] = ""
	}
	b.nameFriends(s.friends)
	nameSymbols(s.symbols)
	return s, nil
}

// each calls do for the rows that the survey saw.
func (b Book) each(s *survey, do func(*node.Row) error) error {
	if s.rows == 0 {
		return nil
	}
	for r, err := range b.Rows() {
		if err != nil {
			return fmt.Errorf("read the book: %w", err)
		}
		if err := do(&r); err != nil {
			return err
		}
		if r.Seq >= s.rows {
			return nil
		}
	}
	return fmt.Errorf("the book ended before row %d", s.rows)
}

// nameFriends finds a different account for each friend.
func (b Book) nameFriends(friends map[ident.ID]string) {
	short := map[string]int{}
	for id := range friends {
		short[id.Short()]++
	}
	for id := range friends {
		key := id.Short()
		if short[key] > 1 {
			key = id.String()
		}
		name := ""
		if b.Name != nil {
			name = accountName(b.Name(id))
		}
		friends[id] = strings.TrimSpace(name + " " + key)
	}
}

// accountName leaves of a name what may stand in an account: single spaces, no colons,
// and no character that begins something else in hledger's format.
func accountName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(":;()[]\"'=*!|@{}~#%\u00a0\u2028\u2029", r) {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// nameSymbols finds a different symbol for each currency.
func nameSymbols(symbols map[money.Currency]string) {
	codes := map[string]int{}
	for c := range symbols {
		codes[c.Code()]++
	}
	for c := range symbols {
		if code := c.Code(); codes[code] == 1 && strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
			symbols[c] = code
			continue
		}
		symbols[c] = `"` + string(c) + `"`
	}
}

// sorted are the values of a map in their order.
func sorted[K comparable](m map[K]string) []string { return slices.Sorted(maps.Values(m)) }

// number is an amount without its currency.
func number(a money.Amount, c money.Currency) string {
	n, _, _ := strings.Cut(money.Value{Amount: a, Currency: c}.String(), " ")
	return n
}
