package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kula/node"
)

func (a *app) friendSettleCommand() *cobra.Command {
	var text string
	var minor bool
	c := a.command("settle NAME|KEY AMOUNT", "Record that a friend has repaid me outside Kula", cobra.RangeArgs(2, 3),
		func(ctx context.Context, args []string) error {
			amount, err := a.currencies().amount(ctx, strings.Join(args[1:], " "), minor)
			if err == nil {
				amount, err = positive(amount)
			}
			if err == nil {
				err = checkText("--text", text)
			}
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			f, err := c.Settle(ctx, newKey(), args[0], amount, text)
			if err != nil {
				return err
			}
			a.print(f, fmt.Sprintf("Recorded: %s has repaid %s.\n%s", friendName(f), amount, standing(f)))
			return nil
		})
	c.Long = "Records a repayment that you have received in cash or otherwise: only whoever is owed can do that."
	c.Flags().StringVar(&text, "text", "", "what it was")
	minorFlag(c, &minor)
	c.ValidArgsFunction = a.completeFriend
	return c
}

// standing says who owes whom now, a line per currency.
func standing(f *node.FriendView) string {
	var b strings.Builder
	for i := range f.Currencies {
		b.WriteString(sentence(owes(friendName(f), f.Currencies[i].Balance)) + "\n")
	}
	return b.String()
}
