package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/benchmarks/internal/oracle"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/eval"
)

// measure fills n. Batches in single spans are timed before each way of arriving and after the last, so that
// runtime and oracle meet the same machine.
func (p *plan) measure(ctx context.Context, w *workload.Workload, r *layarun.Runtime, n *result.KeptNetwork) (err error) {
	stages, err := newStages(w, p.options.Device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stages.engine.Close()) }()
	n.Workers = stages.workers
	n.Exits = stages.depths()
	leaving, err := left(ctx, w, r, n.Exits)
	if err != nil {
		return err
	}
	n.Shares, n.MACs = shares(leaving, len(n.Exits)), saving(w, r, n.Exits, leaving)
	for _, batch := range p.batches {
		if err := p.point(ctx, w, r, stages, n, result.KeptPoint{Batch: batch}); err != nil {
			return err
		}
	}
	if p.callers > 0 {
		if err := p.point(ctx, w, r, stages, n, result.KeptPoint{Callers: p.callers}); err != nil {
			return err
		}
	}
	if err := stages.round(); err != nil {
		return err
	}
	if n.CostsOff, err = stages.costs(exitsOff); err != nil {
		return err
	}
	if n.CostsOn, err = stages.costs(exitsOn); err != nil {
		return err
	}
	if err := foresee(n, leaving); err != nil {
		return err
	}
	return p.rehearse(ctx, n, leaving)
}

// shares of the samples that leave at each exit.
func shares(left []int, exits int) []float64 {
	s := make([]float64, exits)
	for _, i := range left {
		s[i] += 1 / float64(len(left))
	}
	return s
}

// point times one way of arriving, exits off and on in turns.
func (p *plan) point(ctx context.Context, w *workload.Workload, r *layarun.Runtime, stages *stages, n *result.KeptNetwork, point result.KeptPoint) error {
	if err := stages.round(); err != nil {
		return err
	}
	candidates := []eval.Candidate{w.Candidate(r, off), w.Candidate(r, w.Policy.Name)}
	batch := point.Batch
	if point.Callers > 0 {
		batch = w.Len()
		candidates = []eval.Candidate{stream(candidates[0], point.Callers), stream(candidates[1], point.Callers)}
	}
	timings, err := eval.Latency(ctx, candidates, eval.LatencyOptions{Samples: w.Len(), Batches: []int{batch}, Repetitions: p.repetitions})
	if err != nil {
		return err
	}
	point.Off, point.On, point.Saving = timings[0][0].MS, timings[1][0].MS, timings[1][0].SpeedUp
	fmt.Fprintf(os.Stderr, "%s, batch %d, %d callers: %.3f ms off, %.3f on\n", w.Name, point.Batch, point.Callers, point.Off.Median, point.On.Median)
	n.Points = append(n.Points, point)
	return nil
}

// stream lets callers ask for one sample each, again and again, until all have been asked for.
func stream(single eval.Candidate, callers int) eval.Candidate {
	return eval.Candidate{Name: single.Name, Compiled: single.Compiled, Predict: func(ctx context.Context, from, to int) error {
		var next atomic.Int64
		faults := make([]error, callers)
		var all sync.WaitGroup
		for c := range callers {
			all.Go(func() {
				for faults[c] == nil {
					i := from + int(next.Add(1)) - 1
					if i >= to {
						return
					}
					faults[c] = single.Predict(ctx, i, i+1)
				}
			})
		}
		all.Wait()
		return errors.Join(faults...)
	}}
}

// foresee fills in the oracle's times, for the same samples in the same batches. With exits off there is one span, after
// which all leave.
func foresee(n *result.KeptNetwork, leaving []int) error {
	for i := range n.Points {
		point := &n.Points[i]
		var err error
		if point.OracleOff, err = bound(&n.CostsOff, make([]int, len(leaving)), *point); err != nil {
			return err
		}
		if point.OracleOn, err = bound(&n.CostsOn, leaving, *point); err != nil {
			return err
		}
	}
	return nil
}

// bound is the oracle's time per sample.
func bound(c *oracle.Costs, left []int, point result.KeptPoint) (float64, error) {
	var total float64
	if point.Callers > 0 {
		t, err := c.Stream(left, point.Callers)
		return t / float64(len(left)), err
	}
	for from := 0; from < len(left); from += point.Batch {
		t, err := c.Arrival(left[from:min(from+point.Batch, len(left))])
		if err != nil {
			return 0, err
		}
		total += t
	}
	return total / float64(len(left)), nil
}
