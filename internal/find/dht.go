package find

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	alog "github.com/anacrolix/log"

	"github.com/anacrolix/dht/v2"
	nearest "github.com/anacrolix/dht/v2/k-nearest-nodes"
	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/dht/v2/traversal"
	"github.com/anacrolix/torrent/bencode"
	"golang.org/x/time/rate"

	"kula/ident"
)

const (
	// lookupTime and maxQueries bound one walk through the DHT, whatever the nodes on the way
	// say: an honest one takes some 50 questions and 3 seconds.
	lookupTime = 15 * time.Second
	maxQueries = 300

	// alpha is how many questions of a walk are under way at once.
	alpha = 10

	// resend is how long a node may take to answer, and queryTries how often it is asked.
	resend     = 2 * time.Second
	queryTries = 2

	// perSecond bounds the datagrams that are sent, over all walks.
	perSecond, burstSent = 100, 200

	// maxDatagram is the longest reply that is read: a record, eight nodes of each kind and a token
	// are 1,600 bytes.
	maxDatagram = 2048

	// maxServers bounds what one look-up for servers returns.
	maxServers = 64

	// serversEach is how many servers are taken from one node of the DHT that answers: what eight near nodes know is a
	// choice, and what one claims is not most of it.
	serversEach = 4
)

// mainline is a client of the Mainline DHT.
type mainline struct {
	server *dht.Server
	inside *inside
}

// newMainline opens a socket. start are HOST:PORT of nodes to begin with; none: the public
// DHT's.
func newMainline(start []string) (*mainline, error) {
	conn, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return nil, err
	}
	return newMainlineOn(conn, start)
}

// newMainlineOn takes a socket over.
func newMainlineOn(conn net.PacketConn, start []string) (*mainline, error) {
	m := &mainline{inside: &inside{}}
	silence.Do(func() { alog.Default = nobody() }) // it would print what strangers send
	c := dht.NewDefaultServerConfig()
	c.Conn = &replies{PacketConn: conn}
	c.Passive = true // BEP 43: others do not ask us, and nothing is stored here
	c.Logger = nobody()
	c.QueryResendDelay = func() time.Duration { return resend }
	c.SendLimiter = rate.NewLimiter(perSecond, burstSent)
	c.IPBlocklist = m.inside
	if len(start) > 0 {
		c.StartingNodes = func() ([]dht.Addr, error) {
			list, err := dht.ResolveHostPorts(start)
			for _, a := range list {
				if isInside(a.IP()) {
					m.inside.allowed.Store(true)
				}
			}
			return list, err
		}
	}
	var err error
	if m.server, err = dht.NewServer(c); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return m, nil
}

var silence sync.Once

func nobody() alog.Logger {
	l := alog.NewLogger()
	l.SetHandlers(alog.DiscardHandler)
	return l
}

// replies passes on what may be a reply: queries are dropped before anything looks at them,
// and an error of the socket is no reason to end.
type replies struct{ net.PacketConn }

func (r *replies) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := r.PacketConn.ReadFrom(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return n, from, err
		case err != nil, n > maxDatagram, bytes.Contains(b[:n], []byte("1:y1:q")):
			continue
		case !bytes.Contains(b[:n], []byte("1:y1:r")) && !bytes.Contains(b[:n], []byte("1:y1:e")):
			continue
		}
		return n, from, nil
	}
}

func (m *mainline) String() string { return "the Mainline DHT" }

func (m *mainline) close() { m.server.Close() }

// walk asks the nodes nearer and nearer to a target, until nothing nearer is known, and returns those of
// the nearest that gave a token.
func (m *mainline) walk(ctx context.Context, target [20]byte, ask func(context.Context, dht.Addr) dht.QueryResult) ([]nearest.Elem, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	var asked, answered atomic.Int64
	op := traversal.Start(traversal.OperationInput{
		Target: target, Alpha: alpha, NodeFilter: m.server.TraversalNodeFilter,
		DataFilter: func(token any) bool { _, ok := token.(string); return ok },
		DoQuery: func(_ context.Context, node krpc.NodeAddr) traversal.QueryResult {
			if asked.Add(1) > maxQueries || ctx.Err() != nil {
				return traversal.QueryResult{}
			}
			res := ask(ctx, dht.NewAddr(node.UDP()))
			if res.Reply.R != nil {
				answered.Add(1)
			}
			return res.TraversalQueryResult(node)
		},
	})
	nodes, err := m.server.TraversalStartingNodes()
	op.AddNodes(nodes)
	if err == nil {
		select {
		case <-op.Stalled():
		case <-ctx.Done():
		}
	}
	op.Stop()
	cancel()
	<-op.Stopped()
	var found []nearest.Elem
	op.Closest().Range(func(e nearest.Elem) {
		if _, ok := e.Data.(string); ok {
			found = append(found, e)
		}
	})
	if err == nil && answered.Load() == 0 {
		err = fmt.Errorf("no node of it answers (%d asked)", min(asked.Load(), maxQueries))
	}
	return found, err
}

func (m *mainline) query(ctx context.Context, to dht.Addr, q string, args krpc.MsgArgs) dht.QueryResult {
	args.Want = []krpc.Want{krpc.WantNodes, krpc.WantNodes6}
	return m.server.Query(ctx, to, q, dht.QueryInput{MsgArgs: args, NumTries: queryTries})
}

// get walks to a key's record and returns the newest that verifies.
func (m *mainline) get(ctx context.Context, key ident.ID) (best *Record, near []nearest.Elem, err error) {
	at := target(key)
	var mu sync.Mutex
	near, err = m.walk(ctx, at, func(ctx context.Context, to dht.Addr) dht.QueryResult {
		res := m.query(ctx, to, "get", krpc.MsgArgs{Target: at})
		if r := recordOf(key, res.Reply.R); r != nil {
			mu.Lock()
			if r.newer(best) {
				best = r
			}
			mu.Unlock()
		}
		return res
	})
	return best, near, err
}

// recordOf is the record in a reply, nil if there is none of this key.
func recordOf(key ident.ID, r *krpc.Return) *Record {
	if r == nil || r.Seq == nil || len(r.V) == 0 {
		return nil
	}
	var packet []byte
	if bencode.Unmarshal(r.V, &packet) != nil {
		return nil
	}
	record := &Record{Key: key, Sig: r.Sig, Time: *r.Seq, Packet: packet}
	if record.verify() != nil {
		return nil
	}
	return record
}

func (m *mainline) resolve(ctx context.Context, key ident.ID) (*Record, error) {
	r, _, err := m.get(ctx, key)
	if err == nil && r == nil {
		err = errNone
	}
	return r, err
}

// publish puts a record to the nodes nearest to its key, all at once.
func (m *mainline) publish(ctx context.Context, r *Record) error {
	_, near, err := m.get(ctx, r.Key)
	if err != nil {
		return err
	}
	args := krpc.MsgArgs{K: r.Key, Seq: &r.Time, Sig: r.Sig, V: r.Packet}
	return m.tell(ctx, near, "put", args)
}

// tell says something to nodes with the tokens that they gave; one that takes it is enough.
func (m *mainline) tell(ctx context.Context, near []nearest.Elem, q string, args krpc.MsgArgs) error {
	if len(near) == 0 {
		return errors.New("no node of it takes anything")
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	answers := make(chan error, len(near))
	for _, e := range near {
		a := args
		a.Token = e.Data.(string)
		go func() {
			answers <- m.query(ctx, dht.NewAddr(e.Addr.UDP()), q, a).ToError()
		}()
	}
	var errs []error
	for range near {
		if err := <-answers; err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(near) {
		return fmt.Errorf("none of %d nodes takes it: %w", len(near), errs[0])
	}
	return nil
}

// Kind is a kind of server.
type Kind string

// The kinds.
const (
	Index     Kind = "index"
	RelayKind Kind = "relay"
)

func infoHash(k Kind) [20]byte { return sha1.Sum([]byte("kula/" + string(k) + "/1")) }

// announce says that a server of a kind listens on port of the address that this comes from.
func (m *mainline) announce(ctx context.Context, k Kind, port uint16) error {
	_, near, err := m.servers(ctx, k)
	if err != nil {
		return err
	}
	p := int(port)
	return m.tell(ctx, near, "announce_peer", krpc.MsgArgs{InfoHash: infoHash(k), Port: &p})
}

// servers looks for servers of a kind, ascending, at most maxServers, of different addresses: of each answer serversEach,
// and of all these as many, both by chance.
func (m *mainline) servers(ctx context.Context, k Kind) ([]netip.AddrPort, []nearest.Elem, error) {
	hash := infoHash(k)
	var mu sync.Mutex
	found := map[netip.Addr]netip.AddrPort{}
	near, err := m.walk(ctx, hash, func(ctx context.Context, to dht.Addr) dht.QueryResult {
		res := m.query(ctx, to, "get_peers", krpc.MsgArgs{InfoHash: hash})
		if res.Reply.R == nil {
			return res
		}
		mu.Lock()
		defer mu.Unlock()
		for _, at := range m.someServers(res.Reply.R.Values) {
			found[at.Addr()] = at
		}
		return res
	})
	var list []netip.AddrPort
	for _, at := range found {
		list = append(list, at)
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	list = list[:min(len(list), maxServers)]
	slices.SortFunc(list, netip.AddrPort.Compare)
	return list, near, err
}

// someServers are serversEach of the addresses in an answer, by chance: they will be dialled, so none inside a network.
func (m *mainline) someServers(values []krpc.NodeAddr) (list []netip.AddrPort) {
	for _, i := range rand.Perm(len(values)) {
		v := values[i]
		ip, ok := netip.AddrFromSlice(v.IP)
		if _, refused := m.inside.Lookup(v.IP); refused {
			continue
		}
		if ok && v.Port > 0 && v.Port < 1<<16 && len(list) < serversEach {
			list = append(list, netip.AddrPortFrom(ip.Unmap(), uint16(v.Port)))
		}
	}
	return list
}
