package layer

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
)

// Pass is one evaluation of an Op: its weights as graph nodes and, in training, the random state and the statistics
// that the Op sets.
type Pass struct {
	params  map[string]*graph.Node // by the Op's own parameter names
	train   *Training
	updates map[string]*graph.Node
}

// Training is what a training pass adds: a random state for dropout, threaded through the whole graph.
type Training struct {
	RNG *graph.Node
}

// NewPass returns a pass that hands out params, by the Op's own parameter names. A nil train means inference.
func NewPass(params map[string]*graph.Node, train *Training) *Pass {
	return &Pass{params: params, train: train, updates: map[string]*graph.Node{}}
}

// Param returns the weight declared under name.
func (p *Pass) Param(name string) *graph.Node {
	node, ok := p.params[name]
	if !ok {
		panic(fmt.Sprintf("layer: an Op asks for parameter %q, which it does not declare", name))
	}
	return node
}

// Training reports whether this is a training pass.
func (p *Pass) Training() bool { return p.train != nil }

// Set records the new value of a frozen parameter (a running statistic). In inference it does nothing.
func (p *Pass) Set(name string, value *graph.Node) {
	if p.Training() {
		p.updates[name] = value
	}
}

// Updates are the values that Set recorded, by the Op's own parameter names.
func (p *Pass) Updates() map[string]*graph.Node { return p.updates }

// Dropout zeroes a share rate of x and scales the rest by 1/(1-rate) in training; it is the identity in inference.
func (p *Pass) Dropout(x *graph.Node, rate float64) *graph.Node {
	if !p.Training() || rate == 0 {
		return x
	}
	rng, u := graph.RandomUniform(p.train.RNG, x.Shape())
	p.train.RNG = rng
	keep := graph.GreaterOrEqual(u, graph.Scalar(x.Graph(), x.DType(), rate))
	return graph.Where(keep, graph.DivScalar(x, 1-rate), graph.ZerosLike(x))
}
