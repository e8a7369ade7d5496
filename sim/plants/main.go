package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// enoughSeeds is how many worlds a plant may take: at 500 and more the simulator also complains
// about a kind of lie that nobody notices, and the rarest of what plants need is in one world of some hundred.
const enoughSeeds = 500

func main() {
	count := flag.Int("seeds", enoughSeeds, "worlds per plant")
	verbose := flag.Bool("v", false, "print what each plant does, and the whole of what found it")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "go run ./sim/plants [-seeds N] [-v] [name…]   (none: the untouched tree)")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, *count, *verbose, flag.Args())
	stop()
	os.Exit(code)
}

// none is the name of the run without a plant.
const none = "none"

// run works through the plants and gives the exit code.
func run(ctx context.Context, count int, verbose bool, names []string) int {
	plants, err := choose(names)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	h, err := newHunt(count)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer h.close()
	width := len("plant")
	for _, p := range plants {
		width = max(width, len(p.name))
	}
	fmt.Printf("%-*s  %7s  %s\n", width, "plant", "seconds", "found by")
	begin, failed := time.Now(), 0
	for _, p := range plants {
		start := time.Now()
		found, err := h.hunt(ctx, &p)
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stderr, "interrupted")
			return 1
		}
		word, good := verdict(p.name, found, err)
		if !good {
			failed++
		}
		if verbose {
			fmt.Printf("\n# %s (%s)\n", p.about, p.rule)
		} else {
			word = firstLine(word, 150)
		}
		fmt.Printf("%-*s  %7.1f  %s\n", width, p.name, time.Since(start).Seconds(), word)
	}
	fmt.Printf("\n%d runs in %v, %d not as they must be\n", len(plants), time.Since(begin).Round(time.Second), failed)
	if failed > 0 {
		return 1
	}
	return 0
}

// verdict says what to print of a run and whether it went as it must.
func verdict(name, found string, err error) (string, bool) {
	switch {
	case err != nil:
		return "FAILED: " + err.Error(), false
	case name == none && found == "":
		return "passes, as it must", true
	case name == none:
		return "FAILED WITHOUT A PLANT: " + found, false
	case found == "":
		return "NOT FOUND", false
	}
	return found, true
}

// choose gives the named plants, or all of them and none.
func choose(names []string) ([]plant, error) {
	all, err := load()
	if err != nil {
		return nil, err
	}
	all = append(all, plant{name: none, about: "the untouched tree", rule: "design 13.3"})
	if len(names) == 0 {
		return all, nil
	}
	var chosen []plant
	for _, n := range names {
		i := slices.IndexFunc(all, func(p plant) bool { return p.name == n })
		if i < 0 {
			return nil, errors.New("no plant is called " + n)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func firstLine(s string, limit int) string {
	s, _, _ = strings.Cut(s, "\n")
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
