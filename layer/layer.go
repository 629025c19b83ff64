// Package layer holds what backbones and heads are both made of: parameters, pure graph functions and the few layers
// they share.
//
// An [Op] is a pure function of its inputs and its weights. It owns no variable and no scope: weights arrive as graph
// parameters through a [Pass], under the names that the Op's [Param] list declares. That is why equal Ops can share one
// compiled executable whatever their weights, and why training, inference and pruning read the same graph functions.
//
// Notation: row vectors, kernels [in, out], y = x @ kernel + bias. Shapes in comments leave the sizes of one sample to
// the Op and write the batch axis first.
package layer

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Length stands among the dimensions of a [Spec] for the padded sequence length of the batch.
const Length = -1

// Spec is the type and shape of one part of a sample's state, without the batch axis. Dims may hold [Length].
type Spec struct {
	DType dtypes.DType
	Dims  []int
}

// Shape returns the shape of a batch of such parts, with Length replaced by length.
func (s Spec) Shape(batch, length int) shapes.Shape {
	dims := append([]int{batch}, s.Dims...)
	for i, d := range dims {
		if d == Length {
			dims[i] = length
		}
	}
	return shapes.Make(s.DType, dims...)
}

// Size is the number of values of one sample of the given length.
func (s Spec) Size(length int) int {
	n := 1
	for _, d := range s.Dims {
		if d == Length {
			d = length
		}
		n *= d
	}
	return n
}

// Float32 is the Spec of a float32 part with the given dimensions.
func Float32(dims ...int) Spec { return Spec{DType: dtypes.Float32, Dims: dims} }

// Param declares one weight of an Op. All weights are float32.
type Param struct {
	Name   string // within the Op: "conv1.kernel"
	Path   string // its full name where that is not Op.Name + "." + Name: a weight that several Ops share
	Dims   []int
	Init   Init
	Frozen bool // a statistic: read and, in training, set by the Op; never touched by the optimiser
}

// Weights maps full parameter names ([Op.FullName]) to float32 tensors.
type Weights map[string]*tensors.Tensor

// Op is a pure function: outputs = Apply(weights, inputs).
type Op struct {
	// Name is where the Op's weights live. Two Ops with the same Name share (tie) their weights.
	Name string
	// Signature names the computation: Ops of equal Signature, parameter shapes and input shapes build the same graph.
	Signature string
	Params    []Param
	// MACs counts the multiply-accumulates of one sample of the given length (ignored where inputs have no Length axis):
	// products and convolutions, exactly; element-wise work is not counted.
	MACs func(length int) int64
	// Apply builds the graph. It panics only on a programming error; compile turns that into an error.
	Apply func(p *Pass, in []*graph.Node) []*graph.Node
	// Native packs the weights, by the Op's own parameter names, for the processor's vector instructions. It is nil, or
	// returns nil, where there is no kernel for the Op or the processor.
	Native func(weights map[string][]float32) Kernel
}

// Kernel is an Op ready to run on the processor itself: it computes what Apply does, without a backend.
type Kernel interface {
	// Run computes out[i] of in[i]; ids are whole numbers. Sequences may differ in length. out shares no memory with in. Run
	// may be called from several goroutines at a time.
	Run(split Split, out, in []Parts)
}

// Parts are the parts of one sample's state, row-major.
type Parts [][]float32

// Split runs each(0) … each(pieces-1), in any order and on as many cores as have nothing else to do, and returns when all
// have returned.
type Split func(pieces int, each func(piece int))

// FullName is the name of the Op's parameter in a weights file.
func (o Op) FullName(p Param) string {
	if p.Path != "" {
		return p.Path
	}
	return o.Name + "." + p.Name
}

// NoMACs is the cost of an Op that multiplies nothing worth counting.
func NoMACs(int) int64 { return 0 }

// ParamsOf lists the parameters of ops under their full names, tied ones once, in order of first use.
func ParamsOf(ops ...Op) []Param {
	var all []Param
	seen := map[string]bool{}
	for _, op := range ops {
		for _, p := range op.Params {
			name := op.FullName(p)
			if seen[name] {
				continue
			}
			seen[name] = true
			p.Name, p.Path = name, ""
			all = append(all, p)
		}
	}
	return all
}

// CheckWeights reports the first way in which weights is not exactly what params (full names) asks for: a missing
// weight, a wrong shape or type, or a weight nobody asked for.
func CheckWeights(weights Weights, params []Param) error {
	want := map[string]bool{}
	for _, p := range params {
		want[p.Name] = true
		t, ok := weights[p.Name]
		if !ok {
			return fmt.Errorf("layer: weight %q is missing", p.Name)
		}
		if t.DType() != dtypes.Float32 || !slices.Equal(t.Shape().Dimensions, p.Dims) {
			return fmt.Errorf("layer: weight %q has shape %s, want float32 %v", p.Name, t.Shape(), p.Dims)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		if !want[name] {
			return fmt.Errorf("layer: weight %q is not part of this network", name)
		}
	}
	return nil
}
