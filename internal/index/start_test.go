package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kula/ident"
	"kula/route"
	"kula/wire"
)

// numbered is an identity that nobody has the key of.
func numbered(n int) (x ident.ID) {
	binary.BigEndian.PutUint64(x[8:], uint64(n+1)*0x9e3779b97f4a7c15)
	return x
}

// repeated is count announcements of pairs of people, about each pair in turn, the numbers rising from 1.
func repeated(pairs, count int) iter.Seq[wire.Batched] {
	return func(yield func(wire.Batched) bool) {
		for i := range count {
			a := route.Announcement{Node: numbered(i % pairs), Friend: numbered(pairs), Number: uint64(i + 1), Expires: nowPlus(3000), Entries: []route.Entry{{Currency: eur, CanReceive: 50}}}
			if !yield(wire.Batched{Body: a.Encode()}) {
				return
			}
		}
	}
}

// Rule I9: what counts after a start is what was logged last, in whatever order it was decoded; a record that is damaged ends the
// log; and only a log that is mostly out of date is written anew.
func TestStartFromLog(t *testing.T) {
	const pairs, few = 100, 3*chunkRecords + 7
	for _, c := range []struct {
		name    string
		count   int
		damaged int // record, -1 for none
		last    int // the last that counts
		anew    bool
	}{
		{"a few chunks", few, -1, few, false},
		{"one record", 1, -1, 1, false},
		{"nothing", 0, -1, 0, false},
		{"a whole number of chunks", 2 * chunkRecords, -1, 2 * chunkRecords, false},
		{"damaged", few, 2*chunkRecords + 5, 2*chunkRecords + 5, false},
		{"damaged at once", few, 0, 0, false},
		{"mostly out of date", freshRecords + 2*pairs + 1, -1, freshRecords + 2*pairs + 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := WriteLog(dir, repeated(pairs, c.count)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, feedFile)
			log, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			at := feedHead
			if c.damaged >= 0 {
				for range c.damaged {
					at += recordHead + int(binary.BigEndian.Uint32(log[at:]))
				}
				log[at+recordHead+9] ^= 1
				if err := os.WriteFile(path, log, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var said bytes.Buffer
			s := startServer(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				dropped := fmt.Sprintf("bytes=%d ", len(log)-at)
				if warned := strings.Contains(said.String(), "level=WARN") && strings.Contains(said.String(), dropped); warned != (c.damaged >= 0) {
					t.Errorf("want a warning of %s: %v\n%s", dropped, c.damaged >= 0, said.String())
				}
			}()
			for p := range min(pairs, c.last) {
				want := uint64((c.last-1-p)/pairs*pairs + p + 1)
				if n, _ := s.graph.Newest(numbered(p), numbered(pairs)); n != want {
					t.Fatalf("pair %d: number %d, want %d", p, n, want)
				}
			}
			if _, n, _ := s.graph.Size(); n != min(pairs, c.last) {
				t.Errorf("%d announcements", n)
			}
			if anew := s.feed.epoch != binary.BigEndian.Uint64(log[len(feedMagic):]); anew != c.anew {
				t.Errorf("a new epoch: %v", anew)
			}
			info, err := os.Stat(path)
			if err != nil || info.Size() != s.feed.end || c.damaged >= 0 && info.Size() != int64(at) || c.anew && info.Size() > int64(len(log))/50 {
				t.Errorf("the log has %d bytes of %d, %v", info.Size(), len(log), err)
			}
		})
	}
}

// BenchmarkStart starts a server with a million announcements.
func BenchmarkStart(b *testing.B) {
	const nodes = 100_000
	dir := b.TempDir()
	expires := time.Now().Unix() + 3000
	err := WriteLog(dir, func(yield func(wire.Batched) bool) {
		for n := range nodes {
			for k := range 10 {
				friend := n ^ 1<<k
				a := route.Announcement{Node: numbered(n), Friend: numbered(friend), Number: 5, Expires: expires,
					Entries: []route.Entry{{Currency: eur, CanReceive: 120, FeeBase: 1, FeePpm: 300}}}
				if !yield(wire.Batched{Body: a.Encode()}) {
					return
				}
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s := startServer(b, Options{Dir: dir})
		if _, n, _ := s.graph.Size(); n != 10*nodes {
			b.Fatal(n)
		}
		s.Close()
	}
}
