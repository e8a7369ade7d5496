// Package p2p carries framed byte messages between identities over libp2p. It
// is the only package that imports libp2p, and it knows nothing of what the
// frames mean.
//
// # Transports
//
// TCP with Noise and yamux, and QUIC, whatever the listen addresses name. Each
// connection is authenticated by the two Ed25519 identity keys before a byte of
// ours is read; any other kind of key is refused. There is no identify, ping,
// AutoNAT or metrics traffic: a swarm of libp2p with its transports, and of a
// libp2p host on top only what relaying and hole punching use.
//
// # Frames
//
//	frame  = length payload
//	length = unsigned varint, shortest form, 1 … limit
//
// A frame of length 0, above the limit, with a longer varint than needed, or cut
// short closes its stream with an error that names the numbers, and nothing else.
// Memory follows the bytes that arrived, never the announced length: at most
// 4 KiB or as much as has arrived already, whichever is more, is allocated ahead.
//
// # Sessions
//
// A session is one stream of protocol "/kula/1". Two identities have at most one.
// Which one is decided by the chooser, the side whose key is smaller as bytes; so
// when both dial at once they end with the same one. The first frames of the
// stream settle it:
//
//	ask    = 'A' run(8) last-run(8) last-number(8)   only if the other side opened the stream
//	choice = 'C' run(8) number(8)                    chooser → other
//	echo   = 'E' run(8) number(8) own-run(8)         other → chooser; from here frames flow both ways
//
// A run is 8 random bytes drawn when a host starts; numbers are big-endian, count
// from 1 and only grow within a run. last-run and last-number are the newest choice
// that the asker took, zero if none. The rules:
//
//  1. The chooser has one choice under way per identity; an ask that comes
//     meanwhile waits for its outcome (at most OpenTimeout).
//  2. An ask is refused as a duplicate when a session with this run of the asker is
//     live whose choice the asker had not taken yet when it asked: both dialled at
//     once, and the asker has taken the live one since.
//  3. Otherwise the newer replaces the older: the session goes up at the other side
//     when it has sent the echo, at the chooser when it has read it, and the older
//     one is closed. A choice not above the last one of its run is refused as stale.
//  4. A choice is above the last-number of the ask it answers, if last-run is the chooser's: a
//     side keeps nothing about an identity that it neither wants nor has a session with.
//  5. A side that has got a direct connection while the session goes through a relay opens
//     a newer one on it, which replaces the other by rule 3.
//
// For each session Events gets SessionUp, then Frames in order, then SessionDown,
// from one goroutine; the Down of a replaced session comes before the Up of its
// successor. A callback that blocks stops reading from that peer only.
//
// Send never blocks: frames wait in a queue bounded in bytes. One goroutine per
// session writes everything that waits with one Write per 64 KiB. A queue that
// overflows, or a write that makes no progress, closes the session. Drop closes it at once;
// Part when the other side has what was queued, and after PartTimeout at the latest.
//
// # Who may talk
//
// After authentication Config.Classify names the class of the other side.
//
//	Blocked   refused at once
//	Friend    frames up to MaxFrame (12 MiB), no time limits
//	Stranger  session frames up to StrangerFrame (4 KiB), at most StrangerFrames
//	          (16) a connection, each complete within StrangerIdle (10 s)
//
// Inbound connections are admitted in two steps. Before authentication at most
// Config.Handshakes are kept, each for at most HandshakeTimeout; a newcomer never
// waits or fails for want of room: the oldest of the address prefix that has the
// most is closed instead, so a flood evicts itself and a friend's reconnect gets
// through. (QUIC gives no handle on a half-open connection: there the newcomer is
// refused, per prefix first, and addresses must be verified; TCP remains.) Handshake
// cryptography runs on at most half of the processors. After authentication
// strangers have Config.Strangers places in all and StrangersPerPrefix per /24 or
// /48, with the same eviction, or with Config.EvictIdle by who was of no use for longest; friends need no place. An identity has at most
// ConnsPerPeer connections; an idle connection is closed.
//
// # Dialling
//
// Want keeps an identity connected: while there is no session it dials all known
// addresses, TCP first and relays last, with a pause that doubles from BackoffMin to
// BackoffMax, ± 25 %. A session that carried a frame or lasted BackoffReset, a new address,
// another address of this machine and Kick start the pauses anew. When an address of the
// machine is gone, what hangs on it is closed at once.
//
// With Config.LAN the host says on the local network (mDNS, service _kula._udp) who and where
// it is, and dials whom it wants where they say that they are. 256 others are remembered.
//
// # Relays
//
// UseRelays has the host ask relays (libp2p's circuit relay v2) to be reached through them:
// a reservation is kept as long as the relay lives, and asked for again every ten seconds
// at most when it does not. Addrs then begins with the addresses through them. Only relays that
// the host asked may bring connections, and at most relayStrangers (4) of strangers each: the newest
// takes the place of the oldest. A connection through a relay is authenticated and
// encrypted between its two ends like any other.
//
// Over a QUIC connection the relay is also asked where it sees this host's socket: protocol
// SeenProtocol, one frame with a multiaddr. With that, two friends whose session goes through
// a relay get a direct connection (DCUtR, libp2p's hole punching): the side that was dialled
// tries after a second, and again after pauses of 40 seconds that double to ten minutes. Strangers are
// told no address and no datagram is sent to where they say that they are.
//
// NewRelay runs a relay: see its constants for what a client may have.
//
// # Other protocols
//
// Handle and Open give framed streams of other protocols, with limits of their own,
// for requests and answers, as many and as long as both sides like.
package p2p
