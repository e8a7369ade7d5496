package p2p

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	circuitproto "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"google.golang.org/protobuf/proto"
)

// spec N-4: of the places that a node has at its relay, strangers keep a few, and the newest of them one; the others stay free for
// friends, who keep theirs.
func TestStrangersKeepAFewCircuits(t *testing.T) {
	r := startRelay(t, tcp4)
	b := start(t, "ben", Config{Relays: r.Addrs(), StrangerIdle: patience}, "ana", "cleo")
	addrs := b.through()
	a := start(t, "ana", Config{}, "ben")
	a.Want(b.ID(), addrs)
	first := b.session("ana")
	for i := range 2 * relayStrangers {
		name := fmt.Sprint("stranger ", i)
		m := start(t, name, Config{}, "ben")
		m.Want(b.ID(), addrs)
		m.session("ben")
		b.session(name)
		m.Unwant(b.ID())
	}
	b.wait("the first strangers to go", func() bool { return r.Stats().Circuits == relayStrangers+1 || poll(b) })
	c := start(t, "cleo", Config{}, "ben")
	c.Want(b.ID(), addrs)
	c.session("ben")
	if st := b.Status(a.ID()); st.Session != first {
		t.Errorf("ana's session %d was replaced by %d", first, st.Session)
	}
	newest := idOf(fmt.Sprint("stranger ", 2*relayStrangers-1))
	if b.Status(newest).Session == 0 {
		t.Error("the newest stranger has no session")
	}
	b.setClass(newest, Friend) // it does not count as a stranger any more, and does not go for others
	for i := range relayStrangers {
		name := fmt.Sprint("another ", i)
		m := start(t, name, Config{}, "ben")
		m.Want(b.ID(), addrs)
		b.session(name)
		m.Unwant(b.ID())
	}
	if b.Status(newest).Session == 0 {
		t.Error("a stranger that became a friend went for others")
	}
}

// spec N-4: whoever comes again and again takes no more places by that.
func TestPlacesRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCircuits()
		prefix := netip.MustParsePrefix("192.0.2.0/24")
		took := func(key string) bool {
			free := c.take(peer.ID(key), "dest", prefix)
			if free != nil {
				free()
			}
			return free != nil
		}
		for range relayPerPair {
			if !took("one") {
				t.Error("refused at first")
			}
		}
		if took("one") {
			t.Errorf("%d times at once", relayPerPair+1)
		}
		for i := range relayFromPrefix - relayPerPair {
			took(fmt.Sprint(i))
		}
		if took("another") {
			t.Errorf("%d of one prefix at once", relayFromPrefix+1)
		}
		long := c.take("other", "elsewhere", prefix)
		<-time.After(relayRest)
		synctest.Wait()
		long() // is free at once
		<-time.After(time.Nanosecond)
		synctest.Wait()
		if len(c.pairs)+len(c.places) != 0 {
			t.Errorf("%d pairs and %d places are left", len(c.pairs), len(c.places))
		}
		if !took("one") {
			t.Error("refused after a while")
		}
	})
}

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
