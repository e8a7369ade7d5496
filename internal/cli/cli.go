// Package cli is the command line of Kula: one file per command, each of which
// reads its arguments, asks the running node over its local API (package api), and
// prints.
//
// # What it prints
//
// Results go to standard output, everything else to standard error. With --json
// there is exactly one JSON object on standard output, also at exit 1 and 3; at
// exit 2 there is nothing. The exceptions are texts that are the result
// themselves: `book export`, `completion`, `man` and --help.
//
// # Exit codes
//
//	0  done
//	1  refused or failed; the object is or contains {"error":{"code","text","reason"?}}
//	2  called wrongly: unknown command or flag, bad amount, bad currency
//	3  still waiting: the object says for whom
//
// A command that shows a verdict (`pay --dry-run`, `receipt verify`, `proof
// verify`, `book verify`, `fsck`) exits 1 if the verdict is no.
//
// # Settings
//
// A setting is looked up as flag, as KULA_NAME in the environment, in config.toml
// in the home, in this order: name, listen, api, index, relay, find, passphrase-file. The
// home
// is --home, KULA_HOME, or kula in the XDG data directory.
//
// # Questions
//
// It asks only if standard input is a terminal; --yes answers yes. Without a
// terminal a command does what it was told, except that a payment with a fee
// nobody agreed to is refused.
//
// # Words
//
// People read "through Ben", "set aside", "0.5 %", "Ana owes you 12.00 EUR"; never
// a sign, and none of the protocol's words.
//
// The package never opens a node's store while the node runs, never stores
// anything but the key file and config.toml, and never sends anything by itself.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Main runs the command line and returns the exit code. args are without the
// program's name.
func Main(ctx context.Context, args []string) int {
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		terminal: term.IsTerminal(int(os.Stdin.Fd())),
	}
	return a.run(ctx, args)
}

// app is one call of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // somebody sits at in

	home string // --home
	json bool   // --json
	yes  bool   // --yes

	config *config // of config.toml, read when first needed
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	return a.finish(root.ExecuteContext(ctx))
}

func (a *app) root() *cobra.Command {
	root := a.group("kula", "Credit between people who trust each other",
		a.initCommand(), a.upCommand(), a.idCommand(),
		a.friendCommand(), a.askCommand(), a.invoiceCommand(),
		a.payCommand(), a.paymentCommand(), a.receiptCommand(),
		a.balanceCommand(), a.bookCommand(), a.proofCommand(), a.waitCommand(),
		a.indexCommand(), a.relayCommand(), a.tokenCommand(), a.backupCommand(), a.fsckCommand(),
		a.demoCommand(), a.versionCommand(), a.manCommand(),
	)
	root.SetFlagErrorFunc(mistyped)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(a.helpCommand(root))
	flags := root.PersistentFlags()
	flags.StringVar(&a.home, "home", "", "directory of this identity (default $KULA_HOME, or kula in the XDG data directory)")
	flags.BoolVar(&a.json, "json", false, "print one JSON object")
	flags.BoolVar(&a.yes, "yes", false, "answer yes to every question")
	return root
}

// group is a command that only has others below it.
func (a *app) group(name, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: name, Short: short,
		// Cobra itself shows help and exits 0 for a word it does not know below the first level.
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return wrong("there is no command %q; see %s --help", c.CommandPath()+" "+args[0], c.CommandPath())
		},
		RunE: func(c *cobra.Command, _ []string) error {
			c.SetOut(a.err)
			if err := c.Help(); err != nil {
				return err
			}
			return wrong("say what to do with %s", c.CommandPath())
		},
	}
	c.AddCommand(below...)
	return c
}

// command is a command that does something. What run returns is a failure
// (exit 1) unless it says otherwise.
func (a *app) command(use, short string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: counted(args),
		DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, args []string) error {
			err := run(c.Context(), args)
			if err == nil {
				return nil
			}
			return failed(err)
		},
	}
}

// counted says of a wrong number of arguments what is missing or too much, and what to write.
func counted(args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, list []string) error {
		err := args(c, list)
		var u *usage
		if err == nil || errors.As(err, &u) {
			return err
		}
		fits := func(n int) bool {
			err := args(c, make([]string, n))
			return err == nil || errors.As(err, &u) // the right number, of the wrong thing
		}
		for n := range len(list) {
			if k := len(list) - 1 - n; fits(k) {
				return wrong("%q is one argument too many. Write: %s", list[k], c.UseLine())
			}
		}
		return wrong("an argument is missing. Write: %s", c.UseLine())
	}
}

// mistyped says of a wrong flag what to write, where cobra speaks of itself.
func mistyped(_ *cobra.Command, err error) error {
	text := err.Error()
	if i := strings.Index(text, ": strconv."); i >= 0 {
		what := "a whole number"
		if strings.HasPrefix(text[i:], ": strconv.ParseBool") {
			what = "true or false"
		}
		return wrong("%s: write %s", text[:i], what)
	}
	if _, sign, ok := strings.Cut(text, "unknown shorthand flag: '"); ok && sign[0] >= '0' && sign[0] <= '9' {
		return wrong("%s: amounts are written without a sign", text)
	}
	return err
}

// helpCommand is cobra's, except that an unknown topic is a mistake.
func (a *app) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Explain a command",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return wrong("there is no command %q; see kula --help", "kula "+strings.Join(args, " "))
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// finish prints what is left to print of an error and gives the exit code.
func (a *app) finish(err error) int {
	var f *failure
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errWaiting):
		return exitWaiting
	case errors.As(err, &f):
		a.printFailure(f)
		return exitFailed
	}
	a.complain(err.Error()) // wrong, or cobra's own errors, which are all of that kind
	return exitWrong
}
