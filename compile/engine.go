package compile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/layer"
)

// Engine runs a network's segments on one backend. Weights are graph parameters, and an executable is kept per
// signature, batch bucket and length bucket, so equal segments share it.
//
// Run, Compile and Executables may be called from several goroutines.
type Engine struct {
	network  *Network
	backend  compute.Backend
	workers  int
	weights  layer.Weights // on the device
	segments []engineSegment
	buckets  []int
	lengths  []int

	mu          sync.Mutex
	executables map[string]*graph.Exec // by what they compute and for which shapes
	forms       map[form]*graph.Exec   // the same, by where they are needed
}

// form says where an executable is needed.
type form struct {
	segment int
	answer  bool
	bucket  int
	length  int
}

// engineSegment is a segment with its weights, in the order in which its executable takes them. What every batch needs
// is worked out once.
type engineSegment struct {
	Segment
	state, carry []layer.Spec // of the inputs; state is nil for segment 0, which takes the samples' input
	weights      []*tensors.Tensor
	silent       int // how many of the weights the form without an answer takes
	parts        int // of state and carry after the segment
}

// NewEngine prepares network with the given weights for batches of the given buckets (ascending batch sizes) and, for
// networks over sequences, padded lengths (ascending). It compiles nothing yet. The weights are copied to the
// device, where they stay until Close.
func NewEngine(device *Device, network *Network, weights layer.Weights, buckets, lengths []int) (*Engine, error) {
	if err := checkBuckets("bucket", buckets); err != nil {
		return nil, err
	}
	if network.Sequences() {
		if err := checkBuckets("length", lengths); err != nil {
			return nil, err
		}
	} else {
		lengths = []int{0}
	}
	if err := layer.CheckWeights(weights, network.Params()); err != nil {
		return nil, err
	}
	e := &Engine{network: network, backend: device.Backend, workers: device.Workers, weights: layer.Weights{}, buckets: buckets, lengths: lengths,
		executables: map[string]*graph.Exec{}, forms: map[form]*graph.Exec{}}
	for name, t := range weights {
		clone, err := t.OnDeviceClone(device.Backend, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("compile: weight %q: %w", name, err), e.Close())
		}
		e.weights[name] = clone
	}
	depth, reads := 0, network.Head.Config().Reads
	for i, s := range network.Segments() {
		es := engineSegment{Segment: s, carry: network.Head.Carry(-1)}
		es.silent = len(es.names(false))
		es.parts = len(network.Backbone.State(s.Depth)) + len(network.Head.Carry(s.Depth))
		if i > 0 {
			es.state, es.carry = network.Backbone.State(depth), network.Head.Carry(reads[i-1])
		}
		for _, op := range s.ops(true) {
			for _, p := range op.Params {
				es.weights = append(es.weights, e.weights[op.FullName(p)])
			}
		}
		e.segments = append(e.segments, es)
		depth = s.Depth
	}
	return e, nil
}

func checkBuckets(name string, sizes []int) error {
	for i, b := range sizes {
		if b < 1 || i > 0 && b <= sizes[i-1] {
			return fmt.Errorf("compile: %ss are %v, want positive sizes in ascending order", name, sizes)
		}
	}
	if len(sizes) == 0 {
		return fmt.Errorf("compile: no %s sizes given, want at least one", name)
	}
	return nil
}

// Close frees weights and executables. No sample may be on its way.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, exec := range e.executables {
		exec.Finalize()
	}
	clear(e.executables)
	clear(e.forms)
	var faults []error
	for _, t := range e.weights {
		faults = append(faults, t.FinalizeAll())
	}
	return errors.Join(faults...)
}

// Network is what the engine runs.
func (e *Engine) Network() *Network { return e.network }

// Depths lists the depth reached by each segment, ascending; the last is the network's depth.
func (e *Engine) Depths() []int {
	var depths []int
	for _, s := range e.segments {
		depths = append(depths, s.Depth)
	}
	return depths
}

// Buckets are the batch sizes that have executables, ascending.
func (e *Engine) Buckets() []int { return e.buckets }

// Lengths are the padded lengths, ascending; one 0 for networks over fixed-size inputs.
func (e *Engine) Lengths() []int { return e.lengths }

// Workers is how many calls of Run can run side by side to advantage.
func (e *Engine) Workers() int { return e.workers }

// Executables is how many have been compiled.
func (e *Engine) Executables() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.executables)
}

// Compile compiles every executable that Run can ask for and reports each to progress, which may be nil. When ctx ends it
// stops before the next one and returns the error of ctx.
func (e *Engine) Compile(ctx context.Context, progress func(done, total int)) error {
	var order []form
	known := map[*graph.Exec]bool{}
	for _, f := range e.allForms() {
		exec, err := e.executable(f)
		if err != nil {
			return err
		}
		if !known[exec] {
			known[exec] = true
			order = append(order, f)
		}
	}
	for done, f := range order {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.compileForm(f); err != nil {
			return fmt.Errorf("compile: segment to depth %d, batch %d: %w", e.segments[f.segment].Depth, f.bucket, err)
		}
		if progress != nil {
			progress(done+1, len(order))
		}
	}
	return nil
}

// allForms lists what Run can be asked for: every segment with its answer where it has one, and without where the
// samples may go on.
func (e *Engine) allForms() []form {
	var all []form
	for i, s := range e.segments {
		for _, answer := range []bool{true, false} {
			if answer && s.Answer == nil || !answer && i == len(e.segments)-1 {
				continue
			}
			for _, length := range e.lengths {
				for _, bucket := range e.buckets {
					all = append(all, form{i, answer, bucket, length})
				}
			}
		}
	}
	return all
}

func (e *Engine) compileForm(f form) error {
	exec, err := e.executable(f)
	if err != nil {
		return err
	}
	return guard(func() error {
		_, err := exec.Compile(e.inputShapes(f)...)
		return err
	})
}

// executable returns the Exec of a form; forms that compute the same for the same shapes share it.
func (e *Engine) executable(f form) (*graph.Exec, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if exec, ok := e.forms[f]; ok {
		return exec, nil
	}
	s := e.segments[f.segment]
	key := s.key(f)
	exec, ok := e.executables[key]
	if !ok {
		var err error
		exec, err = graph.NewExec(e.backend, func(in []*graph.Node) []*graph.Node { return e.segmentGraph(s, f.answer, in) })
		if err != nil {
			return nil, fmt.Errorf("compile: %w", err)
		}
		e.executables[key] = exec.SetMaxCache(1)
	}
	e.forms[f] = exec
	return exec, nil
}

// key says what an executable computes and for which shapes: the signatures, the sizes of all inputs, and which weights
// are one and the same.
func (s engineSegment) key(f form) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; batch %d; length %d;", s.signature(f.answer), f.bucket, f.length)
	for _, spec := range slices.Concat(s.state, s.carry) {
		fmt.Fprintf(&b, " %v", spec.Dims)
	}
	first := map[string]int{}
	for i, name := range s.names(f.answer) {
		if _, tied := first[name]; !tied {
			first[name] = i
		}
		fmt.Fprintf(&b, " %d%v", first[name], s.weights[i].Shape().Dimensions)
	}
	return b.String()
}

// weightsOf are the weights that a form takes.
func (s *engineSegment) weightsOf(answer bool) []*tensors.Tensor {
	if answer {
		return s.weights
	}
	return s.weights[:s.silent]
}

// names are the full names of the weights that a form takes, in order; tied ones repeat.
func (s engineSegment) names(answer bool) []string {
	var names []string
	for _, op := range s.ops(answer) {
		for _, p := range op.Params {
			names = append(names, op.FullName(p))
		}
	}
	return names
}

// segmentGraph builds a segment. Inputs: the sample (segment 0) or state and carry, then the weights. Outputs: state,
// carry, value, then where they exist score, and with an answer logits and gate scores.
func (e *Engine) segmentGraph(s engineSegment, answer bool, in []*graph.Node) []*graph.Node {
	defer layer.ErrorsOnly()
	parts := max(len(s.state), 1)
	state, rest := in[:parts], in[parts:]
	var carry []*graph.Node
	if s.state == nil {
		carry = e.network.Head.Start(in[0].Graph(), in[0].Shape().Dim(0))
	} else {
		carry, rest = rest[:len(s.carry)], rest[len(s.carry):]
	}
	b := &layer.Binding{Weights: map[string]*graph.Node{}}
	for i, name := range s.names(answer) {
		b.Weights[name] = rest[i]
	}
	out := s.apply(b, state, carry, answer)
	nodes := append(slices.Concat(out.state, out.carry), out.value)
	if out.score != nil {
		nodes = append(nodes, out.score)
	}
	if out.logits != nil {
		nodes = append(nodes, out.logits, exit.Score(out.logits))
	}
	return nodes
}

// inputShapes are the shapes of segmentGraph's inputs.
func (e *Engine) inputShapes(f form) []shapes.Shape {
	s := e.segments[f.segment]
	specs := slices.Concat(s.state, s.carry)
	if s.state == nil {
		specs = []layer.Spec{e.network.Backbone.Input()}
	}
	var all []shapes.Shape
	for _, spec := range specs {
		all = append(all, spec.Shape(f.bucket, f.length))
	}
	for _, w := range s.weightsOf(f.answer) {
		all = append(all, w.Shape())
	}
	return all
}
