package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kula/internal/api"
)

func (a *app) idCommand() *cobra.Command {
	c := a.command("id", "Show my key in its three spellings", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		who, err := a.who(ctx)
		if err != nil {
			return err
		}
		var b strings.Builder
		if who.Name != "" {
			fmt.Fprintf(&b, "Name     %s\n", who.Name)
		}
		fmt.Fprintf(&b, "Key      %s\nDID      %s\nPeer id  %s\n", who.Key, who.DID, who.Peer)
		for _, addr := range who.Addresses {
			fmt.Fprintf(&b, "Address  %s\n", addr)
		}
		a.print(who, b.String())
		return nil
	})
	return c
}

// who asks the node if one runs, since only it knows its addresses; else the key file.
func (a *app) who(ctx context.Context) (*api.Who, error) {
	dir, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	e, err := api.ReadEndpoint(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, api.EndpointFile), err)
	}
	if err == nil {
		who, err := api.NewClient(e.API, e.Token).Identity(ctx)
		if !errors.Is(err, api.ErrUnreachable) { // unreachable: what a crash left behind
			return who, err
		}
	}
	k, err := a.readKey()
	if err != nil {
		return nil, err
	}
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	return &api.Who{
		Key: k.id, DID: k.id.DID(), Peer: k.id.Peer(), Addresses: []string{},
		Name: setting("", "KULA_NAME", settings.Name, ""),
	}, nil
}
