package workload

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/exit"
)

// The prescribed share of the samples leaves at each exit, up to rounding, whatever their scores are.
func TestPrescribe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		exits := rapid.IntRange(1, 5).Draw(t, "exits")
		var shares []float64
		left := 1.0
		for range exits - 1 {
			shares = append(shares, rapid.Float64Range(0, left).Draw(t, "share"))
			left -= shares[len(shares)-1]
		}
		shares = append(shares, left)
		n := rapid.IntRange(1, 40).Draw(t, "samples")
		scores := make([][]float64, n)
		order := make([][]int, exits) // distinct scores at each exit, in any order
		for k := range exits {
			order[k] = rapid.Permutation(indices(n)).Draw(t, "order")
			for i, at := range order[k] {
				scores[i] = append(scores[i], float64(at)/float64(n))
			}
		}
		p, err := prescribe(scores, shares)
		if err != nil {
			t.Fatal(err)
		}
		counts := make([]int, exits)
		for _, s := range scores {
			counts[leaves(p, s)]++
		}
		for k, got := range counts[:exits-1] {
			if want := shares[k] * float64(n); math.Abs(float64(got)-want) > 1 {
				t.Fatalf("%d of %d samples leave at exit %d, want %v", got, n, k, want)
			}
		}
	})
}

func indices(n int) []int {
	var all []int
	for i := range n {
		all = append(all, i)
	}
	return all
}

// leaves is the exit at which a sample with these scores leaves.
func leaves(p exit.Policy, scores []float64) int {
	for k, t := range p.Thresholds {
		if scores[k] >= float64(t) {
			return k
		}
	}
	return len(p.Thresholds)
}

func TestPrescribeWantsAScoreForEveryExit(t *testing.T) {
	if _, err := prescribe([][]float64{{.5, .5}, {.5}}, []float64{.5, .5}); err == nil {
		t.Error("a sample with a score too few is no error")
	}
}
