// Package pay is one payment as its payer, its mediators and its payee see it:
// what a lock carries, what is sealed to whom, when a part is carried on or given
// back, and what proves afterwards that it was paid.
//
// # What a lock carries
//
// A [wire.Blob] of version 0: the hops still to go in clear, the payer's ephemeral
// key, and a box that only the payee can open. [NewBlob] makes it, [Peel] reads it
// at a mediator, [OpenBox] at the payee.
//
// # What is sealed
//
// Payer and payee share a key (from the payer's ephemeral key, for a few payments). Under it
// travel, each under its own kind, so that no key and kind ever seal two messages:
//
//	box/<part>        payer → payee   what is paid, per part
//	arrived/<part>    payee → payer   the payee's signed word that the part is locked to it
//	open/<part>       payer → payee   the preimage of a push, the release of a hold
//	cancel/<part>     payer → payee   the wish to cancel
//	received/<part>   payee → payer   the payee's signed receipt of a push
//
// A node that refuses seals its reason to the payer's ephemeral key with a key of its
// own ([SealReason]); nobody between can read it.
//
// # Who may do what
//
// [Carry] is the policy of a mediator, [Collect] that of a payee: lists of small
// checks. They decide about carrying only; whether a promise is valid is credit's.
//
// This package has no state and keeps no records: the node does.
package pay
