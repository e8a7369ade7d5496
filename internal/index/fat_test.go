package index

import (
	"fmt"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/p2p"
	"kula/money"
	"kula/route"
)

// Rule I6: an announcement costs its client's rate as often as it has currencies.
func TestPaceByCurrencies(t *testing.T) {
	s := startServer(t, Options{Rates: Rates{Announcements: 1000, AnnouncementBurst: 10_000}})
	for _, of := range []struct{ currencies, used int }{{0, 20}, {1, 20}, {32, 640}} {
		mallory := newPerson(t, fmt.Sprint("mallory", of.currencies))
		var list []route.Announcement
		for f := range 20 {
			a := route.Announcement{Node: mallory.key.ID(), Friend: ident.ID{byte(f), 1}, Number: 1, Expires: nowPlus(600)}
			for c := range of.currencies {
				a.Entries = append(a.Entries, route.Entry{Currency: money.Currency(fmt.Sprintf("C%02d/0", c)), CanReceive: 10})
			}
			list = append(list, a)
		}
		signed, err := route.SignAll(mallory.key, list)
		if err != nil {
			t.Fatal(err)
		}
		conn, began := mallory.open(s), time.Now()
		accept(t, conn, signed...)
		s.mu.Lock()
		even := s.accounts[mallory.key.ID()].announcements.even
		s.mu.Unlock()
		if used := even.Sub(began); used < time.Duration(of.used)*time.Millisecond {
			t.Errorf("20 announcements in %d currencies use %s of a rate of 1,000, want %d of them", of.currencies, used, of.used)
		}
	}
}

// Rule I6: a Feed costs its reader's rate by its bytes, on all its streams together.
func TestPaceOfFollowers(t *testing.T) {
	const rate = route.MaxFeedBytes/bytesForOne + 10 // one Feed at once, and one a second
	dir := t.TempDir()
	if err := WriteLog(dir, repeated(1000, 3*route.MaxFeed)); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, Options{Dir: dir, Rates: Rates{Questions: rate}})
	mallory := newPerson(t, "mallory")
	began, bytes := time.Now(), 0
	for _, conn := range []*p2p.Framed{mallory.open(s), mallory.open(s)} {
		send(t, conn, &route.Follow{})
		frame, err := conn.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		bytes += len(frame)
	}
	least := time.Duration(bytes/bytesForOne-rate) * time.Second / rate
	if took := time.Since(began); least < time.Second/10 || took < least {
		t.Errorf("%d bytes were read in %v, want at least %v", bytes, took, least)
	}
	if n := s.Counters().Paced; n != 1 {
		t.Errorf("%d of two Feeds waited, want the second", n)
	}
}

// Rule I8: the log is read in the places of those who verify, so that those who ask do not wait for it.
func TestFollowersTakeTurns(t *testing.T) {
	dir := t.TempDir()
	if err := WriteLog(dir, repeated(10, 10)); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, Options{Dir: dir})
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	var taken []ident.Suite
	for range cap(s.suites) {
		taken = append(taken, <-s.suites)
	}
	fed := make(chan error, 1)
	reading := ben.open(s)
	send(t, reading, &route.Follow{})
	go func() { _, err := reading.ReadFrame(); fed <- err }()
	asking := ana.open(s)
	send(t, asking, query(ana, ben, 10))
	next[*route.Answer](t, asking)
	select {
	case err := <-fed:
		t.Fatalf("a Feed without a place, %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	for _, suite := range taken {
		s.suites <- suite
	}
	if err := <-fed; err != nil {
		t.Error(err)
	}
}
