package store_test

import (
	"testing"

	"kula/internal/store"
	"kula/internal/store/storetest"
)

var memory = storetest.Maker{
	New: func(*testing.T) storetest.Store { return store.NewMemory() },
	Reopen: func(t *testing.T, s storetest.Store) storetest.Store {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return s.(*store.Memory).Clone()
	},
}

func TestMemory(t *testing.T) { storetest.Run(t, memory) }

func TestMemoryClone(t *testing.T) {
	m := store.NewMemory()
	if err := m.Commit(records("a", 1, 2), rowsFrom(1, 3)); err != nil {
		t.Fatal(err)
	}
	c := m.Clone()
	if err := m.Commit(records("a", 3), rowsFrom(4, 1)); err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(records("b", 1), rowsFrom(4, 2)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		s       *store.Memory
		records int
		rows    uint64
	}{"original": {m, 3, 4}, "clone": {c, 3, 5}} {
		n := 0
		for range want.s.Load() {
			n++
		}
		if last, _, _ := want.s.LastRow(); n != want.records || last.Seq != want.rows {
			t.Errorf("%s: %d records, %d rows; want %d, %d", name, n, last.Seq, want.records, want.rows)
		}
	}
}
