package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// hunt builds the simulator's tests with a plant and runs them.
type hunt struct {
	root  string // of the module
	dir   string // for what is built
	count int    // of seeds
}

func newHunt(count int) (*hunt, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("finding the module: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if !filepath.IsAbs(mod) {
		return nil, errors.New("not inside the module: run this as go run ./sim/plants at its root")
	}
	dir, err := os.MkdirTemp("", "plants-")
	return &hunt{root: filepath.Dir(mod), dir: dir, count: count}, err
}

func (h *hunt) close() { os.RemoveAll(h.dir) }

// stage is one run of the built tests.
type stage struct {
	name string
	args []string
}

// firstSeeds is how many worlds come before the tests that take longer: most plants are found by then.
const firstSeeds = 60

// stages is every test that may find a plant, the quick ones first.
func (h *hunt) stages() []stage {
	return []stage{
		{"scenarios", []string{"-test.run", "Scenario", "-test.skip", "CrashPoints"}},
		{"first seeds", []string{"-test.run", "Seeds", "-seeds", strconv.Itoa(min(firstSeeds, h.count)), "-short-circuit"}},
		{"trace", []string{"-test.run", "Trace"}},
		{"seeds", []string{"-test.run", "Seeds", "-seeds", strconv.Itoa(h.count), "-short-circuit"}},
		{"crash points", []string{"-test.run", "CrashPoints"}},
	}
}

// patience is how long one stage may take: many times what it takes on two busy cores.
// A test that does not end by then is one that the plant keeps from ending.
const patience = 10 * time.Minute

// hunt says what found a plant, "" if nothing did.
func (h *hunt) hunt(ctx context.Context, p *plant) (string, error) {
	binary, err := h.build(ctx, p)
	if err != nil {
		return "", err
	}
	defer os.Remove(binary)
	for _, s := range h.stages() {
		cmd := exec.CommandContext(ctx, binary, append(s.args, "-test.failfast", "-test.timeout", patience.String())...)
		cmd.Dir = filepath.Join(h.root, "sim") // as go test runs it
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return "", err
		}
		if err == nil {
			continue
		}
		if why := why(string(out)); why != "" {
			return why, nil
		}
		if p.name == none {
			return s.name + ": " + string(out), nil
		}
	}
	return "", nil
}

// build compiles the tests of package sim with the changed files in place of the tree's.
func (h *hunt) build(ctx context.Context, p *plant) (string, error) {
	texts, err := p.apply(func(file string) (string, error) {
		data, err := os.ReadFile(filepath.Join(h.root, filepath.FromSlash(file)))
		return string(data), err
	})
	if err != nil {
		return "", err
	}
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for file, text := range texts {
		changed := filepath.Join(h.dir, p.name+"-"+strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(h.root, filepath.FromSlash(file))] = changed
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	table, binary := filepath.Join(h.dir, p.name+".json"), filepath.Join(h.dir, p.name+".test")
	if err := os.WriteFile(table, data, 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", table, "-o", binary, "./sim")
	cmd.Dir = h.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("does not build: %w\n%s", err, out)
	}
	return binary, nil
}

var (
	failedTest = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)
	failedSeed = regexp.MustCompile(`-seed ([0-9]+) +# ((?s:.*))`)
	complaint  = regexp.MustCompile(`^ +[a-z_]+_test\.go:[0-9]+: (.*)$`)
	panicked   = regexp.MustCompile(`(?m)^(panic: .*)$`)
	rare       = regexp.MustCompile(`are needed$`)
)

// why finds in the output of failed tests what they complain about first, "" if only that something was too rare.
func why(out string) string {
	test := ""
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if m := failedTest.FindStringSubmatch(line); m != nil {
			test = m[1]
			continue
		}
		m := complaint.FindStringSubmatch(line)
		if m == nil || rare.MatchString(m[1]) || test == "" || isReport(m[1]) {
			continue
		}
		if s := failedSeed.FindStringSubmatch(m[1]); s != nil {
			return "seed " + s[1] + ": " + s[2]
		}
		return strings.TrimPrefix(test, "Test") + ": " + m[1]
	}
	if m := panicked.FindStringSubmatch(out); m != nil {
		return m[1]
	}
	if test != "" || bytes.Contains([]byte(out), []byte("are needed")) {
		return ""
	}
	return firstLine(out, 200)
}

// isReport says whether a line is only what TestSeeds and the crash points print of every run.
func isReport(line string) bool {
	for _, p := range []string{"fault ", "lie  ", "a seed: "} {
		if strings.HasPrefix(line, p) {
			return true
		}
	}
	return report.MatchString(line)
}

var report = regexp.MustCompile(`^[0-9]+ (seeds in |crash points, )`)
