package index

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"kula/route"
	"kula/wire"
)

const (
	// feedFile is the log in a server's directory.
	feedFile = "announcements.log"
	// feedMagic begins it; eight bytes of epoch follow, and the mark: eight of instance and eight of the log's end, 0 while it is
	// open.
	feedMagic = "KULAIDX5"
	feedMark  = len(feedMagic) + 8
	feedHead  = feedMark + 16
	// recordHead is a record's length and the CRC-32 of all bodies up to its own, after the epoch: four bytes each.
	recordHead = 8
	// feedSlack is how much of the log may be out of date before it is written anew, beside
	// what was of use when it was last: it bounds the disk at twice that and this.
	feedSlack = 64 << 20
)

// feed is the log of all announcements accepted, byte for byte as they were signed: what a
// server starts with, and what its followers read (rules I11 and I12). A place in it is a
// file offset in an epoch, and the sum of what is before it. A record's checksum goes on from the sum of what is before it, so reading one
// proves that too: a place is good as long as the log has what it had up to there, whatever was cut off and written after that.
// It is not synced: what a power cut takes away the nodes say again within half an hour.
//
// The instance (rule R21 of package route) is kept from one run to the next by the mark, which is written when everything before it
// is on the disk, and taken away, on the disk too, before anything is added. So a log that may have lost a record, or never got it, has none.
type feed struct {
	mu    sync.Mutex
	file  *os.File
	path  string
	epoch uint64
	end   int64
	sum   uint32 // of all up to end
	base  int64  // end when the log was last written anew

	instance uint64 // of what the log holds; never 0
	lost     bool   // something is missing in it

	dropped int64 // bytes that were no records when it was opened
}

// openFeed opens the log of a directory, a new one if there is none, and calls each with
// every announcement, in order. What follows the last good record is cut off. Errors are those of the file system.
func openFeed(dir string, each func(s wire.Batched, a *route.Announcement)) (*feed, error) {
	f := &feed{path: filepath.Join(dir, feedFile)}
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of announcements: %w", err)
	}
	f.file = file
	size, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log of announcements: %w", err), file.Close())
	}
	head := make([]byte, feedHead)
	if _, err := io.ReadFull(file, head); err != nil || string(head[:len(feedMagic)]) != feedMagic {
		if err := f.begin(file); err != nil {
			return nil, errors.Join(fmt.Errorf("log of announcements: %w", err), file.Close())
		}
		f.dropped = size
		return f, nil
	}
	f.epoch = binary.BigEndian.Uint64(head[len(feedMagic):])
	good, sum, unread := replay(file, sumOf(f.epoch), each)
	f.end, f.sum = int64(feedHead)+good, sum
	f.base = f.end
	f.dropped = size - f.end
	if f.dropped > 0 {
		err = file.Truncate(f.end)
	}
	f.instance = binary.BigEndian.Uint64(head[feedMark:])
	if end := binary.BigEndian.Uint64(head[feedMark+8:]); f.instance == 0 || end != uint64(size) || f.dropped > 0 || unread > 0 {
		f.instance = newNumber()
	}
	if err = errors.Join(err, f.mark(0, 0)); err != nil {
		return nil, errors.Join(fmt.Errorf("log of announcements: %w", err), file.Close())
	}
	return f, nil
}

// mark says on the disk which instance the log holds whole, up to where; 0 if that cannot be said.
func (f *feed) mark(instance uint64, end int64) error {
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, instance), uint64(end))
	if _, err := f.file.WriteAt(b, int64(feedMark)); err != nil {
		return err
	}
	return f.file.Sync()
}

// sumOf is the sum of an empty log.
func sumOf(epoch uint64) uint32 {
	return crc32.ChecksumIEEE(binary.BigEndian.AppendUint64(nil, epoch))
}

// newNumber is an epoch or instance that nobody had.
func newNumber() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) | 1 // 0 is nobody's
}

// begin makes a file an empty log of a new epoch.
func (f *feed) begin(file *os.File) error {
	f.end = int64(feedHead)
	f.base = f.end
	f.instance = newNumber()
	if err := file.Truncate(0); err != nil {
		return err
	}
	return f.head(file)
}

// head writes the head of a log, with a new epoch and no mark.
func (f *feed) head(file *os.File) error {
	f.epoch = newNumber()
	f.sum = sumOf(f.epoch)
	b := make([]byte, feedHead)
	binary.BigEndian.PutUint64(b[copy(b, feedMagic):], f.epoch)
	_, err := file.WriteAt(b, 0)
	return err
}

// readRecord reads one announcement after sum, to which it adds the record, and says how long that is.
func readRecord(in io.Reader, sum *uint32) (s wire.Batched, n int64, err error) {
	body, err := readBody(in, sum)
	if err != nil {
		return s, 0, err
	}
	return s, recordHead + int64(len(body)), wire.Unmarshal(body, &s)
}

// appendRecord appends a record to b that follows sum, to which it is added.
func appendRecord(b []byte, s wire.Batched, sum *uint32) []byte {
	body := wire.Marshal(&s)
	*sum = crc32.Update(*sum, crc32.IEEETable, body)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, *sum)
	return append(b, body...)
}

// add appends announcements.
func (f *feed) add(list []wire.Batched) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b []byte
	sum := f.sum
	for _, s := range list {
		b = appendRecord(b, s, &sum)
	}
	if _, err := f.file.WriteAt(b, f.end); err != nil {
		f.lost = true
		return fmt.Errorf("log of announcements: %w", err)
	}
	f.end, f.sum = f.end+int64(len(b)), sum
	return nil
}

// grown says whether so much was added since the log was last written anew that it is time again.
func (f *feed) grown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end > 2*f.base+feedSlack
}

// read gives what follows a place: all from the beginning if the log has something else before it, or is another.
func (f *feed) read(q *route.Follow) (*route.Feed, error) {
	f.mu.Lock()
	file, epoch, end, sum := f.file, f.epoch, f.end, f.sum
	f.mu.Unlock()
	if q.Epoch == epoch && q.After >= uint64(feedHead) && q.After <= uint64(end) {
		if q.After == uint64(end) && q.Sum != sum {
			return readFeed(file, epoch, uint64(feedHead), sumOf(epoch), end)
		}
		if a, err := readFeed(file, epoch, q.After, q.Sum, end); err == nil {
			return a, nil
		}
	}
	return readFeed(file, epoch, uint64(feedHead), sumOf(epoch), end)
}

// readFeed reads records from a place on.
func readFeed(file *os.File, epoch, at uint64, sum uint32, end int64) (*route.Feed, error) {
	a := &route.Feed{Epoch: epoch, Next: at, Sum: sum}
	in := bufio.NewReaderSize(io.NewSectionReader(file, int64(at), end-int64(at)), 64<<10)
	for len(a.Announcements) < route.MaxFeed && int64(a.Next) < end && a.Next-at+maxRecord <= route.MaxFeedBytes {
		s, n, err := readRecord(in, &a.Sum)
		if err != nil {
			return nil, fmt.Errorf("log of announcements at %d: %w", a.Next, err)
		}
		a.Announcements, a.Next = append(a.Announcements, s), a.Next+uint64(n)
	}
	a.More = int64(a.Next) < end
	return a, nil
}

// rewrite leaves out of the log what keep does not want, and begins a new epoch. What is added meanwhile
// is taken over as it is; additions wait for that only. It is called by one goroutine at a time.
func (f *feed) rewrite(keep func(s wire.Batched) bool) (err error) {
	fresh, err := os.OpenFile(f.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("log of announcements: %w", err)
	}
	next := &feed{file: fresh, path: f.path}
	f.mu.Lock()
	end, sum := f.end, sumOf(f.epoch)
	f.mu.Unlock()
	if err = next.begin(fresh); err == nil {
		err = next.copy(f.file, int64(feedHead), end, &sum, keep)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		err = next.copy(f.file, end, f.end, &sum, func(wire.Batched) bool { return true })
	}
	if err == nil {
		err = os.Rename(f.path+".new", f.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("log of announcements: %w", err), fresh.Close())
	}
	old := f.file // who still reads in it gets an error, and begins again
	f.file, f.epoch, f.end, f.sum, f.base = fresh, next.epoch, next.end, next.sum, next.end
	return old.Close()
}

// copy appends the records of another log from one place, where its sum is given, to another, without what keep does not want.
func (f *feed) copy(from *os.File, at, end int64, sum *uint32, keep func(s wire.Batched) bool) error {
	in := bufio.NewReaderSize(io.NewSectionReader(from, at, end-at), 1<<20)
	var b []byte
	flush := func() error {
		_, err := f.file.WriteAt(b, f.end)
		f.end += int64(len(b))
		b = b[:0]
		return err
	}
	for at < end {
		s, n, err := readRecord(in, sum)
		if err != nil {
			return err
		}
		at += n
		if keep(s) {
			b = appendRecord(b, s, &f.sum)
		}
		if len(b) > 1<<20 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// close is called when nothing more will be added.
func (f *feed) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	if !f.lost {
		if err = f.file.Sync(); err == nil {
			err = f.mark(f.instance, f.end)
		}
	}
	return errors.Join(err, f.file.Close())
}

// WriteLog makes the log with which a server in dir starts, in place of one that is there. Nothing is verified: a server
// believes its own log, so only what was verified before belongs in it. Errors are those of the file system.
func WriteLog(dir string, list iter.Seq[wire.Batched]) (err error) {
	file, err := os.OpenFile(filepath.Join(dir, feedFile), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("log of announcements: %w", err)
	}
	f := &feed{file: file}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := f.begin(file); err != nil {
		return fmt.Errorf("log of announcements: %w", err)
	}
	if _, err := file.Seek(f.end, io.SeekStart); err != nil {
		return fmt.Errorf("log of announcements: %w", err)
	}
	out := bufio.NewWriterSize(file, 1<<20)
	var b []byte
	for s := range list {
		b = appendRecord(b[:0], s, &f.sum)
		if _, err := out.Write(b); err != nil {
			return fmt.Errorf("log of announcements: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("log of announcements: %w", err)
	}
	return nil
}
