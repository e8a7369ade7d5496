package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"kula/node"
	"kula/wire"
)

const (
	// kindAnswer is the kind of kept answers; recordKey gives the key.
	kindAnswer = "idempotency"

	// answerLife is how long a key is kept: longer than anybody retries.
	answerLife = 24 * time.Hour

	// maxAnswers bounds the keys kept: 12 MiB in memory, where the oldest go first.
	maxAnswers = 65_536

	// forgetAtOnce is how many old keys one request deletes: more than the one it
	// adds, so that what expired goes away, and few, so that no request pays for all.
	forgetAtOnce = 4

	// maxKey bounds the header.
	maxKey = 255
)

// answerKey names a request: the first bytes of a hash of its token's id and its
// Idempotency-Key, so that tokens do not see each other's.
type answerKey [20]byte

// dated is an answerKey with the time of its first request, in unix seconds.
type dated struct {
	key  answerKey
	time int64
}

// recordKey begins with the time: a store then adds and deletes answers side by side,
// where keys in the order of hashes would change another page of it for each. In hex,
// of 8 bytes big endian and the answerKey.
func (d dated) recordKey() string {
	return hex.EncodeToString(append(binary.BigEndian.AppendUint64(nil, uint64(d.time)), d.key[:]...))
}

// parseRecordKey reads what recordKey gives.
func parseRecordKey(s string) (d dated, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 8+len(d.key) {
		return d, fmt.Errorf("a key of %d bytes: %v", len(b), err)
	}
	return dated{answerKey(b[8:]), int64(binary.BigEndian.Uint64(b))}, nil
}

// answers are the requests whose answers are kept.
type answers struct {
	mu    sync.Mutex
	known map[answerKey]*answer
	order []dated // kept ones, by age
}

// answer is one of them. Its value is in the store.
type answer struct {
	time int64         // unix seconds
	done chan struct{} // closed when the first request is over; nil if it was over at the start
}

// savedAnswer is the record of an answer.
type savedAnswer struct {
	Sum     []byte          `json:"sum"`  // of the request
	Time    int64           `json:"time"` // unix seconds
	Payment string          `json:"payment,omitempty"`
	Status  int             `json:"status,omitempty"`
	Body    json.RawMessage `json:"body,omitempty"`
}

func (a *answers) load(s Store) error {
	a.known = map[answerKey]*answer{}
	for r, err := range s.Load(kindAnswer) {
		if err != nil {
			return err
		}
		d, err := parseRecordKey(r.Key)
		if err != nil {
			return fmt.Errorf("answer %q: %w", r.Key, err)
		}
		if old := a.known[d.key]; old == nil || old.time < d.time {
			a.known[d.key] = &answer{time: d.time}
		}
		a.order = append(a.order, d)
	}
	slices.SortFunc(a.order, func(x, y dated) int { return cmp.Compare(x.time, y.time) })
	return nil
}

// keeper keeps the answer of one request. The answer is saved in the transaction that saves what
// the request did; so a key without an answer after a crash did nothing, and may be used
// again. Its record methods are for the hooks of a
// run.Request; a nil keeper keeps nothing.
type keeper struct {
	answers *answers
	key     answerKey
	since   int64 // when the first request with the key came, if that was another one
	saved   savedAnswer
	kept    bool // a record was handed to the loop
}

// keep begins a request with an Idempotency-Key, or returns the answer kept for it. One
// that comes while the first is under way waits for it.
func (t *Tokens) keep(ctx context.Context, k *token, idempotencyKey, operation string, body any) (*keeper, *savedAnswer, error) {
	if idempotencyKey == "" {
		return nil, nil, nil
	}
	if len(idempotencyKey) > maxKey {
		return nil, nil, problem(http.StatusBadRequest, wire.BadRequest, "an Idempotency-Key of %d bytes, at most %d", len(idempotencyKey), maxKey)
	}
	sum := sha256.Sum256(append([]byte(operation+"\x00"), mustJSON(body)...))
	hash := sha256.Sum256([]byte(k.id + "\x00" + idempotencyKey))
	q := &keeper{answers: &t.answers, key: answerKey(hash[:20]), saved: savedAnswer{Sum: sum[:], Time: time.Now().Unix()}}
	for {
		first, wait := t.answers.begin(q)
		switch {
		case first:
			return q, nil, nil
		case wait == nil:
			saved, err := t.kept(q)
			return nil, saved, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// begin makes q the first with its key, or gives what to wait for, nil if the answer is
// in the store.
func (a *answers) begin(q *keeper) (first bool, wait chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.known[q.key]
	if old != nil && (old.done != nil || q.saved.Time-old.time < int64(answerLife/time.Second)) {
		q.since = old.time
		return false, old.done
	}
	a.known[q.key] = &answer{time: q.saved.Time, done: make(chan struct{})}
	return true, nil
}

// kept reads the stored answer to the same request as q.
func (t *Tokens) kept(q *keeper) (*savedAnswer, error) {
	value, ok, err := t.store.Get(kindAnswer, dated{q.key, q.since}.recordKey())
	if err != nil {
		return nil, err
	}
	var s savedAnswer
	if !ok || json.Unmarshal(value, &s) != nil {
		return nil, problem(http.StatusConflict, wire.Conflict, "the answer kept for this Idempotency-Key is gone; what it did is in the lists of payments and invoices")
	}
	if string(s.Sum) != string(q.saved.Sum) {
		return nil, problem(http.StatusUnprocessableEntity, wire.KeyReused, "this Idempotency-Key was used for another request; take a new key for each request")
	}
	return &s, nil
}

// end lets others with the key go on, whatever came of the request.
func (q *keeper) end() {
	if q == nil {
		return
	}
	a := q.answers
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.known[q.key]
	if e == nil || e.done == nil {
		return
	}
	close(e.done)
	if e.done = nil; !q.kept {
		delete(a.known, q.key)
	}
}

// save is the record of a request with its outcome, and the end of old ones.
func (q *keeper) save(value any, refusal *node.Error) []node.Record {
	if q == nil {
		return nil
	}
	q.saved.Status = http.StatusOK
	if refusal != nil {
		q.fail(refused(refusal))
	} else if p, ok := value.(*node.PaymentView); ok {
		q.saved.Payment = p.ID
	} else if body, err := json.Marshal(value); err == nil {
		q.saved.Body = body
	} else {
		q.fail(problem(http.StatusInternalServerError, wire.StorageFailed, "it was done, and the answer cannot be shown: %v", err))
	}
	return append([]node.Record{q.record()}, q.answers.forget(q.saved.Time)...)
}

func (q *keeper) fail(p *Problem) { q.saved.Status, q.saved.Body = p.Status, mustJSON(p) }

// record is the answer's, now one of those kept.
func (q *keeper) record() node.Record {
	d := dated{q.key, q.saved.Time}
	q.kept = true
	q.answers.mu.Lock()
	q.answers.order = append(q.answers.order, d)
	q.answers.mu.Unlock()
	return node.Record{Kind: kindAnswer, Key: d.recordKey(), Value: mustJSON(q.saved)}
}

// forget drops some keys that are too old or too many, and returns what deletes them.
func (a *answers) forget(now int64) []node.Record {
	a.mu.Lock()
	defer a.mu.Unlock()
	var records []node.Record
	for range forgetAtOnce {
		if len(a.order) == 0 {
			break
		}
		oldest := a.order[0]
		if e := a.known[oldest.key]; e != nil && e.time == oldest.time { // else the key was used again since
			if e.done != nil || len(a.order) <= maxAnswers && now-e.time < int64(answerLife/time.Second) {
				break
			}
			delete(a.known, oldest.key)
		}
		a.order = a.order[1:]
		records = append(records, node.Record{Kind: kindAnswer, Key: oldest.recordKey()})
	}
	return records
}
