package exit

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// StageTimes are measured times of a network in µs per sample, on one backend at one batch size. Stage k leads to exit k:
// from the exit before it, the first from the input.
type StageTimes struct {
	Batch       int       `json:"batch"`
	Repetitions int       `json:"repetitions"` // the times are medians of so many
	Exits       []int     `json:"exits"`       // depths, ascending; the last is the network's
	Run         []float64 `json:"run_us"`      // of the stage without an answer at its exit; the last always answers
	Ask         []float64 `json:"ask_us"`      // that answer and scores at the exit add; 0 at the last
}

// Validate reports every fault with field and value.
func (s StageTimes) Validate() error {
	var faults []error
	if len(s.Exits) == 0 {
		faults = append(faults, errors.New("exit: stage times: no exits, want at least the last depth"))
	}
	if err := ascending(s.Exits); err != nil {
		faults = append(faults, fmt.Errorf("exit: stage times: exits: %w", err))
	}
	for _, f := range []struct {
		name  string
		times []float64
	}{{"run", s.Run}, {"ask", s.Ask}} {
		if len(f.times) != len(s.Exits) {
			faults = append(faults, fmt.Errorf("exit: stage times: %s has %d times for %d exits", f.name, len(f.times), len(s.Exits)))
		}
		for k, us := range f.times {
			if !(us >= 0) || math.IsInf(us, 1) {
				faults = append(faults, fmt.Errorf("exit: stage times: %s %d is %v µs, want 0 or more", f.name, k, us))
			}
		}
	}
	return errors.Join(faults...)
}

// Full is the time per sample with exits off, µs.
func (s StageTimes) Full() float64 {
	full := 0.0
	for _, us := range s.Run {
		full += us
	}
	return full
}

// leaving is the time to leave at each exit: all stages to it, the answers of the exits that are asked on the way, and
// its own.
func (s StageTimes) leaving(asked []bool) []float64 {
	at := make([]float64, len(s.Exits))
	passed := 0.0
	for k := range at {
		passed += s.Run[k]
		at[k] = passed + s.Ask[k]
		if k < len(asked) && asked[k] {
			passed += s.Ask[k]
		}
	}
	return at
}

// Utility is what an exit is worth under a policy: all times are means over all samples of a table, µs per sample.
//
// Apparate (SOSP 2024) switches ramps by U_i = r_i (T_{i+1} - T_i) - (sum_{j>i} r_j) h_i, with exit rates r, times T and
// the cost h of asking: it takes for granted that whoever leaves at i would leave at the next exit. The score table knows
// where each of them would leave, so here the utility is exact: by so much the policy would be slower without the exit,
// its other thresholds unchanged. The leavers are asked too, which counts as cost here and as lesser gain there.
type Utility struct {
	Depth int     `json:"depth"`
	Share float64 `json:"share"`      // of the samples, that leave here
	Gain  float64 `json:"gain_us"`    // the way from here to where they would leave without this exit
	Cost  float64 `json:"cost_us"`    // what asking costs all that come here
	Net   float64 `json:"utility_us"` // Gain - Cost
}

// Utilities are those of every early exit of the table under a policy, and the mean time per sample, µs. An exit without
// a threshold or with "never" is not asked: it costs and gains nothing.
func Utilities(t *Table, p Policy, s StageTimes) (all []Utility, mean float64, err error) {
	if err := s.of(t); err != nil {
		return nil, 0, err
	}
	if err := p.Validate(t.Exits); err != nil {
		return nil, 0, err
	}
	a := t.align(p)
	asked := a.asked()
	at := s.leaving(asked)
	left := make([]int, len(at))      // samples that leave at each exit
	saved := make([]float64, len(at)) // what they would take from there on, summed
	for _, scores := range t.Scores {
		k := a.exitOf(scores)
		left[k]++
		if k < len(asked) {
			saved[k] += at[a.exitAfter(k, scores)] - at[k]
		}
	}
	n := float64(len(t.Scores))
	reach := n
	for k, count := range left {
		u := Utility{Depth: t.Exits[k], Share: float64(count) / n, Gain: saved[k] / n}
		mean += u.Share * at[k]
		if k == len(asked) {
			break
		}
		if asked[k] {
			u.Cost = s.Ask[k] * reach / n
		}
		reach -= float64(count)
		u.Net = u.Gain - u.Cost
		all = append(all, u)
	}
	return all, mean, nil
}

// of checks that the times are valid and of a network like that of the table, which has samples.
func (s StageTimes) of(t *Table) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if !slices.Equal(s.Exits, t.Exits) {
		return fmt.Errorf("exit: stage times are of exits %v, the table of %v, want the same", s.Exits, t.Exits)
	}
	if len(t.Scores) == 0 {
		return errors.New("exit: table: no samples")
	}
	return nil
}
