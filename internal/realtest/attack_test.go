//go:build linux

package realtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
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
	"kula/internal/p2p"
	"kula/wire"
)

// attackEnv makes the test binary the attacker: "address count".
const attackEnv = "KULA_REALTEST_ATTACK"

const (
	// attackers is how many connections are being made at a time.
	attackers = 64

	// batch of connections begin every interval: 500 a second, so that a siege is not over before
	// a few hundred payments were made.
	batch    = 50
	interval = 100 * time.Millisecond
)

// tries bounds each step of the attacker itself: it attacks, it does not wait.
const tries = 5 * time.Second

// attack makes the hostile connections, says how many sessions came of them, and keeps all
// open until its stdin ends. It runs at the lowest priority: real attackers bring processors of
// their own, these would take those of the honest.
func attack(job string) {
	var addr string
	var count int
	_, err := fmt.Sscan(job, &addr, &count)
	if err == nil {
		err = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19)
	}
	if err == nil {
		err = raiseFiles(count)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
	a := newAttacker(addr)
	jobs := make(chan int)
	var workers sync.WaitGroup
	for range attackers {
		workers.Go(func() {
			for i := range jobs {
				a.attack(i)
			}
		})
	}
	tick := time.NewTicker(interval)
	for i := range count {
		if i%batch == 0 {
			<-tick.C
		}
		jobs <- i
	}
	close(jobs)
	workers.Wait()
	fmt.Println(a.sessions.Load())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// raiseFiles makes room for so many connections, and some.
func raiseFiles(count int) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	need := uint64(count) + 200
	if l.Cur >= need {
		return nil
	}
	l.Cur, l.Max = need, max(l.Max, need)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("room for %d open files: %w; raise it with: ulimit -n %d", need, err, need)
	}
	return nil
}

// attacker makes hostile connections with a new key each.
type attacker struct {
	host     string // host:port
	addr     ma.Multiaddr
	peer     peer.ID
	id       ident.ID
	sessions atomic.Int64 // that came up

	mu   sync.Mutex
	open []io.Closer
}

func newAttacker(addr string) *attacker {
	at, p := peer.SplitAddr(ma.StringCast(addr))
	port, err := at.ValueForProtocol(ma.P_TCP)
	if err != nil {
		panic(err)
	}
	id, err := identityOf(p)
	if err != nil {
		panic(err)
	}
	return &attacker{host: "127.0.0.1:" + port, addr: at, peer: p, id: id}
}

// identityOf is the key in a peer id.
func identityOf(p peer.ID) (ident.ID, error) {
	pub, err := p.ExtractPublicKey()
	if err != nil {
		return ident.ID{}, err
	}
	raw, err := pub.Raw()
	if err != nil {
		return ident.ID{}, err
	}
	return ident.ID(raw), nil
}

func (a *attacker) keep(c io.Closer) {
	a.mu.Lock()
	a.open = append(a.open, c)
	a.mu.Unlock()
}

// attack makes the i-th hostile connection. A connection that the victim refuses or closes is
// what is to be expected; so errors end the attack and nothing else.
func (a *attacker) attack(i int) {
	switch i % 10 {
	case 0:
		a.raw(nil) // half-open
	case 1: // announces a Noise message of 64 KiB and stops
		a.raw([]byte("\x13/multistream/1.0.0\n\x07/noise\n\xff\xff"))
	case 2:
		a.raw(junk(1024)) // instead of the handshake
	case 3:
		a.afterHandshake()
	case 4:
		a.session(a.slowly)
	case 5:
		a.session(oversized)
	case 6:
		a.session(func(network.MuxedStream) {}) // an unknown key that says nothing
	case 7:
		a.session(func(s network.MuxedStream) { frames(s, junk(3000), junk(10)) })
	case 8: // an unknown key with an invitation's token that there never was
		a.session(func(s network.MuxedStream) {
			frames(s, wire.Encode(&wire.Hello{Version: wire.Version, Token: junk(16)}))
		})
	case 9: // an unknown key that claims to hold a promise of the victim, and cannot show it; every other says nothing more
		a.session(func(s network.MuxedStream) {
			frames(s, wire.Encode(&wire.Hello{Version: wire.Version, Held: wire.Mark{Seq: 7, Hash: ident.Hash(junk(32))}}))
			if i%20 == 9 {
				frames(s, wire.Encode(&wire.Snapshot{Mine: wire.Signed{Body: junk(2000)}}))
			}
		})
	}
}

func junk(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// frames writes whole frames.
func frames(s network.MuxedStream, list ...[]byte) {
	for _, f := range list {
		if _, err := s.Write(append(binary.AppendUvarint(nil, uint64(len(f))), f...)); err != nil {
			return
		}
	}
}

// raw opens a TCP connection and writes b.
func (a *attacker) raw(b []byte) {
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
	raw, err := pub.Raw()
	if err != nil {
		panic(err)
	}
	m := []lupgrader.StreamMuxer{{ID: lyamux.ID, Muxer: lyamux.DefaultTransport}}
	n, err := noise.New(noise.ID, key, m)
	if err != nil {
		panic(err)
	}
	return n, m, ident.ID(raw)
}

// afterHandshake authenticates and writes garbage where yamux should be.
func (a *attacker) afterHandshake() {
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
	_, _ = s.Write(junk(4096))
}

// session authenticates, opens a session as package p2p says, and misuses it.
func (a *attacker) session(misuse func(network.MuxedStream)) {
	n, m, self := keyed()
	up, err := lupgrader.New([]sec.SecureTransport{n}, m, nil, nil, nil)
	if err != nil {
		panic(err)
	}
	t, err := tcp.NewTCPTransport(up, nil, nil, tcp.DisableReuseport())
	if err != nil {
		panic(err)
	}
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
	if mss.SelectProtoOrFail(p2p.SessionProtocol, s) != nil || !a.settle(s, self) || s.SetDeadline(time.Time{}) != nil {
		return
	}
	a.sessions.Add(1)
	misuse(s)
}

// settle does the first frames of a session: choice and echo, or ask, choice and echo.
func (a *attacker) settle(s network.MuxedStream, self ident.ID) bool {
	if bytes.Compare(self[:], a.id[:]) < 0 { // we choose
		frames(s, append([]byte{'C'}, make([]byte, 16)...))
		_, err := io.ReadFull(s, make([]byte, 1+25))
		return err == nil
	}
	frames(s, append([]byte{'A'}, make([]byte, 24)...))
	choice := make([]byte, 1+17) // its length, 'C', run and number
	if _, err := io.ReadFull(s, choice); err != nil {
		return false
	}
	frames(s, append(append([]byte{'E'}, choice[2:]...), make([]byte, 8)...))
	return true
}

// slowly writes one byte of a frame of 100 bytes every second, for as long as it is let.
func (a *attacker) slowly(s network.MuxedStream) {
	go func() {
		for b := range time.Tick(time.Second) {
			if _, err := s.Write([]byte{byte(b.Second()) | 64}); err != nil {
				return
			}
		}
	}()
}

// oversized announces the largest frame of a friend and sends some of it.
func oversized(s network.MuxedStream) {
	_, _ = s.Write(append(binary.AppendUvarint(nil, p2p.MaxFrame), make([]byte, 100<<10)...))
}
