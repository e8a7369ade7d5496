package node

import (
	"testing"

	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// asksOnce counts how often signatures are verified one by one.
type asksOnce struct {
	*ident.Key
	alone *int
}

func (a asksOnce) Verify(id ident.ID, tag ident.Tag, msg []byte, sig ident.Signature) bool {
	*a.alone++
	return a.Key.Verify(id, tag, msg, sig)
}

// Invoices that come in one Step are verified together; one that is false is found among them, and
// says nothing about the others.
func TestVerifiedTogether(t *testing.T) {
	payee := ident.NewKey([32]byte{9})
	alone := 0
	n := New(asksOnce{ident.NewKey([32]byte{1}), &alone}, Config{Name: "Ana", NoIndex: "there is none"})
	now := int64(1_700_000_000_000)
	pays := func(forged int) []Event {
		var events []Event
		for i := range 4 {
			s, _ := pay.NewInvoice(payee, ident.Salt{byte(i)}, wire.Invoice{
				Currency: "EUR/2", Amount: money.Amount(1 + i), Created: now / 1000, Expires: now/1000 + 60,
			})
			if i == forged {
				s.Sig[3] ^= 1
			}
			events = append(events, Do{ID: uint64(i + 1), Command: &Pay{Invoice: pay.InvoiceLink(s)}})
		}
		return events
	}
	codes := func(fx Effects) (list []wire.Code) {
		for _, r := range fx.Reply {
			switch v, _ := r.Value.(*PaymentView); {
			case r.Err != nil:
				list = append(list, r.Err.Code)
			default:
				list = append(list, v.Reason.Code)
			}
		}
		return list
	}
	other := wire.Sign(payee, wire.TagInvitation, &wire.Invitation{
		From: payee.ID(), Expires: now/1000 + 60, Lines: []wire.Proposal{{Currency: "EUR/2", Give: 1}},
	})
	other.Sig[3] ^= 1 // of another kind, and not among those that were verified
	for _, c := range []struct{ forged, alone int }{{-1, 1}, {2, 5}} {
		alone = 0
		events := append(pays(c.forged), Do{ID: 9, Command: &Accept{Link: pay.InvitationLink(other)}})
		got := codes(n.Step(now, [32]byte{1}, events...))
		if len(got) != 5 || alone != c.alone {
			t.Fatalf("forged %d: %v, %d verified alone, expected %d", c.forged, got, alone, c.alone)
		}
		if got[4] != wire.BadSignature && got[4] != wire.BadRequest {
			t.Errorf("the invitation got %v", got[4])
		}
		for i, code := range got[:4] {
			if want := i == c.forged; (code == wire.BadSignature) != want {
				t.Errorf("forged %d: payment %d got %v", c.forged, i, code)
			}
		}
	}
}
