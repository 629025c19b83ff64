package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/layer"
)

// halves returns every value of a 16-bit precision as the decoder reads it, by its bits.
func halves(t *testing.T, p Precision) []float32 {
	t.Helper()
	header := `{"a":{"dtype":"` + string(p) + `","shape":[65536],"data_offsets":[0,131072]}}`
	data := file(header, 0)
	for bits := range 1 << 16 {
		data = binary.LittleEndian.AppendUint16(data, uint16(bits))
	}
	weights, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](weights["a"])
}

// The values of float16 by its definition (IEEE 754): (-1)^s 2^(e-15) (1 + f/1024), subnormals (-1)^s 2^-14 f/1024.
func TestFloat16IsReadExactly(t *testing.T) {
	for bits, got := range halves(t, Float16) {
		exponent, fraction := bits>>10&31, float64(bits&1023)/1024
		want := math.Ldexp(1+fraction, exponent-15)
		switch {
		case exponent == 0:
			want = math.Ldexp(fraction, -14)
		case exponent == 31 && fraction == 0:
			want = math.Inf(1)
		case exponent == 31:
			want = math.NaN()
		}
		if bits>>15 == 1 {
			want = -want
		}
		if float64(got) != want && !(got != got && want != want) || math.Signbit(float64(got)) != (bits>>15 == 1) {
			t.Fatalf("%#04x is read as %v, want %v", bits, got, want)
		}
	}
}

// Between two neighbours values go to the nearer one, and the middle to the one whose last bit is 0. The float32s next to
// the middle are the closest that a rounding could get wrong.
func TestRoundingIsToNearestEven(t *testing.T) {
	for _, p := range []Precision{Float16, BFloat16} {
		values := halves(t, p)
		for bits := range 1 << 15 {
			low, high := values[bits], values[bits+1]
			if math.IsInf(float64(high), 0) || high != high {
				break
			}
			middle := float32((float64(low) + float64(high)) / 2)
			even := low
			if bits&1 == 1 {
				even = high
			}
			for _, c := range []struct{ v, want float32 }{
				{low, low}, {middle, even}, {math.Nextafter32(middle, 0), low}, {math.Nextafter32(middle, high), high}, {-middle, -even},
			} {
				if got := p.round(c.v); got != c.want {
					t.Fatalf("%s: %g between %g and %g is rounded to %g, want %g", p, c.v, low, high, got, c.want)
				}
			}
		}
	}
}

func TestHalfPrecisionRoundTrip(t *testing.T) {
	for _, p := range []Precision{Float16, BFloat16} {
		special := []float32{0, float32(math.Copysign(0, -1)), 1, -2.5, 0.1, 1e-7, 65504, float32(math.Inf(-1)), float32(math.NaN())}
		weights, err := Round(layer.Weights{"a": tensors.FromFlatDataAndDimensions(special, 3, 3)}, p)
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if err := WriteAs(&buf, weights, p); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(buf.String(), `"dtype":"`+string(p)+`"`) || buf.Len() > 8+80+18 {
			t.Errorf("%s: the file has %d bytes: %q", p, buf.Len(), buf.String())
		}
		if got, err := read(buf.Bytes()); err != nil || !sameWeights(got, weights) {
			t.Errorf("%s: wrote %v, read %v (%v)", p, weights, got, err)
		}
	}
}

func TestPrecisionsRefuseWhatTheyWouldLose(t *testing.T) {
	tenth := layer.Weights{"a": tensors.FromFlatDataAndDimensions([]float32{1, 0.1}, 2)}
	large := layer.Weights{"a": tensors.FromFlatDataAndDimensions([]float32{1, 65520}, 2)} // rounds to 2^16, beyond float16
	_, overflow := Round(large, Float16)
	_, unknown := Round(tenth, "F8")
	for want, err := range map[string]error{
		"value 0.1 is not one of F16":                   WriteAs(new(bytes.Buffer), tenth, Float16),
		"value 1 is 65520, too large for F16":           overflow,
		`precision is "F8", want F32, F16 or BF16`:      unknown,
		`precision is "float16", want F32, F16 or BF16`: WriteAs(new(bytes.Buffer), tenth, "float16"),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	if rounded, err := Round(large, BFloat16); err != nil || rounded["a"].Value().([]float32)[1] != 65536 {
		t.Errorf("got %v (%v), want 65536, the nearest bfloat16", rounded, err)
	}
}

// Integers may stand beside what is taken, and are skipped to the byte.
func TestSelect(t *testing.T) {
	header := `{"ids":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"w":{"dtype":"F32","shape":[1],"data_offsets":[16,20]}}`
	data := file(header, 16)
	data = binary.LittleEndian.AppendUint32(data, math.Float32bits(3))
	var asked []string
	weights, err := Select(bytes.NewReader(data), int64(len(data)), func(name, dtype string) (bool, error) {
		asked = append(asked, name+" "+dtype)
		return dtype == "F32", nil
	})
	if err != nil || len(weights) != 1 || weights["w"].Value().([]float32)[0] != 3 || strings.Join(asked, ", ") != "ids I64, w F32" {
		t.Errorf("got %v (%v) after being asked %q", weights, err, asked)
	}
	if _, err := read(data); err == nil || !strings.Contains(err.Error(), `tensor "ids": dtype is "I64", want one of [BF16 F16 F32]`) {
		t.Errorf("got %v, want an error about the dtype of ids", err)
	}
}
