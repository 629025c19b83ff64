package laya_test

import (
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// Ops of equal signature and shapes share an executable, so the Op of one depth must serve the weights of another.
func TestOpsOfEqualShapesAreOneFunction(t *testing.T) {
	backend := goBackend(t)
	for name, c := range cases() {
		dims := slices.Repeat([]int{6}, len(c.Reads))
		h, weights, taps := sample(t, c, dims, 2, 13)
		first, last := c.Reads[0], c.Reads[len(c.Reads)-1]
		carry := carryBefore(t, backend, h, weights, taps)
		in := append(carry, tensors.FromValue(taps[len(taps)-1]))
		checkShared(t, backend, name, h.Step(first), h.Step(last), weights, in)
		exits := c.Exits()
		carry = apply(t, backend, h.Step(last), weights, in...)[:len(h.Carry(last))]
		checkShared(t, backend, name, h.Answer(exits[0]), h.Answer(last), weights, carry)
	}
}

// carryBefore is the carry that the last step takes.
func carryBefore(t *testing.T, backend compute.Backend, h laya.Head, weights layer.Weights, taps [][][]float32) []*tensors.Tensor {
	t.Helper()
	var carry []*tensors.Tensor
	if len(h.Carry(-1)) > 0 {
		carry = call(t, backend, []*tensors.Tensor{tensors.FromValue(float32(0))}, func(in []*graph.Node) []*graph.Node {
			return h.Start(in[0].Graph(), len(taps[0]))
		})
	}
	reads := h.Config().Reads
	for i, depth := range reads[:len(reads)-1] {
		out := apply(t, backend, h.Step(depth), weights, append(carry, tensors.FromValue(taps[i]))...)
		carry = slices.Clone(out[:len(h.Carry(depth))])
	}
	return carry
}

func checkShared(t *testing.T, backend compute.Backend, name string, a, b layer.Op, weights layer.Weights, in []*tensors.Tensor) {
	t.Helper()
	if a.Signature != b.Signature {
		t.Errorf("%s: signatures %q and %q differ", name, a.Signature, b.Signature)
	}
	borrowed := layer.Weights{} // the weights of b under the names of a
	for i, p := range a.Params {
		if q := b.Params[i]; p.Name != q.Name || !slices.Equal(p.Dims, q.Dims) {
			t.Fatalf("%s: parameter %d is %s %v and %s %v", name, i, p.Name, p.Dims, q.Name, q.Dims)
		}
		borrowed[a.FullName(p)] = weights[b.FullName(b.Params[i])]
	}
	got, want := apply(t, backend, a, borrowed, in...), apply(t, backend, b, weights, in...)
	for i := range want {
		if !got[i].Equal(want[i]) {
			t.Errorf("%s: output %d of %q at another depth is %v, want %v", name, i, a.Signature, got[i], want[i])
		}
	}
}

func TestSignatureTellsConfigsApart(t *testing.T) {
	signatures := func(c laya.Config) string {
		h, err := laya.New(c, tapDims(c))
		if err != nil {
			t.Fatal(err)
		}
		last := c.Reads[len(c.Reads)-1]
		return h.Step(last).Signature + "; " + h.Answer(last).Signature
	}
	base := cases()["prefix"]
	seen := map[string]string{signatures(base): "unchanged"}
	for name, change := range map[string]func(*laya.Config){
		"tau":        func(c *laya.Config) { c.Tau = 0.8 },
		"psi":        func(c *laya.Config) { c.Psi = "mlp" },
		"tap norm":   func(c *laya.Config) { c.TapNorm = "layer" },
		"gelu":       func(c *laya.Config) { c.GELU = true },
		"value norm": func(c *laya.Config) { c.ValueNorm = true },
		"scale":      func(c *laya.Config) { c.ExitScale = true },
		"correction": func(c *laya.Config) { c.Correction = true },
		"dropout":    func(c *laya.Config) { c.Dropout = 0.2 },
	} {
		c := base
		change(&c)
		if other, taken := seen[signatures(c)]; taken {
			t.Errorf("%s and %s have the signature %s", name, other, signatures(c))
		}
		seen[signatures(c)] = name
	}
}

// With an adapter that is the identity, z in training is the tap with a share of its values zeroed and the rest scaled up.
func TestDropoutIsOnTheTapInTrainingOnly(t *testing.T) {
	c := laya.Config{Kind: laya.Prefix, Reads: []int{1}, Classes: 2, Dim: 2, Tau: 1, Hidden: 2, Psi: "identity", Dropout: 0.5}
	h, weights, _ := sample(t, c, []int{2}, 1, 15)
	weights["head.1.adapter.kernel"] = tensors.FromValue([][]float32{{1, 0}, {0, 1}})
	weights["head.1.adapter.bias"] = tensors.FromValue([]float32{0, 0})
	const rows = 500
	tap := slices.Repeat([][]float32{{1, 3}}, rows)
	names, args := flatten(h, weights)
	in := append([]*tensors.Tensor{tensors.FromValue(tap)}, args...)
	out := call(t, goBackend(t), in, func(nodes []*graph.Node) []*graph.Node {
		train := &layer.Training{RNG: graph.RNGStateFromSeedForGraph(nodes[0].Graph(), 1)}
		return []*graph.Node{
			headGraph(h, names, nodes[1:], nodes[:1], train)[0],
			headGraph(h, names, nodes[1:], nodes[:1], nil)[0],
		}
	})
	dropped := 0
	for _, z := range matrix(out[0]) {
		if z[0] != 0 && z[0] != 2 || z[1] != 0 && z[1] != 6 {
			t.Fatalf("z in training is %v, want each of 1 and 3 dropped or doubled", z)
		}
		if z[0] == 0 {
			dropped++
		}
	}
	if dropped < 190 || dropped > 310 { // 250 expected, standard deviation 11
		t.Errorf("%d of %d values dropped at rate 0.5", dropped, rows)
	}
	if z := matrix(out[1])[0]; !slices.Equal(z, tap[0]) {
		t.Errorf("z in inference is %v, want %v", z, tap[0])
	}
}

// The numbers are the formulas of the paper's head written out: adapters (d_i+1)d*, psi 2(d*^2+d*), scorer (L d*+1)w +
// (w+1)L, classifier (d*+1)C; multiply-accumulates are the same without biases.
func TestParametersAndMACs(t *testing.T) {
	mlp := []int{512, 256, 128} // the paper's Fashion-MNIST backbone; C = 10
	fashion := laya.Config{Kind: laya.Joint, Reads: []int{1, 2, 3}, Classes: 10, Dim: 96, Tau: 1.5, Hidden: 192, Psi: "identity"}
	withPsi := fashion
	withPsi.Psi = "mlp"
	prefix := laya.Default([]int{1, 2, 3}, 10)
	for _, test := range []struct {
		name               string
		c                  laya.Config
		dims               []int
		parameters         int
		step, answer, full int64 // MACs of the first step, of the last answer, and of all steps with the last answer
	}{
		// 86,304 + 56,067 + 970 parameters; 86,016 + 55,872 + 960 MACs
		{"joint, Fashion-MNIST", fashion, mlp, 143341, 49152, 55872 + 960, 142848},
		// psi: 2 (96^2 + 96) = 18,624 parameters and 3 x 18,432 MACs more
		{"joint with psi", withPsi, mlp, 143341 + 18624, 49152, 55872 + 960 + 55296, 142848 + 55296},
		{"lastlayer", laya.Config{Kind: laya.LastLayer, Reads: []int{3}, Classes: 10}, mlp[2:], 1290, 0, 1280, 1280},
		// 86,304 + 3 + 970
		{"scalarmix", laya.Config{Kind: laya.ScalarMix, Reads: []int{1, 2, 3}, Classes: 10, Dim: 96}, mlp, 87277, 49152, 960, 86016 + 960},
		// 86,304 + (288+1)192 + (192+1)10
		{"concat", laya.Config{Kind: laya.Concat, Reads: []int{1, 2, 3}, Classes: 10, Dim: 96, Hidden: 192}, mlp, 143722, 49152, 57216, 86016 + 57216},
		// (512+1)10 + (256+1)10 + (128+1)10
		{"linear", laya.Config{Kind: laya.Linear, Reads: []int{1, 2, 3}, Classes: 10}, mlp, 8990, 0, 1280, 1280},
		// adapters (512+256+128+3)128 = 115,072; scorer 128 128 + 128 + 3 (128+1) = 16,899; classifier 1,290; exits 3 (128^2 + 1 + 10) = 49,185.
		// A step is d_i 128 + 128 128 + 128, an answer 128^2 + 1,280.
		{"prefix", prefix, mlp, 182446, 82048, 17664, 3*(16384+128) + 896*128 + 17664},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, err := laya.New(test.c, test.dims)
			if err != nil {
				t.Fatal(err)
			}
			parameters := 0
			for _, p := range layer.ParamsOf(laya.Ops(h)...) {
				n := 1
				for _, d := range p.Dims {
					n *= d
				}
				parameters += n
			}
			full, last := int64(0), h.Answer(3).MACs(0)
			for _, depth := range test.c.Reads {
				full += h.Step(depth).MACs(0)
			}
			step := h.Step(test.c.Reads[0]).MACs(0)
			if parameters != test.parameters || step != test.step || last != test.answer || full+last != test.full {
				t.Errorf("%d parameters, MACs %d a step, %d an answer, %d in all; want %d, %d, %d, %d",
					parameters, step, last, full+last, test.parameters, test.step, test.answer, test.full)
			}
		})
	}
}
