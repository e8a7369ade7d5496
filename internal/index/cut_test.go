package index

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kula/money"
	"kula/route"
	"kula/wire"
)

// grow adds announcements to the log of a directory that no server has open.
func grow(t *testing.T, dir string, list []wire.Batched) {
	t.Helper()
	f, err := openFeed(dir, func(wire.Batched, *route.Announcement) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.add(list); err != nil {
		t.Fatal(err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
}

// Rule I11: what a power cut took is read anew by those who had it, whatever was written in its place, and by nobody else.
func TestCutBetweenRecords(t *testing.T) {
	ana := newPerson(t, "ana")
	var said, other []wire.Batched
	for n := range 12 {
		said = append(said, ana.say(numbered(n), uint64(1000+n), 100, 600))
		other = append(other, ana.say(numbered(n), uint64(2000+n), 100, 600)) // as long
	}
	dir := t.TempDir()
	grow(t, dir, said)
	path := filepath.Join(dir, feedFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFeed(dir, func(wire.Batched, *route.Announcement) {})
	if err != nil {
		t.Fatal(err)
	}
	var places []route.Follow // after 0, 1, 2 … records
	at, sum := int64(feedHead), sumOf(f.epoch)
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for n := 0; ; n++ {
		places = append(places, route.Follow{Epoch: f.epoch, After: uint64(at), Sum: sum})
		if n == len(said) {
			break
		}
		if _, err := in.Seek(at, 0); err != nil {
			t.Fatal(err)
		}
		_, size, err := readRecord(in, &sum)
		if err != nil {
			t.Fatal(err)
		}
		at += size
	}
	f.close()
	same := func(a, b []wire.Batched) bool {
		return slices.EqualFunc(a, b, func(x, y wire.Batched) bool { return x.Sig == y.Sig })
	}
	for kept := range len(said) + 1 {
		for _, added := range []int{0, 1, len(said) - kept, len(other)} { // fewer, as many, more than what was cut off
			if err := os.WriteFile(path, whole[:places[kept].After], 0o600); err != nil {
				t.Fatal(err)
			}
			grow(t, dir, other[:added])
			f, err := openFeed(dir, func(wire.Batched, *route.Announcement) {})
			if err != nil {
				t.Fatal(err)
			}
			has := slices.Concat(said[:kept], other[:added])
			for n, q := range places {
				a, err := f.read(&q)
				if err != nil {
					t.Fatal(err)
				}
				want := has
				if n <= kept {
					want = has[n:]
				}
				if !same(a.Announcements, want) {
					t.Errorf("%d of %d records kept, %d added: who had read %d gets %d, want %d", kept, len(said), added, n, len(a.Announcements), len(want))
				}
			}
			f.close()
		}
	}
}

// Rule I11: a mirror has all of a server whose log lost its end and grew again meanwhile.
func TestMirrorAfterPowerCut(t *testing.T) {
	x := newSeat(t, "server")
	s := x.start(t)
	ana := newPerson(t, "ana")
	conn := ana.open(s)
	accept(t, conn, ana.say(numbered(0), 1, 100, 600))
	kept := s.feed.end
	accept(t, conn, ana.say(numbered(1), 1, 100, 600))
	m := NewMirror(newPerson(t, "mirror").host, slog.New(slog.DiscardHandler), 0)
	t.Cleanup(m.Close)
	m.Use([]Link{x.link})
	eventually(t, "the mirror has both", func() bool { _, n, _ := m.Size(); return n == 2 })
	s.Close()
	if err := os.Truncate(filepath.Join(x.dir, feedFile), kept); err != nil {
		t.Fatal(err)
	}
	grow(t, x.dir, []wire.Batched{ana.say(numbered(2), 1, 100, 600), ana.say(numbered(3), 1, 100, 600)})
	x.start(t)
	eventually(t, "the mirror has what came instead", func() bool { _, n, _ := m.Size(); return n == 4 })
}

// Rule I11: a Feed carries as much as it may and no more, says whether there is more, and costs its reader's rate by what it carries.
func TestFeedSize(t *testing.T) {
	ana := newPerson(t, "ana")
	var said []wire.Batched
	for n := range 250 { // two messages, as large as announcements can be
		a := route.Announcement{Node: ana.key.ID(), Friend: numbered(n), Number: 1, Expires: nowPlus(600)}
		for c := range route.MaxEntries {
			a.Entries = append(a.Entries, route.Entry{Currency: money.Currency(fmt.Sprintf("C%05d/2@%s", c, ana.key.ID())), CanReceive: 1200, FeeBase: 1 << 40, FeePpm: 99_999, MaxHold: 1 << 31})
		}
		signed, err := route.Sign(ana.key, a)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, signed)
	}
	small := slices.Collect(repeated(1000, 2*route.MaxFeed))
	for _, c := range []struct {
		name         string
		list         []wire.Batched
		most, atMost int // announcements of the first
	}{
		{"large ones", said, route.MaxFeedBytes / 3000, route.MaxFeedBytes / 2000},
		{"small ones", small, 2000, route.MaxFeed},
	} {
		dir := t.TempDir()
		if err := WriteLog(dir, slices.Values(c.list)); err != nil {
			t.Fatal(err)
		}
		s := startServer(t, Options{Dir: dir})
		reader := newPerson(t, "reader of "+c.name)
		conn := reader.open(s)
		got, feeds := 0, 0
		for at := (route.Follow{}); ; feeds++ {
			began := time.Now()
			send(t, conn, &at)
			frame, err := conn.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			m, err := route.DecodeMessage(frame)
			if err != nil {
				t.Fatal(err)
			}
			f := m.(*route.Feed)
			if len(frame) > route.MaxFeedBytes+64 {
				t.Errorf("%s: a message of %d bytes", c.name, len(frame))
			}
			if n := len(f.Announcements); feeds == 0 && (n < c.most || n > c.atMost) {
				t.Errorf("%s: %d announcements in a message of %d bytes, want %d to %d", c.name, n, len(frame), c.most, c.atMost)
			}
			got += len(f.Announcements)
			s.mu.Lock()
			even := s.accounts[reader.key.ID()].questions.even
			s.mu.Unlock()
			if used, of := even.Sub(began), time.Duration(1+len(frame)/bytesForOne)*time.Second/questionRate; used < of/2 {
				t.Errorf("%s: %d bytes use %v of the rate, want %v", c.name, len(frame), used, of)
			}
			if f.More != (got < len(c.list)) {
				t.Fatalf("%s: after %d of %d announcements it says that there is more: %v", c.name, got, len(c.list), f.More)
			}
			if !f.More {
				break
			}
			at.Epoch, at.After, at.Sum = f.Epoch, f.Next, f.Sum
		}
		if got != len(c.list) {
			t.Errorf("%s: %d of %d announcements in %d messages", c.name, got, len(c.list), feeds)
		}
	}
}

// Rules I3 and I11: what waits for a client that reads nothing is bounded in bytes.
func TestBacklog(t *testing.T) {
	var b backlog
	b.fewer.L = &b.mu
	b.add(bytesAhead)
	b.wait() // not yet
	b.add(1)
	over := make(chan struct{})
	go func() { b.wait(); close(over) }()
	select {
	case <-over:
		t.Fatal("more is worked on while too much waits")
	case <-time.After(20 * time.Millisecond):
	}
	b.add(-1)
	<-over
}

// FuzzLog: whatever is in the file, a log is opened with what is good of it, once and again, and read by a follower as it was read at the start.
func FuzzLog(f *testing.F) {
	key := keyOf("ana")
	head := append([]byte(feedMagic), make([]byte, feedHead-len(feedMagic))...)
	sum, log := sumOf(0), slices.Clone(head)
	for n := range 3 {
		signed, err := route.Sign(key, route.Announcement{Node: key.ID(), Friend: numbered(n), Number: 1, Expires: 2_000_000_000, Entries: []route.Entry{{Currency: eur, CanReceive: 10}}})
		if err != nil {
			f.Fatal(err)
		}
		log = appendRecord(log, signed, &sum)
	}
	for _, seed := range [][]byte{nil, head, head[:20], log, log[:len(log)-1], append(slices.Clone(log), 0, 0, 0, 0, 0, 0, 0, 0), append(slices.Clone(log), log[feedHead:]...)} {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, feedFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		var once, again []wire.Batched
		for _, list := range []*[]wire.Batched{&once, &again} {
			l, err := openFeed(dir, func(s wire.Batched, _ *route.Announcement) { *list = append(*list, s) })
			if err != nil {
				t.Fatal(err)
			}
			if l.dropped > 0 && list == &again || l.instance == 0 {
				t.Fatalf("%d bytes are dropped again, instance %x", l.dropped, l.instance)
			}
			records := 0
			for q := (&route.Follow{}); ; {
				a, err := l.read(q)
				if err != nil {
					t.Fatal(err)
				}
				records += len(a.Announcements)
				if !a.More {
					if a.Next != uint64(l.end) || a.Sum != l.sum {
						t.Fatalf("read to %d with %x, the log ends at %d with %x", a.Next, a.Sum, l.end, l.sum)
					}
					break
				}
				q = &route.Follow{Epoch: a.Epoch, After: a.Next, Sum: a.Sum}
			}
			if records < len(*list) {
				t.Fatalf("%d records for %d announcements", records, len(*list))
			}
			if err := l.close(); err != nil {
				t.Fatal(err)
			}
		}
		if len(once) != len(again) {
			t.Fatalf("%d announcements, and then %d", len(once), len(again))
		}
	})
}
