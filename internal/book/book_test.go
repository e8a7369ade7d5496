package book

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kula/ident"
	"kula/money"
	"kula/node"
)

const (
	eur  money.Currency = "EUR/2"
	mil  money.Currency = "MIL/3"
	mil0 money.Currency = "MIL/0"
	fst  money.Currency = "FST1/0"
)

var (
	ben  = ident.NewKey([32]byte{1}).ID()
	cleo = ident.NewKey([32]byte{2}).ID()
)

func names(id ident.ID) string {
	return map[ident.ID]string{ben: "Ben: the \"baker\" ; (of  Brno)", cleo: "=Cleo"}[id]
}

// rows is a book with every kind of row and texts that try to break out.
func rows() []node.Row {
	start := time.Date(2026, 2, 28, 23, 59, 59, 5e6, time.UTC).UnixMilli()
	list := []node.Row{
		{Kind: node.RowOpening, Friend: ben, Currency: eur, Change: 10_00, Text: "balance after a restore"},
		{Kind: node.RowPayment, Friend: ben, Counterparty: cleo, Name: "Cleo", Currency: eur, Change: -12_60, Fee: 20, Payment: "00ff", Text: "bread; \"2 loaves\" | x, y\nassets:outside  1000 EUR"},
		{Kind: node.RowPayment, Friend: ben, Name: "", Currency: eur, Change: 7_00, Payment: "01", Text: "=HYPERLINK(\"http://evil\")"},
		{Kind: node.RowCarried, Friend: ben, Currency: eur, Change: 1_05, Fee: 5, Name: "Ben"},
		{Kind: node.RowCarried, Friend: cleo, Currency: eur, Change: -1_00, Name: "Cleo"},
		{Kind: node.RowSettlement, Friend: ben, Currency: eur, Change: -2_00, Name: "Ben", Text: "cash"},
		{Kind: node.RowCorrection, Friend: cleo, Currency: eur, Change: 33, Name: "Cleo", Text: " +1"},
		{Kind: node.RowCircle, Friend: cleo, Currency: mil, Change: -1234, Text: "@x"},
		{Kind: node.RowPayment, Friend: cleo, Currency: mil0, Change: 5, Text: "-"},
		{Kind: node.RowPayment, Friend: cleo, Currency: fst, Change: -5, Fee: 9, Text: "a fee larger than the row"},
		{Kind: node.RowPayment, Friend: ben, Currency: eur, Change: -5, Text: "the clock was set back"},
	}
	balance := map[string]money.Amount{}
	var prev [32]byte
	for i := range list {
		r := &list[i]
		r.Seq, r.Time, r.Prev = uint64(i+1), start+int64(i)*1000, prev
		key := string(r.Friend[:]) + string(r.Currency)
		balance[key] += r.Change
		r.Balance = balance[key]
		prev = r.Hash()
	}
	list[len(list)-1].Time = start - 48*3600*1000
	return list
}

func bookOf(list []node.Row) Book {
	return Book{Name: names, Rows: func() iter.Seq2[node.Row, error] {
		return func(yield func(node.Row, error) bool) {
			for _, r := range list {
				if !yield(r, nil) {
					return
				}
			}
		}
	}}
}

// TestHledgerAcceptsTheJournal runs Debian's hledger over the journal: every assertion
// holds, everything is declared, and the figures are those of the book. Without hledger
// the test fails where KULA_NEED_HLEDGER is set (CI), and is skipped elsewhere.
func TestHledgerAcceptsTheJournal(t *testing.T) {
	path, err := exec.LookPath("hledger")
	if err != nil {
		if os.Getenv("KULA_NEED_HLEDGER") != "" {
			t.Fatal(err)
		}
		t.Skip("hledger is not installed")
	}
	var journal bytes.Buffer
	if err := bookOf(rows()).Hledger(&journal); err != nil {
		t.Fatal(err)
	}
	ask := func(args ...string) string {
		cmd := exec.Command(path, append([]string{"-f", "-"}, args...)...)
		cmd.Stdin = bytes.NewReader(journal.Bytes())
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "LANG=C.UTF-8")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("hledger %v: %v\n%s\n%s", args, err, out, journal.String())
		}
		return string(out)
	}
	ask("check", "--strict")
	got := ask("balance", "friends", "--flat", "--no-total", "-O", "csv")
	for _, want := range []string{"3.40 EUR", "-0.67 EUR", `-1.234 ""MIL/3""`, `5 ""MIL/0""`, `-5 ""FST1/0""`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
	if got := ask("balance", "equity:carried", "assets:outside", "income:fees", "expenses:fees", "--flat", "--no-total", "-O", "csv"); strings.Contains(got, "carried") ||
		!strings.Contains(got, `"assets:outside","2.00 EUR"`) || !strings.Contains(got, `"income:fees","-0.05 EUR"`) || !strings.Contains(got, `"expenses:fees","0.20 EUR"`) {
		t.Errorf("the other side:\n%s", got)
	}
}

// TestJournal looks at what needs no hledger: one transaction a row, and nothing that
// breaks out of its line.
func TestJournal(t *testing.T) {
	var journal strings.Builder
	if err := bookOf(rows()).Hledger(&journal); err != nil {
		t.Fatal(err)
	}
	transactions, last := 0, ""
	for _, l := range strings.Split(journal.String(), "\n") {
		if len(l) > 10 && l[4] == '-' && l[7] == '-' {
			transactions++
			if l[:10] < last {
				t.Errorf("%s after %s", l, last)
			}
			last = l[:10]
		}
		if strings.HasPrefix(strings.TrimSpace(l), "assets:outside  1000") {
			t.Errorf("a text became a posting: %q", l)
		}
	}
	if transactions != len(rows()) {
		t.Errorf("%d transactions, %d rows", transactions, len(rows()))
	}
}

// TestFriendsThatBeginAlike have different accounts.
func TestFriendsThatBeginAlike(t *testing.T) {
	a, b := ben, ben
	b[31] ^= 1
	friends := map[ident.ID]string{a: "", b: "", cleo: ""}
	(Book{}).nameFriends(friends)
	if friends[a] == friends[b] || friends[cleo] != cleo.Short() {
		t.Errorf("%v", friends)
	}
}

// TestCSV reads the table back: nothing is lost, no cell is a formula.
func TestCSV(t *testing.T) {
	var out bytes.Buffer
	if err := bookOf(rows()).CSV(&out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\r\n"); n < len(rows())+1 {
		t.Errorf("%d line ends", n)
	}
	table, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(table) != len(rows())+1 {
		t.Fatalf("%d lines, %v", len(table), err)
	}
	for i, r := range rows() {
		line := table[i+1]
		if line[8] != number(r.Change, r.Currency) || line[0] != fmt.Sprint(r.Seq) || line[7] != string(r.Currency) {
			t.Errorf("%q is not %+v", line, r)
		}
		if text := strings.TrimPrefix(line[12], "'"); text != strings.ReplaceAll(r.Text, "\r\n", "\n") {
			t.Errorf("text %q, was %q", line[12], r.Text)
		}
		for c, cell := range line {
			if money := c >= 8 && c <= 10; !money && cell != "" && strings.ContainsAny(strings.TrimLeft(cell, " ")[:1], "=+-@\t\r") {
				t.Errorf("%s of row %d is a formula: %q", table[0][c], i+1, cell)
			}
		}
	}
}

// TestDamageIsNamed: a book that cannot be read whole is no export.
func TestDamageIsNamed(t *testing.T) {
	damaged := errors.New("row 3 is damaged")
	b := Book{Rows: func() iter.Seq2[node.Row, error] {
		return func(yield func(node.Row, error) bool) {
			for _, r := range rows()[:2] {
				if !yield(r, nil) {
					return
				}
			}
			yield(node.Row{}, damaged)
		}
	}}
	for _, write := range []func(*bytes.Buffer) error{func(w *bytes.Buffer) error { return b.Hledger(w) }, func(w *bytes.Buffer) error { return b.CSV(w) }} {
		var w bytes.Buffer
		if err := write(&w); !errors.Is(err, damaged) || w.Len() != 0 {
			t.Errorf("%v, %d bytes", err, w.Len())
		}
	}
	var w bytes.Buffer
	if err := bookOf(nil).CSV(&w); err != nil || strings.Count(w.String(), "\r\n") != 1 {
		t.Errorf("an empty book: %q %v", w.String(), err)
	}
}

// FuzzTexts: whatever texts a row has, it stays one transaction and one line.
func FuzzTexts(f *testing.F) {
	f.Add("bread", "Ben", "01")
	f.Add("a\n    friends:x  1 EUR\n", ";|,", "=1")
	f.Fuzz(func(t *testing.T, text, name, payment string) {
		r := node.Row{Seq: 1, Kind: node.RowPayment, Friend: ben, Currency: eur, Change: -5, Balance: -5, Text: text, Name: name, Payment: payment}
		b := bookOf([]node.Row{r})
		b.Name = func(ident.ID) string { return name }
		var journal, table bytes.Buffer
		if err := errors.Join(b.Hledger(&journal), b.CSV(&table)); err != nil {
			t.Fatal(err)
		}
		_, tail, _ := strings.Cut(journal.String(), "\n\n")
		if n := strings.Count(tail, "\n"); n != 3 || strings.ContainsAny(tail, "\r\v\f\u0085\u2028\u2029") {
			t.Fatalf("%d lines:\n%q", n, tail)
		}
		if lines, err := csv.NewReader(&table).ReadAll(); err != nil || len(lines) != 2 {
			t.Fatalf("%d lines of CSV: %v", len(lines), err)
		}
	})
}
