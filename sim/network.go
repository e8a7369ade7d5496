package sim

import (
	"fmt"

	"kula/ident"
	"kula/node"
	"kula/wire"
)

type pair struct{ low, high int }

func pairOf(a, b *Member) pair { return pair{min(a.index, b.index), max(a.index, b.index)} }

// network is the sessions between members.
type network struct {
	w        *World
	last     uint64
	live     map[pair]*session
	sessions map[uint64]*session
	severed  map[pair]int64 // until when no session comes about
	lossy    Faults
	tap      func(from, to *Member, msg wire.Message) // sees what arrives; may be nil
}

// session is one connection. Side 0 is a, side 1 is b.
type session struct {
	number uint64
	side   [2]*Member
	life   [2]int
	up     [2]int64 // when each side hears that it is connected
	down   [2]bool  // each side heard that it is gone
	last   [2]int64 // when the newest message to that side arrives
	ends   [2]int64 // messages that would arrive at that side later are lost; 0: none
	stall  [2]bool  // nothing arrives at that side any more
	odd    bool     // it has duplicated or reordered: the transport will notice
}

func (s *session) other(m *Member) int {
	if s.side[0] == m {
		return 1
	}
	return 0
}

// connect brings up a session; a live one is replaced.
func (n *network) connect(a, b *Member) {
	w := n.w
	if a.node == nil || b.node == nil || w.now < n.severed[pairOf(a, b)] {
		return
	}
	if a.node.Class(b.id) == node.ClassBlocked || b.node.Class(a.id) == node.ClassBlocked {
		return
	}
	if old := n.live[pairOf(a, b)]; old != nil {
		n.cut(old)
	}
	n.last++
	w.log("%s and %s connect (%d)", a, b, n.last)
	s := &session{number: n.last, side: [2]*Member{a, b}, life: [2]int{a.life, b.life}}
	n.live[pairOf(a, b)], n.sessions[s.number] = s, s
	for i, m := range s.side {
		delay := w.between(1, 20)
		s.up[i] = w.now + delay
		s.last[i] = s.up[i]
		peer := s.side[1-i]
		m.later(delay, func() {
			if !s.down[i] {
				m.push(node.Connected{Peer: peer.id, Session: s.number})
			}
		})
	}
}

// transmit carries one message, or loses it.
func (n *network) transmit(from *Member, to ident.ID, number uint64, msg wire.Message) {
	w := n.w
	s := n.sessions[number]
	if s == nil || s.side[0] != from && s.side[1] != from {
		return
	}
	side := s.other(from)
	peer := s.side[side]
	if peer.id != to {
		w.fail("driver", "%s sends to %s in a session with %s", from, to.Short(), peer)
		return
	}
	data := wire.Encode(msg)
	w.Stats.Messages++
	w.note(data)
	if w.logs != nil {
		w.log("%s → %s (%d) %s", from, peer, number, tell(msg))
	}
	w.watch.sent(from, peer, number, msg)
	if s.ends[side] != 0 || len(data) > wire.MaxFrame {
		if len(data) > wire.MaxFrame {
			w.fail("S10", "%s sends a message of %d bytes", from, len(data))
		}
		return
	}
	delay := n.lossy.delay(w)
	at := max(w.now+delay, s.last[side])
	if !w.calm && w.chance(n.lossy.reorder) {
		at = w.now + w.between(0, 300)
		n.strange(s, FaultReorder)
	}
	s.last[side] = max(s.last[side], at)
	n.deliver(s, side, at, data)
	if !w.calm && w.chance(n.lossy.duplicate) {
		n.strange(s, FaultDuplicate)
		n.deliver(s, side, at+w.between(0, 400), data)
	}
}

// strange: a transport that repeats or reorders notices before long, and ends.
func (n *network) strange(s *session, f Fault) {
	n.w.Stats.Faults[f]++
	if !s.odd {
		s.odd = true
		n.w.at(n.w.between(200, 3000), func() { n.cut(s) })
	}
}

func (n *network) deliver(s *session, side int, at int64, data []byte) {
	m, from := s.side[side], s.side[1-side]
	life := m.life
	n.w.at(at-n.w.now, func() {
		if m.life != life || m.life != s.life[side] || m.node == nil || s.down[side] || s.stall[side] {
			return
		}
		if s.ends[side] != 0 && n.w.now > s.ends[side] {
			return
		}
		msg, err := wire.Decode(data)
		if err != nil {
			if from.liar == nil {
				n.w.fail("S1", "%s sends what %s cannot read: %v", from, m, err)
			}
			n.hangup(m, node.Session{Peer: from.id, Session: s.number})
			return
		}
		if n.tap != nil {
			n.tap(from, m, msg)
		}
		if _, ok := msg.(*wire.Hello); ok {
			n.w.watch.heard(from.id, m.id, s.number)
		}
		m.push(node.Received{Peer: from.id, Session: s.number, Message: msg})
	})
}

// cut ends a session: each side hears of it in its own time, and what is under way may be lost.
func (n *network) cut(s *session) {
	if n.live[pairOf(s.side[0], s.side[1])] == s {
		delete(n.live, pairOf(s.side[0], s.side[1]))
	}
	for i := range s.side {
		if s.ends[i] != 0 {
			continue
		}
		s.ends[i] = n.w.now + n.w.between(0, 60)
		n.gone(s, i, n.w.between(60, n.lossy.notice(n.w)))
	}
}

// gone tells one side that the session is no more.
func (n *network) gone(s *session, i int, delay int64) {
	m, life := s.side[i], s.life[i]
	n.w.at(delay, func() {
		n.w.log("%s hears that session %d is gone", m, s.number)
		if s.down[i] {
			return
		}
		s.down[i] = true
		if s.down[0] && s.down[1] {
			delete(n.sessions, s.number)
		}
		if m.life == life && m.node != nil {
			m.push(node.Disconnected{Peer: s.side[1-i].id, Session: s.number})
		}
	})
}

// hangup: a side closes a session after what it sent.
func (n *network) hangup(m *Member, which node.Session) {
	s := n.sessions[which.Session]
	if s == nil {
		return
	}
	if n.live[pairOf(s.side[0], s.side[1])] == s {
		delete(n.live, pairOf(s.side[0], s.side[1]))
	}
	mine, theirs := 1-s.other(m), s.other(m)
	if s.ends[theirs] == 0 {
		s.ends[theirs] = s.last[theirs] + 1
		n.gone(s, theirs, s.last[theirs]+2-n.w.now+n.w.between(0, 20))
	}
	if s.ends[mine] == 0 {
		s.ends[mine] = n.w.now
		n.gone(s, mine, n.w.between(1, 10))
	}
}

// died: a member crashed; its friends notice later.
func (n *network) died(m *Member) {
	for _, o := range n.w.Members {
		if s := n.live[pairOf(m, o)]; o != m && s != nil {
			n.cut(s)
		}
	}
}

// cutAll ends every session.
func (n *network) cutAll() {
	for _, a := range n.w.Members {
		for _, b := range n.w.Members[a.index+1:] {
			if s := n.live[pairOf(a, b)]; s != nil {
				n.cut(s)
			}
		}
	}
}

func (p pair) String() string { return fmt.Sprintf("%d–%d", p.low, p.high) }
