//go:build linux

package realtest

import (
	"context"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kula/internal/api"
	"kula/internal/leaktest"
	"kula/node"
	"kula/pay"
	"kula/wire"
)

// What docs/privacy.md says, looked for in what real processes keep, say and send.

// onDisk is each file of a home, and the log.
func (m *member) onDisk() leaktest.Haystack {
	m.t.Helper()
	h := leaktest.Haystack{}
	err := filepath.WalkDir(m.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		h[path], err = os.ReadFile(path)
		return err
	})
	if err == nil {
		h[m.logs], err = os.ReadFile(m.logs)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return h
}

// everything is what is on the disk, what the commands of a running node print, and each stored value whole: a file has long
// ones in pieces. It stops the node.
func (m *member) everything() leaktest.Haystack {
	m.t.Helper()
	said := leaktest.Haystack{}
	for _, args := range [][]string{{"id"}, {"friend", "list"}, {"payment", "list"}, {"invoice", "list"}, {"balance"}, {"book", "list"}, {"book", "export", "--format", "csv"}} {
		code, out, log := run(m.t, m.home, append([]string{"--json"}, args...)...)
		if code != 0 {
			m.t.Fatalf("%q: exit %d, %s", args, code, log)
		}
		said[strings.Join(args, " ")] = []byte(out + log)
	}
	m.halt()
	h := m.onDisk()
	for name, b := range said {
		h[name] = b
	}
	all, rows := records(m.t, filepath.Join(m.home, storeFile))
	for _, r := range append(all, rows...) {
		h["record "+r.kind+" "+r.key] = []byte(r.key + r.value)
	}
	return h
}

// secretsOf is what only the ends of a payment have.
func secretsOf(t testing.TB, what, text string, p *node.PaymentView) (list []leaktest.Secret) {
	t.Helper()
	id, err := hex.DecodeString(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, leaktest.Bytes(what+": payment id", id), leaktest.Text(what+": text", text))
	if p.Invoice == "" {
		return list
	}
	signed, i, err := pay.ParseInvoiceLink(verifier{}, p.Invoice)
	if err != nil {
		t.Fatal(err)
	}
	return append(list, leaktest.Text(what+": memo", i.Memo), leaktest.Bytes(what+": invoice", signed.Body), leaktest.Bytes(what+": salt", i.Salt[:]), leaktest.Bytes(what+": signature", signed.Sig[:]))
}

// preimagesOf is what opened a hold: the payee's and the payer's.
func preimagesOf(t testing.TB, p *node.PaymentView) []leaktest.Secret {
	t.Helper()
	receipt, err := pay.ParseReceipt(p.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	release, err := pay.ParseReleaseLink(p.Release)
	if err != nil {
		t.Fatal(err)
	}
	return []leaktest.Secret{leaktest.Bytes("the payee's preimage", receipt.Preimages[0][:]), leaktest.Bytes("the payer's preimage", release.Preimage[:])}
}

// pays pays an invoice of payee along a route, and says how it came out.
func pays(t testing.TB, payer, payee *member, ask api.Ask, text string, route ...string) (*node.PaymentView, *node.InvoiceView) {
	t.Helper()
	i, err := payee.api().CreateInvoice(context.Background(), ask)
	if err != nil {
		t.Fatal(err)
	}
	return payWith(t, payer, api.Order{Invoice: i.URI, Text: text, Route: route, GiveUpMs: 1}), i
}

// becomes waits until a payment has come to a state.
func becomes(t testing.TB, m *member, id string, state node.PaymentState) (p *node.PaymentView) {
	t.Helper()
	eventually(t, "the payment is "+string(state), func(ctx context.Context) (string, bool) {
		var err error
		if p, err = m.api().Payment(ctx, id, 0); err != nil {
			return err.Error(), false
		}
		return string(p.State), p.State == state
	})
	return p
}

// A mediator that is no friend of either end keeps nothing of them in any file or answer, whatever form the payment has
// and however it ends, and no preimage of a hold while it is held. What its neighbours are called it knows.
func TestMediatorKeepsNothing(t *testing.T) {
	names := []string{"anastasia almond", "benedikta birch", "cleopatra cedar", "desdemona dogwood", "esmeralda elder"}
	var row []*member
	var route []string
	for i, name := range names {
		row = append(row, begin(t, name))
		if i > 0 {
			befriend(t, row[i-1], row[i], 1000)
			route = append(route, row[i].key.String())
		}
	}
	payer, mediator, payee := row[0], row[2], row[4]
	ctx := context.Background()
	var secrets []leaktest.Secret
	for _, m := range []*member{payer, payee} {
		secrets = append(secrets, leaktest.Key(m.name, m.key), leaktest.Text("the name of "+m.name, m.name))
	}
	want := func(what string, p *node.PaymentView, state node.PaymentState, text string) {
		t.Helper()
		if p.State != state {
			t.Fatalf("%s: %s %+v", what, p.State, p.Reason)
		}
		secrets = append(secrets, secretsOf(t, what, text, p)...)
	}

	p, _ := pays(t, payer, payee, api.Ask{Amount: fst(11), Memo: "bricks and mortar"}, "for the leaking roof", route...)
	want("invoice", p, node.Paid, "for the leaking roof")
	push := orderTo(payee, 12, row[1:]...)
	push.Text = "a birthday present"
	want("push", payWith(t, payer, push), node.Paid, push.Text)
	back, i := pays(t, payer, payee, api.Ask{Amount: fst(13), Memo: "a ticket", Hold: true}, "on second thoughts", route...)
	want("hold that came back", back, node.Held, "on second thoughts")
	if _, err := payee.api().CancelInvoice(ctx, i.ID); err != nil {
		t.Fatal(err)
	}
	if back = becomes(t, payer, back.ID, node.Returned); back.Reason.Code != wire.CancelledByPayee {
		t.Errorf("%+v", back.Reason)
	}
	must(t, payee.home, nil, "friend", "limit", row[3].key.String(), typed(500))
	push = orderTo(payee, 700, row[1:]...) // its reason names the payee
	push.Text = "more than there is"
	failed := payWith(t, payer, push)
	want("failed", failed, node.Returned, push.Text)
	if failed.Reason.Code != wire.LimitReached || failed.Reason.At != row[3].key.String() || failed.Reason.Limit != nil || failed.Reason.Owed != nil || failed.Reason.Left.Amount != 477 {
		t.Errorf("%+v", failed.Reason)
	}
	hold, _ := pays(t, payer, payee, api.Ask{Amount: fst(14), Memo: "one bicycle, used", Hold: true}, "until it is delivered", route...)
	want("hold", hold, node.Held, "until it is delivered")
	held := mediator.onDisk()
	if _, err := payer.api().Release(ctx, newKey(), hold.ID); err != nil {
		t.Fatal(err)
	}
	hold = becomes(t, payer, hold.ID, node.Paid)
	if leaks := held.Leaks(append(preimagesOf(t, hold), secrets...)...); len(leaks) > 0 {
		t.Errorf("while it was held the mediator had %q", leaks)
	}

	has := mediator.everything()
	for _, leak := range has.Leaks(secrets...) {
		t.Errorf("the mediator has %s", leak)
	}
	ends := payer.everything()
	for name, b := range payee.everything() {
		ends[name] = b
	}
	for _, s := range append(secrets, preimagesOf(t, hold)...) {
		if len(ends.Where(s)) == 0 {
			t.Errorf("%s is not even at the ends: the search proves nothing", s.What)
		}
	}
	_, asked, err := pay.ParseInvoiceLink(verifier{}, hold.Invoice)
	if err != nil {
		t.Fatal(err)
	}
	if len(held.Where(leaktest.Bytes("the condition", asked.Hash[:]))) == 0 {
		t.Error("the mediator does not even have the condition of what is held: the search proves nothing")
	}
	for _, s := range []leaktest.Secret{leaktest.Key(row[1].name, row[1].key), leaktest.Text("its neighbour's name", row[3].name)} {
		if len(has.Where(s)) == 0 {
			t.Errorf("the mediator does not have %s: the search proves nothing", s.What)
		}
	}
	mediator.start() // so that all end as they began
	payer.start()
	payee.start()
}
