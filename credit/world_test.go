package credit

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// peer is one honest end that lives through sessions, crashes and restores.
type peer struct {
	*side
	shown map[uint64]bool // locks of the other side that were revealed
	saved *Channel
	kept  map[uint64]bool // shown, as saved
	in    []any
	heard bool
	old   bool // the other end runs an old copy and will begin an epoch
	lost  bool // I run an old copy and wait for a snapshot
	sent  wire.Mark
	told  uint64 // my terms in the hello
	floor Floor
}

type helloSaid struct {
	mine, held wire.Mark
	terms      wire.Signed
	heldTerms  uint64
}
type revealed struct{ number uint64 }
type askedFor struct{}

// world is two honest ends and the connection between them.
type world struct {
	t     rapid.TB
	p     [2]*peer
	up    bool
	clock uint64 // epochs are never used twice
	most  [2]money.Amount
}

func newWorld(t rapid.TB, limits money.Amount) *world {
	a, b := ends()
	w := &world{t: t, clock: 10}
	for i, s := range []*side{a, b} {
		w.p[i] = &peer{side: s, shown: map[uint64]bool{}, kept: map[uint64]bool{}, saved: clone(s.Channel)}
		w.terms(i, limits)
	}
	return w
}

func (w *world) copy() *world {
	v := *w
	for i, p := range w.p {
		q := *p
		q.side = &side{clone(p.Channel), p.s}
		q.in, q.shown, q.kept = slices.Clone(p.in), copied(p.shown), copied(p.kept)
		v.p[i] = &q
	}
	return &v
}

func copied(m map[uint64]bool) map[uint64]bool {
	n := map[uint64]bool{}
	for k, v := range m {
		n[k] = v
	}
	return n
}

func (w *world) save(i int) {
	w.p[i].saved, w.p[i].kept = clone(w.p[i].Channel), copied(w.p[i].shown)
}

func (w *world) send(i int, m any) {
	if w.up {
		w.p[1-i].in = append(w.p[1-i].in, m)
	}
}

func (w *world) terms(i int, a money.Amount) {
	p := w.p[i]
	signed := p.SetTerms(p.s, []wire.TermsLine{limit(eur, a)}, false)
	w.most[1-i] = max(w.most[1-i], a)
	w.save(i)
	if p.heard {
		w.send(i, signed)
	}
}

// cut ends the session; what was under way is gone.
func (w *world) cut() {
	w.up = false
	for _, p := range w.p {
		p.in, p.heard, p.old, p.lost = nil, false, false, false
	}
}

func (w *world) connect() {
	w.cut()
	w.up = true
	for i, p := range w.p {
		p.told = p.Granted().Number
		h := helloSaid{mine: p.MyMark(), held: p.HeldMark(), heldTerms: p.TheirTerms.Number}
		if n := len(p.MyTerms); n > 0 {
			h.terms = p.MyTerms[n-1].Signed
		}
		w.send(i, h)
	}
}

// crash loses what was not saved.
func (w *world) crash(i int) {
	w.cut()
	p := w.p[i]
	p.Channel, p.shown = clone(p.saved), copied(p.kept)
}

// deliver hands i the oldest message that is under way to it.
func (w *world) deliver(i int) {
	p := w.p[i]
	if len(p.in) == 0 {
		return
	}
	m := p.in[0]
	p.in = p.in[1:]
	switch m := m.(type) {
	case helloSaid:
		w.hello(i, m)
	case wire.Signed:
		if _, err := p.AcceptTerms(p.s, m); err != nil {
			w.t.Fatal(err)
		}
	case *wire.Update:
		w.judge(i, m)
	case revealed:
		if l := p.OwnLock(m.number); l != nil && l.Opened != Queued {
			p.Fulfil(m.number)
		}
	case askedFor:
		p.old = true
		w.send(i, p.Snapshot())
	case *wire.Snapshot:
		w.adopt(i, m)
	}
}

func (w *world) hello(i int, h helloSaid) {
	p := w.p[i]
	p.heard, p.floor = true, Floor{After: h.mine, Terms: p.told}
	if !h.terms.None() {
		if _, err := p.AcceptTerms(p.s, h.terms); err != nil {
			w.t.Fatal(err)
		}
	}
	if p.Granted().Number > p.told { // set since the hello: they go before any promise signed after them (C-24)
		w.send(i, p.MyTerms[len(p.MyTerms)-1].Signed)
	}
	switch {
	case p.MyMark().Before(h.held) || p.Granted().Number < h.heldTerms: // C-31
		p.lost = true
		w.send(i, askedFor{})
	case h.mine.Before(p.HeldMark()) || p.TheirTerms.Number > termsOf(h): // it will ask
		p.old = true
	default:
		if p.sent = h.held; p.sent != p.MyMark() {
			w.send(i, p.Since(p.sent))
			p.sent = p.MyMark()
		}
		w.repeat(i)
	}
}

func (w *world) repeat(i int) {
	for _, l := range w.p[i].Theirs.Locks {
		if w.p[i].shown[l.Number] {
			w.send(i, revealed{l.Number})
		}
	}
}

func (w *world) judge(i int, u *wire.Update) {
	p := w.p[i]
	if p.lost {
		return
	}
	m, err := wire.Decode(wire.Encode(u))
	if err != nil {
		w.t.Fatal(err)
	}
	step, err := p.Judge(p.s, m.(*wire.Update), p.floor)
	if err != nil {
		w.t.Fatalf("%d: %v (holds %+v)", i, err, p.HeldMark())
	}
	p.Accept(step)
	for _, x := range step.Cancelled {
		p.Drop(x.Number)
	}
	if step.Epoch {
		p.old = false
		w.repeat(i)
	}
	// C-20, seen from outside: nobody owes more than the other side ever granted.
	f := p.Figures(eur)
	if owes := f.Balance + f.LockedByThem; owes > w.most[1-i] && len(step.Locks)+len(step.Adds) > 0 {
		w.t.Fatalf("%d accepted a debt of %d, the highest limit ever was %d", i, owes, w.most[1-i])
	}
}

// adopt goes on in a new epoch from what the other end showed.
func (w *world) adopt(i int, s *wire.Snapshot) {
	p := w.p[i]
	c, err := Adopt(p.s, p.Me, p.Friend, s)
	if err != nil {
		w.t.Fatal(err)
	}
	p.Channel, p.lost, p.sent = c, false, c.MyMark()
	for n := range p.shown {
		if c.TheirLock(n) == nil {
			delete(p.shown, n)
		}
	}
	for _, n := range c.Theirs.Cancels {
		p.Drop(n)
	}
	w.epoch(i, c.Renewal())
	w.repeat(i)
}

func (w *world) epoch(i int, less []wire.Less) {
	p := w.p[i]
	w.clock++
	p.StartEpoch(p.s, max(w.clock, p.Mine.Promise.Epoch+1), int64(w.clock), less)
	w.save(i)
	w.send(i, p.Since(p.sent))
	p.sent = p.MyMark()
}

func (w *world) sign(i int) {
	p := w.p[i]
	if !p.heard || p.old || p.lost {
		return
	}
	if less := p.Renewal(); less != nil {
		w.epoch(i, less)
		return
	}
	if !p.Pending() {
		return
	}
	p.Sign(p.s, int64(w.clock))
	w.save(i)
	w.send(i, p.Since(p.sent))
	p.sent = p.MyMark()
}

func (w *world) lock(i int, a money.Amount) bool {
	p := w.p[i]
	if a < 1 || a > p.Figures(eur).CanPay {
		return false
	}
	_, err := p.Lock(newLock(eur, a))
	return err == nil
}

// reveal shows the k-th lock of the other side, unless it was given up; give gives it up, unless it was shown.
func (w *world) reveal(i, k int) bool {
	p := w.p[i]
	if k >= len(p.Theirs.Locks) {
		return false
	}
	n := p.Theirs.Locks[k].Number
	if p.Cancelled(n) || p.shown[n] {
		return false
	}
	p.shown[n] = true
	w.save(i)
	w.send(i, revealed{n})
	return true
}

func (w *world) give(i, k int) bool {
	p := w.p[i]
	return k < len(p.Theirs.Locks) && !p.shown[p.Theirs.Locks[k].Number] && p.Cancel(p.Theirs.Locks[k].Number, nil)
}

// settle lets everything arrive, and checks that both ends are of one mind.
func (w *world) settle() {
	w.connect()
	for range 400 {
		for i := range w.p {
			for len(w.p[i].in) > 0 {
				w.deliver(i)
			}
			w.sign(i)
		}
	}
	for i, p := range w.p {
		if len(p.in) > 0 || p.lost || p.old || p.AwaitsEpoch() {
			w.t.Fatalf("%d is not at rest: %d messages, lost %v, old %v, awaits %v", i, len(p.in), p.lost, p.old, p.AwaitsEpoch())
		}
		if p.OpenLocks() != len(w.p[1-i].Theirs.Locks) {
			w.t.Fatalf("%d has %d locks, the other end holds %d", i, p.OpenLocks(), len(w.p[1-i].Theirs.Locks))
		}
		for _, a := range p.Mine.Adds {
			if a.Seq != Queued {
				w.t.Fatalf("%d: an add was never acknowledged", i)
			}
		}
	}
	agreePromises(w.t, w.p[0].side, w.p[1].side)
}

// finish ends every lock as its creditor decided, the undecided by giving them up.
func (w *world) finish() {
	w.settle()
	for i, p := range w.p {
		for k := range p.Theirs.Locks {
			w.give(i, k)
		}
		w.save(i)
	}
	w.settle()
	for i, p := range w.p {
		if n := p.OpenLocks() + len(p.Theirs.Locks) + len(p.Mine.Cancels); n != 0 {
			w.t.Fatalf("%d: %d locks and cancels are left: %+v", i, n, p.Mine)
		}
	}
}

func agreePromises(t rapid.TB, a, b *side) {
	t.Helper()
	for _, e := range [][2]*side{{a, b}, {b, a}} {
		if e[0].MyMark() != e[1].HeldMark() || !slices.Equal(e[0].Mine.Promise.Lines, e[1].Theirs.Promise.Lines) {
			t.Fatalf("%s signed %+v, the other holds %+v", e[0].Me.Short(), e[0].Mine.Promise, e[1].Theirs.Promise)
		}
	}
}

// Two honest ends agree after whatever happens: moves of both at once, cut connections, lost
// tails, crashes that lose what was not saved, and old copies (spec C-20 to C-40).
func TestHonestAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, 100)
		w.connect()
		var copies [2]*peer
		for range rapid.IntRange(5, 80).Draw(rt, "steps") {
			i := rapid.IntRange(0, 1).Draw(rt, "who")
			k := rapid.IntRange(0, 3).Draw(rt, "which")
			switch rapid.SampledFrom([]string{
				"lock", "lock", "lock", "reveal", "reveal", "give", "give", "sign", "sign", "sign", "sign", "deliver", "deliver", "deliver", "deliver",
				"deliver", "deliver", "add", "terms", "cut", "connect", "connect", "crash", "keep", "old",
			}).Draw(rt, "what") {
			case "lock":
				w.lock(i, money.Amount(rapid.IntRange(1, 60).Draw(rt, "amount")))
			case "reveal":
				w.reveal(i, k)
			case "give":
				w.give(i, k)
			case "sign":
				w.sign(i)
			case "deliver":
				w.deliver(i)
			case "add":
				if p := w.p[i]; p.Figures(eur).Balance > 0 {
					add(rt, p.side, eur, 1)
				}
			case "terms":
				w.terms(i, money.Amount(rapid.IntRange(0, 150).Draw(rt, "limit")))
			case "cut":
				w.cut()
			case "connect":
				w.connect()
			case "crash":
				w.crash(i)
			case "keep":
				copies[i] = &peer{saved: clone(w.p[i].saved), kept: copied(w.p[i].kept)}
			case "old":
				if copies[i] != nil {
					w.settle() // the other end is whole
					w.p[i].saved, w.p[i].kept = clone(copies[i].saved), copied(copies[i].kept)
					for n, k := range w.p[i].shown { // what was revealed is known again from the seed
						w.p[i].kept[n] = k
					}
					w.crash(i)
					w.settle()
				}
			}
		}
		w.finish()
	})
}

// state spells what distinguishes two worlds.
func (w *world) state() string {
	var b []byte
	for _, p := range w.p {
		for _, c := range []*Channel{p.Channel, p.saved} {
			b = fmt.Appendf(b, "%d.%d a%d|", c.Mine.Promise.Seq, c.Theirs.Promise.Seq, c.Acked().Seq)
			for _, l := range c.Mine.Locks {
				b = fmt.Appendf(b, "l%d:%d,%d,%d ", l.Number, l.Opened, l.End, l.Ended)
			}
			for _, x := range c.Mine.Cancels {
				b = fmt.Appendf(b, "c%d:%d ", x.Number, x.Seq)
			}
			b = fmt.Appendf(b, "%d %v %v;", len(c.Theirs.Locks), c.Theirs.Cancels, c.Theirs.Answer)
		}
		b = fmt.Appendf(b, "%v %v %v.%d", p.shown, p.kept, p.heard, p.sent.Seq)
		for _, m := range p.in {
			switch m := m.(type) {
			case *wire.Update:
				b = fmt.Appendf(b, "u%x<%d", m.Promise.Body[len(m.Promise.Body)-8:], m.Base.Seq)
				h := ident.HashOf(m.Promise.Body)
				b = append(b, h[:4]...)
			default:
				b = fmt.Appendf(b, "%T", m)
			}
		}
		b = append(b, '#')
	}
	return string(fmt.Appendf(b, "%v", w.up))
}

// Every interleaving of a small world: each end locks once, gives up or reveals the other's lock; signatures,
// deliveries, crashes and a cut fall anywhere between. At the end of each, both agree.
func TestSmallWorld(t *testing.T) {
	const depth = 11
	w := newWorld(t, 10)
	w.connect()
	for range 2 {
		for i := range w.p {
			w.deliver(i)
		}
	}
	for i := range w.p {
		w.lock(i, 7)
	}
	seen := map[string]bool{}
	level := []*world{w}
	total := 0
	for range depth {
		var next []*world
		for _, w := range level {
			for _, v := range w.successors() {
				if s := v.state(); !seen[s] {
					seen[s] = true
					next = append(next, v)
				}
			}
		}
		level = next
		total += len(next)
		for _, w := range level {
			w.copy().finish()
		}
	}
	t.Logf("%d worlds", total)
	if total < 2000 {
		t.Fatalf("only %d worlds", total)
	}
}

func (w *world) successors() []*world {
	var list []*world
	try := func(do func(*world) bool) {
		if v := w.copy(); do(v) {
			list = append(list, v)
		}
	}
	for i := range w.p {
		try(func(v *world) bool { before := v.p[i].MyMark(); v.sign(i); return v.p[i].MyMark() != before })
		try(func(v *world) bool { had := len(v.p[i].in) > 0; v.deliver(i); return had })
		try(func(v *world) bool { return v.reveal(i, 0) })
		try(func(v *world) bool { return v.give(i, 0) })
		try(func(v *world) bool { v.crash(i); v.connect(); return true })
	}
	try(func(v *world) bool { v.connect(); return true })
	return list
}

func termsOf(h helloSaid) uint64 {
	var t wire.Terms
	if h.terms.None() || wire.Unmarshal(h.terms.Body, &t) != nil {
		return 0
	}
	return t.Number
}
