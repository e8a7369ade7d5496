package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/pay"
	"kula/wire"
)

// acceptWait is how long accept waits for the inviter: one or two dials.
const acceptWait = duration(10 * time.Second)

// offline checks signatures without a key of its own.
type offline struct{}

func (offline) Verify(id ident.ID, tag ident.Tag, msg []byte, sig ident.Signature) bool {
	return ident.Verify(id, tag, msg, sig)
}

func (a *app) friendAcceptCommand() *cobra.Command {
	var name string
	var give []string
	var minor bool
	var wait duration
	c := a.command("accept LINK|KEY", "Become a friend of whoever made the link, or asked you", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			if err := checkName(name); err != nil {
				return err
			}
			return a.friendAccept(ctx, args[0], name, give, minor, time.Duration(wait))
		})
	c.Long = "Accepts an invitation, or what somebody asked by your key (kula friend list). --give sets what the friend may owe you, instead of what the invitation asks for.\n" +
		"If the friend is away, it comes about when both of you are online (exit 3)."
	c.Flags().StringVar(&name, "name", "", "what I will call the friend (default: its own name)")
	c.Flags().StringArrayVar(&give, "give", nil, "what the friend may owe me, instead of what it asks for")
	waitFlag(c, &wait, acceptWait, "for the friend to be online")
	minorFlag(c, &minor)
	return c
}

func (a *app) friendAccept(ctx context.Context, link, name string, give []string, minor bool, wait time.Duration) error {
	if key, err := ident.ParseID(link); err == nil {
		c, err := a.client()
		if err != nil {
			return err
		}
		if link, err = requestLink(ctx, c, key); err != nil {
			return err
		}
	}
	offer, err := parseInvitation(link)
	if err != nil {
		return err
	}
	limits, err := a.acceptLimits(ctx, offer, give, minor)
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	if ok, err := a.confirm(offerWords(offer, name, limits) + "Do you agree?"); err != nil || !ok {
		return errors.Join(refuse(wire.NotAllowed, "not accepted; nothing has changed"), err)
	}
	f, err := c.Accept(ctx, link, name, limits)
	if err != nil {
		return err
	}
	key := f.Key.String()
	done, err := until(ctx, c, wait, func(ctx context.Context) (bool, error) {
		v, err := c.Friend(ctx, key)
		if err != nil {
			return false, err
		}
		f = v
		return f.State != node.Pending || f.Problem != "", nil
	})
	if err != nil {
		return err
	}
	who := friendName(f)
	switch {
	case f.State == node.Pending && f.Refused != wire.CodeNone:
		return &failure{code: f.Refused.String(), text: fmt.Sprintf("%s is not your friend: %s", who, f.Problem), result: f}
	case f.State == node.Pending && f.Problem != "":
		return &failure{code: wire.NotOpen.String(), text: fmt.Sprintf("%s is not your friend: %s", who, f.Problem), result: f}
	case !done:
		a.print(f, fmt.Sprintf("You have accepted. %s is not online now; you are friends as soon as both of you are.\n%s", who, agreedWords(f)))
		return errWaiting
	}
	a.print(f, fmt.Sprintf("You and %s are friends now.\n%s", who, agreedWords(f)))
	return nil
}

// parseInvitation checks a link before the node sees it: what is no invitation is
// a mistake, what was altered is refused.
func parseInvitation(link string) (*wire.Invitation, error) {
	if _, err := wire.ParseLink(wire.LinkFriend, link); err != nil {
		return nil, wrong("%v. An invitation looks like kula:friend?d=…", err)
	}
	i, err := pay.ParseInvitationLink(offline{}, link)
	if errors.Is(err, wire.ErrForm) {
		return nil, wrong("the link is cut off or altered. Ask for a new one")
	}
	if err != nil {
		return nil, refuse(wire.BadSignature, "%v. Ask for a new link", err)
	}
	return i, nil
}

// acceptLimits reads --give; a bare number is of the only currency of the invitation.
func (a *app) acceptLimits(ctx context.Context, offer *wire.Invitation, give []string, minor bool) ([]money.Value, error) {
	k := a.currencies()
	for _, l := range offer.Lines {
		k.known = append(k.known, l.Currency)
	}
	var limits []money.Value
	for _, text := range give {
		if !hasCurrency(text) && len(offer.Lines) != 1 {
			return nil, wrong("--give %s: the invitation has %d currencies, so say which", text, len(offer.Lines))
		}
		var v money.Value
		var err error
		if hasCurrency(text) {
			v, err = k.amount(ctx, text, minor)
		} else {
			v, err = amountIn(text, offer.Lines[0].Currency, minor)
		}
		if err != nil {
			return nil, err
		}
		limits = append(limits, v)
	}
	return limits, nil
}

// offerWords says what accepting means.
func offerWords(offer *wire.Invitation, name string, give []money.Value) string {
	if name == "" {
		name = offer.Name
	}
	if name == "" {
		name = offer.From.Short()
	}
	var b strings.Builder
	for _, l := range offer.Lines {
		mine := l.Ask
		for _, g := range give {
			if g.Currency == l.Currency {
				mine = g.Amount
			}
		}
		fmt.Fprintf(&b, "%s may owe you up to %s, and you may owe %s up to %s.\n",
			name, money.Value{Amount: mine, Currency: l.Currency}, name, money.Value{Amount: l.Give, Currency: l.Currency})
	}
	return b.String()
}
