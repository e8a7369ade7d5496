package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kula/internal/api"
	"kula/money"
)

// proposedUnits is the limit given and asked for when nobody says otherwise, in
// whole units: enough for a first trade, and what most people would lend a friend.
const proposedUnits = 50

// proposed is that limit in a currency.
func proposed(c money.Currency) money.Value {
	a := money.Amount(proposedUnits)
	for range c.Scale() {
		a *= 10 // 50 with at most 9 decimals fits easily
	}
	return money.Value{Amount: a, Currency: c}
}

// currencies resolves bare codes: first by what is known already, then by asking
// the node, and only if it must.
type currencies struct {
	client func() (*api.Client, error)
	known  []money.Currency
	asked  bool
	err    error // of asking the node
}

func (a *app) currencies(known ...money.Currency) *currencies {
	return &currencies{client: a.client, known: known}
}

func (k *currencies) of(ctx context.Context) func(code string) []money.Currency {
	return func(code string) (fits []money.Currency) {
		if fits = k.among(code); len(fits) > 0 || k.asked {
			return fits
		}
		k.asked = true
		client, err := k.client()
		if err == nil {
			var more []money.Currency
			more, err = client.Currencies(ctx)
			k.known = append(k.known, more...)
		}
		k.err = err
		return k.among(code)
	}
}

func (k *currencies) among(code string) (fits []money.Currency) {
	for _, c := range k.known {
		if c.Code() == code {
			fits = append(fits, c)
		}
	}
	return fits
}

// amount reads "12.50 EUR". What cannot be read is a mistake of the caller,
// unless the node had to be asked and could not.
func (k *currencies) amount(ctx context.Context, text string, minor bool) (money.Value, error) {
	v, err := money.Parse(text, minor, k.of(ctx))
	if err != nil {
		return v, k.fault(err)
	}
	return v, nil
}

// amountIn reads "12.50" or "12.50 EUR" where the currency is known.
func amountIn(text string, c money.Currency, minor bool) (money.Value, error) {
	a, err := money.ParseIn(text, c, minor)
	if err != nil {
		return money.Value{}, wrong("%v", err)
	}
	return money.Value{Amount: a, Currency: c}, nil
}

// currency reads "EUR/2", or "EUR" if only one scale of it is known.
func (k *currencies) currency(ctx context.Context, text string) (money.Currency, error) {
	// An amount of it has the same rules and the same advice.
	v, err := money.Parse("0 "+text, false, k.of(ctx))
	if err != nil {
		why := strings.TrimPrefix(err.Error(), "amount "+strconv.Quote("0 "+text)+": ")
		err = errors.New("currency " + strconv.Quote(text) + ": " + strings.TrimPrefix(why, "currency "+strconv.Quote(text)+": "))
		return "", k.fault(err)
	}
	return v.Currency, nil
}

func (k *currencies) fault(err error) error {
	if k.err != nil {
		return k.err
	}
	return wrong("%v", err)
}

// positive refuses an amount of nothing.
func positive(v money.Value) (money.Value, error) {
	if v.Amount == 0 {
		return v, wrong("the amount is 0; nothing would change hands")
	}
	return v, nil
}

// hasCurrency says whether an amount names its currency: a number alone is digits
// and at most a separator.
func hasCurrency(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' })
}

// minorFlag lets amounts be written in minor units.
func minorFlag(c *cobra.Command, minor *bool) {
	c.Flags().BoolVar(minor, "minor", false, "amounts are in minor units: 1250 EUR/2 is 12.50 EUR")
}

// duration is a flag like 30s, 24h or 7d.
type duration time.Duration

func (d *duration) String() string {
	t := time.Duration(*d)
	if t >= 24*time.Hour && t%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(t/(24*time.Hour)), 10) + "d"
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (d *duration) Type() string { return "duration" }

// maxDays keeps a duration within what an int64 of nanoseconds holds.
const maxDays = 100 * 366

func (d *duration) Set(s string) error {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > maxDays {
			return errors.New("write it like 30s, 24h or 7d")
		}
		*d = duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	t, err := time.ParseDuration(s)
	if err != nil || t < 0 {
		return errors.New("write it like 30s, 24h or 7d")
	}
	*d = duration(t)
	return nil
}
