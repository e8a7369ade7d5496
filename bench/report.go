package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The targets of design §12, rows 1 to 3.
var (
	targetAlone = map[int]time.Duration{1: 2 * time.Millisecond, 2: 3500 * time.Microsecond, 4: 6 * time.Millisecond}
	targetRate  = map[int]float64{2: 10_000, 4: 6_000}
)

const (
	targetSyncs = 0.1                    // a payment over 2 channels
	targetCPU   = 150 * time.Microsecond // likewise
)

// aloneRow is one line of row 1.
type aloneRow struct {
	channels        int
	form            form
	count           int
	p50, p99, floor time.Duration
}

// floorRow is the floor at the time of one town.
type floorRow struct {
	channels int
	floor
}

// report gathers what is written at the end.
type report struct {
	head   []string
	began  time.Time
	loads0 string // what else the machine did
	loads1 string
	floors []floorRow
	alone  []aloneRow
	loads  []loadRow
	audits []string
}

func (r *report) begin(root, work, command string) {
	r.began, r.loads0 = time.Now(), loadAverage()
	commit := output(root, "git", "rev-parse", "--short", "HEAD")
	if output(root, "git", "status", "--porcelain", "--untracked-files=no") != "" {
		commit += " with changes"
	}
	r.head = []string{
		"Date: " + r.began.UTC().Format("2006-01-02 15:04 UTC"),
		"Version: " + commit,
		"Command: `" + command + "`",
		fmt.Sprintf("Machine: %s, %d cores, %s of memory, data on %s, Linux %s, %s", field("/proc/cpuinfo", "model name"), runtime.NumCPU(),
			memory(), output(work, "findmnt", "-n", "-o", "FSTYPE,SOURCE", "-T", "."), kernel(work), runtime.Version()),
	}
}

func (r *report) end() { r.loads1 = loadAverage() }

// output is what a command prints, in one line, or "unknown".
func output(dir, name string, args ...string) string {
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.Output()
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

// field is the first value of a name in a file of /proc.
func field(file, name string) string {
	data, _ := os.ReadFile(file) // not there: unknown
	for line := range strings.Lines(string(data)) {
		if key, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// memory is that of the machine.
func memory() string {
	kib, err := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"))
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%d GiB", (kib+1<<19)>>20)
}

// kernel is its version without what the builder added.
func kernel(dir string) string {
	version, _, _ := strings.Cut(output(dir, "uname", "-r"), "-")
	return version
}

func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(data)); err == nil && len(f) > 0 {
		return f[0]
	}
	return "unknown"
}

func (r *report) audited(nodes int, rows, paid int64) {
	r.audits = append(r.audits, fmt.Sprintf("%d nodes, %d payments of one cent: %d rows in %d books verify, nothing is locked, friends agree, balances add up to zero",
		nodes, paid, rows, nodes))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }
func us(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d)/1e3) }

func (r *report) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Results\n\nMade by `bench`, whose package comment says what is measured and how. Times swing on shared cores: compare the ratios, and")
	line("the counts and CPU of row 3. Targets are those of the design.\n")
	for _, h := range r.head {
		line("- %s", h)
	}
	line("- Load average before and after (1 minute): %s, %s; the run took %s\n", r.loads0, r.loads1, time.Since(r.began).Round(time.Second))
	r.floorTable(line)
	r.aloneTable(line)
	r.loadTable(line)
	r.costTable(line)
	r.whereTable(line)
	line("## Audit\n\nAfter the last payment of each town:\n")
	for _, a := range r.audits {
		line("- %s", a)
	}
	return b.String()
}

func (r *report) floorTable(line func(string, ...any)) {
	line("## Floor\n\nMedians, taken right before the payments of each town.\n")
	line("| before | fdatasync 4 KiB | sign | verify | loopback round trip 192 B |\n|---|---:|---:|---:|---:|")
	for _, f := range r.floors {
		line("| %d channels | %s | %s | %s | %s |", f.channels, us(f.sync), us(f.sign), us(f.verify), us(f.trip))
	}
	line("\nFloor of one payment over n channels: invoice (n+2) fdatasync + n sign + (n+1) verify + (n+1) round trips;")
	line("push (n+4) fdatasync + (n+2) sign + (n+2) verify + (2n+1) round trips.\n")
}

func (r *report) aloneTable(line func(string, ...any)) {
	line("## Row 1: one payment alone\n")
	line("| channels | form | payments | p50 | target p50 | p50 / target | p99 | floor | p50 / floor |\n|---:|---|---:|---:|---:|---:|---:|---:|---:|")
	for _, a := range r.alone {
		target, ratio := "", ""
		if d, ok := targetAlone[a.channels]; ok {
			target, ratio = ms(d), fmt.Sprintf("%.2f", float64(a.p50)/float64(d))
		}
		line("| %d | %s | %d | %s | %s | %s | %s | %s | %.1f |", a.channels, a.form, a.count, ms(a.p50), target, ratio,
			ms(a.p99), ms(a.floor), float64(a.p50)/float64(a.floor))
	}
	line("\nlnd on a like machine, p50: 82, 170 and 354 ms.\n")
}

func (r *report) loadTable(line func(string, ...any)) {
	line("## Row 2: %d payments in flight\n", inFlight)
	line("| channels | form | paid | in | per second | target | of target | p50 | p99 |\n|---:|---|---:|---:|---:|---:|---:|---:|---:|")
	for _, l := range r.loads {
		took := l.to - l.from
		rate := float64(l.paid) / took.Seconds()
		target, ratio := "", ""
		if r, ok := targetRate[l.channels]; ok {
			target, ratio = fmt.Sprintf("%.0f", r), fmt.Sprintf("%.2f", rate/r)
		}
		line("| %d | %s | %d | %.1f s | %.0f | %s | %s | %s | %s |", l.channels, l.form, l.paid, took.Seconds(), rate, target, ratio, ms(l.p50), ms(l.p99))
	}
	line("\nlnd on a like machine: 99 and 35 per second.\n")
}

func (r *report) costTable(line func(string, ...any)) {
	line("## Row 3: what one payment costs under that load\n\nAll nodes together. Targets, over 2 channels: at most %.1f fsyncs and %s of CPU.\n", targetSyncs, us(targetCPU))
	line("| channels | form | fsyncs | of each node, payer first | CPU | CPU / target | of each node | generator's CPU | signatures made, checked | frames | their bytes | records | book rows | inputs a step | bytes to disk |")
	line("|---:|---|---:|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, l := range r.loads {
		n := float64(l.paid)
		var cpu, syncs []string
		for _, u := range l.each {
			cpu = append(cpu, fmt.Sprintf("%.0f", float64(u.cpu)/n/1e3))
			syncs = append(syncs, fmt.Sprintf("%.3f", u.syncs/n))
		}
		ratio := "" // the target is for 2 channels
		if l.channels == 2 {
			ratio = fmt.Sprintf("%.2f", float64(l.used.cpu)/n/float64(targetCPU))
		}
		signed := "not counted"
		if l.used.has {
			signed = fmt.Sprintf("%.3f, %.3f", l.used.signed/n, l.used.checked/n)
		}
		line("| %d | %s | %.3f | %s | %s | %s | %s µs | %s | %s | %.2f | %.0f | %.1f | %.2f | %.1f | %.0f |", l.channels, l.form, l.used.syncs/n,
			strings.Join(syncs, " + "), us(l.used.cpu/time.Duration(l.paid)), ratio, strings.Join(cpu, " + "), us(l.self/time.Duration(l.paid)), signed,
			l.used.frames/n, l.used.sent/n, l.used.records/n, l.used.rows/n, l.used.inputs/l.used.steps, float64(l.used.written)/n)
	}
	line("\nFsyncs are the nodes' waits for the disk before they send; their store folds its log into its database in the background")
	line("at its own pace. Frames are counted before encryption and multiplexing. lnd: 14 fsyncs and 7 ms of CPU over 2 channels.\n")
}

// whereTable spreads the CPU of row 3 over what the profiles saw.
func (r *report) whereTable(line func(string, ...any)) {
	line("## Where the time goes\n\nThe CPU of row 3, all nodes together, spread as CPU profiles of them saw it right after that window. A part claims what no part")
	line("above it does.\n")
	head, under := "| part |", "|---|"
	for _, l := range r.loads {
		head += fmt.Sprintf(" %d channels, %s |", l.channels, l.form)
		under += "---:|"
	}
	line("%s\n%s", head, under)
	for _, p := range append(slices.Clone(parts), part{name: rest}) {
		row := "| " + p.name + " |"
		for _, l := range r.loads {
			var all time.Duration
			for _, d := range l.where {
				all += d
			}
			share := float64(l.where[p.name]) / float64(max(all, 1))
			row += fmt.Sprintf(" %s (%.0f %%) |", us(time.Duration(share*float64(l.used.cpu)/float64(l.paid))), 100*share)
		}
		line("%s", row)
	}
	line("")
}
