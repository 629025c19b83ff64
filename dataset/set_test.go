package dataset_test

import (
	"math"
	"slices"
	"testing"

	"github.com/layarun/layarun/dataset"
)

func table() *dataset.Set {
	return &dataset.Set{
		Name: "table", Dims: []int{2}, Values: []float32{1, 10, 2, 20, 3, 60},
		Labels: []int{0, 1, dataset.Unknown}, Classes: []string{"no", "yes"}, Groups: []int{7, 7, 8},
	}
}

func TestSubsetAndRow(t *testing.T) {
	sub := table().Subset([]int{2, 0})
	if !slices.Equal(sub.Values, []float32{3, 60, 1, 10}) || !slices.Equal(sub.Labels, []int{-1, 0}) || !slices.Equal(sub.Groups, []int{8, 7}) {
		t.Errorf("subset is %+v", sub)
	}
	if row := table().Row(1); !slices.Equal(row, []float32{2, 20}) || cap(row) != 2 {
		t.Errorf("row 1 is %v of capacity %d, want [2 20] of 2", row, cap(row))
	}
	if err := table().Validate(); err != nil {
		t.Error(err)
	}
	if empty := table().Subset(nil); empty.Len() != 0 || empty.Validate() != nil {
		t.Errorf("the empty subset is %+v: %v", empty, empty.Validate())
	}
}

func TestDigestTellsContentsApart(t *testing.T) {
	base := table().Digest()
	same := table()
	same.Name, same.Groups = "another", nil
	if same.Digest() != base {
		t.Error("name or groups changed the digest")
	}
	text := func(texts ...string) string {
		return (&dataset.Set{Texts: texts, Labels: make([]int, len(texts)), Classes: []string{"a", "b"}}).Digest()
	}
	if text("ab", "c") == text("a", "bc") {
		t.Error("texts run into one another")
	}
	for name, change := range map[string]func(*dataset.Set){
		"value":   func(s *dataset.Set) { s.Values[5] = 61 },
		"label":   func(s *dataset.Set) { s.Labels[0] = 1 },
		"class":   func(s *dataset.Set) { s.Classes = []string{"no", "maybe"} },
		"dims":    func(s *dataset.Set) { s.Dims = []int{1, 2, 1} },
		"order":   func(s *dataset.Set) { *s = *s.Subset([]int{1, 0, 2}) },
		"missing": func(s *dataset.Set) { *s = *s.Subset([]int{0, 1}) },
	} {
		s := table()
		change(s)
		if s.Digest() == base {
			t.Errorf("%s: the digest is unchanged", name)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	for name, change := range map[string]func(*dataset.Set){
		"not a number":   func(s *dataset.Set) { s.Values[3] = float32(math.NaN()) },
		"infinite":       func(s *dataset.Set) { s.Values[0] = float32(math.Inf(-1)) },
		"label too high": func(s *dataset.Set) { s.Labels[1] = 2 },
		"label too low":  func(s *dataset.Set) { s.Labels[1] = -2 },
		"value missing":  func(s *dataset.Set) { s.Values = s.Values[:5] },
		"group missing":  func(s *dataset.Set) { s.Groups = s.Groups[:2] },
		"two dims":       func(s *dataset.Set) { s.Dims = []int{2, 1} },
		"empty dim":      func(s *dataset.Set) { s.Dims = []int{0} },
		"no dims":        func(s *dataset.Set) { s.Dims = []int{} },
		"texts too":      func(s *dataset.Set) { s.Texts = []string{"a", "b", "c"} },
		"text only":      func(s *dataset.Set) { s.Dims = nil },
		"class twice":    func(s *dataset.Set) { s.Classes = []string{"no", "no"} },
		"class unnamed":  func(s *dataset.Set) { s.Classes = []string{"no", ""} },
	} {
		s := table()
		change(s)
		if err := s.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMoments(t *testing.T) {
	mean, std := table().Moments()
	// Of 1, 2, 3: mean 2, variance 2/3. Of 10, 20, 60: mean 30, variance (400+100+900)/3.
	want := [][]float64{{2, 30}, {math.Sqrt(2. / 3), math.Sqrt(1400. / 3)}}
	for c := range 2 {
		if math.Abs(float64(mean[c])-want[0][c]) > 1e-6 || math.Abs(float64(std[c])-want[1][c]) > 1e-5 {
			t.Errorf("feature %d has mean %v, std %v; want %v, %v", c, mean[c], std[c], want[0][c], want[1][c])
		}
	}
	image := &dataset.Set{Dims: []int{1, 2, 2}, Values: []float32{0, 1, 1, 1}, Labels: []int{-1}}
	if mean, std := image.Moments(); !slices.Equal(mean, []float32{.5, 1}) || !slices.Equal(std, []float32{.5, 0}) {
		t.Errorf("channels have mean %v, std %v; want [0.5 1], [0.5 0]", mean, std)
	}
	if mean, std := (&dataset.Set{Texts: []string{"a"}, Labels: []int{-1}}).Moments(); mean != nil || std != nil {
		t.Errorf("text has moments %v, %v", mean, std)
	}
}
