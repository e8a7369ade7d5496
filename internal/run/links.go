package run

import (
	"slices"
	"sync"
	"sync/atomic"

	"kula/ident"
	"kula/internal/p2p"
	"kula/node"
	"kula/wire"
)

// links stand between the loop and the network: they decode what comes in, and keep
// the network in step with whom the node wants to talk to. Its methods that the
// network calls run in the network's goroutines.
type links struct {
	loop    *Loop
	host    *p2p.Host     // set before open is closed
	open    chan struct{} // closed by ready
	classes atomic.Pointer[map[ident.ID]p2p.Class]
	changed chan struct{} // 1 place: keep has work

	mu      sync.Mutex
	peers   map[uint64]ident.ID // of live sessions
	targets []node.Target       // the newest
	doubt   []ident.ID          // whose class may have changed while they connected
}

// target is what keep has told the host about an identity.
type target struct {
	addrs []string // nil: not dialled; empty: only where a look-up says
	class p2p.Class
}

func newLinks(l *Loop) *links {
	k := &links{loop: l, open: make(chan struct{}), changed: make(chan struct{}, 1), peers: map[uint64]ident.ID{}}
	k.classes.Store(&map[ident.ID]p2p.Class{})
	return k
}

// ready lets what the network delivers through to the loop.
func (k *links) ready(h *p2p.Host) {
	k.host = h
	close(k.open)
}

// SessionUp implements p2p.Events.
func (k *links) SessionUp(id ident.ID, session uint64, class p2p.Class) {
	k.mu.Lock()
	k.peers[session] = id
	k.mu.Unlock()
	k.loop.log.Debug("session up", "peer", id.Short(), "session", session, "class", class)
	if k.classify(id) != class {
		k.mu.Lock()
		k.doubt = append(k.doubt, id)
		k.mu.Unlock()
		k.poke()
	}
	k.put(node.Connected{Peer: id, Session: session})
}

// SessionDown implements p2p.Events.
func (k *links) SessionDown(session uint64, err error) {
	k.mu.Lock()
	id := k.peers[session]
	delete(k.peers, session)
	k.mu.Unlock()
	k.loop.log.Debug("session down", "peer", id.Short(), "session", session, "reason", err)
	k.put(node.Disconnected{Peer: id, Session: session})
}

// Frame implements p2p.Events.
func (k *links) Frame(session uint64, frame []byte) {
	k.mu.Lock()
	id := k.peers[session]
	k.mu.Unlock()
	k.loop.stats.framesIn.Add(1)
	k.loop.stats.bytesIn.Add(uint64(len(frame)))
	m, err := wire.Decode(frame)
	if err != nil {
		k.loop.stats.badFrames.Add(1)
		k.loop.log.Warn("a session ends: it sent what is no message", "peer", id.Short(), "bytes", len(frame), "error", err)
		if k.opened() {
			k.host.Drop(session, err)
		}
		return
	}
	k.put(node.Received{Peer: id, Session: session, Message: m})
}

func (k *links) put(e node.Event) { k.loop.put(input{event: e}) }

// opened waits until the host is known; false if the loop ended before.
func (k *links) opened() bool {
	select {
	case <-k.open:
		return true
	case <-k.loop.life.Done():
		return false
	}
}

// classify answers from what the loop said last; about others than friends it asks
// the loop. It runs in goroutines of the network and in keep, never in the loop.
func (k *links) classify(id ident.ID) p2p.Class {
	if c, ok := (*k.classes.Load())[id]; ok {
		return c
	}
	if k.loop.servers.isBlocked(id) {
		return p2p.Blocked
	}
	class := p2p.Blocked
	_ = k.loop.View(k.loop.life, func(n *node.Node) { class = classOf(n, id) })
	return class
}

func classOf(n *node.Node, id ident.ID) p2p.Class {
	switch n.Class(id) {
	case node.ClassFriend:
		return p2p.Friend
	case node.ClassBlocked:
		return p2p.Blocked
	default:
		return p2p.Stranger
	}
}

// want takes down whom the node wants to talk to. The loop calls it.
func (k *links) want(n *node.Node) {
	classes := map[ident.ID]p2p.Class{}
	targets := n.Dial()
	for _, t := range targets {
		classes[t.ID] = classOf(n, t.ID)
	}
	for _, f := range n.Friends() {
		classes[f.Key] = classOf(n, f.Key)
	}
	k.classes.Store(&classes)
	k.mu.Lock()
	k.targets = targets
	k.mu.Unlock()
	k.poke()
}

func (k *links) poke() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// keep tells the host what want took down, until the loop ends.
func (k *links) keep() {
	if !k.opened() {
		return
	}
	told := map[ident.ID]target{}
	for {
		select {
		case <-k.changed:
			told = k.update(told)
		case <-k.host.News():
			k.loop.readdress()
		case <-k.loop.life.Done():
			return
		}
	}
}

// update brings the host from what it was told to what is wanted.
func (k *links) update(told map[ident.ID]target) map[ident.ID]target {
	k.mu.Lock()
	targets, doubt := k.targets, k.doubt
	k.doubt = nil
	for _, id := range k.peers { // a stranger may have been blocked
		doubt = append(doubt, id)
	}
	k.mu.Unlock()
	classes := *k.classes.Load()
	now := make(map[ident.ID]target, len(classes))
	for id, c := range classes {
		now[id] = target{class: c}
	}
	for _, t := range targets {
		now[t.ID] = target{addrs: t.Addresses, class: classes[t.ID]}
	}
	for id, t := range now {
		if old, ok := told[id]; !ok || old.class != t.class {
			doubt = append(doubt, id)
		}
		if old := told[id].addrs; t.addrs != nil && (old == nil || !slices.Equal(old, t.addrs)) {
			if err := k.host.Want(id, t.addrs); err != nil {
				k.loop.log.Info("an address cannot be dialled", "peer", id.Short(), "error", err)
			}
		}
	}
	for id, old := range told {
		if old.addrs != nil && now[id].addrs == nil {
			k.host.Unwant(id)
		}
		if _, ok := now[id]; !ok {
			doubt = append(doubt, id)
		}
	}
	for _, id := range doubt {
		k.host.Reclassify(id)
	}
	return now
}

// part ends a session that the node hung up, once what it said last (why) got through. The node
// ignores what comes meanwhile.
func (k *links) part(session uint64) { k.host.Part(session, errHungUp) }
