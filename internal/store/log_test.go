package store

import (
	"bytes"
	"reflect"
	"testing"

	"kula/node"
)

var testSalt = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}

func testBatch(number int64, value string) []byte {
	records := []node.Record{{Kind: "lock", Key: "k", Value: []byte(value)}, {Kind: "lock", Key: "gone"}, {Kind: "p", Key: "e", Value: []byte{}}}
	rows := []node.Row{{Seq: uint64(number), Text: value}}
	size, err := checkBatch(records, rows)
	if err != nil {
		panic(err)
	}
	b, _ := encodeBatch(size, testSalt, number, records, rows)
	if len(b) != size {
		panic("checkBatch and encodeBatch do not agree")
	}
	return b
}

func TestBatchRoundTrip(t *testing.T) {
	b := testBatch(7, "value")
	all := parseLog(append(bytes.Clone(b), make([]byte, 100)...), testSalt)
	if len(all) != 1 || all[0].number != 7 || all[0].size != len(b) || len(all[0].problems) != 0 {
		t.Fatalf("%+v", all)
	}
	var records []node.Record
	for _, e := range all[0].entries[:3] {
		r := node.Record{Kind: e.kind, Key: e.key, Value: e.value}
		if e.tag == tagDelete {
			r.Value = nil
		} else if sum := recordSum(e.kind, e.key, e.value); sum != e.sum {
			t.Errorf("%s %s: sum %08x in the log, %08x of the record", e.kind, e.key, e.sum, sum)
		}
		records = append(records, r)
	}
	want := []node.Record{{Kind: "lock", Key: "k", Value: []byte("value")}, {Kind: "lock", Key: "gone"}, {Kind: "p", Key: "e", Value: []byte{}}}
	if !reflect.DeepEqual(records, want) {
		t.Errorf("%q", records)
	}
	row := all[0].entries[3]
	if r, err := node.ParseRow(row.value); err != nil || r.Seq != 7 || rowSum(row.value) != row.sum {
		t.Errorf("%+v, %v", r, err)
	}
}

// What a crash can leave in the two files: see the package comment.
func TestJoinLogs(t *testing.T) {
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	b := func(n int64) []byte { return testBatch(n, "value") }
	torn := func(n int64) []byte {
		b := testBatch(n, "value")
		clear(b[len(b)-20:])
		return b
	}
	for name, c := range map[string]struct {
		logs     [2][]byte
		folded   int64
		want     []int64
		problems int
	}{
		"empty":                        {[2][]byte{}, 0, nil, 0},
		"one file":                     {[2][]byte{cat(b(1), b(2))}, 0, []int64{1, 2}, 0},
		"second file newer":            {[2][]byte{cat(b(1), b(2)), b(3)}, 0, []int64{1, 2, 3}, 0},
		"first file newer":             {[2][]byte{b(5), cat(b(3), b(4))}, 2, []int64{3, 4, 5}, 0},
		"folded ones":                  {[2][]byte{cat(b(1), b(2)), b(3)}, 2, []int64{3}, 0},
		"old ones behind":              {[2][]byte{cat(b(5), b(2), b(3)), b(4)}, 3, []int64{4, 5}, 0},
		"half of the last":             {[2][]byte{cat(b(1), torn(2))}, 0, []int64{1}, 0},
		"half of the first":            {[2][]byte{cat(b(1), b(2)), torn(3)}, 0, []int64{1, 2}, 0},
		"half, old ones behind":        {[2][]byte{cat(torn(5), b(2), b(3)), b(4)}, 3, []int64{4}, 0},
		"head of the last lost":        {[2][]byte{cat(b(4), make([]byte, 40), b(2))}, 3, []int64{4}, 0},
		"damaged before the last":      {[2][]byte{cat(b(1), torn(2), b(3))}, 0, []int64{1, 2, 3}, 1},
		"damaged at the end of a file": {[2][]byte{cat(b(1), torn(2)), b(3)}, 0, []int64{1, 2, 3}, 1},
		"one missing":                  {[2][]byte{cat(b(1), b(3))}, 0, []int64{1, 3}, 1},
		"first missing":                {[2][]byte{b(2)}, 0, []int64{2}, 1},
	} {
		batches, problems := joinLogs(c.logs, testSalt, c.folded)
		var got []int64
		for _, b := range batches {
			got = append(got, b.number)
		}
		if !reflect.DeepEqual(got, c.want) || len(problems) != c.problems {
			t.Errorf("%s: batches %v, want %v; problems %v, want %d", name, got, c.want, problems, c.problems)
		}
	}
}

// A value may hold a whole batch: it is not taken for one, as its writer cannot
// know the salt; and even with the salt only where no batch is expected.
func TestBatchInsideValue(t *testing.T) {
	inner := testBatch(9, "forged")
	outer := testBatch(2, string(inner))
	batches, problems := joinLogs([2][]byte{append(testBatch(1, "x"), outer...)}, testSalt, 0)
	if len(batches) != 2 || len(problems) != 0 {
		t.Fatalf("%d batches, %v", len(batches), problems)
	}
	if got := parseLog(inner, [8]byte{9}); got != nil {
		t.Fatalf("a batch of another salt was read: %v", got)
	}
}

func FuzzLog(f *testing.F) {
	f.Add(testBatch(1, "value"), 5, byte(1))
	f.Add(append(testBatch(1, "value"), testBatch(2, "more")...), 40, byte(0x80))
	f.Fuzz(func(t *testing.T, log []byte, at int, flip byte) {
		whole := parseLog(log, testSalt)
		for _, b := range whole {
			if len(b.problems) == 0 && len(b.entries) == 0 && b.size != batchHead {
				t.Fatalf("batch %d of %d bytes has nothing in it", b.number, b.size)
			}
		}
		if len(log) == 0 || flip == 0 {
			return
		}
		at = int(uint(at) % uint(len(log)))
		log[at] ^= flip
		parseLog(log, testSalt) // must not crash
		joinLogs([2][]byte{log, testBatch(3, "x")}, testSalt, 0)
	})
}
