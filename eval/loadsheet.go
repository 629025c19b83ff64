package eval

import (
	"fmt"
	"slices"
)

// String says how requests come, as "8 callers with requests of one sample".
func (l Load) String() string {
	of := "one sample"
	if l.Batch != 1 {
		of = fmt.Sprintf("%d samples", l.Batch)
	}
	switch {
	case l.Rate > 0:
		return fmt.Sprintf("%g requests of %s per second", l.Rate, of)
	case l.Callers == 1:
		return "1 caller with requests of " + of
	}
	return fmt.Sprintf("%d callers with requests of %s", l.Callers, of)
}

// Sheet is the table of a load, for people.
func (l Loaded) Sheet() Sheet {
	s := Sheet{
		Caption: l.Load.String(),
		Header:  []string{"", "samples/s", "saved %", "p50 ms", "p95 ms", "p99 ms", "depth", "per core-s", "cores", "rows", "pad %"},
	}
	if l.Rate > 0 {
		s.Header[2] = "kept up"
	}
	for i, service := range l.Services {
		s.Rows = append(s.Rows, append([]string{service.Name, within(service.Throughput), service.versus(i == 0)}, service.cells()...))
	}
	return s
}

// versus is what was saved, or in an open loop whether the candidate kept up.
func (s Service) versus(first bool) string {
	switch {
	case s.Saved != nil && first:
		return "–"
	case s.Saved != nil:
		return fmt.Sprintf("%.1f", 100*s.Saved.Median)
	case !s.Served:
		return "no"
	case s.Behind > 0:
		return "mostly"
	}
	return "yes"
}

func (s Service) cells() []string {
	atLeast := ""
	if s.Unanswered > 0 {
		atLeast = "≥"
	}
	perCore, cores := "–", "–"
	if s.CoreThroughput != nil {
		perCore, cores = significant(s.CoreThroughput.Median), fmt.Sprintf("%.2f", s.Cores.Median)
	}
	return []string{
		atLeast + significant(s.P50.Median), atLeast + significant(s.P95.Median), atLeast + within(s.P99),
		fmt.Sprintf("%.2f", s.MeanDepth), perCore, cores, fmt.Sprintf("%.1f", s.Rows), fmt.Sprintf("%.1f", 100*s.Padding),
	}
}

// within shows a median with the least and the greatest value.
func within(s Spread) string {
	return fmt.Sprintf("%s (%s–%s)", significant(s.Median), significant(s.Min), significant(s.Max))
}

// fewRequests of a round do not determine its 99th percentile.
const fewRequests = 100

// loadLegend explains the columns that need it.
var loadLegend = []string{
	"saved: time per sample against the first row; per core-s: samples per second of processor time; cores: kept busy",
	"rows: samples in a batch that was run; pad: share of its rows that only filled it up",
}

// LoadNotes are the sentences that belong below the tables of loads.
func LoadNotes(all []Loaded) []string {
	notes := slices.Clone(loadLegend)
	fewest, behind := fewRequests, []string(nil)
	for _, l := range all {
		for _, s := range l.Services {
			fewest = min(fewest, s.Fewest)
			if s.Behind > 0 {
				behind = append(behind, fmt.Sprintf("%s fell behind %s in %d of %d rounds; %d requests were given up, and their latency is what they had waited",
					s.Name, l.Load, s.Behind, s.P99.N, s.Unanswered))
			}
		}
	}
	if fewest < fewRequests {
		notes = append(notes, fmt.Sprintf("some rounds hold only %d requests: a p99 of fewer than %d says little more than the slowest", fewest, fewRequests))
	}
	return slices.Concat(notes, behind)
}
