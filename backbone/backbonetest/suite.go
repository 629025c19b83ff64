package backbonetest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/layer"
)

// batch is the number of rows of the suite's input: enough for a first, a middle and a last.
const batch = 3

// tolerance bounds the difference of two float32 computations of the same thing in another order, relative to the
// largest value: a few hundred roundings of 6e-8.
const tolerance = 2e-5

// suite is a backbone with weights and a batch of inputs.
type suite struct {
	b       backbone.Backbone
	opts    Options
	weights layer.Weights
	in      *tensors.Tensor
	padding int32 // fills rows of ids
}

func newSuite(b backbone.Backbone, opts Options) (*suite, error) {
	if opts.Length == 0 {
		opts.Length = 6
	}
	s := &suite{b: b, opts: opts}
	rng := rand.New(rand.NewPCG(opts.Seed, 1))
	s.weights = noisy(allOps(b), rng)
	spec := b.Input()
	switch {
	case spec.DType == dtypes.Int32 && slices.Equal(spec.Dims, []int{layer.Length}):
		if opts.Vocab < 2 {
			return nil, errors.New("backbonetest: Options.Vocab must be at least 2 for a backbone over ids")
		}
		sequence, ok := b.(backbone.Sequence)
		if !ok {
			return nil, fmt.Errorf("backbonetest: %T reads rows of ids and must implement backbone.Sequence", b)
		}
		s.padding = sequence.Padding()
		s.in = s.ids(rng, opts.Length)
	case spec.DType == dtypes.Float32 && !slices.Contains(spec.Dims, layer.Length):
		s.in = normal(rng, append([]int{batch}, spec.Dims...))
	default:
		return nil, fmt.Errorf("backbonetest: Input is %v, want float32 of fixed size or int32 [Length]", spec)
	}
	return s, nil
}

// allOps lists stem, blocks and taps.
func allOps(b backbone.Backbone) []layer.Op {
	ops := backbone.Ops(b)
	for k := range b.Depth() + 1 {
		ops = append(ops, b.Tap(k))
	}
	return ops
}

// noisy draws weights away from their usual starts, so that no bias is zero and no gain one. Statistics only grow, so
// that a variance stays one.
func noisy(ops []layer.Op, rng *rand.Rand) layer.Weights {
	params := layer.ParamsOf(ops...)
	weights := layer.NewWeights(params, rng.Uint64())
	for _, p := range params {
		values := tensors.MustCopyFlatData[float32](weights[p.Name])
		for i := range values {
			noise := 0.2 * rng.NormFloat64()
			if p.Frozen {
				noise = math.Abs(noise)
			}
			values[i] += float32(noise)
		}
		weights[p.Name] = tensors.FromFlatDataAndDimensions(values, p.Dims...)
	}
	return weights
}

// ids draws rows of length, length/2 and 1 tokens; the rest is padding.
func (s *suite) ids(rng *rand.Rand, length int) *tensors.Tensor {
	values := make([]int32, batch*length)
	for i := range values {
		row, at := i/length, i%length
		values[i] = s.padding
		if at < []int{length, (length + 1) / 2, 1}[row] {
			values[i] = int32((int(s.padding) + 1 + rng.IntN(s.opts.Vocab-1)) % s.opts.Vocab)
		}
	}
	return tensors.FromFlatDataAndDimensions(values, batch, length)
}

func normal(rng *rand.Rand, dims []int) *tensors.Tensor {
	n := 1
	for _, d := range dims {
		n *= d
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	return tensors.FromFlatDataAndDimensions(values, dims...)
}

// result is what a forward pass shows: the parts of every state and every tap, by depth.
type result struct {
	states [][]*tensors.Tensor
	taps   []*tensors.Tensor
}

// forward runs b in one graph.
func forward(b backbone.Backbone, weights layer.Weights, in *tensors.Tensor) (*result, error) {
	var parts []int // of each state
	out, err := execute(layer.ParamsOf(allOps(b)...), weights, []*tensors.Tensor{in}, func(w nodes, state []*graph.Node) []*graph.Node {
		var all []*graph.Node
		for k, op := range backbone.Ops(b) {
			state = op.Apply(w.pass(op, nil), state)
			tap := b.Tap(k)
			read := tap.Apply(w.pass(tap, nil), state)
			if len(read) != 1 {
				panic(fmt.Errorf("tap %d gives %d outputs, want 1", k, len(read)))
			}
			parts = append(parts, len(state))
			all = append(append(all, state...), read[0])
		}
		return all
	})
	if err != nil {
		return nil, err
	}
	r := &result{}
	for _, n := range parts {
		r.states = append(r.states, out[:n])
		r.taps = append(r.taps, out[n])
		out = out[n+1:]
	}
	return r, nil
}

// run is the forward pass of the suite's own backbone, weights and input.
func (s *suite) run() (*result, error) { return forward(s.b, s.weights, s.in) }

// same compares two lists of tensors by value.
func same(what string, got, want []*tensors.Tensor, tolerance float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%s has %d parts, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !got[i].Shape().Equal(want[i].Shape()) {
			return fmt.Errorf("%s, part %d, has shape %s, want %s", what, i, got[i].Shape(), want[i].Shape())
		}
		if got[i].DType() != dtypes.Float32 {
			continue
		}
		a, b := tensors.MustCopyFlatData[float32](got[i]), tensors.MustCopyFlatData[float32](want[i])
		scale := 1.0
		for _, v := range b {
			scale = max(scale, math.Abs(float64(v)))
		}
		for j := range a {
			if !(math.Abs(float64(a[j])-float64(b[j])) <= tolerance*scale) {
				return fmt.Errorf("%s, part %d, value %d is %v, want %v", what, i, j, a[j], b[j])
			}
		}
	}
	return nil
}

// row returns row i of a batch, as a batch of one.
func row(t *tensors.Tensor, i int) *tensors.Tensor {
	dims := slices.Clone(t.Shape().Dimensions)
	rows := dims[0]
	dims[0] = 1
	if t.DType() == dtypes.Int32 {
		values := tensors.MustCopyFlatData[int32](t)
		n := len(values) / rows
		return tensors.FromFlatDataAndDimensions(values[i*n:(i+1)*n], dims...)
	}
	values := tensors.MustCopyFlatData[float32](t)
	n := len(values) / rows
	return tensors.FromFlatDataAndDimensions(values[i*n:(i+1)*n], dims...)
}

// rowOf returns row i of every tensor of a list.
func rowOf(list []*tensors.Tensor, i int) []*tensors.Tensor {
	out := make([]*tensors.Tensor, len(list))
	for j, t := range list {
		out[j] = row(t, i)
	}
	return out
}
