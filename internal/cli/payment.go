package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kula/internal/api"
	"kula/node"
	"kula/wire"
)

func (a *app) paymentCommand() *cobra.Command {
	return a.group("payment", "Look after payments of mine",
		a.paymentListCommand(), a.paymentShowCommand(), a.paymentWaitCommand(),
		a.paymentReleaseCommand(), a.paymentCancelCommand())
}

// oneID wants the id of a payment or invoice as the only argument.
func oneID(c *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(c, args); err != nil {
		return err
	}
	return checkID(args[0])
}

func checkID(id string) error {
	if _, err := wire.ParseID16(id); err != nil {
		return wrong("%q is no id: an id is 32 lower-case hex digits", id)
	}
	return nil
}

type paymentsView struct {
	Payments []node.PaymentView `json:"payments"`
	Next     string             `json:"next"`
}

func (a *app) paymentListCommand() *cobra.Command {
	var page api.Page
	c := a.command("list", "List payments, newest first", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, next, err := c.Payments(ctx, page)
		if err != nil {
			return err
		}
		n := a.names(ctx, c)
		var b strings.Builder
		for i := range list {
			p := &list[i]
			fmt.Fprintf(&b, "%s  %s  %-8s  %s to %s  %s\n", p.ID, moment(p.Created), p.State, p.Amount, n.payee(p), p.Text)
		}
		if len(list) == 0 {
			b.WriteString("No payments.")
			list = []node.PaymentView{}
		}
		a.print(paymentsView{list, next}, b.String()+more(next))
		return nil
	})
	pageFlags(c, &page)
	return c
}

// paymentVerb is a command whose result is a payment, whatever has become of it.
func (a *app) paymentVerb(use, short string, run func(context.Context, *api.Client, string) (*node.PaymentView, error), say func(names, *node.PaymentView) string) *cobra.Command {
	return a.command(use, short, oneID, func(ctx context.Context, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		p, err := run(ctx, c, args[0])
		if err != nil {
			return err
		}
		a.print(p, say(a.names(ctx, c), p))
		return nil
	})
}

func (a *app) paymentShowCommand() *cobra.Command {
	return a.paymentVerb("show ID", "Show one payment", func(ctx context.Context, c *api.Client, id string) (*node.PaymentView, error) {
		return c.Payment(ctx, id, 0)
	}, func(n names, p *node.PaymentView) string {
		text := n.payment(p) + "\n"
		if p.Text != "" {
			text += "For: " + p.Text + "\n"
		}
		for _, link := range []struct{ what, link string }{{"Release", p.Release}, {"Receipt", p.Receipt}} {
			if link.link != "" {
				text += link.what + ": " + link.link + "\n"
			}
		}
		return text
	})
}

func (a *app) paymentWaitCommand() *cobra.Command {
	var wait duration
	c := a.command("wait ID", "Wait until a payment has come to an end", oneID, func(ctx context.Context, args []string) error {
		return a.waitPayment(ctx, args[0], time.Duration(wait))
	})
	waitFlag(c, &wait, defaultWait, "at most")
	return c
}

func (a *app) paymentReleaseCommand() *cobra.Command {
	var out string
	c := a.command("release ID", "Let the payee have what is set aside", oneID, func(ctx context.Context, args []string) error {
		if err := mustBeNew(out); out != "" && err != nil {
			return err // before anything is released
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		p, err := c.Release(ctx, newKey(), args[0])
		if err != nil {
			return err
		}
		who := a.names(ctx, c).payee(p)
		if out != "" {
			if err := writeOut(out, []byte(p.Release+"\n")); err != nil {
				return fmt.Errorf("the payment is released, its file could not be written (%w): kula payment release %s shows it again", err, args[0])
			}
			a.print(p, fmt.Sprintf("The release is in %s. Give it to %s alone; it collects with: kula invoice redeem FILE", out, who))
			return nil
		}
		a.print(p, fmt.Sprintf("%s\n%sGive this to %s alone: whoever has it decides when it is collected, with: kula invoice redeem LINK", p.Release, qr(p.Release), who))
		return nil
	})
	c.Long = "Releases a payment that is set aside, as a link and QR code for the payee, or into a new file with --out.\n" +
		"If the payee is online it is told directly, too."
	c.Flags().StringVar(&out, "out", "", "write the link into this new file")
	return c
}

func (a *app) paymentCancelCommand() *cobra.Command {
	return a.paymentVerb("cancel ID", "Ask the payee to give a payment back", func(ctx context.Context, c *api.Client, id string) (*node.PaymentView, error) {
		return c.CancelPayment(ctx, id)
	}, names.askedBack)
}
