package kernel

import (
	"math"
	"sync"
)

//go:generate go run gen.go

// tile is what one call of the inner loop computes; all strides are in bytes. The assembly reads it by these names.
type tile struct {
	result, source, weights, bias, residual    *float32
	resultStride, sourceStride, residualStride uintptr // from pixel to pixel
	rows                                       uintptr // of the window, at least 1
	run                                        uintptr // numbers under the window in a row, at least 1
	sourceRow                                  uintptr // from row to row of the source
	ahead                                      uintptr // from the weights to those that come next
	floor                                      float32
}

// form is a tile of some size in some set of instructions.
type form struct {
	vectors, pixels int
	number          int // see gen.go
}

// cost is about how many cycles the form takes for each number under the window: multiplications and loads go two at a
// time, and one sum takes a number every four cycles.
func (f form) cost() float64 {
	loads := f.pixels + f.vectors
	return max(float64(max(f.vectors*f.pixels, loads))/2, 4)
}

// instructions are the forms of a set of vector instructions, with lanes numbers in a vector.
type instructions struct {
	name  string
	lanes int
	forms []form

	lines [2][mostRows + 1][]form // the cover of a line, by vectors - 1 and pixels, once it was asked for
	once  sync.Once
}

// mostRows is how many rows a product takes at a time: four of the largest tiles, whose numbers stay in the cache.
const mostRows = 56

// line is the cover of a line of at most mostRows pixels.
func (in *instructions) line(pixels, vectors int) []form {
	in.once.Do(func() {
		for v := range in.lines {
			for n := range in.lines[v] {
				in.lines[v][n], _ = in.cover(n, v+1)
			}
		}
	})
	return in.lines[vectors-1][pixels]
}

// NoFloor is the floor of sums that may be negative.
var NoFloor = float32(math.Inf(-1))

// zeros stand in for a residual where there is none: as many as the widest form reads for one pixel.
var zeros [32]float32

// cover divides a line of pixels into forms of so many vectors, at the least cost.
func (in *instructions) cover(pixels, vectors int) (forms []form, cost float64) {
	best := make([]float64, pixels+1)
	last := make([]form, pixels+1)
	for n := 1; n <= pixels; n++ {
		best[n] = math.Inf(1)
		for _, f := range in.forms {
			if f.vectors != vectors || f.pixels > n {
				continue
			}
			const call = 0.2 // what a call adds, for each number under a window of some hundred
			if c := best[n-f.pixels] + f.cost() + call; c < best[n] {
				best[n], last[n] = c, f
			}
		}
	}
	for n := pixels; n > 0; n -= last[n].pixels {
		forms = append(forms, last[n])
	}
	return forms, best[pixels]
}

// panel is how many vectors of channels are computed together, and the forms that cover a line of pixels: what takes least
// time for all channels. There is none where the channels are no multiple of a vector.
func (in *instructions) panel(pixels, channels int) (vectors int, forms []form) {
	least := math.Inf(1)
	for v := 1; v <= 2; v++ {
		if channels%(v*in.lanes) != 0 {
			continue
		}
		f, cost := in.cover(pixels, v)
		if cost *= float64(channels / (v * in.lanes)); cost < least {
			least, vectors, forms = cost, v, f
		}
	}
	return vectors, forms
}
