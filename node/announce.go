package node

import (
	"kula/ident"
	"kula/route"
	"kula/wire"
)

// announced is what index servers were told about one friend.
type announced struct {
	entries []route.Entry
	number  uint64
	signed  wire.Batched
	at      int64 // unix milliseconds
	expires int64 // unix seconds
}

const (
	// announceLife is how long an announcement counts, in seconds. It is renewed at half of it.
	announceLife = 30 * 60
	// announceEvery is the least time between two announcements about one friend, in milliseconds:
	// under load the coarse figure may change with every payment.
	announceEvery = 1000
	// announceTogether is the least time between any two announcements, in milliseconds: what changes meanwhile is signed
	// together, so that a node with a thousand busy friends costs its index servers ten verifications a second, not a thousand.
	announceTogether = 100
)

// announce tells index servers what changed for the friends that were touched in this Step.
func (n *Node) announce() {
	last := int64(0)
	for _, f := range n.order {
		last = max(last, f.said.at)
	}
	for _, f := range n.order {
		renew := len(f.said.entries) > 0 && n.now/1000 >= f.said.expires-announceLife/2
		if !f.announceDue && !renew || f.tentative {
			continue
		}
		if n.now < last+announceTogether {
			n.wakeAt(last + announceTogether)
			return
		}
		entries := n.entries(f)
		if equalEntries(entries, f.said.entries) && !renew {
			f.announceDue = false
			continue
		}
		if n.now < f.said.at+announceEvery {
			n.wakeAt(f.said.at + announceEvery)
			f.announceDue = true
			continue
		}
		n.publish(f, entries)
	}
	n.signSaid()
}

// publish says something about a friend; signSaid signs it together with the rest.
func (n *Node) publish(f *friend, entries []route.Entry) {
	number := max(f.said.number+1, uint64(n.now))
	expires := n.now/1000 + announceLife
	n.saying = append(n.saying, saying{f, route.Announcement{Node: n.me, Friend: f.id, Number: number, Expires: expires, Entries: entries}})
	f.said = announced{entries: entries, number: number, at: n.now, expires: expires}
	f.announceDue = false
	n.wakeAt((expires - announceLife/2) * 1000)
}

// saying is an announcement that is not signed yet.
type saying struct {
	about *friend
	what  route.Announcement
}

// signSaid signs what publish was told of in this Step: one signature for all of it.
func (n *Node) signSaid() {
	list := make([]route.Announcement, len(n.saying))
	for i, s := range n.saying {
		list[i] = s.what
	}
	signed, err := route.SignAll(n.suite, list)
	if err != nil {
		panic("node: " + err.Error())
	}
	for i, s := range n.saying {
		s.about.said.signed = signed[i]
	}
	n.fx.Publish = append(n.fx.Publish, signed...)
	n.saying = nil
}

// entries is what may be carried from a friend to me: nothing while it is away.
func (n *Node) entries(f *friend) []route.Entry {
	if !f.open() || !f.ready() {
		return nil
	}
	var list []route.Entry
	for _, cur := range f.ch.Currencies() {
		fig := f.ch.Figures(cur)
		list = append(list, route.Entry{
			Currency: cur, CanReceive: route.Coarse(max(0, min(fig.CanReceive, route.MaxCanReceive))), FeeBase: fig.FeeMine.Base, FeePpm: fig.FeeMine.Ppm,
		})
	}
	return list
}

func equalEntries(a, b []route.Entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Currency != b[i].Currency || a[i].CanReceive != b[i].CanReceive || a[i].FeeBase != b[i].FeeBase || a[i].FeePpm != b[i].FeePpm {
			return false
		}
	}
	return true
}

// republish hands out again everything that counts still. A withdrawal does as long as what it took back might, of which an index
// server that lost its last minutes knows nothing else; after the others, as an index server has a place for each friend, also for one gone.
func (n *Node) republish() {
	var gone []wire.Batched
	for _, f := range n.order {
		switch {
		case f.said.signed.None() || f.said.expires <= n.now/1000:
		case len(f.said.entries) == 0:
			gone = append(gone, f.said.signed)
		default:
			n.fx.Publish = append(n.fx.Publish, f.said.signed)
		}
	}
	n.fx.Publish = append(n.fx.Publish, gone...)
}

// withdraw takes every announcement back.
func (n *Node) withdraw() {
	for _, f := range n.order {
		if len(f.said.entries) > 0 {
			n.publish(f, nil)
		}
	}
	n.signSaid()
}

// Announced says whether index servers know everything that this node would tell now.
func (n *Node) Announced() bool {
	for _, f := range n.order {
		if !f.tentative && !equalEntries(n.entries(f), f.said.entries) {
			return false
		}
	}
	return true
}

// Class says how a session of an identity is to be treated.
type Class int

// The classes.
const (
	ClassStranger Class = iota
	ClassFriend
	ClassBlocked
)

// Class of an identity.
func (n *Node) Class(id ident.ID) Class {
	if n.blocked[id] {
		return ClassBlocked
	}
	if n.friends[id] != nil {
		return ClassFriend
	}
	return ClassStranger
}

// Target is somebody to dial until a session is up, without Addresses where none is known.
type Target struct {
	ID        ident.ID
	Addresses []string
}

// Dial lists whom to keep dialling: friends, hidden ones only while something is under way, and those whom I asked to be one.
func (n *Node) Dial() []Target {
	var list []Target
	for _, f := range n.order {
		if f.tentative || n.blocked[f.id] || f.removed && f.idle() || f.turned != wire.CodeNone {
			continue
		}
		list = append(list, Target{f.id, append([]string{}, f.addresses...)})
	}
	for _, r := range n.allRequests() {
		if r.Mine && r.again == 0 && n.friends[r.Key] == nil && !n.blocked[r.Key] {
			list = append(list, Target{r.Key, []string{}})
		}
	}
	return list
}
