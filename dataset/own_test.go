package dataset_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/layarun/layarun/dataset"
	"github.com/parquet-go/parquet-go"
)

// write puts a file below a folder of the test and returns its path.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string, options dataset.Options) *dataset.Set {
	t.Helper()
	s, err := dataset.Read(t.Context(), path, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReadTableOfNumbers(t *testing.T) {
	data := "id,x,kind,y\nn1,1,10,-2.5\nn2,3e2,9,0\nn3, 4 ,10,1\n"
	s := read(t, write(t, "numbers.csv", []byte(data)), dataset.Options{LabelColumn: "kind"})
	// The column id holds no numbers; the labels are integers, so 9 comes before 10.
	if !slices.Equal(s.Values, []float32{1, -2.5, 300, 0, 4, 1}) || !slices.Equal(s.Labels, []int{1, 0, 1}) || !slices.Equal(s.Classes, []string{"9", "10"}) {
		t.Errorf("got %+v", s)
	}
	given := read(t, write(t, "numbers.csv", []byte(data)), dataset.Options{LabelColumn: "kind", Classes: []string{"10", "7", "9"}})
	if !slices.Equal(given.Labels, []int{0, 2, 0}) {
		t.Errorf("with given classes the labels are %v, want [0 2 0]", given.Labels)
	}
	if unknown := read(t, write(t, "numbers.tsv", []byte("x\ty\n1\t2\n")), dataset.Options{}); !slices.Equal(unknown.Labels, []int{dataset.Unknown}) {
		t.Errorf("without a label column the labels are %v", unknown.Labels)
	}
}

// Samples still to be labelled are read like those that are: the label is no feature where it is there.
func TestReadTableWithOptionalLabel(t *testing.T) {
	options := dataset.Options{LabelColumn: "kind", OptionalLabel: true, Classes: []string{"7", "8"}}
	with := read(t, write(t, "with.csv", []byte("x,kind\n1,8\n")), options)
	without := read(t, write(t, "without.csv", []byte("x\n1\n")), options)
	if !slices.Equal(with.Values, without.Values) || with.Labels[0] != 1 || without.Labels[0] != dataset.Unknown {
		t.Errorf("with labels %+v, without %+v", with, without)
	}
}

func TestReadOneImage(t *testing.T) {
	s := read(t, write(t, "dot.png", encoded(t, picture(2, 2, color.White), false)), dataset.Options{Dims: []int{1, 1, 1}, Classes: []string{"a"}})
	if !slices.Equal(s.Values, []float32{1}) || !slices.Equal(s.Labels, []int{dataset.Unknown}) || !slices.Equal(s.Classes, []string{"a"}) {
		t.Errorf("got %+v", s)
	}
}

func TestReadTableOfTexts(t *testing.T) {
	csv := "\ufefftext,label\r\n\"two\nlines, \"\"quoted\"\"\",yes\r\nplain,no\r\n"
	s := read(t, write(t, "texts.csv", []byte(csv)), dataset.Options{})
	if !slices.Equal(s.Texts, []string{"two\nlines, \"quoted\"", "plain"}) || !slices.Equal(s.Labels, []int{1, 0}) || !s.IsText() {
		t.Errorf("got %+v", s)
	}
	tsv := "label\tbody\nyes\ta \"quote\nno\tb\n"
	s = read(t, write(t, "texts.TSV", []byte(tsv)), dataset.Options{TextColumn: "body"})
	if !slices.Equal(s.Texts, []string{"a \"quote", "b"}) || !slices.Equal(s.Classes, []string{"no", "yes"}) {
		t.Errorf("got %+v", s)
	}
}

type row struct {
	Text  string  `parquet:"text"`
	X     float64 `parquet:"x"`
	N     int64   `parquet:"n"`
	Label *string `parquet:"label,optional"`
}

func TestReadParquet(t *testing.T) {
	yes, no := "yes", "no"
	var buf bytes.Buffer
	rows := make([]row, 600) // more than one buffer
	for i := range rows {
		rows[i] = row{Text: fmt.Sprint("text ", i), X: float64(i) / 2, N: int64(-i), Label: &yes}
	}
	rows[599].Label = &no
	if err := parquet.Write(&buf, rows); err != nil {
		t.Fatal(err)
	}
	path := write(t, "rows.parquet", buf.Bytes())
	s := read(t, path, dataset.Options{})
	if s.Len() != 600 || s.Texts[599] != "text 599" || s.Labels[598] != 1 || s.Labels[599] != 0 {
		t.Errorf("%d rows, the last is %q with %v", s.Len(), s.Texts[s.Len()-1], s.Labels[s.Len()-2:])
	}
	rows[300].Label = nil
	buf.Reset()
	if err := parquet.Write(&buf, rows); err != nil {
		t.Fatal(err)
	}
	_, err := dataset.Read(t.Context(), write(t, "rows.parquet", buf.Bytes()), dataset.Options{})
	if err == nil || !strings.Contains(err.Error(), `row 301, column "label"`) {
		t.Errorf("a missing label gives %v", err)
	}
	for _, cut := range []int{0, 4, 100, buf.Len() - 5} {
		if _, err := dataset.Read(t.Context(), write(t, "cut.parquet", buf.Bytes()[:cut]), dataset.Options{}); err == nil {
			t.Errorf("the first %d bytes of a Parquet file were read", cut)
		}
	}
}

func picture(w, h int, c color.Color) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.Set(i%w, i/w, c)
	}
	return img
}

func encoded(t *testing.T, img image.Image, asJPEG bool) []byte {
	t.Helper()
	var buf bytes.Buffer
	err := png.Encode(&buf, img)
	if asJPEG {
		buf.Reset()
		err = jpeg.Encode(&buf, img, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	root := t.TempDir()
	for name, data := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestReadFolder(t *testing.T) {
	red, green := picture(2, 1, color.RGBA{255, 0, 0, 255}), picture(8, 8, color.RGBA{0, 51, 0, 255})
	root := folder(t, map[string][]byte{
		"apple/b.PNG": encoded(t, red, false), "pear/a.png": encoded(t, green, false), "apple/.hidden": nil,
	})
	s := read(t, root, dataset.Options{})
	// 51/255 = 0.2; the second image takes the first one's size.
	if !slices.Equal(s.Dims, []int{1, 2, 3}) || !slices.Equal(s.Values, []float32{1, 0, 0, 1, 0, 0, 0, .2, 0, 0, .2, 0}) || !slices.Equal(s.Labels, []int{0, 1}) {
		t.Errorf("got %+v", s)
	}
	grey := read(t, root, dataset.Options{Dims: []int{2, 2, 1}, Classes: []string{"pear", "apple"}})
	// Luminance of red, by Rec. 601 as in image/color: 0.299 * 255 = 76.
	if !slices.Equal(grey.Labels, []int{1, 0}) || grey.Values[0] != float32(76)/255 || len(grey.Values) != 8 {
		t.Errorf("got %+v", grey)
	}
	flat := read(t, folder(t, map[string][]byte{"a.jpg": encoded(t, green, true)}), dataset.Options{})
	if !slices.Equal(flat.Labels, []int{dataset.Unknown}) || !slices.Equal(flat.Dims, []int{8, 8, 3}) {
		t.Errorf("a folder of images alone gives labels %v, dims %v", flat.Labels, flat.Dims)
	}
}

// bomb is a PNG header that promises 2^30 pixels.
func bomb(t *testing.T) []byte {
	data := encoded(t, picture(1, 1, color.Black), false)
	binary.BigEndian.PutUint32(data[16:], 1<<15)
	binary.BigEndian.PutUint32(data[20:], 1<<15)
	// The checksum of the header follows its 13 bytes and 4 of type.
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	return data
}

func TestReadRefusesFolders(t *testing.T) {
	ok := encoded(t, picture(2, 2, color.White), false)
	for name, test := range map[string]struct {
		files map[string][]byte
		want  string
	}{
		"empty":         {nil, "no samples"},
		"cut image":     {map[string][]byte{"a/x.png": ok[:len(ok)-20], "b/y.png": ok}, "x.png"},
		"not an image":  {map[string][]byte{"a/x.png": []byte("hello")}, "x.png"},
		"bomb":          {map[string][]byte{"a/x.png": ok, "b/y.png": bomb(t)}, "32768 x 32768"},
		"bomb first":    {map[string][]byte{"a/x.png": bomb(t)}, "x.png"},
		"other file":    {map[string][]byte{"a/x.png": ok, "a/notes.txt": nil}, "notes.txt"},
		"mixed":         {map[string][]byte{"a/x.png": ok, "y.png": ok}, `"a"`},
		"empty class":   {map[string][]byte{"a/.keep": nil, "b/y.png": ok}, "no images"},
		"unknown class": {map[string][]byte{"c/y.png": ok}, `class "c"`},
	} {
		options := dataset.Options{}
		if name == "unknown class" {
			options.Classes = []string{"a", "b"}
		}
		if _, err := dataset.Read(t.Context(), folder(t, test.files), options); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want one with %q", name, err, test.want)
		}
	}
}

func npy(descr, shape string, body ...byte) []byte {
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n", descr, shape)
	data := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), 0)
	return append(append(data, header...), body...)
}

func npz(t *testing.T, arrays map[string][]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for name, data := range arrays {
		part, err := w.Create(name + ".npy")
		if err == nil {
			_, err = part.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestReadNPZ(t *testing.T) {
	images := npz(t, map[string][]byte{"x": npy("|u1", "2, 1, 2", 0, 255, 51, 102), "y": npy("|i1", "2,", 7, 0xff)})
	s := read(t, write(t, "images.npz", images), dataset.Options{})
	if !slices.Equal(s.Values, []float32{0, 1, .2, .4}) || !slices.Equal(s.Dims, []int{1, 2, 1}) || !slices.Equal(s.Classes, []string{"-1", "7"}) || !slices.Equal(s.Labels, []int{1, 0}) {
		t.Errorf("got %+v", s)
	}
	// 1.5 as float32 and float64, by IEEE 754.
	for descr, body := range map[string][]byte{"<f4": {0, 0, 0xc0, 0x3f}, "<f8": {0, 0, 0, 0, 0, 0, 0xf8, 0x3f}} {
		s := read(t, write(t, "x.npz", npz(t, map[string][]byte{"x": npy(descr, "1, 1", body...)})), dataset.Options{})
		if !slices.Equal(s.Values, []float32{1.5}) || !slices.Equal(s.Labels, []int{dataset.Unknown}) {
			t.Errorf("%s: got %+v", descr, s)
		}
	}
	x := npy("|u1", "2, 1", 1, 2)
	for name, arrays := range map[string]map[string][]byte{
		"no x":          {"y": npy("|u1", "2,", 1, 2)},
		"not a number":  {"x": npy("<f4", "1, 1", 0, 0, 0xc0, 0x7f)},
		"cut":           {"x": npy("<f4", "2, 1", 0, 0, 0, 0)},
		"too long":      {"x": npy("|u1", "2, 1", 1, 2, 3)},
		"overflow":      {"x": npy("<f8", "4294967296, 4294967296")},
		"complex":       {"x": npy("<c8", "1, 1", 0, 0, 0, 0, 0, 0, 0, 0)},
		"big-endian":    {"x": npy(">f4", "1, 1", 0, 0, 0, 0)},
		"one dimension": {"x": npy("|u1", "2,", 1, 2)},
		"labels short":  {"x": x, "y": npy("|u1", "1,", 1)},
		"labels float":  {"x": x, "y": npy("<f4", "2,", 0, 0, 0, 0, 0, 0, 0, 0)},
		"no header":     {"x": []byte("\x93NUMPY\x01\x00\xff\xff")},
	} {
		if s, err := dataset.Read(t.Context(), write(t, "bad.npz", npz(t, arrays)), dataset.Options{}); err == nil {
			t.Errorf("%s: got %+v, want an error", name, s)
		}
	}
}

func TestReadRefusesTables(t *testing.T) {
	for name, test := range map[string]struct{ file, data, want string }{
		"empty":             {"a.csv", "", "no rows"},
		"header only":       {"a.csv", "x,label\n", "no rows"},
		"damaged number":    {"a.csv", "x,label\n1,a\n2z,b\n", `line 3, column "x"`},
		"not a number":      {"a.csv", "x,label\n1,a\nNaN,b\n", `line 3, column "x"`},
		"not finite":        {"a.csv", "x,label\n1e39,a\n", `line 2, column "x"`}, // beyond float32
		"empty cell":        {"a.csv", "x,label\n1,a\n,b\n", `line 3, column "x"`},
		"no label":          {"a.csv", "x,label\n1,a\n2,\n", `line 3, column "label"`},
		"no text":           {"a.csv", "text,label\n ,a\n", `line 2, column "text"`},
		"short row":         {"a.csv", "x,label\n1,a\n2\n", "line 3"},
		"short row, tabs":   {"a.tsv", "x\tlabel\n1\ta\n2\n", "line 3"},
		"open quote":        {"a.csv", "x,label\n\"1,a\n", "line 2"},
		"no header":         {"a.csv", "1,2,3\n4,5,6\n", "column 1"},
		"column twice":      {"a.csv", "x,x\n1,2\n", "column 2"},
		"nothing numeric":   {"a.csv", "x,label\nred,a\n", "no numeric column"},
		"not gzip":          {"a.csv.gz", "x,label\n1,a\n", "a.csv.gz"},
		"not known by name": {"a.xlsx", "", ".parquet"},
	} {
		_, err := dataset.Read(t.Context(), write(t, test.file, []byte(test.data)), dataset.Options{})
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.file) {
			t.Errorf("%s: error is %v, want one with %q and the file", name, err, test.want)
		}
	}
	path := write(t, "a.csv", []byte("x,label\n1,a\n"))
	for _, options := range []dataset.Options{{LabelColumn: "kind"}, {TextColumn: "body"}, {TextColumn: "label"}, {Classes: []string{"b"}}} {
		if _, err := dataset.Read(t.Context(), path, options); err == nil {
			t.Errorf("%+v: no error", options)
		}
	}
}

func TestLoad(t *testing.T) {
	var data strings.Builder
	data.WriteString("x,label\n")
	for i := range 100 {
		fmt.Fprintf(&data, "%d,%d\n", i, i%2)
	}
	path := write(t, "own.csv", []byte(data.String()))
	p, err := dataset.Load(t.Context(), path, dataset.Options{Sizes: dataset.Sizes{Test: 30}})
	if err != nil {
		t.Fatal(err)
	}
	// A tenth and a fifth of 100 by default.
	if p.Train.Len() != 40 || p.Validation.Len() != 10 || p.Calibration.Len() != 20 || p.Test.Len() != 30 {
		t.Errorf("sizes are %d, %d, %d, %d", p.Train.Len(), p.Validation.Len(), p.Calibration.Len(), p.Test.Len())
	}
	empty := t.TempDir()
	if _, err := dataset.Load(t.Context(), "mnist", dataset.Options{Dir: empty}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), empty) {
		t.Errorf("a missing set gives %v", err)
	}
	if _, err := dataset.Load(t.Context(), "minst", dataset.Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "mnist") {
		t.Errorf("an unknown set gives %v", err)
	}
	if _, err := dataset.Load(t.Context(), write(t, "a.csv", []byte("x\n1\n")), dataset.Options{}); err == nil || !strings.Contains(err.Error(), "no label") {
		t.Errorf("unlabelled data gives %v", err)
	}
	damaged := folder(t, map[string][]byte{"sms-spam/SMSSpamCollection.gz": []byte("x")})
	if _, err := dataset.Load(t.Context(), "sms-spam", dataset.Options{Dir: damaged}); err == nil || !strings.Contains(err.Error(), "sha256") {
		t.Errorf("a damaged file gives %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dataset.Load(cancelled, "mnist", dataset.Options{Dir: empty}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled load gives %v", err)
	}
}
