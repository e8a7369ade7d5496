package p2p

import (
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// lanService names this service in mDNS.
	lanService = "_kula._udp"

	// maxNeighbours bounds those that are remembered, each with at most maxHints addresses: more than
	// an office has, and 1 MiB.
	maxNeighbours = 256
)

// lan says on the local network where this host is, and remembers who else says so.
type lan struct {
	host    *Host
	mu      sync.Mutex
	service mdns.Service // nil: not running
	seen    map[peer.ID][]ma.Multiaddr
}

// announce says it, or says it anew when the addresses have changed.
func (l *lan) announce() error {
	l.mu.Lock()
	old := l.service
	l.service = nil
	l.mu.Unlock()
	if old != nil {
		old.Close()
	}
	if l.host.closing() {
		return nil
	}
	s := mdns.NewMdnsService(thin{h: l.host}, lanService, l)
	if err := s.Start(); err != nil {
		return fmt.Errorf("local network: %w", err)
	}
	l.mu.Lock()
	l.service = s
	l.mu.Unlock()
	return nil
}

func (l *lan) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.service != nil {
		l.service.Close()
		l.service = nil
	}
}

// HandlePeerFound remembers where somebody is, and has it dialled if it is wanted. What is claimed on a network is
// anybody's: who is there shows in the handshake.
func (l *lan) HandlePeerFound(p peer.AddrInfo) {
	id, err := identity(p.ID)
	if err != nil {
		return
	}
	l.mu.Lock()
	if l.seen[p.ID] == nil && len(l.seen) >= maxNeighbours {
		for other := range l.seen { // any
			delete(l.seen, other)
			break
		}
	}
	addrs := p.Addrs[:min(len(p.Addrs), maxHints)]
	news := !slices.EqualFunc(addrs, l.seen[p.ID], ma.Multiaddr.Equal)
	l.seen[p.ID] = addrs
	l.mu.Unlock()
	if news {
		l.host.kick(id, true)
	}
}

// at is where p said that it is.
func (l *lan) at(p peer.ID) []ma.Multiaddr {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[p]
}
