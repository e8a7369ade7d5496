package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/internal/api"
	"kula/internal/index"
	"kula/internal/run"
)

// serverWords are how people call the servers of a role, and what names one with its place.
var serverWords = map[run.Role]struct{ one, many, place string }{
	run.IndexRole: {"an index server", "index servers", "LINK"},
	run.RelayRole: {"a relay", "relays", "ADDRESS"},
}

// serverCommands are list, trust and block of a role: the user's own list.
func (a *app) serverCommands(role run.Role) []*cobra.Command {
	return []*cobra.Command{a.serverListCommand(role), a.serverTrustCommand(role), a.serverBlockCommand(role)}
}

type serversView struct {
	Servers []api.ServerState `json:"servers"`
}

func (a *app) serverListCommand(role run.Role) *cobra.Command {
	words := serverWords[role]
	c := a.command("list", "List the "+words.many+" of this node, and what you said of them", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		servers, err := c.Servers(ctx, role)
		if err != nil {
			return err
		}
		var b strings.Builder
		for _, s := range servers {
			b.WriteString(serverLine(s))
		}
		if len(servers) == 0 {
			fmt.Fprintf(&b, "No %s.", words.many)
		}
		a.print(serversView{servers}, b.String())
		return nil
	})
	c.Long = "Lists them in the order in which they are asked, those that you blocked at the end."
	return c
}

// serverLine is a server on one line.
func serverLine(s api.ServerState) string {
	words := []string{map[string]string{"given": "from the settings", "found": "found", "listed": "from your list"}[s.From]}
	if s.Trust != "none" {
		words = append(words, s.Trust)
	}
	switch {
	case s.Trust == string(run.Blocked):
	case s.Connected:
		words = append(words, "connected")
	case s.Resting:
		words = append(words, "resting: it is full and has everything")
	default:
		words = append(words, "not connected")
	}
	if s.Wrong > 0 {
		words = append(words, fmt.Sprintf("wrong answers lately: %d", s.Wrong))
	}
	if s.Problem != "" {
		words = append(words, "at last: "+s.Problem)
	}
	return fmt.Sprintf("%s  %s\n", s.Key, strings.Join(words, ", "))
}

func (a *app) serverTrustCommand(role run.Role) *cobra.Command {
	words := serverWords[role]
	c := a.judgeCommand(role, "trust KEY|"+words.place, "Use "+words.one+" from now on, before others", run.Trusted)
	c.Long = "Puts a server on your list: it is used from now on and at each start" + map[run.Role]string{run.IndexRole: ", and asked before others", run.RelayRole: ""}[role] + ".\n" +
		"A key is enough if the node uses the server already."
	return c
}

func (a *app) serverBlockCommand(role run.Role) *cobra.Command {
	words := serverWords[role]
	c := a.judgeCommand(role, "block KEY|"+words.place, "Never use "+words.one, run.Blocked)
	c.Long = "Puts a server on your list: it is left at once and never used again, even if the settings name it or it is found."
	return c
}

func (a *app) judgeCommand(role run.Role, use, short string, trust run.Trust) *cobra.Command {
	var undo bool
	c := a.command(use, short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		key, addrs, err := serverRef(role, args[0])
		if err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		if undo {
			if err := c.ForgetServer(ctx, role, key); err != nil {
				return err
			}
			a.print(struct {
				Key   ident.ID `json:"key"`
				Trust string   `json:"trust"`
			}{key, "none"}, fmt.Sprintf("%s is off your list.", key))
			return nil
		}
		s, err := c.JudgeServer(ctx, role, key, trust, addrs)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%s is used from now on. Undo it with: kula %s trust %s --undo", key, role, key)
		if trust == run.Blocked {
			text = fmt.Sprintf("%s is not used any more. Undo it with: kula %s block %s --undo", key, role, key)
		}
		a.print(s, text)
		return nil
	})
	c.Flags().BoolVar(&undo, "undo", false, "take it off the list")
	return c
}

// serverRef reads a key, or what says where a server is too.
func serverRef(role run.Role, ref string) (ident.ID, []string, error) {
	switch {
	case role == run.IndexRole && strings.HasPrefix(ref, "kula:"):
		l, err := index.ParseURI(ref)
		if err != nil {
			return ident.ID{}, nil, wrong("%v", err)
		}
		return l.Key, l.Addrs, nil
	case role == run.RelayRole && strings.HasPrefix(ref, "/"):
		if err := run.CheckRelay(ref); err != nil {
			return ident.ID{}, nil, wrong("%v", err)
		}
		id, err := ident.ParseID(ref[strings.LastIndex(ref, "/")+1:])
		if err != nil {
			return id, nil, wrong("%v", err)
		}
		return id, []string{ref}, nil
	}
	id, err := ident.ParseID(ref)
	if err != nil {
		return id, nil, wrong("%v", err)
	}
	return id, nil, nil
}
