package picture_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/layarun/layarun/picture"
)

var dims = []int{16, 24, 3} // the size of all in testdata

// fits are those of testdata/make.py.
var fits = map[string]picture.Fit{
	"bilinear": {},
	"bicubic":  {Filter: "bicubic"},
	"cropped":  {Size: []int{19, 28}, Filter: "bicubic"},
	"shortest": {ShortestEdge: 24, Filter: "bicubic"},
}

// PNG files give the levels of Pillow 13 exactly. For JPEG files the most that a level may differ, and their mean
// difference, are what was measured, rounded up: decoders differ in the last bit, and colours have half the resolution in
// photo.jpg (4:2:0), in wide.jpg in width alone (4:2:2).
func TestFitsEqualTransformers(t *testing.T) {
	for name, tolerance := range map[string]struct{ most, mean float64 }{
		"large.png": {}, "small.png": {}, "grey.png": {}, "palette.png": {}, "tall.png": {},
		"sharp.jpg": {2, 0.25}, "photo.jpg": {2, 0.25}, "wide.jpg": {2, 0.25},
	} {
		for fit, f := range fits {
			got, err := f.Decode(content(t, name), dims)
			if err != nil {
				t.Fatal(err)
			}
			want, most, sum := levels(t, name+"."+fit+".png"), 0.0, 0.0
			if len(got) != len(want) {
				t.Fatalf("%s %s: %d values, want %d", name, fit, len(got), len(want))
			}
			for i := range want {
				off := math.Abs(math.Round(float64(got[i])*255) - want[i])
				most, sum = max(most, off), sum+off
			}
			if mean := sum / float64(len(want)); most > tolerance.most || mean > tolerance.mean {
				t.Errorf("%s %s: levels are up to %v off and %.3f on average, want at most %v and %v", name, fit, most, mean, tolerance.most, tolerance.mean)
			}
		}
	}
}

func content(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func levels(t *testing.T, name string) (all []float64) {
	t.Helper()
	p, err := png.Decode(bytes.NewReader(content(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	for y := range p.Bounds().Dy() {
		for x := range p.Bounds().Dx() {
			c := color.NRGBAModel.Convert(p.At(x, y)).(color.NRGBA)
			all = append(all, float64(c.R), float64(c.G), float64(c.B))
		}
	}
	return all
}

func encoded(t testing.TB, p image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, p); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What the levels are when nothing is scaled, by hand.
func TestDecode(t *testing.T) {
	p := image.NewNRGBA(image.Rect(0, 0, 3, 1))
	p.SetNRGBA(0, 0, color.NRGBA{255, 0, 51, 255})
	p.SetNRGBA(1, 0, color.NRGBA{255, 255, 255, 0}) // transparent: black
	p.SetNRGBA(2, 0, color.NRGBA{51, 51, 51, 255})
	for _, c := range []struct {
		dims []int
		want []float32
	}{
		{[]int{1, 3, 3}, []float32{1, 0, 0.2, 0, 0, 0, 0.2, 0.2, 0.2}},
		{[]int{1, 3, 1}, []float32{82. / 255, 0, 0.2}}, // 0.299 * 255 + 0.114 * 51 = 82.06
	} {
		got, err := picture.Fit{}.Decode(encoded(t, p), c.dims)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if math.Abs(float64(got[i]-want)) > 1e-7 {
				t.Errorf("dims %v: values are %v, want %v", c.dims, got, c.want)
				break
			}
		}
	}
	if got, err := picture.Dims(content(t, "grey.png")); err != nil || got[0] != 47 || got[1] != 61 || got[2] != 1 {
		t.Errorf("dims are %v (%v), want [47 61 1]", got, err)
	}
}

// A picture of one colour keeps it, whatever the filter: weights sum to one.
func TestWeightsSumToOne(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {5, 300}, {299, 7}, {24, 17}, {1000, 1000}} {
		p := image.NewRGBA(image.Rectangle{Max: size})
		for i := range p.Pix {
			p.Pix[i] = []byte{200, 3, 255, 255}[i%4]
		}
		for name, f := range fits {
			got, err := f.Decode(encoded(t, p), dims)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				if want := []float32{200. / 255, 3. / 255, 1}[i%3]; v != want {
					t.Fatalf("%v, %s: value %d is %v, want %v", size, name, i, v, want)
				}
			}
		}
	}
}

// A JPEG of any size and one colour keeps it, to a level or two of rounding: image/jpeg writes 4:2:0.
func TestSmallJPEGs(t *testing.T) {
	for height := 1; height <= 9; height++ {
		for width := 1; width <= 9; width++ {
			p := image.NewRGBA(image.Rect(0, 0, width, height))
			draw.Draw(p, p.Rect, image.NewUniform(color.RGBA{200, 40, 90, 255}), image.Point{}, draw.Src)
			var file bytes.Buffer
			if err := jpeg.Encode(&file, p, &jpeg.Options{Quality: 100}); err != nil {
				t.Fatal(err)
			}
			got, err := picture.Fit{}.Decode(file.Bytes(), []int{height, width, 3})
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				if want := []float64{200, 40, 90}[i%3]; math.Abs(float64(v)*255-want) > 2.1 {
					t.Fatalf("%d x %d: level %d is %v, want %v", width, height, i, v*255, want)
				}
			}
		}
	}
}

// sized is a PNG whose header says it has this size; there is nothing behind it.
func sized(t testing.TB, width, height uint32) []byte {
	header := encoded(t, image.NewGray(image.Rect(0, 0, 1, 1)))[:33]
	binary.BigEndian.PutUint32(header[16:], width)
	binary.BigEndian.PutUint32(header[20:], height)
	binary.BigEndian.PutUint32(header[29:], crc32.ChecksumIEEE(header[12:29]))
	return header
}

func TestDecodeRefuses(t *testing.T) {
	for want, c := range map[string]struct {
		fit     picture.Fit
		content []byte
	}{
		"neither PNG nor JPEG":                   {content: []byte("GIF89a")},
		"not enough pixel data":                  {content: content(t, "large.png")[:500]},
		"30000 x 30000 pixels, want at least 1,": {content: sized(t, 30000, 30000)},
		"70000 x 1 pixels, want at least 1, at most 65536 a side and 67108864 in all": {content: sized(t, 70000, 1)},
		"1 x 40000 pixels cannot be scaled to 16384 x 655360000":                      {picture.Fit{ShortestEdge: 16384}, encoded(t, image.NewGray(image.Rect(0, 0, 1, 40000)))},
	} {
		if _, err := c.fit.Decode(c.content, dims); err == nil || !strings.HasPrefix(err.Error(), "picture: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	for want, c := range map[string]struct {
		fit  picture.Fit
		dims []int
	}{
		`filter is "lanczos"`:            {picture.Fit{Filter: "lanczos"}, dims},
		"size is [20], want [height":     {picture.Fit{Size: []int{20}}, dims},
		"size is [], want [height":       {picture.Fit{Size: []int{}}, dims},
		"size is [15 24], want [16 24]":  {picture.Fit{Size: []int{15, 24}}, dims},
		"size is [16 99999]":             {picture.Fit{Size: []int{16, 99999}}, dims},
		"shortest_edge is 20, want 24":   {picture.Fit{ShortestEdge: 20}, dims},
		"shortest_edge is -1":            {picture.Fit{ShortestEdge: -1}, dims},
		"shortest_edge is 99999":         {picture.Fit{ShortestEdge: 99999}, dims},
		"want one of them":               {picture.Fit{Size: []int{20, 30}, ShortestEdge: 30}, dims},
		"dims are [16 24 4], want [heig": {picture.Fit{}, []int{16, 24, 4}},
		"dims are [9], want":             {picture.Fit{}, []int{9}},
	} {
		if err := c.fit.Validate(c.dims); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
	for name, f := range fits {
		text, err := json.Marshal(struct {
			Fit picture.Fit `json:"fit,omitzero"`
		}{f})
		if err := f.Validate(dims); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil || (string(text) == "{}") != f.IsZero() {
			t.Errorf("%s is written as %s (%v)", name, text, err)
		}
	}
}
