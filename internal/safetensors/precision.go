package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/layer"
)

// Precision is how values lie in a file, under the format's own name.
type Precision string

// The precisions that are read and written.
const (
	Float32  Precision = "F32"
	Float16  Precision = "F16"  // IEEE 754 binary16: 11 significant bits, largest value 65504
	BFloat16 Precision = "BF16" // the upper half of a float32: 8 significant bits
)

// widths are the bytes per value of the types that a file may hold, read or not.
var widths = map[string]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
	"I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}

// decoders read a run of little-endian values.
var decoders = map[Precision]func(to []float32, from []byte){
	Float32: func(to []float32, from []byte) {
		for i := range to {
			to[i] = math.Float32frombits(binary.LittleEndian.Uint32(from[4*i:]))
		}
	},
	Float16: func(to []float32, from []byte) {
		for i := range to {
			to[i] = fromFloat16(binary.LittleEndian.Uint16(from[2*i:]))
		}
	},
	BFloat16: func(to []float32, from []byte) {
		for i := range to {
			to[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(from[2*i:])) << 16)
		}
	},
}

// encoders append a value, rounded to the nearest, ties to even.
var encoders = map[Precision]func(to []byte, v float32) []byte{
	Float32:  func(to []byte, v float32) []byte { return binary.LittleEndian.AppendUint32(to, math.Float32bits(v)) },
	Float16:  func(to []byte, v float32) []byte { return binary.LittleEndian.AppendUint16(to, toFloat16(v)) },
	BFloat16: func(to []byte, v float32) []byte { return binary.LittleEndian.AppendUint16(to, toBFloat16(v)) },
}

// round returns v as a file of the precision would give it back.
func (p Precision) round(v float32) float32 {
	switch p {
	case Float16:
		return fromFloat16(toFloat16(v))
	case BFloat16:
		return math.Float32frombits(uint32(toBFloat16(v)) << 16)
	}
	return v
}

// check reports a precision that is none.
func (p Precision) check() error {
	if _, ok := encoders[p]; !ok {
		return fmt.Errorf("precision is %q, want %s, %s or %s", p, Float32, Float16, BFloat16)
	}
	return nil
}

// Round returns weights with every value rounded to p, the nearest, ties to even. A finite value that p has no finite
// neighbour for is an error. The tensors are new unless p is Float32.
func Round(weights layer.Weights, p Precision) (layer.Weights, error) {
	if err := p.check(); err != nil || p == Float32 {
		return weights, err
	}
	rounded := layer.Weights{}
	for name, t := range weights {
		values, err := tensors.CopyFlatData[float32](t)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		for i, v := range values {
			values[i] = p.round(v)
			if math.IsInf(float64(values[i]), 0) && !math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("tensor %q: value %d is %g, too large for %s", name, i, v, p)
			}
		}
		rounded[name] = tensors.FromFlatDataAndDimensions(values, t.Shape().Dimensions...)
	}
	return rounded, nil
}

// fromFloat16 is exact.
func fromFloat16(half uint16) float32 {
	sign, exponent, fraction := uint32(half>>15)<<31, uint32(half>>10)&0x1f, uint32(half)&0x3ff
	switch exponent {
	case 0: // zero or subnormal: fraction · 2^-24
		v := float32(fraction) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(v))
	case 0x1f: // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// toFloat16 rounds to the nearest, ties to even; what is too large becomes an infinity, NaN stays NaN.
func toFloat16(v float32) uint16 {
	bits := math.Float32bits(v)
	sign, magnitude := uint16(bits>>16)&0x8000, bits&0x7fffffff
	switch {
	case magnitude > 0xff<<23: // NaN: keep it quiet and keep what fits of its payload
		return sign | 0x7e00 | uint16(magnitude>>13)&0x3ff
	case magnitude < (127-14)<<23: // subnormal: a whole number of 2^-24
		whole := math.RoundToEven(math.Abs(float64(v)) * (1 << 24))
		return sign | uint16(whole) // 1024 of them are the smallest normal number, whose bits follow
	}
	magnitude -= (127 - 15) << 23
	magnitude += 0xfff + magnitude>>13&1 // the carry may reach the exponent, as it should
	return sign | uint16(min(magnitude>>13, 0x1f<<10))
}

// toBFloat16 is toFloat16 for bfloat16.
func toBFloat16(v float32) uint16 {
	bits := math.Float32bits(v)
	if v != v {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
