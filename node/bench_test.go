package node

import (
	"testing"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

// batches runs nodes in rounds: each node takes everything that waits for it in one Step.
type batches struct {
	now   int64
	nodes []*Node
	wait  map[ident.ID][]Event
	bytes int
	steps int
	saved int
	disk  int // bytes of records
}

func (b *batches) round() bool {
	busy := false
	for _, n := range b.nodes {
		events := b.wait[n.ID()]
		if len(events) == 0 {
			continue
		}
		b.wait[n.ID()], busy = nil, true
		b.step(n, events...)
	}
	return busy
}

func (b *batches) step(n *Node, events ...Event) Effects {
	b.now++
	b.steps++
	var e [32]byte
	e[0], e[1], e[2] = byte(b.now), byte(b.now>>8), byte(b.now>>16)
	fx := n.Step(b.now, e, events...)
	b.saved += len(fx.Save) + len(fx.Book)
	for _, r := range fx.Save {
		b.disk += len(r.Value)
	}
	for _, list := range [][]Out{fx.Pass, fx.Send} {
		for _, o := range list {
			data := wire.Encode(o.Message)
			b.bytes += len(data)
			m, err := wire.Decode(data)
			if err != nil {
				panic(err)
			}
			b.wait[o.Peer] = append(b.wait[o.Peer], Received{n.ID(), o.Session.Session, m})
		}
	}
	return fx
}

// BenchmarkPayments measures the rules alone, real signatures included: invoices paid over two channels, 128 at a time.
func BenchmarkPayments(b *testing.B) {
	t := &testing.T{}
	w, n := newWorld(t, "payer", "mediator", "payee")
	w.befriend(n[0], n[1], fst, 1<<50, 1<<50)
	w.befriend(n[1], n[2], fst, 1<<50, 1<<50)
	batch := &batches{now: w.now, nodes: n, wait: map[ident.ID][]Event{}}
	route := []string{n[1].ID().String(), n[2].ID().String()}
	const flight = 128
	b.ResetTimer()
	for done := 0; done < b.N; done += flight {
		var uris []string
		for i := range flight {
			fx := batch.step(n[2], Do{uint64(i + 1), &CreateInvoice{Value: money.Value{Amount: 1, Currency: fst}, Expires: batch.now/1000 + 3600}})
			uris = append(uris, fx.Reply[0].Value.(*InvoiceView).URI)
		}
		var events []Event
		for i, u := range uris {
			events = append(events, Do{uint64(i + 1), &Pay{Invoice: u, Route: route, GiveUp: 1000}})
		}
		fx := batch.step(n[0], events...)
		var answers []Event
		for _, q := range fx.Ask {
			answers = append(answers, Answered{Query: q.ID})
		}
		batch.step(n[0], answers...)
		for batch.round() {
		}
	}
	b.StopTimer()
	if got := balance(n[2], fst); got < money.Amount(b.N) {
		b.Fatal(got)
	}
	b.ReportMetric(float64(batch.bytes)/float64(b.N), "bytes/payment")
	b.ReportMetric(float64(batch.saved)/float64(b.N), "records/payment")
	b.ReportMetric(float64(batch.disk)/float64(b.N), "saved-B/payment")
	b.ReportMetric(float64(batch.steps)/float64(b.N), "steps/payment")
}
