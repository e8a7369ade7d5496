package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"kula/credit"
	"kula/ident"
	"kula/pay"
	"kula/wire"
)

// Config is what a node is told at its start.
type Config struct {
	Name      string   // what friends see until they choose another
	Addresses []string // where friends reach me
	Restored  bool     // the identity came from its phrase: ask every friend what it holds
	Plain     bool     // my payments carry their route in clear (blob version 0), for nodes that read no onions
	NoIndex   string   // why no index server can be asked (see Indexes); empty: Effects.Ask asks
}

// maxOwnAddresses is how many of its addresses a node tells: a hello must fit what a stranger may send.
const maxOwnAddresses = 8

// Node is one member. It is used from one goroutine; see the package comment.
type Node struct {
	suite       *verified
	me          ident.ID
	cfg         Config
	self        self
	friends     map[ident.ID]*friend
	order       []*friend // by key
	guests      map[ident.ID]uint64
	blocked     map[ident.ID]bool
	unproven    []unproven // the newest last
	payments    map[wire.PaymentID]*payment
	invoices    map[wire.InvoiceID]*invoice
	invitations map[[16]byte]*invitation
	requests    map[[16]byte]*request // by the token of the invitation
	advances    map[advanceID]*advance
	parts       map[wire.PartID]place // open incoming locks
	collecting  map[claimKey]*collection
	boxes       boxes
	seen        seen
	keys        map[string]ident.ID // keys as users wrote them lately: reading one takes a third of a signature
	saying      []saying            // announcements of this Step
	queries     map[uint64]func(*Answered)
	lastQuery   uint64
	pairs       map[ident.ID]ident.SharedKey
	now         int64
	entropy     [32]byte
	drawn       uint64
	fx          Effects
	dirty       map[recordKey]bool
	touched     []*friend
	changed     map[wire.PaymentID]*payment // to be told of at the end of the Step
	batch       wire.Batch                  // what payers are told of their payments, signed at the end of the Step
	words       []func(*wire.Batched)       // seal each of them
	opened      map[wire.PartID]openedWord  // in this Step
	learned     learned
	wakes       []int64
	due         int64 // when timers look again
	batches     uint64
	started     bool  // from a disk, and not stepped yet
	missed      int64 // until when friends who have not come since the start may know what this disk does not; 0: for none
	stopped     bool
}

// self is what a node remembers of itself.
type self struct {
	_        struct{} `cbor:",toarray"`
	BookSeq  uint64
	BookHash [32]byte
	Restored int64 // unix milliseconds of the newest restore, 0 for none
	Waiting  bool  // a restore is under way: see restore.go
	Doubt    int64 // unix seconds: invoices of mine from before that are not here may have been paid; see restore.go
}

// place names a lock by the friend and its number.
type place struct {
	friend *friend
	number uint64
}

// New is a node with nothing saved.
func New(suite ident.Suite, cfg Config) *Node {
	cfg.Addresses = cfg.Addresses[:min(len(cfg.Addresses), maxOwnAddresses)]
	n := &Node{
		suite: &verified{Suite: suite, good: map[check]bool{}}, me: suite.ID(), cfg: cfg,
		friends: map[ident.ID]*friend{}, guests: map[ident.ID]uint64{}, blocked: map[ident.ID]bool{},
		payments: map[wire.PaymentID]*payment{}, invoices: map[wire.InvoiceID]*invoice{},
		invitations: map[[16]byte]*invitation{}, requests: map[[16]byte]*request{}, advances: map[advanceID]*advance{}, parts: map[wire.PartID]place{}, collecting: map[claimKey]*collection{},
		keys:    map[string]ident.ID{},
		seen:    newSeen(),
		boxes:   boxes{to: map[ident.ID]*boxTo{}, from: map[ident.BoxKey]pay.Sealed{}},
		queries: map[uint64]func(*Answered){}, pairs: map[ident.ID]ident.SharedKey{}, dirty: map[recordKey]bool{},
		changed: map[wire.PaymentID]*payment{}, opened: map[wire.PartID]openedWord{},
	}
	return n
}

// ID is the node's identity.
func (n *Node) ID() ident.ID { return n.me }

// Name is what friends see.
func (n *Node) Name() string { return n.cfg.Name }

// Take handles events in their order and says what may leave at once: Pass and Ask. Everything else waits for the
// Step that follows; with it they are one batch. now is unix milliseconds, entropy is 32 fresh random bytes.
func (n *Node) Take(now int64, entropy [32]byte, events ...Event) Effects {
	n.now, n.entropy, n.drawn = max(now, n.now), entropy, 0
	if n.started {
		n.started, n.missed = false, n.now+patience
		n.wakeAt(n.missed)
	}
	if n.cfg.Restored && n.self.Restored == 0 {
		n.beginRestore()
	}
	n.verifyAll(events)
	for _, e := range events {
		n.handle(e)
	}
	early := Effects{Pass: n.fx.Pass, Ask: n.fx.Ask}
	n.fx.Pass, n.fx.Ask = nil, nil
	return early
}

// Step takes events, ends the batch, and says what must happen now.
func (n *Node) Step(now int64, entropy [32]byte, events ...Event) Effects {
	early := n.Take(now, entropy, events...)
	n.timers()
	n.endRestore()
	n.retryUnaccepted()
	n.sign()
	for n.retryUnaccepted() { // signing made room
		n.sign()
	}
	n.signWords()
	if !n.stopped {
		n.announce()
	}
	n.save()
	n.tellFriends()
	n.tellPayments()
	clear(n.suite.good)
	clear(n.opened)
	clear(n.seen.fresh)
	fx := n.fx
	fx.Pass, fx.Ask = slices.Concat(early.Pass, fx.Pass), slices.Concat(early.Ask, fx.Ask)
	for _, w := range n.wakes {
		if fx.Wake == 0 || w < fx.Wake {
			fx.Wake = w
		}
	}
	n.fx, n.wakes = Effects{}, n.wakes[:0]
	n.batches++
	return fx
}

func (n *Node) handle(e Event) {
	switch e := e.(type) {
	case Connected:
		n.connected(e)
	case Disconnected:
		n.disconnected(e)
	case Received:
		n.received(e)
	case Do:
		n.command(e.ID, e.Command)
	case Answered:
		if then := n.queries[e.Query]; then != nil {
			delete(n.queries, e.Query)
			then(&e)
		}
	case Indexes:
		n.cfg.NoIndex = e.None
	case Republish:
		n.republish()
	case Stop:
		n.stopped = true
		n.withdraw()
	case Tick:
	default:
		panic("node: unknown event")
	}
	n.timers()
}

// draw gives fresh random bytes from the entropy of this Step.
func (n *Node) draw(b []byte) {
	for len(b) > 0 {
		n.drawn++
		h := sha256.Sum256(binary.BigEndian.AppendUint64(n.entropy[:], n.drawn))
		b = b[copy(b, h[:]):]
	}
}

func (n *Node) draw16() (b [16]byte) {
	n.draw(b[:])
	return b
}

func (n *Node) wakeAt(t int64) { n.wakes = append(n.wakes, t) }

// tellFriend says at the end of the Step what became of a friend.
func (n *Node) tellFriend(f *friend) { f.changed = true }

// touch says that a channel may have something to sign or announce.
func (n *Node) touch(f *friend) {
	if !f.touched {
		f.touched = true
		n.touched = append(n.touched, f)
	}
}

func (n *Node) send(f *friend, m wire.Message) {
	if f.session != nil {
		n.fx.Send = append(n.fx.Send, Out{Session{f.id, f.session.number}, m})
	}
}

func (n *Node) hangup(f *friend) {
	if f.session != nil {
		n.fx.Hangup = append(n.fx.Hangup, Session{f.id, f.session.number})
		f.session.dead = true
	}
}

// sign puts everything queued into promises: at most one a channel and Step, unless signing itself queues more.
func (n *Node) sign() {
	for len(n.touched) > 0 {
		round := n.touched
		n.touched = nil
		slices.SortFunc(round, func(a, b *friend) int { return bytes.Compare(a.id[:], b.id[:]) })
		for _, f := range round {
			f.touched = false
			n.signOne(f)
		}
	}
}

func (n *Node) signOne(f *friend) {
	f.announceDue = true
	if !f.ready() {
		if f.session == nil {
			n.takeBackQueued(f)
		}
		return
	}
	if less := f.ch.Renewal(); less != nil {
		n.startEpoch(f, less)
		return
	}
	if !f.ch.Pending() && !f.session.restate {
		return
	}
	restated := f.session.restate
	f.session.restate = false
	s := f.ch.Sign(n.suite, n.now)
	n.tellFriend(f)
	for _, l := range s.Over {
		n.lockFailed(f, l, overLimit(f, l))
	}
	for _, l := range s.Fulfilled {
		n.bookPaid(f, l)
	}
	for _, a := range s.Adds {
		n.bookAdd(f, &a, -a.Amount)
	}
	if len(s.Fulfilled)+len(s.Adds) > 0 {
		n.room(f)
	}
	n.signed(f)
	n.send(f, f.ch.Since(f.session.sent))
	f.session.sent = f.ch.MyMark()
	if restated {
		n.repeat(f) // what else a hello is followed by
		return
	}
	for _, l := range f.ch.Mine.Locks {
		if l.Opened == f.ch.Mine.Promise.Seq && l.End == credit.Open { // orders that overtook the lock
			for _, note := range n.ordersOf(f, l.Number) {
				n.send(f, &wire.Onward{Number: l.Number, Note: note})
			}
		}
	}
}

// signed marks what the newest promise changed for saving.
func (n *Node) signed(f *friend) {
	seq := f.ch.Mine.Promise.Seq
	n.markChannel(f)
	for _, l := range f.ch.Mine.Locks {
		if l.Opened == seq || l.Ended == seq {
			n.markOut(f, l.Number)
		}
	}
	for _, x := range f.ch.Mine.Cancels {
		if x.Seq == seq {
			n.markIn(f, x.Number)
		}
	}
}

// startEpoch signs the first promise of a new epoch: numbers that nobody has used, whatever this node has forgotten.
func (n *Node) startEpoch(f *friend, less []wire.Less) {
	epoch := max(f.ch.Mine.Promise.Epoch+1, f.above+1, uint64(n.now/1000))
	f.ch.StartEpoch(n.suite, epoch, n.now, less)
	n.room(f)
	n.saveWhole(f)
	if f.session != nil && f.session.heard { // else the hello brings it
		n.send(f, f.ch.Since(f.session.sent))
		f.session.sent = f.ch.MyMark()
	}
}

// room says that a promise above the limit is to be judged again: my limit or my debt may have grown. One of 1,000 locks
// takes milliseconds, so it is not done without a reason.
func (n *Node) room(f *friend) {
	if f.session != nil {
		f.session.again = f.session.unaccepted != nil
	}
}

// retryUnaccepted judges promises again for which there may be room now, and says whether there were any.
func (n *Node) retryUnaccepted() (judged bool) {
	for _, f := range n.order {
		if f.session == nil || !f.session.again {
			continue
		}
		judged = true
		u := f.session.unaccepted
		f.session.unaccepted, f.session.again = nil, false
		n.judge(f, u)
	}
	return judged
}
