// Package safetensors reads and writes named tensors in the safetensors format, more strictly than the format asks. In
// memory values are float32, in a file they may have half that precision.
package safetensors

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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

// Read reads all tensors of a safetensors file of the given size, which must be of a [Precision]. It is stricter than the
// format: the data must be tiled by the tensors without holes or overlaps, names may not repeat, and nothing is allocated
// that the file's size does not cover.
func Read(r io.Reader, size int64) (layer.Weights, error) {
	return Select(r, size, func(string, string) (bool, error) { return true, nil })
}

// Select is Read for some tensors of a file, which may then hold others of any type. take is asked, in the order of their
// data, about each tensor's name and dtype as the file writes them ("F32", "I64"); its error ends the reading.
func Select(r io.Reader, size int64, take func(name, dtype string) (bool, error)) (layer.Weights, error) {
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
		taken, err := take(e.name, e.DType)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", e.name, err)
		}
		if !taken {
			if _, err := io.CopyN(io.Discard, r, e.Offsets[1]-e.Offsets[0]); err != nil {
				return nil, fmt.Errorf("tensor %q: %w", e.name, strict.NoEOF(err))
			}
			continue
		}
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
		width, ok := widths[e.DType]
		if !ok {
			return fmt.Errorf("tensor %q: dtype is %q, want one of %v", e.name, e.DType, slices.Sorted(maps.Keys(widths)))
		}
		if len(e.Shape) > maxRank {
			return fmt.Errorf("tensor %q: shape has %d axes, want at most %d", e.name, len(e.Shape), maxRank)
		}
		bytes := width
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
	decode, ok := decoders[Precision(e.DType)]
	if !ok {
		return nil, fmt.Errorf("dtype is %q, want one of %v", e.DType, slices.Sorted(maps.Keys(decoders)))
	}
	width := widths[e.DType]
	values := make([]float32, (e.Offsets[1]-e.Offsets[0])/width)
	buffer := make([]byte, min(int64(len(values)), 1<<14)*width)
	for rest := values; len(rest) > 0; {
		n := min(int64(len(rest)), int64(len(buffer))/width)
		if _, err := io.ReadFull(r, buffer[:n*width]); err != nil {
			return nil, strict.NoEOF(err)
		}
		decode(rest[:n], buffer[:n*width])
		rest = rest[n:]
	}
	return values, nil
}
