package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"kula/internal/find"
	"kula/internal/run"
)

const (
	// found stands for servers that the DHT knows, among links and addresses of others.
	found = "found"

	// localNetwork stands for the local network among places to look.
	localNetwork = "lan"
)

// without takes a word out of a list and says whether it was there.
func without(list []string, word string) ([]string, bool) {
	rest := slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == word })
	return rest, len(rest) < len(list)
}

func announceFlag(c *cobra.Command, announce *[]string) {
	c.Flags().StringArrayVar(announce, "announce", nil, "announce this server: dht, or dht:HOST:PORT (default: nowhere)")
}

// announcer gives what a server calls with its addresses when it is ready: then it is announced until end is called.
func (a *app) announcer(ctx context.Context, k find.Kind, places []string) (ready func(addrs []string), end func(), err error) {
	if len(places) == 0 {
		return func([]string) {}, func() {}, nil
	}
	for _, p := range places {
		if p != "dht" && !strings.HasPrefix(p, "dht:") {
			return nil, nil, wrong("--announce %s: write dht, or dht:HOST:PORT", p)
		}
	}
	f, err := find.Open(places)
	if err != nil {
		return nil, nil, wrong("--announce: %v", err)
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	ready = func(addrs []string) {
		for _, addr := range addrs {
			if port := tcpPort(addr); port != 0 {
				running.Go(func() { run.KeepAnnounced(ctx, f, k, port, a.log()) })
				return
			}
		}
	}
	return ready, func() {
		stop()
		running.Wait()
		f.Close()
	}, nil
}

// tcpPort is the port of a multiaddr of TCP, 0 if it is another.
func tcpPort(addr string) uint16 {
	_, rest, ok := strings.Cut(addr, "/tcp/")
	if !ok {
		return 0
	}
	port, _, _ := strings.Cut(rest, "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}
