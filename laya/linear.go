package laya

import (
	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// linear is a linear classifier on the tap of an exit: kind linear has one for each depth it reads, kind lastlayer only
// that of the last depth. Its carry is the newest tap.
type linear struct{ base }

func (h linear) Carry(depth int) []layer.Spec {
	n := h.readsUpTo(depth)
	if n == 0 {
		return nil
	}
	return []layer.Spec{layer.Float32(h.tapDims[n-1])}
}

// ValueDim is the width of the tap.
func (h linear) ValueDim(depth int) int { return h.tapDim(depth) }

func (h linear) Start(*graph.Graph, int) []*graph.Node { return nil }

func (h linear) Step(depth int) layer.Op {
	h.tapDim(depth) // panics where the head does not read
	return layer.Op{
		Name:      DepthName(depth),
		Signature: "laya linear step",
		MACs:      layer.NoMACs,
		Apply: func(_ *layer.Pass, in []*graph.Node) []*graph.Node {
			tap := in[len(in)-1]
			return []*graph.Node{tap, tap}
		},
		Native: func(map[string][]float32) layer.Kernel { return nativeTap{} },
	}
}

func (h linear) Answer(depth int) layer.Op {
	h.mustExit(depth)
	name, width := DepthName(depth), h.tapDim(depth)
	if h.config.Kind == LastLayer {
		name = SharedName
	}
	return layer.Op{
		Name:      name,
		Signature: "laya linear answer",
		Params:    layer.DenseParams("classifier", width, h.config.Classes, layer.Glorot),
		MACs:      fixed(width * h.config.Classes),
		Apply: func(p *layer.Pass, in []*graph.Node) []*graph.Node {
			return []*graph.Node{layer.Dense(p, "classifier", in[0])}
		},
		Native: func(weights map[string][]float32) layer.Kernel {
			return newNativeClassifier(weights, width, h.config.Classes)
		},
	}
}
