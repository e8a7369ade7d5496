package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"kula/internal/api"
	"kula/node"
)

func (a *app) friendCommand() *cobra.Command {
	return a.group("friend", "People you give credit to and get it from",
		a.friendInviteCommand(), a.friendAddCommand(), a.friendAcceptCommand(), a.friendDeclineCommand(), a.friendListCommand(), a.friendShowCommand(),
		a.friendLimitCommand(), a.friendFeeCommand(), a.friendSettleCommand(), a.friendAgreeCommand(),
		a.friendCloseCommand(), a.friendRemoveCommand(), a.friendBlockCommand(), a.friendFindCommand(),
	)
}

// friends of the list object.
type friendsView struct {
	Friends  []node.FriendView  `json:"friends"`
	Requests []node.RequestView `json:"requests"` // who asks to be one, and whom I asked
}

func (a *app) friendListCommand() *cobra.Command {
	return a.command("list", "List friends, who owes whom, and what can be paid", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		friends, err := c.Friends(ctx)
		if err != nil {
			return err
		}
		requests, err := c.Requests(ctx)
		if err != nil {
			return err
		}
		var b strings.Builder
		for i := range friends {
			b.WriteString(friendWords(&friends[i], false))
		}
		if len(friends) == 0 {
			b.WriteString("No friends yet. Invite one with: kula friend invite NAME --currency EUR/2\n")
			friends = []node.FriendView{}
		}
		for i := range requests {
			b.WriteString(requestWords(&requests[i]))
		}
		a.print(friendsView{friends, requests}, b.String())
		return nil
	})
}

func (a *app) friendShowCommand() *cobra.Command {
	return a.friendVerb("show NAME|KEY", "Show everything about a friend", cobra.ExactArgs(1),
		func(ctx context.Context, c *api.Client, args []string) (*node.FriendView, error) {
			return c.Friend(ctx, args[0])
		}, func(f *node.FriendView) string { return friendWords(f, true) })
}

// friendVerb is a command whose result is a friend. say words the result.
func (a *app) friendVerb(use, short string, args cobra.PositionalArgs,
	run func(context.Context, *api.Client, []string) (*node.FriendView, error), say func(*node.FriendView) string,
) *cobra.Command {
	cmd := a.command(use, short, args, func(ctx context.Context, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		f, err := run(ctx, c, args)
		if err != nil {
			return err
		}
		a.print(f, say(f))
		return nil
	})
	cmd.ValidArgsFunction = a.completeFriend
	return cmd
}

// completeFriend offers the names of friends for the first argument.
func (a *app) completeFriend(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	friends, err := c.Friends(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []string
	for i := range friends {
		found = append(found, friendName(&friends[i]))
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}
