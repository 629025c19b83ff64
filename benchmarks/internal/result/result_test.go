package result_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
)

// network is a table of n samples, two classes and exits at depths 0, 1 and 2. Exit k is right for all samples but those
// whose index is a multiple of wrong[k]; it is sure of the right answers only. Answering at exit k costs 10, a block
// 100, and nothing else counts.
func network(split string, n int, wrong [3]int) *exit.Table {
	t := &exit.Table{Bundle: "weights", Split: split, Exits: []int{0, 1, 2}, Reads: []int{0, 1, 2}, Classes: []string{"a", "b"},
		MACs: []int64{10, 120, 230}, Plain: []int64{10, 110, 210}}
	for i := range n {
		label := i / 2 % 2
		var logits [][]float32
		var scores []exit.Scores
		for k := range wrong {
			row := []float32{0, 0}
			if i%wrong[k] == 0 {
				row[1-label] = 0.1 // unsure
			} else {
				row[label] = 9
			}
			logits, scores = append(logits, row), append(scores, exit.ScoresOf(row))
		}
		t.Labels, t.Logits, t.Scores = append(t.Labels, label), append(t.Logits, logits), append(t.Scores, scores)
		t.Alpha = append(t.Alpha, []float32{0.25, 0.25, 0.5})
	}
	return t
}

// tables are those of a network that is right on half, four fifths and nine tenths of the samples.
func tables() result.Tables {
	wrong := [3]int{2, 5, 10}
	return result.Tables{
		Validation: network("v", 700, wrong), Calibration: network("c", 700, wrong), Test: network("t", 700, wrong),
	}
}

func compute(t *testing.T, tables result.Tables) result.Figures {
	t.Helper()
	f, err := result.Compute(tables)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFiguresOfForcedDepths(t *testing.T) {
	f := compute(t, tables())
	for k, want := range []result.Forced{
		{Depth: 0, Accuracy: 0.5, MACs: 10}, {Depth: 1, Accuracy: 0.8, MACs: 110}, {Depth: 2, Accuracy: 0.9, MACs: 210},
	} {
		got := f.Forced[k]
		if got.Depth != want.Depth || got.Accuracy != want.Accuracy || got.MACs != want.MACs {
			t.Errorf("exit %d: %+v, want %+v: wrong on every 2nd, 5th and 10th sample, and no other exit evaluated", k, got, want)
		}
	}
	// The oracle pays 10 for odd samples, which depth 0 gets right, 120 for even ones that are no multiple of 5, and 10 for
	// multiples of 10, which no exit gets right.
	if want := 0.5*10 + 0.4*120 + 0.1*10; math.Abs(f.Oracle.MACs-want) > 1e-9 {
		t.Errorf("oracle costs %v, want %v", f.Oracle.MACs, want)
	}
	for r, want := range []float64{0.25, 0.25, 0.5} {
		if math.Abs(f.Alpha[r]-want) > 1e-9 || math.Abs(f.AlphaByClass[1][r]-want) > 1e-9 {
			t.Errorf("alpha %v and %v of class b, want [0.25 0.25 0.5] for all", f.Alpha, f.AlphaByClass[1])
		}
	}
}

func TestCertifiedPolicies(t *testing.T) {
	f := compute(t, tables())
	if len(f.Certified) != 9 {
		t.Fatalf("%d policies, want three sets of exits at three targets", len(f.Certified))
	}
	for _, c := range f.Certified {
		if c.Policy.Certificate.N != 700 || math.Abs(c.Drop.Drop-(0.9-c.Accuracy)) > 1e-9 {
			t.Errorf("%s at %g: certificate of %d samples and drop %v, want 700 and the difference of the accuracies", c.Exits, c.Eps, c.Policy.Certificate.N, c.Drop.Drop)
		}
		switch {
		case c.Exits == result.WithoutDepth0 && slices.Contains(c.Policy.Exits, 0),
			c.Exits == result.OnlyDepth0 && !slices.Equal(c.Policy.Exits, []int{0}),
			c.Exits == result.AllExits && !slices.Equal(c.Policy.Exits, []int{0, 1}):
			t.Errorf("%s at %g leaves at %v", c.Exits, c.Eps, c.Policy.Exits)
		}
		// Sure answers are right here, so at half a point every sure sample leaves at once.
		if c.Exits == result.AllExits && c.Eps == 0.005 && (math.Abs(c.Shares[0]-0.5) > 1e-9 || c.SpeedUp < 2) {
			t.Errorf("%s at %g: %v leave at depth 0 and the speed-up is %v, want the sure half, and 2 or more", c.Exits, c.Eps, c.Shares[0], c.SpeedUp)
		}
	}
}

func TestSlimTablesGiveTheSameFigures(t *testing.T) {
	whole := tables()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "tables"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := result.WriteTables(folder, "x", 7, whole); err != nil {
		t.Fatal(err)
	}
	slim, err := result.ReadTables(folder, "x", 7)
	if err != nil {
		t.Fatal(err)
	}
	if slim.Test.Logits[1][0][0] != 1 && slim.Test.Logits[1][0][1] != 1 {
		t.Errorf("slim logits are %v, want a 1 at the answer", slim.Test.Logits[1][0])
	}
	found, err := result.Diff(compute(t, slim), compute(t, whole))
	if err != nil || len(found) > 0 {
		t.Errorf("figures differ: %v, %v", found, err)
	}
}

func TestDiffNamesThePlace(t *testing.T) {
	a := result.Figures{N: 10, Forced: []result.Forced{{Depth: 1, Accuracy: 0.5}, {Depth: 2, Accuracy: 0.75}}}
	b := a
	b.Forced = slices.Clone(a.Forced)
	b.Forced[1].Accuracy = 0.76
	b.Alpha = []float64{1}
	found, err := result.Diff(a, b)
	want := []string{"forced[1].accuracy: 0.75, recorded 0.76", "alpha: nothing, recorded [1]"}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("%q, %v; want %q", found, err, want)
	}
	b = a
	b.Forced = []result.Forced{a.Forced[0], {Depth: 2, Accuracy: 0.75 + 1e-12}}
	if found, err := result.Diff(a, b); err != nil || len(found) > 0 {
		t.Errorf("a difference of rounding is reported: %v, %v", found, err)
	}
}

// repository is a folder with one result and its tables, and what verify makes of it.
func repository(t *testing.T) (folder string, r result.Result) {
	t.Helper()
	folder = t.TempDir()
	for _, dir := range []string{"tables", "results"} {
		if err := os.Mkdir(filepath.Join(folder, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r = result.Result{Schema: result.Schema, Name: "fashion-resnet", Samples: 64, Repetitions: 3}
	tables := tables()
	figures := compute(t, tables)
	for _, seed := range []uint64{1, 2} {
		if err := result.WriteTables(folder, r.Name, seed, tables); err != nil {
			t.Fatal(err)
		}
		ms, err := eval.NewSpread([]float64{1, 2, 3})
		if err != nil {
			t.Fatal(err)
		}
		timings := []eval.Timing{{Batch: 1, MS: ms, SpeedUp: ms}, {Batch: 32, MS: ms, SpeedUp: ms}}
		r.Runs = append(r.Runs, result.Run{Seed: seed, Bundle: "weights", Figures: figures,
			Latency: []result.Latency{{Timings: timings}, {Eps: 0.005, Timings: timings}}})
	}
	return folder, r
}

func collect(t *testing.T, folder string, r result.Result) *result.Collection {
	t.Helper()
	if err := result.SaveJSON(result.Path(folder, r.Name), r); err != nil {
		t.Fatal(err)
	}
	c, err := result.Collect(folder)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func silent(string, ...any) {}

func TestVerifyAcceptsWhatTheTablesSay(t *testing.T) {
	folder, r := repository(t)
	if err := collect(t, folder, r).Verify(folder, silent); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyRefusesAFigureThatIsNotTheTables(t *testing.T) {
	folder, r := repository(t)
	r.Runs[1].Figures.Forced = slices.Clone(r.Runs[1].Figures.Forced)
	r.Runs[1].Figures.Forced[2].Accuracy += 0.001
	err := collect(t, folder, r).Verify(folder, silent)
	if err == nil || !strings.Contains(err.Error(), "seed 2: forced[2].accuracy: 0.9, recorded 0.901") {
		t.Errorf("error %v, want one that names seed 2 and forced[2].accuracy", err)
	}
	folder, r = repository(t)
	r.Runs[0].Bundle = "others"
	if err := collect(t, folder, r).Verify(folder, silent); err == nil || !strings.Contains(err.Error(), "others") {
		t.Errorf("error %v, want one that names the bundle", err)
	}
}

func TestMarkdown(t *testing.T) {
	folder, r := repository(t)
	c := collect(t, folder, r)
	text := c.Markdown()
	for _, want := range []string{
		"| full network, exits off | 90.00 ± 0.00 | 0.00 ± 0.00 | 0.00 ± 0.00 | 1.00 ± 0.00× | 2.00 ± 0.00 |",
		"| forced depth 0 | 50.00 ± 0.00 | 40.00 ± 0.00 |",
		"| 1 | certified ≤ 0.5 points | 2.00 (1.50–2.50) | 2.00 (1.50–2.50)× |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text != c.Markdown() {
		t.Error("the same results give two texts")
	}
	readme, err := c.InsertHeadline("# x\n<!-- table:headline -->\nold\n<!-- /table:headline -->\nend\n")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(readme, "old") || !strings.HasSuffix(readme, "<!-- /table:headline -->\nend\n") ||
		!strings.Contains(readme, "| nine residual blocks, full depth | 90.00 ± 0.00 |") {
		t.Errorf("headline in %s", readme)
	}
	if _, err := c.InsertHeadline("# x\n"); err == nil {
		t.Error("a README without marks is accepted")
	}
}

func TestCollectRefusesAndPassesOver(t *testing.T) {
	for name, test := range map[string]struct{ file, text, want string }{
		"renamed":       {"a.json", `{"schema": "layarun.benchmark/1", "name": "b"}`, "want that of the file"},
		"no runs":       {"a.json", `{"schema": "layarun.benchmark/1", "name": "a"}`, "runs is empty"},
		"unknown field": {"a.json", `{"schema": "layarun.benchmark/1", "name": "a", "x": 1}`, "x"},
		"other program": {"a.json", `{"schema": "someone.else/3", "x": 1}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.MkdirAll(filepath.Join(folder, "results"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, "results", test.file), []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := result.Collect(folder)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
