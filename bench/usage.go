package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used and done since its start.
type usage struct {
	cpu     time.Duration // user and system
	written int64         // bytes that went to the disk
	syncs   float64       // waits of the node for the disk
	steps   float64
	inputs  float64
	records float64
	rows    float64 // of the account book
	frames  float64 // sent
	sent    float64 // bytes of them, before encryption
	signed  float64
	checked float64
	has     bool // signatures are counted
}

func (u usage) plus(v usage) usage {
	return usage{
		u.cpu + v.cpu, u.written + v.written, u.syncs + v.syncs, u.steps + v.steps, u.inputs + v.inputs, u.records + v.records,
		u.rows + v.rows, u.frames + v.frames, u.sent + v.sent, u.signed + v.signed, u.checked + v.checked, u.has || v.has,
	}
}

func (u usage) minus(v usage) usage {
	return usage{
		u.cpu - v.cpu, u.written - v.written, u.syncs - v.syncs, u.steps - v.steps, u.inputs - v.inputs, u.records - v.records,
		u.rows - v.rows, u.frames - v.frames, u.sent - v.sent, u.signed - v.signed, u.checked - v.checked, u.has,
	}
}

// snapshot is the usage of all nodes and the CPU time of this program.
type snapshot struct {
	nodes []usage
	self  time.Duration
}

func (t *town) use() (s snapshot, err error) {
	for _, p := range t.nodes {
		u, err := p.use()
		if err != nil {
			return s, fmt.Errorf("%s: %w", p.name, err)
		}
		s.nodes = append(s.nodes, u)
	}
	s.self, err = cpuOf("self")
	return s, err
}

func (p *process) use() (u usage, err error) {
	pid := strconv.Itoa(p.cmd.Process.Pid)
	if u.cpu, err = cpuOf(pid); err != nil {
		return u, err
	}
	if u.written, err = writtenBy(pid); err != nil {
		return u, err
	}
	text, err := p.api.do("GET", "/metrics", "", nil)
	if err != nil {
		return u, err
	}
	figures := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, figure, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && name != "#" {
			if figures[name], err = strconv.ParseFloat(figure, 64); err != nil {
				return u, fmt.Errorf("metrics: %q: %w", line, err)
			}
		}
	}
	u.syncs, u.steps, u.inputs = figures["kula_fsyncs_total"], figures["kula_steps_total"], figures["kula_inputs_total"]
	u.records, u.rows = figures["kula_records_total"], figures["kula_book_rows_total"]
	u.frames, u.sent = figures[`kula_frames_total{direction="out"}`], figures[`kula_frame_bytes_total{direction="out"}`]
	u.signed, u.has = figures[`kula_signatures_total{kind="made"}`], figures[`kula_signatures_total{kind="made"}`] > 0
	u.checked = figures[`kula_signatures_total{kind="checked"}`]
	if u.syncs == 0 || u.frames == 0 {
		return u, errors.New("metrics: no fsyncs or frames were counted")
	}
	return u, nil
}

// tick is the kernel's unit in /proc/PID/stat, USER_HZ: 100 a second on every platform of Linux that Go has.
const tick = 10 * time.Millisecond

// cpuOf is the CPU time of a process.
func cpuOf(pid string) (time.Duration, error) {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, fmt.Errorf("CPU time is read from Linux's /proc: %w", err)
	}
	rest := data[bytes.LastIndexByte(data, ')')+1:] // the name before it may hold spaces
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%s/stat has %d fields after the name", pid, len(fields))
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, err
}

// writtenBy is how many bytes a process has caused to be written to the disk.
func writtenBy(pid string) (int64, error) {
	data, err := os.ReadFile("/proc/" + pid + "/io")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		}
	}
	return 0, errors.New("/proc/PID/io has no write_bytes")
}

// profile takes a CPU profile of every node for some seconds, and adds up where their time went.
func (b *bench) profile(ctx context.Context, t *town, run string) (shares, error) {
	files := make([]string, len(t.nodes))
	err := side(len(t.nodes), func(i int) error {
		p := t.nodes[i]
		files[i] = filepath.Join(b.profiles, fmt.Sprintf("load%s-%s.prof", run, p.name))
		return fetch(ctx, p.pprof, fmt.Sprintf("http://node/debug/pprof/profile?seconds=%d", int(b.profiled.Seconds())), files[i])
	})
	if err != nil {
		return nil, err
	}
	return where(ctx, files)
}

// fetch gets what is at url behind a socket into a file.
func fetch(ctx context.Context, socket, url, file string) error {
	behind := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer behind.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: behind}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, resp.Status, data)
	}
	return os.WriteFile(file, data, 0o644)
}
