package p2p

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	circuitproto "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"google.golang.org/protobuf/proto"
)

// spec N-4: one stranger that opens connections through a relay to a node and says nothing on them does not keep the
// node's friends from it.
func TestOneStrangerDoesNotFillACircuit(t *testing.T) {
	r := startRelay(t, tcp4)
	b := start(t, "ben", Config{Relays: r.Addrs()}, "ana")
	addrs := b.through()
	m := start(t, "mallory", Config{})
	rp, bp := r.host.net.peer, b.net.peer
	seen, err := m.Open(t.Context(), r.ID(), r.Addrs(), SeenProtocol, Limits{}) // a connection to the relay, held
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Close()
	typ := pb.HopMessage_CONNECT
	msg, err := proto.Marshal(&pb.HopMessage{Type: &typ, Peer: &pb.Peer{Id: []byte(bp)}})
	if err != nil {
		t.Fatal(err)
	}
	msg = append(binary.AppendUvarint(nil, uint64(len(msg))), msg...)
	var crowd sync.WaitGroup
	defer crowd.Wait()
	stop := make(chan struct{})
	defer close(stop)
	for range relayCircuits {
		crowd.Go(func() { // silent on one connection until it ends, and again
			for {
				st, err := thin{h: m.Host}.NewStream(m.ctx, rp, circuitproto.ProtoIDv2Hop)
				if err == nil {
					st.SetDeadline(time.Now().Add(10 * time.Second))
					st.Write(msg)
					b := make([]byte, 256)
					for err == nil {
						_, err = st.Read(b)
					}
					st.Reset()
				}
				select {
				case <-stop:
					return
				case <-m.ctx.Done():
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	m.wait("all its places taken", func() bool { return r.Stats().Circuits >= relayPerPair && r.Stats().Refused > 0 || poll(m) })
	began := time.Now()
	a := start(t, "ana", Config{}, "ben")
	a.Want(b.ID(), addrs)
	defer m.Close()
	a.session("ben") // within patience
	t.Logf("ana reaches ben after %s; %+v", time.Since(began), r.Stats())
}
