package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"kula/internal/api"
	"kula/money"
	"kula/node"
)

// town is the demo's people and the processes they run.
type town struct {
	app    *app
	dir    string
	prices prices
	view   demoView

	index  *exec.Cmd
	people []*resident

	bea, milo, carl, sam, wanda *resident
}

// resident is one person with a running node.
type resident struct {
	name, trade string
	home        string
	process     *exec.Cmd
	endpoint    string
	api         *api.Client
	who         *api.Who
}

// parting is how long a process may take to end when asked to, before it is killed.
const parting = 5 * time.Second

// start runs the index server and five nodes, the nodes side by side.
func (t *town) start(ctx context.Context) error {
	var ready struct {
		URI string `json:"uri"`
	}
	var err error
	t.index, err = t.spawn(ctx, filepath.Join(t.dir, "index"), &ready, "index", "serve", "--listen", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("index server: %w", err)
	}
	add := func(name, trade string) *resident {
		r := &resident{name: name, trade: trade, home: filepath.Join(t.dir, name)}
		t.people = append(t.people, r)
		return r
	}
	t.bea, t.milo, t.carl = add("Bea", "baker"), add("Milo", "milkman"), add("Carl", "carpenter")
	t.sam, t.wanda = add("Sam", "smith"), add("Wanda", "weaver")
	results := make(chan error)
	for _, r := range t.people {
		go func() { results <- t.wake(ctx, r, ready.URI) }()
	}
	for range t.people {
		err = errors.Join(err, <-results)
	}
	return err
}

// wake makes a person's identity and runs its node.
func (t *town) wake(ctx context.Context, r *resident, index string) error {
	if err := t.run(ctx, r.home, "init", "--name", r.name); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	var ready struct {
		API string `json:"api"`
	}
	var err error
	r.process, err = t.spawn(ctx, r.home, &ready, "up", "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0", "--index", index)
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	r.endpoint = ready.API
	e, err := api.ReadEndpoint(r.home)
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	r.api = api.NewClient(e.API, e.Token)
	r.who, err = r.api.Identity(ctx)
	return err
}

// command is this program with a home and --json, cut off from the terminal: an
// interrupt ends the demo, which then ends its children in order.
func (t *town) command(home string, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.Command(self, append([]string{"--home", home, "--json"}, args...)...)
	c.Env = withoutSettings(os.Environ())
	c.SysProcAttr = ownGroup()
	return c, nil
}

// run is one command that ends by itself.
func (t *town) run(ctx context.Context, home string, args ...string) error {
	c, err := t.command(home, args...)
	if err != nil {
		return err
	}
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("kula %s: %w: %s", args[0], err, out)
	}
	return ctx.Err()
}

// spawn starts a command that keeps running and reads its ready line. Its
// messages go to a file named log in its home.
func (t *town) spawn(ctx context.Context, home string, ready any, args ...string) (*exec.Cmd, error) {
	if err := os.MkdirAll(home, homeMode); err != nil {
		return nil, err
	}
	c, err := t.command(home, args...)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(home, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, keyMode)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.Stderr = log
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	if err := readReady(ctx, out, ready); err != nil {
		end(c)
		text, _ := os.ReadFile(filepath.Join(home, "log")) // it says why; if not, err does
		return nil, fmt.Errorf("kula %s did not start: %w\n%s", args[0], err, text)
	}
	return c, nil
}

// readReady reads the one line that says that a process is ready.
func readReady(ctx context.Context, out io.ReadCloser, ready any) error {
	ctx, cancel := context.WithTimeout(ctx, demoWait)
	defer cancel()
	defer context.AfterFunc(ctx, func() { out.Close() })()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return errors.Join(err, ctx.Err())
	}
	var failed struct {
		Error *errorView `json:"error"`
	}
	if err := json.Unmarshal(line, &failed); err != nil {
		return err
	}
	if failed.Error != nil {
		return errors.New(failed.Error.Text)
	}
	return json.Unmarshal(line, ready)
}

// end asks a child to end, and kills it if it does not.
func end(c *exec.Cmd) {
	if c == nil || c.Process == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		_ = c.Wait() // how it ended is of no interest any more
		close(done)
	}()
	_ = c.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-done:
	case <-time.After(parting):
		_ = c.Process.Kill()
		<-done
	}
}

// stop ends all processes that the demo started, the nodes side by side.
func (t *town) stop() {
	done := make(chan struct{})
	for _, r := range t.people {
		go func() {
			end(r.process)
			done <- struct{}{}
		}()
	}
	for range t.people {
		<-done
	}
	end(t.index)
}

// befriend lets from invite to by a link, and waits until both can pay.
func (t *town) befriend(ctx context.Context, from, to *resident, give, ask money.Amount) error {
	i, err := from.api.Invite(ctx, to.name, []api.Line{{Currency: demoCurrency, Give: eur(give), Ask: eur(ask)}}, time.Now().Add(time.Hour).Unix())
	if err != nil {
		return fmt.Errorf("%s invites %s: %w", from.name, to.name, err)
	}
	if _, err := to.api.Accept(ctx, i.URI, from.name, nil); err != nil {
		return fmt.Errorf("%s accepts %s: %w", to.name, from.name, err)
	}
	var seen *node.FriendView
	for _, side := range []struct{ who, friend *resident }{{to, from}, {from, to}} {
		done, err := until(ctx, side.who.api, demoWait, func(ctx context.Context) (bool, error) {
			seen, err = side.who.api.Friend(ctx, side.friend.who.Key.String())
			var refused *api.Refused
			if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
				return false, nil // the acceptance is still on its way
			}
			return err == nil && seen.State == node.Opened && seen.Ready, err
		})
		if err != nil {
			return fmt.Errorf("%s and %s: %w", from.name, to.name, err)
		}
		if !done {
			return fmt.Errorf("%s and %s are no friends after %s", from.name, to.name, demoWait)
		}
	}
	c := &seen.Currencies[0] // as from sees it
	t.say("  %s lets %s owe %s, %s lets %s owe %s.", from.name, to.name, c.LimitGranted, to.name, from.name, c.LimitReceived)
	return nil
}

// buy is a purchase: the payee asks with an invoice, the payer pays it.
func (t *town) buy(ctx context.Context, payer, payee *resident, cents money.Amount, what string) (*node.PaymentView, error) {
	i, err := payee.api.CreateInvoice(ctx, api.Ask{Amount: eur(cents), Memo: what})
	if err != nil {
		return nil, fmt.Errorf("%s asks: %w", payee.name, err)
	}
	p, err := payer.api.Pay(ctx, newKey(), api.Order{Invoice: i.URI, GiveUpMs: 1, WaitMs: demoWait.Milliseconds()})
	if err != nil {
		return nil, fmt.Errorf("%s pays: %w", payer.name, err)
	}
	return p, nil
}

// announced waits until the index knows everybody's newest figures.
func (t *town) announced(ctx context.Context) error {
	for _, p := range t.people {
		done, err := p.api.Announced(ctx, demoWait)
		if err != nil {
			return fmt.Errorf("%s announces: %w", p.name, err)
		}
		if !done {
			return fmt.Errorf("the index server has not heard from %s for %s", p.name, demoWait)
		}
	}
	return nil
}

// sayBetween says who owes whom, as the first one's node sees it.
func (t *town) sayBetween(ctx context.Context, start string, one, other *resident) error {
	v, err := t.between(ctx, one, other)
	if err != nil {
		return err
	}
	switch {
	case v.Amount > 0:
		t.say("%s%s now owes %s %s.", start, other.name, one.name, v)
	case v.Amount < 0:
		t.say("%s%s now owes %s %s.", start, one.name, other.name, magnitude(v))
	default:
		t.say("%s%s and %s are even.", start, one.name, other.name)
	}
	return nil
}

// between reads what other owes one. A payer knows first that it has paid: the
// others' nodes follow within milliseconds, so it waits until both sides agree.
func (t *town) between(ctx context.Context, one, other *resident) (v money.Value, err error) {
	done, err := until(ctx, one.api, demoWait, func(ctx context.Context) (bool, error) {
		f, err := one.api.Friend(ctx, other.who.Key.String())
		if err != nil {
			return false, err
		}
		mirror, err := other.api.Friend(ctx, one.who.Key.String())
		if err != nil {
			return false, err
		}
		v = f.Currencies[0].Balance
		return f.OpenLocks == 0 && mirror.OpenLocks == 0 && v.Amount == -mirror.Currencies[0].Balance.Amount, nil
	})
	if err != nil {
		return v, fmt.Errorf("%s looks at %s: %w", one.name, other.name, err)
	}
	if !done {
		return v, fmt.Errorf("%s and %s do not agree on what is owed after %s", one.name, other.name, demoWait)
	}
	return v, nil
}

// names of all, whoever is a friend of whom.
func (t *town) names() names {
	n := names{}
	for _, p := range t.people {
		n[p.who.Key] = p.name
	}
	return n
}

// withoutSettings drops Kula's own settings: the demo's people are not this user.
func withoutSettings(env []string) []string {
	var rest []string
	for _, e := range env {
		if len(e) < 5 || e[:5] != "KULA_" {
			rest = append(rest, e)
		}
	}
	return rest
}
