package exit_test

import (
	"strings"
	"testing"

	"github.com/layarun/layarun/exit"
)

func TestTableValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*exit.Table)
		want   string
	}{
		{"no exits", func(t *exit.Table) { t.Exits, t.MACs = nil, nil }, "no exits"},
		{"exits fall", func(t *exit.Table) { t.Exits[1] = 0 }, "exits: [0 0 4]"},
		{"reads fall", func(t *exit.Table) { t.Reads = []int{1, 0} }, "reads: [1 0]"},
		{"no classes", func(t *exit.Table) { t.Classes = nil }, "no classes"},
		{"MACs missing", func(t *exit.Table) { t.MACs = t.MACs[:1] }, "1 MACs for 3 exits"},
		{"MACs fall", func(t *exit.Table) { t.MACs[2] = 1 }, "MACs are [100 200 1]"},
		{"plain MACs missing", func(t *exit.Table) { t.Plain = []int64{1} }, "1 plain MACs for 3 exits"},
		{"plain MACs dearer", func(t *exit.Table) { t.Plain = []int64{100, 201, 300} }, "plain MACs are [100 201 300]"},
		{"rows", func(t *exit.Table) { t.Logits = t.Logits[:2] }, "5 labels, 2 rows of logits"},
		{"alpha rows", func(t *exit.Table) { t.Alpha = make([][]float32, 1) }, "1 rows of alpha for 5 samples"},
		{"alpha width", func(t *exit.Table) { t.Alpha = make([][]float32, 5); t.Reads = []int{0} }, "sample 0: 0 weights of alpha"},
		{"label", func(t *exit.Table) { t.Labels[4] = 3 }, "sample 4: label is 3"},
		{"exits of a sample", func(t *exit.Table) { t.Logits[2] = t.Logits[2][:1] }, "sample 2: logits of 1 exits"},
		{"logits of an exit", func(t *exit.Table) { t.Logits[2][1] = t.Logits[2][1][:1] }, "sample 2: exit at depth 2: 1 logits, want 3"},
		{"score", func(t *exit.Table) { t.Scores[1][2][1] = 1.5 }, "sample 1: exit at depth 4: margin is 1.5"},
		{"NaN score", func(t *exit.Table) { t.Scores[1][2][2] = nan }, "sample 1: exit at depth 4: entropy is NaN"},
		{"sure of NaN", func(t *exit.Table) { t.Scores[3][0][0] = 0.9 }, "sample 3: exit at depth 0: max-prob is 0.9"},
	} {
		table := handmade()
		c.change(table)
		if err := table.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want it to say %q", c.name, err, c.want)
		}
	}
}
