package compile_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/layarun/layarun/compile"
)

// native opens native kernels; where this processor has none, tests of them say so and end.
func native(t *testing.T) (*compile.Device, bool) {
	t.Helper()
	d, err := compile.OpenDevice("native")
	if err != nil {
		t.Log(err)
	}
	return d, err == nil
}

// Who shares a batch, and how it is divided, changes no bit of an answer.
func TestNativeAnswersAreExact(t *testing.T) {
	d, ok := native(t)
	if !ok {
		return
	}
	for name, n := range networksFor(t, d) {
		t.Run(name, func(t *testing.T) {
			w := weightsOf(n, 3)
			e := newEngineOn(t, d, n, w)
			defer e.Close()
			inputs := randomInputs(n, 4, rand.New(rand.NewPCG(2, 2)))
			last := len(e.Depths()) - 1
			answers := func(batches ...[]input) (all [][]float32) {
				for _, batch := range batches {
					lanes := map[int][]*compile.Sample{}
					var samples []*compile.Sample
					for _, in := range batch {
						s := start(t, e, in)
						samples = append(samples, s)
						lanes[s.Lane] = append(lanes[s.Lane], s)
					}
					for _, lane := range lanes {
						if _, err := e.Run(0, last, lane); err != nil {
							t.Fatal(err)
						}
					}
					for _, s := range samples {
						all = append(all, s.Logits())
						e.Release(s)
					}
				}
				return all
			}
			alone := answers(inputs[:1], inputs[1:2], inputs[2:3], inputs[3:])
			for _, together := range [][][]float32{answers(inputs), answers(inputs[:3], inputs[3:])} {
				for i := range alone {
					if !slices.Equal(alone[i], together[i]) {
						t.Errorf("sample %d: %v alone, %v among others", i, alone[i], together[i])
					}
				}
			}
		})
	}
}

// Native kernels compile nothing and run batches of any size up to the largest.
func TestNativeCompilesNothing(t *testing.T) {
	d, ok := native(t)
	if !ok {
		return
	}
	n := networksFor(t, d)["encoder"]
	e := newEngineOn(t, d, n, weightsOf(n, 1))
	defer e.Close()
	if err := e.Compile(t.Context(), nil); err != nil || e.Executables() != 0 || e.Backend() != "native" {
		t.Errorf("%d executables on %q, error %v; want 0 on native", e.Executables(), e.Backend(), err)
	}
	if got := e.Buckets(); !slices.Equal(got[0], []int{1, 2, 3, 4}) {
		t.Errorf("batch sizes are %v, want 1 to 4", got[0])
	}
	if got := e.PaddedLength(11); got != 11 {
		t.Errorf("11 tokens are padded to %d, want no padding", got)
	}
}

// A network without a kernel for some operation is refused by "native", by name, and runs on a backend with "auto".
func TestNetworksWithoutKernels(t *testing.T) {
	d, ok := native(t)
	if !ok {
		return
	}
	n := networks(t)["mlp joint"]
	w := weightsOf(n, 1)
	_, err := compile.NewEngine(d, n, w, nil, [][]int{{1}})
	if err == nil || !strings.Contains(err.Error(), `backend "native" has no kernel for the network's `) {
		t.Errorf("native: %v, want a refusal that names the operation", err)
	}
	if _, err := d.Graphs(); err == nil || !strings.Contains(err.Error(), "builds no graphs") {
		t.Errorf("native builds graphs: %v", err)
	}
	auto, err := compile.OpenDevice("auto")
	if err != nil {
		t.Fatal(err)
	}
	defer auto.Close()
	e, err := compile.NewEngine(auto, n, w, nil, [][]int{{1}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Backend() == "native" || e.Backend() != auto.Ran() {
		t.Errorf("runs on %q, the device says %q", e.Backend(), auto.Ran())
	}
}

// Workers share the kernels and the cores: run it under the race detector.
func TestNativeSideBySide(t *testing.T) {
	d, ok := native(t)
	if !ok {
		return
	}
	n := networksFor(t, d)["encoder"]
	e := newEngineOn(t, d, n, weightsOf(n, 4))
	defer e.Close()
	inputs := randomInputs(n, 4, rand.New(rand.NewPCG(6, 6)))
	run := func(in input) []float32 {
		s := start(t, e, in)
		defer e.Release(s)
		if _, err := e.Run(0, len(e.Depths())-1, []*compile.Sample{s}); err != nil {
			t.Error(err)
		}
		return s.Logits()
	}
	var want [][]float32
	for _, in := range inputs {
		want = append(want, run(in))
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for round := range 20 {
				if i := round % len(inputs); !slices.Equal(run(inputs[i]), want[i]) {
					t.Errorf("sample %d has another answer beside others", i)
				}
			}
		})
	}
	group.Wait()
}
