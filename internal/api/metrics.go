package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"kula/internal/run"
	"kula/node"
)

// gauges are what metrics reads from the node.
type gauges struct {
	friends, online, ready      int
	waiting, held, openInvoices int
}

// metrics writes the figures in Prometheus' text format 0.0.4.
func (s *Server) metrics(ctx context.Context, _ *none) (*text, error) {
	var g gauges
	if err := s.loop.View(ctx, g.read); err != nil {
		return nil, err
	}
	return &text{Type: "text/plain; version=0.0.4; charset=utf-8", Body: []byte(expose(g, s.loop.Stats()))}, nil
}

func (g *gauges) read(n *node.Node) {
	for _, f := range n.Friends() {
		g.friends++
		if f.Online {
			g.online++
		}
		if f.Ready {
			g.ready++
		}
	}
	g.waiting, g.held, g.openInvoices = n.Live()
}

func expose(g gauges, st run.Stats) string {
	var b strings.Builder
	metric := func(kind, name, help string, samples ...any) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
		for i := 0; i < len(samples); i += 2 {
			fmt.Fprintf(&b, "%s%s %d\n", name, samples[i], samples[i+1])
		}
	}
	metric("gauge", "kula_friends", "Friends that are not hidden.", "", g.friends)
	metric("gauge", "kula_friends_online", "Friends with a session.", "", g.online)
	metric("gauge", "kula_friends_ready", "Friends that payments can pass to.", "", g.ready)
	metric("gauge", "kula_payments_open", "Payments of this node that have not ended.", `{state="waiting"}`, g.waiting, `{state="held"}`, g.held)
	metric("counter", "kula_payments_total", "Payments of this node that came to a state since the start.",
		`{state="held"}`, st.Held, `{state="paid"}`, st.Paid, `{state="returned"}`, st.Returned)
	metric("gauge", "kula_invoices_live", "Invoices that can still be paid or were cancelled lately.", "", g.openInvoices)
	metric("counter", "kula_steps_total", "Steps of the node.", "", st.Turns)
	metric("counter", "kula_inputs_total", "Events, commands and reads that were handled.", "", st.Events)
	metric("counter", "kula_commits_total", "Transactions.", "", st.Commits)
	metric("counter", "kula_fsyncs_total", "Waits for the disk before anything is sent: one a transaction.", "", st.Commits)
	metric("counter", "kula_records_total", "Records saved.", "", st.Records)
	metric("counter", "kula_book_rows_total", "Rows added to the account book.", "", st.Rows)
	metric("counter", "kula_frames_total", "Session frames.", `{direction="in"}`, st.FramesIn, `{direction="out"}`, st.FramesOut)
	metric("counter", "kula_frame_bytes_total", "Bytes of session frames.", `{direction="in"}`, st.BytesIn, `{direction="out"}`, st.BytesOut)
	metric("counter", "kula_signatures_total", "Signatures of this node, and of others.", `{kind="made"}`, st.Signed, `{kind="checked"}`, st.Checked)
	metric("counter", "kula_bad_frames_total", "Frames that were no message.", "", st.BadFrames)
	count := func(v int64) string { return strconv.FormatInt(v, 10) }
	seconds := func(ns int64) string { return strconv.FormatFloat(float64(ns)/1e9, 'g', -1, 64) }
	histogram(&b, "kula_batch_size", "Inputs handled by one step.", st.Batch, count)
	histogram(&b, "kula_step_seconds", "Time of one turn of the loop, from its first input to its last message.", st.Turn, seconds)
	histogram(&b, "kula_commit_seconds", "Time of one transaction.", st.Save, seconds)
	return b.String()
}

func histogram(b *strings.Builder, name, help string, h run.Histogram, show func(int64) string) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name)
	var total uint64
	for i, n := range h.Counts {
		total += n
		bound := "+Inf"
		if i < len(h.Bounds) {
			bound = show(h.Bounds[i])
		}
		fmt.Fprintf(b, "%s_bucket{le=\"%s\"} %d\n", name, bound, total)
	}
	fmt.Fprintf(b, "%s_sum %s\n%s_count %d\n", name, show(h.Sum), name, total)
}
