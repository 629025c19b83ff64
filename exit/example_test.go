package exit_test

import (
	"fmt"

	"github.com/layarun/layarun/exit"
)

// A policy lets a sample leave at the first depth whose score reaches the threshold.
func ExamplePolicy_Leaves() {
	policy := exit.Policy{Gate: exit.MaxProb, Exits: []int{0, 2}, Thresholds: []exit.Threshold{exit.Never, 0.9}}
	scores := exit.ScoresOf([]float32{4, 0, 0})
	fmt.Printf("max-prob %.3f\n", scores[0])
	fmt.Println("leaves at depth 0:", policy.Leaves(0, scores))
	fmt.Println("leaves at depth 2:", policy.Leaves(2, scores))
	// Output:
	// max-prob 0.965
	// leaves at depth 0: false
	// leaves at depth 2: true
}

// Calibrate chooses a path of policies on one split and certifies it on another.
func ExampleCalibrate() {
	validation, calibration := synthetic(1, 2000, 3, 0.4), synthetic(2, 2000, 3, 0.4)
	policy, report, err := exit.Calibrate(validation, calibration, exit.Options{
		Risk: exit.Consistency, Eps: 0.02, Delta: 0.05, Gates: []string{exit.MaxProb},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := policy.Certificate
	fmt.Printf("%s, n = %d, delta = %g\n", c.Risk, c.N, c.Delta)
	fmt.Println("samples leave early:", c.Step > 0)
	fmt.Println("at most one answer in fifty changes:", c.Bound <= 0.02)
	fmt.Println("last test passed:", report.Tests[len(report.Tests)-1].Passed)
	// Output:
	// consistency, n = 2000, delta = 0.05
	// samples leave early: true
	// at most one answer in fifty changes: true
	// last test passed: false
}
