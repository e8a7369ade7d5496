package find

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// N-12: a relay that does not have the record, whatever it is given, is asked more and more seldom, and as seldom as it asks for;
// once it has the record, at each call again.
func TestRenewLetsRelaysBe(t *testing.T) {
	seed, addrs := seedOf(10), []string{"/ip4/192.0.2.1/tcp/1"}
	old, err := New(seed, addrs, 1)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(code int, after string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if after != "" {
				w.Header().Set("Retry-After", after)
			}
			w.WriteHeader(code)
			w.Write(body)
		}
	}
	inAnHour := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for name, c := range map[string]struct {
		get, put   http.HandlerFunc // nil: as a relay does
		gets, puts int32            // in 60 calls
	}{
		"has it":                      {nil, nil, 60, 0},
		"refuses":                     {answer(429, "", nil), nil, 6, 0},     // at 0, 2, 6, 14, 30, 55
		"refuses for ten calls":       {answer(429, "600", nil), nil, 4, 0},  // at 0, 10, 30, 55
		"refuses for an hour":         {answer(429, "3600", nil), nil, 3, 0}, // at 0, 25, 50
		"refuses until a time":        {answer(503, inAnHour, nil), nil, 3, 0},
		"fails":                       {answer(500, "", nil), nil, 6, 0},
		"says what it was first told": {answer(200, "", old.Payload()), nil, 6, 6},
		"says what is no record":      {answer(200, "", []byte("welcome")), nil, 6, 6},
		"keeps nothing":               {answer(404, "", nil), answer(204, "", nil), 6, 6},
		"takes nothing for an hour":   {answer(404, "", nil), answer(429, "3600", nil), 3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			relay := NewRelay()
			var gets, puts atomic.Int32
			var well atomic.Bool
			well.Store(true)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				count, ill := &gets, c.get
				if r.Method == http.MethodPut {
					count, ill = &puts, c.put
				}
				count.Add(1)
				if ill == nil || well.Load() {
					relay.ServeHTTP(w, r)
					return
				}
				ill(w, r)
			}))
			defer s.Close()
			f := open(t, s.URL)
			if err := f.Publish(within(t), seed, addrs); err != nil {
				t.Fatal(err)
			}
			calls := func(n int) (int32, int32) {
				gets.Store(0)
				puts.Store(0)
				for range n {
					f.Renew(within(t)) // the errors are those of the table
				}
				return gets.Load(), puts.Load()
			}
			for _, when := range []string{"at first", "when it was well again"} {
				well.Store(false)
				if g, p := calls(60); g != c.gets || p != c.puts {
					t.Errorf("%s: in 60 calls %d GET, %d PUT; want %d, %d", when, g, p, c.gets, c.puts)
				}
				well.Store(true)
				calls(int(Republish / f.Recheck))
				if g, p := calls(10); g != 10 || p != 0 {
					t.Errorf("once it has the record, in 10 calls %d GET, %d PUT; want 10, 0", g, p)
				}
			}
		})
	}
}

// One relay's pace is not another's.
func TestRenewLetsOneRelayBe(t *testing.T) {
	var gets atomic.Int32
	relay := NewRelay()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			gets.Add(1)
		}
		relay.ServeHTTP(w, r)
	}))
	defer good.Close()
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(429)
	}))
	defer bad.Close()
	f := open(t, good.URL, bad.URL)
	if err := f.Publish(within(t), seedOf(11), nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Renew(within(t)); err == nil || !strings.Contains(err.Error(), bad.URL+": it answers 429 Too Many Requests, again in 2m0s at the earliest") {
		t.Error(err)
	}
	if err := f.Renew(within(t)); err != nil {
		t.Errorf("it was asked again at once: %v", err)
	}
	if n := gets.Load(); n != 2 {
		t.Errorf("the other relay was asked %d times, want 2", n)
	}
}

func TestRetryAfter(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"90":                            90 * time.Second,
		"1500":                          Republish,
		"3600":                          Republish,
		"18446744073709551615":          Republish,
		"99999999999999999999999999999": Republish,
		"-5":                            0,
		"1.5":                           0,
		"soon":                          0,
		"Fri, 01 May 2026 12:01:00 GMT": time.Minute,
		"Fri, 01 May 2026 11:59:00 GMT": 0,
		"Fri, 01 May 2099 12:00:00 GMT": Republish,
		"Mon, 01 Jan 0001 00:00:00 GMT": 0,
	} {
		if got := retryAfter(text, at); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
