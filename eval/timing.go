package eval

import (
	"fmt"
	"math"
	"slices"
)

// Spread is the distribution of repeated measurements, in their unit.
type Spread struct {
	N      int     `json:"n"`
	Min    float64 `json:"min"`
	Q1     float64 `json:"q1"`
	Median float64 `json:"median"`
	Q3     float64 `json:"q3"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
}

// NewSpread summarises measurements. They keep their order.
func NewSpread(values []float64) (Spread, error) {
	if len(values) == 0 {
		return Spread{}, fmt.Errorf("eval: spread: %w", ErrEmpty)
	}
	if i := slices.IndexFunc(values, math.IsNaN); i >= 0 {
		return Spread{}, fmt.Errorf("eval: spread: value %d is NaN", i)
	}
	v := slices.Sorted(slices.Values(values))
	return Spread{
		N: len(v), Min: v[0], Q1: percentile(v, 0.25), Median: percentile(v, 0.5), Q3: percentile(v, 0.75),
		P95: percentile(v, 0.95), P99: percentile(v, 0.99), Max: v[len(v)-1],
	}, nil
}

// percentile interpolates linearly between the sorted values around position p (n-1), as NumPy does by default.
func percentile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}
