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

// A round times every bucket for as long as slice, and for two passes at least.
const (
	slice  = 50 * time.Millisecond
	passes = 2
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
	ms      [2][][][][]float64 // [form][width][span][bucket][call]
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
	for form, spans := range s.spans {
		for range s.widths {
			times := make([][][]float64, len(spans))
			for i := range times {
				times[i] = make([][]float64, len(e.Buckets()[0]))
			}
			s.ms[form] = append(s.ms[form], times)
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
	for form := range s.ms {
		for width, n := range s.widths {
			for b := range s.engine.Buckets()[0] {
				if err := s.beside(form, width, n, b); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// beside lets n goroutines take batches of one bucket through the network until each has done its share; what they do
// after that keeps the others company and is not counted.
func (s *stages) beside(form, width, n, bucket int) error {
	if _, err := s.pass(form, bucket); err != nil { // compiles
		return err
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
		return err
	}
	for _, own := range times {
		for _, ms := range own {
			for i, t := range ms {
				s.ms[form][width][i][bucket] = append(s.ms[form][width][i][bucket], t)
			}
		}
	}
	return nil
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

// costs are the medians of all rounds.
func (s *stages) costs(form int) (oracle.Costs, error) {
	c := oracle.Costs{Buckets: s.engine.Buckets()[0], Widths: s.widths}
	for _, spans := range s.ms[form] {
		var times [][]float64
		for _, buckets := range spans {
			var row []float64
			for _, calls := range buckets {
				spread, err := eval.NewSpread(calls)
				if err != nil {
					return c, err
				}
				row = append(row, spread.Median)
			}
			times = append(times, row)
		}
		c.Times = append(c.Times, times)
	}
	return c, c.Validate()
}
