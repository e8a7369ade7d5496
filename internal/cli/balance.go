package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kula/node"
)

type balancesView struct {
	Balances []node.BalanceView `json:"balances"`
}

func (a *app) balanceCommand() *cobra.Command {
	return a.command("balance", "Show what is owed to me and what I owe, per currency", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, err := c.Balances(ctx)
		if err != nil {
			return err
		}
		var b strings.Builder
		for i := range list {
			b.WriteString(balanceWords(&list[i]) + "\n")
		}
		if len(list) == 0 {
			b.WriteString("Nothing is owed either way.")
			list = []node.BalanceView{}
		}
		a.print(balancesView{list}, b.String())
		return nil
	})
}

func balanceWords(v *node.BalanceView) string {
	total := "you are even in all"
	switch {
	case v.Balance.Amount > 0:
		total = fmt.Sprintf("in all you are owed %s", v.Balance)
	case v.Balance.Amount < 0:
		total = fmt.Sprintf("in all you owe %s", magnitude(v.Balance))
	}
	aside := ""
	if v.Locked.Amount != 0 {
		aside = fmt.Sprintf("; %s is set aside for payments on their way", v.Locked)
	}
	return fmt.Sprintf("Friends owe you %s, you owe friends %s: %s%s.", v.OwedToMe, v.IOwe, total, aside)
}
