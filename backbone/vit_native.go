package backbone

import (
	"github.com/layarun/layarun/internal/kernel"
	"github.com/layarun/layarun/layer"
)

// nativePatches is the stem of a vision transformer on the processor.
type nativePatches struct {
	*ViT
	standard
	patch    *kernel.Dense
	class    []float32 // with its position
	position []float32 // of the patches
}

func (v *ViT) nativeStem(weights map[string][]float32) layer.Kernel {
	if !kernel.Fills(v.Dim) {
		return nil
	}
	s := &nativePatches{ViT: v, standard: newStandard(weights), position: weights["position"][v.Dim:]}
	for j, value := range weights["class"] {
		s.class = append(s.class, value+weights["position"][j])
	}
	s.patch = kernel.NewDense(weights["patch.kernel"], weights["patch.bias"], v.Patch*v.Patch*v.Inputs[2], v.Dim)
	return s
}

// Run implements [layer.Kernel].
func (s *nativePatches) Run(split layer.Split, out, in []layer.Parts) {
	patches, columns, line := s.patches(), s.Inputs[1]/s.Patch, s.Patch*s.Inputs[2] // a row of pixels of a patch
	rows := len(in) * patches
	scratch := kernel.NewScratch(rows * (s.Patch*line + s.Dim))
	defer scratch.Free()
	cut, embedded := scratch.Take(rows, s.Patch*line), scratch.Take(rows, s.Dim)
	eachRows(split, rows, func(i int) {
		patch, image := i%patches, in[i/patches][0]
		for y := range s.Patch {
			at := ((patch/columns*s.Patch+y)*columns + patch%columns) * line
			s.apply(cut.Line(i)[y*line:(y+1)*line], image[at:])
		}
	})
	multiply(split, s.patch, rows, embedded, cut, kernel.Matrix{})
	eachRows(split, rows, func(i int) {
		patch := i % patches
		h, position := out[i/patches][0][(1+patch)*s.Dim:], s.position[patch*s.Dim:]
		for j, v := range embedded.Line(i) {
			h[j] = v + position[j]
		}
	})
	for i := range out {
		copy(out[i][0], s.class)
	}
}

// nativeLook is the tap of a vision transformer on the processor.
type nativeLook struct {
	dim  int
	mean bool // over the patches; else the first place alone
	norm nativeNorm
}

func (v *ViT) nativeTap(weights map[string][]float32) layer.Kernel {
	if !kernel.Fills(v.Dim) {
		return nil
	}
	return &nativeLook{v.Dim, v.Pool == "mean", newNativeNorm(weights, "norm", v.Epsilon)}
}

// Run implements [layer.Kernel].
func (t *nativeLook) Run(split layer.Split, out, in []layer.Parts) {
	eachSample(split, len(in), func(i int, _ layer.Split) {
		if !t.mean {
			t.norm.apply(out[i][0], in[i][0][:t.dim])
			return
		}
		h := in[i][0][t.dim:]
		s := kernel.NewScratch(len(h))
		defer s.Free()
		normed := s.Take(len(h)/t.dim, t.dim)
		for row := range len(h) / t.dim {
			t.norm.apply(normed.Line(row), h[row*t.dim:(row+1)*t.dim])
		}
		kernel.Pool(out[i][0], kernel.Image{Values: normed.Values, Pixel: t.dim}, 1, len(h)/t.dim, t.dim, 1, 0)
	})
}
