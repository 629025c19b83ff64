package reftest_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/layarun/layarun/internal/reftest"
	"github.com/layarun/layarun/laya"
)

// The reference itself is checked against the committed vectors, which a numpy program computed. Both are float64 and the
// files hold nine decimals.
func TestHeadMatchesVectors(t *testing.T) {
	files, err := filepath.Glob("../../laya/testdata/vectors/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no vectors (%v)", err)
	}
	for _, file := range files {
		var v struct {
			Config  laya.Config
			Weights map[string]struct{ Values []float64 }
			Taps    [][][]float64
			Exits   []struct{ Logits, Alpha [][]float64 }
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		w := reftest.Weights{}
		for name, weight := range v.Weights {
			w[name] = weight.Values
		}
		for row := range v.Taps[0] {
			taps := make([][]float64, len(v.Taps))
			for i := range taps {
				taps[i] = v.Taps[i][row]
			}
			for i, a := range reftest.Head(v.Config, w, taps) {
				compare(t, file, a.Logits, v.Exits[i].Logits[row])
				if v.Config.Attends() {
					compare(t, file, a.Alpha, v.Exits[i].Alpha[row])
				}
			}
		}
	}
}

func compare(t *testing.T, file string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", file, len(got), len(want))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) < 1e-8) {
			t.Errorf("%s: value %d is %v, want %v", file, i, got[i], want[i])
		}
	}
}
