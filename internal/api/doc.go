// Package api is the node's local HTTP API, and its Go client (Client).
//
// # Form
//
// HTTP/1.1 with JSON, on loopback. Answers are the views of package node; amounts are
// {"value":"1250","assetCode":"EUR","assetScale":2}. The description in OpenAPI 3.1 is
// at /openapi.json and comes from the code (Spec). Answers may gain members; a request
// with an unknown member is refused. Times are unix milliseconds, but expires and
// created of invoices, invitations and tokens are unix seconds. ?wait=30s and waitMs
// let an answer wait for a state that does not change by itself; the longest wait is
// MaxWait, and when it is over the answer is the state as it is.
//
// Errors are problem+json (RFC 9457) with the member code, the name of a wire.Code, and
// reason with figures where there are some. A payment that was returned is no error:
// POST /v1/payments answers 200 with a PaymentView whatever became of it.
//
// # Who may call
//
// A request needs the header "Authorization: Bearer <token>", except /healthz, /readyz
// and /openapi.json. The owner's token is drawn at each start and is in api.json in the
// node's home. Others are made with a scope, and only their SHA-256 is stored:
//
//	read        every GET
//	ask         make invoices; see, cancel and redeem those it made
//	pay=50EUR/day, /week, /month, /year (day if absent)
//	            quote and pay; see, release and cancel the payments it made
//	configure   everything else but releasing payments of others and tokens
//
// Tokens themselves are the owner's alone to make, list and revoke. Every token may
// ask for the node's identity and currencies.
//
// "pay" is a total: everything that the token has paid or has under way in this period
// (UTC; weeks begin on Monday), fees included. What a payment may cost at most is set
// aside in the transaction that begins it, so that neither two requests at once nor a
// crash let more through; what it did not cost is given back when it is paid or
// returned. A payment counts in the period in which it began. With several pay scopes
// each that has the payment's currency must have room, and one must have it.
//
// A request whose Host header is not localhost, a loopback address, the address that was
// called or a name from Options.Hosts is refused: a web page whose name was made to
// point to this machine (DNS rebinding) gets nowhere.
//
// # Idempotency-Key
//
// A POST that moves value (payments, settlements, redemptions, releases) with this
// header is carried out once: the same token, key and body get the first answer again,
// for payments the same payment as it is by then; another body gets 422 key_reused.
// The key is saved in the transaction of what it did. waitMs is no part of the body in
// this sense. A node that crashed while it still sought a route cannot tell what became
// of that request: the key then gets 409 conflict and never pays. Keys are kept for 24
// hours, the newest 65,536 of them. Requests that were refused before the node began
// anything (wrong token, no room in the pay scope, malformed) leave no key.
//
// # Bounds
//
// Bodies have at most 64 KiB, heads 16 KiB; there are at most 1,024 connections; head
// and body must each arrive within 5 s; an event reader that takes nothing for 10 s, or
// falls 1,024 events behind, is dropped, the latter with an event "lagged".
//
// The package never logs a body, a header, a token or a key, and the metrics have no
// label that names anybody.
package api
