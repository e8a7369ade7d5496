//go:build linux

package store

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"kula/ident"
	"kula/node"
)

// load makes the batches of a busy mediator: per payment two locks are put, two
// of an earlier batch deleted, the channel rewritten and the payment kept; and
// two rows go into the book.
type load struct {
	n       uint64 // payments so far
	lag     uint64 // payments between a lock's put and its delete
	last    node.Row
	value   []byte
	records []node.Record
	rows    []node.Row
}

func newLoad(lag int) *load {
	l := &load{lag: uint64(lag), value: make([]byte, 1000)}
	for i := range l.value {
		l.value[i] = byte(i * 7)
	}
	return l
}

func (l *load) batch(payments int) ([]node.Record, []node.Row) {
	l.records, l.rows = l.records[:0], l.rows[:0]
	for range payments {
		l.n++
		binary.BigEndian.PutUint64(l.value, l.n)
		l.put("lock", fmt.Sprintf("up/%012d", l.n), 600)
		l.put("lock", fmt.Sprintf("down/%012d", l.n), 600)
		l.put("payment", fmt.Sprintf("%016x", l.n*0x9e3779b97f4a7c15>>40|l.n<<24), 400)
		l.put("channel", fmt.Sprint(l.n%8), 1000)
		if l.n > l.lag {
			l.records = append(l.records, node.Record{Kind: "lock", Key: fmt.Sprintf("up/%012d", l.n-l.lag)},
				node.Record{Kind: "lock", Key: fmt.Sprintf("down/%012d", l.n-l.lag)})
		}
		for range 2 {
			prev := [32]byte{}
			if l.last.Seq > 0 {
				prev = l.last.Hash()
			}
			l.last = node.Row{Seq: l.last.Seq + 1, Time: int64(l.n), Kind: node.RowCarried, Friend: ident.ID{byte(l.n % 8)},
				Name: "Ana", Currency: "EUR/2", Change: 5, Balance: 100, Payment: fmt.Sprintf("%016x", l.n), Fee: 1,
				Text: "bread and wine", Prev: prev}
			l.rows = append(l.rows, l.last)
		}
	}
	return l.records, l.rows
}

func (l *load) put(kind, key string, size int) {
	l.records = append(l.records, node.Record{Kind: kind, Key: key, Value: l.value[:size]})
}

func BenchmarkCommit1(b *testing.B)    { benchmarkCommit(b, 1) }
func BenchmarkCommit10(b *testing.B)   { benchmarkCommit(b, 10) }
func BenchmarkCommit100(b *testing.B)  { benchmarkCommit(b, 100) }
func BenchmarkCommit1000(b *testing.B) { benchmarkCommit(b, 1000) }

// benchmarkCommit commits batches of so many payments, folds and checkpoints of
// the background included. It reports the CPU of the process (all threads, user and
// system) and of that what making the batches takes not, the median Commit, and
// that median in units of a 4 KiB write and fdatasync on the same disk.
func benchmarkCommit(b *testing.B, payments int) {
	floor := syncFloor(b)
	db, err := Open(filepath.Join(b.TempDir(), "bench.db"))
	if err != nil {
		b.Fatal(err)
	}
	l := newLoad(3 * max(payments, 30))
	var took []time.Duration
	var making time.Duration
	start := processCPU(b)
	for b.Loop() {
		t := time.Now()
		records, rows := l.batch(payments)
		making += time.Since(t)
		t = time.Now()
		if err := db.Commit(records, rows); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(t))
	}
	if err := db.Close(); err != nil { // the folding that was put off counts too
		b.Fatal(err)
	}
	used := processCPU(b) - start - making
	p50 := median(took)
	b.ReportMetric(float64(used.Nanoseconds())/1000/float64(l.n), "cpu-µs/payment")
	b.ReportMetric(float64(p50.Nanoseconds())/1000, "p50-µs/commit")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs/commit")
	b.ReportMetric(float64(floor.Nanoseconds())/1000, "fdatasync-µs")
	b.ReportMetric(float64(p50)/float64(floor), "p50/fdatasync")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMillionRows opens a store with a million rows of the book and 100,000
// records, and reads it: all records, one page of the book, a search that finds
// nothing and so reads every row, and the whole book in order.
func BenchmarkMillionRows(b *testing.B) {
	path := filepath.Join(b.TempDir(), "million.db")
	db, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	l := newLoad(1)
	for l.last.Seq < 1_000_000 {
		records, rows := l.batch(500)
		if l.n > 100_000 {
			records = nil
		}
		if err := db.Commit(records, rows); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	took := map[string]time.Duration{}
	for b.Loop() {
		t := time.Now()
		step := func(name string, err error) {
			if err != nil {
				b.Fatal(name, err)
			}
			took[name] += time.Since(t)
			t = time.Now()
		}
		db, err := Open(path)
		step("ms/open", err)
		for _, err = range db.Load() {
		}
		step("ms/load", err)
		_, _, err = db.Rows(Query{Limit: 100})
		step("ms/page", err)
		_, _, err = db.Rows(Query{Search: "not there"})
		step("ms/search", err)
		for _, err = range db.Book() {
		}
		step("ms/book", err)
		if problems := db.Fsck(); problems != nil {
			err = fmt.Errorf("%d problems, the first: %v", len(problems), problems[0])
		}
		step("ms/fsck", err)
		step("ms/close", db.Close())
	}
	for name, d := range took {
		b.ReportMetric(float64(d.Microseconds())/1000/float64(b.N), name)
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// syncFloor is the median of writing 4 KiB into a file of fixed size and syncing it.
func syncFloor(b *testing.B) time.Duration {
	const n = 300
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	var took []time.Duration
	for round := range 2 { // the first round lays the file out
		for i := range int64(n) {
			t := time.Now()
			if _, err := f.WriteAt(page, i*4096); err != nil {
				b.Fatal(err)
			}
			if round == 1 {
				if err := syscall.Fdatasync(int(f.Fd())); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(t))
			}
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return median(took)
}

func processCPU(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
