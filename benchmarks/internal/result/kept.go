package result

import (
	"fmt"
	"strings"

	"github.com/layarun/layarun/benchmarks/internal/oracle"
	"github.com/layarun/layarun/eval"
)

// KeptSchema is the version of results/kept.json.
const KeptSchema = "layarun.kept/1"

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
	// CostsOff and CostsOn are medians in ms: of the whole network in one go, and from each exit to the next.
	CostsOff oracle.Costs `json:"costs_off"`
	CostsOn  oracle.Costs `json:"costs_on"`
	Points   []KeptPoint  `json:"points"`
	Same     *Same        `json:"same,omitempty"` // nil if it was not checked
}

// KeptPoint is one way of arriving. All times are ms per sample.
type KeptPoint struct {
	Batch     int         `json:"batch,omitempty"`   // samples that arrive together, each batch awaited before the next
	Callers   int         `json:"callers,omitempty"` // who ask for one sample each, again and again; 0 where batches arrive
	Off       eval.Spread `json:"off_ms"`
	On        eval.Spread `json:"on_ms"`
	Saving    eval.Spread `json:"saving"` // off ÷ on, repetition by repetition
	OracleOff float64     `json:"oracle_off_ms"`
	OracleOn  float64     `json:"oracle_on_ms"`
	RuleOn    float64     `json:"rule_on_ms"` // of the runtime's scheduler where batches take their measured times and nothing else
}

// Kept is the time of the oracle ÷ that of the runtime: the share of the saving that was kept.
func (p KeptPoint) Kept() float64 { return p.OracleOn / p.On.Median }

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
	t := Table{Header: []string{n.Name, "off, ms", "on, ms", "saving", "quartiles", "MACs saving", "oracle off, ms", "oracle on, ms", "oracle saving", "rule on, ms", "kept", "by the rule", "in running"}}
	for _, p := range n.Points {
		t.Rows = append(t.Rows, []string{p.arrival(), fmt.Sprintf("%.3f", p.Off.Median), fmt.Sprintf("%.3f", p.On.Median),
			fmt.Sprintf("%.2f×", p.Saving.Median), fmt.Sprintf("%.2f–%.2f", p.Saving.Q1, p.Saving.Q3), fmt.Sprintf("%.2f×", n.MACs),
			fmt.Sprintf("%.3f", p.OracleOff), fmt.Sprintf("%.3f", p.OracleOn), fmt.Sprintf("%.2f×", p.OracleOff/p.OracleOn),
			fmt.Sprintf("%.3f", p.RuleOn), share(p.Kept()), share(p.OracleOn / p.RuleOn), share(p.RuleOn / p.On.Median)})
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
	fmt.Fprintf(&b, "Off is the full network with exits off, on the policy, in ms per sample; median of %d passes that take turns. Oracle is\n", k.Repetitions)
	b.WriteString("the least time in which a scheduler that knows every exit beforehand could run the same batches at their measured times\n")
	b.WriteString("([README.md](README.md)). Rule is the time of the runtime's own scheduler, which does not know them, where a batch takes its\n")
	b.WriteString("measured time and nothing else. Kept = oracle on ÷ on = what the rule keeps (oracle on ÷ rule on) × what is kept in running\n")
	b.WriteString("(rule on ÷ on).\n")
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
