package store_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"kula/internal/store"
	"kula/node"
)

// closedStore makes a closed store with n records of each of the kinds a and b
// and n rows.
func closedStore(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kula.db")
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var batch []node.Record
	for i := range n {
		batch = append(append(batch, records("a", i+1)...), records("b", i+1)...)
	}
	if err := db.Commit(batch, rowsFrom(1, n)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// fsck opens a store and returns its problems by kind and key, after making sure
// that all readers fail too and none crashes.
func fsck(t *testing.T, path string) map[[2]string]string {
	t.Helper()
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	problems := map[[2]string]string{}
	for _, p := range db.Fsck() {
		problems[[2]string{p.Kind, p.Key}] = p.String()
	}
	var first error
	for _, err := range db.Load() {
		first = err
	}
	for _, err := range db.Book() {
		if first == nil {
			first = err
		}
	}
	if len(problems) > 0 && first == nil {
		t.Errorf("Fsck finds %v, reading finds nothing", problems)
	}
	return problems
}

// Of 1,000 records and 1,000 rows changed by one byte each, in every column,
// each is named.
func TestDamageBySQL(t *testing.T) {
	const n = 1000
	path := closedStore(t, n)
	var script strings.Builder
	want := map[[2]string]bool{}
	for i := range n {
		key := fmt.Sprintf("%06d", i+1)
		name := [2]string{"a", key}
		change := fmt.Sprintf("value = CAST(substr(value, 1, %d) || x'01' || substr(value, %d) AS BLOB)", i%100, i%100+2)
		switch i % 8 {
		case 5:
			change = fmt.Sprintf("sum = sum + %d", 1<<(i%31))
		case 6:
			change, name[1] = "key = 'k' || substr(key, 2)", "k"+key[1:]
		case 7:
			change, name[0] = "kind = 'c'", "c"
		}
		fmt.Fprintf(&script, "UPDATE record SET %s WHERE kind = 'a' AND key = '%s';\n", change, key)
		want[name] = true

		change, seq := fmt.Sprintf("row = CAST(substr(row, 1, %d) || x'01' || substr(row, %d) AS BLOB)", 32+i%100, 32+i%100+2), i+1
		switch i % 4 {
		case 2:
			change = "sum = sum - 1"
		case 3:
			change, seq = "seq = seq + 4096", seq+4096
		}
		fmt.Fprintf(&script, "UPDATE book SET %s WHERE seq = %d;\n", change, i+1)
		want[[2]string{"book", strconv.Itoa(seq)}] = true
	}
	execSQL(t, path, script.String())
	problems := fsck(t, path)
	for name := range want {
		if problems[name] == "" {
			t.Errorf("%v was changed and is not named", name)
		}
	}
	for name := range problems {
		if !want[name] {
			t.Errorf("%v was not changed and is named: %s", name, problems[name])
		}
	}
}

// The same in the file's own bytes: one byte of each of 1,000 values and rows.
func TestDamageInFile(t *testing.T) {
	const n = 1000
	path := closedStore(t, n)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	want := map[[2]string]bool{}
	book := rowsFrom(1, n)
	for i := range n {
		record := records("b", i+1)[0]
		for name, content := range map[[2]string][]byte{
			{record.Kind, record.Key}:     record.Value,
			{"book", strconv.Itoa(i + 1)}: book[i].Append(nil),
		} {
			if !flip(file, content, rnd.IntN(len(content)), 1<<rnd.IntN(8)) {
				t.Fatalf("%v is not in the file in one piece", name)
			}
			want[name] = true
		}
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	problems := fsck(t, path)
	for name := range want {
		if problems[name] == "" {
			t.Errorf("%v was changed and is not named", name)
		}
	}
	if len(problems) != len(want) {
		t.Errorf("%d problems, %d records and rows were changed", len(problems), len(want))
	}
}

// flip changes a byte of content wherever it is in the file (SQLite leaves old
// copies in unused space) and says whether it is there.
func flip(file, content []byte, at int, bit byte) bool {
	found := false
	for from := 0; ; found = true {
		i := bytes.Index(file[from:], content)
		if i < 0 {
			return found
		}
		file[from+i+at] ^= bit
		from += i + len(content)
	}
}

// One byte anywhere in the file: never a crash, and either something is named or
// Open refuses or every record and row still reads as before.
func TestDamageAnywhere(t *testing.T) {
	path := closedStore(t, 60)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before := contents(t, path)
	rnd := rand.New(rand.NewPCG(5, 6))
	named, refused := 0, 0
	for i := range 400 {
		damaged := bytes.Clone(whole)
		at, bit := rnd.IntN(len(damaged)), byte(1)<<rnd.IntN(8)
		if i < 100 {
			at = i // the file's head
		}
		damaged[at] ^= bit
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(path)
		if err != nil {
			refused++
			continue
		}
		problems := db.Fsck()
		if err := db.Close(); err != nil && len(problems) == 0 {
			t.Errorf("byte %d ^ %#x: %v", at, bit, err)
		}
		if len(problems) > 0 {
			named++
		} else if contents(t, path) != before {
			t.Errorf("byte %d ^ %#x: other content and no problem", at, bit)
		}
	}
	t.Logf("400 changes: %d named, %d refused by Open, %d without effect", named, refused, 400-named-refused)
}

// contents reads all of a store into one text.
func contents(t *testing.T, path string) string {
	t.Helper()
	db, err := store.Open(path)
	if err != nil {
		return err.Error()
	}
	defer db.Close()
	var b strings.Builder
	for r, err := range db.Load() {
		fmt.Fprintln(&b, r, err)
	}
	for r, err := range db.Book() {
		fmt.Fprintln(&b, r, err)
	}
	return b.String()
}

// One byte anywhere in a batch of the log that is not the last: the record, row
// or batch is named, its neighbours are not, and nothing more is written.
func TestDamageInLog(t *testing.T) {
	path, ends := crashed(t, 3)
	log, err := os.ReadFile(path + ".batches0")
	if err != nil {
		t.Fatal(err)
	}
	start, end := ends[0], ends[1] // batch 2: records a 2 and b 2, row 2
	for at := start; at < end; at += 3 {
		log[at] ^= 0x10
		if err := os.WriteFile(path+".batches0", log, 0o600); err != nil {
			t.Fatal(err)
		}
		log[at] ^= 0x10
		problems := fsck(t, path)
		if len(problems) != 1 {
			t.Errorf("byte %d of the batch: %d problems: %v", at-start, len(problems), problems)
		}
		for name := range problems {
			if !bytes.Contains([]byte("a 000002, b 000002, book 2, batch 2"), []byte(name[0]+" "+name[1])) && !nameDamaged(log, start, at) {
				t.Errorf("byte %d of the batch: %v", at-start, problems)
			}
		}
	}
	log[start+100] ^= 1
	if err := os.WriteFile(path+".batches0", log, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Commit(records("a", 9), nil); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("Commit to a damaged store: %v", err)
	}
}

// nameDamaged says whether byte at lies in what an entry is called: its head, its
// kind and key, or the number of a row.
func nameDamaged(log []byte, start, at int) bool {
	for entry := start + 32; entry < len(log); {
		size := 9 + int(binary.BigEndian.Uint32(log[entry+1:]))
		if at < entry+size {
			return at-entry < 5+2+1+2+6
		}
		entry += size
	}
	return false
}

// A log that does not belong to the store is not read; one that belongs to it
// and is gone is damage.
func TestForeignLog(t *testing.T) {
	path, _ := crashed(t, 3)
	other, _ := crashed(t, 3)
	moved, err := os.ReadFile(other + ".batches0")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".batches0", moved, 0o600); err != nil {
		t.Fatal(err)
	}
	if problems := fsck(t, path); len(problems) != 0 {
		t.Errorf("batches of another opening were read: %v", problems)
	}
	path, _ = crashed(t, 3)
	if err := os.Remove(path + ".batches1"); err != nil {
		t.Fatal(err)
	}
	if problems := fsck(t, path); len(problems) != 1 || problems[[2]string{"batch", ""}] == "" {
		t.Errorf("with a file of the log missing: %v", problems)
	}
}

// The first damage that a reader meets is in its error, by kind and key.
func TestReadersNameDamage(t *testing.T) {
	for name, c := range map[string]struct{ sql, want string }{
		"value": {"UPDATE record SET value = x'00' WHERE key = '000003' AND kind = 'b'", `"b" "000003": checksum`},
		"sum":   {"UPDATE record SET sum = sum + 1 WHERE key = '000003' AND kind = 'a'", `"a" "000003": checksum`},
		"row":   {"UPDATE book SET row = x'00' WHERE seq = 2", "book row 2: checksum"},
		"gap":   {"DELETE FROM book WHERE seq IN (2, 3)", "book row 2: rows 2 to 3 are missing"},
		"last":  {"UPDATE book SET row = x'00' WHERE seq = 5", "book row 5: checksum"},
		"state": {"UPDATE state SET folded = folded + 1", "state: damaged"},
	} {
		path := closedStore(t, 5)
		execSQL(t, path, c.sql)
		if problems := fsck(t, path); len(problems) != 1 {
			t.Errorf("%s: %v", name, problems)
		}
		if text := contents(t, path); !strings.Contains(text, c.want) {
			t.Errorf("%s: no reader says %s:\n%s", name, c.want, text)
		}
	}
}
