package backbonetest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/backbone/backbonetest"
	"github.com/layarun/layarun/layer"
)

// begin docs/backbones.md
func init() {
	backbone.Register("highway", func() backbone.Backbone { return &Highway{Blocks: 4} })
}

// Highway is a highway network (Srivastava et al. 2015): h ← t * GELU(h W + b) + (1 - t) * h with t = sigmoid(h V + c).
type Highway struct {
	Features int `json:"features"`
	Blocks   int `json:"blocks"`
}

func (n *Highway) Validate() error {
	if n.Features < 1 || n.Blocks < 1 {
		return fmt.Errorf("highway: features is %d and blocks is %d, want at least 1 of each", n.Features, n.Blocks)
	}
	return nil
}

func (n *Highway) Input() layer.Spec      { return layer.Float32(n.Features) }
func (n *Highway) Depth() int             { return n.Blocks }
func (n *Highway) State(int) []layer.Spec { return []layer.Spec{layer.Float32(n.Features)} }
func (n *Highway) TapDim(int) int         { return n.Features }
func (n *Highway) Stem() layer.Op         { return pass("stem") }
func (n *Highway) Tap(k int) layer.Op     { return pass(backbone.TapName(k)) }
func (n *Highway) Block(k int) backbone.Block {
	params := layer.DenseParams("carry", n.Features, n.Features, layer.Glorot)
	params = append(params, layer.DenseParams("dense", n.Features, n.Features, layer.Glorot)...)
	return backbone.Block{Removable: true, Op: layer.Op{
		Name:      backbone.BlockName(k),
		Signature: "highway block", // the sizes are in the shapes of weights and state
		Params:    params,
		MACs:      func(int) int64 { return 2 * int64(n.Features) * int64(n.Features) },
		Apply: func(p *layer.Pass, state []*graph.Node) []*graph.Node {
			h := state[0] // [batch, features]
			t := graph.Sigmoid(layer.Dense(p, "carry", h))
			fresh := layer.GELU(layer.Dense(p, "dense", h))
			return []*graph.Node{graph.Add(graph.Mul(t, fresh), graph.Mul(graph.OneMinus(t), h))}
		},
	}}
}

func (n *Highway) Keep(blocks []int) (backbone.Backbone, error) {
	if err := backbone.CheckKeep(n, blocks); err != nil {
		return nil, err
	}
	return &Highway{Features: n.Features, Blocks: len(blocks)}, nil
}

// pass is an operation that leaves its input as it is.
func pass(name string) layer.Op {
	return layer.Op{
		Name: name, Signature: "highway pass", MACs: layer.NoMACs,
		Apply: func(_ *layer.Pass, in []*graph.Node) []*graph.Node { return in },
	}
}

func TestHighway(t *testing.T) {
	backbonetest.Run(t, &Highway{Features: 5, Blocks: 3}, backbonetest.Options{})
}

// end docs/backbones.md

func ExampleEval() {
	b := &Highway{Features: 2, Blocks: 1}
	weights := layer.NewWeights(layer.ParamsOf(backbone.Ops(b)...), 1)
	out, err := backbonetest.Eval(backbone.Ops(b), weights, tensors.FromValue([][]float32{{0, 0}, {0, 0}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out[0].Shape(), out[0].Value())
	// Output: (Float32)[2, 2] [[0 0] [0 0]]
}

// TestDocsShowThisFile keeps the code in docs/backbones.md compiled and conforming.
func TestDocsShowThisFile(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/backbones.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "// begin docs/backbones.md\n")
	code, _, _ = strings.Cut(code, "\n// end docs/backbones.md")
	if code == "" || !strings.Contains(string(doc), "```go\n"+code+"```") {
		t.Errorf("docs/backbones.md does not show the code between the markers of example_test.go")
	}
}
