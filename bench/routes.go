package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"kula/ident"
	"kula/money"
	"kula/route"
)

// The targets of design §12, rows 4 to 6.
const (
	targetAny50, targetAny99       = 100 * time.Microsecond, 500 * time.Microsecond
	targetCheapest99               = 5 * time.Millisecond
	targetParts99                  = 5 * time.Millisecond
	targetQueries                  = 10_000  // a second, over the network
	targetBytes                    = 60.0    // a directed edge
	updateRate                     = 100_000 // capacities a second
	updatesAtOnce                  = 100     // applied under one lock: a tenth of a millisecond
	newcomer                       = 5       // channels that each node makes when it comes: ten directed edges a node
	routesCurrency                 = money.Currency("EUR/2")
	routesBegin              int64 = 1_800_000_000 // the time of all announcements, unix seconds
)

// routesUsage is printed by -help.
const routesUsage = `go run ./bench routes [-nodes 100000,1000000] [-queries 2000] [-seed 1] [-network=false] [-dir DIR] [-out FILE]
`

// runRoutes measures rows 4 to 6 on generated scale-free graphs.
func runRoutes(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("routes", flag.ExitOnError)
	sizes := set.String("nodes", "100000,1000000", "sizes of the graphs, in nodes")
	queries := set.Int("queries", 2000, "questions of each kind")
	seed := set.Uint64("seed", 1, "of the graphs and the questions")
	network := set.Bool("network", true, "also measure an index server over the network, and its start")
	dir := set.String("dir", "", "where that keeps its data while it runs (default: beside this program)")
	out := set.String("out", "", "also write the report to this file")
	set.Usage = func() { fmt.Fprint(os.Stderr, routesUsage); set.PrintDefaults() }
	if err := set.Parse(args); err != nil {
		return err
	}
	b := &bench{}
	if *network {
		end, err := b.room(ctx, *dir)
		if err != nil {
			return err
		}
		defer end()
		if err := b.build(ctx); err != nil {
			return err
		}
	}
	var rows []string
	for text := range strings.SplitSeq(*sizes, ",") {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || n <= newcomer {
			return fmt.Errorf("-nodes %s: write numbers above %d with commas", text, newcomer)
		}
		more, err := measureRoutes(ctx, n, *queries, *seed)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
		if *network {
			if more, err = measureNetwork(ctx, b, n, *seed); err != nil {
				return err
			}
			rows = append(rows, more...)
		}
	}
	text := routesReport(rows, *queries, *seed)
	fmt.Print(text)
	if *out == "" {
		return nil
	}
	return os.WriteFile(filepath.Clean(*out), []byte(text), 0o644)
}

// web is a scale-free graph as plain arrays, from which the announcements are made, and
// which the baseline searches.
type web struct {
	ids   []ident.ID
	heads []int32 // first edge out of each node
	to    []int32
	can   []money.Amount
	base  []uint8 // fee that to charges
	ppm   []uint16
}

// grow makes a web of n nodes, each newcomer befriending those who have many friends
// already (Barabási and Albert, Science 286, 1999). Limits spread over three powers of ten; half of the nodes
// charge.
func grow(n int, seed uint64) *web {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	w := &web{ids: make([]ident.ID, n), heads: make([]int32, n+1)}
	for i := range w.ids {
		for k := range w.ids[i] {
			w.ids[i][k] = byte(rng.Uint32())
		}
	}
	pairs := make([][2]int32, 0, newcomer*n)
	ends := make([]int32, 1, 2*newcomer*n)
	degree := make([]int32, n)
	for i := int32(1); i < int32(n); i++ {
		var chosen [newcomer]int32
		for c := range min(newcomer, i) {
			k := ends[rng.IntN(len(ends))]
			for k == i || slices.Contains(chosen[:c], k) || degree[k] >= route.MaxFriends {
				k = int32(rng.IntN(int(i)))
			}
			chosen[c] = k
			pairs = append(pairs, [2]int32{i, k})
			degree[i], degree[k] = degree[i]+1, degree[k]+1
		}
		for _, k := range chosen[:min(newcomer, i)] {
			ends = append(ends, i, k)
		}
	}
	for i, d := range degree {
		w.heads[i+1] = w.heads[i] + d
	}
	m := len(pairs) * 2
	w.to, w.can, w.base, w.ppm = make([]int32, m), make([]money.Amount, m), make([]uint8, m), make([]uint16, m)
	at := slices.Clone(w.heads[:n])
	put := func(x, y int32) {
		e := at[x]
		at[x]++
		w.to[e], w.can[e] = y, route.Coarse(100<<rng.IntN(11))
		if y%2 == 0 {
			w.base[e], w.ppm[e] = uint8(rng.IntN(10)), uint16(rng.IntN(5000))
		}
	}
	for _, p := range pairs {
		put(p[0], p[1])
		put(p[1], p[0])
	}
	return w
}

// announcement is what y says about x, for the edge e from x to y.
func (w *web) announcement(x int32, e int32, number uint64, can money.Amount) route.Announcement {
	return route.Announcement{
		Node: w.ids[w.to[e]], Friend: w.ids[x], Number: number, Expires: routesBegin + 3600,
		Entries: []route.Entry{{Currency: routesCurrency, CanReceive: can, FeeBase: money.Amount(w.base[e]), FeePpm: uint32(w.ppm[e])}},
	}
}

// tell announces everything to a graph.
func (w *web) tell() (*route.Graph, error) {
	g := route.NewGraph(len(w.to))
	for x := range int32(len(w.ids)) {
		for e := w.heads[x]; e < w.heads[x+1]; e++ {
			if _, err := g.Apply(w.announcement(x, e, 1, w.can[e]), routesBegin); err != nil {
				return nil, err
			}
		}
	}
	return g, nil
}

// breadth is the baseline: a plain breadth-first search that heeds capacities and no fees.
func (w *web) breadth(from, to int32, amount money.Amount, seen []int32, round int32) bool {
	queue := []int32{from}
	seen[from] = round
	for k := 0; k < len(queue); k++ {
		x := queue[k]
		for e := w.heads[x]; e < w.heads[x+1]; e++ {
			y := w.to[e]
			if seen[y] == round || w.can[e] < amount {
				continue
			}
			if y == to {
				return true
			}
			seen[y] = round
			queue = append(queue, y)
		}
	}
	return false
}

func heap() uint64 {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// measureRoutes takes all figures of one graph.
func measureRoutes(ctx context.Context, n, queries int, seed uint64) ([]string, error) {
	say("routes: grow %d nodes", n)
	w := grow(n, seed)
	before := heap()
	began := time.Now()
	g, err := w.tell()
	if err != nil {
		return nil, err
	}
	told := time.Since(began)
	perEdge := float64(heap()-before) / float64(len(w.to))
	nodes, announcements, edges := g.Size()
	say("routes: %d nodes, %d announcements, %d edges: %.1f s, %.1f bytes an edge", nodes, announcements, edges, told.Seconds(), perEdge)

	var lock sync.RWMutex
	stop, done := make(chan struct{}), make(chan int)
	go func() { done <- w.update(g, &lock, seed, stop) }()
	began = time.Now()
	rows := []string{fmt.Sprintf("| %d / %d | memory, bytes an edge | %.1f | | | ≤ %.0f |", nodes, edges, perEdge, targetBytes)}
	for _, k := range kinds {
		if ctx.Err() != nil {
			break
		}
		rows = append(rows, w.ask(g, &lock, k, queries, seed))
		say("routes: %s", rows[len(rows)-1])
	}
	close(stop)
	rate := float64(<-done) / time.Since(began).Seconds()
	rows = append(rows, fmt.Sprintf("| %d / %d | capacity updates a second meanwhile | %.0f | | | %d |", nodes, edges, rate, updateRate))
	runtime.KeepAlive(g)
	return rows, ctx.Err()
}

// update changes capacities at updateRate until stop; it says how many.
func (w *web) update(g *route.Graph, lock *sync.RWMutex, seed uint64, stop chan struct{}) (count int) {
	rng := rand.New(rand.NewPCG(seed, 77))
	began := time.Now()
	tick := time.NewTicker(time.Second * updatesAtOnce / updateRate)
	defer tick.Stop()
	list := make([]route.Announcement, updatesAtOnce)
	for number := uint64(2); ; number++ {
		select {
		case <-stop:
			return count
		default:
		}
		if float64(count) > updateRate*time.Since(began).Seconds() {
			<-tick.C
			continue
		}
		for i := range list {
			x := int32(rng.IntN(len(w.ids)))
			e := w.heads[x] + int32(rng.IntN(int(w.heads[x+1]-w.heads[x])))
			list[i] = w.announcement(x, e, number, route.Coarse(100<<rng.IntN(11)))
		}
		lock.Lock()
		for _, a := range list {
			if _, err := g.Apply(a, routesBegin); err == nil {
				count++
			}
		}
		lock.Unlock()
	}
}

// kind is one kind of question.
type kind struct {
	name   string
	amount func(rng *rand.Rand) money.Amount
	ask    func(w *web, f *route.Finder, r route.Request) int // outcome
	plain  bool                                               // the baseline: no lock, other data
	p50    time.Duration                                      // targets, 0 for none
	p99    time.Duration
}

func single(rng *rand.Rand) money.Amount  { return money.Amount(1 + rng.IntN(5000)) }
func several(rng *rand.Rand) money.Amount { return money.Amount(20_000 + rng.IntN(80_000)) }

var kinds = []kind{
	{name: "plain breadth-first search", amount: single, plain: true},
	{name: "any route", amount: single, p50: targetAny50, p99: targetAny99, ask: func(_ *web, f *route.Finder, r route.Request) int {
		_, err := f.Any(r)
		return outcome(1, err)
	}},
	{name: "cheapest", amount: single, p99: targetCheapest99, ask: func(_ *web, f *route.Finder, r route.Request) int {
		_, err := f.Cheapest(r)
		return outcome(1, err)
	}},
	{name: "in up to 32 parts, small amounts", amount: single, p99: targetParts99, ask: inParts},
	{name: "in up to 32 parts, large amounts", amount: several, p99: targetParts99, ask: inParts},
}

func inParts(_ *web, f *route.Finder, r route.Request) int {
	r.MaxParts = route.MaxParts
	routes, err := f.Search(r)
	return outcome(len(routes), err)
}

// outcome is the number of routes, 0 if none was found, -1 if it is proved that there are none.
func outcome(routes int, err error) int {
	switch {
	case err == nil:
		return routes
	case route.RefusalOf(err).Proved:
		return -1
	}
	return 0
}

// ask puts questions of one kind and makes a row of what they took.
func (w *web) ask(g *route.Graph, lock *sync.RWMutex, k kind, queries int, seed uint64) string {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	rng := rand.New(rand.NewPCG(seed, 5))
	took := make([]time.Duration, 0, queries)
	found, parts, impossible := 0, 0, 0
	finder := g.Finder()
	var seen []int32
	if k.plain {
		seen = make([]int32, len(w.ids))
		queries = max(queries/20, 10) // slow
	}
	for round := range queries {
		from, to := int32(rng.IntN(len(w.ids))), int32(rng.IntN(len(w.ids)))
		if from == to {
			continue
		}
		r := route.Request{From: w.ids[from], To: w.ids[to], Currency: routesCurrency, Amount: k.amount(rng), MaxFee: route.NoMaxFee, Announced: true}
		began := threadTime()
		n := 0
		if k.plain {
			if w.breadth(from, to, r.Amount, seen, int32(round+1)) {
				n = 1
			}
		} else {
			lock.RLock()
			n = k.ask(w, finder, r)
			lock.RUnlock()
		}
		took = append(took, threadTime()-began)
		if n > 0 {
			found++
			parts += n
		}
		if n < 0 {
			impossible++
		}
	}
	slices.Sort(took)
	target := ""
	if k.p99 > 0 {
		target = fmt.Sprintf("%v", k.p99)
		if k.p50 > 0 {
			target = fmt.Sprintf("%v / %v", k.p50, k.p99)
		}
	}
	return fmt.Sprintf("| %d / %d | %s: p50 / p99 / max; %d of %d found, %d proved impossible, %.1f parts each | %v | %v | %v | %s |", len(w.ids), len(w.to), k.name, found, len(took), impossible,
		float64(parts)/float64(max(found, 1)), took[len(took)/2].Round(time.Microsecond), took[len(took)*99/100].Round(time.Microsecond), took[len(took)-1].Round(time.Microsecond), target)
}

func routesReport(rows []string, queries int, seed uint64) string {
	return fmt.Sprintf(`# Routes

Rows 4 to 6 of the design's figures: `+"`go run ./bench routes`"+`, %d questions of each kind, seed %d, %s, %d processors,
%s. Scale-free graphs; capacities change all the time, under the same lock as at an
index server. Times are CPU time of the asking thread: the machine does other things too. What is over the network is the
program itself, a process of its own that started with the graph in its log: %d clients with %d questions under way each; and the %d nodes with the most friends, each announcing %d times a second, signed. Its clients run on the same processors.

| nodes / directed edges | what | | | | target |
|---|---|---:|---:|---:|---|
%s
`, queries, seed, runtime.Version(), runtime.NumCPU(), time.Now().UTC().Format("2006-01-02"), askers, askAhead, hubs, hubRate, strings.Join(rows, "\n"))
}
