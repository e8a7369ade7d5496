package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"kula/ident"
	"kula/internal/index"
	"kula/internal/p2p"
	"kula/money"
	"kula/route"
	"kula/wire"
)

// Row 5: an index server as users run it, a process of its own that starts with the graph in its log, asked and told over
// loopback by clients that keep to its rules. Whoever tells it something signs it, and says what is its own and no more
// than 1,000 things a second; so the hubs of the graph tell, those with the most friends, each at that rate.
const (
	hubs      = 100 // × hubRate = updateRate
	hubRate   = updateRate / hubs
	askers    = 8                     // clients that ask
	askAhead  = 16                    // questions of each under way
	askRate   = targetQueries * 6 / 5 // what clients ask at most where it is measured whether a server does both
	pair      = 2                     // announcements that a node makes together if it does nothing but carry one payment: two of its channels change
	netWarm   = 2 * time.Second
	netWindow = 8 * time.Second

	// startPatience bounds the start of a server with ten million announcements.
	startPatience = 5 * time.Minute
)

// network is an index server and its clients.
type network struct {
	web    *web
	began  int64 // unix seconds: the time of the announcements
	keys   []*ident.Key
	hub    []int32 // nodes that keys are of
	server *exec.Cmd
	link   index.Link
}

// crown gives the nodes with the most friends keys of their own, so that they can prove who they are.
func (n *network) crown() {
	order := make([]int32, len(n.web.ids))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return int(n.web.degree(b) - n.web.degree(a)) })
	for i, x := range order[:min(hubs, len(order))] {
		var master [32]byte
		master[0], master[1], master[2] = byte(i), byte(i>>8), 1
		k := ident.NewKey(master)
		n.web.ids[x] = k.ID()
		n.keys, n.hub = append(n.keys, k), append(n.hub, x)
	}
}

func (w *web) degree(x int32) int32 { return w.heads[x+1] - w.heads[x] }

// all are the announcements of the whole graph. Nobody looks at their signatures: a server believes its own log.
func (n *network) all() iter.Seq[wire.Batched] {
	return func(yield func(wire.Batched) bool) {
		w := n.web
		for x := range int32(len(w.ids)) {
			for e := w.heads[x]; e < w.heads[x+1]; e++ {
				a := w.announcement(x, e, 1, w.can[e])
				a.Expires = n.began + route.MaxLife/2
				if !yield(wire.Batched{Body: a.Encode()}) {
					return
				}
			}
		}
	}
}

// start runs the server and says how long that took.
func (n *network) start(ctx context.Context, binary, home string) (time.Duration, error) {
	n.server = exec.CommandContext(ctx, binary, "--home", home, "--json", "index", "serve", "--listen", "127.0.0.1:0")
	n.server.Stderr = os.Stderr
	out, err := n.server.StdoutPipe()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := n.server.Start(); err != nil {
		return 0, err
	}
	late := time.AfterFunc(startPatience, func() { _ = n.server.Process.Kill() })
	defer late.Stop()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	took := time.Since(began)
	var ready struct{ URI string }
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err == nil {
		n.link, err = index.ParseURI(ready.URI)
	}
	return took, err
}

// stop ends the server as a service manager does.
func (n *network) stop() error {
	_ = n.server.Process.Signal(os.Interrupt)
	return n.server.Wait()
}

// client opens a stream to the server for an identity.
func (n *network) client(ctx context.Context, seed [32]byte) (*p2p.Host, *p2p.Framed, error) {
	h, err := p2p.New(p2p.Config{Seed: seed}, noSessions{})
	if err != nil {
		return nil, nil, err
	}
	conn, err := h.Open(ctx, n.link.Key, n.link.Addrs, index.Protocol, p2p.Limits{MaxFrame: route.MaxMessage})
	if err != nil {
		return nil, nil, errors.Join(err, h.Close())
	}
	return h, conn, nil
}

type noSessions struct{}

func (noSessions) SessionUp(ident.ID, uint64, p2p.Class) {}
func (noSessions) Frame(uint64, []byte)                  {}
func (noSessions) SessionDown(uint64, error)             {}

// words are what a hub says, numbered from first on and signed so many together, signed before the clock runs: as many messages as it sends in the time.
func (n *network) words(hub int, seed, first uint64, together int) [][]byte {
	rng := rand.New(rand.NewPCG(seed, uint64(hub)))
	w, x, key := n.web, n.hub[hub], n.keys[hub]
	var frames [][]byte
	number := first
	for range int((netWarm+netWindow)/time.Second) * hubRate / route.MaxPublish {
		var said []route.Announcement
		for range route.MaxPublish {
			e := w.heads[x] + int32(rng.IntN(int(w.degree(x))))
			a := route.Announcement{Node: key.ID(), Friend: w.ids[w.to[e]], Number: number, Expires: n.began + route.MaxLife/2,
				Entries: []route.Entry{{Currency: routesCurrency, CanReceive: route.Coarse(100 << rng.IntN(11))}}}
			said = append(said, a)
			number++
		}
		p := &route.Publish{}
		for some := range slices.Chunk(said, together) {
			signed, err := route.SignAll(key, some)
			if err != nil {
				panic("bench: " + err.Error())
			}
			p.Announcements = append(p.Announcements, signed...)
		}
		frames = append(frames, route.EncodeMessage(p))
	}
	return frames
}

// tell sends a hub's words at its rate, and counts what the server accepted.
func tell(ctx context.Context, conn *p2p.Framed, frames [][]byte, accepted *atomic.Int64) error {
	var wrong error
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range frames {
			b, err := conn.ReadFrame()
			if err != nil {
				return // the end of the window
			}
			m, err := route.DecodeMessage(b)
			if r, ok := m.(*route.PublishResult); ok && len(r.Problems) == 0 {
				accepted.Add(int64(r.Accepted))
			} else {
				wrong = fmt.Errorf("a hub's words were refused: %+v %w", m, err)
				return
			}
		}
	}()
	tick := time.NewTicker(time.Second * route.MaxPublish / hubRate)
	defer tick.Stop()
	for _, f := range frames {
		select {
		case <-tick.C:
		case <-ctx.Done():
		case <-done:
		}
		if ctx.Err() != nil || conn.WriteFrame(f) != nil {
			break
		}
	}
	conn.Close()
	<-done
	return wrong
}

// ask keeps questions under way until ctx ends, and notes how long each took.
func (n *network) ask(ctx context.Context, conn *p2p.Framed, seed uint64, l load, took *latencies) {
	rng := rand.New(rand.NewPCG(seed, 5))
	places := make(chan time.Time, askAhead)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			b, err := conn.ReadFrame()
			if err != nil {
				return
			}
			m, err := route.DecodeMessage(b)
			a, ok := m.(*route.Answer)
			took.add(<-places, err == nil && ok && a.Outcome() != route.OutcomeRefused, ok && a.Code == wire.CodeNone)
		}
	}()
	ids := n.web.ids
	began := time.Now()
	for sent := 0; ctx.Err() == nil; sent++ {
		for l.paced && float64(sent*askers) > askRate*time.Since(began).Seconds() && ctx.Err() == nil {
			linger(ctx, time.Millisecond)
		}
		q := &route.Query{Any: l.any, Request: route.Request{
			From: ids[rng.IntN(len(ids))], To: ids[rng.IntN(len(ids))], Currency: routesCurrency, Amount: money.Amount(1 + rng.IntN(5000)), MaxFee: route.NoMaxFee, Announced: true,
		}}
		if q.Request.From == q.Request.To {
			continue
		}
		select {
		case places <- time.Now():
		case <-done:
			return
		}
		if conn.WriteFrame(route.EncodeMessage(q)) != nil {
			break
		}
	}
	conn.Close()
	<-done
}

// latencies of answers within the window.
type latencies struct {
	mu       sync.Mutex
	counting bool
	all      []time.Duration
	found    int
	bad      int
}

func (l *latencies) add(asked time.Time, good, found bool) {
	d := time.Since(asked)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !good {
		l.bad++
	}
	if l.counting {
		l.all = append(l.all, d)
		if found {
			l.found++
		}
	}
}

func (l *latencies) count(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counting = on
}

// load is one window: so many clients ask, and so many hubs tell.
type load struct {
	name          string
	askers, hubs  int
	number        uint64  // of the first announcement
	together      int     // announcements with one signature
	any           bool    // asked for any way, not for the cheapest
	paced         bool    // asked at most askRate times a second, not as often as there are answers
	queries, told float64 // a second
	p50, p99      time.Duration
	found         float64 // of the questions
	cpu, own      float64 // processors in use: by the server, by the clients
}

func (l load) row(n *network) string {
	return fmt.Sprintf("| %d / %d | %s: queries a second, p50, p99; %.0f announcements a second, %.0f %% found; the server used %.2f processors, the clients %.2f | %.0f | %v | %v | %s |",
		len(n.web.ids), len(n.web.to), l.name, l.told, 100*l.found, l.cpu, l.own, l.queries, l.p50.Round(time.Microsecond), l.p99.Round(time.Microsecond), targetOf(l))
}

func targetOf(l load) string {
	if l.askers > 0 && l.hubs > 0 {
		return fmt.Sprintf("≥ %d", targetQueries)
	}
	return ""
}

// run takes the figures of one window.
func (n *network) run(ctx context.Context, l load, seed uint64) (load, error) {
	var words [][][]byte
	for h := range l.hubs {
		words = append(words, n.words(h, seed, l.number, l.together))
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	var hosts []*p2p.Host
	defer func() {
		for _, h := range hosts {
			h.Close()
		}
	}()
	var accepted atomic.Int64
	var took latencies
	var work sync.WaitGroup
	var wrong atomic.Pointer[error]
	begin := make(chan struct{})
	for i := range l.hubs + l.askers {
		var s [32]byte
		s[0], s[1], s[2] = byte(i), byte(i>>8), 2
		if i < l.hubs {
			s = n.keys[i].IdentitySeed()
		}
		h, conn, err := n.client(ctx, s)
		if err != nil {
			return l, err
		}
		hosts = append(hosts, h)
		work.Go(func() {
			<-begin
			if i >= l.hubs {
				n.ask(ctx, conn, seed+uint64(i), l, &took)
			} else if err := tell(ctx, conn, words[i], &accepted); err != nil {
				wrong.Store(&err)
			}
		})
	}
	close(begin)
	pid := strconv.Itoa(n.server.Process.Pid)
	sample := func() (server, own time.Duration, told int64) {
		server, _ = cpuOf(pid)
		own, _ = cpuOf("self")
		return server, own, accepted.Load()
	}
	linger(ctx, netWarm)
	took.count(true)
	server, own, told := sample()
	began := time.Now()
	linger(ctx, netWindow)
	took.count(false)
	seconds := time.Since(began).Seconds()
	server2, own2, told2 := sample()
	end()
	work.Wait()
	if err := wrong.Load(); err != nil {
		return l, *err
	}
	if took.bad > 0 {
		return l, fmt.Errorf("%d questions were refused", took.bad)
	}
	l.queries, l.told = float64(len(took.all))/seconds, float64(told2-told)/seconds
	l.found = float64(took.found) / float64(max(len(took.all), 1))
	l.p50, l.p99 = percentile(took.all, 50), percentile(took.all, 99)
	l.cpu, l.own = (server2-server).Seconds()/seconds, (own2-own).Seconds()/seconds
	return l, nil
}

// linger lets time pass, less if ctx ends.
func linger(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// verifications are how many announcements one processor verifies a second, in the messages in which they come: what no server
// can go below.
func (n *network) verifications(seed uint64, together int) (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m, err := route.DecodeMessage(n.words(0, seed, 2, together)[0])
	if err != nil {
		return 0, err
	}
	list := m.(*route.Publish).Announcements
	suite := ident.NewKey([32]byte{3})
	count, began := 0, threadTime()
	for threadTime()-began < time.Second/2 {
		route.OpenAll(suite, list, nil)
		count += len(list)
	}
	return float64(count) / (threadTime() - began).Seconds(), nil
}

// measureNetwork takes the figures of rows 5 and of the start of a server, on one graph.
func measureNetwork(ctx context.Context, b *bench, nodes int, seed uint64) (rows []string, err error) {
	say("routes: grow %d nodes for a server", nodes)
	n := &network{web: grow(nodes, seed), began: time.Now().Unix()}
	n.crown()
	home, err := os.MkdirTemp(b.work, "index-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(home)
	if err := index.WriteLog(home, n.all()); err != nil {
		return nil, err
	}
	info, err := os.Stat(filepath.Join(home, "announcements.log"))
	if err != nil {
		return nil, err
	}
	for _, what := range []string{"from its log", "again"} {
		took, err := n.start(ctx, b.binary, home)
		if err != nil {
			return nil, fmt.Errorf("start the index server: %w", err)
		}
		rows = append(rows, fmt.Sprintf("| %d / %d | start of a server %s, %.0f MB | %.2f s | | | |", nodes, len(n.web.to), what, float64(info.Size())/1e6, took.Seconds()))
		say("routes: %s", rows[len(rows)-1])
		if what == "again" {
			break
		}
		if err := n.stop(); err != nil {
			return nil, err
		}
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	for _, together := range []int{1, pair, route.MaxPublish} {
		rate, err := n.verifications(seed, together)
		if err != nil {
			return nil, err
		}
		rows = append(rows, fmt.Sprintf("| %d / %d | announcements that one processor verifies a second, %d with one signature | %.0f | | | |", nodes, len(n.web.to), together, rate))
		say("routes: %s", rows[len(rows)-1])
	}
	for i, l := range []load{
		{name: "asked for any way over the network, and told nothing", askers: askers, any: true},
		{name: "asked for the cheapest, and told nothing", askers: askers},
		{name: "told, each with a signature of its own, and asked nothing", hubs: hubs, together: 1},
		{name: "told, 100 with one signature, and asked nothing", hubs: hubs, together: route.MaxPublish},
		{name: "asked for any way, at most 12,000 times a second, and told, 2 with one signature", askers: askers, hubs: hubs, together: pair, any: true, paced: true},
		{name: "asked for any way, at most 12,000 times a second, and told, 100 with one signature", askers: askers, hubs: hubs, together: route.MaxPublish, any: true, paced: true},
		{name: "asked for the cheapest and told, 100 with one signature", askers: askers, hubs: hubs, together: route.MaxPublish},
	} {
		l.number = uint64(i+1) << 32
		if l, err = n.run(ctx, l, seed+uint64(i)*1000); err != nil {
			return rows, err
		}
		rows = append(rows, l.row(n))
		say("routes: %s", rows[len(rows)-1])
	}
	return rows, nil
}
