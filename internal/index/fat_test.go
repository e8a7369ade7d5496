package index

import (
	"fmt"
	"testing"
	"time"

	"kula/ident"
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
