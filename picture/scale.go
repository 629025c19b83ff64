package picture

import (
	"image"
	"math"
)

// filter weighs the pixels around a place; it is 0 from support on.
type filter struct {
	support float64
	weight  func(distance float64) float64
}

// bilinear is a triangle.
var bilinear = filter{1, func(x float64) float64 { return max(0, 1-math.Abs(x)) }}

// bicubic is the cubic convolution of Keys (1981) with a = -1/2.
var bicubic = filter{2, func(x float64) float64 {
	switch x = math.Abs(x); {
	case x < 1:
		return 1 + x*x*(1.5*x-2.5)
	case x < 2:
		return 2 - x*(4-x*(2.5-0.5*x))
	}
	return 0
}}

// window is the pixels of an axis that make one of the result, with weights of pointBits bits after the point that sum to 1.
type window struct {
	first   int
	weights []int32
}

// pointBits leaves room for a sum of 8-bit levels, a sign and the overshoot of bicubic in 32 bits. As many as Pillow has,
// so that sums are rounded alike.
const pointBits = 22

// windows lists those of an axis scaled from one length to another. Where it shrinks, the filter widens.
func (f filter) windows(from, to int) []window {
	scale := float64(from) / float64(to)
	wide := max(scale, 1)
	all := make([]window, to)
	for i := range all {
		centre := (float64(i) + 0.5) * scale
		first := max(0, int(centre-f.support*wide+0.5))
		last := min(from, int(centre+f.support*wide+0.5))
		weights, sum := make([]float64, last-first), 0.0
		for j := range weights {
			weights[j] = f.weight((float64(first+j) + 0.5 - centre) / wide)
			sum += weights[j]
		}
		all[i] = window{first, make([]int32, len(weights))}
		for j, w := range weights {
			all[i].weights[j] = int32(math.Round(w / sum * (1 << pointBits)))
		}
	}
	return all
}

// columnsFirst is the order in which Pillow 13 scales: columns first where they lose more than twice as many pixels as the
// rows. What lies between is rounded to 8 bits, so that the other order, which older versions always take, gives levels that
// are off by one or two.
func columnsFirst(from image.Point, height, width int) bool {
	return height < from.Y && from.Y-height > 2*(from.X-width)
}

// scale brings a picture to another size.
func scale(p *image.RGBA, height, width int, f filter) *image.RGBA {
	if columnsFirst(p.Rect.Size(), height, width) {
		return f.rows(f.columns(p, height), width)
	}
	return f.columns(f.rows(p, width), height)
}

// rows brings the rows of a picture to another length.
func (f filter) rows(p *image.RGBA, width int) *image.RGBA {
	if width == p.Rect.Dx() {
		return p
	}
	scaled, windows := image.NewRGBA(image.Rect(0, 0, width, p.Rect.Dy())), f.windows(p.Rect.Dx(), width)
	for y := range p.Rect.Dy() {
		for x, w := range windows {
			w.mix(scaled.Pix[scaled.PixOffset(x, y):], p.Pix[p.PixOffset(w.first, y):], 4)
		}
	}
	return scaled
}

// columns brings the columns of a picture to another length.
func (f filter) columns(p *image.RGBA, height int) *image.RGBA {
	if height == p.Rect.Dy() {
		return p
	}
	scaled := image.NewRGBA(image.Rect(0, 0, p.Rect.Dx(), height))
	for y, w := range f.windows(p.Rect.Dy(), height) {
		for x := range p.Rect.Dx() {
			w.mix(scaled.Pix[scaled.PixOffset(x, y):], p.Pix[p.PixOffset(x, w.first):], p.Stride)
		}
	}
	return scaled
}

// mix sets the three channels of a pixel to the weighted sum of those that lie step bytes apart. Alpha is not read again.
func (w window) mix(to, from []byte, step int) {
	const half = 1 << (pointBits - 1)
	r, g, b := int32(half), int32(half), int32(half)
	for i, weight := range w.weights {
		pixel := from[i*step : i*step+3]
		r += weight * int32(pixel[0])
		g += weight * int32(pixel[1])
		b += weight * int32(pixel[2])
	}
	to[0], to[1], to[2] = level(r), level(g), level(b)
}

func level(sum int32) byte { return byte(min(max(sum>>pointBits, 0), 255)) }
