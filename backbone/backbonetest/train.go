package backbonetest

import (
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/layer"
)

// train runs ops in training mode and checks the gradients of sum(tap * direction) and the statistics that are set.
func train(ops []layer.Op, weights layer.Weights, in, direction *tensors.Tensor) error {
	rng, err := graph.RNGStateFromSeed(1)
	if err != nil {
		return err
	}
	params := layer.ParamsOf(ops...)
	var names []string // of the outputs
	out, err := execute(params, weights, []*tensors.Tensor{in, rng, direction}, func(w nodes, in []*graph.Node) []*graph.Node {
		training := &layer.Training{RNG: in[1]}
		state := in[:1]
		var outputs []*graph.Node
		for _, op := range ops {
			pass := w.pass(op, training)
			state = op.Apply(pass, state)
			for name, value := range pass.Updates() {
				names = append(names, "the update of "+checkUpdate(op, name, value))
				outputs = append(outputs, value)
			}
		}
		loss := graph.ReduceAllSum(graph.Mul(state[0], in[2]))
		var learned []*graph.Node
		for _, p := range params {
			if !p.Frozen {
				names = append(names, "the gradient of "+p.Name)
				learned = append(learned, w[p.Name])
			}
		}
		if len(learned) > 0 {
			outputs = append(outputs, graph.Gradient(loss, learned...)...)
		}
		return append(outputs, loss)
	})
	if err != nil {
		return err
	}
	for i, name := range append(names, "the loss") {
		for _, v := range tensors.MustCopyFlatData[float32](out[i]) {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return fmt.Errorf("%s holds %v", name, v)
			}
		}
	}
	return nil
}

// checkUpdate returns the full name of the statistic that op sets; it panics if op may not set it to value.
func checkUpdate(op layer.Op, name string, value *graph.Node) string {
	for _, p := range op.Params {
		if p.Name == name && p.Frozen {
			if want := layer.Float32(p.Dims...); value.Rank() != len(want.Dims) || value.Shape().Size() != want.Size(0) {
				panic(fmt.Errorf("%s sets %q to shape %s, want %v", op.Name, name, value.Shape(), p.Dims))
			}
			return op.FullName(p)
		}
	}
	panic(fmt.Errorf("%s sets %q, which it does not declare as frozen", op.Name, name))
}
