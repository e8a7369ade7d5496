package route

import (
	"kula/ident"
	"kula/money"
	"kula/wire"
)

// UpTo gives the cheapest route for the largest amount that one route can bring to
// the payee (rule R14); the amount is the last of Amounts. r.Amount is not read.
// If not even 1 unit can be brought, the error is that of Cheapest for 1.
func (f *Finder) UpTo(r Request) (Route, error) {
	r.Amount = 1
	if err := r.Check(); err != nil {
		return Route{}, err
	}
	s := f.begin(&r)
	able := func(amount money.Amount) (int32, bool) {
		end, ok := s.cheapest(amount)
		return end, ok && (r.MaxFee == NoMaxFee || s.labels[end].amount-amount <= r.MaxFee)
	}
	low, high := money.Amount(0), s.ceiling()
	for low < high {
		middle := low + (high-low+1)/2
		end, ok := able(middle)
		if !ok {
			high = middle - 1
			continue
		}
		low = s.most(end, middle, high, r.MaxFee)
	}
	if low == 0 {
		return f.Cheapest(r) // says why not
	}
	end, _ := able(low)
	return s.route(end, low), nil
}

// ceiling is an amount that the last channel, whichever it is, can just carry or
// cannot: no search needs to look above it.
func (s *search) ceiling() money.Amount {
	most := s.ownAt[s.to].can
	for _, a := range s.last {
		most = max(most, a.can)
	}
	if !s.lastOnly {
		b := s.block(s.to)
		for i := range b.len() {
			if b.currency(i) == s.currency {
				most = max(most, amountOf(b.canIn(i)))
			}
		}
	}
	return min(most, MaxCanReceive)
}

// most is the largest amount between low, which fits, and high that the way of a
// label can carry within maxFee. It saves the binary search of UpTo most of its
// steps: a way that carries the middle mostly carries more.
func (s *search) most(end int32, low, high, maxFee money.Amount) money.Amount {
	cans, fees := s.channels(end)
	for low < high {
		middle := low + (high-low+1)/2
		due, ok := middle, true
		for i := len(cans) - 1; i >= 0 && ok; i-- {
			due, ok = add(due, fees[i], i == len(cans)-1)
			ok = ok && due <= cans[i]
		}
		if ok && (maxFee == NoMaxFee || due-middle <= maxFee) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

func (s *search) channels(end int32) (cans []money.Amount, fees []money.Fee) {
	from := s.from
	for i := s.labels[end].next; i >= 0; i = s.labels[i].next {
		can, _, fee, _ := s.figures(from, s.labels[i].node)
		cans, fees = append(cans, can), append(fees, fee)
		from = s.labels[i].node
	}
	return cans, fees
}

// Priced is a route chosen by hand, with what is not known of it.
type Priced struct {
	Route
	Unknown []uint32 // channels whose fee is not known and counted as 0, by place in the route from 0
	Short   []uint32 // channels that are known to carry less than their amount
}

// Price gives the amounts along hops, every node after the payer, for r.Amount
// (rule R15). It heeds neither r.MaxFee nor r.Avoid. A figure of one end is enough. A channel that
// nobody announced has CanPay 0 in Charges and is in neither list unless its fee is
// due. Errors are of type *Refusal.
func (g *Graph) Price(r Request, hops []ident.ID) (Priced, error) {
	if err := r.checkAmount(); err != nil {
		return Priced{}, err
	}
	if err := r.checkHops(hops); err != nil {
		return Priced{}, err
	}
	n := len(hops)
	p := Priced{Route: Route{Hops: append([]ident.ID(nil), hops...), Amounts: make([]money.Amount, n), Charges: make([]Charge, n)}}
	w := newGround(g, &r, hops)
	due := r.Amount
	for i := n - 1; i >= 0; i-- {
		from := w.from
		if i > 0 {
			from = w.index(hops[i-1])
		}
		last := i == n-1
		can, canKnown, fee, feeKnown := w.figures(from, w.index(hops[i]))
		if last {
			fee = money.Fee{}
		}
		locked, ok := add(due, fee, last)
		if !ok {
			return Priced{}, refuse(wire.WrongAmount, "fees along the route take %s beyond what can be counted", r.value(r.Amount))
		}
		if !last && !feeKnown {
			p.Unknown = append([]uint32{uint32(i)}, p.Unknown...)
		}
		if canKnown && can < locked {
			p.Short = append([]uint32{uint32(i)}, p.Short...)
		}
		p.Amounts[i], p.Charges[i] = locked, Charge{CanPay: can, FeeBase: fee.Base, FeePpm: fee.Ppm}
		due = locked
	}
	p.Fee = due - r.Amount
	return p, nil
}
