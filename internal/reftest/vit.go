package reftest

// ViT is a vision transformer in plain float64 loops, one sample and one value at a time: the reference for backbone.ViT.
// Its blocks are those of a pre-norm [Encoder] over places none of which is padding.
type ViT struct {
	Height, Width, Channels, Patch int
	Layers, Heads                  int
	Tanh, Mean                     bool // Mean: taps read the mean over patches, not the first place
	Epsilon                        float64
	Weights                        map[string][]float64
}

// Forward returns state k [1 + patches][dim] and tap k [dim] of one image [height, width, channels], for k = 0 … Layers.
func (v ViT) Forward(image []float64) (states [][][]float64, taps [][]float64) {
	e := Encoder{Layers: v.Layers, Heads: v.Heads, PadID: -1, PreNorm: true, Tanh: v.Tanh, CLS: !v.Mean, Epsilon: v.Epsilon, Weights: v.Weights}
	h := v.embed(image)
	places := make([]int, len(h)) // ids, none of them padding
	first := 0                    // place that taps read
	if v.Mean {
		first = 1
	}
	for k := 0; ; k++ {
		states = append(states, h)
		taps = append(taps, e.tap(k, h[first:], places[first:]))
		if k == v.Layers {
			return states, taps
		}
		h = e.block(k+1, h, places)
	}
}

// embed is the stem; the kernel is read as [row, column, channel, dim], as in a convolution.
func (v ViT) embed(image []float64) [][]float64 {
	class, position, bias := v.Weights["stem.class"], v.Weights["stem.position"], v.Weights["stem.patch.bias"]
	dim := len(class)
	h := [][]float64{class}
	for top := 0; top+v.Patch <= v.Height; top += v.Patch {
		for left := 0; left+v.Patch <= v.Width; left += v.Patch {
			place := append([]float64(nil), bias...)
			for i := range v.Patch * v.Patch * v.Channels {
				channel, column, row := i%v.Channels, i/v.Channels%v.Patch, i/v.Channels/v.Patch
				x := image[((top+row)*v.Width+left+column)*v.Channels+channel]
				x = (x - v.Weights["stem.mean"][channel]) / v.Weights["stem.std"][channel]
				for d := range place {
					place[d] += x * v.Weights["stem.patch.kernel"][i*dim+d]
				}
			}
			h = append(h, place)
		}
	}
	for i := range h {
		row := make([]float64, dim)
		for d := range row {
			row[d] = h[i][d] + position[i*dim+d]
		}
		h[i] = row
	}
	return h
}
