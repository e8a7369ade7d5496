package store

import "zombiezen.com/go/sqlite"

// maxKept is how many keys of one kind are remembered: far more than a node has
// open locks, a few MB.
const maxKept = 32 << 10

// kept remembers which keys the table of records holds, for the kinds whose
// records are deleted. Most deletes that a fold finds are of records that were
// put in the same window and never got into the table: to look there for
// each of them would be half of the fold's work. It is used under DB.tables.
type kept struct {
	kinds map[string]map[string]struct{} // nil for a kind: too many, always look
}

// holds says whether the table may hold the record. The keys of a kind are read
// when it is first asked for.
func (k *kept) holds(conn *sqlite.Conn, kind, key string) (bool, error) {
	keys, known := k.kinds[kind]
	if !known {
		var err error
		if keys, err = readKeys(conn, kind); err != nil {
			return false, err
		}
		if k.kinds == nil {
			k.kinds = map[string]map[string]struct{}{}
		}
		k.kinds[kind] = keys
	}
	if keys == nil {
		return true, nil
	}
	_, held := keys[key]
	return held, nil
}

// readKeys reads the keys of a kind; nil means that there are too many.
func readKeys(conn *sqlite.Conn, kind string) (map[string]struct{}, error) {
	keys := map[string]struct{}{}
	bind := func(s *sqlite.Stmt) { s.BindText(1, kind) }
	err := query(conn, "SELECT key FROM record WHERE kind = ?", bind, func(s *sqlite.Stmt) (bool, error) {
		keys[s.ColumnText(0)] = struct{}{}
		return len(keys) <= maxKept, nil
	})
	if len(keys) > maxKept {
		keys = nil
	}
	return keys, err
}

// note follows what a fold writes.
func (k *kept) note(r *keyed) {
	keys := k.kinds[r.kind]
	switch {
	case keys == nil:
	case r.deleted:
		delete(keys, r.key)
	case len(keys) >= maxKept:
		k.kinds[r.kind] = nil
	default:
		keys[r.key] = struct{}{}
	}
}
