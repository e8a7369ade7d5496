//go:build linux

package realtest

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"kula/ident"
	"kula/internal/p2p"
	"kula/internal/p2p/p2ptest"
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
	a := p2ptest.New(addr, p2p.SessionProtocol, p2p.MaxFrame)
	jobs := make(chan int)
	var workers sync.WaitGroup
	for range attackers {
		workers.Go(func() {
			for i := range jobs {
				hostile(a, i)
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
	fmt.Println(a.Sessions.Load())
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

// hostile makes the i-th connection: in the ways of any stranger, and in those of one that knows what Kula says.
func hostile(a *p2ptest.Attacker, i int) {
	switch way := i % (p2ptest.Ways + 3); way {
	case p2ptest.Ways:
		a.Session(func(s network.MuxedStream) { p2ptest.Frames(s, junk(3000), junk(10)) })
	case p2ptest.Ways + 1: // an unknown key with an invitation's token that there never was
		a.Session(func(s network.MuxedStream) {
			p2ptest.Frames(s, wire.Encode(&wire.Hello{Version: wire.Version, Token: junk(16)}))
		})
	case p2ptest.Ways + 2: // an unknown key that claims to hold a promise of the victim, and cannot show it; every other says nothing more
		a.Session(func(s network.MuxedStream) {
			p2ptest.Frames(s, wire.Encode(&wire.Hello{Version: wire.Version, Held: wire.Mark{Seq: 7, Hash: ident.Hash(junk(32))}}))
			if i/(p2ptest.Ways+3)%2 == 0 {
				p2ptest.Frames(s, wire.Encode(&wire.Snapshot{Mine: wire.Signed{Body: junk(2000)}}))
			}
		})
	default:
		a.Attack(way)
	}
}
