package backbone

import (
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// pureGo is how GoMLX's pure-Go backend calls itself.
const pureGo = "go"

// convolve is a convolution of x [batch, height, width, in] with a kernel [rows, columns, in, out] and padding 'same';
// the result is [batch, ceil(height/stride), ceil(width/stride), out].
//
// The pure-Go backend convolves in scalar loops but multiplies matrices with vector instructions, so there a convolution
// is a product: 4 to 30 times as fast. XLA on a CPU is slow where there are few channels out, so there inference
// computes several rows at once: 1.2 to 2 times as fast (docs/experiments.md).
func convolve(p *layer.Pass, x, kernel *graph.Node, stride int) *graph.Node {
	backend := x.Graph().Backend()
	switch rows := rowsAtOnce(x, kernel); {
	case backend.String() == pureGo:
		return convolveByProduct(x, kernel, stride)
	case rows > 1 && stride == 1 && !p.Training() && onXLACPU(backend):
		return convolveRows(x, kernel, rows)
	}
	return graph.Convolve(x, kernel).PadSame().Strides(stride).Done()
}

// onXLACPU reports whether the backend is XLA with a plugin for CPUs.
func onXLACPU(backend compute.Backend) bool {
	xla, ok := backend.(interface{ PluginName() string })
	return ok && strings.Contains(filepath.Base(xla.PluginName()), "cpu")
}

// fullRegisters is a number of channels out with which XLA's convolution on CPUs is near its best.
const fullRegisters = 32

// rowsAtOnce is how many rows of the result convolveRows should compute at once; 1 is not worth while.
func rowsAtOnce(x, kernel *graph.Node) int {
	if kernel.Shape().Dim(0) < 3 {
		return 1
	}
	rows := fullRegisters / kernel.Shape().Dim(3)
	for rows > 1 && x.Shape().Dim(1)%rows != 0 {
		rows--
	}
	return max(rows, 1)
}

// convolveRows is a convolution of stride 1 that computes n neighbouring rows of the result as channels of one. Its
// kernel holds n copies of the given one, each a row below the one before, among zeros: [rows+n-1, columns, in, n*out].
// That is (rows+n-1)/rows as many multiplications, in a shape that keeps registers full.
func convolveRows(x, kernel *graph.Node, n int) *graph.Node {
	size, in := kernel.Shape().Dimensions, x.Shape().Dimensions
	var copies []*graph.Node
	for row := range n {
		copies = append(copies, padAxis(kernel, 0, row, n-1-row))
	}
	same := func(axis int) [2]int { return [2]int{(size[axis] - 1) / 2, size[axis] / 2} }
	y := graph.Convolve(x, graph.Concatenate(copies, 3)).PaddingPerDim([][2]int{same(0), same(1)}).StridePerAxis(n, 1).Done()
	y = graph.Reshape(y, in[0], in[1]/n, in[2], n, size[3])
	return graph.Reshape(graph.TransposeAllAxes(y, 0, 1, 3, 2, 4), in[0], in[1], in[2], size[3])
}

// convolveByProduct lays the pixels under each window side by side (im2col; Chellapilla et al. 2006) and multiplies them
// with the kernel as a matrix [rows * columns * in, out].
func convolveByProduct(x, kernel *graph.Node, stride int) *graph.Node {
	height, width := ceilDiv(x.Shape().Dim(1), stride), ceilDiv(x.Shape().Dim(2), stride)
	size := kernel.Shape().Dimensions // rows, columns, in, out
	x = padAxis(x, 1, (size[0]-1)/2, size[0]/2)
	x = padAxis(x, 2, (size[1]-1)/2, size[1]/2)
	every := func(start, count int) graph.SliceAxisSpec {
		return graph.AxisRange(start, start+(count-1)*stride+1).Stride(stride)
	}
	var shifted []*graph.Node // each [batch, height, width, in]
	for row := range size[0] {
		for column := range size[1] {
			shifted = append(shifted, graph.Slice(x, graph.AxisRange(), every(row, height), every(column, width)))
		}
	}
	patches := graph.Reshape(graph.Concatenate(shifted, 3), x.Shape().Dim(0)*height*width, size[0]*size[1]*size[2])
	y := graph.Dot(patches, graph.Reshape(kernel, size[0]*size[1]*size[2], size[3])).Product()
	return graph.Reshape(y, x.Shape().Dim(0), height, width, size[3])
}
