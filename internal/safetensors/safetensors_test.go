package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"pgregory.net/rapid"

	"github.com/layarun/layarun/layer"
)

// file makes a safetensors file out of a header's text and n bytes of data.
func file(header string, n int) []byte {
	data := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(data, header...), make([]byte, n)...)
}

func read(data []byte) (layer.Weights, error) {
	return Read(bytes.NewReader(data), int64(len(data)))
}

// sameWeights compares bit by bit, so that NaN and -0 count too.
func sameWeights(a, b layer.Weights) bool {
	if len(a) != len(b) {
		return false
	}
	for name, t := range a {
		u, ok := b[name]
		if !ok || !t.Shape().Equal(u.Shape()) {
			return false
		}
		x, y := tensors.MustCopyFlatData[float32](t), tensors.MustCopyFlatData[float32](u)
		for i := range x {
			if math.Float32bits(x[i]) != math.Float32bits(y[i]) {
				return false
			}
		}
	}
	return true
}

func drawWeights(t *rapid.T) layer.Weights {
	weights := layer.Weights{}
	for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z<"é][a-z0-9.]{0,8}`), 0, 5, rapid.ID).Draw(t, "names") {
		dims := rapid.SliceOfN(rapid.IntRange(1, 4), 0, 4).Draw(t, "dims")
		n := 1
		for _, d := range dims {
			n *= d
		}
		bits := rapid.SliceOfN(rapid.Uint32(), n, n).Draw(t, "bits")
		values := make([]float32, n)
		for i, b := range bits {
			values[i] = math.Float32frombits(b)
		}
		weights[name] = tensors.FromFlatDataAndDimensions(values, dims...)
	}
	return weights
}

func TestWeightsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := drawWeights(t)
		var first, second bytes.Buffer
		if err := Write(&first, weights); err != nil {
			t.Fatal(err)
		}
		got, err := read(first.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if !sameWeights(weights, got) {
			t.Fatalf("wrote %v, read %v", weights, got)
		}
		if err := Write(&second, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatal("the same weights gave different bytes")
		}
	})
}

// A tensor longer than the buffers of reader and writer crosses their borders: 2^14 values each.
func TestWeightsLargerThanBuffer(t *testing.T) {
	values := make([]float32, 3<<14+5)
	for i := range values {
		values[i] = float32(i)
	}
	weights := layer.Weights{"w": tensors.FromFlatDataAndDimensions(values, len(values))}
	var buf bytes.Buffer
	if err := Write(&buf, weights); err != nil {
		t.Fatal(err)
	}
	got, err := read(buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !sameWeights(weights, got) {
		t.Error("values changed on the way")
	}
}

// The bytes are those of the Python library: safetensors.numpy.save({"b": float32 [1.5], "a": float32 [[1, 2]]}),
// version 0.8.0.
func TestWeightsMatchPython(t *testing.T) {
	header := `{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`
	want := file(header+strings.Repeat(" ", -len(header)&7), 0)
	for _, v := range []float32{1, 2, 1.5} {
		want = binary.LittleEndian.AppendUint32(want, math.Float32bits(v))
	}
	var buf bytes.Buffer
	err := Write(&buf, layer.Weights{
		"b": tensors.FromFlatDataAndDimensions([]float32{1.5}, 1),
		"a": tensors.FromFlatDataAndDimensions([]float32{1, 2}, 1, 2),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf.Bytes(), want) {
		t.Errorf("got %q, want %q", buf.Bytes(), want)
	}
}

func TestWeightsRefused(t *testing.T) {
	one := `"dtype":"F32","shape":[1]`
	cases := map[string]struct {
		data []byte
		want string
	}{
		"empty":             {nil, "unexpected EOF"},
		"no header":         {file("", 0)[:7], "unexpected EOF"},
		"huge header":       {binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "header is said to have 18446744073709551615 bytes"},
		"header too long":   {file(`{}`, 0)[:9], "want at most"},
		"not json":          {file(`{"a"`, 0), "unexpected EOF"},
		"trailing text":     {file(`{}{}`, 0), "text after the end"},
		"data missing":      {file(`{"a":{`+one+`,"data_offsets":[0,4]}}`, 3), "does not fit in 3 bytes"},
		"data left over":    {file(`{"a":{`+one+`,"data_offsets":[0,4]}}`, 5), "cover 4 bytes of data, want 5"},
		"hole":              {file(`{"a":{`+one+`,"data_offsets":[0,4]},"b":{`+one+`,"data_offsets":[5,9]}}`, 9), "data_offsets are [5 9], want [4 8]"},
		"overlap":           {file(`{"a":{`+one+`,"data_offsets":[0,4]},"b":{`+one+`,"data_offsets":[0,4]}}`, 8), "data_offsets are [0 4], want [4 8]"},
		"negative offset":   {file(`{"a":{`+one+`,"data_offsets":[-4,0]}}`, 4), "want [0 4]"},
		"shape and size":    {file(`{"a":{`+one+`,"data_offsets":[0,8]}}`, 8), "data_offsets are [0 8], want [0 4]"},
		"overflowing shape": {file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}}`, 4), "does not fit"},
		"zero dimension":    {file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`, 0), "does not fit"},
		"no shape":          {file(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4), "want a list and two numbers"},
		"three offsets":     {file(`{"a":{`+one+`,"data_offsets":[0,4,8]}}`, 4), "want a list and two numbers"},
		"rank":              {file(`{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}`, 4), "9 axes"},
		"double precision":  {file(`{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, 8), `dtype is "F64", want one of [BF16 F16 F32]`},
		"unknown type":      {file(`{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,4]}}`, 4), `dtype is "F4", want one of`},
		"half of a half":    {file(`{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, 3), "does not fit in 3 bytes"},
		"duplicate name":    {file(`{"a":{`+one+`,"data_offsets":[0,4]},"\u0061":{`+one+`,"data_offsets":[0,4]}}`, 4), `key "a" is repeated`},
		"duplicate field":   {file(`{"a":{`+one+`,"shape":[1],"data_offsets":[0,4]}}`, 4), `key "shape" is repeated`},
		"unknown field":     {file(`{"a":{`+one+`,"data_offsets":[0,4],"x":1}}`, 4), `unknown field "x"`},
		"metadata":          {file(`{"__metadata__":{"a":1}}`, 0), "__metadata__"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			weights, err := read(c.data)
			if err == nil {
				t.Fatalf("read %v, want an error with %q", weights, c.want)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %q, want it to contain %q", err, c.want)
			}
		})
	}
}

// Tensors may stand in the header in any order, and a file may carry metadata, as those of other writers do.
func TestWeightsFromOtherWriters(t *testing.T) {
	weights, err := read(file(`{"__metadata__":{"format":"pt"},"z":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}  `, 12))
	if err != nil {
		t.Fatal(err)
	}
	if len(weights) != 2 || weights["z"].Rank() != 0 || weights["a"].Size() != 2 {
		t.Errorf("read %v", weights)
	}
}

// FuzzReadWeights asks for no panic, for memory in proportion to the input (a JSON token of one byte costs tens of bytes
// decoded), and that what is read is written back alike.
func FuzzReadWeights(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Add(file(`{"__metadata__":{"a":"b"}}`, 0))
	f.Add(binary.LittleEndian.AppendUint64(nil, 1<<40))
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		weights, err := read(data)
		runtime.ReadMemStats(&after)
		if used, bound := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+1000*len(data)); used > bound {
			t.Fatalf("%d bytes allocated for %d bytes of input, want at most %d", used, len(data), bound)
		}
		if err != nil {
			return
		}
		var buf bytes.Buffer
		if err := Write(&buf, weights); err != nil {
			t.Fatal(err)
		}
		again, err := read(buf.Bytes())
		if err != nil || !sameWeights(weights, again) {
			t.Fatalf("read %v, then %v (%v)", weights, again, err)
		}
	})
}
