package backbone

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// The graph functions of [Encoder]. internal/reftest has the same formulas in plain float64 loops.

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
	return []*graph.Node{e.attentive().apply(p, state[0], state[1]), state[1]}
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
