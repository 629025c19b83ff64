package exit

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// PathLength is the number of policies on a path. A path is shorter where the validation table cannot tell so many apart:
// few samples, or many scores that are exactly 1 and can only leave together.
const PathLength = 200

// Families of thresholds that a path may be made of.
const (
	OneThreshold = "one threshold" // the same for all exits
	PerExit      = "per exit"      // each exit the threshold at which its leavers reach a common error rate
)

// Path is a list of policies from "never" to "at once", laid on the validation split before the calibration split is
// read. Each policy's thresholds are at most those before it, so who left stays gone.
type Path struct {
	Gate   string `json:"gate"`
	Family string `json:"family"` // OneThreshold or PerExit
	Exits  []int  `json:"exits"`  // depths with a threshold: all but the last
	Steps  []Step `json:"steps"`  // Steps[0] never exits
}

// Step is one policy of a path.
type Step struct {
	Thresholds []Threshold `json:"thresholds"`
	// Risk is the largest validation risk up to this step, so that steps are ordered by it: on a finite sample the risk
	// itself wobbles, and a less confident policy is never taken for a safer one.
	Risk float64 `json:"risk"`
	Cost float64 `json:"cost"` // mean MACs on validation, as a share of the full network's
}

// Policy is the i-th policy of the path, 0 = never exit.
func (p Path) Policy(i int) Policy {
	return Policy{Gate: p.Gate, Exits: slices.Clone(p.Exits), Thresholds: slices.Clone(p.Steps[i].Thresholds)}
}

// Digest identifies gate, exits and thresholds of every policy in order: the hex sha256 of their JSON.
func (p Path) Digest() (string, error) {
	policies := make([]Policy, len(p.Steps))
	for i := range policies {
		policies[i] = p.Policy(i)
	}
	data, err := json.Marshal(policies)
	if err != nil {
		return "", fmt.Errorf("exit: path: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// NewPath lays the path on the validation table: for each gate of o and each family a nested chain of policies, of which
// the cheapest at the risk target is taken. Thresholds per exit fit the noise of the samples they were laid on, so the
// choice is cross-fitted: each half of the split judges the chains laid on the other. The chosen one is laid on both.
func NewPath(validation *Table, o Options) (Path, error) {
	if err := o.Validate(); err != nil {
		return Path{}, err
	}
	v, err := newTrial(validation, o.Risk)
	if err != nil {
		return Path{}, fmt.Errorf("validation: %w", err)
	}
	if len(validation.Exits) < 2 {
		return Path{}, errors.New("exit: path: the table has one exit, nothing can leave early")
	}
	first, second := v.halves()
	best, gate, family := math.Inf(1), "", ""
	for _, g := range o.Gates {
		for _, f := range []string{OneThreshold, PerExit} {
			cost := first.costOf(second.path(g, f), o.Eps) + second.costOf(first.path(g, f), o.Eps)
			if cost < best {
				best, gate, family = cost, g, f
			}
		}
	}
	return v.path(gate, family), nil
}

// costOf is what the path costs on these samples before the risk exceeds eps/4, eps/2, 3 eps/4 and eps, summed: the
// certificate will stop somewhere below eps, and four points are less noisy than one.
func (t *trial) costOf(p Path, eps float64) float64 {
	var total, before float64
	quarter := 1
	for i := range p.Steps {
		m := t.measure(t.table.align(p.Policy(i)))
		for quarter <= 4 && float64(4*m.drop()) > float64(quarter)*eps*float64(len(t.losses)) {
			total += before
			quarter++
		}
		if quarter > 4 {
			return total
		}
		before = float64(m.macs)
	}
	return total + float64(5-quarter)*before
}

// path thins a chain to steps that lie evenly in cost: what a walk loses by its granularity is then at most one part in
// PathLength of the cost that can be saved.
func (t *trial) path(gate, family string) Path {
	early := t.table.Exits[:len(t.table.Exits)-1]
	p := Path{Gate: gate, Family: family, Exits: slices.Clone(early)}
	chain := t.chain(slices.Index(Gates, gate), family)
	n := float64(len(t.table.Labels))
	full := max(1, float64(t.table.MACs[len(early)])*n)
	never := t.measure(chain[0]).macs
	saving := max(1, float64(never-t.measure(chain[len(chain)-1]).macs))

	var risk float64
	taken := 0 // the slot of cost of the step before, of PathLength - 1 equal slots
	for i, a := range chain {
		m := t.measure(a)
		risk = max(risk, float64(m.drop())/n)
		slot := int(float64(never-m.macs) / saving * (PathLength - 1))
		if ends := i == 0 || i == len(chain)-1; !ends && (slot <= taken || slot >= PathLength-1) {
			continue
		}
		taken = slot
		p.Steps = append(p.Steps, Step{Thresholds: a.thresholds, Risk: risk, Cost: float64(m.macs) / full})
	}
	return p
}

// chainLength is the number of policies tried for a path.
const chainLength = 1000

// chain is a nested list of policies from "never" to "at once". Every sample that could leave at an exit has a level there:
// the lower, the sooner it is let go. The policies let go the lowest levels first, in numbers that grow: nearly all samples
// are still there at the careful end, so that each one let go counts most.
func (t *trial) chain(gate int, family string) []aligned {
	last := len(t.table.Exits) - 1
	ranked := make([][]graded, last)
	var levels []float64
	for k := range ranked {
		ranked[k] = t.rank(k, gate, family)
		for _, g := range ranked[k] {
			levels = append(levels, g.level)
		}
	}
	slices.Sort(levels)
	chain := []aligned{{gate: gate, thresholds: slices.Repeat([]Threshold{Never}, last)}}
	for i := range chainLength {
		if len(levels) == 0 {
			break
		}
		part := float64(i) / chainLength
		level := levels[int(part*part*float64(len(levels)))]
		thresholds := make([]Threshold, last)
		for k := range thresholds {
			thresholds[k] = thresholdAt(ranked[k], level)
		}
		if !slices.Equal(thresholds, chain[len(chain)-1].thresholds) {
			chain = append(chain, aligned{gate: gate, thresholds: thresholds})
		}
	}
	return append(chain, aligned{gate: gate, thresholds: make([]Threshold, last)})
}

// graded is a score that some sample has at an exit, and its level.
type graded struct {
	score float32
	level float64
}

// rank lists the scores at an exit, falling, with levels that never fall. One threshold: the score itself, negated. Per
// exit: the smallest (errors + 1) / (leavers + 1) that any threshold at or below the score has, where errors are leavers
// with loss 1: leave where samples as confident as this one were right, as in PCEE (arXiv 2412.19325). The one added keeps a
// few lucky samples at the top from looking safer than many.
func (t *trial) rank(exit, gate int, family string) []graded {
	type sample struct {
		score float32
		loss  int8
	}
	var samples []sample
	for i, scores := range t.table.Scores {
		if s := scores[exit][gate]; s >= 0 {
			samples = append(samples, sample{s, t.losses[i][exit]})
		}
	}
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(b.score, a.score) })
	out := make([]graded, len(samples))
	errors := 0
	for i, s := range samples {
		errors += count(s.loss > 0)
		out[i] = graded{s.score, -float64(s.score)}
		if family == PerExit {
			out[i].level = float64(errors+1) / float64(i+2)
		}
	}
	if family == PerExit {
		for i := len(out) - 2; i >= 0; i-- {
			if ties := out[i].score == out[i+1].score; ties || out[i].level > out[i+1].level {
				out[i].level = out[i+1].level
			}
		}
		for i := range out { // of equal levels the surer first, so that a path can stop between them
			out[i].level += 1e-12 * float64(i) / float64(len(out))
		}
	}
	return out
}

// thresholdAt is the lowest score whose level is at most level, or Never.
func thresholdAt(ranked []graded, level float64) Threshold {
	n, _ := slices.BinarySearchFunc(ranked, level, func(g graded, level float64) int {
		if g.level <= level {
			return -1
		}
		return 1
	})
	if n == 0 {
		return Never
	}
	return Threshold(ranked[n-1].score)
}
