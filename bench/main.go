// Command bench measures rows 1 to 3 of the design's figures (§12) on the real
// program: it builds ./cmd/kula, runs nodes as separate processes that talk over
// encrypted loopback connections and save to a real disk, and calls their local API
// as any program would.
//
//	go run ./bench [-short] [-channels 1,2,4] [-profile DIR] [-dir DIR] [-out FILE]
//	go run ./bench routes [-nodes 100000,1000000] [-queries N] [-seed N] [-network=false] [-dir DIR] [-out FILE]
//
// The second form measures rows 4 to 6; its report says how.
//
// # What is measured
//
// A town is a chain of friends, each a process: 2, 3 or 5 people for payments over 1,
// 2 or 4 channels. The first one pays the last one. Routes are given by key, so that no
// index server takes part; limits are as high as they can be; fees are 0.
//
//  1. alone: one payment at a time. A payment is POST /v1/payments until the answer
//     says paid, with a new Idempotency-Key each, as users are told to do. Both forms: an
//     invoice made beforehand, and a push (to a key, without an invoice).
//  2. load: 128 connections, each with one payment under way at any time. Counted is
//     what is answered with paid within the window, after a warm-up.
//  3. cost: what the nodes counted (/metrics) and the kernel counted for them
//     (/proc/PID/stat, /proc/PID/io) within the same window, over the payments of it.
//     All node processes together; the load generator's own CPU is told beside it.
//  4. where: CPU profiles of all nodes right after that window, under the same load, added
//     up by what the time went to.
//
// # The floor
//
// Beside every latency stands what the machine cannot go below, from figures taken
// right before it: fdatasync of 4 KiB appended to a preallocated file, one Ed25519
// signature, one verification, one loopback TCP round trip of 192 bytes. What a
// payment over n channels needs one after the other:
//
//	invoice  (n+2) fdatasync + n signatures + (n+1) verifications + (n+1) round trips
//	push     (n+4) fdatasync + (n+2) signatures + (n+2) verifications + (2n+1) round trips
//
// An invoice payment is saved by the payer, each mediator and the payee before the next
// one hears of it, and by the payer again when it is paid; each of the n promises is
// signed by one and verified by the next, and the payer verifies the invoice. The payee
// of a push acknowledges first and gives a receipt after (a signature each), and
// payer and payee each save once more in between.
//
// # What it never does
//
// It never fails for being slow: on shared cores times say little, counts and CPU per
// payment say more. It does fail if a payment is not paid or the audit after each
// town finds anything: every book verifies, nothing is locked, friends agree on what
// they owe, the payer owes exactly what was paid, everybody's balances add up to zero.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// inFlight is how many payments are under way in row 2 (design §12).
	inFlight = 128

	// maxChannels is the longest route there is (spec: 20 hops).
	maxChannels = 20

	// patience bounds every wait for a node: far more than any takes, so that a hang ends.
	patience = 60 * time.Second
)

// plan is how much is measured.
type plan struct {
	alone, before int           // payments of row 1, and uncounted ones before them
	window, warm  time.Duration // of row 2 and 3
	profiled      time.Duration // right after the window, under the same load
	floors        int           // repetitions of each floor figure
}

var (
	// full: 400 payments put 4 beyond the 99th percentile.
	full  = plan{alone: 400, before: 40, window: 8 * time.Second, warm: 2 * time.Second, profiled: 3 * time.Second, floors: 1000}
	short = plan{alone: 100, before: 20, window: 2 * time.Second, warm: time.Second, profiled: time.Second, floors: 300}
)

func main() {
	quick := flag.Bool("short", false, "a quick look: a quarter of the payments")
	profile := flag.String("profile", "", "keep the CPU profiles of every node under load in this directory")
	channels := flag.String("channels", "1,2,4", "which towns, by their number of channels")
	dir := flag.String("dir", "", "where the nodes keep their data while they run (default: beside this program, so on the disk of the repository)")
	out := flag.String("out", "", "the report (default bench/RESULTS.md; none with -short, -channels or -profile)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if flag.Arg(0) == "routes" {
		if err := runRoutes(ctx, flag.Args()[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	b := &bench{plan: full, profiles: *profile, out: *out, command: "go run ./bench " + strings.Join(os.Args[1:], " ")}
	if *quick {
		b.plan = short
	}
	for text := range strings.SplitSeq(*channels, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxChannels {
			fmt.Fprintf(os.Stderr, "bench: -channels %s: write numbers from 1 to %d with commas\n", *channels, maxChannels)
			os.Exit(2)
		}
		b.channels = append(b.channels, n)
	}
	if err := b.run(ctx, *dir, !*quick && *profile == "" && *channels == "1,2,4"); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	plan
	channels []int
	profiles string // directory
	out      string
	command  string
	root     string // of the repository
	work     string // removed at the end
	binary   string
	report   report
}

func (b *bench) run(ctx context.Context, dir string, keep bool) (err error) {
	end, err := b.room(ctx, dir)
	if err != nil {
		return err
	}
	defer end()
	if b.out == "" && keep {
		b.out = filepath.Join(b.root, "bench", "RESULTS.md")
	}
	if b.profiles == "" {
		b.profiles = filepath.Join(b.work, "profiles")
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return err
	}
	if err := b.build(ctx); err != nil {
		return err
	}
	b.report.begin(b.root, b.work, strings.TrimSpace(b.command))
	for _, channels := range b.channels {
		if err := b.measure(ctx, channels); err != nil {
			return fmt.Errorf("over %d channels: %w", channels, err)
		}
	}
	b.report.end()
	text := b.report.text()
	fmt.Print("\n" + text)
	if b.out == "" {
		return nil
	}
	return os.WriteFile(b.out, []byte(text), 0o644)
}

// room makes the directory that a run works in, until end is called.
func (b *bench) room(ctx context.Context, dir string) (end func(), err error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("where is the repository? run this inside it: %w", err)
	}
	b.root = strings.TrimSpace(string(root))
	if dir == "" {
		dir = filepath.Join(b.root, "bench")
	}
	if b.work, err = os.MkdirTemp(dir, ".run-"); err != nil {
		return nil, err
	}
	return func() { os.RemoveAll(b.work) }, nil
}

// build makes the binary as users get it.
func (b *bench) build(ctx context.Context) error {
	b.binary = filepath.Join(b.work, "kula")
	c := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "./cmd/kula")
	c.Dir, c.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// measure takes all figures of one town.
func (b *bench) measure(ctx context.Context, channels int) (err error) {
	say("%d channels: start %d nodes", channels, channels+1)
	t, err := b.settle(ctx, channels)
	if t != nil {
		defer func() {
			if stopped := t.stop(); err == nil {
				err = stopped
			}
		}()
	}
	if err != nil {
		return err
	}
	f, err := b.floor()
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	b.report.floors = append(b.report.floors, floorRow{channels, f})
	for _, form := range []form{invoices, pushes} {
		if err := b.alone(ctx, t, form, f); err != nil {
			return fmt.Errorf("%s, alone: %w", form, err)
		}
	}
	if channels > 1 { // rows 2 and 3 are about chains
		rate := 0.0
		for _, form := range []form{pushes, invoices} { // how fast pushes are says how many invoices are wanted
			if rate, err = b.load(ctx, t, form, rate); err != nil {
				return fmt.Errorf("%s, %d in flight: %w", form, inFlight, err)
			}
		}
	}
	say("%d channels: audit", channels)
	return t.audit(ctx, &b.report)
}

// say tells how far the run is.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
