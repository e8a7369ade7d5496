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
	for _, kind := range Kinds {
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
	case kindRequest:
		r, err := loadRequest(r.Value)
		if err != nil {
			return err
		}
		n.requests[r.invitation.Token] = r
	case kindSeen:
		return n.seen.load(r)
	case kindAdvance:
		a := new(advance)
		if err := wire.Unmarshal(r.Value, a); err != nil {
			return err
		}
		n.advances[advanceOf(&a.Lock)] = a
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

// loadLock reads the record of a lock into v and finds the friend that its key names.
func (n *Node) loadLock(r Record, v any) (*friend, error) {
	key, _, ok := strings.Cut(r.Key, "/")
	if !ok {
		return nil, fmt.Errorf("key without a lock number")
	}
	f, err := n.friendOf(key)
	if err != nil {
		return nil, err
	}
	return f, wire.Unmarshal(r.Value, v)
}

func (n *Node) loadOut(r Record) error {
	var s savedOut
	f, err := n.loadLock(r, &s)
	if err != nil {
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
				parts: []*part{{route: pay.Route{Amounts: []money.Amount{s.Row.Fee, 0}}, at: place{f, s.Lock.Number}}},
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
	var s savedIn
	f, err := n.loadLock(r, &s)
	if err != nil {
		return err
	}
	l := &credit.TheirLock{Lock: s.Lock, Digest: s.Lock.Digest()}
	f.ch.Theirs.Locks = append(f.ch.Theirs.Locks, l)
	if s.Cancelled {
		f.ch.Mine.Cancels = append(f.ch.Mine.Cancels, credit.OwnCancel{Cancel: wire.Cancel{Number: s.Lock.Number, Reason: s.Reason}, Seq: s.CancelSeq})
	}
	in := &incoming{part: s.Lock.Part, preimages: s.Preimages, note: s.Note, restored: s.Restored, claimed: s.Claimed, fee: s.Fee}
	f.in[s.Lock.Number] = in
	if len(s.Onward) == 1 {
		if in.onward, err = n.placeOf(s.Onward[0]); err != nil {
			return err
		}
	}
	if at := n.parts[in.part]; at.friend == nil || at.friend.ch.Cancelled(at.number) && !f.ch.Cancelled(s.Lock.Number) { // a duplicate was given back
		n.parts[in.part] = place{f, s.Lock.Number}
	}
	if s.Mine {
		return n.reopen(f, l, in)
	}
	return nil
}

// reopen puts a part that ends here back into its collection.
func (n *Node) reopen(f *friend, l *credit.TheirLock, in *incoming) error {
	p, err := pay.OpenParcel(n.suite, &l.Lock)
	if err != nil {
		return err
	}
	sealed, box, err := p.OpenBox(n.boxFrom, l.Part)
	if err != nil {
		return err
	}
	c := n.collectionOf(sealed, box, l)
	n.collecting[claimKey{c.key, c.payment}] = c
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

// waitAgain has the parts of a friend wait that waited for the word of their next hop.
func (n *Node) waitAgain(f *friend) {
	for _, l := range f.ch.Theirs.Locks {
		in := f.in[l.Number]
		if in == nil || !in.restored || in.onward.friend != nil || in.mine != nil || f.ch.Cancelled(l.Number) {
			continue
		}
		if p, err := n.parcelOf(f, l); err == nil && p.Hop != nil && n.friends[p.Hop.Next] != nil {
			in.stuck = true
			n.friends[p.Hop.Next].claimed = n.friends[p.Hop.Next].claimed || in.claimed
		}
	}
}

func (n *Node) afterLoad() error {
	for _, f := range n.order {
		if !f.pending && len(f.ch.Mine.Marks) == 0 {
			return fmt.Errorf("friend %s has no channel record", f.key)
		}
		for _, l := range f.ch.Mine.Locks {
			out := f.out[l.Number]
			if out.payment != nil {
				if t := out.payment.partOf(l.Part); t != nil {
					t.at = place{f, l.Number}
				}
			}
		}
		n.waitAgain(f)
		f.missing = !f.pending
	}
	n.started = true
	for _, p := range n.payments {
		p.catching = p.stage == stageRoute // looked for a way when the node stopped: looks again
		p.loaded = p.catching
	}
	n.fx, n.wakes = Effects{}, nil
	clear(n.dirty)
	return nil
}
