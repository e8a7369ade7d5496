package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"kula/internal/run"
	"kula/node"
)

// heartbeat is how often an idle stream says that it lives, so that a reader finds out
// when it does not.
const heartbeat = 15 * time.Second

// registerEvents adds the stream of changes.
func (s *Server) registerEvents(a huma.API) {
	add(a, mayRead, huma.Operation{
		OperationID: "watchEvents", Method: "GET", Path: "/v1/events", Summary: "Everything that changes, as server-sent events", Tags: []string{"events"},
		Description: "The events friend, payment and invoice have the changed object as data. The stream stands when the head of the answer arrives, so what is read afterwards misses nothing. " +
			"A reader that falls behind gets an event lagged, and the stream ends.",
		Responses: plainText("text/event-stream"),
	}, s.events)
}

func (s *Server) events(ctx context.Context, _ *none) (*huma.StreamResponse, error) {
	w, err := s.loop.Watch(ctx, run.Topic{}, nil)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer w.Close()
		_, rw := humago.Unwrap(c)
		stream(ctx, rw, w)
	}}, nil
}

// stream writes notices as events until the reader or the node leaves.
func stream(ctx context.Context, rw http.ResponseWriter, w *run.Watcher) {
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(rw)
	send := func(text string) bool {
		_, err := steady{rw}.Write([]byte(text))
		return err == nil && out.Flush() == nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	ok := send(": here\n\n")
	for ok {
		select {
		case n, open := <-w.C:
			if !open {
				if w.Lagged() {
					send("event: lagged\ndata: {}\n\n")
				}
				return
			}
			if kind, data := eventOf(n); kind != "" {
				ok = send("event: " + kind + "\ndata: " + string(data) + "\n\n")
			}
		case <-beat.C:
			ok = send(": here\n\n")
		case <-ctx.Done():
			return
		}
	}
}

// eventOf names a notice and encodes its object, which has no line breaks in JSON.
func eventOf(n node.Notice) (kind string, data []byte) {
	var v any
	switch {
	case n.Friend != nil:
		f := *n.Friend // others have the same
		kind, v = "friend", whole(&f)
	case n.Payment != nil:
		kind, v = "payment", n.Payment
	case n.Invoice != nil:
		kind, v = "invoice", n.Invoice
	default:
		return "", nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return "", nil // a view that cannot be shown: an amount without a currency
	}
	return kind, data
}
