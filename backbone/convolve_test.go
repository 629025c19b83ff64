package backbone_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/internal/testbackend"
)

// The convolution as a product and its gradients are those of GoMLX's convolution, which has loops of its own.
func TestConvolveByProduct(t *testing.T) {
	const tolerance = 1e-4 // float32 sums of up to 2·9·6 terms of order 1, in another order
	draw := normal(rand.New(rand.NewPCG(1, 2)))
	// The weighted sum makes every output's share of the gradients its own.
	withGradients := func(y, weights *graph.Node, in []*graph.Node) []*graph.Node {
		return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, weights)), in[:2]...)...)
	}
	for _, window := range []int{1, 3} {
		for _, stride := range []int{1, 2} {
			for _, size := range [][2]int{{9, 6}, {8, 5}, {1, 1}} {
				t.Run(fmt.Sprintf("window %d, stride %d, size %v", window, stride, size), func(t *testing.T) {
					in := []any{draw(2, size[0], size[1], 3), draw(window, window, 3, 5), draw(2, (size[0]+stride-1)/stride, (size[1]+stride-1)/stride, 5)}
					call := func(f func(x, kernel *graph.Node) *graph.Node) []*tensors.Tensor {
						out, err := graph.CallOnceN(testbackend.Go(t), func(in []*graph.Node) []*graph.Node {
							return withGradients(f(in[0], in[1]), in[2], in)
						}, in...)
						if err != nil {
							t.Fatal(err)
						}
						return out
					}
					got := call(func(x, kernel *graph.Node) *graph.Node { return backbone.ConvolveByProduct(x, kernel, stride) })
					want := call(func(x, kernel *graph.Node) *graph.Node {
						return graph.Convolve(x, kernel).PadSame().Strides(stride).Done()
					})
					for i, name := range []string{"result", "gradient of x", "gradient of kernel"} {
						g, w := tensors.MustCopyFlatData[float32](got[i]), tensors.MustCopyFlatData[float32](want[i])
						for j := range w {
							if math.Abs(float64(g[j]-w[j])) > tolerance {
								t.Fatalf("%s, value %d: %v, want %v", name, j, g[j], w[j])
							}
						}
					}
				})
			}
		}
	}
}

// normal draws tensors from a normal distribution.
func normal(rng *rand.Rand) func(dims ...int) *tensors.Tensor {
	return func(dims ...int) *tensors.Tensor {
		n := 1
		for _, d := range dims {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(rng.NormFloat64())
		}
		return tensors.FromFlatDataAndDimensions(values, dims...)
	}
}

// The convolution as a product for each row is GoMLX's convolution, on every backend there is.
func TestConvolveByShifts(t *testing.T) {
	const tolerance = 1e-4 // as above
	draw := normal(rand.New(rand.NewPCG(3, 4)))
	for _, backend := range testbackend.All(t) {
		for _, c := range []struct{ rows, columns, height, width int }{{3, 3, 8, 5}, {3, 5, 1, 6}, {5, 3, 6, 1}, {2, 4, 7, 7}, {3, 3, 1, 1}} {
			x, kernel := draw(2, c.height, c.width, 3), draw(c.rows, c.columns, 3, 4)
			out, err := graph.CallOnceN(backend.Backend, func(in []*graph.Node) []*graph.Node {
				return []*graph.Node{backbone.ConvolveByShifts(in[0], in[1]), graph.Convolve(in[0], in[1]).PadSame().Done()}
			}, x, kernel)
			if err != nil {
				t.Fatal(err)
			}
			got, want := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
			for i := range want {
				if math.Abs(float64(got[i]-want[i])) > tolerance {
					t.Fatalf("%s, %+v, value %d: %v, want %v", backend.Name, c, i, got[i], want[i])
				}
			}
		}
	}
}
