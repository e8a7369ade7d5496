package find

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// refusal is the error of a relay that answers, and not what was asked for.
type refusal struct {
	code int
	wait time.Duration // until it wants to be asked again, at most Republish; 0: it does not say
}

func (r *refusal) Error() string {
	text := fmt.Sprintf("it answers %d %s", r.code, http.StatusText(r.code))
	if r.wait > 0 {
		text += fmt.Sprintf(", again in %s at the earliest", r.wait)
	}
	return text
}

// refused is the refusal in an answer.
func refused(a *http.Response) error {
	return &refusal{a.StatusCode, retryAfter(a.Header.Get("Retry-After"), time.Now())}
}

// retryAfter reads the header of that name, seconds or a date (RFC 9110, 10.2.3): at most Republish, 0 for what is neither or past.
// Everything is published again by then, so that a relay that asks for more would be asked all the same.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(Republish/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), Republish)
}

// pace is how often one relay is asked by Renew: at each call, as long as it has the record. Otherwise every second call, every
// fourth, and so on, up to once in Republish, by when everything is published anyway. It counts calls, one each
// Recheck: a machine that slept has not waited.
type pace struct {
	mu   sync.Mutex
	gap  int // every how manyth call it is asked; 0: each
	left int // calls to let pass
}

// due counts a call and says whether the relay is asked at it.
func (p *pace) due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left > 0 {
		p.left--
		return false
	}
	return true
}

// asked is called after each question: has says that the relay had the record, err why it did not answer or not take it. Calls
// come each recheck.
func (p *pace) asked(has bool, err error, recheck time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if has {
		p.gap, p.left = 0, 0
		return
	}
	calls := func(d time.Duration) int { return int((d + recheck - 1) / recheck) }
	p.gap = 2 * max(p.gap, 1)
	if r, ok := errors.AsType[*refusal](err); ok {
		p.gap = max(p.gap, calls(r.wait))
	}
	p.gap = min(p.gap, max(calls(Republish), 1))
	p.left = p.gap - 1
}
