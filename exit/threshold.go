package exit

import (
	"encoding/json"
	"fmt"
	"math"
)

// Threshold is a number in [0, 1] or +Inf, which means "never". JSON, which has no infinity, writes "never".
type Threshold float64

const neverWord = "never"

// Never is the threshold no score reaches; softmax does reach 1.
var Never = Threshold(math.Inf(1))

// Reached reports whether a score lets a sample leave. Negative scores mark non-finite logits and never do.
func (t Threshold) Reached(score float32) bool {
	return score >= 0 && float64(score) >= float64(t)
}

// MarshalJSON writes a number, or "never" for +Inf.
func (t Threshold) MarshalJSON() ([]byte, error) {
	if err := t.validate(); err != nil {
		return nil, fmt.Errorf("exit: threshold: %w", err)
	}
	if t == Never {
		return json.Marshal(neverWord)
	}
	return json.Marshal(float64(t))
}

// UnmarshalJSON reads a number in [0, 1] or "never".
func (t *Threshold) UnmarshalJSON(data []byte) error {
	if string(data) == `"`+neverWord+`"` {
		*t = Never
		return nil
	}
	var v *float64
	if err := json.Unmarshal(data, &v); err != nil || v == nil {
		return fmt.Errorf("exit: threshold is %s, want 0 to 1 or %q", data, neverWord)
	}
	if err := Threshold(*v).validate(); err != nil {
		return fmt.Errorf("exit: threshold: %w", err)
	}
	*t = Threshold(*v)
	return nil
}

func (t Threshold) validate() error {
	if t >= 0 && t <= 1 || t == Never {
		return nil
	}
	return fmt.Errorf("%v, want 0 to 1 or %q", float64(t), neverWord)
}
