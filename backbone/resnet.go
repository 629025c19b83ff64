package backbone

import (
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

func init() {
	Register("resnet", func() Backbone {
		return &ResNet{Norm: "batch", Shortcut: "A", StemStride: 1, Epsilon: 1e-5}
	})
}

// ResNet is the CIFAR family of residual networks (He et al. 2016, section 4.2; depth 6n+2 with three stages of n
// blocks): a 3×3 convolution, then basic blocks ReLU(norm(conv(ReLU(norm(conv(h))))) + shortcut(h)); the first block of
// every stage but the first halves height and width. States are [batch, height, width, channels], after the ReLU.
//
// The tap keeps some space, as SDN's does (Kaya et al. 2019): a learned mix of average and max pooling to at most 4×4,
// flattened. Pooling away all space makes early exits useless (docs/experiments.md).
//
// Weights: stem.mean and stem.std [channels]; stem.conv and block.<k>.conv1, conv2 (and shortcut, option B) each have
// .kernel [3, 3, in, out] and, with norm "batch", .gain, .shift, .mean, .variance [out], or with norm "folded" .bias
// [out]; tap.<k>.mix [].
type ResNet struct {
	// Inputs is [height, width, channels].
	Inputs []int   `json:"input"`
	Stages []Stage `json:"stages"`
	// StemStride is the stride of the first convolution; 2 makes every block four times cheaper.
	StemStride int `json:"stem_stride"`
	// Shortcut is "A", zero-padded channels and no parameters, or "B", a 1×1 convolution where the shape changes.
	Shortcut string `json:"shortcut"`
	// Norm is "batch" (training form) or "folded" (inference form).
	Norm    string  `json:"norm"`
	Epsilon float64 `json:"epsilon"`
	// Tied lets blocks of equal shape share the weights of the first of them.
	Tied bool `json:"tied,omitempty"`
}

// Stage is a run of blocks of equal width. The first stage also sets the width of the stem, and pruning may leave it
// without blocks.
type Stage struct {
	Channels int `json:"channels"`
	Blocks   int `json:"blocks"`
}

// maxBlocks bounds what a few bytes of configuration can make; the deepest network of the paper has 500.
const maxBlocks = 4096

// Validate implements [Backbone].
func (r *ResNet) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("backbone: resnet: "+format, args...))
	}
	if len(r.Inputs) != 3 {
		fault("input is %v, want [height, width, channels]", r.Inputs)
	} else {
		faults = append(faults, checkDims("resnet", r.Inputs)...)
	}
	r.validateStages(fault)
	if r.StemStride != 1 && r.StemStride != 2 {
		fault("stem_stride is %d, want 1 or 2", r.StemStride)
	}
	if r.Shortcut != "A" && r.Shortcut != "B" {
		fault("shortcut is %q, want A or B", r.Shortcut)
	}
	if r.Norm != "batch" && r.Norm != "folded" {
		fault("norm is %q, want batch or folded", r.Norm)
	}
	if !(r.Epsilon > 0) {
		fault("epsilon is %v, want > 0", r.Epsilon)
	}
	return errors.Join(faults...)
}

func (r *ResNet) validateStages(fault func(format string, args ...any)) {
	total := 0
	for i, s := range r.Stages {
		fewest := 1
		if i == 0 && len(r.Stages) > 1 {
			fewest = 0
		}
		if s.Channels < 1 || s.Blocks < fewest || s.Blocks > maxBlocks {
			fault("stage %d has %d channels and %d blocks, want at least 1 and %d to %d", i+1, s.Channels, s.Blocks, fewest, maxBlocks)
			return
		}
		if total += s.Blocks; total > maxBlocks {
			fault("stages have more than %d blocks", maxBlocks)
			return
		}
		if i > 0 && r.Shortcut == "A" && s.Channels < r.Stages[i-1].Channels {
			fault("stage %d has %d channels after %d; shortcut A cannot narrow, use B", i+1, s.Channels, r.Stages[i-1].Channels)
		}
	}
	if len(r.Stages) == 0 {
		fault("stages is empty, want at least one")
	}
}

// Input implements [Backbone].
func (r *ResNet) Input() layer.Spec { return layer.Float32(r.Inputs...) }

// Depth implements [Backbone].
func (r *ResNet) Depth() int {
	n := 0
	for _, s := range r.Stages {
		n += s.Blocks
	}
	return n
}

// place is where state k lies: its shape, and whether block k, which makes it, halves height and width.
type place struct {
	height, width, channels int
	halves                  bool
}

// places lists the place of every state, 0 to Depth.
func (r *ResNet) places() []place {
	at := place{ceilDiv(r.Inputs[0], r.StemStride), ceilDiv(r.Inputs[1], r.StemStride), r.Stages[0].Channels, false}
	all := []place{at}
	for i, s := range r.Stages {
		for block := range s.Blocks {
			at.channels, at.halves = s.Channels, i > 0 && block == 0
			if at.halves {
				at.height, at.width = ceilDiv(at.height, 2), ceilDiv(at.width, 2)
			}
			all = append(all, at)
		}
	}
	return all
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// State implements [Backbone].
func (r *ResNet) State(k int) []layer.Spec {
	at := r.places()[k]
	return []layer.Spec{layer.Float32(at.height, at.width, at.channels)}
}

// Stem implements [Backbone].
func (r *ResNet) Stem() layer.Op {
	at, channels := r.places()[0], r.Inputs[2]
	return layer.Op{
		Name:      "stem",
		Signature: fmt.Sprintf("resnet stem stride=%d norm=%s eps=%g", r.StemStride, r.Norm, r.Epsilon),
		Params:    append(standardiseParams(r.Inputs), r.convParams("conv", 3, channels, at.channels)...),
		MACs:      func(int) int64 { return at.convMACs(3, channels) },
		Apply: func(p *layer.Pass, in []*graph.Node) []*graph.Node {
			return []*graph.Node{layer.ReLU(r.conv(p, "conv", standardise(p, in[0]), r.StemStride))}
		},
		Native: r.native(r.nativeStem),
	}
}

// native is what packs an operation of the folded form; before folding there is nothing to pack.
func (r *ResNet) native(pack func(map[string][]float32) layer.Kernel) func(map[string][]float32) layer.Kernel {
	if r.Norm != "folded" {
		return nil
	}
	return pack
}

// Block implements [Backbone].
func (r *ResNet) Block(k int) Block {
	places := r.places()
	from, to := places[k-1], places[k]
	same := from.channels == to.channels && !to.halves
	projected := r.Shortcut == "B" && !same
	params := append(r.convParams("conv1", 3, from.channels, to.channels), r.convParams("conv2", 3, to.channels, to.channels)...)
	macs := to.convMACs(3, from.channels) + to.convMACs(3, to.channels)
	if projected {
		params = append(params, r.convParams("shortcut", 1, from.channels, to.channels)...)
		macs += to.convMACs(1, from.channels)
	}
	stride := 1
	if to.halves {
		stride = 2
	}
	op := layer.Op{
		Name: r.blockName(places, k),
		Signature: fmt.Sprintf("resnet block stride=%d shortcut=%s projected=%t norm=%s eps=%g",
			stride, r.Shortcut, projected, r.Norm, r.Epsilon),
		Params: params,
		MACs:   func(int) int64 { return macs },
		Apply: func(p *layer.Pass, state []*graph.Node) []*graph.Node {
			h := layer.ReLU(r.conv(p, "conv1", state[0], stride)) // [batch, height, width, channels]
			h = r.conv(p, "conv2", h, 1)
			shortcut := state[0]
			switch {
			case projected:
				shortcut = r.conv(p, "shortcut", shortcut, stride)
			case !same:
				shortcut = subsampleAndPad(shortcut, stride, to.channels)
			}
			return []*graph.Node{layer.ReLU(graph.Add(h, shortcut))}
		},
		Native: r.native(func(weights map[string][]float32) layer.Kernel {
			return newNativeBlock(weights, from, to, stride, projected)
		}),
	}
	return Block{Op: op, Removable: same}
}

// blockName is the prefix of block k's weights: its own, or with Tied that of the first block of equal shape.
func (r *ResNet) blockName(places []place, k int) string {
	if r.Tied {
		for first := 1; first < k; first++ {
			if places[first] == places[k] && places[first-1].channels == places[k-1].channels {
				return BlockName(first)
			}
		}
	}
	return BlockName(k)
}

// conv is a convolution with padding 'same' and its normalisation. x is [batch, height, width, in].
func (r *ResNet) conv(p *layer.Pass, name string, x *graph.Node, stride int) *graph.Node {
	y := convolve(p, x, p.Param(name+".kernel"), stride)
	if r.Norm == "folded" {
		return graph.Add(y, graph.ExpandLeftToRank(p.Param(name+".bias"), 4))
	}
	return batchNorm(p, name, y, r.Epsilon)
}

func (r *ResNet) convParams(name string, window, in, out int) []layer.Param {
	kernel := layer.Param{Name: name + ".kernel", Dims: []int{window, window, in, out}, Init: layer.He}
	if r.Norm == "folded" {
		return []layer.Param{kernel, {Name: name + ".bias", Dims: []int{out}, Init: layer.Zeros}}
	}
	return append([]layer.Param{kernel}, batchNormParams(name, out)...)
}

// convMACs counts a window×window convolution from in channels that ends at this place.
func (at place) convMACs(window, in int) int64 {
	return int64(at.height*at.width) * int64(window*window) * int64(in) * int64(at.channels)
}

// subsampleAndPad is shortcut A: every stride-th pixel, and zeros for the new channels, half before and half after.
func subsampleAndPad(x *graph.Node, stride, channels int) *graph.Node {
	if stride > 1 {
		x = graph.Slice(x, graph.AxisRange(), graph.AxisRange().Stride(stride), graph.AxisRange().Stride(stride), graph.AxisRange())
	}
	more := channels - x.Shape().Dim(3)
	return padAxis(x, 3, more/2, more-more/2)
}

// Keep implements [Backbone].
func (r *ResNet) Keep(blocks []int) (Backbone, error) {
	if err := CheckKeep(r, blocks); err != nil {
		return nil, err
	}
	kept := *r
	kept.Stages = nil
	first, deepest := 1, blocks[len(blocks)-1]
	for _, s := range r.Stages {
		if first > deepest {
			break
		}
		n := 0
		for _, k := range blocks {
			if first <= k && k < first+s.Blocks {
				n++
			}
		}
		kept.Stages = append(kept.Stages, Stage{s.Channels, n}) // n is 0 for the first stage at most: others begin with a block that must stay
		first += s.Blocks
	}
	return &kept, nil
}
