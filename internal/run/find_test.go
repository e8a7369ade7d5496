package run

import (
	"net"
	"net/http"
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
