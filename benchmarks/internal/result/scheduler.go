package result

import (
	"fmt"
	"strings"

	"github.com/layarun/layarun/eval"
)

// SchedulerSchema is the version of results/scheduler.json.
const SchedulerSchema = "layarun.scheduler/1"

// Scheduler is what moving samples costs, how throughput grows with callers, and whether memory stays flat. It lies in
// results/scheduler.json and all of it is measured.
type Scheduler struct {
	Schema      string       `json:"schema"`
	Environment Environment  `json:"environment"`
	Moves       []Move       `json:"moves"`
	Network     string       `json:"network"` // of the throughput and the memory
	Throughput  []Throughput `json:"throughput"`
	Memory      *Memory      `json:"memory,omitempty"` // nil if it was not measured
}

// Move is the time the scheduler takes for a sample where segments cost nothing.
type Move struct {
	Workers int         `json:"workers"`
	Callers int         `json:"callers"`
	Samples int         `json:"samples"` // in one call
	Micros  eval.Spread `json:"us_per_sample"`
}

// Throughput is what callers get who ask for one sample each, again and again.
type Throughput struct {
	Callers   int         `json:"callers"`
	PerSecond eval.Spread `json:"samples_per_s"`
	MS        eval.Spread `json:"ms"` // from asking to the answer, of all answers
}

// Memory is what the process takes under a mixed load.
type Memory struct {
	Seconds   float64 `json:"seconds"`
	Answers   int64   `json:"answers"`
	Cancelled int64   `json:"cancelled"` // samples whose caller gave up
	Points    []InUse `json:"points"`
	RSS       Growth  `json:"rss"`
	Heap      Growth  `json:"heap"`
}

// InUse is the memory in use at one time.
type InUse struct {
	Seconds float64 `json:"seconds"` // since the load began
	RSS     int64   `json:"rss_bytes"`
	Heap    int64   `json:"heap_bytes"` // of Go, after a collection
}

// Growth is the slope of a line through the later part of the points.
type Growth struct {
	Mean      float64 `json:"mean_bytes"`
	PerMinute float64 `json:"bytes_per_minute"`
	// Grown is the slope over that part of the load as a share of the mean, and Flat whether it is small enough.
	Grown float64 `json:"grown"`
	Flat  bool    `json:"flat"`
}

// Flat reports whether memory does not grow; true where it was not measured.
func (s *Scheduler) Flat() bool { return s.Memory == nil || s.Memory.RSS.Flat && s.Memory.Heap.Flat }

// MoveTable has a row per way of calling.
func (s *Scheduler) MoveTable() Table {
	t := Table{Header: []string{"segments that cost nothing", "µs per sample", "quartiles"}}
	for _, m := range s.Moves {
		t.Rows = append(t.Rows, []string{fmt.Sprintf("%d workers, %d callers, %d samples a call", m.Workers, m.Callers, m.Samples),
			fmt.Sprintf("%.2f", m.Micros.Median), fmt.Sprintf("%.2f–%.2f", m.Micros.Q1, m.Micros.Q3)})
	}
	return t
}

// ThroughputTable has a row per number of callers.
func (s *Scheduler) ThroughputTable() Table {
	t := Table{Header: []string{"callers", "samples/s", "quartiles", "median ms", "p99 ms"}}
	for _, x := range s.Throughput {
		t.Rows = append(t.Rows, []string{fmt.Sprint(x.Callers), fmt.Sprintf("%.0f", x.PerSecond.Median),
			fmt.Sprintf("%.0f–%.0f", x.PerSecond.Q1, x.PerSecond.Q3), fmt.Sprintf("%.2f", x.MS.Median), fmt.Sprintf("%.2f", x.MS.P99)})
	}
	return t
}

// MemoryTable has a row for the process and one for Go's heap; none where memory was not measured.
func (s *Scheduler) MemoryTable() Table {
	t := Table{Header: []string{"memory", "mean, MiB", "MiB per minute", "grown", "flat"}}
	if s.Memory == nil {
		return t
	}
	row := func(name string, g Growth) {
		flat := "no"
		if g.Flat {
			flat = "yes"
		}
		t.Rows = append(t.Rows, []string{name, fmt.Sprintf("%.1f", g.Mean/mebibyte), fmt.Sprintf("%+.2f", g.PerMinute/mebibyte), percent(g.Grown), flat})
	}
	row("resident", s.Memory.RSS)
	row("Go heap", s.Memory.Heap)
	return t
}

// Section is what RESULTS.md says of it; "" if it was not measured.
func (s *Scheduler) Section() string {
	if s == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("## The scheduler\n\nWhat it adds to a sample: admission, 2.5 of 4 segments on average, delivery.\n\n")
	b.WriteString(s.MoveTable().markdown())
	fmt.Fprintf(&b, "\nCallers who ask the runtime for one sample each, again and again. %s.\n\n%s", sentence(s.Network), s.ThroughputTable().markdown())
	if m := s.Memory; m != nil {
		fmt.Fprintf(&b, "\nMemory under %.0f s of mixed load: %d answers with several sizes, policies and bounds, and %d samples whose caller gave\n", m.Seconds, m.Answers, m.Cancelled)
		fmt.Fprintf(&b, "up. Grown is over the later part, in which the line is drawn.\n\n%s", s.MemoryTable().markdown())
	}
	return b.String()
}
