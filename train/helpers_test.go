package train_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/internal/safetensors"
	"github.com/layarun/layarun/internal/testbackend"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/train"
)

// blobs are n samples of 6 features around one of three centres, too close to each other to be told apart without fault.
func blobs(n int, seed uint64) *dataset.Set {
	rng := rand.New(rand.NewPCG(seed, 0))
	s := &dataset.Set{Name: "blobs", Dims: []int{6}, Classes: []string{"a", "b", "c"}}
	for range n {
		label := rng.IntN(3)
		s.Labels = append(s.Labels, label)
		for f := range 6 {
			centre := 0.0
			if f%3 == label {
				centre = 1
			}
			s.Values = append(s.Values, float32(centre+rng.NormFloat64()))
		}
	}
	return s
}

func newNetwork(t testing.TB, b backbone.Backbone, classes int) *compile.Network {
	t.Helper()
	var reads []int
	for k := range b.Depth() + 1 {
		reads = append(reads, k)
	}
	head := laya.Default(reads, classes)
	head.Dim, head.Hidden = 6, 5
	n, err := compile.NewNetwork(b, head)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// newJob is a run of 4 epochs of 5 steps on blobs: 80 samples in batches of 16.
func newJob(t testing.TB) train.Job {
	t.Helper()
	c := train.Default()
	c.Epochs, c.Batch, c.Rate = 4, 16, 0.01
	return train.Job{
		Config:  c,
		Network: newNetwork(t, &backbone.MLP{Inputs: []int{6}, Widths: []int{7, 7}, Norm: "layer", Epsilon: 1e-3, Residual: true}, 3),
		Backend: testbackend.Go(t), Train: blobs(80, 1), Validation: blobs(50, 2),
	}
}

func mustRun(t testing.TB, job train.Job) *train.Result {
	t.Helper()
	result, err := train.Run(context.Background(), job)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// bits are the bytes of all weights.
func bits(t testing.TB, weights layer.Weights) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, weights); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func wantSameBits(t testing.TB, got, want *train.Result) {
	t.Helper()
	if !bytes.Equal(bits(t, got.Weights), bits(t, want.Weights)) {
		t.Fatal("the weights differ")
	}
	if got.Best != want.Best || got.Steps != want.Steps || len(got.Epochs) != len(want.Epochs) {
		t.Fatalf("best epoch %d of %d after %d steps, want %d of %d after %d",
			got.Best, len(got.Epochs), got.Steps, want.Best, len(want.Epochs), want.Steps)
	}
	for i := range want.Epochs {
		if got.Epochs[i].TrainLoss != want.Epochs[i].TrainLoss || got.Epochs[i].Validation.Loss != want.Epochs[i].Validation.Loss {
			t.Fatalf("epoch %d brought %+v, want %+v", i+1, got.Epochs[i], want.Epochs[i])
		}
	}
}

// logits are those of the whole network in inference, [exits][n*classes], for all samples of a set of values.
func logits(t testing.TB, n *compile.Network, weights layer.Weights, set *dataset.Set) [][]float32 {
	t.Helper()
	params := n.Params()
	args := []any{tensors.FromFlatDataAndDimensions(set.Values, append([]int{set.Len()}, set.Dims...)...)}
	for _, p := range params {
		args = append(args, tensors.FromFlatDataAndDimensions(tensors.MustCopyFlatData[float32](weights[p.Name]), p.Dims...))
	}
	out, err := graph.CallOnceN(testbackend.Go(t), func(in []*graph.Node) []*graph.Node {
		b := &layer.Binding{Weights: map[string]*graph.Node{}}
		for i, p := range params {
			b.Weights[p.Name] = in[1+i]
		}
		return n.Logits(b, in[0])
	}, args...)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]float32
	for _, o := range out {
		all = append(all, tensors.MustCopyFlatData[float32](o))
	}
	return all
}
