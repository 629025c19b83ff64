package backbone

import (
	"math"

	"github.com/layarun/layarun/internal/kernel"
	"github.com/layarun/layarun/layer"
)

// nativeEmbedding is the stem of an encoder on the processor.
type nativeEmbedding struct {
	dim            int
	pad            float32
	word, position []float32
	tokenType      []float32 // of type 0; nil without types
	norm           nativeNorm
}

func (e *Encoder) nativeStem(weights map[string][]float32) layer.Kernel {
	if !kernel.Fills(e.Dim) {
		return nil
	}
	s := &nativeEmbedding{dim: e.Dim, pad: float32(e.PadID), word: weights["word"], position: weights["position"],
		norm: newNativeNorm(weights, "norm", e.Epsilon)}
	if e.TokenTypes > 0 {
		s.tokenType = weights["token_type"][:e.Dim]
	}
	return s
}

// Run implements [layer.Kernel].
func (s *nativeEmbedding) Run(split layer.Split, out, in []layer.Parts) {
	eachSample(split, len(in), func(i int, split layer.Split) {
		ids := in[i][0]
		eachRows(split, len(ids), func(at int) {
			h := out[i][0][at*s.dim:][:s.dim]
			word, position := s.word[int(ids[at])*s.dim:], s.position[at*s.dim:]
			for j := range h {
				h[j] = word[j] + position[j]
			}
			for j, v := range s.tokenType {
				h[j] += v
			}
			s.norm.apply(h, h)
			out[i][1][at] = 1
			if ids[at] == s.pad {
				out[i][1][at] = 0
			}
		})
	})
}

// nativeReading is the tap of an encoder on the processor.
type nativeReading struct {
	dim    int
	first  bool // it reads the first token alone
	norm   *nativeNorm
	pooler *kernel.Dense
	relu   bool
}

func (e *Encoder) nativeTap(weights map[string][]float32) layer.Kernel {
	if !kernel.Fills(e.Dim) {
		return nil
	}
	t := &nativeReading{dim: e.Dim, first: e.Pool == "cls", relu: e.Pooler == "relu"}
	if e.Norm == "pre" {
		norm := newNativeNorm(weights, "norm", e.Epsilon)
		t.norm = &norm
	}
	if e.Pooler != "" {
		t.pooler = kernel.NewDense(weights["pooler.kernel"], weights["pooler.bias"], e.Dim, e.Dim)
	}
	return t
}

// Run implements [layer.Kernel].
func (t *nativeReading) Run(split layer.Split, out, in []layer.Parts) {
	eachSample(split, len(in), func(i int, _ layer.Split) {
		h, mask := in[i][0], in[i][1]
		if t.first {
			h, mask = h[:t.dim], mask[:1]
		}
		s := kernel.NewScratch(len(h) + 2*t.dim)
		defer s.Free()
		if t.norm != nil {
			normed := s.Take(len(mask), t.dim)
			for row := range mask {
				t.norm.apply(normed.Line(row), h[row*t.dim:(row+1)*t.dim])
			}
			h = normed.Values
		}
		pooled := out[i][0]
		meanOf(pooled, h, mask, s)
		if t.pooler == nil {
			return
		}
		mean := s.Take(1, t.dim)
		copy(mean.Values, pooled)
		t.pooler.Run(0, t.pooler.Panels(), 1, kernel.Matrix{Values: pooled, Row: t.dim}, mean, kernel.Matrix{}, kernel.NoFloor)
		for j, v := range pooled {
			if t.relu {
				pooled[j] = max(v, 0)
			} else {
				pooled[j] = float32(math.Tanh(float64(v)))
			}
		}
	})
}

// meanOf sets mean [dim] to the mean of those rows of h whose mask is 1, and to 0 where there are none.
func meanOf(mean, h, mask []float32, s *kernel.Scratch) {
	tokens := 0
	for _, m := range mask {
		tokens += int(m)
	}
	clear(mean)
	run := s.Take(1, len(mean)).Values
	for from := 0; from < len(mask); from++ {
		to := from
		for to < len(mask) && mask[to] == 1 {
			to++
		}
		if n := to - from; n > 0 { // tokens in a row, most often all
			image := kernel.Image{Values: h[from*len(mean):], Pixel: len(mean)}
			kernel.Pool(run, image, 1, n, len(mean), float32(n)/float32(tokens), 0)
			for j, v := range run {
				mean[j] += v
			}
			from = to
		}
	}
}
