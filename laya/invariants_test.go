package laya_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// What lies deeper than an exit must not change its answer by one bit.
func TestAnswerIgnoresDeeperTaps(t *testing.T) {
	backend := goBackend(t)
	for name, c := range cases() {
		h, weights, taps := sample(t, c, tapDims(c), 2, 7)
		before := runStages(t, backend, h, weights, taps)
		for i := range taps {
			changed := slices.Clone(taps)
			for j := i + 1; j < len(taps); j++ {
				_, _, other := sample(t, c, tapDims(c), 2, 8)
				changed[j] = other[j]
			}
			after := runStages(t, backend, h, weights, changed)
			for k, a := range after {
				if a.depth <= c.Reads[i] && fmt.Sprint(a) != fmt.Sprint(before[k]) {
					t.Errorf("%s: the answer at depth %d changed with taps deeper than %d", name, a.depth, c.Reads[i])
				}
			}
		}
	}
}

func TestBatchEqualsBatchesOfOne(t *testing.T) {
	backend := goBackend(t)
	for name, c := range cases() {
		h, weights, taps := sample(t, c, tapDims(c), 5, 9)
		whole := runGraph(t, backend, h, weights, taps)
		for row := range 5 {
			one := make([][][]float32, len(taps))
			for i := range taps {
				one[i] = taps[i][row : row+1]
			}
			for k, a := range runGraph(t, backend, h, weights, one) {
				for j, logit := range a.logits[0] {
					// Kernels may sum in another order for another batch size: a few roundings of 2^-24.
					if want := whole[k].logits[row][j]; math.Abs(float64(logit-want)) > 1e-5*(1+math.Abs(float64(want))) {
						t.Errorf("%s: row %d at depth %d by itself gives %v, in the batch %v", name, row, a.depth, logit, want)
					}
				}
			}
		}
	}
}

func TestNonFiniteTapStaysInItsRow(t *testing.T) {
	backend := goBackend(t)
	for name, c := range cases() {
		for _, bad := range []float64{math.NaN(), math.Inf(1)} {
			h, weights, taps := sample(t, c, tapDims(c), 3, 11)
			clean := runGraph(t, backend, h, weights, taps)
			for i := range taps {
				taps[i][1][0] = float32(bad)
			}
			for k, a := range runGraph(t, backend, h, weights, taps) {
				for _, row := range []int{0, 2} {
					if !slices.Equal(a.logits[row], clean[k].logits[row]) {
						t.Errorf("%s: %v in row 1 changed row %d at depth %d", name, bad, row, a.depth)
					}
				}
				if !slices.ContainsFunc(a.logits[1], func(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) }) {
					t.Errorf("%s: %v in row 1 gave the finite logits %v at depth %d", name, bad, a.logits[1], a.depth)
				}
			}
		}
	}
}
