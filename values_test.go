package layarun_test

import (
	"slices"
	"testing"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// TestValueNorms: a linear head's value is the tap itself, and the tap of an MLP at depth 0 its standardised input, so the
// norms there are 5 = |(3, 4)| and 13 = |(5, 12)|.
func TestValueNorms(t *testing.T) {
	b := &bundle.Bundle{
		Name: "norms", Classes: []string{"a", "b"},
		Backbone: &backbone.MLP{Inputs: []int{2}, Widths: []int{3}, Norm: "none", Epsilon: 1e-3},
		Head:     laya.Config{Kind: laya.Linear, Reads: []int{0, 1}, Classes: 2},
	}
	params, err := b.Params()
	if err != nil {
		t.Fatal(err)
	}
	b.Weights = layer.NewWeights(params, 1)
	device, err := compile.OpenDevice("go")
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	runtime, err := layarun.New(b, device, layarun.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.Close()
	depth := 0
	for explain, want := range map[bool][][]float32{true: {{5}, {13}}, false: {nil, nil}} {
		answers, err := runtime.Predict(t.Context(), layarun.Request{Values: []float32{3, 4, 5, 12}, MaxExit: &depth, Explain: explain})
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range answers {
			if a.Err != nil || !slices.Equal(a.ValueNorms, want[i]) {
				t.Errorf("explain %t, sample %d: norms are %v (%v), want %v", explain, i, a.ValueNorms, a.Err, want[i])
			}
		}
	}
}
