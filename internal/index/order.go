package index

import (
	"cmp"
	"slices"
	"time"

	"kula/ident"
)

const (
	// wrongFor is how long a wrong answer counts: what a server did not know yet it knows by then, for every
	// figure is announced anew within half an hour, and what changed within a second.
	wrongFor = 10 * time.Minute

	// maxWrong bounds how many are remembered of one server; with more it is no worse.
	maxWrong = 16

	// wrongForgiven is how many wrong answers a server may give that the user trusts before others are asked first:
	// figures change while a payment is on its way, and no server can help that.
	wrongForgiven = 3
)

// misses are the moments of wrong answers, the oldest first.
type misses []time.Time

func (m *misses) add(now time.Time) {
	if len(*m) == maxWrong {
		*m = slices.Delete(*m, 0, 1)
	}
	*m = append(*m, now)
}

// count forgets what is old and says how many are left.
func (m *misses) count(now time.Time) int {
	*m = slices.DeleteFunc(*m, func(t time.Time) bool { return now.Sub(t) >= wrongFor })
	return len(*m)
}

// Wrong notes that what a server said of a route turned out wrong.
func (c *Client) Wrong(id ident.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.servers {
		if s.link.Key == id {
			s.wrong.add(time.Now())
			c.log.Debug("index server was wrong", "server", id.Short(), "lately", len(s.wrong))
		}
	}
}

// Rank of a server that was wrong so often lately: who has less is asked before (rule I14).
func Rank(wrong int, trusted bool) int {
	if trusted {
		return max(0, wrong-wrongForgiven)
	}
	return wrong
}

// inOrder are servers in the order in which they are asked (rule I14).
func inOrder(servers []*server, now time.Time) []*server {
	rank := func(s *server) int { return Rank(s.wrong.count(now), s.trusted) }
	list := slices.Clone(servers)
	slices.SortStableFunc(list, func(a, b *server) int {
		if c := cmp.Compare(rank(a), rank(b)); c != 0 || a.trusted == b.trusted {
			return c
		}
		if a.trusted {
			return -1
		}
		return 1
	})
	return list
}
