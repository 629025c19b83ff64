package laya_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

func TestAttentionSumsToOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := laya.Config{Kind: laya.Prefix, Tau: rapid.Float64Range(1e-3, 1e3).Draw(t, "tau")}
		alpha := laya.Attention(c, rapid.SliceOfN(rapid.Float32Range(-80, 80), 1, 12).Draw(t, "scores"))
		sum := 0.0
		for _, a := range alpha {
			if a < 0 || a > 1 {
				t.Fatalf("alpha is %v, want weights in [0, 1]", alpha)
			}
			sum += a
		}
		if math.Abs(sum-1) > 1e-12 { // 12 float64 terms, each rounded by 2^-53
			t.Fatalf("alpha %v sums to %v", alpha, sum)
		}
	})
}

func TestAttentionLimits(t *testing.T) {
	scores := []float32{0.3, -1, 0.8}
	for _, test := range []struct {
		name string
		c    laya.Config
		want []float64
	}{
		// |alpha - 1/3| < 1/tau for scores within 2 of each other; |alpha - one-hot| < exp(-0.5/tau).
		{"tau large", laya.Config{Kind: laya.Joint, Tau: 1e6}, []float64{1. / 3, 1. / 3, 1. / 3}},
		{"tau small", laya.Config{Kind: laya.Prefix, Tau: 0.01}, []float64{0, 0, 1}},
		// exp(0.3), exp(-1), exp(0.8) = 1.349859, 0.367879, 2.225541 over their sum 3.943279
		{"scalarmix has tau 1", laya.Config{Kind: laya.ScalarMix}, []float64{0.342319, 0.093293, 0.564388}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i, a := range laya.Attention(test.c, scores) {
				if math.Abs(a-test.want[i]) > 1e-6 {
					t.Errorf("alpha[%d] is %v, want %v", i, a, test.want[i])
				}
			}
		})
	}
	if alpha := laya.Attention(laya.Config{Kind: laya.Concat}, scores); alpha != nil {
		t.Errorf("alpha of kind concat is %v, want none", alpha)
	}
	for i, a := range laya.Attention(laya.Config{Kind: laya.Prefix, Tau: 1}, []float32{1, float32(math.NaN())}) {
		if !math.IsNaN(a) {
			t.Errorf("alpha[%d] is %v beside a score that is NaN, want NaN", i, a)
		}
	}
}

func TestFreshPrefixHeadAttendsUniformly(t *testing.T) {
	c := laya.Default([]int{0, 1, 2}, 3)
	c.Dim, c.Hidden = 4, 5
	h, _, taps := sample(t, c, tapDims(c), 2, 5)
	weights := layer.NewWeights(layer.ParamsOf(laya.Ops(h)...), 1)
	for _, a := range runGraph(t, goBackend(t), h, weights, taps) {
		for _, alpha := range laya.Attention(c, a.scores[0]) {
			if want := 1 / float64(len(a.values)); alpha != want {
				t.Errorf("exit %d: alpha is %v before any training, want %v", a.depth, alpha, want)
			}
		}
	}
}

func TestContributionsSumToLogits(t *testing.T) {
	backend := goBackend(t)
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.Custom(drawConfig).Filter(laya.Config.Additive).Draw(t, "config")
		h, weights, taps := sample(t, c, tapDims(c), 2, rapid.Uint64().Draw(t, "seed"))
		host, err := laya.ToHost(weights)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range runGraph(t, backend, h, weights, taps) {
			for row, logits := range a.logits {
				parts, bias, err := laya.Contributions(c, host, a.depth, a.scores[row], valuesOf(a, row))
				if err != nil {
					t.Fatal(err)
				}
				if len(parts) != len(a.values) {
					t.Fatalf("exit %d: %d contributions of %d depths", a.depth, len(parts), len(a.values))
				}
				sum := slices.Clone(bias)
				for _, part := range parts {
					for j := range sum {
						sum[j] += part[j]
					}
				}
				checkClose(t, "logits", a.depth, logits, sum)
			}
		}
	})
}

func valuesOf(a answer, row int) [][]float32 {
	var z [][]float32
	for _, rows := range a.values {
		z = append(z, rows[row])
	}
	return z
}

func TestContributionsRefuses(t *testing.T) {
	c := laya.Config{Kind: laya.Prefix, Reads: []int{0, 2}, Classes: 2, Dim: 2, Tau: 1, Hidden: 2, Psi: "identity"}
	weights := laya.HostWeights{"head.classifier.kernel": make([]float32, 4), "head.classifier.bias": make([]float32, 2)}
	scores, values := []float32{0, 0}, [][]float32{{1, 2}, {3, 4}}
	for _, test := range []struct {
		name   string
		c      laya.Config
		w      laya.HostWeights
		exit   int
		scores []float32
		values [][]float32
		want   string
	}{
		{"kind", laya.Config{Kind: laya.Concat}, weights, 2, scores, values, "laya: a head of kind concat has no contributions per depth"},
		{"exit", c, weights, 1, scores, values, "laya: depth 1 is no exit of this head, want one of [0 2]"},
		{"counts", c, weights, 0, scores, values, "laya: 2 scores and 2 values at exit 0, want 1 of each"},
		{"width", c, weights, 2, scores, [][]float32{{1, 2}, {3}}, "laya: the value at depth 2 is 1 wide, want 2"},
		{"weight", c, laya.HostWeights{}, 2, scores, values, `laya: weight "head.classifier.kernel" has 0 values, want 4`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, _, err := laya.Contributions(test.c, test.w, test.exit, test.scores, test.values); err == nil || err.Error() != test.want {
				t.Errorf("error is %v, want %s", err, test.want)
			}
		})
	}
}
