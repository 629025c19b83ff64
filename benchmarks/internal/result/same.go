package result

import "fmt"

// Same counts how often a sample's answer depends on how it arrived.
type Same struct {
	Samples int `json:"samples"`
	// Bound is what Difference may be at most.
	Bound float64 `json:"bound"`
	// Difference is the largest of the ways'.
	Difference float64   `json:"difference"`
	Ways       []SameWay `json:"ways"`
}

// SameWay compares one way of arriving with arriving alone.
type SameWay struct {
	Way     string `json:"way"`
	Answers int    `json:"answers"`
	Exits   int    `json:"exits"`  // answers from another exit
	Labels  int    `json:"labels"` // answers with another label
	// Difference is the largest between a confidence and that of the sample alone, over all samples, exits and gates.
	Difference float64 `json:"difference"`
	// Beyond are those of them that Difference does not explain.
	Beyond int `json:"beyond"`
}

// Table has a row per way of arriving.
func (s *Same) Table() Table {
	t := Table{Header: []string{"against alone", "answers", "other exit", "other label", "scores apart", "beyond the bound"}}
	for _, w := range s.Ways {
		t.Rows = append(t.Rows, []string{w.Way, fmt.Sprint(w.Answers), fmt.Sprint(w.Exits), fmt.Sprint(w.Labels), fmt.Sprintf("%.1g", w.Difference), fmt.Sprint(w.Beyond)})
	}
	return t
}

// Err says what is wrong; nil if nothing is.
func (s *Same) Err() error {
	if !(s.Difference <= s.Bound) {
		return fmt.Errorf("confidences of a sample differ by %.3g from those alone, want at most %.3g", s.Difference, s.Bound)
	}
	for _, w := range s.Ways {
		if w.Beyond > 0 {
			return fmt.Errorf("%s: %d of %d answers differ from those alone by more than kernels do", w.Way, w.Beyond, w.Answers)
		}
	}
	return nil
}

func (s *Same) text() string {
	return fmt.Sprintf("Same answers: %d samples. Confidences at any exit differ by %.2g at most from those of the sample alone; an answer\n"+
		"may differ only where a confidence lies as close to its threshold, or two labels to each other, as scores are apart.\n", s.Samples, s.Difference)
}
