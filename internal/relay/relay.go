// Package relay runs a relay: a server that forwards encrypted connections to nodes which
// nobody can dial, because a router stands before them. The connections themselves are
// package p2p's (type Relay); this package listens, counts and reports.
//
// # What a relay learns
//
// Which identities ask to be reached through it, from which addresses, who connects to
// whom, when, and how many bytes. Never what: the two ends speak Noise with each other
// inside. It keeps nothing but its own key: after a restart its clients ask again within
// ten seconds.
//
// # Limits
//
// Per client: one reservation, 16 connections through the relay at once, each of at most 6
// hours and 64 MiB each way, 256 KiB a second in all (bursts of 16 MiB). Per IP address: 64
// reservations. In all: 1,024 reservations, 1,024 connections through the relay, 2,048
// connections to it. See spec/reach.md, N-4.
//
// # Counters
//
// Metrics serves them at /metrics in Prometheus' text format; no identity and no address is
// in them. Pkarr serves a Pkarr relay beside it: see package find for what that keeps.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"kula/ident"
	"kula/internal/find"
	"kula/internal/p2p"
)

const (
	// reportEvery is how often the counters are logged.
	reportEvery = 10 * time.Minute

	// httpTimeout bounds one request over HTTP, which is a kilobyte; httpConns how many there are at
	// once: at some 20 KiB each, 10 MiB.
	httpTimeout = 5 * time.Second
	httpConns   = 512
)

// Options are what a relay runs with. Seed and Listen are compulsory.
type Options struct {
	Seed    [32]byte     // the identity's
	Listen  []string     // HOST:PORT, for UDP and TCP
	Metrics string       // HOST:PORT for /metrics; empty: nowhere
	Pkarr   string       // HOST:PORT for a Pkarr relay (package find); empty: nowhere
	Log     *slog.Logger // nil: nothing is logged
	// Ready is called once, with the multiaddrs that nodes use.
	Ready func(key ident.ID, addrs []string)
}

// Serve runs a relay until ctx ends.
func Serve(ctx context.Context, o Options) (err error) {
	var listen []string
	for _, l := range o.Listen {
		both, err := ListenAddrs(l)
		if err != nil {
			return err
		}
		listen = append(listen, both...)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r, err := p2p.NewRelay(p2p.RelayConfig{Seed: o.Seed, Listen: listen})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if o.Metrics != "" {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
			_, _ = w.Write([]byte(expose(r.Stats())))
		})
		end, err := serveHTTP("metrics", o.Metrics, mux)
		if err != nil {
			return err
		}
		defer end()
	}
	if o.Pkarr != "" {
		end, err := serveHTTP("pkarr", o.Pkarr, find.NewRelay())
		if err != nil {
			return err
		}
		defer end()
	}
	if o.Ready != nil {
		o.Ready(r.ID(), r.Addrs())
	}
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-report.C:
			s := r.Stats()
			o.Log.Info("relay", "reservations", s.Reservations, "circuits", s.Circuits, "opened", s.Opened, "refused", s.Refused, "bytes", s.Bytes)
		}
	}
}

// ListenAddrs gives the multiaddrs of HOST:PORT, UDP and TCP. No host is every IPv4 address.
func ListenAddrs(s string) ([]string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: write HOST:PORT, e.g. 0.0.0.0:4283", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: port %q, must be 0 to 65535", s, port)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Zone() != "" {
		return nil, fmt.Errorf("listen address %q: %q is not an IP address; for all of this machine write 0.0.0.0 or [::]", s, host)
	}
	version := "ip6"
	if ip = ip.Unmap(); ip.Is4() {
		version = "ip4"
	}
	return []string{
		fmt.Sprintf("/%s/%s/udp/%d/quic-v1", version, ip, n),
		fmt.Sprintf("/%s/%s/tcp/%d", version, ip, n),
	}, nil
}

// serveHTTP answers requests at addr until end is called.
func serveHTTP(what, addr string, h http.Handler) (end func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	s := &http.Server{
		Handler: h, ReadTimeout: httpTimeout, WriteTimeout: httpTimeout, IdleTimeout: httpTimeout, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo), // what clients do wrong is theirs
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(netutil.LimitListener(l, httpConns))
	}()
	return func() {
		s.Close()
		<-done
	}, nil
}

// expose writes the counters in Prometheus' text format 0.0.4.
func expose(s p2p.RelayStats) string {
	var b strings.Builder
	for _, m := range []struct {
		kind, name, help string
		value            any
	}{
		{"gauge", "kula_relay_reservations", "Nodes that can be reached through this relay.", s.Reservations},
		{"gauge", "kula_relay_circuits", "Connections through this relay.", s.Circuits},
		{"counter", "kula_relay_circuits_total", "Connections through this relay since its start.", s.Opened},
		{"counter", "kula_relay_refused_total", "Reservations and connections refused since its start.", s.Refused},
		{"counter", "kula_relay_bytes_total", "Bytes passed on since its start, both ways.", s.Bytes},
	} {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s %d\n", m.name, m.help, m.name, m.kind, m.name, m.value)
	}
	return b.String()
}
