package backbone

import (
	"sync"

	"github.com/layarun/layarun/internal/kernel"
	"github.com/layarun/layarun/layer"
)

// nativeConv packs one convolution of the folded form; nil where there are no instructions for it.
func nativeConv(weights map[string][]float32, name string, shape kernel.Shape) *kernel.Conv {
	return kernel.NewConv(shape, weights[name+".kernel"], weights[name+".bias"])
}

// nativeStem is the stem on the processor.
type nativeStem struct {
	standard
	conv          *kernel.Conv
	input, output place
	scratch       sync.Pool // of *frame: the standardised sample
}

func (r *ResNet) nativeStem(weights map[string][]float32) layer.Kernel {
	s := &nativeStem{standard: newStandard(weights), output: r.places()[0],
		input: place{height: r.Inputs[0], width: r.Inputs[1], channels: r.Inputs[2]}}
	s.conv = nativeConv(weights, "conv", s.input.shape(s.output, 3, r.StemStride))
	if s.conv == nil {
		return nil
	}
	s.scratch.New = func() any { return s.input.frame() }
	return s
}

// Run implements [layer.Kernel].
func (s *nativeStem) Run(split layer.Split, out, in []layer.Parts) {
	eachSample(split, len(in), func(i int, split layer.Split) {
		standard := s.scratch.Get().(*frame)
		defer s.scratch.Put(standard)
		for y := range s.input.height {
			s.apply(standard.row(y), in[i][0][y*standard.width:])
		}
		convolved(split, s.conv, s.output.image(out[i][0]), standard.image, kernel.Image{}, 0)
	})
}

// nativeBlock is a basic block on the processor.
type nativeBlock struct {
	conv1, conv2 *kernel.Conv
	project      *kernel.Conv // shortcut B where the shape changes, else nil
	from, to     place
	stride       int
	scratch      sync.Pool // of *blockScratch
}

// blockScratch is what a block computes on the way. Margins and new channels of shortcut A stay 0.
type blockScratch struct {
	source, middle *frame
	shortcut       []float32 // where the shape changes, else nil
}

func newNativeBlock(weights map[string][]float32, from, to place, stride int, projected bool) layer.Kernel {
	b := &nativeBlock{from: from, to: to, stride: stride,
		conv1: nativeConv(weights, "conv1", from.shape(to, 3, stride)), conv2: nativeConv(weights, "conv2", to.shape(to, 3, 1))}
	if projected {
		b.project = nativeConv(weights, "shortcut", from.shape(to, 1, stride))
	}
	if b.conv1 == nil || b.conv2 == nil || projected && b.project == nil {
		return nil
	}
	b.scratch.New = func() any {
		s := &blockScratch{source: from.frame(), middle: to.frame()}
		if from.channels != to.channels || stride > 1 {
			s.shortcut = make([]float32, to.height*to.width*to.channels)
		}
		return s
	}
	return b
}

// Run implements [layer.Kernel].
func (b *nativeBlock) Run(split layer.Split, out, in []layer.Parts) {
	eachSample(split, len(in), func(i int, split layer.Split) {
		s := b.scratch.Get().(*blockScratch)
		defer b.scratch.Put(s)
		source := b.from.image(in[i][0])
		for y := range b.from.height {
			copy(s.source.row(y), source.Values[y*source.Row:])
		}
		convolved(split, b.conv1, s.middle.inside(), s.source.image, kernel.Image{}, 0)
		residual := source
		if s.shortcut != nil {
			residual = b.to.image(s.shortcut)
			b.shortcut(split, residual, source)
		}
		convolved(split, b.conv2, b.to.image(out[i][0]), s.middle.image, residual, 0)
	})
}

// shortcut computes the way around a block that changes the shape.
func (b *nativeBlock) shortcut(split layer.Split, result, source kernel.Image) {
	if b.project != nil {
		convolved(split, b.project, result, source, kernel.Image{}, kernel.NoFloor)
		return
	}
	before := (b.to.channels - b.from.channels) / 2
	for y := range b.to.height {
		for x := range b.to.width {
			pixel := source.Values[y*b.stride*source.Row+x*b.stride*source.Pixel:][:b.from.channels]
			copy(result.Values[y*result.Row+x*result.Pixel+before:], pixel)
		}
	}
}

// nativeTap is a tap on the processor.
type nativeTap struct {
	at            place
	rows, columns windows
	mix           float32
}

func newNativeTap(weights map[string][]float32, at place) layer.Kernel {
	if !kernel.Fills(at.channels) {
		return nil
	}
	return &nativeTap{at, poolWindows(at.height), poolWindows(at.width), weights["mix"][0]}
}

// Run implements [layer.Kernel].
func (t *nativeTap) Run(split layer.Split, out, in []layer.Parts) {
	eachSample(split, len(in), func(i int, _ layer.Split) {
		state, result := t.at.image(in[i][0]), out[i][0]
		for row := range t.rows.count {
			for column := range t.columns.count {
				first := row*t.rows.size*state.Row + column*t.columns.size*state.Pixel
				window := kernel.Image{Values: state.Values[first:], Row: state.Row, Pixel: state.Pixel}
				kernel.Pool(result, window, t.rows.pixels(row, t.at.height), t.columns.pixels(column, t.at.width), t.at.channels, t.mix, 1-t.mix)
				result = result[t.at.channels:]
			}
		}
	})
}

// convolved shares the pieces of a convolution out over the cores.
func convolved(split layer.Split, c *kernel.Conv, result, source, residual kernel.Image, floor float32) {
	split(c.Pieces(), func(piece int) { c.Run(piece, result, source, residual, floor) })
}

// shape is the convolution from this place to another.
func (at place) shape(to place, window, stride int) kernel.Shape {
	return kernel.Shape{Height: at.height, Width: at.width, In: at.channels, Out: to.channels, Window: window, Stride: stride}
}

// image is a state at this place.
func (at place) image(values []float32) kernel.Image {
	return kernel.Image{Values: values, Row: at.width * at.channels, Pixel: at.channels}
}

// frame is an image with a pixel of 0 at both ends of every row, so that a window of three may reach over them.
type frame struct {
	image kernel.Image
	width int // numbers of a row without the ends
}

func (at place) frame() *frame {
	row := (at.width + 2) * at.channels
	return &frame{kernel.Image{Values: make([]float32, at.height*row), Row: row, Pixel: at.channels}, at.width * at.channels}
}

// row is row y without its ends.
func (f *frame) row(y int) []float32 {
	return f.image.Values[y*f.image.Row+f.image.Pixel:][:f.width]
}

// inside is the image without the ends of its rows.
func (f *frame) inside() kernel.Image {
	return kernel.Image{Values: f.image.Values[f.image.Pixel:], Row: f.image.Row, Pixel: f.image.Pixel}
}
