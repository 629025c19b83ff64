package eval

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/layarun/layarun/exit"
)

// Paired compares a candidate with a reference on the same samples.
type Paired struct {
	N      int     `json:"n"`
	Better int     `json:"better"` // b: reference wrong, candidate right
	Worse  int     `json:"worse"`  // c: reference right, candidate wrong
	Drop   float64 `json:"drop"`   // (c - b) / n: accuracy that the candidate loses
	SE     float64 `json:"se"`     // sqrt(b + c - (b-c)^2/n) / n
	P      float64 `json:"p"`      // exact McNemar test, two-sided
	Low    float64 `json:"low"`    // percentile bootstrap interval of the drop
	High   float64 `json:"high"`
}

// Resampling says how a bootstrap interval is drawn.
type Resampling struct {
	Draws int     `json:"draws"` // at least 1
	Level float64 `json:"level"` // coverage, in (0, 1)
	Seed  uint64  `json:"seed"`
}

// DefaultResampling is a 95 % interval of 2,000 draws.
func DefaultResampling() Resampling { return Resampling{Draws: 2000, Level: 0.95, Seed: 1} }

// Compare is the paired comparison of two lists of right and wrong answers to the same samples.
func Compare(reference, candidate []bool, r Resampling) (Paired, error) {
	if err := sameLength("paired drop", len(candidate), len(reference)); err != nil {
		return Paired{}, err
	}
	p := Paired{N: len(reference)}
	loss := make([]float64, p.N)
	for i, was := range reference {
		switch {
		case was && !candidate[i]:
			p.Worse++
			loss[i] = 1
		case !was && candidate[i]:
			p.Better++
			loss[i] = -1
		}
	}
	n, b, c := float64(p.N), float64(p.Better), float64(p.Worse)
	p.Drop = (c - b) / n
	p.SE = math.Sqrt(b+c-(b-c)*(b-c)/n) / n
	p.P = McNemar(p.Better, p.Worse)
	var err error
	p.Low, p.High, err = Bootstrap(p.N, r, func(samples []int) float64 {
		var sum float64
		for _, i := range samples {
			sum += loss[i]
		}
		return sum / n
	})
	return p, err
}

// McNemar is the exact two-sided p-value of "better and worse are equally likely": twice P[Bin(b+c, 1/2) <= min(b, c)], at
// most 1. No discordant pair is no evidence: 1.
func McNemar(better, worse int) float64 {
	return min(1, 2*exit.BinomialP(min(better, worse), better+worse, 0.5))
}

// Bootstrap is the percentile interval of a statistic of n samples, resampled with replacement. The statistic takes the
// indices of one draw; paired statistics use the same indices for both sides. It does not keep the slice.
func Bootstrap(n int, r Resampling, statistic func(samples []int) float64) (low, high float64, err error) {
	if n < 1 {
		return 0, 0, fmt.Errorf("eval: bootstrap: %w", ErrEmpty)
	}
	if r.Draws < 1 || !(r.Level > 0 && r.Level < 1) {
		return 0, 0, fmt.Errorf("eval: bootstrap: %d draws and level %v, want at least 1 and a level between 0 and 1", r.Draws, r.Level)
	}
	rng := rand.New(rand.NewPCG(r.Seed, 0))
	samples := make([]int, n)
	values := make([]float64, r.Draws)
	for d := range values {
		for i := range samples {
			samples[i] = rng.IntN(n)
		}
		values[d] = statistic(samples)
	}
	slices.Sort(values)
	tail := (1 - r.Level) / 2
	return percentile(values, tail), percentile(values, 1-tail), nil
}
