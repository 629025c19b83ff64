package compile

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// Network is a backbone with a head that fits it.
type Network struct {
	Backbone backbone.Backbone
	Head     laya.Head
}

// ErrNoHead is the error of NewNetwork for a head that is the zero value: that of an imported backbone, say, which answers
// nothing before it has been trained with a head.
var ErrNoHead = errors.New("compile: the network has no head yet, so it cannot answer")

// NewNetwork joins a valid backbone and the head described by c. The head's last read must be the backbone's depth.
func NewNetwork(b backbone.Backbone, c laya.Config) (*Network, error) {
	if reflect.ValueOf(c).IsZero() {
		return nil, ErrNoHead
	}
	if err := errors.Join(b.Validate(), c.Validate()); err != nil {
		return nil, err
	}
	input := b.Input().Dims
	if _, ok := b.(backbone.Sequence); slices.Contains(input, layer.Length) && !ok {
		return nil, fmt.Errorf("compile: backbone %T takes sequences but does not implement backbone.Sequence", b)
	}
	if last := c.Reads[len(c.Reads)-1]; last != b.Depth() {
		return nil, fmt.Errorf("compile: the head's last read is depth %d, but the backbone has %d blocks", last, b.Depth())
	}
	var widths []int
	for _, d := range c.Reads {
		widths = append(widths, b.TapDim(d))
	}
	head, err := laya.New(c, widths)
	if err != nil {
		return nil, err
	}
	return &Network{b, head}, nil
}

// Sequences reports whether samples are sequences of ids of varying length.
func (n *Network) Sequences() bool { return slices.Contains(n.Backbone.Input().Dims, layer.Length) }

// Ops lists every Op of the network; their parameters are its weights.
func (n *Network) Ops() []layer.Op {
	ops := backbone.Ops(n.Backbone)
	for _, d := range n.Head.Config().Reads {
		ops = append(ops, n.Backbone.Tap(d))
	}
	return append(ops, laya.Ops(n.Head)...)
}

// Params lists the network's weights under their full names.
func (n *Network) Params() []layer.Param { return layer.ParamsOf(n.Ops()...) }

// Exits are the depths at which the network can answer, ascending; the last is its depth.
func (n *Network) Exits() []int { return n.Head.Config().Exits() }

// MACs is the cost for one sample of the given length of leaving at an exit: every block run and every tap, adapter,
// scorer and classifier evaluated on the way. With exits off only the answer at the exit itself is counted.
func (n *Network) MACs(exit, length int, exitsOn bool) int64 {
	total := n.Backbone.Stem().MACs(length)
	for k := 1; k <= exit; k++ {
		total += n.Backbone.Block(k).MACs(length)
	}
	for _, d := range n.Head.Config().Reads {
		if d <= exit {
			total += n.Backbone.Tap(d).MACs(length) + n.Head.Step(d).MACs(length)
		}
		if slices.Contains(n.Exits(), d) && (d == exit || d < exit && exitsOn) {
			total += n.Head.Answer(d).MACs(length)
		}
	}
	return total
}

// Logits builds the whole network in one graph: the logits [batch, classes] of every exit, in the order of Exits.
// x is the batch's input. This is the graph that training differentiates; segments in sequence compute the same.
func (n *Network) Logits(b *layer.Binding, x *graph.Node) []*graph.Node {
	var logits []*graph.Node
	carry := n.Head.Start(x.Graph(), x.Shape().Dim(0))
	state := []*graph.Node{x}
	for _, s := range n.Segments() {
		out := s.apply(b, state, carry, true)
		state, carry = out.state, out.carry
		if out.logits != nil {
			logits = append(logits, out.logits)
		}
	}
	return logits
}

// Taps builds the vectors that the head reads, side by side [batch, sum of the widths], of the batch x.
func (n *Network) Taps(b *layer.Binding, x *graph.Node) *graph.Node {
	var taps []*graph.Node
	state := []*graph.Node{x}
	for _, s := range n.Segments() {
		var tap *graph.Node
		state, tap = s.reach(b, state)
		taps = append(taps, tap)
	}
	return graph.Concatenate(taps, 1)
}

// LogitsOfTaps builds the head alone on what Taps gives: the same logits as Logits.
func (n *Network) LogitsOfTaps(b *layer.Binding, taps *graph.Node) []*graph.Node {
	var logits []*graph.Node
	carry := n.Head.Start(taps.Graph(), taps.Shape().Dim(0))
	from := 0
	for _, s := range n.Segments() {
		to := from + n.Backbone.TapDim(s.Depth)
		out := s.read(b, graph.Slice(taps, graph.AxisRange(), graph.AxisRange(from, to)), carry, true)
		from, carry = to, out.carry
		if out.logits != nil {
			logits = append(logits, out.logits)
		}
	}
	return logits
}

// TapWidth is the sum of the widths of the taps that the head reads.
func (n *Network) TapWidth() int {
	width := 0
	for _, d := range n.Head.Config().Reads {
		width += n.Backbone.TapDim(d)
	}
	return width
}

// Segment is the stretch between two taps that are read: blocks, tap, head step and answer. Segment 0 begins with the
// stem.
type Segment struct {
	Depth  int        // the depth reached
	Blocks []layer.Op // the stem counts as one
	Tap    layer.Op
	Step   layer.Op
	Answer *layer.Op // nil where the head cannot answer
	index  int       // of the read
	scores bool      // the step returns a score
	all    bool      // the answer returns the scores of all reads
}

// Segments cuts the network at the depths its head reads.
func (n *Network) Segments() []Segment {
	config := n.Head.Config()
	var segments []Segment
	blocks := []layer.Op{n.Backbone.Stem()}
	for k := 0; k <= n.Backbone.Depth(); k++ {
		if k > 0 {
			blocks = append(blocks, n.Backbone.Block(k).Op)
		}
		read := slices.Index(config.Reads, k)
		if read < 0 {
			continue
		}
		s := Segment{Depth: k, Blocks: blocks, Tap: n.Backbone.Tap(k), Step: n.Head.Step(k), index: read, scores: config.Kind == laya.Prefix}
		if slices.Contains(n.Exits(), k) {
			answer := n.Head.Answer(k)
			s.Answer = &answer
			s.all = config.Kind == laya.Joint || config.Kind == laya.ScalarMix
		}
		segments = append(segments, s)
		blocks = nil
	}
	return segments
}

// segmentOutput is what a segment computes for a batch.
type segmentOutput struct {
	state, carry []*graph.Node
	value        *graph.Node // z [batch, d*]
	score        *graph.Node // [batch, 1], or of all reads [batch, reads]; nil where there is none
	logits       *graph.Node // [batch, classes]; nil unless it answers
}

func (s Segment) apply(b *layer.Binding, state, carry []*graph.Node, answer bool) segmentOutput {
	state, tap := s.reach(b, state)
	out := s.read(b, tap, carry, answer)
	out.state = state
	return out
}

// reach runs the blocks and the tap.
func (s Segment) reach(b *layer.Binding, state []*graph.Node) (_ []*graph.Node, tap *graph.Node) {
	for _, op := range s.Blocks {
		state = b.Apply(op, state...)
	}
	return state, b.Apply(s.Tap, state...)[0]
}

// read runs the head's step and answer on a tap; the output has no state.
func (s Segment) read(b *layer.Binding, tap *graph.Node, carry []*graph.Node, answer bool) segmentOutput {
	stepped := b.Apply(s.Step, append(slices.Clone(carry), tap)...)
	parts := len(stepped) - 1
	var out segmentOutput
	if s.scores {
		parts--
		out.score = stepped[parts+1]
	}
	out.carry, out.value = stepped[:parts], stepped[parts]
	if answer && s.Answer != nil {
		answered := b.Apply(*s.Answer, out.carry...)
		out.logits = answered[0]
		if s.all {
			out.score = answered[1]
		}
	}
	return out
}

func (s Segment) ops(answer bool) []layer.Op {
	ops := append(slices.Clone(s.Blocks), s.Tap, s.Step)
	if answer && s.Answer != nil {
		ops = append(ops, *s.Answer)
	}
	return ops
}
