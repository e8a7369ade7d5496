package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// receiptView is what a receipt proves.
type receiptView struct {
	Valid   bool        `json:"valid"`
	Invoice string      `json:"invoice,omitempty"`
	Payment string      `json:"payment,omitempty"`
	Amount  money.Value `json:"amount"`
	Payee   ident.ID    `json:"payee"`
	PaidAt  int64       `json:"paidAt"`   // unix milliseconds
	Word    string      `json:"paidAtBy"` // whose word that is: payee (signed), or payer
	Memo    string      `json:"memo,omitempty"`
	Receipt string      `json:"receipt,omitempty"` // the receipt itself, as a link
}

// invalidView is the verdict no.
type invalidView struct {
	Valid bool `json:"valid"`
}

func (a *app) receiptCommand() *cobra.Command {
	return a.group("receipt", "Proofs of payment", a.receiptShowCommand(), a.receiptVerifyCommand())
}

func (a *app) receiptShowCommand() *cobra.Command {
	var out string
	c := a.command("show PAYMENT|FILE", "Show the receipt of a payment of mine, or one in a file", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			link, err := a.receiptOf(ctx, args[0])
			if err != nil {
				return err
			}
			view, err := verifyReceipt(link)
			if err != nil {
				return err
			}
			if out != "" {
				if err := writeOut(out, []byte(link+"\n")); err != nil {
					return err
				}
			}
			view.Receipt = link
			a.print(view, receiptWords(view)+"\n"+link)
			return nil
		})
	c.Long = "Shows a receipt. PAYMENT is the id of a payment of mine (the node must run); FILE holds a receipt, or is its link, or - for standard input."
	c.Flags().StringVar(&out, "out", "", "write the receipt into this new file")
	return c
}

func (a *app) receiptVerifyCommand() *cobra.Command {
	c := a.command("verify FILE", "Check a receipt; needs no node", cobra.ExactArgs(1), func(_ context.Context, args []string) error {
		link, err := a.linkFrom(args[0])
		if err != nil {
			return err
		}
		view, err := verifyReceipt(link)
		if err != nil {
			return err
		}
		a.print(view, "Valid. "+receiptWords(view))
		return nil
	})
	c.Long = "Checks a receipt in a file (or its link, or - for standard input). Exit 1: it proves nothing."
	return c
}

// receiptOf finds a receipt by the payment's id, or in a file or link.
func (a *app) receiptOf(ctx context.Context, arg string) (string, error) {
	if _, err := wire.ParseID16(arg); err != nil {
		return a.linkFrom(arg)
	}
	c, err := a.client()
	if err != nil {
		return "", err
	}
	p, err := c.Payment(ctx, arg, 0)
	if err != nil {
		return "", err
	}
	if p.Receipt == "" {
		return "", refuse(wire.NotFound, "payment %s is %s: there is a receipt when it is paid", p.ID, p.State)
	}
	return p.Receipt, nil
}

// verifyReceipt gives what a receipt proves, or the verdict no as a failure.
func verifyReceipt(link string) (*receiptView, error) {
	r, err := pay.ParseReceipt(link)
	if err != nil {
		return nil, invalid("this is no receipt: %v", err)
	}
	p, err := pay.VerifyReceipt(offline{}, r)
	if err != nil {
		return nil, invalid("the receipt proves nothing: %v", err)
	}
	v := &receiptView{Valid: true, Amount: p.Value, Payee: p.Payee, PaidAt: p.PaidAt, Word: "payee", Memo: p.Memo}
	if p.Invoice != (wire.InvoiceID{}) {
		v.Invoice, v.Word = p.Invoice.String(), "payer"
	}
	if p.Payment != (wire.PaymentID{}) {
		v.Payment = p.Payment.String()
	}
	return v, nil
}

func invalid(format string, args ...any) error {
	return &failure{code: wire.BadSignature.String(), text: fmt.Sprintf(format, args...), result: invalidView{}}
}

func receiptWords(v *receiptView) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s was paid to %s", v.Amount, v.Payee)
	switch {
	case v.Invoice != "":
		fmt.Fprintf(&b, ", who asked for it with invoice %s", v.Invoice)
		if v.Memo != "" {
			fmt.Fprintf(&b, " (%q)", v.Memo)
		}
		if v.PaidAt != 0 {
			fmt.Fprintf(&b, "; the payer says on %s", moment(v.PaidAt))
		}
	default:
		fmt.Fprintf(&b, ", who says so itself, on %s (payment %s)", moment(v.PaidAt), v.Payment)
	}
	return b.String() + "."
}
