package train

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/internal/token"
)

// paddedLength is the length that a text batch is padded to, at most the network's maximum: 8, 16, 24, 32, 48, 64, 96, …,
// so that a run compiles a handful of shapes and pads by a third at most beyond 16.
func paddedLength(longest, most int) int {
	length := 8
	for step := 8; length < longest; length += step {
		if length >= 4*step {
			step *= 2
		}
	}
	return min(length, most)
}

// samples is one split, ready for the network: rows of values, or token ids.
type samples struct {
	set    *dataset.Set
	tokens [][]int32 // for text
	pad    int32
	max    int      // length
	taps   *tapFile // what the head reads of them, where the backbone is frozen
}

// newSamples prepares a split; texts are encoded once, with at most maxLength ids each.
func newSamples(set *dataset.Set, tokens *token.Tokenizer, maxLength int) *samples {
	s := &samples{set: set, max: maxLength}
	if set.IsText() {
		s.pad = tokens.PadID()
		for _, text := range set.Texts {
			s.tokens = append(s.tokens, tokens.Encode(text, maxLength))
		}
	}
	return s
}

// batch is the input and the labels [n] (int32) of some samples. Who made it frees it.
type batch struct{ x, y *tensors.Tensor }

// free gives the memory back, on the device too, for which the garbage collector would not hurry.
func (b batch) free() {
	b.x.MustFinalizeAll()
	b.y.MustFinalizeAll()
}

// batch puts the samples at indices together.
func (s *samples) batch(indices []int) (batch, error) {
	labels := make([]int32, len(indices))
	for row, i := range indices {
		labels[row] = int32(s.set.Labels[i])
	}
	y := tensors.FromFlatDataAndDimensions(labels, len(indices))
	if s.taps != nil {
		values, err := s.taps.values(indices)
		if err != nil {
			return batch{}, err
		}
		return batch{tensors.FromFlatDataAndDimensions(values, len(indices), s.taps.width), y}, nil
	}
	if s.set.IsText() {
		return batch{s.ids(indices), y}, nil
	}
	size := s.set.Size()
	values := make([]float32, 0, len(indices)*size)
	for _, i := range indices {
		values = append(values, s.set.Row(i)...)
	}
	return batch{tensors.FromFlatDataAndDimensions(values, append([]int{len(indices)}, s.set.Dims...)...), y}, nil
}

// byLength lists all samples, texts from the shortest to the longest.
func (s *samples) byLength() []int {
	order := make([]int, s.set.Len())
	for i := range order {
		order[i] = i
	}
	if s.set.IsText() {
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(s.tokens[a]), len(s.tokens[b])) })
	}
	return order
}

// length is what the texts at indices are padded to; 0 for images and tables.
func (s *samples) length(indices []int) int {
	if !s.set.IsText() {
		return 0
	}
	longest := 1
	for _, i := range indices {
		longest = max(longest, len(s.tokens[i]))
	}
	return paddedLength(longest, s.max)
}

// window is how many batches' worth of texts are sorted by length together.
const window = 64

// batches cuts order into batches of size; samples that do not fill the last one are left out. Texts of about the same
// length share a batch, so that little is padded: within every window of the order they are sorted by length, and the
// batches are shuffled by rng.
func (s *samples) batches(order []int, size int, rng *rand.Rand) [][]int {
	order = slices.Clone(order[:len(order)/size*size])
	if s.set.IsText() {
		for part := range slices.Chunk(order, window*size) {
			slices.SortStableFunc(part, func(a, b int) int { return cmp.Compare(len(s.tokens[a]), len(s.tokens[b])) })
		}
	}
	all := slices.Collect(slices.Chunk(order, size))
	if s.set.IsText() {
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	return all
}

// ids pads the texts at indices to the shortest allowed length that holds them. [n, length]
func (s *samples) ids(indices []int) *tensors.Tensor {
	length := s.length(indices)
	flat := make([]int32, len(indices)*length)
	for row, i := range indices {
		ids := flat[row*length : (row+1)*length]
		for j := range ids {
			ids[j] = s.pad
		}
		copy(ids, s.tokens[i])
	}
	return tensors.FromFlatDataAndDimensions(flat, len(indices), length)
}

// augment returns the batch with every image shifted by up to c.Shift pixels in both directions, zeros entering, and
// mirrored with probability 1/2 if c.Flip. It works on rows of [height, width, channels] in place.
func (c Config) augment(b batch, dims []int, rng *rand.Rand) error {
	if len(dims) != 3 || c.Shift == 0 && !c.Flip {
		return nil
	}
	size := dims[0] * dims[1] * dims[2]
	image := make([]float32, size)
	return tensors.MutableFlatData(b.x, func(flat []float32) {
		for start := 0; start < len(flat); start += size {
			row := flat[start : start+size]
			copy(image, row)
			down, right := 0, 0
			if c.Shift > 0 {
				down, right = rng.IntN(2*c.Shift+1)-c.Shift, rng.IntN(2*c.Shift+1)-c.Shift
			}
			transform(row, image, dims, down, right, c.Flip && rng.IntN(2) == 1)
		}
	})
}

// transform writes image, moved down and right and possibly mirrored, to row.
func transform(row, image []float32, dims []int, down, right int, mirror bool) {
	height, width, channels := dims[0], dims[1], dims[2]
	for y := range height {
		for x := range width {
			to := row[(y*width+x)*channels:][:channels]
			fromX := x - right
			if mirror {
				fromX = width - 1 - fromX
			}
			fromY := y - down
			if fromY < 0 || fromY >= height || fromX < 0 || fromX >= width {
				clear(to)
				continue
			}
			copy(to, image[(fromY*width+fromX)*channels:])
		}
	}
}
