package laya

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// Head is a head over taps of known widths, cut into steps so that it can be evaluated while the backbone runs.
//
// A carry travels from step to step beside the backbone's state: Start makes it, Step at each depth of Reads updates it,
// and Answer at an exit turns it into logits. The answer at exit k depends on nothing deeper than k.
//
// Step at a depth that is not read, and Answer at one that is no exit, are programming errors and panic.
type Head interface {
	// Config returns a copy of what New was given.
	Config() Config
	// Carry lists the parts of the carry after the last step at or before the given depth; depth -1 is the carry that
	// Start makes.
	Carry(depth int) []layer.Spec
	// Start makes the carry of a batch.
	Start(g *graph.Graph, batch int) []*graph.Node
	// NativeStart is the carry that Start makes, of one sample: what the kernels of the steps begin with.
	NativeStart() layer.Parts
	// ValueDim is the width of z that the step at a depth gives.
	ValueDim(depth int) int
	// Step takes (carry…, tap [batch, d_k]) to (carry'…, z [batch, d*]), and, for kind prefix, one more output: the score
	// s_k [batch, 1]. Kinds without adapters (lastlayer, linear) return the tap itself as z.
	Step(depth int) layer.Op
	// Answer takes (carry…) to (logits [batch, Classes]) and, for kinds joint and scalarmix, one more output: the scores of
	// all reads [batch, len(Reads)].
	Answer(depth int) layer.Op
}

// SharedName is the prefix of the weights that all depths share: "head.classifier.kernel".
const SharedName = "head"

// DepthName is the prefix of the head's weights at one depth: "head.3".
func DepthName(depth int) string { return SharedName + "." + strconv.Itoa(depth) }

// New builds the head described by c for taps of the given widths, tapDims[i] at depth c.Reads[i]. It reports every
// fault of c, and a width that is missing or not positive.
func New(c Config, tapDims []int) (Head, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if len(tapDims) != len(c.Reads) {
		return nil, fmt.Errorf("laya: %d tap widths for reads %v, want one for each", len(tapDims), c.Reads)
	}
	for i, d := range tapDims {
		if d < 1 {
			return nil, fmt.Errorf("laya: the tap at depth %d is %d wide, want at least 1", c.Reads[i], d)
		}
	}
	c.Reads = slices.Clone(c.Reads)
	b := base{config: c, tapDims: slices.Clone(tapDims)}
	switch c.Kind {
	case Prefix:
		return prefix{b}, nil
	case Joint:
		return joint{gather{b}}, nil
	case Concat:
		return concat{gather{b}}, nil
	case ScalarMix:
		return scalarMix{gather{b}}, nil
	}
	return linear{b}, nil // kinds lastlayer and linear differ in their reads and in where the classifier's weights live
}

// Ops lists the steps and answers of h by depth, each step before the answer of its depth. Their parameters are the
// head's.
func Ops(h Head) []layer.Op {
	var ops []layer.Op
	c := h.Config()
	exits := c.Exits()
	for _, depth := range c.Reads {
		ops = append(ops, h.Step(depth))
		if slices.Contains(exits, depth) {
			ops = append(ops, h.Answer(depth))
		}
	}
	return ops
}

// base is what all kinds have in common: the config and the widths of the taps.
type base struct {
	config  Config
	tapDims []int
}

// Config returns a copy, so that a caller cannot change the head's reads.
func (b base) Config() Config {
	c := b.config
	c.Reads = slices.Clone(c.Reads)
	return c
}

// NativeStart is that of kinds which begin with nothing.
func (b base) NativeStart() layer.Parts { return nil }

// tapDim is the width of the tap at a depth that is read.
func (b base) tapDim(depth int) int {
	i := slices.Index(b.config.Reads, depth)
	if i < 0 {
		panic(fmt.Sprintf("laya: the head reads depths %v, not %d", b.config.Reads, depth))
	}
	return b.tapDims[i]
}

// ValueDim is the width of the adapter; kinds without adapters override it.
func (b base) ValueDim(int) int { return b.config.Dim }

// mustExit panics unless the head answers at depth.
func (b base) mustExit(depth int) {
	if exits := b.config.Exits(); !slices.Contains(exits, depth) {
		panic(fmt.Sprintf("laya: the head answers at depths %v, not %d", exits, depth))
	}
}

// readsUpTo is the number of reads at or before depth.
func (b base) readsUpTo(depth int) int {
	n, _ := slices.BinarySearch(b.config.Reads, depth+1)
	return n
}

// shared marks params as living under SharedName, whichever depth's Op uses them.
func shared(params ...layer.Param) []layer.Param {
	for i := range params {
		params[i].Path = SharedName + "." + params[i].Name
	}
	return params
}

// fixed is a cost that does not depend on the length.
func fixed(macs int) func(int) int64 { return func(int) int64 { return int64(macs) } }
