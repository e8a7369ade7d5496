package index

import (
	"context"
	"errors"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/p2p"
	"kula/money"
	"kula/route"
	"kula/wire"
)

func wantRefusal(t *testing.T, err error, code wire.Code) {
	t.Helper()
	var r *route.Refusal
	if !errors.As(err, &r) || r.Code != code || r.Text == "" {
		t.Fatalf("error %v, want %s", err, code)
	}
}

func TestAsk(t *testing.T) {
	s := startServer(t, Options{})
	ana, ben, cleo := newPerson(t, "ana"), newPerson(t, "ben"), newPerson(t, "cleo")
	befriend(t, s, ana, ben, cleo)
	ctx := t.Context()
	a, err := Ask(ctx, s.URI(), query(ana, cleo, 100))
	if err != nil {
		t.Fatal(err)
	}
	wantRoute(t, a, ben, cleo)
	if a.Routes[0].Fee != 1 {
		t.Fatalf("fee %d, ben takes 1", a.Routes[0].Fee)
	}
	upTo := query(ana, cleo, 0)
	upTo.UpTo = true
	if a, err = Ask(ctx, s.URI(), upTo); err != nil || a.Routes[0].Amounts[1] != 9_999 {
		t.Fatalf("%+v, %v", a, err)
	}
	priced := query(ana, cleo, 100)
	priced.Hops = []ident.ID{ben.key.ID(), cleo.key.ID()}
	if a, err = Ask(ctx, s.URI(), priced); err != nil || a.Routes[0].Amounts[0] != 101 {
		t.Fatalf("%+v, %v", a, err)
	}
	if a, err = Ask(ctx, s.URI(), query(ana, cleo, 20_000)); err != nil || a.Code != wire.NoRoute {
		t.Fatalf("%+v, %v", a, err)
	}
	_, err = Ask(ctx, s.URI(), query(ana, cleo, 0))
	wantRefusal(t, err, wire.WrongAmount)
	if _, err = Ask(ctx, "kula:index?", query(ana, cleo, 1)); err == nil {
		t.Fatal("asked nobody")
	}
}

func TestAskNobody(t *testing.T) {
	s := startServer(t, Options{})
	uri := s.URI()
	link, err := ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	link.Key = ana.key.ID()
	_, err = Ask(t.Context(), FormatURI(link), query(ana, ben, 1))
	wantRefusal(t, err, wire.IndexUnreachable) // somebody else lives there
	s.Close()
	_, err = Ask(t.Context(), uri, query(ana, ben, 1))
	wantRefusal(t, err, wire.IndexUnreachable)
}

// A server may say what it likes; nothing of it is believed that does not add up.
func TestAskLiar(t *testing.T) {
	ana, ben := newPerson(t, "ana"), newPerson(t, "ben")
	honest := route.Route{Hops: []ident.ID{ben.key.ID()}, Amounts: []money.Amount{100}, Charges: []route.Charge{{CanPay: 100}}}
	tooSmall := honest
	tooSmall.Charges = []route.Charge{{CanPay: 99}}
	other := honest
	other.Hops = []ident.ID{ana.key.ID()}
	pong := &route.Pong{Version: route.Version}
	for _, c := range []struct {
		name    string
		answers []route.Message
		code    wire.Code
	}{
		{"an honest answer", []route.Message{pong, &route.Answer{Routes: []route.Route{honest}}}, wire.CodeNone},
		{"a channel too small for its amount", []route.Message{pong, &route.Answer{Routes: []route.Route{tooSmall}}}, wire.BadRequest},
		{"a route to somebody else", []route.Message{pong, &route.Answer{Routes: []route.Route{other}}}, wire.BadRequest},
		{"another version", []route.Message{&route.Pong{Version: route.Version + 1}}, wire.WrongVersion},
		{"another kind", []route.Message{pong, pong}, wire.BadRequest},
		{"a message that is none", []route.Message{pong, &route.Answer{}}, wire.BadRequest},
		{"no answer", []route.Message{pong}, wire.IndexUnreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			liar, err := p2p.New(p2p.Config{Seed: keyOf("liar").IdentitySeed(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}}, noSessions{})
			if err != nil {
				t.Fatal(err)
			}
			defer liar.Close()
			liar.Handle(Protocol, p2p.Limits{MaxFrame: route.MaxMessage}, func(ctx context.Context, _ ident.ID, conn *p2p.Framed) {
				for range 2 {
					conn.ReadFrame()
				}
				for _, m := range c.answers {
					conn.WriteFrame(route.EncodeMessage(m))
				}
				<-ctx.Done()
			})
			patient := patience
			if c.code == wire.IndexUnreachable {
				patient = 500 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patient)
			defer cancel()
			a, err := Ask(ctx, FormatURI(Link{liar.ID(), liar.Addrs()}), query(ana, ben, 100))
			if c.code == wire.CodeNone {
				if err != nil {
					t.Fatal(err)
				}
				wantRoute(t, a, ben)
				return
			}
			wantRefusal(t, err, c.code)
		})
	}
}
