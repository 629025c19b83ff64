package exit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/google/renameio/v2"
)

// Gates: the confidence scores in [0, 1], larger is surer, that a policy can compare with its thresholds.
const (
	MaxProb = "max-prob" // max_c p_c
	Margin  = "margin"   // p_(1) - p_(2)
	Entropy = "entropy"  // 1 - H(p) / ln C
)

// Gates lists the gates in the order in which [Scores] holds them.
var Gates = []string{MaxProb, Margin, Entropy}

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

// Leaves reports whether a sample with these scores leaves at the given depth. Depths without a threshold and gates that
// do not exist never let a sample leave. Callers that ask once per sample use [Policy.Rule].
func (p Policy) Leaves(depth int, s Scores) bool { return p.Rule().Leaves(depth, s) }

// Rule is a policy prepared for many questions: the gate's name is resolved once.
type Rule struct {
	gate       int
	exits      []int
	thresholds []Threshold
}

// Rule prepares the policy. It shares the slices of p and allocates nothing.
func (p Policy) Rule() Rule {
	gate := slices.Index(Gates, p.Gate)
	if gate < 0 {
		return Rule{}
	}
	n := min(len(p.Exits), len(p.Thresholds))
	return Rule{gate: gate, exits: p.Exits[:n], thresholds: p.Thresholds[:n]}
}

// Leaves reports whether a sample with these scores leaves at the given depth, as [Policy.Leaves] does.
func (r Rule) Leaves(depth int, s Scores) bool {
	for i, d := range r.exits { // a dozen at most: cheaper than any index
		if d == depth {
			return r.thresholds[i].Reached(s[r.gate])
		}
	}
	return false
}

// Open lists the exits where a sample may leave: those whose threshold is not "never".
func (p Policy) Open() []int {
	var open []int
	for i, t := range p.Thresholds[:min(len(p.Exits), len(p.Thresholds))] {
		if !math.IsInf(float64(t), 1) {
			open = append(open, p.Exits[i])
		}
	}
	return open
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
	early := exits[:max(0, len(exits)-1)]
	for i, d := range p.Exits {
		if !slices.Contains(early, d) || i > 0 && d <= p.Exits[i-1] {
			faults = append(faults, fmt.Errorf("exit: exits is %v, want ascending depths out of %v", p.Exits, early))
			break
		}
	}
	for i, t := range p.Thresholds {
		if err := t.validate(); err != nil {
			faults = append(faults, fmt.Errorf("exit: threshold %d: %w", i, err))
		}
	}
	return errors.Join(faults...)
}

// ParsePolicy reads a policy from JSON. Unknown fields and anything after the value are errors. What the policy asks for
// is not compared with a network: that is [Policy.Validate].
func ParsePolicy(data []byte) (Policy, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var p Policy
	if err := dec.Decode(&p); err != nil {
		return Policy{}, fmt.Errorf("exit: policy: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Policy{}, fmt.Errorf("exit: policy: %d bytes follow the JSON value, want none", len(data)-int(dec.InputOffset()))
	}
	return p, nil
}

// LoadPolicy reads a policy from a JSON file.
func LoadPolicy(path string) (Policy, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Policy{}, fmt.Errorf("exit: policy: %w", err)
	}
	p, err := ParsePolicy(data)
	if err != nil {
		return Policy{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Save writes the policy as indented JSON: to a temporary file first, which then takes the place of path.
func (p Policy) Save(path string) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("exit: policy %q: %w", p.Name, err)
	}
	if err := renameio.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("exit: policy %q: %w", p.Name, err)
	}
	return nil
}
