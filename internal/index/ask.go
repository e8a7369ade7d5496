package index

import (
	"context"
	"crypto/rand"
	"fmt"

	"kula/ident"
	"kula/internal/p2p"
	"kula/route"
	"kula/wire"
)

// Ask puts one query to the server of a link, from an identity made for it that nobody
// sees again. ctx bounds all of it. A route in the answer has been recomputed from its
// own figures. Errors are that of ParseURI, or of type *route.Refusal: with the code
// index_unreachable if there is no answer, wrong_version if the server speaks another
// one, else what is wrong with the query or the answer. That there is no route is an
// answer.
func Ask(ctx context.Context, uri string, q *route.Query) (*route.Answer, error) {
	link, err := ParseURI(uri)
	if err != nil {
		return nil, err
	}
	question := route.EncodeMessage(q)
	if _, err := route.DecodeMessage(question); err != nil {
		return nil, route.RefusalOf(err)
	}
	var seed [32]byte
	rand.Read(seed[:])
	host, err := p2p.New(p2p.Config{Seed: seed}, noSessions{})
	if err != nil {
		return nil, fmt.Errorf("ask an index server: %w", err)
	}
	defer host.Close()
	conn, err := host.Open(ctx, link.Key, link.Addrs, Protocol, p2p.Limits{MaxFrame: route.MaxMessage, Frames: 2})
	if err != nil {
		return nil, unreachable(ctx, link.Key, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	ping := route.EncodeMessage(&route.Ping{Version: route.Version})
	if err := conn.WriteFrames([][]byte{ping, question}); err != nil {
		return nil, unreachable(ctx, link.Key, err)
	}
	pong, err := receive[*route.Pong](ctx, conn)
	if err != nil {
		return nil, err
	}
	if pong.Version != route.Version {
		return nil, refuse(wire.WrongVersion, "index server %s speaks version %d, this program speaks %d", link.Key.Short(), pong.Version, route.Version)
	}
	answer, err := receive[*route.Answer](ctx, conn)
	if err != nil {
		return nil, err
	}
	return answer, checkAnswer(link.Key, q, answer)
}

func refuse(code wire.Code, format string, args ...any) *route.Refusal {
	return &route.Refusal{Code: code, Text: fmt.Sprintf(format, args...)}
}

func unreachable(ctx context.Context, server ident.ID, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return refuse(wire.IndexUnreachable, "index server %s gives no answer: %v; check the link, and that the server runs", server.Short(), err)
}

// receive reads an answer of one kind.
func receive[M route.Message](ctx context.Context, conn *p2p.Framed) (answer M, err error) {
	frame, err := conn.ReadFrame()
	if err != nil {
		return answer, unreachable(ctx, conn.Peer(), err)
	}
	m, err := route.DecodeMessage(frame)
	if err != nil {
		return answer, refuse(wire.BadRequest, "index server %s sent no message: %v", conn.Peer().Short(), err)
	}
	answer, ok := m.(M)
	if !ok {
		return answer, refuse(wire.BadRequest, "index server %s sent a message of kind %d, want %d", conn.Peer().Short(), m.Kind(), answer.Kind())
	}
	return answer, nil
}

// checkAnswer recomputes a route that was searched (rule R17 of package route). One
// with given hops is only priced, from whatever is known.
func checkAnswer(server ident.ID, q *route.Query, a *route.Answer) error {
	if a.Code != wire.CodeNone || len(q.Hops) > 0 {
		return nil
	}
	r := q.Request
	if q.UpTo {
		r.Amount = 0
		for _, q := range a.Routes {
			r.Amount += q.Arrives()
		}
	}
	if err := r.CheckRoutes(a.Routes); err != nil {
		return refuse(route.RefusalOf(err).Code, "the answer of index server %s does not add up: %v", server.Short(), err)
	}
	return nil
}
