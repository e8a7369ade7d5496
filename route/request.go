package route

import (
	"slices"

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

// Override replaces the fee that Edge.To charges Edge.From in the request's currency.
type Override struct {
	_       struct{} `cbor:",toarray"`
	Edge    Edge
	FeeBase money.Amount
	FeePpm  uint32
}

// Fee of the override.
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
	Overrides []Override   // of fees, wherever they are known from
	Avoid     []Avoid
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

// Route is a chain of channels and what each of them carries. The three lists have
// one item per channel, in the direction of the payment.
type Route struct {
	_       struct{}       `cbor:",toarray"`
	Hops    []ident.ID     // every node after the payer, payee included
	Amounts []money.Amount // locked on each channel; the last is what arrives
	Charges []Charge
	Fee     money.Amount // Amounts[0] less what arrives
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

func (r *Request) cycle() bool { return r.From == r.To }

func (r *Request) value(a money.Amount) money.Value {
	return money.Value{Amount: a, Currency: r.Currency}
}

// noRoute says what rule R13 calls proved. Nobody asks for UpTo here: it is another search.
func (r *Request) noRoute() *Refusal {
	if r.cycle() {
		return refuse(wire.NoRoute, "no cycle of at most %d channels from %s to itself can carry %s", r.maxHops(), r.From.Short(), r.value(r.Amount))
	}
	return refuse(wire.NoRoute, "no chain of at most %d friends from %s to %s can carry %s", r.maxHops(), r.From.Short(), r.To.Short(), r.value(r.Amount))
}

func (r *Request) feeAbove(fee money.Amount) *Refusal {
	no := refuse(wire.FeeAboveMax, "the cheapest route to %s takes a fee of %s, at most %s is allowed", r.To.Short(), r.value(fee), r.value(r.MaxFee))
	no.Fee = fee
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

// CheckRoute recomputes a route that somebody else quoted for r, from the figures
// that came with it and from what r knows better (rule R17). An error, of type
// *Refusal, means that the quote is not to be used.
func (r *Request) CheckRoute(q Route) error {
	if err := r.checkHops(q.Hops); err != nil {
		return err
	}
	n := len(q.Hops)
	if len(q.Amounts) != n || len(q.Charges) != n {
		return refuse(wire.BadRequest, "quote with %d channels, %d amounts, %d charges", n, len(q.Amounts), len(q.Charges))
	}
	if q.Amounts[n-1] != r.Amount {
		return refuse(wire.WrongAmount, "quote brings %s, asked for %s", r.value(q.Amounts[n-1]), r.value(r.Amount))
	}
	due := r.Amount
	for i := n - 1; i >= 0; i-- {
		locked, ok := add(due, q.Charges[i].Fee(), i == n-1)
		if !ok || locked != q.Amounts[i] || locked > q.Charges[i].CanPay {
			return refuse(wire.BadRequest, "quote locks %d on channel %d of %d, its own figures give %d of %d", q.Amounts[i], i+1, n, locked, q.Charges[i].CanPay)
		}
		if err := r.checkCharge(q, i); err != nil {
			return err
		}
		due = locked
	}
	if q.Fee != due-r.Amount {
		return refuse(wire.BadRequest, "quote says fee %s, its amounts say %s", r.value(q.Fee), r.value(due-r.Amount))
	}
	if r.MaxFee != NoMaxFee && q.Fee > r.MaxFee {
		return r.feeAbove(q.Fee)
	}
	return nil
}

// checkCharge compares the figures of channel i of a quote with what r knows itself.
func (r *Request) checkCharge(q Route, i int) error {
	e := Edge{From: r.From, To: q.Hops[i]}
	if i > 0 {
		e.From = q.Hops[i-1]
	}
	avoided := func(a Avoid) bool { return a.Edge == e && (a.Currency == "" || a.Currency == r.Currency) }
	if slices.ContainsFunc(r.Avoid, avoided) {
		return refuse(wire.BadRequest, "quote goes from %s to %s, which was to be avoided", e.From.Short(), e.To.Short())
	}
	can, fee := q.Charges[i].CanPay, q.Charges[i].Fee()
	if i == 0 && !r.Announced {
		k := slices.IndexFunc(r.Own, func(o OwnEdge) bool { return o.To == e.To })
		if k < 0 {
			return refuse(wire.BadRequest, "quote begins with %s, which is no channel of the payer's", e.To.Short())
		}
		can, fee = r.Own[k].CanPay, r.Own[k].Fee()
	} else if i == len(q.Hops)-1 && len(r.Last) > 0 {
		k := slices.IndexFunc(r.Last, func(l LastEdge) bool { return l.From == e.From })
		if k < 0 {
			return refuse(wire.BadRequest, "quote ends through %s, which is no channel of the payee's", e.From.Short())
		}
		can = r.Last[k].CanReceive
	}
	for _, o := range r.Overrides {
		if o.Edge == e {
			fee = o.Fee()
		}
	}
	if i == len(q.Hops)-1 {
		fee = money.Fee{}
	}
	if q.Charges[i].Fee() != fee || q.Amounts[i] > can {
		return refuse(wire.BadRequest, "quote has %d at fee %d + %d ppm on channel %d, which carries %d at %d + %d ppm",
			q.Amounts[i], q.Charges[i].FeeBase, q.Charges[i].FeePpm, i+1, can, fee.Base, fee.Ppm)
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
