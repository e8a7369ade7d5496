package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kula/internal/api"
	"kula/money"
	"kula/node"
)

const (
	// demoTime bounds the whole story: it takes a few seconds, and more than this means that something hangs.
	demoTime = 60 * time.Second

	// demoWait bounds each single wait in it.
	demoWait = 15 * time.Second

	// demoCurrency is what the five people reckon in.
	demoCurrency money.Currency = "EUR/2"
)

// demoPerson is what --json and --keep tell of one person.
type demoPerson struct {
	Name    string            `json:"name"`
	Key     string            `json:"key"`
	Home    string            `json:"home"`
	API     string            `json:"api"`
	PID     int               `json:"pid,omitempty"` // with --keep
	Balance *node.BalanceView `json:"balance"`       // at the end
}

// demoView is the result of demo.
type demoView struct {
	Seed    uint64       `json:"seed"`
	Seconds float64      `json:"seconds"`
	People  []demoPerson `json:"people"`
	Lines   []string     `json:"lines"` // the story as it was told
}

func (a *app) demoCommand() *cobra.Command {
	var seed uint64
	var keep bool
	c := a.command("demo", "Watch five people on this machine pay each other along chains of friends", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE) // whatever ends it: the five must not stay
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, demoTime)
			defer cancel()
			return a.demo(ctx, seed, keep)
		})
	c.Long = "Starts five identities and an index server on this machine, each a process of its own with its own data and\n" +
		"encrypted connections, and tells what they do. Every figure is read back from the nodes.\n" +
		"With --keep they go on running, and it says how to talk to them."
	c.Flags().Uint64Var(&seed, "seed", 1, "other amounts")
	c.Flags().BoolVar(&keep, "keep", false, "leave everybody running")
	return c
}

func (a *app) demo(ctx context.Context, seed uint64, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "kula-demo-")
	if err != nil {
		return err
	}
	t := &town{app: a, dir: dir, prices: drawPrices(seed), view: demoView{Seed: seed}}
	began := time.Now()
	defer func() {
		if !keep || err != nil {
			t.stop()
			if removed := os.RemoveAll(dir); err == nil {
				err = removed
			}
		}
	}()
	if err := t.open(ctx); err != nil {
		return err
	}
	for _, chapter := range []func(context.Context) error{t.loaves, t.milk, t.shelf, t.blanket, t.audit} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	t.view.Seconds = time.Since(began).Seconds()
	t.say("\nThat took %.1f s. Every figure was read back from the five nodes.", t.view.Seconds)
	if keep {
		t.howToTalk()
	}
	if a.json {
		a.printJSON(t.view)
	}
	return nil
}

// prices are the amounts of the story, in cents.
type prices struct {
	loaf, shelf, blanket, fee money.Amount
	ppm                       uint32
}

// drawPrices varies the amounts; one seed, one story.
func drawPrices(seed uint64) prices {
	r := rand.New(rand.NewPCG(seed, 17)) // any second word does, as long as it stays
	return prices{
		loaf:    250 + 10*money.Amount(r.IntN(20)),
		shelf:   1500 + 50*money.Amount(r.IntN(20)),
		blanket: 3000 + 50*money.Amount(r.IntN(20)),
		fee:     2 + money.Amount(r.IntN(9)),
		ppm:     2500 * (1 + r.Uint32N(4)),
	}
}

func eur(cents money.Amount) money.Value { return money.Value{Amount: cents, Currency: demoCurrency} }

// say tells a line of the story.
func (t *town) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	t.view.Lines = append(t.view.Lines, strings.TrimSpace(line))
	out := t.app.out
	if t.app.json {
		out = t.app.err
	}
	fmt.Fprintln(out, line)
}

// open starts everybody and makes them friends.
func (t *town) open(ctx context.Context) error {
	if err := t.start(ctx); err != nil {
		return err
	}
	t.say("Five people live in a small town. Each runs a node of its own on this machine: own key, own data, encrypted connections.")
	for _, p := range t.people {
		t.say("  %s the %s, key %s…", p.name, p.trade, p.who.Key.Short())
	}
	t.say("\nThey invite each other with links, and say how much they let each other owe:")
	loaf, room := t.prices.loaf, money.Amount(10_000)
	for _, f := range []struct {
		from, to  *resident
		give, ask money.Amount
	}{
		{t.bea, t.milo, 3 * loaf, room},
		{t.milo, t.carl, room, room},
		{t.carl, t.sam, room, room},
		{t.sam, t.wanda, room, room},
	} {
		if err := t.befriend(ctx, f.from, f.to, f.give, f.ask); err != nil {
			return err
		}
	}
	return t.setFees(ctx)
}

// setFees lets the three in the middle charge for what they pass on.
func (t *town) setFees(ctx context.Context) error {
	for _, f := range []struct {
		who, charged *resident
		fee          money.Fee
	}{
		{t.milo, t.bea, money.Fee{Base: t.prices.fee}},
		{t.carl, t.milo, money.Fee{Ppm: t.prices.ppm}},
		{t.sam, t.carl, money.Fee{Base: t.prices.fee}},
	} {
		v, err := f.who.api.SetFee(ctx, f.charged.name, demoCurrency, f.fee)
		if err != nil {
			return fmt.Errorf("%s sets a fee: %w", f.who.name, err)
		}
		c := &v.Currencies[0]
		t.say("  For passing payments on, %s charges %s %s.", f.who.name, f.charged.name, feeWords(c.FeeBase, c.FeePpm))
	}
	return nil
}

// loaves: the baker lets the milkman owe three loaves, and no fourth.
func (t *town) loaves(ctx context.Context) error {
	t.say("\nMilo buys bread. A loaf is %s.", eur(t.prices.loaf))
	for i, which := range []string{"first", "second", "third", "fourth"} {
		p, err := t.buy(ctx, t.milo, t.bea, t.prices.loaf, "a loaf of bread")
		if err != nil {
			return err
		}
		if p.State == node.Paid {
			if err := t.sayBetween(ctx, "  The "+which+" loaf: ", t.milo, t.bea); err != nil {
				return err
			}
			continue
		}
		if i < 3 {
			return unexpected(p)
		}
		t.say("  The %s loaf: not paid. Milo's node says: %s", which, reasonWords(p.Reason))
		return nil
	}
	return fmt.Errorf("the fourth loaf was paid, above the limit of %s", eur(3*t.prices.loaf))
}

// milk: a debt cleared by trade.
func (t *town) milk(ctx context.Context) error {
	t.say("\nBea needs milk, and Milo has some: %s worth.", eur(3*t.prices.loaf))
	p, err := t.buy(ctx, t.bea, t.milo, 3*t.prices.loaf, "milk")
	if err != nil {
		return err
	}
	if p.State != node.Paid {
		return unexpected(p)
	}
	return t.sayBetween(ctx, "  She pays, and the debt is cleared without any money: ", t.milo, t.bea)
}

// shelf: a payment through one friend.
func (t *town) shelf(ctx context.Context) error {
	t.say("\nBea wants a shelf from Carl, for %s. They are no friends, but Milo is a friend of both.", eur(t.prices.shelf))
	return t.buyThrough(ctx, t.bea, t.carl, t.prices.shelf, "a shelf", t.bea, t.milo, t.carl)
}

// blanket: a payment through three people.
func (t *town) blanket(ctx context.Context) error {
	t.say("\nThen a blanket from Wanda, for %s, whom Bea has never met.", eur(t.prices.blanket))
	return t.buyThrough(ctx, t.bea, t.wanda, t.prices.blanket, "a blanket", t.bea, t.milo, t.carl, t.sam, t.wanda)
}

// buyThrough asks the price of the way first, pays, and says what everybody on it owes.
func (t *town) buyThrough(ctx context.Context, payer, payee *resident, cents money.Amount, what string, chain ...*resident) error {
	if err := t.announced(ctx); err != nil {
		return err
	}
	i, err := payee.api.CreateInvoice(ctx, api.Ask{Amount: eur(cents), Memo: what})
	if err != nil {
		return fmt.Errorf("%s asks: %w", payee.name, err)
	}
	q, err := payer.api.Quote(ctx, api.Order{Invoice: i.URI})
	if err != nil {
		return fmt.Errorf("%s asks for the price of the way: %w", payer.name, err)
	}
	if !q.Possible {
		return fmt.Errorf("%s cannot pay %s: %s", payer.name, payee.name, reasonWords(q.Reason))
	}
	t.say("  A way is found%s; it costs %s on top.", t.names().through(q.Parts), q.Fee)
	began := time.Now()
	p, err := payer.api.Pay(ctx, newKey(), api.Order{Invoice: i.URI, MaxFee: &q.Fee, WaitMs: demoWait.Milliseconds()})
	if err != nil {
		return fmt.Errorf("%s pays: %w", payer.name, err)
	}
	if p.State != node.Paid {
		return unexpected(p)
	}
	t.say("  %s (in %d ms)", strings.TrimSuffix(t.names().payment(p), "."), time.Since(began).Milliseconds())
	for i := range len(chain) - 1 {
		if err := t.sayBetween(ctx, "  ", chain[i], chain[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// audit adds up what everybody's node says, and lets each check its book.
func (t *town) audit(ctx context.Context) error {
	t.say("\nIn the end:")
	sum := money.Amount(0)
	for _, p := range t.people {
		balances, err := p.api.Balances(ctx)
		if err != nil {
			return fmt.Errorf("%s's balance: %w", p.name, err)
		}
		if len(balances) != 1 {
			return fmt.Errorf("%s has balances in %d currencies, there is one", p.name, len(balances))
		}
		checked, err := p.api.VerifyBook(ctx)
		if err != nil {
			return fmt.Errorf("%s's book: %w", p.name, err)
		}
		if !checked.Valid {
			return fmt.Errorf("%s's book does not add up: %s", p.name, strings.Join(checked.Problems, "; "))
		}
		b := &balances[0]
		sum += b.Balance.Amount
		t.say("  %s is owed %s and owes %s. Rows in the book: %d, and they add up.", p.name, b.OwedToMe, b.IOwe, checked.Rows)
		t.view.People = append(t.view.People, demoPerson{Name: p.name, Key: p.who.Key.String(), Home: p.home, API: p.endpoint, Balance: b})
	}
	if sum != 0 {
		return fmt.Errorf("all balances add up to %s, not to 0", eur(sum))
	}
	t.say("  All five together: %s. Nobody had to bring any money.", eur(sum))
	return nil
}

// howToTalk says how to go on with people who keep running.
func (t *town) howToTalk() {
	name := filepath.Base(os.Args[0])
	t.say("\nThey keep running. Talk to them with:")
	pids := []string{fmt.Sprint(t.index.Process.Pid)}
	for i, p := range t.people {
		t.say("  %s --home %s friend list", name, p.home)
		t.view.People[i].PID = p.process.Process.Pid
		pids = append(pids, fmt.Sprint(p.process.Process.Pid))
	}
	t.say("Stop them with: kill %s; rm -r %s", strings.Join(pids, " "), t.dir)
}

func unexpected(p *node.PaymentView) error {
	return fmt.Errorf("a payment of %s is %s: %s", p.Amount, p.State, reasonWords(p.Reason))
}
