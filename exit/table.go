package exit

import (
	"errors"
	"fmt"
)

// Table is the score table of one network on one split: what every exit answered for every sample. Certificates, gates,
// curves and most reports are computed from it without the weights. Outer index: sample; next: exit, in the order of
// Exits.
type Table struct {
	// Bundle is the digest of the weights and plan that made the table, Split the digest of the samples.
	Bundle string
	Split  string
	// Exits are the depths of the exits, ascending; the last is the network's depth.
	Exits []int
	// Reads are the depths the head attends to; nil if it has no attention.
	Reads   []int
	Classes []string
	Labels  []int         // true class, or -1 where unknown
	Logits  [][][]float32 // [sample][exit][class]
	Scores  [][]Scores    // [sample][exit]
	Alpha   [][]float32   // [sample][read]: attention of the full-depth answer; nil without attention
	MACs    []int64       // cumulative cost of leaving at each exit, heads evaluated on the way included; mean over the samples where lengths differ
	// Plain is the cost of answering at each exit with exits off: no exit before it is evaluated. The last is what the
	// network costs without early exits. nil where it is not known.
	Plain []int64
}

// Validate reports faults with field, sample, exit and value. Logits may be anything; scores are -1, or in [0, 1] where
// the logits are finite. It stops at the first faulty sample: one fault of the writer usually spoils all rows.
func (t *Table) Validate() error {
	if err := t.validateHeader(); err != nil {
		return err
	}
	for i := range t.Labels {
		if err := t.validateSample(i); err != nil {
			return fmt.Errorf("exit: table: sample %d: %w", i, err)
		}
	}
	return nil
}

func (t *Table) validateHeader() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("exit: table: "+format, args...))
	}
	if len(t.Exits) == 0 {
		fault("no exits, want at least the last depth")
	}
	if err := ascending(t.Exits); err != nil {
		fault("exits: %w", err)
	}
	if err := ascending(t.Reads); err != nil {
		fault("reads: %w", err)
	}
	if len(t.Classes) == 0 {
		fault("no classes")
	}
	if len(t.MACs) != len(t.Exits) {
		fault("%d MACs for %d exits", len(t.MACs), len(t.Exits))
	}
	for k, m := range t.MACs {
		if m < 0 || k > 0 && m < t.MACs[k-1] {
			fault("MACs are %v, want costs that add up from exit to exit", t.MACs)
			break
		}
	}
	if t.Plain != nil && len(t.Plain) != len(t.Exits) {
		fault("%d plain MACs for %d exits", len(t.Plain), len(t.Exits))
	}
	for k, m := range t.Plain {
		if m < 0 || k < len(t.MACs) && m > t.MACs[k] {
			fault("plain MACs are %v, want at most %v, those with exits on", t.Plain, t.MACs)
			break
		}
	}
	n := len(t.Labels)
	if len(t.Logits) != n || len(t.Scores) != n {
		fault("%d labels, %d rows of logits, %d of scores, want as many of each", n, len(t.Logits), len(t.Scores))
	}
	if t.Alpha != nil && len(t.Alpha) != n {
		fault("%d rows of alpha for %d samples", len(t.Alpha), n)
	}
	return errors.Join(faults...)
}

func (t *Table) validateSample(i int) error {
	if y := t.Labels[i]; y < -1 || y >= len(t.Classes) {
		return fmt.Errorf("label is %d, want -1 or less than %d classes", y, len(t.Classes))
	}
	if len(t.Logits[i]) != len(t.Exits) || len(t.Scores[i]) != len(t.Exits) {
		return fmt.Errorf("logits of %d exits and scores of %d, want %d", len(t.Logits[i]), len(t.Scores[i]), len(t.Exits))
	}
	for k, logits := range t.Logits[i] {
		if len(logits) != len(t.Classes) {
			return fmt.Errorf("exit at depth %d: %d logits, want %d", t.Exits[k], len(logits), len(t.Classes))
		}
		finite := Argmax(logits) >= 0
		for g, s := range t.Scores[i][k] {
			if finite && !(s >= 0 && s <= 1) || !finite && s != -1 {
				return fmt.Errorf("exit at depth %d: %s is %v, want 0 to 1 for finite logits and -1 for others", t.Exits[k], Gates[g], s)
			}
		}
	}
	if t.Alpha != nil && len(t.Alpha[i]) != len(t.Reads) {
		return fmt.Errorf("%d weights of alpha, want one for each of %d reads", len(t.Alpha[i]), len(t.Reads))
	}
	return nil
}

func ascending(depths []int) error {
	for i, d := range depths {
		if d < 0 || i > 0 && d <= depths[i-1] {
			return fmt.Errorf("%v, want ascending depths from 0", depths)
		}
	}
	return nil
}
