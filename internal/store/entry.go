package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"

	"kula/node"
)

// Tags of the entries of a batch; see the package comment.
const (
	tagPut    = 'P'
	tagDelete = 'D'
	tagRow    = 'R'
)

// Sizes in bytes of the parts of an entry.
const (
	entryHead = 5 // tag and length
	entrySum  = 4
	nameHead  = 4 // both lengths in a body of a put or delete
)

// Limits of what Commit takes. A kind is a word of the program; a key is an id
// or two; a value holds at worst a channel with its 1,000 open locks and their
// blobs of 4 KiB. All are far from what SQLite can hold (1 GB a batch).
const (
	maxKind  = 64
	maxKey   = 1024
	maxValue = 16 << 20
	maxRow   = 1 << 20
	maxBatch = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entry is one change of a batch. For a row kind and key are empty and value is
// its canonical bytes. Value shares memory with the batch.
type entry struct {
	tag   byte
	kind  string
	key   string
	value []byte
	sum   uint32
}

// recordSize returns the bytes that a record takes in a batch.
func recordSize(r node.Record) int {
	return entryHead + nameHead + len(r.Kind) + len(r.Key) + len(r.Value) + entrySum
}

func rowSize(r node.Row) int { return entryHead + r.Size() + entrySum }

// appendRecord appends the entry of a record and returns it too.
func appendRecord(b []byte, r node.Record) ([]byte, entry) {
	e := entry{tag: tagPut, kind: r.Kind, key: r.Key}
	if r.Value == nil {
		e.tag = tagDelete
	}
	start := len(b)
	b = append(b, e.tag)
	b = binary.BigEndian.AppendUint32(b, uint32(nameHead+len(r.Kind)+len(r.Key)+len(r.Value)))
	b = appendNames(b, r.Kind, r.Key)
	b = append(b, r.Value...)
	e.value = b[len(b)-len(r.Value) : len(b) : len(b)]
	e.sum = crc32.Checksum(b[start:], castagnoli)
	return binary.BigEndian.AppendUint32(b, e.sum), e
}

// appendRow appends the entry of a row and returns it too.
func appendRow(b []byte, r node.Row) ([]byte, entry) {
	start := len(b)
	b = append(b, tagRow)
	b = binary.BigEndian.AppendUint32(b, uint32(r.Size()))
	b = r.Append(b)
	e := entry{tag: tagRow, value: b[start+entryHead : len(b) : len(b)], sum: crc32.Checksum(b[start:], castagnoli)}
	return binary.BigEndian.AppendUint32(b, e.sum), e
}

func appendNames(b []byte, kind, key string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(kind)))
	b = append(b, kind...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(key)))
	return append(b, key...)
}

// recordSum returns the sum of the put entry of a stored record.
func recordSum(kind, key string, value []byte) uint32 {
	head := make([]byte, 0, 128)
	head = append(head, tagPut)
	head = binary.BigEndian.AppendUint32(head, uint32(nameHead+len(kind)+len(key)+len(value)))
	head = appendNames(head, kind, key)
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, value)
}

// rowSum returns the sum of the entry of a stored row.
func rowSum(row []byte) uint32 {
	head := make([]byte, 0, entryHead)
	head = append(head, tagRow)
	head = binary.BigEndian.AppendUint32(head, uint32(len(row)))
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, row)
}

var (
	errEntry = errors.New("is cut off")
	errSum   = errors.New("does not match its checksum")
)

// parseEntry reads the entry that b begins with and returns its size. When the
// sum is wrong, entry and size are still what the bytes seem to say.
func parseEntry(b []byte) (entry, int, error) {
	if len(b) < entryHead+entrySum {
		return entry{}, 0, errEntry
	}
	n := uint64(binary.BigEndian.Uint32(b[1:]))
	if n > uint64(len(b)-entryHead-entrySum) {
		return entry{}, 0, errEntry
	}
	size := entryHead + int(n) + entrySum
	e := entry{tag: b[0], value: b[entryHead : size-entrySum : size-entrySum], sum: binary.BigEndian.Uint32(b[size-entrySum:])}
	if e.tag == tagPut || e.tag == tagDelete {
		if err := e.splitNames(); err != nil {
			return e, size, err
		}
	}
	if crc32.Checksum(b[:size-entrySum], castagnoli) != e.sum {
		return e, size, errSum
	}
	if e.tag != tagPut && e.tag != tagRow && (e.tag != tagDelete || len(e.value) != 0) {
		return e, size, fmt.Errorf("has the unknown form %q", e.tag)
	}
	return e, size, nil
}

// splitNames moves kind and key out of the body.
func (e *entry) splitNames() error {
	var names [2]string
	body := e.value
	for i := range names {
		if len(body) < 2 || len(body)-2 < int(binary.BigEndian.Uint16(body)) {
			return errEntry
		}
		n := int(binary.BigEndian.Uint16(body))
		names[i], body = string(body[2:2+n]), body[2+n:]
	}
	e.kind, e.key, e.value = names[0], names[1], body
	return nil
}

// name says which record or row an entry seems to be.
func (e entry) name() (kind, key string) {
	if e.tag != tagRow {
		return e.kind, e.key
	}
	if len(e.value) >= 8 {
		return bookKind, strconv.FormatUint(binary.BigEndian.Uint64(e.value), 10)
	}
	return bookKind, ""
}

// nextEntry returns where the next whole entry begins after a damaged one at
// at, or the end. Size is what the damaged one says of itself: a whole entry (or
// the end) there is the usual case, and then nothing between is searched.
func nextEntry(b []byte, at, size int) int {
	if size > 0 {
		if at+size == len(b) {
			return len(b)
		}
		if _, _, err := parseEntry(b[at+size:]); err == nil {
			return at + size
		}
	}
	for i := at + 1; i < len(b); i++ {
		if b[i] == tagPut || b[i] == tagDelete || b[i] == tagRow {
			if _, _, err := parseEntry(b[i:]); err == nil {
				return i
			}
		}
	}
	return len(b)
}
