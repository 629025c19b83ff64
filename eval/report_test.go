package eval_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// answersOf is a table of two classes in which sample i answers with class answers[i][k] at exit k, as surely as sure[i][k].
func answersOf(bundle string, labels []int, answers [][]int, sure [][]float64) *exit.Table {
	t := &exit.Table{Bundle: bundle, Split: "split", Exits: []int{0, 2, 4}, Classes: []string{"a", "b"}, Labels: labels,
		MACs: []int64{100_000, 220_000, 340_000}, Plain: []int64{100_000, 200_000, 300_000}}
	for i := range answers {
		var logits [][]float32
		var scores []exit.Scores
		for k, class := range answers[i] {
			x := []float32{0, 0}
			x[class] = float32(math.Log(sure[i][k] / (1 - sure[i][k])))
			logits, scores = append(logits, x), append(scores, exit.ScoresOf(x))
		}
		t.Logits, t.Scores = append(t.Logits, logits), append(t.Scores, scores)
	}
	return t
}

// subjects are a network of three exits with one policy, and another network, on four samples.
func subjects() []eval.Subject {
	labels := []int{0, 1, 0, 1}
	first := answersOf("digest-one", labels,
		[][]int{{0, 0, 0}, {0, 1, 1}, {1, 1, 0}, {1, 1, 0}},
		[][]float64{{0.9, 0.9, 0.9}, {0.6, 0.8, 0.9}, {0.95, 0.6, 0.7}, {0.7, 0.7, 0.9}})
	second := answersOf("digest-two", labels,
		[][]int{{0, 0, 0}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}},
		[][]float64{{0.9, 0.9, 0.9}, {0.9, 0.9, 0.9}, {0.9, 0.9, 0.9}, {0.9, 0.9, 0.9}})
	exits := []int{0, 2, 4}
	return []eval.Subject{
		{Network: eval.Network{Name: "one", Digest: "digest-one", Exits: exits, Train: map[string]float64{"seed": 3}}, Table: first,
			Policies: []exit.Policy{{Name: "default", Gate: exit.MaxProb, Exits: []int{0, 2}, Thresholds: []exit.Threshold{0.85, 0.75},
				Certificate: &exit.Certificate{Risk: exit.AccuracyDrop, Eps: 0.02, Delta: 0.05, N: 480, Step: 9, Bound: 0.0123}}}},
		{Network: eval.Network{Name: "two|2", Digest: "digest-two", Exits: exits}, Table: second},
	}
}

func newReport(t *testing.T) *eval.Report {
	t.Helper()
	r, err := eval.NewReport("test", subjects(), eval.DefaultResampling())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReportRows(t *testing.T) {
	r := newReport(t)
	type row struct {
		kind                      string
		network, depth            int
		accuracy, meanDepth, macs float64
		worse, better             int
		shares                    []float64
	}
	// Right answers: full 0, 1, 2; depth 0: 0, 3; depth 2: 0, 1, 3. By policy samples 0 and 2 leave at once (0.9, 0.95; 2 is
	// wrong there), 1 at depth 2 (0.8), 3 never (0.7, 0.7) and ends wrong. The oracle: 0 and 3 at once, 1 at depth 2, 2 at 4.
	// The agreeing oracle: 0 at once, 1 at depth 2, 2 and 3 at depth 4.
	for i, want := range []row{
		{eval.FullDepth, 0, 4, 0.75, 4, 300_000, 0, 0, []float64{0, 0, 1}},
		{eval.ForcedDepth, 0, 0, 0.5, 0, 100_000, 2, 1, []float64{1, 0, 0}},
		{eval.ForcedDepth, 0, 2, 0.75, 2, 200_000, 1, 1, []float64{0, 1, 0}},
		{eval.ByPolicy, 0, 4, 0.5, 1.5, 190_000, 1, 0, []float64{0.5, 0.25, 0.25}},
		{eval.Oracle, 0, 4, 1, 1.5, 190_000, 0, 1, []float64{0.5, 0.25, 0.25}},
		{eval.AgreeingOracle, 0, 4, 0.75, 2.5, 250_000, 0, 0, []float64{0.25, 0.25, 0.5}},
		{eval.FullDepth, 1, 4, 1, 4, 300_000, 0, 1, []float64{0, 0, 1}},
	} {
		got := r.Rows[i]
		if got.Kind != want.kind || got.Network != want.network || got.Depth != want.depth || got.Accuracy != want.accuracy ||
			got.MeanDepth != want.meanDepth || math.Abs(got.MACs-want.macs) > 1e-6 || !slices.Equal(got.Shares, want.shares) {
			t.Errorf("row %d is %+v, want %+v", i, got, want)
		}
		if i == 0 != (got.Drop == nil) {
			t.Errorf("row %d: drop is %v: only the first row has nothing to compare with", i, got.Drop)
		}
		if d := got.Drop; d != nil && (d.Worse != want.worse || d.Better != want.better) {
			t.Errorf("row %d: %d worse and %d better, want %d and %d", i, d.Worse, d.Better, want.worse, want.better)
		}
		if math.Abs(got.MACsShare-want.macs/300_000) > 1e-12 {
			t.Errorf("row %d: share of MACs is %v, want that of the first row's 300,000", i, got.MACsShare)
		}
	}
	if len(r.Rows) != 7 {
		t.Errorf("%d rows, want 7", len(r.Rows))
	}
	first, last := r.Curve[0], r.Curve[len(r.Curve)-1]
	if first.Name != "never" || first.Cost != 340_000 || first.Value != 0.75 || last.Cost != 100_000 || last.Value != 0.5 {
		t.Errorf("the curve goes from %+v to %+v, want from never (340,000, 0.75) to at once (100,000, 0.5)", first, last)
	}
}

func TestReportLeavesOutUnknownLabels(t *testing.T) {
	s := subjects()[:1]
	s[0].Table.Labels = []int{0, 1, 0, -1} // the full network is right on all that are known
	r, err := eval.NewReport("test", s, eval.DefaultResampling())
	if err != nil {
		t.Fatal(err)
	}
	if r.Rows[0].Accuracy != 1 || r.Rows[1].Drop.N != 3 || r.N != 4 {
		t.Errorf("accuracy %v, %d compared of %d, want 1, 3 of 4", r.Rows[0].Accuracy, r.Rows[1].Drop.N, r.N)
	}
}

func TestReportRefuses(t *testing.T) {
	for want, change := range map[string]func([]eval.Subject){
		"score table of two|2 is of split other":   func(s []eval.Subject) { s[1].Table.Split = "other" },
		"score table of one is of network altered": func(s []eval.Subject) { s[0].Table.Bundle = "altered" },
		"sample 2: label is 2":                     func(s []eval.Subject) { s[1].Table.Labels = []int{0, 1, 2, 1} },
		`one: policy "default"`:                    func(s []eval.Subject) { s[0].Policies[0].Exits = []int{0, 3} },
		"no sample of test has a label": func(s []eval.Subject) {
			s[0].Table.Labels, s[1].Table.Labels = []int{-1, -1, -1, -1}, []int{-1, -1, -1, -1}
		},
	} {
		s := subjects()
		change(s)
		if _, err := eval.NewReport("test", s, eval.DefaultResampling()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want it to say %q", err, want)
		}
	}
	if _, err := eval.NewReport("test", nil, eval.DefaultResampling()); err == nil {
		t.Error("no networks: no error")
	}
}

// timed is a report with made-up times and a made-up machine.
func timed(t *testing.T) *eval.Report {
	r := newReport(t)
	r.Data, r.Backend, r.Samples, r.Repetitions = "digits", "go", 256, 3
	r.Machine = eval.Machine{CPU: "Abacus 1", Cores: 2, OS: "linux", Arch: "amd64", Go: "go1.26.8", Commit: "0123456789abcdef"}
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Kind == eval.Oracle || row.Kind == eval.AgreeingOracle {
			continue
		}
		for _, batch := range []int{1, 8} {
			ms := row.MACs / 1e6 / float64(batch)
			row.Latency = append(row.Latency, eval.Timing{Batch: batch,
				MS:      eval.Spread{N: 3, Min: 0.9 * ms, Median: ms, Max: 12 * ms},
				SpeedUp: eval.Spread{N: 3, Median: r.Rows[0].MACs / row.MACs}})
		}
	}
	return r
}

func TestReportIsOneValue(t *testing.T) {
	r := timed(t)
	var markdown bytes.Buffer
	if err := r.Markdown(&markdown); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"testdata/report.md": markdown.Bytes(), "testdata/report.json": append(text, '\n')} {
		if *update {
			if err := os.WriteFile(name, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs; got\n%s\nRun go test ./eval -update and read the difference.", name, got)
		}
	}
	var back eval.Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := back.Markdown(&again); err != nil || again.String() != markdown.String() {
		t.Errorf("the report read back from JSON gives other Markdown (%v)", err)
	}
}

func TestPlot(t *testing.T) {
	r := timed(t)
	for name, c := range map[string]struct {
		draw func(io.Writer) error
		want []string
	}{
		"MACs":    {r.Plot, []string{"% of the first network", "one threshold, swept", "forced depth", "one, policy default", "accuracy, %"}},
		"latency": {func(w io.Writer) error { return r.PlotLatency(w, 8) }, []string{"median ms per sample, batch 8", "two|2, full"}},
	} {
		var svg bytes.Buffer
		if err := c.draw(&svg); err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(svg.Bytes(), new(struct{})); err != nil {
			t.Errorf("%s: not XML: %v", name, err)
		}
		for _, want := range c.want {
			if !strings.Contains(svg.String(), want) {
				t.Errorf("%s: no %q in the figure", name, want)
			}
		}
		if svg.Len() > 50_000 {
			t.Errorf("%s: the figure has %d bytes, want a page's worth", name, svg.Len())
		}
	}
	if err := r.PlotLatency(io.Discard, 64); err == nil || !strings.Contains(err.Error(), "no time at batch 64") {
		t.Errorf("a batch that was not timed: error is %v", err)
	}
}

// Measure times every row but the oracles, and each as it says: the answers of a forced depth come from there.
func TestMeasure(t *testing.T) {
	set := points(70)
	r := network(t, set)
	table, err := eval.Score(t.Context(), r, set, nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := eval.NewReport("test", []eval.Subject{{
		Network: eval.Network{Name: r.Name(), Digest: r.Digest(), Exits: r.Exits()}, Table: table, Policies: r.Policies(),
	}}, eval.DefaultResampling())
	if err != nil {
		t.Fatal(err)
	}
	inputs, err := eval.NewInputs(r, eval.Draw(set, set.Len(), 1))
	if err != nil {
		t.Fatal(err)
	}
	before := r.Stats()
	o := eval.LatencyOptions{Samples: 100, Batches: []int{32}, Repetitions: 1}
	if err := report.Measure(t.Context(), []*eval.Inputs{inputs}, o); err != nil {
		t.Fatal(err)
	}
	if report.Samples != 70 || report.Repetitions != 1 {
		t.Errorf("%d samples and %d repetitions, want the 70 there are and 1", report.Samples, report.Repetitions)
	}
	for _, row := range report.Rows {
		if oracle := row.Kind == eval.Oracle || row.Kind == eval.AgreeingOracle; oracle != (row.Latency == nil) {
			t.Errorf("%s %d: latency is %+v", row.Kind, row.Depth, row.Latency)
		}
	}
	// Warm-up and one repetition of full, depth 0, depth 1 and the policy.
	if in := r.Stats().In - before.In; in != 2*4*70 {
		t.Errorf("%d samples ran, want 560", in)
	}
	policy := report.Rows[3].Shares
	for k, forced := range []int{0: 70, 1: 70, 2: 70} { // depth 0, depth 1 and full; and the policy's share
		want := 2 * (forced + int(math.Round(70*policy[k])))
		if got := r.Stats().Exits[k] - before.Exits[k]; got != int64(want) {
			t.Errorf("%d samples left at depth %d, want %d", got, k, want)
		}
	}
	if err := report.Measure(t.Context(), []*eval.Inputs{inputs}, eval.LatencyOptions{Batches: []int{8}, Repetitions: 1}); err != nil {
		t.Fatal(err)
	}
	if report.Samples < 64 || report.Samples > 70 {
		t.Errorf("%d samples chosen, want 64 to the 70 there are", report.Samples)
	}
}
