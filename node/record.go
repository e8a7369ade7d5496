package node

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"kula/ident"
	"kula/money"
)

// Record is one stored value under a kind and a key. Kind groups the values
// of one sort ("channel", "lock", …), Key is unique within its kind. A nil
// Value deletes the record; an empty one that is not nil is a value like any
// other. Several records with one kind and key in one batch: the last wins.
type Record struct {
	Kind  string
	Key   string
	Value []byte
}

// RowKind says why a balance changed. The text is what `kula book list` prints
// and what is hashed, so a spelling never changes.
type RowKind string

// The kinds of a row in the account book.
const (
	RowPayment    RowKind = "payment"    // I paid or was paid
	RowCarried    RowKind = "carried"    // I was the mediator of a payment: one row per friend
	RowSettlement RowKind = "settlement" // a debt repaid outside Kula
	RowCorrection RowKind = "correction" // figures that both sides agreed on
	RowOpening    RowKind = "opening"    // the first balance after a restore
	RowCircle     RowKind = "circle"     // a change in a circle's ledger
)

// Row is one change of one balance in the account book. Rows are numbered
// 1, 2, 3… over the whole book and chained by hash, so that a row can neither
// be changed nor taken out unnoticed.
type Row struct {
	Seq          uint64  // place in the book, from 1, without gaps
	Time         int64   // unix milliseconds
	Kind         RowKind // why the balance changed
	Friend       ident.ID
	Counterparty ident.ID       // who paid or was paid; zero if unknown
	Name         string         // name of the counterparty at that time
	Currency     money.Currency // of Change, Balance and Fee
	Change       money.Amount   // minor units; above zero: Friend owes me more
	Balance      money.Amount   // balance with Friend in Currency after the change
	Payment      string         // payment id, or ""
	Fee          money.Amount   // minor units of fee earned or paid
	Text         string         // free text of the payment or settlement
	Prev         [32]byte       // Hash of row Seq-1; zero in row 1
}

// Layout of a row's canonical bytes. The fixed part comes first so that a
// reader can pick a row by number or friend without reading the rest:
//
//	Seq 8 | Time 8 | Change 8 | Balance 8 | Fee 8 | Friend 32 | Counterparty 32 | Prev 32
//
// then Kind, Name, Currency, Payment and Text, each as length (4 bytes) and
// bytes. All integers are big endian; signed ones in two's complement. Nothing
// follows. Every row has exactly one spelling.
const (
	rowFriend  = 40  // offset of Friend: five integers of 8 bytes come before
	rowFixed   = 136 // bytes before the texts: 5 integers of 8 and 3 values of 32
	rowTexts   = 5   // Kind, Name, Currency, Payment, Text
	rowTextLen = 4   // bytes of a text's length
)

// rowTag separates the hash of a row from every other hash in Kula.
const rowTag = "kula/row/1\x00"

// Hash returns the SHA-256 of "kula/row/1", a zero byte and the row's canonical
// bytes, Prev included: the Prev of the next row.
func (r Row) Hash() [32]byte {
	buf := make([]byte, 0, 512) // a usual row is 200 to 300 bytes: stays on the stack
	buf = append(buf, rowTag...)
	return sha256.Sum256(r.Append(buf))
}

// Size returns the number of canonical bytes of the row.
func (r Row) Size() int {
	return rowFixed + rowTexts*rowTextLen +
		len(r.Kind) + len(r.Name) + len(r.Currency) + len(r.Payment) + len(r.Text)
}

// Append appends the row's canonical bytes to b and returns the longer slice.
func (r Row) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Change))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Balance))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Fee))
	b = append(b, r.Friend[:]...)
	b = append(b, r.Counterparty[:]...)
	b = append(b, r.Prev[:]...)
	b = appendText(b, string(r.Kind))
	b = appendText(b, r.Name)
	b = appendText(b, string(r.Currency))
	b = appendText(b, r.Payment)
	return appendText(b, r.Text)
}

func appendText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// ParseRow reads a row from exactly its canonical bytes. It checks the form
// only: what a row may say is the business of whoever wrote it. The result
// shares no memory with b.
func ParseRow(b []byte) (Row, error) {
	if len(b) < rowFixed {
		return Row{}, fmt.Errorf("row of %d bytes, at least %d expected", len(b), rowFixed+rowTexts*rowTextLen)
	}
	r := Row{
		Seq:          binary.BigEndian.Uint64(b),
		Time:         int64(binary.BigEndian.Uint64(b[8:])),
		Change:       money.Amount(binary.BigEndian.Uint64(b[16:])),
		Balance:      money.Amount(binary.BigEndian.Uint64(b[24:])),
		Fee:          money.Amount(binary.BigEndian.Uint64(b[32:])),
		Friend:       ident.ID(b[rowFriend : rowFriend+32]),
		Counterparty: ident.ID(b[rowFriend+32 : rowFriend+64]),
		Prev:         [32]byte(b[rowFriend+64 : rowFixed]),
	}
	var texts [rowTexts]string
	rest := b[rowFixed:]
	for i := range texts {
		if len(rest) < rowTextLen {
			return Row{}, fmt.Errorf("row ends inside the length of text %d of %d", i+1, rowTexts)
		}
		n := uint64(binary.BigEndian.Uint32(rest))
		rest = rest[rowTextLen:]
		if n > uint64(len(rest)) {
			return Row{}, fmt.Errorf("text %d of a row says %d bytes, %d are left", i+1, n, len(rest))
		}
		texts[i], rest = string(rest[:n]), rest[n:]
	}
	if len(rest) != 0 {
		return Row{}, fmt.Errorf("%d bytes after the end of a row", len(rest))
	}
	r.Kind, r.Name, r.Currency = RowKind(texts[0]), texts[1], money.Currency(texts[2])
	r.Payment, r.Text = texts[3], texts[4]
	return r, nil
}
