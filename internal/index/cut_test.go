package index

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

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
