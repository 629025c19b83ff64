package prune_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/prune"
)

func near(t *testing.T, what string, got []float64, want ...float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > 1e-12 { // sums of a handful of float64 near one
			t.Errorf("%s is %v, want %v", what, got, want)
			return
		}
	}
}

// TestViewByHand has three samples over two depths. Global means: (1/2 + 1/4 + 3/4)/3 = 1/2 each. The first depth
// deviates from it by 0, -1/4, 1/4: sqrt(2/16/3). alpha·norm: 1, 1/4, 3/2 = 11/4 at the first depth and 2, 3, 1/4 = 21/4
// at the second, of 8 in all.
func TestViewByHand(t *testing.T) {
	v, err := prune.NewView(2, 3, []prune.Observation{
		{Class: 0, Alpha: []float32{0.5, 0.5}, Norms: []float32{2, 4}},
		{Class: 2, Alpha: []float32{0.25, 0.75}, Norms: []float32{1, 4}},
		{Class: 2, Alpha: []float32{0.75, 0.25}, Norms: []float32{2, 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mean", v.Global.Mean, 0.5, 0.5)
	near(t, "std", v.Global.Std, math.Sqrt(1.0/24), math.Sqrt(1.0/24))
	near(t, "score", v.Global.Score, 11.0/32, 21.0/32)
	near(t, "score of class 0", v.ByClass[0].Score, 1.0/3, 2.0/3) // 1 and 2
	near(t, "score of class 2", v.ByClass[2].Score, 1.75/5, 3.25/5)
	if one := v.ByClass[1]; one.N != 0 || one.Mean != nil {
		t.Errorf("the class without samples is %+v, want nothing", one)
	}
	if v.Global.N != 3 || v.ByClass[0].N != 1 || v.ByClass[2].N != 2 {
		t.Errorf("counts are %d, %d, %d, want 3, 1, 2", v.Global.N, v.ByClass[0].N, v.ByClass[2].N)
	}

	p := prune.Profile{Reads: []int{0, 4}, Classes: []string{"a", "b", "c"}, Full: v}
	near(t, "largest of the classes", p.Scores(), 1.75/5, 2.0/3)
	near(t, "lost", []float64{p.Lost([]int{4}), p.Lost([]int{0, 4})}, 11.0/32, 0)
}

// TestViewOfEarlyExits: depths that a sample did not reach count 0. Means (1 + 1/2)/2 and (0 + 1/2)/2.
func TestViewOfEarlyExits(t *testing.T) {
	v, err := prune.NewView(2, 1, []prune.Observation{
		{Alpha: []float32{1}, Norms: []float32{3}},
		{Alpha: []float32{0.5, 0.5}, Norms: []float32{2, 0}},
	})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mean", v.Global.Mean, 0.75, 0.25)
	near(t, "std", v.Global.Std, 0.25, 0.25)
	near(t, "score", v.Global.Score, 1, 0)
}

func TestViewOfZeroValues(t *testing.T) {
	v, err := prune.NewView(2, 1, []prune.Observation{{Alpha: []float32{0.5, 0.5}, Norms: []float32{0, 0}}})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "score", v.Global.Score, 0, 0)
}

func TestViewRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, o := range map[string]prune.Observation{
		"class":      {Class: 2, Alpha: []float32{1}, Norms: []float32{1}},
		"no class":   {Class: -1, Alpha: []float32{1}, Norms: []float32{1}},
		"no alpha":   {},
		"too many":   {Alpha: []float32{0.5, 0.25, 0.25}, Norms: []float32{1, 1, 1}},
		"norms":      {Alpha: []float32{0.5, 0.5}, Norms: []float32{1}},
		"NaN alpha":  {Alpha: []float32{nan}, Norms: []float32{1}},
		"large":      {Alpha: []float32{1.5}, Norms: []float32{1}},
		"infinite z": {Alpha: []float32{1}, Norms: []float32{inf}},
	} {
		_, err := prune.NewView(2, 2, []prune.Observation{{Alpha: []float32{1}, Norms: []float32{1}}, o})
		if err == nil || !strings.Contains(err.Error(), "observation 1") {
			t.Errorf("%s: got %v, want an error about observation 1", name, err)
		}
	}
}

// TestViewSumsToOne: for whatever is seen, means and scores are shares and the profile is valid.
func TestViewSumsToOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reads, classes := rapid.IntRange(1, 5).Draw(t, "reads"), rapid.IntRange(1, 3).Draw(t, "classes")
		var seen []prune.Observation
		for range rapid.IntRange(1, 8).Draw(t, "samples") {
			n := rapid.IntRange(1, reads).Draw(t, "reached")
			o := prune.Observation{Class: rapid.IntRange(0, classes-1).Draw(t, "class")}
			weights := rapid.SliceOfN(rapid.Float32Range(0.01, 1), n, n).Draw(t, "weights")
			sum := float32(0)
			for _, w := range weights {
				sum += w
			}
			for _, w := range weights {
				o.Alpha = append(o.Alpha, w/sum)
				o.Norms = append(o.Norms, rapid.Float32Range(0.01, 100).Draw(t, "norm"))
			}
			seen = append(seen, o)
		}
		v, err := prune.NewView(reads, classes, seen)
		if err != nil {
			t.Fatal(err)
		}
		p := prune.Profile{Reads: make([]int, reads), Classes: make([]string, classes), Full: v}
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		mean, score, n := 0.0, 0.0, 0
		for i := range reads {
			mean += v.Global.Mean[i]
			score += v.Global.Score[i]
			if p.Scores()[i] < v.Global.Score[i]-1e-12 {
				t.Fatalf("the largest score of the classes is below that of all samples at read %d", i)
			}
		}
		for _, c := range v.ByClass {
			n += c.N
		}
		if math.Abs(mean-1) > 1e-6 || math.Abs(score-1) > 1e-12 || n != v.Global.N { // alpha is float32
			t.Fatalf("means sum to %v, scores to %v, classes to %d of %d", mean, score, n, v.Global.N)
		}
	})
}
