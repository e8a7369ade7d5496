package store

import (
	"fmt"
	"iter"
	"math"
	"strings"

	"zombiezen.com/go/sqlite"

	"kula/ident"
	"kula/money"
	"kula/node"
)

// Query picks rows of the account book. The zero Query picks them all.
type Query struct {
	// Search is text that must be in the row's text, name, currency, kind or
	// payment id; upper and lower case are the same.
	Search   string
	Currency money.Currency // only this currency; "" for all
	Friend   ident.ID       // only this channel; zero for all
	Before   uint64         // only rows with a smaller Seq; 0 for all
	Limit    int            // at most so many rows, 1 to MaxPage; 0 is MaxPage
}

// filter is a Query ready for many rows.
type filter struct {
	Query
	search string
}

func newFilter(q Query) filter {
	if q.Limit <= 0 || q.Limit > MaxPage {
		q.Limit = MaxPage
	}
	if q.Before == 0 || q.Before > math.MaxInt64 {
		q.Before = math.MaxInt64
	}
	return filter{q, strings.ToLower(q.Search)}
}

func (f filter) takes(r node.Row) bool {
	if f.Currency != "" && f.Currency != r.Currency || f.Friend != (ident.ID{}) && f.Friend != r.Friend {
		return false
	}
	if f.search == "" {
		return true
	}
	for _, s := range [...]string{r.Text, r.Name, string(r.Currency), string(r.Kind), r.Payment} {
		if strings.Contains(strings.ToLower(s), f.search) {
			return true
		}
	}
	return false
}

// page collects the answer to a query.
type page struct {
	filter
	rows []node.Row
	next uint64
}

// add takes the next older row and says whether more are wanted. It reads one
// row past the limit, so that next is 0 when nothing is left.
func (p *page) add(r node.Row) bool {
	if !p.takes(r) {
		return true
	}
	if len(p.rows) == p.Limit {
		p.next = p.rows[len(p.rows)-1].Seq
		return false
	}
	p.rows = append(p.rows, r)
	return true
}

// Rows returns the rows that q picks, newest first, and the Before of the next
// page: 0 if there is none.
func (db *DB) Rows(q Query) (rows []node.Row, next uint64, err error) {
	p := page{filter: newFilter(q)}
	err = db.descend(p.Before, p.add)
	if err != nil {
		return nil, 0, fmt.Errorf("read the book: %w", err)
	}
	return p.rows, p.next, nil
}

// descend reads the rows below before, newest first: those of the windows, then
// those of the table.
func (db *DB) descend(before uint64, each func(node.Row) bool) error {
	conn, fresh, first, err := db.bookParts()
	if err != nil {
		return err
	}
	defer db.readers.put(conn)
	for i := len(fresh) - 1; i >= 0; i-- {
		if first+uint64(i) >= before {
			continue
		}
		r, err := parseStored(first+uint64(i), fresh[i].row, int64(fresh[i].sum))
		if err != nil || !each(r) {
			return err
		}
	}
	bind := func(s *sqlite.Stmt) { s.BindInt64(1, int64(min(before, first))) }
	return query(conn, "SELECT seq, row, sum FROM book WHERE seq < ? ORDER BY seq DESC", bind, func(s *sqlite.Stmt) (bool, error) {
		r, err := readRow(s)
		if err != nil {
			return false, err
		}
		return each(r), nil
	})
}

// Book iterates over the whole book from row 1 on. A pair with an error is the
// last: the error names the damaged or missing row. It does not check the chain
// of hashes: that is the business of who verifies the book.
func (db *DB) Book() iter.Seq2[node.Row, error] {
	return func(yield func(node.Row, error) bool) {
		more := true
		err := db.ascend(func(r node.Row) bool {
			more = yield(r, nil)
			return more
		})
		if err != nil && more {
			yield(node.Row{}, fmt.Errorf("read the book: %w", err))
		}
	}
}

func (db *DB) ascend(each func(node.Row) bool) error {
	conn, fresh, first, err := db.bookParts()
	if err != nil {
		return err
	}
	defer db.readers.put(conn)
	due, stopped := uint64(1), false
	take := func(r node.Row) (bool, error) {
		if r.Seq != due {
			return false, fmt.Errorf("%w: %v", ErrDamaged, missingRows(due, r.Seq-1))
		}
		due++
		stopped = !each(r)
		return !stopped, nil
	}
	bind := func(s *sqlite.Stmt) { s.BindInt64(1, int64(first)) }
	err = query(conn, "SELECT seq, row, sum FROM book WHERE seq < ? ORDER BY seq", bind, func(s *sqlite.Stmt) (bool, error) {
		r, err := readRow(s)
		if err != nil {
			return false, err
		}
		return take(r)
	})
	for i := 0; i < len(fresh) && err == nil && !stopped; i++ {
		var r node.Row
		if r, err = parseStored(first+uint64(i), fresh[i].row, int64(fresh[i].sum)); err == nil {
			_, err = take(r)
		}
	}
	return err
}

// bookParts returns the rows in the windows, the number of the first of them
// (above every row if there is none), and a connection for the rows before. The
// windows are read first: what is folded in between is in both, and the table
// is read only below first.
func (db *DB) bookParts() (conn *sqlite.Conn, fresh []stored, first uint64, err error) {
	db.mem.RLock()
	first = math.MaxInt64
	if db.frozen != nil && db.frozen.first != 0 {
		first = db.frozen.first
		fresh = append(fresh, db.frozen.rows...)
	}
	if db.active.first != 0 {
		first = min(first, db.active.first)
		fresh = append(fresh, db.active.rows...)
	}
	db.mem.RUnlock()
	conn, err = db.reader()
	return conn, fresh, first, err
}

// LastRow returns the newest row of the book and whether there is one.
func (db *DB) LastRow() (node.Row, bool, error) {
	if len(db.damage) > 0 {
		return node.Row{}, false, fmt.Errorf("read the last row of the book: %w: %v", ErrDamaged, db.damage[0])
	}
	db.write.Lock()
	defer db.write.Unlock()
	if db.closing {
		return node.Row{}, false, fmt.Errorf("read the last row of the book: %w", ErrClosed)
	}
	return db.last, db.last.Seq != 0, nil
}

// readRow reads and checks a row of seq, row, sum.
func readRow(s *sqlite.Stmt) (node.Row, error) {
	seq := uint64(s.ColumnInt64(0))
	for col, want := range []sqlite.ColumnType{sqlite.TypeInteger, sqlite.TypeBlob, sqlite.TypeInteger} {
		if got := s.ColumnType(col); got != want {
			return node.Row{}, rowFault(seq, fmt.Sprintf("column %d is %v, not %v", col+1, got, want))
		}
	}
	return parseStored(seq, blob(s, 1), s.ColumnInt64(2))
}

// parseStored checks a row that is stored under the number seq.
func parseStored(seq uint64, row []byte, sum int64) (node.Row, error) {
	if got := rowSum(row); int64(got) != sum {
		return node.Row{}, rowFault(seq, fmt.Sprintf("checksum %08x, stored is %08x", got, sum))
	}
	r, err := node.ParseRow(row)
	if err != nil {
		return node.Row{}, rowFault(seq, err.Error())
	}
	if r.Seq != seq {
		return node.Row{}, rowFault(seq, fmt.Sprintf("it is row %d, stored in the place of row %d", r.Seq, seq))
	}
	return r, nil
}

// rowError is a damaged row.
type rowError struct{ Problem }

func (e rowError) Error() string { return "damaged: " + e.Problem.String() }

func (e rowError) Is(target error) bool { return target == ErrDamaged }

func rowFault(seq uint64, what string) error {
	return rowError{Problem{bookKind, fmt.Sprint(seq), what}}
}
