package main

import (
	"math"
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
	alone := (6*.2 + 3*(.2+.4) + 3*(.2+.4+.1)) / 12
	for _, point := range []result.KeptPoint{{Batch: 1}, {Batch: 4}, {Callers: 6}} {
		least, err := bound(&costs, left, point)
		if err != nil {
			t.Fatal(err)
		}
		if point.Batch == 1 && math.Abs(least-alone) > 1e-12 {
			t.Errorf("alone a sample takes %v ms at least, want %v", least, alone)
		}
		took, err := rehearse(t.Context(), &costs, 2, left, point)
		if err != nil {
			t.Fatal(err)
		}
		if !(took >= least*(1-1e-9)) {
			t.Errorf("%+v: the rule takes %v ms a sample, the least is %v", point, took, least)
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
