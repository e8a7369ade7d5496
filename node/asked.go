package node

import (
	"kula/ident"
	"kula/pay"
	"kula/wire"
)

// asked is the invoice of a Pay, read once.
type asked struct {
	link    string
	signed  wire.Signed
	invoice *wire.Invoice
	err     error
	genuine bool // its signature was verified
}

// Asked is the invoice of a Pay whose Invoice is set, its form checked and not its signature.
func (c *Pay) Asked() (wire.Signed, *wire.Invoice, error) {
	if c.asked.link == "" || c.asked.link != c.Invoice {
		c.asked = asked{link: c.Invoice}
		c.asked.signed, c.asked.invoice, c.asked.err = pay.ReadInvoiceLink(c.Invoice)
	}
	return c.asked.signed, c.asked.invoice, c.asked.err
}

// PriorKey names the record that Pay.Prior must hold at the Step, if it is stored.
func PriorKey(cmd *Pay) (kind, key string, ok bool) {
	if cmd.Invoice == "" {
		return "", "", false
	}
	s, i, err := cmd.Asked()
	if err != nil {
		return "", "", false
	}
	return KindPaymentDone, i.ID(s).String(), true
}

// verifyInvoices verifies the invoices that this Step is to pay at once, which costs half of verifying
// them one by one. Where one of them is false nothing is said, and each is verified in its turn.
func (n *Node) verifyInvoices(events []Event) {
	var checks []ident.Check
	var paid []*Pay
	for _, e := range events {
		do, _ := e.(Do)
		c, _ := do.Command.(*Pay)
		if c == nil || c.Invoice == "" {
			continue
		}
		if s, i, err := c.Asked(); err == nil {
			checks = append(checks, ident.Check{ID: i.Payee, Tag: wire.TagInvoice, Msg: s.Body, Sig: s.Sig})
			paid = append(paid, c)
		}
	}
	if len(paid) < 2 || !n.suite.VerifyAll(checks) {
		return
	}
	for _, c := range paid {
		c.asked.genuine = true
	}
}
