package backbone

import (
	"github.com/layarun/layarun/internal/kernel"
	"github.com/layarun/layarun/layer"
)

// nativeFlat is the stem of an MLP on the processor.
type nativeFlat struct{ standard }

func (m *MLP) nativeStem(weights map[string][]float32) layer.Kernel {
	if !kernel.Available() {
		return nil
	}
	return nativeFlat{newStandard(weights)}
}

// Run implements [layer.Kernel].
func (s nativeFlat) Run(split layer.Split, out, in []layer.Parts) {
	eachRows(split, len(in), func(i int) { s.apply(out[i][0], in[i][0]) })
}

// nativePerceptron is a block of an MLP on the processor.
type nativePerceptron struct {
	in, out  int
	dense    *kernel.Dense
	norm     *nativeNorm
	residual bool
}

func (m *MLP) nativeBlock(weights map[string][]float32, in, out int, residual bool) layer.Kernel {
	if !kernel.Fills(out) {
		return nil
	}
	b := &nativePerceptron{in: in, out: out, residual: residual,
		dense: kernel.NewDense(weights["dense.kernel"], weights["dense.bias"], in, out)}
	if m.Norm == "layer" {
		norm := newNativeNorm(weights, "norm", m.Epsilon)
		b.norm = &norm
	}
	return b
}

// Run implements [layer.Kernel].
func (b *nativePerceptron) Run(split layer.Split, out, in []layer.Parts) {
	s := kernel.NewScratch(len(in) * (b.in + b.out))
	defer s.Free()
	x, y := s.Take(len(in), b.in), s.Take(len(in), b.out)
	for i := range in {
		copy(x.Line(i), in[i][0])
	}
	multiply(split, b.dense, len(in), y, x, kernel.Matrix{})
	eachRows(split, len(in), func(i int) {
		h := y.Line(i)
		if b.norm != nil {
			b.norm.apply(h, h)
		}
		kernel.GELU(h)
		copy(out[i][0], h)
		if b.residual {
			for j, v := range in[i][0] {
				out[i][0][j] += v
			}
		}
	})
}

// nativeCopy is the tap of an MLP on the processor.
type nativeCopy struct{}

// Run implements [layer.Kernel].
func (nativeCopy) Run(_ layer.Split, out, in []layer.Parts) {
	for i := range in {
		copy(out[i][0], in[i][0])
	}
}
