package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manView is the result of man.
type manView struct {
	Pages []string `json:"pages"`
}

// manCommand writes manual pages, for packagers. They are made here and not by
// cobra's own package, which would bring a Markdown library along.
func (a *app) manCommand() *cobra.Command {
	c := a.command("man DIR", "Write the manual pages into a directory", cobra.ExactArgs(1), nil)
	c.Hidden = true
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := os.MkdirAll(args[0], 0o755); err != nil {
			return failed(err)
		}
		var v manView
		if err := writeManuals(c.Root(), args[0], &v); err != nil {
			return failed(err)
		}
		a.print(v, strings.Join(v.Pages, "\n"))
		return nil
	}
	return c
}

func writeManuals(c *cobra.Command, dir string, v *manView) error {
	if c.Hidden {
		return nil
	}
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	path := filepath.Join(dir, name+".1")
	if err := os.WriteFile(path, []byte(manual(c, name)), 0o644); err != nil {
		return err
	}
	v.Pages = append(v.Pages, path)
	for _, below := range c.Commands() {
		if err := writeManuals(below, dir, v); err != nil {
			return err
		}
	}
	return nil
}

// manual is one page in man(7)'s macros.
func manual(c *cobra.Command, name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1\n.SH NAME\n%s \\- %s\n", roff(strings.ToUpper(name)), roff(name), roff(c.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(c.UseLine()))
	if c.Long != "" {
		fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", roff(c.Long))
	}
	var options strings.Builder
	both := func(f *pflag.Flag) {
		fmt.Fprintf(&options, ".TP\n.B \\-\\-%s\n%s\n", roff(f.Name), roff(f.Usage))
	}
	c.NonInheritedFlags().VisitAll(both)
	c.InheritedFlags().VisitAll(both)
	if options.Len() > 0 {
		b.WriteString(".SH OPTIONS\n" + options.String())
	}
	if below := c.Commands(); len(below) > 0 {
		b.WriteString(".SH COMMANDS\n")
		for _, d := range below {
			if !d.Hidden {
				fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(strings.ReplaceAll(d.CommandPath(), " ", "-")), roff(d.Short))
			}
		}
	}
	b.WriteString(".SH EXIT STATUS\n0 done, 1 refused or failed, 2 called wrongly, 3 still waiting.\n")
	return b.String()
}

// roff escapes a text: backslashes, hyphens, and lines that begin like a macro.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
