package backbonetest

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/layer"
)

// checkNative runs the kernel of every operation that has one on the states that graphs compute, for all samples in one
// call, with the work divided, and for each alone. Operations without a kernel pass.
func checkNative(s *suite) error {
	want, err := s.run()
	if err != nil {
		return err
	}
	in := []*tensors.Tensor{s.in}
	for k, op := range backbone.Ops(s.b) {
		if err := s.compareNative(op, in, want.states[k]); err != nil {
			return err
		}
		in = want.states[k]
		if err := s.compareNative(s.b.Tap(k), in, want.taps[k:k+1]); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) compareNative(op layer.Op, in, want []*tensors.Tensor) error {
	if op.Native == nil {
		return nil
	}
	weights := map[string][]float32{}
	for _, p := range op.Params {
		weights[p.Name] = tensors.MustCopyFlatData[float32](s.weights[op.FullName(p)])
	}
	kernel := op.Native(weights)
	if kernel == nil {
		return nil
	}
	all := samplesOf(in)
	got := like(want)
	kernel.Run(backwards, got, all)
	if err := same(op.Name+" on its kernel", tensorsOf(got, want), want, tolerance); err != nil {
		return err
	}
	for i := range all {
		alone := like(want)[i : i+1]
		kernel.Run(backwards, alone, all[i:i+1])
		for part := range alone[0] {
			if !slices.Equal(alone[0][part], got[i][part]) {
				return fmt.Errorf("%s on its kernel: part %d of row %d alone differs from that among others", op.Name, part, i)
			}
		}
	}
	return nil
}

// backwards runs the pieces of a kernel from the last to the first: none may need another.
func backwards(pieces int, each func(int)) {
	for piece := pieces - 1; piece >= 0; piece-- {
		each(piece)
	}
}

// samplesOf takes a batch apart; ids become whole numbers.
func samplesOf(batched []*tensors.Tensor) []layer.Parts {
	samples := make([]layer.Parts, batch)
	for _, t := range batched {
		for i := range samples {
			samples[i] = append(samples[i], numbers(row(t, i)))
		}
	}
	return samples
}

func numbers(t *tensors.Tensor) []float32 {
	if t.DType() == dtypes.Float32 {
		return tensors.MustCopyFlatData[float32](t)
	}
	var values []float32
	for _, id := range tensors.MustCopyFlatData[int32](t) {
		values = append(values, float32(id))
	}
	return values
}

// like makes room for samples like those of a batch.
func like(batched []*tensors.Tensor) []layer.Parts {
	samples := make([]layer.Parts, batch)
	for i := range samples {
		for _, t := range batched {
			samples[i] = append(samples[i], make([]float32, t.Shape().Size()/batch))
		}
	}
	return samples
}

// tensorsOf puts samples together to tensors of the shapes of like.
func tensorsOf(samples []layer.Parts, like []*tensors.Tensor) []*tensors.Tensor {
	var all []*tensors.Tensor
	for part, t := range like {
		var values []float32
		for _, s := range samples {
			values = append(values, s[part]...)
		}
		all = append(all, tensors.FromFlatDataAndDimensions(values, t.Shape().Dimensions...))
	}
	return all
}
