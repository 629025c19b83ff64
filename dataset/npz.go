package dataset

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// array is an .npy file of numbers.
type array struct {
	shape []int
	kind  string // numpy's letter and size: "f4", "f8", "u1", "i1", "i4" or "i8"
	data  []byte // little-endian, row-major
}

// readNPZ reads x (one row per sample: features, or bytes or numbers as [height, width] or [height, width, channels]) and,
// if it is there, y (class numbers). Images of bytes are divided by 255; other numbers are taken as they are.
func readNPZ(_ context.Context, path string, options Options) (*Set, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parseNPZ(path, data, options)
}

func parseNPZ(path string, data []byte, options Options) (*Set, error) {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", path, err)
	}
	x, err := member(archive, "x")
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", path, err)
	}
	if x == nil {
		return nil, fmt.Errorf("dataset: %s: there is no array x", path)
	}
	s, err := x.samples()
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", path, err)
	}
	s.Name, s.Classes = path, options.Classes
	y, err := member(archive, "y")
	if err == nil {
		err = s.label(y, x.shape[0])
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", path, err)
	}
	return s, nil
}

// member reads the array of a name; nil if there is none.
func member(archive *zip.Reader, name string) (*array, error) {
	for _, file := range archive.File {
		if file.Name != name+".npy" {
			continue
		}
		r, err := file.Open()
		if err != nil {
			return nil, fmt.Errorf("array %s: %w", name, err)
		}
		data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("array %s: %w", name, err)
		}
		a, err := parseNPY(data)
		if err != nil {
			return nil, fmt.Errorf("array %s: %w", name, err)
		}
		return a, nil
	}
	return nil, nil
}

var npyHeader = regexp.MustCompile(`^\{'descr': *'([<|])(f4|f8|u1|i1|i4|i8)', *'fortran_order': *False, *'shape': *\(([0-9, ]*)\),? *\}\s*$`)

// parseNPY reads numpy's format, versions 1 to 3: a magic of 6 bytes, the version, the header's length, the header (a
// Python dictionary, padded), the numbers.
func parseNPY(data []byte) (*array, error) {
	if len(data) < 12 || string(data[:6]) != "\x93NUMPY" {
		return nil, errors.New("not an .npy file")
	}
	start, length := 10, int(binary.LittleEndian.Uint16(data[8:]))
	if data[6] > 1 {
		start, length = 12, int(binary.LittleEndian.Uint32(data[8:]))
	}
	if length > len(data)-start {
		return nil, fmt.Errorf("header of %d bytes is cut off", length)
	}
	match := npyHeader.FindStringSubmatch(string(data[start : start+length]))
	if match == nil {
		return nil, fmt.Errorf("header is %q, want little-endian f4, f8, u1, i1, i4 or i8 in C order", clip(string(data[start:start+length])))
	}
	a := &array{kind: match[2], data: data[start+length:]}
	count := 1
	for field := range strings.SplitSeq(strings.TrimSuffix(strings.ReplaceAll(match[3], " ", ""), ","), ",") {
		dim, err := strconv.Atoi(field)
		if err != nil || dim < 1 || dim > maxValues/count {
			return nil, fmt.Errorf("shape is (%s), want dimensions of at least 1, at most %d values", match[3], maxValues)
		}
		a.shape = append(a.shape, dim)
		count *= dim
	}
	if want := count * a.width(); len(a.data) != want {
		return nil, fmt.Errorf("shape %v of %s needs %d bytes, but %d follow", a.shape, a.kind, want, len(a.data))
	}
	return a, nil
}

func (a *array) width() int { return int(a.kind[1] - '0') }

// number is value i. An i8 beyond 2^53 is rounded.
func (a *array) number(i int) float64 {
	raw := a.data[i*a.width():]
	switch a.kind {
	case "f4":
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	case "f8":
		return math.Float64frombits(binary.LittleEndian.Uint64(raw))
	case "i4":
		return float64(int32(binary.LittleEndian.Uint32(raw)))
	case "i8":
		return float64(int64(binary.LittleEndian.Uint64(raw)))
	case "i1":
		return float64(int8(raw[0]))
	}
	return float64(raw[0])
}

// samples makes a set without labels of x.
func (a *array) samples() (*Set, error) {
	s := &Set{}
	switch len(a.shape) {
	case 2, 4:
		s.Dims = slices.Clone(a.shape[1:])
	case 3:
		s.Dims = append(slices.Clone(a.shape[1:]), 1)
	default:
		return nil, fmt.Errorf("array x has shape %v, want [n, features], [n, height, width] or [n, height, width, channels]", a.shape)
	}
	if len(a.shape) > 2 && a.kind == "u1" {
		s.Values = unit(a.data)
		return s, nil
	}
	for i := range product(a.shape) {
		v := float32(a.number(i))
		if !finite(float64(v)) {
			return nil, fmt.Errorf("array x: row %d, value %d is %v, want a finite number", i/s.Size(), i%s.Size(), a.number(i))
		}
		s.Values = append(s.Values, v)
	}
	return s, nil
}

// label gives s the n labels of y, which name classes by number. Without y they are unknown.
func (s *Set) label(y *array, n int) error {
	if y == nil {
		s.Labels = slices.Repeat([]int{Unknown}, n)
		return nil
	}
	if len(y.shape) != 1 || y.shape[0] != n || y.kind[0] == 'f' {
		return fmt.Errorf("array y has shape %v of %s, want [%d] of integers", y.shape, y.kind, n)
	}
	t := &table{label: 0, fixed: s.Classes, set: s}
	for i := range n {
		name := strconv.FormatInt(int64(y.number(i)), 10)
		if s.Classes != nil {
			if _, err := classIndex(name, s.Classes); err != nil {
				return fmt.Errorf("array y: row %d: %w", i, err)
			}
		}
		t.labels = append(t.labels, name)
	}
	t.finish()
	return nil
}
