package sim

import (
	"kula/node"
)

const (
	settling = 6_000 // milliseconds until everybody knows everybody
	// straggling is for what people had in mind before faults stopped: the longest of their delays, and some.
	straggling = 8_000
	resting    = 150_000 // milliseconds that a world may take to come to rest: patience, twice, and some
)

// Live is a whole world from a seed: people who live, faults, liars, and the audit at the end.
func Live(seed uint64, real bool) *World { return live(seed, real, nil) }

func live(seed uint64, real bool, logs func(string, ...any)) *World {
	w := newWorld(seed)
	w.logs = logs
	w.real, w.verify = real, true
	w.habits()
	t := w.settleTown(w.size())
	w.nominateLiars()
	w.run(Epoch + settling)
	span := w.between(15_000, 35_000)
	if real {
		span = 15_000
	}
	n := int64(len(w.Members))
	for range w.between(98, 120) {
		w.at(w.between(0, span), t.pay)
	}
	for range w.between(3, 6) * max(1, n/4) {
		w.at(w.between(0, span), t.chore)
	}
	for at := int64(0); at < span; at += 500 {
		w.at(at, func() {
			for _, m := range w.Members {
				t.tend(m)
			}
		})
	}
	w.disturb(span)
	w.lie(span)
	w.run(Epoch + settling + span)
	w.rest(t)
	return w
}

// habits draws how links and index behave.
func (w *World) habits() {
	f := Faults{latency: w.between(1, 60), blind: w.between(0, 3000), dawdle: w.between(0, 200)}
	if w.chance(0.6) {
		f.late = 0.01
	}
	if w.chance(0.25) {
		f.duplicate = 0.004
	}
	if w.chance(0.25) {
		f.reorder = 0.004
	}
	if w.chance(0.5) {
		f.forget = 0.1
	}
	if w.chance(0.3) {
		f.silent = 0.05
	}
	w.net.lossy, w.index.lossy = f, f
}

// disturb plans the faults of a world: a choice of kinds, each a few times.
func (w *World) disturb(span int64) {
	kinds := []struct {
		chance float64
		most   int64
		do     func()
	}{
		{0.6, 5, w.faultCut}, {0.4, 2, w.faultOneWay}, {0.4, 2, w.faultPartition}, {0.3, 2, w.faultReplace},
		{0.35, 3, func() { w.faultCrash(crashBefore, FaultBefore) }}, {0.35, 3, func() { w.faultCrash(crashAfter, FaultAfter) }},
		{0.3, 3, func() { w.faultCrash(crashMiddle, FaultMiddle) }}, {0.3, 3, w.faultUnsynced},
		{0.25, 3, w.faultClock}, {0.12, 1, w.faultLostDisk}, {0.12, 1, w.faultOldCopy},
	}
	for _, k := range kinds {
		if !w.chance(k.chance) {
			continue
		}
		for range w.between(1, k.most) {
			w.at(w.between(0, span), k.do)
		}
	}
}

func (w *World) anyMember() *Member { return w.Members[w.between(0, int64(len(w.Members)-1))] }

// anySession is a live session of some member, nil if it has none.
func (w *World) anySession() *session {
	m := w.anyMember()
	var list []*session
	for _, o := range w.Members {
		if s := w.net.live[pairOf(m, o)]; o != m && s != nil {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[w.between(0, int64(len(list)-1))]
}

func (w *World) faultCut() {
	if s := w.anySession(); s != nil {
		w.Stats.Faults[FaultCut]++
		w.net.cut(s)
	}
}

func (w *World) faultReplace() {
	if s := w.anySession(); s != nil {
		w.Stats.Faults[FaultReplaced]++
		w.net.connect(s.side[0], s.side[1])
	}
}

func (w *World) faultOneWay() {
	s := w.anySession()
	if s == nil {
		return
	}
	w.Stats.Faults[FaultOneWay]++
	s.stall[w.between(0, 1)] = true
	w.at(w.between(500, 9000), func() { w.net.cut(s) })
}

func (w *World) faultPartition() {
	s := w.anySession()
	if s == nil {
		return
	}
	w.Stats.Faults[FaultPartition]++
	w.net.severed[pairOf(s.side[0], s.side[1])] = w.now + w.between(1000, 9000)
	w.net.cut(s)
}

func (w *World) faultCrash(how crash, f Fault) {
	m := w.anyMember()
	if m.node == nil {
		return
	}
	m.crashes = map[int]crash{m.saves + int(w.between(1, 12)): how}
	w.watchRestart(m)
	w.Stats.Faults[f]++
}

// watchRestart starts a member again some time after it died.
func (w *World) watchRestart(m *Member) {
	w.at(w.between(200, 5000), func() {
		if m.node == nil {
			m.crashes = nil
			m.Start()
		} else if len(m.crashes) > 0 && !w.calm {
			w.watchRestart(m)
		}
	})
}

func (w *World) faultUnsynced() {
	m := w.anyMember()
	if m.node == nil {
		return
	}
	m.slow = w.between(10, 400)
	w.at(w.between(300, 4000), func() {
		if m.node != nil && len(m.unsaved) > 0 && !w.calm {
			w.Stats.Faults[FaultUnsynced]++
			m.slow = 0
			m.Crash()
			w.at(w.between(100, 4000), m.Start)
		} else if !w.calm {
			m.slow = 0
		}
	})
}

func (w *World) faultClock() {
	m := w.anyMember()
	w.Stats.Faults[FaultClock]++
	jump := w.between(-120_000, 120_000)
	if w.chance(0.2) {
		jump = w.between(-4_000_000, 4_000_000)
	}
	m.offset += jump
	m.wakeAt = 0
	m.push(node.Tick{})
}

func (w *World) faultLostDisk() {
	m := w.anyMember()
	if m.node == nil {
		return
	}
	w.Stats.Faults[FaultLostDisk]++
	m.Crash()
	m.crashes = nil
	m.putBack(nil)
	w.at(w.between(100, 5000), m.Start)
}

func (w *World) faultOldCopy() {
	m := w.anyMember()
	copied, made := m.disk.clone(), w.now
	w.at(w.between(200, 9000), func() {
		if m.node == nil || m.restore || w.calm {
			return
		}
		w.Stats.Faults[FaultOldCopy]++
		m.Crash()
		m.crashes = nil
		m.putBack(copied)
		m.made = made
		w.at(w.between(100, 5000), m.Start)
	})
}

// rest stops faults and lies, heals everything, lets the world come to rest and audits it.
func (w *World) rest(t *town) {
	w.calm = true
	clear(w.net.severed)
	for _, m := range w.Members {
		m.crashes, m.slow = nil, 0
	}
	w.Run(1)
	for _, m := range w.Members {
		m.Start()
	}
	w.net.cutAll()
	end := w.now + resting
	w.Run(straggling)
	for w.err == nil && w.now < end {
		w.Run(2000)
		for _, m := range w.Members {
			t.tend(m)
			w.thaw(m)
			t.remember(m)
		}
		if w.quiet() {
			break
		}
	}
	w.Run(2500)
	if w.err == nil {
		w.audit()
	}
}

// remember: a user who lost a disk knows the friends it had, also those to whom it had promised nothing yet.
func (t *town) remember(m *Member) {
	if m.node == nil || !m.config.Restored {
		return
	}
	for _, i := range t.friends[m.index] {
		o := t.w.Members[i]
		if v := o.with(m); v != nil && v.State != node.Pending && m.with(o) == nil {
			m.Do(&node.Find{Friend: o.key, Address: address(i)}, nil)
		}
	}
}

// thaw has users agree on frozen channels. Whoever agrees with a liar may sign away what it was owed.
func (w *World) thaw(m *Member) {
	if m.node == nil {
		return
	}
	for _, v := range m.node.Friends() {
		if v.State == node.Frozen && v.Online {
			if w.byID[v.Key].liar != nil {
				w.watch.ledger(m.id, v.Key).vague = true
			}
			m.Do(&node.Agree{Friend: v.Key.String()}, nil)
		}
	}
}

// quiet says whether nothing is under way between honest members any more.
func (w *World) quiet() bool {
	for _, m := range w.Members {
		if m.liar != nil {
			continue
		}
		if m.node == nil || len(m.inbox) > 0 {
			return false
		}
		if w.honest() && len(m.node.Payments()) > 0 {
			return false
		}
		for _, v := range m.node.Friends() {
			o := w.byID[v.Key]
			if o.liar != nil {
				continue
			}
			if !v.Ready && v.State != node.Pending && v.State != node.Removed || w.honest() && v.OpenLocks > 0 && !w.forgotten(m, o) {
				return false
			}
		}
	}
	return true
}
