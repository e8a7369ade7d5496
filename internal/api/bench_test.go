package api

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kula/ident"
	"kula/internal/run"
	"kula/internal/store"
	"kula/money"
	"kula/node"
)

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHandler is the API's own part of POST /v1/payments: head to answer without a
// socket, for a payment that the node refuses at once.
func BenchmarkHandler(b *testing.B) {
	tokens, err := OpenTokens(store.NewMemory())
	if err != nil {
		b.Fatal(err)
	}
	db := store.NewMemory()
	loop, err := run.Start(run.Options{Key: ident.NewKey([32]byte{1}), Store: db, Companion: tokens})
	if err != nil {
		b.Fatal(err)
	}
	defer loop.Close()
	s := New(Options{Loop: loop, Store: db, Tokens: tokens})
	body := []byte(`{"to":"nobody","amount":{"value":"100","assetCode":"EUR","assetScale":2},"waitMs":1000}`)
	b.ReportAllocs()
	began := cpu()
	for b.Loop() {
		r := httptest.NewRequest("POST", "http://localhost/v1/payments", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+s.OwnerToken())
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			b.Fatal(w.Code, w.Body)
		}
	}
	b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPay pays a friend over HTTP, QUIC or TCP and disk: 1, 32 and 128 at once, both
// nodes in this process, client included.
func BenchmarkPay(b *testing.B) {
	for _, flight := range []int{1, 32, 128} {
		b.Run(fmt.Sprint(flight), func(b *testing.B) { benchmarkPay(b, flight) })
	}
}

func benchmarkPay(b *testing.B, flight int) {
	dir := b.TempDir()
	var people []*Client
	var loops []*run.Loop
	for i, name := range []string{"ana", "ben"} {
		db, err := store.Open(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		tokens, err := OpenTokens(db)
		if err != nil {
			b.Fatal(err)
		}
		loop, err := run.Start(run.Options{Key: ident.NewKey([32]byte{byte(i + 1)}), Store: db, Companion: tokens, Name: name, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
		if err != nil {
			b.Fatal(err)
		}
		s := New(Options{Loop: loop, Store: db, Tokens: tokens})
		l, err := Listen("127.0.0.1:0", false)
		if err != nil {
			b.Fatal(err)
		}
		go s.Serve(l)
		c := NewClient("http://"+l.Addr().String(), s.OwnerToken())
		c.http.Transport = &http.Transport{MaxIdleConnsPerHost: 256}
		people, loops = append(people, c), append(loops, loop)
		b.Cleanup(func() {
			c.http.CloseIdleConnections()
			s.Close()
			loop.Close()
			db.Close()
		})
	}
	ctx := b.Context()
	most := value(money.MaxLimit)
	inv, err := people[0].Invite(ctx, "ben", []Line{{Currency: eur, Give: most, Ask: most}}, 0)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := people[1].Accept(ctx, inv.URI, "ana", nil); err != nil {
		b.Fatal(err)
	}
	for ready := false; !ready; {
		f, err := people[0].Friend(ctx, "ben")
		ready = err == nil && f.Ready
	}
	before, began := loops[0].Stats(), cpu()
	var failed atomic.Int64
	b.SetParallelism(max(1, flight/2)) // times GOMAXPROCS, 2 where this is measured
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p, err := people[0].Pay(ctx, "", Order{To: "ben", Amount: ptr(value(1)), WaitMs: 30_000})
			if err != nil || p.State != node.Paid {
				failed.Add(1)
			}
		}
	})
	b.StopTimer()
	after := loops[0].Stats()
	b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(after.Commits-before.Commits)/float64(b.N), "payer-commits/op")
	if n := failed.Load(); n > 0 {
		b.Fatalf("%d of %d failed", n, b.N)
	}
}
