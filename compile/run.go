package compile

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/laya"
)

// Run takes samples, all of one lane and at most the largest bucket of that lane, through the segments first to last, and
// returns their gate scores there. Without an answer at the last segment the scores mean nothing. It takes one launch if
// [Engine.Fuse] prepared the span and no sample keeps anything on the way, else one per segment. On an error the samples
// are released.
func (e *Engine) Run(first, last int, samples []*Sample) ([]exit.Scores, error) {
	if len(samples) == 0 {
		return nil, fmt.Errorf("compile: a batch has 0 samples, want at least 1")
	}
	lane := samples[0].Lane
	buckets := e.buckets[lane]
	at, _ := slices.BinarySearch(buckets, len(samples))
	if at == len(buckets) {
		return nil, e.fail(samples, fmt.Errorf("compile: a batch has %d samples, want 1 to %d", len(samples), buckets[len(buckets)-1]))
	}
	keeps := func(s *Sample) bool { return s.Keep != 0 }
	if e.native != nil {
		var scores []exit.Scores
		err := guard(func() error {
			scores = e.native.run(first, last, samples, slices.ContainsFunc(samples, keeps))
			return nil
		})
		if err != nil {
			return nil, e.fail(samples, fmt.Errorf("compile: segments to depth %d: %w", e.depths[last], err))
		}
		return scores, nil
	}
	step := last - first + 1
	if e.spans[span{first, last}] == nil || slices.ContainsFunc(samples, keeps) {
		step = 1
	}
	scores := make([]exit.Scores, len(samples))
	for ; first <= last; first += step {
		f := form{span{first, first + step - 1}, buckets[at], e.lengths[lane]}
		if err := guard(func() error { return e.run(f, samples, scores) }); err != nil {
			return nil, e.fail(samples, e.failed(f, err))
		}
	}
	return scores, nil
}

func (e *Engine) fail(samples []*Sample, err error) error {
	for _, s := range samples {
		e.Release(s)
	}
	return err
}

func (e *Engine) run(f form, samples []*Sample, scores []exit.Scores) error {
	exec, err := e.executable(f)
	if err != nil {
		return err
	}
	inputs, owned, err := e.inputs(f, samples)
	if owned {
		defer finalize(inputs) // also where Call panics
	}
	if err != nil {
		return err
	}
	weights := e.spans[f.span].weights
	args := make([]any, 0, len(inputs)+len(weights))
	for _, t := range inputs {
		args = append(args, t)
	}
	for _, w := range weights {
		args = append(args, w)
	}
	out, err := exec.Call(args...)
	if err != nil {
		return err
	}
	return e.accept(f, samples, scores, out)
}

// finalize frees tensors; those that could not be made are nil.
func finalize(all []*tensors.Tensor) {
	for _, t := range all {
		if t != nil {
			t.MustFinalizeAll()
		}
	}
}

// accept moves the samples to the rows of a launch's outputs and takes in its report, or frees the outputs if that
// cannot be read.
func (e *Engine) accept(f form, samples []*Sample, scores []exit.Scores, out []*tensors.Tensor) error {
	s := e.spans[f.span]
	batch := &rows{parts: out[:s.parts], bucket: f.bucket}
	batch.live.Store(int32(len(samples)))
	each := e.network.Head.Config().Kind == laya.Prefix
	err := tensors.ConstFlatData(out[s.parts], func(flat []float32) {
		width := len(flat) / f.bucket
		for row, sample := range samples {
			e.Release(sample)
			sample.batch, sample.row, sample.values, sample.tokens = batch, row, nil, nil
			r := s.read(flat[row*width:][:width])
			sample.remember(r, each)
			scores[row] = r.gates
		}
	})
	out[s.parts].MustFinalizeAll()
	if err != nil {
		finalize(batch.parts)
	}
	return err
}

// inputs are the tensors of the batch: the rows' own batch if the samples are all of it, in order and in the same bucket,
// else a copy of their rows. owned says that they were made for this call, which then frees them, also those that an
// error leaves.
func (e *Engine) inputs(f form, samples []*Sample) (inputs []*tensors.Tensor, owned bool, err error) {
	if samples[0].batch == nil {
		t, err := e.first(f, samples)
		return []*tensors.Tensor{t}, true, err
	}
	whole := samples[0].batch
	if whole.bucket == f.bucket && int(whole.live.Load()) == len(samples) && inOrder(samples) {
		return whole.parts, false, nil
	}
	if e.apart {
		inputs, err := e.assemble(f, samples)
		return inputs, true, err
	}
	for part := range whole.parts {
		t, err := e.gather(f, part, samples)
		inputs = append(inputs, t)
		if err != nil {
			return inputs, true, err
		}
	}
	return inputs, true, nil
}

// inOrder reports whether the samples lie in one batch in the order of their rows, without gaps before the last.
func inOrder(samples []*Sample) bool {
	for i, s := range samples {
		if s.batch != samples[0].batch || s.row != i {
			return false
		}
	}
	return true
}

// gather copies the samples' rows of one part into a new tensor, in memory that host and device share. Rows beyond the samples repeat the first: their results
// are never read, and real numbers are never slow.
func (e *Engine) gather(f form, part int, samples []*Sample) (*tensors.Tensor, error) {
	shape := samples[0].batch.parts[part].Shape().Clone()
	shape.Dimensions[0] = f.bucket
	t, err := tensors.FromShapeForBackend(e.backend, 0, shape)
	if err != nil {
		return nil, err
	}
	size := int(shape.ByteSize()) / f.bucket
	err = t.MutableBytes(func(to []byte) {
		for row := range f.bucket {
			from := samples[0]
			if row < len(samples) {
				from = samples[row]
			}
			if err == nil {
				err = from.batch.parts[part].ConstBytes(func(data []byte) {
					copy(to[row*size:(row+1)*size], data[from.row*size:])
				})
			}
		}
	})
	return t, err
}

// first puts the inputs of samples that have not started into a tensor.
func (e *Engine) first(f form, samples []*Sample) (*tensors.Tensor, error) {
	input := e.network.Backbone.Input()
	t, err := tensors.FromShapeForBackend(e.backend, 0, input.Shape(f.bucket, f.length))
	if err != nil {
		return nil, err
	}
	size := input.Size(f.length)
	if input.DType == dtypes.Int32 {
		pad := e.network.Backbone.(backbone.Sequence).Padding()
		return t, tensors.MutableFlatData(t, func(flat []int32) {
			for row := range f.bucket {
				ids := flat[row*size : (row+1)*size]
				n := copy(ids, samples[min(row, len(samples)-1)].tokens)
				for j := n; j < len(ids); j++ {
					ids[j] = pad
				}
			}
		})
	}
	return t, tensors.MutableFlatData(t, func(flat []float32) {
		for row := range f.bucket {
			copy(flat[row*size:(row+1)*size], samples[min(row, len(samples)-1)].values)
		}
	})
}
