package sim

import (
	"container/heap"
	"fmt"
	"hash/crc64"
	"math/rand/v2"

	"kula/ident"
	"kula/node"
)

// Epoch is the virtual time at which every world begins, in unix milliseconds.
const Epoch int64 = 1_800_000_000_000

// World is members, links and an index, driven by one heap of timed events.
type World struct {
	Seed    uint64
	Members []*Member
	Stats   Stats

	rng    *rand.Rand
	now    int64
	queue  timeline
	order  uint64
	byID   map[ident.ID]*Member
	notary *notary
	net    network
	index  index
	watch  *watch
	trace  uint64
	err    error
	calm   bool  // faults have stopped
	revive int64 // milliseconds after which a member that died starts again, 0: somebody else does it
	verify bool  // compare a restarted node with the live one now and then
	real   bool  // real signatures
	logs   func(format string, args ...any)
}

// Stats counts what happened in a world.
type Stats struct {
	Payments int // that were begun
	Paid     int
	Far      int // paid over two channels or more
	Split    int // paid in two parts or more
	Steps    int
	Messages int
	Faults   map[Fault]int // each kind that happened
	Lies     map[Lie]int   // each kind that was told
	Caught   map[Lie]int   // and noticed by an honest member
	Refusals map[string]int
}

func newWorld(seed uint64) *World {
	w := &World{
		Seed: seed, rng: rand.New(rand.NewPCG(seed, 0x6b756c61)), now: Epoch, byID: map[ident.ID]*Member{},
		notary: &notary{secrets: map[ident.ID][32]byte{}, common: digest([32]byte{}, "common")},
	}
	w.Stats.Faults, w.Stats.Lies, w.Stats.Caught, w.Stats.Refusals = map[Fault]int{}, map[Lie]int{}, map[Lie]int{}, map[string]int{}
	w.net = network{w: w, live: map[pair]*session{}, severed: map[pair]int64{}, sessions: map[uint64]*session{}}
	w.index = newIndex(w)
	w.watch = newWatch(w)
	return w
}

// log tells what happens, when somebody listens.
func (w *World) log(format string, args ...any) {
	if w.logs != nil {
		w.logs("%9.3f "+format, append([]any{float64(w.now-Epoch) / 1000}, args...)...)
	}
}

// Trace is a digest of every message and every save of the world, in their order.
func (w *World) Trace() uint64 { return w.trace }

// Err is the first thing that must not happen, nil if nothing did.
func (w *World) Err() error { return w.err }

var table = crc64.MakeTable(crc64.ECMA)

func (w *World) note(b []byte) { w.trace = crc64.Update(w.trace, table, b) }

func (w *World) fail(rule string, format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("%s at %.3f s: %s", rule, float64(w.now-Epoch)/1000, fmt.Sprintf(format, args...))
	}
}

// timed is something that happens at a time. Those of one time happen in the order in which they were planned.
type timed struct {
	at    int64
	order uint64
	do    func()
}

type timeline []timed

func (t timeline) Len() int { return len(t) }
func (t timeline) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].order < t[j].order
}
func (t timeline) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timeline) Push(x any)   { *t = append(*t, x.(timed)) }
func (t *timeline) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1].do = nil
	*t = old[:len(old)-1]
	return last
}

// at plans do in delay milliseconds of true time.
func (w *World) at(delay int64, do func()) {
	w.order++
	heap.Push(&w.queue, timed{w.now + max(delay, 0), w.order, do})
}

// run lets virtual time pass until the given time, or until something fails.
func (w *World) run(until int64) {
	for w.err == nil && len(w.queue) > 0 && w.queue[0].at <= until {
		e := heap.Pop(&w.queue).(timed)
		w.now = e.at
		e.do()
	}
	w.now = max(w.now, until)
}

// Run lets a number of milliseconds pass.
func (w *World) Run(ms int64) { w.run(w.now + ms) }

func (w *World) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// between gives a number from lo to hi, both included.
func (w *World) between(lo, hi int64) int64 {
	if hi <= lo {
		return lo
	}
	return lo + w.rng.Int64N(hi-lo+1)
}

func (w *World) entropy() (e [32]byte) {
	for i := 0; i < 32; i += 8 {
		v := w.rng.Uint64()
		for k := range 8 {
			e[i+k] = byte(v >> (8 * k))
		}
	}
	return e
}

// AddMember makes a member that is not started yet.
func (w *World) AddMember(name string) *Member {
	i := len(w.Members)
	m := &Member{w: w, index: i, name: name, disk: newDisk(), waiting: map[uint64]func(node.Reply){}}
	if w.real {
		m.keys = ident.NewKey(masterOf(i))
	} else {
		m.keys = w.notary.suite(i, w.Seed)
	}
	m.id = m.keys.ID()
	m.key = m.id.String()
	m.config = node.Config{Name: name, Addresses: []string{address(i)}}
	w.Members = append(w.Members, m)
	w.byID[m.id] = m
	return m
}

func address(i int) string { return fmt.Sprintf("/sim/%d", i) }
