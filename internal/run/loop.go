package run

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"slices"
	"time"

	"kula/node"
	"kula/wire"
)

// run is the loop.
func (l *Loop) run() {
	defer close(l.ended)
	defer l.end()
	l.pause = time.NewTimer(time.Hour)
	defer l.pause.Stop()
	timer := time.NewTimer(0) // at once: the first Step saves a new node and says when to wake
	defer timer.Stop()
	l.links.want(l.node)
	batch := make([]input, 0, MaxBatch)
	busy := false
	for {
		batch = batch[:0]
		select {
		case in := <-l.in:
			batch = append(batch, in)
		case <-timer.C:
			batch = append(batch, input{event: node.Tick{}})
		case <-l.leave:
			l.takeLeave(l.gather(batch))
			return
		}
		batch = l.gather(batch)
		taken := 0
		if busy {
			batch = l.linger(batch)
			taken = len(batch)
		}
		busy = len(batch) >= busyBatch
		wake, err := l.turn(batch, taken)
		if err != nil {
			l.err = err
			l.log.Error("the node stops: nothing was sent that was not saved; start it again", "error", err)
			return
		}
		if wake == 0 {
			timer.Stop()
		} else {
			timer.Reset(max(0, time.Until(time.UnixMilli(wake))))
		}
	}
}

// Where much comes at once, a turn waits a moment for more of it: every commit, signature and message then serves
// more payments. What others said about a lock does not wait.
const (
	moment    = 800 * time.Microsecond
	busyBatch = 8 // inputs of one turn; a payment alone brings one or two at a time
)

// linger adds what comes within a moment, and has the node take all events: what needs no save is passed on at once.
// Commands wait for the Step, where their invoices are verified together.
func (l *Loop) linger(batch []input) []input {
	l.take(batch)
	l.pause.Reset(moment)
	for len(batch) < MaxBatch {
		select {
		case in := <-l.in:
			old := len(batch)
			batch = l.gather(append(batch, in))
			l.take(batch[old:])
		case <-l.pause.C:
			return batch
		}
	}
	return batch
}

// take hands the events of a batch to the node ahead of its Step.
func (l *Loop) take(batch []input) {
	events := make([]node.Event, 0, len(batch))
	for _, in := range batch {
		if in.event != nil {
			events = append(events, in.event)
		}
	}
	if len(events) == 0 {
		return
	}
	now, entropy := l.now()
	fx := l.node.Take(now, entropy, events...)
	l.send(fx.Pass)
	for _, q := range fx.Ask {
		l.ask(q)
	}
}

// now is the time, in unix milliseconds, and fresh randomness.
func (l *Loop) now() (int64, [32]byte) {
	var entropy [32]byte
	rand.Read(entropy[:]) // never fails: crypto/rand ends the process instead
	return time.Now().UnixMilli(), entropy
}

// gather adds what waits already, and what those who are about to put something in put in
// when they are let: a commit and a signature then serve more payments. Where nobody is, that takes
// no time.
func (l *Loop) gather(batch []input) []input {
	for yields := 0; len(batch) < MaxBatch; {
		select {
		case in := <-l.in:
			batch = append(batch, in)
		default:
			if yields++; yields > maxYields {
				return batch
			}
			runtime.Gosched()
		}
	}
	return batch
}

// maxYields bounds how often a batch lets others go first.
const maxYields = 4

// takeLeave handles what waits and withdraws the announcements.
func (l *Loop) takeLeave(batch []input) {
	l.seal()
	if _, err := l.turn(append(batch, input{event: node.Stop{}}), 0); err != nil {
		l.err = err
		l.log.Error("the node stops: its last changes were not saved and not sent", "error", err)
	}
}

// end lets everybody go who waits for the loop.
func (l *Loop) end() {
	l.seal()
	err := stopped(l.err)
	for {
		select {
		case in := <-l.in:
			in.drop(err)
		default:
			l.desk.close(err)
			return
		}
	}
}

func (in input) drop(err error) {
	if in.job != nil {
		in.job.done(nil, err)
	}
	if in.read != nil {
		in.read.done(err)
	}
}

// turn handles one batch, of the first of which the node has taken the events: steps 2 to 6 of the package comment.
// It returns when the node wants its next Tick, in unix milliseconds or 0.
func (l *Loop) turn(batch []input, taken int) (wake int64, err error) {
	began := time.Now()
	events := make([]node.Event, 0, len(batch))
	var fx node.Effects
	for i, in := range batch {
		switch {
		case in.event != nil:
			if i >= taken {
				events = append(events, in.event)
			}
		case in.job != nil:
			switch l.admit(in.job); {
			case in.job.id == 0:
			case in.job.request.Command == nil:
				fx.Reply = append(fx.Reply, node.Reply{ID: in.job.id})
			default:
				events = append(events, node.Do{ID: in.job.id, Command: in.job.request.Command})
			}
		}
	}
	if taken > 0 || len(events) > 0 {
		bare := fx.Reply
		fx = l.step(events)
		fx.Reply = append(bare, fx.Reply...)
		l.wake = fx.Wake
	}
	if err := l.perform(&fx); err != nil {
		return 0, err
	}
	l.stats.turned(len(batch), time.Since(began))
	for _, in := range batch {
		switch {
		case in.read != nil:
			in.read.run(l.node)
		case in.then != nil:
			in.then()
		}
	}
	return l.wake, nil
}

// step asks the node what must happen.
func (l *Loop) step(events []node.Event) node.Effects {
	now, entropy := l.now()
	return l.node.Step(now, entropy, events...)
}

// perform does what a Step wants, in the order of Effects.
func (l *Loop) perform(fx *node.Effects) error {
	l.send(fx.Pass)
	for _, q := range fx.Ask {
		l.ask(q)
	}
	if err := l.commit(l.records(fx), fx.Book); err != nil {
		return err
	}
	l.send(fx.Send)
	for _, s := range fx.Hangup {
		l.links.part(s.Session)
	}
	l.index.Publish(fx.Publish)
	for _, server := range fx.Wrong {
		l.index.Wrong(server)
	}
	for _, r := range fx.Reply {
		l.desk.reply(r)
	}
	l.tell(fx.Tell)
	return nil
}

// records are the node's, and those of who joined in.
func (l *Loop) records(fx *node.Effects) []node.Record {
	records := fx.Save
	for i := range fx.Reply {
		records = append(records, l.desk.toSave(&fx.Reply[i])...)
	}
	if l.opt.Companion != nil && len(fx.Tell) > 0 {
		records = append(records, l.opt.Companion.Tell(fx.Tell)...)
	}
	return records
}

func (l *Loop) commit(records []node.Record, rows []node.Row) error {
	if len(records)+len(rows) == 0 {
		return nil
	}
	began := time.Now()
	if err := l.opt.Store.Commit(records, rows); err != nil {
		return fmt.Errorf("save %d records and %d rows: %w", len(records), len(rows), err)
	}
	l.stats.committed(len(records), len(rows), time.Since(began))
	return nil
}

// send gives messages to the network, those of one session together.
func (l *Loop) send(out []node.Out) {
	batches := l.outbox[:0]
	clear(l.places)
	for _, o := range out {
		at, ok := l.places[o.Session.Session]
		if !ok {
			at = len(batches)
			l.places[o.Session.Session] = at
			batches = append(batches, parcel{to: o.Session})
		}
		f := wire.Encode(o.Message)
		batches[at].frames = append(batches[at].frames, f)
		l.stats.bytesOut.Add(uint64(len(f)))
	}
	l.stats.framesOut.Add(uint64(len(out)))
	for _, b := range batches {
		if err := l.host.Send(b.to.Session, b.frames); err != nil {
			l.log.Debug("not sent", "peer", b.to.Peer.Short(), "frames", len(b.frames), "error", err)
		}
	}
	clear(batches)
	l.outbox = batches
}

// ask puts a query to the index servers, or to the mirror of them; the answer comes back as an event.
func (l *Loop) ask(q node.Query) {
	l.tasks.Go(func() {
		e := node.Answered{Query: q.ID}
		var err error
		if l.mirror != nil {
			e.Answer, err = l.mirror.Ask(l.life, &q.Query)
		} else {
			e.Answer, e.Server, err = l.index.Ask(l.life, &q.Query)
		}
		if err != nil {
			e.Problem = err.Error()
		}
		l.put(input{event: e})
	})
}

// tell passes notices on to whoever watches and keeps the network in step.
func (l *Loop) tell(told []node.Notice) {
	l.desk.tell(told, &l.stats)
	if slices.ContainsFunc(told, func(n node.Notice) bool { return n.Friends }) {
		l.links.want(l.node)
	}
}
