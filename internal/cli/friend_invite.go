package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kula/internal/api"
	"kula/money"
)

// inviteFor is how long an invitation is good for unless told otherwise: until
// the friend looks at messages, and not for whoever finds the link next month.
const inviteFor = duration(24 * time.Hour)

// inviteFlags are the limits of an invitation as they were typed.
type inviteFlags struct {
	currencies, give, ask []string
	expires               duration
	minor                 bool
}

func (a *app) friendInviteCommand() *cobra.Command {
	f := inviteFlags{expires: inviteFor}
	c := a.command("invite [NAME]", "Make a link that makes whoever opens it a friend", cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			if err := checkName(name); err != nil {
				return err
			}
			if f.expires < duration(time.Second) {
				return wrong("--expires %s: an invitation is good for at least 1s", &f.expires)
			}
			return a.friendInvite(ctx, name, &f)
		})
	c.Long = "Makes an invitation link, also as a QR code, that works once. NAME is what you will call the friend.\n" +
		"--give is what the friend may owe you, --ask what you ask to owe the friend at most;\n" +
		fmt.Sprintf("where one is left out it is %d units. For several currencies repeat the flags.", proposedUnits)
	f.register(c, "how long the link is good")
	return c
}

// register gives c the flags.
func (f *inviteFlags) register(c *cobra.Command, expires string) {
	c.Flags().StringArrayVar(&f.currencies, "currency", nil, "currency, e.g. EUR/2")
	c.Flags().StringArrayVar(&f.give, "give", nil, "what the friend may owe me")
	c.Flags().StringArrayVar(&f.ask, "ask", nil, "what I ask to owe the friend at most")
	c.Flags().Var(&f.expires, "expires", expires)
	minorFlag(c, &f.minor)
}

func (a *app) friendInvite(ctx context.Context, name string, f *inviteFlags) error {
	lines, err := f.lines(ctx, a.currencies())
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	i, err := c.Invite(ctx, name, lines, time.Now().Add(time.Duration(f.expires)).Unix())
	if err != nil {
		return err
	}
	who := name
	if who == "" {
		who = "the friend"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s", i.URI, qr(i.URI))
	for _, l := range lines {
		fmt.Fprintf(&b, "%s may owe you up to %s, and you may owe %s up to %s.\n", sentenceStart(who), l.Give, who, l.Ask)
	}
	fmt.Fprintf(&b, "Give this link to %s alone. It works once, until %s; then: kula friend accept LINK\n", who, second(i.Expires))
	a.print(i, b.String())
	return nil
}

func sentenceStart(s string) string { return strings.TrimSuffix(sentence(s), ".") }

// lines puts the flags together: an amount that names its currency is of that
// one, a bare number of the --currency at its place.
func (f *inviteFlags) lines(ctx context.Context, k *currencies) ([]api.Line, error) {
	var lines []api.Line
	at := func(c money.Currency) *api.Line {
		for i := range lines {
			if lines[i].Currency == c {
				return &lines[i]
			}
		}
		lines = append(lines, api.Line{Currency: c})
		return &lines[len(lines)-1]
	}
	for _, text := range f.currencies {
		c, err := k.currency(ctx, text)
		if err != nil {
			return nil, err
		}
		at(c)
		k.known = append(k.known, c)
	}
	bare := slices.Clone(lines)
	for _, side := range []struct {
		flag  string
		texts []string
		set   func(*api.Line, money.Value)
	}{
		{"--give", f.give, func(l *api.Line, v money.Value) { l.Give = v }},
		{"--ask", f.ask, func(l *api.Line, v money.Value) { l.Ask = v }},
	} {
		for i, text := range side.texts {
			v, err := inviteAmount(ctx, k, side.flag, text, i, bare, f.minor)
			if err != nil {
				return nil, err
			}
			side.set(at(v.Currency), v)
		}
	}
	if len(lines) == 0 {
		return nil, wrong("say in which currency, e.g. --currency EUR/2")
	}
	for i := range lines {
		if lines[i].Give.Currency == "" {
			lines[i].Give = proposed(lines[i].Currency)
		}
		if lines[i].Ask.Currency == "" {
			lines[i].Ask = proposed(lines[i].Currency)
		}
	}
	slices.SortFunc(lines, func(a, b api.Line) int { return strings.Compare(string(a.Currency), string(b.Currency)) })
	return lines, nil
}

// inviteAmount reads the i-th value of a flag.
func inviteAmount(ctx context.Context, k *currencies, flag, text string, i int, bare []api.Line, minor bool) (money.Value, error) {
	switch {
	case hasCurrency(text):
		return k.amount(ctx, text, minor)
	case len(bare) == 0:
		return money.Value{}, wrong("%s %s: say in which currency, e.g. --currency EUR/2", flag, text)
	case i >= len(bare):
		return money.Value{}, wrong("%s %s: there are more bare amounts than currencies; write e.g. %s \"%s %s\"", flag, text, flag, text, bare[0].Currency)
	}
	return amountIn(text, bare[i].Currency, minor)
}
