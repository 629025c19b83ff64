package kernel

import (
	"fmt"
	"math"
)

// constants are those of the loops over rows, in the order of gen.go.
//
//lint:ignore U1000 the assembly reads them
var constants = [...]float32{
	0.5, 1, math.Sqrt2 / 2, 4, -4,
	-87, math.Log2E, 3 << 22, -0.693359375, 2.12194440e-4, 1e36,
	1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
	-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02,
	-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02,
}

// norm is what one call of the normalising loop computes. The assembly reads it by these names.
type norm struct {
	result, source, gain, bias *float32
	vectors                    uintptr
	share                      float32 // 1 / numbers in the row
	centre                     float32 // the same, or 0 where the mean is not taken off
	epsilon                    float32
}

// Instructions names the vector instructions that are used, "" where there are none.
func Instructions() string {
	if best == nil {
		return ""
	}
	return best.name
}

// Available reports whether this processor has instructions that are known here.
func Available() bool { return best != nil }

// Fills reports whether rows of these widths are whole vectors of this processor's instructions, as the functions below take
// them; false where it has none that are known here.
func Fills(widths ...int) bool {
	for _, w := range widths {
		if !Available() || w < 1 || w%best.lanes != 0 {
			return false
		}
	}
	return Available()
}

// GELU replaces every x by x/2 (1 + erf(x / sqrt 2)).
func GELU(x []float32) { best.gelu(&x[0], best.vectors(x)) }

// LayerNorm sets result to (x - mean) / sqrt(variance + epsilon) * gain + bias. result may be x.
func LayerNorm(result, x, gain, bias []float32, epsilon float32) {
	best.normalised(result, x, gain, bias, epsilon, 1)
}

// RMSNorm sets result to x / sqrt(mean of squares + epsilon) * gain + bias. result may be x.
func RMSNorm(result, x, gain, bias []float32, epsilon float32) {
	best.normalised(result, x, gain, bias, epsilon, 0)
}

func (in *instructions) normalised(result, x, gain, bias []float32, epsilon, centre float32) {
	_, _, _ = result[len(x)-1], gain[len(x)-1], bias[len(x)-1]
	share := 1 / float32(len(x))
	in.normalise(&norm{
		result: &result[0], source: &x[0], gain: &gain[0], bias: &bias[0],
		vectors: uintptr(in.vectors(x)), share: share, centre: centre * share, epsilon: epsilon,
	})
}

// vectors is how many a row is; the loops would not end at a part of one.
func (in *instructions) vectors(x []float32) int {
	if len(x) == 0 || len(x)%in.lanes != 0 {
		panic(fmt.Sprintf("kernel: a row has %d numbers, want a multiple of %d", len(x), in.lanes))
	}
	return len(x) / in.lanes
}
