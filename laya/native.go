package laya

import (
	"math"
	"slices"

	"github.com/layarun/layarun/internal/kernel"
	"github.com/layarun/layarun/layer"
)

// The steps and answers of kinds prefix, linear and lastlayer on the processor itself. The other kinds, which gather all
// taps before they answer, have none.

// together is how many samples one product takes at a time.
const together = 16

// chunks shares n samples out over the cores, some at a time, each with scratch memory of so many numbers a sample.
func chunks(split layer.Split, n, size int, each func(from, to int, scratch *kernel.Scratch)) {
	split((n+together-1)/together, func(piece int) {
		from, to := piece*together, min((piece+1)*together, n)
		scratch := kernel.NewScratch((to - from) * size)
		defer scratch.Free()
		each(from, to, scratch)
	})
}

// dense multiplies all panels.
func dense(d *kernel.Dense, rows int, result, source, residual kernel.Matrix) {
	d.Run(0, d.Panels(), rows, result, source, residual, kernel.NoFloor)
}

// nativeStep is prefix.Step.
type nativeStep struct {
	config             Config
	width              int
	normGain, normBias []float32
	adapter            *kernel.Dense
	valueGain          []float32
	psi                []*kernel.Dense
	score              *kernel.Dense
	vector             []float32
	bias               float32
	ones, zeros        []float32 // gain and bias of norms without
}

func (h prefix) nativeStep(weights map[string][]float32, width int) layer.Kernel {
	c := h.config
	if !kernel.Fills(c.Dim) || c.TapNorm == "layer" && !kernel.Fills(width) {
		return nil
	}
	s := &nativeStep{
		config: c, width: width, normGain: weights["norm.gain"], normBias: weights["norm.bias"],
		adapter:   kernel.NewDense(weights["adapter.kernel"], weights["adapter.bias"], width, c.Dim),
		valueGain: weights["value.gain"],
		score:     kernel.NewDense(weights["score.kernel"], weights["score.embedding"], c.Dim, c.Hidden),
		vector:    weights["score.vector"], bias: weights["score.bias"][0],
		ones: slices.Repeat([]float32{1}, c.Dim), zeros: make([]float32, c.Dim),
	}
	if c.Psi == "mlp" {
		for _, name := range []string{"psi.0", "psi.1"} {
			s.psi = append(s.psi, kernel.NewDense(weights[name+".kernel"], weights[name+".bias"], c.Dim, c.Dim))
		}
	}
	return s
}

// Run implements [layer.Kernel]. Parts in: m, l, acc, tap; out: m, l, acc, z, s.
func (s *nativeStep) Run(split layer.Split, out, in []layer.Parts) {
	c := s.config
	chunks(split, len(in), s.width+3*c.Dim+s.score.Width(), func(from, to int, scratch *kernel.Scratch) {
		n := to - from
		taps, z, key, spare := scratch.Take(n, s.width), scratch.Take(n, c.Dim), scratch.Take(n, c.Dim), scratch.Take(n, c.Dim)
		hidden := scratch.Take(n, s.score.Width())
		for i := range n {
			tap := in[from+i][3]
			if c.TapNorm == "layer" {
				kernel.LayerNorm(taps.Line(i), tap, s.normGain, s.normBias, tapNormEpsilon)
				continue
			}
			copy(taps.Line(i), tap)
		}
		dense(s.adapter, n, z, taps, kernel.Matrix{})
		if c.GELU {
			kernel.GELU(z.Values)
		}
		for i := range n {
			if c.ValueNorm {
				kernel.RMSNorm(z.Line(i), z.Line(i), s.valueGain, s.zeros, layer.RMSEpsilon)
			}
		}
		scored := z
		for i, d := range s.psi {
			next := []kernel.Matrix{spare, key}[i]
			dense(d, n, next, scored, kernel.Matrix{})
			kernel.GELU(next.Values)
			scored = next
		}
		for i := range n {
			kernel.RMSNorm(key.Line(i), scored.Line(i), s.ones, s.zeros, layer.RMSEpsilon)
		}
		dense(s.score, n, hidden, key, kernel.Matrix{})
		kernel.GELU(hidden.Values)
		for i := range n {
			score := s.bias
			for j, v := range s.vector {
				score += v * hidden.Line(i)[j]
			}
			attend(out[from+i], in[from+i], z.Line(i), score, score/float32(c.Tau))
		}
	})
}

// attend is accumulate for one sample, t = score / tau.
func attend(out, in layer.Parts, z []float32, score, t float32) {
	top := max(in[0][0], t) // NaN if either is
	old, fresh := exp(in[0][0]-top), exp(t-top)
	out[0][0], out[1][0] = top, in[1][0]*old+fresh
	for i, v := range z {
		out[2][i] = in[2][i]*old + fresh*v
	}
	copy(out[3], z)
	out[4][0] = score
}

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }

// nativeAnswer is prefix.Answer.
type nativeAnswer struct {
	correction, classifier *kernel.Dense // no correction is nil
	scale                  float32
	bias                   []float32 // of the exit; nil for none
}

func (h prefix) nativeAnswer(weights map[string][]float32) layer.Kernel {
	c := h.config
	if !kernel.Fills(c.Dim) {
		return nil
	}
	a := &nativeAnswer{classifier: kernel.NewDense(weights["classifier.kernel"], weights["classifier.bias"], c.Dim, c.Classes), scale: 1}
	if c.Correction {
		a.correction = kernel.NewDense(weights["exit.correction"], nil, c.Dim, c.Dim)
	}
	if c.ExitScale {
		a.scale, a.bias = weights["exit.scale"][0], weights["exit.bias"]
	}
	return a
}

// Run implements [layer.Kernel]. Parts in: m, l, acc; out: logits.
func (a *nativeAnswer) Run(split layer.Split, out, in []layer.Parts) {
	dim, width := len(in[0][2]), a.classifier.Width()
	chunks(split, len(in), 2*dim+width, func(from, to int, scratch *kernel.Scratch) {
		n := to - from
		mean, corrected, logits := scratch.Take(n, dim), scratch.Take(n, dim), scratch.Take(n, width)
		for i := range n {
			l, mean := in[from+i][1][0], mean.Line(i)
			for j, v := range in[from+i][2] {
				mean[j] = v / l
			}
		}
		if a.correction != nil {
			dense(a.correction, n, corrected, mean, mean)
			mean = corrected
		}
		dense(a.classifier, n, logits, mean, kernel.Matrix{})
		for i := range n {
			to := out[from+i][0]
			copy(to, logits.Line(i))
			for j := range a.bias {
				to[j] = to[j]*a.scale + a.bias[j]
			}
		}
	})
}

// nativeTap is linear.Step: the tap is carry and value.
type nativeTap struct{}

// Run implements [layer.Kernel].
func (nativeTap) Run(_ layer.Split, out, in []layer.Parts) {
	for i, parts := range in {
		tap := parts[len(parts)-1]
		copy(out[i][0], tap)
		copy(out[i][1], tap)
	}
}

// nativeClassifier is linear.Answer.
type nativeClassifier struct{ classifier *kernel.Dense }

func newNativeClassifier(weights map[string][]float32, width, classes int) layer.Kernel {
	if !kernel.Available() {
		return nil
	}
	return &nativeClassifier{kernel.NewDense(weights["classifier.kernel"], weights["classifier.bias"], width, classes)}
}

// Run implements [layer.Kernel].
func (a *nativeClassifier) Run(split layer.Split, out, in []layer.Parts) {
	dim, width := len(in[0][0]), a.classifier.Width()
	chunks(split, len(in), dim+width, func(from, to int, scratch *kernel.Scratch) {
		n := to - from
		taps, logits := scratch.Take(n, dim), scratch.Take(n, width)
		for i := range n {
			copy(taps.Line(i), in[from+i][0])
		}
		dense(a.classifier, n, logits, taps, kernel.Matrix{})
		for i := range n {
			copy(out[from+i][0], logits.Line(i))
		}
	})
}
