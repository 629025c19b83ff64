package prune_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/layarun/layarun/prune"
)

// profileOf gives the depths 0, 1, … these scores, for one class.
func profileOf(scores ...float64) prune.Profile {
	a := prune.Attention{N: 1, Mean: scores, Std: make([]float64, len(scores)), Score: scores}
	p := prune.Profile{Classes: []string{"a"}, Full: prune.View{Global: a, ByClass: []prune.Attention{a}}, Bundle: "d"}
	for depth := range scores {
		p.Reads = append(p.Reads, depth)
	}
	return p
}

// costs is a fake network: removing a block, an end or a branch breaks so many of 1,000 answers. together adds to that
// where two blocks are both gone.
type costs struct {
	block, branch map[int]int
	together      map[[2]int]int
	depth         int
	asked         []string
}

func (c *costs) measure(p prune.Plan) (prune.Measurement, error) {
	c.asked = append(c.asked, fmt.Sprint(p.Keep, p.Reads))
	gone := func(k int) bool { return !slices.Contains(p.Keep, k) }
	m := prune.Measurement{Samples: 1000}
	for k := 1; k <= c.depth; k++ {
		if gone(k) {
			m.Broken += c.block[k]
		}
	}
	for k := range c.depth + 1 {
		if !slices.Contains(p.Reads, k) {
			m.Broken += c.branch[k]
		}
	}
	for pair, n := range c.together {
		if gone(pair[0]) && gone(pair[1]) {
			m.Broken += n
		}
	}
	m.Accuracy = 0.9 - m.Drop()
	return m, nil
}

func TestSearch(t *testing.T) {
	all := []bool{true, true, true, true}
	for _, c := range []struct {
		name        string
		scores      []float64 // of depths 0 to 4
		removable   []bool
		costs       costs
		maxDrop     float64
		keep, reads []int
		steps       []string // what was tried; a + where it was accepted
	}{
		{name: "nothing below", scores: []float64{.2, .2, .2, .2, .2}, removable: all,
			keep: []int{1, 2, 3, 4}, reads: []int{0, 1, 2, 3, 4}},
		{name: "the end goes in one cut", scores: []float64{.3, .3, .3, .05, .05}, removable: make([]bool, 4), maxDrop: .005,
			costs: costs{block: map[int]int{3: 2, 4: 3}}, // 5 of 1,000 are just allowed
			keep:  []int{1, 2}, reads: []int{0, 1, 2}, steps: []string{"+suffix after block 2"}},
		{name: "a cut that costs too much is made deeper", scores: []float64{.3, .3, .3, .05, .05}, removable: make([]bool, 4), maxDrop: .005,
			costs: costs{block: map[int]int{3: 4, 4: 2}, branch: map[int]int{3: 1}},
			keep:  []int{1, 2, 3}, reads: []int{0, 1, 2, 3}, // branch 3 is low too, but something must answer at the end
			steps: []string{"suffix after block 2", "+suffix after block 3"}},
		{name: "blocks go by score, branches after them", scores: []float64{.04, .03, .02, .01, .9}, removable: all, maxDrop: .005,
			costs: costs{block: map[int]int{1: 2, 2: 9, 3: 2}, branch: map[int]int{0: 0, 2: 1}},
			keep:  []int{2, 4}, reads: []int{4}, steps: []string{"+block 3", "block 2", "+block 1", "+branch 2", "+branch 0"}},
		{name: "drops do not add up", scores: []float64{.5, .01, .02, .5, .5}, removable: all, maxDrop: .005,
			costs: costs{block: map[int]int{1: 1, 2: 1}, together: map[[2]int]int{{1, 2}: 50}},
			keep:  []int{2, 3, 4}, reads: []int{0, 3, 4}, steps: []string{"+block 1", "block 2", "+branch 2"}},
		{name: "two together cost less than one", scores: []float64{.5, .01, .02, .5, .5}, removable: all, maxDrop: .005,
			costs: costs{block: map[int]int{1: 4, 2: 4}, together: map[[2]int]int{{1, 2}: -7}},
			keep:  []int{3, 4}, reads: []int{0, 3, 4}, steps: []string{"+block 1", "+block 2"}},
		{name: "only residual blocks go", scores: []float64{.5, .01, .02, .5, .5}, removable: []bool{false, true, false, false}, maxDrop: .005,
			keep: []int{1, 3, 4}, reads: []int{0, 3, 4}, steps: []string{"+block 2", "+branch 1"}},
		{name: "no drop allowed, a gain is", scores: []float64{.5, .01, .02, .5, .5}, removable: all, maxDrop: 0,
			costs: costs{block: map[int]int{1: 1, 2: -1}, branch: map[int]int{1: 2}},
			keep:  []int{1, 3, 4}, reads: []int{0, 1, 3, 4}, // blocks and branches in turn: 1 + 2, then -1, then -1 + 2 broken
			steps: []string{"block 1", "+block 2", "branch 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.costs.depth = 4
			plan, err := prune.Search(profileOf(c.scores...), c.removable, 0.1, c.maxDrop, c.costs.measure)
			if err != nil {
				t.Fatal(err)
			}
			var steps []string
			for _, s := range plan.Steps {
				mark := ""
				if s.Accepted {
					mark = "+"
				}
				steps = append(steps, mark+s.What)
				if s.Accepted != (s.Drop <= c.maxDrop) || math.Abs(s.Accuracy-(0.9-s.Drop)) > 1e-12 || s.Reason == "" {
					t.Errorf("step %+v does not agree with itself", s)
				}
			}
			if !slices.Equal(plan.Keep, c.keep) || !slices.Equal(plan.Reads, c.reads) || !slices.Equal(steps, c.steps) {
				t.Errorf("got keep %v, reads %v, steps %q\nwant keep %v, reads %v, steps %q", plan.Keep, plan.Reads, steps, c.keep, c.reads, c.steps)
			}
			if plan.Bundle != "d" || plan.Threshold != 0.1 || len(c.costs.asked) != len(steps) {
				t.Errorf("bundle %q, threshold %v, %d measurements for %d steps", plan.Bundle, plan.Threshold, len(c.costs.asked), len(steps))
			}
		})
	}
}

func TestSearchRefuses(t *testing.T) {
	removable := []bool{true, true}
	good := profileOf(.3, .3, .4)
	broken := profileOf(.3, .3, .4)
	broken.Full.Global.Score = nil
	unseen := profileOf(.3, .3, .4)
	unseen.Full = prune.View{ByClass: make([]prune.Attention, 1)}
	never := func(prune.Plan) (prune.Measurement, error) {
		t.Error("a search that is refused measures nothing")
		return prune.Measurement{}, nil
	}
	for name, c := range map[string]struct {
		profile            prune.Profile
		removable          []bool
		threshold, maxDrop float64
		word               string
	}{
		"threshold 0":    {good, removable, 0, 0, "threshold is 0"},
		"threshold 1":    {good, removable, 1, 0, "threshold is 1"},
		"threshold NaN":  {good, removable, math.NaN(), 0, "threshold is NaN"},
		"drop":           {good, removable, 0.1, -0.1, "drop is -0.1"},
		"another depth":  {good, removable[:1], 0.1, 0, "has 1 blocks"},
		"broken profile": {broken, removable, 0.1, 0, "score has 0 numbers"},
		"empty profile":  {unseen, removable, 0.1, 0, "no sample"},
		"nothing kept":   {good, removable, 0.5, 0, "highest score of a block is 0.4, at depth 2"},
		"only depth 0":   {profileOf(.8, .1, .1), removable, 0.5, 0, "nothing would be kept"},
	} {
		if _, err := prune.Search(c.profile, c.removable, c.threshold, c.maxDrop, never); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.word)
		}
	}
	fault := errors.New("device lost")
	for name, m := range map[string]func(prune.Plan) (prune.Measurement, error){
		"failing":   func(prune.Plan) (prune.Measurement, error) { return prune.Measurement{}, fault },
		"no sample": func(prune.Plan) (prune.Measurement, error) { return prune.Measurement{}, nil },
	} {
		_, err := prune.Search(profileOf(.5, .05, .45), removable, 0.1, 0, m)
		if err == nil || !strings.Contains(err.Error(), "block 1") || name == "failing" && !errors.Is(err, fault) {
			t.Errorf("%s measurement: got %v, want an error that names block 1", name, err)
		}
	}
}

func ExampleSearch() {
	a := prune.Attention{N: 1, Mean: []float64{.3, .05, .65}, Std: []float64{0, 0, 0}, Score: []float64{.3, .05, .65}}
	profile := prune.Profile{Reads: []int{1, 2, 3}, Classes: []string{"all"}, Full: prune.View{Global: a, ByClass: []prune.Attention{a}}}
	measure := func(prune.Plan) (prune.Measurement, error) { // runs the candidate on the validation split
		return prune.Measurement{Samples: 1000, Accuracy: 0.949, Broken: 3, Mended: 2}, nil
	}
	plan, err := prune.Search(profile, []bool{false, true, true}, 0.1, 0.005, measure)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("keeps blocks", plan.Keep, "and reads", plan.Reads)
	fmt.Printf("%s: score %.2f, accuracy %.3f, %s\n", plan.Steps[0].What, plan.Steps[0].Score, plan.Steps[0].Accuracy, plan.Steps[0].Reason)
	// Output:
	// keeps blocks [1 3] and reads [1 3]
	// block 2: score 0.05, accuracy 0.949, at most 0.5 points: 3 broken, 2 mended of 1000
}
