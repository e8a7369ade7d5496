package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"kula/money"
	"kula/wire"
)

func (a *app) friendLimitCommand() *cobra.Command {
	var minor bool
	c := a.command("limit NAME|KEY AMOUNT", "Set what a friend may owe me", cobra.RangeArgs(2, 3),
		func(ctx context.Context, args []string) error {
			limit, err := a.currencies().amount(ctx, strings.Join(args[1:], " "), minor)
			if err != nil {
				return err
			}
			if limit.Amount > money.MaxLimit {
				return wrong("a limit is at most %s", money.Value{Amount: money.MaxLimit, Currency: limit.Currency})
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			f, err := c.SetLimit(ctx, args[0], limit)
			if err != nil {
				return err
			}
			a.print(f, agreedWords(f))
			return nil
		})
	c.ValidArgsFunction = a.completeFriend
	minorFlag(c, &minor)
	return c
}

func (a *app) friendFeeCommand() *cobra.Command {
	var currency, base, rate string
	var minor bool
	c := a.command("fee NAME|KEY --currency C", "Set what I charge a friend for passing its payments on", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			if base == "" && rate == "" {
				return wrong("say what to charge: --base AMOUNT, --ppm RATE or both; --base 0 for nothing")
			}
			fee, in, err := a.parseFee(ctx, currency, base, rate, minor)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			f, err := c.SetFee(ctx, args[0], in, fee)
			if err != nil {
				return err
			}
			a.print(f, friendWords(f, true))
			return nil
		})
	c.Flags().StringVar(&currency, "currency", "", "currency, e.g. EUR/2")
	c.Flags().StringVar(&base, "base", "", "fixed amount per payment (default 0)")
	c.Flags().StringVar(&rate, "ppm", "", "a percentage of what is passed on like 0.5%, or in millionths of it (default 0)")
	minorFlag(c, &minor)
	c.ValidArgsFunction = a.completeFriend
	return c
}

func (a *app) parseFee(ctx context.Context, currency, base, rate string, minor bool) (fee money.Fee, in money.Currency, err error) {
	if currency == "" {
		return fee, "", wrong("say in which currency, e.g. --currency EUR/2")
	}
	if in, err = a.currencies().currency(ctx, currency); err != nil {
		return fee, in, err
	}
	if base != "" {
		v, err := amountIn(base, in, minor)
		if err != nil {
			return fee, in, err
		}
		fee.Base = v.Amount
	}
	if rate != "" {
		if fee.Ppm, err = money.ParsePpm(rate); err != nil {
			return fee, in, wrong("%v", err)
		}
	}
	if fee.Base > money.MaxLimit {
		return fee, in, wrong("a fixed fee is at most %s", money.Value{Amount: money.MaxLimit, Currency: in})
	}
	return fee, in, nil
}

// checkText refuses a text that could not be sent.
func checkText(flag, text string) error {
	if err := wire.CleanText(text, wire.MaxText); err != nil {
		return wrong("%s: %v", flag, err)
	}
	return nil
}
