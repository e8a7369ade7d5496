//go:build unix

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kula/ident"
	"kula/internal/api"
	"kula/internal/index"
	"kula/money"
	"kula/node"
)

// program is the file that `go build ./cmd/kula` made: what the scripts run.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "kula-scripts-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "kula")
		if out, err := exec.Command("go", "build", "-o", program, "kula/cmd/kula").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build ./cmd/kula: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// TestScripts runs the program as people type it. The commands beside those of
// testscript are in the table of world.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			w := &world{nodes: map[string]*process{}}
			env.Values["world"] = w
			env.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("TZ", "UTC")
			env.Defer(w.stop)
			return nil
		},
		Cmds: commands{
			"kula":     (*world).kula,
			"index":    (*world).index,
			"noindex":  (*world).noindex,
			"federate": (*world).federate,
			"use":      (*world).use,
			"found":    (*world).found,
			"await":    (*world).await,
			"node":     (*world).node,
			"halt":     (*world).halt,
			"move":     (*world).move,
			"crash":    (*world).crash,
			"freeze":   (*world).freeze,
			"thaw":     (*world).thaw,
			"befriend": (*world).befriend,
			"ready":    (*world).ready,
			"with":     (*world).with,
			"state":    (*world).state,
			"limit":    (*world).limit,
			"json":     (*world).json,
			"keep":     (*world).keep,
			"announce": (*world).announce,
			"audit":    (*world).audit,
			"tamper":   (*world).tamper,
			"payraw":   (*world).payraw,
			"flip":     (*world).flip,
		}.bind(),
	})
}

// patience bounds every single wait of a script.
const patience = 20 * time.Second

// anyPort is where a node listens that nobody knows yet.
const anyPort = "/ip4/127.0.0.1/tcp/0"

// world is what one script has started.
type world struct {
	nodes     map[string]*process
	names     []string // of nodes, in the order of their first start
	server    *exec.Cmd
	federated []*exec.Cmd // index servers of federate
	uri       string      // of the index server
}

// process is one `kula up`.
type process struct {
	home   string
	listen string // kept over restarts, so that friends find it again
	key    ident.ID
	cmd    *exec.Cmd
	client *api.Client
}

func (p *process) running() bool { return p != nil && p.cmd != nil }

func (w *world) stop() {
	for _, name := range w.names {
		if p := w.nodes[name]; p.running() {
			_ = p.cmd.Process.Kill() // a script that failed leaves them
			_ = p.cmd.Wait()
		}
	}
	for _, c := range w.federated {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	if w.server != nil {
		_ = w.server.Process.Kill()
		_ = w.server.Wait()
	}
}

// commands are methods of world as testscript wants them.
type commands map[string]func(w *world, ts *testscript.TestScript, neg bool, args []string)

func (c commands) bind() map[string]func(*testscript.TestScript, bool, []string) {
	bound := map[string]func(*testscript.TestScript, bool, []string){}
	for name, f := range c {
		bound[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			f(ts.Value("world").(*world), ts, neg, args)
		}
	}
	return bound
}

func need(ts *testscript.TestScript, neg bool, args []string, n int, use string) {
	if neg || len(args) < n {
		ts.Fatalf("usage: %s", use)
	}
}

// kula HOME [exit=N] ARGS… runs one command and wants its exit code, 0 unless said.
func (w *world) kula(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "kula HOME [exit=N] ARGS…")
	home, args := args[0], args[1:]
	want := 0
	if code, ok := strings.CutPrefix(args[0], "exit="); ok {
		n, err := strconv.Atoi(code)
		ts.Check(err)
		want, args = n, args[1:]
	}
	err := ts.Exec(program, append([]string{"--home", ts.MkAbs(home)}, args...)...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if out := ts.ReadFile("stdout"); slices.Contains(args, "--json") {
		checkContract(ts, got, out)
	}
}

// checkContract: with --json there is one object on stdout, at exit 2 nothing, at
// exit 1 with an error in it.
func checkContract(ts *testscript.TestScript, code int, out string) {
	if code == exitWrong {
		if out != "" {
			ts.Fatalf("exit 2 with %q on stdout", out)
		}
		return
	}
	d := json.NewDecoder(strings.NewReader(out))
	var object map[string]json.RawMessage
	if err := d.Decode(&object); err != nil {
		ts.Fatalf("stdout is no object: %v: %s", err, out)
	}
	if d.More() {
		ts.Fatalf("more than one object on stdout: %s", out)
	}
	if _, has := object["error"]; has != (code == exitFailed) {
		ts.Fatalf("exit %d, member error: %v: %s", code, has, out)
	}
}

// index starts the index server that later nodes use.
func (w *world) index(ts *testscript.TestScript, neg bool, args []string) {
	var ready indexReady
	w.server = spawn(ts, &ready, "--home", ts.MkAbs("index"), "--json", "index", "serve", "--listen", "127.0.0.1:0")
	w.uri = ready.URI
	ts.Setenv("INDEX", w.uri)
}

// federate runs two index servers that name each other, index1 and index2; nodes started
// next use the first.
func (w *world) federate(ts *testscript.TestScript, neg bool, args []string) {
	var uris, listen [2]string
	for i := range uris { // a server has its key from its first start on
		var ready indexReady
		c := spawn(ts, &ready, "--home", ts.MkAbs(fmt.Sprintf("index%d", i+1)), "--json", "index", "serve", "--listen", "127.0.0.1:0")
		ts.Check(c.Process.Kill())
		_ = c.Wait() // it was killed
		link, err := index.ParseURI(ready.URI)
		ts.Check(err)
		uris[i], listen[i] = ready.URI, "127.0.0.1:"+link.Addrs[0][strings.LastIndex(link.Addrs[0], "/")+1:]
	}
	for i := range uris {
		var ready indexReady
		w.federated = append(w.federated, spawn(ts, &ready, "--home", ts.MkAbs(fmt.Sprintf("index%d", i+1)), "--json", "index", "serve", "--listen", listen[i], "--peer", uris[1-i]))
		ts.Setenv(fmt.Sprintf("INDEX%d", i+1), ready.URI)
	}
	w.uri = uris[0]
}

// use LINK is the index server of nodes started next.
func (w *world) use(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "use LINK")
	w.uri = args[0]
}

// found FROM TO AMOUNT LINK waits until an index server finds a way.
func (w *world) found(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 4, "found FROM TO AMOUNT LINK")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		c := exec.CommandContext(ctx, program, "--home", ts.MkAbs("nobody"), "index", "query", args[1], args[2], "--from", args[0], "--index", args[3])
		out, err := c.CombinedOutput()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			ts.Fatalf("%s", out)
		}
	}
}

// await NODE TO AMOUNT waits until a node says that it can pay.
func (w *world) await(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "await NODE TO AMOUNT")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		c := exec.CommandContext(ctx, program, "--home", w.at(ts, args[0]).home, "pay", args[1], args[2], "--dry-run")
		out, err := c.CombinedOutput()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			ts.Fatalf("%s", out)
		}
	}
}

// noindex kills the index server.
func (w *world) noindex(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(w.server.Process.Kill())
	_ = w.server.Wait() // it was killed
	w.server = nil
}

// spawn starts the program and reads its ready line.
func spawn(ts *testscript.TestScript, ready any, args ...string) *exec.Cmd {
	c := exec.Command(program, args...)
	c.Dir = ts.MkAbs(".")
	var log bytes.Buffer
	c.Stderr = &log
	out, err := c.StdoutPipe()
	ts.Check(err)
	ts.Check(c.Start())
	if err := readReady(context.Background(), out, ready); err != nil {
		_ = c.Process.Kill()
		_ = c.Wait()
		ts.Fatalf("kula %s: not ready: %v\n%s", args, err, &log)
	}
	return c
}

// node HOME… starts nodes. One without an identity gets one, its words in HOME.words.
func (w *world) node(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "node HOME…")
	for _, name := range args {
		p := w.nodes[name]
		if p.running() {
			ts.Fatalf("%s is running", name)
		}
		if p == nil {
			p = &process{home: ts.MkAbs(name), listen: anyPort}
			w.nodes[name] = p
			w.names = append(w.names, name)
		}
		if _, err := os.Stat(filepath.Join(p.home, keyFile)); err != nil {
			ts.Check(ts.Exec(program, "--home", p.home, "--json", "init", "--name", name))
			var made initView
			ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &made))
			ts.Check(os.WriteFile(p.home+".words", []byte(strings.Join(made.Words, " ")), 0o600))
		}
		up := []string{"--home", p.home, "--json", "up", "--api", "127.0.0.1:0", "--listen", p.listen}
		if w.uri != "" {
			up = append(up, "--index", w.uri)
		}
		var ready upReady
		p.cmd = spawn(ts, &ready, up...)
		e, err := api.ReadEndpoint(p.home)
		ts.Check(err)
		p.client, p.listen, p.key = api.NewClient(e.API, e.Token), ready.Listen[0], ready.Key
		ts.Setenv(strings.ToUpper(name), ready.Key.String())
		ts.Setenv(strings.ToUpper(name)+"_ADDR", p.listen)
	}
}

func (w *world) at(ts *testscript.TestScript, name string) *process {
	p := w.nodes[name]
	if !p.running() {
		ts.Fatalf("%s is not running", name)
	}
	return p
}

// key of a node, by which friends find it whatever they call it.
func (w *world) key(ts *testscript.TestScript, name string) string {
	p := w.nodes[name]
	if p == nil {
		ts.Fatalf("there is no node %s", name)
	}
	return p.key.String()
}

// of finds a node by its key, nil if it is none of this world's.
func (w *world) of(key ident.ID) *process {
	for _, p := range w.nodes {
		if p.key == key {
			return p
		}
	}
	return nil
}

// halt HOME… stops nodes as a service manager does; they must end with exit 0.
func (w *world) halt(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		p := w.at(ts, name)
		ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
		if err := p.cmd.Wait(); err != nil {
			ts.Fatalf("%s: %v\n%s", name, err, p.cmd.Stderr)
		}
		if said := fmt.Sprint(p.cmd.Stderr); strings.Contains(said, "left alone") { // of a backup: no script leaves one that cannot be read
			ts.Fatalf("%s complains: %s", name, said)
		}
		p.cmd = nil
	}
}

// move HOME: its next start is at another address.
func (w *world) move(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "move HOME")
	w.nodes[args[0]].listen = anyPort
}

// crash HOME… kills nodes.
func (w *world) crash(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		p := w.at(ts, name)
		ts.Check(p.cmd.Process.Kill())
		_ = p.cmd.Wait() // it was killed
		p.cmd = nil
	}
}

// freeze HOME stops a node in the middle of what it does; thaw lets it go on.
func (w *world) freeze(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "freeze HOME")
	ts.Check(w.at(ts, args[0]).cmd.Process.Signal(syscall.SIGSTOP))
}

func (w *world) thaw(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "thaw HOME")
	ts.Check(w.at(ts, args[0]).cmd.Process.Signal(syscall.SIGCONT))
}

// befriend A B GIVE ASK [GIVE ASK]…: by a link, A gives B a limit and asks for one;
// amounts name their currency, as "100 FST/0".
func (w *world) befriend(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 4, "befriend A B GIVE ASK…")
	invite := []string{"--home", w.at(ts, args[0]).home, "--json", "friend", "invite", args[1]}
	for i := 2; i+1 < len(args); i += 2 {
		invite = append(invite, "--give", args[i], "--ask", args[i+1])
	}
	ts.Check(ts.Exec(program, invite...))
	var i node.InvitationView
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &i))
	ts.Check(ts.Exec(program, "--home", w.at(ts, args[1]).home, "--json", "friend", "accept", i.URI, "--name", args[0], "--wait", "20s"))
	w.ready(ts, false, args[:2])
}

// ready A B [A B]… waits until each pair can pay each other.
func (w *world) ready(ts *testscript.TestScript, neg bool, args []string) {
	for i := 0; i+1 < len(args); i += 2 {
		for _, side := range [][2]string{{args[i], args[i+1]}, {args[i+1], args[i]}} {
			w.eventually(ts, side[0], side[0]+" ready with "+side[1], func(ctx context.Context, c *api.Client) (string, bool) {
				f, err := c.Friend(ctx, w.key(ts, side[1]))
				if err != nil {
					return err.Error(), false
				}
				return fmt.Sprint(f.State, f.Ready, f.Problem), f.State == node.Opened && f.Ready
			})
		}
	}
}

// eventually waits until ok, as a node sees it.
func (w *world) eventually(ts *testscript.TestScript, name, what string, ok func(context.Context, *api.Client) (string, bool)) {
	c := w.at(ts, name).client
	seen := ""
	done, err := until(context.Background(), c, patience, func(ctx context.Context) (good bool, err error) {
		seen, good = ok(ctx, c)
		return good, nil
	})
	ts.Check(err)
	if !done {
		ts.Fatalf("not in %s: %s; last seen: %s", patience, what, seen)
	}
}

// with A B AMOUNT CURRENCY waits until A's balance with B is so many minor units, and B's the opposite.
func (w *world) with(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 4, "with A B AMOUNT CURRENCY")
	n, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	for _, side := range []struct {
		a, b string
		v    money.Amount
	}{{args[0], args[1], money.Amount(n)}, {args[1], args[0], money.Amount(-n)}} {
		if !w.nodes[side.a].running() {
			continue
		}
		want := money.Value{Amount: side.v, Currency: money.Currency(args[3])}
		w.eventually(ts, side.a, fmt.Sprintf("%s's balance with %s is %s", side.a, side.b, want), func(ctx context.Context, c *api.Client) (string, bool) {
			f, err := c.Friend(ctx, w.key(ts, side.b))
			if err != nil {
				return err.Error(), false
			}
			for _, l := range f.Currencies {
				if l.Currency == want.Currency {
					return l.Balance.String(), l.Balance == want
				}
			}
			return "no such currency", want.Amount == 0
		})
	}
}

// state HOME PAYMENT STATE waits until a payment has come so far: a held one is at
// rest for its payer's commands, whatever its payee has just done.
func (w *world) state(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "state HOME PAYMENT STATE")
	w.eventually(ts, args[0], "payment "+args[1]+" is "+args[2], func(ctx context.Context, c *api.Client) (string, bool) {
		p, err := c.Payment(ctx, args[1], 0)
		if err != nil {
			return err.Error(), false
		}
		return string(p.State), string(p.State) == args[2]
	})
}

// limit HOME FRIEND AMOUNT waits until a node knows what a friend lets it owe.
func (w *world) limit(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "limit HOME FRIEND AMOUNT")
	w.eventually(ts, args[0], args[1]+" lets it owe "+args[2], func(ctx context.Context, c *api.Client) (string, bool) {
		f, err := c.Friend(ctx, w.key(ts, args[1]))
		if err != nil || len(f.Currencies) != 1 {
			return fmt.Sprint(f, err), false
		}
		got := f.Currencies[0].LimitReceived.String()
		return got, got == args[2]
	})
}

// announce waits until the index server knows all that the running nodes announce.
func (w *world) announce(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range w.names {
		if w.nodes[name].running() {
			ok, err := w.nodes[name].client.Announced(context.Background(), patience)
			ts.Check(err)
			if !ok {
				ts.Fatalf("the index server has not heard from %s for %s", name, patience)
			}
		}
	}
}

// audit looks at all running nodes when nothing is under way: nothing is set aside,
// both sides of every friendship agree, all balances add up to zero, every book adds up.
func (w *world) audit(ts *testscript.TestScript, neg bool, args []string) {
	sums := map[money.Currency]money.Amount{}
	for _, name := range w.names {
		if !w.nodes[name].running() {
			continue
		}
		w.eventually(ts, name, name+" has nothing set aside and agrees with its friends", func(ctx context.Context, c *api.Client) (string, bool) {
			return w.quiet(ctx, c, name)
		})
		c := w.nodes[name].client
		balances, err := c.Balances(context.Background())
		ts.Check(err)
		for _, b := range balances {
			sums[b.Currency] += b.Balance.Amount
		}
		v, err := c.VerifyBook(context.Background())
		ts.Check(err)
		if !v.Valid {
			ts.Fatalf("%s's book: %v", name, v.Problems)
		}
	}
	for c, sum := range sums {
		if sum != 0 {
			ts.Fatalf("all balances in %s add up to %d", c, sum)
		}
	}
}

func (w *world) quiet(ctx context.Context, c *api.Client, name string) (string, bool) {
	friends, err := c.Friends(ctx)
	if err != nil {
		return err.Error(), false
	}
	for _, f := range friends {
		if f.OpenLocks != 0 {
			return fmt.Sprintf("%d locks with %s", f.OpenLocks, f.Name), false
		}
		other := w.of(f.Key)
		if !other.running() || f.State == node.Pending {
			continue
		}
		mirror, err := other.client.Friend(ctx, w.nodes[name].key.String())
		if err != nil {
			return err.Error(), false
		}
		for _, mine := range f.Currencies {
			for _, theirs := range mirror.Currencies {
				if mine.Currency == theirs.Currency && mine.Balance.Amount != -theirs.Balance.Amount {
					return fmt.Sprintf("with %s: %s here, %s there", f.Name, mine.Balance, theirs.Balance), false
				}
			}
		}
	}
	return "quiet", true
}
