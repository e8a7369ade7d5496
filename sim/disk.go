package sim

import (
	"iter"
	"maps"
	"slices"

	"kula/node"
)

// disk is what a member still has after a crash.
type disk struct {
	records map[string]map[string][]byte // kind, key
	rows    []node.Row
	bytes   int
}

func newDisk() *disk { return &disk{records: map[string]map[string][]byte{}} }

// commit is one transaction.
func (d *disk) commit(records []node.Record, rows []node.Row) {
	for _, r := range records {
		kind := d.records[r.Kind]
		if kind == nil {
			kind = map[string][]byte{}
			d.records[r.Kind] = kind
		}
		d.bytes += len(r.Value) - len(kind[r.Key])
		if r.Value == nil {
			delete(kind, r.Key)
			continue
		}
		kind[r.Key] = r.Value
	}
	d.rows = append(d.rows, rows...)
}

func (d *disk) get(kind, key string) []byte { return d.records[kind][key] }

// load gives the records that a node loads, in the order of kind and key.
func (d *disk) load() iter.Seq2[node.Record, error] {
	return func(yield func(node.Record, error) bool) {
		for _, kind := range node.Kinds {
			for _, key := range slices.Sorted(maps.Keys(d.records[kind])) {
				if !yield(node.Record{Kind: kind, Key: key, Value: d.records[kind][key]}, nil) {
					return
				}
			}
		}
	}
}

func (d *disk) book() iter.Seq2[node.Row, error] {
	return func(yield func(node.Row, error) bool) {
		for _, r := range d.rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// clone is a copy as a backup takes it.
func (d *disk) clone() *disk {
	c := &disk{records: map[string]map[string][]byte{}, rows: slices.Clip(slices.Clone(d.rows)), bytes: d.bytes}
	for kind, keys := range d.records {
		c.records[kind] = maps.Clone(keys)
	}
	return c
}

// count is how many records the node would load.
func (d *disk) count() (n int) {
	for _, kind := range node.Kinds {
		n += len(d.records[kind])
	}
	return n
}
