package laya

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// tapNormEpsilon is what the layer norm of a tap adds to the variance, PyTorch's default.
const tapNormEpsilon = 1e-5

// prefix is the head that answers at every depth it reads. Its carry is the state of an online softmax over depth:
//
//	m   [batch, 1]   the largest s_i / tau so far
//	l   [batch, 1]   sum_i exp(s_i / tau - m)
//	acc [batch, d*]  sum_i exp(s_i / tau - m) z_i
type prefix struct{ base }

func (h prefix) Carry(int) []layer.Spec {
	return []layer.Spec{layer.Float32(1), layer.Float32(1), layer.Float32(h.config.Dim)}
}

// Start makes (-Inf, 0, 0), the state of the softmax over nothing: exp(-Inf - m) = 0 makes the first step exact.
func (h prefix) Start(g *graph.Graph, batch int) []*graph.Node {
	return []*graph.Node{
		graph.BroadcastToDims(graph.Infinity(g, dtypes.Float32, -1), batch, 1),
		graph.Zeros(g, shapes.Make(dtypes.Float32, batch, 1)),
		graph.Zeros(g, shapes.Make(dtypes.Float32, batch, h.config.Dim)),
	}
}

// NativeStart is Start for one sample.
func (h prefix) NativeStart() layer.Parts {
	return layer.Parts{{float32(math.Inf(-1))}, {0}, make([]float32, h.config.Dim)}
}

func (h prefix) Step(depth int) layer.Op {
	c, width := h.config, h.tapDim(depth)
	return layer.Op{
		Name: DepthName(depth),
		Signature: fmt.Sprintf("laya prefix step: tap_norm %q, dropout %v, gelu %t, value_norm %t, psi %q, tau %v",
			c.TapNorm, c.Dropout, c.GELU, c.ValueNorm, c.Psi, c.Tau),
		Params: prefixStepParams(c, width),
		MACs:   fixed(width*c.Dim + psiMACs(c) + c.Dim*c.Hidden + c.Hidden),
		Apply: func(p *layer.Pass, in []*graph.Node) []*graph.Node {
			m, l, acc, tap := in[0], in[1], in[2], in[3]
			z := prefixValue(p, c, tap)
			s := prefixScore(p, c, z)
			m, l, acc = accumulate(m, l, acc, graph.DivScalar(s, c.Tau), z)
			return []*graph.Node{m, l, acc, z, s}
		},
		Native: func(weights map[string][]float32) layer.Kernel { return h.nativeStep(weights, width) },
	}
}

func prefixStepParams(c Config, width int) []layer.Param {
	var params []layer.Param
	if c.TapNorm == "layer" {
		params = append(params, layer.LayerNormParams("norm", width)...)
	}
	params = append(params, layer.DenseParams("adapter", width, c.Dim, layer.Glorot)...)
	if c.ValueNorm {
		params = append(params, layer.Param{Name: "value.gain", Dims: []int{c.Dim}, Init: layer.Ones})
	}
	params = append(params, psiParams(c)...)
	params = append(params, shared(
		layer.Param{Name: "score.kernel", Dims: []int{c.Dim, c.Hidden}, Init: layer.Glorot},
		layer.Param{Name: "score.vector", Dims: []int{c.Hidden, 1}, Init: layer.Zeros},
	)...)
	return append(params,
		layer.Param{Name: "score.embedding", Dims: []int{c.Hidden}, Init: layer.Zeros},
		layer.Param{Name: "score.bias", Dims: []int{1}, Init: layer.Zeros},
	)
}

// prefixValue is z = g(tap) [batch, d*] with tap [batch, d_k]: (layer norm), (dropout), affine, (GELU), (RMS norm with a
// gain).
func prefixValue(p *layer.Pass, c Config, tap *graph.Node) *graph.Node {
	if c.TapNorm == "layer" {
		tap = layer.LayerNorm(p, "norm", tap, tapNormEpsilon)
	}
	z := layer.Dense(p, "adapter", p.Dropout(tap, c.Dropout))
	if c.GELU {
		z = layer.GELU(z)
	}
	if c.ValueNorm {
		z = graph.Mul(layer.RMSNorm(z), graph.ExpandLeftToRank(p.Param("value.gain"), z.Rank()))
	}
	return z
}

// prefixScore is s = v · GELU(W_s k + e) + b [batch, 1] with k = RMSNorm(psi(z)), z [batch, d*]. The bias of W_s would
// be the same for all depths; the depth's embedding e takes its place.
func prefixScore(p *layer.Pass, c Config, z *graph.Node) *graph.Node {
	k := layer.RMSNorm(psi(p, c, z))
	hidden := layer.MatMul(k, p.Param("score.kernel"))
	hidden = layer.GELU(graph.Add(hidden, graph.ExpandLeftToRank(p.Param("score.embedding"), hidden.Rank())))
	s := layer.MatMul(hidden, p.Param("score.vector"))
	return graph.Add(s, graph.ExpandLeftToRank(p.Param("score.bias"), s.Rank()))
}

// accumulate adds one value z [batch, d*] with the score t = s/tau [batch, 1] to the online softmax (Milakov and
// Gimelshein 2018). The slow form is acc/l = sum_i softmax(t_1..k)_i z_i.
//
// The maximum cancels in acc/l, so its gradient is zero. Stopping it saves that work and keeps the -Inf of the start out of
// the backward pass.
func accumulate(m, l, acc, t, z *graph.Node) (_, _, _ *graph.Node) {
	top := graph.StopGradient(graph.Max(m, t))
	old := graph.Exp(graph.Sub(m, top))
	fresh := graph.Exp(graph.Sub(t, top))
	l = graph.Add(graph.Mul(l, old), fresh)
	acc = graph.Add(graph.Mul(acc, old), graph.Mul(fresh, z))
	return top, l, acc
}

func (h prefix) Answer(depth int) layer.Op {
	h.mustExit(depth)
	c := h.config
	return layer.Op{
		Name:      DepthName(depth),
		Signature: fmt.Sprintf("laya prefix answer: exit_scale %t, correction %t", c.ExitScale, c.Correction),
		Params:    prefixAnswerParams(c),
		MACs:      fixed(c.Dim*c.Classes + correctionMACs(c)),
		Apply: func(p *layer.Pass, in []*graph.Node) []*graph.Node {
			l, acc := in[1], in[2]
			agg := graph.Div(acc, l) // l >= 1: the largest score adds exp(0)
			if c.Correction {
				agg = graph.Add(agg, layer.MatMul(agg, p.Param("exit.correction")))
			}
			logits := layer.Dense(p, "classifier", agg)
			if c.ExitScale {
				logits = graph.Mul(logits, graph.ExpandLeftToRank(p.Param("exit.scale"), logits.Rank()))
				logits = graph.Add(logits, graph.ExpandLeftToRank(p.Param("exit.bias"), logits.Rank()))
			}
			return []*graph.Node{logits}
		},
		Native: h.nativeAnswer,
	}
}

func prefixAnswerParams(c Config) []layer.Param {
	params := shared(layer.DenseParams("classifier", c.Dim, c.Classes, layer.Glorot)...)
	if c.Correction {
		params = append(params, layer.Param{Name: "exit.correction", Dims: []int{c.Dim, c.Dim}, Init: layer.Zeros})
	}
	if c.ExitScale {
		params = append(params,
			layer.Param{Name: "exit.scale", Dims: []int{1}, Init: layer.Ones},
			layer.Param{Name: "exit.bias", Dims: []int{c.Classes}, Init: layer.Zeros})
	}
	return params
}

func correctionMACs(c Config) int {
	if !c.Correction {
		return 0
	}
	return c.Dim * c.Dim
}
