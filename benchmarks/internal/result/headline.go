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
	return before + headlineStart + c.headline() + headlineEnd + after, nil
}

// headline is one row for each full network and its certified policy; "" without results.
func (c *Collection) headline() string {
	var rows [][]string
	for _, s := range []struct{ title, name string }{
		{"Fashion-MNIST, residual convnet", "fashion-resnet"}, {"CLINC150, encoder", "clinc150-encoder"},
	} {
		r := c.Results[s.name]
		if r == nil {
			continue
		}
		rows = append(rows, []string{s.title + ", full depth", spread("%.2f", scaled(100, over(r, accuracy))), "", "", ""})
		for i, p := range r.Runs[0].Figures.Certified {
			if p.Eps != headlineEps || p.Exits != AllExits {
				continue
			}
			at := func(f *Figures) Certified { return f.Certified[i] }
			rows = append(rows, []string{"exits, certified to lose at most 0.5 points",
				spread("%.2f", scaled(100, over(r, func(f *Figures) float64 { return at(f).Accuracy }))),
				spread("%.2f", over(r, func(f *Figures) float64 { return at(f).SpeedUp })) + "×",
				wallClock(r, 1), wallClock(r, 32)})
		}
	}
	if rows == nil {
		return ""
	}
	return grid([]string{"test split", "accuracy %", "MACs speed-up", "wall-clock, batch 1", "batch 32"}, rows)
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
