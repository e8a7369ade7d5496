package relay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"kula/ident"
)

func TestListenAddrs(t *testing.T) {
	for _, x := range []struct {
		in   string
		want []string // nil: refused
	}{
		{"127.0.0.1:4283", []string{"/ip4/127.0.0.1/udp/4283/quic-v1", "/ip4/127.0.0.1/tcp/4283"}},
		{":1", []string{"/ip4/0.0.0.0/udp/1/quic-v1", "/ip4/0.0.0.0/tcp/1"}},
		{"[::]:1", []string{"/ip6/::/udp/1/quic-v1", "/ip6/::/tcp/1"}},
		{"nowhere", nil}, {"host.example:1", nil}, {"127.0.0.1:65536", nil}, {"127.0.0.1:-1", nil}, {"[fe80::1%eth0]:1", nil},
	} {
		got, err := ListenAddrs(x.in)
		if !slices.Equal(got, x.want) || (err == nil) != (x.want != nil) {
			t.Errorf("%s: %q, %v", x.in, got, err)
		}
	}
}

// A relay says where it is, shows its counters without a word about anybody, and ends with its context.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port for the counters
	if err != nil {
		t.Fatal(err)
	}
	metrics := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var log bytes.Buffer
	ready := make(chan []string, 1)
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, Options{
			Seed: [32]byte{1}, Listen: []string{"127.0.0.1:0"}, Metrics: metrics, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Ready: func(key ident.ID, addrs []string) { ready <- addrs },
		})
	}()
	select {
	case err := <-done:
		t.Fatal(err)
	case addrs := <-ready:
		if len(addrs) != 2 || !strings.Contains(addrs[0], "/tcp/") || !strings.Contains(addrs[1], "/quic-v1/p2p/") {
			t.Errorf("addresses %q", addrs)
		}
	}
	r, err := http.Get(fmt.Sprintf("http://%s/metrics", metrics))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(r.Body)
	r.Body.Close()
	for _, want := range []string{"kula_relay_bytes_total 0\n", "kula_relay_reservations 0\n", "# TYPE kula_relay_circuits gauge\n"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
