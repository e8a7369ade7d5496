// Package realtest tests the program as it is shipped: every test runs the file that
// `go build ./cmd/kula` made, as real processes on loopback with ephemeral ports, each
// in a home of its own, and looks at them through the command line, the local API and
// /proc. It has no code of its own that another package could use.
//
// What it proves (design §13.5 and the "Proof"):
//
//	TestKill     three nodes in a line, 30 kill −9 and many SIGSTOP under load, each kill
//	             while at least 32 payments are open at the victim; then the audit: sums
//	             are zero, both sides agree, nothing is stuck, nobody paid twice
//	TestFsck     of 1,000 single changed bytes in distinct stored records each is named by
//	             `kula fsck`, and none crashes it or `kula up`
//	TestHostile  5,000 hostile connections: the victim's memory grows by at most 64 MiB,
//	             the median of honest payments at most doubles
//	TestLiar…    a friend that lies over a real socket: altered invoices, one part twice,
//	             two statements of one number, drops without leave, locks above the
//	             limit, invented preimages, malformed frames
//	TestLiarRoad a mediator that passes a part to another friend, denies the next hop, changes the onion, or
//	             answers with another part's failure: nothing is lost, another way is taken
//	Test…Learns, what docs/privacy.md says: the disk and the answers of a mediator, what an index server is told,
//	…KeepsNo…,   what passes a relay and is on its disk are searched for keys, names, texts, invoices and
//	…MirrorTells preimages that they must not have
//	TestBehind…  in network namespaces (root, iproute2, nftables; KULA_NEED_NETNS makes a
//	             missing one a failure): two nodes behind routers, a relay that is killed in the
//	             middle of a payment, a direct connection, an address that changes
//	TestIndex…   index servers that are killed, wiped and replaced while payments run; one that
//	             lies: in what it says of capacities and fees, with old and forged announcements, with routes
//	             that do not add up
//	TestFound…,  friends found by their keys and becoming friends by them; servers found on a DHT of
//	TestServers… loopback nodes
//
// The liar is a small client in the tests. It speaks through package p2p with an identity of its
// own, becomes a friend by an invitation link like anybody, and keeps its side of the
// channel with package credit until it is told to lie.
//
// The tests are for Linux, whose signals and /proc they use. They never sleep for a time
// and hope: they wait for what the API says, with a deadline, and a wait that fails says
// what was seen last.
package realtest
