package backbonetest

import (
	"fmt"
	"sync"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend" // the suite runs everywhere: it needs no plugin
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/layer"
)

// pureGo is one backend per process: tensors may not move from one backend to another.
var pureGo = sync.OnceValues(func() (compute.Backend, error) { return compute.NewWithConfig("go:ops_sequential") })

// Eval runs ops in sequence, as one graph, in inference on the pure-Go backend: in are the inputs of the first, the
// result the outputs of the last. weights holds at least their parameters, by full name. It is for tests.
func Eval(ops []layer.Op, weights layer.Weights, in ...*tensors.Tensor) ([]*tensors.Tensor, error) {
	return execute(layer.ParamsOf(ops...), weights, in, func(w nodes, in []*graph.Node) []*graph.Node {
		for _, op := range ops {
			in = op.Apply(w.pass(op, nil), in)
		}
		return in
	})
}

// nodes are weights in a graph, by full name.
type nodes map[string]*graph.Node

// pass hands op its weights.
func (w nodes) pass(op layer.Op, train *layer.Training) *layer.Pass {
	own := map[string]*graph.Node{}
	for _, p := range op.Params {
		own[p.Name] = w[op.FullName(p)]
	}
	return layer.NewPass(own, train)
}

// execute builds and runs the graph of build, its weights and inputs as graph parameters. A panic of build is an error.
func execute(params []layer.Param, weights layer.Weights, in []*tensors.Tensor,
	build func(w nodes, in []*graph.Node) []*graph.Node) ([]*tensors.Tensor, error) {
	backend, err := pureGo()
	if err != nil {
		return nil, fmt.Errorf("backbonetest: %w", err)
	}
	args := make([]any, 0, len(in)+len(params))
	for _, t := range in {
		args = append(args, t)
	}
	for _, p := range params {
		t, ok := weights[p.Name]
		if !ok {
			return nil, fmt.Errorf("backbonetest: weight %q is missing", p.Name)
		}
		args = append(args, t)
	}
	exec, err := graph.NewExec(backend, func(all []*graph.Node) []*graph.Node {
		defer layer.ErrorsOnly()
		w := nodes{}
		for i, p := range params {
			w[p.Name] = all[len(in)+i]
		}
		return build(w, all[:len(in)])
	})
	if err != nil {
		return nil, fmt.Errorf("backbonetest: %w", err)
	}
	defer exec.Finalize()
	return exec.Call(args...)
}
