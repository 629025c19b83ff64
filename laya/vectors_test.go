package laya_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// vector is a file of testdata/vectors, written by generate.py beside it.
type vector struct {
	Config  laya.Config `json:"config"`
	TapDims []int       `json:"tap_dims"`
	Weights map[string]struct {
		Dims   []int     `json:"dims"`
		Values []float32 `json:"values"`
	} `json:"weights"`
	Taps  [][][]float32 `json:"taps"`
	Exits []struct {
		Logits [][]float64 `json:"logits"`
		Alpha  [][]float64 `json:"alpha"`
	} `json:"exits"`
}

func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil || len(files) != 8 {
		t.Fatalf("found the files %v, want 8 (%v)", files, err)
	}
	backend := goBackend(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			v := readVector(t, file)
			h, err := laya.New(v.Config, v.TapDims)
			if err != nil {
				t.Fatal(err)
			}
			weights := layer.Weights{}
			for name, w := range v.Weights {
				weights[name] = tensors.FromFlatDataAndDimensions(w.Values, w.Dims...)
			}
			if err := layer.CheckWeights(weights, layer.ParamsOf(laya.Ops(h)...)); err != nil {
				t.Fatal(err)
			}
			answers := runStages(t, backend, h, weights, v.Taps)
			if len(answers) != len(v.Exits) {
				t.Fatalf("%d answers, want %d", len(answers), len(v.Exits))
			}
			for i, a := range answers {
				for row, want := range v.Exits[i].Logits {
					checkVector(t, "logits", a.depth, a.logits[row], want)
					if v.Config.Attends() {
						checkVector(t, "alpha", a.depth, laya.Attention(v.Config, a.scores[row]), v.Exits[i].Alpha[row])
					}
				}
			}
		})
	}
}

func readVector(t *testing.T, file string) vector {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v vector
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// checkVector holds float32 graphs to 1e-5 of the committed numbers, all of size 1 to 10: some ten roundings of 2^-24.
func checkVector[T float32 | float64](t *testing.T, what string, depth int, got []T, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("depth %d: %d %s, want %d", depth, len(got), what, len(want))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= 1e-5) {
			t.Errorf("depth %d: %s[%d] is %v, want %v", depth, what, i, got[i], want[i])
		}
	}
}
