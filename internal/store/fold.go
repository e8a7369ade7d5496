package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// fullFactor: at this many times the usual window, Commit waits until the window
// before is folded. A fold takes a tenth of the time in which a window fills at
// 10,000 payments/s, so two is room enough; it bounds memory at three windows.
const fullFactor = 2

// atOnce is the number of rows in one INSERT: the statement's own cost (some µs) is
// shared, its text stays short.
const atOnce = 16

// The statements for many rows and for one.
var (
	insertRows    = insertRow + strings.Repeat(",(?,?,?)", atOnce-1)
	insertRow     = "REPLACE INTO book (seq, row, sum) VALUES (?,?,?)"
	insertRecords = insertRecord + strings.Repeat(",(?,?,?,?)", atOnce-1)
	insertRecord  = "REPLACE INTO record (kind, key, value, sum) VALUES (?,?,?,?)"
	deleteRecord  = "DELETE FROM record WHERE kind = ? AND key = ?"
)

// schedule starts a fold in the background when the window is full, and waits
// when the background is too far behind. It is called under DB.write.
func (db *DB) schedule() error {
	for db.full(fullFactor) && db.frozen != nil && db.failed == nil {
		db.thawed.Wait()
	}
	if db.full(1) && db.frozen == nil && !db.closing {
		db.freeze()
		select {
		case db.wake <- struct{}{}:
		default: // a token is there already
		}
	}
	return db.failed
}

// full says whether the active window has factor times the usual size.
func (db *DB) full(factor int) bool {
	return db.active.bytes >= factor*db.limits.window || db.active.entries >= factor*db.limits.entries
}

// freeze ends the active window and goes on in the other file of the log. It is
// called under DB.write when the window before is in the tables.
func (db *DB) freeze() {
	db.log.turn()
	db.mem.Lock()
	db.frozen, db.active = db.active, newWindow()
	db.mem.Unlock()
}

// thaw ends the fold of the frozen window. It is called under DB.write. After an
// error the window stays, for the readers.
func (db *DB) thaw(err error) error {
	if err == nil {
		db.mem.Lock()
		db.frozen = nil
		db.mem.Unlock()
	}
	err = db.fail(err, "folding the log into the tables")
	db.thawed.Broadcast()
	return err
}

// fail keeps the first error after which Commit must refuse.
func (db *DB) fail(err error, doing string) error {
	if err != nil && db.failed == nil {
		db.failed = fmt.Errorf("%s: %w; restart from what is saved", doing, err)
	}
	return db.failed
}

// maintain folds in the background until wake is closed.
func (db *DB) maintain() {
	defer db.done.Done()
	for range db.wake {
		db.tables.Lock()
		db.mem.RLock()
		w := db.frozen
		db.mem.RUnlock()
		if w != nil { // nil: a Backup came first and folded it
			db.foldBeside(w)
		}
		db.tables.Unlock()
	}
}

// foldBeside folds while Commits go on, and then copies SQLite's own log into
// its database. As nothing else writes to the tables meanwhile, all of it is
// copied unless somebody is reading, and SQLite begins its log anew.
func (db *DB) foldBeside(w *window) {
	err := db.fold(w)
	db.write.Lock()
	err = errors.Join(db.thaw(err), db.schedule()) // the next window may have become full
	db.write.Unlock()
	if err != nil {
		return // kept in failed: the next Commit reports it
	}
	_, err = number(db.conn, "PRAGMA wal_checkpoint(PASSIVE)")
	db.write.Lock()
	_ = db.fail(err, "copying folded batches into the database")
	db.write.Unlock()
}

// foldAll folds both windows. It is called under DB.tables and DB.write, so that
// afterwards, until these are released, the tables are the whole store.
func (db *DB) foldAll() error {
	for {
		if db.frozen != nil {
			if err := db.thaw(db.fold(db.frozen)); err != nil {
				return err
			}
		}
		if db.active.entries == 0 {
			return nil
		}
		db.freeze()
	}
}

// fold writes what a window has come to into the tables, in one durable
// transaction. It is called under DB.tables.
func (db *DB) fold(w *window) (err error) {
	end, err := sqlitex.ImmediateTransaction(db.conn)
	if err != nil {
		return err
	}
	defer end(&err)
	if err := db.foldRecords(w); err != nil {
		return err
	}
	if err := foldRows(db.conn, w.first, w.rows); err != nil {
		return err
	}
	return writeState(db.conn, state{w.newest, db.log.salt})
}

// run executes a statement that yields no rows.
func run(conn *sqlite.Conn, sql string, bind func(*sqlite.Stmt)) error {
	stmt, err := conn.Prepare(sql)
	if err != nil {
		return err
	}
	bind(stmt)
	_, err = stmt.Step()
	return errors.Join(err, stmt.Reset())
}

// foldRecords writes the changes into the table of records, in the table's order.
func (db *DB) foldRecords(w *window) error {
	var records []keyed
	for kind, keys := range w.kinds {
		for key, c := range keys {
			if c.deleted {
				if held, err := db.kept.holds(db.conn, kind, key); err != nil {
					return err
				} else if !held {
					continue
				}
			}
			records = append(records, keyed{kind, key, c})
		}
	}
	slices.SortFunc(records, compareKeyed)
	for i := range records {
		db.kept.note(&records[i])
	}
	for len(records) > 0 {
		n, sql := 1, insertRecord
		switch {
		case records[0].deleted:
			sql = deleteRecord
		case len(records) >= atOnce && !slices.ContainsFunc(records[:atOnce], func(r keyed) bool { return r.deleted }):
			n, sql = atOnce, insertRecords
		}
		err := run(db.conn, sql, func(s *sqlite.Stmt) {
			for i, r := range records[:n] {
				s.BindText(4*i+1, r.kind)
				s.BindText(4*i+2, r.key)
				if !r.deleted {
					s.BindBytes(4*i+3, r.value)
					s.BindInt64(4*i+4, int64(r.sum))
				}
			}
		})
		if err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// foldRows writes rows into the book, the first of them as number seq.
func foldRows(conn *sqlite.Conn, seq uint64, rows []stored) error {
	for len(rows) > 0 {
		n, sql := 1, insertRow
		if len(rows) >= atOnce {
			n, sql = atOnce, insertRows
		}
		err := run(conn, sql, func(s *sqlite.Stmt) {
			for i, r := range rows[:n] {
				s.BindInt64(3*i+1, int64(seq)+int64(i))
				s.BindBytes(3*i+2, r.row)
				s.BindInt64(3*i+3, int64(r.sum))
			}
		})
		if err != nil {
			return err
		}
		seq, rows = seq+uint64(n), rows[n:]
	}
	return nil
}
