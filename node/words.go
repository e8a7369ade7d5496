package node

import (
	"slices"
	"strings"

	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

func joinAnd(list []string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return list[0]
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

// balanceWords says a balance as people do: "Ana owes you 12.00 EUR".
func (n *Node) balanceWords(f *friend, v money.Value) string {
	if v.Amount < 0 {
		v.Amount = -v.Amount
		return "you owe " + f.name + " " + v.String()
	}
	return f.name + " owes you " + v.String()
}

// reasonView says a reason in words and figures: what stood in the way, the numbers, who can change it.
func (n *Node) reasonView(r *wire.Reason, p *payment) *ReasonView {
	v := &ReasonView{Code: r.Code, Text: n.reasonWords(r, p)}
	if r.At != (ident.ID{}) {
		v.At = r.At.String()
	}
	in := func(a money.Amount) *money.Value {
		if !r.Currency.Valid() {
			return nil
		}
		return &money.Value{Amount: a, Currency: r.Currency}
	}
	switch r.Code {
	case wire.LimitReached:
		if v.Left = in(r.Left); r.At == n.me || r.At == (ident.ID{}) { // others say no more
			v.Limit, v.Owed, v.Locked = in(r.Limit), in(r.Owed), in(r.Locked)
		}
	case wire.FeeAboveMax, wire.FeeNeedsConsent, wire.FeeTooLow:
		v.Fee = in(r.Need)
	}
	return v
}

func (n *Node) reasonWords(r *wire.Reason, p *payment) string {
	next, at := n.nameOf(r.Next), n.nameOf(r.At)
	amount := func(a money.Amount) string {
		if !r.Currency.Valid() {
			return ""
		}
		return money.Value{Amount: a, Currency: r.Currency}.String()
	}
	switch r.Code {
	case wire.LimitReached:
		if r.At == n.me && r.Limit == 0 && r.Owed == 0 && r.Locked == 0 && !slices.Contains(n.Currencies(), r.Currency) {
			return "No friend of yours uses " + string(r.Currency) + "; friends use a currency together once one of them sets a limit in it."
		}
		return n.limitWords(r, next, at, p == nil || p.payee == r.Next && !n.otherWays(p), amount)
	case wire.FeeAboveMax:
		return "It would cost " + amount(r.Need) + ", more than the most you allowed (" + amount(p.maxFee) + "). Allow more with --max-fee, or pay less."
	case wire.FeeNeedsConsent:
		return "It would cost " + amount(r.Need) + ". Say that this is all right with --max-fee \"" + amount(r.Need) + "\"."
	case wire.NoRoute:
		return "There is no chain of friends between you and " + n.nameOf(p.payee) + " that can carry " + p.value.String() + " now." + sentence(r.Text)
	case wire.NotFound:
		return n.nameOf(p.payee) + " knows nothing of this payment." + sentence(r.Text)
	case wire.UnknownNextHop:
		if r.At == n.me {
			return next + " is not a friend of yours."
		}
		return next + " is not a friend of " + at + " (unknown next hop at " + at + ")."
	case wire.FriendOffline:
		if r.At == n.me {
			return next + " is offline. Try again when they are back."
		}
		return next + " is offline for " + at + ". Try again later."
	case wire.ChannelFrozen:
		return "The account between " + at + " and " + next + " is frozen by a fault. They must agree on figures first."
	case wire.ChannelClosed:
		if f := n.friends[r.Next]; f != nil && r.At == n.me {
			if f.closing {
				return "You have closed the account with " + next + ". Open it again with: kula friend limit " + next + " AMOUNT"
			}
			return next + " has closed the account with you. Ask " + next + " to open it again."
		}
		return "The account between " + at + " and " + next + " is closed for new debt."
	case wire.CatchingUp:
		return next + " is still catching up. Try again in a moment."
	case wire.TooManyLocks:
		return "Too many payments are under way between " + at + " and " + next + "; try again in a moment."
	case wire.InvoicePaid:
		return "The invoice is paid already."
	case wire.InvoiceBusy:
		return "Somebody else is just paying this invoice."
	case wire.InvoiceCancelled:
		return n.nameOf(p.payee) + " has cancelled the invoice." + sentence(r.Text)
	case wire.InvoiceExpired:
		return "The invoice has expired. Ask " + n.nameOf(p.payee) + " for a new one."
	case wire.WrongAmount:
		return "The amount is not what " + n.nameOf(p.payee) + " asked for."
	case wire.WrongCurrency:
		return "The currency is not what " + n.nameOf(p.payee) + " asked for."
	case wire.BadSignature:
		return n.nameOf(p.payee) + " did not sign this invoice: it was altered."
	case wire.DeciderNotAccepted:
		return at + " does not accept who would decide about this payment."
	case wire.FeeTooLow:
		return at + " charges " + amount(r.Need) + " for carrying this on, more than was offered."
	case wire.DuplicatePart:
		return at + " already has this payment in hand."
	case wire.CancelledByPayee:
		return n.nameOf(p.payee) + " gave the payment back."
	case wire.CancelledByPayer:
		return "You took the payment back."
	case wire.IndexUnreachable:
		why := "."
		if r.Text != "" {
			why = ": " + r.Text + "."
		}
		switch {
		case p.payee == n.me:
			return "No index server could be asked for a ring of friends back to you" + why
		case n.friends[p.payee] == nil || n.friends[p.payee].removed:
			return n.nameOf(p.payee) + " is not a friend of yours, and no index server could be asked for a way" + why
		}
		return "No index server could be asked for another way to " + n.nameOf(p.payee) + why
	case wire.CodeNone:
		return "It was given back without a reason that can be read."
	}
	return strings.TrimSpace(r.Code.String() + sentence(r.Text))
}

func sentence(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// otherWays says whether a payment to a friend may also go over others.
func (n *Node) otherWays(p *payment) bool {
	return p.mostParts() > 1 && slices.ContainsFunc(n.order, func(f *friend) bool { return f.id != p.payee && f.open() && f.ready() })
}

// limitWords: "Ben lets you owe 100.00 EUR; you owe 92.40 EUR and 5.00 EUR is waiting, so 2.60 EUR is left. Ask Ben to raise it, or pay at most 2.60 EUR."
// Where more channels follow nobody can say from one of them how much could be paid (last is false).
func (n *Node) limitWords(r *wire.Reason, next, at string, last bool, amount func(money.Amount) string) string {
	if r.At != n.me && r.At != (ident.ID{}) {
		return at + " can carry " + amount(r.Left) + " on to " + next + " now. " + at + " can ask " + next + " to raise the limit."
	}
	have := "you owe " + amount(r.Owed)
	if r.Owed < 0 {
		have = "you are owed " + amount(-r.Owed)
	}
	s := next + " lets you owe " + amount(r.Limit) + "; " + have
	if r.Locked > 0 {
		s += " and " + amount(r.Locked) + " is waiting"
	}
	s += ", so " + amount(r.Left) + " is left. Ask " + next + " to raise it"
	if r.Left > 0 && last {
		s += ", or pay at most " + amount(r.Left)
	}
	return s + "."
}

// friendView is a friend for people and scripts.
func (n *Node) friendView(f *friend) *FriendView {
	v := &FriendView{
		Key: f.id, Name: f.name, State: f.state(), Online: f.session != nil && f.session.heard && !f.session.dead, Ready: f.ready(),
		Currencies: []CurrencyView{}, Addresses: append([]string{}, f.addresses...), OpenLocks: len(f.ch.Theirs.Locks) + f.ch.OpenLocks(), Problem: f.problem, Refused: f.turned,
	}
	for _, cur := range f.ch.Currencies() {
		v.Currencies = append(v.Currencies, currencyView(f, cur))
	}
	if f.pending {
		n.pendingLines(f, v)
	}
	if f.ch.Fault != nil {
		v.Fault = f.name + " " + f.ch.Fault.Kind.String()
	} else if f.frozen {
		v.Fault = f.name + " froze the account"
	}
	if f.proposal != nil {
		v.Proposal = n.proposalWords(f)
	}
	return v
}

// pendingLines shows what the invitation said, until the inviter's own terms are here.
func (n *Node) pendingLines(f *friend, v *FriendView) {
	for _, p := range f.wanted {
		for i := range v.Currencies {
			if c := &v.Currencies[i]; c.Currency == p.Currency && c.LimitReceived.Amount == 0 {
				c.LimitReceived.Amount, c.CanPay.Amount = p.Give, 0
			}
		}
	}
}

func currencyView(f *friend, cur money.Currency) CurrencyView {
	fig := f.ch.Figures(cur)
	in := func(a money.Amount) money.Value { return money.Value{Amount: a, Currency: cur} }
	return CurrencyView{
		Currency: cur, Balance: in(fig.Balance), CanPay: in(fig.CanPay), CanReceive: in(fig.CanReceive),
		LimitGranted: in(fig.LimitGranted), LimitReceived: in(fig.LimitReceived), LockedByMe: in(fig.LockedByMe), LockedByThem: in(fig.LockedByThem),
		FeeBase: in(fig.FeeMine.Base), FeePpm: fig.FeeMine.Ppm, FeeTheyBase: in(fig.FeeTheirs.Base), FeeTheyPpm: fig.FeeTheirs.Ppm,
	}
}

func (n *Node) proposalWords(f *friend) string {
	var mine, theirs wire.Promise
	_ = wire.Unmarshal(f.proposal.Yours.Body, &mine) // Adopt has read both; a none has no lines
	_ = wire.Unmarshal(f.proposal.Mine.Body, &theirs)
	var list []string
	for _, cur := range f.ch.Currencies() {
		v := money.Value{Amount: theirs.Line(cur).Owed - mine.Line(cur).Owed, Currency: cur}
		list = append(list, n.balanceWords(f, v))
	}
	if len(list) == 0 {
		return f.name + " proposes to go on with nothing owed"
	}
	return f.name + " proposes to go on from: " + joinAnd(list)
}

// Friends are all that are not hidden, by name.
func (n *Node) Friends() []FriendView {
	list := []FriendView{}
	for _, f := range n.order {
		if !f.removed && !f.tentative {
			list = append(list, *n.friendView(f))
		}
	}
	sortBy(list, func(v FriendView) string { return strings.ToLower(v.Name) })
	return list
}

// Friend finds one by key, name, or the beginning of its key.
func (n *Node) Friend(ref string) (*FriendView, *Error) {
	f, err := n.find(ref)
	if err != nil {
		return nil, err
	}
	return n.friendView(f), nil
}

// Balances are all currencies over all friends, hidden ones included.
func (n *Node) Balances() []BalanceView {
	list := []BalanceView{}
	for _, cur := range n.known() {
		b := BalanceView{Currency: cur}
		for _, v := range []*money.Value{&b.Balance, &b.OwedToMe, &b.IOwe, &b.Locked} {
			v.Currency = cur
		}
		for _, f := range n.order {
			fig := f.ch.Figures(cur)
			b.Balance.Amount += fig.Balance
			if fig.Balance > 0 {
				b.OwedToMe.Amount += fig.Balance
			} else {
				b.IOwe.Amount -= fig.Balance
			}
			b.Locked.Amount += fig.LockedByMe
		}
		list = append(list, b)
	}
	return list
}

// Proof is what I can show to a stranger about a friend, as a link.
func (n *Node) Proof(ref string) (string, *Error) {
	f, err := n.find(ref)
	if err != nil {
		return "", err
	}
	if f.ch.HeldMark().Seq == 0 {
		return "", refusal(wire.NotFound, "%s has signed nothing to you yet", f.name)
	}
	return wire.Link(wire.LinkProof, f.ch.Proof().Encode()), nil
}

// partView shows a route as a part.
func partView(p *payment, r pay.Route) PartView {
	return PartView{Amount: money.Value{Amount: r.Arrives(), Currency: p.value.Currency}, Fee: money.Value{Amount: r.Fee(), Currency: p.value.Currency}, Hops: r.Hops}
}
