// Package route is how a payment finds its way: what nodes announce about their
// channels, the graph that an index server makes of it, the search for the
// cheapest chain of friends, and the messages between a node and an index server.
//
// # Announcements
//
// R1. An [Announcement] is what one node says about one friend: per currency how
// much it can receive from that friend, what it charges that friend for carrying a
// payment onward, and how long a lock it accepts. Its bytes are the CBOR of the
// struct, signed by the node under the tag kula/announcement/1.
//
// R2. The figure of what can be received is rounded down to two significant
// decimal digits ([Coarse]), so that an index does not see single payments. A
// figure that is finer is refused: it would tell more than its writer meant.
//
// R3. Entries rise by currency, at most 32. No entries at all is a withdrawal. A
// friend from whom nothing can be received is announced with 0.
//
// R4. An announcement expires at most 24 hours after it is received. It is never
// valid at or after its expiry.
//
// R5. Of one node about one friend, only the highest number counts. The same
// number again is accepted without effect if it says the same, and refused if it
// says anything else. A lower number is refused, also while the newer announcement
// has expired or was a withdrawal, until everything ever accepted from the node
// about this friend has expired: an old announcement cannot be played back.
//
// R6. A graph keeps at most 1,000 friends per node and a total chosen by its owner.
//
// # Edges
//
// R7. There is an edge X→Y in a currency exactly if X announces Y and Y announces
// X, both in that currency. All its figures are Y's: its capacity is what Y can
// receive from X; its fee is what Y charges X.
//
// R8. Y's fee is due on what Y forwards, so the last channel of a route has none.
// The amount locked on X→Y is what Y forwards plus Y's fee on that, rounded as
// [money.Fee.Of] does; it must not exceed the capacity.
//
// # Search
//
// R9. [Graph.Cheapest] gives the route whose first channel carries the least
// amount; among those the one with the fewest channels; among those the one whose
// list of keys is smallest. So the answer depends on the question and the
// announcements and on nothing else. It is exact: a label of the search is the amount a node must
// forward; the amount one channel earlier rises strictly with it, so the least
// label at every node is enough.
//
// R10. A route names no node twice and has at most MaxHops channels. If the payer
// is the payee, the route is a cycle: it ends with the payer, has at least three
// channels, and its first and its last friend differ.
//
// R11. The payer knows its own channels better than any index. A request that does
// not say Announced leaves the payer only through the channels in Own, whose
// figures are exact; the payer need not be announced at all. Last, if not empty,
// is in the same way all the channels into the payee.
//
// R12. Overrides replace fees, wherever else they are known from: they are what a
// failed payment taught. Avoid takes edges out.
//
// R13. There are two reasons for no route: no_route says that no route exists
// within the request's MaxHops (proved, not merely not found), fee_above_max that
// the cheapest costs more than MaxFee, and gives its fee.
//
// R14. [Graph.UpTo] gives the largest amount that one route can carry to the payee
// within MaxFee, and the cheapest route for it. What can carry an amount can carry
// every smaller one for no larger fee, so a binary search over Cheapest is exact.
//
// R15. [Graph.Price] gives the amounts along a route chosen by hand, and says
// which fees it does not know (counted as 0) and which channels are known to be too small. It refuses none for
// that: a channel need not be announced to be there.
//
// # Messages
//
// R16. A message is one byte of kind followed by the CBOR of its struct
// ([EncodeMessage], [DecodeMessage]), at most 1 MiB. A connection carries a
// question and its answer in turn: [Ping] and [Pong], [Publish] and
// [PublishResult], [Query] and [Answer].
//
// R17. A node believes no answer: [Request.CheckRoute] recomputes it from the
// figures that came along. What an index server can still do is to quote figures
// that nobody announced: then a mediator returns the payment, and nothing is lost. It learns what
// the request says, so a node that minds rounds the figures of Own with Coarse.
//
// The package never verifies a signature but in [Open], never reads a clock, never
// splits an amount over several routes, and never decides whom to believe. A Graph
// is not safe for writing while it is read; any number may search at once.
package route
