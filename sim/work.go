package sim

import (
	"slices"

	"kula/money"
	"kula/node"
	"kula/wire"
)

// currencies of all worlds.
var currencies = []money.Currency{"EUR/2", "FST/0", "HOUR/2"}

// town is who knows whom in a world, as its people do.
type town struct {
	w       *World
	friends [][]int // by member: indices of friends
	curs    []money.Currency
}

// size draws the number of members: most worlds are small, for small worlds find most.
func (w *World) size() int {
	switch r := w.rng.Float64(); {
	case r < 0.70:
		return int(w.between(3, 6))
	case r < 0.93:
		return int(w.between(7, 12))
	case r < 0.99:
		return int(w.between(13, 24))
	}
	return int(w.between(25, 64))
}

// settleTown makes members and friendships.
func (w *World) settleTown(n int) *town {
	t := &town{w: w, friends: make([][]int, n), curs: currencies[:w.between(1, 3)]}
	for i := range n {
		w.AddMember("m" + itoa(i)).config.Plain = w.chance(0.15)
	}
	for i := 1; i < n; i++ {
		with := i - 1 // a chain, so that ways are long; now and then a branch
		if w.chance(0.4) {
			with = int(w.between(0, int64(i-1)))
		}
		t.know(with, i)
	}
	for range w.between(0, int64(n+n/2)) {
		a, b := int(w.between(0, int64(n-1))), int(w.between(0, int64(n-1)))
		if a != b && !slices.Contains(t.friends[a], b) {
			t.know(a, b)
		}
	}
	for _, m := range w.Members {
		m.Start()
	}
	return t
}

func itoa(i int) string {
	if i < 10 {
		return string(rune('0' + i))
	}
	return itoa(i/10) + itoa(i%10)
}

// know plans a friendship: one invites, the other accepts, with a few tries should somebody crash meanwhile.
func (t *town) know(a, b int) {
	w := t.w
	t.friends[a], t.friends[b] = append(t.friends[a], b), append(t.friends[b], a)
	if w.chance(0.5) {
		a, b = b, a
	}
	var lines []wire.Proposal
	for i, cur := range t.curs {
		if i == 0 || w.chance(0.7) {
			lines = append(lines, wire.Proposal{Currency: cur, Give: t.limit(), Ask: t.limit()})
		}
	}
	w.at(w.between(0, 1500), func() { t.invite(w.Members[a], w.Members[b], lines, 4) })
}

func (t *town) limit() money.Amount {
	w := t.w
	switch {
	case w.chance(0.1):
		return 0
	case w.chance(0.6):
		return money.Amount(w.between(50, 400))
	}
	return money.Amount(w.between(400, 5000))
}

func (t *town) invite(a, b *Member, lines []wire.Proposal, tries int) {
	w := t.w
	if tries == 0 {
		return
	}
	w.at(4000, func() {
		if v := b.with(a); v == nil || v.State == node.Pending && a.with(b) == nil {
			t.invite(a, b, lines, tries-1)
		}
	})
	a.Do(&node.Invite{Lines: lines, Expires: a.clock()/1000 + 600}, func(r node.Reply) {
		if r.Err != nil {
			return
		}
		link := r.Value.(*node.InvitationView).URI
		w.at(w.between(0, 800), func() {
			if v := b.with(a); v != nil && v.State != node.Pending {
				return
			}
			c := &node.Accept{Link: link}
			if w.chance(0.2) {
				c.Give = []money.Value{{Amount: t.limit(), Currency: lines[0].Currency}}
			}
			b.Do(c, func(r node.Reply) {
				if r.Err == nil && w.chance(0.5) {
					t.fee(b, a)
				}
			})
		})
	})
}

func (t *town) fee(m, friend *Member) {
	w := t.w
	fee := money.Fee{Base: money.Amount(w.between(0, 3))}
	if w.chance(0.3) {
		fee.Ppm = uint32(w.between(0, 60_000))
	}
	m.Do(&node.SetFee{Friend: friend.key, Currency: t.cur(), Fee: fee}, nil)
}

func (t *town) cur() money.Currency { return t.curs[t.w.between(0, int64(len(t.curs)-1))] }

// walk gives a way of up to hops channels that visits nobody twice, the start first.
func (t *town) walk(from, hops int) []int {
	way := []int{from}
	for len(way) <= hops {
		var next []int
		for _, f := range t.friends[way[len(way)-1]] {
			if !slices.Contains(way, f) {
				next = append(next, f)
			}
		}
		if len(next) == 0 {
			break
		}
		way = append(way, next[t.w.between(0, int64(len(next)-1))])
	}
	return way
}

// pay begins one payment of some kind.
func (t *town) pay() {
	w := t.w
	payer := w.Members[w.between(0, int64(len(w.Members)-1))]
	if payer.node == nil || payer.liar != nil && w.chance(0.7) {
		return
	}
	hops := int(w.between(1, 3))
	if w.chance(0.2) {
		hops = int(w.between(4, 8))
	}
	way := t.walk(payer.index, hops)
	if len(way) < 2 {
		return
	}
	payee := w.Members[way[len(way)-1]]
	v := money.Value{Amount: money.Amount(w.between(1, 40)), Currency: t.curs[0]}
	if w.chance(0.2) {
		v.Currency = t.cur()
	}
	if w.chance(0.1) {
		v.Amount = money.Amount(w.between(40, 1500))
	}
	if w.chance(0.2) {
		v.Amount = t.large(payer, v)
	}
	c := &node.Pay{GiveUp: w.between(2000, 15_000)}
	if w.chance(0.2) {
		c.MaxParts = int(w.between(1, 4))
	}
	if !w.chance(0.1) {
		fee := money.Amount(w.between(3, 60))
		c.MaxFee = &fee
	}
	if w.chance(0.2) {
		for _, i := range way[1:] {
			c.Route = append(c.Route, w.Members[i].key)
		}
	}
	switch r := w.rng.Float64(); {
	case r < 0.05 && t.cycle(payer, c, v):
	case r < 0.40:
		c.To, c.Value = payee.key, v
		t.begin(payer, c)
	case r < 0.75:
		t.invoice(payer, payee, c, v, false)
	default:
		t.invoice(payer, payee, c, v, true)
	}
}

// large is an amount that no friend of the payer's can carry alone, and two can; v's if there are no two.
func (t *town) large(payer *Member, v money.Value) money.Amount {
	var most, second money.Amount
	for _, f := range payer.node.Friends() {
		can := currencyOf(&f, v.Currency).CanPay.Amount
		most, second = max(most, can), max(second, min(most, can))
	}
	if second == 0 {
		return v.Amount
	}
	return most + money.Amount(t.w.between(1, int64(second)))
}

// cycle pays oneself round three friends, if there are such.
func (t *town) cycle(payer *Member, c *node.Pay, v money.Value) bool {
	w := t.w
	for _, a := range t.friends[payer.index] {
		for _, b := range t.friends[a] {
			if b != payer.index && slices.Contains(t.friends[b], payer.index) {
				c.To, c.Value = "me", v
				c.Route = nil
				if w.chance(0.5) {
					c.Route = []string{w.Members[a].key, w.Members[b].key, payer.key}
				}
				t.begin(payer, c)
				return true
			}
		}
	}
	return false
}

func (t *town) begin(payer *Member, c *node.Pay) {
	w := t.w
	payer.Do(c, func(r node.Reply) {
		if r.Err != nil {
			return
		}
		v := r.Value.(*node.PaymentView)
		if len(v.Parts) > 0 || v.State == node.Paid {
			w.Stats.Payments++
		}
		id, _ := wire.ParseID16(v.ID)
		if w.chance(0.05) {
			payer.later(w.between(0, 2000), func() { payer.Do(&node.CancelPayment{ID: id}, nil) })
		}
	})
}

// invoice asks for a payment and has it paid: now and then by two people, twice, late, or tampered with.
func (t *town) invoice(payer, payee *Member, c *node.Pay, v money.Value, hold bool) {
	w := t.w
	expires := payee.clock()/1000 + w.between(20, 200)
	if w.chance(0.1) {
		expires = payee.clock()/1000 + w.between(1, 6)
	}
	payee.Do(&node.CreateInvoice{Value: v, Memo: "for it", Expires: expires, Hold: hold}, func(r node.Reply) {
		if r.Err != nil {
			return
		}
		i := r.Value.(*node.InvoiceView)
		c.Invoice = i.URI
		w.at(w.between(0, 300), func() { t.begin(payer, c) })
		if w.chance(0.08) {
			w.at(w.between(0, 3000), func() {
				again := *c
				again.Prior, again.Route = nil, nil
				o := w.Members[w.between(0, int64(len(w.Members)-1))]
				if o != payee {
					t.begin(o, &again)
				}
			})
		}
		if w.chance(0.05) {
			w.at(w.between(0, 3000), func() {
				again := *c
				again.Prior = nil
				t.begin(payer, &again)
			})
		}
		if w.chance(0.05) || hold && w.chance(0.2) {
			id, _ := wire.ParseID16(i.ID)
			w.at(w.between(0, 5000), func() { payee.Do(&node.CancelInvoice{ID: wire.InvoiceID(id)}, nil) })
		}
	})
}

// tend releases or takes back what a payer holds set aside.
func (t *town) tend(m *Member) {
	w := t.w
	if m.node == nil {
		return
	}
	for _, v := range m.node.Payments() {
		raw, _ := wire.ParseID16(v.ID)
		id := wire.PaymentID(raw)
		switch {
		case v.State == node.Held && w.chance(0.7):
			t.release(m, w.byID[v.Payee], id)
		case v.State == node.Held && w.chance(0.3):
			m.Do(&node.CancelPayment{ID: id}, nil)
		case w.calm && m.restore:
			m.Do(&node.CancelPayment{ID: id}, nil)
		}
	}
}

func (t *town) release(m, payee *Member, id wire.PaymentID) {
	w := t.w
	byLink := w.chance(0.4)
	m.Do(&node.Release{ID: id}, func(r node.Reply) {
		if r.Err != nil || !byLink || payee == nil {
			return
		}
		if link := r.Value.(*node.PaymentView).Release; link != "" {
			w.at(w.between(0, 500), func() { payee.Do(&node.Redeem{Link: link}, nil) })
		}
	})
}

// chore is something that a user does to a friendship.
func (t *town) chore() {
	w := t.w
	m := w.Members[w.between(0, int64(len(w.Members)-1))]
	if m.node == nil {
		return
	}
	friends := m.node.Friends()
	if len(friends) == 0 {
		return
	}
	v := friends[w.between(0, int64(len(friends)-1))]
	o := w.byID[v.Key]
	switch r := w.rng.Float64(); {
	case r < 0.45:
		m.Do(&node.SetLimit{Friend: o.key, Limit: money.Value{Amount: t.limit(), Currency: t.cur()}}, nil)
	case r < 0.6:
		t.fee(m, o)
	case r < 0.9:
		for _, c := range v.Currencies {
			if c.Balance.Amount > 0 {
				part := money.Amount(w.between(1, int64(c.Balance.Amount)))
				m.Do(&node.Settle{Friend: o.key, Amount: money.Value{Amount: part, Currency: c.Currency}, Text: "cash"}, nil)
				return
			}
		}
	case r < 0.94:
		m.Do(&node.Close{Friend: o.key}, nil)
	case r < 0.96:
		m.Do(&node.Remove{Friend: o.key, WithDebt: w.chance(0.7)}, nil)
	default:
		m.Do(&node.Pay{To: o.key, Value: money.Value{Currency: t.cur()}, Quote: true}, nil)
	}
}
