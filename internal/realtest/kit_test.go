//go:build linux

package realtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/api"
	"kula/money"
	"kula/node"
)

// currency of all tests: whole units, as in the scenarios.
const currency money.Currency = "FST/0"

// patience is how long a test waits for something that must happen: a hundred times
// what it takes on an idle machine, because CI machines are not idle.
const patience = 30 * time.Second

// program is the file that `go build ./cmd/kula` made.
var program string

func TestMain(m *testing.M) {
	if job := os.Getenv(attackEnv); job != "" {
		attack(job)
		return
	}
	if url := os.Getenv(fetchEnv); url != "" {
		fetch(url)
		return
	}
	if os.Getenv(sniffEnv) != "" {
		sniff()
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "kula-real-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "kula")
		build := exec.Command("go", "build", "-o", program, "kula/cmd/kula")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build ./cmd/kula: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

func fst(a money.Amount) money.Value { return money.Value{Amount: a, Currency: currency} }

// typed is an amount as a command takes it, whether or not it knows the currency yet.
func typed(a money.Amount) string { return fmt.Sprintf("%d %s", a, currency) }

// newKey is an Idempotency-Key.
func newKey() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// pause lets d pass, or less when stop is closed: pace for those who try again.
func pause(stop <-chan struct{}, d time.Duration) {
	select {
	case <-time.After(d):
	case <-stop:
	}
}

// eventually looks until ok, and fails the test with what was seen last if that takes too long.
func eventually(t testing.TB, what string, ok func(context.Context) (string, bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		seen, done := ok(ctx)
		if done {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("not within %s: %s; last seen: %s", patience, what, seen)
		}
	}
}

// run runs one command to its end and returns its exit code and what it said.
func run(t testing.TB, home string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := exec.Command(program, append([]string{"--home", home}, args...)...)
	c.Env = cleanEnv()
	var out, log bytes.Buffer
	c.Stdout, c.Stderr = &out, &log
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("kula %q: %v", args, err)
	}
	if strings.Contains(log.String(), "goroutine ") {
		t.Fatalf("kula %q crashed:\n%s", args, &log)
	}
	return c.ProcessState.ExitCode(), out.String(), log.String()
}

// must runs a command that has to succeed and decodes its object.
func must(t testing.TB, home string, object any, args ...string) {
	t.Helper()
	code, out, log := run(t, home, append([]string{"--json"}, args...)...)
	if code != 0 {
		t.Fatalf("kula %q: exit %d\n%s%s", args, code, out, log)
	}
	if object == nil {
		return
	}
	if err := json.Unmarshal([]byte(out), object); err != nil {
		t.Fatalf("kula %q: %v: %s", args, err, out)
	}
}

// cleanEnv is the environment without Kula's own settings.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "KULA_") })
}

// orphan makes a process end with the tests, however those end.
var orphan = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

// member is one `kula up`, which may be killed and started again.
type member struct {
	t          testing.TB
	name, home string
	key        ident.ID
	listen     string   // kept over restarts, so that friends find it again
	logs       string   // file
	flags      []string // of up

	mu     sync.Mutex
	cmd    *exec.Cmd
	client *api.Client
	up     chan struct{} // closed while it runs
	gone   chan error    // how the process ended
}

// begin makes an identity and starts its node, with more flags for up. It ends with the test.
func begin(t testing.TB, name string, flags ...string) *member {
	t.Helper()
	m := &member{t: t, name: name, home: filepath.Join(t.TempDir(), name), listen: freeAddress(t), up: make(chan struct{}), flags: flags}
	m.logs = m.home + ".log"
	must(t, m.home, nil, "init", "--name", name)
	m.start()
	t.Cleanup(func() {
		if m.cmd != nil {
			m.signal(syscall.SIGCONT)
			m.kill()
		}
		m.checkLog()
		if t.Failed() {
			t.Log(m.logTail())
		}
	})
	return m
}

// freeAddress is a multiaddress on loopback that nobody listens on. Its port is below those that
// the system gives to outgoing connections, so that it is still free when a killed node comes back.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := 10000 + mathrand.IntN(20000)
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port)
		}
	}
	t.Fatal("no free port between 10000 and 30000")
	return ""
}

// start runs the node and returns when it is ready.
func (m *member) start() {
	m.t.Helper()
	c := exec.Command(program, append([]string{"--home", m.home, "--json", "up", "--api", "127.0.0.1:0", "--listen", m.listen}, m.flags...)...)
	c.Env = cleanEnv()
	log, err := os.OpenFile(m.logs, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	c.Stderr, c.SysProcAttr = log, orphan
	out, err := c.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = c.Process.Kill() }) // then the read below fails
	line, err := bufio.NewReader(out).ReadBytes('\n')
	late.Stop()
	var ready struct {
		Key    ident.ID
		Listen []string
	}
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err == nil && len(ready.Listen) == 0 {
		err = fmt.Errorf("it says %s", line)
	}
	e, err2 := api.ReadEndpoint(m.home)
	if err = errors.Join(err, err2); err != nil {
		_ = c.Process.Kill()
		_ = c.Wait()
		m.t.Fatalf("%s did not start: %v\n%s", m.name, err, m.logTail())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cmd, m.client, m.key, m.listen = c, api.NewClient(e.API, e.Token), ready.Key, ready.Listen[0]
	m.gone = make(chan error, 1)
	go func(gone chan<- error) { gone <- c.Wait() }(m.gone)
	close(m.up)
}

// api is the client of the running node, nil while there is none.
func (m *member) api() *api.Client {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.client
}

// running returns when the node runs; false if stop was closed before.
func (m *member) running(stop <-chan struct{}) bool {
	m.mu.Lock()
	up := m.up
	m.mu.Unlock()
	select {
	case <-up:
		return true
	case <-stop:
		return false
	}
}

// down forgets the process, whose end is awaited.
func (m *member) down() error {
	m.mu.Lock()
	gone := m.gone
	m.client, m.up = nil, make(chan struct{})
	m.mu.Unlock()
	var err error
	select {
	case err = <-gone:
	case <-time.After(patience):
		err = fmt.Errorf("still there after %s", patience)
	}
	m.cmd = nil
	return err
}

func (m *member) signal(s syscall.Signal) {
	m.t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.t.Errorf("%s: signal %v: %v\n%s", m.name, s, err, m.logTail())
	}
}

// kill is kill −9. The node must still have run.
func (m *member) kill() {
	m.t.Helper()
	m.signal(syscall.SIGKILL)
	err := m.down()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		m.t.Errorf("%s ended by itself: %v\n%s", m.name, err, m.logTail())
	}
}

// halt stops the node as a service manager does. It must end with exit 0.
func (m *member) halt() {
	m.t.Helper()
	m.signal(syscall.SIGTERM)
	if err := m.down(); err != nil {
		m.t.Fatalf("%s: %v\n%s", m.name, err, m.logTail())
	}
}

func (m *member) logTail() string {
	b, err := os.ReadFile(m.logs)
	if err != nil {
		return err.Error()
	}
	return m.name + "'s log:\n" + string(b[max(0, len(b)-6000):])
}

// checkLog fails the test if the node ever crashed by itself.
func (m *member) checkLog() {
	b, err := os.ReadFile(m.logs)
	if err != nil || bytes.Contains(b, []byte("goroutine ")) || bytes.Contains(b, []byte("DATA RACE")) {
		m.t.Errorf("%s crashed (%v):\n%s", m.name, err, m.logTail())
	}
}

// friend is how m sees another.
func (m *member) friend(ctx context.Context, other ident.ID) (*node.FriendView, error) {
	c := m.api()
	if c == nil {
		return nil, api.ErrUnreachable
	}
	return c.Friend(ctx, other.String())
}

// befriend makes two members friends by a link: each lets the other owe limit.
func befriend(t testing.TB, a, b *member, limit money.Amount) {
	t.Helper()
	var i node.InvitationView
	must(t, a.home, &i, "friend", "invite", b.name, "--give", typed(limit), "--ask", typed(limit))
	must(t, b.home, nil, "friend", "accept", i.URI, "--name", a.name, "--wait", patience.String())
	ready(t, a, b)
}

// ready waits until payments can pass between a and b.
func ready(t testing.TB, a, b *member) {
	t.Helper()
	for _, side := range [][2]*member{{a, b}, {b, a}} {
		eventually(t, fmt.Sprintf("%s is ready with %s", side[0].name, side[1].name), func(ctx context.Context) (string, bool) {
			f, err := side[0].friend(ctx, side[1].key)
			if err != nil {
				return err.Error(), false
			}
			return fmt.Sprintf("%s, ready %v, %s", f.State, f.Ready, f.Problem), f.State == node.Opened && f.Ready
		})
	}
}

// open counts the payments that are open at m. A payment has one lock on each channel it
// passes, so the channel with the most locks is a count of distinct payments.
func (m *member) open(ctx context.Context) (int, error) {
	c := m.api()
	if c == nil {
		return 0, api.ErrUnreachable
	}
	friends, err := c.Friends(ctx)
	if err != nil {
		return 0, err
	}
	most := 0
	for _, f := range friends {
		most = max(most, f.OpenLocks)
	}
	return most, nil
}

// live calls do for each payment of m that has not ended.
func (m *member) live(ctx context.Context, do func(*api.Client, *node.PaymentView) error) error {
	c := m.api()
	for page := (api.Page{Limit: 1000}); ; {
		list, next, err := c.Payments(ctx, page)
		if err != nil {
			return err
		}
		for i := range list {
			if s := list[i].State; s == node.Paid || s == node.Returned {
				continue
			}
			if err := do(c, &list[i]); err != nil {
				return err
			}
		}
		if page.Cursor = next; next == "" {
			return nil
		}
	}
}

// payNow pays by a push, straight or over a route, and wants it paid.
func payNow(t testing.TB, payer, payee *member, amount money.Amount, route ...*member) *node.PaymentView {
	t.Helper()
	p := payWith(t, payer, orderTo(payee, amount, route...))
	if p.State != node.Paid {
		t.Fatalf("%s pays %s %d: %s %+v", payer.name, payee.name, amount, p.State, p.Reason)
	}
	return p
}

func payWith(t testing.TB, payer *member, o api.Order) *node.PaymentView {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o.WaitMs = patience.Milliseconds()
	p, err := payer.api().Pay(ctx, newKey(), o)
	if err != nil {
		t.Fatalf("%s pays: %v\n%s", payer.name, err, payer.logTail())
	}
	return p
}

// orderTo is a push; any fee is fine.
func orderTo(payee *member, amount money.Amount, route ...*member) api.Order {
	v, fee := fst(amount), fst(1000)
	o := api.Order{To: payee.key.String(), Amount: &v, MaxFee: &fee, GiveUpMs: 1}
	for _, r := range route {
		o.Route = append(o.Route, r.key.String())
	}
	return o
}

// memory of the running node in KiB, as /proc says: field is VmRSS or VmHWM.
func (m *member) memory(field string) int {
	m.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var kib int
		if _, err := fmt.Sscanf(line, field+": %d kB", &kib); err == nil {
			return kib
		}
	}
	m.t.Fatalf("%s has no %s", m.name, field)
	return 0
}
