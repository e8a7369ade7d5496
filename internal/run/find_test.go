package run

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"kula/internal/find"
	"kula/node"
)

// pkarr serves a new Pkarr relay at HOST:PORT until end is called.
func pkarr(t *testing.T, at string) (addr string, end func()) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: find.NewRelay()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	return l.Addr().String(), func() {
		s.Close()
		<-done
	}
}

// N-12: a Pkarr relay that was restarted knows nothing; the node notices, and is found there again.
func TestFoundAfterTheRelayStartsAgain(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	at, end := pkarr(t, "127.0.0.1:0")
	f, err := find.Open([]string{"http://" + at})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Recheck = 20 * time.Millisecond
	ana := &person{t: t, name: "ana", key: 1, store: newBreakable(), finder: f}
	ana.restart()
	defer ana.Close()
	isFound := func(*node.Node) bool {
		addrs, err := f.Resolve(ana.ctx(), ana.ID())
		return err == nil && len(addrs) == len(ana.Addrs())
	}
	ana.until("her record", isFound)
	end()
	_, end = pkarr(t, at)
	defer end()
	ana.until("her record again", isFound)
}

// N-12: addresses that changed are published while a relay leaves a renewal without an answer.
func TestRenewalDelaysNoPublication(t *testing.T) {
	asked, ended, put := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	tell := func(c chan struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			tell(put)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		tell(asked)
		<-r.Context().Done() // the node has given up
		tell(ended)
	}))
	defer s.Close()
	f, err := find.Open([]string{s.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Recheck = 20 * time.Millisecond
	ana := &person{t: t, name: "ana", key: 1, store: newBreakable(), finder: f}
	ana.restart()
	defer ana.Close()
	late := time.After(patience)
	wait := func(what string, c chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case <-ended:
			t.Fatalf("%s: the renewal ended first", what)
		case <-late:
			t.Fatalf("%s: not in %s", what, patience)
		}
	}
	wait("the first publication", put)
	wait("a renewal", asked)
	ana.spoke()
	wait("the second publication", put)
}

// N-12: publications that fail come more and more seldom.
func TestPublishAgain(t *testing.T) {
	for failed, minutes := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 25, 7: 25, 1000: 25} {
		if got := publishAgain(failed); got != minutes*time.Minute {
			t.Errorf("after %d: %s, want %d minutes", failed, got, minutes)
		}
	}
}
