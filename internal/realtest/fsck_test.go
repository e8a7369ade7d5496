//go:build linux

package realtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kula/internal/api"
	"kula/money"
)

// changes is the figure: so many records, each with one byte changed.
const changes = 1000

// storeFile is the store in a home.
const storeFile = "kula.db"

// stored is one record as it is in the file: kind, key and value lie behind each other.
type stored struct{ kind, key, value string }

// life gives a store something of every kind: friends, a token, an invitation, somebody
// blocked, payments in both directions, some of them open.
func life(t testing.TB) *member {
	a, b := begin(t, "ana"), begin(t, "ben")
	befriend(t, a, b, 1_000_000)
	ctx := context.Background()
	var jobs sync.WaitGroup
	for worker := range 16 {
		jobs.Go(func() {
			for n := range 36 {
				payNow(t, a, b, money.Amount(1+n))
				if n%4 != 0 {
					continue
				}
				payer, payee := a, b
				if n%8 == 0 {
					payer, payee = b, a
				}
				i, err := payee.api().CreateInvoice(ctx, api.Ask{Amount: fst(2), Hold: worker == 0})
				if err == nil {
					_, err = payer.api().Pay(ctx, newKey(), api.Order{Invoice: i.URI, WaitMs: patience.Milliseconds()})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	jobs.Wait()
	if _, err := a.api().CreateToken(ctx, "till", []string{"ask", "pay=50FST/0"}); err != nil {
		t.Error(err)
	}
	if _, err := a.api().Invite(ctx, "cleo", []api.Line{{Currency: currency, Give: fst(5), Ask: fst(5)}}, 0); err != nil {
		t.Error(err)
	}
	stranger := begin(t, "stranger")
	must(t, a.home, nil, "--yes", "friend", "block", stranger.key.String())
	stranger.halt()
	a.halt()
	return a
}

// records reads what the closed store of a member holds, and the number of its newest row.
func records(t testing.TB, path string) (all []stored, rows []stored) {
	t.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	read := func(sql string, add func(*sqlite.Stmt)) {
		t.Helper()
		err := sqlitex.ExecuteTransient(conn, sql, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
			add(s)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	read("SELECT kind, key, CAST(value AS TEXT) FROM record ORDER BY kind, key", func(s *sqlite.Stmt) {
		all = append(all, stored{s.ColumnText(0), s.ColumnText(1), string(blob(s, 2))})
	})
	read("SELECT seq, row FROM book ORDER BY seq", func(s *sqlite.Stmt) {
		rows = append(rows, stored{"book", s.ColumnText(0), string(blob(s, 1))})
	})
	return all, rows
}

func blob(s *sqlite.Stmt, column int) []byte {
	b := make([]byte, s.ColumnLen(column))
	s.ColumnBytes(column, b)
	return b
}

// damage is one changed byte: at every place in the file where a record lies (SQLite leaves
// old copies behind), the byte so far from its start becomes another.
type damage struct {
	path string
	at   []int64
	bit  byte
}

// span is a part of kind, key and value written behind each other.
type span struct{ from, to int }

func (s stored) ofKind() span { return span{0, len(s.kind)} }
func (s stored) ofKey() span  { return span{len(s.kind), len(s.kind) + len(s.key)} }
func (s stored) ofValue() span {
	return span{len(s.kind) + len(s.key), len(s.kind) + len(s.key) + len(s.value)}
}

// inPage is how much of a record surely lies in one piece, by SQLite's file format: a page of 4,096 bytes keeps 489 or more
// bytes of a longer one, less the record's header.
const inPage = 450

// hurt changes one byte within a part of a record, and says what the record is called now. ok is
// false if the record does not lie in the file in one piece.
func hurt(t testing.TB, path string, s stored, part span, pick *rand.Rand) (d damage, named [2]string, ok bool) {
	t.Helper()
	content := []byte(s.kind + s.key + s.value)
	if s.kind == "book" { // there the key is a number
		content, part = []byte(s.value), span{0, len(s.value)}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) > inPage && !bytes.Contains(file, content) { // the rest of a long value lies on pages of its own
		content, part.to = content[:inPage], min(part.to, inPage)
	}
	at := part.from + pick.IntN(part.to-part.from)
	d = damage{path: path, bit: 1 << pick.IntN(8)}
	named = [2]string{s.kind, s.key}
	if names := len(s.kind) + len(s.key); s.kind != "book" && at < names {
		d.bit = 1 // the name stays readable
		name := []byte(s.kind + s.key)
		name[at] ^= d.bit
		named = [2]string{string(name[:len(s.kind)]), string(name[len(s.kind):])}
	}
	for from := 0; ; {
		i := bytes.Index(file[from:], content)
		if i < 0 {
			break
		}
		d.at = append(d.at, int64(from+i+at))
		from += i + len(content)
	}
	d.flip(t)
	return d, named, len(d.at) > 0
}

// flip changes the byte, or back.
func (d damage) flip(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile(d.path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range d.at {
		var b [1]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= d.bit
		if _, err := f.WriteAt(b[:], at); err != nil {
			t.Fatal(err)
		}
	}
}

// fsck runs the program and gives the problems by kind and key.
func fsck(t testing.TB, home string) (code int, problems map[[2]string]string) {
	t.Helper()
	code, out, log := run(t, home, "--json", "fsck")
	var v struct {
		Valid    bool
		Problems []struct{ Kind, Key, What string }
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Valid != (code == 0) {
		t.Fatalf("fsck: exit %d: %v\n%s%s", code, err, out, log)
	}
	problems = map[[2]string]string{}
	for _, p := range v.Problems {
		problems[[2]string{p.Kind, p.Key}] = p.What
	}
	return code, problems
}

// copies of the closed home of a member, so that several changes can be judged at a time.
func copies(t testing.TB, home string, n int) []string {
	t.Helper()
	list := []string{home}
	for range n - 1 {
		dir := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dir, os.DirFS(home)); err != nil {
			t.Fatal(err)
		}
		list = append(list, dir)
	}
	return list
}

// targets are the records and rows of a store in the order in which they are changed: first
// one of each kind, then the rest in any order.
func targets(t testing.TB, path string, pick *rand.Rand) []stored {
	t.Helper()
	all, rows := records(t, path)
	all = append(all, rows...)
	pick.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	seen := map[string]int{}
	rank := map[stored]int{}
	for _, s := range all {
		rank[s] = min(seen[s.kind], 1)
		seen[s.kind]++
	}
	slices.SortStableFunc(all, func(x, y stored) int { return rank[x] - rank[y] })
	t.Logf("stored: %v", seen)
	return all
}

// Issue, 7: of 1,000 single-byte changes in distinct stored records each is named by
// `kula fsck` and none crashes it.
func TestFsck(t *testing.T) {
	a := life(t)
	if code, problems := fsck(t, a.home); code != 0 {
		t.Fatalf("before any change: %v", problems)
	}
	pick := rand.New(rand.NewPCG(7, 1000))
	all := targets(t, filepath.Join(a.home, storeFile), pick)
	homes := copies(t, a.home, 4)
	var mu sync.Mutex
	done, kinds := 0, map[string]int{}
	next := func() (s stored, seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if done >= changes || len(all) == 0 {
			return stored{}, 0, false
		}
		s, all = all[0], all[1:]
		return s, pick.Uint64(), true
	}
	var workers sync.WaitGroup
	for _, home := range homes {
		workers.Go(func() {
			for {
				s, seed, ok := next()
				if !ok {
					return
				}
				if !changeNamed(t, home, s, rand.New(rand.NewPCG(seed, 0))) {
					continue
				}
				mu.Lock()
				done++
				kinds[s.kind]++
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	t.Logf("%d changed and named: %v", done, kinds)
	if done < changes {
		t.Errorf("only %d records and rows could be changed, want %d", done, changes)
	}
	for _, home := range homes {
		if code, problems := fsck(t, home); code != 0 {
			t.Errorf("after everything was changed back: %v", problems)
		}
	}
	upRefuses(t, a)
}

// changeNamed changes one byte of a record's key or value, lets the program find it, and changes it back.
// It is false for a record that does not lie in the file in one piece.
func changeNamed(t testing.TB, home string, s stored, pick *rand.Rand) bool {
	d, name, ok := hurt(t, filepath.Join(home, storeFile), s, span{s.ofKey().from, s.ofValue().to}, pick)
	if !ok {
		return false
	}
	defer d.flip(t)
	if code, problems := fsck(t, home); code != 1 || problems[name] == "" {
		t.Errorf("%q %q was changed; fsck: exit %d, %v", name[0], name[1], code, problems)
	}
	return true
}

// tryUp runs `kula up` until it is ready or has given up, and says which. A node that came up is
// asked for all that it knows, and stopped.
func tryUp(t testing.TB, m *member) (code int, said string) {
	t.Helper()
	c := exec.Command(program, "--home", m.home, "--json", "up", "--api", "127.0.0.1:0", "--listen", m.listen)
	c.Env = cleanEnv()
	var log bytes.Buffer
	c.Stderr, c.SysProcAttr = &log, orphan
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	defer late.Stop()
	line, _ := bufio.NewReader(out).ReadString('\n')
	if !strings.Contains(line, `"error"`) {
		e, err := api.ReadEndpoint(m.home)
		if err != nil {
			t.Error(err)
		}
		line += readAll(api.NewClient(e.API, e.Token))
		_ = c.Process.Signal(syscall.SIGTERM)
	}
	_ = c.Wait() // its exit code says how it ended
	if strings.Contains(log.String(), "goroutine ") {
		t.Errorf("kula up crashed:\n%s", &log)
	}
	return c.ProcessState.ExitCode(), line + log.String()
}

// readAll asks a node for everything that is stored, and gives what it complains of.
func readAll(c *api.Client) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var complaints []error
	for page := (api.Page{Limit: 1000}); ; {
		_, next, err := c.Payments(ctx, page)
		complaints = append(complaints, err)
		if page.Cursor = next; next == "" {
			break
		}
	}
	_, _, err := c.Invoices(ctx, api.Page{Limit: 1000})
	complaints = append(complaints, err)
	v, err := c.VerifyBook(ctx)
	if err == nil && !v.Valid {
		err = errors.New(strings.Join(v.Problems, "; "))
	}
	return fmt.Sprint(errors.Join(append(complaints, err)...))
}

// history are the kinds that a node does not read when it starts: they are what has ended.
var history = map[string]bool{"payment-done": true, "invoice-done": true}

// upRefuses changes kind, key and value of one record of each kind, and the newest row: `kula up` names
// it, exits 1 and says what to do; or it is history, which stops no node, and the answer that needs it names it.
func upRefuses(t *testing.T, a *member) {
	pick := rand.New(rand.NewPCG(8, 1))
	all, rows := records(t, filepath.Join(a.home, storeFile))
	tried := map[string]bool{}
	for _, s := range append(all, rows[len(rows)-1]) {
		for _, part := range []struct {
			name string
			span
		}{{"kind", s.ofKind()}, {"key", s.ofKey()}, {"value", s.ofValue()}} {
			what := part.name + " of " + s.kind
			if tried[what] || s.kind == "book" && part.name != "value" || history[s.kind] && part.name == "kind" {
				continue
			}
			m := &member{t: t, home: copies(t, a.home, 2)[1], listen: a.listen}
			_, named, ok := hurt(t, filepath.Join(m.home, storeFile), s, part.span, pick)
			if !ok {
				continue
			}
			tried[what] = true
			code, said := tryUp(t, m)
			if !strings.Contains(said, named[0]) || !strings.Contains(said, named[1]) {
				t.Errorf("%s was changed; up: exit %d without a word of %q: %s", what, code, named, said)
			}
			if history[s.kind] {
				if code != 0 {
					t.Errorf("%s was changed; up: exit %d: %s", what, code, said)
				}
			} else if code != 1 || !strings.Contains(said, `"code":"storage_failed"`) || !strings.Contains(said, "kula fsck") {
				t.Errorf("%s was changed; up: exit %d, want 1, storage_failed and kula fsck: %s", what, code, said)
			}
		}
	}
	for _, kind := range []string{"self", "friend", "channel", "in", "out", "payment", "invoice", "invitation", "block", "token", "origin", "payment-done", "invoice-done", "book"} {
		for _, part := range []string{"kind", "key", "value"} {
			if !tried[part+" of "+kind] && !(kind == "book" && part != "value") && !(history[kind] && part == "kind") {
				t.Errorf("no %s of %s was tried", part, kind)
			}
		}
	}
}
