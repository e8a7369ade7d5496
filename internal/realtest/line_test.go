//go:build linux

package realtest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"kula/ident"
	"kula/internal/leaktest"
	"kula/node"
)

// sniffEnv makes the test binary print every packet that comes or goes, until its input ends.
const sniffEnv = "KULA_REAL_SNIFF"

func sniff() {
	const all = 0x0300 // ETH_P_ALL in network byte order
	s, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, all)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	fmt.Println("listening")
	for b := make([]byte, 1<<17); ; {
		n, _, err := syscall.Recvfrom(s, b, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Stdout.Write(b[:n])
	}
}

// earshot is what passed the sockets of a room.
type earshot struct {
	mu   sync.Mutex
	seen bytes.Buffer
	end  func()
}

func (l *earshot) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen.Write(b)
}

func (l *earshot) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.seen.Bytes(), []byte(text))
}

// listenIn keeps what passes a room's network from now on.
func (n *inet) listenIn(room string) *earshot {
	n.t.Helper()
	l := &earshot{}
	c := exec.Command("ip", "netns", "exec", n.full(room), os.Args[0])
	c.Env = append(os.Environ(), sniffEnv+"=1")
	c.Stdout, c.Stderr, c.SysProcAttr = l, os.Stderr, orphan
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		n.t.Fatal(err)
	}
	l.end = sync.OnceFunc(func() {
		in.Close()
		if err := c.Wait(); err != nil {
			n.t.Errorf("the sniffer: %v", err)
		}
	})
	n.t.Cleanup(l.end)
	for began := 0; !l.has("listening"); began++ {
		if began > 3000 {
			n.t.Fatal("the sniffer does not listen")
		}
		pause(nil, patience/3000)
	}
	return l
}

// A relay between two nodes that nobody can dial: neither what passes its network, nor its disk, log and counters have
// names, texts, invoices or preimages of them; nor, of what they say to it and each other, a key. On its disk is its own key and nothing else.
func TestRelayLearns(t *testing.T) {
	n := newInet(t)
	relay, flags := n.relayAt("s", 2)
	n.behind("ra", "a", 10)
	n.behind("rb", "b", 20)
	n.noUDP("ra", 20) // so that they stay with the relay
	on := n.listenIn("s")
	ana := n.serve("a", "anastasia almond", nil, append([]string{"up"}, flags...)...)
	ben := n.serve("b", "benedikta birch", nil, append([]string{"up"}, flags...)...)
	n.friends(ana, ben, 1_000_000)
	secrets := []leaktest.Secret{leaktest.Text("a name", ana.name), leaktest.Text("a name", ben.name)}
	for _, s := range []*server{ana, ben} {
		var id struct{ Key ident.ID }
		s.must(&id, "id")
		secrets = append(secrets, leaktest.Key(s.name, id.Key))
	}
	for _, hold := range []bool{false, true} {
		ask := []string{"ask", typed(123_457), "--memo", "bricks and mortar"}
		if hold {
			ask = append(ask, "--hold")
		}
		var i node.InvoiceView
		ben.must(&i, ask...)
		var p node.PaymentView
		ana.must(&p, "pay", i.URI, "--text", "for the leaking roof", "--yes", "--wait", found.String())
		if hold {
			ana.must(&p, "payment", "release", p.ID)
			ana.must(&p, "payment", "wait", p.ID, "--wait", found.String())
			secrets = append(secrets, preimagesOf(t, &p)...)
		}
		if p.State != node.Paid {
			t.Fatalf("hold %v: %+v %+v", hold, p, p.Reason)
		}
		secrets = append(secrets, secretsOf(t, fmt.Sprintf("invoice, hold %v", hold), "for the leaking roof", &p)...)
	}
	if passed := relay.counter("bytes_total"); passed < 5000 { // its answer passes the room's loopback in clear
		t.Errorf("the relay passed %d bytes on", passed)
	}
	relay.signal(syscall.SIGTERM)
	if err := relay.cmd.Wait(); err != nil {
		t.Error(err)
	}
	relay.cmd = nil
	on.end()

	has := leaktest.Haystack{"the line": on.seen.Bytes(), "the log": relay.logs.Bytes()}
	var files []string
	err := filepath.WalkDir(relay.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files = append(files, filepath.Base(path))
		has[path], err = os.ReadFile(path)
		return err
	})
	if err != nil || !slices.Equal(files, []string{"relay-key"}) {
		t.Errorf("on the relay's disk: %q, %v", files, err)
	}
	for _, leak := range has.Leaks(secrets...) {
		t.Errorf("at the relay: %s", leak)
	}
	if !on.has("kula_relay_bytes_total") {
		t.Error("the counters, which were read in clear, are not among what was heard: the search proves nothing")
	}
	if strings.Contains(relay.logs.String(), "panic") {
		t.Error(relay.logs.String())
	}
}
