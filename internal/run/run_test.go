package run

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/p2p"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// TestPayOverTwoChannels is scenario 3 through real loops, connections and stores.
func TestPayOverTwoChannels(t *testing.T) {
	ana, ben, cleo := start(t, "ana", 1), start(t, "ben", 2), start(t, "cleo", 3)
	befriend(ana, ben)
	befriend(ben, cleo)
	if p := ana.pay(cleo.invoice(12_50), 0, "ben", cleo.ID().String()); p.State != node.Paid {
		t.Fatalf("%s: %+v", p.State, p.Reason)
	}
	for _, side := range []struct {
		who    *person
		friend string
		want   money.Amount
	}{{ana, "ben", -12_50}, {ben, "ana", 12_50}, {ben, "cleo", -12_50}, {cleo, "ben", 12_50}} {
		side.who.until("the debt", func(n *node.Node) bool {
			f, _ := n.Friend(side.friend)
			return f.Currencies[0].Balance.Amount == side.want
		})
	}
	if s := ana.Stats(); s.Paid != 1 || s.Commits == 0 || s.FramesIn == 0 || s.FramesOut == 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestRestartGoesOn: what was saved is what there is, and friends find each other again.
func TestRestartGoesOn(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben)
	if p := ana.pay(ben.invoice(5_00), 0); p.State != node.Paid {
		t.Fatalf("%s: %+v", p.State, p.Reason)
	}
	if err := ana.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ana.Do(ana.ctx(), &node.Configure{}); !errors.Is(err, ErrStopped) {
		t.Errorf("a command after Close: %v", err)
	}
	ana.restart()
	ana.ready("ben")
	ben.ready("ana")
	if b := ana.balance("ben"); b != -5_00 {
		t.Errorf("balance %d", b)
	}
	if p := ana.pay(ben.invoice(1_00), 0); p.State != node.Paid {
		t.Fatalf("%s: %+v", p.State, p.Reason)
	}
}

// TestNothingIsSentThatIsNotSaved: a failed commit ends the loop before anything leaves (design §9.1).
func TestNothingIsSentThatIsNotSaved(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben)
	invoice := ben.invoice(5_00)
	watch, err := ana.Watch(ana.ctx(), Topic{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	close(ana.store.broken)
	before := ana.Stats().FramesOut
	_, err = ana.Exec(ana.ctx(), Request{Command: &node.Pay{Invoice: invoice, GiveUp: 10_000}, Wait: patience})
	if !errors.Is(err, ErrStopped) || !errors.Is(err, errDisk) {
		t.Errorf("the payment: %v", err)
	}
	<-ana.Done()
	if err := ana.Err(); !errors.Is(err, errDisk) {
		t.Errorf("the loop ended with %v", err)
	}
	if after := ana.Stats().FramesOut; after != before {
		t.Errorf("%d frames left after the commit failed", after-before)
	}
	for range watch.C { // closed by the end, with no notice of what was not saved
		t.Error("something was told")
	}
	if err := ana.Close(); !errors.Is(err, errDisk) {
		t.Errorf("Close: %v", err)
	}
	ana.store.broken = make(chan struct{})
	ana.restart()
	ana.ready("ben")
	if p := ana.pay(invoice, 0); p.State != node.Paid {
		t.Fatalf("%s: %+v", p.State, p.Reason)
	}
}

// liar is a host that says what it wants.
type liar struct {
	*p2p.Host
	up   chan uint64
	down chan error
}

func (l *liar) SessionUp(_ ident.ID, session uint64, _ p2p.Class) { l.up <- session }
func (l *liar) SessionDown(_ uint64, err error)                   { l.down <- err }
func (l *liar) Frame(uint64, []byte)                              {}

// TestGarbageEndsItsSessionOnly: a frame that is no message costs its sender the session.
func TestGarbageEndsItsSessionOnly(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben)
	l := &liar{up: make(chan uint64, 8), down: make(chan error, 8)}
	var err error
	key := ident.NewKey([32]byte{9})
	l.Host, err = p2p.New(p2p.Config{Seed: key.IdentitySeed(), Classify: func(ident.ID) p2p.Class { return p2p.Friend }}, l)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Want(ana.ID(), ana.Addrs()); err != nil {
		t.Fatal(err)
	}
	session := <-l.up
	l.Unwant(ana.ID())
	if err := l.Send(session, [][]byte{{0xff, 1, 2, 3}}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.down:
	case <-time.After(patience):
		t.Fatal("the session went on")
	}
	if n := ana.Stats().BadFrames; n != 1 {
		t.Errorf("%d bad frames counted", n)
	}
	if p := ana.pay(ben.invoice(1_00), 0); p.State != node.Paid {
		t.Fatalf("an honest payment: %s: %+v", p.State, p.Reason)
	}
}

// TestBlockedKeyIsRefused: who is blocked loses its session and gets no other.
func TestBlockedKeyIsRefused(t *testing.T) {
	ana, ben := start(t, "ana", 1), start(t, "ben", 2)
	befriend(ana, ben)
	do[*node.FriendView](ana, &node.Block{Key: ben.ID()})
	ben.until("ana gone", func(n *node.Node) bool {
		f, _ := n.Friend("ana")
		return !f.Online
	})
	do[*node.FriendView](ana, &node.Block{Key: ben.ID(), Unblock: true})
	ana.ready("ben")
}

// TestSlowWatcherIsDropped: a subscriber that reads nothing is told that it lagged, and blocks nobody.
func TestSlowWatcherIsDropped(t *testing.T) {
	ana := start(t, "ana", 1)
	slow, err := ana.Watch(ana.ctx(), Topic{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	quick, err := ana.Watch(ana.ctx(), Topic{Payment: "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	fill := func() {
		ana.put(input{then: func() {
			told := make([]node.Notice, watchAll)
			for i := range told {
				told[i].Payment = &node.PaymentView{ID: "y"}
			}
			told[0].Payment.ID = "x"
			ana.desk.tell(told, &ana.stats)
		}})
	}
	fill()
	fill()
	if err := ana.View(ana.ctx(), func(*node.Node) {}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range slow.C {
		n++
	}
	if n != watchAll || !slow.Lagged() {
		t.Errorf("%d notices, lagged %v", n, slow.Lagged())
	}
	for range 2 {
		if got := <-quick.C; got.Payment.ID != "x" {
			t.Errorf("a notice about %s", got.Payment.ID)
		}
	}
	quick.Close()
	quick.Close()
	if _, open := <-quick.C; open || quick.Lagged() {
		t.Error("a closed watcher goes on or lagged")
	}
}

// TestRecordsJoinTheTransaction: what a request adds is saved with what it caused.
func TestRecordsJoinTheTransaction(t *testing.T) {
	ana := start(t, "ana", 1)
	record := func(key string) []node.Record { return []node.Record{{Kind: "extra", Key: key, Value: []byte("1")}} }
	if _, err := ana.Exec(ana.ctx(), Request{Save: func(v any, no *node.Error) []node.Record {
		if v != nil || no != nil {
			t.Errorf("an outcome without a command: %v %v", v, no)
		}
		return record("alone")
	}}); err != nil {
		t.Fatal(err)
	}
	cmd := &node.CreateInvoice{Value: value(1), Expires: time.Now().Add(time.Hour).Unix()}
	if _, err := ana.Exec(ana.ctx(), Request{Command: cmd, Save: func(v any, _ *node.Error) []node.Record {
		return record(v.(*node.InvoiceView).ID)
	}}); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("no")
	_, err := ana.Exec(ana.ctx(), Request{Command: cmd, Admit: func(*node.Node) error { return refused }, Save: func(any, *node.Error) []node.Record {
		return record("refused")
	}})
	if !errors.Is(err, refused) {
		t.Errorf("admitted: %v", err)
	}
	list, err := ana.store.List("extra", "", 10, false)
	if err != nil || len(list) != 2 {
		t.Errorf("%v %v", list, err)
	}
	if _, ok, _ := ana.store.Get("extra", "alone"); !ok {
		t.Error("a record without a command was not saved")
	}
}

// TestDoEndsWithItsContext: nobody waits longer than they want.
func TestDoEndsWithItsContext(t *testing.T) {
	ana := start(t, "ana", 1)
	hold := make(chan struct{})
	ana.put(input{then: func() { <-hold }})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ana.Do(ctx, &node.Configure{Name: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(hold)
}

// TestNewAddressesAreTold: when the machine's addresses have changed, friends hear of it
// with the next hello, and nothing else of the node changes.
func TestNewAddressesAreTold(t *testing.T) {
	ana := start(t, "ana", 1)
	ana.Loop.addrs = nil // as if the network had not been there at the start
	ana.readdress()
	if !slices.Equal(ana.Loop.addrs, ana.Addrs()) {
		t.Errorf("told %v, listens on %v", ana.Loop.addrs, ana.Addrs())
	}
	if err := ana.View(ana.ctx(), func(n *node.Node) {
		if n.Name() != "ana" {
			t.Errorf("the name became %q", n.Name())
		}
	}); err != nil {
		t.Fatal(err)
	}
	inv := do[*node.InvitationView](ana, &node.Invite{Lines: []wire.Proposal{{Currency: eur, Give: 1, Ask: 1}}, Expires: time.Now().Add(time.Hour).Unix()})
	ben := start(t, "ben", 2)
	do[*node.FriendView](ben, &node.Accept{Link: inv.URI, Name: "ana"}) // the link has the new addresses
	ben.ready("ana")
}
