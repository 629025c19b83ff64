package result

import (
	"fmt"
	"math"
	"strings"
)

// published are the Fashion-MNIST rows of Table 1 of arXiv 2511.12723: mean and standard deviation over five runs.
var published = []struct {
	head, result          string
	accuracy, accuracyStd float64 // 0 where the paper has none
	macroF1, macroF1Std   float64
}{
	{"LASTLAYER", "fashion-mlp-lastlayer", 0.8829, 0.0063, 0.8826, 0.0066},
	{"CONCAT", "fashion-mlp-concat", 0.8789, 0.0020, 0.8783, 0.0020},
	{"SCALARMIX", "fashion-mlp-scalarmix", 0.8807, 0.0026, 0.8800, 0.0027},
	{"LAYA, joint", "fashion-mlp-joint", 0.8834, 0.0046, 0.8827, 0.0052},
	{"LAYA, prefix", "fashion-mlp-prefix", 0, 0, 0, 0},
}

const publishedRuns = 5

// publishedAlpha is the paper's mean attention over the test set (one run), for all classes and for class 5, Sandal.
var publishedAlpha = struct{ all, sandal []float64 }{[]float64{0.167, 0.073, 0.760}, []float64{0.867, 0.000, 0.133}}

const sandal = 5

// paperSection is the paper's table beside ours; "" without any result.
func (c *Collection) paperSection() string {
	var rows [][]string
	for _, p := range published {
		if r := c.Results[p.result]; r != nil {
			rows = append(rows, []string{p.head, fmt.Sprint(len(r.Runs)),
				spread("%.2f", scaled(100, over(r, accuracy))), printed(p.accuracy, p.accuracyStd), errorsApart(over(r, accuracy), p.accuracy, p.accuracyStd),
				spread("%.2f", scaled(100, over(r, macroF1))), printed(p.macroF1, p.macroF1Std),
				fmt.Sprintf("%.3f", float64(full(&r.Runs[0].Figures).MACs)/1e6),
			})
		}
	}
	if rows == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("## The paper's MLP on Fashion-MNIST\n\n")
	b.WriteString("784-512-256-128, settings of the reference notebook. \"Apart\" is the difference in standard errors, ")
	b.WriteString("(ours − paper) ÷ √(s²/n + s²/5); up to 2 is what chance does. The notebook repeats one order of the samples in every epoch, we draw a new one; with the order repeated all four rows are within 1.1 ([experiments.md](../docs/experiments.md)).\n\n")
	b.WriteString(grid([]string{"head", "seeds", "accuracy %", "paper", "apart", "macro-F1 %", "paper", "MMACs"}, rows))
	b.WriteString(c.alphaTable())
	if r := c.Results["fashion-mlp-prefix"]; r != nil {
		b.WriteString("\nThe prefix head at its exits; exits hardly pay on this network, most of whose cost is its first layer.\n\n")
		b.WriteString(grid([]string{"forced depth", "accuracy %", "MMACs"}, forcedRows(r)))
	}
	return b.String()
}

// alphaTable is the attention of the joint head beside the paper's; "" without it, or for another network.
func (c *Collection) alphaTable() string {
	r := c.Results["fashion-mlp-joint"]
	if r == nil || len(r.Runs[0].Figures.Alpha) != len(publishedAlpha.all) || len(r.Runs[0].Figures.AlphaByClass) <= sandal {
		return ""
	}
	row := func(name string, alpha func(f *Figures) []float64, paper []float64) []string {
		cells := []string{name}
		for i := range paper {
			cells = append(cells, spread("%.3f", over(r, func(f *Figures) float64 { return alpha(f)[i] })), fmt.Sprintf("%.3f", paper[i]))
		}
		return cells
	}
	return "\nMean attention of the joint head on the test split. The paper shows one run; ours vary this much from seed to seed.\n\n" +
		grid([]string{"samples", "layer 1", "paper", "layer 2", "paper", "layer 3", "paper"}, [][]string{
			row("all", func(f *Figures) []float64 { return f.Alpha }, publishedAlpha.all),
			row("Sandal", func(f *Figures) []float64 { return f.AlphaByClass[sandal] }, publishedAlpha.sandal),
		})
}

// full is the answer of the whole network.
func full(f *Figures) Forced { return f.Forced[len(f.Forced)-1] }

func accuracy(f *Figures) float64 { return full(f).Accuracy }
func macroF1(f *Figures) float64  { return full(f).MacroF1 }

func printed(mean, std float64) string {
	if mean == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f ± %.2f", 100*mean, 100*std)
}

// errorsApart is Welch's statistic of our runs against the published mean and standard deviation.
func errorsApart(values []float64, mean, std float64) string {
	if mean == 0 || len(values) < 2 {
		return "–"
	}
	ours, s := moments(values)
	return fmt.Sprintf("%+.1f", (ours-mean)/math.Sqrt(s*s/float64(len(values))+std*std/publishedRuns))
}

// forcedRows are the exits of a network that all samples take.
func forcedRows(r *Result) [][]string {
	var rows [][]string
	for k, f := range r.Runs[0].Figures.Forced {
		rows = append(rows, []string{fmt.Sprint(f.Depth),
			spread("%.2f", scaled(100, over(r, func(f *Figures) float64 { return f.Forced[k].Accuracy }))),
			fmt.Sprintf("%.3f", float64(f.MACs)/1e6)})
	}
	return rows
}
