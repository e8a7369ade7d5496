package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kula/ident"
	"kula/internal/find"
	"kula/internal/index"
	"kula/internal/run"
	"kula/internal/store"
	"kula/money"
	"kula/node"
	"kula/route"
	"kula/wire"
)

const (
	// indexKeyFile is the identity of an index server: not the person's, so that both may run at one address.
	indexKeyFile = "index-key"

	// indexLock is held by the index server of the home: a second one would write over its log. A node may run beside it.
	indexLock = "index.lock"

	// indexListen is where an index server listens: the port after a node's.
	indexListen = "0.0.0.0:4282"

	// queryTime bounds one question to an index server.
	queryTime = 15 * time.Second
)

func (a *app) indexCommand() *cobra.Command {
	return a.group("index", "Servers that find ways from payer to payee", append(a.serverCommands(run.IndexRole), a.indexServeCommand(), a.indexQueryCommand())...)
}

// indexReady is the line that index serve prints.
type indexReady struct {
	Key ident.ID `json:"key"`
	URI string   `json:"uri"`
}

func (a *app) indexServeCommand() *cobra.Command {
	var listen, announce, peers []string
	c := a.command("serve", "Run an index server", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		if len(listen) == 0 {
			listen = []string{indexListen}
		}
		for _, l := range listen {
			if _, _, err := net.SplitHostPort(l); err != nil {
				return wrong("--listen %s: write HOST:PORT, e.g. %s", l, indexListen)
			}
		}
		links, err := index.ParseURIs(peers)
		if err != nil {
			return wrong("--peer: %v", err)
		}
		key, err := a.serverKey(indexKeyFile)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(links, func(l index.Link) bool { return l.Key == key.ID() }); i >= 0 {
			return wrong("--peer %s: this is the link of the server itself. Name others, each of which names this one", peers[i])
		}
		dir, err := a.homeDir()
		if err != nil {
			return err
		}
		lock, err := store.Lock(filepath.Join(dir, indexLock))
		if errors.Is(err, store.ErrInUse) {
			return refuse(wire.Conflict, "an index server runs there already: %v", err)
		}
		if err != nil {
			return err
		}
		defer lock.Close()
		announced, end, err := a.announcer(ctx, find.Index, announce)
		if err != nil {
			return err
		}
		defer end()
		return index.Serve(ctx, index.Options{
			Seed: key.IdentitySeed(), Listen: listen, Log: a.log(), Dir: dir, Peers: links,
			Ready: func(uri string) {
				a.print(indexReady{key.ID(), uri}, fmt.Sprintf("The index server is ready. Nodes use it with: kula up --index '%s'", uri))
				if link, err := index.ParseURI(uri); err == nil {
					announced(link.Addrs)
				}
				tellSystemd("READY=1")
			},
		})
	})
	c.Long = "Runs a server that knows, from what nodes announce, through whom anyone can be paid. It keeps its key and what nodes announced.\n" +
		"Servers that name each other with --peer share what they know."
	announceFlag(c, &announce)
	c.Flags().StringArrayVar(&listen, "listen", nil, "HOST:PORT to listen on (default "+indexListen+"); may be repeated")
	c.Flags().StringArrayVar(&peers, "peer", nil, "link of an index server to share announcements with, which must name this one too; may be repeated")
	return c
}

// serverKey is a server's key in a file of the home, made at its first start.
func (a *app) serverKey(file string) (*ident.Key, error) {
	dir, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, file)
	text, err := a.readInput(path)
	if errors.Is(err, fs.ErrNotExist) {
		var fresh []byte
		if fresh, err = keyText(newMaster(), ""); err == nil {
			err = errors.Join(os.MkdirAll(dir, homeMode), writeNew(path, fresh))
		}
		text = string(fresh)
	}
	if err != nil {
		return nil, err
	}
	k, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, err := k.open(func() (string, error) { return "", errors.New("a server's key has no passphrase") })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func (a *app) indexQueryCommand() *cobra.Command {
	f := queryFlags{from: "me", maxParts: node.DefaultParts}
	var c *cobra.Command
	c = a.command("query TO AMOUNT", "Ask an index server for the cheapest way", cobra.RangeArgs(2, 3),
		func(ctx context.Context, args []string) error {
			if f.any && c.Flags().Changed("max-parts") && f.maxParts != 1 {
				return wrong("--any finds one way; leave --max-parts %d out", f.maxParts)
			}
			return a.indexQuery(ctx, args[0], strings.Join(args[1:], " "), &f)
		})
	c.Long = "Asks for the cheapest way from me to TO for an amount, by what nodes have announced, and nothing is paid.\n" +
		"What no single way carries goes over several at once. TO and --from are keys, or names of friends."
	c.Flags().StringVar(&f.from, "from", f.from, "who would pay")
	c.Flags().StringVar(&f.uri, "index", "", "link of the index server (default: the first in config.toml or KULA_INDEX)")
	c.Flags().BoolVar(&f.any, "any", false, "any one way will do, not the cheapest: sooner found")
	c.Flags().StringVar(&f.maxFee, "max-fee", "", "only ways that cost at most this fee together")
	c.Flags().StringArrayVar(&f.avoid, "avoid", nil, "FROM,TO: no way from one to the other; may be repeated")
	maxPartsFlag(c, &f.maxParts)
	minorFlag(c, &f.minor)
	return c
}

// queryFlags are the flags of index query as they were typed.
type queryFlags struct {
	from, uri, maxFee string
	avoid             []string
	any, minor        bool
	maxParts          int
}

// avoided reads friendships that a way may not use, each written FROM,TO.
func (a *app) avoided(ctx context.Context, list []string, currency money.Currency) ([]route.Avoid, error) {
	var all []route.Avoid
	for _, pair := range list {
		from, to, ok := strings.Cut(pair, ",")
		if !ok {
			return nil, wrong("--avoid %s: write FROM,TO: the two between whom no way is to go, in its direction", pair)
		}
		var x route.Avoid
		var err error
		if x.Edge.From, err = a.key(ctx, from); err == nil {
			x.Edge.To, err = a.key(ctx, to)
		}
		if err != nil {
			return nil, wrong("--avoid %s: %v", pair, err)
		}
		x.Currency = currency
		all = append(all, x)
	}
	return all, nil
}

func (a *app) indexQuery(ctx context.Context, to, amount string, f *queryFlags) error {
	if err := checkMaxParts(f.maxParts); err != nil {
		return err
	}
	v, err := a.currencies().amount(ctx, amount, f.minor)
	if err == nil {
		v, err = positive(v)
	}
	if err != nil {
		return err
	}
	settings, err := a.settings()
	if err != nil {
		return err
	}
	servers := settingList(nonEmpty(f.uri), "KULA_INDEX", settings.Index, nil)
	if len(servers) == 0 {
		return wrong("say which index server: --index 'kula:index?…', or set one in config.toml or KULA_INDEX")
	}
	link, err := index.ParseURI(servers[0])
	if err != nil {
		return wrong("%v", err)
	}
	if err := a.notBlocked(ctx, link.Key); err != nil {
		return err
	}
	r := route.Request{Currency: v.Currency, Amount: v.Amount, MaxFee: route.NoMaxFee, Announced: true, MaxParts: uint32(f.maxParts)}
	if f.any {
		r.MaxParts = 1
	}
	if f.maxFee != "" {
		fee, err := amountIn(f.maxFee, v.Currency, f.minor)
		if err != nil {
			return wrong("--max-fee: %v", err)
		}
		r.MaxFee = fee.Amount
	}
	if r.Avoid, err = a.avoided(ctx, f.avoid, v.Currency); err != nil {
		return err
	}
	if r.To, err = a.key(ctx, to); err != nil {
		return err
	}
	if r.From, err = a.key(ctx, f.from); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	answer, err := index.Ask(ctx, servers[0], &route.Query{Request: r, Any: f.any})
	var no *route.Refusal
	if errors.As(err, &no) {
		return refuse(no.Code, "%s", no.Text)
	}
	if err != nil {
		return err
	}
	return a.showRoute(v, answer)
}

// notBlocked refuses an index server that the user blocked, as far as a running node can tell.
func (a *app) notBlocked(ctx context.Context, key ident.ID) error {
	c, err := a.client()
	if err != nil {
		return nil // no node: nobody to ask
	}
	servers, err := c.Servers(ctx, run.IndexRole)
	if err != nil {
		return nil
	}
	for _, s := range servers {
		if s.Key == key && s.Trust == string(run.Blocked) {
			return refuse(wire.Blocked, "you have blocked this index server. Undo it with: kula index block %s --undo", key)
		}
	}
	return nil
}

// showRoute prints a route as a quote.
func (a *app) showRoute(v money.Value, answer *route.Answer) error {
	q := &node.QuoteView{Amount: v, Fee: money.Value{Currency: v.Currency}, Parts: []node.PartView{}}
	if no := answer.Refusal(); no != nil {
		q.Reason = &node.ReasonView{Code: no.Code, Text: no.Text}
		return &failure{code: no.Code.String(), text: "Not possible. " + no.Text, reason: q.Reason, result: q}
	}
	q.Possible = true
	for _, r := range answer.Routes {
		q.Fee.Amount += r.Fee
		q.Parts = append(q.Parts, node.PartView{
			Amount: money.Value{Amount: r.Arrives(), Currency: v.Currency}, Fee: money.Value{Amount: r.Fee, Currency: v.Currency}, Hops: r.Hops,
		})
	}
	a.print(q, quoteWords(q, names{}, false))
	return nil
}

// key is a key in any spelling, or that of a friend, or mine.
func (a *app) key(ctx context.Context, ref string) (ident.ID, error) {
	if ref == "me" {
		k, err := a.readKey()
		if err != nil {
			return ident.ID{}, err
		}
		return k.id, nil
	}
	id, err := ident.ParseID(ref)
	if err == nil {
		return id, nil
	}
	c, e := a.client()
	if e != nil {
		return id, wrong("%v; names of friends are known only while the node runs", err)
	}
	f, err := c.Friend(ctx, ref)
	if err != nil {
		return id, err
	}
	return f.Key, nil
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
