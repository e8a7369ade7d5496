// Package run drives one node: it joins the rules (package node) to the disk
// (package store), the network (package p2p), index servers (package index), the
// clock and the source of randomness, and owns every goroutine that does so.
//
// # The loop
//
// One goroutine owns the *node.Node; nobody else ever touches it. Over and over it
//
//  1. gathers what waits, at most MaxBatch inputs: frames, sessions that came or
//     went, commands, answers of index servers, the timer; where much comes at
//     once, it waits a moment for more of it, and meanwhile has the node Take what
//     has come, so that what needs no save is passed on without waiting;
//  2. calls Step once for what was not taken yet, commands always among it, with the time and 32 fresh random bytes;
//  3. sends Effects.Pass and asks index servers;
//  4. commits Save, Book and the records of whoever joined in (see Request and
//     Companion) in one transaction, and waits until it is on disk;
//  5. sends, hangs up, publishes, replies and tells, in this order;
//  6. runs the reads that wait (View): they see only what is on disk.
//
// While it waits for the disk the next batch gathers, so many payments share one
// fsync and one signature per channel.
//
// # Servers
//
// Which index servers and relays are used is put together from what the node was started with,
// what it found, and the user's list (N-17); the list is kept with the node's records,
// and a change counts at once (Judge).
//
// # Save before send
//
// If a commit fails nothing of step 5 happens, for this batch or any later one: the
// loop ends, Done is closed and Err says why. The process must then end and start
// again from what is on disk.
//
// # What never happens
//
// No frame is decoded in the loop: the transport's goroutines do it, and a frame that
// does not decode ends its session with one log line. No subscriber, peer or index
// server can block the loop: buffers are bounded, and who does not keep up is dropped.
// A peer that sends faster than the loop handles is read more slowly. Nothing secret
// is logged: no keys but identities' first characters, no preimages, tokens or texts.
package run
