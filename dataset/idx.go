package dataset

import (
	"encoding/binary"
	"fmt"
)

// maxValues bounds the numbers of one set: 4 GiB of float32.
const maxValues = 1 << 30

// parseIDX reads an IDX file of bytes with the given number of dimensions: two zeros, the type 8, that number, the
// dimensions as big-endian uint32, the bytes.
func parseIDX(path string, data []byte, rank int) (dims []int, body []byte, err error) {
	start := 4 + 4*rank
	if len(data) < start {
		return nil, nil, fmt.Errorf("dataset: %s: %d bytes are no IDX file of %d dimensions", path, len(data), rank)
	}
	if magic, want := binary.BigEndian.Uint32(data), uint32(0x800+rank); magic != want {
		return nil, nil, fmt.Errorf("dataset: %s: begins with %#08x, want %#08x (bytes in %d dimensions)", path, magic, want, rank)
	}
	count := 1
	for d := range rank {
		dim := int(binary.BigEndian.Uint32(data[4+4*d:]))
		if dim < 1 || dim > maxValues/count {
			return nil, nil, fmt.Errorf("dataset: %s: dimension %d is %d, want 1 to %d", path, d, dim, maxValues/count)
		}
		dims = append(dims, dim)
		count *= dim
	}
	if body = data[start:]; len(body) != count {
		return nil, nil, fmt.Errorf("dataset: %s: dimensions %v need %d bytes, but %d follow", path, dims, count, len(body))
	}
	return dims, body, nil
}

// idxSet joins images and labels; labels start at first.
func idxSet(name, imagePath string, images []byte, labelPath string, labels []byte, classes []string, first int) (*Set, error) {
	dims, pixels, err := parseIDX(imagePath, images, 3)
	if err != nil {
		return nil, err
	}
	count, numbers, err := parseIDX(labelPath, labels, 1)
	if err != nil {
		return nil, err
	}
	if count[0] != dims[0] {
		return nil, fmt.Errorf("dataset: %s: %d labels for %d images", labelPath, count[0], dims[0])
	}
	s := &Set{Name: name, Dims: []int{dims[1], dims[2], 1}, Classes: classes, Values: unit(pixels)}
	for i, number := range numbers {
		label := int(number) - first
		if label < 0 || label >= len(classes) {
			return nil, fmt.Errorf("dataset: %s: label %d is %d, want %d to %d", labelPath, i, number, first, first+len(classes)-1)
		}
		s.Labels = append(s.Labels, label)
	}
	return s, nil
}

// unit maps bytes to [0, 1].
func unit(pixels []byte) []float32 {
	values := make([]float32, len(pixels))
	for i, p := range pixels {
		values[i] = float32(p) / 255
	}
	return values
}

func (s *source) idxPair(images int, classes []string, first int) (*Set, error) {
	pixels, err := s.open(images)
	if err != nil {
		return nil, err
	}
	labels, err := s.open(images + 1)
	if err != nil {
		return nil, err
	}
	return idxSet(s.known.Name, s.path(images), pixels, s.path(images+1), labels, classes, first)
}

// readIDXPairs reads four files: training images and labels, test images and labels.
func readIDXPairs(s *source, classes []string) (*parts, error) {
	train, err := s.idxPair(0, classes, 0)
	if err != nil {
		return nil, err
	}
	test, err := s.idxPair(2, classes, 0)
	return &parts{pool: train, test: test}, err
}

func readFashion(s *source) (*parts, error) { return readIDXPairs(s, fashionNames) }

func readFashionPaper(s *source) (*parts, error) {
	p, err := readIDXPairs(s, fashionNames)
	if err != nil {
		return nil, err
	}
	n := p.pool.Len()
	p.exact = true
	p.validation, p.calibration = p.pool.Subset(indices(n-6000, n)), p.pool.Subset(nil)
	p.pool = p.pool.Subset(indices(0, n-6000))
	return p, nil
}

func indices(from, to int) []int {
	var all []int
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

// readLetters swaps x and y: EMNIST stores its images transposed.
func readLetters(s *source) (*parts, error) {
	set, err := s.idxPair(0, letterNames, 1)
	if err != nil {
		return nil, err
	}
	for i := range set.Len() {
		transpose(set.Row(i), set.Dims[0])
	}
	return &parts{pool: set}, nil
}

// transpose swaps x and y of a square image in place.
func transpose(image []float32, side int) {
	for y := range side {
		for x := range y {
			a, b := y*side+x, x*side+y
			image[a], image[b] = image[b], image[a]
		}
	}
}
