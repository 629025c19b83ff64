package prune

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Profile is what the head's attention over depth looked like on one split: a plain value, saved as JSON. Its lists of
// numbers are over the depths of Reads, in that order.
type Profile struct {
	// Reads are the depths the head reads, ascending.
	Reads []int `json:"reads"`
	// Classes name the groups of every View. A sample's class is its true label; Predicted says that there were no labels
	// and the full model's prediction took their place.
	Classes   []string `json:"classes"`
	Predicted bool     `json:"predicted"`
	// Full is the attention of the full-depth answer, Exit that of the answer at the exit taken, where depths beyond it
	// count 0. Exit is nil where no policy was at work.
	Full View  `json:"full"`
	Exit *View `json:"exit,omitempty"`
	// Initial is the mean attention of the full-depth answer at initialisation, before any training: what the learned one
	// is to be compared with. It is nil for a network whose start is not known (an imported one).
	Initial []float64 `json:"initial,omitempty"`
	// Split is the digest of the samples, Bundle that of the network.
	Split  string `json:"split"`
	Bundle string `json:"bundle"`
}

// View is attention over all samples and over those of each class, in the order of Profile.Classes.
type View struct {
	Global  Attention   `json:"global"`
	ByClass []Attention `json:"by_class"`
}

// Attention describes alpha over the depths read, for one group of samples. The lists are empty where N is 0.
type Attention struct {
	N    int       `json:"n"`    // samples
	Mean []float64 `json:"mean"` // mean of alpha_i
	Std  []float64 `json:"std"`  // standard deviation of alpha_i over the samples (divided by N)
	// Score is the norm-corrected attention E[alpha_i ‖z_i‖], normalised to sum 1: what pruning decides on.
	Score []float64 `json:"score"`
}

// Scores are what pruning compares with its threshold: for each depth the largest score that any class gives it, so that a
// depth which one class leans on stays, however little the others care. p must be valid.
func (p Profile) Scores() []float64 {
	scores := slices.Clone(p.Full.Global.Score)
	for _, class := range p.Full.ByClass {
		for i, s := range class.Score {
			scores[i] = max(scores[i], s)
		}
	}
	return scores
}

// Lost is the share of the norm-corrected attention of all samples that fell on depths which are not among reads.
func (p Profile) Lost(reads []int) float64 {
	lost := 0.0
	for i, depth := range p.Reads {
		if !slices.Contains(reads, depth) {
			lost += p.Full.Global.Score[i]
		}
	}
	return lost
}

// Validate reports every fault with field, value and what was expected.
func (p Profile) Validate() error {
	var faults []error
	if len(p.Reads) == 0 {
		faults = append(faults, errors.New("prune: profile: reads is empty"))
	}
	if p.Initial != nil {
		faults = append(faults, p.checkNumbers("initial", p.Initial))
	}
	faults = append(faults, p.checkView("full", p.Full))
	if p.Exit != nil {
		faults = append(faults, p.checkView("exit", *p.Exit))
	}
	return errors.Join(faults...)
}

func (p Profile) checkView(name string, v View) error {
	faults := []error{p.checkAttention(name+".global", v.Global)}
	if len(v.ByClass) != len(p.Classes) {
		faults = append(faults, fmt.Errorf("prune: profile: %s.by_class has %d groups, want one for each of %d classes", name, len(v.ByClass), len(p.Classes)))
	}
	for i, a := range v.ByClass {
		faults = append(faults, p.checkAttention(fmt.Sprintf("%s.by_class[%d]", name, i), a))
	}
	return errors.Join(faults...)
}

func (p Profile) checkAttention(name string, a Attention) error {
	if a.N == 0 && len(a.Mean)+len(a.Std)+len(a.Score) == 0 {
		return nil
	}
	if a.N < 1 {
		return fmt.Errorf("prune: profile: %s.n is %d, want at least 1 where there are numbers", name, a.N)
	}
	return errors.Join(p.checkNumbers(name+".mean", a.Mean), p.checkNumbers(name+".std", a.Std), p.checkNumbers(name+".score", a.Score))
}

func (p Profile) checkNumbers(name string, values []float64) error {
	if len(values) != len(p.Reads) {
		return fmt.Errorf("prune: profile: %s has %d numbers, want one for each of %d depths read", name, len(values), len(p.Reads))
	}
	for i, v := range values {
		if !(v >= 0) || math.IsInf(v, 1) {
			return fmt.Errorf("prune: profile: %s[%d] is %v, want a finite number >= 0", name, i, v)
		}
	}
	return nil
}
