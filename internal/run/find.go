package run

import (
	"context"
	"time"

	"kula/ident"
	"kula/internal/find"
)

const (
	// settle is how long addresses must have stayed as they are before they are published: at a
	// start, relays come one after the other.
	settle = time.Second

	// publishTime and seekTime bound one publication and one look-up.
	publishTime = time.Minute
	seekTime    = 30 * time.Second

	// renewTime bounds one renewal: a question and a publication at relays, at the same time.
	renewTime = 30 * time.Second

	// publishPause is the pause before a publication that failed is tried again; after each further one it doubles, up to
	// find.Republish: a place that is there again after an hour need not have been asked sixty times.
	publishPause = time.Minute

	// seekEvery is how often it is looked who is missing. seekFirst and seekMost bound the pause
	// between two look-ups of one who is not found or not there: the first is over when a router
	// has started again, the last is what is spent on friends who are away for good.
	seekEvery = time.Second
	seekFirst = 5 * time.Second
	seekMost  = 10 * time.Minute

	// seeksAtOnce bounds look-ups under way.
	seeksAtOnce = 4
)

// spoke has the addresses published.
func (l *Loop) spoke() {
	select {
	case l.moved <- struct{}{}:
	default:
	}
}

// publishAddrs publishes where this node can be reached, when that has changed, again before it
// fades, until the loop ends.
func (l *Loop) publishAddrs() {
	timer := time.NewTimer(settle)
	defer timer.Stop()
	seed := l.opt.Key.IdentitySeed()
	failed := 0
	for {
		select {
		case <-l.life.Done():
			return
		case <-l.moved:
			failed = 0
			timer.Reset(settle)
			continue
		case <-timer.C:
		}
		ctx, cancel := context.WithTimeout(l.life, publishTime)
		err := l.opt.Finder.Publish(ctx, seed, l.tellable())
		cancel()
		if err == nil {
			failed = 0
			timer.Reset(find.Republish)
			continue
		}
		failed++
		pause := publishAgain(failed)
		l.log.Warn("addresses are not published", "error", err, "again in", pause)
		timer.Reset(pause)
	}
}

// publishAgain is the pause after so many publications in a row that failed, one at least.
func publishAgain(failed int) time.Duration {
	pause := publishPause
	for i := 1; i < failed && pause < find.Republish; i++ {
		pause *= 2
	}
	return min(pause, find.Republish)
}

// renewAddrs publishes where what was published is gone, until the loop ends. It is not publishAddrs that does so: a relay that
// does not answer would delay addresses that changed.
func (l *Loop) renewAddrs() {
	check := time.NewTicker(l.opt.Finder.Recheck)
	defer check.Stop()
	for {
		select {
		case <-l.life.Done():
			return
		case <-check.C:
		}
		ctx, cancel := context.WithTimeout(l.life, renewTime)
		err := l.opt.Finder.Renew(ctx)
		cancel()
		if err != nil {
			l.log.Debug("addresses are not published again", "error", err)
		}
	}
}

// missing is somebody whom the node wants to talk to and has no session with.
type missing struct {
	pause time.Duration
	next  time.Time
}

// seek looks up where those are who are missing, until the loop ends.
func (k *links) seek() {
	look := time.NewTicker(seekEvery)
	defer look.Stop()
	places := make(chan struct{}, seeksAtOnce)
	away := map[ident.ID]*missing{}
	for {
		select {
		case <-k.loop.life.Done():
			return
		case <-look.C:
		}
		k.mu.Lock()
		targets := k.targets
		k.mu.Unlock()
		wanted := make(map[ident.ID]*missing, len(targets))
		for _, t := range targets {
			if k.host.Status(t.ID).Session != 0 {
				continue
			}
			m := away[t.ID]
			if m == nil {
				m = &missing{pause: seekFirst, next: time.Now()}
			}
			wanted[t.ID] = m
			if time.Now().Before(m.next) {
				continue
			}
			select {
			case places <- struct{}{}:
			default:
				continue // the next time
			}
			m.next, m.pause = time.Now().Add(m.pause), min(2*m.pause, seekMost)
			k.loop.tasks.Go(func() {
				defer func() { <-places }()
				k.lookUp(t.ID)
			})
		}
		away = wanted
	}
}

// lookUp looks up where one identity is and has it dialled there.
func (k *links) lookUp(id ident.ID) {
	ctx, cancel := context.WithTimeout(k.loop.life, seekTime)
	defer cancel()
	addrs, err := k.loop.opt.Finder.Resolve(ctx, id)
	if err != nil {
		k.loop.log.Debug("not found", "peer", id.Short(), "error", err)
		return
	}
	k.host.Hint(id, addrs)
}
