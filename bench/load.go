package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// form is how a payment is made.
type form string

const (
	invoices form = "invoice"
	pushes   form = "push"
)

const (
	// headroom is how many times as many invoices are made as pushes were paid in the
	// same time: an invoice payment takes fewer messages.
	headroom = 2.5

	// maxInvoices is below what a payee keeps at a time, which is 100,000; the window ends early if they run out.
	maxInvoices = 95_000

	// makers is how many connections make invoices.
	makers = 32
)

// orders are the bodies of payments to come. Pushes never run out.
type orders struct {
	push    []byte
	start   []byte   // of an invoice's body, up to the link
	end     []byte   // and after it
	links   [][]byte // of invoices
	next    atomic.Int64
	empty   chan struct{} // closed when the invoices run out
	emptied sync.Once
}

// wait is how long the node may keep an answer back; nothing takes that long.
const wait = ",\"waitMs\":60000}"

// orders are for payments of one cent from the first to the last in a town.
func (t *town) orders(links [][]byte) *orders {
	var hops []string
	for _, p := range t.nodes[1:] {
		hops = append(hops, p.Key)
	}
	route, _ := json.Marshal(hops) // strings
	amount, _ := json.Marshal(euros(1))
	return &orders{
		push:  fmt.Appendf(nil, `{"to":%q,"amount":%s,"route":%s%s`, t.payee().Key, amount, route, wait),
		start: []byte(`{"invoice":"`),
		end:   fmt.Appendf(nil, `","route":%s%s`, route, wait),
		links: links, empty: make(chan struct{}),
	}
}

// body appends the body of the next payment to b[:0]; false: there is none.
func (o *orders) body(b []byte, f form) ([]byte, bool) {
	if f == pushes {
		return append(b[:0], o.push...), true
	}
	i := int(o.next.Add(1)) - 1
	if i >= len(o.links) {
		o.emptied.Do(func() { close(o.empty) })
		return nil, false
	}
	b = append(b[:0], o.start...)
	b = append(b, o.links[i]...)
	return append(b, o.end...), true
}

// invoices makes so many of one cent at the payee, and returns their links.
func (t *town) invoices(ctx context.Context, count int) ([][]byte, error) {
	amount, _ := json.Marshal(euros(1))
	body := fmt.Appendf(nil, `{"amount":%s,"expires":%d}`, amount, time.Now().Add(time.Hour).Unix())
	links := make([][]byte, count)
	var next atomic.Int64
	err := side(makers, func(int) error {
		c, err := t.payee().dial()
		if err != nil {
			return err
		}
		defer c.close()
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= count {
				break
			}
			answer, err := c.do("POST", "/v1/invoices", "", body)
			if err != nil {
				return err
			}
			var invoice struct {
				URI string `json:"uri"`
			}
			if err := json.Unmarshal(answer, &invoice); err != nil {
				return err
			}
			links[i] = []byte(invoice.URI)
		}
		return ctx.Err()
	})
	return links, err
}

// side runs so many side by side and waits for all; the first error is returned.
func side(n int, work func(i int) error) error {
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		all.Go(func() { errs[i] = work(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// keys gives a new Idempotency-Key each time.
type keys struct {
	run string
	n   int64
}

func newKeys() *keys {
	var b [8]byte
	rand.Read(b[:])
	return &keys{run: hex.EncodeToString(b[:])}
}

func (k *keys) next() string {
	k.n++
	return k.run + strconv.FormatInt(k.n, 10)
}

var paidMark = []byte(`"state":"paid"`)

// pay makes one payment and fails if it is not paid.
func (c *caller) pay(key string, body []byte) error {
	answer, err := c.do("POST", "/v1/payments", key, body)
	if err != nil {
		return err
	}
	if !bytes.Contains(answer[:min(len(answer), 256)], paidMark) {
		return fmt.Errorf("not paid: %s", answer)
	}
	return nil
}

// alone is row 1: one payment at a time.
func (b *bench) alone(ctx context.Context, t *town, f form, fl floor) error {
	say("%d channels: %d payments alone, %s", t.channels(), b.plan.alone, f)
	count := b.before + b.plan.alone
	var links [][]byte
	if f == invoices {
		var err error
		if links, err = t.invoices(ctx, count); err != nil {
			return err
		}
	}
	o, k := t.orders(links), newKeys()
	c, err := t.payer().dial()
	if err != nil {
		return err
	}
	defer c.close()
	times := make([]time.Duration, 0, count)
	var body []byte
	for range count {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		body, _ = o.body(body, f)
		key := k.next()
		began := time.Now()
		if err := c.pay(key, body); err != nil {
			return err
		}
		times = append(times, time.Since(began))
		t.owes++
	}
	times = times[b.before:]
	b.report.alone = append(b.report.alone, aloneRow{
		channels: t.channels(), form: f, count: len(times), floor: fl.of(needs(f, t.channels())),
		p50: percentile(times, 50), p99: percentile(times, 99),
	})
	return nil
}

// worker is one connection of row 2.
type worker struct {
	done  []time.Duration // when each payment was paid, since the start
	took  []time.Duration
	total int64
}

// load is rows 2 and 3. rate is that of pushes, for the number of invoices; it returns the rate.
func (b *bench) load(ctx context.Context, t *town, f form, rate float64) (float64, error) {
	var links [][]byte
	if f == invoices {
		count := min(int(headroom*rate*(b.warm+b.window+b.profiled).Seconds()), maxInvoices)
		say("%d channels: make %d invoices", t.channels(), count)
		var err error
		if links, err = t.invoices(ctx, count); err != nil {
			return 0, err
		}
	}
	say("%d channels: %s, %d in flight for %s", t.channels(), f, inFlight, b.window)
	o := t.orders(links)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := make([]worker, inFlight)
	began := time.Now()
	ended := make(chan error, 1)
	go func() {
		err := side(inFlight, func(i int) error { return workers[i].run(ctx, t, o, f, began) })
		cancel() // the window need not wait for workers that failed
		ended <- err
	}()
	row, err := b.watch(ctx, t, o, began)
	cancel()
	if failed := <-ended; failed != nil {
		return 0, failed
	}
	if err != nil {
		return 0, err
	}
	var times []time.Duration
	for _, w := range workers {
		t.owes += w.total
		for i, at := range w.done {
			if at > row.from && at <= row.to {
				times = append(times, w.took[i])
			}
		}
	}
	row.channels, row.form, row.paid = t.channels(), f, len(times)
	row.p50, row.p99 = percentile(times, 50), percentile(times, 99)
	b.report.loads = append(b.report.loads, row)
	return float64(row.paid) / (row.to - row.from).Seconds(), nil
}

// run pays until ctx ends or there is nothing more to pay.
func (w *worker) run(ctx context.Context, t *town, o *orders, f form, began time.Time) error {
	c, err := t.payer().dial()
	if err != nil {
		return err
	}
	defer c.close()
	k := newKeys()
	var body []byte
	for ctx.Err() == nil {
		var more bool
		if body, more = o.body(body, f); !more {
			return nil
		}
		at := time.Since(began)
		if err := c.pay(k.next(), body); err != nil {
			return err
		}
		now := time.Since(began)
		w.done, w.took = append(w.done, now), append(w.took, now-at)
		w.total++
	}
	return nil
}

// loadRow is what one window came to.
type loadRow struct {
	channels int
	form     form
	from, to time.Duration // the window, since the start
	paid     int
	p50, p99 time.Duration
	used     usage // by all nodes
	self     time.Duration
	each     []usage // by each
	where    shares  // of CPU time, right after the window
}

// watch waits until the load runs evenly, and reads what is used from there to the end of the window.
func (b *bench) watch(ctx context.Context, t *town, o *orders, began time.Time) (row loadRow, err error) {
	pause := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-o.empty:
		case <-ctx.Done():
		}
	}
	pause(b.warm)
	first, err := t.use()
	if err != nil {
		return row, err
	}
	row.from = time.Since(began)
	pause(b.window)
	row.to = time.Since(began)
	last, err := t.use()
	if err != nil {
		return row, err
	}
	for i := range t.nodes {
		u := last.nodes[i].minus(first.nodes[i])
		row.each = append(row.each, u)
		row.used = row.used.plus(u)
	}
	row.self = last.self - first.self
	if row.where, err = b.profile(ctx, t, fmt.Sprintf("%d", len(b.report.loads))); err != nil {
		return row, err
	}
	if slices.ContainsFunc(row.each, func(u usage) bool { return u.cpu == 0 }) {
		return row, errors.New("the kernel counted no CPU time for a node: the window was too short")
	}
	return row, ctx.Err()
}
