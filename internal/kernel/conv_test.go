package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// every runs a test with each set of instructions that this processor has.
func every(t *testing.T, test func(*testing.T, *instructions)) {
	sets := known()
	if len(sets) == 0 {
		t.Log("this processor has no instructions known here")
	}
	for _, in := range sets {
		t.Run(in.name, func(t *testing.T) { test(t, in) })
	}
}

func random(rng *rand.Rand, n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	return values
}

// reference is the convolution in float64, [height, width, out], and what rounding may change.
func reference(s Shape, x, weights, bias, residual []float32, floor float64) (want, bound []float64) {
	for y := range s.height() {
		for x0 := range s.width() {
			for o := range s.Out {
				sum := float64(bias[o])
				size, terms := math.Abs(sum), 2
				for dy := range s.Window {
					for dx := range s.Window {
						row, column := y*s.Stride+dy-s.Frame(), x0*s.Stride+dx-s.Frame()
						if row < 0 || row >= s.Height || column < 0 || column >= s.Width {
							continue
						}
						for i := range s.In {
							term := float64(x[(row*s.Width+column)*s.In+i]) * float64(weights[((dy*s.Window+dx)*s.In+i)*s.Out+o])
							sum += term
							size += math.Abs(term)
							terms++
						}
					}
				}
				if residual != nil {
					sum += float64(residual[len(want)])
					size += math.Abs(float64(residual[len(want)]))
				}
				want = append(want, max(sum, floor))
				bound = append(bound, float64(terms)*size/(1<<24))
			}
		}
	}
	return want, bound
}

// framed puts an image into one with frame pixels of 0 at both ends of a row.
func framed(x []float32, s Shape) Image {
	row := (s.Width + 2*s.Frame()) * s.In
	values := make([]float32, s.Height*row)
	for y := range s.Height {
		copy(values[y*row+s.Frame()*s.In:], x[y*s.Width*s.In:(y+1)*s.Width*s.In])
	}
	return Image{values, row, s.In}
}

var shapes = []Shape{
	{28, 28, 1, 16, 3, 1}, {28, 28, 16, 16, 3, 1}, {28, 28, 16, 32, 3, 2}, {14, 14, 32, 32, 3, 1}, {7, 7, 64, 64, 3, 1},
	{32, 32, 3, 32, 3, 1}, {5, 9, 6, 48, 3, 2}, {1, 1, 4, 16, 3, 1}, {3, 2, 5, 80, 3, 2}, {13, 11, 7, 16, 1, 2}, {9, 31, 8, 32, 1, 1}, {6, 6, 2, 16, 5, 1},
}

func TestConvEqualsFloat64(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, s := range shapes {
			for _, add := range []bool{false, true} {
				for _, floor := range []float32{0, NoFloor} {
					x, weights, bias := random(rng, s.Height*s.Width*s.In), random(rng, s.Window*s.Window*s.In*s.Out), random(rng, s.Out)
					c := in.conv(s, weights, bias)
					if c == nil {
						t.Fatalf("%+v: no convolution", s)
					}
					size := s.height() * s.width() * s.Out
					result := Image{make([]float32, size), s.width() * s.Out, s.Out}
					var residual Image
					if add {
						residual = Image{random(rng, size), result.Row, result.Pixel}
					}
					for piece := range c.Pieces() {
						c.Run(piece, result, framed(x, s), residual, floor)
					}
					want, bound := reference(s, x, weights, bias, residual.Values, float64(floor))
					for i, w := range want {
						if !(math.Abs(float64(result.Values[i])-w) <= bound[i]) {
							t.Fatalf("%+v, residual %t, floor %v: value %d is %v, want %v within %v", s, add, floor, i, result.Values[i], w, bound[i])
						}
					}
				}
			}
		}
	})
}

// Sums are added up in one order whatever the tile, so all sets of instructions give the same bits.
func TestInstructionsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, s := range shapes {
		x, weights, bias := random(rng, s.Height*s.Width*s.In), random(rng, s.Window*s.Window*s.In*s.Out), random(rng, s.Out)
		var first []float32
		for _, in := range known() {
			result := Image{make([]float32, s.height()*s.width()*s.Out), s.width() * s.Out, s.Out}
			c := in.conv(s, weights, bias)
			for piece := range c.Pieces() {
				c.Run(piece, result, framed(x, s), Image{}, NoFloor)
			}
			if first == nil {
				first = result.Values
			}
			if !slices.Equal(first, result.Values) {
				t.Errorf("%+v: %s differs", s, in.name)
			}
		}
	}
}

func TestNaNPassesTheFloor(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		s := Shape{4, 4, 2, 16, 3, 1}
		x := make([]float32, 32)
		x[0] = float32(math.NaN())
		result := Image{make([]float32, 256), 64, 16}
		c := in.conv(s, make([]float32, 9*2*16), make([]float32, 16))
		for piece := range c.Pieces() {
			c.Run(piece, result, framed(x, s), Image{}, 0)
		}
		if got := result.Values[0]; got == got {
			t.Errorf("a convolution of NaN gives %v, want NaN", got)
		}
		if got := result.Values[255]; got != 0 {
			t.Errorf("far from the NaN is %v, want 0", got)
		}
	})
}

func TestChannelsThatFillNoVector(t *testing.T) {
	every(t, func(t *testing.T, in *instructions) {
		if c := in.conv(Shape{4, 4, 2, 12, 3, 1}, make([]float32, 9*2*12), make([]float32, 12)); c != nil {
			t.Error("there is a convolution to 12 channels, want none")
		}
	})
}

func BenchmarkConv(b *testing.B) {
	for _, in := range known() {
		for _, s := range []Shape{{28, 28, 16, 16, 3, 1}, {14, 14, 32, 32, 3, 1}, {7, 7, 64, 64, 3, 1}, {32, 32, 32, 32, 3, 1}, {28, 28, 16, 32, 3, 2}} {
			for threads := 1; threads <= 2; threads++ {
				b.Run(fmt.Sprintf("%s/%dx%dx%d/%d", in.name, s.Height, s.In, s.Out, threads), func(b *testing.B) {
					rng := rand.New(rand.NewPCG(5, 6))
					x, weights, bias := random(rng, s.Height*s.Width*s.In), random(rng, s.Window*s.Window*s.In*s.Out), random(rng, s.Out)
					var group sync.WaitGroup
					for range threads {
						group.Go(func() {
							c, source := in.conv(s, weights, bias), framed(x, s)
							result := Image{make([]float32, s.height()*s.width()*s.Out), s.width() * s.Out, s.Out}
							for range b.N {
								for piece := range c.Pieces() {
									c.Run(piece, result, source, Image{}, 0)
								}
							}
						})
					}
					group.Wait()
					macs := float64(threads*s.height()*s.width()*s.Window*s.Window*s.In*s.Out) * float64(b.N)
					b.ReportMetric(macs/b.Elapsed().Seconds()/1e9, "GMAC/s")
				})
			}
		}
	}
}
