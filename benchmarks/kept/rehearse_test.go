package main

import (
	"testing"
	"time"

	"github.com/layarun/layarun/benchmarks/internal/oracle"
	"github.com/layarun/layarun/benchmarks/internal/result"
)

// The scheduler on segments that only take time is never faster than the oracle, which knows more and never waits, and a
// sample alone takes the sum of the times on its way.
func TestRehearse(t *testing.T) {
	costs := oracle.Costs{Buckets: []int{1, 2, 4}, Widths: []int{1, 2}, Times: [][][]float64{
		{{.2, .3, .5}, {.4, .5, .7}, {.1, .2, .3}},
		{{.3, .4, .7}, {.5, .7, 1.1}, {.2, .2, .4}},
	}}
	left := []int{0, 2, 1, 0, 0, 2, 1, 2, 0, 1, 0, 0}
	n := result.KeptNetwork{Workers: 2, CostsOn: costs, CostsOff: costs, Points: []result.KeptPoint{{Batch: 1}, {Batch: 4}, {Callers: 6}}}
	if err := foresee(&n, left); err != nil {
		t.Fatal(err)
	}
	p := plan{repetitions: 3}
	if err := p.rehearse(t.Context(), &n, left); err != nil {
		t.Fatal(err)
	}
	alone := (6*.2 + 3*(.2+.4) + 3*(.2+.4+.1)) / 12
	for i, point := range n.Points {
		least := point.OracleOn
		if point.Batch == 1 {
			least = alone
		}
		if !(point.RuleOn >= least*(1-1e-9)) {
			t.Errorf("point %d: the rule takes %v ms a sample, the least is %v", i, point.RuleOn, least)
		}
	}
}

// Beside another, a batch takes the time that it was measured to take there.
func TestRehearsalBeside(t *testing.T) {
	r := &rehearsal{costs: &oracle.Costs{Buckets: []int{1}, Widths: []int{1, 2}, Times: [][][]float64{{{.1}}, {{2}}}}}
	r.active.Add(1)
	start := time.Now()
	r.pass(0, 0)
	if took := time.Since(start); took < 2*time.Millisecond {
		t.Errorf("a batch beside another took %v, want 2 ms at least", took)
	}
}
