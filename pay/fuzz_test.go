package pay

import (
	"bytes"
	"testing"

	"kula/ident"
	"kula/wire"
)

func FuzzParseBlob(f *testing.F) {
	s, _ := AsPayer(payer, salt, payee.ID())
	f.Add(s.NewBlob(Route{keys(3), amounts(7, 6, 5)}, part, &wire.Box{Form: wire.FormPush, Currency: eur, Total: 5, Amount: 5}))
	f.Add([]byte{0x85})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseBlob(data)
		if err != nil {
			return
		}
		if !bytes.Equal(wire.Marshal(b), data) {
			t.Fatalf("%x is a second spelling", data)
		}
		n := len(b.Hops)
		if n > 0 {
			_, inner := Peel(b)
			if next, err := ParseBlob(inner); err != nil || len(next.Hops) != n-1 || len(inner) >= len(data) {
				t.Fatalf("peeled to %x, %v", inner, err)
			}
		}
	})
}

// FuzzOpenBox: whatever a stranger seals or sends, a payee reads a box of good form or none.
func FuzzOpenBox(f *testing.F) {
	_, to := ends(f)
	f.Add(wire.Marshal(&wire.Box{Form: wire.FormPush, Currency: eur, Total: 5, Amount: 5}), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		b := &wire.Blob{Box: data}
		if seal {
			b.Box = ident.Seal(to.key, "box/"+part.String(), data)
		}
		if box, err := to.OpenBox(b, part); err == nil && (!seal || !bytes.Equal(wire.Marshal(box), data)) {
			t.Fatalf("opened %+v", box)
		}
	})
}

// FuzzNotes: the same for OpenWord, OpenOrder and OpenReason.
func FuzzNotes(f *testing.F) {
	from, to := ends(f)
	a := &wire.Arrived{Payment: payment, Part: part, Amount: 5}
	f.Add(byte(0), wire.Marshal(wire.SignAlone(payee, wire.TagArrived, a)))
	f.Add(byte(1), wire.Marshal(&wire.Order{Cancel: true}))
	f.Add(byte(2), wire.Marshal(wire.SignAlone(payee, wire.TagReceived, &wire.Received{Payee: payee.ID(), Currency: eur, Amount: 1})))
	f.Add(byte(3), wire.Marshal(&wire.Reason{Code: wire.NotFound}))
	f.Add(byte(4), fill(wire.Marshal(wire.SignAlone(payee, wire.TagReceived, &wire.Received{Payee: payee.ID(), Currency: eur, Amount: 1}))))
	eph, key, err := ben.ReplyTo(ident.Salt{3}, from.Key)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		switch kind % 5 {
		case 4:
			even := from
			even.even = true
			note := ident.SealAgain(to.key, "received/"+part.String(), data)
			w, err := even.OpenWord(Received, payee.ID(), part, note)
			if err == nil && bytes.Equal(wire.Marshal(&w.Signed), data[2:2+(int(data[0])<<8|int(data[1]))]) && !bytes.Equal(even.SealWord(Received, part, &w.Signed), note) {
				t.Fatalf("%x is a second spelling", data)
			}
		case 0:
			if _, err := from.OpenWord(Arrived, payee.ID(), part, data); err == nil {
				t.Fatal("opened what is not sealed")
			}
			if w, err := from.OpenWord(Arrived, payee.ID(), part, ident.SealAgain(to.key, "arrived/"+part.String(), data)); err == nil {
				_ = w.Arrived(payer, a)
			}
		case 1:
			if _, err := to.OpenOrder(part, data); err == nil {
				t.Fatal("opened what is not sealed")
			}
			for lead, cancel := range map[byte]bool{'o': false, 'c': true} {
				note := append([]byte{lead}, ident.Seal(from.key, orderKind(cancel, part), data)...)
				if o, err := to.OpenOrder(part, note); err == nil && !bytes.Equal(from.SealOrder(part, o), note) {
					t.Fatalf("%x is a second spelling of %+v", data, o)
				}
			}
		case 2:
			w, err := from.OpenWord(Received, payee.ID(), part, ident.SealAgain(to.key, "received/"+part.String(), data))
			if err != nil {
				break
			}
			if r, err := w.Received(payer); err == nil && !bytes.Equal(wire.Marshal(r), w.Signed.Body) {
				t.Fatalf("%x is a second spelling", w.Signed.Body)
			}
		case 3:
			if _, err := OpenReason(payer, salt, data); err == nil {
				t.Fatal("opened what is not sealed")
			}
			r, err := OpenReason(payer, salt, append(bytes.Clone(eph[:]), ident.Seal(key, "reason", data)...))
			if err == nil && !bytes.Equal(wire.Marshal(r), data) {
				t.Fatalf("%x is a second spelling", data)
			}
		}
	})
}

// FuzzLinks: ParseInvoiceLink, OpenInvoice, ParseInvitationLink, ParseReleaseLink and ParseReceipt open
// nothing that is not theirs, and what they open can be written again.
func FuzzLinks(f *testing.F) {
	s, i := invoice(nil)
	f.Add(InvoiceLink(s))
	f.Add(InvitationLink(wire.Sign(payer, wire.TagInvitation, &wire.Invitation{From: payer.ID(), Lines: []wire.Proposal{{Currency: eur}}})))
	f.Add(ReleaseLink(&wire.Release{Payment: payment}))
	f.Add(ReceiptLink(&wire.Receipt{Payee: payee.ID(), Invoice: s, Preimages: []ident.Preimage{payee.Preimage(i.Salt)}}))
	f.Add(ReceiptLink(&wire.Receipt{Payee: payee.ID(), Received: wire.SignAlone(payee, wire.TagReceived, &wire.Received{Payee: payee.ID(), Currency: eur, Amount: 1})}))
	f.Fuzz(func(t *testing.T, link string) {
		if signed, _, err := ParseInvoiceLink(eve, link); err == nil {
			if _, err := OpenInvoice(eve, signed); err != nil {
				t.Fatal(err)
			}
			if again, _, err := ParseInvoiceLink(eve, InvoiceLink(signed)); err != nil || !again.Equal(signed) {
				t.Fatal(err)
			}
		}
		_, _ = ParseInvitationLink(eve, link)
		if r, err := ParseReleaseLink(link); err == nil {
			if again, err := ParseReleaseLink(ReleaseLink(r)); err != nil || *again != *r {
				t.Fatal(err)
			}
		}
		if r, err := ParseReceipt(link); err == nil {
			_, _ = VerifyReceipt(eve, r)
			if again, err := ParseReceipt(ReceiptLink(r)); err != nil || !bytes.Equal(wire.Marshal(again), wire.Marshal(r)) {
				t.Fatal(err)
			}
		}
	})
}
