package p2p

import (
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"

	"kula/ident"
)

// relayStrangers is how many connections of strangers a host keeps through one relay, of the relayCircuits that it has there: the
// others are for friends. A stranger that comes takes the place of the one that came first.
const relayStrangers = relayCircuits / 4

// visitors are the strangers whose connections came through relays, by relay, those that came first first.
type visitors struct {
	mu sync.Mutex
	by map[peer.ID][]*visitor
}

// visitor is a stranger, when it came.
type visitor struct {
	id ident.ID
	st network.Stream
}

// come takes v in and returns whose place it takes, nil for nobody's. Who has become a friend meanwhile does not count.
func (s *visitors) come(relay peer.ID, v *visitor, class func(ident.ID) Class) (out *visitor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(s.by[relay], func(o *visitor) bool { return class(o.id) == Friend })
	if len(list) >= relayStrangers {
		out, list = list[0], list[1:]
	}
	if s.by == nil {
		s.by = map[peer.ID][]*visitor{}
	}
	s.by[relay] = append(list, v)
	return out
}

func (s *visitors) leave(relay peer.ID, v *visitor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list := slices.DeleteFunc(s.by[relay], func(o *visitor) bool { return o == v }); len(list) > 0 {
		s.by[relay] = list
	} else {
		delete(s.by, relay)
	}
}

// visit has a connection that a relay brings served. Who is at its other end the relay says; the handshake inside proves it.
func (h *Host) visit(st network.Stream, relay peer.ID, serve network.StreamHandler) {
	m := &pb.StopMessage{}
	again, err := readRequest(st, m)
	if err != nil {
		st.Reset()
		return
	}
	p, err := peer.IDFromBytes(m.GetPeer().GetId())
	if err != nil {
		st.Reset()
		return
	}
	id, err := identity(p)
	if err != nil {
		st.Reset()
		return
	}
	switch h.cfg.Classify(id) {
	case Blocked:
		st.Reset()
		return
	case Stranger:
		v := &visitor{id, st}
		again.after = sync.OnceFunc(func() { h.visitors.leave(relay, v) })
		if out := h.visitors.come(relay, v, h.cfg.Classify); out != nil {
			out.st.Reset()
		}
	}
	serve(again)
}
