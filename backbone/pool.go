package backbone

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// poolSide is the most rows and columns that the tap of a convnet keeps.
const poolSide = 4

// Tap implements [Backbone]: mix * average + (1 - mix) * max over windows that leave at most 4×4, flattened to
// [batch, TapDim(k)].
func (r *ResNet) Tap(k int) layer.Op {
	return layer.Op{
		Name:      TapName(k),
		Signature: fmt.Sprintf("resnet tap %d", poolSide),
		Params:    []layer.Param{{Name: "mix", Init: layer.Constant(0.5)}},
		MACs:      layer.NoMACs,
		Apply: func(p *layer.Pass, state []*graph.Node) []*graph.Node {
			average, largest := pool(state[0])
			mix := p.Param("mix")
			y := graph.Add(graph.Mul(average, mix), graph.Mul(largest, graph.OneMinus(mix)))
			return []*graph.Node{graph.Reshape(y, y.Shape().Dim(0), r.TapDim(k))}
		},
		Native: r.native(func(weights map[string][]float32) layer.Kernel { return newNativeTap(weights, r.places()[k]) }),
	}
}

// TapDim implements [Backbone].
func (r *ResNet) TapDim(k int) int {
	at := r.places()[k]
	rows, columns := poolWindows(at.height), poolWindows(at.width)
	return rows.count * columns.count * at.channels
}

// windows divides an axis into count windows of equal size; the last may reach over the edge.
type windows struct{ size, count int }

func poolWindows(length int) windows {
	size := ceilDiv(length, poolSide)
	return windows{size, ceilDiv(length, size)}
}

// pool returns the average and the maximum over windows of x [batch, height, width, channels], which is not negative:
// the zeros that fill windows reaching over the edge then change no maximum, and averages divide by the pixels there
// are. Reshaping to windows and reducing is much faster on XLA CPU than its windowed reduction.
func pool(x *graph.Node) (average, largest *graph.Node) {
	height, width := x.Shape().Dim(1), x.Shape().Dim(2)
	rows, columns := poolWindows(height), poolWindows(width)
	x = padAxis(x, 1, 0, rows.size*rows.count-height)
	x = padAxis(x, 2, 0, columns.size*columns.count-width)
	x = graph.Reshape(x, x.Shape().Dim(0), rows.count, rows.size, columns.count, columns.size, x.Shape().Dim(3))
	largest = graph.ReduceMax(x, 2, 4)
	average = graph.ReduceSum(x, 2, 4)
	pixels := make([][][]float32, rows.count) // [rows, columns, 1]
	for i := range pixels {
		pixels[i] = make([][]float32, columns.count)
		for j := range pixels[i] {
			n := rows.pixels(i, height) * columns.pixels(j, width)
			pixels[i][j] = []float32{float32(1 / float64(n))}
		}
	}
	return graph.Mul(average, graph.ExpandLeftToRank(graph.Const(x.Graph(), pixels), 4)), largest
}

// pixels is how much of window i lies within the axis.
func (w windows) pixels(i, length int) int {
	return min(w.size, length-i*w.size)
}

// padAxis adds zeros at the start and the end of an axis.
func padAxis(x *graph.Node, axis, start, end int) *graph.Node {
	if start == 0 && end == 0 {
		return x
	}
	config := make([]compute.PadAxis, x.Rank())
	config[axis] = compute.PadAxis{Start: start, End: end}
	return graph.Pad(x, graph.ScalarZero(x.Graph(), x.DType()), config...)
}
