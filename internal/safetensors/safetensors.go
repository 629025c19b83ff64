// Package safetensors reads and writes named float32 tensors in the safetensors format, more strictly than the format asks.
package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/internal/strict"
	"github.com/layarun/layarun/layer"
)

// Bounds of what a weights file may ask for before any of its data has been seen. The largest header of a published
// safetensors model is well under a megabyte.
const (
	maxHeader = 16 << 20 // bytes
	maxRank   = 8
)

// entry is what a safetensors header says of one tensor.
type entry struct {
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"` // of its first byte and of the one after its last, from the start of the data

	name string
}

// storage is one way to keep float32 values on disk: its size per value, and how to decode a run of bytes. Adding
// half-precision weights is adding an entry to storages.
type storage struct {
	size   int64
	decode func(to []float32, from []byte)
}

var storages = map[string]storage{
	"F32": {4, func(to []float32, from []byte) {
		for i := range to {
			to[i] = math.Float32frombits(binary.LittleEndian.Uint32(from[4*i:]))
		}
	}},
}

// Read reads a safetensors file of the given size. It is stricter than the format: the data must be tiled by the
// tensors without holes or overlaps, names may not repeat, and nothing is allocated that the file's size does not cover.
func Read(r io.Reader, size int64) (layer.Weights, error) {
	header, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	entries, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	if err := checkTiling(entries, size-8-int64(len(header))); err != nil {
		return nil, err
	}
	weights := layer.Weights{}
	for _, e := range entries {
		values, err := readValues(r, e)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", e.name, err)
		}
		dims := make([]int, len(e.Shape))
		for i, d := range e.Shape {
			dims[i] = int(d)
		}
		weights[e.name] = tensors.FromFlatDataAndDimensions(values, dims...)
	}
	return weights, nil
}

func readHeader(r io.Reader, size int64) ([]byte, error) {
	var prefix [8]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, fmt.Errorf("length of the header: %w", strict.NoEOF(err))
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("header is said to have %d bytes, want at most %d in a file of %d", n, maxHeader, size)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("header: %w", strict.NoEOF(err))
	}
	return header, nil
}

// parseHeader returns the tensors in the order of their data.
func parseHeader(header []byte) ([]entry, error) {
	var fields map[string]json.RawMessage
	if err := strict.Decode(header, &fields); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if meta, ok := fields["__metadata__"]; ok {
		if err := strict.Decode(meta, &map[string]string{}); err != nil {
			return nil, fmt.Errorf("header: __metadata__: %w", err)
		}
		delete(fields, "__metadata__")
	}
	var entries []entry
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		e := entry{name: name}
		if err := strict.Decode(fields[name], &e); err != nil {
			return nil, fmt.Errorf("header: tensor %q: %w", name, err)
		}
		if e.Shape == nil || len(e.Offsets) != 2 {
			return nil, fmt.Errorf("header: tensor %q: shape is %v and data_offsets %v, want a list and two numbers", name, e.Shape, e.Offsets)
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.Offsets[0], b.Offsets[0]) })
	return entries, nil
}

// checkTiling verifies that entries, in order of offset, cover data bytes exactly, each by as much as its shape asks for.
func checkTiling(entries []entry, data int64) error {
	cursor := int64(0)
	for _, e := range entries {
		s, ok := storages[e.DType]
		if !ok {
			return fmt.Errorf("tensor %q: dtype is %q, want one of %v", e.name, e.DType, slices.Sorted(maps.Keys(storages)))
		}
		if len(e.Shape) > maxRank {
			return fmt.Errorf("tensor %q: shape has %d axes, want at most %d", e.name, len(e.Shape), maxRank)
		}
		bytes := s.size
		for _, d := range e.Shape {
			// data bounds every product, so that the next one cannot overflow.
			if d < 1 || d > data/bytes {
				return fmt.Errorf("tensor %q: shape %v does not fit in %d bytes of data", e.name, e.Shape, data)
			}
			bytes *= d
		}
		if e.Offsets[0] != cursor || e.Offsets[1] != cursor+bytes {
			return fmt.Errorf("tensor %q: data_offsets are %v, want [%d %d] for %s %v after the tensor before", e.name, e.Offsets, cursor, cursor+bytes, e.DType, e.Shape)
		}
		cursor += bytes
	}
	if cursor != data {
		return fmt.Errorf("tensors cover %d bytes of data, want %d", cursor, data)
	}
	return nil
}

func readValues(r io.Reader, e entry) ([]float32, error) {
	s := storages[e.DType]
	values := make([]float32, (e.Offsets[1]-e.Offsets[0])/s.size)
	buffer := make([]byte, min(int64(len(values)), 1<<14)*s.size)
	for rest := values; len(rest) > 0; {
		n := min(int64(len(rest)), int64(len(buffer))/s.size)
		if _, err := io.ReadFull(r, buffer[:n*s.size]); err != nil {
			return nil, strict.NoEOF(err)
		}
		s.decode(rest[:n], buffer[:n*s.size])
		rest = rest[n:]
	}
	return values, nil
}

// Write writes weights as safetensors: names sorted, the header padded with spaces to a multiple of 8 bytes, as
// the format's own library does. The same weights give the same bytes.
func Write(w io.Writer, weights layer.Weights) error {
	header := map[string]entry{}
	offset := int64(0)
	names := slices.Sorted(maps.Keys(weights))
	for _, name := range names {
		e := entry{DType: "F32", Shape: []int64{}}
		size := int64(4)
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
		if err := WriteValues(w, weights[name]); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
	}
	return nil
}

// WriteValues writes the values of a float32 tensor, little-endian, in row-major order.
func WriteValues(w io.Writer, t *tensors.Tensor) error {
	var failed error
	err := tensors.ConstFlatData(t, func(values []float32) {
		buffer := make([]byte, 0, 1<<16)
		for chunk := range slices.Chunk(values, cap(buffer)/4) {
			buffer = buffer[:0]
			for _, v := range chunk {
				buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(v))
			}
			if _, failed = w.Write(buffer); failed != nil {
				return
			}
		}
	})
	return errors.Join(err, failed)
}
