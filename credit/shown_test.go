package credit

import (
	"errors"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// What a friend shows of its own is judged against what I hold its signature for (spec C-37).
func TestJudgeShown(t *testing.T) {
	me, friend := ident.NewKey([32]byte{1}), ident.NewKey([32]byte{2})
	const cur = "FST/0"
	channel := func(p wire.Promise, acked wire.Mark, iOwe money.Amount) *Channel {
		c := New(me.ID(), friend.ID())
		p.From, p.To = friend.ID(), me.ID()
		c.Theirs.Promise, c.Theirs.Signed = p, wire.Sign(friend, wire.TagPromise, &p)
		c.Mine.Promise.Ack = acked
		c.Mine.Promise.Lines = []wire.Line{{Currency: cur, Owed: iOwe}}
		return c
	}
	owes := func(epoch, seq uint64, owed money.Amount, start *wire.Start) wire.Promise {
		return wire.Promise{Epoch: epoch, Seq: seq, Start: start, Lines: []wire.Line{{Currency: cur, Owed: owed}}}
	}
	less := func(a money.Amount) *wire.Start {
		return &wire.Start{Less: []wire.Less{{Currency: cur, Amount: a}}}
	}
	held := channel(owes(0, 5, 50, nil), wire.Mark{}, 0)
	const fine = FaultKind(99)
	for what, x := range map[string]struct {
		shown *Channel
		fault FaultKind // 0: a refusal that is none
	}{
		"the same":                          {held, fine},
		"newer, owing more":                 {channel(owes(0, 6, 60, nil), wire.Mark{}, 0), fine},
		"newer, owing less":                 {channel(owes(0, 6, 49, nil), wire.Mark{}, 0), Shrank},
		"another of the number":             {channel(owes(0, 5, 60, nil), wire.Mark{}, 0), Equivocated},
		"an epoch with the same":            {channel(owes(7, 1, 50, &wire.Start{}), wire.Mark{}, 0), fine},
		"an epoch with less":                {channel(owes(7, 1, 49, &wire.Start{}), wire.Mark{}, 0), 0},
		"an epoch with less, agreed to":     {channel(owes(7, 2, 10, nil), wire.Mark{Epoch: 7, Seq: 1}, 0), fine},
		"a renewal of what both owe":        {channel(owes(7, 1, 10, less(40)), wire.Mark{}, 40), fine},
		"a renewal of more than I owe":      {channel(owes(7, 1, 10, less(40)), wire.Mark{}, 39), 0},
		"a renewal by less than is missing": {channel(owes(7, 1, 10, less(39)), wire.Mark{}, 40), 0},
	} {
		err := held.JudgeShown(x.shown)
		var fault *Fault
		switch {
		case x.fault == fine:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		case err == nil:
			t.Errorf("%s is believed", what)
		case errors.As(err, &fault):
			if fault.Kind != x.fault || fault.Verify(me) != nil {
				t.Errorf("%s: %v, which proves %v", what, fault, fault.Verify(me))
			}
		case x.fault != 0:
			t.Errorf("%s: %v, want evidence that it %s", what, err, x.fault)
		}
	}

	lock := &OwnLock{Lock: wire.Lock{Number: 3, Part: wire.PartID{1}, Currency: cur, Amount: 5}}
	lock.Digest = lock.Lock.Digest()
	other := *lock
	other.Digest[0] ^= 1
	held.Theirs.Cancels, held.Mine.Locks = []uint64{3}, []*OwnLock{lock}
	shown := channel(owes(0, 6, 50, nil), wire.Mark{}, 0)
	for what, x := range map[string]struct {
		locks   []*OwnLock
		cancels []uint64
		fine    bool
	}{
		"gone": {fine: true}, "still given up": {[]*OwnLock{lock}, []uint64{3}, true}, "standing again": {[]*OwnLock{lock}, nil, false},
		"another lock": {[]*OwnLock{&other}, nil, true},
	} {
		shown.Mine.Locks, shown.Theirs.Cancels = x.locks, x.cancels
		if err := held.JudgeShown(shown); (err == nil) != x.fine {
			t.Errorf("a lock that was given up is %s: %v", what, err)
		}
	}
}
