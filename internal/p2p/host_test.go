package p2p

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestFramesBothWays(t *testing.T) {
	for _, listen := range []string{tcp4, quic4} {
		t.Run(strings.Split(listen, "/")[3], func(t *testing.T) {
			a, b, sa, sb := pair(t, listen)
			big := bytes.Repeat([]byte("0123456789abcdef"), MaxFrame/16)
			out := [][]byte{[]byte("a"), big, bytes.Repeat([]byte("m"), chunk), bytes.Repeat([]byte("n"), chunk+1), []byte("z")}
			if err := a.Send(sa, out); err != nil {
				t.Fatal(err)
			}
			if err := b.Send(sb, out); err != nil {
				t.Fatal(err)
			}
			for _, in := range [][][]byte{b.frames("ana", len(out)), a.frames("ben", len(out))} {
				for i := range out {
					if !bytes.Equal(in[i], out[i]) {
						t.Fatalf("frame %d: %d bytes arrived, %d sent, or they differ", i, len(in[i]), len(out[i]))
					}
				}
			}
			if st := a.Status(b.ID()); st.Session != sa || !st.Wanted || st.Err != nil || !strings.Contains(listen, strings.Split(st.Addr, "/")[3]) {
				t.Fatalf("status %+v", st)
			}
		})
	}
}

func TestManySmallFramesInOrder(t *testing.T) {
	a, b, sa, _ := pair(t, tcp4)
	const n = 20000
	for i := 0; i < n; i += 100 {
		var batch [][]byte
		for j := range 100 {
			batch = append(batch, fmt.Appendf(nil, "%d%s", i+j, strings.Repeat(".", (i+j)%311)))
		}
		if err := a.Send(sa, batch); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range b.frames("ana", n) {
		if want := fmt.Sprintf("%d%s", i, strings.Repeat(".", i%311)); string(f) != want {
			t.Fatalf("frame %d is %q, want %q", i, f, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{}, nil); err == nil {
		t.Fatal("a host without a key")
	}
	for _, listen := range []string{"nonsense", "/ip4/127.0.0.1", "/ip4/192.0.2.1/tcp/1"} {
		if h, err := New(Config{Seed: seed("x"), Listen: []string{tcp4, listen}}, nil); err == nil {
			h.Close()
			t.Errorf("listening on %s", listen)
		} else if !strings.Contains(err.Error(), listen) {
			t.Errorf("error %q does not name %s", err, listen)
		}
	}
}

// Package comment, Sessions: both dial at once, one survives, both agree.
func TestBothDialAtOnce(t *testing.T) {
	flaps := 0
	for round := range 20 {
		a := start(t, "ana", Config{Listen: []string{tcp4}}, "ben")
		b := start(t, "ben", Config{Listen: []string{tcp4}}, "ana")
		go a.Want(b.ID(), b.Addrs())
		b.Want(a.ID(), a.Addrs())
		a.session("ben")
		b.session("ana")
		// The survivor is the one on which a frame of each side reaches the other.
		send := func(from *node, to string) {
			s := from.session(to)
			from.Send(s, [][]byte{fmt.Appendf(nil, "round %d", round)})
		}
		for len(func() [][]byte { b.mu.Lock(); defer b.mu.Unlock(); return b.got[a.ID()] }()) == 0 {
			send(a, "ben")
			b.wait("frame or change", func() bool { return len(b.got[a.ID()]) > 0 || b.ups > 1 || b.live[a.ID()] == 0 })
		}
		send(b, "ana")
		a.frames("ben", 1)
		a.mu.Lock()
		flaps += a.ups - 1
		a.mu.Unlock()
		a.Close()
		b.Close()
	}
	if flaps > 0 {
		t.Errorf("%d sessions were replaced in 20 rounds, want 0: rules 1 and 2", flaps)
	}
}

// Package comment, Sessions, rule 3: a restarted friend gets in at once.
func TestNewerReplacesOlder(t *testing.T) {
	for _, names := range [][2]string{{"ana", "ben"}, {"ben", "ana"}} { // each side is the chooser once
		t.Run(names[0], func(t *testing.T) {
			a := start(t, names[0], Config{Listen: []string{tcp4}}, names[1])
			b1 := start(t, names[1], Config{}, names[0])
			b1.Want(a.ID(), a.Addrs())
			s1 := a.session(names[1])
			first := b1.session(names[0])
			b1.Unwant(a.ID())
			b2 := start(t, names[1], Config{}, names[0])
			b2.Want(a.ID(), a.Addrs())
			wantError(t, a.ended(s1), ErrReplaced)
			wantRemote(t, b1.ended(first), uint32(codeReplaced))
			s2 := a.session(names[1])
			if s2 <= s1 {
				t.Fatalf("session %d after %d", s2, s1)
			}
			b2.Send(b2.session(names[0]), [][]byte{[]byte("again")})
			a.frames(names[1], 1)
		})
	}
}

func TestReconnectAfterRestart(t *testing.T) {
	a, b, sa, _ := pair(t, tcp4)
	port := b.Addrs()[0][:strings.Index(b.Addrs()[0], "/p2p/")]
	b.Send(b.session("ana"), [][]byte{[]byte("x")})
	a.frames("ben", 1)
	b.Close()
	a.ended(sa)
	b = start(t, "ben", Config{Listen: []string{port}}, "ana")
	began := time.Now()
	a.session("ben")
	b.session("ana")
	t.Logf("session again after %v", time.Since(began))
}

func TestBlockedIsRefused(t *testing.T) {
	a := start(t, "ana", Config{}, "ben")
	b := start(t, "ben", Config{Listen: []string{tcp4}})
	b.class[a.ID()] = Blocked
	a.Want(b.ID(), b.Addrs())
	a.wait("failed dials", func() bool {
		defer time.AfterFunc(50*time.Millisecond, a.cond.Broadcast)
		st := a.Status(b.ID())
		return st.Failed >= 2 && st.Err != nil && !st.Next.IsZero()
	})
	if a.newest("ben")+b.newest("ana") != 0 {
		t.Fatal("a session came up with a blocked identity")
	}
	b.setClass(a.ID(), Friend)
	a.Kick(b.ID())
	a.session("ben")
	s := b.session("ana")
	b.setClass(a.ID(), Blocked)
	wantError(t, b.ended(s), ErrBlocked)
}

func TestDialErrorsAreReadable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)
	l.Close()
	a := start(t, "ana", Config{}, "ben")
	c := start(t, "cleo", Config{Listen: []string{tcp4}})
	other := c.Addrs()[0][:strings.Index(c.Addrs()[0], "/p2p/")]
	a.Want(idOf("ben"), []string{dead, other})
	a.wait("failed round", func() bool {
		defer time.AfterFunc(20*time.Millisecond, a.cond.Broadcast)
		return a.Status(idOf("ben")).Failed > 0
	})
	msg := a.Status(idOf("ben")).Err.Error()
	for _, want := range []string{dead, "connection refused", other, "peer id mismatch"} {
		if !strings.Contains(msg, want) {
			t.Errorf("dial error %q does not contain %q", msg, want)
		}
	}
	if strings.Contains(msg, "\n") {
		t.Errorf("dial error has several lines: %q", msg)
	}
	if err := a.Want(idOf("ben"), []string{"rubbish", c.Addrs()[0], "/p2p/" + idOf("ben").Peer()}); err == nil ||
		!strings.Contains(err.Error(), "rubbish") || !strings.Contains(err.Error(), "belongs to") || !strings.Contains(err.Error(), "not where") {
		t.Errorf("bad addresses: %v", err)
	}
	if err := a.Want(a.ID(), nil); err == nil {
		t.Error("a host wants itself")
	}
	// A new address is dialled at once, whatever the pause.
	b := start(t, "ben", Config{Listen: []string{dead}}, "ana")
	a.Want(b.ID(), []string{dead})
	a.session("ben")
}

// Sending never blocks, and a peer that does not read loses the session.
func TestOverflow(t *testing.T) {
	a := start(t, "ana", Config{Queue: 1 << 20}, "ben")
	b := start(t, "ben", Config{Listen: []string{tcp4}}, "ana")
	release := make(chan struct{})
	b.onFrame = func(uint64, []byte) { <-release }
	a.Want(b.ID(), b.Addrs())
	s := a.session("ben")
	b.session("ana")
	a.Unwant(b.ID())
	frame := make([]byte, 100<<10)
	var longest time.Duration
	var err error
	for sent := 0; err == nil; sent += len(frame) {
		if sent > 64<<20 {
			t.Fatal("64 MiB were queued for a peer that does not read")
		}
		began := time.Now()
		err = a.Send(s, [][]byte{frame})
		longest = max(longest, time.Since(began))
	}
	wantError(t, err, ErrOverflow)
	wantError(t, a.ended(s), ErrOverflow)
	if longest > time.Second {
		t.Errorf("Send took %v", longest)
	}
	close(release)
	wantRemote(t, b.ended(b.newest("ana")), uint32(codeSlow))
	wantError(t, a.Send(s, [][]byte{frame}), ErrUnknown)
	if err := a.Send(s, [][]byte{{}}); err == nil {
		t.Error("an empty frame was taken")
	}
}

// newest returns the newest session with the named one, live or not.
func (n *node) newest(name string) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	var newest uint64
	for s, id := range n.who {
		if id == idOf(name) {
			newest = max(newest, s)
		}
	}
	return newest
}

func TestDrop(t *testing.T) {
	a, b, sa, sb := pair(t, tcp4)
	a.Unwant(b.ID())
	reason := errors.New("it lied")
	b.Drop(sb, reason)
	wantError(t, b.ended(sb), reason)
	wantRemote(t, a.ended(sa), uint32(codeDropped))
}

// Part: what was queued before arrives, what is sent after is refused, and the reason is the caller's.
func TestPart(t *testing.T) {
	for _, addr := range []string{tcp4, quic4} {
		a, b, sa, sb := pair(t, addr)
		a.Unwant(b.ID())
		const count = 64
		var frames [][]byte
		for i := range count {
			frames = append(frames, bytes.Repeat([]byte{byte(i)}, 16<<10))
		}
		if err := b.Send(sb, frames); err != nil {
			t.Fatal(err)
		}
		reason := errors.New("goodbye")
		began := time.Now()
		b.Part(sb, reason)
		b.Part(sb, errors.New("goodbye again"))
		wantError(t, b.Send(sb, [][]byte{{1}}), reason)
		wantError(t, b.ended(sb), reason)
		if took := time.Since(began); took >= PartTimeout {
			t.Errorf("%s: the other side read everything, and it took %v", addr, took)
		}
		wantError(t, a.ended(sa), ErrGone)
		a.mu.Lock()
		got := a.got[b.ID()]
		a.mu.Unlock()
		if len(got) != count || !bytes.Equal(got[count-1], frames[count-1]) {
			t.Errorf("%s: %d frames of %d arrived", addr, len(got), count)
		}
	}
}

// A peer that reads nothing does not keep a parting session alive.
func TestPartIsBounded(t *testing.T) {
	a, b, _, sb := pair(t, tcp4)
	a.Unwant(b.ID())
	release := make(chan struct{})
	a.onFrame = func(uint64, []byte) { <-release }
	var frames [][]byte
	for range 16 {
		frames = append(frames, make([]byte, 1<<20)) // more than a stream's window holds
	}
	if err := b.Send(sb, frames); err != nil {
		t.Fatal(err)
	}
	reason := errors.New("goodbye")
	began := time.Now()
	b.Part(sb, reason)
	wantError(t, b.ended(sb), reason)
	if took := time.Since(began); took > 5*PartTimeout {
		t.Errorf("it took %v", took)
	}
	close(release)
}

// Package comment, Sessions, rule 4: the side that does not dial forgets its count of choices
// between two sessions; whoever of the two chooses, the next session comes up all the same.
func TestComesBackToOneWhoDoesNotDial(t *testing.T) {
	for _, names := range [][2]string{{"ana", "ben"}, {"ben", "ana"}} {
		dials := start(t, names[0], Config{}, names[1])
		waits := start(t, names[1], Config{Listen: []string{tcp4}}, names[0])
		dials.Want(waits.ID(), waits.Addrs())
		for range 2 {
			s := waits.session(names[0])
			waits.Drop(s, errors.New("once more"))
			waits.ended(s)
		}
		waits.session(names[0])
		dials.Close()
		waits.Close()
	}
}
