package laya_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"pgregory.net/rapid"

	"github.com/layarun/layarun/internal/reftest"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// tolerance bounds |got - want| / (1 + |want|) between float32 graphs and the float64 reference. The longest path is six
// products of at most 40 terms of size about 1; each rounds by 2^-24 relative to the sum of magnitudes, so errors of a few
// 1e-6 are expected and 5e-5 leaves room for cancellation and for RMSNorm of a small vector.
const tolerance = 5e-5

// drawConfig draws a valid config of any kind.
func drawConfig(t *rapid.T) laya.Config {
	c := laya.Config{Classes: rapid.IntRange(2, 5).Draw(t, "classes")}
	c.Kind = rapid.SampledFrom([]string{laya.Prefix, laya.Joint, laya.LastLayer, laya.Concat, laya.ScalarMix, laya.Linear}).Draw(t, "kind")
	first := 1
	if c.Kind == laya.Prefix || c.Kind == laya.Linear {
		first = 0
	}
	reads := 4
	if c.Kind == laya.LastLayer {
		reads = 1
	}
	c.Reads = rapid.SliceOfNDistinct(rapid.IntRange(first, 9), 1, reads, rapid.ID).Draw(t, "reads")
	slices.Sort(c.Reads)
	if c.Kind == laya.LastLayer || c.Kind == laya.Linear {
		return c
	}
	c.Dim = rapid.IntRange(1, 6).Draw(t, "dim")
	if c.Kind != laya.ScalarMix {
		c.Hidden = rapid.IntRange(1, 6).Draw(t, "hidden")
	}
	if c.Kind == laya.Prefix || c.Kind == laya.Joint {
		c.Tau = rapid.Float64Range(0.25, 4).Draw(t, "tau")
		c.Psi = rapid.SampledFrom([]string{"identity", "mlp"}).Draw(t, "psi")
	}
	if c.Kind == laya.Prefix {
		c.TapNorm = rapid.SampledFrom([]string{"", "layer"}).Draw(t, "tap norm")
		c.GELU, c.ValueNorm = rapid.Bool().Draw(t, "gelu"), rapid.Bool().Draw(t, "value norm")
		c.ExitScale, c.Correction = rapid.Bool().Draw(t, "exit scale"), rapid.Bool().Draw(t, "correction")
	}
	return c
}

func TestHeadMatchesReference(t *testing.T) {
	backend := goBackend(t)
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		dims := rapid.SliceOfN(rapid.IntRange(2, 8), len(c.Reads), len(c.Reads)).Draw(t, "tap widths")
		h, weights, taps := sample(t, c, dims, rapid.IntRange(1, 3).Draw(t, "batch"), rapid.Uint64().Draw(t, "seed"))
		checkReference(t, c, runGraph(t, backend, h, weights, taps), weights, taps)
	})
}

// checkReference compares answers with the reference, row by row: logits, scores, alpha and values.
func checkReference(t tb, c laya.Config, answers []answer, weights layer.Weights, taps [][][]float32) {
	t.Helper()
	for row := range taps[0] {
		for i, want := range reftest.Head(c, reftest.WeightsOf(weights), rowOf(taps, row)) {
			got := answers[i]
			if got.depth != want.Depth {
				t.Fatalf("answer %d is of depth %d, want %d", i, got.depth, want.Depth)
			}
			checkClose(t, "logits", want.Depth, got.logits[row], want.Logits)
			for j, z := range want.Values {
				if c.Kind != laya.Linear || j == len(want.Values)-1 {
					checkClose(t, "value", want.Depth, got.values[j][row], z)
				}
			}
			if c.Attends() {
				checkClose(t, "scores", want.Depth, got.scores[row], want.Scores)
				checkClose(t, "alpha", want.Depth, laya.Attention(c, got.scores[row]), want.Alpha)
			}
		}
	}
}

func checkClose[T float32 | float64](t tb, what string, depth int, got []T, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("depth %d: %d %s, want %d", depth, len(got), what, len(want))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= tolerance*(1+math.Abs(want[i]))) {
			t.Fatalf("depth %d: %s[%d] is %v, want %v: off by %g, more than %g relative to 1 + |want|", depth, what, i, got[i], want[i], d, tolerance)
		}
	}
}

func rowOf(taps [][][]float32, row int) [][]float64 {
	sample := make([][]float64, len(taps))
	for i := range taps {
		for _, v := range taps[i][row] {
			sample[i] = append(sample[i], float64(v))
		}
	}
	return sample
}

// extremeScores makes each score s_i of a prefix head the given number, whatever the input: v = 0, b_i = s_i.
func extremeScores(c laya.Config, weights layer.Weights, scores []float32) {
	weights["head.score.vector"] = tensors.FromFlatDataAndDimensions(make([]float32, c.Hidden), c.Hidden, 1)
	for i, depth := range c.Reads {
		weights[laya.DepthName(depth)+".score.bias"] = tensors.FromFlatDataAndDimensions(scores[i:i+1], 1)
	}
}

func TestOnlineSoftmaxEqualsDirectSoftmax(t *testing.T) {
	backend := goBackend(t)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "reads")
		c := laya.Default([]int{0, 1, 2, 3, 4, 5}[:n], 3)
		c.Dim, c.Hidden, c.Tau = 4, 2, rapid.Float64Range(0.25, 4).Draw(t, "tau")
		// exp(80) is near the largest float32 (exp(88.7)) and exp(160) is beyond it: without the maximum subtracted, or with
		// it subtracted in the wrong order, these overflow.
		score := rapid.OneOf(rapid.SampledFrom([]float32{-80, 0, 80}), rapid.Float32Range(-80, 80))
		scores := rapid.SliceOfN(score, n, n).Draw(t, "scores")
		h, weights, taps := sample(t, c, slices.Repeat([]int{3}, n), 2, rapid.Uint64().Draw(t, "seed"))
		extremeScores(c, weights, scores)
		checkReference(t, c, runGraph(t, backend, h, weights, taps), weights, taps)
	})
}

// The gradient of the summed cross-entropy of all exits, for every weight, against central differences of the reference.
func TestGradientsMatchReference(t *testing.T) {
	backend := goBackend(t)
	for name, c := range cases() {
		t.Run(name, func(t *testing.T) {
			h, weights, taps := sample(t, c, tapDims(c), 2, 3)
			checkGradients(t, c, gradients(t, backend, h, weights, taps), weights, taps)
			if c.Kind != laya.Prefix {
				return
			}
			for _, scores := range [][]float32{{80, -80, 80}, {-80, 80, 0}, {0, 0, 0}} {
				extremeScores(c, weights, scores)
				checkGradients(t, c, gradients(t, backend, h, weights, taps), weights, taps)
			}
		})
	}
}

// checkGradients compares with (L(w + step) - L(w - step)) / 2 step, whose own error is about step^2 = 1e-8 in float64.
func checkGradients(t *testing.T, c laya.Config, got map[string][]float32, weights layer.Weights, taps [][][]float32) {
	t.Helper()
	const step = 1e-4
	w := reftest.WeightsOf(weights)
	for name, values := range w {
		for i, v := range values {
			values[i] = v + step
			up := referenceLoss(c, w, taps)
			values[i] = v - step
			down := referenceLoss(c, w, taps)
			values[i] = v
			want, g := (up-down)/(2*step), float64(got[name][i])
			if !(math.Abs(g-want) <= 2e-4*(1+math.Abs(want))) {
				t.Errorf("dL/d%s[%d] is %v, want %v", name, i, g, want)
			}
		}
	}
}

// referenceLoss is the sum over rows and exits of -log softmax(logits)[0].
func referenceLoss(c laya.Config, w reftest.Weights, taps [][][]float32) float64 {
	loss := 0.0
	for row := range taps[0] {
		for _, a := range reftest.Head(c, w, rowOf(taps, row)) {
			loss -= math.Log(reftest.Softmax(a.Logits)[0])
		}
	}
	return loss
}

// gradients is the gradient of that loss on the backend, by the weights' names.
func gradients(t *testing.T, backend compute.Backend, h laya.Head, weights layer.Weights, taps [][][]float32) map[string][]float32 {
	t.Helper()
	c := h.Config()
	names, args := flatten(h, weights)
	n := len(taps)
	in := make([]*tensors.Tensor, n)
	for i := range taps {
		in[i] = tensors.FromValue(taps[i])
	}
	out := call(t, backend, append(in, args...), func(nodes []*graph.Node) []*graph.Node {
		loss := graph.ScalarZero(nodes[0].Graph(), nodes[0].DType())
		for _, logits := range logitsOf(c, headGraph(h, names, nodes[n:], nodes[:n], nil)) {
			p := graph.Softmax(logits, -1)
			first := graph.Slice(p, graph.AxisRange(), graph.AxisElem(0))
			loss = graph.Sub(loss, graph.ReduceAllSum(graph.Log(first)))
		}
		return graph.Gradient(loss, nodes[n:]...)
	})
	grads := map[string][]float32{}
	for i, name := range names {
		grads[name] = tensors.MustCopyFlatData[float32](out[i])
	}
	return grads
}

// logitsOf picks the logits of each exit from the outputs of headGraph.
func logitsOf(c laya.Config, out []*graph.Node) []*graph.Node {
	var logits []*graph.Node
	for _, depth := range c.Reads {
		out = out[1:] // z
		if c.Kind == laya.Prefix {
			out = out[1:] // s
		}
		if slices.Contains(c.Exits(), depth) {
			logits = append(logits, out[0])
			out = out[outputsOfAnswer(c):]
		}
	}
	return logits
}
