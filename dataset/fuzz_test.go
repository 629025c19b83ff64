package dataset

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// The readers of known sets are reached here without the files whose sha256 they check. Whatever the bytes, a reader must
// not panic, and what it accepts must be valid and no larger than the bytes can hold.

func check(t *testing.T, s *Set, err error, most int) {
	t.Helper()
	if err != nil {
		return
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(s.Values) > most {
		t.Fatalf("%d values from %d bytes", len(s.Values), most)
	}
}

func idx(dims []uint32, body ...byte) []byte {
	data := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		data = binary.BigEndian.AppendUint32(data, d)
	}
	return append(data, body...)
}

func TestIDX(t *testing.T) {
	images := idx([]uint32{2, 1, 2}, 0, 255, 51, 102)
	s, err := idxSet("toy", "images", images, "labels", idx([]uint32{2}, 2, 1), []string{"A", "B"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	// 51/255 and 102/255.
	if !slices.Equal(s.Values, []float32{0, 1, .2, .4}) || !slices.Equal(s.Labels, []int{1, 0}) || !slices.Equal(s.Dims, []int{1, 2, 1}) {
		t.Errorf("got %+v", s)
	}
	for name, files := range map[string][2][]byte{
		"cut":         {images[:len(images)-1], idx([]uint32{2}, 1, 1)},
		"too long":    {append(slices.Clone(images), 0), idx([]uint32{2}, 1, 1)},
		"empty":       {nil, nil},
		"no labels":   {images, nil},
		"label count": {images, idx([]uint32{1}, 1)},
		"label range": {images, idx([]uint32{2}, 1, 0)},
		"magic":       {idx([]uint32{2}, 1, 1), idx([]uint32{2}, 1, 1)},
		"overflow":    {idx([]uint32{1 << 31, 1 << 31, 4}), idx([]uint32{2}, 1, 1)},
		"zero":        {idx([]uint32{0, 1, 2}), idx([]uint32{0})},
	} {
		if _, err := idxSet("toy", "images", files[0], "labels", files[1], []string{"A", "B"}, 1); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRecordsAndTranspose(t *testing.T) {
	record := make([]byte, 3073)
	record[0], record[1+1], record[1+1024+32] = 1, 255, 51 // red at (0, 1), green at (1, 0)
	s, err := parseRecords("toy", "file", record, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	if row := s.Row(0); s.Labels[0] != 1 || row[1*3] != 1 || row[32*3+1] != .2 || row[0] != 0 {
		t.Errorf("label %d, red %v, green %v", s.Labels[0], row[3], row[32*3+1])
	}
	for name, data := range map[string][]byte{"empty": nil, "cut": record[:3072], "label": append([]byte{2}, record[1:]...)} {
		if _, err := parseRecords("toy", "file", data, []string{"a", "b"}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	square := []float32{1, 2, 3, 4}
	if transpose(square, 2); !slices.Equal(square, []float32{1, 3, 2, 4}) {
		t.Errorf("transposed to %v", square)
	}
}

func TestWholesAreThePhrasesInNoLongerOne(t *testing.T) {
	got := wholes([]string{"a film", "it is a film", "film", "it is", "a filmed play", "it  is a film "})
	if !slices.Equal(got, []int{1, 4}) {
		t.Errorf("got %v", got)
	}
}

func FuzzIDX(f *testing.F) {
	f.Add(idx([]uint32{2, 1, 2}, 0, 255, 51, 102), idx([]uint32{2}, 1, 0))
	f.Add(idx([]uint32{1 << 31, 1 << 31, 4}), []byte{})
	f.Fuzz(func(t *testing.T, images, labels []byte) {
		s, err := idxSet("toy", "images", images, "labels", labels, []string{"a", "b"}, 0)
		check(t, s, err, len(images))
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(make([]byte, 3073))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseRecords("toy", "file", data, []string{"a", "b"})
		check(t, s, err, len(data))
	})
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("x,label\n1,a\n2,b\n"), false)
	f.Add([]byte("text\tlabel\nhello\t1\n"), true)
	f.Add([]byte("x,y,label\n\"1\n\",nan,b"), false)
	f.Fuzz(func(t *testing.T, data []byte, tab bool) {
		s, err := parseTable("file", data, tab, Options{})
		check(t, s, err, len(data))
	})
}

// npy writes version 1 of the format.
func npy(descr, shape string, body ...byte) []byte {
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n", descr, shape)
	data := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), 0)
	return append(append(data, header...), body...)
}

func npz(t testing.TB, arrays map[string][]byte) []byte {
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

// The array is fuzzed within a valid archive: a checksum would keep the fuzzer out.
func FuzzNPZ(f *testing.F) {
	f.Add(npy("|u1", "2, 1, 2", 0, 255, 51, 102), npy("<i8", "2,", make([]byte, 16)...))
	f.Add(npy("<f4", "1, 2", 0, 0, 0xc0, 0x7f, 0, 0, 0, 0), []byte{})
	f.Add(npy("<f8", "99999999999, 99999999999"), []byte{})
	f.Fuzz(func(t *testing.T, x, y []byte) {
		s, err := parseNPZ("file", npz(t, map[string][]byte{"x": x, "y": y}), Options{})
		check(t, s, err, len(x))
		s, err = parseNPZ("file", x, Options{})
		check(t, s, err, len(x))
	})
}

type parquetRow struct {
	Text  string  `parquet:"text"`
	X     float64 `parquet:"x"`
	Label *int32  `parquet:"label,optional"`
}

func parquetFile(t testing.TB, rows ...parquetRow) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := parquet.Write(&buf, rows); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func FuzzParquet(f *testing.F) {
	one := int32(1)
	f.Add(parquetFile(f, parquetRow{"hello", 1.5, &one}, parquetRow{"there", 2.5, &one}))
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseParquet(context.Background(), "file", data, Options{})
		check(t, s, err, maxValues)
	})
}
