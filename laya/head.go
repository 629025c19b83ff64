package laya

import (
	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// Head is a head over taps of known widths, cut into steps so that it can be evaluated while the backbone runs.
//
// A carry travels from step to step beside the backbone's state: Start makes it, Step at each depth of Reads updates it,
// and Answer at an exit turns it into logits. The answer at exit k depends on nothing deeper than k.
type Head interface {
	Config() Config
	// Carry lists the parts of the carry after the step at the given depth; depth -1 is the carry that Start makes.
	Carry(depth int) []layer.Spec
	// Start makes the carry of a batch.
	Start(g *graph.Graph, batch int) []*graph.Node
	// Step takes (carry…, tap [batch, d_k]) to (carry'…, z [batch, d*]), and, for kind prefix, one more output: the score
	// s_k [batch, 1]. Kinds without adapters (lastlayer, linear) return the tap itself as z.
	Step(depth int) layer.Op
	// Answer takes (carry…) to (logits [batch, Classes]) and, for kinds joint and scalarmix, one more output: the scores of
	// all reads [batch, len(Reads)].
	Answer(depth int) layer.Op
}

// StartName is the name of nothing learned: Start has no weights. StepName and SharedName are the prefixes of a head's
// weights: those of one depth and those shared by all.
const SharedName = "head"

// New builds the head described by c for taps of the given widths, one for each depth of c.Reads.
func New(c Config, tapDims []int) (Head, error) {
	panic("laya: under construction")
}
