package run

import (
	"strings"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/index"
	"kula/node"
	"kula/wire"
)

// serveIndex runs an index server; listen is HOST:PORT.
func serveIndex(t *testing.T, listen string) *index.Server {
	t.Helper()
	s, err := index.Start(index.Options{Seed: ident.NewKey([32]byte{200}).IdentitySeed(), Listen: []string{listen}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// announced waits until every index server has confirmed what p would tell.
func (p *person) announced() {
	p.t.Helper()
	p.until("announced", func(n *node.Node) bool {
		complete := n.Announced()
		standings, _ := p.Index().Standings()
		for _, s := range standings {
			complete = complete && s.Complete
		}
		return complete
	})
}

// TestRoutesComeFromTheIndex: a payment finds its way by announcements, also after the
// server lost them all, and not after a node on the way has withdrawn.
func TestRoutesComeFromTheIndex(t *testing.T) {
	server := serveIndex(t, "127.0.0.1:0")
	uri := server.URI()
	ana, ben, cleo := start(t, "ana", 1, uri), start(t, "ben", 2, uri), start(t, "cleo", 3, uri)
	befriend(ana, ben)
	befriend(ben, cleo)
	everybody := []*person{ana, ben, cleo}
	for _, p := range everybody {
		p.announced()
	}
	if p := ana.pay(cleo.invoice(1_00), 0); p.State != node.Paid {
		t.Fatalf("%s: %+v", p.State, p.Reason)
	}
	_, after, _ := strings.Cut(uri, "/tcp/")
	port, _, _ := strings.Cut(after, "/")
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	v, err := ana.Exec(ana.ctx(), Request{Command: &node.Pay{Invoice: cleo.invoice(1_00), GiveUp: 1}, Wait: patience})
	if p, ok := v.(*node.PaymentView); err != nil || !ok || p.State != node.Returned || p.Reason == nil {
		t.Errorf("without a server: %+v %v", v, err)
	} else if p.Reason.Code != wire.IndexUnreachable {
		t.Errorf("without a server: %+v", p.Reason)
	}
	serveIndex(t, "127.0.0.1:"+port)
	for _, p := range everybody {
		p.announced()
	}
	if p := ana.pay(cleo.invoice(1_00), 0); p.State != node.Paid {
		t.Fatalf("%s: %+v", p.State, p.Reason)
	}
	if err := ben.Close(); err != nil {
		t.Fatal(err)
	}
	// ben's announcements are gone when Close returns: the index sees no way, and nothing is locked towards him
	v, err = ana.Exec(ana.ctx(), Request{Command: &node.Pay{Invoice: cleo.invoice(1_00), Quote: true}})
	if q, ok := v.(*node.QuoteView); err != nil || !ok || q.Possible {
		t.Errorf("a quote through who has left: %+v %v", v, err)
	}
}

// TestIndexAway: a server that is not there costs a payment between friends nothing.
func TestIndexAway(t *testing.T) {
	away := index.FormatURI(index.Link{Key: ident.NewKey([32]byte{201}).ID(), Addrs: []string{"/ip4/127.0.0.1/tcp/1"}})
	ana, ben := start(t, "ana", 1, away), start(t, "ben", 2)
	befriend(ana, ben)
	began := time.Now()
	if p := ana.pay(ben.invoice(1_00), 0); p.State != node.Paid {
		t.Fatalf("%s: %+v", p.State, p.Reason)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	if _, err := Start(Options{Key: ident.NewKey([32]byte{1}), Store: ana.store, Index: []string{"kula:friend?d=AA"}}); err == nil {
		t.Error("a friend's link as an index server")
	}
}

// TestFullIndexServer: nodes leave a server that has no places to spare, say so, and come back to say and to ask something.
func TestFullIndexServer(t *testing.T) {
	server, err := index.Start(index.Options{Seed: ident.NewKey([32]byte{200}).IdentitySeed(), Listen: []string{"127.0.0.1:0"}, Places: 8}) // 2 for this machine
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	uri := server.URI()
	ana, ben, cleo := start(t, "ana", 1, uri), start(t, "ben", 2, uri), start(t, "cleo", 3, uri)
	befriend(ana, ben)
	befriend(ben, cleo)
	everybody := []*person{ana, ben, cleo}
	for _, p := range everybody {
		p.announced()
	}
	away := func() (n int) {
		for _, p := range everybody {
			if v := p.Servers(IndexRole)[0]; v.Resting && !v.Connected && v.Problem == "" {
				n++
			}
		}
		return n
	}
	ana.until("two of three rest", func(*node.Node) bool { return away() >= 2 })
	for _, p := range everybody {
		p.announced()
	}
	if p := ana.pay(cleo.invoice(1_00), 0); p.State != node.Paid {
		t.Fatalf("%s: %+v", p.State, p.Reason)
	}
	for _, p := range everybody {
		p.announced()
	}
}
