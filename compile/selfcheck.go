package compile

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/internal/kernel"
)

// Check is one computation on a backend, compared with plain float64 loops and timed.
type Check struct {
	Name     string  `json:"name"`
	OK       bool    `json:"ok"`
	Error    string  `json:"error,omitempty"`
	MaxError float64 `json:"max_error"` // largest |got - want| / bound over the outputs; at most 1 is right
	MedianMS float64 `json:"median_ms"` // of a call: upload, compute, download
	FirstMS  float64 `json:"first_ms"`  // the first call, which compiles
	GFLOPS   float64 `json:"gflops"`    // at the median
}

// float32Bound is the unit of the rounding error: a sum of n float32 products differs from the exact one by at most
// n·2⁻²⁴·Σ|a·b| to first order, in whatever order it is summed (Higham, Accuracy and Stability of Numerical
// Algorithms, §3.1). In simulation TF32 exceeds it 6 and 40 times on the two checks, bfloat16 46 and 302 times.
const float32Bound = 1.0 / (1 << 24)

// selfCheckCalls is how many calls are timed after the first.
const selfCheckCalls = 9

type selfCheck struct {
	name   string
	x, w   []int // shapes
	terms  int   // products in one output
	graph  func(x, w *graph.Node) *graph.Node
	native func(w []float32) func(x []float32) []float32 // the same on native kernels, w packed
	loop   func(x, w []float32, visit func(a, b float64), next func())
}

// The sizes keep the pure-Go backend without SIMD, and the loops, to some tens of milliseconds.
var selfChecks = []selfCheck{
	{
		name: "product 128×256 @ 256×128", x: []int{128, 256}, w: []int{256, 128}, terms: 256,
		graph: func(x, w *graph.Node) *graph.Node { return graph.MatMul(x, w) },
		native: func(w []float32) func([]float32) []float32 {
			d, y := kernel.NewDense(w, nil, 256, 128), kernel.Matrix{Values: make([]float32, 128*128), Row: 128}
			return func(x []float32) []float32 {
				d.Run(0, d.Panels(), 128, y, kernel.Matrix{Values: x, Row: 256}, kernel.Matrix{}, kernel.NoFloor)
				return y.Values
			}
		},
		loop: func(x, w []float32, visit func(a, b float64), next func()) {
			for i := range 128 {
				for j := range 128 {
					for k := range 256 {
						visit(float64(x[i*256+k]), float64(w[k*128+j]))
					}
					next()
				}
			}
		},
	},
	{
		name: "convolution 3×3 of 4×16×16×8 to 16 channels", x: []int{4, 16, 16, 8}, w: []int{3, 3, 8, 16}, terms: 72,
		graph: func(x, w *graph.Node) *graph.Node { return graph.Convolve(x, w).PadSame().Done() },
		native: func(w []float32) func([]float32) []float32 {
			c := kernel.NewConv(kernel.Shape{Height: 16, Width: 16, In: 8, Out: 16, Window: 3, Stride: 1}, w, make([]float32, 16))
			y, framed := make([]float32, 4*16*16*16), make([]float32, 16*18*8)
			return func(x []float32) []float32 {
				for image := range 4 {
					for row := range 16 {
						copy(framed[(row*18+1)*8:], x[(image*16+row)*16*8:][:16*8])
					}
					for piece := range c.Pieces() {
						c.Run(piece, kernel.Image{Values: y[image*16*16*16:], Row: 16 * 16, Pixel: 16}, kernel.Image{Values: framed, Row: 18 * 8, Pixel: 8},
							kernel.Image{}, kernel.NoFloor)
					}
				}
				return y
			}
		},
		loop: convolutionLoop,
	},
}

// convolutionLoop walks a batch of 4 images of 16×16×8, channels last, with a zero border.
func convolutionLoop(x, w []float32, visit func(a, b float64), next func()) {
	for at := range 4 * 16 * 16 * 16 { // image, row, column, output channel
		n, row, col, out := at/(16*16*16), at/(16*16)%16, at/16%16, at%16
		for tap := range 3 * 3 * 8 {
			i, j, in := row+tap/24-1, col+tap/8%3-1, tap%8
			if i < 0 || i > 15 || j < 0 || j > 15 {
				continue
			}
			visit(float64(x[((n*16+i)*16+j)*8+in]), float64(w[tap*16+out]))
		}
		next()
	}
}

// on runs the check; a fault is in the result.
func (s selfCheck) on(backend compute.Backend) Check {
	c := Check{Name: s.name}
	if err := guard(func() error { return s.run(backend, &c) }); err != nil {
		c.OK, c.Error = false, err.Error()
	}
	return c
}

func (s selfCheck) run(backend compute.Backend, c *Check) error {
	exec, err := graph.NewExec(backend, s.graph)
	if err != nil {
		return err
	}
	defer exec.Finalize()
	return s.timed(c, func(x, w []float32) ([]float32, error) {
		out, err := exec.Call(tensors.FromFlatDataAndDimensions(x, s.x...), tensors.FromFlatDataAndDimensions(w, s.w...))
		if err != nil {
			return nil, err
		}
		defer out[0].MustFinalizeAll()
		return tensors.CopyFlatData[float32](out[0])
	})
}

// onNative runs the check on native kernels.
func (s selfCheck) onNative() Check {
	c := Check{Name: s.name}
	err := guard(func() error {
		check := s.native(numbers(s.w, wSeed))
		return s.timed(&c, func(x, _ []float32) ([]float32, error) { return check(x), nil })
	})
	if err != nil {
		c.OK, c.Error = false, err.Error()
	}
	return c
}

func (s selfCheck) timed(c *Check, call func(x, w []float32) ([]float32, error)) error {
	x, w := numbers(s.x, 1), numbers(s.w, wSeed)
	var got []float32
	var times []float64
	for range 1 + selfCheckCalls {
		start := time.Now()
		var err error
		if got, err = call(x, w); err != nil {
			return err
		}
		times = append(times, time.Since(start).Seconds()*1e3)
	}
	c.FirstMS, times = times[0], times[1:]
	slices.Sort(times)
	c.MedianMS = times[len(times)/2]
	return s.compare(c, x, w, got)
}

// compare sets OK, MaxError and GFLOPS.
func (s selfCheck) compare(c *Check, x, w, got []float32) error {
	at, products := 0, 0
	var sum, size float64
	s.loop(x, w, func(a, b float64) {
		sum, size, products = sum+a*b, size+math.Abs(a*b), products+1
	}, func() {
		if at < len(got) {
			if e := math.Abs(float64(got[at])-sum) / (float64(s.terms) * float32Bound * size); !(e <= c.MaxError) { // NaN too
				c.MaxError = e
			}
		}
		at, sum, size = at+1, 0, 0
	})
	c.GFLOPS = 2 * float64(products) / c.MedianMS / 1e6
	if at != len(got) {
		return fmt.Errorf("%d outputs, want %d", len(got), at)
	}
	if math.IsNaN(c.MaxError) || math.IsInf(c.MaxError, 0) { // JSON has no such number
		c.MaxError = 0
		return fmt.Errorf("an output is not finite")
	}
	if c.OK = c.MaxError <= 1; !c.OK {
		return fmt.Errorf("differs from the exact result by %.3g times the float32 rounding bound", c.MaxError)
	}
	return nil
}

// wSeed draws the second factor.
const wSeed = 2

// numbers fills a shape with a fixed sequence in [-1, 1) that does not repeat at the shapes' strides.
func numbers(dims []int, seed uint32) []float32 {
	size := 1
	for _, d := range dims {
		size *= d
	}
	values := make([]float32, size)
	state := seed
	for i := range values {
		state = state*1664525 + 1013904223 // Numerical Recipes' linear congruential generator
		values[i] = float32(int32(state)) / (1 << 31)
	}
	return values
}
