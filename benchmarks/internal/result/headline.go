package result

import (
	"fmt"
	"strings"
)

// The marks around the block of README.md that is generated.
const (
	headlineStart = "<!-- table:headline -->\n"
	headlineEnd   = "<!-- /table:headline -->"
)

// headlineEps is the target of the headline: half a point.
const headlineEps = 0.005

// InsertHeadline replaces what stands between the marks of a README by the headline table.
func (c *Collection) InsertHeadline(readme string) (string, error) {
	before, rest, ok := strings.Cut(readme, headlineStart)
	if !ok {
		return "", fmt.Errorf("no line %q", strings.TrimSpace(headlineStart))
	}
	_, after, ok := strings.Cut(rest, headlineEnd)
	if !ok {
		return "", fmt.Errorf("no %q after %q", headlineEnd, strings.TrimSpace(headlineStart))
	}
	var tables []string
	for _, table := range []string{c.headline(), c.textHeadline()} {
		if table != "" {
			tables = append(tables, table)
		}
	}
	return before + headlineStart + strings.Join(tables, "\n") + headlineEnd + after, nil
}

// textHeadline is the throughput of text encoders with certified exits, beside ONNX Runtime with the same
// weights; "" where that was not measured.
func (c *Collection) textHeadline() string {
	if c.Peers == nil {
		return ""
	}
	var rows [][]string
	var title string // of the peer
	for _, n := range c.Peers.Networks {
		peer, ok := n.reference()
		if !ok {
			continue
		}
		perSecond := func(r PeerRuntime) string { return fmt.Sprintf("%.0f", r.Throughput.PerSecond.Median) }
		data, _, _ := strings.Cut(n.Name, "-")
		rows = append(rows, []string{data, inPercent(n.FullAccuracy), perSecond(peer), perSecond(n.Runtimes[0]), median("%.2f", peer.Throughput.Speed) + "×",
			inPercent(n.PolicyAccuracy), perSecond(n.Runtimes[1]), median("%.2f", peer.Throughput.ExitsSpeed) + "×"})
		title = peer.title()
	}
	if rows == nil {
		return ""
	}
	return grid([]string{"MiniLM of six blocks, test split", "accuracy, full depth", title + ", texts/s", "layarun, full depth", "ratio",
		fmt.Sprintf("accuracy with exits, certified ≤ %g points", 100*headlineEps), "layarun with exits", "ratio"}, rows)
}

// headline is the full network, its certified policy and a network as shallow as the policy is cheap; "" without results.
// Tasks on which depth gains nothing, where any saving looks large, are left to RESULTS.md.
func (c *Collection) headline() string {
	r := c.Results["fashion-resnet"]
	if r == nil {
		return ""
	}
	rows := [][]string{{"nine residual blocks, full depth", spread("%.2f", scaled(100, over(r, accuracy))), "", "", ""}}
	for i, p := range r.Runs[0].Figures.Certified {
		if p.Eps != headlineEps || p.Exits != AllExits {
			continue
		}
		at := func(f *Figures) Certified { return f.Certified[i] }
		rows = append(rows, []string{"the same with exits, certified to lose less than 0.5 points",
			spread("%.2f", scaled(100, over(r, func(f *Figures) float64 { return at(f).Accuracy }))),
			spread("%.2f", over(r, func(f *Figures) float64 { return at(f).SpeedUp })) + "×",
			wallClock(r, 1), wallClock(r, 32)})
	}
	for _, shallow := range c.named("fashion-resnet-shallow-") {
		f := shallow.Runs[0].Figures
		rows = append(rows, []string{fmt.Sprintf("a network of %d of the blocks, trained by itself", full(&f).Depth),
			spread("%.2f", scaled(100, over(shallow, accuracy))), fmt.Sprintf("%.2f×", float64(full(&r.Runs[0].Figures).MACs)/float64(full(&f).MACs)), "", ""})
	}
	return grid([]string{"Fashion-MNIST, test split", "accuracy %", "MACs speed-up", "wall-clock, batch 1", "batch 32"}, rows)
}

// wallClock is the speed-up at a batch size over the runs that measured it.
func wallClock(r *Result, batch int) string {
	var values []float64
	for _, run := range r.Runs {
		for _, l := range run.Latency {
			for _, t := range l.Timings {
				if t.Batch == batch && l.Eps == headlineEps {
					values = append(values, t.SpeedUp.Median)
				}
			}
		}
	}
	if values == nil {
		return ""
	}
	return spread("%.2f", values) + "×"
}
