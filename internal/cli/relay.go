package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/internal/find"
	"kula/internal/relay"
	"kula/internal/run"
)

const (
	// relayKeyFile is the identity of a relay: not the person's, for the reason of indexKeyFile.
	relayKeyFile = "relay-key"

	// relayListen is where a relay listens, by UDP and TCP: the port after an index server's.
	relayListen = "0.0.0.0:4283"
)

func (a *app) relayCommand() *cobra.Command {
	return a.group("relay", "Servers that forward connections to nodes behind a router", append(a.serverCommands(run.RelayRole), a.relayServeCommand())...)
}

// relayReady is the line that relay serve prints.
type relayReady struct {
	Key   ident.ID `json:"key"`
	Relay []string `json:"relay"`
}

func (a *app) relayServeCommand() *cobra.Command {
	var listen, announce []string
	var metrics, pkarr string
	c := a.command("serve", "Run a relay", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		if len(listen) == 0 {
			listen = []string{relayListen}
		}
		for _, l := range listen {
			if _, err := relay.ListenAddrs(l); err != nil {
				return wrong("--listen: %v", err)
			}
		}
		if _, _, err := net.SplitHostPort(metrics); metrics != "" && err != nil {
			return wrong("--metrics %s: write HOST:PORT, e.g. 127.0.0.1:9283", metrics)
		}
		if _, _, err := net.SplitHostPort(pkarr); pkarr != "" && err != nil {
			return wrong("--pkarr %s: write HOST:PORT, e.g. 0.0.0.0:4284", pkarr)
		}
		key, err := a.serverKey(relayKeyFile)
		if err != nil {
			return err
		}
		announced, end, err := a.announcer(ctx, find.RelayKind, announce)
		if err != nil {
			return err
		}
		defer end()
		return relay.Serve(ctx, relay.Options{
			Seed: key.IdentitySeed(), Listen: listen, Metrics: metrics, Pkarr: pkarr, Log: a.log(),
			Ready: func(id ident.ID, addrs []string) {
				a.print(relayReady{id, addrs}, fmt.Sprintf("The relay is ready. Nodes use it with: kula up --relay %s", strings.Join(addrs, " --relay ")))
				announced(addrs)
				tellSystemd("READY=1")
			},
		})
	})
	c.Long = "Runs a server that forwards encrypted connections to nodes behind a router. It sees who talks with whom and how much, never what.\n" +
		"It keeps nothing on disk but its key."
	c.Flags().StringArrayVar(&listen, "listen", nil, "HOST:PORT to listen on, UDP and TCP (default "+relayListen+"); may be repeated")
	announceFlag(c, &announce)
	c.Flags().StringVar(&metrics, "metrics", "", "HOST:PORT for the counters, at /metrics (default: nowhere)")
	c.Flags().StringVar(&pkarr, "pkarr", "", "HOST:PORT for a Pkarr server, at which nodes publish their addresses (default: nowhere)")
	return c
}
