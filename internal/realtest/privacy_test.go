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
	"kula/money"
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

// bazaar is a row of five friends, and the payments of its first to its last with what only those two know.
type bazaar struct {
	t       testing.TB
	row     []*member
	route   []string
	secrets []leaktest.Secret
}

func newBazaar(t testing.TB) *bazaar {
	t.Helper()
	b := &bazaar{t: t}
	for i, name := range []string{"anastasia almond", "benedikta birch", "cleopatra cedar", "desdemona dogwood", "esmeralda elder"} {
		b.row = append(b.row, begin(t, name))
		if i > 0 {
			befriend(t, b.row[i-1], b.row[i], 1000)
			b.route = append(b.route, b.row[i].key.String())
		}
	}
	for _, m := range []*member{b.row[0], b.row[4]} {
		b.secrets = append(b.secrets, leaktest.Key(m.name, m.key), leaktest.Text("the name of "+m.name, m.name))
	}
	return b
}

// keep wants a payment in a state and keeps its secrets.
func (b *bazaar) keep(what string, p *node.PaymentView, state node.PaymentState, text string) *node.PaymentView {
	b.t.Helper()
	if p.State != state {
		b.t.Fatalf("%s: %s %+v", what, p.State, p.Reason)
	}
	b.secrets = append(b.secrets, secretsOf(b.t, what, text, p)...)
	return p
}

func (b *bazaar) push(what string, amount money.Amount, state node.PaymentState, text string) *node.PaymentView {
	b.t.Helper()
	o := orderTo(b.row[4], amount, b.row[1:]...)
	o.Text = text
	return b.keep(what, payWith(b.t, b.row[0], o), state, text)
}

func (b *bazaar) invoice(what string, ask api.Ask, state node.PaymentState, text string) (*node.PaymentView, *node.InvoiceView) {
	b.t.Helper()
	i, err := b.row[4].api().CreateInvoice(context.Background(), ask)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.keep(what, payWith(b.t, b.row[0], api.Order{Invoice: i.URI, Text: text, Route: b.route, GiveUpMs: 1}), state, text), i
}

// trade pays in every form; one comes back from the payee, one from the last mediator.
func (b *bazaar) trade() {
	b.t.Helper()
	b.invoice("invoice", api.Ask{Amount: fst(11), Memo: "bricks and mortar"}, node.Paid, "for the leaking roof")
	b.push("push", 12, node.Paid, "a birthday present")
	back, i := b.invoice("hold that came back", api.Ask{Amount: fst(13), Memo: "a ticket", Hold: true}, node.Held, "on second thoughts")
	if _, err := b.row[4].api().CancelInvoice(context.Background(), i.ID); err != nil {
		b.t.Fatal(err)
	}
	if back = becomes(b.t, b.row[0], back.ID, node.Returned); back.Reason.Code != wire.CancelledByPayee {
		b.t.Errorf("%+v", back.Reason)
	}
	must(b.t, b.row[4].home, nil, "friend", "limit", b.row[3].key.String(), typed(500))
	failed := b.push("failed", 700, node.Returned, "more than there is").Reason // which names the payee
	if failed.Code != wire.LimitReached || failed.At != b.row[3].key.String() || failed.Limit != nil || failed.Owed != nil || failed.Left.Amount != 477 {
		b.t.Errorf("%+v", failed)
	}
}

// A mediator that is no friend of either end keeps nothing of them in any file or answer, whatever form the payment has
// and however it ends, and no preimage of a hold while it is held. What its neighbours are called it knows.
func TestMediatorKeepsNothing(t *testing.T) {
	b := newBazaar(t)
	payer, mediator, payee := b.row[0], b.row[2], b.row[4]
	b.trade()
	hold, _ := b.invoice("hold", api.Ask{Amount: fst(14), Memo: "one bicycle, used", Hold: true}, node.Held, "until it is delivered")
	held := mediator.onDisk()
	if _, err := payer.api().Release(context.Background(), newKey(), hold.ID); err != nil {
		t.Fatal(err)
	}
	hold = becomes(t, payer, hold.ID, node.Paid)
	_, asked, err := pay.ParseInvoiceLink(verifier{}, hold.Invoice)
	if err != nil {
		t.Fatal(err)
	}
	opened := append(preimagesOf(t, hold), b.secrets...)
	if leaks := held.Leaks(opened...); len(leaks) > 0 {
		t.Errorf("while it was held the mediator had %q", leaks)
	}
	if len(held.Where(leaktest.Bytes("the condition", asked.Hash[:]))) == 0 {
		t.Error("the mediator does not even have the condition of what is held: the search proves nothing")
	}

	has := mediator.everything()
	for _, leak := range has.Leaks(b.secrets...) {
		t.Errorf("the mediator has %s", leak)
	}
	for _, m := range []*member{b.row[1], b.row[3]} {
		if len(has.Where(leaktest.Key(m.name, m.key))) == 0 || len(has.Where(leaktest.Text("its name", m.name))) == 0 {
			t.Errorf("the mediator does not even have its neighbour %s: the search proves nothing", m.name)
		}
	}
	ends := payer.everything()
	for name, said := range payee.everything() {
		ends[name] = said
	}
	for _, s := range opened {
		if len(ends.Where(s)) == 0 {
			t.Errorf("%s is not even at the ends: the search proves nothing", s.What)
		}
	}
	mediator.start() // so that all end as they began
	payer.start()
	payee.start()
}
