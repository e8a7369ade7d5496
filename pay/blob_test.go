package pay

import (
	"bytes"
	"slices"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

func keys(n int) (list []ident.ID) {
	for i := range n {
		list = append(list, ident.ID{byte(i + 1)})
	}
	return list
}

func amounts(list ...money.Amount) []money.Amount { return list }

func TestRoute(t *testing.T) { // P-5
	me := ident.ID{99}
	same := make([]money.Amount, wire.MaxHops+1)
	for i := range same {
		same[i] = 5
	}
	for _, c := range []struct {
		name string
		r    Route
		ok   bool
	}{
		{"to a friend", Route{keys(1), amounts(5)}, true},
		{"over friends", Route{keys(3), amounts(7, 6, 5)}, true},
		{"nowhere", Route{}, false},
		{"an amount too few", Route{keys(2), amounts(5)}, false},
		{"longest", Route{keys(wire.MaxHops), same[:wire.MaxHops]}, true},
		{"too long", Route{keys(wire.MaxHops + 1), same}, false},
		{"through one node twice", Route{[]ident.ID{{1}, {2}, {1}}, amounts(5, 5, 5)}, false},
		{"through the payer", Route{[]ident.ID{{1}, me, {2}}, amounts(5, 5, 5)}, false},
		{"cycle of two", Route{[]ident.ID{{1}, me}, amounts(5, 5)}, false},
		{"cycle of three", Route{[]ident.ID{{1}, {2}, me}, amounts(5, 5, 5)}, true},
		{"rises", Route{keys(2), amounts(5, 6)}, false},
		{"nothing", Route{keys(1), amounts(0)}, false},
		{"less than nothing", Route{keys(2), amounts(5, -1)}, false},
	} {
		if err := c.r.Check(me); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if fee := (Route{keys(3), amounts(70, 66, 50)}).Fee(); fee != 20 {
		t.Error(fee)
	}
}

// P-10, P-11: each node on the way sees its next hop, only the payee sees the box.
func TestBlob(t *testing.T) {
	route := Route{[]ident.ID{ben.ID(), eve.ID(), payee.ID()}, amounts(1270, 1260, 1250)}
	s, err := AsPayer(payer, salt, payee.ID())
	if err != nil {
		t.Fatal(err)
	}
	invoiced, _ := invoice(nil)
	box := &wire.Box{Form: wire.FormInvoice, Payment: payment, Invoice: invoiced, Currency: eur, Total: 1250, Amount: 1250, Payer: payer.ID(), Name: "Ana", Text: "thanks"}
	data := s.NewBlob(route, part, box)
	if len(data) > wire.MaxBlob {
		t.Fatalf("%d bytes", len(data))
	}
	for i := range 2 {
		b, err := ParseBlob(data)
		if err != nil || len(b.Hops) != 2-i {
			t.Fatal(err, b)
		}
		mediator, err := AsPayee([]ident.Suite{ben, eve}[i], b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mediator.OpenBox(b, part); err == nil {
			t.Fatal("a mediator reads the box")
		}
		hop, inner := Peel(b)
		if hop != (wire.Hop{Next: route.Hops[i+1], Amount: route.Amounts[i+1]}) || len(b.Hops) != 2-i {
			t.Fatalf("hop %+v", hop)
		}
		data = inner
	}
	b, err := ParseBlob(data)
	if err != nil || len(b.Hops) != 0 || b.Key != s.Key || b.Salt != salt {
		t.Fatal(err, b)
	}
	end, err := AsPayee(payee, b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := end.OpenBox(b, part)
	if err != nil || !bytes.Equal(wire.Marshal(got), wire.Marshal(box)) {
		t.Fatal(err, got)
	}
	if _, err := end.OpenBox(b, wire.PartID{1}); err == nil {
		t.Error("the box of another part opens")
	}
	b.Box = ident.Seal(end.key, "box/"+part.String(), []byte{0x80})
	if _, err := end.OpenBox(b, part); err == nil {
		t.Error("a box that is none")
	}
	b.Key = ident.BoxKey{}
	if _, err := AsPayee(payee, b); err == nil {
		t.Error("a key that gives no secret")
	}
	if _, err := AsPayer(payer, salt, ident.ID{}); err == nil {
		t.Error("a payee that is nobody")
	}
}

// The longest route with the longest texts and an invoice fits into a blob (P-10).
func TestBlobFits(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), wire.MaxText))
	cur := money.Currency("ABCDEFGHIJKL/2@" + ben.ID().String())
	s, _ := AsPayer(payer, salt, payee.ID())
	invoiced, _ := invoice(func(i *wire.Invoice) { i.Memo, i.Currency, i.Amount = long, cur, money.MaxLimit })
	r := Route{keys(wire.MaxHops), slices.Repeat(amounts(money.MaxLimit), wire.MaxHops)}
	box := &wire.Box{Form: wire.FormInvoice, Payment: payment, Invoice: invoiced, Currency: cur, Total: money.MaxLimit, Amount: money.MaxLimit, Payer: payer.ID(), Name: long[:wire.MaxName], Text: long}
	if n := len(s.NewBlob(r, part, box)); n > wire.MaxBlob {
		t.Errorf("%d bytes, a blob has %d", n, wire.MaxBlob)
	}
}

func TestPayerProof(t *testing.T) { // P-12
	x, err := payer.Pair(payee.ID())
	if err != nil {
		t.Fatal(err)
	}
	y, err := payee.Pair(payer.ID())
	if err != nil {
		t.Fatal(err)
	}
	z, err := eve.Pair(payee.ID())
	if err != nil {
		t.Fatal(err)
	}
	if PayerProof(x, part, payment) != PayerProof(y, part, payment) {
		t.Error("both ends differ")
	}
	for _, other := range []ident.Hash{PayerProof(z, part, payment), PayerProof(x, wire.PartID{1}, payment), PayerProof(x, part, wire.PaymentID{1})} {
		if other == PayerProof(x, part, payment) {
			t.Error("a proof of something else")
		}
	}
}

func ends(t testing.TB) (from, to Sealed) {
	t.Helper()
	from, err := AsPayer(payer, salt, payee.ID())
	if err != nil {
		t.Fatal(err)
	}
	to, err = AsPayee(payee, &wire.Blob{Salt: salt, Key: from.Key})
	if err != nil {
		t.Fatal(err)
	}
	return from, to
}

func openArrived(s Sealed, id ident.ID, want *wire.Arrived, note []byte) error {
	w, err := s.OpenWord(Arrived, id, want.Part, note)
	if err != nil {
		return err
	}
	return w.Arrived(payer, want)
}

func openReceived(s Sealed, note []byte) (*wire.Received, error) {
	w, err := s.OpenWord(Received, payee.ID(), part, note)
	if err != nil {
		return nil, err
	}
	return w.Received(payer)
}

func arrived(s Sealed, by ident.Suite, a *wire.Arrived) []byte {
	signed := wire.SignAlone(by, wire.TagArrived, a)
	return s.SealWord(Arrived, a.Part, &signed)
}

func received(s Sealed, by ident.Suite, r *wire.Received) []byte {
	signed := wire.SignAlone(by, wire.TagReceived, r)
	return s.SealWord(Received, part, &signed)
}

func TestArrived(t *testing.T) { // P-30
	from, to := ends(t)
	a := &wire.Arrived{Payment: payment, Part: part, Amount: 1250, Condition: ident.Hash{5}}
	note := arrived(to, payee, a)
	if len(note) > wire.MaxNote {
		t.Fatalf("%d bytes", len(note))
	}
	if err := openArrived(from, payee.ID(), a, note); err != nil {
		t.Fatal(err)
	}
	altered := bytes.Clone(note)
	altered[3] ^= 1
	for name, c := range map[string]struct {
		change func(*wire.Arrived)
		id     ident.ID
		note   []byte
	}{
		"altered":                 {func(*wire.Arrived) {}, payee.ID(), altered},
		"empty":                   {func(*wire.Arrived) {}, payee.ID(), nil},
		"of somebody else":        {func(*wire.Arrived) {}, ben.ID(), note},
		"another payment":         {func(a *wire.Arrived) { a.Payment[0]++ }, payee.ID(), note},
		"another part":            {func(a *wire.Arrived) { a.Part[0]++ }, payee.ID(), note},
		"another amount":          {func(a *wire.Arrived) { a.Amount++ }, payee.ID(), note},
		"another condition":       {func(a *wire.Arrived) { a.Condition[0]++ }, payee.ID(), note},
		"not signed by the payee": {func(*wire.Arrived) {}, payee.ID(), arrived(to, eve, a)},
		"not a signed statement":  {func(*wire.Arrived) {}, payee.ID(), ident.SealAgain(to.key, "arrived/"+part.String(), []byte{1})},
		"signed something else": {func(*wire.Arrived) {}, payee.ID(),
			ident.SealAgain(to.key, "arrived/"+part.String(), wire.Marshal(wire.SignAlone(payee, wire.TagReceived, a)))},
		"sealed as a receipt": {func(*wire.Arrived) {}, payee.ID(),
			ident.SealAgain(to.key, "received/"+part.String(), wire.Marshal(wire.SignAlone(payee, wire.TagArrived, a)))},
	} {
		want := *a
		c.change(&want)
		if openArrived(from, c.id, &want, c.note) == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestOrder(t *testing.T) { // P-31
	from, to := ends(t)
	release, cancel := &wire.Order{Preimage: ident.Preimage{4}}, &wire.Order{Cancel: true}
	for lead, o := range map[byte]*wire.Order{'o': release, 'c': cancel} {
		note := from.SealOrder(part, o)
		if note[0] != lead || len(note) > wire.MaxNote {
			t.Errorf("leads with %q", note[0])
		}
		got, err := to.OpenOrder(part, note)
		if err != nil || *got != *o {
			t.Errorf("%q: %+v, %v", lead, got, err)
		}
		for name, bad := range map[string][]byte{
			"another lead": append([]byte{'x'}, note[1:]...), "the other lead": append([]byte{'o' + 'c' - lead}, note[1:]...),
			"no lead": note[1:], "cut": note[:len(note)-1], "lead alone": note[:1], "empty": nil,
		} {
			if _, err := to.OpenOrder(part, bad); err == nil {
				t.Errorf("%q, %s: opened", lead, name)
			}
		}
		if _, err := to.OpenOrder(wire.PartID{1}, note); err == nil {
			t.Error("the order of another part opens")
		}
	}
	sealed := func(lead byte, cancel bool, o []byte) []byte {
		return append([]byte{lead}, ident.Seal(from.key, orderKind(cancel, part), o)...)
	}
	for name, bad := range map[string][]byte{
		"a cancel sealed as a release": sealed('o', false, wire.Marshal(cancel)),
		"a release sealed as a cancel": sealed('c', true, wire.Marshal(release)),
		"a cancel with a preimage":     sealed('c', true, wire.Marshal(&wire.Order{Cancel: true, Preimage: ident.Preimage{1}})),
		"no order":                     sealed('o', false, []byte{0x80}),
	} {
		if o, err := to.OpenOrder(part, bad); err == nil {
			t.Errorf("%s: opened as %+v", name, o)
		}
	}
}

func TestReceived(t *testing.T) { // P-41
	from, to := ends(t)
	r := &wire.Received{Payment: payment, Payee: payee.ID(), Currency: eur, Amount: 1250, Time: 5}
	note := received(to, payee, r)
	if len(note) > wire.MaxNote {
		t.Fatalf("%d bytes", len(note))
	}
	got, err := openReceived(from, note)
	if err != nil || *got != *r {
		t.Fatal(got, err)
	}
	kind := "received/" + part.String()
	for name, bad := range map[string][]byte{
		"empty": nil, "cut": note[1:], "by somebody else": received(to, eve, r), "not signed": ident.SealAgain(to.key, kind, []byte{1}),
		"malformed": ident.SealAgain(to.key, kind, wire.Marshal(wire.SignAlone(payee, wire.TagReceived, &wire.Order{}))),
	} {
		if _, err := openReceived(from, bad); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestReason(t *testing.T) { // P-32
	from, _ := ends(t)
	r := &wire.Reason{Code: wire.LimitReached, At: ben.ID(), Next: payee.ID(), Currency: eur, Limit: 100, Owed: 90, Locked: 5, Left: 5, Text: string(bytes.Repeat([]byte("x"), wire.MaxText))}
	note := SealReason(ben, from.Key, payer.ID(), 7, r)
	if len(note) > wire.MaxNote {
		t.Fatalf("%d bytes", len(note))
	}
	got, err := OpenReason(payer, salt, note)
	if err != nil || *got != *r {
		t.Fatal(got, err)
	}
	if !bytes.Equal(note, SealReason(ben, from.Key, payer.ID(), 7, r)) {
		t.Error("the same reason twice differs")
	}
	keys := map[string]bool{}
	for _, n := range [][]byte{note, SealReason(ben, from.Key, payer.ID(), 8, r), SealReason(ben, from.Key, eve.ID(), 7, r), SealReason(eve, from.Key, payer.ID(), 7, r)} {
		keys[string(n[:32])] = true
	}
	if len(keys) != 4 {
		t.Error("two reasons under one key")
	}
	if _, err := OpenReason(eve, salt, note); err == nil {
		t.Error("somebody else reads it")
	}
	if _, err := OpenReason(payer, ident.Salt{1}, note); err == nil {
		t.Error("another payment reads it")
	}
	for name, bad := range map[string][]byte{"empty": nil, "short": note[:31], "no box": note[:32], "no key": append(make([]byte, 32), note[32:]...)} {
		if _, err := OpenReason(payer, salt, bad); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	eph, key, err := ben.ReplyTo(ident.Salt{3}, from.Key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReason(payer, salt, append(eph[:], ident.Seal(key, "reason", []byte{0x80})...)); err == nil {
		t.Error("a reason that is none")
	}
	if SealReason(ben, ident.BoxKey{}, payer.ID(), 7, r) != nil {
		t.Error("sealed to a key that gives no secret")
	}
}

// P-33: everything that payer and payee seal has a kind of its own.
func TestKindsDiffer(t *testing.T) {
	from, to := ends(t)
	o := from.SealOrder(part, &wire.Order{Preimage: ident.Preimage{4}})
	c := from.SealOrder(part, &wire.Order{Cancel: true})
	a := arrived(to, payee, &wire.Arrived{Part: part})
	r := received(to, payee, &wire.Received{Currency: eur, Amount: 1})
	for _, n := range [][]byte{o[1:], c[1:], a, r} {
		opens := 0
		for _, kind := range []string{"box/", "arrived/", "open/", "cancel/", "received/"} {
			if _, ok := ident.Open(from.key, kind+part.String(), n); ok {
				opens++
			}
			if _, ok := ident.OpenAgain(from.key, kind+part.String(), n); ok {
				opens++
			}
		}
		if opens != 1 {
			t.Errorf("a note opens as %d kinds", opens)
		}
	}
}
