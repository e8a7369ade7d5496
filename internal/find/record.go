package find

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"kula/ident"
	"kula/wire"
)

const (
	// maxPacket is BEP 44's bound on a value.
	maxPacket = 1000

	// header is what comes before the packet: signature and time.
	header     = 64 + 8
	maxPayload = header + maxPacket

	// ttl is how long resolvers may keep an answer, in seconds: an address may change at any time,
	// and nobody asks often.
	ttl = 300

	// label is the name of Kula's own records below the key.
	label = "_kula."

	// maxAnswers bounds the answers of a packet that are looked at: 1,000 bytes hold no more.
	maxAnswers = 64
)

// ErrRecord is wrapped by the errors of records that are not what they claim to be.
var ErrRecord = errors.New("not a record of this key")

// Record is a signed DNS packet of a key.
type Record struct {
	Key    ident.ID
	Sig    [64]byte
	Time   int64  // microseconds since 1970
	Packet []byte // a DNS message
}

// signable are the bytes that are signed.
func signable(micros int64, packet []byte) []byte {
	b := append([]byte("3:seqi"), strconv.FormatInt(micros, 10)...)
	b = append(append(b, "e1:v"...), strconv.Itoa(len(packet))...)
	return append(append(b, ':'), packet...)
}

// target is where a key's record lies in the DHT.
func target(key ident.ID) [20]byte { return sha1.Sum(key[:]) }

// New signs a record that says where the identity of seed can be reached: as many of the
// addresses, in order, as fit. micros is its time.
func New(seed [32]byte, addrs []string, micros int64) (*Record, error) {
	private := ed25519.NewKeyFromSeed(seed[:])
	r := &Record{Key: ident.ID(private.Public().(ed25519.PublicKey)), Time: micros}
	m := new(dns.Msg)
	m.Response, m.Compress = true, true
	name := label + r.Key.String() + "."
	var err error
	for _, a := range addrs {
		a, _ = strings.CutSuffix(a, "/p2p/"+r.Key.Peer())
		m.Answer = append(m.Answer, &dns.TXT{
			Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: ttl},
			Txt: pieces(a),
		})
		var packet []byte
		if packet, err = m.Pack(); err != nil {
			return nil, fmt.Errorf("address %q: %w", a, err)
		}
		if len(packet) > maxPacket {
			break
		}
		r.Packet = packet
	}
	if r.Packet == nil {
		if r.Packet, err = m.Pack(); err != nil || len(r.Packet) > maxPacket {
			return nil, fmt.Errorf("no address fits into a record: %q", addrs)
		}
	}
	r.Sig = [64]byte(ed25519.Sign(private, signable(r.Time, r.Packet)))
	return r, nil
}

// pieces cuts a text into the strings of a TXT record.
func pieces(s string) []string {
	var list []string
	for len(s) > 255 {
		list, s = append(list, s[:255]), s[255:]
	}
	return append(list, s)
}

// Payload is the record as relays carry it.
func (r *Record) Payload() []byte {
	b := binary.BigEndian.AppendUint64(append([]byte{}, r.Sig[:]...), uint64(r.Time))
	return append(b, r.Packet...)
}

// ParsePayload reads a payload and verifies that it is of key. Errors wrap ErrRecord.
func ParsePayload(key ident.ID, b []byte) (*Record, error) {
	if len(b) <= header || len(b) > maxPayload {
		return nil, fmt.Errorf("%w: %d bytes, want %d to %d", ErrRecord, len(b), header+1, maxPayload)
	}
	r := &Record{Key: key, Sig: [64]byte(b[:64]), Time: int64(binary.BigEndian.Uint64(b[64:header])), Packet: bytes.Clone(b[header:])}
	return r, r.verify()
}

// verify checks signature and form.
func (r *Record) verify() error {
	switch {
	case r.Time <= 0:
		return fmt.Errorf("%w: its time is %d", ErrRecord, r.Time)
	case len(r.Packet) > maxPacket:
		return fmt.Errorf("%w: a packet of %d bytes, at most %d", ErrRecord, len(r.Packet), maxPacket)
	case !r.Key.Valid() || !ed25519.Verify(r.Key[:], signable(r.Time, r.Packet), r.Sig[:]):
		return fmt.Errorf("%w: it is not signed by %s…", ErrRecord, r.Key.Short())
	}
	_, err := r.answers()
	return err
}

// answers are the resource records of the packet, all of the key's own names.
func (r *Record) answers() ([]dns.RR, error) {
	m := new(dns.Msg)
	if err := m.Unpack(r.Packet); err != nil {
		return nil, fmt.Errorf("%w: no DNS message: %w", ErrRecord, err)
	}
	if len(m.Answer) > maxAnswers {
		return nil, fmt.Errorf("%w: %d answers, at most %d", ErrRecord, len(m.Answer), maxAnswers)
	}
	apex := r.Key.String() + "."
	for _, rr := range m.Answer {
		if name := strings.ToLower(rr.Header().Name); name != apex && !strings.HasSuffix(name, "."+apex) {
			return nil, fmt.Errorf("%w: an answer for %.80q", ErrRecord, name)
		}
	}
	return m.Answer, nil
}

// Addresses are the multiaddrs of the record, at most wire.MaxAddresses.
func (r *Record) Addresses() []string {
	answers, err := r.answers()
	if err != nil {
		return nil // a record was verified when it was made or read
	}
	var list []string
	for _, rr := range answers {
		t, ok := rr.(*dns.TXT)
		if !ok || !strings.EqualFold(t.Hdr.Name, label+r.Key.String()+".") {
			continue
		}
		if a := strings.Join(t.Txt, ""); len(a) <= wire.MaxAddress && len(list) < wire.MaxAddresses {
			list = append(list, a)
		}
	}
	return list
}

// newer says whether r counts instead of old, which may be nil.
func (r *Record) newer(old *Record) bool {
	return old == nil || r.Time > old.Time || r.Time == old.Time && bytes.Compare(r.Packet, old.Packet) > 0
}

// now is the time of a record made now.
func now() int64 { return time.Now().UnixMicro() }
