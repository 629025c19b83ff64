package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// stretch is a span of segments that run in one launch, with an answer after the last. What every batch needs is worked
// out once.
type stretch struct {
	segments     []Segment
	state, carry []layer.Spec      // of the inputs; state is nil for segment 0, which takes the samples' input
	names        []string          // full names of the weights, in the order in which the executable takes them; tied ones repeat
	weights      []*tensors.Tensor // the same, on the device
	parts        int               // of state and carry after the last segment
	// How wide the parts of the report behind the value are, 0 where they are missing.
	score, logits, gates int
}

func (e *Engine) newStretch(at span) *stretch {
	all, head := e.network.Segments(), e.network.Head
	last := all[at.last]
	s := &stretch{segments: all[at.first : at.last+1], carry: head.Carry(-1)}
	s.parts = len(e.network.Backbone.State(last.Depth)) + len(head.Carry(last.Depth))
	if at.first > 0 {
		before := all[at.first-1].Depth
		s.state, s.carry = e.network.Backbone.State(before), head.Carry(before)
	}
	if last.Answer != nil {
		s.logits, s.gates = head.Config().Classes, len(exit.Gates)
	}
	switch {
	case len(s.segments) > 1:
	case last.scores:
		s.score = 1
	case last.all:
		s.score = len(head.Config().Reads)
	}
	for _, op := range s.ops() {
		for _, p := range op.Params {
			s.names = append(s.names, op.FullName(p))
			s.weights = append(s.weights, e.weights[op.FullName(p)])
		}
	}
	return s
}

// ops are the operations of the stretch, in order.
func (s *stretch) ops() []layer.Op {
	var ops []layer.Op
	for i, segment := range s.segments {
		ops = append(ops, segment.ops(i == len(s.segments)-1)...)
	}
	return ops
}

// key says what an executable computes and for which shapes: the signatures, the sizes of all inputs, and which weights
// are one and the same.
func (s *stretch) key(f form) string {
	var b strings.Builder
	for _, op := range s.ops() {
		fmt.Fprintf(&b, "%s | ", op.Signature)
	}
	fmt.Fprintf(&b, "batch %d; length %d; %d segments;", f.bucket, f.length, len(s.segments))
	for _, spec := range slices.Concat(s.state, s.carry) {
		fmt.Fprintf(&b, " %v", spec.Dims)
	}
	first := map[string]int{}
	for i, name := range s.names {
		if _, tied := first[name]; !tied {
			first[name] = i
		}
		fmt.Fprintf(&b, " %d%v", first[name], s.weights[i].Shape().Dimensions)
	}
	return b.String()
}

// build builds the stretch. Inputs: the sample (segment 0) or state and carry, then the weights. Outputs: state, carry
// and the report, which is all that the host reads, in one tensor [batch, width]: of a single segment the value and,
// where they exist, the scores over depth; then, with an answer, the logits and the gate scores.
func (s *stretch) build(head laya.Head, in []*graph.Node) []*graph.Node {
	defer layer.ErrorsOnly()
	parts := max(len(s.state), 1)
	state, rest := in[:parts], in[parts:]
	var carry []*graph.Node
	if s.state == nil {
		carry = head.Start(in[0].Graph(), in[0].Shape().Dim(0))
	} else {
		carry, rest = rest[:len(s.carry)], rest[len(s.carry):]
	}
	b := &layer.Binding{Weights: map[string]*graph.Node{}}
	for i, name := range s.names {
		b.Weights[name] = rest[i]
	}
	var out segmentOutput
	for i, segment := range s.segments {
		out = segment.apply(b, state, carry, i == len(s.segments)-1)
		state, carry = out.state, out.carry
	}
	return append(slices.Concat(state, carry), s.report(out))
}

func (s *stretch) report(out segmentOutput) *graph.Node {
	var columns []*graph.Node
	if len(s.segments) == 1 {
		columns = append(columns, out.value)
	}
	if s.score > 0 {
		columns = append(columns, out.score)
	}
	if s.logits > 0 {
		columns = append(columns, out.logits, exit.Score(out.logits))
	}
	return graph.Concatenate(columns, 1)
}

// report is one sample's row of what build reports.
type report struct {
	value, score, logits []float32
	gates                exit.Scores
}

// read takes a row of the report apart.
func (s *stretch) read(row []float32) report {
	value := len(row) - s.score - s.logits - s.gates
	score, logits := value+s.score, value+s.score+s.logits
	r := report{value: row[:value], score: row[value:score], logits: row[score:logits]}
	copy(r.gates[:], row[logits:])
	return r
}

// inputShapes are the shapes of build's inputs.
func (s *stretch) inputShapes(n *Network, f form) []shapes.Shape {
	specs := slices.Concat(s.state, s.carry)
	if s.state == nil {
		specs = []layer.Spec{n.Backbone.Input()}
	}
	var all []shapes.Shape
	for _, spec := range specs {
		all = append(all, spec.Shape(f.bucket, f.length))
	}
	for _, w := range s.weights {
		all = append(all, w.Shape())
	}
	return all
}
