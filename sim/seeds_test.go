package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seeds   = flag.Int("seeds", 5000, "worlds that TestSeeds runs")
	oneSeed = flag.Int64("seed", -1, "the one seed to run")
	tale    = flag.Bool("tale", false, "with -seed: print everything that happens")
	first   = flag.Int64("first", 0, "the first seed")
	soak    = flag.Duration("soak", 0, "how long TestSoak goes on with seeds that nobody has run")
	traceOf = flag.String("trace-of", "", "print the traces of seeds first-last, for TestTrace")
	short   = flag.Bool("short-circuit", false, "end at the first world that fails")
)

// TestMain lets the heap grow to five times what is live before it is cleaned: a world is small and soon forgotten,
// so this costs tens of megabytes and saves a fifth of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

func TestSeeds(t *testing.T) {
	if *oneSeed >= 0 {
		var logs func(string, ...any)
		if *tale {
			logs = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
		}
		w := live(uint64(*oneSeed), uint64(*oneSeed)%100 == 99, logs)
		t.Logf("%d members, trace %016x, %+v", len(w.Members), w.Trace(), w.Stats)
		if w.Err() != nil {
			t.Fatal(w.Err())
		}
		return
	}
	total, failed := runSeeds(t, uint64(*first), *seeds, time.Time{})
	if failed == 0 && *seeds >= 500 {
		total.require(t)
	}
}

// runSeeds runs worlds on all processors: as many as told, or until a time if there is one. Every failure is
// printed as the line that repeats it.
func runSeeds(t *testing.T, first uint64, count int, until time.Time) (*totals, int) {
	var mu sync.Mutex
	var next atomic.Int64
	var failed []string
	total := newTotals()
	begin := time.Now()
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				mu.Lock()
				stop := len(failed) >= 20 || *short && len(failed) > 0 || !until.IsZero() && time.Now().After(until)
				mu.Unlock()
				if i >= int64(count) || stop {
					return
				}
				seed := first + uint64(i)
				w := safely(seed)
				mu.Lock()
				if w.Err() != nil {
					failed = append(failed, fmt.Sprintf("go test ./sim -run Seeds -seed %d    # %v", seed, w.Err()))
				}
				total.add(&w.Stats)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%.0f seeds in %v", total.seeds, time.Since(begin).Round(time.Millisecond))
	total.report(t)
	for _, f := range failed {
		t.Error(f)
	}
	return total, len(failed)
}

// totals is what all worlds of a run had together.
type totals struct {
	seeds                                  float64
	begun, paid, far, split                float64
	steps, messages                        float64
	faults, lies, caught, refusals, worlds map[string]float64
}

func newTotals() *totals {
	return &totals{faults: map[string]float64{}, lies: map[string]float64{}, caught: map[string]float64{}, refusals: map[string]float64{}, worlds: map[string]float64{}}
}

func (x *totals) add(s *Stats) {
	x.seeds++
	x.begun, x.paid, x.far = x.begun+float64(s.Payments), x.paid+float64(s.Paid), x.far+float64(s.Far)
	x.split += float64(s.Split)
	x.steps, x.messages = x.steps+float64(s.Steps), x.messages+float64(s.Messages)
	for k, n := range s.Faults {
		if n > 0 {
			x.faults[string(k)]++
		}
	}
	for k, n := range s.Lies {
		if n > 0 {
			x.lies[string(k)]++
		}
	}
	for k, n := range s.Caught {
		if n > 0 {
			x.caught[string(k)]++
		}
	}
	for k, n := range s.Refusals {
		x.refusals[k] += float64(n)
	}
}

func (x *totals) report(t *testing.T) {
	n := max(x.seeds, 1)
	t.Logf("a seed: %.1f payments begun, %.1f paid, %.1f %% of those over two channels or more, %.1f %% in two parts or more; %.0f steps, %.0f messages", x.begun/n, x.paid/n, 100*x.far/max(x.paid, 1), 100*x.split/max(x.paid, 1), x.steps/n, x.messages/n)
	for _, f := range AllFaults {
		t.Logf("fault %-24s in %5.1f %% of the seeds", f, 100*x.faults[string(f)]/n)
	}
	for _, l := range AllLies {
		t.Logf("lie   %-28s in %5.1f %%, noticed in %5.1f %%", l.Lie, 100*x.lies[string(l.Lie)]/n, 100*x.caught[string(l.Lie)]/n)
	}
}

// require is what a run must have had for its silence to mean something.
func (x *totals) require(t *testing.T) {
	if x.paid/x.seeds < 50 {
		t.Errorf("%.1f payments a seed, at least 50 are needed", x.paid/x.seeds)
	}
	if x.far < 0.2*x.paid {
		t.Errorf("%.1f %% of the payments went over two channels or more, at least 20 %% are needed", 100*x.far/x.paid)
	}
	if x.split < 0.02*x.paid {
		t.Errorf("%.1f %% of the payments went in two parts or more, at least 2 %% are needed", 100*x.split/x.paid)
	}
	for _, f := range AllFaults {
		if x.faults[string(f)] < 0.05*x.seeds {
			t.Errorf("fault %q in %.1f %% of the seeds, at least 5 %% are needed", f, 100*x.faults[string(f)]/x.seeds)
		}
	}
	for _, l := range AllLies {
		if x.lies[string(l.Lie)] < 0.05*x.seeds {
			t.Errorf("lie %q in %.1f %% of the seeds, at least 5 %% are needed", l.Lie, 100*x.lies[string(l.Lie)]/x.seeds)
		}
		if x.caught[string(l.Lie)] == 0 {
			t.Errorf("lie %q was never noticed", l.Lie)
		}
	}
}

// safely runs one world; a panic of a node is a failure of it.
func safely(seed uint64) (w *World) {
	defer func() {
		if p := recover(); p != nil {
			w = &World{}
			w.err = fmt.Errorf("panic: %v\n%s", p, stack())
		}
	}()
	return Live(seed, seed%100 == 99)
}

func stack() string {
	b := make([]byte, 8<<10)
	return string(b[:runtime.Stack(b, false)])
}
