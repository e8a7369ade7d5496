package p2p

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"google.golang.org/protobuf/proto"
)

const (
	// relayPerPair is how many connections one client may have through the relay to one other: two that take each
	// other's place, and two that broke and have not been missed yet.
	relayPerPair = 4

	// relayFromPrefix is how many one address prefix may have to one client, whatever keys it makes: a quarter of the
	// places is for others.
	relayFromPrefix = relayCircuits * 3 / 4

	// relayRest is for how long each counts at least: whoever comes again and again otherwise has all places by those
	// that are just being refused. Of two prefixes a dozen a second come so, and each takes a round trip.
	relayRest = 2 * time.Second

	// hopMessage is the longest request to a relay, hopTime how long it may take: libp2p's size, and the time that a
	// handshake has.
	hopMessage = 4 << 10
	hopTime    = HandshakeTimeout
)

// circuits counts who has connections through a relay to whom. libp2p counts those of each client, at either end.
type circuits struct {
	mu     sync.Mutex
	pairs  map[[2]peer.ID]int
	places map[place]int
}

// place is a prefix and whom it has connections to.
type place struct {
	from netip.Prefix
	to   peer.ID
}

func newCircuits() *circuits {
	return &circuits{pairs: map[[2]peer.ID]int{}, places: map[place]int{}}
}

// take counts one more, until the function it returns is called and for relayRest at least; nil if there is no room.
func (c *circuits) take(src, dest peer.ID, from netip.Prefix) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	pair, at := [2]peer.ID{src, dest}, place{from, dest}
	if c.pairs[pair] >= relayPerPair || c.places[at] >= relayFromPrefix {
		return nil
	}
	c.pairs[pair]++
	c.places[at]++
	began := time.Now()
	return sync.OnceFunc(func() { time.AfterFunc(relayRest-time.Since(began), func() { c.give(pair, at) }) })
}

// give takes one off.
func (c *circuits) give(pair [2]peer.ID, at place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pairs[pair]--; c.pairs[pair] == 0 {
		delete(c.pairs, pair)
	}
	if c.places[at]--; c.places[at] == 0 {
		delete(c.places, at)
	}
}

// hops is the host of the relay service: whoever asks for a connection takes a place first.
type hops struct {
	thin
	relay *Relay
}

func (t hops) SetStreamHandler(p protocol.ID, serve network.StreamHandler) {
	t.thin.SetStreamHandler(p, func(st network.Stream) { t.relay.hop(st, serve) })
}

// hop reads a request, has it take its place, and passes it on to the service.
func (r *Relay) hop(st network.Stream, serve network.StreamHandler) {
	m := &pb.HopMessage{}
	again, err := readRequest(st, m)
	if err != nil {
		st.Reset()
		return
	}
	if m.GetType() == pb.HopMessage_CONNECT {
		dest, err := peer.IDFromBytes(m.GetPeer().GetId())
		if err != nil {
			st.Reset()
			return
		}
		if !r.host.door.has(dest) { // nothing is counted for who is not there; the service says so
			serve(again)
			return
		}
		free := r.circuits.take(st.Conn().RemotePeer(), dest, prefixOf(st.Conn().RemoteMultiaddr()))
		if free == nil {
			r.refuse(st)
			return
		}
		again.after = free
	}
	serve(again)
}

// refuse answers that there is no room.
func (r *Relay) refuse(st network.Stream) {
	r.count.refused.Add(1)
	b, err := proto.Marshal(&pb.HopMessage{Type: pb.HopMessage_STATUS.Enum(), Status: pb.Status_RESOURCE_LIMIT_EXCEEDED.Enum()})
	if err != nil {
		st.Reset()
		return
	}
	st.SetWriteDeadline(time.Now().Add(hopTime))
	if _, err := st.Write(append(binary.AppendUvarint(nil, uint64(len(b))), b...)); err != nil {
		st.Reset()
		return
	}
	st.Close()
}

// readRequest reads one request to a relay or of one, its length before it, within hopTime, and gives the stream from which it can
// be read once more.
func readRequest(st network.Stream, m proto.Message) (*again, error) {
	st.SetReadDeadline(time.Now().Add(hopTime))
	var head bytes.Buffer
	size, err := binary.ReadUvarint(oneByOne{io.TeeReader(st, &head)})
	if err != nil {
		return nil, err
	}
	if size > hopMessage {
		return nil, &FrameError{frameTooLarge, size, hopMessage}
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(st, body); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(body, m); err != nil {
		return nil, err
	}
	st.SetReadDeadline(time.Time{})
	return &again{ending{st, func() {}}, bytes.NewReader(append(head.Bytes(), body...))}, nil
}

// oneByOne reads single bytes, so that nothing behind them is taken.
type oneByOne struct{ io.Reader }

func (r oneByOne) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r.Reader, b[:])
	return b[0], err
}

// again gives a request once more, then what follows it.
type again struct {
	ending
	ahead *bytes.Reader
}

func (s *again) Read(b []byte) (int, error) {
	if s.ahead.Len() > 0 {
		return s.ahead.Read(b)
	}
	return s.Stream.Read(b)
}
