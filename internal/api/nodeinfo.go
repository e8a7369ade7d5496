package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"kula/ident"
	"kula/internal/index"
	"kula/money"
	"kula/node"
	"kula/wire"
)

// body is an answer with a JSON body.
type body[T any] struct{ Body T }

func answerWith[T any](v T) *body[T] { return &body[T]{v} }

// none is a request without parameters.
type none struct{}

// Health is the answer of /healthz and /readyz.
type Health struct {
	Status string `json:"status" example:"ok"`
}

// WaitParam is the parameter of answers that may wait.
type WaitParam struct {
	Wait string `query:"wait" example:"30s" doc:"How long the answer may wait for a state that does not change by itself, at most 10m; absent: not at all."`
}

// duration reads the parameter.
func (w WaitParam) duration() (time.Duration, error) {
	if w.Wait == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(w.Wait)
	if err != nil || d < 0 {
		return 0, problem(http.StatusBadRequest, wire.BadRequest, "wait %q: write a duration such as 30s", w.Wait)
	}
	return min(d, MaxWait), nil
}

// registerNode adds what is about the node as a whole.
func (s *Server) registerNode(a huma.API) {
	open(a, huma.Operation{OperationID: "getHealth", Method: "GET", Path: "/healthz", Summary: "Is the process alive?", Tags: []string{"node"}}, s.health)
	open(a, huma.Operation{OperationID: "getReady", Method: "GET", Path: "/readyz", Summary: "Does the node answer?", Tags: []string{"node"}}, s.ready)
	spec := sync.OnceValue(Spec)
	open(a, huma.Operation{
		OperationID: "getOpenAPI", Method: "GET", Path: "/openapi.json", Summary: "This description", Tags: []string{"node"}, Hidden: true,
	}, func(context.Context, *none) (*text, error) {
		return &text{Type: "application/openapi+json", Body: spec()}, nil
	})
	add(a, mayRead, huma.Operation{
		OperationID: "getMetrics", Method: "GET", Path: "/metrics", Summary: "Figures for Prometheus", Tags: []string{"node"}, Responses: plainText("text/plain"),
	}, s.metrics)
	add(a, anyone, huma.Operation{
		OperationID: "getIdentity", Method: "GET", Path: "/v1/identity", Summary: "Who the node is", Tags: []string{"node"},
	}, s.identity)
	add(a, anyone, huma.Operation{
		OperationID: "listCurrencies", Method: "GET", Path: "/v1/currencies", Summary: "All currencies the node knows", Tags: []string{"node"},
	}, s.currencies)
	add(a, mayRead, huma.Operation{
		OperationID: "listBalances", Method: "GET", Path: "/v1/balances", Summary: "Each currency over all friends", Tags: []string{"node"},
	}, s.balances)
	add(a, mayRead, huma.Operation{
		OperationID: "getAnnounced", Method: "GET", Path: "/v1/announced", Summary: "Do index servers know everything the node would tell?", Tags: []string{"node"},
		Description: "announced is true when every configured index server has confirmed all announcements; with none configured it is false at once, and servers is empty.",
	}, s.announced)
	add(a, mayRead, huma.Operation{
		OperationID: "getBackup", Method: "GET", Path: "/v1/backup", Summary: "Heads of all channels, sealed to this identity", Tags: []string{"node"},
		Description: "What a restore needs beyond the 24 words. Only this identity can read it.", Responses: plainText("application/octet-stream"),
	}, s.backup)
}

// text is an answer that is no JSON.
type text struct {
	Type string `header:"Content-Type"`
	Body []byte
}

// plainText describes it.
func plainText(types ...string) map[string]*huma.Response {
	content := map[string]*huma.MediaType{}
	for _, t := range types {
		s := &huma.Schema{Type: huma.TypeString}
		if t == "application/octet-stream" {
			s.Format = "binary"
		}
		content[t] = &huma.MediaType{Schema: s}
	}
	return map[string]*huma.Response{"200": {Description: "OK", Content: content}}
}

func (s *Server) health(context.Context, *none) (*body[Health], error) {
	select {
	case <-s.loop.Done():
		return nil, problem(http.StatusServiceUnavailable, wire.NodeNotRunning, "the node has stopped")
	default:
		return answerWith(Health{"ok"}), nil
	}
}

func (s *Server) ready(ctx context.Context, _ *none) (*body[Health], error) {
	if err := s.loop.View(ctx, func(*node.Node) {}); err != nil {
		return nil, err
	}
	return answerWith(Health{"ok"}), nil
}

func (s *Server) identity(ctx context.Context, _ *none) (*body[Who], error) {
	var name string
	if err := s.loop.View(ctx, func(n *node.Node) { name = n.Name() }); err != nil {
		return nil, err
	}
	id := s.loop.ID()
	return answerWith(Who{Key: id, DID: id.DID(), Peer: id.Peer(), Name: name, Addresses: list(s.loop.Addrs())}), nil
}

// list makes an empty list of none, so that it is [] and not null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// Currencies is the answer of GET /v1/currencies.
type Currencies struct {
	Currencies []money.Currency `json:"currencies"`
}

func (s *Server) currencies(ctx context.Context, _ *none) (*body[Currencies], error) {
	var c Currencies
	err := s.loop.View(ctx, func(n *node.Node) { c.Currencies = list(n.Currencies()) })
	return answerWith(c), err
}

// Balances is the answer of GET /v1/balances.
type Balances struct {
	Balances []node.BalanceView `json:"balances"`
}

func (s *Server) balances(ctx context.Context, _ *none) (*body[Balances], error) {
	var b Balances
	err := s.loop.View(ctx, func(n *node.Node) { b.Balances = list(n.Balances()) })
	return answerWith(b), err
}

// Announced is the answer of GET /v1/announced.
type Announced struct {
	Announced bool          `json:"announced"`
	Servers   []IndexServer `json:"servers"`
}

// IndexServer is how far the node is with one index server.
type IndexServer struct {
	Key       ident.ID `json:"key"`
	Connected bool     `json:"connected"`
	Resting   bool     `json:"resting" doc:"Not connected, because the server is full and has confirmed all announcements: the node comes back when there is something to say or to ask."`
	Waiting   int      `json:"waiting" doc:"Announcements that it has not confirmed yet."`
	Complete  bool     `json:"complete" doc:"It has confirmed all of them."`
}

// recheck is how often announced looks again when nothing tells it to: what the node
// would tell changes with its channels too.
const recheck = time.Second

func (s *Server) announced(ctx context.Context, in *WaitParam) (*body[Announced], error) {
	wait, err := in.duration()
	if err != nil {
		return nil, err
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	again := time.NewTicker(recheck)
	defer again.Stop()
	for {
		standings, changed := s.loop.Index().Standings()
		a := announcedBy(standings)
		if err := s.loop.View(ctx, func(n *node.Node) { a.Announced = a.Announced && n.Announced() }); err != nil {
			return nil, err
		}
		if a.Announced || wait == 0 || len(standings) == 0 && !s.loop.SeeksIndex() {
			return answerWith(a), nil
		}
		select {
		case <-changed:
		case <-again.C:
		case <-late.C:
			return answerWith(a), nil
		case <-ctx.Done():
			return answerWith(a), nil
		}
	}
}

func announcedBy(standings []index.Standing) Announced {
	a := Announced{Announced: len(standings) > 0, Servers: []IndexServer{}}
	for _, st := range standings {
		a.Servers = append(a.Servers, IndexServer{st.Key, st.Connected, st.Resting, st.Waiting, st.Complete})
		a.Announced = a.Announced && st.Complete
	}
	return a
}

func (s *Server) backup(ctx context.Context, _ *none) (*text, error) {
	t := &text{Type: "application/octet-stream"}
	var no *node.Error
	err := s.loop.View(ctx, func(n *node.Node) { t.Body, no = n.Heads() })
	if err == nil && no != nil {
		err = no
	}
	if err != nil {
		return nil, problemOf(err)
	}
	return t, nil
}
