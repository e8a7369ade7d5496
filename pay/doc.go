// Package pay is one payment as its payer, its mediators and its payee see it:
// what a lock carries, what is sealed to whom, when a part is carried on or given
// back, and what proves afterwards that it was paid.
//
// # What a lock carries
//
// A [wire.Onion] (version 1): [Sealed.NewOnion] wraps route and box with package onion, of one size for all
// payments; or a [wire.Blob] (version 0): the hops still to go in clear, the payer's ephemeral key, and a box that only the payee
// can open, by [Sealed.NewBlob]. [OpenParcel] reads either at the node that got it, and [Parcel] gives what
// the lock onward carries, the payee's box, and the reason that goes back. An onion is bound to part, condition and
// currency of its lock; that none is peeled twice is kept by the node, from [Layer].
//
// # What is sealed
//
// Payer and payee share a key: an onion brings one for each payment, with version 0 it comes from the payer's
// ephemeral key and serves a few. Under it
// travel, each under its own kind, so that no key and kind ever seal two messages:
//
//	box/<part>        payer → payee   what is paid, per part; in an onion its body is in the place of this
//	arrived/<part>    payee → payer   the payee's signed word that the part is locked to it
//	open/<part>       payer → payee   the preimage of a push, the release of a hold
//	cancel/<part>     payer → payee   the wish to cancel
//	received/<part>   payee → payer   the payee's signed receipt of a push
//
// Along with an onion each of them is of one size, whatever it says.
//
// A node that refuses seals its reason to the payer; nobody between can read it. An onion's names its node for certain
// ([OpenFailure]); with version 0 it is sealed to the payer's ephemeral key with a key of the node's own ([SealReason]).
//
// # Who may do what
//
// [Carry] is the policy of a mediator, [Collect] that of a payee: lists of small
// checks. They decide about carrying only; whether a promise is valid is credit's.
//
// This package has no state and keeps no records: the node does.
package pay
