package exit

import (
	"fmt"
	"slices"
	"strings"
)

// Report is how a walk along a path went.
type Report struct {
	Options     Options     `json:"options"`
	Gate        string      `json:"gate"`
	Family      string      `json:"family"`
	Path        []Step      `json:"path"`    // the policies of the path, with their validation risk and cost
	Tests       []Test      `json:"tests"`   // the policies tested, in order; the last failed unless it ends the path
	Message     string      `json:"message"` // one line for people
	Certificate Certificate `json:"certificate"`
}

// Test is what one policy of the path showed on the calibration split.
type Test struct {
	Step   int     `json:"step"`   // index into the path
	Worse  int     `json:"worse"`  // samples with loss 1: wrong where the full network is right, or a changed answer
	Better int     `json:"better"` // samples with loss -1: right where the full network is wrong
	P      float64 `json:"p"`      // p-value of "the risk is eps or more"
	Passed bool    `json:"passed"` // P <= delta
	Cost   float64 `json:"cost"`   // mean MACs, as a share of the full network's
}

// Calibrate lays a path on the validation table and certifies it on the calibration table. Both tables are of one network
// and of different splits.
func Calibrate(validation, calibration *Table, o Options) (Policy, Report, error) {
	if validation.Split == calibration.Split {
		return Policy{}, Report{}, fmt.Errorf("exit: validation and calibration are the same split %q: what was tuned on it cannot be certified on it", calibration.Split)
	}
	if validation.Bundle != calibration.Bundle {
		return Policy{}, Report{}, fmt.Errorf("exit: validation scores are of bundle %q, calibration scores of %q, want one", validation.Bundle, calibration.Bundle)
	}
	if !slices.Equal(validation.Exits, calibration.Exits) || !slices.Equal(validation.Classes, calibration.Classes) {
		return Policy{}, Report{}, fmt.Errorf("exit: validation has exits %v and classes %q, calibration %v and %q, want the same",
			validation.Exits, validation.Classes, calibration.Exits, calibration.Classes)
	}
	path, err := NewPath(validation, o)
	if err != nil {
		return Policy{}, Report{}, err
	}
	return Certify(path, calibration, o)
}

// Certify walks the path on the calibration table and returns the last policy before the first that fails, with its
// certificate. The path must not depend on the calibration split. "Never" holds without a test: its risk is 0.
//
// Consistency is tested by the exact binomial p-value, accuracy drop by the betting test of Waudby-Smith and Ramdas, which
// reads the samples in a fixed shuffled order. Samples whose last logits are not finite are errors of the full network
// too: the accuracy drop does not count them where the policy stays to the end, nor does consistency.
func Certify(path Path, calibration *Table, o Options) (Policy, Report, error) {
	if err := o.Validate(); err != nil {
		return Policy{}, Report{}, err
	}
	t, err := newTrial(calibration, o.Risk)
	if err != nil {
		return Policy{}, Report{}, fmt.Errorf("calibration: %w", err)
	}
	if err := path.validate(calibration.Exits); err != nil {
		return Policy{}, Report{}, err
	}
	digest, err := path.Digest()
	if err != nil {
		return Policy{}, Report{}, err
	}
	w := t.walk(path, o)
	policy := path.Policy(w.Step)
	policy.Name = strings.ReplaceAll(fmt.Sprintf("%s %g", o.Risk, o.Eps), " ", "-")
	policy.Certificate = &Certificate{
		Risk: o.Risk, Eps: o.Eps, Delta: o.Delta, N: len(calibration.Labels), Step: w.Step, Bound: t.bound(policy, w.Step, o.Delta),
		Bundle: calibration.Bundle, Path: digest, Split: calibration.Split,
	}
	report := Report{
		Options: o, Gate: path.Gate, Family: path.Family, Path: path.Steps, Tests: w.Tests,
		Message: w.message(path, len(calibration.Labels), o), Certificate: *policy.Certificate,
	}
	return policy, report, nil
}

// validate checks a path against the exits of a table.
func (p Path) validate(exits []int) error {
	if len(p.Steps) == 0 {
		return fmt.Errorf("exit: path: no steps, want at least \"never\"")
	}
	for i := range p.Steps {
		if err := p.Policy(i).Validate(exits); err != nil {
			return fmt.Errorf("exit: path: step %d: %w", i, err)
		}
	}
	for _, t := range p.Steps[0].Thresholds {
		if t != Never {
			return fmt.Errorf("exit: path: step 0 has threshold %v, want \"never\" at every exit", float64(t))
		}
	}
	return nil
}

// walk is the result of a fixed sequence of tests.
type walk struct {
	Step  int // the last policy that passed; 0 = never exit
	Tests []Test
}

// walk tests the policies in order and stops at the first failure: the chance that it ever passes one whose risk is eps or
// more is then at most delta, however many there are.
func (t *trial) walk(path Path, o Options) walk {
	var w walk
	order := shuffled(len(t.table.Labels))
	full := max(1, float64(t.table.MACs[len(t.table.Exits)-1])*float64(len(order)))
	for i := 1; i < len(path.Steps); i++ {
		a := t.table.align(path.Policy(i))
		m := t.measure(a)
		test := Test{Step: i, Worse: m.worse, Better: m.better, Cost: float64(m.macs) / full}
		if o.Risk == Consistency {
			test.P = BinomialP(m.worse, len(order), o.Eps)
		} else {
			test.P = bettingP(t.lossesOf(a, order), o.Eps, o.Delta)
		}
		test.Passed = test.P <= o.Delta
		w.Tests = append(w.Tests, test)
		if !test.Passed {
			break
		}
		w.Step = i
	}
	return w
}

// bound is the upper confidence bound on the risk of the policy at a step.
func (t *trial) bound(p Policy, step int, delta float64) float64 {
	if step == 0 {
		return 0
	}
	a := t.table.align(p)
	if t.risk == Consistency {
		return binomialBound(t.measure(a).worse, len(t.table.Labels), delta)
	}
	return bettingBound(t.lossesOf(a, shuffled(len(t.table.Labels))), delta)
}

func (w walk) message(path Path, n int, o Options) string {
	if w.Step > 0 {
		return fmt.Sprintf("%s below %g with probability %g: step %d of %d, %.1f %% of the full cost on validation",
			o.Risk, o.Eps, 1-o.Delta, w.Step, len(path.Steps)-1, 100*path.Steps[w.Step].Cost)
	}
	return fmt.Sprintf("no policy passed, so samples never exit early: %d calibration samples do not show %s below %g with probability %g; it takes at least %d, all without an error",
		n, o.Risk, o.Eps, 1-o.Delta, ErrorFree(o.Eps, o.Delta))
}
