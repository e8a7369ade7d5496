// Package p2ptest attacks a host of package p2p as a stranger can: for the tests of that package and for
// those of whole programs. It knows the session protocol from its description alone (package p2p, "Sessions"), as a
// stranger does, and uses nothing of the host's code.
package p2ptest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	lyamux "github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	lupgrader "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	mss "github.com/multiformats/go-multistream"

	"kula/ident"
)

// tries bounds each step of the attacker itself: it attacks, it does not wait.
const tries = 5 * time.Second

// Ways is how many kinds of attack Attack knows.
const Ways = 7

// Attacker makes hostile connections with a new key each. All stay open until Stop.
type Attacker struct {
	// Sessions counts those that came up.
	Sessions atomic.Int64

	host     string // host:port
	addr     ma.Multiaddr
	peer     peer.ID
	id       ident.ID
	protocol protocol.ID // of a session
	maxFrame uint64      // of a friend, in bytes

	ends chan struct{}
	wg   sync.WaitGroup
	mu   sync.Mutex
	open []io.Closer
}

// New attacks the host at addr, a multiaddr of TCP on this machine with the host's peer id at its end.
// It panics if addr is anything else.
func New(addr string, session protocol.ID, maxFrame uint64) *Attacker {
	at, p := peer.SplitAddr(ma.StringCast(addr))
	port := must(at.ValueForProtocol(ma.P_TCP))
	pub := must(p.ExtractPublicKey())
	return &Attacker{
		host: "127.0.0.1:" + port, addr: at, peer: p, id: ident.ID(must(pub.Raw())),
		protocol: session, maxFrame: maxFrame, ends: make(chan struct{}),
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Stop closes everything.
func (a *Attacker) Stop() {
	close(a.ends)
	a.mu.Lock()
	for _, c := range a.open {
		c.Close()
	}
	a.mu.Unlock()
	a.wg.Wait()
}

// Attack makes a hostile connection of the way-th kind, 0 to Ways-1. A connection that the host refuses or closes is
// what is to be expected; so errors end the attack and nothing else.
func (a *Attacker) Attack(way int) {
	switch way {
	case 0:
		a.raw(nil) // half-open
	case 1: // announces a Noise message of 64 KiB and stops
		a.raw([]byte("\x13/multistream/1.0.0\n\x07/noise\n\xff\xff"))
	case 2:
		a.raw(Junk(1024)) // instead of the handshake
	case 3:
		a.afterHandshake()
	case 4:
		a.Session(a.slowly)
	case 5: // announces the largest frame of a friend and sends some of it
		a.Session(func(s network.MuxedStream) {
			_, _ = s.Write(append(binary.AppendUvarint(nil, a.maxFrame), make([]byte, 100<<10)...))
		})
	case 6:
		a.Session(func(network.MuxedStream) {}) // an unknown key that says nothing
	}
}

// Junk is n random bytes.
func Junk(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// Frames writes whole frames.
func Frames(s network.MuxedStream, list ...[]byte) {
	for _, f := range list {
		if _, err := s.Write(append(binary.AppendUvarint(nil, uint64(len(f))), f...)); err != nil {
			return
		}
	}
}

func (a *Attacker) keep(c io.Closer) {
	a.mu.Lock()
	a.open = append(a.open, c)
	a.mu.Unlock()
}

// raw opens a TCP connection and writes b.
func (a *Attacker) raw(b []byte) {
	c, err := net.DialTimeout("tcp", a.host, tries)
	if err != nil {
		return
	}
	a.keep(c)
	_, _ = c.Write(b)
}

// keyed is a noise transport with a key of its own, and that key.
func keyed() (*noise.Transport, []lupgrader.StreamMuxer, ident.ID) {
	key, pub, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		panic(err)
	}
	m := []lupgrader.StreamMuxer{{ID: lyamux.ID, Muxer: lyamux.DefaultTransport}}
	return must(noise.New(noise.ID, key, m)), m, ident.ID(must(pub.Raw()))
}

// afterHandshake authenticates and writes garbage where yamux should be.
func (a *Attacker) afterHandshake() {
	c, err := net.DialTimeout("tcp", a.host, tries)
	if err != nil {
		return
	}
	a.keep(c)
	if mss.SelectProtoOrFail(protocol.ID(noise.ID), c) != nil {
		return
	}
	n, _, _ := keyed()
	ctx, cancel := context.WithTimeout(context.Background(), tries)
	defer cancel()
	s, err := n.SecureOutbound(ctx, c, a.peer)
	if err != nil {
		return
	}
	_, _ = s.Write(Junk(4096))
}

// Session authenticates, opens a session as package p2p says, and misuses it.
func (a *Attacker) Session(misuse func(network.MuxedStream)) {
	n, m, self := keyed()
	up := must(lupgrader.New([]sec.SecureTransport{n}, m, nil, nil, nil))
	t := must(tcp.NewTCPTransport(up, nil, nil, tcp.DisableReuseport()))
	ctx, cancel := context.WithTimeout(context.Background(), tries)
	defer cancel()
	c, err := t.Dial(ctx, a.addr, a.peer)
	if err != nil {
		return
	}
	a.keep(c)
	s, err := c.OpenStream(ctx)
	if err != nil || s.SetDeadline(time.Now().Add(tries)) != nil {
		return
	}
	if mss.SelectProtoOrFail(a.protocol, s) != nil || !a.settle(s, self) || s.SetDeadline(time.Time{}) != nil {
		return
	}
	a.Sessions.Add(1)
	misuse(s)
}

// settle does the first frames of a session: choice and echo, or ask, choice and echo.
func (a *Attacker) settle(s network.MuxedStream, self ident.ID) bool {
	if bytes.Compare(self[:], a.id[:]) < 0 { // we choose
		Frames(s, append([]byte{'C'}, make([]byte, 16)...))
		_, err := io.ReadFull(s, make([]byte, 1+25))
		return err == nil
	}
	Frames(s, append([]byte{'A'}, make([]byte, 24)...))
	choice := make([]byte, 1+17) // its length, 'C', run and number
	if _, err := io.ReadFull(s, choice); err != nil {
		return false
	}
	Frames(s, append(append([]byte{'E'}, choice[2:]...), make([]byte, 8)...))
	return true
}

// slowly writes one byte of a frame of 100 bytes every second, for as long as it is let.
func (a *Attacker) slowly(s network.MuxedStream) {
	a.wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for b := byte(100); ; b = 'x' {
			select {
			case <-tick.C:
			case <-a.ends:
				return
			}
			if _, err := s.Write([]byte{b}); err != nil {
				return
			}
		}
	})
}
