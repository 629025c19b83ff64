package backbone_test

import (
	"fmt"
	"testing"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/layer"
)

// BenchmarkEncoderBlock times one block of MiniLM's shape in inference, weights as graph parameters. The xla:cpu rows
// need the plugin.
func BenchmarkEncoderBlock(b *testing.B) {
	for _, config := range []string{"go", "xla:cpu"} {
		for _, batch := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/batch%d", config, batch), func(b *testing.B) {
				backend, err := compute.NewWithConfig(config)
				if err != nil {
					b.Skip(err)
				}
				defer backend.Finalize()
				benchmarkBlock(b, backend, batch, 64)
			})
		}
	}
}

func benchmarkBlock(b *testing.B, backend compute.Backend, batch, length int) {
	e, err := backbone.Decode([]byte(`{"kind": "encoder", "layers": 1, "dim": 384, "heads": 12, "hidden": 1536}`))
	if err != nil {
		b.Fatal(err)
	}
	op := e.Block(1).Op
	weights := layer.NewWeights(layer.ParamsOf(op), 1)
	var args []any
	for _, part := range e.State(0) {
		args = append(args, filled(part.Shape(batch, length).Dimensions))
	}
	parts := len(args)
	for _, p := range op.Params {
		args = append(args, weights[op.FullName(p)])
	}
	exec := graph.MustNewExec(backend, func(in []*graph.Node) []*graph.Node {
		own := map[string]*graph.Node{}
		for i, p := range op.Params {
			own[p.Name] = in[parts+i]
		}
		return op.Apply(layer.NewPass(own, nil), in[:parts])[:1]
	})
	defer exec.Finalize()
	exec.MustCall(args...) // compiles
	for b.Loop() {
		exec.MustCall(args...)[0].MustFinalizeAll()
	}
	b.ReportMetric(float64(op.MACs(length))*float64(batch)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
}

// filled returns a tensor of ones: as a mask, every position is a token.
func filled(dims []int) *tensors.Tensor {
	n := 1
	for _, d := range dims {
		n *= d
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = 1
	}
	return tensors.FromFlatDataAndDimensions(values, dims...)
}
