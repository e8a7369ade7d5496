package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// part is one thing that a node's CPU time goes to: all samples whose stack has a function with one of
// these in its name, and that no part before has claimed.
type part struct {
	name  string
	marks []string
}

// parts in order: what is done for something else (memory, signatures) counts as itself.
var parts = []part{
	{"memory: allocating and collecting", []string{"runtime.mallocgc", "runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.growslice", "runtime.gcAssist", "runtime.bgscavenge"}},
	{"onions", []string{"kula/onion.", "kula/pay.Sealed.NewOnion", "kula/pay.OpenParcel", "kula/pay.(*Parcel)", "kula/ident.(*Key).Onion"}},
	{"signatures", []string{"primitives/ed25519."}},
	{"sealed boxes, hashes", []string{"nacl/secretbox", "primitives/x25519", "crypto/ecdh.", "crypto/sha256.", "fips140/sha256."}},
	{"log of batches, waits for the disk", []string{"store.(*batchLog)"}},
	{"SQLite: folding, lookups", []string{"modernc.org/sqlite", "zombiezen.com/go/sqlite"}},
	{"store, the rest", []string{"kula/internal/store."}},
	{"encrypted connections", []string{"go-libp2p", "go-yamux", "kula/internal/p2p."}},
	{"CBOR", []string{"kula/wire/cbor."}},
	{"the protocol: node and its rules", []string{"kula/node.(*Node).Step", "kula/node.(*Node).Take"}},
	{"local API: HTTP, JSON", []string{"net/http.", "kula/internal/api."}},
	{"the loop", []string{"kula/internal/run."}},
}

// rest are samples that no part claims: the scheduler, timers.
const rest = "scheduler and the rest"

// shares is CPU time by part.
type shares map[string]time.Duration

// where reads CPU profiles with Go's own tool and adds up what they say.
func where(ctx context.Context, files []string) (shares, error) {
	sum := shares{}
	for _, f := range files {
		out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", f).Output()
		if err != nil {
			return nil, fmt.Errorf("go tool pprof -traces %s: %w", f, err)
		}
		if err := sum.add(out); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
	}
	return sum, nil
}

// add reads samples: a line of dashes, then lines of a function each, the first of which begins with the time.
func (s shares) add(traces []byte) error {
	var took time.Duration
	var stack []string
	flush := func() {
		if took > 0 {
			s[partOf(stack)] += took
		}
		took, stack = 0, nil
	}
	lines := bufio.NewScanner(bytes.NewReader(traces))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 0:
		case strings.HasPrefix(fields[0], "-----"):
			flush()
		case took == 0 && len(fields) > 1:
			if d, err := time.ParseDuration(fields[0]); err == nil {
				took, stack = d, fields[1:2]
			}
		case took > 0:
			stack = append(stack, fields[0])
		}
	}
	flush()
	return lines.Err()
}

func partOf(stack []string) string {
	for _, p := range parts {
		for _, f := range stack {
			for _, m := range p.marks {
				if strings.Contains(f, m) {
					return p.name
				}
			}
		}
	}
	return rest
}
