package route

import (
	"sort"

	"kula/money"
)

// block is all that one node announced, packed into words: a graph of ten million edges
// is kept in memory and searched in it, so each byte of an edge counts, and what a search
// reads lies together. A block has one record per friend and currency, ascending by both;
// a withdrawn announcement leaves one record with the currency none. The first part holds
// linkWords for each record, the rest markWords for each.
//
// A record is about two edges: friend→node (in), whose figures are the node's own, and
// node→friend (out), whose figures are a copy of what the friend announced, if the record
// is mutual.
type block []uint32

const (
	linkWords = 6 // friend, base in, base out, ppm in, ppm out, capacities
	markWords = 5 // number (2), expiry, until, longest hold

	// The 24 bits of a currency are above the 20 of each ppm, twelve and twelve.
	ppmBits      = 20
	ppmMask      = 1<<ppmBits - 1
	currencyBits = 32 - ppmBits
	currencyMask = 1<<currencyBits - 1
	noCurrency   = 1<<(2*currencyBits) - 1

	// mutualBit is above both capacities' codes, which have 11 bits.
	mutualBit = 1 << 15

	// bigBase marks a base fee that does not fit below it: the rest is its place in Graph.bases.
	bigBase = 1 << 31
)

func newBlock(records int) block { return make(block, records*(linkWords+markWords)) }

func (b block) len() int { return len(b) / (linkWords + markWords) }

func (b block) link(i int) []uint32 { return b[i*linkWords : (i+1)*linkWords : (i+1)*linkWords] }

func (b block) mark(i int) []uint32 {
	at := b.len()*linkWords + i*markWords
	return b[at : at+markWords : at+markWords]
}

func (b block) friend(i int) int32 { return int32(b[i*linkWords]) }

func (b block) currency(i int) int32 {
	l := b.link(i)
	return int32(l[3]>>ppmBits | l[4]>>ppmBits<<currencyBits)
}

func (b block) mutual(i int) bool { return b[i*linkWords+5]&mutualBit != 0 }

// canIn and canOut are codes (codeOf) of the capacities of both edges.
func (b block) canIn(i int) uint32  { return b[i*linkWords+5] & (mutualBit - 1) }
func (b block) canOut(i int) uint32 { return b[i*linkWords+5] >> 16 }

func (b block) number(i int) uint64 {
	m := b.mark(i)
	return uint64(m[0])<<32 | uint64(m[1])
}

func (b block) expires(i int) int64  { return int64(b.mark(i)[2]) }
func (b block) until(i int) int64    { return int64(b.mark(i)[3]) }
func (b block) maxHold(i int) uint32 { return b.mark(i)[4] }

// of finds the records about a friend: those from i to before j; where they would be if there are none.
func (b block) of(friend int32) (i, j int) {
	n := b.len()
	i = sort.Search(n, func(k int) bool { return b.friend(k) >= friend })
	for j = i; j < n && b.friend(j) == friend; j++ {
	}
	return i, j
}

// group is where the records about the friend of record i end.
func (b block) group(i int) (j int) {
	for j = i; j < b.len() && b.friend(j) == b.friend(i); j++ {
	}
	return j
}

// remains is how many of the records from i to before j, one announcement, stay at now: one of what expired and
// whose number must be remembered.
func (b block) remains(i, j int, now int64) int {
	switch {
	case b.expires(i) > now:
		return j - i
	case b.until(i) > now:
		return 1
	}
	return 0
}

// find gives the record about a friend in a currency, -1 if there is none.
func (b block) find(friend, currency int32) int {
	i, j := b.of(friend)
	for ; i < j; i++ {
		if b.currency(i) == currency {
			return i
		}
	}
	return -1
}

// splice is b with n blank records in place of those from i to before j.
func (b block) splice(i, j, n int) block {
	old := b.len()
	c := newBlock(old - (j - i) + n)
	size := c.len()
	copy(c, b[:i*linkWords])
	copy(c[(i+n)*linkWords:], b[j*linkWords:old*linkWords])
	from, to := b[old*linkWords:], c[size*linkWords:]
	copy(to, from[:i*markWords])
	copy(to[(i+n)*markWords:], from[j*markWords:])
	return c
}

// setMark writes the head of the announcement that record i belongs to.
func (b block) setMark(i int, number uint64, expires, until int64, maxHold uint32) {
	m := b.mark(i)
	m[0], m[1], m[2], m[3], m[4] = uint32(number>>32), uint32(number), uint32(expires), uint32(until), maxHold
}

// setIn writes friend, currency and the node's own figures; base is as Graph.packBase gives it.
func (b block) setIn(i int, friend, currency int32, base, ppm, can uint32) {
	l := b.link(i)
	l[0], l[1] = uint32(friend), base
	l[3] = ppm | uint32(currency)&currencyMask<<ppmBits
	l[4] = l[4]&ppmMask | uint32(currency)>>currencyBits<<ppmBits
	l[5] = l[5]&^(mutualBit-1) | can
}

// setOut copies the figures of a record at the friend, or takes them out.
func (b block) setOut(i int, twin []uint32) {
	l := b.link(i)
	if twin == nil {
		l[2], l[4], l[5] = 0, l[4]&^ppmMask, l[5]&(mutualBit-1)
		return
	}
	l[2], l[4] = twin[1], l[4]&^ppmMask|twin[3]&ppmMask
	l[5] = l[5]&(mutualBit-1) | mutualBit | twin[5]&(mutualBit-1)<<16
}

// The code of a coarse amount (rule R2) rises with the amount, and has 11 bits: below
// 100 it is the amount, else a hundred for each power of ten taken out and the two digits
// that are left.

// codeOf gives the code of a coarse amount from 0 to MaxCanReceive.
func codeOf(a money.Amount) uint32 {
	e := uint32(0)
	for a >= 100 {
		a /= 10
		e++
	}
	return 100*e + uint32(a)
}

// needOf gives the least code whose amount is at least a.
func needOf(a money.Amount) uint32 {
	if a <= 0 {
		return 0
	}
	c := Coarse(a)
	code := codeOf(c)
	if c == a {
		return code
	}
	if code%100 == 99 {
		return code + 11 // 9,900 is followed by 10,000: the digits 10 of the next power
	}
	return code + 1
}

// amounts of all codes.
var amounts = func() (t [2048]money.Amount) {
	for c := range t {
		a := money.Amount(c % 100)
		for range c / 100 {
			a = min(a, 1<<59) * 10 // codes above that of MaxCanReceive do not occur
		}
		t[c] = a
	}
	return t
}()

func amountOf(code uint32) money.Amount { return amounts[code&2047] }
