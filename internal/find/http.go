package find

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kula/ident"
)

const (
	// httpTime bounds one request to a relay.
	httpTime = 10 * time.Second

	// maxRecords is how many keys a Relay keeps: 1.2 KiB each, 24 MiB. Then the one that was
	// published longest ago goes.
	maxRecords = 20_000

	// keep is how long a Relay keeps a record that is not published again: those who live
	// publish every half hour.
	keep = 24 * time.Hour

	// perPrefix and burstPerPrefix bound the records that a Relay takes from one /24 or /48, a
	// second and at once; maxPrefixes how many prefixes it counts. Then all start anew.
	perPrefix      = 2
	burstPerPrefix = 60
	maxPrefixes    = 10_000
)

// errNone is the error of a look-up without an answer.
var errNone = errors.New("nothing published under this key")

// web is a Pkarr relay as its client sees it.
type web struct {
	base   string // without a final slash
	client *http.Client
	pace   pace
}

func newWeb(base string) (*web, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the URL of a Pkarr relay, e.g. https://relay.example", base)
	}
	return &web{base: strings.TrimSuffix(base, "/"), client: &http.Client{
		Timeout:       httpTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (w *web) String() string { return w.base }

// do returns the answer, its body read up to what is longer than any payload, and closed.
func (w *web) do(ctx context.Context, method string, key ident.ID, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.base+"/"+key.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxPayload+1))
	return resp, b, err
}

// publish takes 409 for success: the relay has a newer record of this key.
func (w *web) publish(ctx context.Context, r *Record) error {
	a, _, err := w.do(ctx, http.MethodPut, r.Key, r.Payload())
	if err == nil && a.StatusCode/100 != 2 && a.StatusCode != http.StatusConflict {
		err = refused(a)
	}
	return err
}

// renew publishes r unless the relay has it or a newer one. It does nothing while the relay is not due. Calls come each recheck.
func (w *web) renew(ctx context.Context, r *Record, recheck time.Duration) error {
	if !w.pace.due() {
		return nil
	}
	there, err := w.resolve(ctx, r.Key)
	has := err == nil && !r.newer(there)
	if !has && (err == nil || errors.Is(err, errNone) || errors.Is(err, ErrRecord)) {
		err = w.publish(ctx, r)
	}
	w.pace.asked(has, err, recheck)
	return err
}

func (w *web) resolve(ctx context.Context, key ident.ID) (*Record, error) {
	a, b, err := w.do(ctx, http.MethodGet, key, nil)
	switch {
	case err != nil:
		return nil, err
	case a.StatusCode == http.StatusNotFound:
		return nil, errNone
	case a.StatusCode != http.StatusOK:
		return nil, refused(a)
	}
	return ParsePayload(key, b)
}

// Relay is a Pkarr relay that keeps what it is given in memory: an http.Handler.
type Relay struct {
	mu      sync.Mutex
	records map[ident.ID]*list.Element // of order
	order   *list.List                 // of kept, the longest ago first
	paces   map[netip.Prefix]*rate.Limiter
}

type kept struct {
	record *Record
	at     time.Time
}

// NewRelay makes an empty one.
func NewRelay() *Relay {
	return &Relay{records: map[ident.ID]*list.Element{}, order: list.New(), paces: map[netip.Prefix]*rate.Limiter{}}
}

// ServeHTTP answers PUT with 204, 400, 409, 413 or 429 and GET with 200, 400 or 404.
func (s *Relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Allow-Methods", "GET, PUT, OPTIONS")
	key, err := ident.ParseID(strings.TrimPrefix(req.URL.Path, "/"))
	switch {
	case req.Method == http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
	case err != nil:
		http.Error(w, "the path is no key in z-base-32", http.StatusBadRequest)
	case req.Method == http.MethodGet:
		s.get(w, key)
	case req.Method == http.MethodPut:
		s.put(w, req, key)
	default:
		http.Error(w, "GET or PUT", http.StatusMethodNotAllowed)
	}
}

func (s *Relay) get(w http.ResponseWriter, key ident.ID) {
	s.mu.Lock()
	var r *Record
	if e := s.records[key]; e != nil {
		if k := e.Value.(kept); time.Since(k.at) < keep {
			r = k.record
		}
	}
	s.mu.Unlock()
	if r == nil {
		http.Error(w, "nothing published under this key", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/pkarr.org/relays#payload")
	_, _ = w.Write(r.Payload())
}

func (s *Relay) put(w http.ResponseWriter, req *http.Request, key ident.ID) {
	if !s.allow(req.RemoteAddr) {
		http.Error(w, "too many records from your addresses", http.StatusTooManyRequests)
		return
	}
	b, err := io.ReadAll(io.LimitReader(req.Body, maxPayload+1))
	if err != nil {
		return
	}
	if len(b) > maxPayload {
		http.Error(w, fmt.Sprintf("more than %d bytes", maxPayload), http.StatusRequestEntityTooLarge)
		return
	}
	r, err := ParsePayload(key, b)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !s.take(r) {
		http.Error(w, "there is a newer record", http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// take keeps r unless there is a newer one; the same one again starts its time anew.
func (s *Relay) take(r *Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.records[r.Key]; e != nil {
		old := e.Value.(kept).record
		if !r.newer(old) && (r.Time != old.Time || !bytes.Equal(r.Packet, old.Packet)) {
			return false
		}
		s.order.Remove(e)
	}
	s.records[r.Key] = s.order.PushBack(kept{r, time.Now()})
	for first := s.order.Front(); s.order.Len() > maxRecords || time.Since(first.Value.(kept).at) > keep; first = s.order.Front() {
		delete(s.records, first.Value.(kept).record.Key)
		s.order.Remove(first)
	}
	return true
}

// allow paces the address prefix of a client.
func (s *Relay) allow(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	ip := at.Addr().Unmap()
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	prefix := netip.PrefixFrom(ip.WithZone(""), bits).Masked()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.paces[prefix]
	if l == nil {
		if len(s.paces) >= maxPrefixes {
			clear(s.paces)
		}
		l = rate.NewLimiter(perPrefix, burstPerPrefix)
		s.paces[prefix] = l
	}
	return l.Allow()
}
