package layer

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
)

// Binding holds the weights of a whole network as nodes of one graph, under their full names, and applies Ops to them.
type Binding struct {
	Weights map[string]*graph.Node
	Train   *Training              // nil for inference
	Updates map[string]*graph.Node // in training: new values of frozen parameters, by full name
}

// Apply runs op on in with its weights taken from the binding.
func (b *Binding) Apply(op Op, in ...*graph.Node) []*graph.Node {
	params := make(map[string]*graph.Node, len(op.Params))
	for _, p := range op.Params {
		node, ok := b.Weights[op.FullName(p)]
		if !ok {
			panic(fmt.Sprintf("layer: no weight %q is bound", op.FullName(p)))
		}
		params[p.Name] = node
	}
	pass := NewPass(params, b.Train)
	out := op.Apply(pass, in)
	for _, p := range op.Params {
		if node, ok := pass.Updates()[p.Name]; ok {
			b.Updates[op.FullName(p)] = node
		}
	}
	return out
}
