package laya

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// gather is what the heads have in common that answer from all their reads at once: affine adapters, and a carry that
// holds the z of every read so far, one part [d*] each.
type gather struct{ base }

func (h gather) Carry(depth int) []layer.Spec {
	var parts []layer.Spec
	for range h.readsUpTo(depth) {
		parts = append(parts, layer.Float32(h.config.Dim))
	}
	return parts
}

func (h gather) Start(*graph.Graph, int) []*graph.Node { return nil }

func (h gather) Step(depth int) layer.Op {
	c, width := h.config, h.tapDim(depth)
	return layer.Op{
		Name:      DepthName(depth),
		Signature: "laya gather step",
		Params:    layer.DenseParams("adapter", width, c.Dim, layer.Glorot),
		MACs:      fixed(width * c.Dim),
		Apply: func(p *layer.Pass, in []*graph.Node) []*graph.Node {
			earlier, tap := in[:len(in)-1], in[len(in)-1]
			z := layer.Dense(p, "adapter", tap)
			return append(append([]*graph.Node{}, earlier...), z, z)
		},
	}
}

// joint is LAYA as published (arXiv 2511.12723, section 3.1): one scorer reads the concatenation of all u_i.
type joint struct{ gather }

func (h joint) Answer(depth int) layer.Op {
	h.mustExit(depth)
	c, reads := h.config, len(h.config.Reads)
	params := psiParams(c)
	params = append(params, layer.DenseParams("score.0", reads*c.Dim, c.Hidden, layer.Glorot)...)
	params = append(params, layer.DenseParams("score.1", c.Hidden, reads, layer.Glorot)...)
	params = append(params, layer.DenseParams("classifier", c.Dim, c.Classes, layer.Glorot)...)
	return layer.Op{
		Name:      SharedName,
		Signature: fmt.Sprintf("laya joint answer: psi %q, tau %v", c.Psi, c.Tau),
		Params:    params,
		MACs:      fixed(reads*psiMACs(c) + reads*c.Dim*c.Hidden + c.Hidden*reads + c.Dim*c.Classes),
		Apply: func(p *layer.Pass, z []*graph.Node) []*graph.Node {
			u := make([]*graph.Node, len(z))
			for i := range z {
				u[i] = psi(p, c, z[i])
			}
			hidden := layer.GELU(layer.Dense(p, "score.0", graph.Concatenate(u, -1)))
			s := layer.Dense(p, "score.1", hidden)
			agg := mix(graph.Softmax(graph.DivScalar(s, c.Tau), -1), z)
			return []*graph.Node{layer.Dense(p, "classifier", agg), s}
		},
	}
}

// mix is sum_i alpha_i z_i [batch, d*] with alpha [batch, L] and each z_i [batch, d*].
func mix(alpha *graph.Node, z []*graph.Node) *graph.Node {
	var sum *graph.Node
	for i := range z {
		term := graph.Mul(graph.Slice(alpha, graph.AxisRange(), graph.AxisElem(i)), z[i])
		if sum == nil {
			sum = term
		} else {
			sum = graph.Add(sum, term)
		}
	}
	return sum
}

// concat classifies an MLP of the concatenated z_i. The paper leaves the MLP open: here it is one hidden layer with GELU.
type concat struct{ gather }

func (h concat) Answer(depth int) layer.Op {
	h.mustExit(depth)
	c, in := h.config, len(h.config.Reads)*h.config.Dim
	return layer.Op{
		Name:      SharedName,
		Signature: "laya concat answer",
		Params: append(layer.DenseParams("mlp", in, c.Hidden, layer.Glorot),
			layer.DenseParams("classifier", c.Hidden, c.Classes, layer.Glorot)...),
		MACs: fixed(in*c.Hidden + c.Hidden*c.Classes),
		Apply: func(p *layer.Pass, z []*graph.Node) []*graph.Node {
			hidden := layer.GELU(layer.Dense(p, "mlp", graph.Concatenate(z, -1)))
			return []*graph.Node{layer.Dense(p, "classifier", hidden)}
		},
	}
}

// scalarMix has one free score per read, the same for every input.
type scalarMix struct{ gather }

func (h scalarMix) Answer(depth int) layer.Op {
	h.mustExit(depth)
	c, reads := h.config, len(h.config.Reads)
	return layer.Op{
		Name:      SharedName,
		Signature: "laya scalarmix answer",
		Params: append([]layer.Param{{Name: "scores", Dims: []int{reads}, Init: layer.Zeros}},
			layer.DenseParams("classifier", c.Dim, c.Classes, layer.Glorot)...),
		MACs: fixed(c.Dim * c.Classes),
		Apply: func(p *layer.Pass, z []*graph.Node) []*graph.Node {
			s := graph.BroadcastToDims(graph.ExpandLeftToRank(p.Param("scores"), 2), z[0].Shape().Dim(0), reads)
			return []*graph.Node{layer.Dense(p, "classifier", mix(graph.Softmax(s, -1), z)), s}
		},
	}
}
