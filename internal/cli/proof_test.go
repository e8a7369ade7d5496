package cli

import (
	"errors"
	"strings"
	"testing"

	"kula/credit"
	"kula/ident"
	"kula/wire"
)

// contradiction is evidence that a key signed two promises of one number.
func contradiction() *credit.Fault {
	liar, to := ident.NewKey([32]byte{1}), ident.NewKey([32]byte{2}).ID()
	say := func(owed int64) wire.Signed {
		return wire.Sign(liar, wire.TagPromise, &wire.Promise{
			From: liar.ID(), To: to, Seq: 5, Lines: []wire.Line{{Currency: "EUR/2", Owed: value(owed).Amount}},
		})
	}
	return &credit.Fault{Kind: credit.Equivocated, Writer: liar.ID(), Reader: to, First: say(100), Second: say(200)}
}

func TestProofOfFault(t *testing.T) {
	f := contradiction()
	v, err := verifyProof(wire.Link(wire.LinkProof, f.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if !v.Valid || v.Kind != "fault" || *v.Writer != f.Writer || *v.Reader != f.Reader {
		t.Errorf("%+v", v)
	}
	for _, text := range []string{proofPage(v), proofLine(v)} {
		if !strings.Contains(text, "signed two different statements with one number") || !strings.Contains(text, f.Writer.String()) {
			t.Errorf("%q does not say who did what", text)
		}
	}

	f.Second = f.First // no contradiction any more
	var no *failure
	if _, err := verifyProof(wire.Link(wire.LinkProof, f.Encode())); !errors.As(err, &no) || no.result != (invalidView{}) {
		t.Errorf("two times the same: %v", err)
	}
}

func TestNoProof(t *testing.T) {
	for _, link := range []string{"", "hello", "kula:proof?d=", "kula:proof?d=AAAA", "kula:receipt?d=AAAA", "kula:proof?d=%%%"} {
		var no *failure
		if _, err := verifyProof(link); !errors.As(err, &no) {
			t.Errorf("proof %q: %v", link, err)
		}
		if _, err := verifyReceipt(link); !errors.As(err, &no) {
			t.Errorf("receipt %q: %v", link, err)
		}
	}
}
