package kernel

import "fmt"

// Shape is a convolution whose padding is the same on all sides: a square window over an image [Height, Width, In] gives
// [ceil(Height/Stride), ceil(Width/Stride), Out].
type Shape struct {
	Height, Width, In, Out int
	Window, Stride         int
}

// Frame is how many pixels the window reaches over the left and the right edge of the image.
func (s Shape) Frame() int { return (s.Window - 1) / 2 }

func (s Shape) height() int { return (s.Height + s.Stride - 1) / s.Stride }
func (s Shape) width() int  { return (s.Width + s.Stride - 1) / s.Stride }

// Conv is a convolution with its bias, weights packed for the processor's instructions.
type Conv struct {
	shape   Shape
	width   int    // channels of a panel
	forms   []form // what covers a line of the result
	weights []float32
	bias    []float32
}

// NewConv packs a kernel [window, window, in, out], of an odd window, and a bias [out]. It returns nil where this processor has
// no instructions for it or out is no multiple of their width.
func NewConv(shape Shape, weights, bias []float32) *Conv {
	if best == nil {
		return nil
	}
	return best.conv(shape, weights, bias)
}

func (in *instructions) conv(shape Shape, weights, bias []float32) *Conv {
	vectors, forms := in.panel(shape.width(), shape.Out)
	if vectors == 0 {
		return nil
	}
	if shape.Window%2 == 0 || len(weights) != shape.Window*shape.Window*shape.In*shape.Out || len(bias) != shape.Out {
		panic(fmt.Sprintf("kernel: %d weights and %d biases are not those of a convolution %+v", len(weights), len(bias), shape))
	}
	width := vectors * in.lanes
	return &Conv{shape: shape, width: width, forms: forms, weights: pack(weights, shape.Out, width), bias: bias}
}

// pack brings a matrix [in, out] into panels of so many columns: [out/width, in, width].
func pack(weights []float32, out, width int) []float32 {
	packed := make([]float32, 0, len(weights))
	for from := 0; from < out; from += width {
		for row := 0; row < len(weights); row += out {
			packed = append(packed, weights[row+from:row+from+width]...)
		}
	}
	return packed
}

// Image is where an image lies: Row and Pixel are the distances from row to row and from pixel to pixel.
type Image struct {
	Values     []float32
	Row, Pixel int
}

// rowPieces is into how many pieces of rows a convolution of one panel is divided.
const rowPieces = 4

// Pieces is how many there are: the panels, since each core then needs a part of the weights only, or where there is one panel
// some rows each.
func (c *Conv) Pieces() int {
	if panels := c.shape.Out / c.width; panels > 1 {
		return panels
	}
	return min(c.shape.height(), rowPieces)
}

// Run computes one piece of result = max(floor, convolution + residual). source begins Frame pixels left of the image
// and reaches as far beyond its right edge; those pixels must be 0, and pixels lie side by side. A residual without values is 0.
func (c *Conv) Run(piece int, result, source, residual Image, floor float32) {
	rows := c.shape.height()
	if c.shape.Out > c.width {
		c.run(piece*c.width, 0, rows, result, source, residual, floor)
		return
	}
	pieces := c.Pieces()
	c.run(0, piece*rows/pieces, (piece+1)*rows/pieces, result, source, residual, floor)
}

// run computes rows from to to of the panel that begins with a channel.
func (c *Conv) run(channel, from, to int, result, source, residual Image, floor float32) {
	s := c.shape
	if channel >= s.Out || to > s.height() || s.Window > 1 && source.Pixel != s.In {
		panic(fmt.Sprintf("kernel: rows %d to %d of channel %d, pixels %d apart, are not those of a convolution %+v", from, to, channel, source.Pixel, s))
	}
	t := tile{
		resultStride: bytes(result.Pixel), sourceStride: bytes(s.Stride * source.Pixel),
		run: uintptr(s.Window * s.In), sourceRow: bytes(source.Row), floor: floor,
	}
	if residual.Values != nil {
		t.residualStride = bytes(residual.Pixel)
	}
	if channel+c.width < s.Out {
		t.ahead = bytes(s.Window * s.Window * s.In * c.width)
	}
	t.bias = &c.bias[channel]
	panel := c.weights[channel*s.Window*s.Window*s.In:]
	for y := from; y < to; y++ {
		top := y*s.Stride - s.Frame()
		first, last := max(top, 0), min(top+s.Window, s.Height)-1 // rows of the source under the window
		t.rows = uintptr(last - first + 1)
		t.weights = &panel[(first-top)*s.Window*s.In*c.width]
		x := 0
		for _, f := range c.forms {
			end := x + f.pixels - 1
			at := first*source.Row + x*s.Stride*source.Pixel
			_ = source.Values[at+(last-first)*source.Row+(f.pixels-1)*s.Stride*source.Pixel+s.Window*s.In-1]
			_ = result.Values[y*result.Row+end*result.Pixel+channel+c.width-1]
			t.source = &source.Values[at]
			t.result = &result.Values[y*result.Row+x*result.Pixel+channel]
			t.residual = &zeros[0]
			if residual.Values != nil {
				_ = residual.Values[y*residual.Row+end*residual.Pixel+channel+c.width-1]
				t.residual = &residual.Values[y*residual.Row+x*residual.Pixel+channel]
			}
			f.run(&t)
			x = end + 1
		}
	}
}

func bytes(values int) uintptr { return uintptr(4 * values) }
