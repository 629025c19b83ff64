package serve

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/layarun/layarun"
)

const maxRank = 8 // axes of a shape; models take up to 4

// tensor is the one input of a request, as it was sent.
type tensor struct {
	name, datatype string
	shape          []int64
	data           *data
}

// data is the content of a tensor, flat or nested. Which of the four slices fills is up to what the model takes, since
// the datatype may come after it.
type data struct {
	text   bool // the model takes texts or token ids, not values
	most   int  // bound on values or texts
	files  int  // bound on images; 0 if the model takes none
	values []float32
	images [][]byte
	texts  []string
	ids    []int32
	lens   []int // number of elements at each level of nesting; the innermost level holds the values
	rank   int   // levels of nesting; 0 while unknown
}

// newData is for a model that takes samples of dims, at most so many.
func newData(dims []int, samples int) *data {
	d := &data{text: dims == nil, most: samples * size(dims)}
	if readsImages(dims) {
		d.files = samples
	}
	return d
}

// readTensor reads {"name", "shape", "datatype", "data"}, the last into d.
func readTensor(s *scanner, d *data) (*tensor, error) {
	t := &tensor{}
	seen := fields{}
	err := s.object(func(key string) (err error) {
		if err := seen.add(key, "name", "datatype", "shape", "data"); err != nil {
			return err
		}
		switch key {
		case "name":
			t.name, err = s.str()
		case "datatype":
			t.datatype, err = s.str()
		case "shape":
			err = s.array(func(i int) error {
				if i == maxRank {
					return fmt.Errorf("the shape has more than %d axes", maxRank)
				}
				d, err := s.integer()
				if err == nil && d < 0 {
					err = fmt.Errorf("%d is negative", d)
				}
				t.shape = append(t.shape, d)
				return err
			})
		case "data":
			t.data = d
			err = d.level(s, 0)
		default:
			err = s.skip()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, seen.need("name", "datatype", "shape", "data")
}

// level reads an array k arrays deep; all arrays on one level must have the same length.
func (d *data) level(s *scanner, k int) error {
	n := 0
	err := s.array(func(i int) error {
		c, err := s.next()
		if err != nil {
			return s.ends(err, "a value")
		}
		n++
		if d.rank != 0 && (c == '[') != (k+1 < d.rank) {
			return fmt.Errorf("the data nests unevenly, want every value %d arrays deep", d.rank)
		}
		if c == '[' {
			return d.level(s, k+1)
		}
		d.rank = k + 1
		return d.leaf(s, c)
	})
	if err != nil {
		return err
	}
	for len(d.lens) <= k {
		d.lens = append(d.lens, -1)
	}
	if d.rank == 0 {
		d.rank = k + 1
	}
	if d.lens[k] < 0 {
		d.lens[k] = n
	}
	if d.lens[k] != n {
		return fmt.Errorf("the array has %d elements, want %d as in the one before it", n, d.lens[k])
	}
	return nil
}

// leaf reads one value, which begins with c.
func (d *data) leaf(s *scanner, c byte) error {
	if len(d.values) == d.most || len(d.texts) == d.most {
		return fmt.Errorf("the data has more than %d values, the limit of one request", d.most)
	}
	switch {
	case d.files > 0 && (c == '"' || d.images != nil):
		return d.image(s)
	case !d.text:
		v, err := s.float()
		d.values = append(d.values, v)
		return err
	case c == '"' && d.ids == nil:
		text, err := s.str()
		d.texts = append(d.texts, text)
		return err
	case d.texts == nil:
		n, err := s.integer()
		if err == nil && (n < math.MinInt32 || n > math.MaxInt32) {
			err = fmt.Errorf("%d is not a token id of 32 bits", n)
		}
		d.ids = append(d.ids, int32(n))
		return err
	}
	return errors.New("the data mixes texts and token ids")
}

// image reads the file of a picture, in base64.
func (d *data) image(s *scanner) error {
	if d.values != nil {
		return errors.New("the data mixes images and numbers")
	}
	if len(d.images) == d.files {
		return fmt.Errorf("the data has more than %d images, the limit of one request", d.files)
	}
	text, err := s.str()
	if err != nil {
		return err
	}
	file, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("%s is not the base64 of a file", short(text))
	}
	d.images = append(d.images, file)
	return nil
}

// float reads a number as a finite float32.
func (s *scanner) float() (float32, error) {
	text, err := s.number()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseFloat(string(text), 32)
	if err != nil {
		return 0, fmt.Errorf("%s is beyond the range of FP32", short(text))
	}
	return float32(v), nil
}

// samples checks the tensor against what the model takes and puts its samples into the request.
func (t *tensor) samples(dims []int, most int, request *layarun.Request) error {
	switch {
	case dims == nil:
		return t.textSamples(most, request)
	case t.datatype == "BYTES" && readsImages(dims):
		return t.imageSamples(most, request)
	case t.datatype != "FP32" && readsImages(dims):
		return at("datatype", fmt.Errorf("%s, want FP32 for values, or BYTES for images", short(t.datatype)))
	}
	if err := t.check("input", "FP32", most, dims); err != nil {
		return err
	}
	if want := int(t.shape[0]) * size(dims); len(t.data.values) != want {
		return at("data", fmt.Errorf("%d values, want %d for shape %v", len(t.data.values), want, t.shape))
	}
	request.Values = t.data.values
	return t.checkNesting()
}

func (t *tensor) imageSamples(most int, request *layarun.Request) error {
	if err := t.check("image", "BYTES", most, nil); err != nil {
		return err
	}
	if n := len(t.data.images); int64(n) != t.shape[0] {
		return at("data", fmt.Errorf("%d images, want %d for shape %v", n, t.shape[0], t.shape))
	}
	request.Images = t.data.images
	return t.checkNesting()
}

func (t *tensor) textSamples(most int, request *layarun.Request) error {
	if t.datatype == "BYTES" {
		if err := t.check("text", "BYTES", most, nil); err != nil {
			return err
		}
		if n := len(t.data.texts); int64(n) != t.shape[0] {
			return at("data", fmt.Errorf("%d texts, want %d for shape %v", n, t.shape[0], t.shape))
		}
		request.Texts = t.data.texts
		return t.checkNesting()
	}
	if t.datatype != "INT32" && t.datatype != "INT64" {
		return at("datatype", fmt.Errorf("%s, want BYTES for texts, or INT32 or INT64 for token ids", short(t.datatype)))
	}
	if err := t.check("ids", t.datatype, most, []int{-1}); err != nil {
		return err
	}
	n, length := int(t.shape[0]), len(t.data.ids)/int(t.shape[0])
	if length < 1 || int64(length) != t.shape[1] || len(t.data.ids) != n*length { // no product of unchecked numbers
		return at("data", fmt.Errorf("%d token ids, want as many as shape %v says, at least 1 per sample", len(t.data.ids), t.shape))
	}
	for row := range slices.Chunk(t.data.ids, length) {
		request.Tokens = append(request.Tokens, row)
	}
	return t.checkNesting()
}

// check compares name, datatype and shape with [n, dims…]; -1 in dims takes any length.
func (t *tensor) check(name, datatype string, most int, dims []int) error {
	if t.name != name {
		return at("name", fmt.Errorf("%s, want %q", short(t.name), name))
	}
	if t.datatype != datatype {
		return at("datatype", fmt.Errorf("%s, want %q", short(t.datatype), datatype))
	}
	fits := len(t.shape) == len(dims)+1
	for i, d := range dims {
		fits = fits && (d < 0 || t.shape[i+1] == int64(d))
	}
	if !fits {
		return at("shape", fmt.Errorf("%v, want %v with any number of samples for the first -1", t.shape, append([]int{-1}, dims...)))
	}
	if n := t.shape[0]; n < 1 || n > int64(most) {
		return at("shape[0]", fmt.Errorf("%d samples, want 1 to %d", n, most))
	}
	return nil
}

// checkNesting compares data that came nested with the shape; flat data has been counted already.
func (t *tensor) checkNesting() error {
	if len(t.data.lens) == 1 {
		return nil
	}
	if !slices.EqualFunc(t.data.lens, t.shape, func(a int, b int64) bool { return int64(a) == b }) {
		return at("data", fmt.Errorf("nested as %v, want it flat or as shape %v", t.data.lens, t.shape))
	}
	return nil
}

func size(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
