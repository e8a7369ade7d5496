package store

import (
	"fmt"
	"iter"
	"slices"

	"zombiezen.com/go/sqlite"

	"kula/node"
)

// MaxPage is the most records or rows that one call of List or Rows returns: a
// page for people and for the API, not a way to read everything.
const MaxPage = 1000

// Load iterates over all records of the given kinds (of all kinds if none is
// given) by kind, then key, both in byte order. A pair with an error is the
// last: the error names what is damaged. The values belong to the caller.
// What a Commit changes during the iteration may or may not be seen.
func (db *DB) Load(kinds ...string) iter.Seq2[node.Record, error] {
	return func(yield func(node.Record, error) bool) {
		more := true
		err := db.load(kinds, func(r node.Record) bool {
			more = yield(r, nil)
			return more
		})
		if err != nil && more {
			yield(node.Record{}, fmt.Errorf("load: %w", err))
		}
	}
}

func (db *DB) load(kinds []string, each func(node.Record) bool) error {
	fresh := db.fresh(kinds, func(string) bool { return true })
	conn, err := db.reader()
	if err != nil {
		return err
	}
	defer db.readers.put(conn)
	m := merge{fresh: fresh, each: each}
	if len(kinds) == 0 {
		if err := query(conn, "SELECT kind, key, value, sum FROM record ORDER BY kind, key", nil, m.row); err != nil {
			return err
		}
		m.rest("")
		return nil
	}
	for _, kind := range slices.Compact(slices.Sorted(slices.Values(kinds))) {
		bind := func(s *sqlite.Stmt) { s.BindText(1, kind) }
		if err := query(conn, "SELECT kind, key, value, sum FROM record WHERE kind = ? ORDER BY key", bind, m.row); err != nil {
			return err
		}
		if m.rest(kind); m.stopped {
			return nil
		}
		if err := besides(conn, kind); err != nil {
			return err
		}
	}
	return nil
}

// besides looks at the records on either side of a kind. One of this kind whose kind was damaged still
// lies among the others, where SQLite then takes them to begin or to end; its checksum tells.
func besides(conn *sqlite.Conn, kind string) error {
	for _, sql := range []string{
		"SELECT kind, key, value, sum FROM record WHERE kind < ? ORDER BY kind DESC, key DESC LIMIT 1",
		"SELECT kind, key, value, sum FROM record WHERE kind > ? ORDER BY kind, key LIMIT 1",
	} {
		bind := func(s *sqlite.Stmt) { s.BindText(1, kind) }
		err := query(conn, sql, bind, func(s *sqlite.Stmt) (bool, error) {
			rec, err := readRecord(s)
			if err != nil && recordSum(kind, rec.key, rec.value) != rec.sum {
				return false, nil // the damage of another kind, for who reads that
			}
			return false, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reader returns a read connection, unless the journal is damaged: what the
// tables say may then be older than what was committed.
func (db *DB) reader() (*sqlite.Conn, error) {
	if len(db.damage) > 0 {
		return nil, fmt.Errorf("%w: %v", ErrDamaged, db.damage[0])
	}
	return db.readers.get()
}

// fresh lists the changes of the kinds (of all if there is none) in both windows
// whose key want takes, sorted. It must be called before the tables are read:
// what a fold moves in between is then seen twice and not missed.
func (db *DB) fresh(kinds []string, want func(key string) bool) []keyed {
	db.mem.RLock()
	defer db.mem.RUnlock()
	var all []keyed
	add := func(w, newer *window) {
		for kind, keys := range w.kinds {
			if len(kinds) > 0 && !slices.Contains(kinds, kind) {
				continue
			}
			for key, c := range keys {
				if newer.has(kind, key) || !want(key) {
					continue
				}
				all = append(all, keyed{kind, key, c})
			}
		}
	}
	if db.frozen != nil {
		add(db.frozen, db.active)
	}
	add(db.active, nil)
	slices.SortFunc(all, compareKeyed)
	return all
}

// merge joins the rows of the table record with fresh changes, both in the same
// order; of two with the same names the fresh one counts.
type merge struct {
	fresh   []keyed
	reverse bool // by key, from the last to the first
	each    func(node.Record) bool
	stopped bool
}

func (m *merge) compare(a, b keyed) int {
	if m.reverse {
		return -compareKeyed(a, b)
	}
	return compareKeyed(a, b)
}

func (m *merge) give(k keyed) {
	if !k.deleted && !m.stopped {
		m.stopped = !m.each(node.Record{Kind: k.kind, Key: k.key, Value: append([]byte{}, k.value...)})
	}
}

// row takes the next row of the table.
func (m *merge) row(s *sqlite.Stmt) (bool, error) {
	rec, err := readRecord(s)
	if err != nil {
		return false, err
	}
	for len(m.fresh) > 0 && !m.stopped {
		c := m.compare(m.fresh[0], rec)
		if c > 0 {
			break
		}
		m.give(m.fresh[0])
		m.fresh = m.fresh[1:]
		if c == 0 {
			return !m.stopped, nil
		}
	}
	if !m.stopped {
		m.stopped = !m.each(node.Record{Kind: rec.kind, Key: rec.key, Value: rec.value})
	}
	return !m.stopped, nil
}

// rest gives the fresh changes after the table's end: of one kind, or of all if
// kind is "".
func (m *merge) rest(kind string) {
	for len(m.fresh) > 0 && !m.stopped && (kind == "" || m.fresh[0].kind == kind) {
		m.give(m.fresh[0])
		m.fresh = m.fresh[1:]
	}
}

// readRecord reads and checks a row of kind, key, value, sum.
func readRecord(s *sqlite.Stmt) (keyed, error) {
	k := keyed{kind: s.ColumnText(0), key: s.ColumnText(1)}
	k.value, k.sum = blob(s, 2), uint32(s.ColumnInt64(3))
	if what := recordFault(s, k); what != "" {
		return k, fmt.Errorf("%w: %v", ErrDamaged, Problem{k.kind, k.key, what})
	}
	return k, nil
}

// recordFault says what is wrong with a stored record, "" if nothing is. The
// types count too: damage can turn a BLOB into a TEXT of the same bytes.
func recordFault(s *sqlite.Stmt, k keyed) string {
	for col, want := range []sqlite.ColumnType{sqlite.TypeText, sqlite.TypeText, sqlite.TypeBlob, sqlite.TypeInteger} {
		if got := s.ColumnType(col); got != want {
			return fmt.Sprintf("column %d is %v, not %v", col+1, got, want)
		}
	}
	if sum := recordSum(k.kind, k.key, k.value); int64(sum) != s.ColumnInt64(3) {
		return fmt.Sprintf("checksum %08x, stored is %08x", sum, s.ColumnInt64(3))
	}
	return ""
}

// Get returns the value of one record and whether there is one. The value
// belongs to the caller.
func (db *DB) Get(kind, key string) ([]byte, bool, error) {
	if c, ok := db.lookup(kind, key); ok {
		if c.deleted {
			return nil, false, nil
		}
		return append([]byte{}, c.value...), true, nil
	}
	conn, err := db.reader()
	if err != nil {
		return nil, false, fmt.Errorf("get %s %q: %w", kind, key, err)
	}
	defer db.readers.put(conn)
	var value []byte
	found := false
	err = query(conn, "SELECT kind, key, value, sum FROM record WHERE kind = ? AND key = ?", func(s *sqlite.Stmt) {
		s.BindText(1, kind)
		s.BindText(2, key)
	}, func(s *sqlite.Stmt) (bool, error) {
		rec, err := readRecord(s)
		value, found = rec.value, err == nil
		return false, err
	})
	if err != nil {
		return nil, false, fmt.Errorf("get %s %q: %w", kind, key, err)
	}
	return value, found, nil
}

// lookup finds a change in the windows, the newer one first.
func (db *DB) lookup(kind, key string) (change, bool) {
	db.mem.RLock()
	defer db.mem.RUnlock()
	c, ok := db.active.kinds[kind][key]
	if !ok && db.frozen != nil {
		c, ok = db.frozen.kinds[kind][key]
	}
	return c, ok
}

// List returns up to limit (at most MaxPage) records of a kind in byte order of
// the key, from the first key after afterKey on; in reverse from the last key
// before afterKey down. An afterKey of "" starts at the very first or last.
func (db *DB) List(kind, afterKey string, limit int, reverse bool) ([]node.Record, error) {
	if limit <= 0 {
		return nil, nil
	}
	limit = min(limit, MaxPage)
	fresh := db.fresh([]string{kind}, func(key string) bool { return inPage(key, afterKey, reverse) })
	sql := "SELECT kind, key, value, sum FROM record WHERE kind = ? AND key > ? ORDER BY key"
	switch {
	case reverse && afterKey == "":
		slices.Reverse(fresh)
		sql = "SELECT kind, key, value, sum FROM record WHERE kind = ? ORDER BY key DESC"
	case reverse:
		slices.Reverse(fresh)
		sql = "SELECT kind, key, value, sum FROM record WHERE kind = ? AND key < ? ORDER BY key DESC"
	}
	conn, err := db.reader()
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", kind, err)
	}
	defer db.readers.put(conn)
	var page []node.Record
	m := merge{fresh: fresh, reverse: reverse, each: func(r node.Record) bool {
		page = append(page, r)
		return len(page) < limit
	}}
	err = query(conn, sql, func(s *sqlite.Stmt) {
		s.BindText(1, kind)
		if !reverse || afterKey != "" {
			s.BindText(2, afterKey)
		}
	}, m.row)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", kind, err)
	}
	m.rest(kind)
	return page, nil
}

// inPage says whether key lies on the side of afterKey that List reads.
func inPage(key, afterKey string, reverse bool) bool {
	if reverse {
		return afterKey == "" || key < afterKey
	}
	return key > afterKey
}
