package exit_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/exit"
)

// choose allows no answer to change, at most half a point of less than two hundred samples.
func choose(t testing.TB, table *exit.Table, s exit.StageTimes) exit.Choice {
	t.Helper()
	c, err := exit.ChooseExits(table, s, exit.Options{Risk: exit.Consistency, Eps: 0.005, Delta: 0.05, Gates: []string{exit.MaxProb}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// times repeats samples.
func times(n int, samples ...string) []string { return slices.Repeat(samples, n) }

func TestChooseExits(t *testing.T) {
	for _, c := range []struct {
		name    string
		table   *exit.Table
		stages  exit.StageTimes
		want    []int
		reasons []string // how the reason of each early exit begins
		kept    float64
	}{
		{
			// Half leave at depth 0, a quarter at depth 1: 3, 3, 17 and 117 µs against 111.
			"both earn", leavers(times(20, "SS", "S-", "-S", "--")...), stages([]float64{1, 10, 100}, []float64{2, 4, 0}),
			[]int{0, 1}, []string{"saves more", "saves more"}, 35,
		},
		{
			// Nobody can leave at depth 0 without a wrong answer. Half the samples leave at depth 1: 15 and 115 µs.
			"nobody uses the first", leavers(times(20, "WS", "WS", "W-", "--")...), stages([]float64{1, 10, 100}, []float64{2, 4, 0}),
			[]int{1}, []string{"no sample leaves here", "saves more"}, 65,
		},
		{
			// All are sure and right at depth 0, and leave there after 1+2.
			"everyone uses the first", leavers(times(20, "SS")...), stages([]float64{1, 10, 100}, []float64{2, 4, 0}),
			[]int{0}, []string{"saves more", "no sample leaves here"}, 3,
		},
		{
			// A quarter leaves at depth 0 and saves 10+4; the answer there costs all of them 20.
			"an expensive scorer", leavers(times(20, "SS", "-S", "-S", "--")...), stages([]float64{1, 10, 100}, []float64{20, 4, 0}),
			[]int{1}, []string{"saves no more", "saves more"}, (3*15 + 115) / 4.,
		},
		{
			"every scorer too expensive", leavers(times(20, "SS", "-S", "--", "--")...), stages([]float64{1, 10, 100}, []float64{500, 500, 0}),
			nil, []string{"saves no more", "saves no more"}, 111,
		},
		{
			// The two exits let the same samples leave, and reaching the second takes no time.
			"a tie", leavers(times(20, "SS", "--")...), stages([]float64{1, 0, 100}, []float64{0, 0, 0}),
			[]int{1}, []string{"saves no more", "saves more"}, 51,
		},
		{
			"no early exit", leavers("", ""), stages([]float64{7}, []float64{0}), nil, nil, 7,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := choose(t, c.table, c.stages)
			if !slices.Equal(got.Exits, c.want) || got.Kept != c.kept || got.Off != c.stages.Full() {
				t.Errorf("keeps %v at %v µs (%v with exits off), want %v at %v (%v)", got.Exits, got.Kept, got.Off, c.want, c.kept, c.stages.Full())
			}
			for k, v := range got.Verdicts {
				if v.Depth != k || v.Kept != slices.Contains(c.want, k) || !strings.HasPrefix(v.Reason, c.reasons[k]) {
					t.Errorf("depth %d: %+v, want reason %q", k, v, c.reasons[k])
				}
			}
		})
	}
}

// Whatever the table and the times, the exits that are kept are not slower than all of them, nor than none, and the same
// input gives the same choice.
func TestChooseExitsIsNeverSlower(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		table := costed(rapid.Uint64().Draw(r, "seed"), rapid.IntRange(1, 60).Draw(r, "n"), rapid.IntRange(2, 4).Draw(r, "exits"), 0.6)
		s := drawStages(r, table)
		o := exit.DefaultOptions()
		o.Eps, o.Gates = 0.1, []string{exit.Margin}
		c, err := exit.ChooseExits(table, s, o)
		if err != nil {
			r.Fatal(err)
		}
		if c.Kept > c.All || c.Kept > c.Off || c.Off != s.Full() {
			r.Fatalf("%v µs with the exits %v, %v with all, %v with none", c.Kept, c.Exits, c.All, c.Off)
		}
		var kept []int
		for k, v := range c.Verdicts {
			if v.Depth != table.Exits[k] || v.Reason == "" {
				r.Fatalf("verdict %d is %+v", k, v)
			}
			if v.Kept {
				kept = append(kept, v.Depth)
			}
		}
		if len(c.Verdicts) != len(table.Exits)-1 || !slices.Equal(kept, c.Exits) {
			r.Fatalf("keeps %v, by the verdicts %v of exits %v", c.Exits, kept, table.Exits)
		}
		again, err := exit.ChooseExits(table, s, o)
		if err != nil || !reflect.DeepEqual(c, again) {
			r.Fatalf("chose %+v, then %+v (%v)", c, again, err)
		}
	})
}

// Answers that cost nothing leave no reason to switch off an exit that is used.
func TestChooseExitsKeepsWhatIsFree(t *testing.T) {
	table := costed(5, 2000, 4, 0.5)
	s := exit.StageTimes{Batch: 1, Repetitions: 1, Exits: table.Exits, Run: []float64{10, 10, 10, 10}, Ask: []float64{0, 0, 0, 0}}
	o := exit.DefaultOptions()
	o.Eps = 0.02
	c, err := exit.ChooseExits(table, s, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Verdicts {
		if v.Kept != (v.Share > 0) {
			t.Errorf("depth %d: %+v, want it kept if it is used", v.Depth, v)
		}
	}
	if c.Kept > 0.9*c.Off {
		t.Errorf("%v µs with exits, %v without, want a saving", c.Kept, c.Off)
	}
}

// One of 200 answers may be wrong: then all samples leave at depth 0. At less risk only half of them do, and the others at
// depth 1. A certificate may stop at either, so depth 1 stays on.
func TestChooseExitsKeepsWhatCarefulPoliciesUse(t *testing.T) {
	table := leavers(append(times(99, "SS", "RS"), "SS", "-S")...)
	s := stages([]float64{1, 10, 100}, []float64{2, 4, 0})
	c := choose(t, table, s)
	if !slices.Equal(c.Exits, []int{0, 1}) || c.Verdicts[1].Share <= 0 {
		t.Errorf("%+v, want both exits kept", c)
	}
}
