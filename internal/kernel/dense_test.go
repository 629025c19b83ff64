package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestDenseEqualsFloat64(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		rng := rand.New(rand.NewPCG(11, 12))
		for _, size := range [][3]int{{1, 5, 10}, {1, 384, 150}, {16, 384, 384}, {64, 32, 96}, {37, 7, 3}, {15, 64, 48}} {
			rows, width, out := size[0], size[1], size[2]
			x, weights, bias := random(rng, rows*width), random(rng, width*out), random(rng, out)
			d := in.dense(weights, bias, width, out)
			residual := Matrix{random(rng, rows*d.Width()), d.Width()}
			result := Matrix{make([]float32, rows*d.Width()), d.Width()}
			d.Run(0, d.Panels(), rows, result, Matrix{x, width}, residual, NoFloor)
			for i := range rows {
				for o := range out {
					sum := float64(bias[o]) + float64(residual.Values[i*residual.Row+o])
					size := math.Abs(sum)
					for k := range width {
						term := float64(x[i*width+k]) * float64(weights[k*out+o])
						sum += term
						size += math.Abs(term)
					}
					got, bound := float64(result.Values[i*result.Row+o]), float64(width+2)*(size+1)/(1<<24)
					if !(math.Abs(got-sum) <= bound) {
						t.Fatalf("%v: [%d, %d] is %v, want %v within %v", size, i, o, got, sum, bound)
					}
				}
			}
		}
	})
}

// A row's result does not depend on the rows beside it.
func TestDenseRowsAlone(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		rng := rand.New(rand.NewPCG(13, 14))
		const rows, width, out = 31, 40, 48
		x := random(rng, rows*width)
		d := in.dense(random(rng, width*out), nil, width, out)
		all := Matrix{make([]float32, rows*out), out}
		d.Run(0, d.Panels(), rows, all, Matrix{x, width}, Matrix{}, 0)
		for i := range rows {
			one := Matrix{make([]float32, out), out}
			d.Run(0, d.Panels(), 1, one, Matrix{x[i*width:], width}, Matrix{}, 0)
			for o, v := range one.Values {
				if v != all.Values[i*out+o] {
					t.Fatalf("[%d, %d] is %v alone and %v among others", i, o, v, all.Values[i*out+o])
				}
			}
		}
	})
}

func BenchmarkDense(b *testing.B) {
	for _, in := range known() {
		for _, size := range [][3]int{{1, 384, 384}, {16, 384, 384}, {64, 384, 1536}, {64, 1536, 384}, {512, 384, 384}} {
			b.Run(fmt.Sprintf("%s/%v", in.name, size), func(b *testing.B) {
				rows, width, out := size[0], size[1], size[2]
				rng := rand.New(rand.NewPCG(5, 6))
				d := in.dense(random(rng, width*out), random(rng, out), width, out)
				x, result := Matrix{random(rng, rows*width), width}, Matrix{make([]float32, rows*out), out}
				for b.Loop() {
					d.Run(0, d.Panels(), rows, result, x, Matrix{}, NoFloor)
				}
				b.ReportMetric(float64(rows*width*out)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
			})
		}
	}
}
