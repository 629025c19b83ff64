package exit_test

import (
	"math"
	"slices"
	"testing"

	"github.com/layarun/layarun/exit"
)

// handmade has exits at depths 0, 2, 4 that cost 100, 200, 300 and these answers (? = not finite, in capitals = sure):
//
//	label  depth 0  2  4
//	    a        A  a  a
//	    b        A  b  b    destructive to leave at once
//	    c        c  C  a    overthinking: only the last exit is wrong
//	    a        ?  B  ?
//	    -        B  c  c    no label
func handmade() *exit.Table {
	t := emptyTable(3)
	row := func(class int, logit float32) []float32 {
		r := make([]float32, 3)
		r[class] = logit
		return r
	}
	a, b, c := 0, 1, 2
	const sure, unsure = 9, 0.1
	bad := []float32{0, nan, 0}
	add(t, a, [][]float32{row(a, sure), row(a, unsure), row(a, unsure)})
	add(t, b, [][]float32{row(a, sure), row(b, unsure), row(b, unsure)})
	add(t, c, [][]float32{row(c, unsure), row(c, sure), row(a, unsure)})
	add(t, a, [][]float32{bad, row(b, sure), bad})
	add(t, -1, [][]float32{row(b, sure), row(c, unsure), row(c, unsure)})
	return t
}

func TestApply(t *testing.T) {
	table := handmade()
	if err := table.Validate(); err != nil {
		t.Fatal(err)
	}
	policy := func(exits []int, thresholds ...exit.Threshold) exit.Policy {
		return exit.Policy{Gate: exit.MaxProb, Exits: exits, Thresholds: thresholds}
	}
	for _, c := range []struct {
		name     string
		outcomes []exit.Outcome
		want     []exit.Outcome
	}{
		{"full", table.Apply(exit.Full()), []exit.Outcome{{2, 0}, {2, 1}, {2, 0}, {2, -1}, {2, 2}}},
		{"sure", table.Apply(policy([]int{0, 2}, 0.9, 0.9)), []exit.Outcome{{0, 0}, {0, 0}, {1, 2}, {1, 1}, {0, 1}}},
		{"at once, unless not finite", table.Apply(policy([]int{0}, 0)), []exit.Outcome{{0, 0}, {0, 0}, {0, 2}, {2, -1}, {0, 1}}},
		{"one exit off", table.Apply(policy([]int{0, 2}, exit.Never, 0.9)), []exit.Outcome{{2, 0}, {2, 1}, {1, 2}, {1, 1}, {2, 2}}},
		{"forced", table.Forced(1), []exit.Outcome{{1, 0}, {1, 1}, {1, 2}, {1, 1}, {1, 2}}},
		{"oracle", table.Oracle(), []exit.Outcome{{0, 0}, {1, 1}, {0, 2}, {0, -1}, {1, 2}}},
		{"agreeing oracle", table.AgreeingOracle(), []exit.Outcome{{0, 0}, {1, 1}, {2, 0}, {2, -1}, {1, 2}}},
	} {
		if !slices.Equal(c.outcomes, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.outcomes, c.want)
		}
	}
}

func TestSummarize(t *testing.T) {
	table := handmade()
	p := exit.Policy{Gate: exit.MaxProb, Exits: []int{0, 2}, Thresholds: []exit.Threshold{0.9, 0.9}}
	got := table.Summarize(table.Apply(p))
	// Of the rows in handmade's comment: 1 right as before, 2 spoilt, 3 mended, 4 wrong as before but another answer than
	// the full network's error, 5 changed and unlabelled. Exits 0, 0, 1, 1, 0.
	want := exit.Summary{
		N: 5, Labelled: 4, Right: 2, Worse: 1, Better: 1, Changed: 4, Errors: 0,
		MeanDepth: 4. / 5, MeanMACs: 700. / 5, Shares: []float64{0.6, 0.4, 0},
	}
	if got.N != want.N || got.Labelled != want.Labelled || got.Right != want.Right || got.Worse != want.Worse ||
		got.Better != want.Better || got.Changed != want.Changed || got.Errors != want.Errors {
		t.Errorf("counts are %+v, want %+v", got, want)
	}
	close := func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }
	if !close(got.MeanDepth, want.MeanDepth) || !close(got.MeanMACs, want.MeanMACs) || !slices.EqualFunc(got.Shares, want.Shares, close) {
		t.Errorf("means are %+v, want %+v", got, want)
	}
	if got.Accuracy() != 0.5 || got.Drop() != 0 {
		t.Errorf("accuracy %g and drop %g, want 0.5 and 0", got.Accuracy(), got.Drop())
	}
	full := table.Summarize(table.Apply(exit.Full()))
	if full.Worse != 0 || full.Better != 0 || full.Changed != 0 || full.Errors != 1 {
		t.Errorf("the full policy against the full network: %+v, want no difference and one error", full)
	}
	if s := emptyTable(2).Summarize(nil); s.N != 0 || s.MeanDepth != 0 || s.Accuracy() != 0 {
		t.Errorf("no samples: %+v", s)
	}
}
