//go:build linux

package realtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// shown is what `kula proof verify` and `show` print.
type shown struct {
	Valid          bool
	Kind, Fault    string
	Writer, Reader ident.ID
	Net            money.Value
}

// Design §3 and §10: who was lied to can hand the evidence to a stranger while its node runs,
// and go on afterwards on agreed figures; the evidence stays.
func TestLiarProof(t *testing.T) {
	h := begin(t, "hana")
	l := newLiar(t)
	x := befriendLiar(t, h, l, 100)
	push := l.newClaim(wire.Signed{}, 5, h)
	number := l.lock(x, push)
	l.until("the push has arrived", func() (string, bool) { return "", x.arrived[number] })
	l.order(x, h, push, number)
	l.paid(x, number)
	name := "liar-" + l.host.ID().Short()

	file := filepath.Join(t.TempDir(), "fault")
	if code, out, _ := run(t, h.home, "--json", "proof", "export", name, "--fault", "--out", file); code != 1 || !strings.Contains(out, `"code":"not_found"`) {
		t.Fatalf("before there was a fault: exit %d, %s", code, out)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("a file was written all the same")
	}

	l.online(x)
	l.do(func() {
		faults[0].lie(l, x, 0)
		x.mute = true // until it agrees to the figures
	})
	l.sees(h, "frozen", func(f *node.FriendView) bool { return f.State == node.Frozen })
	told := 0
	l.do(func() { // more of the same adds nothing: a liar must not fill the disk
		told = len(x.refused)
		for i := range 3 {
			p := x.ch.Mine.Promise
			p.Time += int64(i) + 2
			l.send(x, &wire.Update{Promise: wire.Sign(l.key, wire.TagPromise, &p), Base: x.ch.Acked()})
		}
	})
	l.until("each lie is answered", func() (string, bool) { return fmt.Sprint(x.refused), len(x.refused) >= told+3 })
	if p, err := h.api().Proofs(context.Background(), name); err != nil {
		t.Error(err)
	} else if len(p.Faults) != 1 {
		t.Errorf("%d pieces of evidence after four lies", len(p.Faults))
	}
	must(t, h.home, nil, "proof", "export", name, "--fault", "--out", file)
	nobody := filepath.Join(t.TempDir(), "nobody") // whoever checks needs no identity
	var v shown
	must(t, nobody, &v, "proof", "verify", file)
	if !v.Valid || v.Kind != "fault" || v.Writer != l.host.ID() || v.Reader != h.key {
		t.Errorf("verified: %+v", v)
	}
	if code, page, log := run(t, nobody, "proof", "show", file); code != 0 || !strings.Contains(page, l.host.ID().String()) || !strings.Contains(page, v.Fault) {
		t.Errorf("shown: exit %d\n%s%s", code, page, log)
	}
	alter(t, file)
	if code, out, _ := run(t, nobody, "--json", "proof", "verify", file); code != 1 || !strings.Contains(out, `"valid":false`) {
		t.Errorf("altered: exit %d, %s", code, out)
	}

	if _, page, _ := run(t, h.home, "friend", "show", name); !strings.Contains(page, "kula friend agree "+name) || !strings.Contains(page, "kula proof export "+name+" --fault") {
		t.Errorf("what to do is not said:\n%s", page)
	}
	must(t, h.home, nil, "friend", "agree", name)
	l.agree(h)
	l.sees(h, "thawed", func(f *node.FriendView) bool {
		return f.State == node.Opened && f.Fault == "" && lineOf(f, currency).Balance.Amount == 5
	})
	push = l.newClaim(wire.Signed{}, 3, h)
	number = l.lock(x, push)
	l.until("the push has arrived", func() (string, bool) { return "", x.arrived[number] })
	l.order(x, h, push, number)
	l.paid(x, number)
	l.owes(h, 8)
	var link struct{ Proof string }
	must(t, h.home, &link, "proof", "export", name, "--fault")
	must(t, nobody, &v, "proof", "verify", link.Proof)
	if !v.Valid || v.Kind != "fault" {
		t.Errorf("after the thaw: %+v", v)
	}
	must(t, h.home, &link, "proof", "export", name)
	must(t, nobody, &v, "proof", "verify", link.Proof)
	if !v.Valid || v.Kind != "debt" || v.Net != fst(8) {
		t.Errorf("the debt: %+v", v)
	}
	if b, err := h.api().VerifyBook(context.Background()); err != nil || !b.Valid {
		t.Errorf("the book: %+v, %v", b, err)
	}
}

// alter changes one letter in the middle of a file.
func alter(t testing.TB, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &data[len(data)/2]
	if *c == 'A' {
		*c = 'B'
	} else {
		*c = 'A'
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
