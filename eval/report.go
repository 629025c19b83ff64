package eval

import (
	"errors"
	"fmt"
	"slices"

	"github.com/layarun/layarun/exit"
)

// Report is what one run of measurements found: one value for tables, Markdown, JSON and the figure. It holds no date, so
// that equal results give equal files.
type Report struct {
	Data        string     `json:"data,omitempty"` // name of the data set
	Split       string     `json:"split"`          // name of the split
	Digest      string     `json:"split_digest"`
	N           int        `json:"n"`
	Resampling  Resampling `json:"resampling"` // of the intervals
	Machine     Machine    `json:"machine"`
	Backend     string     `json:"backend"`
	Networks    []Network  `json:"networks"` // the first is what all are compared with
	Rows        []Row      `json:"rows"`     // the first is the first network at full depth
	Curve       []Point    `json:"curve"`    // one threshold of the first network's gate, swept from "never" to 0
	Samples     int        `json:"timed_samples,omitempty"`
	Repetitions int        `json:"repetitions,omitempty"`
}

// Network is one of the networks of a report.
type Network struct {
	Name   string             `json:"name"`
	Digest string             `json:"digest"`
	Exits  []int              `json:"exits"`
	Train  map[string]float64 `json:"train,omitempty"` // what its bundle remembers of the training, the seed among it
}

// The kinds of rows.
const (
	FullDepth      = "full"            // exits off: blocks and the last answer only
	ForcedDepth    = "forced depth"    // all samples leave at one exit, no other is evaluated
	ByPolicy       = "policy"          // samples leave where a policy lets them
	Oracle         = "oracle"          // the first exit that is right: what no gate can beat
	AgreeingOracle = "agreeing oracle" // the first exit that answers as the full network does
)

// Row is one way to run one of the networks. Accuracies and drops are over the samples with a label.
type Row struct {
	Network     int               `json:"network"` // index
	Kind        string            `json:"kind"`
	Policy      string            `json:"policy,omitempty"`      // name, of rows by policy
	Depth       int               `json:"depth"`                 // where forced; else the network's depth
	Accuracy    float64           `json:"accuracy"`              // share of right answers
	Drop        *Paired           `json:"drop,omitempty"`        // against the first row; nil for itself
	Changed     float64           `json:"changed"`               // share of answers that are not the network's own at full depth
	MeanDepth   float64           `json:"mean_depth"`            // where samples left
	MACs        float64           `json:"macs"`                  // mean per sample
	MACsShare   float64           `json:"macs_share"`            // of the first row's
	Shares      []float64         `json:"shares"`                // of samples that left at each of the network's exits
	Certificate *exit.Certificate `json:"certificate,omitempty"` // of the policy
	Latency     []Timing          `json:"latency,omitempty"`     // by batch size; none for oracles
}

// Subject is a network to report on, by its score table.
type Subject struct {
	Network
	Table    *exit.Table
	Policies []exit.Policy
}

// NewReport computes everything that tables tell: the first subject at full depth, at every forced depth, by each of its
// policies and by the oracles; the others at full depth and by their policies. All tables are of one split with labels,
// and each of the network it is said to be of.
func NewReport(split string, subjects []Subject, r Resampling) (*Report, error) {
	if err := checkSubjects(subjects); err != nil {
		return nil, err
	}
	t := subjects[0].Table
	report := &Report{Split: split, Digest: t.Split, N: len(t.Labels), Resampling: r}
	reference := right(t, t.Forced(len(t.Exits)-1))
	if len(reference) == 0 {
		return nil, fmt.Errorf("eval: report: no sample of %s has a label", split)
	}
	for i, s := range subjects {
		report.Networks = append(report.Networks, s.Network)
		for _, row := range rowsOf(s, i == 0) {
			row.Network = i
			outcomes := row.outcomes
			if len(report.Rows) > 0 {
				drop, err := Compare(reference, right(s.Table, outcomes), r)
				if err != nil {
					return nil, err
				}
				row.Drop = &drop
			}
			report.Rows = append(report.Rows, row.Row)
		}
	}
	for i := range report.Rows {
		if full := report.Rows[0].MACs; full > 0 {
			report.Rows[i].MACsShare = report.Rows[i].MACs / full
		}
	}
	report.Curve = sweep(subjects[0])
	return report, nil
}

// checkSubjects reports tables that are not of their networks, or not of one split.
func checkSubjects(subjects []Subject) error {
	if len(subjects) == 0 {
		return errors.New("eval: report: no networks")
	}
	first := subjects[0].Table
	for _, s := range subjects {
		if err := s.Table.Validate(); err != nil {
			return fmt.Errorf("eval: report: %s: %w", s.Name, err)
		}
		if s.Table.Bundle != s.Digest {
			return fmt.Errorf("eval: report: the score table of %s is of network %.12s, want %.12s", s.Name, s.Table.Bundle, s.Digest)
		}
		if s.Table.Split != first.Split || !slices.Equal(s.Table.Labels, first.Labels) {
			return fmt.Errorf("eval: report: the score table of %s is of split %.12s, want %.12s as of %s", s.Name, s.Table.Split, first.Split, subjects[0].Name)
		}
		for _, p := range s.Policies {
			if err := p.Validate(s.Table.Exits); err != nil {
				return fmt.Errorf("eval: report: %s: policy %q: %w", s.Name, p.Name, err)
			}
		}
	}
	return nil
}

// rowOutcomes is a row with what became of the samples.
type rowOutcomes struct {
	Row
	outcomes []exit.Outcome
}

// rowsOf are the rows of a subject; all of them, or only the full network and the policies.
func rowsOf(s Subject, all bool) []rowOutcomes {
	t := s.Table
	last := len(t.Exits) - 1
	plain := t.Plain
	if plain == nil {
		plain = t.MACs
	}
	forced := func(kind string, k int) rowOutcomes {
		r := newRow(t, Row{Kind: kind, Depth: t.Exits[k]}, t.Forced(k))
		r.MACs = float64(plain[k]) // no other exit is evaluated
		return r
	}
	rows := []rowOutcomes{forced(FullDepth, last)}
	for k := 0; all && k < last; k++ {
		rows = append(rows, forced(ForcedDepth, k))
	}
	for _, p := range s.Policies {
		rows = append(rows, newRow(t, Row{Kind: ByPolicy, Policy: p.Name, Depth: t.Exits[last], Certificate: p.Certificate}, t.Apply(p)))
	}
	if all && last > 0 {
		rows = append(rows, newRow(t, Row{Kind: Oracle, Depth: t.Exits[last]}, t.Oracle()),
			newRow(t, Row{Kind: AgreeingOracle, Depth: t.Exits[last]}, t.AgreeingOracle()))
	}
	return rows
}

func newRow(t *exit.Table, r Row, outcomes []exit.Outcome) rowOutcomes {
	s := t.Summarize(outcomes)
	r.Accuracy, r.Changed = s.Accuracy(), float64(s.Changed)/float64(max(s.N, 1))
	r.MeanDepth, r.MACs, r.Shares = s.MeanDepth, s.MeanMACs, s.Shares
	return rowOutcomes{r, outcomes}
}

// right tells for each sample with a label whether it was answered correctly.
func right(t *exit.Table, outcomes []exit.Outcome) []bool {
	var out []bool
	for i, y := range t.Labels {
		if y >= 0 {
			out = append(out, outcomes[i].Answer == y)
		}
	}
	return out
}

// sweepSteps is the number of thresholds of a curve, beside "never" and 0.
const sweepSteps = 50

// sweep is the curve of policies that have one threshold for all exits: quantiles of the scores, from "never" to 0. It
// shows what the gate can do; none of its points was chosen by it.
func sweep(s Subject) []Point {
	t := s.Table
	early := t.Exits[:len(t.Exits)-1]
	if len(early) == 0 {
		return nil
	}
	p := exit.Policy{Gate: exit.MaxProb, Exits: early}
	if len(s.Policies) > 0 {
		p.Gate = s.Policies[0].Gate
	}
	gate := slices.Index(exit.Gates, p.Gate)
	var scores []float64
	for _, row := range t.Scores {
		for k := range early {
			scores = append(scores, max(0, float64(row[k][gate])))
		}
	}
	slices.Sort(scores)
	thresholds := []exit.Threshold{exit.Never}
	for i := sweepSteps; i > 0; i-- {
		thresholds = append(thresholds, exit.Threshold(percentile(scores, float64(i)/sweepSteps)))
	}
	var curve []Point
	for _, threshold := range slices.Compact(append(thresholds, 0)) {
		p.Thresholds = slices.Repeat([]exit.Threshold{threshold}, len(early))
		sum := t.Summarize(t.Apply(p))
		name := "never"
		if threshold != exit.Never {
			name = fmt.Sprintf("%s %.4g", p.Gate, float64(threshold))
		}
		curve = append(curve, Point{Name: name, Cost: sum.MeanMACs, Value: sum.Accuracy()})
	}
	return curve
}
