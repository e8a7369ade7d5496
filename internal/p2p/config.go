package p2p

import (
	"errors"
	"fmt"
	"time"

	"kula/ident"
)

// SessionProtocol names the stream that a session runs on.
const SessionProtocol = "/kula/1"

const (
	// MaxFrame bounds a friend's frame. A snapshot of a channel, 1,000 open
	// locks a side with blobs of 4 KiB each, is about 9 MiB; the rest is room.
	MaxFrame = 12 << 20

	// StrangerFrame bounds a stranger's session frame: an invitation answer or a
	// signed promise fits, with an address list.
	StrangerFrame = 4 << 10

	// StrangerFrames is how many session frames a stranger may send over one
	// connection: becoming a friend takes two or three.
	StrangerFrames = 16

	// StrangerIdle is how long a stranger may take for one whole frame, counted
	// from the one before, and how long any connection may stay without a stream.
	StrangerIdle = 10 * time.Second

	// HandshakeTimeout bounds the time from accept to an authenticated, multiplexed
	// connection: five round trips over a bad satellite link take 4 s.
	HandshakeTimeout = 5 * time.Second

	// OpenTimeout bounds protocol negotiation and the first frames of a stream.
	OpenTimeout = 5 * time.Second

	// DialTimeout bounds one round of dialling over all addresses of a peer.
	DialTimeout = 15 * time.Second

	// WriteTimeout is the least time that a write may stand still before the
	// session is closed; the most is twice as long (the deadline is renewed only
	// after half of it, since each renewal costs a timer).
	WriteTimeout = 10 * time.Second

	// PartTimeout is how long a session that parts lives on at most: time for what was
	// queued (why, or a last promise) on a slow line, and nothing that a peer gains by waiting.
	PartTimeout = 2 * time.Second

	// ConnsPerPeer bounds the connections of one identity: two that cross each
	// other, and the two before them that are being closed.
	ConnsPerPeer = 4

	// linger is how long a connection stays after its last session, so that the
	// reason for closing reaches the other side before the connection ends.
	linger = time.Second

	// friendStreams and strangerStreams bound the streams the other side may have
	// open on one connection. A receive window is at least 256 KiB, so 32
	// strangers with 4 streams can make us hold 32 MiB at the very most; one
	// session and one stream of another protocol, each with its successor, are 4.
	friendStreams   = 16
	strangerStreams = 4

	// strangerStreamsEver bounds the streams a stranger may open in all over one
	// connection: each costs a negotiation. To a relay one more every streamEvery.
	strangerStreamsEver = 64
	streamEvery         = time.Second

	// relayStreams bounds the streams that a relay may have open to a host that it serves,
	// one for each friend that comes through it: 64 windows of 256 KiB are 16 MiB.
	relayStreams = 64

	// friendWindow is the largest receive window of a stream on a friend's
	// connection: 4 MiB carry 40 MiB/s over a round trip of 100 ms.
	friendWindow = 4 << 20

	// windowBudget bounds what all windows together may grow by beyond their
	// first 256 KiB.
	windowBudget = 64 << 20

	// BackoffMin and BackoffMax bound the pause between rounds of dialling.
	BackoffMin = 200 * time.Millisecond
	BackoffMax = 60 * time.Second

	// BackoffReset is how long a session without any frame must last to count as
	// a success: a peer that accepts and hangs up is not dialled five times a second.
	BackoffReset = 5 * time.Second

	// maxHints bounds the addresses of a hint: as many as a node tells of itself.
	maxHints = 16

	// dialsAtOnce bounds rounds of dialling under way: a node that starts with
	// 1,000 friends does not open all sockets at once.
	dialsAtOnce = 16
)

// Class says how far an identity is trusted to use our resources.
type Class uint8

const (
	Stranger Class = iota // may knock, within tight limits
	Friend                // may use a session freely
	Blocked               // is refused
)

// String returns the word for c.
func (c Class) String() string {
	switch c {
	case Friend:
		return "friend"
	case Blocked:
		return "blocked"
	default:
		return "stranger"
	}
}

// Events receives what happens to sessions. For one session the calls come in
// order, one at a time; for different sessions they are concurrent. A call may
// block: then nothing more is read from that peer. It must not call Host.Close.
type Events interface {
	// SessionUp says that frames can flow. Session numbers are never used twice
	// within a Host.
	SessionUp(id ident.ID, session uint64, class Class)
	// Frame delivers one frame, 1 byte or more. The slice belongs to the receiver.
	Frame(session uint64, frame []byte)
	// SessionDown says that the session is over and why; no Frame comes after it.
	SessionDown(session uint64, err error)
}

// Config is what a Host needs. Only Seed is compulsory.
type Config struct {
	// Seed is the Ed25519 seed of the identity (ident.Key.IdentitySeed).
	Seed [32]byte
	// Listen holds multiaddrs such as /ip4/0.0.0.0/tcp/4280 or
	// /ip4/0.0.0.0/udp/4280/quic-v1. Empty: only dial.
	Listen []string
	// Classify is asked for the class of an authenticated identity, from any
	// goroutine; it must be fast and must not call the Host. Nil: all strangers.
	Classify func(ident.ID) Class
	// Handshakes bounds inbound connections that are not authenticated yet.
	// 0: 128, which at up to 100 KiB each is 13 MiB.
	Handshakes int
	// Strangers bounds authenticated inbound connections of strangers. 0: 32.
	Strangers int
	// StrangersPerPrefix bounds those from one IPv4 /24 or IPv6 /48, loopback
	// included. 0: 8.
	StrangersPerPrefix int
	// EvictIdle has that stranger go for a newcomer whose connection was of no use (Framed.Used) for longest,
	// instead of one that has sent nothing, or the oldest.
	EvictIdle bool
	// Streams bounds the streams that a stranger may have open. 0: 4.
	Streams int
	// Relays holds multiaddrs of relays that end in /p2p/<peer id>: the host asks each to
	// be reached through it.
	Relays []string
	// LAN says on the local network (mDNS) who and where this host is, and listens to others.
	LAN bool
	// StrangerIdle is StrangerIdle unless set.
	StrangerIdle time.Duration
	// Queue bounds the bytes that wait to be written to one friend; a stranger
	// has 1/128 of it. 0: 32 MiB.
	Queue int
}

// withDefaults returns c with the zero fields filled in, or an error that names
// the field that cannot be used.
func (c Config) withDefaults() (Config, error) {
	for _, f := range []struct {
		name string
		v    *int
		def  int
	}{
		{"Handshakes", &c.Handshakes, 128},
		{"Strangers", &c.Strangers, 32},
		{"StrangersPerPrefix", &c.StrangersPerPrefix, 8},
		{"Streams", &c.Streams, strangerStreams},
		{"Queue", &c.Queue, 32 << 20},
	} {
		if *f.v < 0 {
			return c, fmt.Errorf("p2p: %s is %d, must not be negative", f.name, *f.v)
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	if c.StrangerIdle == 0 {
		c.StrangerIdle = StrangerIdle
	}
	if c.Classify == nil {
		c.Classify = func(ident.ID) Class { return Stranger }
	}
	if c.Seed == ([32]byte{}) {
		return c, errors.New("p2p: no identity: Seed is all zero")
	}
	return c, nil
}
