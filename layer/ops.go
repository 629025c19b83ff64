package layer

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
)

// Dense returns x @ kernel + bias with the parameters name.kernel [in, out] and name.bias [out].
// x is [batch, ..., in]; the result is [batch, ..., out].
func Dense(p *Pass, name string, x *graph.Node) *graph.Node {
	kernel, bias := p.Param(name+".kernel"), p.Param(name+".bias")
	y := MatMul(x, kernel)
	return graph.Add(y, graph.ExpandLeftToRank(bias, y.Rank()))
}

// DenseParams declares the parameters of [Dense]: a kernel started by init and a zero bias.
func DenseParams(name string, in, out int, init Init) []Param {
	return []Param{
		{Name: name + ".kernel", Dims: []int{in, out}, Init: init},
		{Name: name + ".bias", Dims: []int{out}, Init: Zeros},
	}
}

// MatMul contracts the last axis of x [..., in] with a kernel [in, out].
func MatMul(x, kernel *graph.Node) *graph.Node {
	return graph.DotGeneral(x, []int{x.Rank() - 1}, nil, kernel, []int{0}, nil)
}

// GELU is the exact form x * Phi(x) = x/2 (1 + erf(x / sqrt 2)).
func GELU(x *graph.Node) *graph.Node {
	return graph.Mul(graph.MulScalar(x, 0.5), graph.OnePlus(graph.Erf(graph.MulScalar(x, 1/math.Sqrt2))))
}

// ReLU is max(x, 0).
func ReLU(x *graph.Node) *graph.Node {
	return graph.Max(x, graph.ScalarZero(x.Graph(), x.DType()))
}

// LayerNorm normalises the last axis of x to mean 0 and variance 1, then applies name.gain and name.bias. In inference it
// is one operation where the backend has it; its gradient would need the plain form as well.
func LayerNorm(p *Pass, name string, x *graph.Node, epsilon float64) *graph.Node {
	gain, bias := p.Param(name+".gain"), p.Param(name+".bias")
	plain := func() *graph.Node { return layerNorm(x, gain, bias, epsilon) }
	if p.Training() {
		return plain()
	}
	y, _ := graph.InternalFusedOpCaller(func() *graph.Node {
		return graph.BackendFusedLayerNorm(x, []int{x.Rank() - 1}, epsilon, gain, bias)
	}, plain, true)
	return y
}

func layerNorm(x, gain, bias *graph.Node, epsilon float64) *graph.Node {
	last := x.Rank() - 1
	centred := graph.Sub(x, graph.ReduceAndKeep(x, graph.ReduceMean, last))
	variance := graph.ReduceAndKeep(graph.Square(centred), graph.ReduceMean, last)
	y := graph.Div(centred, graph.Sqrt(graph.AddScalar(variance, epsilon)))
	return graph.Add(graph.Mul(y, graph.ExpandLeftToRank(gain, y.Rank())), graph.ExpandLeftToRank(bias, y.Rank()))
}

// LayerNormParams declares the parameters of [LayerNorm].
func LayerNormParams(name string, dim int) []Param {
	return []Param{
		{Name: name + ".gain", Dims: []int{dim}, Init: Ones},
		{Name: name + ".bias", Dims: []int{dim}, Init: Zeros},
	}
}

// RMSEpsilon is what [RMSNorm] adds to the mean of squares.
const RMSEpsilon = 1e-6

// RMSNorm is x / sqrt(mean(x^2) + RMSEpsilon) over the last axis, without a gain.
func RMSNorm(x *graph.Node) *graph.Node {
	meanSquare := graph.ReduceAndKeep(graph.Square(x), graph.ReduceMean, x.Rank()-1)
	return graph.Div(x, graph.Sqrt(graph.AddScalar(meanSquare, RMSEpsilon)))
}
