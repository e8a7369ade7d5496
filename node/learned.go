package node

import (
	"cmp"
	"slices"

	"kula/money"
	"kula/route"
)

// learned is what failed payments taught of how much channels of others carry. It serves all payments for a while: what
// an index knows is older, and coarse.
type learned []learnt

type learnt struct {
	edge     route.Edge
	currency money.Currency
	atMost   money.Amount
	until    int64 // unix milliseconds
}

const (
	// learnedFor is how long a capacity is remembered, in milliseconds: what was locked there may be free again, and announcements come every few minutes.
	learnedFor = 60_000
	// maxLearned bounds what is remembered; a request to an index has room for as many.
	maxLearned = 256
)

// learn remembers that an edge carries no more than an amount for now.
func (l *learned) learn(now int64, e route.Edge, cur money.Currency, atMost money.Amount) {
	*l = slices.DeleteFunc(*l, func(o learnt) bool { return now >= o.until || o.edge == e && o.currency == cur })
	if len(*l) >= maxLearned {
		oldest := slices.MinFunc(*l, func(a, b learnt) int { return cmp.Compare(a.until, b.until) })
		*l = slices.DeleteFunc(*l, func(o learnt) bool { return o == oldest })
	}
	*l = append(*l, learnt{e, cur, atMost, now + learnedFor})
}

// overrides are the capacities that are remembered in a currency.
func (l learned) overrides(cur money.Currency, now int64) (list []route.Override) {
	for _, o := range l {
		if now < o.until && o.currency == cur {
			list = append(list, route.Override{Edge: o.edge, KeepFee: true, AtMost: o.atMost})
		}
	}
	return list
}
