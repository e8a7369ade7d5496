package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// limit is the highest there is, 2^53 minor units, so that none is ever reached.
	limit = 1 << 53

	// parting is how long a node may take to end when asked to, before it is killed:
	// it folds what it saved last into its database.
	parting = 20 * time.Second
)

// town is a chain of friends, the payer first and the payee last.
type town struct {
	nodes []*process
	owes  int64 // minor units that were paid along the chain
}

func (t *town) payer() *process { return t.nodes[0] }
func (t *town) payee() *process { return t.nodes[len(t.nodes)-1] }
func (t *town) channels() int   { return len(t.nodes) - 1 }

// process is one running node.
type process struct {
	endpoint
	name  string
	home  string
	cmd   *exec.Cmd
	pprof string // a socket
	api   *caller
}

// value is an amount in the API.
type value struct {
	Value string `json:"value"`
	Code  string `json:"assetCode"`
	Scale int    `json:"assetScale"`
}

func euros(cents int64) value { return value{strconv.FormatInt(cents, 10), "EUR", 2} }

func (v value) cents() (int64, error) { return strconv.ParseInt(v.Value, 10, 64) }

// settle starts a town with so many channels. The town is there to be stopped even
// when there is an error.
func (b *bench) settle(ctx context.Context, channels int) (*town, error) {
	t := &town{}
	for i := range channels + 1 {
		p, err := b.wake(ctx, fmt.Sprintf("node-%d-of-%d", i+1, channels+1))
		if err != nil {
			return t, err
		}
		t.nodes = append(t.nodes, p)
	}
	for i := range channels {
		if err := befriend(ctx, t.nodes[i+1], t.nodes[i]); err != nil {
			return t, fmt.Errorf("%s and %s: %w", t.nodes[i+1].name, t.nodes[i].name, err)
		}
	}
	return t, nil
}

// wake makes an identity and runs its node.
func (b *bench) wake(ctx context.Context, name string) (*process, error) {
	p := &process{name: name, home: filepath.Join(b.work, name)}
	env := []string{}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "KULA_") { // settings of this user's own node
			env = append(env, e)
		}
	}
	p.pprof = filepath.Join(p.home, "pprof")
	env = append(env, "KULA_PPROF="+p.pprof) // costs nothing while nobody asks
	create := exec.CommandContext(ctx, b.binary, "--home", p.home, "--json", "init", "--name", name)
	create.Env = env
	if out, err := create.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("init %s: %w: %s", name, err, out)
	}
	p.cmd = exec.Command(b.binary, "--home", p.home, "--json", "up", "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0")
	p.cmd.Env = env
	log, err := os.Create(filepath.Join(p.home, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.ready(out); err != nil {
		text, _ := os.ReadFile(log.Name()) // it says why; if not, err does
		return nil, errors.Join(fmt.Errorf("%s did not start: %w\n%s", name, err, text), p.stop())
	}
	return p, nil
}

// ready waits for the line that says that the node is, and connects to its API.
func (p *process) ready(out io.ReadCloser) error {
	late := time.AfterFunc(patience, func() { out.Close() })
	defer late.Stop()
	if _, err := bufio.NewReader(out).ReadBytes('\n'); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(p.home, "api.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &p.endpoint); err != nil {
		return err
	}
	p.api, err = p.dial()
	return err
}

// stop asks a node to end, and kills it, by its own id, if it does not.
func (p *process) stop() error {
	if p.api != nil {
		p.api.close()
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	late := time.AfterFunc(parting, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	if err := p.cmd.Wait(); err != nil {
		text, _ := os.ReadFile(filepath.Join(p.home, "log"))
		return fmt.Errorf("%s ended with %w\n%s", p.name, err, text)
	}
	return nil
}

// stop ends all nodes, side by side.
func (t *town) stop() error {
	results := make(chan error)
	for _, p := range t.nodes {
		go func() { results <- p.stop() }()
	}
	var all error
	for range t.nodes {
		all = errors.Join(all, <-results)
	}
	return all
}

// friend is what is read of a friend.
type friend struct {
	State      string `json:"state"`
	Ready      bool   `json:"ready"`
	OpenLocks  int    `json:"openLocks"`
	Currencies []struct {
		Balance value `json:"balance"`
	} `json:"currencies"`
}

// balance is what the friend owes, in cents.
func (f *friend) balance() (int64, error) {
	if len(f.Currencies) != 1 {
		return 0, fmt.Errorf("%d currencies with a friend", len(f.Currencies))
	}
	return f.Currencies[0].Balance.cents()
}

// befriend lets from invite to by a link, and waits until payments can pass both ways.
func befriend(ctx context.Context, from, to *process) error {
	line := map[string]any{"currency": "EUR/2", "give": euros(limit), "ask": euros(limit)}
	var invitation struct {
		URI string `json:"uri"`
	}
	if err := from.api.call("POST", "/v1/invitations", map[string]any{"lines": []any{line}}, &invitation); err != nil {
		return err
	}
	var f friend
	if err := to.api.call("POST", "/v1/friends", map[string]any{"uri": invitation.URI}, &f); err != nil {
		return err
	}
	for _, side := range [][2]*process{{to, from}, {from, to}} {
		err := until(ctx, func() (bool, error) {
			var list struct {
				Friends []struct {
					Key string `json:"key"`
					friend
				} `json:"friends"`
			}
			if err := side[0].api.get("/v1/friends", &list); err != nil {
				return false, err
			}
			for _, f := range list.Friends {
				if f.Key == side[1].Key {
					return f.State == "open" && f.Ready, nil
				}
			}
			return false, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// until asks every few milliseconds until the answer is yes.
func until(ctx context.Context, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		done, err := ask()
		if done || err != nil {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("still not so after %s: %w", patience, ctx.Err())
		}
	}
}

// audit checks all that must hold once everything is paid.
func (t *town) audit(ctx context.Context, r *report) error {
	rows := int64(0)
	total := int64(0)
	for i, p := range t.nodes {
		var book struct {
			Valid    bool     `json:"valid"`
			Rows     int64    `json:"rows"`
			Problems []string `json:"problems"`
		}
		for _, j := range []int{i - 1, i + 1} {
			if j < 0 || j >= len(t.nodes) {
				continue
			}
			want := t.owes // who is nearer to the payer owes
			if j > i {
				want = -want
			}
			if err := p.owed(ctx, t.nodes[j], want); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		var list struct {
			Balances []struct {
				Balance value `json:"balance"`
			} `json:"balances"`
		}
		if err := p.api.get("/v1/balances", &list); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		for _, b := range list.Balances {
			cents, err := b.Balance.cents()
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			total += cents
		}
		if err := p.api.get("/v1/book/verify", &book); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if !book.Valid {
			return fmt.Errorf("%s: the book does not verify: %v", p.name, book.Problems)
		}
		rows += book.Rows
	}
	if total != 0 {
		return fmt.Errorf("balances add up to %d, not 0", total)
	}
	r.audited(len(t.nodes), rows, t.owes)
	return nil
}

// owed checks that a friend owes so much, with nothing locked any more.
func (p *process) owed(ctx context.Context, other *process, want int64) error {
	var f friend
	err := until(ctx, func() (bool, error) {
		err := p.api.get("/v1/friends/"+other.Key, &f)
		return f.OpenLocks == 0, err
	})
	if err != nil {
		return fmt.Errorf("%d locks with %s: %w", f.OpenLocks, other.name, err)
	}
	got, err := f.balance()
	if err == nil && got != want {
		err = fmt.Errorf("%s owes %d, but %d was paid", other.name, got, want)
	}
	return err
}
