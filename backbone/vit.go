package backbone

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

func init() {
	Register("vit", func() Backbone {
		return &ViT{Patch: 16, Layers: 12, Dim: 768, Heads: 12, Hidden: 3072, Activation: "gelu", Epsilon: 1e-12, Pool: "cls"}
	})
}

// ViT is a vision transformer (Dosovitskiy et al. 2021). The defaults are the shape of ViT-B/16 but for the input.
//
// The standardised image is cut into patches of Patch×Patch pixels, row by row. A state is [batch, 1 + patches, Dim]: a
// learned place of its own, then one place per patch. State 0 is [class; affine(patch)] + position; a block is that of a
// pre-norm [Encoder] without padding. Blocks leave the state unnormalised, so every tap has a layer norm of its own; it
// reads the first place, LayerNorm(h at class), or with Pool "mean" the mean of LayerNorm(h) over the patches. The norm at the
// last depth is what other programs call the final norm.
//
// Weights of a Hugging Face ViT map one to one. Dense kernels there are [out, in] and must be transposed, the kernel of
// the patches is [out, channels, rows, columns]; "…" is encoder.layer.<k-1>. Where qkv_bias is false the biases of query,
// key and value are zeros.
//
//	stem.mean, stem.std [channels]                 image_mean, image_std of preprocessor_config.json
//	stem.class          [Dim]                      embeddings.cls_token
//	stem.position       [1 + patches, Dim]         embeddings.position_embeddings
//	stem.patch.kernel   [Patch*Patch*channels, Dim], .bias [Dim]   embeddings.patch_embeddings.projection.weight, bias
//	block.<k>.attention.norm.gain, bias       ….layernorm_before.weight, bias
//	block.<k>.attention.query.kernel, bias    ….attention.attention.query.weight, bias
//	block.<k>.attention.key.kernel, bias      ….attention.attention.key.weight, bias
//	block.<k>.attention.value.kernel, bias    ….attention.attention.value.weight, bias
//	block.<k>.attention.output.kernel, bias   ….attention.output.dense.weight, bias
//	block.<k>.ffn.norm.gain, bias             ….layernorm_after.weight, bias
//	block.<k>.ffn.up.kernel, bias             ….intermediate.dense.weight, bias
//	block.<k>.ffn.down.kernel, bias           ….output.dense.weight, bias
//	tap.<k>.norm.gain, bias                   layernorm.weight, bias, at the last depth
type ViT struct {
	// Inputs is [height, width, channels], height and width multiples of Patch.
	Inputs []int `json:"input"`
	// Patch is the side of a patch in pixels.
	Patch  int `json:"patch"`
	Layers int `json:"layers"`
	Dim    int `json:"dim"`
	Heads  int `json:"heads"`
	// Hidden is the width of the feed-forward layer.
	Hidden int `json:"hidden"`
	// Activation is "gelu", the exact form (default), or "gelu_tanh", its approximation, for imported models.
	Activation string `json:"activation"`
	// Epsilon of every layer norm.
	Epsilon float64 `json:"epsilon"`
	// Pool is "cls", taps read the first place (default), or "mean", they read all patches. The first place of state 0 is the
	// same for every image.
	Pool string `json:"pool"`
	// Dropout is the rate on state 0, attention weights and the output of either half of a block.
	Dropout float64 `json:"dropout"`
}

// Validate implements [Backbone].
func (v *ViT) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("backbone: vit: "+format, args...))
	}
	for _, size := range []struct {
		field string
		value int
	}{{"patch", v.Patch}, {"layers", v.Layers}, {"dim", v.Dim}, {"heads", v.Heads}, {"hidden", v.Hidden}} {
		if size.value < 1 {
			fault("%s is %d, want at least 1", size.field, size.value)
		}
	}
	if len(v.Inputs) != 3 || slices.Min(v.Inputs) < 1 {
		fault("input is %v, want [height, width, channels]", v.Inputs)
	} else if v.Patch > 0 && (v.Inputs[0]%v.Patch != 0 || v.Inputs[1]%v.Patch != 0) {
		fault("input is %v, want height and width to be multiples of patch, %d", v.Inputs, v.Patch)
	}
	if v.Heads > 0 && v.Dim%v.Heads != 0 {
		fault("dim is %d, want a multiple of heads, %d", v.Dim, v.Heads)
	}
	if choices := []string{"gelu", "gelu_tanh"}; !slices.Contains(choices, v.Activation) {
		fault("activation is %q, want one of %q", v.Activation, choices)
	}
	if choices := []string{"cls", "mean"}; !slices.Contains(choices, v.Pool) {
		fault("pool is %q, want one of %q", v.Pool, choices)
	}
	if !(v.Epsilon > 0) || math.IsInf(v.Epsilon, 1) {
		fault("epsilon is %v, want a finite number > 0", v.Epsilon)
	}
	if !(v.Dropout >= 0 && v.Dropout < 1) {
		fault("dropout is %v, want a rate in [0, 1)", v.Dropout)
	}
	return errors.Join(faults...)
}

// Input implements [Backbone].
func (v *ViT) Input() layer.Spec { return layer.Float32(v.Inputs...) }

// Depth implements [Backbone].
func (v *ViT) Depth() int { return v.Layers }

// patches is how many there are in an image.
func (v *ViT) patches() int { return v.Inputs[0] / v.Patch * (v.Inputs[1] / v.Patch) }

// State implements [Backbone].
func (v *ViT) State(int) []layer.Spec { return []layer.Spec{layer.Float32(1+v.patches(), v.Dim)} }

// TapDim implements [Backbone].
func (v *ViT) TapDim(int) int { return v.Dim }

// Stem implements [Backbone].
func (v *ViT) Stem() layer.Op {
	std, pixels := layer.Normal(0.02), v.Patch*v.Patch*v.Inputs[2]
	params := append(standardiseParams(v.Inputs),
		layer.Param{Name: "class", Dims: []int{v.Dim}, Init: std},
		layer.Param{Name: "position", Dims: []int{1 + v.patches(), v.Dim}, Init: std})
	return layer.Op{
		Name:      "stem",
		Signature: fmt.Sprintf("vit stem patch=%d dropout=%g", v.Patch, v.Dropout),
		Params:    append(params, layer.DenseParams("patch", pixels, v.Dim, std)...),
		MACs:      func(int) int64 { return int64(v.patches()) * int64(pixels) * int64(v.Dim) },
		Apply: func(p *layer.Pass, in []*graph.Node) []*graph.Node {
			x := layer.Dense(p, "patch", v.cut(standardise(p, in[0]))) // [batch, patches, dim]
			class := graph.BroadcastToDims(graph.ExpandLeftToRank(p.Param("class"), 3), x.Shape().Dim(0), 1, v.Dim)
			h := graph.Add(graph.Concatenate([]*graph.Node{class, x}, 1), graph.InsertAxes(p.Param("position"), 0))
			return []*graph.Node{p.Dropout(h, v.Dropout)}
		},
		Native: v.nativeStem,
	}
}

// cut lays the patches of x [batch, height, width, channels] side by side, [batch, patches, Patch*Patch*channels]. The
// windows of a convolution of this stride do not overlap, so that it is a product of these with its kernel as a matrix.
func (v *ViT) cut(x *graph.Node) *graph.Node {
	batch, rows, columns, channels := x.Shape().Dim(0), v.Inputs[0]/v.Patch, v.Inputs[1]/v.Patch, v.Inputs[2]
	x = graph.Reshape(x, batch, rows, v.Patch, columns, v.Patch, channels)
	x = graph.TransposeAllAxes(x, 0, 1, 3, 2, 4, 5)
	return graph.Reshape(x, batch, rows*columns, v.Patch*v.Patch*channels)
}

// Block implements [Backbone].
func (v *ViT) Block(k int) Block {
	block := attentive{v.Dim, v.Heads, v.Hidden, "pre", v.Activation, v.Epsilon, v.Dropout}
	return Block{Removable: true, Op: layer.Op{
		Name:      BlockName(k),
		Signature: fmt.Sprintf("vit block heads=%d activation=%s eps=%g dropout=%g", v.Heads, v.Activation, v.Epsilon, v.Dropout),
		Params:    block.params(),
		MACs:      func(int) int64 { return block.macs(1 + v.patches()) },
		Apply: func(p *layer.Pass, state []*graph.Node) []*graph.Node {
			return []*graph.Node{block.apply(p, state[0], nil)}
		},
		Native: block.native,
	}}
}

// Tap implements [Backbone].
func (v *ViT) Tap(k int) layer.Op {
	return layer.Op{
		Name:      TapName(k),
		Signature: fmt.Sprintf("vit tap pool=%s eps=%g", v.Pool, v.Epsilon),
		Params:    layer.LayerNormParams("norm", v.Dim),
		MACs:      layer.NoMACs,
		Apply: func(p *layer.Pass, state []*graph.Node) []*graph.Node {
			places := graph.AxisRange(0, 1)
			if v.Pool == "mean" {
				places = graph.AxisRange(1)
			}
			read := layer.LayerNorm(p, "norm", graph.Slice(state[0], graph.AxisRange(), places), v.Epsilon) // [batch, places, dim]
			return []*graph.Node{graph.ReduceMean(read, 1)}
		},
		Native: v.nativeTap,
	}
}

// Keep implements [Backbone].
func (v *ViT) Keep(blocks []int) (Backbone, error) {
	if err := CheckKeep(v, blocks); err != nil {
		return nil, err
	}
	kept := *v
	kept.Layers = len(blocks)
	return &kept, nil
}
