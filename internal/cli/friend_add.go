package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/internal/api"
	"kula/node"
	"kula/wire"
)

// addFor is how long somebody may take to answer unless told otherwise: a week, as long as its node keeps the question.
const addFor = duration(7 * 24 * time.Hour)

func (a *app) friendAddCommand() *cobra.Command {
	f := inviteFlags{expires: addFor}
	var name string
	c := a.command("add KEY", "Ask whoever has a key to be a friend", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			key, err := ident.ParseID(args[0])
			if err != nil {
				return wrong("%v", err)
			}
			if err := checkName(name); err != nil {
				return err
			}
			if f.expires < duration(time.Second) {
				return wrong("--expires %s: give them at least 1s to answer", &f.expires)
			}
			return a.friendAdd(ctx, key, name, &f)
		})
	c.Long = "Looks for whoever has a key, where kula up --find says, and asks them to be a friend. They see it with kula friend list\n" +
		"and accept with kula friend accept YOUR-KEY. Until then nothing is owed and nobody is a friend.\n" +
		"--give is what the friend may owe you, --ask what you ask to owe the friend at most;\n" +
		fmt.Sprintf("where one is left out it is %d units. For several currencies repeat the flags.", proposedUnits)
	c.Flags().StringVar(&name, "name", "", "what I will call the friend (default: its own name)")
	f.register(c, "how long they may take to answer")
	return c
}

func (a *app) friendAdd(ctx context.Context, key ident.ID, name string, f *inviteFlags) error {
	lines, err := f.lines(ctx, a.currencies())
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	r, err := c.AddFriend(ctx, key, name, lines, time.Now().Add(time.Duration(f.expires)).Unix())
	if err != nil {
		return err
	}
	a.print(r, requestWords(r))
	return nil
}

// requestWords says who asked whom, and what to do.
func requestWords(r *node.RequestView) string {
	name := r.Name
	if name == "" {
		name = r.Key.Short() + "…"
	}
	var b strings.Builder
	if r.Mine {
		fmt.Fprintf(&b, "You have asked %s to be your friend, until %s; ", name, second(r.Expires))
		switch {
		case r.Noted:
			b.WriteString("they have not answered yet.\n")
		case r.Problem != "":
			fmt.Fprintf(&b, "their node says: %s.\n", r.Problem)
		default:
			b.WriteString("their node has not been found yet.\n")
		}
		return b.String()
	}
	fmt.Fprintf(&b, "%s asks to be your friend:\n", name)
	for _, l := range r.Lines {
		fmt.Fprintf(&b, "  You may owe them up to %s; they ask to owe you up to %s.\n", l.Give, l.Ask)
	}
	fmt.Fprintf(&b, "  Anyone can call themselves %s: make sure that this is their key. Then: kula friend accept %s, or: kula friend decline %s\n", name, r.Key, r.Key)
	return b.String()
}

func (a *app) friendDeclineCommand() *cobra.Command {
	return a.command("decline KEY", "Decline to be somebody's friend, or ask them no more", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			key, err := ident.ParseID(args[0])
			if err != nil {
				return wrong("%v", err)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := c.Decline(ctx, key); err != nil {
				return err
			}
			a.print(struct {
				Key      ident.ID `json:"key"`
				Declined bool     `json:"declined"`
			}{key, true}, fmt.Sprintf("Forgotten. They may ask again; kula friend block %s refuses every connection from them.", key))
			return nil
		})
}

// requestLink is the link of what a key asked me.
func requestLink(ctx context.Context, c *api.Client, key ident.ID) (string, error) {
	list, err := c.Requests(ctx)
	if err != nil {
		return "", err
	}
	for _, r := range list {
		if r.Key == key && !r.Mine {
			return r.URI, nil
		}
	}
	return "", refuse(wire.NotFound, "%s has not asked you to be a friend. See who has with: kula friend list", key)
}
