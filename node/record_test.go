package node

import (
	"bytes"
	"strings"
	"testing"

	"kula/ident"
)

func sampleRow() Row {
	return Row{
		Seq: 7, Time: 1_700_000_000_123, Kind: RowCarried, Friend: ident.ID{1, 2}, Counterparty: ident.ID{3},
		Name: "Ana", Currency: "EUR/2", Change: -1250, Balance: 9_007_199_254_740_992, Payment: "p1", Fee: 3,
		Text: "Brot", Prev: [32]byte{9},
	}
}

func TestRowRoundTrip(t *testing.T) {
	for name, row := range map[string]Row{"full": sampleRow(), "zero": {}, "negative": {Change: -1 << 63, Balance: -1, Time: -5}} {
		b := row.Append(nil)
		if len(b) != row.Size() {
			t.Errorf("%s: Size says %d, Append wrote %d bytes", name, row.Size(), len(b))
		}
		back, err := ParseRow(b)
		if err != nil || back != row {
			t.Errorf("%s: read back %+v, %v", name, back, err)
		}
	}
}

// Every field is in the hash: otherwise it could be changed unnoticed.
func TestRowHashCoversEveryField(t *testing.T) {
	base := sampleRow()
	seen := map[[32]byte]string{base.Hash(): "base"}
	for name, change := range map[string]func(*Row){
		"Seq": func(r *Row) { r.Seq++ }, "Time": func(r *Row) { r.Time++ }, "Kind": func(r *Row) { r.Kind = RowPayment },
		"Friend": func(r *Row) { r.Friend[31]++ }, "Counterparty": func(r *Row) { r.Counterparty[31]++ },
		"Name": func(r *Row) { r.Name += "E" }, "Currency": func(r *Row) { r.Currency = "UR/2" },
		"Change": func(r *Row) { r.Change++ }, "Balance": func(r *Row) { r.Balance++ },
		"Payment": func(r *Row) { r.Payment = "" }, "Fee": func(r *Row) { r.Fee++ },
		"Text": func(r *Row) { r.Text = "p1Brot" }, "Prev": func(r *Row) { r.Prev[0]++ },
	} {
		row := base
		change(&row)
		if other, dup := seen[row.Hash()]; dup {
			t.Errorf("changing %s gives the hash of %s", name, other)
		}
		seen[row.Hash()] = name
	}
}

func TestParseRowRefuses(t *testing.T) {
	good := sampleRow().Append(nil)
	long := bytes.Clone(good)
	long[rowFixed] = 0xff // Kind of 4 GiB
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"empty":       {nil, "at least 156"},
		"no texts":    {good[:rowFixed], "text 1 of 5"},
		"cut in text": {good[:len(good)-1], "says 4 bytes, 3 are left"},
		"trailing":    {append(bytes.Clone(good), 0), "1 bytes after"},
		"huge text":   {long, "are left"},
	} {
		if _, err := ParseRow(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func FuzzParseRow(f *testing.F) {
	f.Add(sampleRow().Append(nil))
	f.Add(Row{}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		row, err := ParseRow(b)
		if err == nil && !bytes.Equal(row.Append(nil), b) {
			t.Fatalf("%x reads as %+v, which is written otherwise", b, row)
		}
	})
}

func BenchmarkRowHash(b *testing.B) {
	row := sampleRow()
	b.ReportAllocs()
	for b.Loop() {
		row.Prev = row.Hash()
	}
}
