package cli

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"

	"kula/internal/api"
)

// serveProfiles serves Go's profiles of this process at $KULA_PPROF (HOST:PORT, or the path of
// a socket to make), if that is set: for measuring, not for daily use. They show what the program does, never what
// is in its memory, and only to programs on this machine. stop ends it.
func serveProfiles() (stop func() error, err error) {
	addr := os.Getenv("KULA_PPROF")
	if addr == "" {
		return func() error { return nil }, nil
	}
	var l net.Listener
	if strings.HasPrefix(addr, "/") {
		l, err = net.Listen("unix", addr)
	} else {
		l, err = api.Listen(addr, false)
	}
	if err != nil {
		return nil, fmt.Errorf("KULA_PPROF: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	go http.Serve(l, mux) // ends with the listener
	return l.Close, nil
}
