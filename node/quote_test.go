package node

import (
	"testing"

	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// A quote is judged by what others on the way say of their figures, and by nothing else.
func TestJudgeQuote(t *testing.T) {
	id := func(b byte) ident.ID { return ident.NewKey([32]byte{b}).ID() }
	ben, cleo, dana, server := id(2), id(3), id(4), id(9)
	route := pay.Route{Hops: []ident.ID{ben, cleo, dana}, Amounts: []money.Amount{3, 2, 1}}
	for _, c := range []struct {
		name  string
		by    ident.ID
		route pay.Route
		r     wire.Reason
		wrong bool
	}{
		{"a fee", server, route, wire.Reason{Code: wire.FeeTooLow, At: ben}, true},
		{"a capacity", server, route, wire.Reason{Code: wire.LimitReached, At: cleo}, true},
		{"no such channel", server, route, wire.Reason{Code: wire.UnknownNextHop, At: cleo}, true},
		{"a friend that has left", server, route, wire.Reason{Code: wire.FriendOffline, At: ben}, true},
		{"of the moment", server, route, wire.Reason{Code: wire.TooManyLocks, At: ben}, false},
		{"my own channel", server, route, wire.Reason{Code: wire.LimitReached, At: id(1)}, false},
		{"the payee's word", server, route, wire.Reason{Code: wire.LimitReached, At: dana}, false},
		{"somebody beside the way", server, route, wire.Reason{Code: wire.FeeTooLow, At: id(8)}, false},
		{"unreadable", server, route, wire.Reason{}, false},
		{"no server gave it", ident.ID{}, route, wire.Reason{Code: wire.FeeTooLow, At: ben}, false},
		{"no route", server, pay.Route{}, wire.Reason{Code: wire.FeeTooLow, At: ben}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := New(ident.NewKey([32]byte{1}), Config{Name: "Ana"})
			n.judgeQuote(c.by, c.route, &c.r)
			if wrong := len(n.fx.Wrong) == 1 && n.fx.Wrong[0] == server; wrong != c.wrong || len(n.fx.Wrong) > 1 {
				t.Errorf("wrong: %v", n.fx.Wrong)
			}
		})
	}
}
