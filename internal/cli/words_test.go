package cli

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/internal/api"
	"kula/money"
	"kula/node"
	"kula/wire"
)

func value(a int64) money.Value {
	return money.Value{Amount: money.Amount(a), Currency: "EUR/2"}
}

func TestWords(t *testing.T) { // design §2: people see plain words
	ben := ident.NewKey([32]byte{1}).ID()
	zoe := ident.NewKey([32]byte{2}).ID()
	n := names{ben: "Ben"}
	paid := node.PaymentView{
		State: node.Paid, Payee: zoe, PayeeName: "Zoe", Amount: value(1200), Fee: value(5),
		Parts: []node.PartView{{Hops: []ident.ID{ben, zoe}}},
	}
	direct := paid
	direct.Payee, direct.Fee, direct.Parts = ben, value(0), []node.PartView{{Hops: []ident.ID{ben}}}
	held := paid
	held.State, held.ID = node.Held, "77"
	ways := []node.PartView{{Amount: value(700), Fee: value(0), Hops: []ident.ID{zoe}}, {Amount: value(500), Fee: value(5), Hops: []ident.ID{ben, zoe}}}
	split := paid
	split.Parts = ways
	back := paid
	back.State, back.Reason = node.Returned, &node.ReasonView{Code: wire.LimitReached, Text: "Ben lets you owe 10.00 EUR."}
	bare := back
	bare.Reason = &node.ReasonView{Code: wire.NoRoute}
	for _, c := range []struct{ name, got, want string }{
		{"they owe", owes("Ana", value(1200)), "Ana owes you 12.00 EUR"},
		{"I owe", owes("Ana", value(-1200)), "you owe Ana 12.00 EUR"},
		{"even", owes("Ana", value(0)), "you and Ana are even in EUR"},
		{"half a percent", percent(5000), "0.5 %"},
		{"all", percent(1_000_000), "100 %"},
		{"finest", percent(1), "0.0001 %"},
		{"nothing", percent(0), "0 %"},
		{"no fee", feeWords(value(0), 0), "nothing"},
		{"both fees", feeWords(value(5), 2500), "0.05 EUR and 0.25 %"},
		{"list of 1", list([]string{"a"}), "a"},
		{"list of 3", list([]string{"a", "b", "c"}), "a, b and c"},
		{"paid", n.payment(&paid), "Paid 12.00 EUR to Zoe through Ben, fee 0.05 EUR."},
		{"paid to a friend", n.payment(&direct), "Paid 12.00 EUR to Ben."},
		{"paid over two ways", n.payment(&split), "Paid 12.00 EUR to Zoe over 2 ways, through Ben, fee 0.05 EUR."},
		{"held", n.payment(&held), "12.00 EUR, fee 0.05 EUR is set aside for Zoe through Ben. It becomes theirs when you release it: kula payment release 77"},
		{"returned", n.payment(&back), "Not paid: 12.00 EUR to Zoe. Ben lets you owe 10.00 EUR."},
		{"returned without a sentence", n.payment(&bare), "Not paid: 12.00 EUR to Zoe. No route."},
		{"stranger", n.of(zoe), zoe.Short()},
		{"balance", balanceWords(&node.BalanceView{Balance: value(-300), OwedToMe: value(200), IOwe: value(500), Locked: value(100)}), "Friends owe you 2.00 EUR, you owe friends 5.00 EUR: in all you owe 3.00 EUR; 1.00 EUR is set aside for payments on their way."},
		{"most", quoteWords(&node.QuoteView{Possible: true, UpTo: ptr(value(900)), Fee: value(9)}, n, true), "You can pay up to 9.00 EUR; the fee for that would be 0.09 EUR."},
		{"over two ways", quoteWords(&node.QuoteView{Possible: true, Amount: value(1200), Fee: value(5), Parts: ways}, n, false),
			"Possible: 12.00 EUR over 2 ways, through Ben, fee 0.05 EUR.\n  7.00 EUR directly, fee 0.00 EUR\n  5.00 EUR through Ben, fee 0.05 EUR"},
		{"impossible", quoteWords(&node.QuoteView{UpTo: ptr(value(900)), Reason: back.Reason}, n, false), "Not possible. Ben lets you owe 10.00 EUR. You can pay up to 9.00 EUR."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("got  %q\nwant %q", c.got, c.want)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// Words of the protocol that people do not see, and of what is not built yet.
var hidden = regexp.MustCompile(`(?i)\b(promises?|terms|locks?|decider|mediators?|channels?|parts?|ppm|escrow|witness|tower|onion|circle)\b`)

// Names of flags are what design §10 says.
var flagName = regexp.MustCompile(`--[a-z-]+`)

func TestHelpIsInPlainWords(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		text := c.Use + "\n" + c.Short + "\n" + c.Long + "\n" + c.LocalFlags().FlagUsages()
		if c.Short == "" {
			t.Errorf("%s says nothing about itself", c.CommandPath())
		}
		if found := hidden.FindString(flagName.ReplaceAllString(text, "")); found != "" {
			t.Errorf("%s: people do not know %q", c.CommandPath(), found)
		}
		for _, below := range c.Commands() {
			walk(below)
		}
	}
	walk((&app{}).root())
}

func TestCommands(t *testing.T) { // design §10, the lines of letter A
	want := strings.Fields(`ask
		backup backup-create backup-restore balance book book-export book-list book-verify demo
		friend friend-accept friend-add friend-agree friend-block friend-close friend-decline friend-fee friend-find friend-invite friend-limit friend-list
		friend-remove friend-settle friend-show fsck help id index index-block index-list index-query index-serve index-trust init
		invoice invoice-cancel invoice-create invoice-list invoice-redeem invoice-show man pay
		payment payment-cancel payment-list payment-release payment-show payment-wait
		proof proof-export proof-show proof-verify receipt receipt-show receipt-verify
		relay relay-block relay-list relay-serve relay-trust token token-create token-list token-revoke up version wait`)
	root := (&app{}).root()
	root.InitDefaultHelpCmd()
	var got []string
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			got = append(got, strings.ReplaceAll(strings.TrimPrefix(below.CommandPath(), "kula "), " ", "-"))
			walk(below)
		}
	}
	walk(root)
	if g, w := strings.Join(got, " "), strings.Join(want, " "); g != w {
		t.Errorf("commands\n%s\nwant\n%s", g, w)
	}
}

func TestServerLine(t *testing.T) {
	for want, s := range map[string]api.ServerState{
		"from the settings, connected":                               {From: "given", Trust: "none", Connected: true},
		"found, resting: it is full and has everything":              {From: "found", Trust: "none", Resting: true},
		"from your list, trusted, not connected, at last: no answer": {From: "listed", Trust: "trusted", Problem: "no answer"},
		"from the settings, blocked":                                 {From: "given", Trust: "blocked"},
		"from the settings, not connected, wrong answers lately: 2":  {From: "given", Trust: "none", Wrong: 2},
	} {
		if _, got, _ := strings.Cut(strings.TrimSpace(serverLine(s)), "  "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := serversWords([]api.IndexServer{{Resting: true, Waiting: 2}, {}}); got != "Of 2 index servers 1 cannot be reached; 2 announcements wait for the others to confirm them." {
		t.Error(got)
	}
}
