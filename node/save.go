package node

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// The kinds of record. Values are CBOR arrays as in package wire, led by savedVersion.
const (
	kindSelf       = "self"
	kindFriend     = "friend"
	kindChannel    = "channel"
	kindIn         = "in"
	kindOut        = "out"
	kindPayment    = "payment"
	kindInvoice    = "invoice"
	kindInvitation = "invitation"
	kindBlock      = "block"

	// KindPaymentDone and KindInvoiceDone hold what has ended: found by id, never loaded.
	KindPaymentDone = "payment-done"
	KindInvoiceDone = "invoice-done"
	// KindFault holds evidence, never loaded.
	KindFault = "fault"
	// KindToken holds the API's access tokens; the node does not read them.
	KindToken = "token"
)

// Kinds are the kinds that Load wants to see.
var Kinds = []string{kindSelf, kindFriend, kindChannel, kindIn, kindOut, kindPayment, kindInvoice, kindInvitation, kindBlock}

type recordKey struct {
	kind   string
	friend *friend
	number uint64
	id     [16]byte
}

func (k recordKey) String() string {
	switch k.kind {
	case kindIn, kindOut:
		return k.friend.key + "/" + hex16(k.number)
	case kindFriend, kindChannel:
		return k.friend.key
	case kindSelf:
		return kindSelf
	}
	return wire.PaymentID(k.id).String()
}

func hex16(v uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := 15; i >= 0; i-- {
		b[i] = digits[v&15]
		v >>= 4
	}
	return string(b[:])
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
	type item struct {
		text string
		key  recordKey
	}
	items := make([]item, 0, len(n.dirty))
	for k := range n.dirty {
		items = append(items, item{k.String(), k})
	}
	clear(n.dirty)
	slices.SortFunc(items, func(a, b item) int {
		if c := strings.Compare(a.key.kind, b.key.kind); c != 0 {
			return c
		}
		return strings.Compare(a.text, b.text)
	})
	for _, it := range items {
		r := Record{Kind: it.key.kind, Key: it.text}
		if v := n.saved(it.key); v != nil {
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
	case kindInvitation:
		if v := n.invitations[k.id]; v != nil {
			return v
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
		Restored: in.restored, Fee: in.fee,
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
		s.Row = savedRow{Payee: p.payee, Text: p.text, Fee: p.route.Fee()}
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
	Created  int64
	GiveUp   int64
	Invoice  wire.Signed
	Hash     ident.Hash
	Text     string
	Fixed    []ident.ID
	Stage    uint8
	Hops     []ident.ID
	Amounts  []money.Amount
	Part     wire.PartID
	At       []savedPlace
	Since    int64
	Told     []byte // JSON of the reason's view
	Preimage []ident.Preimage
	Received wire.Signed
	PaidAt   int64
	Tries    uint64
}

// Load rebuilds a node from its records.
func Load(suite ident.Suite, cfg Config, records iter.Seq2[Record, error]) (*Node, error) {
	n := New(suite, cfg)
	byKind := map[string][]Record{}
	for r, err := range records {
		if err != nil {
			return nil, err
		}
		byKind[r.Kind] = append(byKind[r.Kind], r)
	}
	for _, kind := range []string{kindSelf, kindFriend, kindChannel, kindInvoice, kindPayment, kindOut, kindIn, kindInvitation, kindBlock} {
		list := byKind[kind]
		slices.SortFunc(list, func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
		for _, r := range list {
			if err := n.load(r); err != nil {
				return nil, fmt.Errorf("record %s %s: %w", r.Kind, r.Key, err)
			}
		}
	}
	if err := n.afterLoad(); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *Node) load(r Record) error {
	switch r.Kind {
	case kindSelf:
		return wire.Unmarshal(r.Value, &n.self)
	case kindFriend:
		return n.loadFriend(r)
	case kindChannel:
		return n.loadChannel(r)
	case kindIn:
		return n.loadIn(r)
	case kindOut:
		return n.loadOut(r)
	case kindPayment:
		p, err := loadPayment(r.Value)
		if err == nil {
			n.payments[p.id] = p
		}
		return err
	case kindInvoice:
		i, err := loadInvoice(r.Value)
		if err == nil {
			n.invoices[i.id] = i
		}
		return err
	case kindInvitation:
		v := new(invitation)
		if err := wire.Unmarshal(r.Value, v); err != nil {
			return err
		}
		n.invitations[v.Token] = v
	case kindBlock:
		id, err := ident.ParseID(r.Key)
		if err != nil {
			return err
		}
		n.blocked[id] = true
	}
	return nil
}

func (n *Node) loadFriend(r Record) error {
	id, err := ident.ParseID(r.Key)
	if err != nil {
		return err
	}
	var s savedFriend
	if err := wire.Unmarshal(r.Value, &s); err != nil {
		return err
	}
	f := n.newFriend(id)
	f.name, f.addresses, f.pending, f.token, f.wanted, f.removed, f.closing = s.Name, s.Addresses, s.Pending, s.Token, s.Wanted, s.Removed, s.Closing
	f.frozen, f.kept, f.keptAt, f.lost, f.above = s.Frozen, s.Kept, s.KeptAt, lost(s.Lost), s.Above
	n.addFriend(f)
	return nil
}

func (n *Node) friendOf(key string) (*friend, error) {
	id, err := ident.ParseID(key)
	if err != nil {
		return nil, err
	}
	f := n.friends[id]
	if f == nil {
		return nil, fmt.Errorf("belongs to %s, of whom there is no record", id)
	}
	return f, nil
}

func (n *Node) loadChannel(r Record) error {
	f, err := n.friendOf(r.Key)
	if err != nil {
		return err
	}
	var s savedChannel
	if err := wire.Unmarshal(r.Value, &s); err != nil {
		return err
	}
	c := f.ch
	c.Mine.Signed, c.Mine.Next, c.Mine.Marks = s.Mine, s.Next, nil
	c.Theirs.Signed, c.Theirs.Cancels, c.Theirs.Last, c.Theirs.Answer = s.Theirs, s.Cancels, s.Last, s.Answer
	if !s.Mine.None() {
		if err := wire.Unmarshal(s.Mine.Body, &c.Mine.Promise); err != nil {
			return err
		}
	}
	if !s.Theirs.None() {
		if err := wire.Unmarshal(s.Theirs.Body, &c.Theirs.Promise); err != nil {
			return err
		}
	}
	for _, m := range s.Marks {
		c.Mine.Marks = append(c.Mine.Marks, credit.OwnMark{Mark: m.Mark, Signed: m.Signed, Terms: m.Terms, Cancels: m.Cancels})
	}
	if len(c.Mine.Marks) == 0 {
		return fmt.Errorf("no mark of an acknowledged promise")
	}
	for _, a := range s.Adds {
		c.Mine.Adds = append(c.Mine.Adds, credit.OwnAdd{Add: a.Add, Seq: a.Seq})
	}
	for _, t := range s.MyTerms {
		mine := credit.MyTerms{Signed: t}
		if err := wire.Unmarshal(t.Body, &mine.Terms); err != nil {
			return err
		}
		c.MyTerms = append(c.MyTerms, mine)
	}
	c.TheirSigned = s.TheirSigned
	if !s.TheirSigned.None() {
		if err := wire.Unmarshal(s.TheirSigned.Body, &c.TheirTerms); err != nil {
			return err
		}
	}
	if len(s.Fault) > 0 {
		if c.Fault, err = credit.DecodeFault(s.Fault); err != nil {
			return err
		}
	}
	for _, cur := range c.Currencies() {
		f.booked[cur] = f.signedBalance(cur)
	}
	return nil
}

func splitKey(key string) (string, error) {
	friend, _, ok := strings.Cut(key, "/")
	if !ok {
		return "", fmt.Errorf("key without a lock number")
	}
	return friend, nil
}

func (n *Node) loadOut(r Record) error {
	key, err := splitKey(r.Key)
	if err != nil {
		return err
	}
	f, err := n.friendOf(key)
	if err != nil {
		return err
	}
	var s savedOut
	if err := wire.Unmarshal(r.Value, &s); err != nil {
		return err
	}
	f.ch.Mine.Locks = append(f.ch.Mine.Locks, &credit.OwnLock{Lock: s.Lock, Digest: s.Lock.Digest(), Opened: s.Opened, End: credit.End(s.End), Ended: s.Ended})
	out := &outgoing{fee: s.Fee, preimages: s.Preimages}
	f.out[s.Lock.Number] = out
	if len(s.Up) == 1 {
		if out.up, err = n.placeOf(s.Up[0]); err != nil {
			return err
		}
	}
	if len(s.Payment) == 16 {
		id := wire.PaymentID(s.Payment)
		if out.payment = n.payments[id]; out.payment == nil { // ended already: enough for the book
			out.payment = &payment{
				id: id, payee: s.Row.Payee, text: s.Row.Text, stage: stagePaid, value: money.Value{Currency: s.Lock.Currency},
				route: pay.Route{Amounts: []money.Amount{s.Row.Fee, 0}},
			}
		}
	}
	return nil
}

func (n *Node) placeOf(s savedPlace) (place, error) {
	f := n.friends[s.Friend]
	if f == nil {
		return place{}, fmt.Errorf("names %s, of whom there is no record", s.Friend)
	}
	return place{f, s.Number}, nil
}

func (n *Node) loadIn(r Record) error {
	key, err := splitKey(r.Key)
	if err != nil {
		return err
	}
	f, err := n.friendOf(key)
	if err != nil {
		return err
	}
	var s savedIn
	if err := wire.Unmarshal(r.Value, &s); err != nil {
		return err
	}
	l := &credit.TheirLock{Lock: s.Lock, Digest: s.Lock.Digest()}
	f.ch.Theirs.Locks = append(f.ch.Theirs.Locks, l)
	if s.Cancelled {
		f.ch.Mine.Cancels = append(f.ch.Mine.Cancels, credit.OwnCancel{Cancel: wire.Cancel{Number: s.Lock.Number, Reason: s.Reason}, Seq: s.CancelSeq})
	}
	in := &incoming{part: s.Lock.Part, preimages: s.Preimages, note: s.Note, restored: s.Restored, fee: s.Fee}
	f.in[s.Lock.Number] = in
	if len(s.Onward) == 1 {
		if in.onward, err = n.placeOf(s.Onward[0]); err != nil {
			return err
		}
	}
	if at := n.parts[in.part]; at.friend == nil {
		n.parts[in.part] = place{f, s.Lock.Number}
	}
	if s.Mine {
		return n.reopen(f, l, in)
	}
	return nil
}

// reopen puts a part that ends here back into its collection.
func (n *Node) reopen(f *friend, l *credit.TheirLock, in *incoming) error {
	b, err := pay.ParseBlob(l.Blob)
	if err != nil {
		return err
	}
	sealed, err := n.boxFrom(b)
	if err != nil {
		return err
	}
	box, err := sealed.OpenBox(b, l.Part)
	if err != nil {
		return err
	}
	c := n.collectionOf(b.Key, sealed, box, l)
	n.collecting[claimKey{b.Key, c.payment}] = c
	c.parts = append(c.parts, collectedPart{place{f, l.Number}, l.Amount})
	c.revealed = c.revealed || len(in.preimages) > 0
	in.mine = c
	if box.Form != wire.FormPush {
		var i wire.Invoice
		if err := wire.Unmarshal(box.Invoice.Body, &i); err != nil {
			return err
		}
		if c.invoice = n.invoices[i.ID(box.Invoice)]; c.invoice == nil {
			return fmt.Errorf("belongs to invoice %s, of which there is no record", i.ID(box.Invoice))
		}
		c.invoice.from = c
	}
	return nil
}

func (n *Node) afterLoad() error {
	for _, f := range n.order {
		if !f.pending && len(f.ch.Mine.Marks) == 0 {
			return fmt.Errorf("friend %s has no channel record", f.key)
		}
		for _, l := range f.ch.Mine.Locks {
			out := f.out[l.Number]
			if out.payment != nil && l.End == credit.Open && out.payment.stage != stagePaid {
				out.payment.at = place{f, l.Number}
			}
		}
	}
	for _, p := range n.payments {
		p.catching = p.stage == stageRoute // looked for a way when the node stopped: looks again
	}
	n.fx, n.wakes = Effects{}, nil
	clear(n.dirty)
	return nil
}
