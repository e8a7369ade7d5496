package store

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kula/node"
)

// Kinds of a Problem that are not kinds of records.
const (
	bookKind   = "book"   // the key is the number of a row
	batchKind  = "batch"  // the key is the number of a batch in the log
	stateKind  = "state"  // what the database says about the log; no key
	sqliteKind = "sqlite" // the database file; no key
)

// Problem names something damaged: a record by its kind and key as they were
// found, a row of the book ("book" and its number), a batch of the log ("batch"
// and its number), the row that says how far the log is folded ("state"), or the
// database file itself ("sqlite").
type Problem struct {
	Kind string
	Key  string
	What string
}

func (p Problem) String() string {
	switch {
	case p.Key == "":
		return p.Kind + ": " + p.What
	case p.Kind == bookKind:
		return fmt.Sprintf("book row %s: %s", p.Key, p.What)
	}
	return fmt.Sprintf("%q %q: %s", p.Kind, p.Key, p.What)
}

func missingRows(from, to uint64) Problem {
	if from == to {
		return Problem{bookKind, fmt.Sprint(from), "missing"}
	}
	return Problem{bookKind, fmt.Sprint(from), fmt.Sprintf("rows %d to %d are missing", from, to)}
}

// Fsck reads everything that is stored and names all that is damaged: each
// record and row whose bytes do not match their checksum, gaps and breaks in
// the chain of the book, and what SQLite finds wrong with its file. It works on
// one moment of a running store. Where the file is so damaged that SQLite cannot
// read on, it names the records or rows between which something may be lost.
func (db *DB) Fsck() []Problem {
	conn, err := db.readers.get()
	if err != nil {
		return []Problem{{sqliteKind, "", err.Error()}}
	}
	defer db.readers.put(conn)
	c := check{conn: conn}
	content, st := c.begin(db)
	c.records()
	c.book()
	c.log(content, st)
	c.integrity()
	if err := sqlitex.ExecuteTransient(conn, "ROLLBACK", nil); err != nil {
		c.add(sqliteKind, "", err.Error())
	}
	return c.problems
}

// begin starts a read transaction and reads the log at the same moment.
func (c *check) begin(db *DB) (content [2][]byte, st state) {
	db.write.Lock()
	defer db.write.Unlock()
	if err := sqlitex.ExecuteTransient(c.conn, "BEGIN", nil); err != nil {
		c.add(sqliteKind, "", err.Error())
	}
	st, err := readState(c.conn)
	if err != nil {
		c.add(stateKind, "", err.Error())
		return content, state{}
	}
	if len(db.damage) == 0 {
		content, err = db.log.read()
	} else {
		content, err = readLogs(db.path)
	}
	if err != nil {
		c.add(batchKind, "", err.Error())
	} else if st.salt != [8]byte{} && (content[0] == nil || content[1] == nil) {
		c.add(batchKind, "", "a file of the log is missing")
	}
	return content, st
}

// check is one run of Fsck.
type check struct {
	conn     *sqlite.Conn
	problems []Problem
	chain
}

// chain follows the book from row to row.
type chain struct {
	last   uint64 // number of the row before; 0 at the start
	hash   [32]byte
	broken bool // the row before was damaged: its hash is unknown
}

func (c *check) add(kind, key, what string) {
	c.problems = append(c.problems, Problem{kind, key, what})
}

// records checks the table of records from both ends: what lies between two
// places that cannot be read is named by its neighbours.
func (c *check) records() {
	name := func(k keyed) string { return fmt.Sprintf("%q %q", k.kind, k.key) }
	var low, high keyed
	each := func(edge *keyed) func(s *sqlite.Stmt) (bool, error) {
		return func(s *sqlite.Stmt) (bool, error) {
			k := keyed{kind: s.ColumnText(0), key: s.ColumnText(1)}
			k.value = blob(s, 2)
			*edge = keyed{kind: k.kind, key: k.key}
			if what := recordFault(s, k); what != "" {
				c.add(k.kind, k.key, what)
			}
			return true, nil
		}
	}
	err := query(c.conn, "SELECT kind, key, value, sum FROM record ORDER BY kind, key", nil, each(&low))
	if err == nil {
		return
	}
	_ = query(c.conn, "SELECT kind, key, value, sum FROM record ORDER BY kind DESC, key DESC", nil, each(&high))
	what := "records cannot be read"
	if low.kind != "" {
		what += " after " + name(low)
	}
	if high.kind != "" {
		what += " before " + name(high)
	}
	c.add(sqliteKind, "", fmt.Sprintf("%s: %v", what, err))
}

// book checks the rows of the book and their chain, from both ends like records.
func (c *check) book() {
	var low, high int64
	up := func(s *sqlite.Stmt) (bool, error) {
		low = s.ColumnInt64(0)
		r, err := readRow(s)
		c.follow(r, err)
		return true, nil
	}
	err := query(c.conn, "SELECT seq, row, sum FROM book ORDER BY seq", nil, up)
	if err == nil {
		return
	}
	down := func(s *sqlite.Stmt) (bool, error) {
		high = s.ColumnInt64(0)
		if _, err := readRow(s); err != nil {
			c.follow(node.Row{}, err)
		}
		return true, nil
	}
	_ = query(c.conn, "SELECT seq, row, sum FROM book ORDER BY seq DESC", nil, down)
	what := fmt.Sprintf("cannot be read after row %d", low)
	if high != 0 {
		what += fmt.Sprintf(" and before row %d", high)
	}
	c.add(bookKind, strconv.FormatInt(low+1, 10), fmt.Sprintf("%s: %v", what, err))
	c.broken = true
	c.last = math.MaxUint64 // the log's rows cannot be joined to it
}

// follow checks a row against the one before.
func (c *check) follow(r node.Row, err error) {
	var fault rowError
	if errors.As(err, &fault) {
		c.problems = append(c.problems, fault.Problem)
		c.broken = true
		c.last++
		return
	}
	if c.last != math.MaxUint64 {
		switch {
		case r.Seq > c.last+1:
			if !c.broken {
				c.problems = append(c.problems, missingRows(c.last+1, r.Seq-1))
			}
		case !c.broken && r.Prev != c.hash:
			c.add(bookKind, fmt.Sprint(r.Seq), fmt.Sprintf("does not follow from row %d: its hash of that row is another", r.Seq-1))
		}
	}
	c.last, c.hash, c.broken = r.Seq, r.Hash(), false
}

// log checks the batches that are not folded yet. Rows that a fold under way has
// already put into the book are checked for their sums only.
func (c *check) log(content [2][]byte, st state) {
	batches, problems := joinLogs(content, st.salt, st.folded)
	c.problems = append(c.problems, problems...)
	last, whole := st.folded, true
	for _, b := range batches {
		if !whole || b.number != last+1 || len(b.problems) > 0 {
			c.broken = true // a row may be among what is lost: named already
		}
		last, whole = b.number, len(b.problems) == 0
		for _, e := range b.entries {
			if e.tag != tagRow {
				continue
			}
			if r, err := node.ParseRow(e.value); err != nil {
				c.add(batchKind, strconv.FormatInt(b.number, 10), err.Error())
			} else if r.Seq > c.last || c.last == math.MaxUint64 {
				c.follow(r, nil)
			}
		}
	}
}

// maxIntegrity bounds the list of SQLite's own complaints: the first ones say
// where the file is broken, the rest follow from them.
const maxIntegrity = 100

// integrity asks SQLite about its file.
func (c *check) integrity() {
	sql := fmt.Sprintf("PRAGMA integrity_check(%d)", maxIntegrity)
	err := sqlitex.ExecuteTransient(c.conn, sql, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		if what := s.ColumnText(0); what != "ok" {
			c.add(sqliteKind, "", what)
		}
		return nil
	}})
	if err != nil {
		c.add(sqliteKind, "", err.Error())
	}
}
