package pay

import (
	"fmt"

	"kula/ident"
	"kula/wire"
)

// NewInvoice signs a request for one payment; Payee, Salt and Hash are filled in from the suite and salt.
// The salt is fresh random bytes, never used before (spec P-3); so nobody needs to look for a second invoice of one hash.
func NewInvoice(suite ident.Suite, salt ident.Salt, i wire.Invoice) (wire.Signed, wire.Invoice) {
	i.Payee, i.Salt, i.Hash = suite.ID(), salt, suite.Preimage(salt).Hash()
	return wire.Sign(suite, wire.TagInvoice, &i), i
}

// OpenInvoice checks form and signature of an invoice, not its dates.
func OpenInvoice(v Verifier, s wire.Signed) (*wire.Invoice, error) {
	i, err := readInvoice(s)
	if err != nil {
		return nil, err
	}
	return i, VerifyInvoice(v, s, i)
}

func readInvoice(s wire.Signed) (*wire.Invoice, error) {
	i := new(wire.Invoice)
	if err := wire.Unmarshal(s.Body, i); err != nil {
		return nil, fmt.Errorf("invoice: %w", err)
	}
	return i, nil
}

// VerifyInvoice checks that the payee of i signed s, of which i is the statement.
func VerifyInvoice(v Verifier, s wire.Signed, i *wire.Invoice) error {
	if !v.Verify(i.Payee, wire.TagInvoice, s.Body, s.Sig) {
		return fmt.Errorf("invoice: %w of the payee %s: it was altered", wire.ErrSignature, i.Payee)
	}
	return nil
}

// Verifier checks signatures.
type Verifier interface {
	Verify(id ident.ID, tag ident.Tag, msg []byte, sig ident.Signature) bool
}

// InvoiceLink spells a signed invoice as a link.
func InvoiceLink(s wire.Signed) string { return wire.Link(wire.LinkInvoice, wire.Marshal(&s)) }

// ParseInvoiceLink reads a link and checks the invoice.
func ParseInvoiceLink(v Verifier, link string) (wire.Signed, *wire.Invoice, error) {
	s, i, err := ReadInvoiceLink(link)
	if err != nil {
		return s, nil, err
	}
	return s, i, VerifyInvoice(v, s, i)
}

// ReadInvoiceLink reads a link and the form of its invoice, and does not ask who signed it.
func ReadInvoiceLink(link string) (wire.Signed, *wire.Invoice, error) {
	s, err := parseSigned(wire.LinkInvoice, link)
	if err != nil {
		return s, nil, err
	}
	i, err := readInvoice(s)
	return s, i, err
}

// InvitationLink spells a signed invitation as a link.
func InvitationLink(s wire.Signed) string { return wire.Link(wire.LinkFriend, wire.Marshal(&s)) }

// ParseInvitationLink reads a link and checks the invitation.
func ParseInvitationLink(v Verifier, link string) (*wire.Invitation, error) {
	s, err := parseSigned(wire.LinkFriend, link)
	if err != nil {
		return nil, err
	}
	i := new(wire.Invitation)
	if err := wire.Unmarshal(s.Body, i); err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	if !v.Verify(i.From, wire.TagInvitation, s.Body, s.Sig) {
		return nil, fmt.Errorf("invitation: %w of %s: it was altered", wire.ErrSignature, i.From)
	}
	return i, nil
}

func parseSigned(kind, link string) (wire.Signed, error) {
	var s wire.Signed
	data, err := wire.ParseLink(kind, link)
	if err != nil {
		return s, err
	}
	return s, wire.Unmarshal(data, &s)
}

// ReleaseLink spells a release as a link.
func ReleaseLink(r *wire.Release) string { return wire.Link(wire.LinkRelease, wire.Marshal(r)) }

// ParseReleaseLink reads a release.
func ParseReleaseLink(link string) (*wire.Release, error) {
	data, err := wire.ParseLink(wire.LinkRelease, link)
	if err != nil {
		return nil, err
	}
	r := new(wire.Release)
	return r, wire.Unmarshal(data, r)
}
