package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kula/internal/api"
)

func (a *app) tokenCommand() *cobra.Command {
	return a.group("token", "Let other programs use this node, within limits",
		a.tokenCreateCommand(), a.tokenListCommand(), a.tokenRevokeCommand())
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var scope []string
	var name string
	c := a.command("create --scope S,…", "Make a token for a program", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if len(scope) == 0 {
			return wrong("say what it may do, e.g. --scope read,ask,pay=50EUR")
		}
		if err := checkName(name); err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		t, err := c.CreateToken(ctx, name, scope)
		if err != nil {
			return err
		}
		if !a.json {
			a.note("The token is shown only now. It may: %s. Its id is %s.", strings.Join(t.Scope, ", "), t.ID)
		}
		a.print(t, t.Token)
		return nil
	})
	c.Long = "Makes a token. Scopes: read (look at everything), ask (make invoices), pay=50EUR or pay=50EUR/month\n" +
		"(pay up to that in all per day or month), configure (everything else)."
	c.Flags().StringSliceVar(&scope, "scope", nil, "what it may do, with commas")
	c.Flags().StringVar(&name, "name", "", "what it is for")
	return c
}

type tokensView struct {
	Tokens []api.TokenState `json:"tokens"`
}

func (a *app) tokenListCommand() *cobra.Command {
	return a.command("list", "List tokens", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		tokens, err := c.Tokens(ctx)
		if err != nil {
			return err
		}
		var b strings.Builder
		for _, t := range tokens {
			fmt.Fprintf(&b, "%s  %s  %s\n", t.ID, strings.Join(t.Scope, ","), t.Name)
			for _, s := range t.Spending {
				fmt.Fprintf(&b, "  paid %s this %s, %s of %s is left\n", s.Spent, s.Period, s.Left, s.Limit)
			}
		}
		if len(tokens) == 0 {
			b.WriteString("No tokens.")
			tokens = []api.TokenState{}
		}
		a.print(tokensView{tokens}, b.String())
		return nil
	})
}

// revokedView is the result of revoke.
type revokedView struct {
	ID      string `json:"id"`
	Revoked bool   `json:"revoked"`
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	return a.command("revoke ID", "End a token", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		if err := c.RevokeToken(ctx, args[0]); err != nil {
			return err
		}
		a.print(revokedView{args[0], true}, "Revoked.")
		return nil
	})
}
