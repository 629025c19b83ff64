// Package picture turns encoded pictures, PNG or JPEG, into the values that a network reads.
//
// [Fit.Decode] decodes one, scales and crops it to the network's size, and gives its channels as values in [0, 1]. What
// else a network wants of its pixels, such as a mean of 0, is part of the network. A picture's size is read and bounded
// before it is decoded, so that a few bytes cannot ask for much memory.
//
// Scaling follows Pillow, with which most networks were trained: a filter widens where a picture shrinks, and levels have 8
// bits on the way. A PNG comes out as it does there, a JPEG within two levels, since decoders differ in the last bit. What is
// transparent is black, and the orientation that a camera notes in a JPEG is not followed.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	_ "image/jpeg" // the formats that are read
	_ "image/png"
	"slices"
)

// MaxPixels bounds a picture before it is decoded: 256 MiB as RGBA.
const MaxPixels = 1 << 26

// maxEdge bounds an edge of a picture, and maxSide one of what pictures are scaled to.
const (
	maxEdge = 1 << 16
	maxSide = 1 << 14
)

// Fit is how a picture of any size becomes one of the network's size: it is scaled, and what then reaches beyond is cut off,
// as much on either side. The zero value scales bilinearly to the network's size, whatever the proportions.
type Fit struct {
	// Size is [height, width] to scale to, whatever the proportions; nil for the network's size.
	Size []int `json:"size,omitempty"`
	// ShortestEdge scales to this length of the shorter edge instead, and keeps the proportions.
	ShortestEdge int `json:"shortest_edge,omitempty"`
	// Filter is "bicubic", or "" for bilinear.
	Filter string `json:"filter,omitempty"`
}

// Validate reports whether f makes pictures of the size [height, width, channels], with field, value and what was expected.
func (f Fit) Validate(dims []int) error {
	if err := CheckDims(dims); err != nil {
		return err
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("picture: "+format, args...)) }
	if f.Filter != "" && f.Filter != "bicubic" {
		fault(`filter is %q, want "bicubic", or none for bilinear`, f.Filter)
	}
	if n := len(f.Size); f.Size != nil && n != 2 {
		fault("size is %v, want [height, width]", f.Size)
	} else if n == 2 && (f.Size[0] < dims[0] || f.Size[1] < dims[1] || slices.Max(f.Size) > maxSide) {
		fault("size is %v, want %v of the network to %d", f.Size, dims[:2], maxSide)
	}
	if edge := f.ShortestEdge; edge != 0 && (edge < max(dims[0], dims[1]) || edge > maxSide) {
		fault("shortest_edge is %d, want %d, the longer edge of the network, to %d", edge, max(dims[0], dims[1]), maxSide)
	}
	if f.Size != nil && f.ShortestEdge != 0 {
		fault("size is %v and shortest_edge %d, want one of them", f.Size, f.ShortestEdge)
	}
	return errors.Join(faults...)
}

// IsZero reports whether f is the zero value, which is not written down.
func (f Fit) IsZero() bool { return f.Size == nil && f.ShortestEdge == 0 && f.Filter == "" }

// CheckDims reports samples of a shape that pictures cannot have.
func CheckDims(dims []int) error {
	if len(dims) != 3 || slices.Min(dims) < 1 || dims[2] != 1 && dims[2] != 3 || max(dims[0], dims[1]) > maxSide {
		return fmt.Errorf("picture: dims are %v, want [height, width, 1 or 3] of at most %d pixels a side", dims, maxSide)
	}
	return nil
}

// Dims is the size of an encoded picture as [height, width, channels]; grey ones have one channel, others three. It reads
// the header alone, and refuses a picture of more than [MaxPixels].
func Dims(content []byte) ([]int, error) {
	config, format, err := image.DecodeConfig(bytes.NewReader(content))
	if format != "png" && format != "jpeg" { // a program may have registered others
		return nil, errors.New("picture: neither PNG nor JPEG")
	}
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	if size := []int{config.Width, config.Height}; slices.Min(size) < 1 || slices.Max(size) > maxEdge || config.Width > MaxPixels/config.Height {
		return nil, fmt.Errorf("picture: %d x %d pixels, want at least 1, at most %d a side and %d in all", config.Width, config.Height, maxEdge, MaxPixels)
	}
	channels := 3
	if config.ColorModel == color.GrayModel || config.ColorModel == color.Gray16Model {
		channels = 1
	}
	return []int{config.Height, config.Width, channels}, nil
}

// Decode gives the values in [0, 1] of a picture of the network's size, dims: [height, width, 1 or 3], row-major. f must be
// valid for dims.
func (f Fit) Decode(content []byte, dims []int) ([]float32, error) {
	if err := f.Validate(dims); err != nil {
		return nil, err
	}
	if _, err := Dims(content); err != nil {
		return nil, err
	}
	decoded, _, err := image.Decode(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	scaled, err := f.scale(decoded, dims)
	if err != nil {
		return nil, err
	}
	return values(scaled, dims), nil
}

// scale flattens a picture and brings it to the size to scale to. What lies between the scaling of rows and of columns is
// bounded too.
func (f Fit) scale(decoded image.Image, dims []int) (*image.RGBA, error) {
	from := decoded.Bounds()
	height, width := f.target(from.Dy(), from.Dx(), dims)
	between := max(from.Dy(), height) // its height, or the larger of that of both ends
	if columnsFirst(from.Size(), height, width) {
		between = height
	}
	if max(from.Dx(), width) > MaxPixels/between {
		return nil, fmt.Errorf("picture: %d x %d pixels cannot be scaled to %d x %d: more than %d on the way", from.Dx(), from.Dy(), width, height, MaxPixels)
	}
	flat := image.NewRGBA(image.Rect(0, 0, from.Dx(), from.Dy()))
	draw.Draw(flat, flat.Rect, smooth(decoded), from.Min, draw.Over)
	if f.Filter == "bicubic" {
		return scale(flat, height, width, bicubic), nil
	}
	return scale(flat, height, width, bilinear), nil
}

// target is the height and width to scale to.
func (f Fit) target(height, width int, dims []int) (int, int) {
	switch edge := f.ShortestEdge; {
	case edge == 0 && f.Size == nil:
		return dims[0], dims[1]
	case edge == 0:
		return f.Size[0], f.Size[1]
	case height < width:
		return edge, edge * width / height
	default:
		return edge * height / width, edge
	}
}

// values reads the middle of a picture, as large as dims say. Grey is the luma of JPEG.
func values(p *image.RGBA, dims []int) []float32 {
	top, left := (p.Rect.Dy()-dims[0])/2, (p.Rect.Dx()-dims[1])/2
	all := make([]float32, 0, dims[0]*dims[1]*dims[2])
	for y := top; y < top+dims[0]; y++ {
		for x := left; x < left+dims[1]; x++ {
			at := p.PixOffset(x, y)
			rgb := p.Pix[at : at+3]
			if dims[2] == 1 {
				rgb = []byte{color.GrayModel.Convert(color.RGBA{rgb[0], rgb[1], rgb[2], 255}).(color.Gray).Y}
			}
			for _, v := range rgb {
				all = append(all, float32(v)/255)
			}
		}
	}
	return all
}
