package exit_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/exit"
)

// costed is a synthetic table in which answering costs 10 MACs at every exit: of 100, 200, … MACs with exits on, 10, 20, …
// are saved behind the first exit with exits off.
func costed(seed uint64, n, exits int, noise float64) *exit.Table {
	t := synthetic(seed, n, exits, noise)
	for k, m := range t.MACs {
		t.Plain = append(t.Plain, m-int64(10*k))
	}
	return t
}

// Without the exit at depth 0 the others cost 10 less: its answer is not evaluated.
func TestRestrictDropsTheCostOfExits(t *testing.T) {
	table := costed(1, 5, 3, 0.5)
	r, err := table.Restrict(func(depth int) bool { return depth > 0 })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Exits, []int{2, 4}) || !slices.Equal(r.MACs, []int64{190, 290}) || !slices.Equal(r.Plain, []int64{190, 280}) {
		t.Errorf("exits %v, MACs %v, plain %v; want [2 4], [190 290], [190 280]", r.Exits, r.MACs, r.Plain)
	}
	if !reflect.DeepEqual(r.Logits[3], table.Logits[3][1:]) || !reflect.DeepEqual(r.Scores[3], table.Scores[3][1:]) {
		t.Error("the rows of the exits that stay have changed")
	}
	same, err := table.Restrict(func(int) bool { return true })
	if err != nil || !reflect.DeepEqual(same, table) {
		t.Errorf("keeping all exits changes the table (%v)", err)
	}
	table.Plain = nil
	if _, err := table.Restrict(func(int) bool { return true }); err == nil || !strings.Contains(err.Error(), "no plain MACs") {
		t.Errorf("error is %v, want one about plain MACs", err)
	}
}

// A policy does the same on the restricted table as on the whole one, where the other exits have no threshold.
func TestRestrictChangesNoDecision(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		table := costed(rapid.Uint64().Draw(r, "seed"), 50, rapid.IntRange(2, 5).Draw(r, "exits"), 0.6)
		kept := drawExits(r, table)
		p := drawPolicy(r, kept)
		few, err := table.Restrict(func(depth int) bool { return slices.Contains(kept, depth) })
		if err != nil {
			r.Fatal(err)
		}
		before, after := table.Apply(p), few.Apply(p)
		for i := range before {
			if table.Exits[before[i].Exit] != few.Exits[after[i].Exit] || before[i].Answer != after[i].Answer {
				r.Fatalf("sample %d: %+v of %v, restricted %+v of %v", i, before[i], table.Exits, after[i], few.Exits)
			}
		}
	})
}

// drawExits is some of the early exits of a table.
func drawExits(r *rapid.T, t *exit.Table) []int {
	var kept []int
	for _, depth := range t.Exits[:len(t.Exits)-1] {
		if rapid.Bool().Draw(r, "keep") {
			kept = append(kept, depth)
		}
	}
	return kept
}

// drawPolicy has a threshold for each of the exits, some of them "never".
func drawPolicy(r *rapid.T, exits []int) exit.Policy {
	p := exit.Policy{Gate: rapid.SampledFrom(exit.Gates).Draw(r, "gate"), Exits: exits}
	for range exits {
		threshold := exit.Threshold(rapid.Float64Range(0, 1).Draw(r, "threshold"))
		if rapid.IntRange(0, 4).Draw(r, "never") == 0 {
			threshold = exit.Never
		}
		p.Thresholds = append(p.Thresholds, threshold)
	}
	return p
}
