package route

import (
	"bytes"
	"fmt"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// Tag is the domain of the signature of an announcement.
const Tag ident.Tag = "kula/announcement/4"

const (
	// MaxEntries is how many currencies an announcement may name: as many as a channel has.
	MaxEntries = wire.MaxLines
	// MaxLife is how many seconds an announcement may live. A node that vanishes
	// is out of every index within a day, and one that stays repeats itself daily.
	MaxLife = 24 * 60 * 60
	// MaxCanReceive is the most that can be received from a friend: a limit
	// unused, and a debt to that friend as large as a limit paid back.
	MaxCanReceive = 2 * money.MaxLimit
	// MaxAnnouncement bounds the bytes of an announcement, signature apart: 32
	// entries of at most 100 bytes, and the head.
	MaxAnnouncement = 4 << 10

	// maxPpm is the whole of an amount; money.Fee takes no more either.
	maxPpm = 1_000_000
)

// Announcement is what Node says about its channel with Friend (rules R1 to R5).
type Announcement struct {
	_            struct{} `cbor:",toarray"`
	Node, Friend ident.ID
	Number       uint64  // rises with every announcement of Node about Friend
	Expires      int64   // unix seconds
	Entries      []Entry // by currency, ascending; none is a withdrawal
}

// Entry is one currency of an announcement.
type Entry struct {
	_          struct{} `cbor:",toarray"`
	Currency   money.Currency
	CanReceive money.Amount // what Node can receive from Friend, coarse, 0 to MaxCanReceive
	FeeBase    money.Amount // what Node charges Friend for carrying onward
	FeePpm     uint32
	MaxHold    uint32     // longest deadline of a lock that Node accepts, in seconds; 0: only locks without a deadline
	Deciders   []ident.ID // accepted besides none; always empty in this version
}

// Fee of the entry.
func (e Entry) Fee() money.Fee { return money.Fee{Base: e.FeeBase, Ppm: e.FeePpm} }

// Coarse rounds an amount down to two significant decimal digits: 1,299 to 1,200.
// Below 0, where nothing can be received, it is 0.
func Coarse(a money.Amount) money.Amount {
	if a < 0 {
		return 0
	}
	step := money.Amount(1)
	for a/step >= 100 {
		step *= 10
	}
	return a / step * step
}

// Check judges the form of an announcement: all of its rules but time and number.
// Its errors are of type *Refusal.
func (a Announcement) Check() error {
	if a.Node == a.Friend {
		return refuse(wire.BadRequest, "announcement of %s about itself", a.Node.Short())
	}
	if a.Expires < 0 || a.Expires > maxExpires {
		return refuse(wire.BadRequest, "announcement that expires at %d, must be 0 to %d", a.Expires, int64(maxExpires))
	}
	if len(a.Entries) > MaxEntries {
		return refuse(wire.BadRequest, "announcement with %d currencies, at most %d", len(a.Entries), MaxEntries)
	}
	for i, e := range a.Entries {
		if i > 0 && e.Currency <= a.Entries[i-1].Currency {
			return refuse(wire.BadRequest, "currency %q after %q, must ascend", string(e.Currency), string(a.Entries[i-1].Currency))
		}
		if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

func (e Entry) check() error {
	if !e.Currency.Valid() {
		return refuse(wire.UnknownCurrency, "%q is not a currency; write e.g. EUR/2", string(e.Currency))
	}
	if e.CanReceive < 0 || e.CanReceive > MaxCanReceive || e.CanReceive != Coarse(e.CanReceive) {
		return refuse(wire.BadRequest, "can receive %d %s, must be 0 to %d in two significant digits", e.CanReceive, e.Currency, int64(MaxCanReceive))
	}
	if len(e.Deciders) > 0 {
		return refuse(wire.DeciderNotAccepted, "announcement with %d deciders, this version knows none", len(e.Deciders))
	}
	return checkFee(e.FeeBase, e.FeePpm)
}

func checkFee(base money.Amount, ppm uint32) error {
	if base < 0 || base > money.MaxLimit || ppm > maxPpm {
		return refuse(wire.BadRequest, "fee %d + %d ppm, must be 0 to %d + 0 to %d ppm", base, ppm, int64(money.MaxLimit), maxPpm)
	}
	return nil
}

// Sign gives an announcement of suite's own identity its signature.
func Sign(suite ident.Suite, a Announcement) (wire.Batched, error) {
	signed, err := SignAll(suite, []Announcement{a})
	if err != nil {
		return wire.Batched{}, err
	}
	return signed[0], nil
}

// SignAll signs announcements of suite's own identity together: one signature for 2^wire.MaxPath of them.
func SignAll(suite ident.Suite, list []Announcement) (signed []wire.Batched, err error) {
	var batch wire.Batch
	for _, a := range list {
		if a.Node != suite.ID() {
			return nil, fmt.Errorf("sign announcement of %s: the key is that of %s", a.Node.Short(), suite.ID().Short())
		}
		if err := a.Check(); err != nil {
			return nil, fmt.Errorf("sign announcement: %w", err)
		}
		if batch.Full() {
			signed = append(signed, batch.Sign(suite)...)
		}
		batch.Add(Tag, a)
	}
	return append(signed, batch.Sign(suite)...), nil
}

// Decode reads the bytes of an announcement and checks its form, not its
// signature. Errors wrap wire.ErrForm or are of type *Refusal.
func Decode(body []byte) (Announcement, error) {
	var a Announcement
	if len(body) > MaxAnnouncement {
		return a, refuse(wire.BadRequest, "announcement of %d bytes, at most %d", len(body), MaxAnnouncement)
	}
	if err := wire.Unmarshal(body, &a); err != nil {
		return Announcement{}, fmt.Errorf("announcement: %w", err)
	}
	if err := a.Check(); err != nil {
		return Announcement{}, err
	}
	return a, nil
}

// Encode gives the bytes that Decode reads and Sign signs.
func (a Announcement) Encode() []byte { return wire.Marshal(a) }

// Open reads a signed announcement and verifies that its Node signed it. Errors
// are those of Decode, or a *Refusal with the code bad_signature.
func Open(suite ident.Suite, s wire.Batched) (Announcement, error) {
	opened, errs := OpenAll(suite, []wire.Batched{s}, nil)
	if errs[0] != nil {
		return Announcement{}, errs[0]
	}
	return opened[0], nil
}

// OpenAll is Open for many at once: each signature is verified once, whatever number of them it is for, and where that is cheaper
// all together. allow, if not nil, says what is wrong with one before its signature is looked at. opened and errs have one item per
// announcement: the error, or nil and what was read.
func OpenAll(suite ident.Suite, list []wire.Batched, allow func(*Announcement) error) (opened []Announcement, errs []error) {
	opened, errs = make([]Announcement, len(list)), make([]error, len(list))
	var checks []ident.Check           // each once
	by := make([]int, len(list))       // place in checks
	known := map[ident.Signature]int{} // of checks, the first with that signature
	for i := range list {
		s, a := &list[i], &opened[i]
		if errs[i] = wire.Check(s); errs[i] == nil {
			*a, errs[i] = Decode(s.Body)
		}
		if errs[i] == nil && allow != nil {
			errs[i] = allow(a)
		}
		if errs[i] != nil {
			continue
		}
		c := s.Check(a.Node, Tag)
		at, ok := known[s.Sig]
		if !ok || checks[at].ID != c.ID || !bytes.Equal(checks[at].Msg, c.Msg) {
			at = len(checks)
			checks, known[s.Sig] = append(checks, c), at
		}
		by[i] = at
	}
	if len(checks) == 0 || len(checks) >= ident.MinBatch && suite.VerifyAll(checks) {
		return opened, errs
	}
	good := make([]bool, len(checks)) // some may be wrong, and only one by one says which
	for k, c := range checks {
		good[k] = suite.Verify(c.ID, c.Tag, c.Msg, c.Sig)
	}
	for i := range list {
		if a := &opened[i]; errs[i] == nil && !good[by[i]] {
			errs[i] = refuse(wire.BadSignature, "announcement %d of %s about %s is not signed by it", a.Number, a.Node.Short(), a.Friend.Short())
		}
	}
	return opened, errs
}
