package node

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"kula/ident"
	"kula/pay"
	"kula/wire"
)

// An onion is bound to its part, so while the part is open the part's id already refuses a second lock of it. What
// was seen of onions is for the time after: without it a friend could have a part carried again that has ended, and watch
// where it goes. Each is remembered from the Step that accepted its lock, in the same transaction, until the onion itself ends;
// what cannot be remembered is not carried.

const (
	// maxSeen bounds what is remembered: an onion takes 1 of it and a run seenRunCost, so it is at most some 90 MiB, and 1,000 more for each friend. Onions that
	// live six minutes then pass at 5,800 a second, or at 1,450 if each comes in a Step of its own.
	maxSeen = 1 << 21
	// seenRunCost is what a run takes besides its onions: 100 bytes, where an onion takes some 40.
	seenRunCost = 3
	// seenFloor is what a friend may have when others have taken the rest: as many as open locks in one promise.
	seenFloor = wire.MaxLocks
	// maxForgotten is how much of maxSeen one Step forgets, some 15 ms. Onions end at whole minutes, many at once.
	maxForgotten = 1 << 14
)

// seen is which onions have come, in runs that are saved, and forgotten, together.
type seen struct {
	onions map[uint64]struct{}
	runs   map[uint64]*seenRun // by number
	ends   map[int64][]uint64  // numbers of the runs that end in a second, ascending
	taken  int                 // of maxSeen
	share  map[ident.ID]int    // what of taken came from each friend
	fresh  map[freshRun]uint64 // the runs of this Step
	last   uint64              // the highest number of a run
}

// freshRun names a run while its Step lasts.
type freshRun struct {
	friend ident.ID
	until  int64
}

// seenRun is what came from one friend in one Step and ends in one second.
type seenRun struct {
	friend ident.ID
	until  int64 // unix seconds
	onions []uint64
}

func (r *seenRun) cost() int { return seenRunCost + len(r.onions) }

func newSeen() seen {
	return seen{
		onions: map[uint64]struct{}{}, runs: map[uint64]*seenRun{}, ends: map[int64][]uint64{},
		share: map[ident.ID]int{}, fresh: map[freshRun]uint64{},
	}
}

// again says why a layer that a friend's lock brought is not carried, nil if it has not been here and is remembered from now on.
func (s *seen) again(friend ident.ID, l *pay.Layer, n *Node) *wire.Reason {
	if l == nil {
		return nil
	}
	switch now := n.now / 1000; {
	case l.Until <= now:
		return &wire.Reason{Code: wire.BadRequest, Text: fmt.Sprintf("by the clock of this node the payment was to be carried until %d seconds ago: it was under way for too long, or a clock is wrong", now-l.Until)}
	case l.Until-pay.MaxOnionLife > now:
		return &wire.Reason{Code: wire.BadRequest, Text: fmt.Sprintf("by the clock of this node the payment was made in %d seconds; look at both clocks", l.Until-pay.OnionLife-now)}
	}
	if _, ok := s.onions[l.Seen]; ok {
		return &wire.Reason{Code: wire.DuplicatePart}
	}
	if s.share[friend] >= max(maxSeen-s.taken, seenFloor) { // one friend cannot fill what is there for all: it gets as much as is left free
		return &wire.Reason{Code: wire.TooManyLocks, Next: n.me, Text: "too many payments have come from there in the last minutes"}
	}
	key := freshRun{friend, l.Until}
	number, ok := s.fresh[key]
	if !ok {
		number = s.last + 1
		s.fresh[key] = number
		s.begin(number, &seenRun{friend: friend, until: l.Until})
	}
	s.add(s.runs[number], l.Seen)
	n.markSeen(number)
	return nil
}

func (s *seen) begin(number uint64, run *seenRun) {
	s.runs[number], s.last = run, max(s.last, number)
	s.ends[run.until] = append(s.ends[run.until], number)
	s.taken += seenRunCost
	s.share[run.friend] += seenRunCost
}

func (s *seen) add(run *seenRun, onion uint64) {
	run.onions = append(run.onions, onion)
	s.onions[onion] = struct{}{}
	s.taken++
	s.share[run.friend]++
}

// forget drops runs that have ended, the oldest first.
func (s *seen) forget(n *Node) {
	left := maxForgotten
	for _, end := range slices.Sorted(maps.Keys(s.ends)) { // at most MaxOnionLife of them, and those that have ended
		if end > n.now/1000 {
			return
		}
		list := s.ends[end]
		for ; len(list) > 0 && left > 0; list = list[1:] {
			left -= s.drop(list[0])
			n.markSeen(list[0])
		}
		if s.ends[end] = list; len(list) > 0 {
			return
		}
		delete(s.ends, end)
	}
}

// drop forgets a run and says what it took.
func (s *seen) drop(number uint64) int {
	run := s.runs[number]
	for _, o := range run.onions {
		delete(s.onions, o)
	}
	s.taken -= run.cost()
	if s.share[run.friend] -= run.cost(); s.share[run.friend] == 0 {
		delete(s.share, run.friend)
	}
	delete(s.runs, number)
	return run.cost()
}

// A run's record has its number as its key, in the last eight bytes of an id.
func (n *Node) markSeen(number uint64) {
	k := recordKey{kind: kindSeen}
	binary.BigEndian.PutUint64(k.id[8:], number)
	n.dirty[k] = true
}

func seenNumber(id [16]byte) uint64 { return binary.BigEndian.Uint64(id[8:]) }

type savedSeen struct {
	_      struct{} `cbor:",toarray"`
	Friend ident.ID
	Until  int64
	Onions []byte // 8 each
}

func (s *seen) saved(number uint64) any {
	run := s.runs[number]
	if run == nil {
		return nil
	}
	v := &savedSeen{Friend: run.friend, Until: run.until}
	for _, o := range run.onions {
		v.Onions = binary.BigEndian.AppendUint64(v.Onions, o)
	}
	return v
}

func (s *seen) load(r Record) error {
	id, err := hex.DecodeString(r.Key)
	if err != nil || len(id) != 16 {
		return fmt.Errorf("the key is not a number of 32 hex digits")
	}
	var v savedSeen
	if err := wire.Unmarshal(r.Value, &v); err != nil {
		return err
	}
	number := seenNumber([16]byte(id))
	run := &seenRun{friend: v.Friend, until: v.Until}
	s.begin(number, run)
	for b := v.Onions; len(b) >= 8; b = b[8:] {
		s.add(run, binary.BigEndian.Uint64(b))
	}
	return nil
}
