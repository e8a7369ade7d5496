package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kula/internal/store"
	"kula/internal/store/storetest"
	"kula/node"
)

// records makes one record of 100 bytes for each number.
func records(kind string, numbers ...int) (all []node.Record) {
	for _, n := range numbers {
		value := []byte(strings.Repeat(fmt.Sprintf("%s %d ", kind, n), 100))[:100]
		all = append(all, node.Record{Kind: kind, Key: fmt.Sprintf("%06d", n), Value: value})
	}
	return all
}

// rowsFrom makes n rows from number first on, each chained to the one before.
func rowsFrom(first uint64, n int) (rows []node.Row) {
	var prev [32]byte
	for seq := uint64(1); seq < first+uint64(n); seq++ {
		row := node.Row{Seq: seq, Kind: node.RowPayment, Currency: "EUR/2", Change: 1, Name: "Ana", Text: "row", Prev: prev}
		prev = row.Hash()
		if seq >= first {
			rows = append(rows, row)
		}
	}
	return rows
}

// onDisk remembers where a database is, for Reopen.
type onDisk struct {
	*store.DB
	path string
}

// disk makes databases whose windows hold so many entries.
func disk(entries int) storetest.Maker {
	open := func(t *testing.T, path string) storetest.Store {
		db, err := store.OpenSmall(path, entries)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
				t.Error(err)
			}
		})
		return onDisk{db, path}
	}
	return storetest.Maker{
		New: func(t *testing.T) storetest.Store { return open(t, filepath.Join(t.TempDir(), "kula.db")) },
		Reopen: func(t *testing.T, s storetest.Store) storetest.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, s.(onDisk).path)
		},
	}
}

func TestDB(t *testing.T) {
	for _, entries := range []int{1, 5, 30_000} {
		t.Run(fmt.Sprint("window of ", entries), func(t *testing.T) { storetest.Run(t, disk(entries)) })
	}
}

func TestDBAndMemoryAreTheSame(t *testing.T) {
	for seed := range uint64(6) {
		storetest.Same(t, disk([]int{1, 7, 40}[seed%3]), memory, seed, 60)
	}
}

func TestOpenTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kula.db")
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(path)
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("already in use by store.test (process %d)", os.Getpid())) {
		t.Fatalf("second Open: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = store.Open(path); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A closed store is one private file and its lock.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(filepath.Join(dir, "kula.db"))
	if err != nil {
		t.Fatal(err)
	}
	modes := func() (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", e.Name(), info.Mode())
			}
			names = append(names, e.Name())
		}
		return names
	}
	if err := db.Commit(records("a", 1), nil); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(modes()); got != "[kula.db kula.db-shm kula.db-wal kula.db.batches0 kula.db.batches1 kula.db.lock]" {
		t.Errorf("open: %v", got)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(modes()); got != "[kula.db kula.db.lock]" {
		t.Errorf("closed: %v", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct{ sql, want string }{
		"other program": {"CREATE TABLE x (y)", "another program"},
		"newer":         {"PRAGMA application_id=0x4b554c41; PRAGMA user_version=99", "schema is 99, this program knows up to 1"},
	} {
		path := filepath.Join(t.TempDir(), "kula.db")
		execSQL(t, path, c.sql)
		if _, err := store.Open(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "kula.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database. ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("garbage: %v", err)
	}
}

// execSQL changes a closed store behind its back.
func execSQL(t *testing.T, path, script string) {
	t.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sqlitex.ExecuteScript(conn, script, nil), conn.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	db, err := store.OpenSmall(filepath.Join(dir, "kula.db"), 50)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	dst := filepath.Join(dir, "copy.db")
	var wg sync.WaitGroup
	begun, stop := make(chan struct{}), make(chan struct{})
	wg.Go(func() { // batch n holds row n and the records n of two kinds
		for n, book := 1, rowsFrom(1, 5000); n <= len(book); n++ {
			if err := db.Commit(append(records("a", n), records("b", n)...), book[n-1:n]); err != nil {
				t.Error(err)
				return
			}
			if n == 100 {
				close(begun)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	<-begun
	if err := db.Backup(dst); err != nil {
		t.Fatal(err)
	}
	close(stop)
	wg.Wait()
	if err := db.Backup(dst); !errors.Is(err, os.ErrExist) {
		t.Errorf("backup over an existing file: %v", err)
	}
	if info, err := os.Stat(dst); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the copy: %v, %v", info.Mode(), err)
	}
	copied, err := store.Open(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	wantWhole(t, copied, 100)
}

// wantWhole checks a store of batches that each have row n and records n of the
// kinds a and b: at least so many batches, none of them half.
func wantWhole(t *testing.T, db *store.DB, least int) (batches int) {
	t.Helper()
	last, _, err := db.LastRow()
	if err != nil || last.Seq < uint64(least) {
		t.Fatalf("%d batches, %d were committed; %v", last.Seq, least, err)
	}
	count := map[string]int{}
	for r, err := range db.Load() {
		if err != nil {
			t.Fatal(err)
		}
		count[r.Kind]++
		if want := records(r.Kind, count[r.Kind])[0]; r.Key != want.Key || string(r.Value) != string(want.Value) {
			t.Fatalf("record %s %s where %s is due", r.Kind, r.Key, want.Key)
		}
	}
	if n := int(last.Seq); count["a"] != n || count["b"] != n {
		t.Fatalf("%d rows, %d and %d records: half a batch", n, count["a"], count["b"])
	}
	if problems := db.Fsck(); problems != nil {
		t.Fatal(problems)
	}
	return int(last.Seq)
}

// Readers beside a writer and its folds see whole values and never an old one.
func TestReadersBesideCommits(t *testing.T) {
	db, err := store.OpenSmall(filepath.Join(t.TempDir(), "kula.db"), 20)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const n = 1500
	book := rowsFrom(1, n)
	committed := make(chan int, n)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(committed)
		for i := 1; i <= n; i++ {
			batch := append(records("a", i), node.Record{Kind: "latest", Key: "k", Value: fmt.Append(nil, i)})
			if i > 50 {
				batch = append(batch, node.Record{Kind: "a", Key: fmt.Sprintf("%06d", i-50)})
			}
			if err := db.Commit(batch, book[i-1:i]); err != nil {
				t.Error(err)
				return
			}
			committed <- i
		}
	})
	for range 3 {
		wg.Go(func() {
			for i := range committed {
				checkReads(t, db, i)
			}
		})
	}
	wg.Wait()
}

// checkReads checks what must be readable once batch i is committed.
func checkReads(t *testing.T, db *store.DB, i int) {
	value, ok, err := db.Get("latest", "k")
	var latest int
	if _, scan := fmt.Sscan(string(value), &latest); err != nil || !ok || scan != nil || latest < i {
		t.Errorf("after batch %d the latest is %q, %v, %v", i, value, ok, err)
	}
	page, err := db.List("a", "", 10, true)
	if err != nil || len(page) != 10 && i >= 10 || page[0].Key < fmt.Sprintf("%06d", i) {
		t.Errorf("after batch %d the last page is %v, %v", i, page, err)
	}
	rows, _, err := db.Rows(store.Query{Limit: 5})
	if err != nil || rows[0].Seq < uint64(i) {
		t.Errorf("after batch %d the newest rows are %v, %v", i, rows, err)
	}
	for j := range rows[1:] {
		if rows[j].Seq != rows[j+1].Seq+1 {
			t.Errorf("rows %d and %d follow each other", rows[j].Seq, rows[j+1].Seq)
		}
	}
}

// However much is put and deleted, the files stay small: what is folded is
// written over.
func TestFilesAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kula.db")
	db, err := store.OpenSmall(path, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const batches, each = 3000, 10 // of 1 KB each: 30 MB in all
	for i := range batches {
		var batch []node.Record
		for j := range each {
			batch = append(batch, node.Record{Kind: "lock", Key: fmt.Sprint(i, " ", j), Value: make([]byte, 1000)},
				node.Record{Kind: "lock", Key: fmt.Sprint(i-5, " ", j)})
		}
		if err := db.Commit(batch, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{"", "-wal", ".batches0", ".batches1"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 2<<20 {
			t.Errorf("%s has %d bytes after %d bytes of batches", info.Name(), info.Size(), batches*each*1000)
		}
	}
}
