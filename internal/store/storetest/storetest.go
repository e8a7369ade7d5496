// Package storetest is the conformance suite of a store: what every
// implementation must do, whatever it keeps its bytes in. Run checks the
// behaviour with fixed examples; Same checks two stores against each other with
// batches from a seed.
package storetest

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"kula/ident"
	"kula/internal/store"
	"kula/money"
	"kula/node"
)

// Store is what the suite checks.
type Store interface {
	Commit(records []node.Record, rows []node.Row) error
	Load(kinds ...string) iter.Seq2[node.Record, error]
	Get(kind, key string) ([]byte, bool, error)
	List(kind, afterKey string, limit int, reverse bool) ([]node.Record, error)
	Rows(q store.Query) (rows []node.Row, next uint64, err error)
	Book() iter.Seq2[node.Row, error]
	LastRow() (node.Row, bool, error)
	Fsck() []store.Problem
	Close() error
}

// Maker makes stores for a test.
type Maker struct {
	New    func(t *testing.T) Store          // an empty one
	Reopen func(t *testing.T, s Store) Store // closes s and opens what it held
}

// Run runs the fixed examples as subtests of t.
func Run(t *testing.T, m Maker) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Maker)
	}{
		{"empty", empty}, {"put and delete", putDelete}, {"order", order}, {"list", list},
		{"refused batches", refused}, {"rows", rows}, {"search", search}, {"reopen", reopen}, {"closed", closed},
		{"values are copies", copies},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, m) })
	}
}

func put(kind, key, value string) node.Record {
	return node.Record{Kind: kind, Key: key, Value: append([]byte{}, value...)}
}

func remove(kind, key string) node.Record { return node.Record{Kind: kind, Key: key} }

func commit(t *testing.T, s Store, records []node.Record, rows []node.Row) {
	t.Helper()
	if err := s.Commit(records, rows); err != nil {
		t.Fatal(err)
	}
}

// collect reads an iteration into a slice.
func collect[T any](t *testing.T, seq iter.Seq2[T, error]) (all []T) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func empty(t *testing.T, m Maker) {
	s := m.New(t)
	commit(t, s, nil, nil)
	equal(t, "records", collect(t, s.Load()), []node.Record(nil))
	equal(t, "book", collect(t, s.Book()), []node.Row(nil))
	if _, ok, err := s.LastRow(); ok || err != nil {
		t.Fatalf("last row of an empty book: %v, %v", ok, err)
	}
	if value, ok, err := s.Get("a", "b"); value != nil || ok || err != nil {
		t.Fatalf("get from an empty store: %q, %v, %v", value, ok, err)
	}
	equal(t, "problems", s.Fsck(), []store.Problem(nil))
}

func putDelete(t *testing.T, m Maker) {
	s := m.New(t)
	commit(t, s, []node.Record{
		put("a", "1", "one"), put("a", "1", "uno"), put("a", "2", ""), put("a", "3", "x"), remove("a", "3"),
		remove("a", "4"), put("a", "4", "y"), remove("a", "never"), put("b", "\x00\xff", "binary\x00key"),
	}, nil)
	for key, want := range map[string]string{"1": "uno", "2": "", "4": "y"} {
		value, ok, err := s.Get("a", key)
		if err != nil || !ok || value == nil || string(value) != want {
			t.Errorf("a %s: %q, %v, %v; want %q", key, value, ok, err, want)
		}
	}
	for _, gone := range []string{"3", "never"} {
		if _, ok, err := s.Get("a", gone); ok || err != nil {
			t.Errorf("a %s: %v, %v; want none", gone, ok, err)
		}
	}
	commit(t, s, []node.Record{remove("a", "1")}, nil)
	equal(t, "records", collect(t, s.Load()), []node.Record{put("a", "2", ""), put("a", "4", "y"), put("b", "\x00\xff", "binary\x00key")})
}

func order(t *testing.T, m Maker) {
	s := m.New(t)
	commit(t, s, []node.Record{
		put("b", "2", "b2"), put("b", "10", "b10"), put("a", "\xff", "aff"), put("a", "\x7f", "a7f"), put("c", "c", "cc"),
	}, nil)
	a, b := []node.Record{put("a", "\x7f", "a7f"), put("a", "\xff", "aff")}, []node.Record{put("b", "10", "b10"), put("b", "2", "b2")}
	equal(t, "all", collect(t, s.Load()), slices.Concat(a, b, []node.Record{put("c", "c", "cc")}))
	equal(t, "b and a", collect(t, s.Load("b", "a", "b", "none")), slices.Concat(a, b))
	for r, err := range s.Load() {
		equal(t, "first", r, a[0])
		if err != nil {
			t.Fatal(err)
		}
		break
	}
}

func list(t *testing.T, m Maker) {
	s := m.New(t)
	var all []node.Record
	for i := range 25 {
		all = append(all, put("p", fmt.Sprintf("%02d", i), fmt.Sprint(i)))
	}
	commit(t, s, append([]node.Record{put("o", "zz", ""), put("q", "00", "")}, all...), nil)
	s = m.Reopen(t, s)
	commit(t, s, []node.Record{put("p", "05", "five"), remove("p", "10"), put("p", "99", "last")}, nil)
	all[5].Value = []byte("five")
	all = append(slices.Delete(all, 10, 11), put("p", "99", "last"))
	for _, reverse := range []bool{false, true} {
		var got []node.Record
		for after := ""; ; {
			page, err := s.List("p", after, 7, reverse)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			if len(page) > 7 {
				t.Fatalf("a page of %d records, at most 7 wanted", len(page))
			}
			got = append(got, page...)
			after = page[len(page)-1].Key
		}
		equal(t, fmt.Sprintf("pages, reverse %v", reverse), got, all)
		slices.Reverse(all)
	}
	for what, page := range map[string][]node.Record{"limit 0": must(s.List("p", "", 0, false)), "no such kind": must(s.List("x", "", 9, false)),
		"after the end": must(s.List("p", "99", 9, false)), "before the start": must(s.List("p", "00", 9, true))} {
		if len(page) != 0 {
			t.Errorf("%s: %v", what, page)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func refused(t *testing.T, m Maker) {
	s := m.New(t)
	book := chain(nil, 3)
	commit(t, s, []node.Record{put("a", "1", "x")}, book[:1])
	for name, batch := range map[string]struct {
		records []node.Record
		rows    []node.Row
	}{
		"no kind":      {[]node.Record{put("", "1", "x")}, nil},
		"no key":       {[]node.Record{put("a", "", "x")}, nil},
		"long key":     {[]node.Record{put("a", string(make([]byte, 1025)), "x")}, nil},
		"gap":          {[]node.Record{put("a", "1", "y")}, book[2:]},
		"row again":    {[]node.Record{put("a", "1", "y")}, book[:1]},
		"rows swapped": {nil, []node.Row{book[2], book[1]}},
	} {
		if err := s.Commit(batch.records, batch.rows); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	commit(t, s, nil, book[1:]) // a refused batch changes nothing and does no harm
	equal(t, "records", collect(t, s.Load()), []node.Record{put("a", "1", "x")})
	equal(t, "book", collect(t, s.Book()), book)
}

// chain continues a book by n rows.
func chain(book []node.Row, n int) []node.Row {
	book = slices.Clip(book)
	for range n {
		row := node.Row{Seq: 1, Kind: node.RowPayment, Currency: "EUR/2", Friend: ident.ID{1}}
		if len(book) > 0 {
			last := book[len(book)-1]
			row.Seq, row.Prev = last.Seq+1, last.Hash()
		}
		row.Time, row.Change, row.Text = int64(row.Seq)*1000, money.Amount(row.Seq), fmt.Sprint("text ", row.Seq)
		book = append(book, row)
	}
	return book
}

func rows(t *testing.T, m Maker) {
	s := m.New(t)
	book := chain(nil, 60)
	commit(t, s, nil, book[:20])
	s = m.Reopen(t, s)
	commit(t, s, nil, book[20:21])
	commit(t, s, nil, book[21:])
	equal(t, "book", collect(t, s.Book()), book)
	last, ok, err := s.LastRow()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	equal(t, "last row", last, book[59])
	var got []node.Row
	pages := 0
	for q := (store.Query{Limit: 20}); ; pages++ {
		page, next, err := s.Rows(q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		if next == 0 {
			break
		}
		q.Before = next
	}
	slices.Reverse(got)
	equal(t, "pages", got, book)
	equal(t, "number of pages before the last", pages, 2)
	equal(t, "problems", s.Fsck(), []store.Problem(nil))
}

func search(t *testing.T, m Maker) {
	s := m.New(t)
	book := chain(nil, 6)
	book[0].Text = "Zwölf BRÖTCHEN"
	book[1].Name, book[1].Currency = "Änne", "HOUR/2"
	book[2].Kind, book[2].Friend = node.RowSettlement, ident.ID{7}
	book[3].Payment = "pay-Xyz"
	book[4].Text, book[4].Friend = "brötchen", ident.ID{7}
	commit(t, s, nil, book)
	for name, c := range map[string]struct {
		q    store.Query
		want []uint64
	}{
		"text, other case":     {store.Query{Search: "brötchen"}, []uint64{5, 1}},
		"name":                 {store.Query{Search: "ÄNN"}, []uint64{2}},
		"currency as text":     {store.Query{Search: "hour"}, []uint64{2}},
		"kind":                 {store.Query{Search: "settle"}, []uint64{3}},
		"payment":              {store.Query{Search: "XYZ"}, []uint64{4}},
		"currency":             {store.Query{Currency: "HOUR/2"}, []uint64{2}},
		"friend":               {store.Query{Friend: ident.ID{7}}, []uint64{5, 3}},
		"friend and text":      {store.Query{Friend: ident.ID{7}, Search: "b"}, []uint64{5}},
		"before":               {store.Query{Before: 3}, []uint64{2, 1}},
		"before the first":     {store.Query{Before: 1}, nil},
		"limit":                {store.Query{Limit: 2}, []uint64{6, 5}},
		"nothing":              {store.Query{Search: "nowhere"}, nil},
		"a text does not join": {store.Query{Search: "payEUR"}, nil},
	} {
		got, next, err := s.Rows(c.q)
		if err != nil {
			t.Fatal(err)
		}
		var seqs []uint64
		for _, r := range got {
			seqs = append(seqs, r.Seq)
		}
		equal(t, name, seqs, c.want)
		if (next != 0) != (name == "limit") {
			t.Errorf("%s: next page before %d", name, next)
		}
	}
	found := 0
	for q := (store.Query{Search: "text", Limit: 1}); ; {
		page, next, err := s.Rows(q)
		if err != nil {
			t.Fatal(err)
		}
		found += len(page)
		if next == 0 {
			break
		}
		q.Before = next
	}
	equal(t, "rows with text, one a page", found, 4)
}

func reopen(t *testing.T, m Maker) {
	s := m.New(t)
	book := chain(nil, 4)
	for i, row := range book {
		commit(t, s, []node.Record{put("n", fmt.Sprint(i), "v"), remove("n", fmt.Sprint(i-2))}, []node.Row{row})
		s = m.Reopen(t, s)
	}
	equal(t, "records", collect(t, s.Load("n")), []node.Record{put("n", "2", "v"), put("n", "3", "v")})
	equal(t, "book", collect(t, s.Book()), book)
	equal(t, "problems", s.Fsck(), []store.Problem(nil))
}

func closed(t *testing.T, m Maker) {
	s := m.New(t)
	commit(t, s, []node.Record{put("a", "1", "x")}, chain(nil, 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, getErr := s.Get("a", "1")
	_, listErr := s.List("a", "", 1, false)
	_, _, rowsErr := s.Rows(store.Query{})
	_, _, lastErr := s.LastRow()
	var loadErr, bookErr error
	for _, err := range s.Load() {
		loadErr = err
	}
	for _, err := range s.Book() {
		bookErr = err
	}
	for name, err := range map[string]error{
		"Commit": s.Commit([]node.Record{put("a", "1", "y")}, nil), "Get": getErr, "List": listErr, "Rows": rowsErr,
		"LastRow": lastErr, "Load": loadErr, "Book": bookErr, "Close": s.Close(),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if len(s.Fsck()) == 0 {
		t.Error("Fsck after Close finds nothing wrong")
	}
}

// copies checks that neither side sees what the other does to its bytes.
func copies(t *testing.T, m Maker) {
	s := m.New(t)
	value := []byte("abc")
	commit(t, s, []node.Record{{Kind: "a", Key: "1", Value: value}}, nil)
	value[0] = 'X'
	for range 2 {
		got, _, err := s.Get("a", "1")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "value", string(got), "abc")
		got[1] = 'X'
		loaded := collect(t, s.Load("a"))
		loaded[0].Value[2] = 'X'
		page := must(s.List("a", "", 1, false))
		page[0].Value[0] = 'X'
	}
}

// Same commits batches from a seed to both stores and compares everything that
// can be read. After every tenth batch both are reopened.
func Same(t *testing.T, a, b Maker, seed uint64, batches int) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	sa, sb := a.New(t), b.New(t)
	var book []node.Row
	for i := range batches {
		records := randomRecords(rnd)
		fresh := chain(book[max(len(book), 1)-1:], rnd.IntN(4))[min(len(book), 1):]
		for j := range fresh {
			fresh[j].Friend = ident.ID{byte(rnd.IntN(3))}
			if j > 0 {
				fresh[j].Prev = fresh[j-1].Hash()
			}
		}
		book = append(book, fresh...)
		commit(t, sa, records, fresh)
		commit(t, sb, records, fresh)
		if i%10 == 9 {
			sa, sb = a.Reopen(t, sa), b.Reopen(t, sb)
		}
		compare(t, fmt.Sprintf("seed %d, batch %d", seed, i), rnd, sa, sb)
	}
}

func randomRecords(rnd *rand.Rand) []node.Record {
	var records []node.Record
	for range rnd.IntN(12) {
		r := node.Record{Kind: fmt.Sprint("kind", rnd.IntN(3)), Key: fmt.Sprint(rnd.IntN(20))}
		if rnd.IntN(2) == 0 {
			r.Value = make([]byte, rnd.IntN(300))
			for i := range r.Value {
				r.Value[i] = byte(rnd.Uint32())
			}
		}
		records = append(records, r)
	}
	return records
}

func compare(t *testing.T, when string, rnd *rand.Rand, a, b Store) {
	t.Helper()
	equal(t, when+": all records", collect(t, a.Load()), collect(t, b.Load()))
	equal(t, when+": some kinds", collect(t, a.Load("kind2", "kind0")), collect(t, b.Load("kind2", "kind0")))
	equal(t, when+": book", collect(t, a.Book()), collect(t, b.Book()))
	kind, key, limit, reverse := fmt.Sprint("kind", rnd.IntN(3)), fmt.Sprint(rnd.IntN(20)), rnd.IntN(9), rnd.IntN(2) == 0
	equal(t, when+": get", must2(a.Get(kind, key)), must2(b.Get(kind, key)))
	equal(t, when+": list", must(a.List(kind, key, limit, reverse)), must(b.List(kind, key, limit, reverse)))
	equal(t, when+": list from the end", must(a.List(kind, "", limit, reverse)), must(b.List(kind, "", limit, reverse)))
	q := store.Query{Friend: ident.ID{byte(rnd.IntN(3))}, Before: uint64(rnd.IntN(40)), Limit: rnd.IntN(9), Search: fmt.Sprint(rnd.IntN(4))}
	equal(t, when+": rows", must2(a.Rows(q)), must2(b.Rows(q)))
	equal(t, when+": last row", must2(a.LastRow()), must2(b.LastRow()))
	equal(t, when+": problems", a.Fsck(), []store.Problem(nil))
	equal(t, when+": problems of the second", b.Fsck(), []store.Problem(nil))
}

// must2 joins two results into one value.
func must2[A, B any](a A, b B, err error) any {
	if err != nil {
		panic(err)
	}
	return [2]any{a, b}
}
