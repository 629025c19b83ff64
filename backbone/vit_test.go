package backbone_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/backbone/backbonetest"
	"github.com/layarun/layarun/internal/reftest"
	"github.com/layarun/layarun/layer"
)

// smallViT has no two sizes that are equal: 2 by 3 patches of 4×4.
func smallViT(change func(*backbone.ViT)) *backbone.ViT {
	v := &backbone.ViT{Inputs: []int{8, 12, 3}, Patch: 4, Layers: 2, Dim: 10, Heads: 2, Hidden: 14, Activation: "gelu", Epsilon: 1e-6, Dropout: 0.1, Pool: "cls"}
	if change != nil {
		change(v)
	}
	return v
}

func vits() map[string]*backbone.ViT {
	return map[string]*backbone.ViT{
		"plain":       smallViT(nil),
		"tanh":        smallViT(func(v *backbone.ViT) { v.Activation, v.Layers, v.Dropout = "gelu_tanh", 1, 0 }),
		"mean":        smallViT(func(v *backbone.ViT) { v.Pool = "mean" }),
		"native":      smallViT(func(v *backbone.ViT) { v.Dim, v.Hidden = 32, 48 }),
		"native mean": smallViT(func(v *backbone.ViT) { v.Dim, v.Hidden, v.Pool = 32, 48, "mean" }),
		"grey":        smallViT(func(v *backbone.ViT) { v.Inputs, v.Layers = []int{4, 4, 1}, 3 }),
	}
}

func TestViTConforms(t *testing.T) {
	for name, v := range vits() {
		t.Run(name, func(t *testing.T) { backbonetest.Run(t, v, backbonetest.Options{}) })
	}
}

func TestViTMatchesReference(t *testing.T) {
	// As for the encoder: values of at most about 10 through some twenty operations of 6e-8 each; standardising by a
	// deviation of down to a half doubles the pixels.
	const tolerance = 2e-5
	for name, v := range vits() {
		t.Run(name, func(t *testing.T) {
			w := fresh(v, 3)
			w["stem.std"] = tensors.FromValue([]float32{0.5, 1.5, 2}[:v.Inputs[2]])
			ref := reftest.ViT{
				Height: v.Inputs[0], Width: v.Inputs[1], Channels: v.Inputs[2], Patch: v.Patch,
				Layers: v.Layers, Heads: v.Heads, Tanh: v.Activation == "gelu_tanh", Mean: v.Pool == "mean", Epsilon: v.Epsilon, Weights: flat(w),
			}
			rng := rand.New(rand.NewPCG(4, 0))
			values := make([]float32, 2*v.Input().Size(1))
			for i := range values {
				values[i] = rng.Float32()
			}
			in := tensors.FromFlatDataAndDimensions(values, append([]int{2}, v.Inputs...)...)
			for k := range v.Layers + 1 {
				tap, err := backbonetest.Eval(append(backbone.Ops(v)[:k+1], v.Tap(k)), w, in)
				if err != nil {
					t.Fatal(err)
				}
				for row, got := range tap[0].Value().([][]float32) {
					image := make([]float64, len(values)/2)
					for i := range image {
						image[i] = float64(values[row*len(image)+i])
					}
					_, taps := ref.Forward(image)
					for d, want := range taps[k] {
						if !(math.Abs(float64(got[d])-want) <= tolerance) {
							t.Fatalf("tap %d, row %d, value %d is %v, want %v", k, row, d, got[d], want)
						}
					}
				}
			}
		})
	}
}

func flat(w layer.Weights) map[string][]float64 {
	all := map[string][]float64{}
	for name, tensor := range w {
		for _, v := range tensors.MustCopyFlatData[float32](tensor) {
			all[name] = append(all[name], float64(v))
		}
	}
	return all
}

func TestViTRefusesBadConfigurations(t *testing.T) {
	for want, change := range map[string]func(*backbone.ViT){
		"input is [8 12]":     func(v *backbone.ViT) { v.Inputs = []int{8, 12} },
		"input is [8 10 3]":   func(v *backbone.ViT) { v.Inputs = []int{8, 10, 3} },
		"input is [0 12 3]":   func(v *backbone.ViT) { v.Inputs = []int{0, 12, 3} },
		"patch is 0":          func(v *backbone.ViT) { v.Patch = 0 },
		"layers is 0":         func(v *backbone.ViT) { v.Layers = 0 },
		"dim is 11":           func(v *backbone.ViT) { v.Dim = 11 },
		"heads is 0":          func(v *backbone.ViT) { v.Heads = 0 },
		"hidden is -1":        func(v *backbone.ViT) { v.Hidden = -1 },
		`activation is "tan"`: func(v *backbone.ViT) { v.Activation = "tan" },
		`pool is "max"`:       func(v *backbone.ViT) { v.Pool = "max" },
		"epsilon is +Inf":     func(v *backbone.ViT) { v.Epsilon = math.Inf(1) },
		"dropout is NaN":      func(v *backbone.ViT) { v.Dropout = math.NaN() },
	} {
		err := smallViT(change).Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a fault saying %q", err, want)
		}
	}
}

func TestViTDefaultsAreViTBase(t *testing.T) {
	b, err := backbone.Decode([]byte(`{"kind": "vit", "input": [224, 224, 3]}`))
	if err != nil {
		t.Fatal(err)
	}
	values := 0
	for _, p := range layer.ParamsOf(append(backbone.Ops(b), b.Tap(12))...) {
		n := 1
		for _, d := range p.Dims {
			n *= d
		}
		values += n
	}
	// transformers counts 86,567,656 parameters in ViT-B/16 with 1,000 classes, 769,000 of them the classifier's. Ours has
	// mean and deviation of three channels besides.
	if want := 86_567_656 - 769_000 + 6; values != want {
		t.Errorf("%d parameters, want %d", values, want)
	}
	// 4·L·d² + 2·L²·d + 2·L·d·hidden at L 197, d 768, hidden 3072: 464,781,312 + 59,610,624 + 929,562,624.
	if got := b.Block(1).MACs(0); got != 1_453_954_560 {
		t.Errorf("a block costs %d multiply-accumulates, want 1,453,954,560", got)
	}
}
