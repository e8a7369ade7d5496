package sim

import (
	"fmt"
	"slices"

	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// Member is a node with its disk, clock and links, and the driver between them.
type Member struct {
	w      *World
	index  int
	name   string
	keys   ident.Suite
	id     ident.ID
	key    string // id as text
	config node.Config
	node   *node.Node // nil while it is down
	disk   *disk
	offset int64 // of its clock from true time, milliseconds

	inbox   []node.Event
	due     bool
	life    int // rises with every start: what was planned in an earlier one does not happen
	wakeAt  int64
	waiting map[uint64]func(node.Reply)
	lastDo  uint64

	slow    int64          // milliseconds that its disk takes; 0: saves before the next Step
	unsaved []node.Effects // stepped, not on disk
	saving  bool
	saves   int // commits so far
	crashes map[int]crash
	restore bool  // it has lost its disk, or runs an old copy: allowed to reuse numbers that nobody accepted
	since   int64 // when that was, in milliseconds of true time: what it did before it may not know
	made    int64 // when the copy was made that it runs, 0 if there is none or nobody said
	blank   bool  // it has had nothing but its phrase
	liar    *liar
}

// crash says where a member dies around one save.
type crash uint8

const (
	crashNone   crash = iota
	crashBefore       // before the save: nothing of it is on disk
	crashAfter        // after the save, before anything left
	crashMiddle       // after the save and half of the messages
)

func (m *Member) clock() int64 { return m.w.now + m.offset }

func (m *Member) suite() ident.Suite { return &signer{m.keys, m} }

// Start starts a member from its disk.
func (m *Member) Start() {
	if m.node != nil {
		return
	}
	m.life++
	m.due, m.inbox, m.unsaved, m.saving, m.wakeAt = false, nil, nil, false, 0
	clear(m.waiting)
	if m.disk.count() == 0 {
		m.node = node.New(m.suite(), m.config)
	} else {
		n, err := node.Load(m.suite(), m.config, m.disk.load())
		if err != nil {
			m.w.fail("S5", "%s does not start from its disk: %v", m.name, err)
			return
		}
		m.node = n
		if problems := n.Check(m.disk.book()); len(problems) > 0 {
			m.w.fail("S9", "%s: book after a restart: %s", m.name, problems[0])
		}
	}
	m.w.log("%s starts", m)
	m.push(node.Tick{})
	m.later(m.w.between(1, 200), m.dial)
}

// later plans something that does not happen if the member has died meanwhile.
func (m *Member) later(delay int64, do func()) {
	life := m.life
	m.w.at(delay, func() {
		if m.life == life && m.node != nil {
			do()
		}
	})
}

// push hands the node an event; it is stepped soon, with others that have come by then.
func (m *Member) push(e node.Event) {
	if m.node == nil {
		return
	}
	m.inbox = append(m.inbox, e)
	if !m.due {
		m.due = true
		m.later(m.w.between(0, 3), m.step)
	}
}

// Do gives the node a command; then gets its outcome, unless the member dies before it.
func (m *Member) Do(c node.Command, then func(node.Reply)) {
	if m.node == nil {
		return
	}
	m.lastDo++
	if p, ok := c.(*node.Pay); ok && !p.Quote {
		then = m.w.watch.allowing(m, p, then)
	}
	if then != nil {
		m.waiting[m.lastDo] = then
	}
	m.w.log("%s does %T %+v", m, c, c)
	m.push(node.Do{ID: m.lastDo, Command: c})
}

func (m *Member) step() {
	m.due = false
	events := m.inbox
	m.inbox = nil
	if len(events) == 0 {
		return
	}
	w := m.w
	w.Stats.Steps++
	for _, e := range events {
		if d, ok := e.(node.Do); ok {
			m.findPrior(d.Command)
		}
	}
	if k := len(events) / 2; k > 0 && w.chance(0.3) { // a driver may let what needs no save out earlier
		early := m.node.Take(m.clock(), w.entropy(), events[:k]...)
		for _, o := range early.Pass {
			m.send(o)
		}
		for _, q := range early.Ask {
			w.index.ask(m, q)
		}
		events = events[k:]
	}
	fx := m.node.Step(m.clock(), w.entropy(), events...)
	for _, o := range fx.Pass {
		m.send(o)
	}
	if fx.Wake != 0 {
		m.wake(fx.Wake)
	}
	m.unsaved = append(m.unsaved, fx)
	if m.slow == 0 {
		m.save()
	} else if !m.saving {
		m.saving = true
		m.later(w.between(1, m.slow), m.save)
	}
}

// findPrior hands a payment of an invoice the record of an earlier one, which may not be on disk yet.
func (m *Member) findPrior(c node.Command) {
	p, ok := c.(*node.Pay)
	if !ok {
		return
	}
	kind, key, ok := node.PriorKey(p)
	if !ok {
		return
	}
	p.Prior = m.disk.get(kind, key)
	for i := range m.unsaved {
		for _, r := range m.unsaved[i].Save {
			if r.Kind == kind && r.Key == key {
				p.Prior = r.Value
			}
		}
	}
}

// wake plans a Tick.
func (m *Member) wake(at int64) {
	if m.wakeAt != 0 && m.wakeAt <= at && m.wakeAt > m.clock() {
		return
	}
	m.wakeAt = at
	m.later(max(at-m.clock(), 1), func() {
		if m.wakeAt == at {
			m.wakeAt = 0
			m.push(node.Tick{})
		}
	})
}

// save brings all Steps since the last save to the disk in one transaction, then lets everything else out.
func (m *Member) save() {
	w := m.w
	list := m.unsaved
	m.unsaved, m.saving = nil, false
	death := crashNone
	if slices.ContainsFunc(list, func(fx node.Effects) bool { return len(fx.Save)+len(fx.Book)+len(fx.Send) > 0 }) {
		m.saves++
		death = m.crashes[m.saves]
	}
	if death == crashBefore {
		m.Crash()
		return
	}
	for _, fx := range list {
		m.disk.commit(fx.Save, fx.Book)
		for _, r := range fx.Save {
			w.note([]byte(r.Key))
			w.note(r.Value)
		}
	}
	for i := range list {
		w.watch.saved(m, &list[i], i == len(list)-1)
	}
	if death == crashAfter {
		m.Crash()
		return
	}
	life := m.life
	for i := range list {
		if death == crashMiddle {
			list[i].Send = list[i].Send[:len(list[i].Send)/2]
		}
		m.release(&list[i])
		if m.life != life || m.node == nil {
			return
		}
	}
	if death == crashMiddle {
		m.Crash()
		return
	}
	if w.verify && w.chance(0.01) {
		m.compareRestart()
	}
}

// release performs what follows a save.
func (m *Member) release(fx *node.Effects) {
	w := m.w
	for _, o := range fx.Send {
		m.send(o)
	}
	for _, s := range fx.Hangup {
		w.net.hangup(m, s)
	}
	for _, p := range fx.Publish {
		w.index.publish(p)
	}
	for _, q := range fx.Ask {
		w.index.ask(m, q)
	}
	for _, r := range fx.Reply {
		then := m.waiting[r.ID]
		delete(m.waiting, r.ID)
		if then != nil {
			then(r)
		}
	}
	for i := range fx.Tell {
		w.watch.told(m, &fx.Tell[i])
	}
}

// send lets a message out, through the member's lies if it is a liar.
func (m *Member) send(o node.Out) {
	if m.liar != nil && !m.w.calm {
		m.liar.send(o)
		return
	}
	m.w.net.transmit(m, o.Peer, o.Session.Session, o.Message)
}

// forgot says whether m has fulfilled a lock before its disk was replaced: it may know nothing of that.
func (m *Member) forgot(l *toldLock) bool { return l.fulfil && !m.knows(l.endedAt) }

// knows says whether m knows what it did at t.
func (m *Member) knows(t int64) bool { return t > m.since || m.restore && t < m.made }

// putBack gives a member that is down another disk: an older copy of its own, or, with nil, none, and its phrase.
func (m *Member) putBack(copied *disk) {
	m.restore, m.since, m.made, m.disk, m.config.Restored = true, m.w.now, 0, copied, copied == nil
	if copied == nil {
		m.disk, m.blank = newDisk(), true
	}
	m.w.watch.onions.forget(m.id)
}

// Crash stops a member without any more ado. What is not on disk is lost.
func (m *Member) Crash() {
	if m.node == nil {
		return
	}
	m.w.log("%s dies", m)
	m.node = nil
	m.life++
	m.w.net.died(m)
	clear(m.waiting)
	if m.w.revive > 0 {
		m.w.at(m.w.revive, m.Start)
	}
}

func (m *Member) dial() {
	w := m.w
	for _, t := range m.node.Dial() {
		peer := w.byID[t.ID]
		if peer == nil || peer.node == nil || w.net.live[pairOf(m, peer)] != nil {
			continue
		}
		for _, a := range t.Addresses {
			if a == address(peer.index) {
				w.net.connect(m, peer)
				break
			}
		}
	}
	m.later(w.between(300, 1200), m.dial)
}

// Balance of a currency over all friends; 0 while the member is down.
func (m *Member) Balance(cur money.Currency) money.Amount {
	if m.node == nil {
		return 0
	}
	for _, b := range m.node.Balances() {
		if b.Currency == cur {
			return b.Balance.Amount
		}
	}
	return 0
}

// with is the member's view of a friend, nil if it has none.
func (m *Member) with(o *Member) *node.FriendView {
	if m.node == nil {
		return nil
	}
	v, err := m.node.Friend(o.key)
	if err != nil {
		return nil
	}
	return v
}

func currencyOf(v *node.FriendView, cur money.Currency) node.CurrencyView {
	if v != nil {
		for _, c := range v.Currencies {
			if c.Currency == cur {
				return c
			}
		}
	}
	return node.CurrencyView{Currency: cur}
}

func (m *Member) String() string { return fmt.Sprintf("%d/%s", m.index, m.name) }

func promiseOf(s wire.Signed) (p wire.Promise, ok bool) {
	return p, !s.None() && wire.Unmarshal(s.Body, &p) == nil
}
