package dataset_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/layarun/layarun/dataset"
	"pgregory.net/rapid"
)

func ExampleLoad() {
	splits, err := dataset.Load(context.Background(), "digits", dataset.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(splits.Train.Dims, splits.Train.Classes)
	fmt.Println(splits.Train.Len(), splits.Validation.Len(), splits.Calibration.Len(), splits.Test.Len())
	// Output:
	// [8 8 1] [0 1 2 3 4 5 6 7 8 9]
	// 757 200 480 360
}

func numbered(labels []int, classes int) *dataset.Set {
	s := &dataset.Set{Name: "numbered", Dims: []int{1}, Labels: labels}
	for i := range labels {
		s.Values = append(s.Values, float32(i))
	}
	for c := range classes {
		s.Classes = append(s.Classes, fmt.Sprint("class ", c))
	}
	return s
}

func all(p *dataset.Splits) []*dataset.Set {
	return []*dataset.Set{p.Train, p.Validation, p.Calibration, p.Test}
}

// Each value occurs once, so the parts are disjoint and complete when their values together are the set's.
func TestSplitDealsEverySampleOnceInExactSizes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		classes := rapid.IntRange(1, 5).Draw(t, "classes")
		labels := rapid.SliceOfN(rapid.IntRange(-1, classes-1), 4, 200).Draw(t, "labels")
		s := numbered(labels, classes)
		third := rapid.IntRange(0, (len(labels)-1)/3)
		sizes := dataset.Sizes{Validation: third.Draw(t, "validation"), Calibration: third.Draw(t, "calibration"), Test: third.Draw(t, "test")}
		seed := rapid.Uint64().Draw(t, "seed")
		p, err := dataset.Split(s, sizes, seed)
		if err != nil {
			t.Fatal(err)
		}
		var values []float32
		for _, part := range all(p) {
			if err := part.Validate(); err != nil {
				t.Fatal(err)
			}
			if !slices.IsSorted(part.Values) {
				t.Fatalf("part is out of order: %v", part.Values)
			}
			values = append(values, part.Values...)
		}
		slices.Sort(values)
		if !slices.Equal(values, s.Values) {
			t.Fatalf("parts hold %v", values)
		}
		if p.Validation.Len() != sizes.Validation || p.Calibration.Len() != sizes.Calibration || p.Test.Len() != sizes.Test {
			t.Fatalf("sizes are %d, %d, %d, want %+v", p.Validation.Len(), p.Calibration.Len(), p.Test.Len(), sizes)
		}
		checkShares(t, s, p)
		again, _ := dataset.Split(s, sizes, seed)
		if again.Train.Digest() != p.Train.Digest() || again.Test.Digest() != p.Test.Digest() {
			t.Fatal("the same seed dealt differently")
		}
	})
}

// A part's number of a class may miss its share by rounding: 1 for its own and 1 for each of the parts dealt before it.
func checkShares(t *rapid.T, s *dataset.Set, p *dataset.Splits) {
	count := func(s *dataset.Set, class int) (n int) {
		for _, label := range s.Labels {
			if label == class {
				n++
			}
		}
		return n
	}
	for class := range s.Classes {
		for i, part := range all(p) {
			want := float64(count(s, class)) * float64(part.Len()) / float64(s.Len())
			if got := float64(count(part, class)); got < want-3 || got > want+3 {
				t.Fatalf("part %d has %v of class %d, want about %v", i, got, class, want)
			}
		}
	}
}

func TestSplitKeepsGroupsAndDuplicatesTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(8, 120).Draw(t, "n")
		s := &dataset.Set{Classes: []string{"a", "b"}}
		for range n {
			s.Labels = append(s.Labels, rapid.IntRange(0, 1).Draw(t, "label"))
			s.Texts = append(s.Texts, rapid.SampledFrom([]string{"%d X", "%d  x ", "%d\tX"}).Draw(t, "form"))
			s.Groups = append(s.Groups, rapid.IntRange(0, n/3).Draw(t, "group"))
		}
		for i := range s.Texts {
			s.Texts[i] = fmt.Sprintf(s.Texts[i], rapid.IntRange(0, 3*n).Draw(t, "text"))
		}
		p, err := dataset.Split(s, dataset.Sizes{Validation: n / 8, Calibration: n / 8, Test: n / 8}, 1)
		if err != nil {
			return // one chain of groups holds all samples
		}
		group, text := map[int]int{}, map[string]int{}
		for i, part := range all(p) {
			for j := range part.Len() {
				var number int
				fmt.Sscan(part.Texts[j], &number)
				if was, ok := group[part.Groups[j]]; ok && was != i {
					t.Fatalf("group %d is in parts %d and %d", part.Groups[j], was, i)
				}
				if was, ok := text[fmt.Sprint(number)]; ok && was != i {
					t.Fatalf("text %d is in parts %d and %d", number, was, i)
				}
				group[part.Groups[j]], text[fmt.Sprint(number)] = i, i
			}
		}
	})
}

func TestSplitRefuses(t *testing.T) {
	const huge = int(^uint(0) >> 1)
	for _, sizes := range []dataset.Sizes{{Validation: -1}, {Test: 4}, {1, 1, 2}, {huge, huge, huge}} {
		if p, err := dataset.Split(numbered([]int{0, 0, 1, 1}, 2), sizes, 1); err == nil {
			t.Errorf("%+v gave %d to train on, want an error", sizes, p.Train.Len())
		}
	}
	if _, err := dataset.Split(&dataset.Set{}, dataset.Sizes{}, 1); err == nil {
		t.Error("an empty set was split")
	}
}
