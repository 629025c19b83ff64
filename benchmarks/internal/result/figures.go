package result

import (
	"errors"
	"fmt"
	"slices"

	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
)

// Figures are everything that is reported of one network and follows from its score tables, all on the test split.
type Figures struct {
	N int `json:"n"`
	// Forced are all exits, ascending: every sample leaves there and no other exit is evaluated. The last is the full
	// network with exits off, the reference of every speed-up.
	Forced []Forced `json:"forced"`
	// Oracle leaves at the first exit that is right: no gate does better. nil without early exits.
	Oracle *Leaving `json:"oracle,omitempty"`
	// Certified are the policies that calibration arrived at. Empty without a calibration split.
	Certified []Certified `json:"certified,omitempty"`
	// Alpha is the mean attention of the full answer over the reads, and AlphaByClass the same by true class.
	Reads        []int       `json:"reads,omitempty"`
	Alpha        []float64   `json:"alpha,omitempty"`
	AlphaByClass [][]float64 `json:"alpha_by_class,omitempty"`
}

// Forced is one exit taken by all.
type Forced struct {
	Depth    int     `json:"depth"`
	Accuracy float64 `json:"accuracy"`
	MacroF1  float64 `json:"macro_f1"`
	ECE      float64 `json:"ece"` // of the largest probability
	MACs     int64   `json:"macs"`
}

// Leaving is what samples met that leave at different exits.
type Leaving struct {
	Accuracy float64   `json:"accuracy"`
	MacroF1  float64   `json:"macro_f1"`
	MACs     float64   `json:"macs"`    // mean per sample
	SpeedUp  float64   `json:"speedup"` // full network with exits off ÷ MACs
	Depth    float64   `json:"depth"`   // mean
	Shares   []float64 `json:"shares"`  // that left at each exit
}

// Certified is one certified policy and what it did on the test split.
type Certified struct {
	Exits  string      `json:"exits"` // which may be used: see Variants
	Eps    float64     `json:"eps"`
	Family string      `json:"family"`
	Policy exit.Policy `json:"policy"`
	Leaving
	Drop eval.Paired `json:"drop"` // against the full network
}

// CertifiedFor is the policy over all exits that is certified for eps; nil if there is none.
func (f *Figures) CertifiedFor(eps float64) *Certified {
	for i, c := range f.Certified {
		if c.Exits == AllExits && c.Eps == eps {
			return &f.Certified[i]
		}
	}
	return nil
}

// FullAccuracy is that of the full network with exits off.
func (f *Figures) FullAccuracy() float64 { return f.Forced[len(f.Forced)-1].Accuracy }

// The sets of exits that are calibrated.
const (
	AllExits      = "all"
	WithoutDepth0 = "without depth 0"
	OnlyDepth0    = "depth 0 only"
)

// variants are the sets of exits and the depths that each keeps beside the last.
var variants = []struct {
	name string
	keep func(depth int) bool
}{
	{AllExits, func(int) bool { return true }},
	{WithoutDepth0, func(depth int) bool { return depth > 0 }},
	{OnlyDepth0, func(depth int) bool { return depth == 0 }},
}

// Targets are the accuracy drops that are certified: 0.1, 0.5 and 1 point.
var Targets = []float64{0.001, 0.005, 0.01}

// Compute works out the figures of one run.
func Compute(t Tables) (Figures, error) {
	test := t.Test
	f := Figures{N: len(test.Labels)}
	last := len(test.Exits) - 1
	if len(test.Plain) != len(test.Exits) || slices.Contains(test.Labels, -1) {
		return f, errors.New("result: figures need plain MACs and the label of every test sample")
	}
	for k := range test.Exits {
		forced, err := force(test, k)
		if err != nil {
			return f, err
		}
		f.Forced = append(f.Forced, forced)
	}
	if last > 0 {
		oracle, err := leave(test, test.Oracle(), float64(test.Plain[last]))
		if err != nil {
			return f, err
		}
		f.Oracle = &oracle
	}
	if test.Alpha != nil && len(test.Reads) > 1 {
		f.Reads = test.Reads
		f.Alpha, f.AlphaByClass = meanAlpha(test)
	}
	if t.Calibration == nil || last == 0 {
		return f, nil
	}
	var err error
	f.Certified, err = certify(t)
	return f, err
}

func force(t *exit.Table, k int) (Forced, error) {
	f := Forced{Depth: t.Exits[k], MACs: t.Plain[k]}
	answers := answersOf(t.Forced(k))
	var err error
	if f.Accuracy, err = eval.Accuracy(answers, t.Labels); err != nil {
		return f, err
	}
	if f.MacroF1, err = eval.MacroF1(answers, t.Labels); err != nil {
		return f, err
	}
	confidence, right := make([]float64, len(answers)), make([]bool, len(answers))
	for i, a := range answers {
		if a < 0 {
			return f, fmt.Errorf("result: test sample %d has no answer at depth %d", i, t.Exits[k])
		}
		confidence[i], right[i] = float64(t.Scores[i][k][0]), a == t.Labels[i] // Gates[0] is max-prob
	}
	f.ECE, err = eval.ECE(confidence, right)
	return f, err
}

// leave reports outcomes on a table; full is the cost of the full network with exits off.
func leave(t *exit.Table, outcomes []exit.Outcome, full float64) (Leaving, error) {
	s := t.Summarize(outcomes)
	f1, err := eval.MacroF1(answersOf(outcomes), t.Labels)
	return Leaving{Accuracy: s.Accuracy(), MacroF1: f1, MACs: s.MeanMACs, SpeedUp: full / s.MeanMACs, Depth: s.MeanDepth, Shares: s.Shares}, err
}

// certify calibrates every variant at every target, and applies what came out to the test split.
func certify(t Tables) ([]Certified, error) {
	var all []Certified
	for _, v := range variants {
		var parts [3]*exit.Table
		for i, table := range []*exit.Table{t.Validation, t.Calibration, t.Test} {
			var err error
			if parts[i], err = table.Restrict(v.keep); err != nil {
				return nil, err
			}
		}
		if n := len(parts[2].Exits); n < 2 || v.name != AllExits && n == len(t.Test.Exits) {
			continue // the network has no exit at depth 0
		}
		for _, eps := range Targets {
			c, err := certifyOne(parts[0], parts[1], parts[2], eps)
			if err != nil {
				return nil, fmt.Errorf("result: exits %s, target %g: %w", v.name, eps, err)
			}
			c.Exits = v.name
			all = append(all, c)
		}
	}
	return all, nil
}

func certifyOne(validation, calibration, test *exit.Table, eps float64) (Certified, error) {
	o := exit.DefaultOptions()
	o.Eps = eps
	policy, report, err := exit.Calibrate(validation, calibration, o)
	if err != nil {
		return Certified{}, err
	}
	c := Certified{Eps: eps, Family: report.Family, Policy: policy}
	last := len(test.Exits) - 1
	outcomes := test.Apply(policy)
	if c.Leaving, err = leave(test, outcomes, float64(test.Plain[last])); err != nil {
		return c, err
	}
	c.Drop, err = eval.Compare(rightOf(test.Forced(last), test.Labels), rightOf(outcomes, test.Labels), eval.DefaultResampling())
	return c, err
}

func answersOf(outcomes []exit.Outcome) []int {
	answers := make([]int, len(outcomes))
	for i, o := range outcomes {
		answers[i] = o.Answer
	}
	return answers
}

func rightOf(outcomes []exit.Outcome, labels []int) []bool {
	right := make([]bool, len(outcomes))
	for i, o := range outcomes {
		right[i] = o.Answer == labels[i]
	}
	return right
}

// meanAlpha is the mean attention over all samples and over those of each class; a class without samples has zeros.
func meanAlpha(t *exit.Table) (all []float64, byClass [][]float64) {
	all = make([]float64, len(t.Reads))
	byClass = make([][]float64, len(t.Classes))
	counts := make([]float64, len(t.Classes))
	for c := range byClass {
		byClass[c] = make([]float64, len(t.Reads))
	}
	for _, y := range t.Labels {
		counts[y]++
	}
	for i, alpha := range t.Alpha {
		y := t.Labels[i]
		for r, a := range alpha {
			all[r] += float64(a) / float64(len(t.Alpha))
			byClass[y][r] += float64(a) / counts[y]
		}
	}
	return all, byClass
}
