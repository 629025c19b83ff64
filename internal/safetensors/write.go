package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/layer"
)

// Write writes float32 weights as safetensors: names sorted, the header padded with spaces to a multiple of 8 bytes, as
// the format's own library does. The same weights give the same bytes.
func Write(w io.Writer, weights layer.Weights) error { return WriteAs(w, weights, Float32) }

// WriteAs is Write in another precision. It loses nothing: a value that p does not hold exactly is an error, so weights
// have gone through [Round] before, where the network that they make could still be measured.
func WriteAs(w io.Writer, weights layer.Weights, p Precision) error {
	if err := p.check(); err != nil {
		return err
	}
	header := map[string]entry{}
	offset := int64(0)
	names := slices.Sorted(maps.Keys(weights))
	for _, name := range names {
		e := entry{DType: string(p), Shape: []int64{}}
		size := widths[string(p)]
		for _, d := range weights[name].Shape().Dimensions {
			e.Shape = append(e.Shape, int64(d))
			size *= int64(d)
		}
		e.Offsets = []int64{offset, offset + size}
		offset += size
		header[name] = e
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	text = append(text, bytes.Repeat([]byte{' '}, -len(text)&7)...)
	if _, err := w.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)); err != nil {
		return err
	}
	for _, name := range names {
		if err := writeValues(w, weights[name], p); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
	}
	return nil
}

// WriteValues writes the values of a float32 tensor, little-endian, in row-major order.
func WriteValues(w io.Writer, t *tensors.Tensor) error { return writeValues(w, t, Float32) }

func writeValues(w io.Writer, t *tensors.Tensor, p Precision) error {
	var failed error
	encode := encoders[p]
	err := tensors.ConstFlatData(t, func(values []float32) {
		buffer := make([]byte, 0, 1<<16)
		for chunk := range slices.Chunk(values, cap(buffer)/4) {
			buffer = buffer[:0]
			for _, v := range chunk {
				if rounded := p.round(v); rounded != v && v == v {
					failed = fmt.Errorf("value %g is not one of %s, which has %g", v, p, rounded)
					return
				}
				buffer = encode(buffer, v)
			}
			if _, failed = w.Write(buffer); failed != nil {
				return
			}
		}
	})
	return errors.Join(err, failed)
}
