// Package sim is the proving ground: whole worlds of members from a seed, in virtual
// time, with the product's own [node.Node] in each of them, and with links, disks,
// clocks and people that fail and lie.
//
// # A world
//
// A [World] is one goroutine and one heap of timed events. Everything random comes from
// its seed, so a seed is a trace: [World.Trace] is the same in every process. A [Member]
// is a node, its disk, its clock and its links; it performs the node's Effects exactly as
// a driver must: Pass may leave at once, Save and Book reach the disk in one piece, and
// only then does anything else leave. Messages are encoded and decoded as on the wire.
//
// # What fails
//
// Sessions are cut and lose their tail, stall in one direction, deliver late, twice or out
// of order; members crash before a save, after it, between messages, with several Steps
// not yet on disk; clocks jump; disks are lost, or an old copy is put back. An index
// forgets and answers late. Each kind is a [Fault] with a name and is counted.
//
// # Who lies
//
// A liar is a member whose node is honest and whose messages are not: see liar.go for the
// kinds. It has its own key and no other.
//
// # What must hold
//
//	S1  Nothing leaves before its save: what a message states is on the disk.
//	S2  No honest key signs two statements of one number, a restore apart (S2a: then only in
//	    a number that nobody has accepted).
//	S3  A lock's number is never used for another lock.
//	S4  An honest reader accepts no lock or add above the highest limit that was in force
//	    (exposure.go, which keeps its own books), and an honest writer signs none.
//	S5  A restart from the disk gives the live state (state.go compares every field).
//	S6  A payer pays a payment at most once and at most amount + most fee, and begins no second part while the
//	    first may be paid; a payment that was returned is not paid, a paid one has a receipt that verifies and
//	    reached its payee, one is held only by the payee's word.
//	S7  An invoice is paid at most once, whoever pays; a payee reveals only what is exactly right.
//	S8  No mediator loses: of every part, what it gets is not less than what it gives and its fee.
//	S9  After faults stop: every lock ends, both sides of every channel agree, all balances of
//	    honest members add up to nothing, and every book adds up to its channels.
//	S10 What a liar makes honest members keep is bounded.
//	S11 No honest member accuses an honest one.
//	S12 An honest reader accepts only what the rules of channels let it: signature, figures, acknowledgement,
//	    terms, numbers of locks, who may end them (accept.go, by its own books).
//	S13 An honest writer restates what it signed: nothing that a liar shows it gets under its signature.
//	S14 What can be made of true receipts proves nothing.
//	S15 No honest member carries on, or answers for, one onion under two locks.
//	S16 Onions of honest members are all of one size, and so are the reasons with which they give them back.
//	S17 A payer hears of no reason in an honest member's name that this one did not give.
//
// A failure is the line that repeats it: go test ./sim -run Seeds -seed N.
package sim
