package result_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/layarun/layarun/benchmarks/internal/oracle"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/eval"
)

// about is the spread of one measurement.
func about(v float64) eval.Spread { return eval.Spread{N: 1, Min: v, Q1: v, Median: v, Q3: v, Max: v} }

func kept() *result.Kept {
	costs := oracle.Costs{Buckets: []int{1}, Widths: []int{1}, Times: [][][]float64{{{1}, {2}}}}
	return &result.Kept{Schema: result.KeptSchema, Repetitions: 1, Networks: []result.KeptNetwork{{
		Name: "net", About: "a network", Samples: 4, Workers: 1, Exits: []int{0, 3}, Shares: []float64{.25, .75}, MACs: 2, CostsOff: costs, CostsOn: costs,
		Points: []result.KeptPoint{
			{Batch: 8, Off: about(4), On: about(2), Saving: about(2), OracleOff: about(3), OracleOn: about(1.5), OracleSaving: about(2),
				RuleOn: about(1.6), Kept: about(.75), ByRule: about(.9375), InRunning: about(.8)},
			{Callers: 32, Off: about(4), On: about(2), Saving: about(2), OracleOff: about(4), OracleOn: about(1), OracleSaving: about(4),
				RuleOn: about(1.25), Kept: about(.5), ByRule: about(.8), InRunning: about(.625)},
		},
		Same: &result.Same{Samples: 4, Bound: 1e-4, Difference: 1e-6, Ways: []result.SameWay{{Way: "batches of 8", Answers: 8, Exits: 1}}},
	}}}
}

// What the programs write is read back, and stands in RESULTS.md; folders without such files have no such sections.
func TestEngineSections(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "results"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := result.Collect(folder)
	if err != nil {
		t.Fatal(err)
	}
	titles := []string{"## What exits save on the clock", "## Exits switched off", "## The scheduler"}
	for _, title := range titles {
		if strings.Contains(c.Markdown(), title) {
			t.Errorf("%q without its result file", title)
		}
	}
	split := about(1.5)
	for name, value := range map[string]any{
		"kept": kept(),
		"overhead": &result.Overhead{Schema: result.OverheadSchema, Samples: 8, Networks: []result.OverheadNetwork{{Name: "net", About: "a network",
			Points: []result.OverheadPoint{{Batch: 8, Plain: about(2), Split: &split, Engine: about(1.52), Runtime: about(1.6), Ratio: about(1.5 / 1.6)}}}}},
		"scheduler": &result.Scheduler{Schema: result.SchedulerSchema, Network: "a network",
			Moves:      []result.Move{{Workers: 2, Callers: 1, Samples: 32, Micros: about(.46)}},
			Throughput: []result.Throughput{{Callers: 8, PerSecond: about(5908), MS: about(1.2)}},
			Memory:     &result.Memory{Seconds: 600, Answers: 10, RSS: result.Growth{Mean: 1 << 20, Flat: true}, Heap: result.Growth{Mean: 1 << 20, Grown: .1}}},
	} {
		if err := result.SaveJSON(result.Path(folder, name), value); err != nil {
			t.Fatal(err)
		}
	}
	if c, err = result.Collect(folder); err != nil {
		t.Fatal(err)
	}
	text := c.Markdown()
	for _, want := range append(titles,
		"| batches of 8 | 4.000 | 2.000 | 2.00× (2.00–2.00) | 2.00× | 1.500 | 2.00× | 1.600 | 75 % | 75–75 | 94 % | 80 % |",
		"| one by one, 32 callers | 4.000 | 2.000 | 2.00× (2.00–2.00) | 2.00× | 1.000 | 4.00× | 1.250 | 50 % | 50–50 | 80 % | 62 % |",
		"25 % at 0, 75 % at 3", "| batches of 8 | 8 | 1 | 0 | 0 |",
		"| batch 8 | 2.000 | 1.500 | 1.520 | 1.600 | +6.7 % |", // 1.6 over 1.5
		"| 2 workers, 1 callers, 32 samples a call | 0.46 |", "| 8 | 5908 |", "| Go heap | 1.0 | +0.00 | +10.0 % | no |",
		"kept, overhead, scheduler",
	) {
		if !strings.Contains(text, want) {
			t.Errorf("RESULTS.md lacks %q:\n%s", want, text)
		}
	}
	if c.Scheduler.Flat() {
		t.Error("a heap that grows by a tenth is flat")
	}
}

func TestTablesArePrinted(t *testing.T) {
	var out bytes.Buffer
	if err := kept().Networks[0].CostTable().Print(&out); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "| to depth 3, 1 side by side | 2.000 |") {
		t.Errorf("got\n%s", text)
	}
}

func TestSameErr(t *testing.T) {
	for _, row := range []struct {
		same result.Same
		want string
	}{
		{result.Same{Bound: 1, Difference: 1, Ways: []result.SameWay{{Exits: 3, Labels: 2}}}, ""},
		{result.Same{Bound: 1, Difference: 2}, "differ by 2 from those alone, want at most 1"},
		{result.Same{Bound: 1, Ways: []result.SameWay{{Way: "batches of 8", Answers: 9, Beyond: 1}}}, "batches of 8: 1 of 9 answers"},
	} {
		if err := row.same.Err(); (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("got %v, want %q", err, row.want)
		}
	}
}
