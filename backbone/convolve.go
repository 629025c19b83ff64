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
// is a product: 4 to 30 times as fast. XLA on a CPU is slow to begin a convolution and quick to end it, so there inference
// makes products of small ones (docs/adr/0013).
func convolve(p *layer.Pass, x, kernel *graph.Node, stride int) *graph.Node {
	backend := x.Graph().Backend()
	switch {
	case backend.String() == pureGo:
		return convolveByProduct(x, kernel, stride)
	case p.Training() || !onXLACPU(backend) || !slowToBegin(x, kernel, stride):
		return graph.Convolve(x, kernel).PadSame().Strides(stride).Done()
	case stride == 1:
		return convolveByShifts(x, kernel)
	}
	return convolveByProduct(x, kernel, stride)
}

// onXLACPU reports whether the backend is XLA with a plugin for CPUs.
func onXLACPU(backend compute.Backend) bool {
	xla, ok := backend.(interface{ PluginName() string })
	return ok && strings.Contains(filepath.Base(xla.PluginName()), "cpu")
}

// slowToBegin reports whether a convolution has so few multiplications that on XLA's CPU plugin its preparation takes
// longer than it does as a product of matrices; measured on 1, 16, 32 and 64 channels (docs/adr/0013). Narrow products never
// get going.
func slowToBegin(x, kernel *graph.Node, stride int) bool {
	most := 0
	switch in := kernel.Shape().Dim(2); {
	case in >= 32:
		most = 6 << 20
	case in >= 16:
		most = 2 << 20
	}
	pixels := x.Shape().Size() / x.Shape().Dim(3) / (stride * stride)
	return pixels*kernel.Shape().Size() <= most
}

// convolveByShifts is a convolution of stride 1 as a product for each row of the kernel: the columns under the window
// side by side, [batch * height * width, columns * in], times that row, [columns * in, out], summed over the rows. It
// copies a third of what convolveByProduct does for a window of three.
func convolveByShifts(x, kernel *graph.Node) *graph.Node {
	in, size := x.Shape().Dimensions, kernel.Shape().Dimensions // batch, height, width, channels; rows, columns, in, out
	x = padAxis(x, 1, (size[0]-1)/2, size[0]/2)
	x = padAxis(x, 2, (size[1]-1)/2, size[1]/2)
	var shifted []*graph.Node
	for column := range size[1] {
		shifted = append(shifted, graph.Slice(x, graph.AxisRange(), graph.AxisRange(), graph.AxisRange(column, column+in[2])))
	}
	wide := graph.Concatenate(shifted, 3) // [batch, height + rows - 1, width, columns * in]
	var sum *graph.Node
	for row := range size[0] {
		under := graph.Slice(wide, graph.AxisRange(), graph.AxisRange(row, row+in[1]))
		y := graph.Dot(
			graph.Reshape(under, in[0]*in[1]*in[2], size[1]*size[2]),
			graph.Reshape(graph.Slice(kernel, graph.AxisRange(row, row+1)), size[1]*size[2], size[3]),
		).Product()
		if sum == nil {
			sum = y
			continue
		}
		sum = graph.Add(sum, y)
	}
	return graph.Reshape(sum, in[0], in[1], in[2], size[3])
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
