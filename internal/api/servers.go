package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kula/ident"
	"kula/internal/run"
)

// ServerKind is the parameter that says what servers are for.
type ServerKind struct {
	Kind run.Role `path:"kind" enum:"index,relay" doc:"index: finds routes; relay: forwards connections to nodes behind a router."`
}

// Servers is the answer of GET /v1/servers/{kind}.
type Servers struct {
	Servers []ServerState `json:"servers"`
}

// ServerState is how the node stands with a server, and what its user says of it.
type ServerState struct {
	Kind      run.Role `json:"kind" enum:"index,relay"`
	Key       ident.ID `json:"key"`
	Trust     string   `json:"trust" enum:"trusted,blocked,none" doc:"The user's word: a trusted server is used at each start and asked before others, a blocked one never, whoever names it."`
	From      string   `json:"from" enum:"given,found,listed" doc:"Who named it: the settings of the node, the DHT, or the user's list alone."`
	Connected bool     `json:"connected" doc:"Of a relay: the node is reached through it."`
	Resting   bool     `json:"resting" doc:"Of an index server: not connected, because it is full and knows what the node announces. The node comes back when there is something to say or to ask."`
	Wrong     int      `json:"wrong" doc:"How many of an index server's answers of the last ten minutes turned out wrong: who has more is asked later."`
	Problem   string   `json:"problem,omitempty" doc:"Why it does not serve this node now, as the last attempt says; absent if it does, or has not been asked yet."`
	Addresses []string `json:"addresses"`
}

// serverWord is the body of a PUT.
type serverWord struct {
	_         struct{}  `json:"-" additionalProperties:"false"`
	Trust     run.Trust `json:"trust" enum:"trusted,blocked"`
	Addresses []string  `json:"addresses,omitempty" maxItems:"16" doc:"Where a trusted server is, as multiaddresses; those of relays end in /p2p/ and the peer id. Absent: as far as the node knows it."`
}

// registerServers adds what is about index servers and relays.
func (s *Server) registerServers(a huma.API) {
	op := func(id, method, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"servers"}}
	}
	add(a, mayRead, op("listServers", "GET", "/v1/servers/{kind}", "Servers of a kind, in the order in which they are asked, and the user's list"), s.servers)
	add(a, mayChange, op("judgeServer", "PUT", "/v1/servers/{kind}/{key}", "Trust or block a server"), s.judge)
	forget := op("forgetServer", "DELETE", "/v1/servers/{kind}/{key}", "Take a server off the list")
	forget.DefaultStatus = http.StatusNoContent
	add(a, mayChange, forget, s.forget)
}

func stateOf(v run.ServerView) ServerState {
	st := ServerState{Kind: v.Role, Key: v.Key, Trust: string(v.Trust), From: v.From, Connected: v.Connected, Resting: v.Resting, Wrong: v.Wrong, Problem: v.Problem, Addresses: list(v.Addrs)}
	if v.Trust == "" {
		st.Trust = "none"
	}
	return st
}

func (s *Server) servers(_ context.Context, in *ServerKind) (*body[Servers], error) {
	answer := Servers{Servers: []ServerState{}}
	for _, v := range s.loop.Servers(in.Kind) {
		answer.Servers = append(answer.Servers, stateOf(v))
	}
	return answerWith(answer), nil
}

func (s *Server) judge(ctx context.Context, in *struct {
	ServerKind
	Key  ident.ID `path:"key"`
	Body serverWord
}) (*body[ServerState], error) {
	if err := s.loop.Judge(ctx, run.Listed{Role: in.Kind, Key: in.Key, Trust: in.Body.Trust, Addrs: in.Body.Addresses}); err != nil {
		return nil, err
	}
	for _, v := range s.loop.Servers(in.Kind) {
		if v.Key == in.Key {
			return answerWith(stateOf(v)), nil
		}
	}
	return answerWith(ServerState{Kind: in.Kind, Key: in.Key, Trust: string(in.Body.Trust), From: "listed", Addresses: list(in.Body.Addresses)}), nil
}

func (s *Server) forget(ctx context.Context, in *struct {
	ServerKind
	Key ident.ID `path:"key"`
}) (*struct{}, error) {
	return nil, s.loop.Judge(ctx, run.Listed{Role: in.Kind, Key: in.Key})
}
