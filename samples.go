package layarun

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/picture"
)

// Tokens encodes a text as the network reads it; the runtime must be one for texts.
func (r *Runtime) Tokens(text string) ([]int32, error) {
	if r.tokens == nil {
		return nil, errors.New("layarun: the bundle has no tokenizer")
	}
	return r.tokens.Encode(text, r.bundle.MaxLength), nil
}

// Pixels decodes a PNG or JPEG file to the values that the network reads, scaled and cropped as the bundle says; the
// runtime must be one for images of one or three channels. The size that a file claims is bounded before it is decoded
// ([picture.MaxPixels]).
func (r *Runtime) Pixels(file []byte) ([]float32, error) {
	if picture.CheckDims(r.Dims()) != nil {
		return nil, fmt.Errorf("layarun: the network reads samples of dims %v, not images", r.Dims())
	}
	return r.bundle.Fit.Decode(file, r.Dims())
}

// samples prepares the request's samples for the engine.
func (r *Runtime) samples(ctx context.Context, q Request) ([]*compile.Sample, error) {
	var keep compile.Keep
	if q.Explain {
		keep |= compile.KeepValues
	}
	if q.AllExits {
		keep |= compile.KeepAnswers
	}
	kinds := 0
	for _, n := range []int{len(q.Values), len(q.Images), len(q.Texts), len(q.Tokens)} {
		kinds += min(n, 1)
	}
	if kinds > 1 {
		return nil, fmt.Errorf("%w: samples of several kinds, want one of Values, Images, Texts and Tokens", ErrRequest)
	}
	if len(q.Values) > 0 {
		return r.rows(q.Values, keep)
	}
	if len(q.Images) > 0 {
		return r.images(ctx, q.Images, keep)
	}
	tokens := slices.Clip(q.Tokens) // what is appended goes elsewhere
	for i, text := range q.Texts {
		ids, err := r.Tokens(text)
		if err != nil {
			return nil, fmt.Errorf("%w: text %d: %w", ErrRequest, i, err)
		}
		tokens = append(tokens, ids)
	}
	var samples []*compile.Sample
	for i, ids := range tokens {
		s, err := r.engine.NewSequence(ids, keep)
		if err != nil {
			return nil, fmt.Errorf("%w: sample %d: %w", ErrRequest, i, err)
		}
		samples = append(samples, s)
	}
	return samples, nil
}

// rows cuts values into samples.
func (r *Runtime) rows(values []float32, keep compile.Keep) ([]*compile.Sample, error) {
	size := r.bundle.Backbone.Input().Size(1)
	if len(values)%size != 0 {
		return nil, fmt.Errorf("%w: %d values are not a whole number of samples of %d (%v)", ErrRequest, len(values), size, r.Dims())
	}
	samples := make([]*compile.Sample, 0, len(values)/size)
	for start := 0; start < len(values); start += size {
		row := values[start : start+size]
		if i := notFinite(row); i >= 0 {
			return nil, fmt.Errorf("%w: sample %d, value %d is %v, want a finite number", ErrRequest, start/size, i, row[i])
		}
		s, err := r.engine.NewSample(row, keep)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRequest, err)
		}
		samples = append(samples, s)
	}
	return samples, nil
}

// notFinite is the index of the first value that is NaN or infinite, or -1. All bits of such a value's exponent are set, so that
// one more carries into the sign: a third of the time of asking package math.
func notFinite(values []float32) int {
	const exponent = 0xff << 23
	var carries uint32
	for _, v := range values {
		carries |= math.Float32bits(v)&exponent + 1<<23
	}
	if carries>>31 == 0 {
		return -1
	}
	return slices.IndexFunc(values, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) })
}

// images decodes files, no more of them at a time than the runtime has room for.
func (r *Runtime) images(ctx context.Context, files [][]byte, keep compile.Keep) ([]*compile.Sample, error) {
	var samples []*compile.Sample
	for i, file := range files {
		select {
		case r.decoding <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		values, err := r.Pixels(file)
		<-r.decoding
		if err == nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("%w: image %d: %w", ErrRequest, i, err)
		}
		s, err := r.engine.NewSample(values, keep)
		if err != nil {
			return nil, fmt.Errorf("%w: image %d: %w", ErrRequest, i, err)
		}
		samples = append(samples, s)
	}
	return samples, nil
}
