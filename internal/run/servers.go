package run

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"kula/internal/find"
)

const (
	// serversFound is how many servers of a role that were found a node uses: one may end at any time, and two
	// are found again before both have.
	serversFound = 2

	// serversAsked bounds those that are asked who they are, in one search: strangers announced them.
	serversAsked = 12

	// askTime bounds one of these questions.
	askTime = 5 * time.Second

	// serversEvery is how often it is looked whether those that were found serve, and others are looked for
	// while none does; serversPause the pause between two searches while one does.
	serversEvery = 10 * time.Second
	serversPause = 5 * time.Minute
)

func shuffle(list []netip.AddrPort) {
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

// KeepAnnounced announces a server until ctx ends.
func KeepAnnounced(ctx context.Context, f *find.Finder, k find.Kind, port uint16, log *slog.Logger) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		pause := find.Republish
		if err := f.Announce(ctx, k, port); err != nil && ctx.Err() == nil {
			pause = publishPause
			log.Warn("not announced", "error", err, "again in", pause)
		}
		timer.Reset(pause)
	}
}
