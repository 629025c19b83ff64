package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestAttentionEqualsFloat64(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		rng := rand.New(rand.NewPCG(15, 16))
		for _, size := range [][2]int{{1, 16}, {16, 32}, {64, 32}, {17, 16}, {77, 48}, {130, 64}} {
			for _, masked := range []int{0, size[0] / 3} {
				rows, width := size[0], size[1]
				row := 3*width + 8
				x := random(rng, rows*row)
				part := func(i int) Matrix { return Matrix{x[i*width:], row} }
				var mask []float32
				if masked > 0 {
					mask = make([]float32, rows)
					for j := range rows - masked {
						mask[(j+1)%rows] = 1
					}
				}
				result := Matrix{make([]float32, rows*width), width}
				in.attention(rows, width, result, part(0), part(1), part(2), mask)
				for i := range rows {
					scores, largest, sum := make([]float64, rows), math.Inf(-1), 0.0
					for j := range rows {
						for d := range width {
							scores[j] += float64(x[i*row+d]) * float64(x[j*row+width+d])
						}
						if mask != nil && mask[j] == 0 {
							scores[j] = math.Inf(-1)
						}
						largest = max(largest, scores[j])
					}
					for j := range rows {
						scores[j] = math.Exp(scores[j] - largest)
						sum += scores[j]
					}
					for d := range width {
						want := 0.0
						for j := range rows {
							want += scores[j] / sum * float64(x[j*row+2*width+d])
						}
						if got := float64(result.Values[i*width+d]); !(math.Abs(got-want) <= 2e-5) {
							t.Fatalf("%v, %d masked: [%d, %d] is %v, want %v", size, masked, i, d, got, want)
						}
					}
				}
			}
		}
	})
}

// More padding changes no bit of what stands before it.
func TestAttentionPadded(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		rng := rand.New(rand.NewPCG(17, 18))
		const rows, width, row = 64, 32, 96
		x := random(rng, rows*row)
		mask := make([]float32, rows)
		for i := range 11 {
			mask[i] = 1
		}
		part := func(i int) Matrix { return Matrix{x[i*width:], row} }
		short, long := make([]float32, rows*width), make([]float32, rows*width)
		in.attention(16, width, Matrix{short, width}, part(0), part(1), part(2), mask[:16])
		in.attention(64, width, Matrix{long, width}, part(0), part(1), part(2), mask)
		for i := range 11 * width {
			if short[i] != long[i] {
				t.Fatalf("value %d is %v padded to 16 and %v padded to 64", i, short[i], long[i])
			}
		}
	})
}
