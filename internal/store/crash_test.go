package store_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kula/internal/store"
	"kula/node"
)

// crashEnv makes the test binary a child that commits to the store it names
// until it is killed.
const crashEnv = "KULA_STORE_CRASH_TEST"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		if err := commitUntilKilled(path); err != nil {
			fmt.Println(err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// commitUntilKilled commits batches of one row and one record of each of two
// kinds and prints the number of each when its Commit has returned. Beside, it
// puts records that live for a few batches, as locks do.
func commitUntilKilled(path string) error {
	db, err := store.OpenSmall(path, 40)
	if err != nil {
		return err
	}
	last, _, err := db.LastRow()
	if err != nil {
		return err
	}
	for n := int(last.Seq) + 1; ; n++ {
		row := node.Row{Seq: uint64(n), Kind: node.RowCarried, Currency: "EUR/2", Change: 1}
		if n > 1 {
			row.Prev = last.Hash()
		}
		batch := append(records("a", n), records("b", n)...)
		batch = append(batch, node.Record{Kind: "a", Key: fmt.Sprintf("x%d", n), Value: []byte("soon gone")})
		batch = append(batch, node.Record{Kind: "a", Key: fmt.Sprintf("x%d", n)})
		if err := db.Commit(batch, []node.Row{row}); err != nil {
			return err
		}
		last = row
		fmt.Println(n)
	}
}

// Design 9.1.3: after kill -9 every batch whose Commit returned is there, and no
// batch is there by half.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kula.db")
	rnd := rand.New(rand.NewPCG(1, 2))
	committed := 0
	for round := range 15 {
		committed = runAndKill(t, path, committed, 1+rnd.IntN(150))
		db, err := store.OpenSmall(path, 40)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		found := wantWhole(t, db, committed)
		if found > committed+1 {
			t.Fatalf("round %d: %d batches, only %d were begun", round, found, committed+1)
		}
		committed = found
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// runAndKill runs a child until it has committed so many batches more, kills it,
// and returns the number of the last batch that it said was committed.
func runAndKill(t *testing.T, path string, committed, more int) int {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashEnv+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for target, killed := committed+more, false; lines.Scan(); {
		if _, err := fmt.Sscan(lines.Text(), &committed); err != nil {
			t.Fatalf("the child says %q", lines.Text())
		}
		if committed >= target && !killed {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			killed = true // what it had printed before is still in the pipe
		}
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child ended with: %v", err)
	}
	return committed
}

// copyStore copies an open store at rest: what a crash would leave.
func copyStore(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "kula.db")
	for _, suffix := range []string{"", "-wal", ".batches0", ".batches1"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// crashed makes a store of n batches as a crash leaves it, nothing folded, and
// returns where each batch ends in the first file of its log.
func crashed(t *testing.T, n int) (path string, ends []int) {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "kula.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	book := rowsFrom(1, n)
	for i := range book {
		if err := db.Commit(append(records("a", i+1), records("b", i+1)...), book[i:i+1]); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, db.LogEnd())
	}
	return copyStore(t, db.Path()), ends
}

// However much of the last batch a power cut leaves, and whatever lies behind
// it, the batches before are whole and the last is there or not.
func TestTornBatch(t *testing.T) {
	path, ends := crashed(t, 4)
	log, err := os.ReadFile(path + ".batches0")
	if err != nil {
		t.Fatal(err)
	}
	start, end := ends[2], ends[3]
	for cut := start; cut < end; cut += 1 + (cut-start)/9 {
		for name, rest := range map[string]byte{"zeros": 0, "ones": 0xff} {
			torn := append([]byte{}, log...)
			for i := cut; i < end; i++ {
				torn[i] = rest
			}
			if string(torn) == string(log) {
				continue
			}
			if err := os.WriteFile(path+".batches0", torn, 0o600); err != nil {
				t.Fatal(err)
			}
			again := copyStore(t, path)
			db, err := store.Open(again)
			if err != nil {
				t.Fatalf("%d bytes, then %s: %v", cut-start, name, err)
			}
			if n := wantWhole(t, db, 3); n != 3 {
				t.Fatalf("%d bytes, then %s: %d batches", cut-start, name, n)
			}
			if err := db.Commit(append(records("a", 4), records("b", 4)...), rowsFrom(4, 1)); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestFailedWrites(t *testing.T) {
	for name, breakIt := range map[string]func(*store.DB) error{"log": (*store.DB).BreakLog, "tables": (*store.DB).BreakTables} {
		path := filepath.Join(t.TempDir(), "kula.db")
		db, err := store.OpenSmall(path, 30)
		if err != nil {
			t.Fatal(err)
		}
		book, saved := rowsFrom(1, 2000), 0
		for n := range book {
			if n == 100 {
				if err := breakIt(db); err != nil {
					t.Fatal(err)
				}
			}
			if err = db.Commit(append(records("a", n+1), records("b", n+1)...), book[n:n+1]); err != nil {
				break
			}
			saved++
		}
		if err == nil || !strings.Contains(err.Error(), "restart from what is saved") {
			t.Fatalf("%s: %v", name, err)
		}
		if again := db.Commit(records("a", 9999), nil); again == nil || !strings.Contains(err.Error(), again.Error()[:20]) {
			t.Errorf("%s: a Commit after a failed one: %v", name, again)
		}
		_ = db.Close() // of the broken store: whatever it says, the next Open must find all
		if db, err = store.OpenSmall(path, 30); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := wantWhole(t, db, saved); n > saved+1 {
			t.Errorf("%s: %d batches, %d were committed", name, n, saved)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
