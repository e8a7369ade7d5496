package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kula/internal/api"
	"kula/money"
	"kula/node"
	"kula/pay"
	"kula/route"
	"kula/wire"
)

// giveUpAfter is for how long other routes are tried unless told otherwise; as
// long as the command waits.
const giveUpAfter = defaultWait

// payFlags are the flags of pay as they were typed.
type payFlags struct {
	dryRun, minor bool
	maxFee        string
	route         []string
	maxParts      int
	wait, giveUp  duration
	text          string
}

func (a *app) payCommand() *cobra.Command {
	f := payFlags{giveUp: giveUpAfter, maxParts: node.DefaultParts}
	c := a.command("pay INVOICE|NAME|KEY|me [AMOUNT]", "Pay an invoice, a friend, anyone with a key, or myself round a ring of friends", cobra.RangeArgs(1, 3),
		func(ctx context.Context, args []string) error {
			return a.pay(ctx, args[0], strings.Join(args[1:], " "), &f)
		})
	c.Long = "Pays. What it costs is asked first; a fee that nobody agreed to is never paid: agree with --max-fee or --yes.\n" +
		"With --dry-run nothing is paid: it says whether it is possible and what the fee would be, and without AMOUNT how much at most."
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "only say whether it is possible, and the fee")
	c.Flags().StringVar(&f.maxFee, "max-fee", "", "pay up to this fee without asking")
	c.Flags().StringSliceVar(&f.route, "route", nil, "go through these: names or keys after me, the payee last, with commas")
	maxPartsFlag(c, &f.maxParts)
	waitFlag(c, &f.wait, defaultWait, "for the payment to end")
	c.Flags().Var(&f.giveUp, "give-up", "for how long to try other ways")
	c.Flags().StringVar(&f.text, "text", "", "what it is for; the payee sees it")
	minorFlag(c, &f.minor)
	c.ValidArgsFunction = a.completeFriend
	return c
}

func maxPartsFlag(c *cobra.Command, n *int) {
	c.Flags().IntVar(n, "max-parts", *n, "go over at most this many ways at once")
}

func checkMaxParts(n int) error {
	if n < 1 || n > route.MaxParts {
		return wrong("--max-parts %d: a payment goes over 1 to %d ways at once", n, route.MaxParts)
	}
	return nil
}

func (a *app) pay(ctx context.Context, target, amount string, f *payFlags) error {
	if err := checkText("--text", f.text); err != nil {
		return err
	}
	if err := checkMaxParts(f.maxParts); err != nil {
		return err
	}
	// 0 would mean the node's own choice
	order := api.Order{Route: f.route, MaxParts: f.maxParts, Text: f.text, GiveUpMs: max(1, time.Duration(f.giveUp).Milliseconds()), WaitMs: time.Duration(f.wait).Milliseconds()}
	currency, err := a.payTarget(ctx, &order, target, amount, f)
	if err != nil {
		return err
	}
	if f.maxFee != "" {
		fee, err := amountIn(f.maxFee, currency, f.minor)
		if err != nil {
			return wrong("--max-fee: %v", err)
		}
		order.MaxFee = &fee
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.quote(ctx, c, order)
	}
	if order.MaxFee == nil {
		if err := a.consentToFee(ctx, c, &order); err != nil {
			return err
		}
	}
	p, err := c.Pay(ctx, newKey(), order)
	if err != nil {
		return notBegun(err, order.Amount)
	}
	return a.showOutcome(ctx, c, p)
}

// payTarget fills in whom and how much to pay, and gives the currency.
func (a *app) payTarget(ctx context.Context, order *api.Order, target, amount string, f *payFlags) (money.Currency, error) {
	k := a.currencies()
	if strings.HasPrefix(strings.TrimSpace(target), "kula:") {
		order.Invoice = strings.TrimSpace(target)
		i, err := parseInvoice(order.Invoice)
		if err != nil {
			return "", err
		}
		k.known = append(k.known, i.Currency)
		if amount != "" {
			v, err := invoiceAmount(ctx, k, i, amount, f.minor)
			if err != nil {
				return "", err
			}
			order.Amount = &v
		}
		return i.Currency, nil
	}
	order.To = target
	if amount == "" {
		if !f.dryRun {
			return "", wrong("say how much, e.g. kula pay %s \"10 EUR\"", target)
		}
		currency, err := a.onlyCurrency(ctx, target)
		order.Amount = &money.Value{Currency: currency} // 0 of it asks how much at most
		return currency, err
	}
	v, err := k.amount(ctx, amount, f.minor)
	if err == nil {
		v, err = positive(v)
	}
	order.Amount = &v
	return v.Currency, err
}

// invoiceAmount reads an amount beside an invoice: it says what the payer thinks it is.
func invoiceAmount(ctx context.Context, k *currencies, i *wire.Invoice, text string, minor bool) (money.Value, error) {
	if hasCurrency(text) {
		return k.amount(ctx, text, minor)
	}
	return amountIn(text, i.Currency, minor)
}

// parseInvoice checks a link before the node sees it: what is no invoice is a
// mistake, what was altered is refused.
func parseInvoice(link string) (*wire.Invoice, error) {
	if _, err := wire.ParseLink(wire.LinkInvoice, link); err != nil {
		return nil, wrong("%v. An invoice looks like kula:invoice?d=…", err)
	}
	_, i, err := pay.ParseInvoiceLink(offline{}, link)
	if errors.Is(err, wire.ErrForm) {
		return nil, wrong("the link is cut off or altered. Ask the payee for a new invoice")
	}
	if err != nil {
		return nil, notBegun(refuse(wire.BadSignature, "%v. Ask the payee for a new invoice", err), nil)
	}
	return i, nil
}

// onlyCurrency is the currency meant when none is said: the friend's only one, or
// the only one known.
func (a *app) onlyCurrency(ctx context.Context, target string) (money.Currency, error) {
	c, err := a.client()
	if err != nil {
		return "", err
	}
	var fits []money.Currency
	if friend, err := c.Friend(ctx, target); err == nil {
		for i := range friend.Currencies {
			fits = append(fits, friend.Currencies[i].Currency)
		}
	}
	if len(fits) == 0 {
		if fits, err = c.Currencies(ctx); err != nil {
			return "", err
		}
	}
	if len(fits) != 1 {
		return "", wrong("say in which currency with an amount, e.g. kula pay %s \"1 EUR/2\" --dry-run (known: %v)", target, fits)
	}
	return fits[0], nil
}

// consentToFee quotes, and asks where it must; it sets the fee agreed to. A
// payment that looks impossible goes on: the node's answer to the payment
// itself is the one that counts.
func (a *app) consentToFee(ctx context.Context, c *api.Client, order *api.Order) error {
	if straight(ctx, c, order) {
		return nil
	}
	q, err := c.Quote(ctx, *order)
	if err != nil {
		return notBegun(err, order.Amount)
	}
	if !q.Possible || q.Fee.Amount == 0 {
		return nil
	}
	if !a.yes && a.terminal {
		ok, err := a.confirm(fmt.Sprintf("The fee is %s%s. Pay it?", q.Fee, a.names(ctx, c).through(q.Parts)))
		if err != nil {
			return err
		}
		if !ok {
			return needsConsent(q, "not paid; nothing has changed")
		}
	} else if !a.yes {
		bare, _, _ := strings.Cut(q.Fee.String(), " ")
		return needsConsent(q, fmt.Sprintf("the fee for %s would be %s%s. To agree, say --max-fee %s or --yes", q.Amount, q.Fee, a.names(ctx, c).through(q.Parts), bare))
	}
	order.MaxFee = &q.Fee
	return nil
}

// straight says whether a friend takes a payment itself. That costs nothing, and no index server need hear of it, as it
// would from a quote, which says how much could be paid at most. Where it changes meanwhile, the node asks for consent.
func straight(ctx context.Context, c *api.Client, order *api.Order) bool {
	to, amount := order.To, order.Amount
	if order.Invoice != "" {
		i, err := parseInvoice(order.Invoice)
		if err != nil {
			return false
		}
		to, amount = i.Payee.String(), &money.Value{Amount: i.Amount, Currency: i.Currency}
	}
	if len(order.Route) > 0 || amount == nil {
		return false
	}
	f, err := c.Friend(ctx, to)
	if err != nil {
		return false
	}
	i := slices.IndexFunc(f.Currencies, func(v node.CurrencyView) bool { return v.Currency == amount.Currency })
	return i >= 0 && f.Ready && amount.Amount <= f.Currencies[i].CanPay.Amount
}

func needsConsent(q *node.QuoteView, text string) error {
	reason := &node.ReasonView{Code: wire.FeeNeedsConsent, Text: text, Fee: &q.Fee}
	return notBegun(&failure{code: wire.FeeNeedsConsent.String(), text: text, reason: reason}, &q.Amount)
}

// notBegunView is the payment object of a payment that was refused before it
// began: there is no id, and nothing was charged.
type notBegunView struct {
	State  node.PaymentState `json:"state"`
	Amount *money.Value      `json:"amount,omitempty"`
	Reason *node.ReasonView  `json:"reason"`
}

// notBegun makes the payment object of a refusal. Only what the node refused is
// known not to have been paid; any other error stays what it is.
func notBegun(err error, amount *money.Value) error {
	err = failed(err)
	var f *failure
	if !errors.As(err, &f) || f.code == codeFailed || f.code == wire.NodeNotRunning.String() {
		return err
	}
	reason := f.reason
	if reason == nil {
		reason = &node.ReasonView{Text: f.text}
		if reason.Code.UnmarshalText([]byte(f.code)) != nil {
			return err
		}
	}
	return &failure{code: f.code, text: f.text, reason: f.reason, result: notBegunView{node.Returned, amount, reason}}
}

// quote prints what a payment would take; impossible is exit 1.
func (a *app) quote(ctx context.Context, c *api.Client, order api.Order) error {
	q, err := c.Quote(ctx, order)
	if err != nil {
		return err
	}
	text := quoteWords(q, a.names(ctx, c), order.Amount != nil && order.Amount.Amount == 0)
	if !q.Possible {
		f := &failure{code: wire.NoRoute.String(), text: text, reason: q.Reason, result: q}
		if q.Reason != nil {
			f.code = q.Reason.Code.String()
		}
		return f
	}
	a.print(q, text)
	return nil
}

func quoteWords(q *node.QuoteView, n names, most bool) string {
	switch {
	case !q.Possible && q.UpTo != nil && q.UpTo.Amount > 0:
		return fmt.Sprintf("Not possible. %s You can pay up to %s.", reasonWords(q.Reason), q.UpTo)
	case !q.Possible:
		return "Not possible. " + reasonWords(q.Reason)
	case most && q.UpTo != nil:
		return fmt.Sprintf("You can pay up to %s%s; the fee for that would be %s.%s", q.UpTo, n.through(q.Parts), q.Fee, n.ways(q.Parts))
	}
	return fmt.Sprintf("Possible: %s%s, fee %s.%s", q.Amount, n.through(q.Parts), q.Fee, n.ways(q.Parts))
}
