package p2p

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/p2p/p2ptest"
)

var hostile = flag.Int("hostile", 1000, "hostile connections in TestHostile (5000 is the figure to reach)")

// victimEnv makes the test binary the victim: a host in a process of its own, so
// that its memory can be measured.
const victimEnv = "KULA_P2P_VICTIM"

// victim listens for "ana" and "dora", writes its addresses, echoes frames, and
// answers each line on stdin with its memory in KiB.
func victim() {
	v := &victimEvents{}
	var err error
	ready := make(chan struct{})
	v.ready = ready
	v.h, err = New(Config{
		Seed: seed("ben"), Listen: []string{tcp4, quic4},
		Classify: func(id ident.ID) Class {
			if id == idOf("ana") || id == idOf("dora") {
				return Friend
			}
			return Stranger
		},
	}, v)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	close(ready)
	raw, stop := rawEcho(192)
	defer stop()
	fmt.Println(strings.Join(append(v.h.Addrs(), raw), " "))
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if in.Text() == "gc" {
			debug.FreeOSMemory()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println(procKiB("VmRSS"), procKiB("VmHWM"), m.HeapInuse>>10, runtime.NumGoroutine())
	}
	v.h.Close()
}

func procKiB(field string) int {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		var n int
		if _, err := fmt.Sscanf(line, field+": %d kB", &n); err == nil {
			return n
		}
	}
	return 0
}

type victimEvents struct {
	h     *Host
	ready chan struct{}
}

func (v *victimEvents) SessionUp(ident.ID, uint64, Class) { <-v.ready }
func (v *victimEvents) Frame(s uint64, f []byte)          { v.h.Send(s, [][]byte{f}) }
func (v *victimEvents) SessionDown(uint64, error)         {}

// attackEnv makes the test binary the attacker: "address count".
const attackEnv = "KULA_P2P_ATTACK"

// attack makes the hostile connections, says how many sessions came of them, and
// keeps all open until its stdin ends.
func attack(job string) {
	var addr string
	var count int64
	if _, err := fmt.Sscan(job, &addr, &count); err != nil {
		panic(err)
	}
	a := p2ptest.New(addr, SessionProtocol, MaxFrame)
	var made atomic.Int64
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			for i := made.Add(1); i <= count; i = made.Add(1) {
				a.Attack(int(i % p2ptest.Ways))
			}
		})
	}
	workers.Wait()
	fmt.Println(a.Sessions.Load())
	io.Copy(io.Discard, os.Stdin)
	a.Stop()
}

// memory is what the victim says about itself, in KiB.
type memory struct{ rss, peak, heap, goroutines int }

type victimProcess struct {
	addrs []string
	in    io.WriteCloser
	out   *bufio.Reader
}

// startSelf runs the test binary again with one variable set, until the test ends.
func startSelf(t testing.TB, variable string) (io.WriteCloser, *bufio.Reader) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return in, bufio.NewReader(out)
}

func startVictim(t testing.TB) *victimProcess {
	v := &victimProcess{}
	v.in, v.out = startSelf(t, victimEnv+"=1")
	line, err := v.out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "/ip4") {
		t.Fatalf("victim says %q, %v", line, err)
	}
	v.addrs = strings.Fields(line)
	return v
}

func (v *victimProcess) ask(t testing.TB, what string) memory {
	fmt.Fprintln(v.in, what)
	var m memory
	if _, err := fmt.Fscan(v.out, &m.rss, &m.peak, &m.heap, &m.goroutines); err != nil {
		t.Fatalf("the victim is gone: %v", err)
	}
	return m
}

// pinger measures round trips of one friend.
type pinger struct {
	*node
	pong chan struct{}
}

func startPinger(t testing.TB, name string) *pinger {
	p := &pinger{pong: make(chan struct{}, 1)}
	p.node = start(t, name, Config{}, "ben")
	p.onFrame = func(uint64, []byte) { p.pong <- struct{}{} }
	return p
}

// ping returns the time of one round trip of 200 bytes.
func (p *pinger) ping(s uint64) time.Duration {
	began := time.Now()
	if err := p.Send(s, [][]byte{make([]byte, 200)}); err != nil {
		p.t.Fatalf("the friend's session: %v", err)
	}
	select {
	case <-p.pong:
	case <-time.After(patience):
		p.t.Fatal("no answer to a friend's frame")
	}
	return time.Since(began)
}

func quantile(d []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

// Issue, Proof: hostile peers raise memory by at most 64 MiB and leave honest
// traffic alone; a friend can connect meanwhile.
func TestHostile(t *testing.T) {
	v := startVictim(t)
	friend := startPinger(t, "ana")
	friend.Want(idOf("ben"), v.addrs[:1])
	s := friend.session("ben")
	var calm, storm []time.Duration
	for range 2000 {
		calm = append(calm, friend.ping(s))
	}
	before := v.ask(t, "gc")

	_, attacker := startSelf(t, fmt.Sprintf("%s=%s %d", attackEnv, v.addrs[0], *hostile))
	flooded := make(chan struct{})
	sessions := 0
	go func() { fmt.Fscan(attacker, &sessions); close(flooded) }()

	second := startPinger(t, "dora")
	began := time.Now()
	second.Want(idOf("ben"), v.addrs[:1])
	second.session("ben")
	joined := time.Since(began)

	most := before
	for over := false; !over; {
		for range 50 {
			storm = append(storm, friend.ping(s))
		}
		m := v.ask(t, "mem")
		most = memory{max(most.rss, m.rss), m.peak, max(most.heap, m.heap), max(most.goroutines, m.goroutines)}
		select {
		case <-flooded:
			over = true
		default:
		}
	}
	after := v.ask(t, "gc")
	t.Logf("%d connections, %d hostile sessions in %v; a friend joined after %v", *hostile, sessions, time.Since(began).Round(time.Millisecond), joined.Round(time.Millisecond))
	t.Logf("KiB: RSS %d before, %d most, %d after; heap in use %d, %d, %d; peak RSS ever %d; goroutines %d, %d, %d",
		before.rss, most.rss, after.rss, before.heap, most.heap, after.heap, most.peak, before.goroutines, most.goroutines, after.goroutines)
	t.Logf("round trip p50 / p99: calm %v / %v, flood %v / %v (%d pings)",
		quantile(calm, .5), quantile(calm, .99), quantile(storm, .5), quantile(storm, .99), len(storm))
	if grown := max(most.rss, after.peak) - before.rss; grown > 64<<10 && !raceEnabled {
		t.Errorf("memory grew by %d KiB, want at most 64 MiB", grown)
	}
	if joined > 10*time.Second {
		t.Errorf("a friend needed %v to connect during the flood", joined)
	}
}
