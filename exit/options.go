package exit

import (
	"errors"
	"fmt"
	"slices"
)

// Options say which risk is to be bounded, and how tightly.
type Options struct {
	Risk  string   `json:"risk"`  // AccuracyDrop or Consistency
	Eps   float64  `json:"eps"`   // largest risk, in (0, 1); 0.005 is half a point
	Delta float64  `json:"delta"` // largest probability that the certificate is wrong, in (0, 1)
	Gates []string `json:"gates"` // gates to choose from on the validation split
}

// DefaultOptions bound the accuracy drop by half a point with probability 95 %, with the best of all gates.
func DefaultOptions() Options {
	return Options{Risk: AccuracyDrop, Eps: 0.005, Delta: 0.05, Gates: slices.Clone(Gates)}
}

// Validate reports every fault with field, value and what was expected.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("exit: options: "+format, args...))
	}
	if o.Risk != AccuracyDrop && o.Risk != Consistency {
		fault("risk is %q, want %q or %q", o.Risk, AccuracyDrop, Consistency)
	}
	if !(o.Eps > 0 && o.Eps < 1) {
		fault("eps is %v, want more than 0 and less than 1", o.Eps)
	}
	if !(o.Delta > 0 && o.Delta < 1) {
		fault("delta is %v, want more than 0 and less than 1", o.Delta)
	}
	if len(o.Gates) == 0 {
		fault("no gates, want some of %v", Gates)
	}
	for _, g := range o.Gates {
		if !slices.Contains(Gates, g) {
			fault("gate is %q, want one of %v", g, Gates)
		}
	}
	return errors.Join(faults...)
}
