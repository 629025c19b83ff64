package exit_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/exit"
)

// leavers is a table of two classes with exits at depths 0, 1, …, the last of them right for all samples. Each sample is a
// string of a letter per early exit: S sure and right, W sure and wrong, R unsure and right, - as unsure and wrong.
func leavers(samples ...string) *exit.Table {
	t := &exit.Table{Bundle: "bundle", Split: "split", Classes: []string{"a", "b"}}
	for k := range len(samples[0]) + 1 {
		t.Exits = append(t.Exits, k)
		t.MACs = append(t.MACs, int64(110*k+10)) // a block costs 100, an answer 10
		t.Plain = append(t.Plain, int64(100*k+10))
	}
	for _, s := range samples {
		var logits [][]float32
		for _, kind := range s {
			logits = append(logits, map[rune][]float32{'S': {9, 0}, 'W': {0, 9}, 'R': {0.1, 0}, '-': {0, 0.1}}[kind])
		}
		add(t, 0, append(logits, []float32{9, 0}))
	}
	return t
}

// sure lets samples leave at the given depths if they are sure.
func sure(depths ...int) exit.Policy {
	return exit.Policy{Gate: exit.MaxProb, Exits: depths, Thresholds: slices.Repeat([]exit.Threshold{0.9}, len(depths))}
}

// stages are times of exits at depths 0, 1, …
func stages(run, ask []float64) exit.StageTimes {
	s := exit.StageTimes{Batch: 1, Repetitions: 1, Run: run, Ask: ask}
	for k := range run {
		s.Exits = append(s.Exits, k)
	}
	return s
}

func TestUtilities(t *testing.T) {
	// Of four samples two leave at depth 0, one of which would be sure at depth 1 too, one at depth 1, one at the end.
	table := leavers("SS", "S-", "-S", "--")
	s := stages([]float64{1, 10, 100}, []float64{2, 4, 0})
	for _, c := range []struct {
		name   string
		policy exit.Policy
		want   []exit.Utility
		mean   float64
	}{
		// Leaving takes 1+2 at depth 0, 1+2+10+4 at depth 1, 1+2+10+4+100 at the end. Without depth 0 the first sample would
		// go on for 10+4, the second for 10+4+100. Without depth 1 the third would go on for 100.
		{"both", sure(0, 1), []exit.Utility{
			{Depth: 0, Share: 0.5, Gain: (14 + 114) / 4., Cost: 4 * 2 / 4., Net: 30},
			{Depth: 1, Share: 0.25, Gain: 100 / 4., Cost: 2 * 4 / 4., Net: 23},
		}, (3 + 3 + 17 + 117) / 4.},
		// Nobody is asked at depth 0: leaving takes 1+10+4 at depth 1 and 1+10+4+100 at the end, where two samples leave.
		{"deeper", sure(1), []exit.Utility{
			{Depth: 0}, {Depth: 1, Share: 0.5, Gain: 100 * 2 / 4., Cost: 4 * 4 / 4., Net: 46},
		}, (15 + 15 + 115 + 115) / 4.},
		{"never", exit.Policy{Gate: exit.MaxProb, Exits: []int{0, 1}, Thresholds: []exit.Threshold{exit.Never, exit.Never}},
			[]exit.Utility{{Depth: 0}, {Depth: 1}}, 111},
		{"full", exit.Full(), []exit.Utility{{Depth: 0}, {Depth: 1}}, 111},
	} {
		got, mean, err := exit.Utilities(table, c.policy, s)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, c.want) || mean != c.mean { // quarters of small integers: exact
			t.Errorf("%s: %+v and %v µs, want %+v and %v", c.name, got, mean, c.want, c.mean)
		}
	}
}

// slowly is the mean time of a policy, sample by sample: the reference of Utilities.
func slowly(t *exit.Table, p exit.Policy, s exit.StageTimes) float64 {
	total := 0.0
	for i := range t.Scores {
		for k, depth := range t.Exits {
			total += s.Run[k]
			at := slices.Index(p.Exits, depth)
			asked := at >= 0 && !math.IsInf(float64(p.Thresholds[at]), 1)
			if asked {
				total += s.Ask[k]
			}
			if asked && p.Leaves(depth, t.Scores[i][k]) {
				break
			}
		}
	}
	return total / float64(len(t.Scores))
}

// The utility of an exit is by how much the policy would be slower without it.
func TestUtilitiesAreDifferences(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		table := synthetic(rapid.Uint64().Draw(r, "seed"), rapid.IntRange(1, 80).Draw(r, "n"), rapid.IntRange(1, 5).Draw(r, "exits"), 0.6)
		s := drawStages(r, table)
		p := drawPolicy(r, drawExits(r, table))
		all, mean, err := exit.Utilities(table, p, s)
		if err != nil {
			r.Fatal(err)
		}
		near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*s.Full() } // sums of some hundred terms
		if want := slowly(table, p, s); !near(mean, want) {
			r.Fatalf("mean %v, want %v", mean, want)
		}
		shares := table.Summarize(table.Apply(p)).Shares
		for k, u := range all {
			without := exit.Policy{Gate: p.Gate}
			for i, d := range p.Exits {
				if d != u.Depth {
					without.Exits, without.Thresholds = append(without.Exits, d), append(without.Thresholds, p.Thresholds[i])
				}
			}
			if want := slowly(table, without, s) - mean; !near(u.Net, want) || !near(u.Gain-u.Cost, want) {
				r.Fatalf("utility of depth %d is %+v, want %v in all", u.Depth, u, want)
			}
			if math.Abs(u.Share-shares[k]) > 1e-9 || u.Gain < 0 || u.Cost < 0 {
				r.Fatalf("depth %d: %+v, want share %v, and neither gain nor cost below 0", u.Depth, u, shares[k])
			}
		}
	})
}

// drawStages are times for the exits of a table, some of them 0.
func drawStages(r *rapid.T, t *exit.Table) exit.StageTimes {
	s := exit.StageTimes{Batch: 1, Repetitions: 1, Exits: t.Exits}
	for k := range t.Exits {
		s.Run = append(s.Run, rapid.Float64Range(1, 100).Draw(r, "run"))
		ask := 0.0
		if k < len(t.Exits)-1 && rapid.Bool().Draw(r, "asks") {
			ask = rapid.Float64Range(0, 200).Draw(r, "ask")
		}
		s.Ask = append(s.Ask, ask)
	}
	return s
}

func TestUtilitiesRefuse(t *testing.T) {
	good := stages([]float64{1, 10, 100}, []float64{2, 4, 0})
	for want, change := range map[string]func(*exit.Table, *exit.Policy, *exit.StageTimes){
		"run has 1 times for 3 exits": func(_ *exit.Table, _ *exit.Policy, s *exit.StageTimes) { s.Run = s.Run[:1] },
		"ask 1 is NaN µs":             func(_ *exit.Table, _ *exit.Policy, s *exit.StageTimes) { s.Ask = []float64{0, math.NaN(), 0} },
		"run 2 is -1 µs":              func(_ *exit.Table, _ *exit.Policy, s *exit.StageTimes) { s.Run = []float64{0, 0, -1} },
		"run 0 is +Inf µs":            func(_ *exit.Table, _ *exit.Policy, s *exit.StageTimes) { s.Run = []float64{math.Inf(1), 0, 0} },
		"no exits":                    func(_ *exit.Table, _ *exit.Policy, s *exit.StageTimes) { *s = exit.StageTimes{} },
		"exits: [2 1 0]":              func(_ *exit.Table, _ *exit.Policy, s *exit.StageTimes) { s.Exits = []int{2, 1, 0} },
		"are of exits [0 1 3], the table of [0 1 2]": func(_ *exit.Table, _ *exit.Policy, s *exit.StageTimes) { s.Exits = []int{0, 1, 3} },
		"no samples":     func(t *exit.Table, _ *exit.Policy, _ *exit.StageTimes) { t.Labels, t.Scores, t.Logits = nil, nil, nil },
		`gate is "luck"`: func(_ *exit.Table, p *exit.Policy, _ *exit.StageTimes) { p.Gate = "luck" },
	} {
		table, policy, s := leavers("SS"), sure(0), good
		change(table, &policy, &s)
		if _, _, err := exit.Utilities(table, policy, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want it to say %q", err, want)
		}
	}
}
