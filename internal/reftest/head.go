package reftest

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// Weights maps full parameter names to flat values, row by row.
type Weights map[string][]float64

// WeightsOf copies float32 weights to the host.
func WeightsOf(weights layer.Weights) Weights {
	w := Weights{}
	for name, t := range weights {
		for _, v := range tensors.MustCopyFlatData[float32](t) {
			w[name] = append(w[name], float64(v))
		}
	}
	return w
}

// Answer is what a head says of one sample at one exit.
type Answer struct {
	Depth  int
	Logits []float64
	// Values are the z_i that are mixed, one for each depth read so far; for kinds lastlayer and linear the tap.
	Values [][]float64
	// Scores and Alpha are s_i and softmax(s / tau)_i, one for each value; nil for kinds without attention.
	Scores, Alpha []float64
}

// Head evaluates the head c for one sample, taps[i] being the vector read at depth c.Reads[i], at each of its exits.
func Head(c laya.Config, w Weights, taps [][]float64) []Answer {
	var answers []Answer
	for n, depth := range c.Reads {
		if slices.Contains(c.Exits(), depth) {
			answers = append(answers, answer(c, w, taps[:n+1]))
		}
	}
	return answers
}

// answer evaluates one exit from the taps at and before it.
func answer(c laya.Config, w Weights, taps [][]float64) Answer {
	exit := c.Reads[len(taps)-1]
	a := Answer{Depth: exit}
	for i, tap := range taps {
		a.Values = append(a.Values, value(c, w, c.Reads[i], tap))
	}
	tau := c.Tau
	switch c.Kind {
	case laya.Prefix:
		for i, z := range a.Values {
			a.Scores = append(a.Scores, prefixScore(c, w, c.Reads[i], z))
		}
	case laya.Joint:
		a.Scores = jointScores(c, w, a.Values)
	case laya.ScalarMix:
		a.Scores, tau = w["head.scores"], 1
	case laya.Concat:
		hidden := GELU(Dense(slices.Concat(a.Values...), w["head.mlp.kernel"], w["head.mlp.bias"]))
		a.Logits = Dense(hidden, w["head.classifier.kernel"], w["head.classifier.bias"])
		return a
	case laya.LastLayer:
		a.Logits = Dense(taps[len(taps)-1], w["head.classifier.kernel"], w["head.classifier.bias"])
		return a
	case laya.Linear:
		a.Logits = Dense(taps[len(taps)-1], w[at(exit, "classifier.kernel")], w[at(exit, "classifier.bias")])
		return a
	}
	t := make([]float64, len(a.Scores))
	for i, s := range a.Scores {
		t[i] = s / tau
	}
	a.Alpha = Softmax(t)
	a.Logits = classify(c, w, exit, weightedSum(a.Alpha, a.Values))
	return a
}

func at(depth int, name string) string { return fmt.Sprintf("head.%d.%s", depth, name) }

// value is the z of one depth.
func value(c laya.Config, w Weights, depth int, tap []float64) []float64 {
	if c.Kind == laya.LastLayer || c.Kind == laya.Linear {
		return tap
	}
	if c.TapNorm == "layer" {
		tap = LayerNorm(tap, w[at(depth, "norm.gain")], w[at(depth, "norm.bias")], 1e-5)
	}
	z := Dense(tap, w[at(depth, "adapter.kernel")], w[at(depth, "adapter.bias")])
	if c.GELU {
		z = GELU(z)
	}
	if c.ValueNorm {
		z = RMSNorm(z)
		for i, g := range w[at(depth, "value.gain")] {
			z[i] *= g
		}
	}
	return z
}

func psi(c laya.Config, w Weights, z []float64) []float64 {
	if c.Psi != "mlp" {
		return z
	}
	u := GELU(Dense(z, w["head.psi.0.kernel"], w["head.psi.0.bias"]))
	return GELU(Dense(u, w["head.psi.1.kernel"], w["head.psi.1.bias"]))
}

// prefixScore is v · GELU(W_s RMSNorm(psi(z)) + e) + b.
func prefixScore(c laya.Config, w Weights, depth int, z []float64) float64 {
	k := RMSNorm(psi(c, w, z))
	hidden := GELU(Dense(k, w["head.score.kernel"], w[at(depth, "score.embedding")]))
	return Dense(hidden, w["head.score.vector"], w[at(depth, "score.bias")])[0]
}

// jointScores is the scorer of the paper: affine, GELU, affine on [u_1; …; u_L].
func jointScores(c laya.Config, w Weights, z [][]float64) []float64 {
	var u []float64
	for i := range z {
		u = append(u, psi(c, w, z[i])...)
	}
	hidden := GELU(Dense(u, w["head.score.0.kernel"], w["head.score.0.bias"]))
	return Dense(hidden, w["head.score.1.kernel"], w["head.score.1.bias"])
}

func weightedSum(alpha []float64, z [][]float64) []float64 {
	sum := make([]float64, len(z[0]))
	for i := range z {
		for j := range sum {
			sum[j] += alpha[i] * z[i][j]
		}
	}
	return sum
}

// classify is scale * ((h + h D) W + b) + bias, with what the exit has of scale, bias and correction D.
func classify(c laya.Config, w Weights, exit int, h []float64) []float64 {
	if c.Correction {
		moved := Dense(h, w[at(exit, "exit.correction")], nil)
		for j := range moved {
			moved[j] += h[j]
		}
		h = moved
	}
	logits := Dense(h, w["head.classifier.kernel"], w["head.classifier.bias"])
	if c.ExitScale {
		for j := range logits {
			logits[j] = w[at(exit, "exit.scale")][0]*logits[j] + w[at(exit, "exit.bias")][j]
		}
	}
	return logits
}
