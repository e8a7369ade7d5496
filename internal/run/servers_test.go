package run

import (
	"errors"
	"strings"
	"testing"

	"kula/ident"
	"kula/internal/index"
	"kula/node"
	"kula/wire"
)

// A server that does not serve says why: a wrong key, nobody there, not a relay.
func TestServersSayWhyNot(t *testing.T) {
	away := ident.NewKey([32]byte{201}).ID()
	ana := start(t, "ana", 1, index.FormatURI(index.Link{Key: away, Addrs: []string{"/ip4/127.0.0.1/tcp/1"}}))
	ben := start(t, "ben", 2)
	at, _, _ := strings.Cut(ben.Addrs()[0], "/p2p/")
	other := ident.NewKey([32]byte{202}).ID()
	for _, s := range []Listed{
		{Key: away, Addrs: []string{"/ip4/127.0.0.1/tcp/1/p2p/" + away.Peer()}},
		{Key: other, Addrs: []string{at + "/p2p/" + other.Peer()}},
		{Key: ben.ID(), Addrs: []string{at + "/p2p/" + ben.ID().Peer()}},
	} {
		s.Role, s.Trust = RelayRole, Trusted
		if err := ana.Judge(ana.ctx(), s); err != nil {
			t.Fatal(err)
		}
	}
	want := map[ident.ID]string{away: "connection refused", other: "peer id mismatch", ben.ID(): "it is no relay"}
	problems := func(role Role) map[ident.ID]string {
		found := map[ident.ID]string{}
		for _, v := range ana.Servers(role) {
			if v.Problem != "" {
				found[v.Key] = v.Problem
			}
		}
		return found
	}
	ana.until("a word of each server", func(*node.Node) bool { return len(problems(RelayRole)) == len(want) && len(problems(IndexRole)) == 1 })
	got := problems(RelayRole)
	for id, part := range want {
		if !strings.Contains(got[id], part) || len(got[id]) > maxProblem || strings.Contains(got[id], "\n") {
			t.Errorf("%q, want something with %q", got[id], part)
		}
	}
	if got := problems(IndexRole)[away]; !strings.Contains(got, "connection refused") {
		t.Errorf("index server: %q", got)
	}
	serve := serveIndex(t, "127.0.0.1:0")
	l, err := index.ParseURI(serve.URI())
	if err != nil {
		t.Fatal(err)
	}
	if err := ana.Judge(ana.ctx(), Listed{Role: IndexRole, Key: l.Key, Trust: Trusted, Addrs: l.Addrs}); err != nil {
		t.Fatal(err)
	}
	ana.until("a server", func(*node.Node) bool {
		v := ana.Servers(IndexRole)[0]
		return v.Key == l.Key && v.Connected && v.Problem == ""
	})
}

// A node is not reached through itself, whoever says so.
func TestOwnKeyIsNoRelay(t *testing.T) {
	ana := start(t, "ana", 1)
	addr := "/ip4/127.0.0.1/tcp/1/p2p/" + ana.ID().Peer()
	var refused *node.Error
	if err := ana.Judge(ana.ctx(), Listed{Role: RelayRole, Key: ana.ID(), Trust: Trusted, Addrs: []string{addr}}); !errors.As(err, &refused) || refused.Code != wire.BadRequest {
		t.Errorf("on the list: %v", err)
	}
	ana.Close()
	l, err := Start(Options{Key: ident.NewKey([32]byte{1}), Store: ana.store, Relays: []string{addr}})
	if err == nil {
		l.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "own key") {
		t.Errorf("at the start: %v", err)
	}
}
