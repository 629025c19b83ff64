package backbonetest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/layer"
)

// broken is a good backbone with one method replaced.
type broken struct {
	backbone.Backbone
	block func(k int, b backbone.Block) backbone.Block
	tap   func(op layer.Op) layer.Op
	state func(specs []layer.Spec) []layer.Spec
	keep  func(blocks []int) (backbone.Backbone, error)
	fold  func(w layer.Weights) (backbone.Backbone, layer.Weights, error)
}

func (b *broken) MarshalJSON() ([]byte, error) { return []byte("{}"), nil }
func (b *broken) Block(k int) backbone.Block {
	if b.block == nil {
		return b.Backbone.Block(k)
	}
	return b.block(k, b.Backbone.Block(k))
}
func (b *broken) Tap(k int) layer.Op {
	if b.tap == nil {
		return b.Backbone.Tap(k)
	}
	return b.tap(b.Backbone.Tap(k))
}
func (b *broken) State(k int) []layer.Spec {
	if b.state == nil {
		return b.Backbone.State(k)
	}
	return b.state(b.Backbone.State(k))
}
func (b *broken) Keep(blocks []int) (backbone.Backbone, error) {
	if b.keep == nil {
		return b.Backbone.Keep(blocks)
	}
	return b.keep(blocks)
}
func (b *broken) Fold(w layer.Weights) (backbone.Backbone, layer.Weights, error) {
	if b.fold == nil {
		return b, w, nil
	}
	return b.fold(w)
}

// Padding is that of encoder.
func (b *broken) Padding() int32 { return 0 }

func init() {
	backbone.Register("broken", func() backbone.Backbone { return &broken{Backbone: mlp()} })
}

// mlp has a block that is removable, the second, between two that are not.
func mlp() *backbone.MLP {
	return &backbone.MLP{Inputs: []int{6}, Widths: []int{5, 5, 4}, Norm: "layer", Epsilon: 1e-3, Residual: true}
}

func encoder() *backbone.Encoder {
	return &backbone.Encoder{
		Vocab: 11, MaxLength: 12, Layers: 2, Dim: 4, Heads: 2, Hidden: 6, Norm: "post", Positions: "learned",
		Activation: "gelu", Epsilon: 1e-5, Pool: "mean",
	}
}

// after lets change see the first output of every block.
func after(b backbone.Backbone, change func(p *layer.Pass, k int, in, h *graph.Node) *graph.Node) *broken {
	return &broken{Backbone: b, block: func(k int, b backbone.Block) backbone.Block {
		apply := b.Apply
		b.Apply = func(p *layer.Pass, in []*graph.Node) []*graph.Node {
			out := slices.Clone(apply(p, in))
			out[0] = change(p, k, in[0], out[0])
			return out
		}
		return b
	}}
}

// faults holds, by rule, a backbone that breaks it and a word of the complaint.
func faults() map[string]struct {
	b    backbone.Backbone
	word string
} {
	calls, held := 0.0, (*graph.Node)(nil)
	other := mlp()
	other.Epsilon = 1
	type fault = struct {
		b    backbone.Backbone
		word string
	}
	return map[string]fault{
		"json": {&broken{Backbone: other}, "decoded"},
		"params": {&broken{Backbone: mlp(), block: func(_ int, b backbone.Block) backbone.Block {
			b.Params = append(b.Params, b.Params[0])
			return b
		}}, "twice"},
		"shapes": {&broken{Backbone: mlp(), state: func([]layer.Spec) []layer.Spec { return []layer.Spec{layer.Float32(6)} }}, "State declares"},
		"parts": {&broken{Backbone: encoder(), block: func(_ int, b backbone.Block) backbone.Block {
			apply := b.Apply
			b.Apply = func(p *layer.Pass, in []*graph.Node) []*graph.Node {
				return []*graph.Node{apply(p, in)[0], graph.OneMinus(in[1])}
			}
			return b
		}}, "after its first part"},
		"batch": {after(mlp(), func(_ *layer.Pass, _ int, _, h *graph.Node) *graph.Node {
			return graph.Sub(h, graph.ReduceAndKeep(h, graph.ReduceMean, 0))
		}), "alone"},
		"padding": {&broken{Backbone: encoder(), tap: func(op layer.Op) layer.Op {
			op.Apply = func(_ *layer.Pass, in []*graph.Node) []*graph.Node { return []*graph.Node{graph.ReduceMean(in[0], 1)} }
			return op
		}}, "length 12 instead of 6"},
		"sequence": {after(mlp(), func(_ *layer.Pass, k int, _, h *graph.Node) *graph.Node { // a skip connection behind the state's back
			if k == 2 && held.Graph() == h.Graph() {
				return graph.Add(h, held)
			}
			held = h
			return h
		}), "state 2"},
		"deterministic": {after(mlp(), func(_ *layer.Pass, _ int, _, h *graph.Node) *graph.Node {
			calls++
			return graph.AddScalar(h, calls)
		}), "second run"},
		"rows": {after(mlp(), func(_ *layer.Pass, _ int, _, h *graph.Node) *graph.Node {
			return graph.Add(h, graph.MulScalar(graph.ReduceAndKeep(h, graph.ReduceSum, 0), 0))
		}), "NaN in row"},
		"signature": {after(encoder(), func(_ *layer.Pass, k int, _, h *graph.Node) *graph.Node {
			return graph.MulScalar(h, float64(k))
		}), "with the weights of"},
		"macs": {&broken{Backbone: mlp(), block: func(_ int, b backbone.Block) backbone.Block {
			b.MACs = func(int) int64 { return 7 }
			return b
		}}, "declares 7"},
		"keep-all": {&broken{Backbone: mlp(), keep: func(blocks []int) (backbone.Backbone, error) {
			return mlp().Keep(blocks[:len(blocks)-1])
		}}, "has 2 blocks"},
		"keep-prefix":  {&broken{Backbone: mlp(), keep: other.Keep}, "Keep(1..1): state"},
		"keep-without": {&broken{Backbone: mlp(), block: func(_ int, b backbone.Block) backbone.Block { b.Removable = true; return b }}, "removable block 1"},
		"keep-refuses": {&broken{Backbone: mlp(), keep: func([]int) (backbone.Backbone, error) { return mlp(), nil }}, "is no error"},
		"native": {&broken{Backbone: mlp(), tap: func(op layer.Op) layer.Op {
			op.Native = func(map[string][]float32) layer.Kernel { return firstOnly{} }
			return op
		}}, "on its kernel"},
		"train": {after(mlp(), func(_ *layer.Pass, _ int, in, h *graph.Node) *graph.Node { // sqrt has no finite slope at 0
			return graph.Add(h, graph.ReduceAndKeep(graph.Sqrt(graph.MulScalar(in, 0)), graph.ReduceSum, 1))
		}), "the gradient of"},
		"fold": {&broken{Backbone: mlp(), fold: func(w layer.Weights) (backbone.Backbone, layer.Weights, error) { return other, w, nil }}, "folded form"},
	}
}

// firstOnly is a kernel that forgets all samples but the first.
type firstOnly struct{}

func (firstOnly) Run(_ layer.Split, out, in []layer.Parts) { copy(out[0][0], in[0][0]) }

func find(name string) rule {
	return rules[slices.IndexFunc(rules, func(r rule) bool { return r.name == name })]
}

func TestEveryRuleFindsItsFault(t *testing.T) {
	faults := faults()
	for _, r := range rules {
		fault, ok := faults[r.name]
		if !ok {
			t.Errorf("no backbone breaks rule %s", r.name)
			continue
		}
		s, err := newSuite(fault.b, Options{Vocab: 11})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.check(s); err == nil || !strings.Contains(err.Error(), fault.word) {
			t.Errorf("%s: got %v, want a complaint with %q", r.name, err, fault.word)
		}
	}
}

func TestTrainingMaySetOnlyStatistics(t *testing.T) {
	b := after(mlp(), func(p *layer.Pass, _ int, _, h *graph.Node) *graph.Node {
		p.Set("dense.bias", p.Param("dense.bias"))
		return h
	})
	s, err := newSuite(b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkTraining(s); err == nil || !strings.Contains(err.Error(), "not declare as frozen") {
		t.Errorf("got %v, want a complaint about dense.bias", err)
	}
}

func TestPanicsBecomeErrors(t *testing.T) {
	for _, value := range []any{"a string", 3, errors.New("an error")} {
		b := after(mlp(), func(*layer.Pass, int, *graph.Node, *graph.Node) *graph.Node { panic(value) })
		s, err := newSuite(b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := find("shapes").check(s); err == nil {
			t.Errorf("a panic with %v is no error", value)
		}
	}
}

func TestSuiteRefusesInputsItCannotMake(t *testing.T) {
	if _, err := newSuite(encoder(), Options{}); err == nil || !strings.Contains(err.Error(), "Vocab") {
		t.Errorf("got %v, want an error about Options.Vocab", err)
	}
	silent := struct{ backbone.Backbone }{encoder()}
	if _, err := newSuite(silent, Options{Vocab: 11}); err == nil || !strings.Contains(err.Error(), "backbone.Sequence") {
		t.Errorf("got %v, want an error about backbone.Sequence", err)
	}
}

func TestNodeMACs(t *testing.T) {
	ones := func(dims ...int) func(*graph.Graph) *graph.Node {
		return func(g *graph.Graph) *graph.Node { return graph.Ones(g, layer.Float32(dims[1:]...).Shape(dims[0], 0)) }
	}
	type shape = func(*graph.Graph) *graph.Node
	for _, c := range []struct {
		name                                     string
		left, right                              shape
		leftSum, leftBatch, rightSum, rightBatch []int
		want                                     int64
	}{
		{"dense", ones(2, 3, 5), ones(5, 7), []int{2}, nil, []int{0}, nil, 2 * 3 * 5 * 7},
		{"attention", ones(2, 3, 4, 5), ones(2, 6, 4, 5), []int{3}, []int{0, 2}, []int{3}, []int{0, 2}, 2 * 4 * 3 * 6 * 5},
		{"two contracted axes", ones(3, 4, 5), ones(4, 5, 6), []int{1, 2}, nil, []int{0, 1}, nil, 3 * 4 * 5 * 6},
		{"outer", ones(3), ones(4), nil, nil, nil, nil, 12},
	} {
		var got int64
		_, err := execute(nil, nil, []*tensors.Tensor{tensors.FromValue(float32(0))}, func(_ nodes, in []*graph.Node) []*graph.Node {
			g := in[0].Graph()
			out := graph.DotGeneral(c.left(g), c.leftSum, c.leftBatch, c.right(g), c.rightSum, c.rightBatch)
			for _, node := range g.Nodes() {
				got += nodeMACs(node)
			}
			return []*graph.Node{out}
		})
		if err != nil || got != c.want {
			t.Errorf("%s: got %d, %v, want %d", c.name, got, err, c.want)
		}
	}
}
