package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/net/netutil"

	"kula/internal/run"
	"kula/wire"
)

const (
	// MaxWait bounds ?wait and waitMs: proxies and people give up sooner.
	MaxWait = 10 * time.Minute

	maxBody  = 64 << 10 // the longest request, an invitation in 32 currencies, has 8 KiB
	maxHead  = 16 << 10 // a token, a key and what a browser adds
	maxConns = 1024     // each costs some 10 KiB and one file

	headTimeout   = 5 * time.Second // on loopback a head comes at once
	bodyTimeout   = 5 * time.Second // and so does a body
	idleTimeout   = 2 * time.Minute // longer than the pause between two payments of a busy till
	answerTimeout = MaxWait + time.Minute
	closeTimeout  = 3 * time.Second // for answers under way when the server closes

	// writeTimeout is how long the reader of an export or of events may take nothing.
	writeTimeout = 10 * time.Second
)

// Options are what a Server runs with. Loop, Store and Tokens are compulsory.
type Options struct {
	Loop   *run.Loop
	Store  Store
	Tokens *Tokens      // the Companion of Loop
	Log    *slog.Logger // nil: nothing is logged
	Hosts  []string     // more names that the Host header may have, without a port
}

// Server is the API of one running node.
type Server struct {
	opt    Options
	log    *slog.Logger
	loop   *run.Loop
	store  Store
	tokens *Tokens
	owner  string
	hosts  map[string]bool
	mux    *http.ServeMux
	http   http.Server
	life   context.Context // ends with Close
	end    context.CancelFunc
}

// New returns a server and draws the owner's token.
func New(opt Options) *Server {
	s := &Server{
		opt: opt, log: opt.Log, loop: opt.Loop, store: opt.Store, tokens: opt.Tokens,
		owner: opt.Tokens.owner(), mux: http.NewServeMux(),
		hosts: map[string]bool{"localhost": true},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, h := range opt.Hosts {
		s.hosts[strings.ToLower(h)] = true
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.http = http.Server{
		Handler:     http.HandlerFunc(s.serve),
		BaseContext: func(net.Listener) context.Context { return s.life },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),

		ReadHeaderTimeout: headTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHead,
	}
	s.register(humago.New(s.mux, config()))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, problem(http.StatusNotFound, wire.NotFound, "there is no %.16s %.200s; /openapi.json tells what there is", r.Method, r.URL.Path))
	})
	return s
}

// OwnerToken is the token that may do everything, until Close.
func (s *Server) OwnerToken() string { return s.owner }

// Handler is the whole API as an HTTP handler.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Listen opens a listener for Serve at HOST:PORT. A host that is not a loopback address
// is refused unless remote is set: tokens would travel in clear.
func Listen(addr string, remote bool) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("API address %q: write HOST:PORT, as in 127.0.0.1:4280", addr)
	}
	ip, err := netip.ParseAddr(host)
	if loopback := host == "localhost" || err == nil && ip.IsLoopback(); !loopback && !remote {
		return nil, fmt.Errorf("API address %q is reachable by others: they would see tokens in clear. Use 127.0.0.1, or a proxy with TLS in front of it", addr)
	}
	return net.Listen("tcp", addr)
}

// Serve answers requests that come to l until Close, then returns nil.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(netutil.LimitListener(l, maxConns))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends the API: no new requests, waits and event streams end, answers under way
// get a moment. It does not close the loop.
func (s *Server) Close() error {
	s.end()
	s.tokens.remove(ownerID)
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// WriteEndpoint writes EndpointFile into a node's home, readable by its owner alone. It
// appears whole or not at all.
func WriteEndpoint(home string, e Endpoint) error {
	f, err := os.CreateTemp(home, EndpointFile+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(mustJSON(e), '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(home, EndpointFile))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// RemoveEndpoint removes it again.
func RemoveEndpoint(home string) error { return os.Remove(filepath.Join(home, EndpointFile)) }

// serve checks Host and token of a request before anything else looks at it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !s.known(r) {
		writeProblem(w, problem(http.StatusMisdirectedRequest, wire.NotAllowed, "this node does not answer for the host %.100q; call it by 127.0.0.1 or localhost", r.Host))
		return
	}
	w.Header()["X-Content-Type-Options"] = nosniff
	if open := r.URL.Path; open == "/healthz" || open == "/readyz" || open == "/openapi.json" {
		s.mux.ServeHTTP(w, r)
		return
	}
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	k := s.tokens.find(text)
	if !ok || k == nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="kula"`)
		writeProblem(w, problem(http.StatusUnauthorized, wire.NotAllowed, "a token is needed: Authorization: Bearer …; the owner's is in %s of the node's home while it runs", EndpointFile))
		return
	}
	if err := takeBody(w, r); err != nil {
		writeProblem(w, err)
		return
	}
	s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, k)))
}

// takeBody reads the whole body. It is done here since a deadline for reading must be
// gone when an answer waits: http takes a late deadline for a caller who has left.
func takeBody(w http.ResponseWriter, r *http.Request) *Problem {
	if r.ContentLength == 0 {
		return nil
	}
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout)) // fails only where there is no connection, as in tests
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		_ = conn.SetReadDeadline(time.Time{})
		r.Body = io.NopCloser(bytes.NewReader(b))
		return nil
	}
	w.Header().Set("Connection", "close") // and the deadline stays: the rest is not waited for
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return problem(http.StatusRequestEntityTooLarge, wire.BadRequest, "a body of more than %d bytes", maxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem(http.StatusRequestTimeout, wire.BadRequest, "the body did not come within %s", bodyTimeout)
	}
	return problem(http.StatusBadRequest, wire.BadRequest, "the body broke off")
}

// steady is a writer that fails when its reader takes nothing for writeTimeout, and may
// otherwise write as long as it likes.
type steady struct{ http.ResponseWriter }

func (s steady) Write(b []byte) (int, error) {
	_ = http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTimeout)) // as in takeBody
	return s.ResponseWriter.Write(b)
}

var nosniff = []string{"nosniff"} // answers are what their type says, also for a browser

// known says whether the Host header of a request names this server. Only a name can be
// made to point elsewhere, so an address counts if it is the one that was called.
func (s *Server) known(r *http.Request) bool {
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if ip, err := netip.ParseAddr(name); err == nil {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		return ip.IsLoopback() || local != nil && sameAddr(local, ip)
	}
	return s.hosts[name]
}

func sameAddr(local net.Addr, ip netip.Addr) bool {
	tcp, ok := local.(*net.TCPAddr)
	return ok && tcp.AddrPort().Addr().Unmap() == ip.Unmap()
}

type tokenKey struct{}

// tokenOf is whose request it is.
func tokenOf(ctx context.Context) *token {
	k, _ := ctx.Value(tokenKey{}).(*token)
	return k
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	w.Write(mustJSON(p)) // an error means that the caller has left
}

// right is what an operation needs of a token.
type right struct {
	has  func(*token) bool
	word string // for the refusal
}

var (
	anyone     = right{func(*token) bool { return true }, "any"}
	mayRead    = right{func(k *token) bool { return k.scope.read }, "read"}
	mayAsk     = right{func(k *token) bool { return k.scope.ask }, "ask"}
	mayPay     = right{func(k *token) bool { return len(k.scope.limits) > 0 }, "pay"}
	mayChange  = right{func(k *token) bool { return k.scope.configure }, "configure"}
	ownerAlone = right{func(*token) bool { return false }, "the owner's token"}
)

// or is a right that either gives.
func (a right) or(b right) right {
	return right{func(k *token) bool { return a.has(k) || b.has(k) }, a.word + " or " + b.word}
}

// guard is a huma middleware that lets only tokens with a right through.
func guard(need right) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if k := tokenOf(ctx.Context()); k != nil && (k.owner || need.has(k)) {
			next(ctx)
			return
		}
		_, w := humago.Unwrap(ctx)
		writeProblem(w, problem(http.StatusForbidden, wire.NotAllowed, "this token may not do that: it needs the scope %s", need.word))
	}
}
