package route

import (
	"strconv"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

const (
	// MaxHops is the longest route in channels.
	MaxHops = wire.MaxHops
	// NoMaxFee stands for any fee in Request.MaxFee.
	NoMaxFee money.Amount = -1
	// MaxHints bounds each list of a request: a payer has at most as many
	// channels of its own as friends, and remembers no more failures than that.
	MaxHints = MaxFriends

	// MaxParts is in how many parts a payment may go. What 32 routes cannot carry is
	// beyond what one's friends can; and each part costs its own base fees.
	MaxParts = 32

	// minCycle is the shortest cycle in channels. Two would go out to a friend and
	// straight back: two debts of one channel, which already count as one.
	minCycle = 3
)

// Edge is a channel in the direction of a payment.
type Edge struct {
	_        struct{} `cbor:",toarray"`
	From, To ident.ID
}

// Avoid takes an edge out of the search, in one currency, or in all if Currency is "".
type Avoid struct {
	_        struct{} `cbor:",toarray"`
	Edge     Edge
	Currency money.Currency
}

// OwnEdge is a channel of the payer, with exact figures.
type OwnEdge struct {
	_       struct{}     `cbor:",toarray"`
	To      ident.ID     // the friend
	CanPay  money.Amount // what the payer can pay to the friend; nothing if not above 0
	FeeBase money.Amount // what the friend charges the payer
	FeePpm  uint32
}

// Fee of the edge.
func (o OwnEdge) Fee() money.Fee { return money.Fee{Base: o.FeeBase, Ppm: o.FeePpm} }

// LastEdge is a channel of the payee, with exact figures.
type LastEdge struct {
	_          struct{}     `cbor:",toarray"`
	From       ident.ID     // the friend
	CanReceive money.Amount // what the payee can receive from the friend; nothing if not above 0
}

// Override is what a failed payment taught of an edge, in the request's currency: the
// fee that Edge.To charges Edge.From, and how much the edge carries at most. If an edge
// is named twice, the later fee counts and the smaller capacity.
type Override struct {
	_       struct{} `cbor:",toarray"`
	Edge    Edge
	FeeBase money.Amount
	FeePpm  uint32
	KeepFee bool         // the fee is as it is known otherwise; FeeBase and FeePpm are 0
	AtMost  money.Amount // the edge carries no more, however much is announced; 0: nothing learned (see Avoid)
}

// Fee of the override; it counts unless KeepFee.
func (o Override) Fee() money.Fee { return money.Fee{Base: o.FeeBase, Ppm: o.FeePpm} }

// Request asks for a route. Its zero values mean: no fee at all, MaxHops channels,
// no channel to leave the payer by.
type Request struct {
	_         struct{} `cbor:",toarray"`
	From, To  ident.ID // equal for a payment to oneself round a cycle
	Currency  money.Currency
	Amount    money.Amount // what arrives, above 0; UpTo does not read it
	MaxFee    money.Amount // NoMaxFee for any
	MaxHops   uint32       // channels, 0 for MaxHops
	Announced bool         // leave From by announced edges; otherwise by those of Own and no others
	Own       []OwnEdge    // empty if Announced
	Last      []LastEdge   // if not empty, replaces the announced edges into To
	Overrides []Override   // of fees and capacities, wherever they are known from
	Avoid     []Avoid
	MaxParts  uint32 // routes of an answer together; 0 and 1: one route
}

// Charge is one channel of a route as whoever quoted it knows it.
type Charge struct {
	_       struct{}     `cbor:",toarray"`
	CanPay  money.Amount // capacity in the direction of the payment
	FeeBase money.Amount // of the channel's far end, for carrying onward; 0 at the payee
	FeePpm  uint32
}

// Fee of the charge.
func (c Charge) Fee() money.Fee { return money.Fee{Base: c.FeeBase, Ppm: c.FeePpm} }

// Route is a chain of channels and what each of them carries. The lists have one item
// per channel, in the direction of the payment.
type Route struct {
	_       struct{}       `cbor:",toarray"`
	Hops    []ident.ID     // every node after the payer, payee included
	Amounts []money.Amount // locked on each channel; the last is what arrives
	Charges []Charge
	Fee     money.Amount // Amounts[0] less what arrives
}

// Arrives is the amount that the route brings to the payee.
func (q Route) Arrives() money.Amount { return q.Amounts[len(q.Amounts)-1] }

// check judges the form of a route that somebody else wrote.
func (q *Route) check() error {
	n := len(q.Hops)
	if n == 0 || n > MaxHops || len(q.Amounts) != n || len(q.Charges) != n {
		return refuse(wire.BadRequest, "route with %d channels, %d amounts, %d charges, at most %d", n, len(q.Amounts), len(q.Charges), MaxHops)
	}
	return nil
}

// Check judges the form of a request. Its errors are of type *Refusal.
func (r *Request) Check() error {
	switch {
	case !r.Currency.Valid():
		return refuse(wire.UnknownCurrency, "%q is not a currency; write e.g. EUR/2", string(r.Currency))
	case r.Amount < 0 || r.Amount > MaxCanReceive:
		return refuse(wire.WrongAmount, "amount %d, must be 1 to %d", r.Amount, int64(MaxCanReceive))
	case r.MaxFee < NoMaxFee:
		return refuse(wire.BadRequest, "most fee %d, must be 0 or more, or %d for any", r.MaxFee, NoMaxFee)
	case r.MaxHops > MaxHops:
		return refuse(wire.BadRequest, "route of up to %d channels, at most %d", r.MaxHops, MaxHops)
	case r.MaxParts > MaxParts:
		return refuse(wire.BadRequest, "up to %d routes, at most %d", r.MaxParts, MaxParts)
	case r.Announced && len(r.Own) > 0:
		return refuse(wire.BadRequest, "%d own channels in a request for announced ones", len(r.Own))
	case max(len(r.Own), len(r.Last), len(r.Overrides), len(r.Avoid)) > MaxHints:
		return refuse(wire.BadRequest, "request with %d own, %d last, %d overrides, %d to avoid; each at most %d",
			len(r.Own), len(r.Last), len(r.Overrides), len(r.Avoid), MaxHints)
	}
	return r.checkHints()
}

func (r *Request) checkHints() error {
	seen := make(map[ident.ID]bool, max(len(r.Own), len(r.Last)))
	for _, o := range r.Own {
		if o.To == r.From || seen[o.To] {
			return refuse(wire.BadRequest, "own channel to %s twice or to the payer itself", o.To.Short())
		}
		seen[o.To] = true
		if err := checkFee(o.FeeBase, o.FeePpm); err != nil {
			return err
		}
	}
	clear(seen)
	for _, l := range r.Last {
		if l.From == r.To || seen[l.From] {
			return refuse(wire.BadRequest, "last channel from %s twice or from the payee itself", l.From.Short())
		}
		seen[l.From] = true
	}
	for _, o := range r.Overrides {
		if err := checkFee(o.FeeBase, o.FeePpm); err != nil {
			return err
		}
		if o.AtMost < 0 || o.KeepFee && o.Fee() != (money.Fee{}) {
			return refuse(wire.BadRequest, "override of at most %d and a fee of %d + %d ppm that is to be kept", o.AtMost, o.FeeBase, o.FeePpm)
		}
	}
	for _, a := range r.Avoid {
		if a.Currency != "" && !a.Currency.Valid() {
			return refuse(wire.UnknownCurrency, "%q is not a currency; write e.g. EUR/2", string(a.Currency))
		}
	}
	return nil
}

// checkAmount is Check for a request that says how much.
func (r *Request) checkAmount() error {
	if err := r.Check(); err != nil {
		return err
	}
	if r.Amount == 0 {
		return refuse(wire.WrongAmount, "amount 0, must be 1 to %d", int64(MaxCanReceive))
	}
	return nil
}

func (r *Request) maxHops() int32 {
	if r.MaxHops == 0 {
		return MaxHops
	}
	return int32(r.MaxHops)
}

func (r *Request) maxParts() int { return int(max(1, r.MaxParts)) }

func (r *Request) cycle() bool { return r.From == r.To }

func (r *Request) value(a money.Amount) money.Value {
	return money.Value{Amount: a, Currency: r.Currency}
}

// noRoute says that there is nothing, or that nothing was found (rule R13). Nobody asks
// for UpTo here: it is another search.
func (r *Request) noRoute(proved bool) *Refusal {
	way := "no chain of at most"
	switch {
	case r.cycle() && r.maxParts() > 1:
		way = "no cycles, up to " + strconv.Itoa(r.maxParts()) + ", of at most"
	case r.cycle():
		way = "no cycle of at most"
	case r.maxParts() > 1:
		way = "no chains, up to " + strconv.Itoa(r.maxParts()) + ", of at most"
	}
	what := "can carry"
	if !proved {
		what = "was found that can carry"
	}
	no := refuse(wire.NoRoute, "%s %d friendships from %s to %s %s %s", way, r.maxHops(), r.From.Short(), r.To.Short(), what, r.value(r.Amount))
	no.Proved = proved
	return no
}

func (r *Request) feeAbove(fee money.Amount, proved bool) *Refusal {
	no := refuse(wire.FeeAboveMax, "the cheapest way to %s takes a fee of %s, at most %s is allowed", r.To.Short(), r.value(fee), r.value(r.MaxFee))
	no.Fee, no.Proved = fee, proved
	return no
}

// checkHops judges the form of a list of hops (rule R10).
func (r *Request) checkHops(hops []ident.ID) error {
	n := len(hops)
	if n == 0 || n > int(r.maxHops()) {
		return refuse(wire.BadRequest, "route of %d channels, must be 1 to %d", n, r.maxHops())
	}
	if hops[n-1] != r.To {
		return refuse(wire.BadRequest, "route ends at %s, the payee is %s", hops[n-1].Short(), r.To.Short())
	}
	seen := map[ident.ID]bool{r.From: !r.cycle()}
	for _, h := range hops {
		if seen[h] {
			return refuse(wire.BadRequest, "route names %s twice", h.Short())
		}
		seen[h] = true
	}
	if r.cycle() && n < minCycle {
		return refuse(wire.BadRequest, "cycle of %d channels, at least %d", n, minCycle)
	}
	return nil
}

// add gives the amount on a channel whose far end forwards due, or receives it if last.
func add(due money.Amount, fee money.Fee, last bool) (locked money.Amount, ok bool) {
	if last {
		return due, true
	}
	charge, ok := fee.Of(due)
	if !ok {
		return 0, false
	}
	return due.Add(charge)
}
