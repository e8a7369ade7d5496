package node

import (
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// asks has a ask b to be friends, by b's key alone.
func (w *world) asks(a *Node, key ident.ID) *RequestView {
	w.t.Helper()
	return w.must(a, &AddFriend{
		Key: key, Name: "Ben", Lines: []wire.Proposal{{Currency: fst, Give: 30, Ask: 20}}, Expires: w.now/1000 + 3600,
	}).(*RequestView)
}

// meet is a session between two, as the network tells of it.
func (w *world) meet(a, b *Node) {
	w.connect(a, b)
	w.step(a, Disconnected{b.ID(), w.next})
	w.step(b, Disconnected{a.ID(), w.next})
	w.run()
}

func dials(n *Node, id ident.ID) bool {
	for _, t := range n.Dial() {
		if t.ID == id {
			return true
		}
	}
	return false
}

// N-20, N-21: a key is all that is needed; the other user sees the request and accepts it.
func TestRequest(t *testing.T) {
	w, list := newWorld(t, "Ana", "Ben")
	ana, ben := list[0], list[1]
	if v := w.asks(ana, ben.ID()); !v.Mine || v.Key != ben.ID() || v.Noted {
		t.Fatalf("%+v", v)
	}
	if !dials(ana, ben.ID()) {
		t.Fatal("ana does not look for ben")
	}
	w.meet(ana, ben)
	got := ben.Requests()
	if len(got) != 1 || got[0].Mine || got[0].Key != ana.ID() || got[0].Name != "Ana" || got[0].URI == "" || got[0].Lines[0].Give.Amount != 30 {
		t.Fatalf("ben sees %+v", got)
	}
	if r := ana.Requests(); len(r) != 1 || !r[0].Noted || r[0].URI != "" || r[0].Name != "Ben" {
		t.Fatalf("ana sees %+v", r)
	}
	if dials(ana, ben.ID()) || len(ben.Friends()) != 0 {
		t.Fatal("not settled: ana still dials, or ben has a friend whom he did not accept")
	}
	w.now += askAgain
	w.step(ana, Tick{})
	if !dials(ana, ben.ID()) {
		t.Error("ana does not come again")
	}
	w.meet(ana, ben)
	if len(ben.Requests()) != 1 {
		t.Errorf("ben sees %+v", ben.Requests())
	}
	if r := w.do(ben, &AddFriend{Key: ana.ID(), Lines: []wire.Proposal{{Currency: fst}}, Expires: w.now/1000 + 60}); r.Err == nil || r.Err.Code != wire.Conflict {
		t.Errorf("ben asks back: %v", r.Err)
	}
	w.must(ben, &Accept{Link: got[0].URI})
	w.connect(ben, ana)
	w.must(ana, &Pay{To: "Ben", Value: money.Value{Amount: 20, Currency: fst}, GiveUp: 30000})
	if balance(ben, fst) != 20 || len(ana.Requests())+len(ben.Requests()) != 0 {
		t.Errorf("balance %d, requests %+v %+v", balance(ben, fst), ana.Requests(), ben.Requests())
	}
}

// N-21: two who ask each other are friends when one of them accepts, or both do; nothing is left of what they asked.
func TestRequestsOfBoth(t *testing.T) {
	for _, both := range []bool{false, true} {
		w, list := newWorld(t, "Ana", "Ben")
		ana, ben := list[0], list[1]
		w.asks(ana, ben.ID())
		w.asks(ben, ana.ID())
		w.meet(ana, ben)
		if len(ana.Requests()) != 2 || len(ben.Requests()) != 2 {
			t.Fatalf("ana sees %+v, ben %+v", ana.Requests(), ben.Requests())
		}
		w.now += askAgain
		w.step(ana, Tick{})
		w.step(ben, Tick{})
		for _, n := range list[:1+map[bool]int{true: 1}[both]] {
			for _, r := range n.Requests() {
				if !r.Mine {
					w.must(n, &Accept{Link: r.URI})
				}
			}
		}
		w.connect(ben, ana)
		for _, n := range list {
			if f := n.Friends(); len(f) != 1 || f[0].Problem != "" || f[0].State != Opened || !f[0].Online {
				t.Errorf("both accept %v: %s has the friends %+v", both, n.Name(), f)
			}
			if len(n.Requests()) != 0 || len(n.invitations) > 1 {
				t.Errorf("both accept %v: %s has the requests %+v and %d invitations", both, n.Name(), n.Requests(), len(n.invitations))
			}
		}
	}
}

// The invitation of a request is of use to its key alone.
func TestRequestIsForOne(t *testing.T) {
	w, list := newWorld(t, "Ana", "Ben", "Cleo")
	ana, ben, cleo := list[0], list[1], list[2]
	w.asks(ana, ben.ID())
	w.meet(ana, ben)
	link := ben.Requests()[0].URI
	w.must(cleo, &Accept{Link: link})
	w.connect(cleo, ana)
	if len(ana.Friends()) != 0 {
		t.Fatal("cleo became a friend by what was said to ben")
	}
	w.must(ben, &Accept{Link: link})
	w.connect(ben, ana)
	if len(ana.Friends()) != 1 {
		t.Fatal("ben did not")
	}
}

// N-22: what strangers can make a node keep is bounded, and so is for how long.
func TestRequestsAreBounded(t *testing.T) {
	w, list := newWorld(t, "Ana")
	ana := list[0]
	bring := func(key *ident.Key, from ident.ID, token byte, life int64) Effects {
		i := wire.Invitation{From: from, Token: [16]byte{token, 1}, Expires: w.now/1000 + life, Lines: []wire.Proposal{{Currency: fst}}}
		w.next++
		w.now += 7
		return ana.Step(w.now, [32]byte{1}, Connected{key.ID(), w.next},
			Received{key.ID(), w.next, &wire.Befriend{Invitation: wire.Sign(key, wire.TagInvitation, &i)}})
	}
	noted := func(fx Effects) bool {
		for _, o := range fx.Send {
			if _, ok := o.Message.(*wire.Noted); ok {
				return len(fx.Hangup) == 1
			}
		}
		return false
	}
	stranger := func(i byte) *ident.Key { return ident.NewKey([32]byte{i, 9}) }
	for i := range byte(maxRequests) {
		if k := stranger(i); !noted(bring(k, k.ID(), i, 1e9)) {
			t.Fatalf("stranger %d was not noted", i)
		}
	}
	late := stranger(200)
	if noted(bring(late, late.ID(), 200, 3600)) {
		t.Error("there is room for more than maxRequests")
	}
	if k := stranger(0); !noted(bring(k, k.ID(), 100, 3600)) || len(ana.Requests()) != maxRequests {
		t.Error("one who asks anew does not replace its own request")
	}
	if k := stranger(1); noted(bring(k, k.ID(), 2, 3600)) {
		t.Error("the token of another's request was taken")
	}
	if k := stranger(1); noted(bring(k, late.ID(), 101, 3600)) {
		t.Error("an invitation of somebody else was taken")
	}
	if k := stranger(1); noted(bring(k, k.ID(), 102, -1)) {
		t.Error("an expired invitation was taken")
	}
	w.must(ana, &Decline{Key: stranger(3).ID()})
	w.must(ana, &Block{Key: stranger(4).ID()})
	if len(ana.Requests()) != maxRequests-2 {
		t.Errorf("%d requests after one was declined and one blocked", len(ana.Requests()))
	}
	w.now += (requestLife + 2) * 1000
	w.step(ana, Tick{})
	if len(ana.Requests()) != 0 {
		t.Errorf("%d requests after a week", len(ana.Requests()))
	}
}

// Requests outlive a restart; a declined one does not come back.
func TestRequestsAreSaved(t *testing.T) {
	w, list := newWorld(t, "Ana", "Ben")
	ana, ben := list[0], list[1]
	w.disks = map[*Node]*shelf{ana: newShelf(), ben: newShelf()}
	w.asks(ana, ben.ID())
	w.meet(ana, ben)
	for _, n := range list {
		again, err := Load(n.suite.Suite, n.cfg, w.disks[n].all())
		if err != nil {
			t.Fatal(err)
		}
		if a, b := again.Requests(), n.Requests(); len(a) != 1 || a[0].Key != b[0].Key || a[0].Mine != b[0].Mine || a[0].Noted != b[0].Noted || a[0].URI != b[0].URI {
			t.Errorf("%+v, before %+v", a, b)
		}
	}
	w.must(ana, &Decline{Key: ben.ID()})
	w.must(ben, &Decline{Key: ana.ID()})
	for _, n := range list {
		again, err := Load(n.suite.Suite, n.cfg, w.disks[n].all())
		if err != nil || len(again.Requests()) != 0 || len(again.invitations) != 0 {
			t.Errorf("%v: %+v", err, again.Requests())
		}
	}
}
