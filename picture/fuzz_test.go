package picture_test

import (
	"math"
	"testing"

	"github.com/layarun/layarun/picture"
)

// FuzzDecode asks for an error or as many values in [0, 1] as the network reads, and no panic.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"small.png", "palette.png", "photo.jpg", "grey.png"} {
		f.Add(content(f, name))
		f.Add(content(f, name)[:200])
	}
	f.Add(sized(f, 60000, 60000))
	f.Fuzz(func(t *testing.T, data []byte) {
		if size, err := picture.Dims(data); err == nil && size[0]*size[1] > 1<<20 {
			t.Skip("large pictures take long")
		}
		for name, fit := range fits {
			values, err := fit.Decode(data, dims)
			if err == nil && len(values) != 16*24*3 {
				t.Errorf("%s: %d values, want %d", name, len(values), 16*24*3)
			}
			for i, v := range values {
				if !(v >= 0 && v <= 1) || math.IsNaN(float64(v)) {
					t.Fatalf("%s: value %d is %v, want it in [0, 1]", name, i, v)
				}
			}
		}
	})
}
