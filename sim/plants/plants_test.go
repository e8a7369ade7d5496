package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fewest is how many plants the proof asks for.
const fewest = 25

// TestPlantsApply: every plant still finds the lines that it breaks.
func TestPlantsApply(t *testing.T) {
	plants, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(plants) < fewest {
		t.Errorf("%d plants, at least %d are needed", len(plants), fewest)
	}
	for _, p := range plants {
		_, err := p.apply(func(file string) (string, error) {
			data, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(file)))
			return string(data), err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

const sample = `A lock may pass the limit by one.
rule C-20
# why it matters
@@ a.go
 	if x {
-		return 1
+		return 2

@@ b.go
-y
`

func TestParse(t *testing.T) {
	p, err := parse("sample", sample)
	if err != nil {
		t.Fatal(err)
	}
	if p.about == "" || p.rule != "C-20" || len(p.edits) != 2 {
		t.Fatalf("read as %+v", p)
	}
	tree := map[string]string{"a.go": "if x {\n\treturn 0\n}\n\n\t\tif x {  \n\treturn 1\n}", "b.go": "x\n y\nz"}
	read := func(file string) (string, error) { return tree[file], nil }
	got, err := p.apply(read)
	if err != nil {
		t.Fatal(err)
	}
	if want := "if x {\n\treturn 0\n}\n\n\tif x {\n\t\treturn 2\n}"; got["a.go"] != want {
		t.Errorf("a.go is %q, want %q", got["a.go"], want)
	}
	if got["b.go"] != "x\nz" {
		t.Errorf("b.go is %q", got["b.go"])
	}
	for what, text := range map[string]string{"never": "x\nz", "twice": "y\ny"} {
		tree["b.go"] = text
		if _, err := p.apply(read); err == nil {
			t.Errorf("applied although its line is there %s", what)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":          "",
		"no rule":        "what\n@@ a.go\n-x\n",
		"rule of nobody": "what\nrule nobody\n@@ a.go\n-x\n",
		"no edit":        "what\nrule C-1\n",
		"no file":        "what\nrule C-1\n-x\n",
		"finds nothing":  "what\nrule C-1\n@@ a.go\n+x\n",
		"same":           "what\nrule C-1\n@@ a.go\n x\n",
		"no sign":        "what\nrule C-1\n@@ a.go\nx\n",
		"a test":         "what\nrule C-1\n@@ a_test.go\n-x\n",
		"the judge":      "what\nrule C-1\n@@ sim/watch.go\n-x\n",
		"outside":        "what\nrule C-1\n@@ ../x.go\n-x\n",
	} {
		if _, err := parse("bad", text); err == nil {
			t.Errorf("%s: was read", name)
		}
	}
}

// TestWhy: what counts as a finding, from what the tests print.
func TestWhy(t *testing.T) {
	seeds := "--- FAIL: TestSeeds (1s)\n    seeds_test.go:73: 9 seeds in 1s\n    seeds_test.go:120: fault x   in 1.0 % of the seeds\n"
	for name, c := range map[string]struct{ out, want string }{
		"seed":     {seeds + "    seeds_test.go:75: go test ./sim -run Seeds -seed 7    # S4 at 1.2 s: too much\nFAIL\n", "seed 7: S4 at 1.2 s: too much"},
		"scenario": {"--- FAIL: TestScenario01Pair (0s)\n    scenario_test.go:9: S9 at 2 s: open\nFAIL\n", "Scenario01Pair: S9 at 2 s: open"},
		"subtest": {
			"--- FAIL: TestScenario09CrashPoints (0s)\n    --- FAIL: TestScenario09CrashPoints/1/push (0s)\n        crash_test.go:4: 21 crash points, 210 runs\n        crash_test.go:9: [m]: S2\n",
			"Scenario09CrashPoints/1/push: [m]: S2",
		},
		"unnoticed": {seeds + "    seeds_test.go:9: lie \"bad signature\" was never noticed\nFAIL\n", `Seeds: lie "bad signature" was never noticed`},
		"rare":      {seeds + "    seeds_test.go:9: fault \"x\" in 4.0 % of the seeds, at least 5 % are needed\nFAIL\n", ""},
		"panic":     {"panic: no\n\ngoroutine 1\n", "panic: no"},
	} {
		if got := why(c.out); strings.TrimSpace(got) != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
