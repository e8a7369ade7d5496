package cli

import (
	"fmt"
	"strings"
	"time"

	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// ppmPerPercent is how many parts per million 1 % is.
const ppmPerPercent = 10_000

// percent writes a rate exactly, without zeros at the end: "0.5 %".
func percent(ppm uint32) string {
	s := fmt.Sprintf("%d.%04d", ppm/ppmPerPercent, ppm%ppmPerPercent)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + " %"
}

// feeWords writes what is charged: "0.05 EUR and 0.5 %", "nothing".
func feeWords(base money.Value, ppm uint32) string {
	switch {
	case base.Amount == 0 && ppm == 0:
		return "nothing"
	case ppm == 0:
		return base.String()
	case base.Amount == 0:
		return percent(ppm)
	}
	return base.String() + " and " + percent(ppm)
}

// friendName is what I call a friend: its name, or the beginning of its key.
func friendName(f *node.FriendView) string {
	if f.Name != "" {
		return f.Name
	}
	return f.Key.Short()
}

// owes says who owes whom; balance above zero: the friend owes me. Without a
// sign, since a sign is read the wrong way round by half of all people.
func owes(name string, balance money.Value) string {
	switch {
	case balance.Amount > 0:
		return fmt.Sprintf("%s owes you %s", name, balance)
	case balance.Amount < 0:
		return fmt.Sprintf("you owe %s %s", name, magnitude(balance))
	}
	return fmt.Sprintf("you and %s are even in %s", name, balance.Currency.Code())
}

// magnitude is a value without its sign. The smallest int64 has no opposite; no
// balance comes near it, and it is then shown with its sign.
func magnitude(v money.Value) money.Value {
	if v.Amount < 0 {
		if n, ok := v.Amount.Neg(); ok {
			v.Amount = n
		}
	}
	return v
}

// sentence begins with a capital and ends with a stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	r := []rune(s)
	return strings.ToUpper(string(r[0])) + string(r[1:]) + "."
}

// list joins words: "a", "a and b", "a, b and c".
func list(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
}

// stateWords is where a friendship stands.
func stateWords(f *node.FriendView) string {
	switch {
	case f.State == node.Pending && f.Refused != wire.CodeNone:
		return "not agreed"
	case f.State == node.Pending:
		return "waits until both of you have been online"
	case f.State == node.Frozen:
		return "stopped: " + f.Fault
	case f.State == node.Closed:
		return "closed, no new debt"
	case f.State == node.Removed:
		return "removed"
	case f.Ready:
		return "online"
	case f.Online:
		return "online, catching up"
	}
	return "offline"
}

// friendWords is a friend on a few lines; long adds limits, fees, key and addresses.
func friendWords(f *node.FriendView, long bool) string {
	name := friendName(f)
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n", name, stateWords(f))
	for i := range f.Currencies {
		c := &f.Currencies[i]
		fmt.Fprintf(&b, "  %s\n", sentence(owes(name, c.Balance)))
		if f.State == node.Opened || f.State == node.Pending {
			fmt.Fprintf(&b, "  You can pay %s up to %s, %s can pay you up to %s.\n", name, c.CanPay, name, c.CanReceive)
		}
		if c.LockedByMe.Amount != 0 {
			fmt.Fprintf(&b, "  Set aside for payments on their way to %s: %s.\n", name, c.LockedByMe)
		}
		if c.LockedByThem.Amount != 0 {
			fmt.Fprintf(&b, "  On its way from %s: %s.\n", name, c.LockedByThem)
		}
		if long {
			fmt.Fprintf(&b, "  You may owe %s up to %s, %s may owe you up to %s.\n", name, c.LimitReceived, name, c.LimitGranted)
			fmt.Fprintf(&b, "  For passing payments on you charge %s %s, %s charges you %s.\n",
				name, feeWords(c.FeeBase, c.FeePpm), name, feeWords(c.FeeTheyBase, c.FeeTheyPpm))
		}
	}
	for _, s := range []string{f.Problem, f.Proposal} {
		if s != "" {
			fmt.Fprintf(&b, "  %s\n", sentence(s))
		}
	}
	if f.State == node.Frozen {
		fmt.Fprintf(&b, "  Nothing new passes until both of you agree on the figures: kula friend agree %s\n", name)
		fmt.Fprintf(&b, "  The evidence, for anyone to check: kula proof export %s --fault\n", name)
	}
	if long {
		fmt.Fprintf(&b, "  Key %s\n", f.Key)
		for _, addr := range f.Addresses {
			fmt.Fprintf(&b, "  Address %s\n", addr)
		}
	}
	return b.String()
}

// agreedWords says in words what two friends allow each other.
func agreedWords(f *node.FriendView) string {
	name := friendName(f)
	var b strings.Builder
	for i := range f.Currencies {
		c := &f.Currencies[i]
		fmt.Fprintf(&b, "%s may owe you up to %s, and you may owe %s up to %s.\n", name, c.LimitGranted, name, c.LimitReceived)
	}
	return b.String()
}

// names calls keys by the names of friends, and strangers by the beginning of their keys.
type names map[ident.ID]string

func namesOf(friends []node.FriendView) names {
	n := names{}
	for i := range friends {
		n[friends[i].Key] = friendName(&friends[i])
	}
	return n
}

func (n names) of(id ident.ID) string {
	if s := n[id]; s != "" {
		return s
	}
	return id.Short()
}

// through names those in the middle of a route: " through Ben and Carl", or "".
func (n names) through(parts []node.PartView) string {
	var words []string
	for _, p := range parts {
		for i, hop := range p.Hops {
			if i < len(p.Hops)-1 {
				words = append(words, n.of(hop))
			}
		}
	}
	switch {
	case len(parts) > 1 && len(words) == 0:
		return fmt.Sprintf(" over %d ways", len(parts))
	case len(parts) > 1:
		return fmt.Sprintf(" over %d ways, through %s", len(parts), list(words))
	case len(words) == 0:
		return ""
	}
	return " through " + list(words)
}

// ways gives each way of several a line: what goes over it and what that costs.
func (n names) ways(parts []node.PartView) string {
	if len(parts) < 2 {
		return ""
	}
	var b strings.Builder
	for _, p := range parts {
		through := n.through([]node.PartView{p})
		if through == "" {
			through = " directly"
		}
		fmt.Fprintf(&b, "\n  %s%s, fee %s", p.Amount, through, p.Fee)
	}
	return b.String()
}

// payee of a payment, by name.
func (n names) payee(p *node.PaymentView) string {
	if s := n[p.Payee]; s != "" {
		return s
	}
	if p.PayeeName != "" {
		return p.PayeeName
	}
	return p.Payee.Short()
}

// payment is one payment in a sentence or two.
func (n names) payment(p *node.PaymentView) string {
	fee := ""
	if p.Fee.Amount != 0 {
		fee = fmt.Sprintf(", fee %s", p.Fee)
	}
	who, via := n.payee(p), n.through(p.Parts)
	switch p.State {
	case node.Paid:
		return fmt.Sprintf("Paid %s to %s%s%s.", p.Amount, who, via, fee)
	case node.Held:
		if p.Release != "" {
			return fmt.Sprintf("%s%s is released for %s, who has not collected it yet.", p.Amount, fee, who)
		}
		return fmt.Sprintf("%s%s is set aside for %s%s. It becomes theirs when you release it: kula payment release %s", p.Amount, fee, who, via, p.ID)
	case node.Returned:
		return fmt.Sprintf("Not paid: %s to %s. %s", p.Amount, who, reasonWords(p.Reason))
	}
	return fmt.Sprintf("%s to %s is on its way%s%s. %s", p.Amount, who, via, fee, waitingWords(p))
}

// askedBack is a payment that its payer has just cancelled.
func (n names) askedBack(p *node.PaymentView) string {
	if p.State != node.Waiting && p.State != node.Held {
		return n.payment(p)
	}
	return fmt.Sprintf("You have asked %s to give %s back. Until they do, or somebody on the way does, it stays set aside: kula payment wait %s", n.payee(p), p.Amount, p.ID)
}

func waitingWords(p *node.PaymentView) string {
	how := fmt.Sprintf("See kula payment wait %s, or ask for it back with kula payment cancel %s", p.ID, p.ID)
	if p.Waiting == nil {
		return how
	}
	until := ""
	if p.Waiting.Until != 0 {
		until = ", at most until " + moment(p.Waiting.Until)
	}
	return fmt.Sprintf("It has waited for %s since %s%s. %s", p.Waiting.For, moment(p.Waiting.Since), until, how)
}

// reasonWords is why something did not happen: the node's own sentence.
func reasonWords(r *node.ReasonView) string {
	if r == nil {
		return "No reason was given."
	}
	if r.Text == "" {
		return sentence(strings.ReplaceAll(r.Code.String(), "_", " "))
	}
	return r.Text
}

// moment prints unix milliseconds in the local time zone.
func moment(ms int64) string { return time.UnixMilli(ms).Format("2006-01-02 15:04:05") }

// second prints unix seconds in the local time zone.
func second(s int64) string { return time.Unix(s, 0).Format("2006-01-02 15:04") }

// invoiceWords is an invoice in a sentence.
func invoiceWords(i *node.InvoiceView) string {
	memo := ""
	if i.Memo != "" {
		memo = fmt.Sprintf(" for %q", i.Memo)
	}
	switch i.State {
	case "open":
		return fmt.Sprintf("You ask for %s%s until %s.", i.Amount, memo, second(i.Expires))
	case "held":
		return fmt.Sprintf("%s%s is set aside for you; it is yours when the payer releases it.", i.Amount, memo)
	case "paid":
		return fmt.Sprintf("%s%s was paid.", i.Amount, memo)
	}
	return fmt.Sprintf("The request for %s%s is %s.", i.Amount, memo, i.State)
}

// ofText is of for a key as text; what is no key stays as it is.
func (n names) ofText(key string) string {
	id, err := ident.ParseID(key)
	if err != nil {
		return key
	}
	return n.of(id)
}
