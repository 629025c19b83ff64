package result

import (
	"fmt"
	"strings"

	"github.com/layarun/layarun/eval"
)

// OverheadSchema is the version of results/overhead.json.
const OverheadSchema = "layarun.overhead/2"

// Overhead is what it costs to run a network with exits, switched off, instead of one plain executable. It lies in
// results/overhead.json and all of it is measured.
type Overhead struct {
	Schema      string            `json:"schema"`
	Environment Environment       `json:"environment"`
	Samples     int               `json:"samples"` // in one repetition
	Networks    []OverheadNetwork `json:"networks"`
}

// OverheadNetwork is one network at several batch sizes.
type OverheadNetwork struct {
	Name   string          `json:"name"`
	About  string          `json:"about"`
	Points []OverheadPoint `json:"points"`
}

// OverheadPoint holds the ways to full depth at one batch size, in ms per sample. They took turns.
type OverheadPoint struct {
	Batch int         `json:"batch"`
	Plain eval.Spread `json:"plain_ms"` // one executable of the whole network
	// Split is the same executable for the batch cut into as many parts as there are workers, side by side; nil for
	// batches that cannot be cut.
	Split   *eval.Spread `json:"split_ms,omitempty"`
	Engine  eval.Spread  `json:"engine_ms"` // all segments in one go, in parts, without the scheduler
	Runtime eval.Spread  `json:"runtime_ms"`
	// Ratio is the time of the faster of Plain and Split ÷ that of the runtime, repetition by repetition.
	Ratio eval.Spread `json:"ratio"`
	// EngineRatio is the time of Engine ÷ that of the runtime, in passes of these two alone.
	EngineRatio eval.Spread `json:"engine_ratio"`
}

// Table has a row per batch size.
func (n OverheadNetwork) Table() Table {
	t := Table{Header: []string{n.Name, "plain, ms", "plain in parts, ms", "engine, ms", "runtime, ms", "over plain", "quartiles", "over engine", "quartiles"}}
	for _, p := range n.Points {
		split := "–"
		if p.Split != nil {
			split = fmt.Sprintf("%.3f", p.Split.Median)
		}
		t.Rows = append(t.Rows, []string{fmt.Sprintf("batch %d", p.Batch), fmt.Sprintf("%.3f", p.Plain.Median), split,
			fmt.Sprintf("%.3f", p.Engine.Median), fmt.Sprintf("%.3f", p.Runtime.Median), extra(p.Ratio.Median),
			extra(p.Ratio.Q3) + " to " + extra(p.Ratio.Q1), extra(p.EngineRatio.Median), extra(p.EngineRatio.Q3) + " to " + extra(p.EngineRatio.Q1)})
	}
	return t
}

// extra is the share of time that the runtime takes beyond a plain way, from the ratio of plain to runtime.
func extra(ratio float64) string { return percent(1/ratio - 1) }

func percent(share float64) string { return fmt.Sprintf("%+.1f %%", 100*share) }

// Section is what RESULTS.md says of it; "" if it was not measured.
func (o *Overhead) Section() string {
	if o == nil || len(o.Networks) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("## Exits switched off\n\n")
	fmt.Fprintf(&b, "Full depth in ms per sample, median of %d passes that take turns. Plain is one XLA executable of the whole network, in\n", o.Networks[0].Points[0].Plain.N)
	b.WriteString("parts the same with the batch cut in as many parts as there are workers, side by side; engine is the engine, likewise in parts,\n")
	b.WriteString("without the scheduler. The last columns are the runtime's time over that of the faster plain way and over the engine's.\n")
	for _, n := range o.Networks {
		fmt.Fprintf(&b, "\n%s.\n\n%s", sentence(n.About), n.Table().markdown())
	}
	return b.String()
}
