package laya

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/layer"
)

// Attention is alpha = softmax(s / tau) of one sample, the largest score subtracted first, from the scores of the depths
// read so far. Tau is 1 for kind scalarmix. It is nil for kinds without attention; a score that is NaN makes all NaN.
func Attention(c Config, scores []float32) []float64 {
	if !c.Attends() || len(scores) == 0 {
		return nil
	}
	tau := c.Tau
	if c.Kind == ScalarMix {
		tau = 1
	}
	top := float64(slices.Max(scores)) // NaN if any score is
	alpha, sum := make([]float64, len(scores)), 0.0
	for i, s := range scores {
		alpha[i] = math.Exp((float64(s) - top) / tau)
		sum += alpha[i]
	}
	for i := range alpha {
		alpha[i] /= sum
	}
	return alpha
}

// HostWeights are a head's weights by full name, each flat and row by row, as [Contributions] reads them.
type HostWeights map[string][]float32

// ToHost copies the head's weights out of a network's; the tensors stay the caller's. It is an error if one is no
// float32 tensor.
func ToHost(weights layer.Weights) (HostWeights, error) {
	host := HostWeights{}
	for name, t := range weights {
		if !isHeadWeight(name) {
			continue
		}
		values, err := tensors.CopyFlatData[float32](t)
		if err != nil {
			return nil, fmt.Errorf("laya: weight %q: %w", name, err)
		}
		host[name] = values
	}
	return host, nil
}

// Contributions splits the logits of one sample at an exit into what each depth read so far adds:
//
//	c_i = scale alpha_i (z_i + z_i @ D) @ W      bias = scale b + bias_k      sum_i c_i + bias = logits
//
// with the exit's scale, bias_k and correction D where the head has them (otherwise 1, 0 and 0). Unlike alpha, c_i knows
// how large z_i is and in which direction it points. The result is [read][class], and bias [class].
//
// scores and values [read][d*] are the outputs s and z of the steps at and before the exit (of the answer, for kinds joint
// and scalarmix, scores of all reads). Kind lastlayer has one contribution, of its tap, and no scores. The other kinds are
// not additive in what they read: an error.
func Contributions(c Config, weights HostWeights, exit int, scores []float32, values [][]float32) (contributions [][]float64, bias []float64, err error) {
	if err := checkExplained(c, exit, len(scores), len(values)); err != nil {
		return nil, nil, err
	}
	alpha := Attention(c, scores)
	if c.Kind == LastLayer {
		alpha = []float64{1}
	}
	e, err := exitOf(c, weights, exit, len(values[0]))
	if err != nil {
		return nil, nil, err
	}
	for i, z := range values {
		if len(z) != e.dim {
			return nil, nil, fmt.Errorf("laya: the value at depth %d is %d wide, want %d", c.Reads[i], len(z), e.dim)
		}
		contributions = append(contributions, e.contribution(alpha[i], z))
	}
	return contributions, e.bias, nil
}

// checkExplained refuses what [Contributions] cannot split, and a number of scores or values that is not that of the reads.
func checkExplained(c Config, exit, scores, values int) error {
	if !c.Additive() {
		return fmt.Errorf("laya: a head of kind %s has no contributions per depth", c.Kind)
	}
	if !slices.Contains(c.Exits(), exit) {
		return fmt.Errorf("laya: depth %d is no exit of this head, want one of %v", exit, c.Exits())
	}
	reads, _ := slices.BinarySearch(c.Reads, exit+1)
	if values != reads || c.Attends() && scores != reads {
		return fmt.Errorf("laya: %d scores and %d values at exit %d, want %d of each", scores, values, exit, reads)
	}
	return nil
}

// exitWeights is what turns h_agg into the logits of one exit.
type exitWeights struct {
	dim        int
	kernel     []float32 // [dim, classes]
	correction []float32 // [dim, dim], or nil
	scale      float64
	bias       []float64 // scale b + bias_k
}

// exitOf gathers and checks the weights of an exit. tapDim is the width of the value for kind lastlayer, which has no d*.
func exitOf(c Config, weights HostWeights, exit, tapDim int) (exitWeights, error) {
	e := exitWeights{dim: c.Dim, scale: 1}
	if c.Kind == LastLayer {
		e.dim = tapDim
	}
	var err error
	get := func(name string, size int) []float32 {
		w := weights[name]
		if len(w) != size && err == nil {
			err = fmt.Errorf("laya: weight %q has %d values, want %d", name, len(w), size)
		}
		return w
	}
	e.kernel = get(SharedName+".classifier.kernel", e.dim*c.Classes)
	shared := get(SharedName+".classifier.bias", c.Classes)
	own, scale := make([]float32, c.Classes), []float32{1}
	if c.ExitScale {
		scale = get(DepthName(exit)+".exit.scale", 1)
		own = get(DepthName(exit)+".exit.bias", c.Classes)
	}
	if c.Correction {
		e.correction = get(DepthName(exit)+".exit.correction", e.dim*e.dim)
	}
	if err != nil {
		return exitWeights{}, err
	}
	e.scale = float64(scale[0])
	for j := range shared {
		e.bias = append(e.bias, e.scale*float64(shared[j])+float64(own[j]))
	}
	return e, nil
}

// contribution is scale alpha (z + z @ D) @ W.
func (e exitWeights) contribution(alpha float64, z []float32) []float64 {
	h := make([]float64, len(z))
	for i := range z {
		h[i] += float64(z[i])
		if e.correction == nil {
			continue
		}
		for j := range h {
			h[j] += float64(z[i]) * float64(e.correction[i*e.dim+j])
		}
	}
	c := make([]float64, len(e.bias))
	for i := range h {
		for j := range c {
			c[j] += e.scale * alpha * h[i] * float64(e.kernel[i*len(c)+j])
		}
	}
	return c
}
