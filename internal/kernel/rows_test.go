package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// near reports how a value differs from what it should be by more than a few units in the last place of scale.
func near(t *testing.T, what string, got float32, want, scale float64) {
	t.Helper()
	if !(math.Abs(float64(got)-want) <= 4*scale/(1<<23)) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestGELU(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		x := make([]float32, 4096)
		for i := range x {
			x[i] = float32(i-2048) / 128 // -16 to 16
		}
		y := append([]float32(nil), x...)
		in.gelu(&y[0], len(y)/in.lanes)
		for i, v := range x {
			v := float64(v)
			near(t, "gelu", y[i], v/2*(1+math.Erf(v/math.Sqrt2)), math.Abs(v))
		}
	})
}

func TestSoftmax(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		rng := rand.New(rand.NewPCG(7, 8))
		for _, n := range []int{16, 64, 512} {
			for _, spread := range []float64{0.1, 3, 200} {
				x := random(rng, n)
				for i := range x {
					x[i] *= float32(spread)
				}
				x[3] = -1e9 // a padding key
				y := append([]float32(nil), x...)
				in.softmax(&y[0], n/in.lanes)
				largest, sum := math.Inf(-1), 0.0
				for _, v := range x {
					largest = max(largest, float64(v))
				}
				for _, v := range x {
					sum += math.Exp(float64(v) - largest)
				}
				for i, v := range x {
					want := math.Exp(float64(v)-largest) / sum
					near(t, "softmax", y[i], want, max(want*max(1, spread), 1e-30))
				}
				if y[3] > 1e-30 {
					t.Errorf("a padding key weighs %v, want 0", y[3])
				}
			}
		}
	})
}

func TestNormalise(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		rng := rand.New(rand.NewPCG(9, 10))
		for _, n := range []int{16, 384} {
			x, gain, bias := random(rng, n), random(rng, n), random(rng, n)
			for _, centre := range []float32{0, 1} {
				y := make([]float32, n)
				in.normalised(y, x, gain, bias, 1e-5, centre)
				mean, variance := 0.0, 0.0
				for _, v := range x {
					mean += float64(v) / float64(n) * float64(centre)
				}
				for _, v := range x {
					variance += (float64(v) - mean) * (float64(v) - mean) / float64(n)
				}
				for i, v := range x {
					want := (float64(v)-mean)/math.Sqrt(variance+1e-5)*float64(gain[i]) + float64(bias[i])
					near(t, "normalised", y[i], want, 8)
				}
			}
		}
	})
}

// Where a mean, a sum or a maximum is taken over a NaN the whole row is NaN; GELU keeps to its number.
func TestRowsKeepNaN(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		ones := make([]float32, 16)
		for i := range ones {
			ones[i] = 1
		}
		for name, f := range map[string]func([]float32){
			"gelu":      func(y []float32) { in.gelu(&y[0], in.vectors(y)) },
			"softmax":   func(y []float32) { in.softmax(&y[0], in.vectors(y)) },
			"normalise": func(y []float32) { in.normalised(y, y, ones, ones, 1, 1) },
		} {
			for at := range 16 {
				y := make([]float32, 16)
				y[at] = math.Float32frombits(0x7FC00001) // with a payload
				f(y)
				for i, v := range y {
					if lost := v == v; lost && (name != "gelu" || i == at) {
						t.Errorf("%s with NaN at %d: number %d is %v, want NaN", name, at, i, v)
					}
				}
			}
		}
	})
}

func TestRowsOfPartsOfVectors(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		for _, n := range []int{0, 4, 20} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("a row of %d numbers is taken, want a panic", n)
					}
				}()
				in.vectors(make([]float32, n))
			}()
		}
	})
}

func TestPool(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		rng := rand.New(rand.NewPCG(19, 20))
		const rows, pixels, channels, row = 3, 5, 32, 7 * 32
		x := random(rng, rows*row)
		for i := range x {
			x[i] = max(x[i], 0)
		}
		x[row+2*channels+9] = float32(math.NaN())
		got := make([]float32, channels)
		in.poolWindow(got, Image{x, row, channels}, rows, pixels, channels, 0.3, 0.7)
		for c, v := range got {
			sum, largest := 0.0, 0.0
			for y := range rows {
				for p := range pixels {
					sum, largest = sum+float64(x[y*row+p*channels+c]), max(largest, float64(x[y*row+p*channels+c]))
				}
			}
			if c == 9 {
				if v == v {
					t.Errorf("pooled NaN is %v", v)
				}
				continue
			}
			near(t, "pooled", v, 0.3*sum/(rows*pixels)+0.7*largest, 4)
		}
	})
}
