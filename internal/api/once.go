package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"kula/internal/run"
	"kula/node"
)

// once carries a request out under an Idempotency-Key, if there is one, and answers with
// its outcome, a *T. operation and content tell requests apart.
func once[T any](ctx context.Context, s *Server, key, operation string, content any, r run.Request) (*body[*T], error) {
	q, old, err := s.tokens.keep(ctx, tokenOf(ctx), key, operation, content)
	if err != nil {
		return nil, err
	}
	if old != nil {
		return replay[T](ctx, s, old, r.Wait)
	}
	defer q.end()
	q.join(&r)
	v, err := s.loop.Exec(ctx, r)
	if err != nil {
		return nil, err
	}
	out, ok := v.(*T)
	if !ok {
		return nil, fmt.Errorf("the node answered with %T", v)
	}
	return answerWith(out), nil
}

// join adds the keeper's records to those of a request.
func (q *keeper) join(r *run.Request) {
	if q == nil {
		return
	}
	save := r.Save
	r.Save = func(value any, refusal *node.Error) []node.Record {
		records := q.save(value, refusal)
		if save != nil {
			records = append(records, save(value, refusal)...)
		}
		return records
	}
}

// replay gives the first answer again: a payment as it is now, anything else as it was.
func replay[T any](ctx context.Context, s *Server, old *savedAnswer, wait time.Duration) (*body[*T], error) {
	if old.Status >= 300 {
		p := new(Problem)
		if err := json.Unmarshal(old.Body, p); err != nil {
			return nil, fmt.Errorf("kept answer: %w", err)
		}
		return nil, p
	}
	out := new(T)
	if view, ok := any(out).(*node.PaymentView); ok && old.Payment != "" {
		p, err := s.findPayment(ctx, old.Payment, wait)
		if err != nil {
			return nil, err
		}
		*view = *p
		return answerWith(out), nil
	}
	if err := json.NewDecoder(bytes.NewReader(old.Body)).Decode(out); err != nil {
		return nil, fmt.Errorf("kept answer: %w", err)
	}
	return answerWith(out), nil
}

// limitWait is how long an answer may wait for so many milliseconds.
func limitWait(ms int64) time.Duration {
	return time.Duration(min(max(ms, 0), int64(MaxWait/time.Millisecond))) * time.Millisecond
}
