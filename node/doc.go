// Package node is a member of Kula: friends, channels, payments, invoices and the
// book, as one function from events to effects.
//
// # The seam
//
// [Node.Step] takes the time, 32 random bytes and a batch of events, and returns
// [Effects]. It gets everything by argument and returns everything: no clock, no
// randomness, no file, no callback, no log. Same state and same arguments give the
// same effects, byte for byte. The driver performs the effects in field order; what is
// in Save and Book is on disk, in one transaction, before anything in Send leaves.
// Pass may leave before: it holds only what others said about a lock, which is repeated after each hello.
//
// A node is used from one goroutine. Between Steps it can be read: [Node.Friends],
// [Node.Balances], [Node.Payment] and so on.
//
// # State
//
// All that must survive is in records ([Kinds]); [Load] rebuilds a node that is equal
// to the one that saved them. What is not saved belongs to a live session, or is told
// again by whoever it came from: acknowledgements, orders, reveals.
//
// # Rooms
//
//	node.go      Step, and the signing of everything queued
//	session.go   hello, what a message leads to, accepting a promise
//	forward.go   a mediator: carry on, give back, pass a reveal; seen.go knows onions again
//	collect.go   a payee: keep parts, open them, end them
//	payer.go     a payer: what the user asks for, release, receipts; asked.go reads the invoice
//	parts.go     its locks: lock, retry, give up; plan.go finds routes, learned.go remembers what failed
//	verify.go    the signatures of one Step, verified together
//	restore.go   after the phrase or an old copy
//	relink.go    what locks belong to after that
//	command.go   what the user asks; invite.go invitations and agreements
//	book.go      rows and their check; save.go and load.go records; announce.go and quote.go for index servers
//	words.go     views and sentences for people
package node
