package eval

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Sheet is one table of a report, for people.
type Sheet struct {
	Caption string
	Header  []string
	Rows    [][]string
}

// Sheets are the tables of the report: quality and cost, wall-clock time, and where samples leave.
func (r *Report) Sheets() []Sheet {
	sheets := []Sheet{r.quality()}
	if r.Repetitions > 0 {
		sheets = append(sheets, r.latency())
	}
	for i, n := range r.Networks {
		if s := r.leaving(i, n); len(s.Rows) > 0 {
			sheets = append(sheets, s)
		}
	}
	return sheets
}

// About says in a few lines what was measured, where, and how.
func (r *Report) About() []string {
	lines := []string{strings.TrimSpace(fmt.Sprintf("%s %s split: %d samples, digest %.12s", r.Data, r.Split, r.N, r.Digest))}
	for _, n := range r.Networks {
		line := fmt.Sprintf("%s: network %.12s", n.Name, n.Digest)
		if seed, ok := n.Train["seed"]; ok {
			line += fmt.Sprintf(", seed %g", seed)
		}
		lines = append(lines, line)
	}
	return append(lines, r.Machine.With(r.Backend))
}

// Notes are the sentences that belong below the tables: certificates.
func (r *Report) Notes() []string {
	var notes []string
	for _, row := range r.Rows {
		if row.Certificate != nil {
			notes = append(notes, fmt.Sprintf("%s: %s", r.label(row), CertificateText(*row.Certificate)))
		}
	}
	return notes
}

// Markdown writes the report as GitHub-flavoured Markdown without a title.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	list := func(lines []string) {
		for _, line := range lines {
			fmt.Fprintf(&b, "- %s\n", line)
		}
	}
	list(r.About())
	for _, s := range r.Sheets() {
		fmt.Fprintf(&b, "\n%s\n\n", s.Caption)
		rule := slices.Repeat([]string{"---:"}, len(s.Header))
		rule[0] = "---"
		for _, row := range append([][]string{s.Header, rule}, s.Rows...) {
			for _, cell := range row {
				fmt.Fprintf(&b, "| %s ", strings.ReplaceAll(cell, "|", `\|`))
			}
			b.WriteString("|\n")
		}
	}
	if notes := r.Notes(); len(notes) > 0 {
		b.WriteString("\n")
		list(notes)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// label names a row; the network is named where there are several.
func (r *Report) label(row Row) string {
	label := row.Kind
	switch row.Kind {
	case ForcedDepth:
		label = fmt.Sprintf("depth %d", row.Depth)
	case ByPolicy:
		label = "policy " + row.Policy
	}
	if len(r.Networks) > 1 {
		label = r.Networks[row.Network].Name + ", " + label
	}
	return label
}

func (r *Report) quality() Sheet {
	level := 100 * r.Resampling.Level
	s := Sheet{
		Caption: fmt.Sprintf("Accuracy and cost; drop: points lost against the first row on the same samples, %g %% bootstrap interval", level),
		Header:  []string{"", "accuracy %", fmt.Sprintf("drop [%g %%]", level), "changed %", "mean depth", "MMACs", "% of full"},
	}
	for _, row := range r.Rows {
		drop := "–"
		if d := row.Drop; d != nil {
			drop = fmt.Sprintf("%s [%s, %s]", signed(100*d.Drop), signed(100*d.Low), signed(100*d.High))
		}
		s.Rows = append(s.Rows, []string{
			r.label(row), fmt.Sprintf("%.2f", 100*row.Accuracy), drop, fmt.Sprintf("%.2f", 100*row.Changed),
			fmt.Sprintf("%.2f", row.MeanDepth), significant(row.MACs / 1e6), fmt.Sprintf("%.1f", 100*row.MACsShare),
		})
	}
	return s
}

func (r *Report) latency() Sheet {
	s := Sheet{
		Caption: fmt.Sprintf("Network time in ms per sample, tokenisation excluded: %d samples in arriving batches, median (min–max) of %d turns; ×: speed-up",
			r.Samples, r.Repetitions),
		Header: []string{""},
	}
	for _, row := range r.Rows {
		if row.Latency == nil {
			continue
		}
		cells := []string{r.label(row)}
		for _, t := range row.Latency {
			if len(s.Rows) == 0 {
				s.Header = append(s.Header, fmt.Sprintf("batch %d", t.Batch), "×")
			}
			cells = append(cells, fmt.Sprintf("%s (%s–%s)", significant(t.MS.Median), significant(t.MS.Min), significant(t.MS.Max)),
				fmt.Sprintf("%.2f", t.SpeedUp.Median))
		}
		s.Rows = append(s.Rows, cells)
	}
	return s
}

// leaving is where the samples of network i leave, for the rows in which they do not all leave together.
func (r *Report) leaving(i int, n Network) Sheet {
	s := Sheet{Caption: "Share of the samples that leave at each depth, %", Header: []string{""}}
	if len(r.Networks) > 1 {
		s.Caption = fmt.Sprintf("Share of the samples of %s that leave at each depth, %%", n.Name)
	}
	for _, depth := range n.Exits {
		s.Header = append(s.Header, fmt.Sprint(depth))
	}
	for _, row := range r.Rows {
		if row.Network != i || row.Kind == FullDepth || row.Kind == ForcedDepth {
			continue
		}
		cells := []string{r.label(row)}
		for _, share := range row.Shares {
			cells = append(cells, fmt.Sprintf("%.1f", 100*share))
		}
		s.Rows = append(s.Rows, cells)
	}
	return s
}

// signed shows points with their sign, and zero without one.
func signed(v float64) string {
	if math.Abs(v) < 0.005 {
		return "0.00"
	}
	return strings.Replace(fmt.Sprintf("%+.2f", v), "-", "−", 1)
}

// significant shows three significant digits without an exponent.
func significant(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return fmt.Sprintf("%.*f", max(0, min(digits, 9)), v)
}
