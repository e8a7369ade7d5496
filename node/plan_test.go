package node

import (
	"slices"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// How much can be paid at most is not "no way" where nobody could be asked for one.
func TestMostWithoutAnIndex(t *testing.T) {
	w, n := newWorld(t, "ana", "ben")
	w.befriend(n[0], n[1], fst, 1000, 1000)
	n[0].cfg.NoIndex = "none is configured"
	far := ident.NewKey([32]byte{77}).ID()
	q := w.must(n[0], &Pay{To: far.String(), Value: money.Value{Currency: fst}, Quote: true}).(*QuoteView)
	if q.Possible || q.Reason == nil || q.Reason.Code != wire.IndexUnreachable {
		t.Errorf("%+v %+v", q, q.Reason)
	}
}

// A friend that grants in a second currency of one code does not make the code ambiguous for me.
func TestCurrenciesOfOneCode(t *testing.T) {
	const other, second money.Currency = "FST/3", "HUR/2"
	w, n := newWorld(t, "ana", "ben")
	w.befriend(n[0], n[1], fst, 1000, 1000)
	for _, cur := range []money.Currency{other, second} {
		w.must(n[1], &SetLimit{Friend: n[0].ID().String(), Limit: money.Value{Amount: 5, Currency: cur}})
	}
	if got := n[0].Currencies(); !slices.Equal(got, []money.Currency{fst, second}) {
		t.Errorf("ana knows %v", got)
	}
	if got := n[1].Currencies(); !slices.Equal(got, []money.Currency{fst, other, second}) {
		t.Errorf("ben knows %v", got)
	}
	w.must(n[0], &SetLimit{Friend: n[1].ID().String(), Limit: money.Value{Amount: 5, Currency: other}})
	if got := n[0].Currencies(); !slices.Contains(got, other) {
		t.Errorf("ana knows %v, and grants %s", got, other)
	}
}
