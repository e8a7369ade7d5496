package sim

import (
	"strings"
	"testing"

	"kula/ident"
	"kula/money"
	"kula/node"
	"kula/onion"
	"kula/pay"
	"kula/wire"
)

// chain is members who are friends one after the other, and may owe each other 100.
func chain(seed uint64, names ...string) *World {
	w := NewWorld(seed, names...)
	for i := 1; i < len(names); i++ {
		w.Befriend(w.Members[i-1], w.Members[i], FST, 100, 100)
	}
	w.Run(2500) // until the index knows
	return w
}

// onionsBetween is the onions that were locked from one to another, and reasons with which they came back.
func (w *World) onionsBetween(from, to *Member) (blobs, reasons [][]byte) {
	led := w.watch.ledger(from.id, to.id)
	for _, n := range led.order {
		if b := led.locks[n].lock.Blob; pay.IsOnion(b) {
			blobs = append(blobs, b)
		}
	}
	for _, g := range w.watch.ledger(to.id, from.id).groups {
		for _, c := range g.Cancels {
			reasons = append(reasons, c.Reason)
		}
	}
	return blobs, reasons
}

// TestScenario13OneSize: over 1 channel and over 8, whether paid or returned from the far end, every lock carries as
// much as every other and every reason is as long; and none of it names anyone.
func TestScenario13OneSize(t *testing.T) {
	w := chain(13, "a", "b", "c", "d", "e", "f", "g", "h", "i")
	a, last := w.Members[0], w.Members[8]
	paid(w, w.PayInvoice(a, w.Members[1], 3))
	i := w.Invoice(last, fst(5), false)
	id, _ := w.Pay(a, &node.Pay{Invoice: i.URI, Text: "for the roof"})
	w.Run(4000)
	paid(w, a.Outcome(id))
	i = w.Invoice(last, fst(5), true)
	held, _ := w.Pay(a, &node.Pay{Invoice: i.URI})
	w.Run(4000)
	w.Must(last, &node.CancelInvoice{ID: invoiceID(i)})
	w.Run(4000)
	v := a.Outcome(held)
	w.assert(v.State == node.Returned && v.Reason.At == last.key && v.Reason.Code == wire.CancelledByPayee, "the hold: %+v %+v", v, v.Reason)
	size, count, back := 0, 0, 0
	for k := 1; k < len(w.Members); k++ {
		blobs, reasons := w.onionsBetween(w.Members[k-1], w.Members[k])
		for _, b := range blobs {
			count++
			if size == 0 {
				size = len(b)
			}
			w.assert(len(b) == size, "%s gets %d bytes, others %d", w.Members[k], len(b), size)
			for _, m := range w.Members {
				w.assert(!strings.Contains(string(b), string(m.id[:])), "%s finds the key of %s in what a lock carries", w.Members[k], m)
			}
			w.assert(!strings.Contains(string(b), "roof"), "%s finds the text", w.Members[k])
		}
		for _, r := range reasons {
			back++
			w.assert(len(r) == onion.FailureSize, "%s gives back with %d bytes", w.Members[k], len(r))
		}
	}
	w.assert(count == 17 && back == 8, "%d onions and %d reasons, expected 17 and 8", count, back)
	finish(t, w)
}

// TestScenario13Replayed: a mediator that locks a part again after it has ended is refused by the next, also after that one started
// anew; nothing goes on to where the part went.
func TestScenario13Replayed(t *testing.T) {
	w := chain(13, "a", "l", "b", "c")
	a, l, b, c := w.Members[0], w.Members[1], w.Members[2], w.Members[3]
	paid(w, w.PayInvoice(a, c, 7))
	i := w.Invoice(c, fst(7), true)
	held, _ := w.Pay(a, &node.Pay{Invoice: i.URI})
	w.Run(2000)
	w.Must(c, &node.CancelInvoice{ID: invoiceID(i)})
	w.Run(2000)
	w.assert(a.Outcome(held).State == node.Returned, "the hold: %+v", a.Outcome(held))
	l.liar = newLiar(l)
	var ended []wire.Lock
	led := w.watch.ledger(l.id, b.id)
	for _, n := range led.order {
		ended = append(ended, led.locks[n].lock)
	}
	w.assert(len(ended) == 2, "%d locks of l to b", len(ended))
	for round := range 2 {
		for _, k := range ended {
			k.Number = l.nextLock(b)
			w.assert(l.inject(b, l.stepLock(b, k)), "not sent")
			w.Run(1000)
			again := led.locks[k.Number]
			w.assert(again != nil && again.cancel, "round %d: b keeps the part of lock %d again", round, k.Number)
		}
		blobs, _ := w.onionsBetween(b, c)
		w.assert(len(blobs) == 2, "b carried %d onions on to c, two were new", len(blobs))
		b.Crash()
		b.Start()
		w.Run(3000)
	}
	passed(t, w)
}

// TestScenario13OtherLock: an onion that was made for another part or condition, or of which a bit is another, opens nowhere and is not carried on.
func TestScenario13OtherLock(t *testing.T) {
	for name, change := range map[string]func(k *wire.Lock){
		"part":      func(k *wire.Lock) { k.Part[0] ^= 1 },
		"condition": func(k *wire.Lock) { k.Condition = wire.Condition{Hashes: []ident.Hash{{1}}} },
		"a bit":     func(k *wire.Lock) { k.Blob[len(k.Blob)-1] ^= 1 },
	} {
		w := chain(13, "l", "b", "c")
		l, b, c := w.Members[0], w.Members[1], w.Members[2]
		l.liar = newLiar(l)
		letter := l.liar.letter(c, FST)
		letter.Route, letter.Amounts, letter.Plain = []*Member{b, c}, []money.Amount{1, 1}, false
		k := l.write(letter, FST)
		change(&k)
		w.assert(l.liar.given(LieOnionTouched, b, k), "%s: not sent", name)
		w.Run(1600)
		blobs, _ := w.onionsBetween(b, c)
		w.assert(len(blobs) == 0 && w.Stats.Caught[LieOnionTouched] == 1, "%s: b carried %d onions on", name, len(blobs))
		passed(t, w)
	}
}

// TestScenario13Blame: a mediator that gives a part back in another's name is named itself.
func TestScenario13Blame(t *testing.T) {
	for blamed := range 4 {
		w := chain(13, "a", "l", "b", "c")
		a, l, b, c := w.Members[0], w.Members[1], w.Members[2], w.Members[3]
		i := w.Invoice(c, fst(7), true)
		id, _ := w.Pay(a, &node.Pay{Invoice: i.URI, Route: []string{l.key, b.key, c.key}})
		w.Run(2000)
		l.liar = newLiar(l)
		l.liar.edit = func(to *Member, msg wire.Message) wire.Message {
			l.liar.blames = w.now + 1
			if u, ok := l.liar.blaming(to.id, msg).(*wire.Update); ok && to == a {
				for g := range u.Groups {
					for x := range u.Groups[g].Cancels {
						t := w.watch.ledger(a.id, l.id).locks[u.Groups[g].Cancels[x].Number]
						p, err := pay.OpenParcel(l.keys, &t.lock)
						if err != nil {
							continue
						}
						u.Groups[g].Cancels[x].Reason = p.Refuse(l.keys, a.id, 1, &wire.Reason{Code: wire.LimitReached, At: w.Members[blamed].id, Next: b.id})
					}
				}
				return u
			}
			return msg
		}
		w.Must(c, &node.CancelInvoice{ID: invoiceID(i)})
		w.Run(3000)
		v := a.Outcome(id)
		w.assert(v.State == node.Returned && v.Reason.Code == wire.LimitReached && v.Reason.At == l.key, "blamed %s: %+v", w.Members[blamed], v.Reason)
		passed(t, w)
	}
}

// TestScenario13Unreadable: a reason that a mediator changed on its way is no reason; the payer looks for another way.
func TestScenario13Unreadable(t *testing.T) {
	w := chain(13, "a", "l", "b", "c")
	a, l, b, c := w.Members[0], w.Members[1], w.Members[2], w.Members[3]
	i := w.Invoice(c, fst(7), true)
	id, _ := w.Pay(a, &node.Pay{Invoice: i.URI, Route: []string{l.key, b.key, c.key}})
	w.Run(2000)
	l.liar = newLiar(l)
	l.liar.edit = func(to *Member, msg wire.Message) wire.Message {
		if u, ok := msg.(*wire.Update); ok && to == a {
			for g := range u.Groups {
				for x := range u.Groups[g].Cancels {
					if r := u.Groups[g].Cancels[x].Reason; len(r) > 0 {
						r[99] ^= 1
					}
				}
			}
		}
		return msg
	}
	w.Must(c, &node.CancelInvoice{ID: invoiceID(i)})
	w.Run(3000)
	v := a.Outcome(id)
	w.assert(v.State == node.Returned && v.Reason.Code == wire.CodeNone && v.Reason.At == "", "%+v %+v", v, v.Reason)
	passed(t, w)
}

// TestScenario13Silent: a node that cannot open what it got gives no reason; the one before it says so.
func TestScenario13Silent(t *testing.T) {
	w := chain(13, "a", "b", "l", "c")
	a, b, l, c := w.Members[0], w.Members[1], w.Members[2], w.Members[3]
	i := w.Invoice(c, fst(7), true)
	id, _ := w.Pay(a, &node.Pay{Invoice: i.URI, Route: []string{b.key, l.key, c.key}})
	w.Run(2000)
	l.liar = newLiar(l)
	l.liar.edit = func(to *Member, msg wire.Message) wire.Message {
		if u, ok := msg.(*wire.Update); ok {
			for g := range u.Groups {
				for x := range u.Groups[g].Cancels {
					u.Groups[g].Cancels[x].Reason = nil
				}
			}
		}
		return msg
	}
	w.Must(c, &node.CancelInvoice{ID: invoiceID(i)})
	w.Run(3000)
	v := a.Outcome(id)
	w.assert(v.State == node.Returned && v.Reason.Code == wire.CodeNone && v.Reason.At == b.key, "%+v %+v", v, v.Reason)
	passed(t, w)
}

// TestScenario13Clocks: clocks may differ by minutes; by more, and the payer hears whose it was.
func TestScenario13Clocks(t *testing.T) {
	for offset, ok := range map[int64]bool{-299_000: true, 299_000: true, -361_000: false, 361_000: false} {
		w := chain(13, "a", "b", "c")
		a, b, c := w.Members[0], w.Members[1], w.Members[2]
		i := w.Invoice(c, fst(7), false)
		if b.offset = offset; offset < 0 { // the payer's is ahead: a node's own time never goes back
			a.offset, b.offset = -offset, 0
		}
		id, _ := w.Pay(a, &node.Pay{Invoice: i.URI, Route: []string{b.key, c.key}})
		w.Run(2000)
		v := a.Outcome(id)
		if ok {
			w.assert(v.State == node.Paid, "clocks %d s apart: %+v", offset/1000, v.Reason)
		} else {
			w.assert(v.State == node.Returned && v.Reason.Code == wire.BadRequest && v.Reason.At == b.key && strings.Contains(v.Reason.Text, "clock"), "clocks %d s apart: %+v", offset/1000, v.Reason)
		}
		finish(t, w)
	}
}

// TestScenario13Plain: members that say their route in clear and members that do not pay through each other.
func TestScenario13Plain(t *testing.T) {
	w := newWorld(13)
	w.verify = true
	w.net.lossy = Faults{latency: 5}
	for k, name := range []string{"a", "b", "c"} {
		m := w.AddMember(name)
		m.config.Plain = k == 0
		m.Start()
	}
	w.Run(50)
	a, b, c := w.Members[0], w.Members[1], w.Members[2]
	w.Befriend(a, b, FST, 100, 100)
	w.Befriend(b, c, FST, 100, 100)
	w.Run(2500)
	paid(w, w.PayInvoice(a, c, 7))
	paid(w, w.PayInvoice(c, a, 5))
	there, _ := w.onionsBetween(a, b)
	back, _ := w.onionsBetween(c, b)
	w.assert(len(there) == 0 && len(back) == 1, "%d and %d onions", len(there), len(back))
	w.Expect("both", FST, money.Amount(-2), 0, 2)
	finish(t, w)
}
