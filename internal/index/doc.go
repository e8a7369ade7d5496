// Package index is the index server as a process, and both kinds of its clients: the
// node's, which stays connected (Client), and the one that asks once (Ask). The rules
// of what is announced, searched and answered are package route's; this package
// carries them over the network and bounds what strangers can cost.
//
// # Link
//
// I1. A server is named by a link:
//
//	kula:index?key=<z-base-32>&addr=<multiaddr>[&addr=…]
//
// with one key, in any spelling, and 1 to 16 addresses. Unknown parameters are ignored
// unless they begin with req-. FormatURI writes z-base-32, and escapes in an address
// what a query may not hold.
//
// # Stream
//
// I2. A client opens a stream of Protocol. Each frame is one message
// (route.EncodeMessage), at most route.MaxMessage bytes. The client sends Ping, Publish
// Query and Follow, without waiting for answers if it likes; the server sends one answer to
// each, in their order. A Query sees what a Publish before it on the same stream
// changed.
//
// I3. A frame that does not decode, is too large, or is no question ends the stream
// without an answer: after it nobody can tell which answer belongs to what. Other
// streams notice nothing.
//
// I4. A server answers a Ping of any version with its own. A client of another version
// leaves.
//
// # Who may cost what
//
// I5. Strangers are the normal clients. Whoever proves an identity may ask anything; it
// may publish only its own announcements. Those of others are refused with not_allowed
// before their signature is looked at: an announcement that its node did not bring
// would be charged to nobody. So a key has at most route.MaxFriends announcements in
// all.
//
// I6. An identity has at most Rates.Announcements and Rates.Questions a second, on all
// its streams together and across reconnects, beyond a burst. Whoever exceeds them is
// not refused but read more slowly: an honest node that has much to say loses nothing,
// and a hostile one costs no more than the rate. Every announcement counts, good or
// bad, a good one once for each of its currencies, and every message counts as a question, a Follow as one more for each 2 KiB of its Feed.
//
// I7. A server has 1,024 places for connections, a quarter of them for one /24 or /48; when they are taken, that connection goes for a newcomer on which
// nothing was asked for longest, pings aside. An identity has at most 2 streams; a third ends the oldest. A stream on which
// nothing whole arrives for Rates.Idle ends. Answers to one stream are bounded; whoever
// does not read them is not read either.
//
// I8. At most one search per processor runs at a time, and one verification or reading of the log (I11) per two processors: however
// many publish or follow, those who ask have half of the machine. The graph is held, while no search runs, for one step of
// what is applied or expires: so many entries, whatever strangers announced. One message per stream is worked on: streams take
// turns, whatever each of them has sent ahead.
//
// # State
//
// I9. The graph is memory. A server with a directory starts with what its log has and has
// not expired (I11): decoded on all processors, applied in order, not verified again; from the first record that is damaged on it is dropped, with a warning; any other knows nothing until the nodes come back: each publishes
// everything again when it reaches a server that may have forgotten it (I15). What
// has expired is dropped every Rates.Expire; until then a search may see it.
//
// I10. A server that stops answers what it has read, for at most a second, and then
// ends every stream.
//
// # Sharing
//
// I11. A server with a directory keeps a log of every announcement that changed its graph,
// as it was signed. Whoever follows (route.Follow) reads the log from any place on; a
// place is good for one epoch, which ends when the log is written anew without what is out
// of date: when that is more than half of it; and as long as everything before it is what the follower read, which the sum that
// comes with a place proves, so that a log whose end was lost is read anew by those who had read that end, and by nobody else. So a follower that was away goes on where it was, as
// long as its process lives, and one that knows nothing gets all. A Feed carries at most 384 KiB.
//
// I12. Servers that name each other (Options.Peers) follow each other; one that is not named
// back gets nothing as a peer. What comes from a peer is verified, applied, and logged only
// if it changed something: so each announcement goes through each server once, round
// cycles too, and no server can alter or renew what a node said. What a node publishes is
// charged to it where it publishes (I5); a peer is trusted to do that.
//
// I13. A Mirror follows servers as anybody may, and answers queries from its own copy of the
// graph: no server learns what it asks. Until each was read once, or failed, its answers prove nothing, and who
// asks for what it knows no way for waits.
//
// # Which server is asked
//
// I14. A node tells all its servers what it announces, and asks one after the other until one has a route that adds
// up (route.CheckRoutes): that a server knows no way, or sends what does not add up, is not the last word while another can be
// asked. Those are asked first whose answers were wrong less often in the last 10 minutes: a quote that did not add up, or by
// which a payment was locked and came back because a fee, a capacity or a channel on the way was another. Of those who were wrong equally often
// the ones come first that the user trusts, whose first 3 wrong answers do not count; then as Client.Use was told. A server that
// the user blocked is never used.
//
// # More nodes than places
//
// I15. A question that finds no server connected has all tried again, twice a second at most. A Client that is told that the server is full (rule R21 of package route) rests: it leaves when it has nothing to publish or ask, and comes
// back when it has, or after half an hour to an hour. One that is cut with nothing to do within a minute of being told
// rests too; others come back after pauses that double from half a second to a minute. A question brings it back at once. Who comes back to the instance
// that took everything publishes what is new since and what was not confirmed; to any other, everything, and the withdrawals that have not
// expired: it may be one that was killed, and count still what they took back. Of what a server has not confirmed the newest about each
// friend waits for it, until it expires.
//
// I16. The instance is kept from one run of a server to the next if the log was closed in order, holds everything that was
// confirmed, and all of it was read and had room; it is another one after anything else. But for one thing, which nobody can see in the log: that
// it was put in place of a later one, by a copy or a file system that was rolled back. So who puts one back takes its mark away, the
// 16 bytes from 16 on, before the server starts:
//
//	dd if=/dev/zero of=announcements.log bs=16 seek=1 count=1 conv=notrunc
//
// Or it deletes the log. Without that nodes that come back believe that the server knows what it lost, until they renew it.
//
// The server dials nobody but the peers it was told of,
// keeps no record of who asked what, and logs no key beyond its first
// characters. It takes part in no session: it has no friends.
package index
