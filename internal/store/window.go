package store

import "strings"

// window holds what some consecutive batches of the journal come to: the last
// change of each record, and all rows.
type window struct {
	kinds   map[string]map[string]change
	rows    []stored
	first   uint64 // number of rows[0]; 0 if there is none
	entries int
	bytes   int
	newest  int64 // last batch in it
}

// change is the newest of a record: a value with the sum of its entry, or its end.
type change struct {
	value   []byte
	sum     uint32
	deleted bool
}

// stored is the canonical bytes of a row with the sum of its entry.
type stored struct {
	row []byte
	sum uint32
}

func newWindow() *window { return &window{kinds: map[string]map[string]change{}} }

// apply adds the entries of the next batch; firstRow is the number of the first
// row among them.
func (w *window) apply(batch int64, size int, entries []entry, firstRow uint64) {
	for _, e := range entries {
		if e.tag == tagRow {
			if w.first == 0 {
				w.first = firstRow
			}
			w.rows = append(w.rows, stored{e.value, e.sum})
			continue
		}
		keys := w.kinds[e.kind]
		if keys == nil {
			keys = map[string]change{}
			w.kinds[e.kind] = keys
		}
		keys[e.key] = change{e.value, e.sum, e.tag == tagDelete}
	}
	w.entries += len(entries)
	w.bytes += size
	w.newest = batch
}

// has says whether the window (nil has nothing) changes a record.
func (w *window) has(kind, key string) bool {
	if w == nil {
		return false
	}
	_, ok := w.kinds[kind][key]
	return ok
}

// keyed is a change with its names.
type keyed struct {
	kind, key string
	change
}

func compareKeyed(a, b keyed) int {
	if c := strings.Compare(a.kind, b.kind); c != 0 {
		return c
	}
	return strings.Compare(a.key, b.key)
}
