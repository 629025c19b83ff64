package backbone

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// The graph functions of [Encoder]. internal/reftest has the same formulas in plain float64 loops.

// masked is added to the attention score of a padding key. It swamps every score in float32, so that the softmax gives
// padding a weight of exactly 0, and unlike -Inf it leaves a row of padding alone finite.
const masked = -1e9

// embed takes ids [batch, length] to the hidden state [batch, length, dim] and the mask [batch, length].
func (e *Encoder) embed(p *layer.Pass, in []*graph.Node) []*graph.Node {
	ids := in[0]
	length := ids.Shape().Dim(1)
	if length > e.MaxLength {
		panic(fmt.Errorf("backbone: encoder: length is %d, want at most max_length, %d", length, e.MaxLength))
	}
	x := graph.Gather(p.Param("word"), graph.InsertAxes(ids, -1))
	position := graph.Slice(p.Param("position"), graph.AxisRange(0, length))
	x = graph.Add(x, graph.InsertAxes(position, 0))
	if e.TokenTypes > 0 {
		first := graph.Slice(p.Param("token_type"), graph.AxisRange(0, 1)) // [1, dim]
		x = graph.Add(x, graph.InsertAxes(first, 0))
	}
	x = p.Dropout(layer.LayerNorm(p, "norm", x, e.Epsilon), e.Dropout)
	pad := graph.Scalar(ids.Graph(), ids.DType(), e.PadID)
	mask := graph.ConvertDType(graph.NotEqual(ids, pad), dtypes.Float32)
	return []*graph.Node{x, mask}
}

// block takes h [batch, length, dim] through attention and feed-forward; the mask travels unchanged.
func (e *Encoder) block(p *layer.Pass, state []*graph.Node) []*graph.Node {
	h, mask := state[0], state[1]
	h = e.residual(p, "attention.norm", h, func(x *graph.Node) *graph.Node { return e.attend(p, x, mask) })
	h = e.residual(p, "ffn.norm", h, func(x *graph.Node) *graph.Node {
		return layer.Dense(p, "ffn.down", e.activate(layer.Dense(p, "ffn.up", x)))
	})
	return []*graph.Node{h, mask}
}

// residual is LayerNorm(h + f(h)) or, for pre-norm, h + f(LayerNorm(h)).
func (e *Encoder) residual(p *layer.Pass, norm string, h *graph.Node, f func(*graph.Node) *graph.Node) *graph.Node {
	if e.Norm == "pre" {
		return graph.Add(h, p.Dropout(f(layer.LayerNorm(p, norm, h, e.Epsilon)), e.Dropout))
	}
	return layer.LayerNorm(p, norm, graph.Add(h, p.Dropout(f(h), e.Dropout)), e.Epsilon)
}

// attend is multi-head self-attention, softmax(q·k / sqrt(head width) + bias of padding) v, and its output layer.
// x is [batch, length, dim], mask [batch, length].
//
// The products are laid out as rows by columns because the pure-Go backend is up to 30 times slower where both factors
// run along their rows (docs/experiments.md); to XLA all layouts are alike.
func (e *Encoder) attend(p *layer.Pass, x, mask *graph.Node) *graph.Node {
	batch, length, width := x.Shape().Dim(0), x.Shape().Dim(1), e.Dim/e.Heads
	heads := func(y *graph.Node, axes ...int) *graph.Node { // of y as [batch, length, heads, width]
		return graph.TransposeAllAxes(graph.Reshape(y, batch, length, e.Heads, width), axes...)
	}
	pairs := func(y *graph.Node) *graph.Node { // [batch * heads, …]
		return graph.Reshape(y, batch*e.Heads, y.Shape().Dim(2), y.Shape().Dim(3))
	}
	product := func(y, z *graph.Node) *graph.Node {
		return graph.DotGeneral(pairs(y), []int{2}, []int{0}, pairs(z), []int{1}, []int{0})
	}
	query := heads(layer.Dense(p, "attention.query", x), 0, 2, 1, 3)
	query = graph.MulScalar(query, 1/math.Sqrt(float64(width)))
	key := heads(layer.Dense(p, "attention.key", x), 0, 2, 3, 1)
	value := heads(layer.Dense(p, "attention.value", x), 0, 2, 1, 3)
	scores := graph.Reshape(product(query, key), batch, e.Heads, length, length) // [batch, heads, query, key]
	bias := graph.MulScalar(graph.OneMinus(mask), masked)
	scores = graph.Add(scores, graph.Reshape(bias, batch, 1, 1, length))
	weights := p.Dropout(graph.Softmax(scores, -1), e.Dropout)
	mixed := graph.Reshape(product(weights, value), batch, e.Heads, length, width)
	mixed = graph.TransposeAllAxes(mixed, 0, 2, 1, 3) // [batch, length, heads, width]
	return layer.Dense(p, "attention.output", graph.Reshape(mixed, batch, length, e.Dim))
}

func (e *Encoder) activate(x *graph.Node) *graph.Node {
	if e.Activation == "gelu_tanh" {
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

// tap takes the state to [batch, dim]. Before the pooler both poolings give zeros for a sample of padding alone, whatever
// its length.
func (e *Encoder) tap(p *layer.Pass, state []*graph.Node) []*graph.Node {
	h, mask := state[0], graph.InsertAxes(state[1], -1) // [batch, length, dim], [batch, length, 1]
	if e.Pool == "cls" {
		h = graph.Slice(h, graph.AxisRange(), graph.AxisRange(0, 1))
		mask = graph.Slice(mask, graph.AxisRange(), graph.AxisRange(0, 1))
	}
	if e.Norm == "pre" {
		h = layer.LayerNorm(p, "norm", h, e.Epsilon)
	}
	tokens := graph.MaxScalar(graph.ReduceSum(mask, 1), 1) // [batch, 1]
	pooled := graph.Div(graph.ReduceSum(graph.Mul(h, mask), 1), tokens)
	switch e.Pooler {
	case "tanh":
		pooled = graph.Tanh(layer.Dense(p, "pooler", pooled))
	case "relu":
		pooled = layer.ReLU(layer.Dense(p, "pooler", pooled))
	}
	return []*graph.Node{pooled}
}
