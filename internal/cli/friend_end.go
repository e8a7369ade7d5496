package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/internal/api"
	"kula/node"
)

func (a *app) friendAgreeCommand() *cobra.Command {
	c := a.friendVerb("agree NAME|KEY", "Agree on the figures after a friend's statements contradicted each other", cobra.ExactArgs(1),
		func(ctx context.Context, c *api.Client, args []string) (*node.FriendView, error) {
			return c.Agree(ctx, args[0])
		}, func(f *node.FriendView) string {
			if f.State == node.Frozen {
				return fmt.Sprintf("You have agreed. It goes on when %s has agreed too, with: kula friend agree\n%s", friendName(f), standing(f))
			}
			return fmt.Sprintf("You and %s agree; it goes on.\n%s", friendName(f), standing(f))
		})
	c.Long = "Goes on with a friend with whom everything has stopped because of contradicting statements.\n" +
		"Both of you must agree. The evidence is kept: see kula proof export."
	return c
}

func (a *app) friendCloseCommand() *cobra.Command {
	return a.friendVerb("close NAME|KEY", "Let no more payments pass between me and a friend", cobra.ExactArgs(1),
		func(ctx context.Context, c *api.Client, args []string) (*node.FriendView, error) {
			return c.Close(ctx, args[0])
		}, func(f *node.FriendView) string {
			return fmt.Sprintf("No more payments with %s. What is owed is settled outside, and entered with: kula friend settle\n%s", friendName(f), standing(f))
		})
}

func (a *app) friendRemoveCommand() *cobra.Command {
	var withDebt bool
	c := a.friendVerb("remove NAME|KEY", "Remove a friend from the list", cobra.ExactArgs(1),
		func(ctx context.Context, c *api.Client, args []string) (*node.FriendView, error) {
			return c.Remove(ctx, args[0], withDebt)
		}, func(f *node.FriendView) string {
			return fmt.Sprintf("%s is removed. The proof of what was owed is kept: kula proof export %s\n%s", friendName(f), f.Key, standing(f))
		})
	c.Long = "Removes a friend with whom you are even. While something is owed or on its way that is refused,\n" +
		"unless you say --with-debt: what is on its way then still ends properly, and the proof of the debt is kept."
	c.Flags().BoolVar(&withDebt, "with-debt", false, "also if something is owed")
	return c
}

// blockView is the result of block.
type blockView struct {
	Key     ident.ID `json:"key"`
	Blocked bool     `json:"blocked"`
}

func (a *app) friendBlockCommand() *cobra.Command {
	var undo bool
	c := a.command("block NAME|KEY", "Refuse every connection from a key", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			id, err := ident.ParseID(args[0])
			c, e := a.client()
			if e != nil {
				return e
			}
			if err != nil { // no key: a friend, then
				f, err := c.Friend(ctx, args[0])
				if err != nil {
					return err
				}
				id = f.Key
			}
			if undo {
				err = c.Unblock(ctx, id)
			} else {
				err = c.Block(ctx, id)
			}
			if err != nil {
				return err
			}
			text := fmt.Sprintf("Connections from %s are refused from now on. Undo it with: kula friend block %s --undo", id, id)
			if undo {
				text = fmt.Sprintf("%s may connect again.", id)
			}
			a.print(blockView{id, !undo}, text)
			return nil
		})
	c.Flags().BoolVar(&undo, "undo", false, "let it connect again")
	c.ValidArgsFunction = a.completeFriend
	return c
}

func (a *app) friendFindCommand() *cobra.Command {
	c := a.friendVerb("find NAME|KEY ADDRESS", "Say where a friend can be reached", cobra.ExactArgs(2),
		func(ctx context.Context, c *api.Client, args []string) (*node.FriendView, error) {
			return c.Find(ctx, args[0], args[1], "")
		}, func(f *node.FriendView) string { return friendWords(f, true) })
	c.Long = "Says where a friend can be reached, as a multiaddress like /ip4/192.0.2.7/tcp/4281 (see kula id there).\n" +
		"After a restore a key may be given that is no friend yet: it is asked what it knows of you."
	return c
}
