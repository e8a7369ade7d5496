package node

import (
	"kula/pay"
	"kula/wire"
)

// asked is the invoice of a Pay, read once.
type asked struct {
	link    string
	signed  wire.Signed
	invoice *wire.Invoice
	err     error
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
