package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"

	"kula/node"
)

// batchHead is the size of a batch's head: salt 8, number 8, length 4, entries 4,
// sum of the entries 4, sum of the head 4.
const batchHead = 32

// growBy is the number of zero bytes by which a log file is made longer before
// it is written to. Writing inside a file syncs twice as fast as growing it, so
// growing is done rarely: once in some 80 batches of one payment, and never
// again when the file has the size of a window.
const growBy = 256 << 10

// batchLog is the two files that batches are written to in turn: one for each
// window. It is used under DB.write.
type batchLog struct {
	files [2]*os.File
	sizes [2]int64
	now   int   // the file that is written to
	at    int64 // where
	salt  [8]byte
}

func logPath(path string, i int) string { return path + ".batches" + strconv.Itoa(i) }

// readLogs returns the content of both files; one that does not exist is nil.
func readLogs(path string) (content [2][]byte, err error) {
	for i := range content {
		content[i], err = os.ReadFile(logPath(path, i))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return content, err
		}
	}
	return content, nil
}

// create makes both files anew and empty.
func (l *batchLog) create(path string, salt [8]byte) (err error) {
	l.salt = salt
	for i := range l.files {
		if l.files[i], err = os.OpenFile(logPath(path, i), os.O_CREATE|os.O_TRUNC|os.O_RDWR, fileMode); err != nil {
			return err
		}
	}
	return nil
}

// write appends a batch to the file of the active window and waits until it is
// on disk.
func (l *batchLog) write(batch []byte) error {
	f, end := l.files[l.now], l.at+int64(len(batch))
	if end > l.sizes[l.now] {
		if _, err := f.WriteAt(make([]byte, growBy), end); err != nil {
			return err
		}
		l.sizes[l.now] = end + growBy
	}
	if _, err := f.WriteAt(batch, l.at); err != nil {
		return err
	}
	if err := syncData(f); err != nil {
		return err
	}
	l.at = end
	return nil
}

// turn goes on in the other file, from its beginning. What is in it must have
// been folded.
func (l *batchLog) turn() { l.now, l.at = 1-l.now, 0 }

// read returns what was written to both files since each was begun.
func (l *batchLog) read() (content [2][]byte, err error) {
	for i, f := range l.files {
		if f == nil {
			continue
		}
		content[i] = make([]byte, l.sizes[i])
		if _, err := f.ReadAt(content[i], 0); err != nil && !errors.Is(err, io.EOF) {
			return content, err
		}
	}
	return content, nil
}

func (l *batchLog) close() error {
	var err error
	for _, f := range l.files {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// encodeBatch writes a batch of exactly size bytes. The entries share its memory.
func encodeBatch(size int, salt [8]byte, number int64, records []node.Record, rows []node.Row) ([]byte, []entry) {
	entries := make([]entry, len(records)+len(rows))
	b := make([]byte, batchHead, size)
	for i, r := range records {
		b, entries[i] = appendRecord(b, r)
	}
	for i, r := range rows {
		b, entries[len(records)+i] = appendRow(b, r)
	}
	copy(b, salt[:])
	binary.BigEndian.PutUint64(b[8:], uint64(number))
	binary.BigEndian.PutUint32(b[16:], uint32(len(b)-batchHead))
	binary.BigEndian.PutUint32(b[20:], uint32(len(entries)))
	binary.BigEndian.PutUint32(b[24:], crc32.Checksum(b[batchHead:], castagnoli))
	binary.BigEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
	return b, entries
}

// batch is one that was read back.
type batch struct {
	number   int64
	size     int
	entries  []entry   // those that are whole
	problems []Problem // the others
}

// parseHead reads the head that b begins with; ok means that it is one, of this
// opening, and that its entries fit into b.
func parseHead(b []byte, salt [8]byte) (number int64, size int, ok bool) {
	if len(b) < batchHead || !bytes.Equal(b[:8], salt[:]) ||
		crc32.Checksum(b[:28], castagnoli) != binary.BigEndian.Uint32(b[28:]) {
		return 0, 0, false
	}
	length := uint64(binary.BigEndian.Uint32(b[16:]))
	number = int64(binary.BigEndian.Uint64(b[8:]))
	return number, batchHead + int(length), number > 0 && length <= uint64(len(b)-batchHead)
}

// parseBatch reads a batch whose head is good. It returns the entries that are
// whole and one problem for each that is not.
func parseBatch(b []byte, number int64) batch {
	body := b[batchHead:]
	out := batch{number: number, size: len(b)}
	damaged := crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[24:])
	for at := 0; at < len(body); {
		e, size, err := parseEntry(body[at:])
		if err == nil {
			out.entries = append(out.entries, e)
			at += size
			continue
		}
		kind, key := e.name()
		if kind == "" {
			kind, key = batchKind, strconv.FormatInt(number, 10)
		}
		out.problems = append(out.problems, Problem{kind, key, fmt.Sprintf("in batch %d: the entry at byte %d %v", number, at, err)})
		at = nextEntry(body, at, size)
	}
	if want := binary.BigEndian.Uint32(b[20:]); len(out.problems) == 0 && (damaged || uint64(want) != uint64(len(out.entries))) {
		what := fmt.Sprintf("its %d entries are not the %d that it was written with", len(out.entries), want)
		out.problems = []Problem{{batchKind, strconv.FormatInt(number, 10), what}}
	}
	return out
}

// parseLog reads the batches of one file. After the last batch may come half of
// one, which a crash cut off before its Commit returned, and then batches of
// older windows: their numbers are smaller.
func parseLog(b []byte, salt [8]byte) []batch {
	var all []batch
	due := int64(0)
	for at := 0; ; {
		number, size, ok := parseHead(b[at:], salt)
		if !ok || number < due {
			if at = nextHead(b, at+1, salt, due); at < 0 {
				return all
			}
			continue
		}
		all = append(all, parseBatch(b[at:at+size], number))
		due = number + 1
		at += size
	}
}

// nextHead finds the next good head of a batch with at least the number due, from
// at on; -1 if there is none.
func nextHead(b []byte, at int, salt [8]byte, due int64) int {
	for at < len(b) {
		i := bytes.Index(b[at:], salt[:])
		if i < 0 {
			return -1
		}
		at += i
		if number, _, ok := parseHead(b[at:], salt); ok && number >= due {
			return at
		}
		at++
	}
	return -1
}

// joinLogs puts the batches of both files in order. Those up to folded are left
// out: they are in the tables. A damaged batch at the very end was cut off by a
// crash before its Commit returned, so it is left out too.
func joinLogs(content [2][]byte, salt [8]byte, folded int64) (all []batch, problems []Problem) {
	older, newer := parseLog(content[0], salt), parseLog(content[1], salt)
	if len(older) > 0 && len(newer) > 0 && older[0].number > newer[0].number {
		older, newer = newer, older
	}
	last := folded
	for _, b := range append(older, newer...) {
		if b.number > folded {
			all = append(all, b)
		}
	}
	if n := len(all); n > 0 && len(all[n-1].problems) > 0 {
		all = all[:n-1]
	}
	for _, b := range all {
		if b.number != last+1 {
			what := fmt.Sprintf("missing: batch %d follows batch %d", b.number, last)
			problems = append(problems, Problem{batchKind, strconv.FormatInt(last+1, 10), what})
		}
		problems = append(problems, b.problems...)
		last = b.number
	}
	return all, problems
}
