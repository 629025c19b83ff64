package train

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
)

// rateAt is the learning rate of step (from 0) out of total.
func (c Config) rateAt(step, total int) float64 {
	warm := int(c.WarmUp * float64(total))
	if step < warm {
		return c.Rate * float64(step+1) / float64(warm+1)
	}
	if c.Schedule == "constant" {
		return c.Rate
	}
	progress := float64(step-warm) / float64(max(total-warm, 1))
	return c.Rate * 0.5 * (1 + math.Cos(math.Pi*progress))
}

// moments are Adam's running means of the gradient and of its square.
type moments struct{ first, second *graph.Node }

// adamW is one update of one weight (Loshchilov and Hutter 2019, algorithm 2):
//
//	m <- beta1 m + (1 - beta1) g
//	v <- beta2 v + (1 - beta2) g^2
//	w <- w - rate (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + decay w)
//
// rate and step (t, from 1) are scalars of the graph, so that one executable serves the whole run. Weights with fewer
// than two axes do not decay.
func (c Config) adamW(w, gradient *graph.Node, m moments, rate, step *graph.Node) (*graph.Node, moments) {
	first := graph.Add(graph.MulScalar(m.first, c.Beta1), graph.MulScalar(gradient, 1-c.Beta1))
	second := graph.Add(graph.MulScalar(m.second, c.Beta2), graph.MulScalar(graph.Square(gradient), 1-c.Beta2))
	unbiased := func(x *graph.Node, beta float64) *graph.Node {
		power := graph.Exp(graph.MulScalar(step, math.Log(beta)))
		if beta == 0 {
			power = graph.ZerosLike(step)
		}
		return graph.Div(x, graph.OneMinus(power))
	}
	direction := graph.Div(unbiased(first, c.Beta1), graph.AddScalar(graph.Sqrt(unbiased(second, c.Beta2)), c.Epsilon))
	if c.Decay > 0 && w.Rank() >= 2 {
		direction = graph.Add(direction, graph.MulScalar(w, c.Decay))
	}
	return graph.Sub(w, graph.Mul(rate, direction)), moments{first, second}
}

// clip scales gradients so that their global norm is at most limit; 0 leaves them.
func clip(gradients []*graph.Node, limit float64) []*graph.Node {
	if limit == 0 || len(gradients) == 0 {
		return gradients
	}
	sum := graph.ScalarZero(gradients[0].Graph(), gradients[0].DType())
	for _, g := range gradients {
		sum = graph.Add(sum, graph.ReduceAllSum(graph.Square(g)))
	}
	scale := graph.MinScalar(graph.Div(graph.Scalar(sum.Graph(), sum.DType(), limit), graph.AddScalar(graph.Sqrt(sum), 1e-12)), 1)
	scaled := make([]*graph.Node, len(gradients))
	for i, g := range gradients {
		scaled[i] = graph.Mul(g, scale)
	}
	return scaled
}
