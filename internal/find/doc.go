// Package find publishes where an identity can be reached and looks up where others can,
// under nothing but their keys; and it finds servers. It sends nothing to anybody until it is
// told to where: Options are empty by default.
//
// # Records
//
// A record is a Pkarr packet (https://pkarr.org): a DNS reply that the identity key signed.
//
//	payload   = signature(64) time(8) packet
//	signature = Ed25519 over "3:seqi" time "e1:v" len ":" packet    (BEP 44, no salt)
//	time      = microseconds since 1970, big-endian; in the signature in decimal
//	packet    = DNS reply, id 0, flags 0x8000, answers only, at most 1,000 bytes
//
// All names end in the key in z-base-32. Kula's own name is _kula.<key>; each of its TXT
// records holds one multiaddr without the final /p2p/<key's peer id>. Other records are left
// alone. A record is refused unless it verifies under the key that was asked for; of two
// the one with the later time counts, of equal times the one with the larger bytes.
//
// # Places
//
//   - the Mainline DHT: BEP 44 mutable items; target = SHA-1(key)
//   - Pkarr HTTP relays: PUT and GET /<key in z-base-32> with the payload as body; Relay is one
//
// Records fade within hours, so whoever publishes does it again every Republish. HTTP relays are
// asked every minute (Finder.Recheck) whether they have the record, and given it again if not (Renew): one that was restarted has
// nothing. After each question that finds it missing or that fails the pause doubles, up to Republish; Retry-After makes it longer, up to
// as much. Once the relay has the record it is a minute again.
//
// # Servers
//
// Index servers and relays announce their port under one info-hash per kind (BEP 5):
// SHA-1("kula/" kind "/1"). What Servers returns are claims of strangers: who listens there
// shows when it is asked. Of what one node of the DHT answers serversEach are taken.
//
// # What strangers can do
//
// This is a client of the DHT and nothing else: it answers no query, stores nothing for
// anybody, and drops queries and whatever is not a reply before they are parsed. A look-up ends
// after lookupTime or maxQueries questions. What strangers say of nodes and servers at addresses that are
// none of the public internet (IANA's registries of special-purpose addresses; an IPv6 address that stands for an IPv4 address is
// judged by that one) is passed over, unless a node that the user named to begin with is at one. Answers over maxPayload bytes are not read. A
// Relay keeps maxRecords records, each for a day at most, and paces each address prefix.
package find
