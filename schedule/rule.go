package schedule

import (
	"errors"
	"fmt"
	"slices"

	"github.com/layarun/layarun/exit"
)

// Rule is a policy within the limits of a request. It does not change once made, and many samples can share it.
type Rule struct {
	policy  exit.Policy
	may     []bool // by depth, below last: a score can let a sample leave there
	last    int    // the depth at which every sample leaves at the latest
	limited bool   // last is not the network's depth
}

// NewRule makes the rule of samples that leave where policy lets them, but at no exit shallower than minExit, and at the
// latest at the deepest exit that is no deeper than maxExit. exits are the depths at which the network can answer,
// ascending, the last of them its depth. minExit 0 and maxExit the network's depth set no limits. The error names every
// fault of the policy, or the limit that is out of range or leaves no exit.
func NewRule(policy exit.Policy, exits []int, minExit, maxExit int) (*Rule, error) {
	if len(exits) == 0 {
		return nil, errors.New("schedule: exits is empty, want at least the network's depth")
	}
	if err := policy.Validate(exits); err != nil {
		return nil, fmt.Errorf("schedule: policy %q: %w", policy.Name, err)
	}
	depth := exits[len(exits)-1]
	if minExit < 0 || minExit > depth {
		return nil, fmt.Errorf("schedule: min_exit is %d, want 0 to %d", minExit, depth)
	}
	if maxExit < minExit || maxExit > depth {
		return nil, fmt.Errorf("schedule: max_exit is %d, want %d to %d", maxExit, minExit, depth)
	}
	last := -1
	for _, d := range exits {
		if minExit <= d && d <= maxExit {
			last = d
		}
	}
	if last < 0 {
		return nil, fmt.Errorf("schedule: no exit from min_exit %d to max_exit %d, exits are %v", minExit, maxExit, exits)
	}
	policy.Exits, policy.Thresholds = slices.Clone(policy.Exits), slices.Clone(policy.Thresholds)
	r := &Rule{policy: policy, may: make([]bool, last), last: last, limited: last < depth}
	for _, d := range policy.Open() {
		if minExit <= d && d < last {
			r.may[d] = true
		}
	}
	return r, nil
}

// asks reports whether a sample may leave at depth, so that its scores are needed there.
func (r *Rule) asks(depth int) bool { return depth >= r.last || r.may[depth] }

// leaves decides for a sample with these scores at depth. forced: it leaves because of the limit alone.
func (r *Rule) leaves(depth int, scores exit.Scores) (leaves, forced bool) {
	if depth < r.last {
		return r.may[depth] && r.policy.Leaves(depth, scores), false
	}
	return true, r.limited && !r.policy.Leaves(depth, scores)
}
