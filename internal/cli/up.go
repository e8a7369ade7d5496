package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/internal/api"
	"kula/internal/find"
	"kula/internal/index"
	"kula/internal/run"
	"kula/wire"
)

const (
	// peerListen is where friends reach a node unless told otherwise, and punchListen the socket by
	// which friends behind routers get through to each other.
	peerListen  = "/ip4/0.0.0.0/tcp/4281"
	punchListen = "/ip4/0.0.0.0/udp/4281/quic-v1"

	// gcPercent is how much garbage a node keeps before it is collected, of what it uses: a
	// node uses 10 to 30 MB, and at Go's usual 100 collecting takes a tenth of its time.
	gcPercent = 300

	// apiListen is where programs on this machine reach it.
	apiListen = "127.0.0.1:4280"
)

// upFlags are the flags of up.
type upFlags struct {
	listen, index       []string
	relay, find         []string
	api, passphraseFile string
	mirror, verbose     bool
}

// upReady is the line that up prints when programs and friends can reach it.
type upReady struct {
	Key    ident.ID `json:"key"`
	API    string   `json:"api"`
	Listen []string `json:"listen"`
}

func (a *app) upCommand() *cobra.Command {
	var f upFlags
	c := a.command("up", "Run the node", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		return a.up(ctx, &f)
	})
	c.Long = "Runs the node until it is interrupted. Payments under way go on at the next start."
	c.Flags().StringArrayVar(&f.listen, "listen", nil, "multiaddress for friends (default "+peerListen+" and "+punchListen+"); may be repeated")
	c.Flags().StringVar(&f.api, "api", "", "HOST:PORT for programs on this machine (default "+apiListen+")")
	c.Flags().StringArrayVar(&f.index, "index", nil, "link of an index server, or found: some that the DHT knows; may be repeated")
	c.Flags().BoolVar(&f.mirror, "mirror", false, "copy what the index servers know, anew at each start, and search in the copy, so that none learns whom you pay")
	c.Flags().StringArrayVar(&f.relay, "relay", nil, "multiaddress of a relay to be reached through, or found: some that the DHT knows; may be repeated")
	c.Flags().StringArrayVar(&f.find, "find", nil, "where to publish my addresses under my key and look up others': dht, lan (the local network), or the URL of a Pkarr server; may be repeated (default: nowhere)")
	c.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "file with the passphrase of the key")
	c.Flags().BoolVar(&f.verbose, "verbose", false, "log more")
	return c
}

// up resolves the settings and runs the node.
func (a *app) up(ctx context.Context, f *upFlags) error {
	settings, err := a.settings()
	if err != nil {
		return err
	}
	name := setting("", "KULA_NAME", settings.Name, "")
	if err := checkName(name); err != nil {
		return err
	}
	servers, findIndex := without(settingList(f.index, "KULA_INDEX", settings.Index, nil), found)
	for _, s := range servers {
		if _, err := index.ParseURI(s); err != nil {
			return wrong("--index: %v", err)
		}
	}
	mirror := f.mirror || settings.Mirror
	if mirror && len(servers) == 0 && !findIndex {
		return wrong("--mirror copies index servers: say which with --index 'kula:index?…', or set one in config.toml or KULA_INDEX")
	}
	relays, findRelay := without(settingList(f.relay, "KULA_RELAY", settings.Relay, nil), found)
	for _, r := range relays {
		if err := run.CheckRelay(r); err != nil {
			return wrong("--relay: %v", err)
		}
	}
	places, lan := without(settingList(f.find, "KULA_FIND", settings.Find, nil), localNetwork)
	for _, p := range places {
		if err := run.CheckFind(p); err != nil {
			return wrong("--find: %v", err)
		}
	}
	if (findRelay || findIndex) && !slices.ContainsFunc(places, func(p string) bool { return p == "dht" || strings.HasPrefix(p, "dht:") }) {
		return wrong("servers are found on the DHT only: say --find dht too")
	}
	addr := setting(f.api, "KULA_API", settings.API, apiListen)
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return wrong("--api %s: write HOST:PORT, e.g. %s", addr, apiListen)
	}
	listen := slices.Clone(settingList(f.listen, "KULA_LISTEN", settings.Listen, []string{peerListen, punchListen}))
	for i, l := range listen {
		if err := run.CheckListen(l); err != nil {
			return wrong("--listen: %v; write a multiaddress, e.g. %s", err, peerListen)
		}
		// The node prints its addresses with its peer id at the end; so they can be given back.
		listen[i], _, _ = strings.Cut(l, "/p2p/")
	}
	key, err := a.openKey(f.passphraseFile)
	if err != nil {
		return err
	}
	dir, err := a.homeDir()
	if err != nil {
		return err
	}
	var finder *find.Finder
	if len(places) > 0 {
		if finder, err = find.Open(places); err != nil {
			return wrong("--find: %v", err)
		}
		defer finder.Close()
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log := a.log()
	if f.verbose {
		log = slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return a.serveNode(ctx, dir, addr, run.Options{Key: key, Name: name, Listen: listen, Index: servers, FindIndex: findIndex, Mirror: mirror, Relays: relays, FindRelay: findRelay, LAN: lan, Finder: finder, Log: log})
}

// log writes what whoever runs a server should know, and nothing secret.
func (a *app) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// serveNode opens the store, runs the node and its API until ctx ends or the
// node stops by itself, and closes everything in the opposite order.
func (a *app) serveNode(ctx context.Context, dir, addr string, opt run.Options) (err error) {
	closed := func(f func() error) { err = errors.Join(err, f()) }
	listener, err := api.Listen(addr, false)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return refuse(wire.Conflict, "%v. Take another --api", err)
		}
		return wrong("--api: %v", err)
	}
	defer listener.Close() // the server closes it too, if it comes that far
	endProfiles, err := serveProfiles()
	if err != nil {
		return err
	}
	defer func() { closed(endProfiles) }()
	db, restored, err := openStore(dir)
	if err != nil {
		return err
	}
	defer func() { closed(db.Close) }()
	tokens, err := api.OpenTokens(db)
	if err != nil {
		return damaged(dir, err)
	}
	heads := a.pickUpBackup(dir, opt.Key)
	opt.Store, opt.Companion, opt.Restored = db, tokens, restored
	loop, err := run.Start(opt)
	if errors.Is(err, run.ErrLoad) {
		return damaged(dir, err)
	}
	if err != nil {
		return fmt.Errorf("the node does not start: %w", err)
	}
	defer func() { closed(loop.Close) }()
	server := api.New(api.Options{Loop: loop, Store: db, Tokens: tokens, Log: opt.Log})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		closed(server.Close)
		closed(func() error { return <-served })
	}()
	if err := a.lookFor(ctx, dir, heads, loop); err != nil {
		return err
	}
	endpoint := api.Endpoint{API: "http://" + listener.Addr().String(), Token: server.OwnerToken(), Key: loop.ID().String()}
	if err := api.WriteEndpoint(dir, endpoint); err != nil {
		return err
	}
	defer func() { closed(func() error { return api.RemoveEndpoint(dir) }) }()
	a.print(upReady{loop.ID(), endpoint.API, loop.Addrs()}, readyWords(loop, endpoint.API, opt.Name))
	a.json = false // the one object is out; what comes now is for people
	tellSystemd("READY=1")
	select {
	case <-ctx.Done():
	case <-loop.Done():
	}
	tellSystemd("STOPPING=1")
	return nil
}

func readyWords(loop *run.Loop, api, name string) string {
	if name == "" {
		name = loop.ID().Short()
	}
	return fmt.Sprintf("%s is up. Friends reach it at %s, programs on this machine at %s. Stop it with Ctrl-C.", name, list(loop.Addrs()), api)
}

// tellSystemd tells a service manager how it stands, if there is one (sd_notify(3)).
// A message that does not get through is the manager's loss.
func tellSystemd(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if path[0] == '@' {
		path = "\x00" + path[1:] // an abstract socket
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
