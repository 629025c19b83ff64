package backbone

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/internal/kernel"
	"github.com/layarun/layarun/layer"
)

// attentive is the block that [Encoder] and [ViT] are made of: multi-head self-attention, then a feed-forward layer, each
// with a residual connection and a layer norm. internal/reftest has the same formulas in plain float64 loops.
type attentive struct {
	dim, heads, hidden int
	norm               string // "post" or "pre"
	activation         string // "gelu" or "gelu_tanh"
	epsilon, dropout   float64
}

func (a attentive) params() []layer.Param {
	std := layer.Normal(0.02) // BERT's initializer_range
	var params []layer.Param
	for _, name := range []string{"query", "key", "value", "output"} {
		params = append(params, layer.DenseParams("attention."+name, a.dim, a.dim, std)...)
	}
	params = append(params, layer.LayerNormParams("attention.norm", a.dim)...)
	params = append(params, layer.DenseParams("ffn.up", a.dim, a.hidden, std)...)
	params = append(params, layer.DenseParams("ffn.down", a.hidden, a.dim, std)...)
	return append(params, layer.LayerNormParams("ffn.norm", a.dim)...)
}

// macs counts a block over so many places.
func (a attentive) macs(length int) int64 {
	l, d, hidden := int64(length), int64(a.dim), int64(a.hidden)
	return 4*l*d*d + 2*l*l*d + 2*l*d*hidden
}

// apply takes h [batch, length, dim] through attention and feed-forward. mask [batch, length] is 0 at padding; nil where
// there is none.
func (a attentive) apply(p *layer.Pass, h, mask *graph.Node) *graph.Node {
	h = a.residual(p, "attention.norm", h, func(x *graph.Node) *graph.Node { return a.attend(p, x, mask) })
	return a.residual(p, "ffn.norm", h, func(x *graph.Node) *graph.Node {
		return layer.Dense(p, "ffn.down", a.activate(layer.Dense(p, "ffn.up", x)))
	})
}

// residual is LayerNorm(h + f(h)) or, for pre-norm, h + f(LayerNorm(h)).
func (a attentive) residual(p *layer.Pass, norm string, h *graph.Node, f func(*graph.Node) *graph.Node) *graph.Node {
	if a.norm == "pre" {
		return graph.Add(h, p.Dropout(f(layer.LayerNorm(p, norm, h, a.epsilon)), a.dropout))
	}
	return layer.LayerNorm(p, norm, graph.Add(h, p.Dropout(f(h), a.dropout)), a.epsilon)
}

// attend is multi-head self-attention, softmax(q·k / sqrt(head width) + bias of padding) v, and its output layer.
// x is [batch, length, dim], mask [batch, length] or nil.
//
// The products are laid out as rows by columns because the pure-Go backend is up to 30 times slower where both factors
// run along their rows (docs/experiments.md); to XLA all layouts are alike.
func (a attentive) attend(p *layer.Pass, x, mask *graph.Node) *graph.Node {
	batch, length, width := x.Shape().Dim(0), x.Shape().Dim(1), a.dim/a.heads
	heads := func(y *graph.Node, axes ...int) *graph.Node { // of y as [batch, length, heads, width]
		return graph.TransposeAllAxes(graph.Reshape(y, batch, length, a.heads, width), axes...)
	}
	pairs := func(y *graph.Node) *graph.Node { // [batch * heads, …]
		return graph.Reshape(y, batch*a.heads, y.Shape().Dim(2), y.Shape().Dim(3))
	}
	product := func(y, z *graph.Node) *graph.Node {
		return graph.DotGeneral(pairs(y), []int{2}, []int{0}, pairs(z), []int{1}, []int{0})
	}
	query := heads(layer.Dense(p, "attention.query", x), 0, 2, 1, 3)
	query = graph.MulScalar(query, 1/math.Sqrt(float64(width)))
	key := heads(layer.Dense(p, "attention.key", x), 0, 2, 3, 1)
	value := heads(layer.Dense(p, "attention.value", x), 0, 2, 1, 3)
	scores := graph.Reshape(product(query, key), batch, a.heads, length, length) // [batch, heads, query, key]
	if mask != nil {
		bias := graph.MulScalar(graph.OneMinus(mask), kernel.Masked)
		scores = graph.Add(scores, graph.Reshape(bias, batch, 1, 1, length))
	}
	weights := p.Dropout(graph.Softmax(scores, -1), a.dropout)
	mixed := graph.Reshape(product(weights, value), batch, a.heads, length, width)
	mixed = graph.TransposeAllAxes(mixed, 0, 2, 1, 3) // [batch, length, heads, width]
	return layer.Dense(p, "attention.output", graph.Reshape(mixed, batch, length, a.dim))
}

func (a attentive) activate(x *graph.Node) *graph.Node {
	if a.activation == "gelu_tanh" {
		return geluTanh(x)
	}
	return layer.GELU(x)
}

// geluTanh is x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016).
func geluTanh(x *graph.Node) *graph.Node {
	cube := graph.Mul(x, graph.Square(x))
	inner := graph.MulScalar(graph.Add(x, graph.MulScalar(cube, 0.044715)), math.Sqrt(2/math.Pi))
	return graph.Mul(graph.MulScalar(x, 0.5), graph.OnePlus(graph.Tanh(inner)))
}
