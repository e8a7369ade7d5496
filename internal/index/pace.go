package index

import (
	"time"

	"kula/route"
)

const (
	// announcementRate: a node says at most one thing a second about a friend, and
	// has at most route.MaxFriends. At 40 µs a signature that is 4 % of a processor. Each currency
	// counts as one: what changes in the graph is by them.
	announcementRate = route.MaxFriends

	// announcementBurst lets a node publish everything in one currency four times in a row: its
	// connection broke and came back at each attempt. A node with all friends in all currencies
	// needs half a minute, and no message of it waits longer than a client does.
	announcementBurst = 4 * route.MaxFriends

	// questionRate is twice what a busy payer asks (10,000 a second); I8 sees to it
	// that one who asks that much takes nothing from others.
	questionRate = 20_000

	// idle is how long a stream may be silent: four pings of Client.
	idle = 4 * pingEvery

	// expireEvery is how long a route may be quoted beyond its announcements' life.
	// They live for half an hour and are renewed at half of that; a pass over a
	// million takes tens of milliseconds.
	expireEvery = 10 * time.Second
)

// Rates bound what one identity may cost. Zero fields have the values in brackets.
type Rates struct {
	Announcements     int           // a second, each counted as often as it has currencies [1,000]
	AnnouncementBurst int           // at once, at least route.MaxPublish [4,000]
	Questions         int           // messages a second, and at once [20,000]
	Idle              time.Duration // for one whole frame [2 min]
	Expire            time.Duration // between two looks for expired announcements [10 s]
}

func (r Rates) withDefaults() Rates {
	if r.Announcements <= 0 {
		r.Announcements = announcementRate
	}
	if r.AnnouncementBurst <= 0 {
		r.AnnouncementBurst = announcementBurst
	}
	r.AnnouncementBurst = max(r.AnnouncementBurst, route.MaxPublish)
	if r.Questions <= 0 {
		r.Questions = questionRate
	}
	if r.Idle <= 0 {
		r.Idle = idle
	}
	if r.Expire <= 0 {
		r.Expire = expireEvery
	}
	return r
}

// bucket is what an identity has used of a rate, as the moment at which all of it will
// be made up for. The zero bucket is unused.
type bucket struct{ even time.Time }

// take uses n of a rate per second and says how long to wait before doing so; nothing
// while no more than burst is used.
func (b *bucket) take(n, rate, burst int, now time.Time) time.Duration {
	if b.even.Before(now) {
		b.even = now
	}
	b.even = b.even.Add(time.Duration(n) * time.Second / time.Duration(rate))
	return max(0, b.even.Sub(now)-time.Duration(burst)*time.Second/time.Duration(rate))
}

// unused says whether nothing is left to make up for.
func (b *bucket) unused(now time.Time) bool { return !b.even.After(now) }
