package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/dataset"
)

// textWidth is how much of a text a row shows.
const textWidth = 48

// predicted is the answer to one sample.
type predicted struct {
	File          string      `json:"file,omitempty"`
	Index         int         `json:"index"` // in its file, from 0
	Label         int         `json:"label"` // -1 with an error
	Class         string      `json:"class"`
	Confidence    float32     `json:"confidence"`
	ExitDepth     int         `json:"exit_depth"`
	Forced        bool        `json:"forced,omitempty"`
	Probabilities []float32   `json:"probabilities"`
	TrueClass     string      `json:"true_class,omitempty"`
	Alpha         []float32   `json:"alpha,omitempty"`
	Contributions [][]float32 `json:"contributions,omitempty"`
	Bias          []float32   `json:"bias,omitempty"`
	Error         string      `json:"error,omitempty"`
}

// exitShare is how many samples left at an exit.
type exitShare struct {
	Depth   int     `json:"depth"`
	Samples int     `json:"samples"`
	Share   float64 `json:"share"`
}

// predictSummary counts the answers.
type predictSummary struct {
	Samples   int         `json:"samples"`
	Failed    int         `json:"failed"` // without an answer
	MeanDepth float64     `json:"mean_exit_depth"`
	Exits     []exitShare `json:"exits"`
	Labelled  int         `json:"labelled"`
	Accuracy  float64     `json:"accuracy"` // of the labelled; 0 where there are none
}

// answers prints as it is given: rows, or an object whose answers stand on a line each. So neither the whole table nor
// the whole object is ever in memory; widths are fixed beforehand.
type answers struct {
	app      *app
	runtime  *layarun.Runtime
	policy   string
	explain  bool
	several  bool // files
	width    int  // of the column of samples
	labelled bool // the first file has labels, so there is a column for them
	summary  predictSummary
	depths   map[int]int
	right    int
	fault    string // of the first sample without an answer
}

func newAnswers(a *app, r *layarun.Runtime, policy string, explain bool, files []string) *answers {
	out := &answers{app: a, runtime: r, policy: policy, explain: explain, several: len(files) > 1, width: len("sample"), depths: map[int]int{}}
	for _, file := range files {
		out.width = max(out.width, utf8.RuneCountInString(file)*min(1, len(files)-1)+6)
	}
	return out
}

// add prints the answers to some samples.
func (out *answers) add(part samples, all []layarun.Answer) error {
	if out.summary.Samples == 0 {
		if err := out.begin(part); err != nil {
			return err
		}
	}
	for i, answer := range all {
		p := out.describe(part, i, answer)
		out.count(p, part.labels[i], answer)
		write := out.row
		if out.app.json {
			write = out.object
		}
		text := ""
		if part.texts != nil {
			text = part.texts[i]
		}
		if err := write(p, part, text); err != nil {
			return err
		}
		out.summary.Samples++
	}
	return nil
}

func (out *answers) describe(part samples, i int, a layarun.Answer) predicted {
	p := predicted{File: part.file, Index: part.first + i, Label: a.Label, Confidence: a.Confidence, ExitDepth: a.ExitDepth, Forced: a.Forced,
		Probabilities: a.Probabilities, Alpha: a.Alpha, Contributions: a.Contributions, Bias: a.Bias}
	if label := part.labels[i]; label != dataset.Unknown {
		p.TrueClass = out.runtime.Classes()[label]
	}
	if a.Err != nil {
		p.Label, p.Error = -1, a.Err.Error()
		return p
	}
	p.Class = out.runtime.Classes()[a.Label]
	return p
}

func (out *answers) count(p predicted, label int, a layarun.Answer) {
	if label != dataset.Unknown {
		out.summary.Labelled++
	}
	if a.Err != nil {
		if out.summary.Failed++; out.fault == "" {
			out.fault = fmt.Sprintf("sample %s: %s", out.name(p, samples{}), p.Error)
		}
		return
	}
	out.depths[a.ExitDepth]++
	out.summary.MeanDepth += float64(a.ExitDepth)
	if label == a.Label {
		out.right++
	}
}

// begin prints what comes before the first answer.
func (out *answers) begin(part samples) error {
	r := out.runtime
	if !out.app.json {
		columns := []string{fmt.Sprintf("%-*s", out.width, "sample"), fmt.Sprintf("%-*s", out.classWidth(), "class"), "confidence", "exit"}
		if out.labelled = slices.Max(part.labels) != dataset.Unknown; out.labelled {
			columns = append(columns, fmt.Sprintf("%-*s", out.classWidth(), "true"))
		}
		if out.explain {
			reads := strings.Trim(fmt.Sprint(r.Reads()), "[]")
			columns = append(columns, "attention to depths "+reads+" | contributions to the class")
		} else if part.texts != nil {
			columns = append(columns, "text")
		}
		_, err := fmt.Fprintln(out.app.out, strings.TrimRight(strings.Join(columns, "  "), " "))
		return err
	}
	head, err := json.Marshal(struct {
		Schema  string   `json:"schema"`
		Bundle  string   `json:"bundle"`
		Digest  string   `json:"digest"`
		Backend string   `json:"backend"`
		Policy  string   `json:"policy"`
		Classes []string `json:"classes"`
		Reads   []int    `json:"reads,omitempty"`
	}{"layarun.predict/1", r.Name(), r.Digest(), r.Backend(), out.policy, r.Classes(), r.Reads()})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.app.out, "%s,\n\"answers\":[", head[:len(head)-1])
	return err
}

// object prints an answer as JSON.
func (out *answers) object(p predicted, _ samples, _ string) error {
	line, err := json.Marshal(p)
	if err != nil {
		return err
	}
	comma := ","
	if out.summary.Samples == 0 {
		comma = ""
	}
	_, err = fmt.Fprintf(out.app.out, "%s\n%s", comma, line)
	return err
}

// row prints an answer for people.
func (out *answers) row(p predicted, part samples, text string) error {
	columns := []string{fmt.Sprintf("%-*s", out.width, out.name(p, part))}
	if p.Error != "" {
		columns = append(columns, fmt.Sprintf("%-*s", out.classWidth(), "–"), fmt.Sprintf("%10s  %4s", "–", "–"))
	} else {
		columns = append(columns, fmt.Sprintf("%-*s", out.classWidth(), p.Class), fmt.Sprintf("%10.4f  %4d", p.Confidence, p.ExitDepth))
	}
	if out.labelled {
		columns = append(columns, fmt.Sprintf("%-*s", out.classWidth(), cmp.Or(p.TrueClass, "–")))
	}
	switch {
	case p.Error != "":
		columns = append(columns, p.Error)
	case out.explain:
		columns = append(columns, explained(p))
	case text != "":
		columns = append(columns, shorten(text))
	}
	_, err := fmt.Fprintln(out.app.out, strings.TrimRight(strings.Join(columns, "  "), " "))
	return err
}

// explained is the attention to each depth read and what it added to the logit of the class.
func explained(p predicted) string {
	var alpha, added []string
	for _, a := range p.Alpha {
		alpha = append(alpha, fmt.Sprintf("%.2f", a))
	}
	for _, c := range p.Contributions {
		added = append(added, fmt.Sprintf("%+.2f", c[p.Label]))
	}
	return strings.Join(alpha, " ") + " | " + strings.Join(added, " ")
}

func (out *answers) name(p predicted, part samples) string {
	switch {
	case part.image:
		return p.File
	case out.several && p.File != "":
		return fmt.Sprintf("%s:%d", p.File, p.Index)
	}
	return fmt.Sprint(p.Index)
}

func (out *answers) classWidth() int {
	width := len("class")
	for _, class := range out.runtime.Classes() {
		width = max(width, utf8.RuneCountInString(class))
	}
	return width
}

// finish prints the summary. Samples without an answer are a failure.
func (out *answers) finish() error {
	s := &out.summary
	if answered := s.Samples - s.Failed; answered > 0 {
		s.MeanDepth /= float64(answered)
		for _, depth := range out.runtime.Exits() {
			n := out.depths[depth]
			s.Exits = append(s.Exits, exitShare{depth, n, float64(n) / float64(answered)})
		}
	}
	if s.Labelled > 0 {
		s.Accuracy = float64(out.right) / float64(s.Labelled)
	}
	if out.app.json {
		line, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out.app.out, "\n],\n\"summary\":%s}\n", line); err != nil {
			return err
		}
	}
	out.saySummary()
	if s.Failed > 0 {
		return fmt.Errorf("%d of %d samples have no answer; the first is %s", s.Failed, s.Samples, out.fault)
	}
	return nil
}

func (out *answers) saySummary() {
	s, exits := out.summary, out.runtime.Exits()
	var shares []string
	for _, e := range s.Exits {
		if e.Samples > 0 {
			shares = append(shares, fmt.Sprintf("%d: %.1f %%", e.Depth, 100*e.Share))
		}
	}
	out.app.say("%d samples by policy %s on %s: mean exit depth %.2f of %d (%s)", s.Samples, out.policy, out.runtime.Backend(),
		s.MeanDepth, exits[len(exits)-1], strings.Join(shares, ", "))
	if s.Labelled > 0 {
		out.app.say("%.2f %% of %d labelled samples are right", 100*s.Accuracy, s.Labelled)
	}
}

// shorten shows the beginning of a text on one line.
func shorten(text string) string {
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > textWidth {
		return string(line[:textWidth-1]) + "…"
	}
	return string(line)
}
