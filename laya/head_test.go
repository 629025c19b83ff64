package laya_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// cases are small heads of every kind and, for prefix, with every switch. Their sizes are arbitrary but all different, so
// that no transposed product fits by chance.
func cases() map[string]laya.Config {
	plain := laya.Config{Kind: laya.Prefix, Reads: []int{0, 1, 3}, Classes: 4, Dim: 5, Tau: 0.7, Hidden: 6, Psi: "identity"}
	full := plain
	full.Psi, full.TapNorm, full.GELU, full.ValueNorm = "mlp", "layer", true, true
	full.ExitScale, full.Correction, full.Dropout = true, true, 0.1
	return map[string]laya.Config{
		"prefix":       plain,
		"prefix, full": full,
		"prefix, one":  {Kind: laya.Prefix, Reads: []int{2}, Classes: 2, Dim: 3, Tau: 1, Hidden: 2, Psi: "identity", Correction: true},
		"joint":        {Kind: laya.Joint, Reads: []int{1, 2, 4}, Classes: 4, Dim: 5, Tau: 1.5, Hidden: 6, Psi: "identity"},
		"joint, mlp":   {Kind: laya.Joint, Reads: []int{1, 2, 4}, Classes: 4, Dim: 5, Tau: 0.5, Hidden: 6, Psi: "mlp"},
		"concat":       {Kind: laya.Concat, Reads: []int{1, 2, 4}, Classes: 4, Dim: 5, Hidden: 6},
		"scalarmix":    {Kind: laya.ScalarMix, Reads: []int{1, 2, 4}, Classes: 4, Dim: 5},
		"lastlayer":    {Kind: laya.LastLayer, Reads: []int{4}, Classes: 4},
		"linear":       {Kind: laya.Linear, Reads: []int{0, 2, 4}, Classes: 4},
	}
}

// tapDims gives every read a width of its own.
func tapDims(c laya.Config) []int {
	dims := make([]int, len(c.Reads))
	for i := range dims {
		dims[i] = 7 + 2*i
	}
	return dims
}

// sample draws a head's weights and taps. All weights are random, also those that start at 0 or 1, so that none drops out.
func sample(t tb, c laya.Config, dims []int, batch int, seed uint64) (laya.Head, layer.Weights, [][][]float32) {
	t.Helper()
	h, err := laya.New(c, dims)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	weights := layer.Weights{}
	for _, p := range layer.ParamsOf(laya.Ops(h)...) {
		p.Init = layer.Normal(0.5)
		weights[p.Name] = p.New(rng)
	}
	taps := make([][][]float32, len(dims))
	for i, d := range dims {
		taps[i] = matrix(layer.Param{Dims: []int{batch, d}, Init: layer.Normal(1)}.New(rng))
	}
	return h, weights, taps
}

// Equal to the last bit on the pure-Go backend, which fuses nothing; a compiler may round differently.
func TestStagesEqualOneGraph(t *testing.T) {
	backend := goBackend(t)
	for name, c := range cases() {
		t.Run(name, func(t *testing.T) {
			h, weights, taps := sample(t, c, tapDims(c), 3, 1)
			stages, whole := runStages(t, backend, h, weights, taps), runGraph(t, backend, h, weights, taps)
			if fmt.Sprint(stages) != fmt.Sprint(whole) {
				t.Errorf("stages give\n%v\none graph\n%v", stages, whole)
			}
		})
	}
}
