package compile_test

import (
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/internal/testbackend"
	"github.com/layarun/layarun/layer"
)

// faulty is a backbone whose block 2 is broken.
type faulty struct{ *backbone.MLP }

func (f faulty) Block(k int) backbone.Block {
	b := f.MLP.Block(k)
	if k == 2 {
		b.Apply = func(*layer.Pass, []*graph.Node) []*graph.Node { panic("no such block") }
	}
	return b
}

// GoMLX would keep its locks and whoever comes second wait forever, were the panic not made an error inside the graph.
func TestPanickingBackboneIsAnError(t *testing.T) {
	mlp := networks(t)["mlp"]
	n, err := compile.NewNetwork(faulty{mlp.Backbone.(*backbone.MLP)}, mlp.Head.Config())
	if err != nil {
		t.Fatal(err)
	}
	e, err := compile.NewEngine(&compile.Device{Backend: testbackend.Go(t), Workers: 1}, n, weightsOf(n, 1), nil, [][]int{{1}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := e.NewSample(make([]float32, 5), 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if _, err := e.Run(i, i, []*compile.Sample{s}); err != nil {
				t.Fatalf("segment %d, before the broken block: %v", i, err)
			}
		}
		if _, err := e.Run(2, 2, []*compile.Sample{s}); err == nil || !strings.Contains(err.Error(), "no such block") {
			t.Fatalf("error %v, want the panic's", err)
		}
		if err := e.Compile(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "no such block") {
			t.Fatalf("error %v, want the panic's", err)
		}
	}
}
