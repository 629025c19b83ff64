package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/exit"
)

func TestATrainedNetworkThatIsNotThere(t *testing.T) {
	for _, name := range tuned {
		_, err := openNetwork(t.Context(), name, t.TempDir(), "elsewhere", "")
		for _, want := range []string{filepath.Join("elsewhere", name, "bundle"), "layarun train --recipe benchmarks/recipes/" + strings.TrimSuffix(name, "-1") + ".yaml --seed 1 --out elsewhere/" + name} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one with %q", err, want)
			}
		}
	}
	for _, name := range usual {
		if slices.Contains(tuned, name) {
			t.Errorf("%s is run unless told otherwise, although it must be trained first", name)
		}
	}
}

// certifiedResult has one run, of seed 1 and digest "d", with policies of two kinds.
func certifiedResult() *result.Result {
	certified := func(exits string, eps, accuracy float64) result.Certified {
		return result.Certified{Exits: exits, Eps: eps, Policy: exit.Policy{Name: exits, Gate: exit.MaxProb, Certificate: &exit.Certificate{}},
			Leaving: result.Leaving{Accuracy: accuracy}}
	}
	return &result.Result{Schema: result.Schema, Runs: []result.Run{{Seed: 1, Bundle: "d", Figures: result.Figures{
		Forced:    []result.Forced{{Depth: 0, Accuracy: 0.5}, {Depth: 6, Accuracy: 0.96}},
		Certified: []result.Certified{certified(result.AllExits, 0.01, 0.94), certified(result.WithoutDepth0, 0.005, 0.93), certified(result.AllExits, 0.005, 0.95)},
	}}}}
}

func TestPolicyOfAnExperiment(t *testing.T) {
	const command = "go run ./benchmarks/measure -name exp runs/exp-1/bundle"
	for _, c := range []struct {
		name  string
		spoil func(r *result.Result) *result.Result
		want  string
	}{
		{"as it should be", func(r *result.Result) *result.Result { return r }, ""},
		{"no file", func(*result.Result) *result.Result { return nil }, "no such file"},
		{"other seed", func(r *result.Result) *result.Result { r.Runs[0].Seed = 2; return r }, "no run of seed 1"},
		{"other weights", func(r *result.Result) *result.Result { r.Runs[0].Bundle = "e"; return r }, "digest e"},
		{"other targets", func(r *result.Result) *result.Result {
			r.Runs[0].Figures.Certified = r.Runs[0].Figures.Certified[:2]
			return r
		}, "certified for 0.005"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.MkdirAll(filepath.Join(folder, "results"), 0o755); err != nil {
				t.Fatal(err)
			}
			if r := c.spoil(certifiedResult()); r != nil {
				if err := result.SaveJSON(result.Path(folder, "exp"), r); err != nil {
					t.Fatal(err)
				}
			}
			n := &network{dir: "runs/exp-1/bundle"}
			err := n.certify("exp", "d")
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), command) {
					t.Errorf("error %v, want one with %q and %q", err, c.want, command)
				}
				return
			}
			if err != nil || n.accuracy != 0.96 || n.certified.Accuracy != 0.95 || n.certified.Exits != result.AllExits {
				t.Errorf("accuracy %v, policy %+v, %v, want 0.96 at full depth and the policy over all exits of accuracy 0.95", n.accuracy, n.certified, err)
			}
		})
	}
}

func TestTextsArePaddedOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "samples")
	n := &network{tokens: [][]int32{{5, 6}, {7}, {8, 9, 10}}, length: 3, pad: 4}
	if err := n.writeSamples(path); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]int32, len(raw)/4)
	if err := binary.Read(bytes.NewReader(raw), binary.LittleEndian, got); err != nil {
		t.Fatal(err)
	}
	if want := []int32{5, 6, 4, 7, 4, 4, 8, 9, 10}; !slices.Equal(got, want) {
		t.Errorf("%v on disk, want %v", got, want)
	}
}

func TestOneRuntimeUnderTwoPolicies(t *testing.T) {
	n := &network{dir: t.TempDir() + "/bundle", count: 64, size: 3, values: make([]float32, 64*3)}
	if err := saveRandom(n.dir, `{"kind": "mlp", "input": [3], "widths": [4, 4]}`, 0); err != nil {
		t.Fatal(err)
	}
	// Everybody leaves at depth 1.
	n.certified = &result.Certified{Policy: exit.Policy{Name: "early", Gate: exit.MaxProb, Exits: []int{1}, Thresholds: []exit.Threshold{0}}}
	device, err := compile.OpenDevice("go")
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	full, err := newOwn(t.Context(), n, device)
	if err != nil {
		t.Fatal(err)
	}
	defer full.runtime.Close()
	for depth, o := range map[int]*own{2: full, 1: full.under("early")} {
		answers, err := o.predict(t.Context(), 60, 4)
		if err != nil || len(answers) != 4 || answers[3].ExitDepth != depth {
			t.Errorf("policy %s: answers %+v, %v, want four that leave at %d", o.policy, answers, err, depth)
		}
		l := n.load(16, 3, 1)
		streams, err := o.run(t.Context(), l, time.Millisecond)
		if err != nil || len(streams) != 3 || check(streams, l) != nil {
			t.Errorf("policy %s: streams %+v, %v, want whole passes by three callers", o.policy, streams, err)
		}
	}
}
