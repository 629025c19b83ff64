package exit

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Gates: the confidence scores in [0, 1], larger is surer, that a policy can compare with its thresholds.
const (
	MaxProb = "max-prob" // max_c p_c
	Margin  = "margin"   // p_(1) - p_(2)
	Entropy = "entropy"  // 1 - H(p) / ln C
)

// Gates lists the gates in the order in which [Scores] holds them.
var Gates = []string{MaxProb, Margin, Entropy}

// Scores are one sample's gate scores at one exit, in the order of [Gates]. All are -1 when the logits are not finite:
// such a sample is never confident.
type Scores [3]float32

// Threshold is a number in [0, 1] or +Inf, which means "never". JSON, which has no infinity, writes "never".
type Threshold float64

// Never is the threshold no score reaches; softmax does reach 1.
var Never = Threshold(math.Inf(1))

// Policy says when a sample may leave: at the first exit whose score reaches the threshold. The last exit takes all.
type Policy struct {
	Name string `json:"name"`
	Gate string `json:"gate"`
	// Exits are the depths with a threshold each, ascending; the network's last depth is not among them, it always exits.
	Exits       []int        `json:"exits"`
	Thresholds  []Threshold  `json:"thresholds"`
	Certificate *Certificate `json:"certificate,omitempty"`
}

// Full is the policy that never leaves early.
func Full() Policy { return Policy{Name: "full", Gate: MaxProb} }

// Leaves reports whether a sample with these scores leaves at the given depth. Depths without a threshold never exit.
func (p Policy) Leaves(depth int, s Scores) bool {
	i := slices.Index(p.Exits, depth)
	if i < 0 {
		return false
	}
	score := s[slices.Index(Gates, p.Gate)]
	return score >= 0 && float64(score) >= float64(p.Thresholds[i])
}

// Validate reports every fault with field, value and what was expected. exits are the depths at which the network can
// answer, ascending, the last of them its depth.
func (p Policy) Validate(exits []int) error {
	var faults []error
	if !slices.Contains(Gates, p.Gate) {
		faults = append(faults, fmt.Errorf("exit: gate is %q, want one of %v", p.Gate, Gates))
	}
	if len(p.Exits) != len(p.Thresholds) {
		faults = append(faults, fmt.Errorf("exit: %d exits and %d thresholds, want as many of one as of the other", len(p.Exits), len(p.Thresholds)))
	}
	for i, d := range p.Exits {
		if !slices.Contains(exits[:len(exits)-1], d) || i > 0 && d <= p.Exits[i-1] {
			faults = append(faults, fmt.Errorf("exit: exits is %v, want ascending depths out of %v", p.Exits, exits[:len(exits)-1]))
			break
		}
	}
	for i, t := range p.Thresholds {
		if math.IsNaN(float64(t)) || t < 0 || t > 1 && !math.IsInf(float64(t), 1) {
			faults = append(faults, fmt.Errorf("exit: threshold %d is %v, want 0 to 1 or \"never\"", i, float64(t)))
		}
	}
	return errors.Join(faults...)
}
