// Till is a shop's till on top of a Kula node: it asks for an amount, shows the invoice
// as a link and as a QR code, and waits until it is paid. It needs a token that may read
// and ask (kula token create --scope read,ask), and nothing of Kula but the API:
//
//	KULA_TOKEN=… till 12.50 EUR/2 two loaves of bread
//
// It exits 0 when it is paid, 1 when not, 2 when called wrongly.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/skip2/go-qrcode"

	"kula/client"
	"kula/money"
)

func main() {
	node := os.Getenv("KULA_API")
	if node == "" {
		node = "http://127.0.0.1:4280"
	}
	if len(os.Args) < 3 || os.Getenv("KULA_TOKEN") == "" {
		fmt.Fprintln(os.Stderr, "usage: KULA_TOKEN=… [KULA_API=http://127.0.0.1:4280] till AMOUNT CURRENCY [WHAT FOR], as in: till 12.50 EUR/2 bread")
		os.Exit(2)
	}
	price, err := money.Parse(os.Args[1]+" "+os.Args[2], false, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "till:", err)
		os.Exit(2)
	}
	if err := sell(node, os.Getenv("KULA_TOKEN"), price, strings.Join(os.Args[3:], " ")); err != nil {
		fmt.Fprintln(os.Stderr, "till:", err)
		os.Exit(1)
	}
}

// sell asks for a price and returns when it is paid, or why it was not.
func sell(node, token string, price money.Value, what string) error {
	ctx := context.Background()
	kula, err := client.NewClientWithResponses(node, client.WithToken(token))
	if err != nil {
		return err
	}
	order := client.InvoiceOrder{Memo: &what, Amount: client.Amount{
		Value: fmt.Sprint(int64(price.Amount)), AssetCode: price.Currency.Code(), AssetScale: int64(price.Currency.Scale()),
	}}
	if issuer := price.Currency.Issuer(); issuer != "" {
		order.Amount.AssetIssuer = &issuer
	}
	asked, err := kula.CreateInvoiceWithResponse(ctx, order)
	if err != nil {
		return err
	}
	if asked.JSON200 == nil {
		return refused(asked.ApplicationproblemJSONDefault, asked.Status())
	}
	code, err := qrcode.New(asked.JSON200.Uri, qrcode.Low) // a screen is no crumpled paper
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%s\nPlease pay %s.\n", code.ToSmallString(false), asked.JSON200.Uri, price)
	for wait := "30s"; ; {
		now, err := kula.GetInvoiceWithResponse(ctx, asked.JSON200.Id, &client.GetInvoiceParams{Wait: &wait})
		switch {
		case err != nil:
			return err
		case now.JSON200 == nil:
			return refused(now.ApplicationproblemJSONDefault, now.Status())
		case now.JSON200.State == "paid":
			fmt.Printf("Paid %s. Thank you!\n", price)
			return nil
		case now.JSON200.State != "open":
			return fmt.Errorf("the invoice is %s", now.JSON200.State)
		}
	}
}

func refused(p *client.Problem, status string) error {
	if p == nil {
		return fmt.Errorf("the node answered %s", status)
	}
	return fmt.Errorf("%s (%s)", p.Detail, p.Code)
}
