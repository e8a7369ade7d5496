package run

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kula/node"
)

// Request is a command with what goes with it. Its functions run in the loop and must
// be quick; what they share with a Companion needs no lock.
type Request struct {
	Command node.Command // nil: only Admit and Save, with no value

	// Admit, if set, is called right before the Step that handles the command. An
	// error ends the request with it, and the node never hears of it.
	Admit func(*node.Node) error

	// Save, if set, is called with the outcome, before the commit of the Step that
	// brought it; the records it returns are part of that commit. It is not called
	// when the loop ends first: then nothing was done that is on disk.
	Save func(value any, refusal *node.Error) []node.Record

	// Wait is how long the answer may wait for a payment that is waiting to become
	// paid, held or returned. 0: answer at once.
	Wait time.Duration
}

// job is a Request under way. id and last belong to the loop.
type job struct {
	request Request
	out     chan outcome      // 1 place
	id      uint64            // 0: not admitted
	last    *node.PaymentView // what to answer if the wait ends
}

type outcome struct {
	value any
	err   error
}

// done answers; only the first call counts.
func (j *job) done(value any, err error) {
	select {
	case j.out <- outcome{value, err}:
	default:
	}
}

// read is a View under way.
type read struct {
	look func(*node.Node)
	out  chan error // 1 place
}

func (r *read) run(n *node.Node) {
	r.look(n)
	r.done(nil)
}

func (r *read) done(err error) { r.out <- err }

// Do gives the node a command and returns its outcome once that is on disk: the view
// that the command's comment names, or an error: a *node.Error if the node refuses.
// If ctx ends first, the command may still be carried out.
func (l *Loop) Do(ctx context.Context, c node.Command) (any, error) {
	return l.Exec(ctx, Request{Command: c})
}

// Exec is Do with what goes with a command. After ctx or Wait ended, a payment that
// is still waiting is answered as it is then. A Request with Save is waited for until it
// has an outcome, also when ctx has ended: whoever adds records must know of it.
func (l *Loop) Exec(ctx context.Context, r Request) (any, error) {
	j := &job{request: r, out: make(chan outcome, 1)}
	if !l.put(input{job: j}) {
		return nil, l.stopped()
	}
	var late <-chan time.Time
	if r.Wait > 0 {
		t := time.NewTimer(r.Wait)
		defer t.Stop()
		late = t.C
	}
	select {
	case o := <-j.out:
		return o.value, o.err
	case <-late:
	case <-ctx.Done():
		if r.Wait <= 0 && r.Save == nil {
			return nil, ctx.Err()
		}
	case <-l.ended:
	}
	l.put(input{then: func() { l.desk.hurry(j) }})
	select {
	case o := <-j.out:
		return o.value, o.err
	case <-l.ended: // the loop answered whatever it had taken before it ended
		select {
		case o := <-j.out:
			return o.value, o.err
		default:
			return nil, l.stopped()
		}
	}
}

// stopped is why nothing is taken any more.
func (l *Loop) stopped() error { return stopped(l.Err()) }

func stopped(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStopped, err)
	}
	return ErrStopped
}

// View calls look in the loop, between Steps, when everything that it can see is on
// disk. look must be quick and keep nothing that it does not copy.
func (l *Loop) View(ctx context.Context, look func(*node.Node)) error {
	r := &read{look: look, out: make(chan error, 1)}
	if !l.put(input{read: r}) {
		return l.stopped()
	}
	select {
	case err := <-r.out:
		return err
	case <-l.ended:
		select {
		case err := <-r.out:
			return err
		default:
			return l.stopped()
		}
	}
}

// admit makes a job ready for the next Step, or answers it: then its id stays 0.
func (l *Loop) admit(j *job) {
	if p, ok := j.request.Command.(*node.Pay); ok {
		if kind, key, ok := node.PriorKey(p); ok {
			prior, found, err := l.opt.Store.Get(kind, key)
			if err != nil {
				j.done(nil, fmt.Errorf("was this paid before? %w", err))
				return
			}
			if p.Prior = nil; found {
				p.Prior = prior
			}
		}
	}
	if admit := j.request.Admit; admit != nil { // last: what it sets aside is given back by Save
		if err := admit(l.node); err != nil {
			j.done(nil, err)
			return
		}
	}
	l.desk.take(j)
}

// desk holds the requests and subscriptions that wait for something. It belongs to
// the loop.
type desk struct {
	last     uint64
	jobs     map[uint64]*job      // waiting for a Reply
	settling map[string][]*job    // waiting for a payment, by its id
	watching map[Topic][]*Watcher // by topic; the zero Topic is everything
}

func newDesk() desk {
	return desk{jobs: map[uint64]*job{}, settling: map[string][]*job{}, watching: map[Topic][]*Watcher{}}
}

func (d *desk) take(j *job) {
	d.last++
	j.id = d.last
	d.jobs[j.id] = j
}

// toSave returns the records that go with a reply.
func (d *desk) toSave(r *node.Reply) []node.Record {
	j := d.jobs[r.ID]
	if j == nil || j.request.Save == nil {
		return nil
	}
	return j.request.Save(r.Value, r.Err)
}

// reply answers a job, unless it waits on for its payment.
func (d *desk) reply(r node.Reply) {
	j := d.jobs[r.ID]
	if j == nil {
		return
	}
	delete(d.jobs, r.ID)
	if r.Err != nil {
		j.done(nil, r.Err)
		return
	}
	if p, ok := r.Value.(*node.PaymentView); ok && p.State == node.Waiting && j.request.Wait > 0 {
		j.last = p
		d.settling[p.ID] = append(d.settling[p.ID], j)
		return
	}
	j.done(r.Value, nil)
}

// hurry answers a job that waits for its payment with what is known. One that has no
// Reply yet, or had its answer, stays as it is.
func (d *desk) hurry(j *job) {
	if j.last == nil {
		j.request.Wait = 0
		return
	}
	id := j.last.ID
	if d.settling[id] = slices.DeleteFunc(d.settling[id], func(o *job) bool { return o == j }); len(d.settling[id]) == 0 {
		delete(d.settling, id)
	}
	j.done(j.last, nil)
}

// settle moves the jobs of a payment on.
func (d *desk) settle(p *node.PaymentView) {
	jobs := d.settling[p.ID]
	for _, j := range jobs {
		if j.last = p; p.State != node.Waiting {
			j.done(p, nil)
		}
	}
	if p.State != node.Waiting {
		delete(d.settling, p.ID)
	}
}

// close lets everybody go; err is why.
func (d *desk) close(err error) {
	for _, j := range d.jobs {
		j.done(nil, err)
	}
	for _, jobs := range d.settling {
		for _, j := range jobs {
			j.done(j.last, nil)
		}
	}
	for _, list := range d.watching {
		for _, w := range list {
			w.end(false)
		}
	}
	clear(d.watching)
}
