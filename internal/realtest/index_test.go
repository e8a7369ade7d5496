//go:build linux

package realtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kula/ident"
	"kula/internal/api"
	kularun "kula/internal/run"
	"kula/node"
)

// indexServer is a running `kula index serve` at a port that it keeps.
type indexServer struct {
	*server
	Key ident.ID
	URI string
}

func serveIndex(t testing.TB, name string, flags ...string) *indexServer {
	t.Helper()
	s := &indexServer{}
	n := &inet{t: t} // no rooms: all on this machine
	s.server = n.serve("", name, s, append([]string{"index", "serve", "--listen", freePort(t)}, flags...)...)
	return s
}

// wipe kills the server, deletes what it has on disk, except a file if keep names one, and starts it again.
func (s *indexServer) wipe(keep string) {
	t := s.inet.t
	t.Helper()
	s.kill()
	files, err := os.ReadDir(s.home)
	if err != nil || !slices.ContainsFunc(files, func(f os.DirEntry) bool { return f.Name() == "announcements.log" }) {
		t.Fatalf("%s has %v on disk: %v", s.name, files, err)
	}
	for _, f := range files {
		if f.Name() == keep {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.home, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	s.start(s)
}

// knows waits until the server finds ways between all, by asking it as a stranger.
func (s *indexServer) knows(from, to *member) {
	t := s.inet.t
	t.Helper()
	eventually(t, fmt.Sprintf("%s knows a way from %s to %s", s.name, from.name, to.name), func(context.Context) (string, bool) {
		err := s.try(nil, "index", "query", to.key.String(), typed(1), "--from", from.key.String(), "--index", s.URI)
		return fmt.Sprint(err), err == nil
	})
}

// standing is how a member stands with an index server.
func (m *member) standing(ctx context.Context, key ident.ID) (api.ServerState, error) {
	c := m.api()
	if c == nil {
		return api.ServerState{}, api.ErrUnreachable
	}
	list, err := c.Servers(ctx, kularun.IndexRole)
	for _, s := range list {
		if s.Key == key {
			return s, err
		}
	}
	return api.ServerState{}, err
}

// Issue, point 4: of several index servers all but one may go, and one may be wiped, with its key or without, in the middle of
// payments: none of them fails, and what was announced comes back.
func TestIndexServersComeAndGo(t *testing.T) {
	first, second := serveIndex(t, "first"), serveIndex(t, "second")
	flags := []string{"--index", first.URI, "--index", second.URI}
	l := &line{t: t, a: begin(t, "ana", flags...), b: begin(t, "ben", flags...), c: begin(t, "cleo", flags...), stop: make(chan struct{})}
	l.all = []*member{l.a, l.b, l.c}
	befriend(t, l.b, l.a, 1_000_000_000)
	befriend(t, l.b, l.c, 1_000_000_000)
	for _, s := range []*indexServer{first, second} {
		s.knows(l.a, l.c)
		s.knows(l.c, l.a)
	}
	hold, _, err := l.ask(l.c, 77, true)
	if err != nil {
		t.Fatal(err)
	}
	held := payWith(t, l.a, hold)
	if held.State != node.Held {
		t.Fatalf("the hold: %s %+v", held.State, held.Reason)
	}
	for range 4 { // no route is named: every payment asks an index server
		l.workers.Go(func() { l.pushes(l.a, l.c) })
		l.workers.Go(func() { l.invoices(l.c, l.a) })
	}
	defer func() {
		if l.going() {
			close(l.stop)
			l.workers.Wait()
		}
	}()
	l.flows()

	first.wipe("index-key") // asked first, and knows nobody any more
	l.flows()
	first.knows(l.a, l.c)
	first.knows(l.c, l.a)

	old := second.Key
	second.wipe("") // somebody else, where the second was
	if second.Key == old {
		t.Fatal("the wiped server has its old key")
	}
	l.flows()
	for _, m := range l.all {
		if s, err := m.standing(t.Context(), old); err != nil || s.Connected {
			t.Errorf("%s is connected with who is no more: %+v %v", m.name, s, err)
		}
		must(t, m.home, nil, "index", "trust", second.URI)
	}
	second.knows(l.a, l.c)
	second.knows(l.c, l.a)

	first.kill() // all but one
	l.flows()
	if _, err := l.a.api().Release(t.Context(), newKey(), held.ID); err != nil {
		t.Fatal(err)
	}
	l.finish()
	paid, returned := audit(t, l.all...)
	if returned != 0 || paid == 0 {
		t.Errorf("%d payments were returned, %d paid", returned, paid)
	}
	t.Logf("%d payments", paid)
}
