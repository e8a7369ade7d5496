package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kula/credit"
	"kula/ident"
	"kula/internal/api"
	"kula/internal/store"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// proofView is what a proof shows: a debt, or a fault. Debtor, Creditor and Net
// are of the first currency; Nets has them all.
type proofView struct {
	Valid    bool         `json:"valid"`
	Kind     string       `json:"kind"` // debt, fault
	Debtor   *ident.ID    `json:"debtor,omitempty"`
	Creditor *ident.ID    `json:"creditor,omitempty"`
	Net      *money.Value `json:"net,omitempty"`
	AsOf     int64        `json:"asOf,omitempty"` // unix milliseconds
	Nets     []netView    `json:"nets,omitempty"`
	Writer   *ident.ID    `json:"writer,omitempty"` // of a fault: who broke a rule
	Reader   *ident.ID    `json:"reader,omitempty"` // and towards whom
	Fault    string       `json:"fault,omitempty"`  // which rule, in words
}

// netView is one currency of a debt.
type netView struct {
	Debtor   ident.ID    `json:"debtor"`
	Creditor ident.ID    `json:"creditor"`
	Net      money.Value `json:"net"`
	Locked   money.Value `json:"locked"` // what may become further debt
}

func (a *app) proofCommand() *cobra.Command {
	return a.group("proof", "What a friend owes, to show to others", a.proofExportCommand(), a.proofShowCommand(), a.proofVerifyCommand())
}

// proofLink is the result of export.
type proofLink struct {
	Proof string `json:"proof"`
}

func (a *app) proofExportCommand() *cobra.Command {
	var out, passphrase string
	var fault bool
	c := a.command("export NAME|KEY", "Write the proof of what a friend and I owe each other", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			p, err := a.proofs(ctx, args[0], passphrase)
			if err != nil {
				return err
			}
			link := p.Proof
			if fault {
				if len(p.Faults) == 0 {
					return refuse(wire.NotFound, "there is no evidence that %s broke a rule", args[0])
				}
				link = p.Faults[len(p.Faults)-1]
			}
			if out == "" {
				a.print(proofLink{link}, link)
				return nil
			}
			if err := writeOut(out, []byte(link+"\n")); err != nil {
				return err
			}
			a.print(proofLink{link}, fmt.Sprintf("Written to %s. Anyone can check it with: kula proof verify FILE", out))
			return nil
		})
	c.Long = "Writes what can be shown to others: the newest statements of both, or with --fault the contradicting statements of a friend\n" +
		"with whom everything has stopped. It needs no running node."
	c.Flags().StringVar(&out, "out", "", "write it into this new file")
	c.Flags().BoolVar(&fault, "fault", false, "the evidence that the friend broke a rule, instead")
	c.Flags().StringVar(&passphrase, "passphrase-file", "", "file with the passphrase of the key (needed only while the node does not run)")
	c.ValidArgsFunction = a.completeFriend
	return c
}

// proofs asks the node, or if none runs reads them from the store.
func (a *app) proofs(ctx context.Context, ref, passphrase string) (*api.Proofs, error) {
	c, err := a.client()
	if err == nil {
		var p *api.Proofs
		if p, err = c.Proofs(ctx, ref); err == nil {
			return p, nil
		}
	}
	if !unreachable(err) {
		return nil, err
	}
	dir, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	key, err := a.openKey(passphrase)
	if err != nil {
		return nil, err
	}
	db, _, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	p, err := storedProofs(key, db, ref)
	var no *node.Error
	if errors.As(err, &no) {
		return nil, refuse(no.Code, "%s", no.Text)
	}
	if err != nil {
		return nil, damaged(dir, err)
	}
	return p, nil
}

// storedProofs reads the proofs about a friend from the store of a node that does not
// run. A *node.Error says that there are none.
func storedProofs(key *ident.Key, db *store.DB, ref string) (*api.Proofs, error) {
	n, err := loadNode(key, db)
	if err != nil {
		return nil, err
	}
	if n == nil {
		n = node.New(key, node.Config{})
	}
	f, no := n.Friend(ref)
	if no != nil {
		return nil, no
	}
	p := &api.Proofs{Faults: []string{}}
	prefix := f.Key.String() + "/"
	records, err := db.List(node.KindFault, prefix, maxFaults, false)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if strings.HasPrefix(r.Key, prefix) {
			p.Faults = append(p.Faults, wire.Link(wire.LinkProof, r.Value))
		}
	}
	if p.Proof, no = n.Proof(ref); no != nil && len(p.Faults) == 0 {
		return nil, no
	}
	return p, nil
}

// maxFaults bounds how much evidence about one friend is looked at: one piece is enough.
const maxFaults = 100

func (a *app) proofShowCommand() *cobra.Command {
	return a.command("show FILE", "Show a proof as a page in words; needs no node", cobra.ExactArgs(1), a.proofRun(proofPage))
}

func (a *app) proofVerifyCommand() *cobra.Command {
	c := a.command("verify FILE", "Check a proof; needs no node", cobra.ExactArgs(1), a.proofRun(proofLine))
	c.Long = "Checks a proof in a file (or its link, or - for standard input). Exit 1: it proves nothing."
	return c
}

func (a *app) proofRun(say func(*proofView) string) func(context.Context, []string) error {
	return func(_ context.Context, args []string) error {
		link, err := a.linkFrom(args[0])
		if err != nil {
			return err
		}
		v, err := verifyProof(link)
		if err != nil {
			return err
		}
		a.print(v, say(v))
		return nil
	}
}

// verifyProof gives what a proof shows, or the verdict no as a failure. A debt
// and a fault are told apart by their form: nothing has both.
func verifyProof(link string) (*proofView, error) {
	data, err := wire.ParseLink(wire.LinkProof, link)
	if err != nil {
		return nil, invalid("this is no proof: %v", err)
	}
	if f, err := credit.DecodeFault(data); err == nil {
		if err := f.Verify(offline{}); err != nil {
			return nil, invalid("it proves nothing: %v", err)
		}
		return &proofView{Valid: true, Kind: "fault", Writer: &f.Writer, Reader: &f.Reader, Fault: f.Kind.String()}, nil
	}
	p, err := credit.DecodeProof(data)
	if err != nil {
		return nil, invalid("this is no proof: %v", err)
	}
	shown, err := p.Verify(offline{})
	if err != nil {
		return nil, invalid("it proves nothing: %v", err)
	}
	v := &proofView{Valid: true, Kind: "debt", AsOf: shown.AsOf, Debtor: &shown.About, Creditor: &shown.By}
	for _, n := range shown.Nets {
		v.Nets = append(v.Nets, netView{n.Debtor, n.Creditor, n.Value, money.Value{Amount: n.Locked, Currency: n.Value.Currency}})
	}
	if len(v.Nets) > 0 {
		v.Debtor, v.Creditor, v.Net = &v.Nets[0].Debtor, &v.Nets[0].Creditor, &v.Nets[0].Net
	}
	return v, nil
}

func proofLine(v *proofView) string {
	if v.Kind == "fault" {
		return fmt.Sprintf("Valid: %s %s.", v.Writer, v.Fault)
	}
	var words []string
	for _, n := range v.Nets {
		words = append(words, netWords(&n))
	}
	if len(words) == 0 {
		words = []string{fmt.Sprintf("%s and %s owe each other nothing", v.Debtor, v.Creditor)}
	}
	return fmt.Sprintf("Valid: as of %s %s.", moment(v.AsOf), strings.Join(words, "; "))
}

func netWords(n *netView) string {
	if n.Net.Amount == 0 {
		return fmt.Sprintf("%s and %s are even in %s", n.Debtor, n.Creditor, n.Net.Currency.Code())
	}
	return fmt.Sprintf("%s owes %s %s", n.Debtor, n.Creditor, n.Net)
}

// proofPage is a proof as a page that can be printed and handed over.
func proofPage(v *proofView) string {
	var b strings.Builder
	if v.Kind == "fault" {
		fmt.Fprintf(&b, "Proof of a fault\n\n  %s\n  %s\n  towards %s.\n\n", v.Writer, v.Fault, v.Reader)
		b.WriteString("Both contradicting statements are in this proof, signed with the first key.\n")
	} else {
		b.WriteString("Proof of debt\n\n")
		for i := range v.Nets {
			n := &v.Nets[i]
			fmt.Fprintf(&b, "  %s.\n", netWords(n))
			if n.Locked.Amount != 0 {
				fmt.Fprintf(&b, "  %s more may follow from payments on their way.\n", n.Locked)
			}
		}
		if len(v.Nets) == 0 {
			fmt.Fprintf(&b, "  %s and %s owe each other nothing.\n", v.Debtor, v.Creditor)
		}
		fmt.Fprintf(&b, "\nAs of %s, by the clock of the one whose statement it is.\n", moment(v.AsOf))
		b.WriteString("The newest statements of both are in this proof, each signed with its key.\n")
	}
	b.WriteString("Anyone can check it with: kula proof verify FILE\n")
	return b.String()
}
