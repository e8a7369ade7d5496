package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kula/internal/api"
	"kula/node"
	"kula/wire"
)

// defaultWait is how long a command waits for others unless told otherwise: long
// enough for a payment over slow links, short enough to sit through.
const defaultWait = duration(30 * time.Second)

// lookAgain bounds how long a change could go unnoticed if its event got lost.
const lookAgain = time.Second

// until looks at once and again whenever something changes, until look says that
// it is done or d has passed. It says whether it is done.
func until(ctx context.Context, c *api.Client, d time.Duration, look func(context.Context) (bool, error)) (bool, error) {
	done, err := look(ctx)
	if done || err != nil || d <= 0 {
		return done, err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	events, err := c.Events(ctx)
	if err != nil {
		return false, unlessLate(err)
	}
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		done, err := look(ctx)
		if done || err != nil {
			return done, unlessLate(err)
		}
		select {
		case _, ok := <-events:
			if !ok {
				events = nil // the node stopped: the next look says so
			}
		case <-again.C:
		case <-ctx.Done():
			return false, unlessLate(ctx.Err())
		}
	}
}

// unlessLate drops the error of a deadline: that the time is up is no failure.
func unlessLate(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// waitFlag adds --wait.
func waitFlag(c *cobra.Command, d *duration, initial duration, what string) {
	*d = initial
	c.Flags().Var(d, "wait", "how long to wait "+what)
}

func (a *app) waitCommand() *cobra.Command {
	var wait duration
	c := a.command("wait friend:N|invoice:ID|payment:ID|announced", "Wait until something has happened", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			kind, ref, _ := strings.Cut(args[0], ":")
			if kind == "invoice" || kind == "payment" {
				if err := checkID(ref); err != nil {
					return err
				}
			}
			switch {
			case kind == "friend" && ref != "":
				return a.waitFriend(ctx, ref, time.Duration(wait))
			case kind == "invoice" && ref != "":
				return a.waitInvoice(ctx, ref, time.Duration(wait))
			case kind == "payment" && ref != "":
				return a.waitPayment(ctx, ref, time.Duration(wait))
			case args[0] == "announced":
				return a.waitAnnounced(ctx, time.Duration(wait))
			}
			return wrong("%q cannot be waited for; say friend:NAME, invoice:ID, payment:ID or announced", args[0])
		})
	c.Long = "Waits until a friend can be paid, an invoice or a payment is settled one way or the other,\n" +
		"or index servers know what can be paid to me. Exit 3: the time is up and it has not happened."
	waitFlag(c, &wait, defaultWait, "at most")
	return c
}

// waitFriend waits until payments can pass between us.
func (a *app) waitFriend(ctx context.Context, ref string, d time.Duration) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var f *node.FriendView
	done, err := until(ctx, c, d, func(ctx context.Context) (bool, error) {
		v, err := c.Friend(ctx, ref)
		if err != nil {
			return false, err
		}
		f = v
		return f.State == node.Opened && f.Ready, nil
	})
	if err != nil {
		return err
	}
	a.print(f, friendWords(f, false))
	if !done {
		return errWaiting
	}
	return nil
}

func (a *app) waitInvoice(ctx context.Context, id string, d time.Duration) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var i *node.InvoiceView
	done, err := until(ctx, c, d, func(ctx context.Context) (bool, error) {
		v, err := c.Invoice(ctx, id, 0)
		if err != nil {
			return false, err
		}
		i = v
		return i.State != "open", nil
	})
	if err != nil {
		return err
	}
	if i.State == "cancelled" || i.State == "expired" {
		return &failure{code: "invoice_" + i.State, text: invoiceWords(i), result: i}
	}
	a.print(i, invoiceWords(i))
	if !done {
		return errWaiting
	}
	return nil
}

func (a *app) waitAnnounced(ctx context.Context, d time.Duration) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	v, err := c.Announcement(ctx, d)
	if err != nil {
		return err
	}
	switch {
	case len(v.Servers) == 0:
		return &failure{code: wire.IndexUnreachable.String(), result: v,
			text: "this node uses no index server, so nothing is announced: friends can pay you, others only by a way that they name. Run it with: kula up --index LINK"}
	case !v.Announced:
		a.print(v, "Not yet announced. "+serversWords(v.Servers))
		return errWaiting
	}
	a.print(v, "Announced.")
	return nil
}

// serversWords says how far the node is with its index servers.
func serversWords(servers []api.IndexServer) string {
	away, waiting := 0, 0
	for _, s := range servers {
		if !s.Connected && !s.Resting {
			away++
		} else if waiting += s.Waiting; s.Waiting == 0 && !s.Complete {
			waiting++
		}
	}
	return fmt.Sprintf("Of %d index servers %d cannot be reached; %d announcements wait for the others to confirm them.", len(servers), away, waiting)
}

// settled says whether a payment has come to an end, or to where only its payer
// or payee can move it.
func settled(p *node.PaymentView) bool {
	switch p.State {
	case node.Paid, node.Returned:
		return true
	case node.Held:
		return p.Release == "" // a released one goes on by itself
	}
	return false
}

func (a *app) waitPayment(ctx context.Context, id string, d time.Duration) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var p *node.PaymentView
	_, err = until(ctx, c, d, func(ctx context.Context) (bool, error) {
		v, err := c.Payment(ctx, id, 0)
		if err != nil {
			return false, err
		}
		p = v
		return settled(p), nil
	})
	if err != nil {
		return err
	}
	return a.showOutcome(ctx, c, p)
}

// showOutcome prints a payment and turns its state into the exit code.
func (a *app) showOutcome(ctx context.Context, c *api.Client, p *node.PaymentView) error {
	text := a.names(ctx, c).payment(p)
	if p.State == node.Returned {
		f := &failure{code: wire.CodeNone.String(), text: text, reason: p.Reason, result: p}
		if p.Reason != nil {
			f.code = p.Reason.Code.String()
		}
		if f.code == "" {
			f.code = codeFailed
		}
		return f
	}
	a.print(p, text)
	if p.State == node.Waiting || !settled(p) {
		return errWaiting
	}
	return nil
}

// names fetches what friends are called, for people; scripts read keys. It is a
// nicety: where it fails, keys are shown.
func (a *app) names(ctx context.Context, c *api.Client) names {
	friends, err := c.Friends(ctx)
	if err != nil {
		return names{}
	}
	return namesOf(friends)
}
