package main

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/layarun/layarun/benchmarks/internal/oracle"
	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/eval"
)

// A round times every bucket for as long as slice, and for some passes at least.
const (
	slice  = 10 * time.Millisecond
	passes = 3
)

// The forms in which a network is run.
const (
	exitsOff = iota // from end to end
	exitsOn         // from each depth where the policy may let samples leave to the next
)

// span is the segments first to last, run in one go.
type span struct{ first, last int }

// stages times single batches in single spans, alone and beside as many others as there are workers.
type stages struct {
	work    *workload.Workload
	engine  *compile.Engine
	workers int
	widths  []int
	spans   [2][]span // by form
	next    atomic.Int64
	rounds  [2][]*oracle.Costs // [form][round]
}

func newStages(w *workload.Workload, device *compile.Device) (*stages, error) {
	e, err := w.Engine(device)
	if err != nil {
		return nil, err
	}
	s := &stages{work: w, engine: e, workers: e.Workers(), widths: []int{1}}
	if s.workers > 1 {
		s.widths = append(s.widths, s.workers)
	}
	depths, first := e.Depths(), 0
	end := len(depths) - 1
	s.spans[exitsOff] = []span{{0, end}}
	for i, depth := range depths {
		if i == end || slices.Contains(w.Policy.Open(), depth) {
			s.spans[exitsOn] = append(s.spans[exitsOn], span{first, i})
			first = i + 1
		}
	}
	return s, nil
}

// depths are those where the policy may let samples leave, and the last.
func (s *stages) depths() []int {
	var all []int
	for _, span := range s.spans[exitsOn] {
		all = append(all, s.engine.Depths()[span.last])
	}
	return all
}

// round times every bucket in both forms.
func (s *stages) round() error {
	for form := range s.rounds {
		c := &oracle.Costs{Buckets: s.engine.Buckets()[0], Widths: s.widths}
		for _, n := range s.widths {
			times := make([][]float64, len(s.spans[form])) // [span][bucket]
			for b := range c.Buckets {
				spans, err := s.beside(form, n, b)
				if err != nil {
					return err
				}
				for i, ms := range spans {
					times[i] = append(times[i], ms)
				}
			}
			c.Times = append(c.Times, times)
		}
		if err := c.Validate(); err != nil {
			return err
		}
		s.rounds[form] = append(s.rounds[form], c)
	}
	return nil
}

// latest are the times of the last round.
func (s *stages) latest(form int) *oracle.Costs { return s.rounds[form][len(s.rounds[form])-1] }

// beside lets n goroutines take batches of one bucket through the network until each has done its share; what they do
// after that keeps the others company and is not counted. It returns the median ms of every span.
func (s *stages) beside(form, n, bucket int) ([]float64, error) {
	if _, err := s.pass(form, bucket); err != nil { // compiles
		return nil, err
	}
	var busy atomic.Int64
	busy.Store(int64(n))
	times := make([][][]float64, n) // [goroutine][pass][span]
	faults := make([]error, n)
	var all sync.WaitGroup
	for g := range n {
		all.Go(func() {
			counts := true
			for start := time.Now(); busy.Load() > 0; {
				ms, err := s.pass(form, bucket)
				if err != nil {
					faults[g] = err
				}
				if counts {
					times[g] = append(times[g], ms)
				}
				if counts && (len(times[g]) >= passes && time.Since(start) >= slice || err != nil) {
					counts = false
					busy.Add(-1)
				}
			}
		})
	}
	all.Wait()
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return medians(slices.Concat(times...))
}

// medians are those of each column.
func medians(rows [][]float64) ([]float64, error) {
	var all []float64
	for i := range rows[0] {
		var column []float64
		for _, row := range rows {
			column = append(column, row[i])
		}
		spread, err := eval.NewSpread(column)
		if err != nil {
			return nil, err
		}
		all = append(all, spread.Median)
	}
	return all, nil
}

// pass takes one batch through all spans and returns the ms of each.
func (s *stages) pass(form, bucket int) ([]float64, error) {
	size := s.engine.Buckets()[0][bucket]
	batch, err := s.work.Samples(s.engine, int(s.next.Add(int64(size)))%s.work.Len(), size)
	if err != nil {
		return nil, err
	}
	var ms []float64
	for _, span := range s.spans[form] {
		start := time.Now()
		if _, err := s.engine.Run(span.first, span.last, batch); err != nil {
			return nil, err
		}
		ms = append(ms, time.Since(start).Seconds()*1000)
	}
	for _, sample := range batch {
		s.engine.Release(sample)
	}
	return ms, nil
}

// median are the medians of all rounds.
func median(rounds []*oracle.Costs) (oracle.Costs, error) {
	c := oracle.Costs{Buckets: rounds[0].Buckets, Widths: rounds[0].Widths}
	for width, spans := range rounds[0].Times {
		var times [][]float64
		for span := range spans {
			var rows [][]float64
			for _, round := range rounds {
				rows = append(rows, round.Times[width][span])
			}
			row, err := medians(rows)
			if err != nil {
				return c, err
			}
			times = append(times, row)
		}
		c.Times = append(c.Times, times)
	}
	return c, c.Validate()
}
