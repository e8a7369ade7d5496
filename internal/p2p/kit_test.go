package p2p

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kula/ident"
)

const (
	tcp4  = "/ip4/127.0.0.1/tcp/0"
	quic4 = "/ip4/127.0.0.1/udp/0/quic-v1"
)

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		victim()
		return
	}
	if job := os.Getenv(attackEnv); job != "" {
		attack(job)
		return
	}
	goleak.VerifyTestMain(m)
}

func seed(name string) [32]byte { return sha256.Sum256([]byte(name)) }

func idOf(name string) ident.ID {
	_, _, id, err := privateKey(seed(name))
	if err != nil {
		panic(err)
	}
	return id
}

// node is a host under test with a record of its events.
type node struct {
	*Host
	t    testing.TB
	mu   sync.Mutex
	cond *sync.Cond
	all  []string // events in order, for messages
	live map[ident.ID]uint64
	who  map[uint64]ident.ID
	ups  int
	down map[uint64]error
	got  map[ident.ID][][]byte
	// onFrame is called for each frame if set, before it is recorded.
	onFrame func(session uint64, frame []byte)
	class   map[ident.ID]Class
}

// start makes a host that counts the named ones as friends.
func start(t testing.TB, name string, cfg Config, friends ...string) *node {
	t.Helper()
	n := &node{t: t, live: map[ident.ID]uint64{}, who: map[uint64]ident.ID{}, down: map[uint64]error{}, got: map[ident.ID][][]byte{}, class: map[ident.ID]Class{}}
	n.cond = sync.NewCond(&n.mu)
	for _, f := range friends {
		n.class[idOf(f)] = Friend
	}
	cfg.Seed = seed(name)
	cfg.Classify = n.classify
	h, err := New(cfg, n)
	if err != nil {
		t.Fatal(err)
	}
	n.Host = h
	t.Cleanup(func() { h.Close() })
	return n
}

func (n *node) classify(id ident.ID) Class {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.class[id]
}

func (n *node) setClass(id ident.ID, c Class) {
	n.mu.Lock()
	n.class[id] = c
	n.mu.Unlock()
	n.Reclassify(id)
}

func (n *node) SessionUp(id ident.ID, s uint64, c Class) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if old := n.live[id]; old != 0 {
		n.t.Errorf("session %d up while %d with the same identity is live", s, old)
	}
	n.all = append(n.all, fmt.Sprintf("up %d %s %s", s, id.Short(), c))
	n.live[id], n.who[s] = s, id
	n.ups++
	n.cond.Broadcast()
}

func (n *node) Frame(s uint64, f []byte) {
	if n.onFrame != nil {
		n.onFrame(s, f)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.live[n.who[s]] != s {
		n.t.Errorf("frame on session %d, which is not live", s)
	}
	n.got[n.who[s]] = append(n.got[n.who[s]], f)
	n.cond.Broadcast()
}

func (n *node) SessionDown(s uint64, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.live[n.who[s]] != s {
		n.t.Errorf("session %d down, which is not live", s)
	}
	if err == nil {
		n.t.Errorf("session %d down without a reason", s)
	}
	n.all = append(n.all, fmt.Sprintf("down %d: %v", s, err))
	delete(n.live, n.who[s])
	n.down[s] = err
	n.cond.Broadcast()
}

// wait waits until ok, which is called with the lock held.
func (n *node) wait(what string, ok func() bool) {
	n.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		n.mu.Lock()
		late = true
		n.mu.Unlock()
		n.cond.Broadcast()
	})
	defer timer.Stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	for !ok() {
		if late {
			n.t.Fatalf("%s: not within %v; events: %q", what, patience, n.all)
		}
		n.cond.Wait()
	}
}

// session waits for a live session with the named one.
func (n *node) session(name string) uint64 {
	n.t.Helper()
	id := idOf(name)
	var s uint64
	n.wait("session with "+name, func() bool { s = n.live[id]; return s != 0 })
	return s
}

// ended waits for the end of a session and returns why it ended.
func (n *node) ended(s uint64) error {
	n.t.Helper()
	var err error
	n.wait(fmt.Sprintf("end of session %d", s), func() bool { err = n.down[s]; return err != nil })
	return err
}

// frames waits for count frames from the named one.
func (n *node) frames(name string, count int) [][]byte {
	n.t.Helper()
	id := idOf(name)
	n.wait(fmt.Sprintf("%d frames from %s", count, name), func() bool { return len(n.got[id]) >= count })
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.got[id]
}

// pair starts two friends on the given listen address and connects them.
func pair(t testing.TB, listen string) (a, b *node, sa, sb uint64) {
	t.Helper()
	a = start(t, "ana", Config{}, "ben")
	b = start(t, "ben", Config{Listen: []string{listen}}, "ana")
	if err := a.Want(b.ID(), b.Addrs()); err != nil {
		t.Fatal(err)
	}
	return a, b, a.session("ben"), b.session("ana")
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %q, want %q", err, want)
	}
}

func wantRemote(t testing.TB, err error, code uint32) {
	t.Helper()
	var re *RemoteError
	if !errors.As(err, &re) || re.Code != code {
		t.Fatalf("error %q, want close code 0x%x", err, code)
	}
}
