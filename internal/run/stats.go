package run

import (
	"sync/atomic"
	"time"

	"kula/node"
)

// stats counts what the loop does. Written by the loop and the network's
// goroutines, read by anybody.
type stats struct {
	turns, events                   atomic.Uint64
	commits, records, rows          atomic.Uint64
	framesIn, framesOut, badFrames  atomic.Uint64
	bytesIn, bytesOut               atomic.Uint64
	paid, returned, held            atomic.Uint64
	signed, checked                 atomic.Uint64
	batchSizes, turnTimes, saveTime histogram
}

// Bounds of the histograms: batches from one event to MaxBatch, times from the
// cheapest Step and fsync to what somebody would notice. In the units of observe.
var (
	BatchBounds = []int64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}
	TimeBounds  = []int64{100e3, 200e3, 500e3, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6, 100e6, 1e9} // nanoseconds
)

// histogram counts values up to each bound; the last place is for those above all.
type histogram struct {
	counts [12]atomic.Uint64
	sum    atomic.Int64
}

func (h *histogram) observe(v int64, bounds []int64) {
	i := 0
	for i < len(bounds) && v > bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(v)
}

func (h *histogram) read(bounds []int64) Histogram {
	r := Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds)+1), Sum: h.sum.Load()}
	for i := range r.Counts {
		r.Counts[i] = h.counts[i].Load()
	}
	return r
}

// Histogram is how often values fell between bounds: Counts[i] were at most Bounds[i]
// and above the bound before it, the last of Counts above all bounds.
type Histogram struct {
	Bounds []int64
	Counts []uint64
	Sum    int64
}

// Stats is what a loop has done since its start.
type Stats struct {
	Turns, Events                  uint64 // Steps, and what they handled
	Commits, Records, Rows         uint64 // each commit is one wait for the disk
	FramesIn, FramesOut, BadFrames uint64
	BytesIn, BytesOut              uint64
	Paid, Returned, Held           uint64 // payments of mine that came to this state
	Signed, Checked                uint64 // signatures
	Batch                          Histogram
	Turn, Save                     Histogram // nanoseconds: whole turns; waits for the disk
}

// Stats reads the counters.
func (l *Loop) Stats() Stats {
	s := &l.stats
	return Stats{
		Turns: s.turns.Load(), Events: s.events.Load(),
		Commits: s.commits.Load(), Records: s.records.Load(), Rows: s.rows.Load(),
		FramesIn: s.framesIn.Load(), FramesOut: s.framesOut.Load(), BadFrames: s.badFrames.Load(),
		BytesIn: s.bytesIn.Load(), BytesOut: s.bytesOut.Load(),
		Paid: s.paid.Load(), Returned: s.returned.Load(), Held: s.held.Load(),
		Signed: s.signed.Load(), Checked: s.checked.Load(),
		Batch: s.batchSizes.read(BatchBounds), Turn: s.turnTimes.read(TimeBounds), Save: s.saveTime.read(TimeBounds),
	}
}

func (s *stats) turned(events int, took time.Duration) {
	s.turns.Add(1)
	s.events.Add(uint64(events))
	s.batchSizes.observe(int64(events), BatchBounds)
	s.turnTimes.observe(int64(took), TimeBounds)
}

func (s *stats) committed(records, rows int, took time.Duration) {
	s.commits.Add(1)
	s.records.Add(uint64(records))
	s.rows.Add(uint64(rows))
	s.saveTime.observe(int64(took), TimeBounds)
}

func (s *stats) settled(state node.PaymentState) {
	switch state {
	case node.Paid:
		s.paid.Add(1)
	case node.Returned:
		s.returned.Add(1)
	case node.Held:
		s.held.Add(1)
	}
}
