package backbone

import (
	"github.com/layarun/layarun/internal/kernel"
	"github.com/layarun/layarun/layer"
)

// What the native kernels of several backbones have in common. A kernel that takes samples together lays their rows out
// one after the other, so that a product has many.

// rowsAtOnce is how many rows a core takes at a time where rows are worked on one by one.
const rowsAtOnce = 16

// eachRows shares rows out over the cores, some at a time.
func eachRows(split layer.Split, rows int, each func(row int)) {
	split((rows+rowsAtOnce-1)/rowsAtOnce, func(piece int) {
		for row := piece * rowsAtOnce; row < min((piece+1)*rowsAtOnce, rows); row++ {
			each(row)
		}
	})
}

// eachSample shares samples out over the cores; a lone one is left to divide its own work.
func eachSample(split layer.Split, n int, each func(i int, split layer.Split)) {
	if n == 1 {
		each(0, split)
		return
	}
	split(n, func(i int) { each(i, inTurn) })
}

// inTurn runs pieces one after the other.
func inTurn(pieces int, each func(int)) {
	for piece := range pieces {
		each(piece)
	}
}

// productRows is how many rows of a product a core computes at a time: few enough that cores end together, enough that what
// is read of a panel's weights is used often; a multiple of the largest tile.
const productRows = 56

// multiply shares a product out over the cores, panel by panel.
func multiply(split layer.Split, d *kernel.Dense, rows int, result, source, residual kernel.Matrix) {
	chunks := (rows + productRows - 1) / productRows
	split(d.Panels()*chunks, func(piece int) {
		panel, from := piece/chunks, piece%chunks*productRows
		n := min(productRows, rows-from)
		d.Run(panel, panel+1, n, result.Lines(from), source.Lines(from), residual.Lines(from), kernel.NoFloor)
	})
}

// standard is what standardise subtracts and divides by.
type standard struct{ mean, std []float32 }

func newStandard(weights map[string][]float32) standard {
	return standard{weights["mean"], weights["std"]}
}

// apply standardises numbers whose last axis is that of the statistics.
func (s standard) apply(to, from []float32) {
	for at := 0; at < len(to); at += len(s.mean) {
		for c, mean := range s.mean {
			to[at+c] = (from[at+c] - mean) / s.std[c]
		}
	}
}

// nativeNorm is a layer norm.
type nativeNorm struct {
	gain, bias []float32
	epsilon    float32
}

func newNativeNorm(weights map[string][]float32, name string, epsilon float64) nativeNorm {
	return nativeNorm{weights[name+".gain"], weights[name+".bias"], float32(epsilon)}
}

func (n nativeNorm) apply(to, from []float32) { kernel.LayerNorm(to, from, n.gain, n.bias, n.epsilon) }
