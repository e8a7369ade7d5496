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
	// feedMagic begins it; eight bytes of epoch follow.
	feedMagic = "KULAIDX4"
	feedHead  = len(feedMagic) + 8
	// recordHead is a record's length and its CRC-32, four bytes each.
	recordHead = 8
	// feedSlack is how much of the log may be out of date before it is written anew, beside
	// what was of use when it was last: it bounds the disk at twice that and this.
	feedSlack = 64 << 20
)

// feed is the log of all announcements accepted, byte for byte as they were signed: what a
// server starts with, and what its followers read (rules I11 and I12). A place in it is a
// file offset, good for one epoch. It is not synced: what a power cut takes away the nodes
// say again within half an hour.
type feed struct {
	mu    sync.Mutex
	file  *os.File
	path  string
	epoch uint64
	end   int64
	base  int64 // end when the log was last written anew

	dropped int64 // bytes that were no records when it was opened
}

// openFeed opens the log of a directory, a new one if there is none, and calls each with
// every announcement, in order. What follows the last good record is cut off, and a new epoch
// begins: a follower's place could be beyond it. Errors are those of the file system.
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
	f.end = int64(feedHead) + replay(file, each)
	f.base = f.end
	if f.dropped = size - f.end; f.dropped == 0 {
		return f, nil
	}
	if err := errors.Join(file.Truncate(f.end), f.head(file)); err != nil {
		return nil, errors.Join(fmt.Errorf("log of announcements: %w", err), file.Close())
	}
	return f, nil
}

// begin makes a file an empty log of a new epoch.
func (f *feed) begin(file *os.File) error {
	f.end = int64(feedHead)
	f.base = f.end
	if err := file.Truncate(0); err != nil {
		return err
	}
	return f.head(file)
}

// head writes the head of a log, with a new epoch.
func (f *feed) head(file *os.File) error {
	var epoch [8]byte
	rand.Read(epoch[:])
	f.epoch = binary.BigEndian.Uint64(epoch[:]) | 1 // 0 is nobody's
	_, err := file.WriteAt(binary.BigEndian.AppendUint64([]byte(feedMagic), f.epoch), 0)
	return err
}

// readRecord reads one announcement and says how long its record is.
func readRecord(in io.Reader) (s wire.Batched, n int64, err error) {
	body, err := readBody(in)
	if err != nil {
		return s, 0, err
	}
	return s, recordHead + int64(len(body)), wire.Unmarshal(body, &s)
}

func appendRecord(b []byte, s wire.Batched) []byte {
	body := wire.Marshal(&s)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(body))
	return append(b, body...)
}

// add appends announcements.
func (f *feed) add(list []wire.Batched) error {
	var b []byte
	for _, s := range list {
		b = appendRecord(b, s)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.file.WriteAt(b, f.end); err != nil {
		return fmt.Errorf("log of announcements: %w", err)
	}
	f.end += int64(len(b))
	return nil
}

// grown says whether so much was added since the log was last written anew that it is time again.
func (f *feed) grown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end > 2*f.base+feedSlack
}

// read gives what follows a place: all from the beginning if the epoch is another.
func (f *feed) read(q *route.Follow) (*route.Feed, error) {
	f.mu.Lock()
	file, epoch, end := f.file, f.epoch, f.end
	f.mu.Unlock()
	a := &route.Feed{Epoch: epoch, Next: uint64(feedHead)}
	if q.Epoch == epoch && q.After >= uint64(feedHead) && q.After <= uint64(end) {
		a.Next = q.After
	}
	in := bufio.NewReaderSize(io.NewSectionReader(file, int64(a.Next), end-int64(a.Next)), 64<<10)
	for len(a.Announcements) < route.MaxPublish && int64(a.Next) < end {
		s, n, err := readRecord(in)
		if err != nil {
			return nil, fmt.Errorf("log of announcements at %d: %w", a.Next, err)
		}
		a.Announcements, a.Next = append(a.Announcements, s), a.Next+uint64(n)
	}
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
	end := f.end
	f.mu.Unlock()
	if err = next.begin(fresh); err == nil {
		err = next.copy(f.file, int64(feedHead), end, keep)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		err = next.copy(f.file, end, f.end, func(wire.Batched) bool { return true })
	}
	if err == nil {
		err = os.Rename(f.path+".new", f.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("log of announcements: %w", err), fresh.Close())
	}
	old := f.file // who still reads in it gets an error, and begins again
	f.file, f.epoch, f.end, f.base = fresh, next.epoch, next.end, next.end
	return old.Close()
}

// copy appends the records of another log from one place to another, without what keep does not want.
func (f *feed) copy(from *os.File, at, end int64, keep func(s wire.Batched) bool) error {
	in := bufio.NewReaderSize(io.NewSectionReader(from, at, end-at), 1<<20)
	var b []byte
	flush := func() error {
		_, err := f.file.WriteAt(b, f.end)
		f.end += int64(len(b))
		b = b[:0]
		return err
	}
	for at < end {
		s, n, err := readRecord(in)
		if err != nil {
			return err
		}
		at += n
		if keep(s) {
			b = appendRecord(b, s)
		}
		if len(b) > 1<<20 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (f *feed) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
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
		b = appendRecord(b[:0], s)
		if _, err := out.Write(b); err != nil {
			return fmt.Errorf("log of announcements: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("log of announcements: %w", err)
	}
	return nil
}
