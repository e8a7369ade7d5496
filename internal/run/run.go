package run

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"kula/ident"
	"kula/internal/find"
	"kula/internal/index"
	"kula/internal/p2p"
	"kula/node"
	"kula/wire"
)

const (
	// MaxBatch is how many inputs one Step handles: enough that the cost of a commit
	// (about 150 µs) no longer shows among them, few enough that a Step stays within
	// some 20 ms.
	MaxBatch = 512

	// queue is how many inputs may wait. Beyond it peers are read more slowly and
	// callers wait: two full batches keep the loop busy meanwhile.
	queue = 2 * MaxBatch

	// farewell is how long a closing node waits for index servers to take back what
	// it announced: one round trip and a retry over a bad link.
	farewell = 2 * time.Second
)

var (
	// ErrLoad is wrapped by the error of Start where the store does not hold a node that can be
	// understood.
	ErrLoad = errors.New("load the node")

	// ErrStopped is the error of every call once the loop is ending.
	ErrStopped = errors.New("the node is stopping")

	errHungUp = errors.New("the node hung up")
)

// Store is what a loop needs of a store; *store.DB and *store.Memory have it.
type Store interface {
	// Load iterates over all records of the kinds.
	Load(kinds ...string) iter.Seq2[node.Record, error]
	// Get returns one record's value and whether there is one.
	Get(kind, key string) ([]byte, bool, error)
	// Commit saves all or nothing and returns when it is on disk.
	Commit(records []node.Record, rows []node.Row) error
}

// Companion lives in the loop beside the node and keeps records of its own in the
// node's transactions.
type Companion interface {
	// Tell is called in the loop after each Step that tells something, before its
	// commit; the records it returns are part of that commit. It must be quick.
	Tell(told []node.Notice) []node.Record
}

// Options are what a node runs with. Key and Store are compulsory.
type Options struct {
	Key       *ident.Key   // the loop's own from now on: a Key is for one goroutine
	Store     Store        // open; it stays open when the loop closes
	Companion Companion    // may be nil
	Log       *slog.Logger // nil: nothing is logged
	Name      string       // what friends see
	Listen    []string     // multiaddrs to listen on; none: only dial
	Announce  []string     // addresses that friends are told; nil: those listened on
	Index     []string     // kula:index links of the servers to use
	FindIndex bool         // use index servers that are found too
	Mirror    bool         // keep a copy of what they know and search in it, so that none learns whom is paid
	Relays    []string     // multiaddrs of relays to be reached through
	FindRelay bool         // be reached through relays that are found too
	LAN       bool         // say on the local network who and where the node is, and listen to others
	Finder    *find.Finder // where addresses are published and looked up; nil: nowhere
	Restored  bool         // the identity was just restored from its phrase
}

// Loop is a running node. Its methods may be called from any goroutine.
type Loop struct {
	opt     Options
	log     *slog.Logger
	id      ident.ID
	host    *p2p.Host
	index   *index.Client
	mirror  *index.Mirror // nil: servers are asked
	links   *links
	servers directory
	stats   stats
	addrs   []string      // what friends are told; of open, then of links.keep
	moved   chan struct{} // 1 place: addrs may have changed

	own // of the loop's goroutine alone

	in    chan input
	life  context.Context // inputs are taken until it ends
	seal  context.CancelFunc
	leave chan struct{} // 1 place: Close wants the loop to end
	ended chan struct{} // closed when the loop's goroutine is over
	tasks sync.WaitGroup
	err   error // why the loop ended by itself; set before ended is closed
}

// own is what only the loop's goroutine touches.
type own struct {
	node   *node.Node
	desk   desk
	wake   int64          // when the node wants its next Tick, unix milliseconds; 0: not
	pause  *time.Timer    // of linger
	outbox []parcel       // memory of send
	places map[uint64]int // of send: session to place in outbox
}

// parcel is what goes to one session at once.
type parcel struct {
	to     node.Session
	frames [][]byte
}

// input is one thing for the loop to handle. Exactly one field is set.
type input struct {
	event node.Event
	job   *job
	read  *read
	then  func() // bookkeeping of the loop itself
}

// Start opens the node that the store holds, or a new one if the store is empty,
// listens, and begins to run. It fails if a record is damaged, an address cannot be
// listened on, or an index link is none.
func Start(opt Options) (*Loop, error) {
	l := &Loop{
		opt: opt, log: opt.Log, id: opt.Key.ID(),
		own:   own{desk: newDesk(), places: map[uint64]int{}},
		in:    make(chan input, queue),
		moved: make(chan struct{}, 1), leave: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	l.life, l.seal = context.WithCancel(context.Background())
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.links = newLinks(l)
	if err := l.servers.load(l); err != nil {
		return nil, err
	}
	var err error
	l.host, err = p2p.New(p2p.Config{Seed: opt.Key.IdentitySeed(), Listen: opt.Listen, LAN: opt.LAN, Classify: l.links.classify}, l.links)
	if err != nil {
		return nil, err
	}
	if err := l.open(); err != nil {
		l.seal()
		return nil, errors.Join(err, l.host.Close())
	}
	l.index = index.NewClient(l.host, l.log, l.republish)
	if opt.Mirror {
		l.mirror = index.NewMirror(l.host, l.log, 0)
	}
	l.links.ready(l.host)
	l.servers.foundNow(IndexRole, nil)
	l.servers.foundNow(RelayRole, nil)
	l.tasks.Go(l.links.keep)
	if opt.Finder != nil {
		l.tasks.Go(l.publishAddrs)
		l.tasks.Go(l.renewAddrs)
		l.tasks.Go(l.links.seek)
		if opt.FindIndex {
			l.tasks.Go(func() { l.seekServers(IndexRole) })
		}
		if opt.FindRelay {
			l.tasks.Go(func() { l.seekServers(RelayRole) })
		}
		l.spoke() // a node without addresses says so too: others need not look for old ones
	}
	go l.run()
	return l, nil
}

// open loads the node.
func (l *Loop) open() error {
	l.addrs = l.tellable()
	suite := counted{l.opt.Key, &l.stats.signed, &l.stats.checked}
	cfg := node.Config{Name: l.opt.Name, Addresses: l.addrs, Restored: l.opt.Restored}
	if l.servers.none {
		cfg.NoIndex = index.ErrNone.Error()
	}
	for _, err := range l.opt.Store.Load(node.Kinds...) {
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLoad, err)
		}
		l.node, err = node.Load(suite, cfg, l.opt.Store.Load(node.Kinds...))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLoad, err)
		}
		return nil
	}
	l.node = node.New(suite, cfg)
	return nil
}

// tellable are the addresses to tell friends.
func (l *Loop) tellable() []string {
	addrs := l.opt.Announce
	if addrs == nil {
		addrs = l.host.Addrs()
	}
	return addrs[:min(len(addrs), wire.MaxAddresses)]
}

// readdress tells the node where it can be reached, if that has changed.
func (l *Loop) readdress() {
	addrs := l.tellable()
	if slices.Equal(addrs, l.addrs) {
		return
	}
	c := &node.Configure{Addresses: addrs}
	_, err := l.Exec(l.life, Request{Command: c, Admit: func(n *node.Node) error {
		c.Name = n.Name()
		return nil
	}})
	if err == nil {
		l.addrs = addrs
		l.spoke()
	}
}

// ID is the node's identity.
func (l *Loop) ID() ident.ID { return l.id }

// Addrs are the addresses that the node listens on.
func (l *Loop) Addrs() []string { return l.host.Addrs() }

// Host is the node's place on the network, for protocols beside the session.
func (l *Loop) Host() *p2p.Host { return l.host }

// Index is the client of the index servers in use.
func (l *Loop) Index() *index.Client { return l.index }

// SeeksIndex says whether index servers are looked for, so that there may be some later.
func (l *Loop) SeeksIndex() bool { return l.opt.FindIndex }

// Finds says whether the node can find others by their keys.
func (l *Loop) Finds() bool { return l.opt.Finder != nil || l.opt.LAN }

// Done is closed when the loop has ended, by Close or by itself.
func (l *Loop) Done() <-chan struct{} { return l.ended }

// Err says why the loop ended by itself, nil if it did not. Call it after Done.
func (l *Loop) Err() error {
	select {
	case <-l.ended:
		return l.err
	default:
		return nil
	}
}

// Close withdraws what the node announced, ends all sessions and waits until nothing
// of the loop is left. Commands that wait get ErrStopped; payments under way go on
// after the next Start. The error is that of Err or of closing the network.
func (l *Loop) Close() error {
	select {
	case l.leave <- struct{}{}:
	default:
	}
	<-l.ended
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if l.err == nil {
		l.index.Flush(ctx)
	}
	l.index.Close()
	if l.mirror != nil {
		l.mirror.Close()
	}
	err := l.host.Close()
	l.tasks.Wait()
	return errors.Join(l.err, err)
}

// republish hands all announcements to the index servers again, then calls done.
func (l *Loop) republish(done func()) {
	l.put(input{event: node.Republish{}})
	l.put(input{then: done})
}

// put hands the loop an input; false if it takes no more.
func (l *Loop) put(in input) bool {
	if l.life.Err() != nil {
		return false
	}
	select {
	case l.in <- in:
		return true
	case <-l.life.Done():
		return false
	}
}
