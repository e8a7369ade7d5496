package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"kula/ident"
	"kula/internal/p2p"
	"kula/route"
	"kula/wire"
)

const (
	// places is how many connections a server keeps. An idle one takes about 100 KiB;
	// a hostile one at most 5 MiB: four receive windows of 256 KiB, and on each of its
	// two streams a message half read and answers it does not take. So connections take at most
	// 5 GiB, those from a single /24 or /48 a quarter of it; what is announced comes on top
	// (route.DefaultMax).
	// What bounds it is MaxMessage, bytesAhead with MaxFeedBytes, and the windows; more places would need a bound on all of that together.
	// Beyond them the connection goes on which nothing was asked for longest. Before, when three quarters are taken,
	// nodes with nothing to say leave by themselves (rule I15): one that speaks every 15 minutes, as long as nothing changes, needs its
	// place for seven seconds of them, so the places are enough for a hundred thousand nodes.
	places = 1024

	// prefixShare is the part of the places that a single /24 or /48 may take.
	prefixShare = 4

	// lull is how long nothing must have been asked on a connection that could as well end: a node that pays or
	// whose figures change says something every second.
	lull = 2 * time.Second

	// handshakes is how many connections may be half open: a restarted server's
	// nodes all come back within seconds.
	handshakes = 512

	// streamsPerKey is one, and one that came before its dead predecessor was noticed.
	streamsPerKey = 2

	// farewell is how long a server that stops may take to answer what it has read.
	farewell = time.Second

	// reportEvery is how often the counters are logged.
	reportEvery = 10 * time.Minute
)

// Options are what a server runs with. Seed and Listen are compulsory.
type Options struct {
	Seed   [32]byte         // Ed25519 seed of its identity (ident.Key.IdentitySeed)
	Listen []string         // HOST:PORT for TCP, port 0 for any free one; or multiaddrs
	Ready  func(uri string) // called by Serve once clients can connect; may be nil
	Log    *slog.Logger     // nil: nothing is logged
	Max    int              // entries of announcements kept in all; 0: route.DefaultMax
	Places int              // connections kept; 0: 1,024
	Rates  Rates
	Dir    string // where the log of announcements is kept; "": nowhere, and nobody can follow
	Peers  []Link // index servers to share announcements with, if they name this one too; they need Dir
}

// Server is a running index server. Its methods may be called from any goroutine.
type Server struct {
	rates   Rates
	log     *slog.Logger
	host    *p2p.Host
	tally   tally
	work    flight
	finders chan *route.Finder // one for each search that may run
	suites  chan ident.Suite   // one for each message of announcements that may be verified, or read for a follower

	feed     *feed  // nil: no log
	peers    []Link // index servers to share with
	instance uint64 // of the graph (rule R21 of package route)

	lock  sync.RWMutex // of graph
	graph *route.Graph

	mu       sync.Mutex // of accounts and what is in them
	accounts map[ident.ID]*account

	end   context.CancelFunc
	tasks sync.WaitGroup
	close func() error
}

// account is what a server knows of one identity.
type account struct {
	announcements, questions bucket
	streams                  []*p2p.Framed // oldest first
}

// Serve runs an index server until ctx ends, which is no error, or it cannot listen.
func Serve(ctx context.Context, opt Options) error {
	s, err := Start(opt)
	if err != nil {
		return err
	}
	if opt.Ready != nil {
		opt.Ready(s.URI())
	}
	<-ctx.Done()
	return s.Close()
}

// Start begins to serve: clients can connect when it returns.
func Start(opt Options) (*Server, error) {
	if len(opt.Listen) == 0 {
		return nil, errors.New("index server: no address to listen on; write HOST:PORT, e.g. 0.0.0.0:4281")
	}
	var addrs []string
	for _, l := range opt.Listen {
		a, err := listenAddr(l)
		if err != nil {
			return nil, fmt.Errorf("index server: %w", err)
		}
		addrs = append(addrs, a)
	}
	if opt.Places <= 0 {
		opt.Places = places
	}
	s := &Server{
		rates: opt.Rates.withDefaults(), log: opt.Log, graph: route.NewGraph(opt.Max),
		finders: make(chan *route.Finder, runtime.GOMAXPROCS(0)), suites: make(chan ident.Suite, max(1, runtime.GOMAXPROCS(0)/2)),
		accounts: map[ident.ID]*account{},
	}
	for range cap(s.finders) {
		s.finders <- s.graph.Finder()
	}
	for range cap(s.suites) {
		s.suites <- verifier()
	}
	s.peers, s.instance = opt.Peers, newNumber()
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if opt.Dir != "" {
		if err = s.remember(opt.Dir); err != nil {
			return nil, fmt.Errorf("index server: %w", err)
		}
	}
	s.host, err = p2p.New(p2p.Config{
		Seed: opt.Seed, Listen: addrs,
		Handshakes: handshakes, Strangers: opt.Places, StrangersPerPrefix: max(1, opt.Places/prefixShare), EvictIdle: true,
		StrangerIdle: p2p.OpenTimeout, // so that who left by itself gives its place back soon
	}, noSessions{})
	if err != nil {
		if s.feed != nil {
			err = errors.Join(err, s.feed.close())
		}
		return nil, fmt.Errorf("index server: %w", err)
	}
	var ctx context.Context
	ctx, s.end = context.WithCancel(context.Background())
	s.close = sync.OnceValue(s.stop)
	limits := p2p.Limits{MaxFrame: route.MaxMessage, Idle: s.rates.Idle, Streams: opt.Places * streamsPerKey}
	s.host.Handle(Protocol, limits, s.serve)
	s.tasks.Go(func() { s.keep(ctx) })
	if s.feed != nil {
		for _, l := range s.peers {
			suite := verifier()
			s.tasks.Go(func() {
				keepFollowing(ctx, s.log, s.host, l, true, func(f *route.Feed) error {
					opened, errs := route.OpenAll(suite, f.Announcements, nil)
					s.apply(f.Announcements, opened, errs)
					return nil
				}, func() {})
			})
		}
	}
	s.log.Info("index server is ready", "key", s.host.ID().Short(), "addresses", len(s.host.Addrs()))
	return s, nil
}

// ID is the server's identity.
func (s *Server) ID() ident.ID { return s.host.ID() }

// URI is the link to the server: its key and the addresses it listens on.
func (s *Server) URI() string {
	addrs := s.host.Addrs()
	for i, a := range addrs { // the key says who already
		addrs[i] = cutPeer(a)
	}
	return FormatURI(Link{Key: s.host.ID(), Addrs: addrs[:min(len(addrs), wire.MaxAddresses)]})
}

// Close answers what was read, ends all streams and waits until nothing is left.
func (s *Server) Close() error { return s.close() }

func (s *Server) stop() error {
	if !s.work.drain(farewell) {
		s.log.Warn("index server stops before it has answered everything it read")
	}
	s.end()
	err := s.host.Close()
	s.tasks.Wait()
	s.report()
	if s.feed != nil {
		err = errors.Join(err, s.feed.close())
	}
	return err
}

// remember reads the log of the last run: what has not expired counts again at once. Signatures
// were verified when it was written.
func (s *Server) remember(dir string) error {
	now := time.Now().Unix()
	records, refused := 0, 0
	var err error
	s.feed, err = openFeed(dir, func(_ wire.Batched, a *route.Announcement) {
		records++
		if _, err := s.graph.Apply(*a, now); err != nil && a.Expires > now && !isOlder(err) {
			refused++
		}
	})
	if err != nil {
		return err
	}
	if refused > 0 {
		s.log.Warn("announcements of the log have no room", "announcements", refused)
		s.feed.instance = newNumber()
	}
	s.instance = s.feed.instance
	if s.feed.dropped > 0 {
		s.log.Warn("the end of the log of announcements is no record and is dropped; nodes announce again within half an hour",
			"bytes", s.feed.dropped, "kept", s.feed.end, "announcements", records)
	}
	if _, of, _ := s.graph.Size(); records <= 2*of+freshRecords {
		return nil
	}
	return s.tidy()
}

// isOlder says whether an announcement was refused because the graph has one that counts instead.
func isOlder(err error) bool {
	code := route.RefusalOf(err).Code
	return code == wire.BadSequence || code == wire.Conflict
}

// freshRecords is how many records of a log may be out of date at a start beyond half of it: to write the log anew
// takes longer than to read it, and followers must read all of it again.
const freshRecords = 10_000

// tidy leaves out of the log what was replaced or has expired.
func (s *Server) tidy() error {
	now := time.Now().Unix()
	return s.feed.rewrite(func(signed wire.Batched) bool {
		a, err := route.Decode(signed.Body)
		if err != nil || a.Expires <= now {
			return false
		}
		s.lock.RLock()
		defer s.lock.RUnlock()
		number, ok := s.graph.Newest(a.Node, a.Friend)
		return ok && number == a.Number
	})
}

// keep drops what expired and the accounts that nobody uses.
func (s *Server) keep(ctx context.Context) {
	expire, report := time.NewTicker(s.rates.Expire), time.NewTicker(reportEvery)
	defer expire.Stop()
	defer report.Stop()
	for {
		select {
		case now := <-expire.C:
			s.expire(now.Unix())
			s.sweep(now)
			if s.feed != nil && s.feed.grown() {
				if err := s.tidy(); err != nil {
					s.log.Error("the log of announcements grows", "reason", err)
				}
			}
		case <-report.C:
			s.report()
		case <-ctx.Done():
			return
		}
	}
}

// expireAtOnce is how many records (route.Graph.ExpireSome) are looked at while the graph is held for it: at ten friends a
// node 4,000 nodes, a millisecond. Beyond it goes at most one node with a thousand friends in 32 currencies.
const expireAtOnce = 40_000

// expire drops what expired, in steps between which searches and announcements go on.
func (s *Server) expire(now int64) {
	for first, more := 0, true; more; {
		var n int
		s.lock.Lock()
		n, first = s.graph.ExpireSome(first, expireAtOnce, now)
		more = first < s.graph.Nodes()
		s.lock.Unlock()
		s.tally.expired.Add(uint64(n))
	}
}

// sweep forgets identities that have no stream and nothing to make up for.
func (s *Server) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, a := range s.accounts {
		if len(a.streams) == 0 && a.announcements.unused(now) && a.questions.unused(now) {
			delete(s.accounts, id)
		}
	}
}

// noSessions is a host that wants no sessions: what a stranger may send on one is
// bounded by the host, and nobody reads it.
type noSessions struct{}

func (noSessions) SessionUp(ident.ID, uint64, p2p.Class) {}
func (noSessions) Frame(uint64, []byte)                  {}
func (noSessions) SessionDown(uint64, error)             {}
