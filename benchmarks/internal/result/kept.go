package result

import (
	"fmt"
	"strings"

	"github.com/layarun/layarun/benchmarks/internal/oracle"
	"github.com/layarun/layarun/eval"
)

// KeptSchema is the version of results/kept.json.
const KeptSchema = "layarun.kept/2"

// Kept is how much of what exits save arrives at the clock. It lies in results/kept.json and all of it is measured.
type Kept struct {
	Schema      string        `json:"schema"`
	Environment Environment   `json:"environment"`
	Repetitions int           `json:"repetitions"`
	Networks    []KeptNetwork `json:"networks"`
}

// KeptNetwork is one network under every way of arriving.
type KeptNetwork struct {
	Name    string    `json:"name"`
	About   string    `json:"about"`
	Samples int       `json:"samples"` // answered in one repetition
	Workers int       `json:"workers"`
	Exits   []int     `json:"exits"`  // where the policy may let samples leave, and the last depth
	Shares  []float64 `json:"shares"` // of the samples, by exit
	MACs    float64   `json:"macs_saving"`
	// CostsOff and CostsOn are medians over all repetitions, in ms: of the whole network in one go, and from each exit to the next.
	CostsOff oracle.Costs `json:"costs_off"`
	CostsOn  oracle.Costs `json:"costs_on"`
	Points   []KeptPoint  `json:"points"`
	Same     *Same        `json:"same,omitempty"` // nil if it was not checked
}

// KeptPoint is one way of arriving. All times are ms per sample, and all ratios are taken repetition by repetition.
type KeptPoint struct {
	Batch     int         `json:"batch,omitempty"`   // samples that arrive together, each batch awaited before the next
	Callers   int         `json:"callers,omitempty"` // who ask for one sample each, again and again; 0 where batches arrive
	Off       eval.Spread `json:"off_ms"`
	On        eval.Spread `json:"on_ms"`
	OracleOff eval.Spread `json:"oracle_off_ms"`
	OracleOn  eval.Spread `json:"oracle_on_ms"`
	RuleOn    eval.Spread `json:"rule_on_ms"` // of the runtime's scheduler where batches take their measured times and nothing else

	Saving       eval.Spread `json:"saving"`        // off ÷ on
	OracleSaving eval.Spread `json:"oracle_saving"` // the same of the oracle
	Kept         eval.Spread `json:"kept"`          // the oracle's time with exits on ÷ that of the runtime: by the rule × in running
	ByRule       eval.Spread `json:"by_rule"`       // the oracle's time ÷ the rule's
	InRunning    eval.Spread `json:"in_running"`    // the rule's time ÷ the runtime's
}

func share(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) }

// arrival says how samples arrive.
func (p KeptPoint) arrival() string {
	if p.Callers > 0 {
		return fmt.Sprintf("one by one, %d callers", p.Callers)
	}
	return fmt.Sprintf("batches of %d", p.Batch)
}

// Table has a row per way of arriving.
func (n KeptNetwork) Table() Table {
	t := Table{Header: []string{n.Name, "off, ms", "on, ms", "saving", "MACs saving", "oracle on, ms", "oracle saving", "rule on, ms", "kept", "quartiles", "by the rule", "in running"}}
	ms := func(s eval.Spread) string { return fmt.Sprintf("%.3f", s.Median) }
	times := func(x float64) string { return fmt.Sprintf("%.2f×", x) }
	for _, p := range n.Points {
		t.Rows = append(t.Rows, []string{p.arrival(), ms(p.Off), ms(p.On),
			fmt.Sprintf("%s (%.2f–%.2f)", times(p.Saving.Median), p.Saving.Q1, p.Saving.Q3), times(n.MACs), ms(p.OracleOn), times(p.OracleSaving.Median), ms(p.RuleOn),
			share(p.Kept.Median), fmt.Sprintf("%.0f–%.0f", 100*p.Kept.Q1, 100*p.Kept.Q3), share(p.ByRule.Median), share(p.InRunning.Median)})
	}
	return t
}

// CostTable has a row per stretch between two exits: t(b), alone and beside others.
func (n KeptNetwork) CostTable() Table {
	t := Table{Header: []string{"t(b), ms"}}
	for _, b := range n.CostsOn.Buckets {
		t.Header = append(t.Header, fmt.Sprint(b))
	}
	for k, width := range n.CostsOn.Widths {
		for i, times := range n.CostsOn.Times[k] {
			row := []string{fmt.Sprintf("to depth %d, %d side by side", n.Exits[i], width)}
			for _, ms := range times {
				row = append(row, fmt.Sprintf("%.3f", ms))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// shares says where the samples leave.
func (n KeptNetwork) shares() string {
	var parts []string
	for i, depth := range n.Exits {
		parts = append(parts, fmt.Sprintf("%.0f %% at %d", 100*n.Shares[i], depth))
	}
	return strings.Join(parts, ", ")
}

// Section is what RESULTS.md says of it; "" if it was not measured.
func (k *Kept) Section() string {
	if k == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("## What exits save on the clock\n\n")
	b.WriteString("Off is the full network with exits off, on the policy, in ms per sample. Oracle is the least time in\n")
	b.WriteString("which a scheduler that knows every exit beforehand could run the same batches at their measured times ([README.md](README.md)).\n")
	b.WriteString("Rule is the time of the runtime's own scheduler, which does not know them, where a batch takes its measured time and nothing\n")
	b.WriteString("else. Kept = oracle on ÷ on = what the rule keeps (oracle on ÷ rule on) × what is kept in running (rule on ÷ on). Medians of\n")
	fmt.Fprintf(&b, "%d repetitions; in each, single batches are timed and then all of these take their turns, whose ratios are taken.\n", k.Repetitions)
	for _, n := range k.Networks {
		fmt.Fprintf(&b, "\n### %s\n\n%s. %d workers, %d samples; they leave: %s.\n\n%s", n.Name, sentence(n.About), n.Workers, n.Samples, n.shares(), n.Table().markdown())
		if n.Same != nil {
			fmt.Fprintf(&b, "\n%s\n%s", n.Same.text(), n.Same.Table().markdown())
		}
	}
	return b.String()
}

// sentence begins with a capital.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
