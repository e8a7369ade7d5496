package node

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// The kinds of record. Values are CBOR arrays as in package wire.
const (
	kindSelf       = "self"
	kindFriend     = "friend"
	kindChannel    = "channel"
	kindIn         = "in"
	kindOut        = "out"
	kindPayment    = "payment"
	kindInvoice    = "invoice"
	kindInvitation = "invitation"
	kindRequest    = "request"
	kindBlock      = "block"
	kindSeen       = "seen"
	kindAdvance    = "advance"

	// KindPaymentDone and KindInvoiceDone hold what has ended: found by id, never loaded.
	KindPaymentDone = "payment-done"
	KindInvoiceDone = "invoice-done"
	// KindFault holds evidence, never loaded.
	KindFault = "fault"
	// KindToken holds the API's access tokens; the node does not read them.
	KindToken = "token"
)

// Kinds are the kinds that Load wants to see, in the order in which it reads them: each may name what stands in those before it.
var Kinds = []string{kindSelf, kindFriend, kindChannel, kindInvoice, kindPayment, kindOut, kindIn, kindInvitation, kindRequest, kindBlock, kindSeen, kindAdvance}

type recordKey struct {
	kind   string
	friend *friend
	number uint64
	id     [16]byte
}

func (k recordKey) String() string {
	switch k.kind {
	case kindIn, kindOut:
		return string(appendHex16(append(append(make([]byte, 0, 80), k.friend.key...), '/'), k.number))
	case kindFriend, kindChannel:
		return k.friend.key
	case kindSelf:
		return kindSelf
	}
	return wire.PaymentID(k.id).String()
}

// compare orders as kind and String do, without writing anything.
func (k recordKey) compare(o recordKey) int {
	if c := strings.Compare(k.kind, o.kind); c != 0 {
		return c
	}
	if k.friend != o.friend {
		return strings.Compare(k.friend.key, o.friend.key)
	}
	return cmp.Or(cmp.Compare(k.number, o.number), bytes.Compare(k.id[:], o.id[:]))
}

// appendHex16 writes v so that the order of texts is that of numbers.
func appendHex16(b []byte, v uint64) []byte {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], v)
	return hex.AppendEncode(b, raw[:])
}

func (n *Node) markSelf() { n.dirty[recordKey{kind: kindSelf}] = true }
func (n *Node) markIn(f *friend, number uint64) {
	n.dirty[recordKey{kind: kindIn, friend: f, number: number}] = true
}
func (n *Node) markOut(f *friend, number uint64) {
	n.dirty[recordKey{kind: kindOut, friend: f, number: number}] = true
}
func (n *Node) markPayment(p *payment) { n.dirty[recordKey{kind: kindPayment, id: p.id}] = true }
func (n *Node) markInvoice(i *invoice) { n.dirty[recordKey{kind: kindInvoice, id: i.id}] = true }
func (n *Node) markInvitation(token [16]byte) {
	n.dirty[recordKey{kind: kindInvitation, id: token}] = true
}

func (n *Node) markFriend(f *friend) {
	if !f.tentative {
		n.dirty[recordKey{kind: kindFriend, friend: f}] = true
	}
}

func (n *Node) markChannel(f *friend) {
	if !f.tentative {
		n.dirty[recordKey{kind: kindChannel, friend: f}] = true
	}
}

func (n *Node) dropOut(f *friend, number uint64) {
	delete(f.out, number)
	n.markOut(f, number)
}

func (n *Node) dropIn(f *friend, number uint64) {
	if in := f.in[number]; in != nil && n.parts[in.part] == (place{f, number}) {
		delete(n.parts, in.part)
	}
	delete(f.in, number)
	n.markIn(f, number)
}

// saveWhole saves everything of a channel, and drops what it no longer has.
func (n *Node) saveWhole(f *friend) {
	n.markFriend(f)
	n.markChannel(f)
	for number := range f.out {
		if f.ch.OwnLock(number) == nil {
			delete(f.out, number)
		}
		n.markOut(f, number)
	}
	for number := range f.in {
		if f.ch.TheirLock(number) == nil {
			n.dropIn(f, number)
		}
		n.markIn(f, number)
	}
}

// save turns what is marked into records, in the order of kind and key.
func (n *Node) save() {
	keys := make([]recordKey, 0, len(n.dirty))
	for k := range n.dirty {
		if k.friend != nil && n.friends[k.friend.id] != nil {
			k.friend = n.friends[k.friend.id] // who was dropped and came back in this Step has the same records
		}
		keys = append(keys, k)
	}
	clear(n.dirty)
	slices.SortFunc(keys, recordKey.compare)
	keys = slices.Compact(keys)
	n.fx.Save = slices.Grow(n.fx.Save, len(keys))
	for _, k := range keys {
		r := Record{Kind: k.kind, Key: k.String()}
		if v := n.saved(k); v != nil {
			r.Value = wire.Marshal(v)
		}
		n.fx.Save = append(n.fx.Save, r)
	}
}

// saved is the value of a record, nil where there is nothing any more.
func (n *Node) saved(k recordKey) any {
	switch k.kind {
	case kindSelf:
		return &n.self
	case kindFriend:
		return n.savedFriend(k.friend)
	case kindChannel:
		return n.savedChannel(k.friend)
	case kindIn:
		return n.savedIn(k.friend, k.number)
	case kindOut:
		return n.savedOut(k.friend, k.number)
	case kindPayment:
		if p := n.payments[wire.PaymentID(k.id)]; p != nil {
			return savedPaymentOf(p)
		}
	case kindInvoice:
		if i := n.invoices[wire.InvoiceID(k.id)]; i != nil {
			return savedInvoiceOf(i)
		}
	case kindSeen:
		return n.seen.saved(seenNumber(k.id))
	case kindAdvance:
		if a := n.advances[k.id]; a != nil {
			return a
		}
	case kindInvitation:
		if v := n.invitations[k.id]; v != nil {
			return v
		}
	case kindRequest:
		if r := n.requests[k.id]; r != nil {
			return &r.savedRequest
		}
	}
	return nil
}

type savedFriend struct {
	_         struct{} `cbor:",toarray"`
	Name      string
	Addresses []string
	Pending   bool
	Token     []byte
	Wanted    []wire.Proposal
	Removed   bool
	Closing   bool
	Frozen    bool
	Kept      []byte
	KeptAt    uint64
	Lost      uint8
	Above     uint64
}

func (n *Node) savedFriend(f *friend) any {
	if n.friends[f.id] != f {
		return nil
	}
	return &savedFriend{
		Name: f.name, Addresses: f.addresses, Pending: f.pending, Token: f.token, Wanted: f.wanted, Removed: f.removed,
		Closing: f.closing, Frozen: f.frozen, Kept: f.kept, KeptAt: f.keptAt, Lost: uint8(f.lost), Above: f.above,
	}
}

type savedMark struct {
	_       struct{} `cbor:",toarray"`
	Mark    wire.Mark
	Signed  wire.Signed
	Terms   uint64
	Cancels []uint64
}

type savedAdd struct {
	_   struct{} `cbor:",toarray"`
	Add wire.Add
	Seq uint64
}

type savedChannel struct {
	_           struct{} `cbor:",toarray"`
	Mine        wire.Signed
	Marks       []savedMark
	Adds        []savedAdd
	Next        uint64
	Theirs      wire.Signed
	Cancels     []uint64 // of my locks
	Last        uint64
	Answer      bool
	MyTerms     []wire.Signed
	TheirSigned wire.Signed
	Fault       []byte
}

func (n *Node) savedChannel(f *friend) any {
	if n.friends[f.id] != f {
		return nil
	}
	c := f.ch
	s := &savedChannel{
		Mine: c.Mine.Signed, Next: c.Mine.Next, Theirs: c.Theirs.Signed, Cancels: c.Theirs.Cancels, Last: c.Theirs.Last,
		Answer: c.Theirs.Answer, TheirSigned: c.TheirSigned,
	}
	for _, m := range c.Mine.Marks {
		s.Marks = append(s.Marks, savedMark{Mark: m.Mark, Signed: m.Signed, Terms: m.Terms, Cancels: m.Cancels})
	}
	for _, a := range c.Mine.Adds {
		s.Adds = append(s.Adds, savedAdd{Add: a.Add, Seq: a.Seq})
	}
	for _, t := range c.MyTerms {
		s.MyTerms = append(s.MyTerms, t.Signed)
	}
	if c.Fault != nil {
		s.Fault = c.Fault.Encode()
	}
	return s
}

type savedPlace struct {
	_      struct{} `cbor:",toarray"`
	Friend ident.ID
	Number uint64
}

func savedPlaces(p place) []savedPlace {
	if p.friend == nil {
		return nil
	}
	return []savedPlace{{Friend: p.friend.id, Number: p.number}}
}

type savedIn struct {
	_         struct{} `cbor:",toarray"`
	Lock      wire.Lock
	Onward    []savedPlace // none or one
	Mine      bool
	Preimages []ident.Preimage
	Note      []byte
	Restored  bool
	Claimed   bool
	Fee       money.Amount
	Cancelled bool
	CancelSeq uint64
	Reason    []byte
}

func (n *Node) savedIn(f *friend, number uint64) any {
	in, l := f.in[number], f.ch.TheirLock(number)
	if in == nil || l == nil || n.friends[f.id] != f {
		return nil
	}
	s := &savedIn{
		Lock: l.Lock, Onward: savedPlaces(in.onward), Mine: in.mine != nil, Preimages: in.preimages, Note: in.note,
		Restored: in.restored, Claimed: in.claimed, Fee: in.fee,
	}
	for _, x := range f.ch.Mine.Cancels {
		if x.Number == number {
			s.Cancelled, s.CancelSeq, s.Reason = true, x.Seq, x.Reason
		}
	}
	return s
}

type savedOut struct {
	_         struct{} `cbor:",toarray"`
	Lock      wire.Lock
	Opened    uint64
	End       uint8
	Ended     uint64
	Up        []savedPlace
	Payment   []byte // id, or empty
	Fee       money.Amount
	Preimages []ident.Preimage
	Row       savedRow // what the book will say of a payment that is live no more
}

// savedRow is what the book needs of a finished payment whose lock is not signed away yet.
type savedRow struct {
	_     struct{} `cbor:",toarray"`
	Payee ident.ID
	Text  string
	Fee   money.Amount
}

func (n *Node) savedOut(f *friend, number uint64) any {
	out, l := f.out[number], f.ch.OwnLock(number)
	if out == nil || l == nil || n.friends[f.id] != f {
		return nil
	}
	s := &savedOut{
		Lock: l.Lock, Opened: l.Opened, End: uint8(l.End), Ended: l.Ended, Up: savedPlaces(out.up), Fee: out.fee, Preimages: out.preimages,
	}
	if p := out.payment; p != nil {
		s.Payment = p.id[:]
		s.Row = savedRow{Payee: p.payee, Text: p.text, Fee: p.feeAt(place{f, number})}
	}
	return s
}

type savedInvoice struct {
	_      struct{} `cbor:",toarray"`
	Signed wire.Signed
	State  uint8
	Payer  ident.ID
	PaidAt int64
}

func savedInvoiceOf(i *invoice) *savedInvoice {
	return &savedInvoice{Signed: i.signed, State: uint8(i.state), Payer: i.payer, PaidAt: i.paidAt}
}

type savedPart struct {
	_       struct{} `cbor:",toarray"`
	ID      wire.PartID
	Hops    []ident.ID
	Amounts []money.Amount
	Arrived bool
}

type savedPayment struct {
	_        struct{} `cbor:",toarray"`
	ID       wire.PaymentID
	Salt     ident.Salt
	BoxSalt  ident.Salt
	Form     wire.Form
	Payee    ident.ID
	Name     string
	Currency money.Currency
	Amount   money.Amount
	MaxFee   money.Amount
	FeeSaid  bool
	Created  int64
	GiveUp   int64
	Invoice  wire.Signed
	Hash     ident.Hash
	Text     string
	Fixed    []ident.ID
	Stage    uint8
	MaxParts uint64
	Parts    []savedPart
	Since    int64
	Told     []byte // JSON of the reason's view
	Preimage []ident.Preimage
	Received wire.Batched
	PaidAt   int64
	Tries    uint64
}
