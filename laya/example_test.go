package laya_test

import (
	"fmt"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// A prefix head over three taps answers after each of them. Before any training it attends to all it has read alike.
func Example() {
	h, err := laya.New(laya.Default([]int{0, 1, 2}, 10), []int{16, 32, 32})
	if err != nil {
		fmt.Println(err)
		return
	}
	weights := layer.NewWeights(layer.ParamsOf(laya.Ops(h)...), 1)
	backend, err := compute.NewWithConfig("go:ops_sequential")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Finalize()

	run := func(op layer.Op, in []*tensors.Tensor) []*tensors.Tensor {
		args := []any{}
		for _, x := range in {
			args = append(args, x)
		}
		for _, p := range op.Params {
			args = append(args, weights[op.FullName(p)])
		}
		return graph.MustNewExec(backend, func(nodes []*graph.Node) []*graph.Node {
			params := map[string]*graph.Node{}
			for i, p := range op.Params {
				params[p.Name] = nodes[len(in)+i]
			}
			return op.Apply(layer.NewPass(params, nil), nodes[:len(in)])
		}).MustCall(args...)
	}

	batch := 4
	carry := graph.MustNewExec(backend, func(x *graph.Node) []*graph.Node { return h.Start(x.Graph(), batch) }).MustCall(float32(0))
	var scores []float32 // of the first sample
	for _, depth := range h.Config().Reads {
		tap := layer.Param{Dims: []int{batch, []int{16, 32, 32}[depth]}, Init: layer.Ones}.New(nil) // from the backbone
		out := run(h.Step(depth), append(carry, tap))
		carry = out[:3]
		scores = append(scores, tensors.MustCopyFlatData[float32](out[4])[0])
		logits := run(h.Answer(depth), carry)[0]
		fmt.Printf("depth %d: logits %v, alpha %.2f\n", depth, logits.Shape().Dimensions, laya.Attention(h.Config(), scores))
	}
	// Output:
	// depth 0: logits [4 10], alpha [1.00]
	// depth 1: logits [4 10], alpha [0.50 0.50]
	// depth 2: logits [4 10], alpha [0.33 0.33 0.33]
}

// Pruning block 2 and the branch of depth 1 leaves a head that reads depths 0 and 2 of a two-block network.
func ExampleKeep() {
	c := laya.Default([]int{0, 1, 3}, 10)
	kept, err := laya.Keep(c, []int{1, 3}, []int{0, 3})
	fmt.Println(kept.Reads, err)
	_, err = laya.Keep(c, []int{1, 2}, []int{0, 1})
	fmt.Println(err)
	// Output:
	// [0 2] <nil>
	// laya: kept reads are [0 1], want them to end with the last kept block 2
}

func ExampleContributions() {
	c := laya.Config{Kind: laya.Joint, Reads: []int{1, 2}, Classes: 2, Dim: 1, Tau: 1, Hidden: 1, Psi: "identity"}
	weights := laya.HostWeights{"head.classifier.kernel": {1, -1}, "head.classifier.bias": {0.5, 0}}
	scores, values := []float32{0, 0}, [][]float32{{2}, {6}}
	parts, bias, err := laya.Contributions(c, weights, 2, scores, values)
	fmt.Println("alpha", laya.Attention(c, scores), err)
	fmt.Println("contributions", parts, "and bias", bias, "sum to the logits 4.5 and -4")
	// Output:
	// alpha [0.5 0.5] <nil>
	// contributions [[1 -1] [3 -3]] and bias [0.5 0] sum to the logits 4.5 and -4
}
