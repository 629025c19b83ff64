package result

import (
	"fmt"
	"slices"
	"strings"

	"github.com/layarun/layarun/eval"
)

// study is one network with exits beside what it has to beat.
type study struct {
	title, intro string
	main         *Result
	shallower    []*Result // trained by themselves
	baseline     *Baseline
}

func (c *Collection) resnetSection() string {
	main := c.Results["fashion-resnet"]
	if main == nil {
		return ""
	}
	return study{
		title: "Residual convnet on Fashion-MNIST",
		intro: fmt.Sprintf("ResNet-20's shape, nine blocks, prefix head at every depth, %s.", seeds(main)),
		main:  main, shallower: c.named("fashion-resnet-shallow-"),
	}.section()
}

func (c *Collection) clincSection() string {
	main := c.Results["clinc150-encoder"]
	if main == nil {
		return ""
	}
	return study{
		title: "CLINC150, an encoder trained from scratch",
		intro: fmt.Sprintf("Four blocks of width 128, prefix head at every depth, %s. Depth 0 is the mean of the token embeddings.", seeds(main)),
		main:  main, shallower: c.named("clinc150-shallow-"), baseline: c.Baselines["clinc150-tfidf"],
	}.section()
}

// minilms are the studies of all-MiniLM-L6-v2, by data set. A whole one has its blocks fine-tuned.
var minilms = []struct {
	data, title string
	whole       bool
}{
	{"clinc150", "CLINC150", true}, {"sst2", "SST-2", true},
	{"agnews", "AG News, 4,991 training samples", false}, {"banking77", "Banking77", false}, {"trec", "TREC, 6 classes", false},
}

func (c *Collection) minilmSections() string {
	var sections []string
	for _, m := range minilms {
		main := c.Results[m.data+"-minilm"]
		if main == nil {
			continue
		}
		how := "its blocks as they are, only the head trained"
		if m.whole {
			how = "fine-tuned"
		}
		sections = append(sections, study{
			title: m.title + ", a pretrained encoder",
			intro: fmt.Sprintf("all-MiniLM-L6-v2, six blocks of width 384, %s; prefix head at every depth, %s. Depth 0 is the mean of the token embeddings.", how, seeds(main)),
			main:  main, shallower: c.named(m.data + "-minilm-shallow-"), baseline: c.Baselines[m.data+"-tfidf"],
		}.section())
	}
	return strings.Join(sections, "\n")
}

// named are the results whose name starts with prefix, by rising cost.
func (c *Collection) named(prefix string) []*Result {
	var found []*Result
	for name, r := range c.Results {
		if strings.HasPrefix(name, prefix) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *Result) int {
		return int(full(&a.Runs[0].Figures).MACs - full(&b.Runs[0].Figures).MACs)
	})
	return found
}

func (s study) section() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s ", s.title, s.intro)
	b.WriteString("The reference of every speed-up is the full network with exits off. ")
	b.WriteString("\"Over shallower\" is the gain, in points, over separately trained shallower networks of the same mean cost.\n\n")
	rows := s.fixedRows()
	rows = append(rows, s.certifiedRows()...)
	if s.main.Runs[0].Figures.Oracle != nil {
		rows = append(rows, s.row("oracle: first exit that is right", func(f *Figures) Leaving { return *f.Oracle }, nil))
	}
	b.WriteString(grid([]string{"row", "accuracy %", "drop", "MMACs", "MACs speed-up", "mean depth", "over shallower"}, rows))
	b.WriteString(s.certificates())
	b.WriteString(s.latency())
	return b.String()
}

// fixedRows are the networks and depths at which every sample costs the same.
func (s study) fixedRows() [][]string {
	var rows [][]string
	forced := s.main.Runs[0].Figures.Forced
	for k := len(forced) - 1; k >= 0; k-- {
		name := fmt.Sprintf("forced depth %d", forced[k].Depth)
		if k == len(forced)-1 {
			name = "full network, exits off"
		}
		rows = append(rows, s.row(name, func(f *Figures) Leaving { return f.Forced[k].leaving(f) }, nil))
	}
	for _, r := range s.shallower {
		f := r.Runs[0].Figures
		rows = append(rows, []string{fmt.Sprintf("shallower: %d blocks by themselves (%s)", full(&f).Depth, seeds(r)),
			spread("%.2f", scaled(100, over(r, accuracy))), "", fmt.Sprintf("%.2f", float64(full(&f).MACs)/1e6),
			fmt.Sprintf("%.2f×", float64(full(&s.main.Runs[0].Figures).MACs)/float64(full(&f).MACs)), fmt.Sprint(full(&f).Depth), ""})
	}
	if s.baseline != nil {
		rows = append(rows, []string{fmt.Sprintf("TF-IDF (%s) and logistic regression", s.baseline.Features),
			fmt.Sprintf("%.2f", 100*s.baseline.Accuracy), "", "", "", "", ""})
	}
	return rows
}

// leaving is a forced depth seen as a policy.
func (x Forced) leaving(f *Figures) Leaving {
	return Leaving{Accuracy: x.Accuracy, MacroF1: x.MacroF1, MACs: float64(x.MACs), Depth: float64(x.Depth),
		SpeedUp: float64(full(f).MACs) / float64(x.MACs)}
}

func (s study) certifiedRows() [][]string {
	var rows [][]string
	for i, c := range s.main.Runs[0].Figures.Certified {
		name := fmt.Sprintf("certified ≤ %g points", 100*c.Eps)
		if c.Exits != AllExits {
			name += ", " + c.Exits
		}
		at := func(f *Figures) Leaving { return f.Certified[i].Leaving }
		rows = append(rows, s.row(name, at, s.overShallower(at)))
	}
	return rows
}

// row prints what policies of all runs met; gain, if not nil, is its last cell.
func (s study) row(name string, at func(f *Figures) Leaving, gain *float64) []string {
	pick := func(format string, factor float64, number func(l Leaving) float64) string {
		return spread(format, scaled(factor, over(s.main, func(f *Figures) float64 { return number(at(f)) })))
	}
	drop := spread("%.2f", scaled(100, over(s.main, func(f *Figures) float64 { return accuracy(f) - at(f).Accuracy })))
	last := ""
	if gain != nil {
		last = fmt.Sprintf("%+.2f", 100**gain)
	}
	return []string{name, pick("%.2f", 100, func(l Leaving) float64 { return l.Accuracy }), drop,
		pick("%.2f", 1e-6, func(l Leaving) float64 { return l.MACs }),
		pick("%.2f", 1, func(l Leaving) float64 { return l.SpeedUp }) + "×",
		pick("%.2f", 1, func(l Leaving) float64 { return l.Depth }), last}
}

// overShallower is the mean accuracy of a policy minus that of shallower networks of equal mean cost: between two of
// them on the straight line, which is what sending samples to either at random gives. Below the cheapest the cheapest is
// taken, although it costs more. nil above the dearest, or without any.
func (s study) overShallower(at func(f *Figures) Leaving) *float64 {
	mine, _ := moments(over(s.main, func(f *Figures) float64 { return at(f).Accuracy }))
	cost, _ := moments(over(s.main, func(f *Figures) float64 { return at(f).MACs }))
	var lastCost, lastAccuracy float64
	for i, r := range s.shallower {
		macs := float64(full(&r.Runs[0].Figures).MACs)
		theirs, _ := moments(over(r, accuracy))
		if cost <= macs {
			if i > 0 {
				theirs = lastAccuracy + (theirs-lastAccuracy)*(cost-lastCost)/(macs-lastCost)
			}
			gain := mine - theirs
			return &gain
		}
		lastCost, lastAccuracy = macs, theirs
	}
	return nil
}

// certificates lists what each run's certificates say.
func (s study) certificates() string {
	var rows [][]string
	for _, run := range s.main.Runs {
		for _, c := range run.Figures.Certified {
			cert := c.Policy.Certificate
			rows = append(rows, []string{fmt.Sprint(run.Seed), fmt.Sprintf("≤ %g, %s", 100*c.Eps, c.Exits), c.Policy.Gate + ", " + c.Family,
				fmt.Sprint(cert.N), fmt.Sprintf("%.2f", 100*cert.Bound), fmt.Sprintf("%.2f", 100*c.Drop.Drop),
				fmt.Sprintf("%.2f to %.2f", 100*c.Drop.Low, 100*c.Drop.High), fmt.Sprintf("%.2f×", c.SpeedUp)})
		}
	}
	if rows == nil {
		return ""
	}
	return "\nThe certificates, seed by seed: the accuracy drop stays below the target with probability 95 %. \"Bound\" is what the\n" +
		"calibration split shows, \"drop\" what the test split does, with its 95 % bootstrap interval, all in points.\n\n" +
		grid([]string{"seed", "target, exits", "gate", "n", "bound", "drop", "interval", "MACs speed-up"}, rows)
}

// latency is wall-clock time, seed by seed.
func (s study) latency() string {
	var rows [][]string
	for _, run := range s.main.Runs {
		for _, l := range run.Latency {
			name := "full network, exits off"
			if l.Eps > 0 {
				name = fmt.Sprintf("certified ≤ %g points", 100*l.Eps)
			}
			row := []string{fmt.Sprint(run.Seed), name}
			for _, t := range l.Timings {
				row = append(row, median("%.2f", t.MS), median("%.2f", t.SpeedUp)+"×")
			}
			rows = append(rows, row)
		}
	}
	if rows == nil {
		return ""
	}
	headers := []string{"seed", "row"}
	for _, t := range s.main.Runs[0].Latency[0].Timings {
		headers = append(headers, fmt.Sprintf("batch %d, ms", t.Batch), "speed-up")
	}
	return fmt.Sprintf("\nWall-clock milliseconds per sample, tokenisation left out: median and quartiles of %d repetitions over %d test samples.\n"+
		"Samples arrive in batches of the given size, each awaited before the next. The rows took turns; the speed-up is that of each turn.\n\n",
		s.main.Repetitions, s.main.Samples) + grid(headers, rows)
}

// median prints a spread as its median with the quartiles in brackets.
func median(format string, s eval.Spread) string {
	return fmt.Sprintf(format+" ("+format+"–"+format+")", s.Median, s.Q1, s.Q3)
}
