package cli

import (
	"context"
	"errors"
	"testing"
	"time"

	"kula/internal/api"
	"kula/money"
)

func TestDuration(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
		show string
	}{
		{"30s", 30 * time.Second, "30s"},
		{"24h", 24 * time.Hour, "1d"},
		{"7d", 7 * 24 * time.Hour, "7d"},
		{"1h", time.Hour, "1h"},
		{"10m", 10 * time.Minute, "10m"},
		{"1h30m", 90 * time.Minute, "1h30m"},
		{"1m30s", 90 * time.Second, "1m30s"},
		{"0s", 0, "0s"},
		{"100ms", 100 * time.Millisecond, "100ms"},
	} {
		var d duration
		if err := d.Set(c.text); err != nil || time.Duration(d) != c.want || d.String() != c.show {
			t.Errorf("%s: %v, %v, shown as %s", c.text, time.Duration(d), err, d.String())
		}
	}
	for _, text := range []string{"", "soon", "-1s", "5", "-3d", "1.5d", "99999999999d", "1000000d"} {
		var d duration
		if d.Set(text) == nil {
			t.Errorf("%q is taken for %v", text, time.Duration(d))
		}
	}
}

// offline currencies: the node cannot be asked.
func knownOnly(known ...money.Currency) *currencies {
	return &currencies{known: known, client: func() (*api.Client, error) { return nil, errors.New("no node") }}
}

func TestAmounts(t *testing.T) { // design §10
	ctx := context.Background()
	if v, err := knownOnly("EUR/2").amount(ctx, "12,50 EUR", false); err != nil || v != value(1250) {
		t.Errorf("12,50 EUR: %v, %v", v, err)
	}
	if v, err := knownOnly().amount(ctx, "1250 EUR/2", true); err != nil || v != value(1250) {
		t.Errorf("1250 minor EUR/2: %v, %v", v, err)
	}
	var mistake *usage
	if _, err := knownOnly("EUR/2", "EUR/4").amount(ctx, "1 EUR", false); !errors.As(err, &mistake) {
		t.Errorf("two scales known: %v", err)
	}
	if _, err := knownOnly().amount(ctx, "1,250.00 EUR/2", false); !errors.As(err, &mistake) {
		t.Errorf("two separators: %v", err)
	}
	if _, err := knownOnly().amount(ctx, "1 EUR", false); err == nil || errors.As(err, &mistake) {
		t.Errorf("a bare code and no node is no mistake of the caller: %v", err)
	}
	if c, err := knownOnly("EUR/2").currency(ctx, "EUR"); err != nil || c != "EUR/2" {
		t.Errorf("EUR: %v, %v", c, err)
	}
	if _, err := knownOnly().currency(ctx, "eur/2"); !errors.As(err, &mistake) {
		t.Errorf("eur/2: %v", err)
	}
	if v := proposed("EUR/2"); v != value(5000) {
		t.Errorf("proposed: %v", v)
	}
	if v := proposed("XX/9"); v.Amount != 50_000_000_000 {
		t.Errorf("proposed at 9 decimals: %v", v)
	}
}

func TestInviteLines(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags inviteFlags
		want  []api.Line // nil: refused
	}{
		{"proposed", inviteFlags{currencies: []string{"EUR/2"}}, []api.Line{{Currency: "EUR/2", Give: value(5000), Ask: value(5000)}}},
		{"one side", inviteFlags{currencies: []string{"EUR/2"}, give: []string{"0"}}, []api.Line{{Currency: "EUR/2", Give: value(0), Ask: value(5000)}}},
		{"named", inviteFlags{give: []string{"7 EUR/2"}, ask: []string{"8 EUR"}}, []api.Line{{Currency: "EUR/2", Give: value(700), Ask: value(800)}}},
		{"minor", inviteFlags{currencies: []string{"EUR/2"}, give: []string{"700"}, ask: []string{"1"}, minor: true}, []api.Line{{Currency: "EUR/2", Give: value(700), Ask: value(1)}}},
		{"two by place", inviteFlags{currencies: []string{"HOUR/0", "EUR/2"}, give: []string{"1", "2"}, ask: []string{"3", "4"}}, []api.Line{
			{Currency: "EUR/2", Give: value(200), Ask: value(400)},
			{Currency: "HOUR/0", Give: money.Value{Amount: 1, Currency: "HOUR/0"}, Ask: money.Value{Amount: 3, Currency: "HOUR/0"}},
		}},
		{"no currency", inviteFlags{give: []string{"10"}}, nil},
		{"nothing", inviteFlags{}, nil},
		{"more amounts than currencies", inviteFlags{currencies: []string{"EUR/2"}, give: []string{"1", "2"}}, nil},
		{"negative", inviteFlags{currencies: []string{"EUR/2"}, give: []string{"-1"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			// "8 EUR" is resolved by the amount before it, which named EUR/2.
			lines, err := c.flags.lines(context.Background(), knownOnly("EUR/2"))
			if (err == nil) != (c.want != nil) || len(lines) != len(c.want) {
				t.Fatalf("%v, %v", lines, err)
			}
			for i := range lines {
				if lines[i] != c.want[i] {
					t.Errorf("line %d: %v, want %v", i, lines[i], c.want[i])
				}
			}
		})
	}
}
