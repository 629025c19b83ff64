package compile

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/exit"
)

// Run takes samples, all of one lane and at most the largest bucket of them, through segment i. With answer it fills
// their logits and returns their gate scores; without, nobody may leave and the scores mean nothing, unless a sample
// keeps all answers. A segment that cannot answer never does. On an error the samples are released.
func (e *Engine) Run(i int, samples []*Sample, answer bool) ([]exit.Scores, error) {
	s := &e.segments[i]
	keeps := func(s *Sample) bool { return s.Keep&KeepAnswers != 0 }
	answer = s.Answer != nil && (answer || slices.ContainsFunc(samples, keeps))
	at, _ := slices.BinarySearch(e.buckets, len(samples))
	if at == len(e.buckets) || len(samples) == 0 {
		return nil, e.fail(samples, fmt.Errorf("compile: a batch has %d samples, want 1 to %d", len(samples), e.buckets[len(e.buckets)-1]))
	}
	f := form{segment: i, answer: answer, bucket: e.buckets[at], length: e.lengths[samples[0].Lane]}
	scores := make([]exit.Scores, len(samples))
	if err := guard(func() error { return e.run(f, samples, scores) }); err != nil {
		return nil, e.fail(samples, fmt.Errorf("compile: segment to depth %d, batch %d: %w", s.Depth, f.bucket, err))
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
	weights := e.segments[f.segment].weightsOf(f.answer)
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

// accept moves the samples to the rows of a segment's outputs, or frees the outputs if one cannot be read.
func (e *Engine) accept(f form, samples []*Sample, scores []exit.Scores, out []*tensors.Tensor) error {
	parts := e.segments[f.segment].parts
	rest := out[parts:]
	var value, score, logits, gate matrix
	var err error
	next := func(to *matrix) {
		if err == nil && len(rest) > 0 {
			*to, err = hostMatrix(rest[0])
			rest[0].MustFinalizeAll()
			rest = rest[1:]
		}
	}
	next(&value)
	if len(rest) == 1 || len(rest) == 3 {
		next(&score)
	}
	next(&logits)
	next(&gate)
	if err != nil {
		finalize(out[:parts])
		finalize(rest)
		return err
	}
	batch := &rows{parts: out[:parts], bucket: f.bucket}
	batch.live.Store(int32(len(samples)))
	kind := e.network.Head.Config().Kind
	for row, sample := range samples {
		e.Release(sample)
		sample.batch, sample.row, sample.values, sample.tokens = batch, row, nil, nil
		sample.remember(kind, row, value, score, logits)
		if f.answer {
			copy(scores[row][:], gate.row(row))
		}
	}
	return nil
}

// hostMatrix copies a tensor [rows, …] to the host.
func hostMatrix(t *tensors.Tensor) (matrix, error) {
	data, err := tensors.CopyFlatData[float32](t)
	if err != nil {
		return matrix{}, err
	}
	return matrix{data, len(data) / t.Shape().Dim(0)}, nil
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

// gather copies the samples' rows of one part into a new tensor. Rows beyond the samples repeat the first: their results
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
