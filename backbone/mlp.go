package backbone

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

func init() {
	Register("mlp", func() Backbone { return &MLP{Norm: "layer", Epsilon: 1e-3} })
}

// MLP is a multi-layer perceptron: block k is GELU(LayerNorm(h @ kernel + bias)), [batch, Widths[k-1]], as in the LAYA
// paper's Fashion-MNIST experiment (arXiv 2511.12723, section 4). State 0 is the flattened, standardised input.
//
// Weights: stem.mean and stem.std [last axis of the input]; block.<k>.dense.kernel [in, out], block.<k>.dense.bias,
// block.<k>.norm.gain and block.<k>.norm.bias [out].
type MLP struct {
	// Inputs are the dimensions of a sample: [features] or [height, width, channels].
	Inputs []int `json:"input"`
	Widths []int `json:"widths"`
	// Norm is "layer" (default) or "none".
	Norm string `json:"norm"`
	// Epsilon of the layer norm; the default is Keras's 1e-3, which the paper's notebook uses.
	Epsilon float64 `json:"epsilon"`
	// Residual adds a block's input to its output where the widths agree, which makes that block removable.
	Residual bool `json:"residual,omitempty"`
	// Tied lets blocks of equal shape share the weights of the first of them.
	Tied bool `json:"tied,omitempty"`
}

// Validate implements [Backbone].
func (m *MLP) Validate() error {
	faults := checkDims("mlp", m.Inputs)
	if len(m.Widths) == 0 || slices.Min(m.Widths) < 1 {
		faults = append(faults, fmt.Errorf("backbone: mlp: widths is %v, want one positive width per block", m.Widths))
	}
	if m.Norm != "layer" && m.Norm != "none" {
		faults = append(faults, fmt.Errorf("backbone: mlp: norm is %q, want layer or none", m.Norm))
	}
	if !(m.Epsilon > 0) {
		faults = append(faults, fmt.Errorf("backbone: mlp: epsilon is %v, want > 0", m.Epsilon))
	}
	return errors.Join(faults...)
}

// Input implements [Backbone].
func (m *MLP) Input() layer.Spec { return layer.Float32(m.Inputs...) }

// Depth implements [Backbone].
func (m *MLP) Depth() int { return len(m.Widths) }

// State implements [Backbone].
func (m *MLP) State(k int) []layer.Spec { return []layer.Spec{layer.Float32(m.TapDim(k))} }

// TapDim implements [Backbone]: the tap is the activation itself.
func (m *MLP) TapDim(k int) int {
	if k == 0 {
		return m.Input().Size(0)
	}
	return m.Widths[k-1]
}

// Stem implements [Backbone].
func (m *MLP) Stem() layer.Op {
	return layer.Op{
		Name:      "stem",
		Signature: fmt.Sprintf("mlp stem %v", m.Inputs),
		Params:    standardiseParams(m.Inputs),
		MACs:      layer.NoMACs,
		Apply: func(p *layer.Pass, in []*graph.Node) []*graph.Node {
			x := standardise(p, in[0])
			return []*graph.Node{graph.Reshape(x, x.Shape().Dim(0), m.TapDim(0))}
		},
		Native: m.nativeStem,
	}
}

// Block implements [Backbone].
func (m *MLP) Block(k int) Block {
	in, out := m.TapDim(k-1), m.TapDim(k)
	residual := m.Residual && in == out
	params := layer.DenseParams("dense", in, out, layer.Glorot)
	if m.Norm == "layer" {
		params = append(params, layer.LayerNormParams("norm", out)...)
	}
	op := layer.Op{
		Name:      m.blockName(k),
		Signature: fmt.Sprintf("mlp block norm=%s eps=%g residual=%t", m.Norm, m.Epsilon, residual),
		Params:    params,
		MACs:      func(int) int64 { return int64(in) * int64(out) },
		Apply: func(p *layer.Pass, state []*graph.Node) []*graph.Node {
			h := layer.Dense(p, "dense", state[0]) // [batch, out]
			if m.Norm == "layer" {
				h = layer.LayerNorm(p, "norm", h, m.Epsilon)
			}
			h = layer.GELU(h)
			if residual {
				h = graph.Add(state[0], h)
			}
			return []*graph.Node{h}
		},
		Native: func(weights map[string][]float32) layer.Kernel { return m.nativeBlock(weights, in, out, residual) },
	}
	return Block{Op: op, Removable: residual}
}

// Tap implements [Backbone].
func (m *MLP) Tap(k int) layer.Op {
	return layer.Op{
		Name:      TapName(k),
		Signature: "mlp tap",
		MACs:      layer.NoMACs,
		Apply:     func(_ *layer.Pass, state []*graph.Node) []*graph.Node { return state[:1] },
		Native:    func(map[string][]float32) layer.Kernel { return nativeCopy{} },
	}
}

// Keep implements [Backbone].
func (m *MLP) Keep(blocks []int) (Backbone, error) {
	if err := CheckKeep(m, blocks); err != nil {
		return nil, err
	}
	kept := *m
	kept.Widths = nil
	for _, k := range blocks {
		kept.Widths = append(kept.Widths, m.Widths[k-1])
	}
	return &kept, nil
}

func (m *MLP) blockName(k int) string {
	if m.Tied {
		for first := 1; first < k; first++ {
			if m.TapDim(first-1) == m.TapDim(k-1) && m.TapDim(first) == m.TapDim(k) {
				return BlockName(first)
			}
		}
	}
	return BlockName(k)
}

// standardise returns (x - mean) / std with frozen statistics over the last axis, so that whoever sends a sample need
// not know how the training data were scaled. A fresh network has mean 0 and std 1; the trainer may set them.
func standardise(p *layer.Pass, x *graph.Node) *graph.Node {
	mean := graph.ExpandLeftToRank(p.Param("mean"), x.Rank())
	std := graph.ExpandLeftToRank(p.Param("std"), x.Rank())
	return graph.Div(graph.Sub(x, mean), std)
}

func standardiseParams(inputs []int) []layer.Param {
	last := inputs[len(inputs)-1]
	return []layer.Param{
		{Name: "mean", Dims: []int{last}, Init: layer.Zeros, Frozen: true},
		{Name: "std", Dims: []int{last}, Init: layer.Ones, Frozen: true},
	}
}

func checkDims(kind string, inputs []int) []error {
	if (len(inputs) != 1 && len(inputs) != 3) || slices.Min(inputs) < 1 {
		return []error{fmt.Errorf("backbone: %s: input is %v, want [features] or [height, width, channels]", kind, inputs)}
	}
	return nil
}
