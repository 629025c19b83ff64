package backbone

import (
	"github.com/gomlx/gomlx/core/graph"
)

// pureGo is how GoMLX's pure-Go backend calls itself.
const pureGo = "go"

// convolve is a convolution of x [batch, height, width, in] with a kernel [rows, columns, in, out] and padding 'same';
// the result is [batch, ceil(height/stride), ceil(width/stride), out].
//
// The pure-Go backend convolves in scalar loops but multiplies matrices with vector instructions, so there a convolution
// is a product: 4 to 30 times as fast (docs/experiments.md).
func convolve(x, kernel *graph.Node, stride int) *graph.Node {
	if x.Graph().Backend().String() == pureGo {
		return convolveByProduct(x, kernel, stride)
	}
	return graph.Convolve(x, kernel).PadSame().Strides(stride).Done()
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
