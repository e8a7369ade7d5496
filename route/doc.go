// Package route is how a payment finds its way: what nodes announce about their
// channels, the graph that an index server makes of it, the search for the
// cheapest chains of friends, and the messages between a node and an index server.
//
// # Announcements
//
// R1. An [Announcement] is what one node says about one friend: per currency how
// much it can receive from that friend, what it charges that friend for carrying a
// payment onward, and how long a lock it accepts. Its bytes are the CBOR of the
// struct, signed by the node under the tag kula/announcement/4: those that it makes at one time together, by one
// signature ([wire.Batched], E-17), and each can be shown alone.
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
// R18 is not used. (It was a key for onions in each announcement; they are wrapped for the identities that a route names.)
//
// R6. A graph keeps at most 1,000 friends per node, a total of entries chosen by its owner, where an announcement without entries
// counts as one, and 1,048,576 currencies at a time; an announcement that would be beyond that is refused. One that replaces another
// counts for what it has more.
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
// R9. [Finder.Cheapest] gives the route whose first channel carries the least
// amount; among those one with the fewest channels. It is exact: a label of the search
// is the amount a node must forward; the amount one channel earlier rises strictly with
// it, so the least label at every node is enough. It depends on the question and on what
// was announced in which order, and on nothing else. In a large graph, mostly where
// MaxHops binds or round a cycle, it may take too much effort; then some route is given, and it is said
// that nothing proves it the cheapest ([Finder.Proved], Answer.Proved), or none and nothing is proved. [Finder.Any] gives some route.
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
// R12. Overrides are what failed payments taught: they replace a fee, wherever else it
// is known from, and lower a capacity. Avoid takes edges out.
//
// R13. An answer comes to one of four: routes; impossible, which is proved; not_found,
// which says that nothing was found and that something may exist; fee_above_max, with
// the fee of the cheapest found, and whether that is proved to be the least.
// MaxParts is the number of routes asked for at most. With one part every answer is proved.
// With several, impossible is: that even without fees and with any number of parts the
// maximum flow is less.
//
// R14. [Finder.UpTo] gives the largest amount that one route can carry to the payee
// within MaxFee, and the cheapest route for it. What can carry an amount can carry
// every smaller one for no larger fee, so a binary search over Cheapest is exact. [Finder.Most]
// does the same for several parts, by as much as Search finds.
//
// R19. [Finder.Search] carries an amount in up to MaxParts parts, by a minimum-cost flow in
// which fees use up capacity too. Without fees it is complete as long as MaxParts and
// MaxHops do not bind. Base fees, rounding and both bounds make the problem hard (it
// contains fixed charges); then parts may be missed, or found that are not the cheapest. The
// amounts of what is found are exact (rule R8), and no channel is overfilled.
//
// R20. A [Query] may ask for any route within MaxFee instead of the cheapest. If the one found
// costs more, that is said, and that it proves nothing.
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
// [PublishResult], [Query] and [Answer], [Follow] and [Feed].
//
// R22. A follower's place in a server's log is an epoch, an offset and the sum of what is before it, as the last Feed said. Where the log of
// that epoch has something else before the offset, or less, the Feed begins with the first record of all. It carries at most 384 KiB of records and
// 3,000 announcements, and says whether the log goes on.
//
// R21. A Pong says the instance of the server's graph, which is another one whenever the server may have forgotten something
// that it confirmed, 0 being none; and whether the server is full: more than three quarters of its places are taken (or of those for the
// asker's network) and the asker has done nothing but ping on this connection for 2 seconds. A node to whom a server says so, and that has nothing to publish
// or ask, leaves, and comes back when it has, or after 30 to 60 minutes, taken by chance. It pings first. If the instance is the one that confirmed
// everything it published, it publishes only what is new and was not confirmed; else everything, and the withdrawals that have not expired.
//
// R17. A node believes no answer: [Request.CheckRoutes] recomputes it from the
// figures that came along, each route in itself and all together: what they bring is
// exactly the amount, their fees are within MaxFee, and where they share a channel they
// do not overfill it. What an index server can still do is to quote figures
// that nobody announced: then a mediator returns the payment, and nothing is lost. It learns what
// the request says, so a node that minds rounds the figures of Own with Coarse.
//
// The package never verifies a signature but in [Open], never reads a clock, and
// never decides whom to believe. A Graph
// is not safe for writing while it is read; any number may search at once.
package route
