package route

import (
	"hash/maphash"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// maxCurrencies is how many currencies a graph knows at a time: a sixteenth of the numbers that a record has room for,
// in some 100 MiB. Strangers may name any.
const maxCurrencies = 1 << 20

// table gives currencies small numbers for as long as somebody holds them. Who holds new ones asks room before.
type table struct {
	index map[money.Currency]int32
	items []money.Currency
	holds []int32
	free  []int32 // numbers of no value, to be used again
}

func newTable() table { return table{index: map[money.Currency]int32{}} }

func (t *table) find(k money.Currency) (int32, bool) {
	i, ok := t.index[k]
	return i, ok
}

// room says whether all currencies of an announcement can have numbers.
func (t *table) room(list []Entry) error {
	known, fresh := len(t.items)-len(t.free), 0
	for _, e := range list {
		if _, ok := t.index[e.Currency]; !ok {
			fresh++
		}
	}
	if fresh > 0 && known+fresh > maxCurrencies {
		return refuse(wire.NotAllowed, "this index knows %d currencies and %d of these are new to it, at most %d in all; use another one", known, fresh, maxCurrencies)
	}
	return nil
}

// hold gives k's number, a new one if it has none, and counts the holder.
func (t *table) hold(k money.Currency) int32 {
	i, ok := t.index[k]
	if !ok {
		if last := len(t.free) - 1; last >= 0 {
			i, t.free = t.free[last], t.free[:last]
			t.items[i] = k
		} else {
			i = int32(len(t.items))
			t.items, t.holds = append(t.items, k), append(t.holds, 0)
		}
		t.index[k] = i
	}
	t.holds[i]++
	return i
}

// drop ends one hold; the number of a value that nobody holds is free.
func (t *table) drop(i int32) {
	if t.holds[i]--; t.holds[i] > 0 {
		return
	}
	delete(t.index, t.items[i])
	t.items[i] = ""
	t.free = append(t.free, i)
}

// nodes gives identities numbers likewise. It is an open hash table of numbers, which
// takes a sixth of a map's memory. The hash is keyed, so that nobody can choose keys that
// collide; no answer depends on it.
type nodes struct {
	seed  maphash.Seed
	slots []int32 // number+1 of the identity there, 0 if empty; a power of two
	items []ident.ID
	holds []int32
	free  []int32
}

func newNodes() nodes { return nodes{seed: maphash.MakeSeed(), slots: make([]int32, 16)} }

// slot is where k is, or the empty slot where it would be.
func (t *nodes) slot(k *ident.ID) int {
	mask := len(t.slots) - 1
	at := int(maphash.Bytes(t.seed, k[:])) & mask
	for t.slots[at] != 0 && t.items[t.slots[at]-1] != *k {
		at = (at + 1) & mask
	}
	return at
}

func (t *nodes) find(k ident.ID) (int32, bool) {
	i := t.slots[t.slot(&k)] - 1
	return i, i >= 0
}

// count of identities held.
func (t *nodes) count() int { return len(t.items) - len(t.free) }

func (t *nodes) hold(k ident.ID) int32 {
	at := t.slot(&k)
	i := t.slots[at] - 1
	if i < 0 {
		if 3*(t.count()+1) > 2*len(t.slots) {
			t.grow()
			at = t.slot(&k)
		}
		if last := len(t.free) - 1; last >= 0 {
			i, t.free = t.free[last], t.free[:last]
			t.items[i] = k
		} else {
			i = int32(len(t.items))
			t.items, t.holds = extend(t.items, k), extend(t.holds, 0)
		}
		t.slots[at] = i + 1
	}
	t.holds[i]++
	return i
}

func (t *nodes) grow() {
	old := t.slots
	t.slots = make([]int32, 2*len(old))
	for _, i := range old {
		if i > 0 {
			t.slots[t.slot(&t.items[i-1])] = i
		}
	}
}

// drop ends one hold; after the last the number is free.
func (t *nodes) drop(i int32) {
	if t.holds[i]--; t.holds[i] > 0 {
		return
	}
	mask := len(t.slots) - 1
	at := t.slot(&t.items[i])
	t.slots[at] = 0
	for next := (at + 1) & mask; t.slots[next] != 0; next = (next + 1) & mask { // close the gap
		moved := t.slots[next]
		t.slots[next] = 0
		t.slots[t.slot(&t.items[moved-1])] = moved
	}
	t.items[i] = ident.ID{}
	t.free = append(t.free, i)
}

// extend is append that takes an eighth more room than is needed, not twice as much.
func extend[T any](list []T, x T) []T {
	if len(list) == cap(list) {
		bigger := make([]T, len(list), len(list)+len(list)/8+16)
		copy(bigger, list)
		list = bigger
	}
	return append(list, x)
}
