package find

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"kula/ident"
)

// N-10, N-12: published at a relay and looked up there; the later record counts.
func TestRelay(t *testing.T) {
	s := httptest.NewServer(NewRelay())
	defer s.Close()
	f := open(t, s.URL)
	seed := seedOf(5)
	key := keyOf(seed)
	if _, err := f.Resolve(within(t), key); !errors.Is(err, errNone) {
		t.Errorf("before: %v", err)
	}
	for _, addrs := range [][]string{{"/ip4/192.0.2.1/tcp/1"}, {"/ip4/192.0.2.2/tcp/1", "/ip4/192.0.2.3/tcp/1"}} {
		if err := f.Publish(within(t), seed, addrs); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Resolve(within(t), key); err != nil || !slices.Equal(got, addrs) {
			t.Errorf("%q, %v; want %q", got, err, addrs)
		}
	}
	old, err := New(seed, []string{"/ip4/192.0.2.4/tcp/1"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if code := put(t, s.URL, key, old.Payload()); code != http.StatusConflict {
		t.Errorf("an old record: %d", code)
	}
	if code := put(t, s.URL, keyOf(seedOf(6)), old.Payload()); code != http.StatusBadRequest {
		t.Errorf("a record under a wrong key: %d", code)
	}
	if code := put(t, s.URL, key, make([]byte, 5000)); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a long record: %d", code)
	}
	for range burstPerPrefix {
		put(t, s.URL, key, nil)
	}
	if code := put(t, s.URL, key, nil); code != http.StatusTooManyRequests {
		t.Errorf("after %d records: %d", burstPerPrefix, code)
	}
}

// restarting is a relay that can be stopped and started again without what it knew.
type restarting struct {
	t    *testing.T
	addr string
	*http.Server
	puts atomic.Int32 // in all
}

func (s *restarting) start() {
	s.t.Helper()
	addr := "127.0.0.1:0"
	if s.addr != "" {
		addr = s.addr
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = l.Addr().String()
	relay := NewRelay()
	s.Server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			s.puts.Add(1)
		}
		relay.ServeHTTP(w, r)
	})}
	go s.Serve(l)
	s.t.Cleanup(func() { s.Close() })
}

// N-12: a relay that was restarted, or was not there, or has an older record gets it from Renew; one that has it, or a newer one, does not.
func TestRelayThatStartsAgain(t *testing.T) {
	here, away := &restarting{t: t}, &restarting{t: t}
	here.start()
	away.start()
	away.Close()
	f := open(t, "http://"+here.addr, "http://"+away.addr)
	seed := seedOf(9)
	key, want := keyOf(seed), []string{"/ip4/192.0.2.1/tcp/1"}
	if err := f.Renew(within(t)); err != nil {
		t.Errorf("before anything was published: %v", err)
	}
	if err := f.Publish(within(t), seed, want); err != nil {
		t.Fatal(err)
	}
	if err := f.Renew(within(t)); err == nil || !strings.Contains(err.Error(), away.addr) || strings.Contains(err.Error(), here.addr) {
		t.Errorf("one relay is away: %v", err)
	}
	here.Close()
	here.start()
	away.start()
	for _, s := range []*restarting{here, away} {
		if got, err := open(t, "http://"+s.addr).Resolve(within(t), key); !errors.Is(err, errNone) {
			t.Errorf("after a restart: %q, %v", got, err)
		}
	}
	old, err := New(seed, []string{"/ip4/192.0.2.3/tcp/1"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if code := put(t, "http://"+away.addr, key, old.Payload()); code != http.StatusNoContent {
		t.Errorf("an old record at a new relay: %d", code)
	}
	for range 3 {
		if err := f.Renew(within(t)); err != nil {
			t.Error(err)
		}
	}
	for s, puts := range map[*restarting]int32{here: 2, away: 2} {
		if got, err := open(t, "http://"+s.addr).Resolve(within(t), key); err != nil || !slices.Equal(got, want) || s.puts.Load() != puts {
			t.Errorf("after Renew: %q, %v, %d times; want %q, %d times", got, err, s.puts.Load(), want, puts)
		}
	}
	newer := []string{"/ip4/192.0.2.2/tcp/1"}
	if err := open(t, "http://"+here.addr).Publish(within(t), seed, newer); err != nil {
		t.Fatal(err)
	}
	if err := f.Renew(within(t)); err != nil {
		t.Error(err)
	}
	if got, err := f.Resolve(within(t), key); err != nil || !slices.Equal(got, newer) || here.puts.Load() != 3 {
		t.Errorf("a newer one of the same key: %q, %v, %d times", got, err, here.puts.Load())
	}
}

func put(t *testing.T, base string, key ident.ID, body []byte) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, base+"/"+key.String(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// What strangers publish is bounded.
func TestRelayIsBounded(t *testing.T) {
	s := NewRelay()
	packet := make([]byte, 0, 32)
	for i := range maxRecords + 10 {
		var key ident.ID
		copy(key[:], fmt.Sprint(i))
		s.take(&Record{Key: key, Time: 1, Packet: packet})
	}
	if len(s.records) != maxRecords || s.order.Len() != maxRecords {
		t.Errorf("%d records, at most %d", len(s.records), maxRecords)
	}
	for i := range maxPrefixes + 10 {
		s.allow(fmt.Sprintf("10.%d.%d.1:1", i/256, i%256))
	}
	if len(s.paces) > maxPrefixes {
		t.Errorf("%d prefixes, at most %d", len(s.paces), maxPrefixes)
	}
}

// A relay that lies is not believed: a record of another key, an endless answer, a redirect.
func TestLyingRelay(t *testing.T) {
	record, err := New(seedOf(7), []string{"/ip4/192.0.2.1/tcp/1"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"another key": func(w http.ResponseWriter, _ *http.Request) { w.Write(record.Payload()) },
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"error":    func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 500) },
	} {
		s := httptest.NewServer(answer)
		if got, err := open(t, s.URL).Resolve(within(t), keyOf(seedOf(8))); err == nil || !strings.Contains(err.Error(), s.URL) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		s.Close()
	}
}

func TestPlaces(t *testing.T) {
	for _, good := range []string{"dht", "dht:127.0.0.1:1", "dht:[::1]:1", "http://127.0.0.1:1", "https://relay.example/pkarr/"} {
		if err := CheckPlace(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "DHT", "dht:", "dht:here", "relay.example", "ftp://x", "https://", "https://x/?a=b"} {
		if CheckPlace(bad) == nil {
			t.Errorf("%q is taken for a place", bad)
		}
	}
	if _, err := Open([]string{"dht", "dht:127.0.0.1:1"}); err == nil {
		t.Error("the public DHT and another one at once")
	}
}
