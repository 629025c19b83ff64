package exit_test

import (
	"math"
	"testing"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"
	"pgregory.net/rapid"

	"github.com/layarun/layarun/exit"
)

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

// scoreOnDevice runs the graph function on the pure-Go backend.
func scoreOnDevice(t *testing.T, logits [][]float32) []exit.Scores {
	t.Helper()
	backend, err := compute.NewWithConfig("go:ops_sequential")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Finalize()
	exec, err := graph.NewExec(backend, exit.Score)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Call1(logits)
	if err != nil {
		t.Fatal(err)
	}
	rows := out.Value().([][]float32)
	scores := make([]exit.Scores, len(rows))
	for i, r := range rows {
		scores[i] = exit.Scores(r)
	}
	return scores
}

func TestScoresOfKnownLogits(t *testing.T) {
	ln := func(x float64) float32 { return float32(math.Log(x)) }
	for _, c := range []struct {
		name   string
		logits []float32
		want   exit.Scores
	}{
		// p = (1/2, 1/2): H = ln 2 = ln C.
		{"even", []float32{0, 0}, exit.Scores{0.5, 0, 0}},
		// p = (1/2, 1/4, 1/8, 1/8): H = 1.75 ln 2, ln C = 2 ln 2, so 1 - 1.75/2 = 0.125.
		{"halves", []float32{ln(4), ln(2), 0, 0}, exit.Scores{0.5, 0.25, 0.125}},
		{"saturated", []float32{100, -100, 0}, exit.Scores{1, 1, 1}},
		{"largest floats", []float32{math.MaxFloat32, -math.MaxFloat32}, exit.Scores{1, 1, 1}},
		{"tie of two", []float32{200, 200, -200}, exit.Scores{0.5, 0, float32(1 - math.Ln2/math.Log(3))}},
		{"one class", []float32{-3}, exit.Scores{1, 1, 1}},
		{"NaN", []float32{1, nan, 0}, exit.Scores{-1, -1, -1}},
		{"first NaN", []float32{nan, 1, 0}, exit.Scores{-1, -1, -1}},
		{"+Inf", []float32{1, inf}, exit.Scores{-1, -1, -1}},
		{"-Inf", []float32{1, -inf}, exit.Scores{-1, -1, -1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			near(t, "reference", exit.ScoresOf(c.logits), c.want, 1e-7)
			near(t, "graph", scoreOnDevice(t, [][]float32{c.logits})[0], c.want, 1e-6)
		})
	}
	near(t, "no logits", exit.ScoresOf(nil), exit.Scores{-1, -1, -1}, 0)
}

// The graph works in float32: every probability carries a few units of 2^-24 from exp and division, the entropy a sum of C
// such terms, and 1 - H / ln C a cancellation that keeps the absolute error. For C <= 20 that stays below 4e-6.
func TestScoreAgreesWithReference(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		classes := rapid.IntRange(1, 20).Draw(r, "classes")
		scale := rapid.SampledFrom([]float32{1e-6, 1, 30, 1e4}).Draw(r, "scale")
		value := rapid.OneOf(
			rapid.Float32Range(-1, 1),
			rapid.SampledFrom([]float32{0, 1, nan, inf, -inf}),
		)
		logits := rapid.SliceOfN(rapid.SliceOfN(value, classes, classes), 1, 5).Draw(r, "logits")
		for _, row := range logits {
			for c := range row {
				row[c] *= scale
			}
		}
		got := scoreOnDevice(t, logits)
		for i, row := range logits {
			near(r, "row", got[i], exit.ScoresOf(row), 4e-6)
		}
	})
}

func TestArgmax(t *testing.T) {
	for _, c := range []struct {
		logits []float32
		want   int
	}{
		{[]float32{1, 3, 2}, 1},
		{[]float32{2, 2, 1}, 0}, // ties go to the lowest index
		{[]float32{-5, -1, -1}, 1},
		{[]float32{0, nan, 5}, -1},
		{[]float32{nan, 5}, -1},
		{[]float32{0, inf}, -1},
		{[]float32{-inf, 0}, -1},
		{nil, -1},
	} {
		if got := exit.Argmax(c.logits); got != c.want {
			t.Errorf("Argmax(%v) is %d, want %d", c.logits, got, c.want)
		}
	}
}

func near(t interface{ Errorf(string, ...any) }, what string, got, want exit.Scores, tolerance float64) {
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tolerance) {
			t.Errorf("%s: %s is %v, want %v within %g", what, exit.Gates[i], got[i], want[i], tolerance)
		}
	}
}
