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

// What a payee says of payments that are locked in one Step it signs once, and the payer verifies that once for all
// (spec E-17); a word whose statement was altered counts nothing, whatever else its batch says.
func TestWordsOfAPayee(t *testing.T) {
	for _, forged := range []bool{false, true} {
		w, _ := newWorld(t)
		signed, alone := 0, 0
		payee := New(signsOften{ident.NewKey([32]byte{2}), &signed}, Config{Name: "Ben"})
		payer := New(asksOnce{ident.NewKey([32]byte{1}), &alone}, Config{Name: "Ana"})
		w.n[payer.ID()], w.n[payee.ID()] = payer, payee
		w.befriend(payer, payee, fst, 100, 100)
		var pays []Event
		for i := range uint64(7) {
			pays = append(pays, Do{ID: 100 + i, Command: &Pay{To: payee.ID().String(), Route: []string{payee.ID().String()}, Value: money.Value{Amount: 1, Currency: fst}}})
		}
		w.step(payer, pays...)
		signed, alone = 0, 0
		locks := w.take(1)
		w.step(payee, locks...)
		if signed != 2 { // the words, and the promise that answers
			t.Fatalf("%d signatures", signed)
		}
		arrived := w.take(8)
		if forged {
			note := arrived[3].(Received).Message.(*wire.Acknowledge)
			note.Note[40] ^= 1
		}
		w.step(payer, arrived...)
		orders := 0
		for _, o := range w.queue {
			if _, ok := o.out.Message.(*wire.Onward); ok {
				orders++
			}
		}
		if want := map[bool]int{false: 7, true: 6}[forged]; orders != want || alone > 2 {
			t.Fatalf("forged %v: %d orders, %d verified alone", forged, orders, alone)
		}
	}
}

// signsOften counts signatures.
type signsOften struct {
	*ident.Key
	signed *int
}

func (s signsOften) Sign(tag ident.Tag, msg []byte) ident.Signature {
	*s.signed++
	return s.Key.Sign(tag, msg)
}

// take takes so many messages that are on their way to one node.
func (w *world) take(count int) (events []Event) {
	if len(w.queue) != count {
		w.t.Fatalf("%d messages are on their way, expected %d: %+v", len(w.queue), count, w.queue)
	}
	for _, o := range w.queue {
		events = append(events, Received{o.from, o.out.Session.Session, o.out.Message})
	}
	w.queue = nil
	return events
}
