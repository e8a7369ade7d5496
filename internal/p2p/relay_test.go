package p2p

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
)

// startRelay runs a relay on loopback until the test ends.
func startRelay(t testing.TB, listen ...string) *Relay {
	t.Helper()
	r, err := NewRelay(RelayConfig{Seed: seed("relay"), Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// through waits until n can be reached through a relay and returns the addresses for that.
func (n *node) through() []string {
	n.t.Helper()
	timeout := time.After(patience)
	for {
		var list []string
		for _, a := range n.Addrs() {
			if strings.Contains(a, "/p2p-circuit/") {
				list = append(list, a)
			}
		}
		if len(list) > 0 {
			return list
		}
		select {
		case <-n.News():
		case <-timeout:
			n.t.Fatalf("not reachable through a relay within %v: %+v", patience, n.Relays())
		}
	}
}

// spec N-1, R-2: two nodes that can only dial talk through a relay, which sees ciphertext.
func TestThroughRelay(t *testing.T) {
	for _, listen := range []string{tcp4, quic4} {
		t.Run(strings.Split(listen, "/")[3], func(t *testing.T) {
			r := startRelay(t, listen)
			b := start(t, "ben", Config{Relays: r.Addrs()}, "ana")
			a := start(t, "ana", Config{}, "ben")
			a.Want(b.ID(), b.through())
			sa, sb := a.session("ben"), b.session("ana")
			out := [][]byte{bytes.Repeat([]byte("plain"), 20000), []byte("z")}
			if err := a.Send(sa, out); err != nil {
				t.Fatal(err)
			}
			if err := b.Send(sb, out); err != nil {
				t.Fatal(err)
			}
			for _, in := range [][][]byte{b.frames("ana", 2), a.frames("ben", 2)} {
				if !bytes.Equal(in[0], out[0]) || !bytes.Equal(in[1], out[1]) {
					t.Fatal("frames differ")
				}
			}
			if s := r.Stats(); s.Reservations != 1 || s.Circuits != 1 || s.Opened != 1 || s.Refused != 0 || s.Bytes < 200000 || s.Bytes > 230000 {
				t.Fatalf("the relay counts %+v", s)
			}
			if st := a.Status(b.ID()); !strings.Contains(st.Addr, "p2p-circuit") {
				t.Fatalf("status %+v", st)
			}
		})
	}
}

// spec N-5: a session through a relay moves to a direct connection, and nothing that is sent
// afterwards passes the relay.
func TestDirectInsteadOfRelay(t *testing.T) {
	for _, names := range [][2]string{{"ana", "ben"}, {"ben", "ana"}} { // each side is the chooser once
		t.Run(names[0], func(t *testing.T) {
			r := startRelay(t, quic4)
			b := start(t, names[1], Config{Relays: r.Addrs(), Listen: []string{quic4}}, names[0])
			a := start(t, names[0], Config{Relays: r.Addrs(), Listen: []string{quic4}}, names[1])
			a.Want(b.ID(), b.through())
			first := b.session(names[0])
			b.ended(first)
			s := b.session(names[0])
			b.wait("end of the circuit", func() bool { return r.Stats().Circuits == 0 || poll(b) })
			before := r.Stats().Bytes
			for i := range 100 {
				if err := b.Send(s, [][]byte{fmt.Appendf(nil, "frame %d", i)}); err != nil {
					t.Fatal(err)
				}
			}
			a.frames(names[1], 100)
			if after := r.Stats().Bytes; after != before {
				t.Errorf("the relay passed %d bytes on after the direct session was up", after-before)
			}
			if st := b.Status(a.ID()); strings.Contains(st.Addr, "p2p-circuit") || st.Session != s {
				t.Errorf("status %+v", st)
			}
		})
	}
}

// poll has a waiting test look again a moment later; it returns false.
func poll(n *node) bool {
	time.AfterFunc(20*time.Millisecond, n.cond.Broadcast)
	return false
}

// spec N-5: a stranger gets no datagrams sent to where it says that it is.
func TestNoPunchForStrangers(t *testing.T) {
	r := startRelay(t, quic4)
	b := start(t, "ben", Config{Relays: r.Addrs(), Listen: []string{quic4}})
	a := start(t, "ana", Config{Relays: r.Addrs(), Listen: []string{quic4}}, "ben")
	a.Want(b.ID(), b.through())
	s := b.session("ana")
	p, _ := peerOf(a.ID())
	err := holepunch.ErrHolePunchActive // libp2p's service begins by itself
	for began := time.Now(); errors.Is(err, holepunch.ErrHolePunchActive) && time.Since(began) < patience; {
		err = b.punch.connect(b.ctx, p)
	}
	if err == nil {
		t.Error("a direct connection to a stranger")
	}
	b.setClass(a.ID(), Friend)
	b.ended(s)
	again := b.session("ana")
	if st := b.Status(a.ID()); again == s || strings.Contains(st.Addr, "p2p-circuit") {
		t.Errorf("session %d, status %+v", again, st)
	}
}

// spec N-3: a relay that is started again serves its clients again.
func TestRelayRestarts(t *testing.T) {
	r := startRelay(t, tcp4)
	b := start(t, "ben", Config{Relays: r.Addrs()}, "ana")
	a := start(t, "ana", Config{}, "ben")
	a.Want(b.ID(), b.through())
	s := a.session("ben")
	addr, _, _ := strings.Cut(r.Addrs()[0], "/p2p/")
	r.Close()
	a.ended(s)
	startRelay(t, addr)
	if again := a.session("ben"); again <= s {
		t.Fatalf("session %d after %d", again, s)
	}
}

// spec N-4: what a client may have is bounded, whatever it asks for.
func TestRelayBounds(t *testing.T) {
	r := startRelay(t, tcp4)
	var friends []string
	for i := range relayFromPrefix + 1 {
		friends = append(friends, fmt.Sprintf("client %d", i))
	}
	b := start(t, "ben", Config{Relays: r.Addrs()}, friends...)
	addrs := b.through()
	for i, name := range friends {
		c := start(t, name, Config{}, "ben")
		c.Want(b.ID(), addrs)
		if i < relayFromPrefix {
			c.session("ben")
			continue
		}
		c.wait("a refusal", func() bool { return r.Stats().Refused > 0 || poll(c) })
	}
	if s := r.Stats(); s.Circuits != relayFromPrefix {
		t.Errorf("%d circuits to one client from one prefix, at most %d", s.Circuits, relayFromPrefix)
	}
}

func TestRelayAddresses(t *testing.T) {
	for _, bad := range []string{"", "nonsense", "/ip4/192.0.2.1/tcp/1", "/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X",
		"/ip4/192.0.2.1/tcp/1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X/p2p-circuit/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"} {
		if CheckRelay(bad) == nil {
			t.Errorf("%q is taken for a relay", bad)
		}
	}
	if err := CheckRelay("/ip4/192.0.2.1/udp/1/quic-v1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"); err != nil {
		t.Error(err)
	}
}

// spec N-1, N-4: a client that waits to be reached may be idle; one that asks for nothing may not.
func TestRelayKeepsItsClients(t *testing.T) {
	r, err := NewRelay(RelayConfig{Seed: seed("relay"), Listen: []string{tcp4}, Idle: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := start(t, "ben", Config{Relays: r.Addrs()})
	b.through()
	bp, _ := peerOf(b.ID())
	first := r.host.net.swarm.ConnsToPeer(bp)
	passer := start(t, "ana", Config{})
	p, _ := peerOf(passer.ID())
	opened := 0
	for began := time.Now(); opened == 0 || time.Since(began) < 2*linger; { // its last stream keeps it for linger
		f, err := passer.Open(t.Context(), r.ID(), r.Addrs(), SeenProtocol, Limits{})
		if err != nil && time.Since(began) > patience {
			t.Fatal(err)
		}
		if err == nil { // else it was slower than Idle
			opened++
			f.Close()
		}
		b.wait("end of an idle connection", func() bool { return len(r.host.net.swarm.ConnsToPeer(p)) == 0 || poll(b) })
	}
	if now := r.host.net.swarm.ConnsToPeer(bp); len(first) != 1 || len(now) != 1 || now[0] != first[0] {
		t.Errorf("connections of the client %v, after a while %v; want the same one", first, now)
	}
}

// spec N-4: one client is read from at its rate, over all its connections.
func TestRelayPaces(t *testing.T) {
	r := startRelay(t, tcp4)
	one, other := &guest{person: person{peer: "one"}}, &guest{person: person{peer: "other"}}
	began := time.Now()
	for range clientBurst / relayBuffer {
		r.pace(one).wait(relayBuffer)
	}
	r.pace(other).wait(relayBuffer)
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("a burst takes %s", took)
	}
	began = time.Now()
	for range clientRate / relayBuffer {
		r.pace(one).wait(relayBuffer)
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("%d bytes beyond the burst in %s, want about a second", clientRate, took)
	}
	r.forget("one")
	if again := r.pace(one); again.limit.Tokens() > clientBurst/2 {
		t.Errorf("one that comes anew may send %.0f bytes at once", again.limit.Tokens())
	}
}

// spec N-4: a relay remembers the rate of a client that has left until its burst is full, and of not more than it has room for.
func TestRelayForgetsPaces(t *testing.T) {
	r := startRelay(t, tcp4)
	come := func(name string, spent int) {
		g := &guest{person: person{peer: peer.ID(name)}}
		r.pace(g).limit.AllowN(time.Now(), spent)
		r.forget(g.peer)
	}
	come("idle", 0)
	if len(r.paces) != 0 {
		t.Errorf("%d are remembered that have spent nothing", len(r.paces))
	}
	come("greedy", clientBurst)
	come("modest", clientBurst/4)
	for i := range relayPaces {
		come(fmt.Sprint(i), clientBurst/2)
	}
	if len(r.paces) != relayPaces || r.paces["greedy"] == nil || r.paces["modest"] != nil {
		t.Errorf("%d are remembered, at most %d; greedy %v, modest %v", len(r.paces), relayPaces, r.paces["greedy"] != nil, r.paces["modest"] != nil)
	}
}

// spec N-4: nobody but a relay that this host asked brings it connections.
func TestOnlyOwnRelaysBring(t *testing.T) {
	r := startRelay(t, tcp4)
	b := start(t, "ben", Config{Listen: []string{tcp4}, Relays: r.Addrs()}, "ana")
	b.through()
	a := start(t, "ana", Config{}, "ben")
	a.Want(b.ID(), b.Addrs()[1:])
	a.session("ben")
	p, _ := peerOf(b.ID())
	st, err := thin{h: a.Host}.NewStream(t.Context(), p, stopProtocol)
	if err != nil {
		return // refused at once
	}
	defer st.Reset()
	st.SetDeadline(time.Now().Add(patience))
	st.Write([]byte{1, 0}) // a message that is none: a relay would be told so
	if n, err := st.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("it is answered: %d bytes, %v", n, err)
	}
}
