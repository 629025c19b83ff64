package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/layarun/layarun/prune"
)

// TestHeatMap: ten shades from 0 to the largest mean, 0.8, so 0.2 is the third (0.2/0.8 of ten is 2.5) and 0.4 the sixth.
func TestHeatMap(t *testing.T) {
	p := &prune.Profile{
		Reads: []int{0, 3, 12}, Classes: []string{"cat", "a class with a very long name", "dog"}, Predicted: true,
		Full: prune.View{Global: prune.Attention{N: 3, Mean: []float64{0.2, 0.4, 0.4}}, ByClass: []prune.Attention{
			{N: 2, Mean: []float64{0.8, 0.2, 0}}, {N: 1, Mean: []float64{0.2, 0.4, 0.4}}, {},
		}},
	}
	want := `alpha by predicted class (rows) and depth (columns), from blank (0) to @@ (0.800)
                            0  3 12
all                      :: ++ ++
cat                      @@ ::   
a class with a very long :: ++ ++
dog                      no samples
`
	got := heatMap(p)
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if squeeze(got) != squeeze(want) || len(strings.Split(got, "\n")) != 7 {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestHeatMapOfManyClasses(t *testing.T) {
	a := prune.Attention{N: 1, Mean: []float64{1}}
	p := &prune.Profile{Reads: []int{1}, Full: prune.View{Global: a}}
	for i := range 150 {
		p.Classes, p.Full.ByClass = append(p.Classes, fmt.Sprint("class ", i)), append(p.Full.ByClass, a)
	}
	got := heatMap(p)
	if !strings.Contains(got, "class 39") || strings.Contains(got, "class 40") || !strings.HasSuffix(got, "and 110 more classes, in profile.json\n") {
		t.Errorf("got\n%s", got)
	}
}
