package store

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"kula/node"
)

// Memory is a store without a disk, with the same behaviour as DB: what Commit
// took is what every reader sees. It is for worlds that live in one process;
// Clone stands for what a disk would still hold after a crash.
type Memory struct {
	mu     sync.RWMutex
	kinds  map[string]map[string][]byte
	rows   []node.Row
	closed bool
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{kinds: map[string]map[string][]byte{}} }

// Clone returns an open store with the same content that shares nothing that
// changes. It also works after Close.
func (m *Memory) Clone() *Memory {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := NewMemory()
	for kind, keys := range m.kinds {
		c.kinds[kind] = maps.Clone(keys) // values are never written to
	}
	c.rows = slices.Clip(m.rows) // rows are only appended: the next one goes elsewhere
	return c
}

// Commit is DB.Commit.
func (m *Memory) Commit(records []node.Record, rows []node.Row) error {
	if _, err := checkBatch(records, rows); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("commit: %w", ErrClosed)
	}
	if err := checkSeq(uint64(len(m.rows)), rows); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for _, r := range records {
		if r.Value == nil {
			delete(m.kinds[r.Kind], r.Key)
			continue
		}
		if m.kinds[r.Kind] == nil {
			m.kinds[r.Kind] = map[string][]byte{}
		}
		m.kinds[r.Kind][r.Key] = append([]byte{}, r.Value...)
	}
	m.rows = append(m.rows, rows...)
	return nil
}

// Load is DB.Load.
func (m *Memory) Load(kinds ...string) iter.Seq2[node.Record, error] {
	return func(yield func(node.Record, error) bool) {
		m.mu.RLock()
		if m.closed {
			m.mu.RUnlock()
			yield(node.Record{}, fmt.Errorf("load: %w", ErrClosed))
			return
		}
		var all []node.Record
		for kind, keys := range m.kinds {
			if len(kinds) > 0 && !slices.Contains(kinds, kind) {
				continue
			}
			for key, value := range keys {
				all = append(all, node.Record{Kind: kind, Key: key, Value: value})
			}
		}
		m.mu.RUnlock()
		slices.SortFunc(all, func(a, b node.Record) int {
			return compareKeyed(keyed{kind: a.Kind, key: a.Key}, keyed{kind: b.Kind, key: b.Key})
		})
		for _, r := range all {
			r.Value = bytes.Clone(r.Value)
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Get is DB.Get.
func (m *Memory) Get(kind, key string) ([]byte, bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, false, fmt.Errorf("get %s %q: %w", kind, key, ErrClosed)
	}
	value, ok := m.kinds[kind][key]
	return bytes.Clone(value), ok, nil
}

// List is DB.List.
func (m *Memory) List(kind, afterKey string, limit int, reverse bool) ([]node.Record, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, fmt.Errorf("list %s: %w", kind, ErrClosed)
	}
	var keys []string
	for key := range m.kinds[kind] {
		if inPage(key, afterKey, reverse) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if reverse {
		slices.Reverse(keys)
	}
	var page []node.Record
	for _, key := range keys[:min(len(keys), max(limit, 0), MaxPage)] {
		page = append(page, node.Record{Kind: kind, Key: key, Value: bytes.Clone(m.kinds[kind][key])})
	}
	return page, nil
}

// Rows is DB.Rows.
func (m *Memory) Rows(q Query) (rows []node.Row, next uint64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, 0, fmt.Errorf("read the book: %w", ErrClosed)
	}
	p := page{filter: newFilter(q)}
	for i := min(uint64(len(m.rows)), p.Before-1); i > 0 && p.add(m.rows[i-1]); i-- {
	}
	return p.rows, p.next, nil
}

// Book is DB.Book.
func (m *Memory) Book() iter.Seq2[node.Row, error] {
	return func(yield func(node.Row, error) bool) {
		m.mu.RLock()
		rows, closed := m.rows, m.closed
		m.mu.RUnlock()
		if closed {
			yield(node.Row{}, fmt.Errorf("read the book: %w", ErrClosed))
			return
		}
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// LastRow is DB.LastRow.
func (m *Memory) LastRow() (node.Row, bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return node.Row{}, false, fmt.Errorf("read the last row of the book: %w", ErrClosed)
	}
	if len(m.rows) == 0 {
		return node.Row{}, false, nil
	}
	return m.rows[len(m.rows)-1], true, nil
}

// Fsck is DB.Fsck. Bytes in memory have no checksums: what can be wrong here is
// the chain of a book that was committed wrongly.
func (m *Memory) Fsck() []Problem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return []Problem{{sqliteKind, "", ErrClosed.Error()}}
	}
	var c check
	for _, r := range m.rows {
		c.follow(r, nil)
	}
	return c.problems
}

// Close ends the store: every later call but Clone fails.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.closed = true
	return nil
}
