package run

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"kula/ident"
	"kula/internal/find"
	"kula/internal/p2p"
)

const (
	// relaysFound is how many relays that were found a node uses: one may end at any time, and two
	// are found again before both have.
	relaysFound = 2

	// serversAsked bounds those that are asked who they are, in one search: strangers announced them.
	serversAsked = 12

	// askTime bounds one of these questions.
	askTime = 5 * time.Second

	// relaysEvery is how often relays are looked for while there are too few, relaysPause the pause
	// after a search in vain.
	relaysEvery = 10 * time.Second
	relaysPause = 5 * time.Minute
)

// Server is one that was found.
type Server struct {
	ID    ident.ID
	Addrs []string // multiaddrs, each ending in /p2p/<peer id>
}

// FindServers looks for servers of a kind and returns the first most that say who they are, taken by
// chance: so nobody has all nodes by being found first.
func FindServers(ctx context.Context, f *find.Finder, k find.Kind, most int) ([]Server, error) {
	list, err := f.Servers(ctx, k)
	if err != nil {
		return nil, err
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	var found []Server
	for _, at := range list[:min(len(list), serversAsked)] {
		if len(found) == most {
			break
		}
		askCtx, cancel := context.WithTimeout(ctx, askTime)
		id, err := p2p.WhoIs(askCtx, at)
		cancel()
		if err == nil && !slices.ContainsFunc(found, func(s Server) bool { return s.ID == id }) {
			found = append(found, Server{id, p2p.ServerAddrs(id, at)})
		}
	}
	return found, nil
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

// seekRelays looks for relays while fewer than relaysFound of those that were found serve this node, until the
// loop ends.
func (l *Loop) seekRelays() {
	var found []Server
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.life.Done():
			return
		case <-timer.C:
		}
		serving := map[ident.ID]bool{}
		for _, r := range l.host.Relays() {
			serving[r.Relay] = r.Err == nil
		}
		found = slices.DeleteFunc(found, func(s Server) bool { return !serving[s.ID] })
		timer.Reset(relaysEvery)
		if len(found) >= relaysFound {
			continue
		}
		ctx, cancel := context.WithTimeout(l.life, publishTime)
		more, err := FindServers(ctx, l.opt.Finder, find.RelayKind, relaysFound)
		cancel()
		if err != nil {
			l.log.Debug("no relays are found", "error", err)
		}
		for _, s := range more {
			if len(found) < relaysFound && !slices.ContainsFunc(found, func(o Server) bool { return o.ID == s.ID }) {
				found = append(found, s)
			}
		}
		if len(found) < relaysFound {
			timer.Reset(relaysPause)
		}
		if len(found) == 0 {
			timer.Reset(relaysEvery)
		}
		relays := slices.Clone(l.opt.Relays)
		for _, s := range found {
			relays = append(relays, s.Addrs...)
		}
		if err := l.host.UseRelays(relays); err != nil {
			l.log.Debug("a relay cannot be used", "error", err)
		}
	}
}
