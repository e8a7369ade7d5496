package node

import (
	"iter"
	"strings"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/wire"
)

// book appends a row about a channel: Kind, Friend, Currency and Change are set, the rest follows.
func (n *Node) book(r Row, f *friend) {
	f.booked[r.Currency] += r.Change
	n.self.BookSeq++
	r.Seq, r.Time, r.Prev, r.Balance = n.self.BookSeq, n.now, n.self.BookHash, f.booked[r.Currency]
	n.self.BookHash = r.Hash()
	n.fx.Book = append(n.fx.Book, r)
	n.markSelf()
}

// bookPaid: a lock of mine became debt.
func (n *Node) bookPaid(f *friend, l *credit.OwnLock) {
	r := Row{Kind: RowCarried, Friend: f.id, Currency: l.Currency, Change: -l.Amount}
	if out := f.out[l.Number]; out != nil && out.payment != nil {
		p := out.payment
		r.Kind, r.Counterparty, r.Name = RowPayment, p.payee, n.bookName(p.payee)
		r.Payment, r.Fee, r.Text = p.id.String(), p.feeAt(place{f, l.Number}), p.text
		if i := n.invoiceOf(p); i != nil && r.Text == "" {
			r.Text = i.Memo
		}
	} else if out != nil && out.up.friend != nil {
		r.Counterparty, r.Name = f.id, f.name
		r.Text = "carried from " + out.up.friend.name
	}
	n.book(r, f)
}

// bookReceived: a friend's lock became debt to me.
func (n *Node) bookReceived(f *friend, l *credit.TheirLock) {
	r := Row{Kind: RowCarried, Friend: f.id, Currency: l.Currency, Change: l.Amount, Counterparty: f.id, Name: f.name}
	in := f.in[l.Number]
	switch {
	case in == nil:
	case in.mine != nil:
		c := in.mine
		r.Kind, r.Counterparty, r.Name, r.Payment, r.Text = RowPayment, c.payer, c.name, c.payment.String(), c.text
		if name := n.bookName(c.payer); n.friends[c.payer] != nil {
			r.Name = name
		}
		if c.invoice != nil && r.Text == "" {
			r.Text = c.invoice.Memo
		}
	default:
		r.Fee = in.fee
		if in.onward.friend != nil {
			r.Text = "carried to " + in.onward.friend.name
		}
	}
	n.book(r, f)
}

func (n *Node) bookAdd(f *friend, a *wire.Add, change money.Amount) {
	kind := RowSettlement
	if a.Kind == wire.AddCorrection {
		kind = RowCorrection
	}
	n.book(Row{Kind: kind, Friend: f.id, Counterparty: f.id, Name: f.name, Currency: a.Currency, Change: change, Text: a.Text}, f)
}

func (n *Node) bookName(id ident.ID) string {
	if id == n.me {
		return n.cfg.Name
	}
	if f := n.friends[id]; f != nil {
		return f.name
	}
	return ""
}

func (n *Node) invoiceOf(p *payment) *wire.Invoice {
	if p.invoice.None() {
		return nil
	}
	i := new(wire.Invoice)
	if wire.Unmarshal(p.invoice.Body, i) != nil {
		return nil
	}
	return i
}

// BookState is where the book must end, and what its rows must add up to.
type BookState struct {
	Seq      uint64
	Hash     [32]byte
	Accounts []Account // by friend and currency
}

// Account is the balance with one friend in one currency, as both sides signed it.
type Account struct {
	Friend   ident.ID
	Name     string
	Currency money.Currency
	Balance  money.Amount
}

// Book says where the book stands now.
func (n *Node) Book() BookState {
	s := BookState{Seq: n.self.BookSeq, Hash: n.self.BookHash}
	for _, f := range n.order {
		if f.lost != whole {
			continue // its row comes with the restore
		}
		for _, cur := range f.ch.Currencies() {
			s.Accounts = append(s.Accounts, Account{f.id, f.name, cur, f.signedBalance(cur)})
		}
	}
	return s
}

// Check reads the whole book, see [BookState.Check].
func (n *Node) Check(rows iter.Seq2[Row, error]) []string { return n.Book().Check(rows) }

// maxProblems bounds what a check of a broken book says.
const maxProblems = 100

type bookAccount struct {
	friend   ident.ID
	currency money.Currency
}

// Check reads the book up to row Seq and says what does not follow: a gap, a changed row, a balance that
// does not add up, an account that differs from what both sides signed. Empty: all is well.
func (s BookState) Check(rows iter.Seq2[Row, error]) []string {
	var problems []string
	say := func(parts ...string) {
		if len(problems) < maxProblems {
			problems = append(problems, strings.Join(parts, ""))
		}
	}
	sums := s.follow(rows, say)
	for _, a := range s.Accounts {
		key := bookAccount{a.Friend, a.Currency}
		if sums[key] != a.Balance {
			say("the book's balance with ", a.Name, " is ", money.Value{Amount: sums[key], Currency: a.Currency}.String(),
				", the signed one is ", money.Value{Amount: a.Balance, Currency: a.Currency}.String())
		}
		delete(sums, key)
	}
	return problems
}

// follow reads rows 1 to Seq and gives their sum per account.
func (s BookState) follow(rows iter.Seq2[Row, error], say func(...string)) map[bookAccount]money.Amount {
	sums := map[bookAccount]money.Amount{}
	var seq uint64
	var hash [32]byte
	for r, err := range rows {
		if err != nil {
			say("row ", itoa(int(seq)+1), ": ", err.Error())
			break
		}
		if seq == s.Seq {
			break // written since
		}
		if r.Seq != seq+1 {
			say("row ", itoa(int(r.Seq)), " follows row ", itoa(int(seq)))
		}
		if r.Prev != hash {
			say("row ", itoa(int(r.Seq)), " does not continue the row before it: one of them was changed")
		}
		a := bookAccount{r.Friend, r.Currency}
		sums[a] += r.Change
		if sums[a] != r.Balance {
			say("row ", itoa(int(r.Seq)), " says the balance is ", money.Value{Amount: r.Balance, Currency: r.Currency}.String(),
				", its changes add up to ", money.Value{Amount: sums[a], Currency: r.Currency}.String())
		}
		seq, hash = r.Seq, r.Hash()
	}
	if seq != s.Seq || hash != s.Hash {
		say("the book ends at row ", itoa(int(seq)), ", it should end at row ", itoa(int(s.Seq)))
	}
	return sums
}

// signedBalance is what the promises say, without queued moves.
func (f *friend) signedBalance(cur money.Currency) money.Amount {
	balance := f.ch.Theirs.Promise.Line(cur).Owed - f.ch.Mine.Promise.Line(cur).Owed
	if start := f.ch.Theirs.Promise.Start; start != nil && f.ch.Mine.Promise.Ack.Before(f.ch.HeldMark()) {
		balance += lessOf(start.Less, cur) // my half of a renewal is still to come
	}
	if f.ch.AwaitsEpoch() {
		balance -= lessOf(f.ch.Mine.Promise.Start.Less, cur) // the friend's half is still to come
	}
	return balance
}
