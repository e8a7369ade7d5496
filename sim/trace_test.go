package sim

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestTrace: a seed is the same trace in another process, whatever the number of processors.
func TestTrace(t *testing.T) {
	const last = 40 // seeds 0 to 39, and 99 with real signatures
	if *traceOf != "" {
		for seed := range uint64(last) {
			fmt.Printf("trace %d %016x\n", seed, Live(seed, false).Trace())
		}
		fmt.Printf("trace 99 %016x\n", Live(99, true).Trace())
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var outs [2]string
	for i, procs := range []string{"1", "4"} {
		cmd := exec.Command(self, "-test.run", "^TestTrace$", "-trace-of", "all")
		cmd.Env = append(os.Environ(), "GOMAXPROCS="+procs)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("GOMAXPROCS=%s: %v", procs, err)
		}
		outs[i] = string(out)
	}
	one, four := traces(outs[0]), traces(outs[1])
	if len(one) != last+1 || len(four) != last+1 {
		t.Fatalf("%d and %d traces, want %d", len(one), len(four), last+1)
	}
	for i := range one {
		if one[i] != four[i] {
			t.Errorf("GOMAXPROCS 1: %s, GOMAXPROCS 4: %s", one[i], four[i])
		}
	}
}

func traces(out string) (list []string) {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "trace ") {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

// TestSoak runs new seeds for as long as it is told: go test ./sim -run Soak -soak 1h -timeout 2h
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("goes on for as long as -soak says")
	}
	seed := uint64(time.Now().UnixNano())
	runSeeds(t, seed, 1<<40, time.Now().Add(*soak))
}
