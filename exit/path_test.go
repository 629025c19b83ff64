package exit_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/exit"
)

func TestPathIsNestedAndOrdered(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		table := synthetic(rapid.Uint64().Draw(r, "seed"), rapid.IntRange(1, 300).Draw(r, "n"), rapid.IntRange(2, 4).Draw(r, "exits"), 0.7)
		o := exit.DefaultOptions()
		o.Risk = rapid.SampledFrom([]string{exit.AccuracyDrop, exit.Consistency}).Draw(r, "risk")
		o.Gates = []string{rapid.SampledFrom(exit.Gates).Draw(r, "gate")}
		path, err := exit.NewPath(table, o)
		if err != nil {
			r.Fatal(err)
		}
		if n := len(path.Steps); n < 2 || n > exit.PathLength {
			r.Fatalf("path of %d policies, want 2 to %d", n, exit.PathLength)
		}
		last := len(path.Steps) - 1
		for k := range path.Exits {
			if path.Steps[0].Thresholds[k] != exit.Never || path.Steps[last].Thresholds[k] != 0 {
				r.Fatalf("path from %v to %v, want never to at once", path.Steps[0], path.Steps[last])
			}
		}
		before := table.Apply(path.Policy(0))
		for i, s := range path.Steps {
			if err := path.Policy(i).Validate(table.Exits); err != nil {
				r.Fatal(err)
			}
			now := table.Apply(path.Policy(i))
			for j := range now {
				if now[j].Exit > before[j].Exit {
					r.Fatalf("sample %d leaves at exit %d at step %d, later than before", j, now[j].Exit, i)
				}
			}
			if i > 0 && (s.Risk < path.Steps[i-1].Risk || s.Cost > path.Steps[i-1].Cost || s.Cost == path.Steps[i-1].Cost && i < last) {
				r.Fatalf("step %d has risk %g and cost %g after %+v, want risks that never fall and costs that fall", i, s.Risk, s.Cost, path.Steps[i-1])
			}
			before = now
		}
	})
}

// One step in cost is what a walk can lose: with plenty of distinct scores there are PathLength steps, none much longer
// than the others.
func TestPathIsEven(t *testing.T) {
	path, err := exit.NewPath(synthetic(7, 5000, 4, 0.7), exit.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(path.Steps); n < exit.PathLength*9/10 {
		t.Errorf("%s path of %d steps on 5000 samples, want about %d", path.Family, n, exit.PathLength)
	}
	for i, s := range path.Steps[1:] {
		if jump := path.Steps[i].Cost - s.Cost; jump > 0.05 {
			t.Errorf("step %d saves %g of the cost at once, want at most 0.05", i+1, jump)
		}
	}
}

// The first exit is as sure as the second and much worse: one threshold cannot tell them apart.
func TestPathTakesThresholdsPerExitWhereExitsDiffer(t *testing.T) {
	table := synthetic(8, 4000, 3, 0.3)
	for i, rows := range table.Logits {
		if i%4 == 0 { // spoil the first exit, at every level of confidence
			rows[0] = []float32{rows[0][1], rows[0][2], rows[0][0]}
			table.Scores[i][0] = exit.ScoresOf(rows[0])
		}
	}
	path, err := exit.NewPath(table, exit.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if path.Family != exit.PerExit {
		t.Errorf("family is %q, want %q", path.Family, exit.PerExit)
	}
}

// Only the margin knows anything here: the other two gates see permuted scores.
func TestPathTakesTheGateThatKnows(t *testing.T) {
	table := synthetic(9, 3000, 3, 0.6)
	n := len(table.Labels)
	for k := range table.Exits {
		for _, g := range []int{0, 2} {
			first := table.Scores[0][k][g]
			for i := range n - 1 {
				table.Scores[i][k][g] = table.Scores[i+1][k][g]
			}
			table.Scores[n-1][k][g] = first
		}
	}
	path, err := exit.NewPath(table, exit.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if path.Gate != exit.Margin {
		t.Errorf("gate is %q, want %q", path.Gate, exit.Margin)
	}
}

func TestNewPathRefuses(t *testing.T) {
	good := func() *exit.Table { return synthetic(1, 10, 2, 0.5) }
	for _, c := range []struct {
		name   string
		change func(*exit.Table, *exit.Options)
		want   string
	}{
		{"risk", func(_ *exit.Table, o *exit.Options) { o.Risk = "fire" }, `risk is "fire"`},
		{"eps", func(_ *exit.Table, o *exit.Options) { o.Eps = 0 }, "eps is 0"},
		{"delta", func(_ *exit.Table, o *exit.Options) { o.Delta = 1 }, "delta is 1"},
		{"gates", func(_ *exit.Table, o *exit.Options) { o.Gates = nil }, "no gates"},
		{"gate", func(_ *exit.Table, o *exit.Options) { o.Gates = []string{"x"} }, `gate is "x"`},
		{"label", func(t *exit.Table, _ *exit.Options) { t.Labels[3] = -1 }, "sample 3 has no label"},
		{"one exit", func(t *exit.Table, _ *exit.Options) { *t = *synthetic(1, 10, 1, 0.5) }, "one exit"},
		{"no samples", func(t *exit.Table, _ *exit.Options) { *t = *emptyTable(2) }, "no samples"},
	} {
		table, o := good(), exit.DefaultOptions()
		c.change(table, &o)
		if _, err := exit.NewPath(table, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want it to say %q", c.name, err, c.want)
		}
	}
	table, o := good(), exit.DefaultOptions()
	table.Labels = slices.Repeat([]int{-1}, len(table.Labels))
	o.Risk = exit.Consistency
	if _, err := exit.NewPath(table, o); err != nil {
		t.Errorf("consistency without labels: %v", err)
	}
}
