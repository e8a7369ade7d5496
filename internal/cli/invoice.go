package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kula/internal/api"
	"kula/node"
	"kula/pay"
	"kula/wire"
)

// invoiceFor is how long an invoice is good for unless told otherwise: as long as
// the payer stands at the counter, and a bit.
const invoiceFor = duration(time.Hour)

// redeemWait is how long redeem waits for the last friend on the way to turn the
// money over; it does so at once when it is online.
const redeemWait = 10 * time.Second

func (a *app) invoiceCommand() *cobra.Command {
	return a.group("invoice", "Ask for payments",
		a.askFor("create AMOUNT"), a.invoiceShowCommand(), a.invoiceListCommand(),
		a.invoiceCancelCommand(), a.invoiceRedeemCommand())
}

// askCommand is invoice create under the word that people use.
func (a *app) askCommand() *cobra.Command { return a.askFor("ask AMOUNT") }

func (a *app) askFor(use string) *cobra.Command {
	var ask api.Ask
	var minor bool
	expires := invoiceFor
	c := a.command(use, "Ask for a payment: make a link that anyone can pay once", cobra.RangeArgs(1, 2),
		func(ctx context.Context, args []string) error {
			amount, err := a.currencies().amount(ctx, strings.Join(args, " "), minor)
			if err == nil {
				amount, err = positive(amount)
			}
			if err == nil {
				err = checkText("--memo", ask.Memo)
			}
			if err == nil && expires < duration(time.Second) {
				err = wrong("--expires %s: an invoice is good for at least 1s", &expires)
			}
			if err != nil {
				return err
			}
			ask.Amount, ask.Expires = amount, time.Now().Add(time.Duration(expires)).Unix()
			c, err := a.client()
			if err != nil {
				return err
			}
			i, err := c.CreateInvoice(ctx, ask)
			if err != nil {
				return err
			}
			a.print(i, fmt.Sprintf("%s\n%s%s\n", i.URI, qr(i.URI), invoiceWords(i)))
			return nil
		})
	c.Flags().StringVar(&ask.Memo, "memo", "", "what it is for; the payer sees it")
	c.Flags().Var(&expires, "expires", "how long it can be paid")
	c.Flags().BoolVar(&ask.Hold, "hold", false, "the payer sets the money aside now and releases it later")
	minorFlag(c, &minor)
	return c
}

// invoiceVerb is a command whose result is an invoice.
func (a *app) invoiceVerb(use, short string, run func(context.Context, *api.Client, string) (*node.InvoiceView, error)) *cobra.Command {
	return a.command(use, short, oneID, func(ctx context.Context, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		i, err := run(ctx, c, args[0])
		if err != nil {
			return err
		}
		text := invoiceWords(i)
		if i.State == "open" {
			text = i.URI + "\n" + text
		}
		a.print(i, text)
		return nil
	})
}

func (a *app) invoiceShowCommand() *cobra.Command {
	return a.invoiceVerb("show ID", "Show one invoice", func(ctx context.Context, c *api.Client, id string) (*node.InvoiceView, error) {
		return c.Invoice(ctx, id, 0)
	})
}

func (a *app) invoiceCancelCommand() *cobra.Command {
	return a.invoiceVerb("cancel ID", "Give an invoice up; what is set aside for it goes back", func(ctx context.Context, c *api.Client, id string) (*node.InvoiceView, error) {
		return c.CancelInvoice(ctx, id)
	})
}

// pageFlags adds --limit and --cursor.
func pageFlags(c *cobra.Command, p *api.Page) {
	c.Flags().IntVar(&p.Limit, "limit", 0, "how many at most")
	c.Flags().StringVar(&p.Cursor, "cursor", "", "go on where an earlier list ended (its \"next\")")
}

type invoicesView struct {
	Invoices []node.InvoiceView `json:"invoices"`
	Next     string             `json:"next"`
}

func (a *app) invoiceListCommand() *cobra.Command {
	var page api.Page
	c := a.command("list", "List invoices, newest first", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, next, err := c.Invoices(ctx, page)
		if err != nil {
			return err
		}
		var b strings.Builder
		for i := range list {
			fmt.Fprintf(&b, "%s  %-9s  %s  %s\n", list[i].ID, list[i].State, list[i].Amount, list[i].Memo)
		}
		if len(list) == 0 {
			b.WriteString("No invoices.")
			list = []node.InvoiceView{}
		}
		a.print(invoicesView{list, next}, b.String()+more(next))
		return nil
	})
	pageFlags(c, &page)
	return c
}

// more says how to see the next page.
func more(next string) string {
	if next == "" {
		return ""
	}
	return "More with --cursor " + next
}

func (a *app) invoiceRedeemCommand() *cobra.Command {
	c := a.command("redeem RELEASE", "Collect what was set aside for me, with the payer's release", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			link, err := a.linkFrom(args[0])
			if err == nil {
				err = checkRelease(link)
			}
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			i, err := redeem(ctx, c, link)
			if err != nil {
				return err
			}
			id := i.ID
			done, err := until(ctx, c, redeemWait, func(ctx context.Context) (bool, error) {
				v, err := c.Invoice(ctx, id, 0)
				if err != nil {
					return false, err
				}
				i = v
				return i.State != "held", nil
			})
			if err != nil {
				return err
			}
			a.print(i, invoiceWords(i))
			if !done {
				return errWaiting
			}
			return nil
		})
	c.Long = "RELEASE is the link that the payer got from kula payment release, or a file with it, or - for standard input."
	return c
}

// redeem collects a hold. One that was collected already (the payer's node may have
// told mine directly) is as good.
func redeem(ctx context.Context, c *api.Client, link string) (*node.InvoiceView, error) {
	i, err := c.Redeem(ctx, newKey(), link)
	var no *api.Refused
	if !errors.As(err, &no) || no.Status != http.StatusNotFound {
		return i, err
	}
	release, bad := pay.ParseReleaseLink(link)
	if bad != nil {
		return nil, err
	}
	if i, e := c.Invoice(ctx, release.Invoice.String(), 0); e == nil && i.State == "paid" {
		return i, nil
	}
	return nil, err
}

func checkRelease(link string) error {
	if _, err := wire.ParseLink(wire.LinkRelease, link); err != nil {
		return wrong("%v. A release looks like kula:release?d=…", err)
	}
	return nil
}

// linkFrom takes a link as it is, or from a file.
func (a *app) linkFrom(arg string) (string, error) {
	if strings.HasPrefix(strings.TrimSpace(arg), "kula:") {
		return strings.TrimSpace(arg), nil
	}
	text, err := a.readInput(arg)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%q is no kula: link, and there is no such file", arg)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(text), nil
}
