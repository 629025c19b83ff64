package laya_test

import (
	"slices"
	"testing"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// The tests run heads on the pure-Go backend, float32, with no plugin. Matrices on the host are [row][column].

// answer is what a head gave at one exit.
type answer struct {
	depth  int
	logits [][]float32
	scores [][]float32   // [row][read so far]: of the steps for kind prefix, of the answer for joint and scalarmix
	values [][][]float32 // [read so far][row][d*]
}

// tb is what testing.T and rapid.T have in common.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func goBackend(t testing.TB) compute.Backend {
	t.Helper()
	backend, err := compute.NewWithConfig("go:ops_sequential")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Finalize)
	return backend
}

// call builds fn for the shapes of in and runs it once.
func call(t tb, backend compute.Backend, in []*tensors.Tensor, fn func(in []*graph.Node) []*graph.Node) []*tensors.Tensor {
	t.Helper()
	exec, err := graph.NewExec(backend, fn)
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	args := make([]any, len(in))
	for i, x := range in {
		args[i] = x
	}
	out, err := exec.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// pass hands op its weights, given as nodes in the order of names.
func pass(op layer.Op, names []string, weights []*graph.Node, train *layer.Training) *layer.Pass {
	params := map[string]*graph.Node{}
	for _, p := range op.Params {
		params[p.Name] = weights[slices.Index(names, op.FullName(p))]
	}
	return layer.NewPass(params, train)
}

// apply runs one op by itself, as a stage of its own.
func apply(t tb, backend compute.Backend, op layer.Op, weights layer.Weights, in ...*tensors.Tensor) []*tensors.Tensor {
	t.Helper()
	var names []string
	args := slices.Clone(in)
	for _, p := range op.Params {
		names = append(names, op.FullName(p))
		args = append(args, weights[op.FullName(p)])
	}
	return call(t, backend, args, func(nodes []*graph.Node) []*graph.Node {
		return op.Apply(pass(op, names, nodes[len(in):], nil), nodes[:len(in)])
	})
}

// runStages evaluates every exit of h, each step and answer as an executable of its own and the carry on the host between.
func runStages(t tb, backend compute.Backend, h laya.Head, weights layer.Weights, taps [][][]float32) []answer {
	t.Helper()
	c := h.Config()
	batch := len(taps[0])
	// The pure-Go backend wants an input, and Start of some kinds makes nothing.
	var carry []*tensors.Tensor
	if len(h.Carry(-1)) > 0 {
		carry = call(t, backend, []*tensors.Tensor{tensors.FromValue(float32(0))}, func(in []*graph.Node) []*graph.Node {
			return h.Start(in[0].Graph(), batch)
		})
	}
	var answers []answer
	var values [][][]float32
	scores := make([][]float32, batch)
	for i, depth := range c.Reads {
		out := apply(t, backend, h.Step(depth), weights, append(slices.Clone(carry), tensors.FromValue(taps[i]))...)
		parts := len(h.Carry(depth))
		carry = out[:parts]
		checkCarry(t, h, depth, carry, batch)
		values = append(values, matrix(out[parts]))
		if c.Kind == laya.Prefix {
			for row, s := range matrix(out[parts+1]) {
				scores[row] = append(scores[row], s[0])
			}
		}
		if slices.Contains(c.Exits(), depth) {
			answers = append(answers, answerOf(c, depth, apply(t, backend, h.Answer(depth), weights, carry...), scores, values))
		}
	}
	return answers
}

// runGraph evaluates every exit of h in one graph.
func runGraph(t tb, backend compute.Backend, h laya.Head, weights layer.Weights, taps [][][]float32) []answer {
	t.Helper()
	c := h.Config()
	names, args := flatten(h, weights)
	n := len(taps)
	in := make([]*tensors.Tensor, n)
	for i := range taps {
		in[i] = tensors.FromValue(taps[i])
	}
	out := call(t, backend, append(in, args...), func(nodes []*graph.Node) []*graph.Node {
		return headGraph(h, names, nodes[n:], nodes[:n], nil)
	})
	var answers []answer
	var values [][][]float32
	scores := make([][]float32, len(taps[0]))
	for _, depth := range c.Reads {
		values = append(values, matrix(out[0]))
		out = out[1:]
		if c.Kind == laya.Prefix {
			for row, s := range matrix(out[0]) {
				scores[row] = append(scores[row], s[0])
			}
			out = out[1:]
		}
		if slices.Contains(c.Exits(), depth) {
			n := outputsOfAnswer(c)
			answers = append(answers, answerOf(c, depth, out[:n], scores, values))
			out = out[n:]
		}
	}
	return answers
}

// headGraph is the whole head: for each read its z, its score (prefix) and, at an exit, the outputs of the answer.
func headGraph(h laya.Head, names []string, weights, taps []*graph.Node, train *layer.Training) []*graph.Node {
	c := h.Config()
	carry := h.Start(taps[0].Graph(), taps[0].Shape().Dim(0))
	var out []*graph.Node
	for i, depth := range c.Reads {
		step := h.Step(depth)
		got := step.Apply(pass(step, names, weights, train), append(slices.Clone(carry), taps[i]))
		parts := len(h.Carry(depth))
		carry = got[:parts]
		out = append(out, got[parts:]...)
		if slices.Contains(c.Exits(), depth) {
			op := h.Answer(depth)
			out = append(out, op.Apply(pass(op, names, weights, train), carry)...)
		}
	}
	return out
}

func outputsOfAnswer(c laya.Config) int {
	if c.Kind == laya.Joint || c.Kind == laya.ScalarMix {
		return 2
	}
	return 1
}

func answerOf(c laya.Config, depth int, out []*tensors.Tensor, scores [][]float32, values [][][]float32) answer {
	a := answer{depth: depth, logits: matrix(out[0]), values: slices.Clone(values)}
	if len(out) > 1 {
		scores = matrix(out[1])
	}
	for _, row := range scores {
		a.scores = append(a.scores, slices.Clone(row))
	}
	return a
}

// flatten lists the head's weights by name, in the order of the ops' parameters.
func flatten(h laya.Head, weights layer.Weights) (names []string, values []*tensors.Tensor) {
	for _, p := range layer.ParamsOf(laya.Ops(h)...) {
		names = append(names, p.Name)
		values = append(values, weights[p.Name])
	}
	return names, values
}

func checkCarry(t tb, h laya.Head, depth int, carry []*tensors.Tensor, batch int) {
	t.Helper()
	for i, spec := range h.Carry(depth) {
		if want := spec.Shape(batch, 0); !carry[i].Shape().Equal(want) {
			t.Fatalf("carry %d after depth %d has shape %s, but Carry says %s", i, depth, carry[i].Shape(), want)
		}
	}
}

// matrix copies a [rows, columns] tensor to the host.
func matrix(x *tensors.Tensor) [][]float32 {
	dims, flat := x.Shape().Dimensions, tensors.MustCopyFlatData[float32](x)
	rows := make([][]float32, dims[0])
	for i := range rows {
		rows[i] = flat[i*dims[1] : (i+1)*dims[1]]
	}
	return rows
}
