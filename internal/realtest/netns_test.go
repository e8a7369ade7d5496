//go:build linux

package realtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kula/money"
	"kula/node"
)

// found is how long a node may take to be found again (issue: < 60 s).
const found = 60 * time.Second

// punched is how long two may take to get a direct connection: an attempt of up to 25 s, a pause of 40 to 60, and
// another, on a machine that is busy.
const punched = 3 * time.Minute

// inet is a small internet in network namespaces: a street (203.0.113.0/24) with routers on it, and
// machines behind those. It ends with the test.
type inet struct {
	t    testing.TB
	name string // of the street, and the beginning of all other names
	made []string
}

// newInet needs root, iproute2 and nftables. Where they are missing the test fails if
// KULA_NEED_NETNS is set (CI), and is skipped elsewhere.
func newInet(t testing.TB) *inet {
	t.Helper()
	n := &inet{t: t, name: fmt.Sprintf("kula%d", os.Getpid())}
	if err := n.possible(); err != nil {
		if os.Getenv("KULA_NEED_NETNS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() {
		for _, name := range n.made {
			_ = exec.Command("ip", "netns", "del", name).Run()
		}
	})
	n.room("")
	n.in("", "ip", "link", "add", "street", "type", "bridge")
	n.in("", "ip", "link", "set", "street", "up")
	return n
}

func (n *inet) possible() error {
	if os.Getuid() != 0 {
		return errors.New("network namespaces need root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: install iproute2 and nftables", err)
		}
	}
	if out, err := exec.Command("ip", "netns", "add", n.name+"try").CombinedOutput(); err != nil {
		return fmt.Errorf("ip netns add: %v: %s", err, out)
	}
	return exec.Command("ip", "netns", "del", n.name+"try").Run()
}

func (n *inet) full(room string) string { return n.name + room }

// room makes a namespace with loopback.
func (n *inet) room(room string) {
	n.t.Helper()
	n.sh("ip", "netns", "add", n.full(room))
	n.made = append(n.made, n.full(room))
	n.in(room, "ip", "link", "set", "lo", "up")
}

func (n *inet) sh(args ...string) {
	n.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		n.t.Fatalf("%q: %v: %s", args, err, out)
	}
}

// in runs a command in a room.
func (n *inet) in(room string, args ...string) {
	n.t.Helper()
	n.sh(append([]string{"ip", "netns", "exec", n.full(room)}, args...)...)
}

// onStreet makes a machine at 203.0.113.host.
func (n *inet) onStreet(room string, host int) {
	n.t.Helper()
	n.room(room)
	n.sh("ip", "link", "add", "wan", "netns", n.full(room), "type", "veth", "peer", "name", "to-"+room, "netns", n.full(""))
	n.in("", "ip", "link", "set", "to-"+room, "master", "street", "up")
	n.in(room, "ip", "addr", "add", fmt.Sprintf("203.0.113.%d/24", host), "dev", "wan")
	n.in(room, "ip", "link", "set", "wan", "up")
}

// behind makes a router at 203.0.113.host that masquerades, and a machine 10.host.0.2 behind it.
func (n *inet) behind(router, room string, host int) {
	n.t.Helper()
	n.onStreet(router, host)
	n.room(room)
	n.sh("ip", "link", "add", "lan", "netns", n.full(router), "type", "veth", "peer", "name", "eth", "netns", n.full(room))
	n.in(router, "ip", "addr", "add", fmt.Sprintf("10.%d.0.1/24", host), "dev", "lan")
	n.in(router, "ip", "link", "set", "lan", "up")
	n.in(room, "ip", "link", "set", "eth", "up")
	n.at(room, fmt.Sprintf("10.%d.0.2", host), fmt.Sprintf("10.%d.0.1", host))
	n.in(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	n.nft(router, "add table ip nat")
	n.nft(router, "add chain ip nat post { type nat hook postrouting priority 100 ; }")
	n.nft(router, "add rule ip nat post oifname wan masquerade")
	// Like every router of a house it drops what nobody behind it asked for. One that only masquerades would take a
	// datagram that comes before its own machine's for its own, and give that machine's another port: over a real
	// distance both leave before the other arrives, here there is none.
	n.nft(router, "add table ip guard")
	n.nft(router, "add chain ip guard own { type filter hook input priority 0 ; }")
	n.nft(router, "add rule ip guard own iifname wan ct state new drop")
	n.nft(router, "add chain ip guard pass { type filter hook prerouting priority -300 ; }")
}

// at gives a machine behind a router an address, and takes the one that it has.
func (n *inet) at(room, addr, router string) {
	n.t.Helper()
	n.in(room, "ip", "addr", "flush", "dev", "eth")
	n.in(room, "ip", "addr", "add", addr+"/24", "dev", "eth")
	n.in(room, "ip", "route", "replace", "default", "via", router)
}

func (n *inet) nft(room, command string) {
	n.t.Helper()
	n.in(room, "nft", command)
}

// noUDP keeps a router from passing datagrams to and from another machine on the street until open is called, as
// a company's firewall does: before the router takes notice of them.
func (n *inet) noUDP(router string, host int) (open func()) {
	n.t.Helper()
	for _, way := range []string{"saddr", "daddr"} {
		n.nft(router, fmt.Sprintf("add rule ip guard pass ip %s 203.0.113.%d udp sport 0-65535 drop", way, host))
	}
	return func() { n.nft(router, "flush chain ip guard pass") }
}

// fetchEnv makes the test binary fetch the URL that it holds and print what it gets.
const fetchEnv = "KULA_REAL_FETCH"

func fetch(url string) {
	client := http.Client{Timeout: patience}
	r, err := client.Get(url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	io.Copy(os.Stdout, r.Body)
	r.Body.Close()
}

// server is a running `kula … serve` or `kula up` in a room.
type server struct {
	inet       *inet
	name, room string
	home       string
	args       []string
	cmd        *exec.Cmd
	logs       bytes.Buffer
}

// serve starts the program in a room and decodes the line that it prints when it is ready.
func (n *inet) serve(room, name string, ready any, args ...string) *server {
	n.t.Helper()
	s := &server{inet: n, name: name, room: room, home: filepath.Join(n.t.TempDir(), name), args: args}
	if args[0] == "up" {
		s.must(nil, "init", "--name", name)
	}
	s.start(ready)
	n.t.Cleanup(func() {
		if s.cmd != nil {
			s.signal(syscall.SIGCONT)
			s.kill()
		}
		if n.t.Failed() {
			n.t.Logf("%s's log:\n%s", name, &s.logs)
		}
	})
	return s
}

// command runs in the room, or on this machine if there are none.
func (s *server) command(args ...string) *exec.Cmd {
	words := append([]string{program, "--home", s.home, "--json"}, args...)
	if s.inet.name != "" {
		words = append([]string{"ip", "netns", "exec", s.inet.full(s.room)}, words...)
	}
	c := exec.Command(words[0], words[1:]...)
	c.Env = cleanEnv()
	return c
}

func (s *server) start(ready any) {
	t := s.inet.t
	t.Helper()
	c := s.command(s.args...)
	c.Stderr, c.SysProcAttr = &s.logs, orphan
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	late.Stop()
	if err == nil && ready != nil {
		err = json.Unmarshal(line, ready)
	}
	if err != nil {
		_ = c.Process.Kill()
		_ = c.Wait()
		t.Fatalf("%s did not start: %v\n%s", s.name, err, &s.logs)
	}
	s.cmd = c
}

func (s *server) signal(sig syscall.Signal) {
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.inet.t.Errorf("%s: signal %v: %v", s.name, sig, err)
	}
}

func (s *server) kill() {
	s.signal(syscall.SIGKILL)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// try runs a command for s's home and decodes its object.
func (s *server) try(object any, args ...string) error {
	c := s.command(args...)
	var log bytes.Buffer
	c.Stderr = &log
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("%s: kula %q: %w\n%s%s", s.name, args, err, out, &log)
	}
	if object == nil {
		return nil
	}
	return json.Unmarshal(out, object)
}

func (s *server) must(object any, args ...string) {
	s.inet.t.Helper()
	if err := s.try(object, args...); err != nil {
		s.inet.t.Fatal(err)
	}
}

// counter reads a relay's counter.
func (s *server) counter(name string) int {
	s.inet.t.Helper()
	c := exec.Command("ip", "netns", "exec", s.inet.full(s.room), os.Args[0])
	c.Env = append(os.Environ(), fetchEnv+"=http://"+metricsAt+"/metrics")
	body, err := c.Output()
	if err != nil {
		s.inet.t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if v, ok := strings.CutPrefix(line, "kula_relay_"+name+" "); ok {
			i, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil {
				s.inet.t.Fatal(err)
			}
			return i
		}
	}
	s.inet.t.Fatalf("no counter %s in\n%s", name, body)
	return 0
}

const metricsAt = "127.0.0.1:9283"

// relayAt starts a relay on the street.
func (n *inet) relayAt(room string, host int) (s *server, flags []string) {
	n.t.Helper()
	n.onStreet(room, host)
	var ready struct{ Relay []string }
	s = n.serve(room, "relay", &ready, "relay", "serve", "--metrics", metricsAt,
		"--listen", fmt.Sprintf("203.0.113.%d:4283", host), "--pkarr", fmt.Sprintf("203.0.113.%d:4284", host))
	for _, a := range ready.Relay {
		flags = append(flags, "--relay", a)
	}
	return s, flags
}

// view is how s sees the friend that it calls name.
func (s *server) view(name string) (*node.FriendView, error) {
	v := new(node.FriendView)
	return v, s.try(v, "friend", "show", name)
}

// eventually waits for what a friend looks like, for at most limit, and returns how long that took.
func (s *server) eventually(name, what string, limit time.Duration, ok func(*node.FriendView) bool) time.Duration {
	s.inet.t.Helper()
	began := time.Now()
	for {
		v, err := s.view(name)
		switch took := time.Since(began); {
		case err == nil && ok(v):
			return took
		case took > limit:
			s.inet.t.Fatalf("%s: not within %s: %s and %s; last seen %+v, %v", s.name, limit, name, what, v, err)
		}
		pause(nil, 50*time.Millisecond)
	}
}

// friends makes two members friends by a link and waits until payments can pass.
func (n *inet) friends(a, b *server, limit money.Amount) {
	n.t.Helper()
	var i node.InvitationView
	a.must(&i, "friend", "invite", b.name, "--give", typed(limit), "--ask", typed(limit))
	b.must(nil, "friend", "accept", i.URI, "--name", a.name, "--wait", patience.String())
	for _, side := range [][2]*server{{a, b}, {b, a}} {
		side[0].eventually(side[1].name, "ready", patience, func(v *node.FriendView) bool { return v.State == node.Opened && v.Ready })
	}
}

// pay pays once, and wants it paid.
func (s *server) pay(to *server, amount money.Amount) {
	s.inet.t.Helper()
	var p node.PaymentView
	s.must(&p, "pay", to.name, typed(amount), "--yes", "--wait", found.String(), "--give-up", found.String())
	if p.State != node.Paid {
		s.inet.t.Fatalf("%s pays %s %d: %s %+v", s.name, to.name, amount, p.State, p.Reason)
	}
}

// owes is what s owes the other in the end; both must say the same.
func (s *server) owes(other *server, want money.Amount) {
	s.inet.t.Helper()
	for _, side := range []struct {
		at   *server
		of   *server
		want money.Amount
	}{{s, other, -want}, {other, s, want}} {
		side.at.eventually(side.of.name, fmt.Sprintf("balance %d", side.want), patience, func(v *node.FriendView) bool {
			return len(v.Currencies) == 1 && v.Currencies[0].Balance.Amount == side.want && v.Currencies[0].LockedByMe.Amount+v.Currencies[0].LockedByThem.Amount == 0
		})
	}
}

// Two nodes behind routers become friends and pay through a relay (N-1, N-2); the relay is killed in the middle
// of a payment and started again (N-3); then the routers let datagrams pass, the two get through to each other, and
// the relay's counter stops while payments go on (N-5); one gets another address and is found again (N-7).
func TestBehindRouters(t *testing.T) {
	n := newInet(t)
	relay, flags := n.relayAt("s", 2)
	n.behind("ra", "a", 10)
	n.behind("rb", "b", 20)
	open := n.noUDP("ra", 20)
	ana := n.serve("a", "ana", nil, append([]string{"up", "--verbose"}, flags...)...)
	ben := n.serve("b", "ben", nil, append([]string{"up", "--verbose"}, flags...)...)
	n.friends(ana, ben, 1_000_000)

	before := relay.counter("bytes_total")
	for range 10 {
		ana.pay(ben, 7)
	}
	if after := relay.counter("bytes_total"); after < before+10*500 {
		t.Fatalf("the relay passed %d bytes on in 10 payments", after-before)
	}
	t.Logf("10 payments through the relay: %d bytes", relay.counter("bytes_total")-before)

	ben.signal(syscall.SIGSTOP) // so that the payment is under way when the relay dies
	paid := make(chan error, 1)
	go func() {
		var p node.PaymentView
		err := ana.try(&p, "pay", "ben", typed(3), "--yes", "--wait", found.String(), "--give-up", found.String())
		if err == nil && p.State != node.Paid {
			err = fmt.Errorf("%s: %+v", p.State, p.Reason)
		}
		paid <- err
	}()
	ana.eventually("ben", "a lock", patience, func(v *node.FriendView) bool { return len(v.Currencies) == 1 && v.Currencies[0].LockedByMe.Amount == 3 })
	relay.kill()
	ben.signal(syscall.SIGCONT)
	relay.start(nil)
	began := time.Now()
	if err := <-paid; err != nil {
		t.Fatal(err)
	}
	t.Logf("paid %s after the relay was started again", time.Since(began).Round(time.Millisecond))
	ana.owes(ben, 73)
	if relay.counter("circuits") == 0 {
		t.Fatal("nothing goes through the relay, although the routers pass no datagrams")
	}

	open()
	began = time.Now()
	for relay.counter("circuits") > 0 {
		if time.Since(began) > punched {
			t.Fatalf("no direct connection within %s", punched)
		}
		pause(nil, 50*time.Millisecond)
	}
	t.Logf("direct %s after the routers were opened", time.Since(began).Round(time.Millisecond))
	before = relay.counter("bytes_total")
	for range 10 {
		ana.pay(ben, 5)
		ben.pay(ana, 4)
	}
	if after := relay.counter("bytes_total"); after != before {
		t.Errorf("the relay passed %d bytes on beside the direct connection", after-before)
	}
	ana.owes(ben, 83)

	n.at("a", "10.10.0.77", "10.10.0.1")
	began = time.Now()
	ben.pay(ana, 1) // which waits until ana is found
	t.Logf("paid %s after the address changed", time.Since(began).Round(time.Millisecond))
	if took := time.Since(began); took > found {
		t.Errorf("found again after %s", took)
	}
	ana.owes(ben, 82)
}

// A node gets another address while its friend, whom nobody can dial, has no way to hear of it but the key: it is
// found under that at a Pkarr relay (N-10 to N-12), and a payment under way ends well.
func TestFoundByKey(t *testing.T) {
	n := newInet(t)
	n.relayAt("s", 2)
	n.onStreet("a", 30)
	n.behind("rb", "b", 20)
	place := []string{"up", "--verbose", "--find", "http://203.0.113.2:4284"}
	ana, ben := n.serve("a", "ana", nil, place...), n.serve("b", "ben", nil, place...)
	n.friends(ana, ben, 1_000_000)
	ben.pay(ana, 5)

	n.in("a", "ip", "addr", "add", "203.0.113.31/24", "dev", "wan")
	n.in("a", "ip", "addr", "del", "203.0.113.30/24", "dev", "wan")
	n.in("a", "ip", "addr", "replace", "203.0.113.31/24", "dev", "wan") // which may have gone with the first one
	began := time.Now()
	ben.pay(ana, 2)
	took := time.Since(began)
	t.Logf("paid %s after the address changed", took.Round(time.Millisecond))
	if took > found {
		t.Errorf("found again after %s, want at most %s", took, found)
	}
	ben.owes(ana, 7)
}

// Two nodes behind routers become friends by nothing but a key (N-20, N-21), and pay.
func TestFriendsByKey(t *testing.T) {
	n := newInet(t)
	_, flags := n.relayAt("s", 2)
	n.behind("ra", "a", 10)
	n.behind("rb", "b", 20)
	up := append([]string{"up", "--verbose", "--find", "http://203.0.113.2:4284"}, flags...)
	ana, ben := n.serve("a", "ana", nil, up...), n.serve("b", "ben", nil, up...)
	var a, b struct{ Key string }
	ana.must(&a, "id")
	ben.must(&b, "id")
	ana.must(nil, "friend", "add", b.Key, "--name", "ben", "--give", typed(100), "--ask", typed(100))
	var list struct{ Requests []node.RequestView }
	for began := time.Now(); len(list.Requests) == 0; pause(nil, 50*time.Millisecond) {
		ben.must(&list, "friend", "list")
		if time.Since(began) > found {
			t.Fatalf("ben does not see who asks within %s", found)
		}
	}
	if r := list.Requests[0]; r.Mine || r.Name != "ana" || r.Key.String() != a.Key || len(r.Lines) != 1 || r.Lines[0].Give.Amount != 100 {
		t.Fatalf("ben sees %+v", r)
	}
	ben.must(nil, "friend", "accept", a.Key, "--wait", found.String())
	ana.eventually("ben", "ready", found, func(v *node.FriendView) bool { return v.State == node.Opened && v.Ready })
	ana.pay(ben, 9)
	ben.owes(ana, -9)
}

// Two nodes in one house, without a server of any kind, find each other by their keys (N-14). Nothing passes the
// router.
func TestLocalNetwork(t *testing.T) {
	n := newInet(t)
	n.onStreet("a", 30)
	n.onStreet("b", 31)
	for _, room := range []string{"a", "b"} { // what a real machine has from its router
		n.in(room, "ip", "route", "add", "default", "via", "203.0.113.1")
	}
	ana := n.serve("a", "ana", nil, "up", "--verbose", "--find", "lan")
	ben := n.serve("b", "ben", nil, "up", "--verbose", "--find", "lan")
	var b struct{ Key string }
	ben.must(&b, "id")
	ana.must(nil, "friend", "add", b.Key, "--give", typed(1), "--ask", typed(1))
	var list struct{ Requests []node.RequestView }
	for began := time.Now(); len(list.Requests) == 0; pause(nil, 50*time.Millisecond) {
		ben.must(&list, "friend", "list")
		if time.Since(began) > found {
			t.Fatalf("ben was not found within %s", found)
		}
	}
}
