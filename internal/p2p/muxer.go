package p2p

import (
	"io"
	"math"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	lyamux "github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-yamux/v5"
)

// muxer is yamux with windows and stream counts that fit the class of the peer.
type muxer struct{ friend, stranger, relay *lyamux.Transport }

// keepAlive is how often an idle connection is probed; a dead one is noticed
// within keepAlive + WriteTimeout.
const keepAlive = 15 * time.Second

// newMuxer takes how many streams a stranger may have open.
func newMuxer(streams int) muxer {
	return muxer{
		friend:   yamuxConfig(friendWindow, friendStreams),
		stranger: yamuxConfig(0, uint32(streams)),
		relay:    yamuxConfig(0, relayStreams),
	}
}

// yamuxConfig returns yamux's configuration with receive windows of at most window
// bytes (its least is 256 KiB) and at most streams inbound streams.
func yamuxConfig(window, streams uint32) *lyamux.Transport {
	c := yamux.DefaultConfig()
	c.MaxStreamWindowSize = max(window, c.InitialStreamWindowSize)
	c.MaxIncomingStreams = streams
	c.AcceptBacklog = int(streams)
	c.MaxMessageSize = muxMessage
	c.KeepAliveInterval = keepAlive
	c.MeasureRTTInterval = time.Duration(math.MaxInt64) // once, at the start
	c.ConnectionWriteTimeout = WriteTimeout
	c.ReadBufSize = 0 // Noise reads whole messages already
	c.LogOutput = io.Discard
	return (*lyamux.Transport)(c)
}

func (m muxer) NewConn(c net.Conn, server bool, scope network.PeerScope) (network.MuxedConn, error) {
	t := m.friend
	if g, ok := scope.(*guest); ok {
		switch class, in := g.kind(); {
		case in && class == Stranger:
			t = m.stranger
		case g.door.isRelay(g.peer):
			t = m.relay
		}
	}
	return t.NewConn(c, server, scope)
}
