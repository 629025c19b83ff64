package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
)

// Unknown is the label of a sample without one.
const Unknown = -1

// Set is labelled samples of one kind, in memory. Samples are either rows of Values or Texts, never both.
type Set struct {
	// Name is for people: it is in no digest.
	Name string
	// Dims are those of one sample: [features] or [height, width, channels]; nil for text.
	Dims []int
	// Values are [n, dims...] in row-major order, images in [0, 1]; nil for text.
	Values []float32
	// Texts are the samples of a text set; nil otherwise.
	Texts []string
	// Labels are class indices, [Unknown] where a sample has none.
	Labels []int
	// Classes are the names of the labels.
	Classes []string
	// Groups, if not nil, marks samples that must not straddle a split (frames of one track): equal numbers stay together.
	Groups []int
}

// Len is the number of samples.
func (s *Set) Len() int { return len(s.Labels) }

// IsText reports whether the samples are texts.
func (s *Set) IsText() bool { return s.Dims == nil }

// Size is the number of values of one sample; 0 for text.
func (s *Set) Size() int {
	if s.IsText() {
		return 0
	}
	return product(s.Dims)
}

// Row is sample i, a view of Values of [Set.Size] numbers; nil for text.
func (s *Set) Row(i int) []float32 {
	size := s.Size()
	if size == 0 {
		return nil
	}
	return s.Values[i*size : (i+1)*size : (i+1)*size]
}

// Subset copies the samples at the given indices, in that order. The classes are shared.
func (s *Set) Subset(indices []int) *Set {
	sub := &Set{Name: s.Name, Dims: slices.Clone(s.Dims), Classes: s.Classes, Labels: make([]int, 0, len(indices))}
	if s.IsText() {
		sub.Texts = make([]string, 0, len(indices))
	} else {
		sub.Values = make([]float32, 0, len(indices)*s.Size())
	}
	for _, i := range indices {
		sub.Labels = append(sub.Labels, s.Labels[i])
		if s.IsText() {
			sub.Texts = append(sub.Texts, s.Texts[i])
		} else {
			sub.Values = append(sub.Values, s.Row(i)...)
		}
		if s.Groups != nil {
			sub.Groups = append(sub.Groups, s.Groups[i])
		}
	}
	return sub
}

// Validate reports the first faults: sizes that do not fit together, numbers that are not finite, labels out of range,
// classes that are empty or named twice.
func (s *Set) Validate() error {
	n := s.Len()
	if s.Groups != nil && len(s.Groups) != n {
		return fmt.Errorf("dataset: %s: %d groups for %d labels", s.Name, len(s.Groups), n)
	}
	return errors.Join(s.checkSamples(n), s.checkLabels())
}

func (s *Set) checkSamples(n int) error {
	if s.IsText() {
		if len(s.Texts) != n || s.Values != nil {
			return fmt.Errorf("dataset: %s: a text set has %d texts and %d values for %d labels", s.Name, len(s.Texts), len(s.Values), n)
		}
		return nil
	}
	if len(s.Dims) != 1 && len(s.Dims) != 3 || slices.Min(s.Dims) < 1 {
		return fmt.Errorf("dataset: %s: dims are %v, want [features] or [height, width, channels]", s.Name, s.Dims)
	}
	if s.Texts != nil || len(s.Values) != n*s.Size() {
		return fmt.Errorf("dataset: %s: %d values and %d texts for %d labels of dims %v", s.Name, len(s.Values), len(s.Texts), n, s.Dims)
	}
	for i, v := range s.Values {
		if !finite(float64(v)) {
			return fmt.Errorf("dataset: %s: sample %d, value %d is %v, want a finite number", s.Name, i/s.Size(), i%s.Size(), v)
		}
	}
	return nil
}

func (s *Set) checkLabels() error {
	seen := map[string]bool{}
	for i, name := range s.Classes {
		if name == "" || seen[name] {
			return fmt.Errorf("dataset: %s: class %d is %q, want names that are not empty and differ", s.Name, i, name)
		}
		seen[name] = true
	}
	for i, label := range s.Labels {
		if label < Unknown || label >= len(s.Classes) {
			return fmt.Errorf("dataset: %s: label of sample %d is %d, want -1 (unknown) to %d", s.Name, i, label, len(s.Classes)-1)
		}
	}
	return nil
}

// Digest is the sha256, in hex, of dims, classes, labels and samples in their order. Name and Groups are not part of it.
func (s *Set) Digest() string {
	h := sha256.New()
	writeInts(h, s.Dims)
	writeStrings(h, s.Classes)
	writeInts(h, s.Labels)
	writeStrings(h, s.Texts)
	var chunk [4096]byte
	for values := range slices.Chunk(s.Values, len(chunk)/4) {
		for i, v := range values {
			binary.LittleEndian.PutUint32(chunk[4*i:], math.Float32bits(v))
		}
		h.Write(chunk[:4*len(values)])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// writeInts and writeStrings put lengths first, so that no two different sets give the same bytes.
func writeInts(h hash.Hash, values []int) {
	buf := binary.LittleEndian.AppendUint64(nil, uint64(len(values)))
	for _, v := range values {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(v))
	}
	h.Write(buf)
}

func writeStrings(h hash.Hash, values []string) {
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(values))))
	for _, v := range values {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(v))))
		h.Write([]byte(v))
	}
}

// Moments are mean and standard deviation per channel (images) or per feature (tables), for the normalisation of a
// network's input. They are nil for text and for an empty set. A constant feature has standard deviation 0.
func (s *Set) Moments() (mean, std []float32) {
	if s.Len() == 0 || s.IsText() {
		return nil, nil
	}
	width := s.Dims[len(s.Dims)-1]
	count := float64(len(s.Values) / width)
	means, squares := make([]float64, width), make([]float64, width)
	for i, v := range s.Values {
		means[i%width] += float64(v) / count
	}
	for i, v := range s.Values {
		d := float64(v) - means[i%width]
		squares[i%width] += d * d / count
	}
	for c := range width {
		mean = append(mean, float32(means[c]))
		std = append(std, float32(math.Sqrt(squares[c])))
	}
	return mean, std
}

func product(dims []int) int {
	p := 1
	for _, d := range dims {
		p *= d
	}
	return p
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
