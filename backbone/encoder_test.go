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

// tiny is the smallest encoder in which no two sizes are equal, so that swapped axes cannot go unseen.
func tiny(change func(*backbone.Encoder)) *backbone.Encoder {
	e := &backbone.Encoder{
		Vocab: 23, MaxLength: 64, Layers: 3, Dim: 12, Heads: 3, Hidden: 20, Norm: "post", Positions: "learned",
		Activation: "gelu", Epsilon: 1e-12, Pool: "mean", Dropout: 0.1, TokenTypes: 2,
	}
	if change != nil {
		change(e)
	}
	return e
}

func variants() map[string]*backbone.Encoder {
	return map[string]*backbone.Encoder{
		"post mean": tiny(nil),
		"post cls tanh": tiny(func(e *backbone.Encoder) {
			e.Pool, e.Activation, e.TokenTypes, e.PadID = "cls", "gelu_tanh", 0, 5
		}),
		"pre mean":    tiny(func(e *backbone.Encoder) { e.Norm, e.Epsilon = "pre", 1e-5 }),
		"pre cls":     tiny(func(e *backbone.Encoder) { e.Norm, e.Pool = "pre", "cls" }),
		"cls pooler":  tiny(func(e *backbone.Encoder) { e.Pool, e.Pooler = "cls", "tanh" }),
		"mean pooler": tiny(func(e *backbone.Encoder) { e.Pooler = "relu" }),
		"native":      tiny(func(e *backbone.Encoder) { e.Dim, e.Hidden = 48, 80 }),
		"native pre": tiny(func(e *backbone.Encoder) {
			e.Dim, e.Hidden, e.Norm, e.Pool, e.Pooler, e.TokenTypes, e.PadID = 48, 80, "pre", "cls", "tanh", 0, 5
		}),
	}
}

// fresh draws every weight from a normal distribution of deviation 0.5 around its usual start, so that no bias is zero
// and attention is far from uniform.
func fresh(b backbone.Backbone, seed uint64) layer.Weights {
	ops := backbone.Ops(b)
	for k := range b.Depth() + 1 {
		ops = append(ops, b.Tap(k))
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	w := layer.NewWeights(layer.ParamsOf(ops...), seed)
	for _, p := range layer.ParamsOf(ops...) {
		values := tensors.MustCopyFlatData[float32](w[p.Name])
		for i := range values {
			values[i] += float32(0.5 * rng.NormFloat64())
		}
		w[p.Name] = tensors.FromFlatDataAndDimensions(values, p.Dims...)
	}
	return w
}

// tapAt runs the backbone to depth k and returns its tap [batch][dim].
func tapAt(t *testing.T, b backbone.Backbone, k int, w layer.Weights, ids [][]int32) [][]float32 {
	t.Helper()
	out, err := backbonetest.Eval(append(backbone.Ops(b)[:k+1], b.Tap(k)), w, tensors.FromValue(ids))
	if err != nil {
		t.Fatal(err)
	}
	return out[0].Value().([][]float32)
}

func TestEncoderMatchesReference(t *testing.T) {
	// float32 rounds each operation to 6e-8 of its value. Values here are at most about 10 and pass through some twenty
	// operations that do not average the error out: 10 · 20 · 6e-8 is about 1e-5.
	const tolerance = 1e-5
	for name, e := range variants() {
		t.Run(name, func(t *testing.T) {
			w := fresh(e, 1)
			ref := reftest.Encoder{
				Layers: e.Layers, Heads: e.Heads, PadID: e.PadID, PreNorm: e.Norm == "pre",
				Tanh: e.Activation == "gelu_tanh", CLS: e.Pool == "cls", Pooler: e.Pooler, Epsilon: e.Epsilon, Weights: flat(w),
			}
			pad := int32(e.PadID)
			ids := [][]int32{{1, 7, 22, 3, 2}, {4, 9, 2, pad, pad}, {8, pad, pad, pad, pad}}
			for k := range e.Layers + 1 {
				got := tapAt(t, e, k, w, ids)
				for row := range ids {
					_, taps := ref.Forward(ints(ids[row]))
					for d, want := range taps[k] {
						if diff := math.Abs(float64(got[row][d]) - want); diff > tolerance {
							t.Fatalf("tap %d, row %d, value %d is %v, want %v", k, row, d, got[row][d], want)
						}
					}
				}
			}
		})
	}
}

func ints(ids []int32) []int {
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out
}

func TestEncoderPaddingChangesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for name, e := range variants() {
		t.Run(name, func(t *testing.T) {
			w := fresh(e, 2)
			short, long := make([][]int32, 4), make([][]int32, 4)
			for row, tokens := range []int{32, 20, 1, 0} { // 0: a sample of padding alone
				short[row], long[row] = make([]int32, 32), make([]int32, 64)
				for i := range long[row] {
					long[row][i] = int32(e.PadID)
					if i < tokens {
						long[row][i] = int32(6 + rng.IntN(e.Vocab-6)) // above either variant's padding id
					}
				}
				copy(short[row], long[row])
			}
			a, b := tapAt(t, e, e.Layers, w, short), tapAt(t, e, e.Layers, w, long)
			for row := range a {
				for d := range a[row] {
					if diff := math.Abs(float64(a[row][d] - b[row][d])); !(diff <= 1e-5) {
						t.Fatalf("row %d, value %d is %v at length 32 and %v at 64", row, d, a[row][d], b[row][d])
					}
				}
			}
		})
	}
}

func TestEncoderRefusesBadConfigurations(t *testing.T) {
	for want, change := range map[string]func(*backbone.Encoder){
		"vocab is 0":          func(e *backbone.Encoder) { e.Vocab = 0 },
		"max_length is -1":    func(e *backbone.Encoder) { e.MaxLength = -1 },
		"layers is 0":         func(e *backbone.Encoder) { e.Layers = 0 },
		"dim is 13":           func(e *backbone.Encoder) { e.Dim = 13 },
		"heads is 0":          func(e *backbone.Encoder) { e.Heads = 0 },
		"hidden is 0":         func(e *backbone.Encoder) { e.Hidden = 0 },
		`norm is "both"`:      func(e *backbone.Encoder) { e.Norm = "both" },
		`positions is "rope"`: func(e *backbone.Encoder) { e.Positions = "rope" },
		`activation is "tan"`: func(e *backbone.Encoder) { e.Activation = "tan" },
		`pool is ""`:          func(e *backbone.Encoder) { e.Pool = "" },
		`pooler is "gelu"`:    func(e *backbone.Encoder) { e.Pooler = "gelu" },
		"pad_id is 23":        func(e *backbone.Encoder) { e.PadID = 23 },
		"epsilon is NaN":      func(e *backbone.Encoder) { e.Epsilon = math.NaN() },
		"dropout is 1":        func(e *backbone.Encoder) { e.Dropout = 1 },
		"token_types is -2":   func(e *backbone.Encoder) { e.TokenTypes = -2 },
	} {
		err := tiny(change).Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a fault saying %q", err, want)
		}
	}
	several := tiny(func(e *backbone.Encoder) { e.Layers, e.Pool = 0, "max" }).Validate()
	if several == nil || !strings.Contains(several.Error(), "layers") || !strings.Contains(several.Error(), "pool") {
		t.Errorf("got %v, want both faults", several)
	}
}

func TestEncoderRefusesTooLongSamples(t *testing.T) {
	e := tiny(func(e *backbone.Encoder) { e.MaxLength = 4 })
	_, err := backbonetest.Eval(backbone.Ops(e), fresh(e, 1), tensors.FromValue([][]int32{{1, 2, 3, 4, 5}}))
	if err == nil || !strings.Contains(err.Error(), "length is 5, want at most max_length, 4") {
		t.Errorf("got %v, want an error about the length", err)
	}
}

func TestEncoderDefaultsAreMiniLM(t *testing.T) {
	b, err := backbone.Decode([]byte(`{"kind": "encoder", "token_types": 2}`))
	if err != nil {
		t.Fatal(err)
	}
	values := 0
	for _, p := range layer.ParamsOf(backbone.Ops(b)...) {
		n := 1
		for _, d := range p.Dims {
			n *= d
		}
		values += n
	}
	// sentence-transformers/all-MiniLM-L6-v2 has 22,713,216 parameters, of which the pooler's 384·384 + 384 are not ours.
	if want := 22_713_216 - 384*384 - 384; values != want {
		t.Errorf("%d parameters, want %d", values, want)
	}
	// 4·L·d² + 2·L²·d + 2·L·d·hidden at L 64, d 384, hidden 1536: 37,748,736 + 3,145,728 + 75,497,472.
	if got := b.Block(1).MACs(64); got != 116_391_936 {
		t.Errorf("a block costs %d multiply-accumulates, want 116,391,936", got)
	}
}

func TestEncoderConforms(t *testing.T) {
	all := variants()
	all["tied"] = tiny(func(e *backbone.Encoder) { e.Tied = true })
	all["one block, no dropout"] = tiny(func(e *backbone.Encoder) { e.Layers, e.Dropout = 1, 0 })
	for name, e := range all {
		t.Run(name, func(t *testing.T) {
			backbonetest.Run(t, e, backbonetest.Options{Vocab: e.Vocab})
		})
	}
}
